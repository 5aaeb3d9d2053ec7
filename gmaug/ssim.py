"""Structural similarity of image pairs (section 3.1, Eq. 1), and its conventions by name.

Equation 1 leaves open over which pixels means and variances are taken, how an image is brought to size, and
whether covariances divide by N or N - 1. Some of these choices move the value threefold, so a number without
its :class:`Convention` says little. :func:`ssim` is the plain float64 form, :func:`ssim_pairs` the fast one.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from gmaug import CallableModule
from gmaug.datasets.base import square

CHOICES = {
    "fit": ("crop", "stretch"),
    "resample": ("antialias", "plain"),
    "colour": ("grey", "rgb"),
    "window": ("uniform", "gaussian", "global"),
    "border": ("valid", "reflect"),
    "covariance": ("sample", "population"),
}


@dataclass(frozen=True)
class Convention:
    """What is left open by Eq. 1, settled; ValueError if a setting is unknown or out of range."""

    name: str = "custom"  # printed beside a number
    size: int | None = 224  # side in pixels to which `prepare` brings an image; None leaves its size alone
    fit: str = "crop"  # the short side to `size` and the centre square cut out, or "stretch": both sides
    # "antialias": bilinear with as wide a support as the reduction asks for, as in Pillow. "plain": between
    # the four nearest pixels whatever the reduction, as in OpenCV; that keeps aliased detail, which no two
    # photographs share, and at 32 px nearly halves the value.
    resample: str = "antialias"
    colour: str = "grey"  # luma (ITU-R 601, rounded to 8 bits), or "rgb": the mean over three channels' SSIM
    window: str = "uniform"  # a square around each pixel, plain or "gaussian"; or "global": the whole image
    win_size: int = 7  # side of the window, odd; "global" does not use it
    sigma: float = 1.5  # of the Gaussian window, in pixels
    border: str = "valid"  # windows inside the image alone, or "reflect": the image is mirrored at its border
    covariance: str = "sample"  # divided by N - 1, or "population": by N, which alone a Gaussian window has
    data_range: float = 255.0  # L of Eq. 1, for 8-bit images
    k1: float = 0.01
    k2: float = 0.03

    def __post_init__(self) -> None:
        for field, known in CHOICES.items():
            value = getattr(self, field)
            if value not in known:
                raise ValueError(f"{field}={value!r} is unknown; use one of {', '.join(known)}")
        if self.win_size < 3 or self.win_size % 2 == 0:
            raise ValueError(f"win_size={self.win_size}: a window has an odd side of 3 or more")
        if self.window == "gaussian" and self.covariance == "sample":
            raise ValueError("a Gaussian window has no sample covariance; set covariance='population'")
        if min(self.sigma, self.data_range, self.k1, self.k2) <= 0:
            raise ValueError("sigma, data_range, k1 and k2 are positive")
        if self.size is not None and self.size < self.side:
            raise ValueError(f"size={self.size} is smaller than the window, {self.win_size}; raise it")

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Bring an image to this convention's colour and size.

        Returns
        -------
        ndarray of uint8, shape (size, size) or (size, size, 3), range 0-255
        """
        image = image.convert("L" if self.colour == "grey" else "RGB")
        size = (self.size, self.size)
        if self.size is None or image.size == size:
            return np.asarray(image)
        if self.fit == "crop" and (self.resample == "plain" or max(image.size) > 4 * min(image.size)):
            # Cut first where that gives the same picture: a long strip would grow large in between.
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if self.resample == "plain":
            steps = (image.width / self.size, 0, 0, 0, image.height / self.size, 0)
            image = image.transform(size, Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR)
        elif self.fit == "crop":
            image = square(image, self.size)
        else:
            image = image.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(image)

    def weights(self) -> np.ndarray:
        """The window along one axis, float64, sum 1; the window is its outer product with itself."""
        if self.window == "gaussian":
            offset = np.arange(self.win_size) - self.win_size // 2
            weights = np.exp(-0.5 * (offset / self.sigma) ** 2)
            return weights / weights.sum()
        return np.full(self.win_size, 1.0 / self.win_size)

    def constants(self, data_range: float | None = None) -> tuple[float, float]:
        """C1 and C2 of Eq. 1."""
        data_range = data_range or self.data_range
        return (self.k1 * data_range) ** 2, (self.k2 * data_range) ** 2

    @property
    def side(self) -> int:
        """Smallest side in pixels of an image that can be compared."""
        return 1 if self.window == "global" else self.win_size

    @property
    def margin(self) -> int:
        """Pixels by which images are mirrored outwards before they are compared."""
        return self.side // 2 if self.border == "reflect" else 0

    def mirrored(self, images: np.ndarray) -> np.ndarray:
        """Images, shape (..., h, w), with that margin."""
        around = [(0, 0)] * (images.ndim - 2) + [(self.margin, self.margin)] * 2
        return np.pad(images, around, mode="reflect") if self.margin else images


GAUSSIAN = {"window": "gaussian", "win_size": 11, "covariance": "population"}
CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        # The one that gives Table 5 on the original photographs; scikit-image's defaults at 224 px.
        Convention("paper"),
        # Wang et al. 2004: Gaussian window of 11 taps; scikit-image's recipe for it, pytorch-msssim, piq.
        Convention("wang2004", **GAUSSIAN),
        # The size of the script that the authors released in 2024, after the paper; it orders data
        # sets otherwise. How it resizes was inferred from the values: stretched, not antialiased.
        Convention("authors32", size=32, fit="stretch", resample="plain"),
        # torchmetrics: as wang2004, but the image is mirrored at its border.
        Convention("torchmetrics", border="reflect", **GAUSSIAN),
        # Eq. 1 read literally: one mean, one variance, one covariance for the whole image.
        Convention("global", window="global", covariance="population"),
        # "paper" on the three colour channels.
        Convention("rgb", colour="rgb"),
    )
}


def convention_named(convention: str | Convention) -> Convention:
    """The convention of that name; a :class:`Convention` is returned as it is."""
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r} is unknown; use one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]


def ssim(
    x: np.ndarray, y: np.ndarray, *, convention: str | Convention = "paper", data_range: float | None = None
) -> float:
    """Structural similarity of two arrays as they are: nothing is resized or turned grey (Eq. 1).

    Parameters
    ----------
    x, y : ndarray, shape (h, w) or (h, w, channels)
        Two images of one shape and type, without NaN. Channels are scored one by one and averaged.
    convention : str or Convention
        Window, covariance and constants; its `size`, `fit` and `colour` play no part here.
    data_range : float, optional
        L of Eq. 1, the distance between the darkest and the brightest value that a pixel can
        take. Known for uint8; for anything else it is a ValueError not to say.

    Returns
    -------
    float
        In [-1, 1]; 1 for identical images.

    Notes
    -----
    ``paper`` equals scikit-image's ``structural_similarity`` on uint8 with its defaults;
    ``wang2004`` equals it with ``gaussian_weights=True, use_sample_covariance=False``.
    """
    return float(ssim_map(x, y, convention=convention, data_range=data_range).mean())


def ssim_map(
    x: np.ndarray, y: np.ndarray, *, convention: str | Convention = "paper", data_range: float | None = None
) -> np.ndarray:
    """SSIM at every window position; parameters as in :func:`ssim`.

    Returns
    -------
    ndarray of float64, range [-1, 1]
        One value per window: smaller than the image by the window's side - 1, or of its size where
        the border is mirrored; a last axis of channels stays.
    """
    convention = convention_named(convention)
    x, y = np.asarray(x), np.asarray(y)
    if x.shape != y.shape or x.ndim not in (2, 3):
        raise ValueError(f"shapes {x.shape} and {y.shape}; give two images of one shape, (h, w[, channels])")
    if x.dtype != y.dtype:
        raise ValueError(f"types {x.dtype} and {y.dtype} may differ in range; convert one image first")
    if data_range is None and x.dtype != np.uint8:
        raise ValueError(
            f"the range of {x.dtype} images cannot be known from their values, and a wrong one changes SSIM "
            "several times over; give data_range (1.0 for [0, 1], 255 for [0, 255])"
        )
    if data_range is not None and not (data_range > 0 and math.isfinite(data_range)):
        raise ValueError(f"data_range={data_range} must be positive")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an image holds NaN or infinity; clean it first")
    _check_side(x.shape[:2], convention)
    x, y = x.astype(np.float64), y.astype(np.float64)
    if convention.margin:
        around = [(convention.margin, convention.margin)] * 2 + [(0, 0)] * (x.ndim - 2)
        x, y = np.pad(x, around, mode="reflect"), np.pad(y, around, mode="reflect")
    whole, weights = convention.window == "global", convention.weights()

    def mean(image: np.ndarray) -> np.ndarray:
        """Over each window that lies inside the image."""
        if whole:
            return image.mean(axis=(0, 1), keepdims=True)
        for axis in (0, 1):
            image = np.lib.stride_tricks.sliding_window_view(image, len(weights), axis=axis) @ weights
        return image

    ux, uy = mean(x), mean(y)
    if whole:  # deviations first: exact where E[xx] - E[x]E[x] would cancel
        dx, dy = x - ux, y - uy
        vx, vy, vxy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    else:
        vx, vy, vxy = mean(x * x) - ux * ux, mean(y * y) - uy * uy, mean(x * y) - ux * uy
    if convention.covariance == "sample":
        n = x.shape[0] * x.shape[1] if whole else convention.win_size**2
        vx, vy, vxy = (v * (n / (n - 1)) for v in (vx, vy, vxy))
    c1, c2 = convention.constants(data_range)
    return ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))


def _check_side(size: tuple[int, int], convention: Convention) -> None:
    if min(size) < convention.side:
        raise ValueError(f"images of {size} are smaller than the window, {convention.side}; lower win_size")


# Many pairs

CHUNK_PIXELS = 2**20  # of the pairs that a thread takes at a time: about a millisecond of work
STEP = 4096  # pairs between two visits of the progress bar
HELD_BYTES = 128 * 2**20  # pixels read from a file and held at a time


def thread_count(asked: int | None) -> int:
    """Threads to use: as many as are asked for, or one for each core that this process may use."""
    if asked is None:
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    if asked < 1:
        raise ValueError(f"{asked} threads; use 1 or more, or None for all cores")
    return asked


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
        As for :func:`ssim`.
    threads : int, optional
        All cores by default. The result does not depend on it.

    Returns
    -------
    ndarray of float64, shape (m,), range [-1, 1]
        Within 1e-6 of scikit-image in float64.
    """
    convention = convention_named(convention)
    images, pairs = np.asarray(images), np.asarray(pairs)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"images of {images.dtype}, shape {images.shape}; ssim_pairs takes uint8, (n, h, w[, channels]); "
            "convert them, or score pairs singly with ssim(), which takes any type"
        )
    _check_side(images.shape[1:3], convention)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"pairs are {pairs.dtype}, shape {pairs.shape}; give whole numbers, shape (m, 2)")
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(images)):
        raise ValueError(f"pairs point to image {pairs.max()} of {len(images)}; count from 0")
    planes = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    return _scored(convention.mirrored(planes), pairs.astype(np.int64), convention, threads)


def score_pairs(
    source: np.ndarray | Callable[[np.ndarray], np.ndarray],
    pairs: np.ndarray,
    convention: Convention,
    threads: int | None = None,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score pairs a part at a time, so that only some of the images need be in memory.

    Parameters
    ----------
    source : ndarray of uint8, shape (n, planes, h, w), or a function
        The images, mirrored; or a function of their indices (int64, ascending) that gives them so.
    pairs : ndarray of int64, shape (m, 2)

    Yields
    ------
    rows : ndarray of int64
        Which pairs.
    values : ndarray of float64
        Their SSIM.
    """
    if isinstance(source, np.ndarray):
        for rows in np.split(np.arange(len(pairs)), range(STEP, len(pairs), STEP)):
            yield rows, _scored(source, pairs[rows], convention, threads)
    elif len(pairs):
        # Pairs are sorted by the two blocks of images they join, so that a part of them touches few images.
        block = max(1, HELD_BYTES // source(pairs[0, :1]).nbytes // 2)
        low, high = np.sort(pairs, axis=1).T // block
        order = np.lexsort((high, low))
        new = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
        for rows in np.split(order, np.flatnonzero(new) + 1):
            indices, local = np.unique(pairs[rows], return_inverse=True)
            yield rows, _scored(source(indices), local.reshape(-1, 2), convention, threads)


def _scored(pixels: np.ndarray, pairs: np.ndarray, convention: Convention, threads: int | None) -> np.ndarray:
    """SSIM of pairs of mirrored images in memory, uint8, shape (n, planes, h, w)."""
    from gmaug import ssim_kernel as kernel

    (c1, c2), n, sample = convention.constants(), convention.win_size**2, convention.covariance == "sample"
    if convention.window == "global":

        def score(some: np.ndarray) -> Sequence[float]:
            x, y = (pixels[side].transpose(0, 2, 3, 1) for side in some.T)
            return [ssim(*both, convention=convention) for both in zip(x, y, strict=True)]

    elif convention.window == "uniform" and convention.win_size <= kernel.LARGEST_EXACT_WINDOW:
        window = (1,) * convention.win_size
        k1, k2 = np.float32(c1 * n * n), np.float32(c2 * n * (n - 1 if sample else n))

        def score(some: np.ndarray) -> Sequence[float]:
            return kernel.box_pairs(pixels, some, window, k1, k2)

    else:
        weights, bessel = tuple(convention.weights().tolist()), n / (n - 1) if sample else 1.0

        def score(some: np.ndarray) -> Sequence[float]:
            return kernel.weighted_pairs(pixels, some, weights, bessel, c1, c2)

    step = max(1, CHUNK_PIXELS // pixels[0].size)
    with ThreadPoolExecutor(thread_count(threads)) as pool:  # the compiled loops release Python's lock
        return np.concatenate([*pool.map(score, np.split(pairs, range(step, len(pairs), step)))])


sys.modules[__name__].__class__ = CallableModule  # both gmaug.ssim(x, y) and gmaug.ssim.ssim_pairs are there
