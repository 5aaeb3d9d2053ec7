"""What a generator is, and how a user's own fits in."""

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


class FunctionGenerator:
    """A user's function as a generator: ``function(labels, rng) -> uint8 (n, h, w, 3)``.

    Parameters
    ----------
    function : callable
        Takes the labels (int64 array) and a ``numpy.random.Generator`` made from the seed.
    name : str, optional
        To print; the function's own by default.
    """

    def __init__(
        self, function: Callable[[np.ndarray, np.random.Generator], np.ndarray], *, name: str | None = None
    ) -> None:
        self.function, self.name = function, name or getattr(function, "__name__", "function")

    def fit(self, images: np.ndarray, labels: np.ndarray, **_: Any) -> FunctionGenerator:
        """Nothing: the function is what it is."""
        return self

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int) -> np.ndarray:
        """What the function draws, checked.

        Raises
        ------
        ValueError
            If it returns anything but uint8 RGB images, one a label.
        """
        labels = check_labels(labels)
        images = np.asarray(self.function(labels, np.random.default_rng(seed)))
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise ValueError(
                f"generator {self.name!r} gave {images.dtype} {images.shape} for {len(labels)} labels; "
                "return uint8 (n, height, width, 3)"
            )
        return images

    def save(self, path: str | Path) -> None:
        """Not possible: a function is code."""
        raise ValueError(f"generator {self.name!r} is a function; keep its code, there is nothing to save")

    @classmethod
    def load(cls, path: str | Path) -> FunctionGenerator:
        """Not possible: a function is code."""
        raise ValueError(f"{path}: functions are not loaded from files; use FunctionGenerator(function)")


class BankGenerator:
    """Images made elsewhere, handed out by class: each at most once in a sample while they last.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    labels : sequence of int, shape (n,)
    name : str
    """

    def __init__(self, images: np.ndarray, labels: Sequence[int] | np.ndarray, *, name: str = "bank") -> None:
        self.images, self.labels = check_training(images, labels)
        self.name = name

    def fit(self, images: np.ndarray, labels: np.ndarray, **_: Any) -> BankGenerator:
        """Nothing: the images are there."""
        return self

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int) -> np.ndarray:
        """One image of the bank for each label, in random order, again from the start when used up.

        Raises
        ------
        ValueError
            If the bank has no image of a wanted class.
        """
        labels, rng = check_labels(labels), np.random.default_rng(seed)
        rows = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            have, places = np.flatnonzero(self.labels == label), np.flatnonzero(labels == label)
            if not len(have):
                raise ValueError(f"generator {self.name!r} has no image of class {label}; add some")
            rounds = -(-len(places) // len(have))
            rows[places] = np.concatenate([rng.permutation(have) for _ in range(rounds)])[: len(places)]
        return self.images[rows]

    def save(self, path: str | Path) -> None:
        """Write the bank (npz)."""
        with open(path, "wb") as file:
            np.savez_compressed(file, images=self.images, labels=self.labels, name=self.name)

    @classmethod
    def load(cls, path: str | Path) -> BankGenerator:
        """Read a bank that `save` wrote.

        Raises
        ------
        FileNotFoundError
        """
        with np.load(path) as file:
            return cls(file["images"], file["labels"], name=str(file["name"]))


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
