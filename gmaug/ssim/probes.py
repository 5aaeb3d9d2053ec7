"""Small experiments that show what SSIM sees and what it does not (notebook 01, section 3.1).

Each takes images and gives back a table; nothing is drawn here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image

from gmaug.datasets.base import ImageSet
from gmaug.ssim import components, ssim
from gmaug.ssim.conventions import CONVENTIONS
from gmaug.ssim.distortions import Distorted, distort, psnr


def verdicts_of(original: np.ndarray, spoilt: Sequence[Distorted]) -> pd.DataFrame:
    """What MSE, PSNR and SSIM say of distorted copies, SSIM taken apart.

    Parameters
    ----------
    original : ndarray of uint8, shape (h, w)
    spoilt : sequence of Distorted

    Returns
    -------
    DataFrame
        ``kind``, ``mse``, ``psnr`` (decibels), ``ssim`` (convention ``paper``), the means over
        its windows of ``luminance``, ``contrast`` and ``structure``, and ``ssim_global``: Eq. 1
        on the whole image at once.
    """
    rows = []
    for one in spoilt:
        parts = components(original, one.image)
        rows.append(
            {
                "kind": one.kind,
                "mse": one.mse,
                "psnr": psnr(one.mse),
                "ssim": ssim(original, one.image),
                "luminance": float(parts.luminance.mean()),
                "contrast": float(parts.contrast.mean()),
                "structure": float(parts.structure.mean()),
                "ssim_global": ssim(original, one.image, convention="global"),
            }
        )
    return pd.DataFrame(rows)


def strengthened(image: np.ndarray, kinds: Sequence[str], errors: Sequence[float]) -> pd.DataFrame:
    """SSIM of ever stronger distortions.

    Parameters
    ----------
    errors : sequence of float
        Mean squared errors to reach, grey levels squared.

    Returns
    -------
    DataFrame
        ``kind``, ``mse``, ``ssim``.
    """
    rows = []
    for kind in kinds:
        for error in errors:
            made = distort(image, kind, mse=error)
            rows.append({"kind": kind, "mse": made.mse, "ssim": ssim(image, made.image)})
    return pd.DataFrame(rows)


def scrambled(*images: np.ndarray, seed: int = 0) -> tuple[np.ndarray, ...]:
    """The images with their pixels in a random order, the same order for all."""
    order = np.random.default_rng(seed).permutation(images[0].size)
    return tuple(image.ravel()[order].reshape(image.shape) for image in images)


def shifted(images: Mapping[str, Image.Image], offsets: Sequence[int], *, size: int = 224) -> pd.DataFrame:
    """SSIM of a photograph's centre with the same window moved sideways by whole pixels.

    Parameters
    ----------
    images : mapping of str to PIL image
        The short side is brought to `size`; the other has to leave room for the largest offset.
    offsets : sequence of int
        Pixels, 0 or more.

    Returns
    -------
    DataFrame
        ``image``, ``offset``, ``ssim``.
    """
    rows = []
    for name, image in images.items():
        grey = image.convert("L")
        scale = (size + max(offsets)) / min(grey.size)
        sides = tuple(round(side * scale) for side in grey.size)
        pixels = np.asarray(grey.resize(sides, Image.Resampling.BILINEAR))
        here = pixels[:size, :size]
        rows += [
            {
                "image": name,
                "offset": int(k),
                "ssim": ssim(here, np.ascontiguousarray(pixels[:size, k : k + size])),
            }
            for k in offsets
        ]
    return pd.DataFrame(rows)


def assumed_range(x: np.ndarray, y: np.ndarray, ranges: Sequence[float]) -> pd.DataFrame:
    """SSIM of two 8-bit images under a right and under wrong dynamic ranges L.

    Parameters
    ----------
    ranges : sequence of float
        L in grey levels; 255 is right. Images in [0, 1] with ``data_range=2`` are the case 510.

    Returns
    -------
    DataFrame
        ``range``, ``ssim``.
    """
    values = [ssim(x.astype(float), y.astype(float), data_range=float(one)) for one in ranges]
    return pd.DataFrame({"range": [float(one) for one in ranges], "ssim": values})


def grain(levels: Sequence[float], *, size: int = 224, seed: int = 0) -> pd.DataFrame:
    """SSIM of two flat grey images that share nothing, with independent grain on each.

    Parameters
    ----------
    levels : sequence of float
        Standard deviation of the grain in grey levels.

    Returns
    -------
    DataFrame
        ``grain``, ``ssim``, and ``expected``: ``C2 / (2 grain**2 + C2)``, what Eq. 1 gives when the
        covariance is 0 and each variance is ``grain**2``.
    """
    rng = np.random.default_rng(seed)
    c2 = CONVENTIONS["paper"].constants()[1]
    rows = []
    for level in levels:
        x, y = 128 + level * rng.standard_normal((2, size, size))
        rows.append(
            {
                "grain": float(level),
                "ssim": ssim(x, y, data_range=255.0),
                "expected": c2 / (2 * level**2 + c2),
            }
        )
    return pd.DataFrame(rows)


def on_plain_ground(image: np.ndarray, share: float, *, level: int = 128) -> np.ndarray:
    """The middle of an image as a disc on a plain ground that takes up `share` of the picture.

    Parameters
    ----------
    image : ndarray of uint8, shape (h, w)
    share : float
        0 leaves the image as it is, 1 leaves nothing of it.
    level : int
        Grey of the ground.
    """
    if not 0 <= share <= 1:
        raise ValueError(f"share={share}; give a number from 0 to 1")
    h, w = image.shape
    away = np.hypot(np.arange(h)[:, None] - (h - 1) / 2, np.arange(w) - (w - 1) / 2)
    if share == 0:
        return image.copy()
    keep = round((1 - share) * image.size)
    inside = np.zeros(image.size, dtype=bool)
    inside[np.argsort(away, axis=None, kind="stable")[:keep]] = True
    return np.where(inside.reshape(image.shape), image, np.uint8(level))


def plain_ground(x: np.ndarray, y: np.ndarray, shares: Sequence[float]) -> pd.DataFrame:
    """SSIM of two images the more of both is covered by one plain ground.

    Returns
    -------
    DataFrame
        ``share``, ``ssim``, and ``ssim_grain``: the same with independent grain of 10 grey levels
        on both.
    """
    rng = np.random.default_rng(0)
    noise = 10 * rng.standard_normal((2, *x.shape))
    rows = []
    for share in shares:
        a, b = on_plain_ground(x, share), on_plain_ground(y, share)
        rough = [
            np.clip(np.rint(one + n), 0, 255).astype(np.uint8) for one, n in zip((a, b), noise, strict=True)
        ]
        rows.append({"share": float(share), "ssim": ssim(a, b), "ssim_grain": ssim(*rough)})
    return pd.DataFrame(rows)


def kinds_of_pairs(
    photographs: Mapping[str, Image.Image], gardens: Mapping[str, ImageSet], *, pairs: int = 40, seed: int = 0
) -> pd.DataFrame:
    """What pairs of images score that are alike in one way or in none (convention ``paper``).

    Parameters
    ----------
    photographs : mapping of str to PIL image
        Every pair of them is scored.
    gardens : mapping of str to ImageSet
        What to call each, and its images; pairs are drawn across and within super-classes.
    pairs : int
        Random pairs of each kind.

    Returns
    -------
    DataFrame
        ``kind``, ``ssim``.
    """
    rng = np.random.default_rng(seed)
    paper = CONVENTIONS["paper"]
    found: dict[str, list[float]] = {}
    noise = rng.integers(0, 256, (2 * pairs, paper.size, paper.size), dtype=np.uint8)
    found["white noise"] = [ssim(noise[2 * k], noise[2 * k + 1]) for k in range(pairs)]
    grey = [paper.prepare(image) for image in photographs.values()]
    found["unrelated photographs"] = [ssim(a, b) for a, b in combinations(grey, 2)]
    for name, images in gardens.items():
        members = list(images.hierarchy.members(images.labels, images.classes).values())
        across, within = [], []
        for _ in range(pairs):
            one, other = rng.choice(len(members), 2, replace=False)
            across.append((rng.choice(members[one]), rng.choice(members[other])))
            within.append(rng.choice(members[rng.integers(len(members))], 2, replace=False))
        for kind, drawn in (("two super-classes", across), ("one super-class", within)):
            found[f"{name}, {kind}"] = [
                ssim(*(paper.prepare(images.image(int(k), size=paper.size)) for k in pair)) for pair in drawn
            ]
    rows = [(kind, value) for kind, values in found.items() for value in values]
    return pd.DataFrame(rows, columns=["kind", "ssim"])
