"""The decay law (section 4.3, Eq. 4): curves through improvement against similarity.

Every model is fitted by one function ``(x, y) -> Fit`` and can be called at new `x`; the paper's
own form is ``exponential``. Gains are in percent, so residuals are too. What the uncertainty of a
curve is, :mod:`gmaug.law.uncertainty` says; what the paper did, :mod:`gmaug.law.audit` finds out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gmaug import published

GAINS = ("relative", "points", "error_reduction")

# Decay rates tried, in units of 1 / (range of x): beyond +-60 a curve through the points is a spike
# at one of them, and least squares no longer tells such rates apart.
_RATES = np.linspace(-60.0, 60.0, 241)


@dataclass(frozen=True)
class Fit:
    """A fitted curve; call it at new `x` (array or number) to get percent.

    Attributes
    ----------
    model : str
        Key of :data:`MODELS`.
    parameters : mapping of str to float
        ``amplitude`` (percent) and ``rate`` (per unit of x) of an exponential, ``intercept`` and
        ``slope`` of a line, ``threshold``, ``below`` and ``above`` of a step, ``mean``; empty for
        an isotonic fit.
    """

    model: str
    parameters: Mapping[str, float]
    curve: Callable[[np.ndarray], np.ndarray] = field(repr=False, compare=False)

    def __call__(self, x: np.ndarray | float) -> np.ndarray:
        return self.curve(np.asarray(x, dtype=float))


Model = str | Callable[[np.ndarray, np.ndarray], Fit]
"""A key of :data:`MODELS`, or a function that fits."""


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

    Raises
    ------
    ValueError
        If `kind` is unknown, or an original accuracy is 0 (relative) or 100 (error reduction).
    """
    original, augmented = np.asarray(original, dtype=float), np.asarray(augmented, dtype=float)
    if kind not in GAINS:
        raise ValueError(f"kind={kind!r}; use one of {', '.join(GAINS)}")
    base = {"relative": original, "points": 100.0 + 0.0 * original, "error_reduction": 100.0 - original}[kind]
    if np.any(base == 0):
        raise ValueError(f"a {kind} gain divides by zero here; use kind='points'")
    return 100.0 * (augmented - original) / base


def paper_points(*, kind: str = "relative") -> pd.DataFrame:
    """The points of Fig. 7: eight for the cGAN, three for guided diffusion (GD), ResNet18.

    Returns
    -------
    DataFrame
        ``dataset``, ``model`` (``cGAN`` or ``GD``), ``ssim_sup_sub_cls``, ``ssim_merge_cls``,
        ``original`` and ``augmented`` (percent), ``gain`` (percent, from Table 3, not rounded),
        ``validation_images``. cGAN rows come first, in the order of Table 5.
    """
    table = published.load("table3").merge(published.load("table5"), on="dataset")
    table = table.merge(published.training_sets()[["dataset", "validation_images"]], on="dataset")
    parts = []
    for model in ("cGAN", "GD"):
        part = table[["dataset", "ssim_sup_sub_cls", "ssim_merge_cls", "validation_images"]].copy()
        part.insert(1, "model", model)
        part["original"] = table["original_resnet18"]
        part["augmented"] = table[f"{model.lower()}_augcls_resnet18"]
        parts.append(part.dropna())
    points = pd.concat(parts, ignore_index=True)
    points["gain"] = gains(points["original"], points["augmented"], kind=kind)
    return points


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
    left, right = _RATES[max(start - 1, 0)], _RATES[min(start + 1, len(_RATES) - 1)]
    found = optimize.minimize_scalar(lost, bounds=(left, right), method="bounded", options={"xatol": 1e-9})
    e = np.exp(-found.x * u)
    rate = float(found.x) / width
    return _exponential_fit("exponential", float((y @ e) / (e @ e)), rate, low)


def log_linear(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``log y`` on `x`: the same curve, every relative error weighing the same.

    Raises
    ------
    ValueError
        If a gain is not positive.
    """
    x, y = _checked(x, y, least=2)
    if np.any(y <= 0):
        raise ValueError("log_linear needs positive gains; use 'exponential' where a gain is zero or below")
    slope, level = _least_squares_line(x, np.log(y))
    return _exponential_fit("log_linear", float(np.exp(level + slope * x.min())), -slope, float(x.min()))


def line(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least-squares straight line."""
    x, y = _checked(x, y, least=2)
    slope, intercept = _least_squares_line(x, y)
    return Fit("line", _frozen(intercept=intercept, slope=slope), lambda at: intercept + slope * at)


def step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels with the threshold (midway between two points) that least squares prefers."""
    x, y = _checked(x, y, least=2)
    values = np.unique(x)
    if len(values) == 1:
        return Fit("step", _frozen(threshold=x[0], below=y.mean(), above=y.mean()), mean(x, y).curve)
    best = None
    for threshold in (values[:-1] + values[1:]) / 2:
        below, above = y[x < threshold].mean(), y[x > threshold].mean()
        lost = np.sum((y - np.where(x < threshold, below, above)) ** 2)
        if best is None or lost < best[0]:
            best = (lost, threshold, below, above)
    _, threshold, below, above = best
    return Fit(
        "step",
        _frozen(threshold=threshold, below=below, above=above),
        lambda at: np.where(at < threshold, below, above),
    )


def published_step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels split at the paper's threshold for SSIM-supSubCls, flowers' own value included below.

    Only for x = SSIM-supSubCls. The threshold was read off the very points that it splits, so this
    model's leave-one-out error is flattered; ``step``, which has to find it again, is not.
    """
    x, y = _checked(x, y, least=1)
    threshold = published.THRESHOLDS["ssim_sup_sub_cls"]
    low = x <= threshold
    below, above = (float(y[side].mean()) if side.any() else float(y.mean()) for side in (low, ~low))
    return Fit(
        "published_step",
        _frozen(threshold=threshold, below=below, above=above),
        lambda at: np.where(at <= threshold, below, above),
    )


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
    return Fit("isotonic", _frozen(), lambda at: np.interp(at, values, levels))


def mean(x: np.ndarray, y: np.ndarray) -> Fit:
    """The mean gain whatever `x`: what a law has to beat."""
    _, y = _checked(x, y, least=1)
    level = float(y.mean())
    return Fit("mean", _frozen(mean=level), lambda at: np.full_like(at, level))


MODELS: Mapping[str, Callable[[np.ndarray, np.ndarray], Fit]] = MappingProxyType(
    {f.__name__: f for f in (exponential, log_linear, line, step, isotonic, mean)}
)


PAPER_MODELS = (*MODELS, published_step)
"""All of :data:`MODELS` and the step at the paper's own threshold."""


def fit(x: np.ndarray, y: np.ndarray, *, model: Model = "exponential") -> Fit:
    """Fit one of :data:`MODELS`.

    Parameters
    ----------
    x : array_like, shape (n,)
        Similarity, or a rival of it.
    y : array_like, shape (n,)
        Gain in percent.
    model : str or callable
        A key of :data:`MODELS`, or a function like those in it.

    Raises
    ------
    ValueError
        If the model is unknown, lengths differ, a value is not finite, or points are too few.
    """
    if callable(model):
        return model(x, y)
    if model not in MODELS:
        raise ValueError(f"model={model!r}; use one of {', '.join(MODELS)}")
    return MODELS[model](x, y)


def leave_one_out(x: np.ndarray, y: np.ndarray, *, model: Model = "exponential") -> np.ndarray:
    """Prediction of each point by the curve through the others, shape (n,), percent."""
    x, y = _checked(x, y, least=3)
    keep = ~np.eye(len(x), dtype=bool)
    return np.array([float(fit(x[others], y[others], model=model)(x[k])) for k, others in enumerate(keep)])


def compare_models(x: np.ndarray, y: np.ndarray, *, models: Sequence[Model] = tuple(MODELS)) -> pd.DataFrame:
    """In-sample fit and leave-one-out error of several models, best prediction first.

    Returns
    -------
    DataFrame
        ``model``, ``parameters`` (how many), ``r2`` and ``mae`` in sample, ``loo_mae`` and
        ``loo_median`` (mean and median absolute leave-one-out error), percent.
    """
    x, y = _checked(x, y, least=3)
    rows = []
    for model in models:
        fitted, left_out = fit(x, y, model=model), leave_one_out(x, y, model=model)
        residual = y - fitted(x)
        rows.append(
            {
                "model": fitted.model,
                "parameters": len(fitted.parameters) or len(np.unique(fitted(x))),
                "r2": 1.0 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2),
                "mae": np.mean(np.abs(residual)),
                "loo_mae": np.mean(np.abs(y - left_out)),
                "loo_median": np.median(np.abs(y - left_out)),
            }
        )
    return pd.DataFrame(rows).sort_values("loo_mae", ignore_index=True)


def _exponential_fit(model: str, at_low: float, rate: float, low: float) -> Fit:
    # Kept relative to the smallest x: with x in the hundreds the amplitude at 0 would overflow.
    with np.errstate(over="ignore"):
        amplitude = float(at_low * np.exp(np.clip(rate * low, -700, 700)))
    return Fit(model, _frozen(amplitude=amplitude, rate=rate), lambda at: at_low * np.exp(-rate * (at - low)))


def _least_squares_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread if spread else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _frozen(**values: float) -> Mapping[str, float]:
    return MappingProxyType({name: float(value) for name, value in values.items()})


def _checked(x: np.ndarray, y: np.ndarray, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; give two vectors of one length")
    if len(x) < least:
        raise ValueError(f"{len(x)} points are too few for this; give at least {least}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x or y holds a value that is not finite; drop those points first")
    return x, y
