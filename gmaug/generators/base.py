"""What a generator is, images that something else made as one, and what all of them share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np

from gmaug.datasets.base import class_numbers, labelled, printable


class Generator(Protocol):
    """A class-conditional image model (section 3.5): any object with such a ``sample``.

    One with ``fit(images, labels)`` can be trained too. One that has *linear conditions* also takes
    ``sample(conditions=..., seed=...)``: a float matrix (n, C), a row for each image, whose one-hot rows
    mean what labels mean. It says so by an attribute ``linear_conditions = True``.

    >>> class Pipeline:  # a pipeline of diffusers, for one, and a prompt for each class
    ...     def sample(self, labels, *, seed):
    ...         random = torch.Generator().manual_seed(seed)
    ...         images = pipeline([prompts[label] for label in labels], generator=random).images
    ...         return np.stack([np.asarray(image.resize((32, 32))) for image in images])
    """

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; the same for the same seed."""


class BankGenerator:
    """Images made elsewhere, handed out by class in random order: each once in a sample while they last.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    labels : sequence of int, shape (n,)
    name : str
        To print.
    """

    def __init__(self, images: np.ndarray, labels: Sequence[int] | np.ndarray, *, name: str = "bank") -> None:
        self.images, self.labels = check_training(images, labels)
        self.name = name

    @classmethod
    def from_folder(cls, folder: str | Path, *, classes: Sequence[str], size: int) -> Self:
        """The images of ``folder/class/...``, cropped and resized to `size` pixels a side.

        `classes` names the sub-folders in the order of the labels; one that has no folder has no image.
        ``ValueError`` if a sub-folder is not among them, or the folder holds no images. Files that
        cannot be read are left out with a warning.
        """
        from gmaug.datasets import open_images

        found, place = open_images(folder), {name: k for k, name in enumerate(classes)}
        if unknown := set(found.classes) - set(classes):
            raise ValueError(f"{found.name}: {sorted(unknown)} are not among the classes {list(classes)}")
        images, labels = labelled(found, size=size, name=printable(folder))
        return cls(images, [place[found.classes[label]] for label in labels], name=printable(folder))

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; ``ValueError`` for a class without images."""
        labels, rng = class_numbers(labels), np.random.default_rng(seed)
        rows = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            have, places = np.flatnonzero(self.labels == label), np.flatnonzero(labels == label)
            if not len(have):
                raise ValueError(f"generator {self.name!r} has no image of class {label}; add some")
            rounds = -(-len(places) // len(have))
            rows[places] = np.concatenate([rng.permutation(have) for _ in range(rounds)])[: len(places)]
        return self.images[rows]


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


def require_linear(generator: Any) -> None:
    """Refuse, in one line, a generator that takes labels alone."""
    if not getattr(generator, "linear_conditions", False):
        name = type(generator).__name__
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
