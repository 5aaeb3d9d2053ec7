"""Exact tests on few points: ranks, counts, and corrections for having tried several."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import permutations

import numpy as np
import pandas as pd
from scipy import stats

EXACT_UP_TO = 9  # 9! = 362,880 orders take a second; 10! would take a dozen, and 11! minutes


def rank_test(
    x: np.ndarray, y: np.ndarray, *, method: str = "spearman", seed: int = 0, draws: int = 100_000
) -> tuple[float, float]:
    """Rank correlation and its two-sided p-value over all orders of `y`.

    Parameters
    ----------
    method : {"spearman", "kendall"}
    seed, draws : int
        Used only beyond :data:`EXACT_UP_TO` points, where orders are drawn at random.

    Returns
    -------
    (float, float)
        Correlation, -1 to 1, and p: the share of orders at least as extreme.
    """
    x, y = _pair(x, y)
    observed = correlations(x[None], y, method)[0]
    everything = correlations(x[orders(len(x), seed=seed, draws=draws)], y, method)
    extreme = np.abs(everything) >= abs(observed) - 1e-12
    if len(x) > EXACT_UP_TO:  # the observed order counts as one of the draws
        return float(observed), float((extreme.sum() + 1) / (len(extreme) + 1))
    return float(observed), float(extreme.mean())


def orders(n: int, *, seed: int = 0, draws: int = 100_000) -> np.ndarray:
    """Every order of n things, shape (n!, n), or `draws` random ones where n! is too many."""
    if n <= EXACT_UP_TO:
        return np.array(list(permutations(range(n))), dtype=np.int8)
    rng = np.random.default_rng(seed)
    return rng.permuted(np.tile(np.arange(n), (draws, 1)), axis=1)


def accuracy_tests(points: pd.DataFrame) -> pd.DataFrame:
    """Could the change of each accuracy be chance? Fisher's exact test on the counts.

    Parameters
    ----------
    points : DataFrame
        As :func:`gmaug.law.curve.paper_points` gives them.

    Returns
    -------
    DataFrame
        ``dataset``, ``model``, ``images``, ``right_before``, ``right_after`` (counts nearest to the
        printed percentages), ``p`` (two-sided), and ``p_holm``, corrected for the number of rows.

    Notes
    -----
    The two accuracies were measured on the same images; a paired test would be sharper, but the
    paper does not say which images changed.
    """
    n = points["validation_images"].to_numpy(int)
    before, after = (
        np.rint(points[column].to_numpy(float) * n / 100).astype(int) for column in ("original", "augmented")
    )
    p = [
        stats.fisher_exact([[b, m - b], [a, m - a]]).pvalue for b, a, m in zip(before, after, n, strict=True)
    ]
    table = points[["dataset", "model"]].reset_index(drop=True)
    return table.assign(images=n, right_before=before, right_after=after, p=p, p_holm=holm(p))


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: p-values, shape (n,), each at most 1."""
    p = np.asarray(p, dtype=float)
    order = np.argsort(p)
    stepped = np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p))))
    out = np.empty_like(p)
    out[order] = np.minimum(stepped, 1.0)
    return out


def correlations(x: np.ndarray, y: np.ndarray, method: str = "spearman") -> np.ndarray:
    """Rank correlation of each row of `x`, shape (m, n), with `y`, shape (n,): shape (m,)."""
    if method == "spearman":
        a, b = stats.rankdata(x, axis=1), stats.rankdata(y)
        a, b = a - a.mean(axis=1, keepdims=True), b - b.mean()
        scale = np.sqrt((a**2).sum(axis=1) * (b @ b))
    elif method == "kendall":
        left, right = np.triu_indices(len(y), 1)
        a, b = np.sign(x[:, left] - x[:, right]), np.sign(y[left] - y[right])
        scale = np.sqrt((a**2).sum(axis=1) * (b @ b))
    else:
        raise ValueError(f"method={method!r}; use 'spearman' or 'kendall'")
    return (a @ b) / np.where(scale > 0, scale, np.inf)


def _pair(x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape or len(x) < 3:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; give two vectors of one length, 3 or more")
    return x, y


def gain_intervals(points: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Interval of each relative gain from the sizes of the validation sets.

    Parameters
    ----------
    points : DataFrame
        Columns ``original``, ``augmented`` (percent) and ``validation_images``.
    level : float
        Coverage aimed at.

    Returns
    -------
    DataFrame
        ``low`` and ``high``, percent, row by row: Katz's interval for a ratio of two independent
        proportions (normal on the logarithm), the ratio less one. NaN where nothing was right.
    """
    n = points["validation_images"].to_numpy(float)
    before, after = (points[column].to_numpy(float) / 100 for column in ("original", "augmented"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = after / before
        se = np.sqrt((1 - before) / (before * n) + (1 - after) / (after * n))
        factor = np.exp(stats.norm.ppf(0.5 + level / 2) * se)
        low, high = 100 * (ratio / factor - 1), 100 * (ratio * factor - 1)
    bad = ~np.isfinite(se)
    return pd.DataFrame(
        {"low": np.where(bad, np.nan, low), "high": np.where(bad, np.nan, high)}, points.index
    )
