"""How far eight points can carry a curve: bands, intervals, influence.

Two things vary. The *data sets* are eight of all there might be; and each accuracy was measured on
few images (30 for Amphibians), so it carries binomial noise. :func:`nested_bootstrap` redraws
both, the second inside the first. Exact tests are in :mod:`gmaug.law.significance`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from gmaug.law import curve


@dataclass(frozen=True)
class Band:
    """A pointwise band around a curve.

    Attributes
    ----------
    x, low, median, high : ndarray, shape (m,)
        Percent, at similarity `x`.
    parameters : DataFrame
        The curve's parameters, one row a draw.
    level : float
        Share of the draws between `low` and `high`.
    """

    x: np.ndarray
    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    parameters: pd.DataFrame
    level: float


def nested_bootstrap(
    points: pd.DataFrame,
    at: np.ndarray,
    *,
    seed: int,
    x: str = "ssim_sup_sub_cls",
    model: curve.Model = "exponential",
    draws: int = 2000,
    level: float = 0.95,
    datasets: bool = True,
    noise: bool = True,
) -> Band:
    """Percentile bootstrap over data sets, with binomial noise in the accuracies inside it.

    Parameters
    ----------
    points : DataFrame
        Columns `x`, ``original``, ``augmented`` (percent) and ``validation_images``, as
        :func:`gmaug.law.curve.paper_points` gives them.
    at : array_like, shape (m,)
        Where the band is wanted.
    seed : int
        Seed of the draws.
    x : str
        Column of the predictor.
    model : str or callable
        What is fitted to each draw.
    draws : int
        Number of draws.
    level : float
        Coverage aimed at, 0 to 1.
    datasets, noise : bool
        Which of the two sources to redraw.

    Notes
    -----
    Before and after are drawn independently, since the paper does not say which images were right
    both times; had it done so the noise would be smaller. That each accuracy is the best of many
    epochs is not modelled: it biases both upwards. Draws with fewer than three different data sets
    cannot carry two constants and are drawn again.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95")
    rng = np.random.default_rng(seed)
    at = np.asarray(at, dtype=float)
    predictor = points[x].to_numpy(float)
    n = points["validation_images"].to_numpy(int)
    original, augmented = (points[c].to_numpy(float) / 100 for c in ("original", "augmented"))
    curves, parameters = np.empty((draws, len(at))), []
    for draw in range(draws):
        chosen = _resample(rng, predictor) if datasets else np.arange(len(points))
        before, after = original[chosen], augmented[chosen]
        if noise:
            before, after = _binomial(rng, n[chosen], before, after)
        fitted = curve.fit(predictor[chosen], curve.gains(100 * before, 100 * after), model=model)
        curves[draw] = fitted(at)
        parameters.append(dict(fitted.parameters))
    tail = 50 * (1 - level)
    low, median, high = np.percentile(curves, [tail, 50, 100 - tail], axis=0)
    return Band(at, low, median, high, pd.DataFrame(parameters), level)


def jackknife(
    x: np.ndarray, y: np.ndarray, *, names: Sequence[str], model: curve.Model = "exponential"
) -> pd.DataFrame:
    """The fit without each point in turn: how much each data set says.

    Returns
    -------
    DataFrame
        ``without``, the parameters of the curve through the others, ``predicted`` (percent, at the
        point left out), ``actual``, ``error`` (predicted - actual), and ``largest_shift``: how far
        the curve moves at any of the points when this one is dropped.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    whole, rows = curve.fit(x, y, model=model), []
    for k, name in enumerate(names):
        others = np.arange(len(x)) != k
        fitted = curve.fit(x[others], y[others], model=model)
        predicted = float(fitted(x[k]))
        rows.append(
            {
                "without": name,
                **fitted.parameters,
                "predicted": predicted,
                "actual": y[k],
                "error": predicted - y[k],
                "largest_shift": float(np.max(np.abs(fitted(x) - whole(x)))),
            }
        )
    return pd.DataFrame(rows)


def unseen(
    x: np.ndarray, y: np.ndarray, *, names: Sequence[str], models: Sequence[curve.Model] = curve.PAPER_MODELS
) -> pd.DataFrame:
    """Every point as each model predicts it from the others.

    Returns
    -------
    DataFrame
        ``dataset``, ``actual``, and a column of predictions for each model, percent.
    """
    table = pd.DataFrame({"dataset": list(names), "actual": np.asarray(y, dtype=float)})
    for model in models:
        table[curve.fit(x, y, model=model).model] = curve.leave_one_out(x, y, model=model)
    return table


def jackknife_se(values: np.ndarray) -> float:
    """Jackknife standard error of an estimate from its leave-one-out values, shape (n,)."""
    values = np.asarray(values, dtype=float)
    return float(np.sqrt((len(values) - 1) / len(values) * np.sum((values - values.mean()) ** 2)))


def prediction_interval(
    x: np.ndarray,
    y: np.ndarray,
    new: float,
    *,
    model: curve.Model = "exponential",
    level: float = 0.8,
    floor: float | None = None,
) -> tuple[float, float]:
    """Interval for the gain of a further data set at `new`, by the jackknife+.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Predictor and gain (percent) of the known data sets.
    new : float
        Predictor of the new one.
    level : float
        Aimed at. With n points the most that can be had is n / (n + 1): eight give 0.88, so no
        honest 95 % interval exists that assumes no more than this one.
    floor : float, optional
        The least value possible, e.g. -100 for a relative gain.

    Returns
    -------
    (float, float)
        Percent.

    Notes
    -----
    Barber, Candes, Ramdas and Tibshirani (2021): if the new set is exchangeable with the known
    ones, coverage is at least ``1 - 2 (1 - level)`` and in practice about `level`. ``log_linear``
    has multiplicative errors, so its interval is formed on the logarithm.

    Raises
    ------
    ValueError
        If `level` is more than the points can give.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    rank = int(np.ceil(level * (n + 1) - 1e-9))
    if not 0 < level < 1 or rank > n:
        raise ValueError(f"level={level} cannot be had from {n} points; ask for at most {n / (n + 1):.2f}")
    logarithmic = model == "log_linear"
    low, high = np.empty(n), np.empty(n)
    for k in range(n):
        others = np.arange(n) != k
        fitted = curve.fit(x[others], y[others], model=model)
        here, there, actual = float(fitted(new)), float(fitted(x[k])), y[k]
        if logarithmic:
            here, there, actual = np.log([here, there, actual])
        low[k], high[k] = here - abs(actual - there), here + abs(actual - there)
    bounds = np.sort(low)[n - rank], np.sort(high)[rank - 1]
    bounds = tuple(float(np.exp(b) if logarithmic else b) for b in bounds)
    return bounds if floor is None else (max(bounds[0], floor), max(bounds[1], floor))


def _resample(rng: np.random.Generator, x: np.ndarray) -> np.ndarray:
    while True:
        chosen = rng.integers(0, len(x), len(x))
        if len(np.unique(x[chosen])) >= min(3, len(np.unique(x))):
            return chosen


def _binomial(
    rng: np.random.Generator, n: np.ndarray, before: np.ndarray, after: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    new_before, new_after = rng.binomial(n, before) / n, rng.binomial(n, after) / n
    while np.any(nothing := new_before == 0):  # a relative gain over nothing right has no value
        new_before[nothing] = rng.binomial(n[nothing], before[nothing]) / n[nothing]
    return new_before, new_after
