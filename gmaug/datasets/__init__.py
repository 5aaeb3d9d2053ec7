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

from gmaug.datasets.base import ArrayImages, ImageSet, printable
from gmaug.hierarchy import Hierarchy


def open_images(
    source: Any,
    labels: Sequence[Any] | None = None,
    *,
    classes: Sequence[str] | None = None,
    hierarchy: Hierarchy | Mapping[str, Sequence[str]] | str | os.PathLike[str] | None = None,
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
    if not isinstance(source, (np.ndarray, list)):
        if labels is not None or classes is not None:
            raise TypeError(f"labels= and classes= go with an array; a {type(source).__name__} has its own")
        images = _opened(source, root)
    elif labels is None:
        raise ValueError("images without labels; give labels=, one an image")
    else:
        images = ArrayImages(source, labels, classes=classes)
    if hierarchy is not None:
        images = copy(images)
        images.hierarchy = Hierarchy.of(hierarchy)
        images.hierarchy.check(images.classes)
    return images


def _opened(source: Any, root: str | os.PathLike[str] | None) -> ImageSet:
    from gmaug.datasets.folder import Folder, HuggingFace, open_folder
    from gmaug.datasets.garden import ALL_GARDENS, plant
    from gmaug.datasets.real import SETS, open_real

    if isinstance(source, ImageSet):
        return source
    if hasattr(source, "samples") and hasattr(source, "classes"):  # torchvision's DatasetFolder
        paths, numbers = zip(*source.samples, strict=True) if source.samples else ((), ())
        shown = [printable(one) for one in source.classes]
        name = printable(Path(getattr(source, "root", "images")).name)
        return Folder(name, shown, numbers, Hierarchy.flat(shown), paths=paths)
    if type(source).__module__.split(".")[0] == "datasets":
        if isinstance(source, Mapping):
            splits = ", ".join(map(printable, source))
            raise ValueError(f"a DatasetDict holds splits ({splits}); give one of them")
        return HuggingFace(source, name=printable(getattr(source.info, "dataset_name", None) or "dataset"))
    if not isinstance(source, (str, bytes, os.PathLike)):
        kind = type(source).__name__
        raise TypeError(f"cannot open a {kind}; give a folder, an array with labels, or a set")
    name = os.fsdecode(source)
    if Path(name).exists():
        return open_folder(source)
    if name in SETS:
        return open_real(name, root=os.environ.get("GMAUG_DATA", "data") if root is None else root)
    if name in ALL_GARDENS:
        return plant(ALL_GARDENS[name], seed=0).train
    known = ", ".join([*SETS, *ALL_GARDENS])
    raise FileNotFoundError(
        f"{printable(name)}: no such folder, and no data set of that name; there are {known}"
    )
