"""SSIM of many pairs: statistics once per image, the cross term per pair, in blocks, on all cores.

:func:`score_pairs` walks a list of pairs block by block, so that the statistics of a bounded number
of images are in memory; :func:`ssim_pairs` does it for images in memory. With few pairs for each
image nothing is kept of it at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from gmaug.ssim.conventions import Convention, convention_named
from gmaug.ssim.parts import Described, Room, bytes_per_image, cross, describe, keeps, planes

# Pixels and statistics in memory: of a block of images, and of a part of the others. Three times as
# much describes fewer images again, and takes longer: arrays beyond 32 MiB go back to the system
# after every call, and are mapped and cleared afresh in the next.
HELD_BYTES = 64 * 2**20
PARTS = 8  # of that memory; one is for the others
STEP = 4096  # pairs between two visits of the progress bar, where there are no blocks


def score_pairs(
    source: np.ndarray | Callable[[np.ndarray, np.ndarray], object],
    pairs: np.ndarray,
    convention: Convention,
    *,
    shape: tuple[int, int, int],
    threads: int | None = None,
    device: str = "cpu",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score pairs block by block.

    A large block of images is described once and stays while the others pass by it in small
    parts, of which only the images that are paired with the block are loaded and described. So an
    image is described at most once per pair, and once in all where the block holds every image.
    The fewer the blocks, the fewer images are described again; hence one block as large as may be.

    Parameters
    ----------
    source : ndarray of uint8, shape (n, planes, h, w), or a function
        The images; or a function of image indices (int64, ascending) and an array of uint8, shape
        (k, planes, h, w), that fills the array with them.
    pairs : ndarray of int64, shape (m, 2)
    shape : (planes, h, w)
        Of an image.

    Yields
    ------
    rows : ndarray of int64
        Which pairs.
    values : ndarray of float64
        Their SSIM.
    """
    if len(pairs) == 0:
        return
    used, n = len(np.unique(pairs)), int(pairs.max()) + 1
    keep = keeps(convention, pairs=len(pairs), images=used, device=device)
    if isinstance(source, np.ndarray) and not keep and not convention.margin:
        images = Described(source)  # as they lie: nothing is copied
        for rows in np.split(np.arange(len(pairs)), range(STEP, len(pairs), STEP)):
            yield rows, cross(images, images, pairs[rows], convention, threads=threads)
        return
    part = max(1, HELD_BYTES // bytes_per_image(convention, shape, keep=keep) // PARTS)
    block = part * (PARTS - 1)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    home, count = low // block, (n - 1) // part + 2
    key = home * count + np.where(high // block == home, 0, 1 + high // part)
    order = np.argsort(key, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(key[order]) > 0])
    stays, passes = Room(min(block, n)), Room(min(part, n))

    def described(indices: np.ndarray, room: Room) -> Described:
        pixels = room.array("pixels", (len(indices), *shape), np.uint8)
        if isinstance(source, np.ndarray):
            np.take(source, indices, axis=0, out=pixels, mode="clip")  # "raise" would copy twice
        else:
            source(indices, pixels)
        return describe(pixels, convention, threads=threads, device=device, keep=keep, room=room)

    at_home = -1
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        rows = order[start:stop]
        first = int(home[rows[0]])
        if first != at_home:
            held, other = None, None  # let go of the old block before the new one is made
            touched = np.unique(pairs[(home == first) | (high // block == first)])
            mine, at_home = touched[touched // block == first], first
            held = described(mine, stays)
        if key[rows[0]] % count == 0:
            theirs, other = mine, held
        else:
            other = None
            theirs = np.unique(high[rows])
            other = described(theirs, passes)
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
        Within 1e-6 of scikit-image in float64; memory beyond `images` is bounded (about 0.1 GiB).

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
    out = np.empty(len(pairs))
    for rows, values in score_pairs(
        pixels, pairs.astype(np.int64), convention, shape=pixels.shape[1:], threads=threads, device=device
    ):
        out[rows] = values
    return out
