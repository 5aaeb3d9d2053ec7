"""One photograph spoilt in many ways by the same amount (section 3.1: why not MSE).

Each way has a strength that grows from nothing; :func:`distort` finds, by bisection, the strength
at which the mean squared error meets the one that is asked for. Equal error, unequal harm: that
is the case for SSIM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

STEPS = 40  # halvings: beyond this the rounding to 8 bits decides
CLOSE = 0.02  # relative; rounding to 8 bits leaves the error of a mean shift in steps


@dataclass(frozen=True)
class Distorted:
    """A spoilt image and what it took.

    Attributes
    ----------
    image : ndarray of uint8, shape (h, w)
    kind : str
        One of :data:`KINDS`.
    strength : float
        In the units that :data:`KINDS` names.
    mse : float
        Mean squared error to the original, grey levels squared.
    """

    image: np.ndarray
    kind: str
    strength: float
    mse: float


def mean_squared_error(x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared difference of two images of one shape, in grey levels squared."""
    return float(np.mean((np.asarray(x, dtype=np.float64) - np.asarray(y, dtype=np.float64)) ** 2))


def psnr(mse: float, *, data_range: float = 255.0) -> float:
    """Peak signal-to-noise ratio in decibels: the same number as `mse` on another scale."""
    return float(10 * np.log10(data_range**2 / mse))


def _mean_shift(image, strength, rng):
    return image + strength


def _contrast_stretch(image, strength, rng):
    return image.mean() + (1 + strength) * (image - image.mean())


def _contrast_loss(image, strength, rng):
    return image.mean() + (image - image.mean()) / (1 + strength)


def _blur(image, strength, rng):
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, strength, mode="nearest")


def _noise(image, strength, rng):
    return image + strength * rng.standard_normal(image.shape)


def _impulses(image, strength, rng):
    # One draw decides where, so that a higher strength adds impulses and moves none.
    level = rng.random(image.shape)
    return np.where(level < strength, 255.0 * rng.integers(0, 2, image.shape), image)


def _blocks(image, strength, rng):
    """What JPEG does to an image, without its coder: 8 x 8 cosine coefficients in steps of `strength`."""
    from scipy.fft import dctn, idctn

    h, w = image.shape
    padded = np.pad(image - 128.0, ((0, -h % 8), (0, -w % 8)), mode="edge")
    tiles = padded.reshape(padded.shape[0] // 8, 8, padded.shape[1] // 8, 8).swapaxes(1, 2)
    coefficients = dctn(tiles, axes=(2, 3), norm="ortho")
    # Fine detail is rounded more coarsely, as in every JPEG table.
    steps = strength * (1 + 0.25 * np.add.outer(np.arange(8), np.arange(8)))
    tiles = idctn(np.round(coefficients / steps) * steps, axes=(2, 3), norm="ortho")
    return tiles.swapaxes(1, 2).reshape(padded.shape)[:h, :w] + 128.0


def _translation(image, strength, rng):
    from scipy.ndimage import shift

    return shift(image, (0.0, strength), order=1, mode="nearest")


Way = Callable[[np.ndarray, float, np.random.Generator], np.ndarray]

KINDS: Mapping[str, tuple[Way, float, str]] = {
    "mean shift": (_mean_shift, 128.0, "grey levels"),
    "contrast stretch": (_contrast_stretch, 4.0, "relative gain"),
    "contrast loss": (_contrast_loss, 50.0, "relative loss"),
    "translation": (_translation, 16.0, "pixels"),
    "impulses": (_impulses, 0.5, "share of pixels"),
    "noise": (_noise, 80.0, "grey levels"),
    "blocks": (_blocks, 400.0, "step of the lowest coefficient"),
    "blur": (_blur, 30.0, "pixels"),
}
"""Kind of distortion: how it is made, the largest strength that is tried, and the strength's unit."""


def distort(image: np.ndarray, kind: str, *, mse: float, seed: int = 0) -> Distorted:
    """Spoil an image until its mean squared error is `mse`.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w)
        A grey image.
    kind : str
        One of :data:`KINDS`.
    mse : float
        Wanted error, grey levels squared, positive.
    seed : int
        Seed of the random kinds.

    Returns
    -------
    Distorted
        Rounded and clipped to 8 bits; the error within 2 % of `mse`.

    Raises
    ------
    ValueError
        If the image is no grey uint8 one, the kind is unknown, or no strength gives that error.
    """
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 2:
        raise ValueError(f"image is {image.dtype} of shape {image.shape}; give uint8 of shape (h, w)")
    if kind not in KINDS:
        raise ValueError(f"kind={kind!r} is unknown; use one of {', '.join(KINDS)}")
    if not mse > 0:
        raise ValueError(f"mse={mse}; give a positive error")
    way, high, unit = KINDS[kind]
    low, wide = 0.0, image.astype(np.float64)

    def at(strength: float) -> Distorted:
        made = way(wide, strength, np.random.default_rng(seed))
        made = np.clip(np.rint(made), 0, 255).astype(np.uint8)
        return Distorted(made, kind, strength, mean_squared_error(image, made))

    best = at(high)
    if best.mse < mse * (1 - CLOSE):
        raise ValueError(
            f"{kind} of this image reaches an error of {best.mse:.1f}, not {mse:g}; ask for less"
        )
    for _ in range(STEPS):
        middle = at((low + high) / 2)
        low, high = (middle.strength, high) if middle.mse < mse else (low, middle.strength)
        best = min(best, middle, key=lambda one: abs(one.mse - mse))
    if abs(best.mse - mse) > CLOSE * mse:
        raise ValueError(
            f"{kind} meets {mse:g} only to {best.mse:.1f} (strength in {unit}); ask for another error, "
            "for a mean shift the square of a whole number"
        )
    return best
