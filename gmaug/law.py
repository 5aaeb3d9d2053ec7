"""The decay law (section 4.3, Eq. 4, Table 6): curves through gain against similarity, and what they carry.

The file reads in the order of notebook 06. *Points*: the paper's gains. *Curves*: every model is a
function ``(x, y) -> Fit``; the paper's own form is :func:`exponential`. *Uncertainty*: a bootstrap band,
leave-one-out, the jackknife+ interval for a new data set. *Tests*: exact, since there are eight points.
*Rivals*: other predictors of the gain. *The printed numbers*: which recipe prints Table 6.

Gains are in percent, so residuals are too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
from scipy import optimize, stats

from gmaug import published

# --- points ----------------------------------------------------------------------------------------


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
    base = bases[kind]
    if np.any(base == 0):
        raise ValueError(f"a {kind} gain divides by zero here; use kind='points'")
    return 100.0 * (augmented - original) / base


def paper_points(*, kind: str = "relative") -> pd.DataFrame:
    """The points of Fig. 7: eight for the cGAN, three for guided diffusion (GD), ResNet18.

    Columns ``dataset``, ``model`` (``cGAN``, which come first, or ``GD``), ``ssim_sup_sub_cls``,
    ``ssim_merge_cls``, ``original``, ``augmented`` and ``gain`` (percent, from Table 3, not rounded), and
    ``validation_images``.
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


def paper_predictors() -> pd.DataFrame:
    """The paper's eight data sets with every predictor that is known for them (:data:`PREDICTORS`).

    ``gain``, ``points`` and ``error_reduction`` are in percent, of the cGAN with ResNet18 (Table 3).
    """
    points = paper_points()
    frame = points[points["model"] == "cGAN"].drop(columns="model").reset_index(drop=True)
    for kind in ("points", "error_reduction"):
        frame[kind] = gains(frame["original"], frame["augmented"], kind=kind)
    sizes = published.training_sets()[["dataset", "enlargement", "images_per_class"]]
    return frame.merge(sizes, on="dataset")


def mae_points() -> pd.DataFrame:
    """What the pipeline does for the MAE classifier, by Table 3, with the same predictors.

    ``p`` is Fisher's exact test on the counts, ``possible`` whether both accuracies are those of a whole
    number of right images: 74.67 % of Amphibians' 30 is not, so its gain is not known and no test may use it.
    """
    table = published.load("table3")[["dataset", "original_mae", "cgan_augcls_mae"]]
    table.columns = ["dataset", "original", "augmented"]
    about = paper_predictors()[["dataset", "ssim_sup_sub_cls", "enlargement", "validation_images"]]
    points = about.merge(table, on="dataset")
    points["gain"] = gains(points["original"], points["augmented"])
    points["p"] = accuracy_tests(points.assign(model="MAE"))["p"]
    n = points["validation_images"]
    points["possible"] = [
        whole_images(before, m)[1] and whole_images(after, m)[1]
        for before, after, m in zip(points["original"], points["augmented"], n, strict=True)
    ]
    return points.rename(columns={"validation_images": "images"})


def whole_images(percent: float, images: int) -> tuple[int, bool]:
    """Right images nearest to a printed percentage, and whether they print as it (rounded or truncated)."""
    right = round(percent * images / 100)
    return right, abs(round(100 * right / images, 2) - percent) < 0.0101


def impossible_cells() -> pd.DataFrame:
    """Cells of Tables 3 and 4 that no whole number of right images gives; ``attrs["cells"]`` of how many.

    iNaturalist-2019 has 3 validation images a class, which is public. The sizes for flowers, scene
    and UTKFace were inferred from these same percentages, so for them the test is no news.
    """
    sizes = published.training_sets().set_index("dataset")["validation_images"]
    rows, cells = [], 0
    for table in ("table3", "table4"):
        for cell in published.load(table).melt("dataset").dropna().itertuples(index=False):
            n, cells = int(sizes[cell.dataset]), cells + 1
            right, possible = whole_images(cell.value, n)
            if not possible:
                nearest = round(100 * right / n, 2)
                rows.append((cell.dataset, table, cell.variable, cell.value, n, right, nearest))
    columns = ["dataset", "table", "column", "printed", "images", "right", "nearest"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.attrs["cells"] = cells
    return frame


# --- curves ----------------------------------------------------------------------------------------

# Decay rates tried, in units of 1 / (range of x): beyond +-60 a curve through the points is a spike
# at one of them, and least squares no longer tells such rates apart.
_RATES = np.linspace(-60.0, 60.0, 241)


@dataclass(frozen=True)
class Fit:
    """A fitted curve; call it at new `x` (array or number) to get percent.

    Parameters are ``amplitude`` (percent) and ``rate`` (per unit of x) of an exponential, ``intercept`` and
    ``slope`` of a line, ``threshold``, ``below`` and ``above`` of a step, ``mean``; isotonic has none.
    """

    model: str
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
    left, right = _RATES[max(start - 1, 0)], _RATES[min(start + 1, len(_RATES) - 1)]
    found = optimize.minimize_scalar(lost, bounds=(left, right), method="bounded", options={"xatol": 1e-9})
    e = np.exp(-found.x * u)
    rate = float(found.x) / width
    return _exponential_fit("exponential", float((y @ e) / (e @ e)), rate, low)


def log_linear(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``log y`` on `x`: the same curve, every relative error weighing the same."""
    x, y = _checked(x, y, least=2)
    if np.any(y <= 0):
        raise ValueError("log_linear needs positive gains; use 'exponential' where a gain is zero or below")
    slope, level = _least_squares_line(x, np.log(y))
    return _exponential_fit("log_linear", float(np.exp(level + slope * x.min())), -slope, float(x.min()))


def line(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least-squares straight line."""
    x, y = _checked(x, y, least=2)
    slope, intercept = _least_squares_line(x, y)
    return Fit("line", _floats(intercept=intercept, slope=slope), lambda at: intercept + slope * at)


def step(x: np.ndarray, y: np.ndarray) -> Fit:
    """Two levels with the threshold (midway between two points) that least squares prefers."""
    x, y = _checked(x, y, least=2)
    values = np.unique(x)
    if len(values) == 1:
        return Fit("step", _floats(threshold=x[0], below=y.mean(), above=y.mean()), mean(x, y).curve)
    splits = []
    for threshold in (values[:-1] + values[1:]) / 2:
        below, above = y[x < threshold].mean(), y[x > threshold].mean()
        lost = np.sum((y - np.where(x < threshold, below, above)) ** 2)
        splits.append((lost, threshold, below, above))
    _, threshold, below, above = min(splits, key=lambda split: split[0])
    parameters = _floats(threshold=threshold, below=below, above=above)
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
    parameters = _floats(threshold=threshold, below=below, above=above)
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
    return Fit("isotonic", _floats(), lambda at: np.interp(at, values, levels))


def mean(x: np.ndarray, y: np.ndarray) -> Fit:
    """The mean gain whatever `x`: what a law has to beat."""
    _, y = _checked(x, y, least=1)
    level = float(y.mean())
    return Fit("mean", _floats(mean=level), lambda at: np.full_like(at, level))


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
        fitted, left_out = fit(x, y, model=model), leave_one_out(x, y, model=model)
        residual = y - fitted(x)
        constants, error = len(fitted.parameters) or len(np.unique(fitted(x))), np.abs(y - left_out)
        r2 = 1.0 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2)
        rows.append((fitted.model, constants, r2, np.mean(np.abs(residual)), error.mean(), np.median(error)))
    columns = ["model", "parameters", "r2", "mae", "loo_mae", "loo_median"]
    return pd.DataFrame(rows, columns=columns).sort_values("loo_mae", ignore_index=True)


def _exponential_fit(model: str, at_low: float, rate: float, low: float) -> Fit:
    # Kept relative to the smallest x: with x in the hundreds the amplitude at 0 would overflow.
    with np.errstate(over="ignore"):
        amplitude = float(at_low * np.exp(np.clip(rate * low, -700, 700)))
    return Fit(model, _floats(amplitude=amplitude, rate=rate), lambda at: at_low * np.exp(-rate * (at - low)))


def _least_squares_line(x: np.ndarray, y: np.ndarray) -> tuple[float, float]:
    centred = x - x.mean()
    spread = float(centred @ centred)
    slope = float(centred @ y) / spread if spread else 0.0
    return slope, float(y.mean() - slope * x.mean())


def _floats(**values: float) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _checked(x: np.ndarray, y: np.ndarray, *, least: int) -> tuple[np.ndarray, np.ndarray]:
    x, y = np.asarray(x, dtype=float), np.asarray(y, dtype=float)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"x has shape {x.shape} and y {y.shape}; give two vectors of one length")
    if len(x) < least:
        raise ValueError(f"{len(x)} points are too few for this; give at least {least}")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("x or y holds a value that is not finite; drop those points first")
    return x, y


# --- uncertainty -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Band:
    """A pointwise band around a curve: arrays of shape (m,), percent."""

    low: np.ndarray
    median: np.ndarray
    high: np.ndarray
    parameters: pd.DataFrame  # of the curve, one row a draw


def bootstrap_band(
    points: pd.DataFrame,
    at: np.ndarray,
    *,
    seed: int,
    redraw: str = "datasets",
    model: Model = "exponential",
    draws: int = 2000,
    level: float = 0.95,
) -> Band:
    """Percentile bootstrap of a fitted curve.

    Parameters
    ----------
    points : DataFrame
        Columns ``ssim_sup_sub_cls``, ``original``, ``augmented`` (percent) and ``validation_images``, as
        :func:`paper_points` gives them.
    at : array_like, shape (m,)
        Where the band is wanted.
    seed : int
        Seed of the draws.
    redraw : {"datasets", "images"}
        ``datasets``: data sets with replacement. A measured gain lies off the curve for two reasons, that
        of its data set and the few images it was measured on, and both are in what is redrawn: this is
        the band of the curve. ``images``: the data sets stay and their validation images are redrawn,
        binomially: how much of that band thirty images alone explain. The two must not be added.
    model : str or callable
        What is fitted to each draw.
    draws : int
        Number of draws.
    level : float
        Coverage aimed at, 0 to 1.

    Notes
    -----
    The two accuracies of a data set are redrawn as if they were independent, which ignores that they
    share images (that makes the band of ``images`` too wide), and the choice of the best of many epochs
    is not modelled. Draws with fewer than three different data sets cannot carry two constants and are
    drawn again.
    """
    if not 0 < level < 1:
        raise ValueError(f"level={level}; give a share between 0 and 1, such as 0.95")
    if redraw not in ("datasets", "images"):
        raise ValueError(f"redraw={redraw!r}; use 'datasets' or 'images'")
    rng = np.random.default_rng(seed)
    at, predictor = np.asarray(at, dtype=float), points["ssim_sup_sub_cls"].to_numpy(float)
    n = points["validation_images"].to_numpy(int)
    before, after = (points[column].to_numpy(float) / 100 for column in ("original", "augmented"))
    gain = gains(100 * before, 100 * after)
    curves, parameters = np.empty((draws, len(at))), []
    for draw in range(draws):
        if redraw == "datasets":
            chosen = _resample(rng, predictor)
            fitted = fit(predictor[chosen], gain[chosen], model=model)
        else:
            fitted = fit(predictor, gains(*_binomial(rng, n, before, after)), model=model)
        curves[draw] = fitted(at)
        parameters.append(dict(fitted.parameters))
    tail = 50 * (1 - level)
    low, median, high = np.percentile(curves, [tail, 50, 100 - tail], axis=0)
    return Band(low, median, high, pd.DataFrame(parameters))


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


def jackknife_plus(
    x: np.ndarray,
    y: np.ndarray,
    new: float,
    *,
    model: Model = "exponential",
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
        Nominal: what is met in practice. Guaranteed is ``1 - 2 (1 - level)``, 60 % at 80 %, and that
        only if the new set is exchangeable with the known ones. With n points the most that can be had
        is n / (n + 1): eight give 0.88, so no honest 95 % interval exists that assumes no more.
    floor : float, optional
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
    logarithmic = model == "log_linear"
    low, high = np.empty(n), np.empty(n)
    for k in range(n):
        others = np.arange(n) != k
        fitted = fit(x[others], y[others], model=model)
        here, there, actual = float(fitted(new)), float(fitted(x[k])), y[k]
        if logarithmic:
            here, there, actual = np.log([here, there, actual])
        low[k], high[k] = here - abs(actual - there), here + abs(actual - there)
    bounds = np.sort(low)[n - rank], np.sort(high)[rank - 1]
    bounds = tuple(float(np.exp(b) if logarithmic else b) for b in bounds)
    return bounds if floor is None else (max(bounds[0], floor), max(bounds[1], floor))


# --- tests -----------------------------------------------------------------------------------------


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
    rank = stats.rankdata(y)

    def strength(order: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.max([np.abs(rank_correlation(order, values)) for values in columns.values()], axis=0)

    def exact(statistic: Callable[..., np.ndarray]) -> Any:
        return stats.permutation_test(
            (rank,), statistic, permutation_type="pairings", vectorized=True, axis=-1,
            n_resamples=draws, alternative="greater", rng=np.random.default_rng(seed),
        )  # fmt: skip

    best = exact(strength).null_distribution
    rows = []
    for name, values in columns.items():
        rho = float(rank_correlation(y, values))
        p = exact(lambda order, axis=-1, v=values: np.abs(rank_correlation(order, v))).pvalue
        rows.append((name, rho, float(p), float(np.mean(best >= abs(rho) - 1e-12))))
    table = pd.DataFrame(rows, columns=["predictor", "spearman", "p", "p_any"])
    return table.sort_values("p", kind="stable", ignore_index=True)


def rank_test(x: np.ndarray, y: np.ndarray, *, seed: int = 0, draws: int = 100_000) -> tuple[float, float]:
    """Spearman's correlation and its two-sided p-value over all orders of `y` (see :func:`rank_tests`)."""
    row = rank_tests({"x": x}, y, seed=seed, draws=draws).iloc[0]
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


def gain_intervals(points: pd.DataFrame, *, level: float = 0.95) -> pd.DataFrame:
    """Interval of each relative gain, ``low`` to ``high`` in percent, from the sizes of the validation sets.

    Katz's interval for a ratio of two independent proportions (normal on the logarithm), the ratio less
    one; NaN where nothing was right. `points` are those of :func:`paper_points`.
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


# --- rivals ----------------------------------------------------------------------------------------

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

RIVAL_MODELS = ("exponential", "log_linear", "line", "step", "isotonic")


def values(frame: pd.DataFrame, predictor: str) -> np.ndarray:
    """The x of a predictor, shape (n,), in log2 for those in :data:`LOGARITHMIC`."""
    if predictor not in frame:
        have = ", ".join(name for name in PREDICTORS if name in frame)
        raise ValueError(f"no predictor {predictor!r} here; these have values: {have}")
    x = frame[predictor].to_numpy(float)
    return np.log2(x) if predictor in LOGARITHMIC else x


def prediction_table(
    frame: pd.DataFrame,
    *,
    predictors: Sequence[str] = tuple(PREDICTORS),
    models: Sequence[str] = RIVAL_MODELS,
) -> pd.DataFrame:
    """Leave-one-out error (mean, median) of every predictor with every model, best first.

    A model that cannot be fitted (``log_linear`` with a gain at or below zero) is left out.
    """
    y, rows = frame["gain"].to_numpy(float), []
    for name, model in product(predictors, models):
        if model == "log_linear" and np.any(y <= 0):
            continue
        error = np.abs(y - leave_one_out(values(frame, name), y, model=model))
        rows.append((name, PREDICTORS[name], model, error.mean(), np.median(error)))
    table = pd.DataFrame(rows, columns=["predictor", "label", "model", "loo_mae", "loo_median"])
    return table.sort_values("loo_mae", ignore_index=True)


def choose_within(frame: pd.DataFrame) -> pd.DataFrame:
    """What choosing the best predictor costs: the choice made anew without each data set.

    The best of many leave-one-out errors flatters itself. Here predictor and model are chosen by
    leave-one-out among the other data sets only, and then judged on the one left out.
    """
    rows = []
    for k in range(len(frame)):
        others, one = frame.drop(index=frame.index[k]), frame.iloc[[k]]
        best = prediction_table(others).iloc[0]
        fitted = fit(values(others, best["predictor"]), others["gain"], model=best["model"])
        predicted = float(fitted(values(one, best["predictor"]))[0])
        actual = float(one["gain"].iloc[0])
        rows.append((one["dataset"].iloc[0], best["predictor"], best["model"], predicted, actual))
    table = pd.DataFrame(rows, columns=["dataset", "predictor", "model", "predicted", "actual"])
    return table.assign(error=table["predicted"] - table["actual"])


# --- the printed numbers -----------------------------------------------------------------------------

DIGITS = 4  # Table 6 prints four decimals
ROWS = {"cGAN": "cGAN-augCls", "GD": "GD-augCls"}


def _r2(y: np.ndarray, f: np.ndarray, *, constants: int = 0) -> float:
    left = len(y) - 1 - constants
    share = np.sum((y - f) ** 2) / np.sum((y - y.mean()) ** 2)
    return float(1 - share * (len(y) - 1) / left) if left > 0 else np.nan


def _pearson(y: np.ndarray, f: np.ndarray) -> float:
    return float(np.corrcoef(y, f)[0, 1]) if np.ptp(f) > 0 else np.nan


def _log_r2(y: np.ndarray, f: np.ndarray) -> float:
    return _r2(np.log(y), np.log(f)) if (f > 0).all() and (y > 0).all() else np.nan


def _standard_error(y: np.ndarray, f: np.ndarray) -> float:
    return float(np.sqrt(np.sum((y - f) ** 2) / (len(y) - 2))) if len(y) > 2 else np.nan


GOODNESS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "coefficient of determination": _r2,
    "adjusted, two constants": lambda y, f: _r2(y, f, constants=1),
    "adjusted, three constants": lambda y, f: _r2(y, f, constants=2),
    "about zero": lambda y, f: float(1 - np.sum((y - f) ** 2) / np.sum(y**2)),
    "explained variance": lambda y, f: float(1 - np.var(y - f) / np.var(y)),
    "of logarithms": _log_r2,
    "Pearson correlation": _pearson,
    "squared Pearson correlation": lambda y, f: _pearson(y, f) ** 2,
    "squared rank correlation": lambda y, f: float(stats.spearmanr(y, f).statistic) ** 2,
}
"""What "R²" may mean."""

ERRORS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean absolute error": lambda y, f: float(np.mean(np.abs(y - f))),
    "median absolute error": lambda y, f: float(np.median(np.abs(y - f))),
    "root mean square error": lambda y, f: float(np.sqrt(np.mean((y - f) ** 2))),
    "residual standard deviation": lambda y, f: float(np.std(y - f, ddof=1)),
    "residual standard error": _standard_error,
    "mean relative error": lambda y, f: float(100 * np.mean(np.abs(y - f) / y)),
    "median relative error": lambda y, f: float(100 * np.median(np.abs(y - f) / y)),
    "mean without the largest": lambda y, f: float(np.sort(np.abs(y - f))[:-1].mean()),
    "geometric mean error": lambda y, f: float(np.exp(np.mean(np.log(np.abs(y - f) + 1e-12)))),
    "largest error": lambda y, f: float(np.max(np.abs(y - f))),
}
"""What "MAE" may mean; percent."""


def search() -> pd.DataFrame:
    """Every candidate for each of Table 6's four numbers; nothing here is told the answer.

    All combinations of two metrics, five readings of "improvement", nine curves, nine readings of
    "R²" and ten of "MAE" are evaluated on the paper's own tables. One row a candidate: its choices, its
    ``value``, what is ``printed``, and whether it rounds to that (``matches``).
    """
    table6 = published.load("table6").set_index("model")
    rows = []
    for (gain, points), predictor in product(_readings(), ("ssim_sup_sub_cls", "ssim_merge_cls")):
        parts = {row: points[points["model"] == row] for row in ROWS}
        for name, fitted_to, predict in _candidates(parts, predictor):
            for row, part in parts.items():
                y, f = part["gain"].to_numpy(), predict[row](part[predictor].to_numpy())
                for number, statistics in (("r2", GOODNESS), ("mae", ERRORS)):
                    printed = float(table6.loc[ROWS[row], number])
                    rows += [
                        (row, number, predictor, gain, name, fitted_to, statistic, measure(y, f), printed)
                        for statistic, measure in statistics.items()
                    ]
    columns = ["row", "number", "predictor", "gain", "curve", "fitted_to", "statistic", "value", "printed"]
    found = pd.DataFrame(rows, columns=columns).dropna(subset=["value"]).reset_index(drop=True)
    return found.assign(matches=found["value"].round(DIGITS) == found["printed"])


def recipes(found: pd.DataFrame) -> pd.DataFrame:
    """Whole recipes of a :func:`search`, each one choice of everything for both rows of Table 6, best first.

    ``matched`` counts how many of the four numbers it prints, ``misses_by`` is its largest relative error.
    """
    choice = ["predictor", "gain", "curve", "fitted_to"]
    wide = {}
    for number in ("r2", "mae"):
        part = found[found["number"] == number].assign(off=lambda f: (f["value"] / f["printed"] - 1).abs())
        grouped = part.groupby([*choice, "statistic"], sort=False)
        value = part.pivot_table(index=[*choice, "statistic"], columns="row", values="value", sort=False)
        wide[number] = value.rename(columns={row: f"{number}_{row.lower()}" for row in ROWS})
        wide[number][f"{number}_hits"] = grouped["matches"].sum()
        wide[number][f"{number}_off"] = grouped["off"].max()
        wide[number] = wide[number].reset_index().rename(columns={"statistic": f"{number}_means"})
    both = wide["r2"].merge(wide["mae"], on=choice)
    both["matched"] = both["r2_hits"] + both["mae_hits"]
    both["misses_by"] = both[["r2_off", "mae_off"]].max(axis=1)
    ours = ["r2_cgan", "mae_cgan", "r2_gd", "mae_gd"]
    columns = [*choice, "r2_means", "mae_means", *ours, "matched", "misses_by"]
    return both.sort_values(["matched", "misses_by"], ascending=[False, True], ignore_index=True)[columns]


def chance(found: pd.DataFrame) -> pd.DataFrame:
    """How many hits pure luck would give (``expected``), from how densely candidates lie around each number.

    That is candidates per printed unit within 100 units of it, the hits themselves left out.
    """
    unit, rows = 10.0**-DIGITS, []
    for (row, number), part in found.groupby(["row", "number"], sort=False):
        values, printed = np.unique(part["value"].round(DIGITS + 2)), float(part["printed"].iloc[0])
        near = np.abs(values - printed) <= 100 * unit
        hits = np.round(values, DIGITS) == printed
        rows.append((row, number, printed, len(values), int(hits.sum()), (near & ~hits).sum() / 200))
    return pd.DataFrame(rows, columns=["row", "number", "printed", "candidates", "hits", "expected"])


def _readings() -> Iterator[tuple[str, pd.DataFrame]]:
    """What "accuracy improvement" may mean, as points of both models."""
    points = paper_points()
    yield "relative, rounded as in Table 5", points.assign(gain=points["gain"].round(2))
    yield "relative, from Table 3", points
    n = points["validation_images"]
    counts = {c: np.rint(points[c] * n / 100) for c in ("original", "augmented")}
    yield "relative, whole images", points.assign(gain=100 * (counts["augmented"] / counts["original"] - 1))
    yield "points", paper_points(kind="points")
    yield "error reduction", paper_points(kind="error_reduction")


def _candidates(
    parts: Mapping[str, pd.DataFrame], predictor: str
) -> Iterator[tuple[str, str, Mapping[str, Callable[[np.ndarray], np.ndarray]]]]:
    """Name, what it was fitted to, and the curve for each row of Table 6."""
    yield "Eq. 4 as printed", "-", dict.fromkeys(parts, published.EQ4)
    fitters = {
        "exponential, least squares": (exponential, 2),
        "exponential, least squares of logarithms": (log_linear, 2),
        "exponential over a floor": (exponential_with_floor, 3),
        "straight line": (line, 2),
    }
    for name, (fitter, constants) in fitters.items():
        fits = {
            row: fitter(part[predictor].to_numpy(), part["gain"].to_numpy())
            for row, part in {**parts, "both": pd.concat(parts.values())}.items()
            if len(part) > constants
        }
        yield name, "cGAN", dict.fromkeys(parts, fits["cGAN"])
        yield name, "cGAN and GD", dict.fromkeys(parts, fits["both"])
        if "GD" in fits:
            yield name, "each its own", fits


def exponential_with_floor(x: np.ndarray, y: np.ndarray) -> Fit:
    """Least squares of ``A * exp(-k * x) + floor``: three constants that *can* be told apart."""
    rates = np.linspace(0.5, 200.0, 400)
    solved = [_floor_at(rate, x, y) for rate in rates]
    start = rates[int(np.argmin([lost for lost, *_ in solved]))]
    fine = np.linspace(max(start - 0.5, 1e-3), start + 0.5, 2001)
    _, amplitude, floor, rate = min((*_floor_at(r, x, y), r) for r in fine)
    parameters = {"amplitude": amplitude, "rate": rate, "floor": floor}
    return Fit("exponential_with_floor", parameters, lambda at: amplitude * np.exp(-rate * at) + floor)


def _floor_at(rate: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    basis = np.column_stack([np.exp(-rate * x), np.ones_like(x)])
    solution = np.linalg.lstsq(basis, y, rcond=None)[0]
    return float(np.sum((y - basis @ solution) ** 2)), float(solution[0]), float(solution[1])
