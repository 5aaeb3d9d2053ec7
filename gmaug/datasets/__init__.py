"""Image sets (section 4.1): the garden, any folder or array of images, the paper's data sets.

:func:`open_images` opens any of them.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

import numpy as np

from gmaug.datasets.base import ArrayImages, ImageSet, as_images, printable
from gmaug.hierarchy import Hierarchy

__all__ = ["open_images"]

DATA_VARIABLE = "GMAUG_DATA"


def open_images(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    classes: Sequence[str] | None = None,
    hierarchy: Hierarchy | Mapping[str, Sequence[str]] | str | os.PathLike[str] | None = None,
    name: str | None = None,
    root: str | os.PathLike[str] | None = None,
) -> ImageSet:
    """Open images, whatever holds them.

    Parameters
    ----------
    source : path, str, ndarray, tuple, ImageSet, torchvision DatasetFolder or Hugging Face Dataset
        A folder, ``DIR/class/*`` or ``DIR/super/sub/*``. Or the name of a real data set
        (``"flowers"``, ``"scene"``, ``"utkface"``, ``"inat2019-birds"``, ``"ham10000"``, ...) or of a
        garden (``"middle"``, ``"alike-faint"``, ...): its training part, seed 0. A folder goes before
        a name. Or images, uint8 (n, h, w[, 3]), with `labels`, or both as a tuple. Or what
        ``torchvision.datasets.ImageFolder`` or ``datasets.load_dataset(..., split=...)`` give; their
        files are decoded here, and their transforms are not applied.
    labels : sequence of int or str, shape (n,), optional
        Of an array: numbers from 0 to C - 1, or names.
    classes : sequence of str, optional
        Names of an array's classes; by default those among `labels`, sorted, or ``"0"``, ``"1"``, ...
    hierarchy : Hierarchy, mapping of super-class to sub-classes, or path of a CSV, optional
        Super-classes; the source's own by default, or each class one of its own.
    name : str, optional
        Name to print.
    root : path, optional
        Where the real data sets lie; the variable ``GMAUG_DATA`` by default, else ``data``.

    Raises
    ------
    FileNotFoundError
        If there is no such folder and no such name, or the named set is not on this machine; the
        message says how to obtain it.
    TypeError
        If the source is of another kind.
    ValueError
        If it is unfit: no image, labels out of range, a hierarchy that lacks a class.
    """
    if isinstance(source, tuple) and len(source) == 2 and labels is None:
        source, labels = source
    arrays = isinstance(source, (np.ndarray, list))
    if not arrays and (labels is not None or classes is not None):
        raise TypeError(f"labels= and classes= go with an array; a {type(source).__name__} has its own")
    images = _array(source, labels, classes) if arrays else _opened(source, root)
    if hierarchy is not None:
        images = images.regrouped(Hierarchy.of(hierarchy))
    if name is not None:
        images = copy(images)
        images.name = name
    return images


def _array(pixels: Any, labels: Any, classes: Sequence[str] | None) -> ImageSet:
    if labels is None:
        raise ValueError("images without labels; give labels=, one an image")
    if np.ndim(pixels) == 3:  # grey
        pixels = np.stack([pixels] * 3, axis=-1)
    pixels, labels = as_images(pixels), np.asarray(labels)
    if labels.dtype.kind in "UO":
        classes = sorted({str(one) for one in labels.tolist()}) if classes is None else list(classes)
        place = {one: k for k, one in enumerate(classes)}
        unknown = sorted({str(one) for one in labels.tolist()} - set(place))
        if unknown:
            raise ValueError(f"labels hold {unknown[0]!r}, which is not among classes=; name it there")
        labels = np.array([place[str(one)] for one in labels.tolist()], dtype=np.int64)
    return ArrayImages(pixels, labels, classes=classes)


def _opened(source: Any, root: str | os.PathLike[str] | None) -> ImageSet:
    from gmaug.datasets.folder import Folder, HuggingFace, open_folder

    if isinstance(source, ImageSet):
        return source
    if hasattr(source, "samples") and hasattr(source, "classes"):  # torchvision's DatasetFolder
        paths, numbers = zip(*source.samples, strict=True) if source.samples else ((), ())
        shown = [printable(one) for one in source.classes]
        name = printable(Path(getattr(source, "root", "images")).name)
        return Folder(name, shown, numbers, Hierarchy.flat(shown), paths=paths)
    if type(source).__module__.split(".")[0] == "datasets":
        if isinstance(source, Mapping):
            raise ValueError(
                f"a DatasetDict holds splits ({', '.join(map(printable, source))}); give one of them"
            )
        return HuggingFace(source, name=printable(getattr(source.info, "dataset_name", None) or "dataset"))
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise TypeError(
            f"cannot open a {type(source).__name__}; give a folder, an array with labels, or a set"
        )
    if Path(os.fsdecode(source)).exists():
        return open_folder(source)
    return _by_name(os.fsdecode(source), root)


def _by_name(name: str, root: str | os.PathLike[str] | None) -> ImageSet:
    from gmaug.datasets.garden import FIRST_GARDENS, GARDENS, plant
    from gmaug.datasets.real import OTHERS, REAL, open_real

    if name in REAL or name in OTHERS:
        return open_real(name, root=os.environ.get(DATA_VARIABLE, "data") if root is None else root)
    gardens = GARDENS | FIRST_GARDENS
    if name in gardens:
        return plant(gardens[name], seed=0).train
    raise FileNotFoundError(
        f"{printable(name)}: no such folder, and no data set of that name; "
        f"there are {', '.join([*REAL, *OTHERS, *gardens])}"
    )
