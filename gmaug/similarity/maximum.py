"""The largest of several noisy means is too large: how far it can be trusted (Eq. 3).

SSIM-supSubCls is a maximum over super-classes. Each mean carries an error, and the maximum picks
the one whose error happens to point upwards: with k equal means it lies 1.16 (k = 5) to 1.49
(k = 9) standard errors too high. Super-classes share no image, so their errors are independent;
everything here rests on that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from gmaug.similarity.estimates import LEVEL, Estimate, Sample, quantile

SPLITS = 50  # random halvings: the split-half value then moves by a tenth of its standard error or less


def measured(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Those that have a value."""
    return {name: e for name, e in estimates.items() if not math.isnan(e.value)}


def argmax_probability(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Probability that each super-class is the one with the largest true mean.

    Each true mean is taken as normal around its estimate, with its standard error, independent of
    the others. By quadrature, so there is no seed. Super-classes without a standard error are
    left out.
    """
    from scipy.special import ndtr

    known = {name: e for name, e in measured(estimates).items() if e.se > 0}
    if not known:
        return {}
    value = np.array([e.value for e in known.values()])
    se = np.array([e.se for e in known.values()])
    grid = np.unique(
        np.concatenate([v + s * np.linspace(-8, 8, 801) for v, s in zip(value, se, strict=True)])
    )
    z = (grid[:, None] - value) / se
    below, density = ndtr(z), np.exp(-0.5 * z**2) / (se * math.sqrt(2 * math.pi))
    shares = []
    for k in range(len(value)):
        others = np.prod(np.delete(below, k, axis=1), axis=1)
        shares.append(np.trapezoid(density[:, k] * others, grid))
    total = sum(shares)
    return {name: float(share / total) for name, share in zip(known, shares, strict=True)}


def simultaneous_interval(estimates: Mapping[str, Estimate], *, level: float = LEVEL) -> tuple[float, float]:
    """Interval that holds the largest true mean with at least this probability.

    Every mean gets an interval of level ``level ** (1 / k)``, so that all k hold at once with
    probability `level` (Šidák, for independent errors); the largest true mean then lies between
    the largest lower end and the largest upper end. (nan, nan) if a mean has no standard error.
    """
    known = measured(estimates)
    if not known or any(math.isnan(e.se) for e in known.values()):
        return math.nan, math.nan
    each = level ** (1 / len(known))
    reach = {name: quantile(e.images - 1, each) * e.se for name, e in known.items()}
    low = max(e.value - reach[name] for name, e in known.items())
    high = max(e.value + reach[name] for name, e in known.items())
    return low, high


def split_half(samples: Mapping[str, Sample], *, seed: int, splits: int = SPLITS) -> float:
    """The maximum without its optimism: chosen on one half of the images, measured on the other.

    Images of every super-class are halved at random; the super-class with the largest mean over
    pairs within the one halves is chosen, and its mean over pairs within the other halves is
    taken; then the halves change places. The mean over `splits` halvings.

    Returns
    -------
    float
        NaN if no halving left pairs in both halves.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        first, second = {}, {}
        for name, sample in samples.items():
            side = rng.permutation(sample.images) < sample.images / 2
            a, b = side[sample.pairs[:, 0]], side[sample.pairs[:, 1]]
            if (a & b).any() and (~a & ~b).any():
                first[name], second[name] = sample.values[a & b].mean(), sample.values[~a & ~b].mean()
        if first:
            found.append(second[max(first, key=first.get)])
            found.append(first[max(second, key=second.get)])
    return float(np.mean(found)) if found else math.nan


def bias_of_maximum(means: np.ndarray, se: np.ndarray, *, seed: int, draws: int = 20_000) -> float:
    """By how much the largest of noisy means exceeds the largest true mean, on average (simulation)."""
    means, se = np.asarray(means, float), np.asarray(se, float)
    noisy = means + se * np.random.default_rng(seed).standard_normal((draws, len(means)))
    return float(noisy.max(axis=1).mean() - means.max())
