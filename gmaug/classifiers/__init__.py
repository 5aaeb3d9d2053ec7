"""The classifiers that select generated images and are judged on the balanced set (section 3.5).

Names are looked up when they are first used, so that reading settings costs no import of torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "Calibrated": "calibration",
    "GARDEN": "settings",
    "GARDEN_MAE": "mae_settings",
    "MAE": "mae",
    "PAPER": "settings",
    "PAPER_MAE": "mae_settings",
    "Loss": "losses",
    "MAESettings": "mae_settings",
    "ResNet18": "resnet",
    "ResNet18Settings": "settings",
    "TorchClassifier": "base",
    "TrainingSettings": "settings",
    "balancing_weights": "training",
    "class_balanced_weights": "losses",
    "reliability": "calibration",
    "temperature": "calibration",
}
__all__ = sorted(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"gmaug.classifiers has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"gmaug.classifiers.{_HOMES[name]}"), name)
