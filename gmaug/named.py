"""Generators and classifiers by name, with settings that suit the size of the images (section 3.5)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib import import_module
from typing import Any

from gmaug.classifiers.settings import GARDEN, PAPER, TrainingSettings

CLASSIFIERS = {
    "resnet18": ("resnet", "ResNet18", "settings", "ResNet18Settings", "GARDEN"),
    "mae": ("mae", "MAE", "mae_settings", "MAESettings", "GARDEN_MAE"),
}
"""Module and class of each; module and class of its settings, and those of the garden."""

PATCHES = 8  # along a side of the masked autoencoder's input, as in the garden's settings


def generator(name: str, *, shape: tuple[int, int], profile: str = "default", seed: int = 0) -> Any:
    """An untrained generator, as :func:`gmaug.generators.make_generator` gives it."""
    from gmaug.generators import make_generator

    return make_generator(name, shape=shape, profile=profile, seed=seed)


def classifier(name: str, settings: TrainingSettings) -> Any:
    """An untrained classifier.

    Parameters
    ----------
    name : {"resnet18", "mae"}
    settings : TrainingSettings
        Its own, as :func:`settings_for` and :func:`garden_settings` give them.
    """
    module, kind, *_ = _known(CLASSIFIERS, name, "classifier")
    return getattr(import_module(f"gmaug.classifiers.{module}"), kind)(settings)


def settings_class(name: str) -> type[TrainingSettings]:
    """The class of a classifier's settings."""
    _, _, module, kind, _ = _known(CLASSIFIERS, name, "classifier")
    return getattr(import_module(f"gmaug.classifiers.{module}"), kind)


def garden_settings(name: str) -> TrainingSettings:
    """A classifier's settings for the garden at 32 px."""
    _, _, module, _, garden = _known(CLASSIFIERS, name, "classifier")
    return getattr(import_module(f"gmaug.classifiers.{module}"), garden)


def settings_for(name: str, *, shape: tuple[int, int]) -> TrainingSettings:
    """A classifier's settings for images of a size: the garden's at its own, and from there on.

    Parameters
    ----------
    name : {"resnet18", "mae"}
    shape : (int, int)
        Height and width of the images.
    """
    garden, side = garden_settings(name), min(shape)
    if name == "mae":
        sides = [d for d in range(1, max(1, side // PATCHES) + 1) if side % d == 0]
        return replace(garden, patch=sides[-1])
    if side <= 48:
        return garden
    if side <= 96:  # maps as large as the garden's, and twice as wide
        return replace(garden, width=16, stem_stride=2)
    return replace(PAPER, crop_size=None, batch=GARDEN.batch)


def is_fitted(model: Any) -> bool:
    """Whether a model is trained, or has nothing to train.

    As scikit-learn has it: ``__sklearn_is_fitted__`` decides where there is one; otherwise
    attributes that end in an underscore and hold something.
    """
    if not hasattr(model, "fit"):
        return True
    if hasattr(model, "__sklearn_is_fitted__"):
        return bool(model.__sklearn_is_fitted__())
    state = getattr(model, "__dict__", {})
    return any(
        key.endswith("_") and not key.startswith("_") and not _empty(value) for key, value in state.items()
    )


def _empty(value: Any) -> bool:
    return value is None or (len(value) == 0 if hasattr(value, "__len__") else value is False or value == 0)


def _known(table: Mapping[str, tuple[str, ...]], name: str, parameter: str) -> tuple[str, ...]:
    if name not in table:
        known = " or ".join(repr(one) for one in table)
        raise ValueError(f"{parameter}={name!r} is unknown; use {known}, or an object of your own")
    return table[name]
