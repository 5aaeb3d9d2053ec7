"""What every image set offers, wherever its images come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from gmaug.hierarchy import Hierarchy


class ImageSet(ABC):
    """Labelled images, decoded or drawn one at a time.

    Attributes
    ----------
    name : str
        Name to print.
    classes : tuple of str
        Sub-class names; `labels` index into it.
    labels : ndarray of int64, shape (n,)
        Class of each image.
    hierarchy : Hierarchy
        The super-classes of `classes`.
    """

    def __init__(
        self, name: str, classes: Sequence[str], labels: Iterable[int], hierarchy: Hierarchy
    ) -> None:
        self.name = name
        self.classes = tuple(classes)
        self.labels = np.asarray(list(labels), dtype=np.int64)
        self.hierarchy = hierarchy

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        supers = len(self.hierarchy.super_classes)
        return f"<{self.name}: {len(self)} images, {len(self.classes)} classes in {supers} super-classes>"

    @abstractmethod
    def image(self, index: int, *, size: int) -> Image.Image:
        """One image, as stored, or drawn at `size` pixels a side where it can be drawn at any size.

        Parameters
        ----------
        index : int
            Which image, 0 to ``len(self) - 1``.
        size : int
            The side, in pixels, that the caller is going to resize to; only images that are
            drawn use it.
        """

    @abstractmethod
    def subset(self, indices: Sequence[int]) -> ImageSet:
        """The same set with the images at `indices` alone, in that order."""

    @property
    def class_counts(self) -> dict[str, int]:
        """Images of each class, every class listed."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, counts, strict=True)}

    def arrays(self, indices: Sequence[int] | None = None, *, size: int) -> np.ndarray:
        """Images as one array: short side resized to `size` (antialiased bilinear), centre crop, RGB.

        Parameters
        ----------
        indices : sequence of int, optional
            Which images; all by default.
        size : int
            Side in pixels.

        Returns
        -------
        ndarray of uint8, shape (n, size, size, 3), range 0-255
        """
        indices = range(len(self)) if indices is None else indices
        out = np.empty((len(indices), size, size, 3), dtype=np.uint8)
        for row, index in enumerate(indices):
            out[row] = np.asarray(square(self.image(int(index), size=size).convert("RGB"), size))
        return out


def square(image: Image.Image, size: int) -> Image.Image:
    """Resize the short side to `size` pixels (antialiased bilinear) and crop the centre square."""
    if image.size == (size, size):
        return image
    scale = size / min(image.size)
    width, height = (max(size, round(side * scale)) for side in image.size)
    image = image.resize((width, height), Image.Resampling.BILINEAR)
    left, top = (width - size) // 2, (height - size) // 2
    return image.crop((left, top, left + size, top + size))


def as_images(images: Any, *, name: str = "images") -> np.ndarray:
    """Images as one contiguous uint8 array.

    Parameters
    ----------
    images : array or list of arrays, shape (n, h, w, 3), whole numbers from 0 to 255
    name : str
        What the message calls them.

    Returns
    -------
    ndarray of uint8, shape (n, h, w, 3)

    Raises
    ------
    ValueError
        If shape, type or range do not fit; the message says what to give instead.
    """
    try:
        images = np.asarray(images)
    except ValueError:  # a list of arrays that do not stack
        raise ValueError(f"{name}: images of different sizes; resize them to one") from None
    if images.ndim != 4 or images.shape[3] != 3:
        found = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"{name}: {found}; give uint8 (n, height, width, 3)")
    if images.dtype.kind in "iu" and images.size and images.min() >= 0 and images.max() <= 255:
        images = images.astype(np.uint8, copy=False)  # lists of numbers come as int64
    if images.dtype != np.uint8:
        span = (
            f", {images.min():.4g} to {images.max():.4g}"
            if images.size and images.dtype.kind in "iuf"
            else ""
        )
        raise ValueError(
            f"{name}: {images.dtype}{span}; give uint8, 0 to 255: for a range of 0 to 1, "
            f"(255 * {name}).round().astype('uint8')"
        )
    return np.ascontiguousarray(images)


def labelled(
    X: Any, y: Any = None, *, size: int | None = None, name: str = "X"
) -> tuple[np.ndarray, np.ndarray]:
    """Images and the label of each, of arrays, lists or an image set.

    Parameters
    ----------
    X : array, list of arrays, or ImageSet
    y : array, shape (n,), optional
        An ImageSet's own labels by default.
    size : int, optional
        Side, in pixels, at which an ImageSet is read.
    name : str
        What the message calls `X`.

    Returns
    -------
    (ndarray of uint8, shape (n, h, w, 3), ndarray, shape (n,))

    Raises
    ------
    ValueError
        If shapes, types or ranges do not fit, or there is no image.
    """
    if isinstance(X, ImageSet):
        if size is None:
            raise ValueError(f"{name} is an image set; give size=, its side in pixels")
        y = X.labels if y is None else y
        X = X.arrays(size=size)
    if y is None:
        raise ValueError(f"{name} is an array without labels; give y, or an ImageSet")
    X, y = as_images(X, name=name), np.asarray(y)
    if not len(X):
        raise ValueError(f"{name} holds no image; give at least one")
    if y.shape != (len(X),):
        raise ValueError(f"{name} has {len(X)} images but labels of shape {y.shape}; give one each")
    return X, y


class ArrayImages(ImageSet):
    """Images held in memory.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width, 3) or (n, height, width)
    labels : sequence of int, shape (n,)
    classes : sequence of str, optional
        Names; ``"0"``, ``"1"``, ... by default.
    hierarchy : Hierarchy, optional
        One super-class per class by default.

    Raises
    ------
    ValueError
        If the array is not uint8, has another shape, or differs from `labels` in length.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: Iterable[int],
        *,
        classes: Sequence[str] | None = None,
        hierarchy: Hierarchy | None = None,
        name: str = "array",
    ) -> None:
        images = np.asarray(images)
        if images.dtype != np.uint8:
            raise ValueError(f"images are {images.dtype}; give uint8 with values 0-255")
        if images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[3] != 3):
            raise ValueError(f"images have shape {images.shape}; give (n, height, width[, 3])")
        labels = np.asarray(list(labels), dtype=np.int64)
        if len(labels) != len(images):
            raise ValueError(f"{len(images)} images but {len(labels)} labels; give one label an image")
        if classes is None:
            classes = [str(k) for k in range(int(labels.max()) + 1 if len(labels) else 0)]
        super().__init__(name, classes, labels, hierarchy or Hierarchy.flat(classes))
        self.images = images

    def image(self, index: int, *, size: int) -> Image.Image:
        return Image.fromarray(self.images[index])

    def subset(self, indices: Sequence[int]) -> ArrayImages:
        indices = np.asarray(indices, dtype=np.int64)
        return ArrayImages(
            self.images[indices],
            self.labels[indices],
            classes=self.classes,
            hierarchy=self.hierarchy,
            name=self.name,
        )


@dataclass(frozen=True)
class Splits:
    """Three disjoint image sets with the same classes: imbalanced `train`, balanced others.

    Epochs and thresholds are chosen on `validation`; what is reported is measured on `test`.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
