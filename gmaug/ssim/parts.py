"""The two steps of SSIM: :func:`describe` computes what belongs to an image, :func:`cross` what to a pair."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from gmaug.ssim.conventions import Convention

CHUNK_PIXELS = 2**20  # of the images or pairs that a thread takes at a time: about a millisecond of work


# From so many pairs for each image on it pays to keep an image's window sums: measured to break even
# between 4 (128 px) and 16 (32 px) of them.
PAIRS_TO_KEEP = 8


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Described:
    """Images with what belongs to each alone.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n, planes, h, w)
    first : ndarray, per image and plane, or None
        Window sums (uint16) or means (int32, in steps of 2^-23); sums over the plane (int64) for "global".
    second : ndarray, per image and plane, or None
        N * sum(xx) - sum(x)^2 (int32), variances (float32), or sum(xx) over the plane (int64).

    Both are None where they are to be computed with each pair.
    """

    pixels: np.ndarray
    first: np.ndarray | None = None
    second: np.ndarray | None = None


@dataclass
class Room:
    """Arrays for a block of images, used again for the next block.

    Memory that is new to a process is mapped page by page as it is first written, which can take
    longer than what is computed into it.

    Attributes
    ----------
    capacity : int
        Images that a block can have.
    """

    capacity: int
    _arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def array(self, name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
        """The array of this name, its length cut to ``shape[0]``; what it held is overwritten."""
        if name not in self._arrays:
            self._arrays[name] = np.empty((self.capacity, *shape[1:]), dtype)
        return self._arrays[name][: shape[0]]


def planes(images: np.ndarray, convention: Convention) -> np.ndarray:
    """Images as (n, planes, h, w), contiguous; a view where they are grey."""
    images = np.asarray(images)
    if images.dtype != np.uint8:
        raise ValueError(
            f"images are {images.dtype}; this engine takes uint8, 0-255. Convert them, or score pairs "
            "one by one with ssim(), which takes any type with data_range"
        )
    if images.ndim not in (3, 4):
        raise ValueError(f"images have shape {images.shape}; give (n, h, w) or (n, h, w, channels)")
    if min(images.shape[1:3]) < convention.side:
        size = images.shape[1:3]
        raise ValueError(f"images of {size} are smaller than the window, {convention.side}; lower win_size")
    if images.ndim == 3:
        return np.ascontiguousarray(images[:, None])
    return np.ascontiguousarray(images.transpose(0, 3, 1, 2))


def _exact(convention: Convention) -> bool:
    """Whether whole-number sums serve."""
    from gmaug.ssim.kernel import LARGEST_EXACT_WINDOW

    return convention.window == "uniform" and convention.win_size <= LARGEST_EXACT_WINDOW


def keeps(convention: Convention, *, pairs: int, images: int, device: str) -> bool:
    """Whether to compute what belongs to an image once, or with each of its pairs.

    A weighted window's sums are too dear to do twice; on a GPU there is the one way.
    """
    return device != "cpu" or not _exact(convention) or pairs >= PAIRS_TO_KEEP * images


def bytes_per_image(convention: Convention, shape: tuple[int, ...], *, keep: bool) -> int:
    """Bytes of pixels, and of statistics if they are kept, of an image of shape (planes, h, w)."""
    pixels = int(np.prod(shape))
    if convention.window == "global" or not keep:
        return pixels
    return pixels * (1 + (6 if _exact(convention) else 8))


def describe(
    pixels: np.ndarray,
    convention: Convention,
    *,
    threads: int | None = None,
    device: str = "cpu",
    keep: bool = True,
    room: Room | None = None,
) -> Described:
    """Statistics of each image.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, planes, h, w)
    threads : int, optional
        All cores by default.
    device : str
        "cpu" for the compiled loops, else a torch device.
    keep : bool
        From :func:`keeps`; without, the images are only brought to the form that :func:`cross` takes.
    room : Room, optional
        Where the compiled loops put their results, which last until it is used again.
    """
    if convention.margin:
        around = (convention.margin, convention.margin)
        pixels = np.pad(pixels, ((0, 0), (0, 0), around, around), mode="reflect")
    if device != "cpu":
        from gmaug.ssim import on_torch as ssim_torch

        return ssim_torch.describe(pixels, convention, device)
    if not keep:
        return Described(pixels)
    from gmaug.ssim import kernel, weighted

    n, p, h, w = pixels.shape
    if convention.window == "global":
        first = pixels.reshape(n, p, -1).sum(axis=2, dtype=np.int64)
        own = np.empty((n, p), np.int64)
        index = np.arange(n, dtype=np.int64)
        kernel.global_pairs(pixels, pixels, np.stack([index, index], axis=1), own)
        return Described(pixels, first, own)
    room = Room(n) if room is None else room
    exact, side = _exact(convention), convention.win_size
    shape = (n, p, h - side + 1, w - side + 1)
    first = room.array("first", shape, np.uint16 if exact else np.int32)
    second = room.array("second", shape, np.int32 if exact else np.float32)
    weights = convention.weights()

    def work(s: slice) -> None:
        if exact:
            kernel.box_statistics(pixels[s], np.int32(side), first[s], second[s])
        else:
            weighted.weighted_statistics(pixels[s], weights, first[s], second[s])

    spread(work, n, threads, pixels=pixels[0].size)
    return Described(pixels, first, second)


def cross(
    a: Described, b: Described, pairs: np.ndarray, convention: Convention, *, threads: int | None = None
) -> np.ndarray:
    """SSIM of the images ``pairs[:, 0]`` of `a` with ``pairs[:, 1]`` of `b`.

    Returns
    -------
    ndarray of float64, shape (m,)
        The same whatever the number of threads.
    """
    if not isinstance(a.pixels, np.ndarray):
        from gmaug.ssim import on_torch as ssim_torch

        return ssim_torch.cross(a, b, pairs, convention)
    from gmaug.ssim import kernel, weighted

    out = np.empty(len(pairs))
    size = int(np.prod(a.pixels.shape[1:]))
    c1, c2 = convention.constants()
    sample = convention.covariance == "sample"
    if convention.window == "global":
        planes_ = a.pixels.shape[1]
        n = a.pixels.shape[2] * a.pixels.shape[3]
        products = np.empty((len(pairs), planes_), np.int64)
        spread(
            lambda s: kernel.global_pairs(a.pixels, b.pixels, pairs[s], products[s]),
            len(pairs), threads, pixels=size,
        )  # fmt: skip
        i, j = pairs[:, 0], pairs[:, 1]
        divisor = n * (n - 1.0) if sample else float(n) * n
        # n * sum(xy) reaches 2^49 at 224 px: whole numbers up to 2^63 keep it exact.
        vxy = (n * products - a.first[i] * b.first[j]) / divisor
        v = (n * a.second - a.first**2)[i] / divisor + (n * b.second - b.first**2)[j] / divisor
        ux, uy = a.first[i] / n, b.first[j] / n
        return (((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (v + c2))).mean(axis=1)
    n = convention.win_size**2
    arrays = (a.pixels, a.first, a.second, b.pixels, b.first, b.second)
    if _exact(convention):
        side = np.int32(convention.win_size)
        k1, k2 = np.float32(c1 * n * n), np.float32(c2 * n * (n - 1 if sample else n))

        def work(s: slice) -> None:
            if a.first is None:
                kernel.direct_pairs(a.pixels, b.pixels, pairs[s], side, k1, k2, out[s])
            else:
                kernel.box_pairs(*arrays, pairs[s], side, k1, k2, out[s])
    else:
        weights, bessel = convention.weights(), n / (n - 1) if sample else 1.0

        def work(s: slice) -> None:
            weighted.weighted_pairs(*arrays, pairs[s], weights, bessel, c1, c2, out[s])

    spread(work, len(pairs), threads, pixels=size)
    return out


def spread(work: Callable[[slice], None], n: int, threads: int | None, *, pixels: int) -> None:
    """Run `work` on slices of range(n), on threads: the compiled loops release Python's lock.

    `pixels` of each of the n say how long the slices are; results do not depend on it.
    """
    threads = cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads={threads}; use 1 or more, or None for all cores")
    step = max(1, CHUNK_PIXELS // pixels)
    slices = [slice(k, min(k + step, n)) for k in range(0, n, step)]
    if threads == 1 or len(slices) < 2:
        for part in slices:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(slices))) as pool:
        for _ in pool.map(work, slices):
            pass
