"""How many generated images are worth one further real image (closed-set equivalence).

A classifier is trained on a base set, on the base with d further real images, and on the base with m
images of a generator that was trained on the base alone. The number of generated images that *equal* d
real ones is the m at which both reach the same accuracy. :func:`equivalents` finds it by isotonic
inversion, :func:`fit_law` fits the published law to what was found. The experiment is in
:mod:`gmaug.equivalence_study`.

The source is *Exploring the Equivalence of Closed-Set Generative and Real Data Augmentation in Image
Classification* (arXiv 2508.09550). Its full text was not at hand: the design is by our reading of the
abstract, and the law's constants are from summaries by others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

FOUND, NEVER, NO_GAIN = "found", "never reached", "no gain"

PUBLISHED = (
    ("CIFAR-10", "EDM", "closed", 2.53),
    ("CIFAR-10", "not known", "open", 2.93),
    ("BloodMNIST", "not known", "closed", 3.88),
    ("ImageNet-100", "DiT-XL/2", "closed", 37.84),
    ("ImageNet-100", "Stable Diffusion", "open", 1.68),
)
"""Images, generator, setting and c2, from summaries by others; c1 and k could not be found."""


# From accuracies to equivalent numbers


@dataclass(frozen=True)
class Curve:
    """Accuracy against the number of images that were added to a base, over seeds.

    Parameters
    ----------
    base : int
        Images of the base, at least 1.
    amounts : array_like, shape (k,)
        Images added: 0 first (the base alone), rising.
    accuracies : array_like, shape (seeds, k)
        One row a seed; any score that should rise, in any unit.

    Raises
    ------
    ValueError
        If the shapes do not fit, a value is missing, or the amounts do not rise from 0.
    """

    base: int
    amounts: np.ndarray
    accuracies: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "amounts", np.asarray(self.amounts, dtype=float))
        object.__setattr__(self, "accuracies", np.atleast_2d(np.asarray(self.accuracies, dtype=float)))
        if self.base < 1:
            raise ValueError(f"base={self.base}: give the number of its images, at least 1")
        if self.amounts.ndim != 1 or len(self.amounts) < 2 or self.accuracies.shape[1] != len(self.amounts):
            raise ValueError(
                f"{self.amounts.shape} amounts and accuracies of shape {self.accuracies.shape}; "
                "give k amounts, at least two, and a row of k accuracies for each seed"
            )
        if self.amounts[0] != 0 or np.any(np.diff(self.amounts) <= 0):
            raise ValueError(
                f"amounts are {self.amounts.tolist()}; give 0 first (the base alone), then rising"
            )
        if not np.isfinite(self.accuracies).all():
            raise ValueError("accuracies hold nan or infinity; leave out seeds that are not complete")


def rising(accuracy: np.ndarray) -> np.ndarray:
    """The closest rising sequence to `accuracy`, shape (k,), by least squares (isotonic regression)."""
    from sklearn.isotonic import isotonic_regression

    return isotonic_regression(np.asarray(accuracy, dtype=float))


def invert(amounts: np.ndarray, accuracy: np.ndarray, target: float, *, base: int) -> float:
    """The smallest amount at which a curve, made to rise, reaches `target`.

    Parameters
    ----------
    amounts, accuracy : array_like, shape (k,)
        `amounts` rise from 0.
    target : float
        In the unit of `accuracy`.
    base : int
        Images of the base. Between two amounts the accuracy is taken to be linear in the logarithm of
        the whole training set, ``log(base + amount)``, as learning curves nearly are.

    Returns
    -------
    float
        At least 0; infinite where the curve never gets there.
    """
    level = rising(accuracy)
    if target > level[-1]:
        return np.inf
    k = int(np.searchsorted(level, target))  # the first with level[k] >= target
    if k == 0:
        return 0.0
    size = np.log1p(np.asarray(amounts, dtype=float) / base)
    share = (target - level[k - 1]) / (level[k] - level[k - 1])
    return float(base * np.expm1(size[k - 1] + share * (size[k] - size[k - 1])))


def _equal(
    real: Curve, synthetic: Curve, accuracy: np.ndarray, at: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Generated images that equal `at` real ones, and whether these raise the accuracy at all.

    `accuracy` holds the base, then the real cells, then the generated ones.
    """
    size, k = np.log1p(real.amounts / real.base), len(real.amounts)
    level = rising(accuracy[:k])
    targets = np.interp(np.log1p(at / real.base), size, level)
    other = np.append(accuracy[0], accuracy[k:])
    equal = np.array([invert(synthetic.amounts, other, t, base=real.base) for t in targets])
    return equal, (targets > level[0]) & (equal > 0)


def equivalents(
    real: Curve,
    synthetic: Curve,
    *,
    at: Sequence[float] | None = None,
    seed: int,
    draws: int = 1000,
    level: float = 0.95,
    bootstrap: str = "residuals",
) -> pd.DataFrame:
    """The number of generated images that equal d real ones, with bootstrap intervals.

    Parameters
    ----------
    real, synthetic : Curve
        Of one base and of the same seeds, row by row.
    at : sequence of float, optional
        The numbers d of further real images; those of `real` by default.
    seed : int
        Of the bootstrap.
    draws : int
    level : float
        Nominal coverage of the intervals, between 0 and 1.
    bootstrap : {"residuals", "seeds"}
        What is drawn anew. ``"seeds"``: whole seeds. With three of them only ten different samples
        exist, and the intervals are too narrow. ``"residuals"``: what is left of each cell when its mean
        over seeds and the common shift of its seed are taken out, scaled to the degrees of freedom; the
        shift moves both curves alike and cancels. It assumes that all cells scatter alike.

    Returns
    -------
    DataFrame
        A row for each d: ``base``, ``real`` (d), ``synthetic`` (the equal number; NaN unless found),
        ``low`` and ``high`` (its interval; an infinite end lies beyond the largest amount tried),
        ``rate`` (generated images for each real one, ``synthetic / real``), ``marginal`` (for each
        *further* real one since the row before) with ``marginal_low`` and ``marginal_high``, ``most``
        (the largest amount tried), ``reached`` (share of the draws that get there) and ``outcome``:
        ``"found"``; ``"never reached"``, where the truth is above ``most``, or there is no such number;
        ``"no gain"``, where the real images raise nothing, so that there is nothing to equal.

    Raises
    ------
    ValueError
        If there is only one seed, the curves are of different bases or seeds, or `at` is out of range.
    """
    if real.base != synthetic.base:
        raise ValueError(f"the curves have bases of {real.base} and {synthetic.base} images; give one base")
    if len(real.accuracies) != len(synthetic.accuracies):
        found = f"{len(real.accuracies)} and {len(synthetic.accuracies)}"
        raise ValueError(f"the curves have {found} seeds; give the same seeds, row by row")
    if len(real.accuracies) < 2:
        raise ValueError("one seed says nothing of its scatter; run at least two, better five")
    at = real.amounts[1:] if at is None else np.asarray(at, dtype=float)
    if np.any(at <= 0) or np.any(at > real.amounts[-1]) or np.any(np.diff(at) <= 0):
        raise ValueError(f"at={at.tolist()}: give rising numbers above 0, up to {real.amounts[-1]:g}")
    if bootstrap not in ("residuals", "seeds"):
        raise ValueError(f"bootstrap={bootstrap!r}; give 'residuals' or 'seeds'")
    if not 0 < level < 1:
        raise ValueError(f"level={level}: give a share between 0 and 1, such as 0.95")
    if not np.allclose(real.accuracies[:, 0], synthetic.accuracies[:, 0]):
        raise ValueError("the first column of both curves is the base alone; it has to be the same")
    cells, rng = np.hstack([real.accuracies, synthetic.accuracies[:, 1:]]), np.random.default_rng(seed)
    best, gains = _equal(real, synthetic, cells.mean(axis=0), at)
    samples = (_again(cells, rng, bootstrap) for _ in range(draws))
    drawn = np.array([_equal(real, synthetic, sample, at)[0] for sample in samples])
    outcome = np.where(~gains, NO_GAIN, np.where(np.isfinite(best), FOUND, NEVER))
    best = np.where(outcome == FOUND, best, np.nan)
    low, high = _quantiles(drawn, level)
    before = np.hstack([np.zeros((draws, 1)), drawn[:, :-1]])
    # from one amount out of reach to the next there is no slope: it is unbounded
    reached = np.isfinite(before)
    steps = np.where(reached, drawn - np.where(reached, before, 0), np.inf) / np.diff(at, prepend=0)
    marginal_low, marginal_high = _quantiles(steps, level)
    table = {
        "base": real.base,
        "real": at,
        "synthetic": best,
        "low": low,
        "high": high,
        "rate": best / at,
        "marginal": np.diff(np.where(outcome == NO_GAIN, 0, best), prepend=0) / np.diff(at, prepend=0),
        "marginal_low": marginal_low,
        "marginal_high": marginal_high,
        "most": synthetic.amounts[-1],
        "reached": np.isfinite(drawn).mean(axis=0),
        "outcome": outcome,
    }
    frame = pd.DataFrame(table)
    frame.loc[frame["outcome"] != FOUND, "marginal"] = np.nan
    return frame


def _again(cells: np.ndarray, rng: np.random.Generator, bootstrap: str) -> np.ndarray:
    """Mean accuracies, shape (k,), of a sample drawn from `cells`, shape (seeds, k)."""
    seeds, k = cells.shape
    if bootstrap == "seeds":
        return cells[rng.integers(seeds, size=seeds)].mean(axis=0)
    mean = cells.mean(axis=0)
    left = cells - mean - (cells.mean(axis=1, keepdims=True) - mean.mean())
    left *= np.sqrt(seeds * k / ((seeds - 1) * (k - 1)))
    return mean + rng.choice(left.ravel(), size=(seeds, k)).mean(axis=0)


def _quantiles(drawn: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central interval down the rows; infinities are values like others."""
    tail = (1 - level) / 2
    low = np.quantile(drawn, tail, axis=0, method="inverted_cdf")
    return low, np.quantile(drawn, 1 - tail, axis=0, method="inverted_cdf")


# The published law


@dataclass(frozen=True)
class Law:
    """``n_syn / n_base = exp(growth n_base) (c2 ** (n_real / n_base) - 1)``, fitted.

    The published form has ``c1 ** (n_base / k)`` in place of the exponential. Only ``ln(c1) / k``, here
    `growth`, can be told from data: see :meth:`c1`.

    Attributes
    ----------
    growth : float
        ``ln(c1) / k``, for each image of the base.
    c2 : float
        Above 1.
    scatter : float
        Standard deviation of ``log n_syn`` about the law, beyond the points' own errors.
    points : DataFrame
        What it was fitted to; rows that were never reached are censored at ``most``.
    """

    growth: float
    c2: float
    scatter: float
    points: pd.DataFrame = field(repr=False)

    def __call__(self, base: Any, real: Any) -> Any:
        """Generated images that equal `real` further ones at `base`."""
        base, real = np.asarray(base, dtype=float), np.asarray(real, dtype=float)
        return base * np.exp(self.growth * base) * np.expm1(np.log(self.c2) * real / base)

    def rate(self, base: Any, real: Any = 0.0) -> Any:
        """Exchange rate: generated images worth the next real one, after `real` further ones.

        The derivative of the law, ``c1 ** (n_base / k) ln(c2) c2 ** (n_real / n_base)``.
        """
        base, real = np.asarray(base, dtype=float), np.asarray(real, dtype=float)
        return np.exp(self.growth * base) * np.log(self.c2) * self.c2 ** (real / base)

    def c1(self, k: float) -> float:
        """The c1 that gives this very law with a chosen `k`: any k will do."""
        return float(np.exp(self.growth * k))

    @property
    def misfit(self) -> float:
        """p-value of the reached points' distances from the law, given their own errors (chi-square)."""
        from scipy import stats

        reached = self.points[self.points["outcome"] == FOUND]
        error = _errors(reached, reached["synthetic"].to_numpy(float))
        away = np.log(reached["synthetic"] / self(reached["base"], reached["real"])) / np.maximum(error, 1e-9)
        return float(stats.chi2.sf((away**2).sum(), max(len(reached) - 2, 1)))

    def interval(
        self, quantity: str, *, base: float | None = None, real: float = 0.0, level: float = 0.95
    ) -> tuple[float, float]:
        """Profile-likelihood interval.

        Parameters
        ----------
        quantity : {"growth", "c2", "rate"}
            For the rate give `base` and, if it is not 0, `real`.
        level : float
            Nominal coverage, exact for a line with normal errors. Each point enters with its own error
            where it has an interval. The points of one base share their curves, so their errors are not
            independent: intervals of ``c2`` are rather too wide, those of ``growth`` too narrow.

        Returns
        -------
        (float, float)
            An end is infinite (for `c2` 1, for a rate 0, at the lower side) where no value is excluded.

        Raises
        ------
        ValueError
            If the quantity is unknown.
        """
        from scipy import stats
        from scipy.optimize import brentq

        data, n = _Points(self.points), len(self.points)
        if quantity not in ("growth", "c2", "rate") or (quantity == "rate") != (base is not None):
            raise ValueError(f"{quantity!r}: give 'growth', 'c2', or 'rate' with base=")
        least = data.best(None)
        # twice the fall of the log-likelihood that a t interval of a line's coefficient allows
        allowed = n * np.log1p(stats.t.ppf((1 + level) / 2, n - 2) ** 2 / (n - 2))
        where = {
            "growth": least.x[0] / data.scale,
            "c2": least.x[1],  # the logarithm of ln c2
            "rate": float(np.log(self.rate(base, real))) if base is not None else np.nan,
        }[quantity]
        unit = 1 / data.scale if quantity == "growth" else 1.0

        def excess(step: float) -> float:
            return 2 * (data.best((quantity, where + step * unit, base, real)).fun - least.fun) - allowed

        ends = []
        for sign in (-1, 1):
            far = 0.01
            while far < 40 and excess(sign * far) < 0:
                far *= 2
            open_ended = far >= 40
            step = sign * np.inf if open_ended else brentq(excess, 0, sign * far, xtol=1e-6)
            ends.append(where + step * unit)
        if quantity == "growth":
            return ends[0], ends[1]
        with np.errstate(over="ignore"):
            low, high = (float(np.exp(end)) for end in ends)
            return (float(np.exp(low)), float(np.exp(high))) if quantity == "c2" else (low, high)


class _Points:
    """The likelihood of the law: normal errors of ``log n_syn``, censored where it was never reached."""

    def __init__(self, points: pd.DataFrame) -> None:
        self.base, self.real = (points[name].to_numpy(float) for name in ("base", "real"))
        self.censored = (points["outcome"] == NEVER).to_numpy()
        found = np.where(self.censored, points["most"], points["synthetic"]).astype(float)
        self.y, self.scale = np.log(found / self.base), float(self.base.mean())
        self.error = _errors(points, found)

    def loss(self, growth: float, log_b: float, log_s: float) -> float:
        from scipy.special import log_ndtr

        b, s = _ln_c2(log_b), np.hypot(max(np.exp(log_s), 1e-4), self.error)
        t = b * self.real / self.base
        # log(e^t - 1), without overflow
        expected = growth * self.base / self.scale + t + np.log(-np.expm1(-t))
        z = (self.y - expected) / s
        return float(np.where(self.censored, -log_ndtr(-z), 0.5 * z**2 + np.log(s)).sum())

    def best(self, pinned: tuple[str, float, float | None, float] | None) -> Any:
        """The least loss over (growth x scale, log ln c2, log scatter), one quantity pinned or none."""
        from scipy.optimize import minimize

        def free(x: np.ndarray) -> tuple[float, float, float]:
            if pinned is None:
                return x[0], x[1], x[2]
            quantity, value, base, real = pinned
            if quantity == "growth":
                return value * self.scale, x[0], x[1]
            if quantity == "c2":
                return x[0], value, x[1]
            b = _ln_c2(x[0])
            return (value - np.log(b) - b * real / base) / base * self.scale, x[0], x[1]

        start = {None: [0.0, None, -1.0], "c2": [0.0, -1.0]}.get(pinned and pinned[0], [None, -1.0])
        options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000, "maxfev": 4000}
        tried = []
        for log_b in (-1.5, 0.0, 1.0) if None in start else (None,):
            x0 = [log_b if v is None else v for v in start]
            tried.append(minimize(lambda x: self.loss(*free(x)), x0, method="Nelder-Mead", options=options))
        return min(tried, key=lambda result: result.fun)


def _errors(points: pd.DataFrame, found: np.ndarray) -> np.ndarray:
    """Standard errors of ``log n_syn`` from the points' intervals, of 95 %; nought where they have none."""
    if "low" not in points:
        return np.zeros(len(points))
    low, high = (points[name].to_numpy(float) for name in ("low", "high"))
    with np.errstate(divide="ignore", invalid="ignore"):
        half = np.where(np.isfinite(high), np.log(high / low) / 2, np.log(found / low)) / 1.96
    # an interval that is open at both ends says nothing; the infinite end of a censored one is no error
    half = np.where(np.isfinite(half), half, 1.0)
    reached = (points["outcome"] == FOUND).to_numpy()
    return np.where(reached, half, np.median(half[reached]) if reached.any() else 1.0)


def _ln_c2(log_b: float) -> float:
    """ln c2 from 0.001, where the law is a straight line, to 33, where one step is astronomical."""
    return float(np.exp(np.clip(log_b, -7, 3.5)))


def fit_law(points: pd.DataFrame) -> Law:
    """Fit the published law with its identifiable constants only, by maximum likelihood.

    Parameters
    ----------
    points : DataFrame
        Rows of :func:`equivalents`, of several bases. Rows without gain are left out.

    Raises
    ------
    ValueError
        If fewer than three of the rows were reached.
    """
    points = points[points["outcome"] != NO_GAIN].reset_index(drop=True)
    found = int((points["outcome"] == FOUND).sum())
    if found < 3:
        raise ValueError(
            f"{found} of {len(points)} points were reached: the law has two constants and a scatter: it "
            "needs three; try larger amounts, or more bases"
        )
    data = _Points(points)
    growth, log_b, log_s = data.best(None).x
    return Law(float(growth / data.scale), float(np.exp(_ln_c2(log_b))), float(np.exp(log_s)), points)


def published_rates() -> pd.DataFrame:
    """What the published constants imply, as far as they imply anything.

    Returns
    -------
    DataFrame
        ``images``, ``generator``, ``setting`` (closed or open set), ``c2`` (from summaries by others), and in
        units of the factor ``c1 ** (n_base / k)``, which could not be found: ``first_rate``, generated
        images worth the first further real one (``ln c2``), ``mean_rate``, those worth each of as many
        further ones as the base holds (``c2 - 1``), and ``last_rate``, the last of these (``c2 ln c2``);
        ``factor_for_one``: the factor below which the first rate is less than one, so that a generated
        image would be worth more than a real one.
    """
    frame = pd.DataFrame(PUBLISHED, columns=["images", "generator", "setting", "c2"])
    log = np.log(frame["c2"])
    return frame.assign(
        first_rate=log, mean_rate=frame["c2"] - 1, last_rate=frame["c2"] * log, factor_for_one=1 / log
    )
