"""SSIM of many pairs: statistics once per image, the cross term per pair, in blocks, on all cores.

:func:`score_pairs` walks a list of pairs block by block, so that the statistics of two blocks of
images, and no more, are in memory; :func:`ssim_pairs` does it for images in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gmaug.ssim.conventions import Convention, convention_named
from gmaug.ssim.parts import bytes_per_image, cross, describe, planes

BLOCK_BYTES = 192 * 2**20  # statistics of one block of images; two are held at a time


def score_pairs(
    load: Callable[[np.ndarray], np.ndarray],
    pairs: np.ndarray,
    convention: Convention,
    *,
    block: int,
    threads: int | None = None,
    device: str = "cpu",
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
            held = describe(load(mine), convention, threads=threads, device=device)
        if second == first:
            theirs, other = mine, held
        else:
            other = None
            theirs = np.unique(high[rows])
            other = describe(load(theirs), convention, threads=threads, device=device)
        local = np.stack([np.searchsorted(mine, low[rows]), np.searchsorted(theirs, high[rows])], axis=1)
        yield rows, cross(held, other, local, convention, threads=threads)


def ssim_pairs(
    images: np.ndarray,
    pairs: np.ndarray,
    *,
    convention: str | Convention = "paper",
    threads: int | None = None,
    device: str = "cpu",
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
    device : str
        "cpu" for the compiled loops; "cuda" for torch there, equal to 1e-6.

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
        pixels.__getitem__, pairs.astype(np.int64), convention, block=block, threads=threads, device=device
    ):
        out[rows] = values
    return out
