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

_HOMES = {
    "Loss": "losses", "MAE": "mae", "ResNet18": "resnet", "balancing_weights": "losses",
    "class_balanced_weights": "losses",
}  # fmt: skip
_KINDS = {"resnet18": ("ResNet18", ResNet18Settings), "mae": ("MAE", MAESettings)}

__all__ = [
    "GARDEN", "GARDEN_MAE", "PAPER", "PAPER_MAE", "MAESettings", "ResNet18Settings", "TrainingSettings",
    "make_classifier", "settings_class", "settings_for", *_HOMES,
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"gmaug.classifiers.{_HOMES[name]}"), name)


def settings_class(name: str) -> type[TrainingSettings]:
    """The class of a classifier's settings; ``ValueError`` with the known names if there is none."""
    if name not in _KINDS:
        known = " or ".join(map(repr, _KINDS))
        raise ValueError(f"classifier={name!r} is unknown; use {known}, or an object of your own")
    return _KINDS[name][1]


def make_classifier(name: str, settings: TrainingSettings) -> Any:
    """An untrained ``"resnet18"`` or ``"mae"``; ``ValueError`` if there is no such classifier."""
    settings_class(name)
    return __getattr__(_KINDS[name][0])(settings)


def settings_for(name: str, *, shape: tuple[int, int] = (32, 32)) -> TrainingSettings:
    """A classifier's settings for images of `shape` (height, width): the garden's at its own size, and from
    there on; ``ValueError`` if there is no such classifier."""
    settings_class(name)
    side = min(shape)
    if name == "mae":  # some eight patches along a side, as in the garden
        return replace(GARDEN_MAE, patch=max(d for d in range(1, max(1, side // 8) + 1) if side % d == 0))
    if side <= 48:
        return GARDEN
    if side <= 96:  # maps as large as the garden's, and twice as wide
        return replace(GARDEN, width=16, stem_stride=2)
    return replace(PAPER, crop_size=None, batch=GARDEN.batch)
