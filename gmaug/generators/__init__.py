"""Conditional image generators behind one protocol (section 3.5).

``fit(images, labels)``, ``sample(labels, seed=)``, ``save`` and ``load``; images are uint8
(n, height, width, 3) in and out.

- :class:`TransitionalCGAN`: StyleGAN2 with transitional training, the paper's cGAN.
- :class:`GuidedDiffusion`: class-conditional diffusion, guided by a noisy classifier.
- :class:`FunctionGenerator`, :class:`BankGenerator`, :class:`PipelineGenerator`: what a user
  brings: a function, images or a folder of them, a ``diffusers`` pipeline.
- :func:`make_generator`, :func:`load_generator`: the first two by name, and from a file.
- :mod:`gmaug.generators.quality`: how far generated images are from real ones.

The networks need torch, which is imported when they are first asked for.
"""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.generators.base import Generator, require_linear

if TYPE_CHECKING:
    from gmaug.generators.training import TrainedGenerator

_LAZY = {
    "adapters": ("BankGenerator", "FunctionGenerator", "PipelineGenerator"),
    "cgan": ("TransitionalCGAN",),
    "diffusion": ("GuidedDiffusion",),
    "settings": ("GuidedDiffusionSettings", "PROFILES", "TransitionalCGANSettings", "settings_for"),
    "training": ("Diverged",),
}
_WHERE = {name: module for module, names in _LAZY.items() for name in names}

KINDS = {"cgan": "TransitionalCGAN", "diffusion": "GuidedDiffusion"}
"""The generators that are trained here: name and class."""

__all__ = ["KINDS", "Generator", "load_generator", "make_generator", "require_linear", *_WHERE]


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(f"gmaug.generators.{_WHERE[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def generator_class(name: str) -> type[TrainedGenerator]:
    """The class of a generator; ``ValueError`` with the known names if there is none."""
    if name not in KINDS:
        known = " or ".join(map(repr, KINDS))
        raise ValueError(f"generator={name!r} is unknown; use {known}, or an object of your own")
    return getattr(import_module(f"gmaug.generators.{name}"), KINDS[name])


def make_generator(
    name: str, *, shape: tuple[int, int], profile: str = "default", seed: int = 0, **changes: Any
) -> TrainedGenerator:
    """An untrained generator; its arguments are those of :func:`gmaug.generators.settings.settings_for`."""
    from gmaug.generators.settings import settings_for

    kind = generator_class(name)
    return kind(settings_for(name, shape=shape, profile=profile, seed=seed, **changes))


def load_generator(path: str | Path, *, device: str = "cpu", threads: int | None = None) -> TrainedGenerator:
    """The generator that a file holds, of whichever kind; ``ValueError`` if there is none in it."""
    from gmaug.backend import read_tensors

    _, about = read_tensors(path)
    for name in KINDS:
        kind = generator_class(name)
        if about.get("format") == kind.FORMAT:
            return kind.load(path, device=device, threads=threads)
    raise ValueError(f"{path}: holds {about.get('format', 'no generator')!r}; there are {', '.join(KINDS)}")
