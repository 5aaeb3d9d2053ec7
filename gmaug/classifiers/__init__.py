"""The classifiers that select generated images and are judged on the balanced set (section 3.5).

:class:`ResNet18` and :class:`MAE` are the paper's two, :class:`Loss` what they are trained with. Names are
looked up when they are first used, so that reading settings costs no import of torch.
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
    "Loss": "losses", "MAE": "mae", "ResNet18": "resnet", "balancing_weights": "losses",
    "class_balanced_weights": "losses",
}  # fmt: skip

KINDS = {"resnet18": ("ResNet18", ResNet18Settings), "mae": ("MAE", MAESettings)}
"""The classifiers by name: class and class of its settings."""

PATCHES = 8  # along a side of the masked autoencoder's input, as in the garden's settings

__all__ = [
    "GARDEN", "GARDEN_MAE", "KINDS", "PAPER", "PAPER_MAE", "MAESettings", "ResNet18Settings",
    "TrainingSettings", "make_classifier", "settings_class", "settings_for", *_LAZY,
]  # fmt: skip


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
    side = min(shape)
    if name == "mae":
        patch = max(d for d in range(1, max(1, side // PATCHES) + 1) if side % d == 0)
        return replace(GARDEN_MAE, patch=patch)
    if side <= 48:
        return GARDEN
    if side <= 96:  # maps as large as the garden's, and twice as wide
        return replace(GARDEN, width=16, stem_stride=2)
    return replace(PAPER, crop_size=None, batch=GARDEN.batch)
