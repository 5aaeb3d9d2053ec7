"""Images brought to a convention's size, decoded once, in bounded memory."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
from tqdm import tqdm

from gmaug.datasets.base import ImageSet, Skipped, UnreadableImage, quiet_bombs
from gmaug.progress import bar
from gmaug.ssim.conventions import Convention
from gmaug.ssim.parts import cores

CHUNK = 256  # images decoded between two visits of the main thread
STORE_BYTES = 512 * 2**20  # prepared pixels kept in memory; more than that goes to a scratch file


def prepared(
    images: ImageSet,
    indices: Iterable[int],
    convention: Convention,
    *,
    jobs: int | None = None,
    strict: bool = False,
    progress: bool = True,
) -> Iterator[tuple[int, np.ndarray | Skipped]]:
    """Decode images in parallel, in the order asked for, each brought to the convention's size.

    Yields
    ------
    index : int
    planes : ndarray of uint8, shape (planes, h, w), or Skipped
        The image, or why it is left out.

    Raises
    ------
    UnreadableImage
        With `strict`, at the first image that cannot be used.
    """
    indices = [int(i) for i in indices]
    jobs = cores() if jobs is None else jobs
    if jobs < 1:
        raise ValueError(f"jobs={jobs}; use 1 or more, or None for all cores")
    with (
        quiet_bombs(),
        ThreadPoolExecutor(jobs) as pool,
        _bar(images.name, len(indices)) if progress else nullcontext() as shown,
    ):
        for start in range(0, len(indices), CHUNK):
            part = indices[start : start + CHUNK]
            results = pool.map(lambda i: _one(images, i, convention), part)
            for index, result in zip(part, results, strict=True):
                if isinstance(result, UnreadableImage):
                    if strict:
                        raise result
                    result = result.skipped
                yield index, result
            if shown is not None:
                shown.update(len(part))


def _bar(name: str, total: int) -> tqdm:
    return bar(desc=f"decoding {name}", total=total, unit="image")


def _one(images: ImageSet, index: int, convention: Convention) -> np.ndarray | UnreadableImage:
    side = convention.side
    try:
        with images.opened(index, size=convention.size or side) as image:
            if min(image.size) < side:
                width, height = image.size
                reason = f"{width}x{height} pixels, smaller than the {side}x{side} window"
                raise UnreadableImage(_name(images, index), reason)
            pixels = convention.prepare(image)
    except UnreadableImage as error:
        return error
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def _name(images: ImageSet, index: int) -> str:
    paths = getattr(images, "paths", None)
    return str(paths[index]) if paths else f"{images.name}[{index}]"


class PixelStore:
    """Prepared images by number, in memory while they are few, in a scratch file when they are many.

    Parameters
    ----------
    capacity : int
        Most images there will be.
    memory : int
        Bytes to hold before a scratch file is used; it lies in the system's temporary folder
        (``TMPDIR``) and goes when the store is closed.
    """

    def __init__(self, capacity: int, *, memory: int = STORE_BYTES) -> None:
        self.capacity, self.memory = capacity, memory
        self.count = 0
        self.shape: tuple[int, ...] = ()
        self._array: np.ndarray | None = None
        self._file = None

    def add(self, planes: np.ndarray, *, name: str = "image") -> None:
        """Append one image; all have one shape."""
        if self.count == 0:
            self.shape = planes.shape
            if self.capacity * planes.nbytes <= self.memory:
                self._array = np.empty((self.capacity, *planes.shape), np.uint8)
            else:
                self._file = tempfile.TemporaryFile(prefix="gmaug-pixels-")  # noqa: SIM115
        if planes.shape != self.shape:
            raise ValueError(
                f"{name}: {planes.shape[1:]} pixels where others have {self.shape[1:]}; "
                "use a convention with a size"
            )
        if self._array is not None:
            self._array[self.count] = planes
        else:
            try:
                self._file.write(planes.tobytes())
            except OSError as error:
                raise OSError(
                    f"no room for prepared pixels in the temporary folder ({error.strerror}); set TMPDIR "
                    "to another, or use pairs='balanced', which keeps none"
                ) from None
        self.count += 1

    @property
    def source(self) -> np.ndarray | Callable[[np.ndarray, np.ndarray], None]:
        """What :func:`gmaug.ssim.engine.score_pairs` takes: the images, or how to read them."""
        return self._read if self._array is None else self._array

    def _read(self, indices: np.ndarray, out: np.ndarray) -> None:
        step = out[0].nbytes
        for row, index in enumerate(indices):
            self._file.seek(int(index) * step)
            self._file.readinto(memoryview(out[row]).cast("B"))

    def __enter__(self) -> PixelStore:
        return self

    def __exit__(self, *_: object) -> None:
        self._array = None
        if self._file is not None:
            self._file.close()
