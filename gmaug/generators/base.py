"""What a generator is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np


@dataclass(frozen=True)
class Budget:
    """When to stop a training that has not come to its end: whichever limit is met first.

    Parameters
    ----------
    seconds : float, optional
        Of this call to ``fit``. What a run reaches in a time differs from run to run.
    kimg : float, optional
        Thousands of training images since the beginning: repeatable.
    """

    seconds: float | None = None
    kimg: float | None = None


@runtime_checkable
class Generator(Protocol):
    """A class-conditional image model (section 3.5)."""

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        budget: Budget | None = None,
        callback: Callable[..., Any] | None = None,
    ) -> Generator:
        """Learn from images, uint8 (n, h, w, 3), and their labels (n,)."""

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; the same for the same seed."""

    def save(self, path: str | Path) -> None:
        """Write what `load` reads."""

    @classmethod
    def load(cls, path: str | Path) -> Generator:
        """Read what `save` wrote."""


def check_labels(labels: Sequence[int] | np.ndarray, n_classes: int | None = None) -> np.ndarray:
    """Labels as int64 (n,).

    Raises
    ------
    ValueError
        If they are not integers from 0 to ``n_classes - 1``.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or (labels.size and not np.issubdtype(labels.dtype, np.integer)):
        raise ValueError(f"labels are {labels.dtype} of shape {labels.shape}; give integers of shape (n,)")
    labels = labels.astype(np.int64)
    if labels.size and labels.min() < 0:
        raise ValueError(f"labels hold {labels.min()}; classes count from 0")
    if n_classes is not None and labels.size and labels.max() >= n_classes:
        raise ValueError(f"labels hold class {labels.max()}; known classes are 0 to {n_classes - 1}")
    return labels


def check_training(
    images: np.ndarray, labels: Sequence[int] | np.ndarray, *, side: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Training images and their labels, as arrays.

    Raises
    ------
    ValueError
        If the images are not uint8 (n, side, side, 3), there are none, or the labels do not match.
    """
    images, labels = np.asarray(images), check_labels(labels)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}; give uint8 (n, height, width, 3)")
    if side is not None and images.shape[1:3] != (side, side):
        raise ValueError(
            f"images are {images.shape[1]} x {images.shape[2]} px, the settings say resolution={side}; "
            "resize the images or change the setting"
        )
    if not len(images) or len(images) != len(labels):
        raise ValueError(f"{len(images)} images and {len(labels)} labels; give one label for each image")
    return images, labels
