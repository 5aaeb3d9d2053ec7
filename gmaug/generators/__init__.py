"""Conditional image generators behind one protocol, :class:`Generator` (section 3.5).

Trained here are :class:`TransitionalCGAN` and :class:`GuidedDiffusion`; :class:`BankGenerator` hands out
images that something else made, and :mod:`gmaug.generators.quality` says how far samples are from real ones.
"""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.generators.base import BankGenerator, Generator, require_linear

if TYPE_CHECKING:
    from gmaug.generators.training import TrainedGenerator

_WHERE = {
    "TransitionalCGAN": "cgan", "GuidedDiffusion": "diffusion",
    "TransitionalCGANSettings": "settings", "GuidedDiffusionSettings": "settings",
}  # fmt: skip

KINDS = {"cgan": "TransitionalCGAN", "diffusion": "GuidedDiffusion"}
"""The generators that are trained here: name and class."""

__all__ = ["BankGenerator", "Generator", "load_generator", "make_generator", "require_linear", *_WHERE]


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
    """An untrained generator for images of a size.

    Parameters
    ----------
    name : {"cgan", "diffusion"}
    shape : (int, int)
        Height and width of the images: equal, and a power of two of at least 8.
    profile : {"smoke", "default", "converged", "paper"}
    **changes
        Settings that differ, such as ``seed``, ``n_classes`` or ``threads``.
    """
    from gmaug.generators.settings import CHANNELS, PROFILES

    if name not in KINDS:
        known = " or ".join(map(repr, KINDS))
        raise ValueError(f"generator={name!r} is unknown; use {known}, or an object of your own")
    profiles, (height, side) = PROFILES[name], shape
    if profile not in profiles:
        raise ValueError(f"profile={profile!r}; generator={name!r} has {', '.join(profiles)}")
    if height != side or side < 8 or side & (side - 1):
        raise ValueError(
            f"generator={name!r} draws squares whose side is a power of two from 8; the images are "
            f"{height} x {side}: resize them, or give a generator of your own"
        )
    if name == "cgan" and side != profiles[profile].resolution:
        levels = side.bit_length() - 2
        changes = {"channels": (CHANNELS + CHANNELS[-1:] * levels)[:levels]} | changes
    return generator_class(name)(replace(profiles[profile], **{"resolution": side} | changes))


def load_generator(path: str | Path, *, device: str = "cpu", threads: int | None = None) -> TrainedGenerator:
    """What ``save`` wrote, to sample on this `device` by this many `threads`.

    ``FileNotFoundError`` or ``ValueError`` if the file is missing, or holds no generator.
    """
    from gmaug.backend import read_tensors

    tensors, about = read_tensors(path)
    form = about.get("format", "no generator")
    for name in KINDS:
        if form == generator_class(name).FORMAT:
            return generator_class(name).restored(tensors, about, device=device, threads=threads)
    raise ValueError(f"{path}: holds {form!r}; there are {', '.join(KINDS)}")
