"""Mean SSIM of a set of images with its error (Eq. 2).

Pairs share images, so they are not independent: an error computed as if they were is several
times too small. Here the unit that is redrawn is the image.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs of images.

    Attributes
    ----------
    value : float
        Mean SSIM of the pairs; NaN if there is no pair.
    se : float
        Standard error over images, as a sample of the images there might be; NaN if it cannot be
        told (fewer than three images).
    low, high : float
        95 % interval, Student's t over images.
    images, pairs : int
        How many went in.
    se_pairs : float
        Error of drawing pairs alone: how far the value may be from the mean over *all* pairs of
        these very images. 0 if all pairs were taken.
    """

    value: float
    se: float
    low: float
    high: float
    images: int
    pairs: int
    se_pairs: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        return f"{self.value:.4f}" + ("" if math.isnan(self.se) else f" ± {self.se:.4f}")


def influence(pairs: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """What each image adds to the mean's deviation: ``sum over its pairs (s - mean) / number of pairs``.

    Returns
    -------
    ndarray of float64, shape (n,)
        Leaving image i out moves the mean by about minus this.
    """
    residual = (values - values.mean()) / len(values)
    return np.bincount(pairs[:, 0], residual, n) + np.bincount(pairs[:, 1], residual, n)


def jackknife_se(pairs: np.ndarray, values: np.ndarray, n: int) -> float:
    """Standard error of the mean over pairs when images are the unit.

    Delete-one-image jackknife in closed form. Left as it is, it would count the part of a pair
    that belongs to neither image twice, since the pair goes with either of them; that part is
    taken out once, which gives the variance estimator of dyadic regression: the sum over all
    ordered couples of pairs that share at least one image.

    Parameters
    ----------
    pairs : ndarray of int, shape (m, 2)
        Images 0 to n - 1; a pair may occur more than once.
    values : ndarray of float, shape (m,)
    n : int
        Images.

    Returns
    -------
    float
        NaN if fewer than three images or two different pairs are there.
    """
    if n < 3 or len(values) < 2:
        return math.nan
    moved = influence(pairs, values, n)
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    key, which = np.unique(low.astype(np.int64) * n + high, return_inverse=True)
    if len(key) < 2:
        return math.nan
    own = np.bincount(which, (values - values.mean()) / len(values))
    plain = float((moved**2).sum())
    variance = plain - float((own**2).sum())
    # Few images can make the difference negative; then the plain jackknife, which errs upwards.
    return math.sqrt((variance if variance > 0 else plain) * n / (n - 1))


def estimate(pairs: np.ndarray, values: np.ndarray, n: int) -> Estimate:
    """Mean of `values` with its error; parameters as in :func:`jackknife_se`."""
    if len(values) == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, 0)
    value, se = float(values.mean()), jackknife_se(pairs, values, n)
    every = n * (n - 1) // 2
    spread = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    complete = len(values) == every and len(np.unique(pairs.min(axis=1) * n + pairs.max(axis=1))) == every
    half = quantile(n - 1, LEVEL) * se
    return Estimate(value, se, value - half, value + half, n, len(values), 0.0 if complete else spread)


def quantile(freedom: int, level: float) -> float:
    """Student's t: a two-sided interval of this level reaches so many standard errors to either side."""
    from scipy.special import stdtrit

    return float(stdtrit(max(freedom, 1), 0.5 + level / 2))


@dataclass(frozen=True)
class Sample:
    """The pairs that were scored in one set, in the order they were drawn.

    Attributes
    ----------
    pairs : ndarray of int64, shape (m, 2)
        Images of the set, 0 to n - 1.
    values : ndarray of float64, shape (m,)
        Their SSIM.
    labels : ndarray of int64, shape (n,)
        Sub-class of each image.
    """

    pairs: np.ndarray
    values: np.ndarray
    labels: np.ndarray

    @property
    def images(self) -> int:
        """n, the images of the set."""
        return len(self.labels)

    def estimate(self) -> Estimate:
        """Mean over all pairs."""
        return estimate(self.pairs, self.values, self.images)

    def across(self) -> Estimate:
        """Mean over the pairs whose images are of different sub-classes."""
        differ = self.labels[self.pairs[:, 0]] != self.labels[self.pairs[:, 1]]
        return estimate(self.pairs[differ], self.values[differ], self.images)

    def trace(self, *, points: int = 60) -> pd.DataFrame:
        """Running mean as pairs come in, at numbers of pairs that grow by a constant factor.

        Returns
        -------
        DataFrame
            ``pairs``, ``mean``, ``se`` (over images) and ``se_pairs`` (of drawing pairs alone).
        """
        import pandas as pd

        m = len(self.values)
        marks = np.unique(np.geomspace(min(10, m), m, points).astype(int)) if m else []
        rows = []
        for k in marks:
            seen = np.unique(self.pairs[:k])
            e = estimate(np.searchsorted(seen, self.pairs[:k]), self.values[:k], len(seen))
            rows.append({"pairs": int(k), "mean": e.value, "se": e.se, "se_pairs": e.se_pairs})
        return pd.DataFrame(rows, columns=["pairs", "mean", "se", "se_pairs"])
