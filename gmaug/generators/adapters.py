"""What a user brings as a generator: a function, or images made elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from gmaug.datasets.base import class_numbers
from gmaug.generators.base import check_training, require_linear


class FunctionGenerator:
    """A user's function as a generator: ``function(labels, rng) -> uint8 (n, h, w, 3)``.

    A ``diffusers`` pipeline, for one, whose class numbers or prompts stand in ``names``:

    >>> def draw(labels, rng):
    ...     random = torch.Generator().manual_seed(int(rng.integers(2**63)))
    ...     images = pipeline([names[label] for label in labels], generator=random).images
    ...     return np.stack([np.asarray(image.resize((32, 32))) for image in images])
    >>> generator = FunctionGenerator(draw)

    Parameters
    ----------
    function : callable
        Takes the labels (int64 array) and a ``numpy.random.Generator`` made from the seed.
    name : str, optional
        To print; the function's own by default.
    """

    linear_conditions = False

    def __init__(
        self, function: Callable[[np.ndarray, np.random.Generator], np.ndarray], *, name: str | None = None
    ) -> None:
        self.function, self.name = function, name or getattr(function, "__name__", "function")

    def fit(self, images: np.ndarray, labels: np.ndarray, **_: Any) -> Self:
        """Nothing: what was brought is what it is."""
        return self

    def sample(
        self, labels: Sequence[int] | np.ndarray | None = None, *, conditions: Any = None, seed: int
    ) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; the same for the same seed.

        ``ValueError`` if conditions are given, or the function gives anything but uint8 RGB images.
        """
        if conditions is not None or labels is None:
            require_linear(self)
        labels = class_numbers(labels)
        images = np.asarray(self.function(labels, np.random.default_rng(seed)))
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise ValueError(
                f"generator {self.name!r} gave {images.dtype} {images.shape} for {len(labels)} labels; "
                "return uint8 (n, height, width, 3)"
            )
        return images


class BankGenerator(FunctionGenerator):
    """Images made elsewhere, handed out by class in random order: each once in a sample while they last.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    labels : sequence of int, shape (n,)
    name : str
    """

    def __init__(self, images: np.ndarray, labels: Sequence[int] | np.ndarray, *, name: str = "bank") -> None:
        self.images, self.labels = check_training(images, labels)
        super().__init__(self._dealt, name=name)

    @classmethod
    def from_folder(cls, folder: str | Path, *, classes: Sequence[str], size: int) -> Self:
        """The images of ``folder/class/...``, cropped and resized to `size` pixels a side.

        `classes` names the sub-folders in the order of the labels; one that has no folder has no image.
        ``ValueError`` if a sub-folder is not among them, or the folder holds no images. Files that
        cannot be read are left out with a warning.
        """
        from gmaug.datasets import open_images
        from gmaug.datasets.base import labelled, printable

        found = open_images(folder)
        unknown = set(found.classes) - set(classes)
        if unknown:
            raise ValueError(f"{found.name}: {sorted(unknown)} are not among the classes {list(classes)}")
        place = np.array([list(classes).index(name) for name in found.classes])
        pixels, numbers = labelled(found, size=size, name=printable(folder))
        return cls(pixels, place[numbers], name=printable(folder))

    def _dealt(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        rows = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            have, places = np.flatnonzero(self.labels == label), np.flatnonzero(labels == label)
            if not len(have):
                raise ValueError(f"generator {self.name!r} has no image of class {label}; add some")
            rounds = -(-len(places) // len(have))
            rows[places] = np.concatenate([rng.permutation(have) for _ in range(rounds)])[: len(places)]
        return self.images[rows]
