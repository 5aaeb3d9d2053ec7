"""Arms compared: paired differences with their intervals, pooled over sets, and what would settle them.

An arm is compared with another *seed by seed*: cells of one seed share images and the order of chance, so
pairs cancel part of the noise. In a garden a seed brings fresh images; then the interval holds that, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import optimize, stats

from gmaug.statistics import holm

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("balanced_accuracy", "top1", "tail", "auroc", "macro_f1")
MARGIN = 2.0  # points: a smaller difference would change nobody's choice
COLUMNS = ["dataset", "arm", "base", "score", "pairs", "difference", "se", "low", "high", "p", "p_flip"]


def summary(cells: pd.DataFrame, *, scores: Sequence[str] = SCORES, by: Sequence[str] = ()) -> pd.DataFrame:
    """Means over seeds, one row for each data set, arm and what else `by` names.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, `by`, ``seeds``, ``steps``, and for each score its mean and ``<score>_se`` (NaN
        with one seed), in percent.
    """
    import pandas as pd

    keys, rows = ["dataset", "arm", *by], []
    for names, group in cells.groupby(keys, sort=False):
        row = dict(zip(keys, names, strict=True)) | {
            "seeds": len(group),
            "steps": float(group["steps"].mean()),
        }
        for score in scores:
            row |= {score: 100 * float(group[score].mean()), f"{score}_se": 100 * float(group[score].sem())}
        rows.append(row)
    columns = [*keys, "seeds", "steps", *(f"{s}{end}" for s in scores for end in ("", "_se"))]
    return pd.DataFrame(rows, columns=columns)


def contrasts(
    cells: pd.DataFrame,
    *,
    base: str = "oversample",
    scores: Sequence[str] = SCORES,
    level: float = 0.95,
    margin: float = MARGIN,
) -> pd.DataFrame:
    """Differences from the arm `base`, paired by data set and seed, in percentage points.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, as :func:`gmaug.experiment.frame` gives it; one variant only.
    base : str
    scores : sequence of str
    level : float
        Of the intervals.
    margin : float
        Points within which a difference does not matter.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``base``, ``score``, ``pairs``, ``difference``, ``se``, ``low``, ``high``
        (Student's t), ``p`` (of no difference, t test), ``p_flip`` (sign-flip permutation; with n pairs it
        cannot be below 2 / 2**n), ``p_holm`` (`p` corrected over all rows of a score), ``verdict`` (see
        :func:`verdict`) and ``to_settle``: pairs that would show a difference of `margin`.
    """
    import pandas as pd

    rows = []
    for dataset, group in cells.groupby("dataset", sort=False):
        wide = group.pivot_table(index="seed", columns="arm", values=list(scores), sort=False)
        for arm in dict.fromkeys(group["arm"]):
            if arm == base or base not in set(group["arm"]):
                continue
            for score in scores:
                d = 100 * (wide[score][arm] - wide[score][base]).dropna().to_numpy()
                if len(d):
                    about = {"dataset": dataset, "arm": arm, "base": base, "score": score}
                    rows.append(about | _mean(d, level) | {"to_settle": to_settle(d, margin=margin)})
    return _judged(pd.DataFrame(rows, columns=[*COLUMNS, "to_settle"]), margin)


def pooled(table: pd.DataFrame, *, level: float = 0.95, margin: float = MARGIN) -> pd.DataFrame:
    """The mean over data sets of each arm's differences: what to expect of the next set of their kind.

    Each set counts once, and the interval is Student's t over the sets' means, so it holds both the noise
    within sets and the differences between them (a random-effects mean with equal weights).

    Parameters
    ----------
    table : DataFrame
        As :func:`contrasts` gives it, of two or more sets.

    Returns
    -------
    DataFrame
        The same columns; ``pairs`` counts data sets, and ``dataset`` says how many.
    """
    import pandas as pd

    rows = []
    for (arm, base, score), group in table.groupby(["arm", "base", "score"], sort=False):
        if len(group) > 1:
            about = {"dataset": f"{len(group)} sets", "arm": arm, "base": base, "score": score}
            d = group["difference"].to_numpy()
            rows.append(about | _mean(d, level) | {"to_settle": to_settle(d, margin=margin)})
    return _judged(pd.DataFrame(rows, columns=[*COLUMNS, "to_settle"]), margin)


def _mean(d: np.ndarray, level: float) -> dict[str, float]:
    """Mean of paired differences (n,), its t interval, and two tests that it is 0."""
    n, mean = len(d), float(d.mean())
    row = {"pairs": n, "difference": mean, "se": np.nan, "low": np.nan, "high": np.nan}
    if n < 2:
        return row | {"p": np.nan, "p_flip": np.nan}
    se = float(d.std(ddof=1) / np.sqrt(n))
    half = stats.t.ppf((1 + level) / 2, n - 1) * se
    p = float(2 * stats.t.sf(abs(mean) / se, n - 1)) if se else float(mean == 0)
    flip = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2**14, rng=0)
    return row | {"se": se, "low": mean - half, "high": mean + half, "p": p, "p_flip": float(flip.pvalue)}


def _judged(table: pd.DataFrame, margin: float) -> pd.DataFrame:
    table["p_holm"] = table.groupby("score", sort=False)["p"].transform(holm) if len(table) else []
    table["verdict"] = [
        verdict(low, high, margin=margin) for low, high in zip(table["low"], table["high"], strict=True)
    ]
    return table


def verdict(low: float, high: float, *, margin: float = MARGIN) -> str:
    """What an interval of a difference says, in points.

    ``gain`` or ``loss`` where it excludes 0, ``no difference`` where it lies within the margin, else
    ``inconclusive``; so also where there is no interval.
    """
    if low > 0:
        return "gain"
    if high < 0:
        return "loss"
    return "no difference" if -margin < low and high < margin else "inconclusive"


def power(n: int, *, sd: float, difference: float = MARGIN, level: float = 0.95) -> float:
    """Chance that a paired t test of `n` pairs finds a true `difference` of this spread `sd`."""
    bound, shift = stats.t.ppf((1 + level) / 2, n - 1), difference * np.sqrt(n) / sd
    chance = stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)
    return float(np.nan_to_num(chance, nan=1.0))  # SciPy gives NaN far beyond certainty


def to_settle(d: Sequence[float], *, margin: float = MARGIN, chance: float = 0.8) -> float:
    """Pairs with which a true difference of `margin` would be found, at the spread of the differences `d`.

    Parameters
    ----------
    d : sequence of float, shape (n,)
        Paired differences seen, in points.
    margin : float
    chance : float
        Power asked for, at a level of 95 %.

    Returns
    -------
    float
        A whole number; NaN from a single difference, infinity above a thousand.
    """
    if len(d) < 2:
        return np.nan
    sd = max(float(np.std(d, ddof=1)), 1e-9)
    return next((float(n) for n in range(2, 1001) if power(n, sd=sd, difference=margin) >= chance), np.inf)


def detectable(n: int, *, sd: float, chance: float = 0.8) -> float:
    """The least true difference that `n` pairs of spread `sd` find with this chance; in the units of `sd`."""

    def missing(d: float) -> float:
        return power(n, sd=sd, difference=d) - chance

    return float(optimize.brentq(missing, 1e-6 * sd, 100 * sd, xtol=1e-3 * sd))
