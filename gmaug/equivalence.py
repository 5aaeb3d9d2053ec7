"""How many generated images are worth one further real image (closed-set equivalence).

*Exploring the Equivalence of Closed-Set Generative and Real Data Augmentation in Image Classification* (arXiv
2508.09550). Its full text was not at hand: the design is by our reading of the abstract, and the law's form
is from summaries by others.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats
from scipy.optimize import brentq, minimize
from scipy.special import log_ndtr
from sklearn.isotonic import isotonic_regression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import pairwise_distances
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from gmaug.generators.quality import train_extractor

FOUND, NEVER, NO_GAIN = "found", "never reached", "no gain"
AMOUNTS = {"steps": (0.5, 1, 2, 4), "epochs": (1, 4)}
"""Multiples of the base that are added under each schedule; epochs cost up to five times the steps."""

Arrays = tuple[np.ndarray, np.ndarray]

# The experiment


@dataclass(frozen=True)
class Task:
    """A base set, what can be added to it, and what is measured on; each is (images, labels).

    No image stands in two of them. `further` comes in an order of :func:`interleaved`. `extra` is for the
    generator alone (open set); its labels count on after those of the base.
    """

    base: Arrays
    further: Arrays
    test: Arrays
    extra: Arrays | None = None


def interleaved(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every beginning holds the classes in about their shares of the whole."""
    place = np.empty(len(labels))
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        place[rows] = (rng.permutation(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place)


def cells(
    task: Task,
    generator: Any,
    score: Callable[..., dict[str, float]],
    *,
    seed: int,
    steps: int,
    amounts: Mapping[str, Sequence[float]] = AMOUNTS,
    done: Collection[tuple[str, int, str]] = (),
) -> Iterator[dict[str, Any]]:
    """Train classifiers on a base, on the base with further real images, and with generated ones.

    Yields dicts of ``base``, ``kind``, ``amount`` (images), ``schedule``, ``steps``, ``seed`` and the score.

    Parameters
    ----------
    task : Task
    generator : object with ``sample(labels, seed=)``
        Fitted on the base of `task` alone, or (open set) with its extra images.
    score : callable
        ``score(images, labels, test, steps=, seed=)`` trains a classifier and gives a dict with ``accuracy``.
    seed, steps : int
        Of the samples and the classifiers; gradient steps on the base alone.
    amounts : mapping of {"steps", "epochs"} to sequence of float
        Images to add, as multiples of the base; of real ones at most what the task has. ``"steps"``: every
        cell trains for `steps`. ``"epochs"``: a set twice as large trains twice as long, and a gain may be a
        gain of training.
    done : collection of (kind, amount, schedule)
        Cells that are left out.
    """
    x, y = task.base
    n = len(y)
    if set(amounts) - set(AMOUNTS):
        raise ValueError(f"amounts={dict(amounts)}: name them by 'steps' and 'epochs'")
    # generated images have the labels of the base, over and over, so its shares of the classes
    wanted = np.resize(y, round(n * max(map(max, amounts.values()))))
    made = generator.sample(wanted, seed=seed), wanted
    todo = [("base", 0, "both")]
    for schedule, multiples in amounts.items():
        added = sorted({round(n * a) for a in multiples})
        todo += [("real", m, schedule) for m in sorted({min(m, len(task.further[1])) for m in added})]
        todo += [("synthetic", m, schedule) for m in added]
    for kind, amount, schedule in todo:
        if (kind, amount, schedule) in done:
            continue
        more = task.further if kind == "real" else made
        images, labels = (np.concatenate([a, b[:amount]]) for a, b in zip((x, y), more, strict=True))
        length = round(steps * len(labels) / n) if schedule == "epochs" else steps
        found = score(images, labels, task.test, steps=length, seed=seed)
        about = {"base": n, "kind": kind, "amount": amount, "schedule": schedule}
        yield about | {"steps": length, "seed": seed} | found


# From accuracies to equivalent numbers


@dataclass
class Curves:
    """Accuracy against the number of real and of generated images that were added to one base, over seeds."""

    base: int  # images, at least 1
    real: np.ndarray  # numbers of further real images (k,), rising from above 0
    synthetic: np.ndarray  # numbers of generated images (m,), likewise
    accuracies: np.ndarray  # (seeds, 1 + k + m): the base alone, then each; any score that should rise

    def __post_init__(self) -> None:
        self.real, self.synthetic, self.accuracies = (
            np.asarray(given, dtype=float) for given in (self.real, self.synthetic, self.accuracies)
        )
        if self.base < 1:
            raise ValueError(f"base={self.base}: give the number of its images, at least 1")
        for amounts in (self.real, self.synthetic):
            if amounts.ndim != 1 or not len(amounts) or np.any(np.diff(amounts, prepend=0) <= 0):
                raise ValueError(f"amounts are {amounts.tolist()}; give rising numbers above 0")
        cells = 1 + len(self.real) + len(self.synthetic)
        if self.accuracies.ndim != 2 or self.accuracies.shape[1] != cells:
            raise ValueError(f"accuracies have shape {self.accuracies.shape}; give {cells} for each seed")
        if len(self.accuracies) < 2:
            raise ValueError("one seed says nothing of its scatter; run at least two, better five")


def curves(cells: pd.DataFrame, *, base: int, schedule: str, score: str = "accuracy") -> Curves:
    """The curves in a table of :func:`cells` of one set and one generator; `score` is the column to take.

    They are over the seeds that have every cell; ValueError if there are fewer than two.
    """
    rows = cells[(cells["base"] == base) & ((cells["schedule"] == schedule) | (cells["kind"] == "base"))]
    wide = rows.pivot_table(index="seed", columns=["kind", "amount"], values=score).dropna()
    if not len(wide) or {"base", "real", "synthetic"} != set(wide.columns.get_level_values("kind")):
        raise ValueError(f"base {base}, {schedule} fixed: no seed has all its cells")
    # the columns are sorted: the base, then the real, then the generated images, by their number
    return Curves(base, wide["real"].columns, wide["synthetic"].columns, wide.to_numpy())


def invert(amounts: np.ndarray, accuracy: np.ndarray, target: float, *, base: int) -> float:
    """The smallest amount at which a curve, made to rise, reaches `target`; infinite if it never does.

    `amounts` and `accuracy` have shape (k,), and `amounts` rise from 0. Made to rise is: replaced by the
    closest rising sequence by least squares (isotonic regression). Between two amounts the accuracy is taken
    to be linear in the logarithm of the whole training set, ``log(base + amount)``, as learning curves nearly
    are.
    """
    level = isotonic_regression(np.asarray(accuracy, dtype=float))
    if target > level[-1]:
        return np.inf
    k = int(np.searchsorted(level, target))  # the first with level[k] >= target
    if k == 0:
        return 0.0
    size = np.log1p(np.asarray(amounts, dtype=float) / base)
    share = (target - level[k - 1]) / (level[k] - level[k - 1])
    return float(base * np.expm1(size[k - 1] + share * (size[k] - size[k - 1])))


def equivalents(
    curves: Curves, *, at: Sequence[float] | None = None, seed: int, draws: int = 1000
) -> pd.DataFrame:
    """The number of generated images that equal d real ones, with 95 % bootstrap intervals.

    The bootstrap draws anew what is left of each cell when its mean over seeds and the common shift of its
    seed are taken out, scaled to the degrees of freedom. The shift moves both curves alike and cancels; all
    cells are taken to scatter alike.

    Parameters
    ----------
    curves : Curves
    at : sequence of float, optional
        The numbers d of further real images, rising; those of the curve by default.
    seed, draws : int
        Of the bootstrap.

    Returns
    -------
    DataFrame
        A row for each d: ``base``, ``real`` (d), ``synthetic`` (the equal number; NaN unless found),
        ``low`` and ``high`` (its interval; an infinite end lies beyond the largest amount tried),
        ``rate`` (generated images for each real one, ``synthetic / real``), ``most`` (the largest amount
        tried), ``reached`` (share of the draws that get there) and ``outcome``: ``"found"``; ``"never
        reached"``, where the truth is above ``most``, or there is no such number; ``"no gain"``, where the
        real images raise nothing, so that there is nothing to equal.
    """
    at = curves.real if at is None else np.asarray(at, dtype=float)
    if np.any(np.diff(at, prepend=0) <= 0) or at[-1] > curves.real[-1]:
        raise ValueError(f"at={at.tolist()}: give rising numbers above 0, up to {curves.real[-1]:g}")
    rng = np.random.default_rng(seed)
    best, gains = _equal(curves, curves.accuracies.mean(axis=0), at)
    drawn = np.array([_equal(curves, _again(curves.accuracies, rng), at)[0] for _ in range(draws)])
    outcome = np.where(~gains, NO_GAIN, np.where(np.isfinite(best), FOUND, NEVER))
    best = np.where(outcome == FOUND, best, np.nan)
    tail = (1 - 0.95) / 2  # a little above 0.025: it decides which draw is the end
    low, high = np.quantile(drawn, (tail, 1 - tail), axis=0, method="inverted_cdf")
    columns = {
        "base": curves.base, "real": at, "synthetic": best, "low": low, "high": high, "rate": best / at,
        "most": curves.synthetic[-1], "reached": np.isfinite(drawn).mean(axis=0), "outcome": outcome,
    }  # fmt: skip
    return pd.DataFrame(columns)


def _equal(curves: Curves, accuracy: np.ndarray, at: np.ndarray) -> Arrays:
    """Generated images that equal `at` real ones, and whether these raise the accuracy at all.

    `accuracy` is that of each cell, in the order of the curves' columns.
    """
    k = 1 + len(curves.real)
    size, level = np.log1p(np.append(0, curves.real) / curves.base), isotonic_regression(accuracy[:k])
    targets = np.interp(np.log1p(at / curves.base), size, level)
    amounts, made = np.append(0, curves.synthetic), np.append(accuracy[0], accuracy[k:])
    equal = np.array([invert(amounts, made, target, base=curves.base) for target in targets])
    return equal, (targets > level[0]) & (equal > 0)


def _again(cells: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mean accuracies, shape (k,), of a sample drawn from the residuals of `cells`, shape (seeds, k)."""
    seeds, k = cells.shape
    mean = cells.mean(axis=0)
    left = cells - mean - (cells.mean(axis=1, keepdims=True) - mean.mean())
    left *= np.sqrt(seeds * k / ((seeds - 1) * (k - 1)))
    return mean + rng.choice(left.ravel(), size=(seeds, k)).mean(axis=0)


# The published law

_LOG_B = (-1.5, 0.0, 1.0)  # of log(ln c2), from which the search starts


@dataclass(frozen=True)
class Law:
    """``n_syn / n_base = exp(growth n_base) (c2 ** (n_real / n_base) - 1)``, as :func:`fit_law` fits it.

    The published form has ``c1 ** (n_base / k)`` in place of the exponential; data can tell only `growth`,
    which is ``ln(c1) / k``.
    """

    growth: float
    c2: float
    scatter: float  # standard deviation of log n_syn about the law, beyond the points' own errors
    points: pd.DataFrame = field(repr=False)  # what it was fitted to

    def __call__(self, base: Any, real: Any) -> Any:
        """Generated images that equal `real` further ones at `base`, numbers or arrays."""
        return base * np.exp(self.growth * base) * np.expm1(np.log(self.c2) * real / base)

    def rate(self, base: Any, real: Any = 0.0) -> Any:
        """Generated images worth the next real one, after `real` further ones: the law's derivative."""
        return np.exp(self.growth * base) * np.log(self.c2) * self.c2 ** (real / base)

    @property
    def misfit(self) -> float:
        """p-value of the reached points' distances from the law, given their own errors (chi-square)."""
        reached = self.points[self.points["outcome"] == FOUND]
        error = _errors(reached, reached["synthetic"].to_numpy(float))
        away = np.log(reached["synthetic"] / self(reached["base"], reached["real"])) / np.maximum(error, 1e-9)
        return float(stats.chi2.sf((away**2).sum(), max(len(reached) - 2, 1)))

    def interval(self, quantity: str, *, base: float | None = None, real: float = 0.0) -> tuple[float, float]:
        """95 % profile-likelihood interval of ``"growth"``, ``"c2"``, or ``"rate"`` at a `base` after `real`.

        Nominal coverage, exact for a line with normal errors. Each point enters with its own error where it
        has an interval. The points of one base share their curves, so their errors are not independent:
        intervals of ``c2`` are rather too wide, those of ``growth`` too narrow. An end is infinite (at the
        lower side 1 for c2, 0 for a rate) where no value is excluded.
        """
        if quantity not in ("growth", "c2", "rate") or (quantity == "rate") != (base is not None):
            raise ValueError(f"quantity={quantity!r}: give 'growth', 'c2', or 'rate' with base=")
        data, n = _Points(self.points), len(self.points)
        least = data.fit()
        # twice the fall of the log-likelihood that a t interval of a line's coefficient allows
        allowed = n * np.log1p(stats.t.ppf((1 + 0.95) / 2, n - 2) ** 2 / (n - 2))
        unit = 1 / data.scale if quantity == "growth" else 1.0
        middle = least.x[0] / data.scale if quantity == "growth" else least.x[1]
        if quantity == "rate":
            middle = float(np.log(self.rate(base, real)))
        starts = [(0.0, -1.0)] if quantity == "c2" else [(log_b, -1.0) for log_b in _LOG_B]

        def constants(value: float, *free: float) -> tuple[float, ...]:
            """Those of the loss, from the pinned one (ln c2 and the rate in their logarithm) and the rest."""
            if quantity == "growth":
                return value * data.scale, *free
            if quantity == "c2":
                return free[0], value, free[1]
            b = _ln_c2(free[0])
            return (value - np.log(b) - b * real / base) / base * data.scale, *free

        def excess(step: float) -> float:
            pinned = data.fit(partial(constants, middle + step * unit), starts)
            return 2 * (pinned.fun - least.fun) - allowed

        ends = []
        for sign in (-1, 1):
            far = 0.01
            while far < 40 and excess(sign * far) < 0:
                far *= 2
            step = sign * np.inf if far >= 40 else brentq(excess, 0, sign * far, xtol=1e-6)
            ends.append(middle + step * unit)
        with np.errstate(over="ignore"):
            for _ in range({"growth": 0, "rate": 1, "c2": 2}[quantity]):
                ends = [np.exp(end) for end in ends]
        return float(ends[0]), float(ends[1])


class _Points:
    """The likelihood of the law: normal errors of ``log n_syn``, censored where it was never reached."""

    def __init__(self, points: pd.DataFrame) -> None:
        self.base, self.real = (points[name].to_numpy(float) for name in ("base", "real"))
        self.censored = (points["outcome"] == NEVER).to_numpy()
        found = np.where(self.censored, points["most"], points["synthetic"]).astype(float)
        self.y, self.scale = np.log(found / self.base), float(self.base.mean())
        self.error = _errors(points, found)

    def loss(self, growth: float, log_b: float, log_s: float) -> float:
        """At the growth times the scale, and the logarithms of ln c2 and of the scatter."""
        b, s = _ln_c2(log_b), np.hypot(max(np.exp(log_s), 1e-4), self.error)
        t = b * self.real / self.base
        # log(e^t - 1), without overflow
        expected = growth * self.base / self.scale + t + np.log(-np.expm1(-t))
        z = (self.y - expected) / s
        return float(np.where(self.censored, -log_ndtr(-z), 0.5 * z**2 + np.log(s)).sum())

    def fit(
        self,
        constants: Callable[..., tuple[float, ...]] = lambda *free: free,
        starts: Sequence[tuple[float, ...]] = tuple((0.0, log_b, -1.0) for log_b in _LOG_B),
    ) -> Any:
        """The least loss over the free constants, from which `constants` makes those of the loss."""
        options = {"xatol": 1e-7, "fatol": 1e-9, "maxiter": 4000, "maxfev": 4000}
        tried = [
            minimize(lambda free: self.loss(*constants(*free)), start, method="Nelder-Mead", options=options)
            for start in starts
        ]
        return min(tried, key=lambda result: result.fun)


def _errors(points: pd.DataFrame, found: np.ndarray) -> np.ndarray:
    """Standard errors of ``log n_syn`` from the points' intervals, which are of 95 %."""
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

    `points` are rows of :func:`equivalents`, of several bases: those never reached are censored at ``most``,
    those without gain left out. ValueError if fewer than three were reached.
    """
    points = points[points["outcome"] != NO_GAIN].reset_index(drop=True)
    found = int((points["outcome"] == FOUND).sum())
    if found < 3:
        raise ValueError(
            f"{found} of {len(points)} points were reached: the law has two constants and a scatter: it "
            "needs three; try larger amounts, or more bases"
        )
    data = _Points(points)
    growth, log_b, log_s = data.fit().x
    return Law(float(growth / data.scale), float(np.exp(_ln_c2(log_b))), float(np.exp(log_s)), points)


# How real and generated images differ


def told_apart(real: np.ndarray, fake: np.ndarray, *, seed: int, steps: int = 120) -> dict[str, Any]:
    """How well a classifier tells real from generated, on images that it was not trained on.

    Of images, uint8 (n, h, w, 3), it is a small convolutional net in two folds of about so many `steps`; of
    features (n, d) a linear one in five folds. The larger side is cut to the other's number.

    Returns
    -------
    dict
        ``accuracy`` (0.5: they cannot be told apart; 1: every one), its binomial ``se``, and ``scores``,
        shape (2, n): how generated each real and each generated image looks (a difference of logits).
    """
    rng, n = np.random.default_rng(seed), min(len(real), len(fake))
    x = np.concatenate([side[rng.permutation(len(side))[:n]] for side in (real, fake)])
    y, folds = np.repeat([0, 1], n), StratifiedKFold(5 if x.ndim == 2 else 2, shuffle=True, random_state=seed)
    if x.ndim == 2:
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        scores = cross_val_predict(linear, x, y, cv=folds, method="decision_function")
    else:
        scores, epochs = np.empty(2 * n), -(-steps // max(1, n // 64))
        for train, test in folds.split(x, y):
            net = train_extractor(x[train], y[train], seed=seed, dimension=32, epochs=epochs, threads=1)
            scores[test] = np.diff(net.logits(x[test]), axis=1)[:, 0]
    accuracy = float(((scores > 0) == y).mean())
    se = float(np.sqrt(accuracy * (1 - accuracy) / (2 * n)))
    return {"accuracy": accuracy, "se": se, "scores": scores.reshape(2, n)}


def memorisation(train: np.ndarray, held_out: np.ndarray, fake: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Whether generated images lie nearer to the training images than to real ones never seen.

    All are features or images, whose rows are flattened. `train` and `held_out`, of one distribution, are cut
    to equal number; random divisions of the two say what chance gives.

    Returns
    -------
    dict
        ``nearer``: share of generated images whose nearest neighbour among all real ones is a training
        image; ``chance``: the range that holds 95 % of random divisions, about 0.5; ``ratio``: the median,
        over generated images, of the distance to the nearest training image over that to the nearest
        held-out one: below 1 they are nearer to the training images; ``copies``: share with a ratio
        below 1/3; ``nearest``: row of the nearest training image of each, in `train`.
    """
    rng, n = np.random.default_rng(seed), min(len(train), len(held_out))
    mine, others = (rng.permutation(len(side))[:n] for side in (train, held_out))
    pool = np.concatenate([train[mine], held_out[others]]).reshape(2 * n, -1).astype(float)
    apart = pairwise_distances(np.asarray(fake, dtype=float).reshape(len(fake), -1), pool)
    first = apart.argmin(axis=1)
    shares = [(rng.permutation(2 * n) < n)[first].mean() for _ in range(200)]
    ratio = apart[:, :n].min(axis=1) / np.maximum(apart[:, n:].min(axis=1), 1e-12)
    return {
        "nearer": float((first < n).mean()),
        "chance": np.quantile(shares, [0.025, 0.975]).tolist(),
        "ratio": float(np.median(ratio)),
        "copies": float((ratio < 1 / 3).mean()),
        "nearest": mine[apart[:, :n].argmin(axis=1)],
    }
