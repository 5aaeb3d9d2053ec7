"""Conditional image generators behind one protocol, :class:`Generator` (section 3.5).

``fit(images, labels)`` and ``sample(labels, seed=)``; images are uint8 (n, height, width, 3) in and out.
Trained here are :class:`TransitionalCGAN` and :class:`GuidedDiffusion`; :mod:`gmaug.generators.adapters`
takes what a user brings, :mod:`gmaug.generators.quality` says how far samples are from real images.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.generators.base import Generator, require_linear

if TYPE_CHECKING:
    from gmaug.generators.training import TrainedGenerator

_WHERE = {
    "BankGenerator": "adapters", "FunctionGenerator": "adapters",
    "TransitionalCGAN": "cgan", "GuidedDiffusion": "diffusion", "Diverged": "training",
    "TransitionalCGANSettings": "settings", "GuidedDiffusionSettings": "settings", "PROFILES": "settings",
    "settings_for": "settings",
}  # fmt: skip

KINDS = {"cgan": "TransitionalCGAN", "diffusion": "GuidedDiffusion"}
"""The generators that are trained here: name and class."""

__all__ = ["KINDS", "Generator", "load_generator", "make_generator", "require_linear", *_WHERE]


def __getattr__(name: str) -> Any:
    """Import a name of `_WHERE`, and with it torch, when it is first asked for."""
    if name in _WHERE:
        return getattr(import_module(f"gmaug.generators.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def generator_class(name: str) -> type[TrainedGenerator]:
    """The class of one of `KINDS`."""
    return __getattr__(KINDS[name])


def make_generator(
    name: str, *, shape: tuple[int, int], profile: str = "default", **changes: Any
) -> TrainedGenerator:
    """An untrained generator; its arguments are those of :func:`gmaug.generators.settings.settings_for`."""
    from gmaug.generators.settings import settings_for

    settings = settings_for(name, shape=shape, profile=profile, **changes)
    return generator_class(name)(settings)


def load_generator(path: str | Path, *, device: str = "cpu", threads: int | None = None) -> TrainedGenerator:
    """The generator that a file holds, of whichever kind; ``ValueError`` if there is none in it."""
    from gmaug.backend import read_tensors

    form = read_tensors(path)[1].get("format", "no generator")
    for name in KINDS:
        if form == generator_class(name).FORMAT:
            return generator_class(name).load(path, device=device, threads=threads)
    raise ValueError(f"{path}: holds {form!r}; there are {', '.join(KINDS)}")
