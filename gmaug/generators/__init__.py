"""Conditional image generators behind one protocol (section 3.5).

``fit(images, labels)``, ``sample(labels, seed=)``, ``save`` and ``load``; images are uint8
(n, height, width, 3) in and out.

- :class:`TransitionalCGAN`: StyleGAN2 with transitional training, the paper's cGAN.
- :class:`GuidedDiffusion`: class-conditional diffusion, guided by a noisy classifier.
- :class:`FunctionGenerator`, :class:`BankGenerator`, :class:`PipelineGenerator`: what a user
  brings: a function, images or a folder of them, a ``diffusers`` pipeline.
- :mod:`gmaug.generators.distance`: how far generated images are from real ones.

The networks need torch, which is imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gmaug.generators.base import Budget, Generator

_LAZY = {
    "BankGenerator": "adapters",
    "Diverged": "trained",
    "FunctionGenerator": "adapters",
    "GuidedDiffusion": "diffusion",
    "GuidedDiffusionSettings": "diffusion_settings",
    "PROFILES": "settings",
    "PipelineGenerator": "adapters",
    "TransitionalCGAN": "cgan",
    "TransitionalCGANSettings": "settings",
}

__all__ = ["Budget", "Generator", *_LAZY]


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(f"gmaug.generators.{_LAZY[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
