"""The image sets of the study as arrays: the gardens, and a long-tailed CIFAR-10."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from gmaug.datasets.base import Splits
from gmaug.datasets.garden import FIRST_GARDENS, more, plant
from gmaug.runs import digest

SIZE = 32  # pixels a side in training, as the garden's marks allow
GARDEN_SEED = 0
CIFAR10 = "cifar10-lt"
CIFAR10_CLASSES = 10
CIFAR10_HEAD, CIFAR10_RATIO = 600, 10  # images of the largest class; how many times the smallest
CIFAR10_VALIDATION = 50  # of each class

Arrays = tuple[np.ndarray, np.ndarray]
"""Images, uint8 (n, size, size, 3), and labels, int64 (n,)."""


@dataclass(frozen=True, eq=False)
class StudySet:
    """A long-tailed set, its balanced validation and test images, and real images in reserve.

    Parameters
    ----------
    name : str
    classes : tuple of str
    train, validation, test : Arrays
    fresh : callable
        ``fresh(each, seed)``: so many real images of each class, class by class, that none of the
        three holds; ``ValueError`` if there are not so many.
    judges, watchers : callable
        Real images that none of `validation` and `test` holds, for the net that judges generated
        ones and for the net that watches a training; the latter are not in `train` either.
    """

    name: str
    classes: tuple[str, ...]
    train: Arrays
    validation: Arrays
    test: Arrays
    fresh: Callable[[int, int], Arrays] = field(repr=False)
    judges: Callable[[], Arrays] = field(repr=False)
    watchers: Callable[[], Arrays] = field(repr=False)

    @property
    def counts(self) -> np.ndarray:
        """Training images of each class, int64, shape (C,)."""
        return np.bincount(self.train[1], minlength=len(self.classes))


@cache
def splits(name: str) -> Splits:
    """The images of a garden; the same in every cell, whatever its seed."""
    return plant(FIRST_GARDENS[name], seed=GARDEN_SEED)


@cache
def study_set(name: str, root: Path | None = None, *, size: int = SIZE) -> StudySet:
    """A set by name.

    Parameters
    ----------
    name : str
        A garden, or ``"cifar10-lt"``.
    root : Path, optional
        Folder that holds ``cifar10/train/<class>`` and ``cifar10/test/<class>``.
    size : int
        Pixels a side of a garden's images.

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If CIFAR-10 is asked for and is not there.
    """
    if name == CIFAR10:
        return _cifar10(root)
    if name not in FIRST_GARDENS:
        raise ValueError(f"{name}: unknown set; there are {', '.join(FIRST_GARDENS)} and {CIFAR10}")
    parts = splits(name)

    def fresh(each: int, seed: int) -> Arrays:
        classes = FIRST_GARDENS[name].hierarchy.sub_classes
        drawn = more(FIRST_GARDENS[name], dict.fromkeys(classes, each), seed=seed)
        return drawn.arrays(size=size), np.repeat(np.arange(len(classes)), each)

    arrays = [(part.arrays(size=size), part.labels) for part in (parts.train, parts.validation, parts.test)]
    return StudySet(
        name, parts.train.classes, *arrays, fresh, lambda: fresh(400, 3), lambda: fresh(200, 5)
    )


def _cifar10(root: Path | None) -> StudySet:
    """Counts fall geometrically from class to class; what is left over is validation and reserve."""
    from gmaug.datasets import open_images

    if root is None or not (Path(root) / "cifar10" / "train").is_dir():
        raise FileNotFoundError(f"{root}: holds no cifar10/train/<class>/; name the folder above with --data")
    found = {part: open_images(Path(root) / "cifar10" / part) for part in ("train", "test")}
    classes = found["train"].classes
    images, labels = found["train"].arrays(size=SIZE), found["train"].labels
    rng = np.random.default_rng(GARDEN_SEED)
    kept: dict[str, list[np.ndarray]] = {"train": [], "validation": [], "reserve": []}
    for c in range(len(classes)):
        rows = rng.permutation(np.flatnonzero(labels == c))
        count = round(CIFAR10_HEAD * CIFAR10_RATIO ** (-c / (len(classes) - 1)))
        parts = np.split(rows, [count, count + CIFAR10_VALIDATION])
        for part, chosen in zip(kept.values(), parts, strict=True):
            part.append(np.sort(chosen))
    rows = {part: np.concatenate(chosen) for part, chosen in kept.items()}

    def fresh(each: int, seed: int) -> Arrays:
        least = min(len(chosen) for chosen in kept["reserve"])
        if each > least:
            raise ValueError(f"{CIFAR10} keeps {least} images of a class in reserve, not {each}")
        draw = np.random.default_rng(seed)
        chosen = np.concatenate([draw.permutation(one)[:each] for one in kept["reserve"]])
        return images[chosen], labels[chosen]

    def judges() -> Arrays:
        usable = np.concatenate([rows["train"], rows["reserve"]])
        return images[usable], labels[usable]

    def watchers() -> Arrays:
        return images[rows["reserve"]], labels[rows["reserve"]]

    test = found["test"].arrays(size=SIZE), found["test"].labels
    train, validation = ((images[rows[part]], labels[rows[part]]) for part in ("train", "validation"))
    return StudySet(CIFAR10, tuple(classes), train, validation, test, fresh, judges, watchers)


def data_of(source: StudySet) -> dict[str, object]:
    """Name, count and digest of what a generator is trained on, for its record."""
    return {"name": source.name, "images": len(source.train[0]), "hash": digest(*source.train)}
