"""What every image set offers, wherever its images come from."""

from __future__ import annotations

import os
import unicodedata
import warnings
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, nullcontext
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from PIL import Image

from gmaug.hierarchy import Hierarchy

# Endings of files that are taken for images; what the file really is, its first bytes say.
SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".bmp", ".dib", ".gif", ".tif", ".tiff",
    ".webp", ".ppm", ".pgm", ".pbm", ".pnm",
})  # fmt: skip
_ESCAPED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format, undecodable bytes, line ends
_JOINERS = "\u200c\u200d"  # of the Cf, those that words and emoji are spelt with


def printable(path: str | bytes | os.PathLike[str]) -> str:
    """A path or name as one line of text, whatever bytes it holds.

    Control and bidirectional characters and bytes that are no UTF-8 are escaped (``\\x1b``,
    ``\\u202e``): a file's name can neither move the cursor nor pass for another.
    """
    shown = []
    for character in os.fsdecode(path):
        code = ord(character)
        if character in _JOINERS or unicodedata.category(character) not in _ESCAPED:
            shown.append(character)
        elif 0xDC80 <= code <= 0xDCFF:  # a byte that is no UTF-8, as os.fsdecode carries it
            shown.append(f"\\x{code - 0xDC00:02x}")
        else:
            shown.append(character.encode("unicode_escape").decode("ascii"))
    return "".join(shown)


def counted(number: int, what: str) -> str:
    """``1 class``, ``3 classes``."""
    return f"{number} {what}" if number == 1 else f"{number} {what}es"


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was left out, and why."""

    path: str
    reason: str

    @property
    def harmless(self) -> bool:
        """Whether it lies beside the classes and is no image: a README, a licence, a table."""
        beside = self.reason.startswith("beside the ")
        return beside and Path(self.path).suffix.lower() not in SUFFIXES


class UnreadableImage(ValueError):
    """An image file that cannot be used; ``skipped`` holds its path and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.skipped = Skipped(printable(path), printable(reason))
        super().__init__(f"{self.skipped.path}: {self.skipped.reason}; remove the file or mend it")


@contextmanager
def quiet_bombs() -> Iterator[None]:
    """No warning on large images, which are refused by themselves; to enter once, around all threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


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
    skipped : tuple of Skipped
        What was left out, and why.
    """

    skipped: tuple[Skipped, ...] = ()
    stored: ClassVar[str]  # the attribute that holds what each image is made of, by image

    def __init__(
        self, name: str, classes: Sequence[str], labels: Iterable[int], hierarchy: Hierarchy
    ) -> None:
        self.name, self.hierarchy = name, hierarchy
        self.classes = tuple(map(str, classes))
        self.labels = class_numbers(labels, len(self.classes), name=name)
        if len(set(self.classes)) < len(self.classes):
            twice = Counter(self.classes).most_common(1)[0][0]
            raise ValueError(f"{name}: classes name {twice!r} twice; give each class a name of its own")
        hierarchy.check(self.classes)

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        supers = counted(len(self.hierarchy.super_classes), "super-class")
        return f"<{self.name}: {len(self)} images, {counted(len(self.classes), 'class')} in {supers}>"

    @abstractmethod
    def opened(self, index: int, *, size: int) -> AbstractContextManager[Image.Image]:
        """One image, as stored, or drawn at `size` pixels a side; UnreadableImage says why there is none.

        Sets that decode files bound how many pixels are held at once, until each block ends.
        """

    def subset(self, indices: Sequence[int]) -> Self:
        """The same set with the images at `indices` alone, in that order."""
        other, rows = copy(self), np.asarray(indices, dtype=np.int64)
        for name in ("labels", self.stored):
            held = getattr(self, name)
            setattr(other, name, held[rows] if isinstance(held, np.ndarray) else [held[k] for k in rows])
        return other

    @property
    def class_counts(self) -> dict[str, int]:
        """Images of each class, every class listed."""
        counts = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, counts.tolist(), strict=True))

    def image(self, index: int, *, size: int) -> Image.Image:
        """One image, as :meth:`opened` gives it."""
        with self.opened(index, size=size) as image:
            return image

    def arrays(self, indices: Sequence[int] | None = None, *, size: int) -> np.ndarray:
        """The images that :meth:`read` gives; the first that cannot be used raises UnreadableImage."""
        return self.read(indices, size=size, strict=True)[0]

    def read(
        self, indices: Sequence[int] | None = None, *, size: int, strict: bool = False
    ) -> tuple[np.ndarray, np.ndarray, tuple[Skipped, ...]]:
        """Images as one array: short side resized to `size` (antialiased bilinear), centre crop, RGB.

        Parameters
        ----------
        indices : sequence of int, optional
            Of the images; all by default.

        Returns
        -------
        images : ndarray of uint8, shape (n, size, size, 3), range 0-255
        kept : ndarray of int64, shape (n,)
            Which images these are; ``labels[kept]`` are their labels.
        skipped : tuple of Skipped
            Those that cannot be used, and why; the first raises :class:`UnreadableImage` if `strict`.
        """
        if not isinstance(size, (int, np.integer)) or size < 1:
            raise ValueError(f"size={size!r}; give a whole number of pixels from 1")
        indices = np.arange(len(self)) if indices is None else np.asarray(indices, dtype=np.int64)
        out = np.empty((len(indices), size, size, 3), dtype=np.uint8)

        def one(row: int) -> UnreadableImage | None:
            try:
                with self.opened(int(indices[row]), size=size) as image:
                    out[row] = np.asarray(square(image.convert("RGB"), size))
            except UnreadableImage as error:
                return error

        good, skipped = [], []
        with quiet_bombs(), ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
            for row, error in enumerate(pool.map(one, range(len(indices)))):
                if error is None:
                    good.append(row)
                elif strict:
                    raise error
                else:
                    skipped.append(error.skipped)
        return (out[good] if skipped else out), indices[good], tuple(skipped)


def class_numbers(labels: Iterable[int], classes: int = 2**20, *, name: str = "labels") -> np.ndarray:
    """Labels as int64 (n,), or ValueError if one is no class's number, 0 to `classes` - 1."""
    found = np.asarray(labels if isinstance(labels, np.ndarray) else list(labels))
    if found.size == 0:
        return np.empty(0, np.int64)
    with np.errstate(invalid="ignore"):  # of NaN, which is refused below
        numbers = found.astype(np.int64) if found.dtype.kind in "iuf" and found.ndim == 1 else None
    if numbers is None or (numbers != found).any():
        shape = f", shape {found.shape}" if found.ndim != 1 else ""
        raise ValueError(f"{name}: labels are {found.dtype}{shape}; give one whole number an image")
    wrong = numbers[(numbers < 0) | (numbers >= classes)]
    if len(wrong):
        raise ValueError(f"{name}: a label is {wrong[0]}; with {classes} classes give 0 to {classes - 1}")
    return numbers


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
    """Images, whole numbers from 0 to 255, as one contiguous uint8 array of shape (n, h, w, 3).

    What does not fit is a ValueError that says what to give instead; `name` is what it calls them.
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
        numbers = images.size and images.dtype.kind in "iuf"
        span = f", {images.min():.4g} to {images.max():.4g}" if numbers else ""
        raise ValueError(
            f"{name}: {images.dtype}{span}; give uint8, 0 to 255: for a range of 0 to 1, "
            f"(255 * {name}).round().astype('uint8')"
        )
    return np.ascontiguousarray(images)


def labelled(
    X: Any, y: Any = None, *, size: int | None = None, name: str = "X"
) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, h, w, 3), and the label of each, of arrays, lists or an image set.

    A set is read at `size` pixels a side, with its own labels by default; images that cannot be read are left
    out with a warning. `name` is what messages call `X`.
    """
    opened = isinstance(X, ImageSet)
    y = X.labels if y is None and opened else y
    if y is None:
        raise ValueError(f"{name} is an array without labels; give y, or an ImageSet")
    X, y = X if opened else as_images(X, name=name), np.asarray(y)
    if y.shape != (len(X),):
        raise ValueError(f"{name} has {len(X)} images but labels of shape {y.shape}; give one each")
    if opened:
        if size is None:
            raise ValueError(f"{name} is an image set; give size=, its side in pixels")
        X, kept, skipped = X.read(size=size)
        y = y[kept]
        if skipped:
            more = f" and {len(skipped) - 1} more" if skipped[1:] else ""
            warnings.warn(f"{name}: left out {skipped[0].path} ({skipped[0].reason}){more}", stacklevel=2)
    if not len(X):
        raise ValueError(f"{name} holds no image; give at least one")
    return X, y


class ArrayImages(ImageSet):
    """Images held in memory, uint8 (n, h, w[, 3]); parameters as in :func:`gmaug.datasets.open_images`."""

    stored = "images"

    def __init__(
        self,
        images: np.ndarray,
        labels: Iterable[int | str],
        *,
        classes: Sequence[str] | None = None,
        hierarchy: Hierarchy | None = None,
        name: str = "array",
    ) -> None:
        images = np.stack([images] * 3, axis=-1) if np.ndim(images) == 3 else images  # grey
        self.images = as_images(images)
        labels = np.asarray(labels if isinstance(labels, np.ndarray) else list(labels))
        if len(labels) != len(self.images):
            raise ValueError(f"{len(self.images)} images but {len(labels)} labels; give one label an image")
        if labels.dtype.kind in "UO":
            names = list(map(str, labels.tolist()))
            classes = sorted(set(names)) if classes is None else list(classes)
            if unknown := sorted(set(names) - set(classes)):
                raise ValueError(f"labels hold {unknown[0]!r}, which is not among classes=; name it there")
            place = {one: k for k, one in enumerate(classes)}
            labels = np.array([place[one] for one in names], dtype=np.int64)
        elif classes is None:
            numbers = class_numbers(labels, name=name)
            classes = [str(k) for k in range(numbers.max() + 1 if len(numbers) else 0)]
        super().__init__(name, classes, labels, Hierarchy.flat(classes) if hierarchy is None else hierarchy)

    def opened(self, index: int, *, size: int) -> AbstractContextManager[Image.Image]:
        return nullcontext(Image.fromarray(self.images[index]))


@dataclass(frozen=True)
class Splits:
    """Three disjoint image sets with the same classes: imbalanced `train`, balanced others.

    Epochs and thresholds are chosen on `validation`; what is reported is measured on `test`.
    """

    train: ImageSet
    validation: ImageSet
    test: ImageSet
