"""SSIM of many pairs: statistics once per image, the cross term per pair, in blocks, on all cores.

Three steps, each of which can be used alone: :func:`describe` computes what belongs to an image,
:func:`cross` what belongs to a pair, and :func:`score_pairs` walks a list of pairs block by block
so that the statistics of two blocks of images, and no more, are in memory.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from gmaug.ssim_conventions import Convention, convention_named

BLOCK_BYTES = 192 * 2**20  # statistics of one block of images; two are held at a time
CHUNK = 64  # pairs or images a thread takes at a time: some milliseconds of work


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True)
class Described:
    """Images with what belongs to each alone.

    Attributes
    ----------
    pixels : ndarray of uint8, shape (n, planes, h, w)
    first : ndarray, per image and plane
        Window sums (uint16) or means (float64); the sum over the plane (int64) for "global".
    second : ndarray, per image and plane
        N * sum(xx) - sum(x)^2 (int32), variances (float32), or sum(xx) over the plane (int64).
    """

    pixels: np.ndarray
    first: np.ndarray
    second: np.ndarray


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
    from gmaug.ssim_kernel import LARGEST_EXACT_WINDOW

    return convention.window == "uniform" and convention.win_size <= LARGEST_EXACT_WINDOW


def bytes_per_image(convention: Convention, shape: tuple[int, ...]) -> int:
    """Bytes of pixels and statistics of an image of shape (h, w[, channels])."""
    pixels = int(np.prod(shape))
    if convention.window == "global":
        return pixels
    return pixels * (1 + (6 if _exact(convention) else 12))


def describe(pixels: np.ndarray, convention: Convention, *, threads: int | None = None) -> Described:
    """Statistics of each image.

    Parameters
    ----------
    pixels : ndarray of uint8, shape (n, planes, h, w)
    """
    from gmaug import ssim_kernel as kernel

    if convention.margin:
        around = (convention.margin, convention.margin)
        pixels = np.pad(pixels, ((0, 0), (0, 0), around, around), mode="reflect")
    n, p, h, w = pixels.shape
    if convention.window == "global":
        wide = pixels.reshape(n, p, -1)
        first = wide.sum(axis=2, dtype=np.int64)
        own = np.empty((n, p), np.int64)
        index = np.arange(n, dtype=np.int64)
        kernel.global_pairs(pixels, pixels, np.stack([index, index], axis=1), own)
        return Described(pixels, first, own)
    side = convention.win_size
    shape = (n, p, h - side + 1, w - side + 1)
    if _exact(convention):
        first, second = np.empty(shape, np.uint16), np.empty(shape, np.int32)

        def work(rows: slice) -> None:
            for i in range(rows.start, rows.stop):
                for k in range(p):
                    kernel.box_statistics(pixels[i, k], np.int32(side), first[i, k], second[i, k])
    else:
        first, second = np.empty(shape, np.float64), np.empty(shape, np.float32)
        weights = convention.weights()

        def work(rows: slice) -> None:
            for i in range(rows.start, rows.stop):
                for k in range(p):
                    kernel.weighted_statistics(pixels[i, k], weights, first[i, k], second[i, k])

    _spread(work, n, threads)
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
    from gmaug import ssim_kernel as kernel

    out = np.empty(len(pairs))
    c1, c2 = convention.constants()
    sample = convention.covariance == "sample"
    if convention.window == "global":
        planes_ = a.pixels.shape[1]
        n = a.pixels.shape[2] * a.pixels.shape[3]
        products = np.empty((len(pairs), planes_), np.int64)
        _spread(lambda s: kernel.global_pairs(a.pixels, b.pixels, pairs[s], products[s]), len(pairs), threads)
        i, j = pairs[:, 0], pairs[:, 1]
        divisor = n * (n - 1.0) if sample else float(n) * n
        # n * sum(xy) reaches 2^49 at 224 px: whole numbers up to 2^63 keep it exact.
        vxy = (n * products - a.first[i] * b.first[j]) / divisor
        v = (n * a.second - a.first**2)[i] / divisor + (n * b.second - b.first**2)[j] / divisor
        ux, uy = a.first[i] / n, b.first[j] / n
        return (((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (v + c2))).mean(axis=1)
    n = convention.win_size**2
    if _exact(convention):
        side = np.int32(convention.win_size)
        k1, k2 = np.float32(c1 * n * n), np.float32(c2 * n * (n - 1 if sample else n))

        def work(s: slice) -> None:
            kernel.box_pairs(
                a.pixels, a.first, a.second, b.pixels, b.first, b.second, pairs[s], side, k1, k2, out[s]
            )
    else:
        weights, bessel = convention.weights(), n / (n - 1) if sample else 1.0

        def work(s: slice) -> None:
            kernel.weighted_pairs(
                a.pixels,
                a.first,
                a.second,
                b.pixels,
                b.first,
                b.second,
                pairs[s],
                weights,
                bessel,
                c1,
                c2,
                out[s],
            )

    _spread(work, len(pairs), threads)
    return out


def _spread(work: Callable[[slice], None], n: int, threads: int | None) -> None:
    """Run `work` on slices of range(n), on threads: the compiled loops release Python's lock."""
    threads = cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads={threads}; use 1 or more, or None for all cores")
    slices = [slice(k, min(k + CHUNK, n)) for k in range(0, n, CHUNK)]
    if threads == 1 or len(slices) < 2:
        for part in slices:
            work(part)
        return
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, slices):
            pass


def score_pairs(
    load: Callable[[np.ndarray], np.ndarray],
    pairs: np.ndarray,
    convention: Convention,
    *,
    block: int,
    threads: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score pairs block by block.

    A block of images is described once and stays while its pairs with each other block are
    scored; of the other block only the images that occur are loaded and described. So an image
    is described at most once per pair, and once in all where the blocks are few.

    Parameters
    ----------
    load : function of an int64 array of image indices, ascending
        Returns their planes, uint8, shape (k, planes, h, w).
    pairs : ndarray of int64, shape (m, 2)
    block : int
        Images a block holds; at most two blocks are in memory.

    Yields
    ------
    rows : ndarray of int64
        Which pairs.
    values : ndarray of float64
        Their SSIM.
    """
    if len(pairs) == 0:
        return
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    count = int(high.max()) // block + 1
    key = (low // block) * count + high // block
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) > 0])
    held, mine, at_home = None, np.empty(0, np.int64), -1
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        rows = order[start:stop]
        first, second = divmod(int(key[rows[0]]), count)
        if first != at_home:
            held, other = None, None  # let go of the old blocks before the new one is made
            home = (low // block == first) | (high // block == first)
            touched = np.unique(pairs[home])
            mine, at_home = touched[touched // block == first], first
            held = describe(load(mine), convention, threads=threads)
        if second == first:
            theirs, other = mine, held
        else:
            other = None
            theirs = np.unique(high[rows])
            other = describe(load(theirs), convention, threads=threads)
        local = np.stack([np.searchsorted(mine, low[rows]), np.searchsorted(theirs, high[rows])], axis=1)
        yield rows, cross(held, other, local, convention, threads=threads)


def ssim_pairs(
    images: np.ndarray,
    pairs: np.ndarray,
    *,
    convention: str | Convention = "paper",
    threads: int | None = None,
) -> np.ndarray:
    """SSIM of many pairs of 8-bit images as they are: nothing is resized (Eq. 1).

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w) or (n, h, w, channels)
    pairs : ndarray of int, shape (m, 2)
        Rows of `images`.
    convention : str or Convention
        As for :func:`gmaug.ssim.ssim`.
    threads : int, optional
        All cores by default. The result does not depend on it.

    Returns
    -------
    ndarray of float64, shape (m,), range [-1, 1]
        Within 1e-6 of scikit-image in float64; memory beyond `images` is bounded (about 0.4 GiB).

    Raises
    ------
    ValueError
        If `images` are not uint8 or too small, or `pairs` have another shape or point outside.
    """
    convention = convention_named(convention)
    pixels = planes(images, convention)
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"pairs are {pairs.dtype}, shape {pairs.shape}; give whole numbers, shape (m, 2)")
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(pixels)):
        raise ValueError(f"pairs point to image {pairs.max()} of {len(pixels)}; count from 0")
    block = max(2, BLOCK_BYTES // bytes_per_image(convention, images.shape[1:]))
    out = np.empty(len(pairs))
    for rows, values in score_pairs(
        pixels.__getitem__, pairs.astype(np.int64), convention, block=block, threads=threads
    ):
        out[rows] = values
    return out
