"""The decay law (section 4.3, Eq. 4, Table 6): curves through gain against similarity, and what they carry.

The paper's points; curves, each a function ``(x, y) -> Fit``; how well they predict a point that they have
not seen; the interval for a new data set. Gains are in percent of the original accuracy.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gmaug import published

# The paper's points

PREDICTORS = {
    "ssim_sup_sub_cls": "SSIM-supSubCls",
    "ssim_merge_cls": "SSIM-mergeCls",
    "original": "original accuracy",
    "enlargement": "enlargement of the training set",
    "images_per_class": "training images per class",
}
"""Columns of :func:`paper_points` that may stand on the x axis, with their labels."""

LOGARITHMIC = frozenset({"enlargement", "images_per_class"})
"""Those that span a factor of ten or more: a curve runs in log2 of them."""


def paper_points() -> pd.DataFrame:
    """The points of Fig. 7: eight for the cGAN, three for guided diffusion (GD), ResNet18.

    Columns ``dataset``, ``model`` (``cGAN``, which come first, or ``GD``), those of :data:`PREDICTORS`,
    ``augmented`` (the accuracy after) and ``gain`` (relative; percent, from Table 3, not rounded), and
    ``validation_images``.
    """
    table = published.load("table3").merge(published.load("table5"), on="dataset")
    table = table.merge(published.training_sets(), on="dataset")
    table["original"] = table["original_resnet18"]
    columns = ["dataset", *PREDICTORS, "validation_images"]
    models = {"cGAN": "cgan_augcls_resnet18", "GD": "gd_augcls_resnet18"}
    parts = [table[columns].assign(model=name, augmented=table[after]) for name, after in models.items()]
    points = pd.concat(parts).dropna().reset_index(drop=True)
    return points.assign(gain=100 * (points["augmented"] - points["original"]) / points["original"])


def paper_predictors() -> pd.DataFrame:
    """The cGAN's points of :func:`paper_points`, one for each of the paper's eight data sets."""
    points = paper_points()
    return points[points["model"] == "cGAN"]


def values(frame: pd.DataFrame, predictor: str) -> np.ndarray:
    """The x of a predictor, shape (n,), in log2 for those in :data:`LOGARITHMIC`."""
    x = frame[predictor].to_numpy(float)
    return np.log2(x) if predictor in LOGARITHMIC else x


# Curves

# Decay rates tried, in units of 1 / (range of x): beyond +-60 a curve through the points is a spike
# at one of them, and least squares no longer tells such rates apart.
_RATES = np.linspace(-60.0, 60.0, 241)


@dataclass(frozen=True)
class Fit:
    """A fitted curve; call it at new `x` (array or number) to get percent."""

    # exponentials: amplitude (percent), rate (per unit of x); line: intercept, slope; steps: threshold,
    # below, above; mean: mean; isotonic has none
    parameters: Mapping[str, float]
    curve: Callable[[np.ndarray], np.ndarray] = field(repr=False, compare=False)

    def __call__(self, x: np.ndarray | float) -> np.ndarray:
        return self.curve(np.asarray(x, dtype=float))


Model = str | Callable[[np.ndarray, np.ndarray], Fit]
"""A key of :data:`MODELS`, or a function that fits."""


def exponential(x: np.ndarray, y: np.ndarray) -> Fit:
    """Non-linear least squares of ``A * exp(-k * x)`` (Eq. 4 in its two identifiable constants).

    For a given rate the best amplitude is known, so one number is searched: on a grid first, since
    the sum of squares may have two minima, then by Brent's method.
    """
    x, y = _checked(x, y, least=2)
    low, width = float(x.min()), float(np.ptp(x)) or 1.0
    u = (x - low) / width

    def lost(rate: float) -> float:
        e = np.exp(-rate * u)
        return float(np.sum((y - e * (y @ e) / (e @ e)) ** 2))

    basis = np.exp(-np.outer(_RATES, u))
    start = int(np.argmax((basis @ y) ** 2 / np.sum(basis**2, axis=1)))  # most explained, least lost
    bounds = _RATES[max(start - 1, 0)], _RATES[min(start + 1, len(_RATES) - 1)]
    found = optimize.minimize_scalar(lost, bounds=bounds, method="bounded", options={"xatol": 1e-9})
    e = np.exp(-found.x * u)
    return _exponential(float((y @ e) / (e @ e)), float(found.x) / width, low)


def log_linear(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``log y`` on `x`: the same curve, every relative error weighing the same."""
    x, y = _checked(x, y, least=2)
    if np.any(y <= 0):
        raise ValueError("log_linear needs positive gains; use 'exponential' where a gain is zero or below")
    slope, level = _straight(x, np.log(y))
    return _exponential(float(np.exp(level + slope * x.min())), -slope, float(x.min()))


def line(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least-squares straight line."""
    slope, intercept = _straight(*_checked(x, y, least=2))
    return Fit({"intercept": intercept, "slope": slope}, lambda at: intercept + slope * at)


def step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels with the threshold (midway between two points) that least squares prefers."""
    x, y = _checked(x, y, least=2)
    known = np.unique(x)
    splits = []
    for threshold in (known[:-1] + known[1:]) / 2 if len(known) > 1 else known:
        below, above = (float(y[side].mean()) for side in (x <= threshold, x >= threshold))
        lost = np.sum((y - np.where(x < threshold, below, above)) ** 2)
        splits.append((lost, float(threshold), below, above))
    _, threshold, below, above = min(splits)
    parameters = {"threshold": threshold, "below": below, "above": above}
    return Fit(parameters, lambda at: np.where(at < threshold, below, above))


def published_step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels split at the paper's threshold for SSIM-supSubCls, flowers' own value included below.

    Only for x = SSIM-supSubCls. The threshold was read off the very points that it splits, so this
    model's leave-one-out error is flattered; ``step``, which has to find it again, is not.
    """
    x, y = _checked(x, y, least=1)
    threshold = published.THRESHOLDS["ssim_sup_sub_cls"]
    low = x <= threshold
    below, above = (float(y[side].mean()) if side.any() else float(y.mean()) for side in (low, ~low))
    parameters = {"threshold": threshold, "below": below, "above": above}
    return Fit(parameters, lambda at: np.where(at <= threshold, below, above))


def isotonic(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares among all monotone curves, falling or rising as the ranks do.

    Straight between the points, level beyond them: the model that assumes the least.
    """
    x, y = _checked(x, y, least=2)
    known, inverse = np.unique(x, return_inverse=True)
    weights = np.bincount(inverse)
    means = np.bincount(inverse, weights=y) / weights
    rising = len(known) > 1 and stats.kendalltau(x, y).statistic > 0
    levels = optimize.isotonic_regression(means, weights=weights, increasing=bool(rising)).x
    return Fit({}, lambda at: np.interp(at, known, levels))


def mean(x: np.ndarray, y: np.ndarray) -> Fit:
    """The mean gain whatever `x`: what a law has to beat."""
    level = float(_checked(x, y, least=1)[1].mean())
    return Fit({"mean": level}, lambda at: np.full_like(at, level))


MODELS: dict[str, Callable[[np.ndarray, np.ndarray], Fit]] = {
    f.__name__: f for f in (exponential, log_linear, line, step, isotonic, mean)
}


def fit(x: np.ndarray, y: np.ndarray, *, model: Model = "exponential") -> Fit:
    """Fit one of :data:`MODELS`, or a function like those in it, to gains `y` (percent), shape (n,)."""
    if callable(model):
        return model(x, y)
    if model not in MODELS:
        raise ValueError(f"model={model!r}; use one of {', '.join(MODELS)}")
    return MODELS[model](x, y)


def refit() -> Fit:
    """Least-squares exponential through Table 5 as printed: the curve that the authors fitted."""
    five = published.load("table5")
    return fit(five["ssim_sup_sub_cls"], five["cgan_augcls_improvement"])


def _exponential(at_low: float, rate: float, low: float) -> Fit:
    # Kept relative to the smallest x: with x in the hundreds the amplitude at 0 would overflow.
    with np.errstate(over="ignore"):
        amplitude = float(at_low * np.exp(np.clip(rate * low, -700, 700)))
    parameters = {"amplitude": amplitude, "rate": float(rate)}
    return Fit(parameters, lambda at: at_low * np.exp(-rate * (at - low)))


def _straight(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the least-squares line."""
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread if spread else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _checked(x: np.ndarray, y: np.ndarray, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; give two vectors of one length")
    if len(x) < least:
        raise ValueError(f"{len(x)} points are too few for this; give at least {least}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x or y holds a value that is not finite; drop those points first")
    return x, y


# Predictions of what was not seen


def leave_one_out(x: np.ndarray, y: np.ndarray, *, model: Model = "exponential") -> np.ndarray:
    """Prediction of each point by the curve through the others, shape (n,), percent."""
    x, y = _checked(x, y, least=3)
    keep = ~np.eye(len(x), dtype=bool)
    return np.array([float(fit(x[others], y[others], model=model)(x[k])) for k, others in enumerate(keep)])


def prediction_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave-one-out error (mean, median) of every predictor with every model but the mean, best first.

    `frame` is as :func:`paper_predictors` gives it. ``log_linear`` is left out if a gain is at or below zero.
    """
    y, rows = frame["gain"].to_numpy(float), []
    models = [name for name in MODELS if name != "mean" and (name != "log_linear" or (y > 0).all())]
    for name, model in product(PREDICTORS, models):
        error = np.abs(y - leave_one_out(values(frame, name), y, model=model))
        rows.append((name, PREDICTORS[name], model, error.mean(), np.median(error)))
    table = pd.DataFrame(rows, columns=["predictor", "label", "model", "loo_mae", "loo_median"])
    return table.sort_values("loo_mae", ignore_index=True)


def jackknife_plus(
    x: np.ndarray,
    y: np.ndarray,
    new: float,
    *,
    model: Model = "exponential",
    level: float = 0.8,
    floor: float = -np.inf,
) -> tuple[float, float]:
    """Interval for the gain of a further data set at `new`, by the jackknife+.

    Parameters
    ----------
    x, y : array_like, shape (n,)
        Predictor and gain (percent) of the known data sets.
    new : float
        Predictor of the new one.
    level : float
        Nominal: what is met in practice. Guaranteed is ``1 - 2 (1 - level)``, 60 % at 80 %, and that
        only if the new set is exchangeable with the known ones. With n points the most that can be had
        is n / (n + 1): eight give 0.88, so no honest 95 % interval exists that assumes no more.
    floor : float
        The least value possible, e.g. -100 for a relative gain.

    Notes
    -----
    Barber, Candes, Ramdas and Tibshirani (2021), Annals of Statistics 49(1). ``log_linear`` has
    multiplicative errors, so its interval is formed on the logarithm.
    """
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    n = len(x)
    rank = int(np.ceil(level * (n + 1) - 1e-9))
    if not 0 < level < 1 or rank > n:
        raise ValueError(f"level={level} cannot be had from {n} points; ask for at most {n / (n + 1):.2f}")
    to, back = (np.log, np.exp) if model == "log_linear" else (float, float)
    low, high = np.empty(n), np.empty(n)
    for k in range(n):
        others = np.arange(n) != k
        fitted = fit(x[others], y[others], model=model)
        here, there, actual = to(float(fitted(new))), to(float(fitted(x[k]))), to(y[k])
        low[k], high[k] = here - abs(actual - there), here + abs(actual - there)
    bounds = float(back(np.sort(low)[n - rank])), float(back(np.sort(high)[rank - 1]))
    return max(bounds[0], floor), max(bounds[1], floor)
