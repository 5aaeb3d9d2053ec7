"""The classifiers that select generated images and are judged on the balanced set (section 3.5).

``fit(images, labels, validation=)``, ``predict_proba``, ``logits``, ``features``, ``save`` and ``load``;
images are uint8 (n, height, width, 3).

- :class:`ResNet18`, :class:`MAE`: the paper's two; :func:`make_classifier` and :func:`settings_for`
  give them by name.
- :class:`Loss`: class-balanced, focal and logit-adjusted losses.
- :func:`temperature`: brings the scores nearer to chances.

Names are looked up when they are first used, so that reading settings costs no import of torch.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from typing import Any

from gmaug.classifiers.settings import (
    GARDEN,
    GARDEN_MAE,
    PAPER,
    PAPER_MAE,
    MAESettings,
    ResNet18Settings,
    TrainingSettings,
)

_LAZY = {
    "Loss": "losses",
    "MAE": "mae",
    "ResNet18": "resnet",
    "TorchClassifier": "training",
    "balancing_weights": "losses",
    "class_balanced_weights": "losses",
    "temperature": "losses",
}

KINDS = {
    "resnet18": ("ResNet18", ResNet18Settings, GARDEN),
    "mae": ("MAE", MAESettings, GARDEN_MAE),
}
"""The classifiers by name: class, class of its settings, settings for images of 32 px."""

PATCHES = 8  # along a side of the masked autoencoder's input, as in the garden's settings

__all__ = [
    "GARDEN",
    "GARDEN_MAE",
    "KINDS",
    "PAPER",
    "PAPER_MAE",
    "MAESettings",
    "ResNet18Settings",
    "TrainingSettings",
    "make_classifier",
    "settings_class",
    "settings_for",
    *_LAZY,
]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gmaug.classifiers.{_LAZY[name]}"), name)


def make_classifier(name: str, settings: TrainingSettings, *, device: str = "auto") -> Any:
    """An untrained classifier of :data:`KINDS`, with settings of its own; ``ValueError`` if there is none."""
    settings_class(name)
    return __getattr__(KINDS[name][0])(settings, device=device)


def settings_class(name: str) -> type[TrainingSettings]:
    """The class of a classifier's settings; ``ValueError`` with the known names if there is none."""
    if name not in KINDS:
        known = " or ".join(map(repr, KINDS))
        raise ValueError(f"classifier={name!r} is unknown; use {known}, or an object of your own")
    return KINDS[name][1]


def settings_for(name: str, *, shape: tuple[int, int] = (32, 32)) -> TrainingSettings:
    """A classifier's settings for images of `shape` (height, width): the garden's at its own size, and from
    there on; ``ValueError`` if there is no such classifier."""
    settings_class(name)
    garden, side = KINDS[name][2], min(shape)
    if name == "mae":
        sides = [d for d in range(1, max(1, side // PATCHES) + 1) if side % d == 0]
        return replace(garden, patch=sides[-1])
    if side <= 48:
        return garden
    if side <= 96:  # maps as large as the garden's, and twice as wide
        return replace(garden, width=16, stem_stride=2)
    return replace(PAPER, crop_size=None, batch=GARDEN.batch)
