"""The decay law (section 4.3, Eq. 4, Table 6): curves through gain against similarity, and what they carry.

The file reads in the order of notebook 06: the paper's points; curves, each a function ``(x, y) -> Fit``;
the interval for a new data set; exact tests, since there are eight points; other predictors of the gain.
Gains are in percent, so residuals are too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gmaug import published
from gmaug.statistics import holm

# Points


def gains(original: np.ndarray, augmented: np.ndarray, *, kind: str = "relative") -> np.ndarray:
    """Improvement of an accuracy, in percent.

    Parameters
    ----------
    original, augmented : array_like, percent
        Accuracies before and after augmentation.
    kind : {"relative", "points", "error_reduction"}
        ``relative`` is Table 5's: ``100 (new - old) / old``, which grows without bound as the
        original accuracy falls. ``points`` is the difference; ``error_reduction`` is
        ``100 (new - old) / (100 - old)``.
    """
    original, augmented = np.asarray(original, dtype=float), np.asarray(augmented, dtype=float)
    bases = {"relative": original, "points": 100.0 + 0.0 * original, "error_reduction": 100.0 - original}
    if kind not in bases:
        raise ValueError(f"kind={kind!r}; use one of {', '.join(bases)}")
    if np.any(bases[kind] == 0):
        raise ValueError(f"a {kind} gain divides by zero here; use kind='points'")
    return 100.0 * (augmented - original) / bases[kind]


def paper_points() -> pd.DataFrame:
    """The points of Fig. 7: eight for the cGAN, three for guided diffusion (GD), ResNet18.

    Columns ``dataset``, ``model`` (``cGAN``, which come first, or ``GD``), ``ssim_sup_sub_cls``,
    ``ssim_merge_cls``, ``original``, ``augmented`` and ``gain`` (percent, from Table 3, not rounded), and
    ``validation_images``.
    """
    table = published.load("table3").merge(published.load("table5"), on="dataset")
    table = table.merge(published.training_sets()[["dataset", "validation_images"]], on="dataset")
    about = table[["dataset", "ssim_sup_sub_cls", "ssim_merge_cls", "validation_images"]]
    parts = []
    for model in ("cGAN", "GD"):
        part = about.assign(
            original=table["original_resnet18"], augmented=table[f"{model.lower()}_augcls_resnet18"]
        )
        part.insert(1, "model", model)
        parts.append(part.dropna())
    points = pd.concat(parts, ignore_index=True)
    return points.assign(gain=gains(points["original"], points["augmented"]))


def paper_predictors() -> pd.DataFrame:
    """The paper's eight data sets with every predictor that is known for them (:data:`PREDICTORS`).

    ``gain``, ``points`` and ``error_reduction`` are in percent, of the cGAN with ResNet18 (Table 3).
    """
    points = paper_points()
    frame = points[points["model"] == "cGAN"].drop(columns="model").reset_index(drop=True)
    for kind in ("points", "error_reduction"):
        frame[kind] = gains(frame["original"], frame["augmented"], kind=kind)
    return frame.merge(
        published.training_sets()[["dataset", "enlargement", "images_per_class"]], on="dataset"
    )


# Curves

# Decay rates tried, in units of 1 / (range of x): beyond +-60 a curve through the points is a spike
# at one of them, and least squares no longer tells such rates apart.
_RATES = np.linspace(-60.0, 60.0, 241)


@dataclass(frozen=True)
class Fit:
    """A fitted curve; call it at new `x` (array or number) to get percent."""

    model: str
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
    return _exponential("exponential", float((y @ e) / (e @ e)), float(found.x) / width, low)


def log_linear(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``log y`` on `x`: the same curve, every relative error weighing the same."""
    x, y = _checked(x, y, least=2)
    if np.any(y <= 0):
        raise ValueError("log_linear needs positive gains; use 'exponential' where a gain is zero or below")
    slope, level = _straight(x, np.log(y))
    return _exponential("log_linear", float(np.exp(level + slope * x.min())), -slope, float(x.min()))


def line(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least-squares straight line."""
    slope, intercept = _straight(*_checked(x, y, least=2))
    return Fit("line", {"intercept": intercept, "slope": slope}, lambda at: intercept + slope * at)


def step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels with the threshold (midway between two points) that least squares prefers."""
    x, y = _checked(x, y, least=2)
    values = np.unique(x)
    splits = []
    for threshold in (values[:-1] + values[1:]) / 2 if len(values) > 1 else values:
        below, above = (float(y[side].mean()) for side in (x <= threshold, x >= threshold))
        lost = np.sum((y - np.where(x < threshold, below, above)) ** 2)
        splits.append((lost, float(threshold), below, above))
    _, threshold, below, above = min(splits)
    parameters = {"threshold": threshold, "below": below, "above": above}
    return Fit("step", parameters, lambda at: np.where(at < threshold, below, above))


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
    return Fit("published_step", parameters, lambda at: np.where(at <= threshold, below, above))


def isotonic(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares among all monotone curves, falling or rising as the ranks do.

    Straight between the points, level beyond them: the model that assumes the least.
    """
    x, y = _checked(x, y, least=2)
    values, inverse = np.unique(x, return_inverse=True)
    weights = np.bincount(inverse)
    means = np.bincount(inverse, weights=y) / weights
    rising = len(values) > 1 and stats.kendalltau(x, y).statistic > 0
    levels = optimize.isotonic_regression(means, weights=weights, increasing=bool(rising)).x
    return Fit("isotonic", {}, lambda at: np.interp(at, values, levels))


def mean(x: np.ndarray, y: np.ndarray) -> Fit:
    """The mean gain whatever `x`: what a law has to beat."""
    level = float(_checked(x, y, least=1)[1].mean())
    return Fit("mean", {"mean": level}, lambda at: np.full_like(at, level))


MODELS: dict[str, Callable[[np.ndarray, np.ndarray], Fit]] = {
    f.__name__: f for f in (exponential, log_linear, line, step, isotonic, mean)
}
PAPER_MODELS = (*MODELS, published_step)
"""All of :data:`MODELS` and the step at the paper's own threshold."""


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


def leave_one_out(x: np.ndarray, y: np.ndarray, *, model: Model = "exponential") -> np.ndarray:
    """Prediction of each point by the curve through the others, shape (n,), percent."""
    x, y = _checked(x, y, least=3)
    keep = ~np.eye(len(x), dtype=bool)
    return np.array([float(fit(x[others], y[others], model=model)(x[k])) for k, others in enumerate(keep)])


def compare_models(x: np.ndarray, y: np.ndarray, *, models: Sequence[Model] = tuple(MODELS)) -> pd.DataFrame:
    """In-sample fit (``r2``, ``mae``) and leave-one-out error of models, the best prediction first."""
    x, y = _checked(x, y, least=3)
    rows = []
    for model in models:
        fitted, error = fit(x, y, model=model), np.abs(y - leave_one_out(x, y, model=model))
        residual = y - fitted(x)
        constants = len(fitted.parameters) or len(np.unique(fitted(x)))
        r2 = 1.0 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2)
        rows.append((fitted.model, constants, r2, np.mean(np.abs(residual)), error.mean(), np.median(error)))
    columns = ["model", "parameters", "r2", "mae", "loo_mae", "loo_median"]
    return pd.DataFrame(rows, columns=columns).sort_values("loo_mae", ignore_index=True)


def _exponential(model: str, at_low: float, rate: float, low: float) -> Fit:
    # Kept relative to the smallest x: with x in the hundreds the amplitude at 0 would overflow.
    with np.errstate(over="ignore"):
        amplitude = float(at_low * np.exp(np.clip(rate * low, -700, 700)))
    parameters = {"amplitude": amplitude, "rate": float(rate)}
    return Fit(model, parameters, lambda at: at_low * np.exp(-rate * (at - low)))


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


# Tests


def rank_correlation(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Spearman's correlation of `x`, shape (..., n), with `y`, shape (n,), along the last axis."""
    a, b = stats.rankdata(x, axis=-1), stats.rankdata(y)
    a, b = a - a.mean(axis=-1, keepdims=True), b - b.mean()
    scale = np.sqrt((a**2).sum(axis=-1) * (b @ b))
    return (a @ b) / np.where(scale > 0, scale, np.inf)


def rank_tests(
    predictors: Mapping[str, np.ndarray] | pd.DataFrame,
    gain: np.ndarray,
    *,
    seed: int = 0,
    draws: int = 100_000,
) -> pd.DataFrame:
    """Spearman's correlation of each predictor with the gain, tested over all orders of the gains.

    Parameters
    ----------
    predictors : mapping of str to array_like, shape (n,), or DataFrame
    gain : array_like, shape (n,)
    seed, draws : int
        Beyond eight points there are more orders than `draws`; then so many random ones are taken.

    Returns
    -------
    DataFrame
        Best first: ``predictor``, ``spearman``, ``p`` (two-sided), and ``p_any``: how often, were the gains
        in random order, the *best* of these predictors would do as well. It pays for having tried several.
    """
    columns = {name: np.asarray(values, dtype=float) for name, values in dict(predictors).items()}
    y = np.asarray(gain, dtype=float)
    for name, values in columns.items():
        if values.shape != y.shape or y.ndim != 1 or len(y) < 3:
            raise ValueError(f"{name} has shape {values.shape} and gain {y.shape}; give vectors of 3 or more")

    def exact(tried: Sequence[np.ndarray]) -> Any:
        def strongest(order: np.ndarray, axis: int = -1) -> np.ndarray:
            return np.max([np.abs(rank_correlation(order, values)) for values in tried], axis=0)

        return stats.permutation_test(
            (stats.rankdata(y),), strongest, permutation_type="pairings", vectorized=True, axis=-1,
            n_resamples=draws, alternative="greater", rng=np.random.default_rng(seed),
        )  # fmt: skip

    best = exact(list(columns.values())).null_distribution
    rows = []
    for name, values in columns.items():
        rho = float(rank_correlation(y, values))
        rows.append((name, rho, float(exact([values]).pvalue), float(np.mean(best >= abs(rho) - 1e-12))))
    table = pd.DataFrame(rows, columns=["predictor", "spearman", "p", "p_any"])
    return table.sort_values("p", kind="stable", ignore_index=True)


def rank_test(x: np.ndarray, y: np.ndarray, **options: int) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value over all orders of `y` (see :func:`rank_tests`)."""
    row = rank_tests({"x": x}, y, **options).iloc[0]
    return float(row["spearman"]), float(row["p"])


def accuracy_tests(points: pd.DataFrame) -> pd.DataFrame:
    """Could the change of each accuracy be chance? Fisher's exact test on the counts, two-sided.

    `points` are those of :func:`paper_points`; ``right_before`` and ``right_after`` are the counts nearest
    to the printed percentages, and ``p_holm`` is corrected for the number of rows. Both accuracies were
    measured on the same images; a paired test would be sharper, but the paper does not say which changed.
    """
    n = points["validation_images"].to_numpy(int)
    before, after = (
        np.rint(points[column].to_numpy(float) * n / 100).astype(int) for column in ("original", "augmented")
    )
    counts = zip(before, after, n, strict=True)
    p = [stats.fisher_exact([[b, m - b], [a, m - a]]).pvalue for b, a, m in counts]
    table = points[["dataset", "model"]].reset_index(drop=True)
    return table.assign(images=n, right_before=before, right_after=after, p=p, p_holm=holm(p))


def gain_intervals(points: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Interval of each relative gain, ``low`` to ``high`` in percent, from the sizes of the validation sets.

    Katz's interval for a ratio of two independent proportions (normal on the logarithm), the ratio less
    one; NaN where nothing was right. `points` are those of :func:`paper_points`.
    """
    n = points["validation_images"].to_numpy(float)
    before, after = (points[column].to_numpy(float) / 100 for column in ("original", "augmented"))
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, se = after / before, np.sqrt((1 - before) / (before * n) + (1 - after) / (after * n))
        factor = np.where(np.isfinite(se), np.exp(stats.norm.ppf(0.5 + level / 2) * se), np.nan)
        ends = {"low": 100 * (ratio / factor - 1), "high": 100 * (ratio * factor - 1)}
    return pd.DataFrame(ends, points.index)


# Rivals

PREDICTORS = {
    "ssim_sup_sub_cls": "SSIM-supSubCls",
    "ssim_merge_cls": "SSIM-mergeCls",
    "original": "original accuracy",
    "enlargement": "enlargement of the training set",
    "images_per_class": "training images per class",
}
"""Columns of :func:`paper_predictors` that may stand on the x axis, with their labels."""

LOGARITHMIC = frozenset({"enlargement", "images_per_class"})
"""Those that span a factor of ten or more: a curve runs in log2 of them."""


def values(frame: pd.DataFrame, predictor: str) -> np.ndarray:
    """The x of a predictor, shape (n,), in log2 for those in :data:`LOGARITHMIC`."""
    x = frame[predictor].to_numpy(float)
    return np.log2(x) if predictor in LOGARITHMIC else x


def prediction_table(frame: pd.DataFrame) -> pd.DataFrame:
    """Leave-one-out error (mean, median) of every predictor with every model but the mean, best first.

    ``log_linear`` is left out if a gain is at or below zero.
    """
    y, rows = frame["gain"].to_numpy(float), []
    models = [name for name in MODELS if name != "mean" and (name != "log_linear" or (y > 0).all())]
    for name, model in product(PREDICTORS, models):
        error = np.abs(y - leave_one_out(values(frame, name), y, model=model))
        rows.append((name, PREDICTORS[name], model, error.mean(), np.median(error)))
    table = pd.DataFrame(rows, columns=["predictor", "label", "model", "loo_mae", "loo_median"])
    return table.sort_values("loo_mae", ignore_index=True)
