"""What a generator is, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol, runtime_checkable

import numpy as np

from gmaug.datasets.base import class_numbers, labelled


@runtime_checkable
class Generator(Protocol):
    """A class-conditional image model (section 3.5).

    One that has *linear conditions* also takes ``sample(conditions=..., seed=...)``: a float
    matrix (n, C), a row for each image, whose one-hot rows mean what labels mean. It says so by
    an attribute ``linear_conditions = True``.
    """

    def fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> Generator:
        """Learn from images, uint8 (n, h, w, 3), and their labels (n,)."""

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; the same for the same seed."""


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch compute on `count` threads (None: as many as it does already) for a while."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def check_wanted(labels: Any, conditions: Any, n_classes: int) -> np.ndarray:
    """Labels as int64 (n,), or conditions as float32 (n, `n_classes`); ``ValueError`` if they do not fit."""
    if (labels is None) == (conditions is None):
        raise ValueError("give labels= or conditions=, one of the two")
    if conditions is None:
        return class_numbers(labels, n_classes)
    conditions = np.asarray(conditions, dtype=np.float32)
    if conditions.ndim != 2 or conditions.shape[1] != n_classes or not np.isfinite(conditions).all():
        raise ValueError(f"conditions of shape {conditions.shape}; give finite numbers, (n, {n_classes})")
    return conditions


def require_linear(generator: Any) -> None:
    """Refuse, in one line, a generator that takes labels alone."""
    if not getattr(generator, "linear_conditions", False):
        name = getattr(generator, "name", type(generator).__name__)
        raise ValueError(f"generator {name!r} takes labels alone, no mixed conditions; use cgan or diffusion")


def check_training(
    images: Any, labels: Sequence[int] | np.ndarray, *, side: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Training images and labels as arrays; ``ValueError`` if they are not (n, side, side, 3) and (n,)."""
    images, labels = labelled(images, labels, size=side, name="images")
    if side is not None and images.shape[1:3] != (side, side):
        found = f"{images.shape[1]} x {images.shape[2]} px"
        raise ValueError(f"images are {found}, the settings say resolution={side}; change one of them")
    return images, class_numbers(labels)
