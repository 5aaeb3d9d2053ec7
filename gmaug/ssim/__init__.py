"""Structural similarity of image pairs (section 3.1, Eq. 1) and its conventions by name.

Equation 1 leaves open over which pixels means and variances are taken, how an image is brought
to size, and whether covariances divide by N or N - 1. Each choice moves the value, some of them
threefold, so a number without its :class:`Convention` says little.

:func:`ssim` and :func:`ssim_map` are the plain float64 form, one pair at a time, to read and to
check against. :func:`ssim_pairs` is the fast one, for many pairs of 8-bit images.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from gmaug.ssim.conventions import CONVENTIONS, Convention, convention_named
from gmaug.ssim.engine import ssim_pairs

__all__ = [
    "CONVENTIONS",
    "Components",
    "Convention",
    "components",
    "convention_named",
    "ssim",
    "ssim_map",
    "ssim_pairs",
]


@dataclass(frozen=True)
class Components:
    """The three comparisons whose product is SSIM, as maps over window positions.

    Attributes
    ----------
    luminance, contrast, structure : ndarray of float64
        Each at most 1; luminance and contrast are not negative for images without negative
        pixels. C3 = C2 / 2, as Wang et al. (2004) set it to arrive at Eq. 1.
    """

    luminance: np.ndarray
    contrast: np.ndarray
    structure: np.ndarray

    @property
    def ssim(self) -> np.ndarray:
        """Product of the three."""
        return self.luminance * self.contrast * self.structure


def components(
    x: np.ndarray, y: np.ndarray, *, convention: str | Convention = "paper", data_range: float | None = None
) -> Components:
    """Luminance, contrast and structure of a pair; parameters as in :func:`ssim`."""
    _, (ux, uy, vx, vy, vxy), (c1, c2) = _moments(x, y, convention, data_range)
    sx, sy = np.sqrt(np.maximum(vx, 0)), np.sqrt(np.maximum(vy, 0))
    return Components(
        luminance=(2 * ux * uy + c1) / (ux**2 + uy**2 + c1),
        contrast=(2 * sx * sy + c2) / (vx + vy + c2),
        structure=(vxy + c2 / 2) / (sx * sy + c2 / 2),
    )


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
    _, (ux, uy, vx, vy, vxy), (c1, c2) = _moments(x, y, convention, data_range)
    return ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))


def ssim(
    x: np.ndarray, y: np.ndarray, *, convention: str | Convention = "paper", data_range: float | None = None
) -> float:
    """Structural similarity of two arrays as they are: nothing is resized or turned grey (Eq. 1).

    Parameters
    ----------
    x, y : ndarray, shape (h, w) or (h, w, channels)
        Two images of one shape and type. Channels are scored one by one and averaged.
    convention : str or Convention
        Window, covariance and constants; its `size`, `fit` and `colour` play no part here.
    data_range : float, optional
        L of Eq. 1, the distance between the darkest and the brightest value that a pixel can
        take. Known for uint8; anything else must say.

    Returns
    -------
    float
        In [-1, 1]; 1 for identical images.

    Raises
    ------
    ValueError
        If shapes or types differ, a side is smaller than the window, a pixel is not finite, or
        `data_range` is missing for an image that is not uint8.

    Notes
    -----
    ``paper`` equals scikit-image's ``structural_similarity`` on uint8 with its defaults;
    ``wang2004`` equals it with ``gaussian_weights=True, use_sample_covariance=False``.
    """
    return float(ssim_map(x, y, convention=convention, data_range=data_range).mean())


def _moments(x, y, convention, data_range):
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
    if min(x.shape[:2]) < convention.side:
        raise ValueError(
            f"images of {x.shape[:2]} are smaller than the window, {convention.side}; lower win_size"
        )
    x, y = x.astype(np.float64), y.astype(np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("an image holds NaN or infinity; clean it first")
    if convention.margin:
        around = [(convention.margin, convention.margin)] * 2 + [(0, 0)] * (x.ndim - 2)
        x, y = np.pad(x, around, mode="reflect"), np.pad(y, around, mode="reflect")
    mean = _windowed(convention)
    ux, uy = mean(x), mean(y)
    if convention.window == "global":
        count = x.shape[0] * x.shape[1]
        # Deviations first: exact where E[xx] - E[x]E[x] would cancel.
        dx, dy = x - ux, y - uy
        vx, vy, vxy = mean(dx * dx), mean(dy * dy), mean(dx * dy)
    else:
        count = convention.win_size**2
        vx, vy, vxy = mean(x * x) - ux * ux, mean(y * y) - uy * uy, mean(x * y) - ux * uy
    if convention.covariance == "sample":
        vx, vy, vxy = (v * (count / (count - 1)) for v in (vx, vy, vxy))
    return convention, (ux, uy, vx, vy, vxy), convention.constants(data_range)


def _windowed(convention: Convention):
    """The function that takes the mean over each window that lies wholly inside the image."""
    if convention.window == "global":
        return lambda image: image.mean(axis=(0, 1), keepdims=True)
    weights = convention.weights()

    def mean(image: np.ndarray) -> np.ndarray:
        for axis in (0, 1):
            image = np.lib.stride_tricks.sliding_window_view(image, len(weights), axis=axis) @ weights
        return image

    return mean
