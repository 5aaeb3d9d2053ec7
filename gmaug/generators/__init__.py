"""Conditional image generators behind one protocol (section 3.5).

``fit(images, labels)``, ``sample(labels, seed=)``, ``save`` and ``load``; images are uint8
(n, height, width, 3) in and out.

- :class:`TransitionalCGAN`: StyleGAN2 with transitional training, the paper's cGAN.
- :class:`FunctionGenerator`, :class:`BankGenerator`: what a user brings, a function or images.
- :mod:`gmaug.generators.distance`: how far generated images are from real ones.

The networks need torch, which is imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gmaug.generators.base import BankGenerator, Budget, FunctionGenerator, Generator

_LAZY = {
    "Diverged": "cgan",
    "PROFILES": "settings",
    "TransitionalCGAN": "cgan",
    "TransitionalCGANSettings": "settings",
}

__all__ = ["BankGenerator", "Budget", "FunctionGenerator", "Generator", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"gmaug.generators.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
