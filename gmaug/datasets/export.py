"""An image set written to files, the way :mod:`gmaug.datasets.folder` reads them."""

from __future__ import annotations

import os
from pathlib import Path

from gmaug.datasets.base import ImageSet, square


def export(images: ImageSet, folder: str | os.PathLike[str], *, size: int, every: int = 1) -> Path:
    """Write images as ``folder/super/sub/NNNNN.png``.

    Parameters
    ----------
    images : ImageSet
    folder : path
        Is made if need be; files of the same names are replaced.
    size : int
        Side in pixels.
    every : int
        Write every so many images.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    ValueError
        If a class's name cannot be a folder's.
    """
    folder = Path(folder)
    for index in range(0, len(images), every):
        name = images.classes[images.labels[index]]
        parts = (images.hierarchy.super_of(name), name)
        if any(part in ("", ".", "..") or "/" in part or "\\" in part for part in parts):
            raise ValueError(f"class {name!r} cannot be the name of a folder; rename it")
        path = folder.joinpath(*parts, f"{index:05d}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        square(images.image(index, size=size), size).save(path)
    return folder
