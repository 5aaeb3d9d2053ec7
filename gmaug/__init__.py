"""gmaug: when do generated images help a classifier trained on an imbalanced image set?

A companion to Guo, Benitez-Quiroz, Feng and Martinez, *Structural Similarity: When to Use
Deep Generative Models on Imbalanced Image Dataset Augmentation* (arXiv 2303.04854).

>>> import gmaug
>>> gmaug.measure("folder")  # how alike its classes are, with errors
>>> gmaug.advise("folder")  # what the evidence says about augmenting it
>>> gmaug.compare("folder", "out")  # what helps on these images, measured
>>> gmaug.balance("folder", "balanced")  # and the balanced folder
>>> gmaug.GMAugCls(classifier="resnet18", generator="cgan").fit_resample(images, labels)

Names are looked up when they are first used, so that a light command stays light. ``gmaug/README.md``
says which room holds what.
"""

from __future__ import annotations

from importlib import import_module
from types import ModuleType
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "open_images": "datasets",
    "measure": "similarity",
    "advise": "advice",
    "compare": "compare",
    "balance": "balance",
    "GMAugCls": "augcls",
    "TransitionalCGAN": "generators",
    "GuidedDiffusion": "generators",
    "ResNet18": "classifiers",
    "MAE": "classifiers",
}
"""Public names, and the room that holds each."""

__all__ = [*_HOMES, "ssim"]


class CallableModule(ModuleType):
    """A module as the function of its own name: ``gmaug.compare(...)``, imported already or not."""

    def __call__(self, *given: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*given, **options)


def __getattr__(name: str) -> Any:
    if name == "ssim":
        return import_module("gmaug.ssim")
    if name not in _HOMES:
        raise AttributeError(f"gmaug has no {name!r}; it has {', '.join(__all__)}")
    return getattr(import_module(f"gmaug.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
