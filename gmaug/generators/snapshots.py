"""Sample grids as a training goes: a callback for ``fit``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from gmaug.generators.base import check_labels


class Snapshots:
    """Keep samples of the same noise and classes at every report, and write them as PNG.

    Parameters
    ----------
    labels : sequence of int
        Classes to sample; a row of the grid each class, in the order of the labels.
    folder : path, optional
        Where ``0012.0-kimg.png`` and so on are written; nothing is written without it.
    seed : int
    every : int
        Reports from one snapshot to the next.

    Attributes
    ----------
    images : list of ndarray of uint8, shape (n, side, side, 3)
    kimg : list of float

    Examples
    --------
    >>> model.fit(images, labels, callback=Snapshots(np.repeat(np.arange(9), 8), folder="samples"))
    """

    def __init__(
        self, labels: Any, *, folder: str | Path | None = None, seed: int = 0, every: int = 1
    ) -> None:
        self.labels, self.seed, self.every = check_labels(labels), seed, every
        self.folder = None if folder is None else Path(folder)
        self.images: list[np.ndarray] = []
        self.kimg: list[float] = []
        self._reports = 0

    def __call__(self, model: Any, row: dict[str, Any]) -> None:
        self._reports += 1
        if self._reports % self.every:
            return
        self.images.append(model.sample(self.labels, seed=self.seed))
        self.kimg.append(row["kimg"])
        if self.folder is not None:
            from PIL import Image

            self.folder.mkdir(parents=True, exist_ok=True)
            path = self.folder / f"{row['kimg']:06.1f}-kimg.png"
            Image.fromarray(grid(self.images[-1], self.labels)).save(path)


def grid(images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Images in one picture, a row a class; shorter rows end in white.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    labels : ndarray of int, shape (n,)

    Returns
    -------
    ndarray of uint8, shape (classes * h, most * w, 3)
    """
    classes, counts = np.unique(labels, return_counts=True)
    height, width = images.shape[1:3]
    sheet = np.full((len(classes), counts.max(), height, width, 3), 255, dtype=np.uint8)
    for place, c in enumerate(classes):
        sheet[place, : counts[place]] = images[labels == c]
    return sheet.transpose(0, 2, 1, 3, 4).reshape(len(classes) * height, counts.max() * width, 3)
