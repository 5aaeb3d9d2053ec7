"""Structural similarity of image pairs (section 3.1, Eq. 1), and its conventions by name.

Equation 1 leaves open over which pixels means and variances are taken, how an image is brought
to size, and whether covariances divide by N or N - 1. Each choice moves the value, some of them
threefold, so a number without its :class:`Convention` says little.

:func:`ssim` and :func:`ssim_map` are the plain float64 form, one pair at a time, to read and to
check against. :func:`ssim_pairs` is the fast one, for many pairs of 8-bit images: compiled loops on
all cores (:mod:`gmaug.ssim_kernel`), or torch on a GPU.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
from PIL import Image

from gmaug.datasets.base import square

__all__ = [
    "CONVENTIONS",
    "Components",
    "Convention",
    "components",
    "convention_named",
    "score_pairs",
    "ssim",
    "ssim_map",
    "ssim_pairs",
]


@dataclass(frozen=True)
class Convention:
    """What is left open by Eq. 1, settled.

    Parameters
    ----------
    name : str
        Name to print beside a number.
    size : int or None
        Side in pixels to which :meth:`prepare` brings an image; None leaves its size alone.
    fit : {"crop", "stretch"}
        Short side to `size` and the centre square cut out, or both sides to `size`.
    resample : {"antialias", "plain"}
        Bilinear with as wide a support as the reduction asks for, as Pillow does it, or between
        the four nearest pixels whatever the reduction, as OpenCV does it. Plain keeps aliased
        detail, which no two photographs share: at 32 px it nearly halves the value.
    colour : {"grey", "rgb"}
        Luma (ITU-R 601, rounded to 8 bits), or the mean over the three channels' SSIM.
    window : {"uniform", "gaussian", "global"}
        Where means and variances are taken: in a square around each pixel, plain or weighted, or
        over the whole image at once.
    win_size : int
        Side of the window, odd; ``"global"`` does not use it.
    sigma : float
        Standard deviation of the Gaussian window, in pixels.
    border : {"valid", "reflect"}
        Leave out the windows that reach over the border, or mirror the image there.
    covariance : {"sample", "population"}
        Divide variances and covariances by N - 1 or by N; a Gaussian window has the latter only.
    data_range : float
        L of Eq. 1, for 8-bit images.
    k1, k2 : float
        K1 and K2 of Eq. 1.

    Raises
    ------
    ValueError
        If a setting is unknown, a window is even, or a number is out of range.
    """

    name: str = "custom"
    size: int | None = 224
    fit: Literal["crop", "stretch"] = "crop"
    resample: Literal["antialias", "plain"] = "antialias"
    colour: Literal["grey", "rgb"] = "grey"
    window: Literal["uniform", "gaussian", "global"] = "uniform"
    win_size: int = 7
    sigma: float = 1.5
    border: Literal["valid", "reflect"] = "valid"
    covariance: Literal["sample", "population"] = "sample"
    data_range: float = 255.0
    k1: float = 0.01
    k2: float = 0.03

    def __post_init__(self) -> None:
        for field, known in (
            ("fit", ("crop", "stretch")),
            ("resample", ("antialias", "plain")),
            ("colour", ("grey", "rgb")),
            ("window", ("uniform", "gaussian", "global")),
            ("border", ("valid", "reflect")),
            ("covariance", ("sample", "population")),
        ):
            if getattr(self, field) not in known:
                value = getattr(self, field)
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

        Parameters
        ----------
        image : PIL image in a mode that converts to grey ("L") or "RGB"

        Returns
        -------
        ndarray of uint8, shape (size, size) or (size, size, 3), range 0-255
        """
        image = image.convert("L" if self.colour == "grey" else "RGB")
        if self.size is None or image.size == (self.size, self.size):
            return np.asarray(image)
        if self.fit == "crop" and (self.resample == "plain" or max(image.size) > 4 * min(image.size)):
            # Cut first where that gives the same picture: a long strip would grow large in between.
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if self.resample == "plain":
            steps = (image.width / self.size, 0, 0, 0, image.height / self.size, 0)
            image = image.transform(
                (self.size, self.size), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR
            )
        elif self.fit == "crop":
            image = square(image, self.size)
        else:
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def weights(self) -> np.ndarray:
        """The window along one axis, float64, sum 1; the window is its outer product with itself."""
        if self.window == "gaussian":
            offset = np.arange(self.win_size) - self.win_size // 2
            weights = np.exp(-0.5 * (offset / self.sigma) ** 2)
            return weights / weights.sum()
        return np.full(self.win_size, 1.0 / self.win_size)

    @property
    def side(self) -> int:
        """Smallest side in pixels of an image that can be compared."""
        return 1 if self.window == "global" else self.win_size

    @property
    def margin(self) -> int:
        """Pixels by which images are mirrored outwards before they are compared."""
        return self.win_size // 2 if self.border == "reflect" and self.window != "global" else 0

    def constants(self, data_range: float | None = None) -> tuple[float, float]:
        """C1 and C2 of Eq. 1."""
        data_range = self.data_range if data_range is None else data_range
        return (self.k1 * data_range) ** 2, (self.k2 * data_range) ** 2


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        # The one that gives Table 5 on the original photographs; scikit-image's defaults at 224 px.
        Convention(name="paper"),
        # Wang et al. 2004: Gaussian window of 11 taps; scikit-image's recipe for it, pytorch-msssim, piq.
        Convention(name="wang2004", window="gaussian", win_size=11, covariance="population"),
        # The size of the script that the authors released in 2024, after the paper; it orders data
        # sets otherwise. How it resizes was inferred from the values: stretched, not antialiased.
        Convention(name="authors32", size=32, fit="stretch", resample="plain"),
        # torchmetrics: as wang2004, but the image is mirrored at its border.
        Convention(
            name="torchmetrics", window="gaussian", win_size=11, border="reflect", covariance="population"
        ),
        # Eq. 1 read literally: one mean, one variance, one covariance for the whole image.
        Convention(name="global", window="global", covariance="population"),
        # "paper" on the three colour channels.
        Convention(name="rgb", colour="rgb"),
    )
}


def convention_named(convention: str | Convention) -> Convention:
    """The convention of that name; a :class:`Convention` is returned as it is."""
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r} is unknown; use one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]


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


CHUNK_PIXELS = 2**20  # of the pairs that a thread takes at a time: about a millisecond of work
STEP = 4096  # pairs between two visits of the progress bar
HELD_BYTES = 128 * 2**20  # pixels read from a file and held at a time
BATCH_PIXELS = 2**23  # of a batch of pairs on a GPU; some 0.5 GiB of sums in between


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


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
        As for :func:`ssim`.
    threads : int, optional
        All cores by default. The result does not depend on it.
    device : str
        "cpu" for the compiled loops; "cuda" for torch there, equal to 1e-6.

    Returns
    -------
    ndarray of float64, shape (m,), range [-1, 1]
        Within 1e-6 of scikit-image in float64.

    Raises
    ------
    ValueError
        If `images` are not uint8 or too small, or `pairs` have another shape or point outside.
    """
    convention = convention_named(convention)
    images, pairs = np.asarray(images), np.asarray(pairs)
    if images.dtype != np.uint8:
        raise ValueError(
            f"images are {images.dtype}; ssim_pairs takes uint8, 0-255. Convert them, or score pairs "
            "one by one with ssim(), which takes any type with data_range"
        )
    if images.ndim not in (3, 4):
        raise ValueError(f"images have shape {images.shape}; give (n, h, w) or (n, h, w, channels)")
    if min(images.shape[1:3]) < convention.side:
        size = images.shape[1:3]
        raise ValueError(f"images of {size} are smaller than the window, {convention.side}; lower win_size")
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"pairs are {pairs.dtype}, shape {pairs.shape}; give whole numbers, shape (m, 2)")
    if len(pairs) and (pairs.min() < 0 or pairs.max() >= len(images)):
        raise ValueError(f"pairs point to image {pairs.max()} of {len(images)}; count from 0")
    planes = images[:, None] if images.ndim == 3 else images.transpose(0, 3, 1, 2)
    out = np.empty(len(pairs))
    options = {"threads": threads, "device": device}
    for rows, values in score_pairs(
        np.ascontiguousarray(planes), pairs.astype(np.int64), convention, shape=planes.shape[1:], **options
    ):
        out[rows] = values
    return out


def score_pairs(
    source: np.ndarray | Callable[[np.ndarray], np.ndarray],
    pairs: np.ndarray,
    convention: Convention,
    *,
    shape: tuple[int, ...],
    threads: int | None = None,
    device: str = "cpu",
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Score pairs a part at a time, so that only some of the images need be in memory.

    Parameters
    ----------
    source : ndarray of uint8, shape (n, planes, h, w), or a function
        The images; or a function of image indices (int64, ascending) that gives them, in that shape.
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
    if isinstance(source, np.ndarray) and device == "cpu" and not convention.margin:
        for start in range(0, len(pairs), STEP):
            rows = np.arange(start, min(start + STEP, len(pairs)))
            yield rows, _scored(source, pairs[rows], convention, threads, device)
        return
    read = (lambda indices: source[indices]) if isinstance(source, np.ndarray) else source
    # Pairs are sorted by the two blocks of images they join, so that a part of them touches few images.
    block = max(1, HELD_BYTES // int(np.prod(shape)) // 2)
    low, high = np.sort(pairs, axis=1).T // block
    order = np.lexsort((high, low))
    new = (np.diff(low[order]) != 0) | (np.diff(high[order]) != 0)
    for rows in np.split(order, np.flatnonzero(new) + 1) if len(order) else ():
        indices, local = np.unique(pairs[rows], return_inverse=True)
        yield rows, _scored(read(indices), local.reshape(-1, 2), convention, threads, device)


def _scored(
    pixels: np.ndarray, pairs: np.ndarray, convention: Convention, threads: int | None, device: str
) -> np.ndarray:
    """SSIM of pairs of images in memory, uint8, shape (n, planes, h, w)."""
    if convention.margin:
        around = (convention.margin, convention.margin)
        pixels = np.pad(pixels, ((0, 0), (0, 0), around, around), mode="reflect")
    if device != "cpu":
        return _on_torch(pixels, pairs, convention, device)
    from gmaug import ssim_kernel as kernel

    out, (c1, c2), n = np.empty(len(pairs)), convention.constants(), convention.win_size**2
    sample = convention.covariance == "sample"
    if convention.window == "global":
        images = pixels.transpose(0, 2, 3, 1)

        def work(s: slice) -> None:
            out[s] = [ssim(images[i], images[j], convention=convention) for i, j in pairs[s]]

    elif convention.window == "uniform" and convention.win_size <= kernel.LARGEST_EXACT_WINDOW:
        window = (1,) * convention.win_size
        k1, k2 = np.float32(c1 * n * n), np.float32(c2 * n * (n - 1 if sample else n))

        def work(s: slice) -> None:
            kernel.box_pairs(pixels, pairs[s], window, k1, k2, out[s])

    else:
        weights, bessel = tuple(convention.weights().tolist()), n / (n - 1) if sample else 1.0

        def work(s: slice) -> None:
            kernel.weighted_pairs(pixels, pairs[s], weights, bessel, c1, c2, out[s])

    _spread(work, len(pairs), threads, step=max(1, CHUNK_PIXELS // pixels[0].size))
    return out


def _spread(work: Callable[[slice], None], n: int, threads: int | None, *, step: int) -> None:
    """Run `work` on slices of range(n), on threads: the compiled loops release Python's lock."""
    threads = cores() if threads is None else threads
    if threads < 1:
        raise ValueError(f"threads={threads}; use 1 or more, or None for all cores")
    slices = [slice(k, min(k + step, n)) for k in range(0, n, step)]
    if threads == 1 or len(slices) < 2:
        for part in slices:
            work(part)
        return
    with ThreadPoolExecutor(min(threads, len(slices))) as pool:
        for _ in pool.map(work, slices):
            pass


def _on_torch(pixels: np.ndarray, pairs: np.ndarray, convention: Convention, device: str) -> np.ndarray:
    """The same on a torch device: plain windows summed in whole numbers, others in float64."""
    import torch

    from gmaug.backend import device as torch_device

    stack = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch_device(device))
    (c1, c2), side, whole = convention.constants(), convention.win_size, convention.window == "global"
    n = stack.shape[-1] * stack.shape[-2] if whole else side * side
    weights = [1] * side if convention.window == "uniform" else convention.weights().tolist()
    bessel = n / (n - 1) if convention.covariance == "sample" else 1.0

    def mean(x: torch.Tensor) -> torch.Tensor:
        if whole:
            return x.sum(dim=(2, 3), keepdim=True, dtype=torch.int64).to(torch.float64) / n
        x = x if convention.window == "uniform" else x.to(torch.float64)
        for dim in (2, 3):
            count = x.shape[dim] - side + 1
            x = sum(w * x.narrow(dim, k, count) for k, w in enumerate(weights))
        return x.to(torch.float64) / (n if convention.window == "uniform" else 1)

    out, step = np.empty(len(pairs)), max(1, BATCH_PIXELS // stack[0].numel())
    for k in range(0, len(pairs), step):
        i, j = torch.from_numpy(pairs[k : k + step].T.copy()).to(stack.device)
        x, y = stack[i].to(torch.int32), stack[j].to(torch.int32)
        ux, uy = mean(x), mean(y)
        m, squares = ux * uy, ux**2 + uy**2
        v, vxy = bessel * (mean(x * x + y * y) - squares), bessel * (mean(x * y) - m)
        value = ((2 * m + c1) * (2 * vxy + c2)) / ((squares + c1) * (v + c2))
        out[k : k + step] = value.mean(dim=(1, 2, 3)).cpu().numpy()
    return out


class _Callable(ModuleType):
    """This module as a function: both ``gmaug.ssim(x, y)`` and ``gmaug.ssim.ssim_pairs`` are there."""

    def __call__(self, x: np.ndarray, y: np.ndarray, **options: Any) -> float:
        return ssim(x, y, **options)


sys.modules[__name__].__class__ = _Callable
