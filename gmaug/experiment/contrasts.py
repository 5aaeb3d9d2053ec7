"""Arms compared: paired differences with their intervals, pooled over sets, and what would settle them.

An arm is compared with another *seed by seed*: cells of one seed share images and the order of chance, so
pairs cancel part of the noise. In a garden a seed brings fresh images; then the interval holds that, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from gmaug.statistics import holm

if TYPE_CHECKING:
    import pandas as pd

SCORES = ("balanced_accuracy", "top1", "tail", "auroc", "macro_f1")
LEVEL = 0.95  # of intervals and tests
MARGIN = 2.0  # points: a smaller difference would change nobody's choice
COLUMNS = (
    "dataset", "arm", "base", "score", "pairs", "difference", "se", "low", "high", "p", "p_flip", "to_settle",
)  # fmt: skip


def summary(cells: pd.DataFrame, *, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """Means over seeds, a row for each data set and arm: ``dataset``, ``arm``, ``seeds``, ``steps``, and for
    each score its mean and ``<score>_se`` (NaN with one seed), in percent."""
    import pandas as pd

    rows = []
    for (dataset, arm), group in cells.groupby(["dataset", "arm"], sort=False):
        row = {"dataset": dataset, "arm": arm, "seeds": len(group), "steps": float(group["steps"].mean())}
        for score in scores:
            row |= {score: 100 * float(group[score].mean()), f"{score}_se": 100 * float(group[score].sem())}
        rows.append(row)
    columns = ["dataset", "arm", "seeds", "steps", *(f"{s}{end}" for s in scores for end in ("", "_se"))]
    return pd.DataFrame(rows, columns=columns)


def contrasts(
    cells: pd.DataFrame, *, base: str = "oversample", scores: Sequence[str] = SCORES
) -> pd.DataFrame:
    """Differences from the arm `base`, paired by data set and seed, in percentage points.

    Parameters
    ----------
    cells : DataFrame
        One row a cell, as :func:`gmaug.experiment.frame` gives it; one variant only.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``base``, ``score``, ``pairs``, ``difference``, ``se``, ``low``, ``high``
        (Student's t, 95 %), ``p`` (of no difference, t test), ``p_flip`` (sign-flip permutation; with n pairs
        it cannot be below 2 / 2**n), ``to_settle`` (pairs that would show a difference of `MARGIN`),
        ``p_holm`` (`p` corrected over all rows of a score) and ``verdict`` (see :func:`verdict`).
    """
    rows = []
    for dataset, group in cells.groupby("dataset", sort=False):
        wide = group.pivot_table(index="seed", columns="arm", values=list(scores), sort=False)
        known = list(dict.fromkeys(group["arm"]))
        for arm in (arm for arm in known if arm != base and base in known):
            for score in scores:
                d = 100 * (wide[score][arm] - wide[score][base]).dropna().to_numpy()
                if len(d):
                    rows.append((dataset, arm, base, score, *_differences(d)))
    return _judged(rows)


def pooled(table: pd.DataFrame) -> pd.DataFrame:
    """The mean over data sets of each arm's differences: what to expect of the next set of their kind.

    `table`, of two or more sets, is as :func:`contrasts` gives it; what is returned too, but ``pairs`` counts
    data sets. Each set counts once and the interval is Student's t over the sets' means, so it holds both the
    noise within sets and the differences between them (a random-effects mean with equal weights).
    """
    groups = table.groupby(["arm", "base", "score"], sort=False)["difference"]
    return _judged(
        [(f"{len(d)} sets", *names, *_differences(d.to_numpy())) for names, d in groups if len(d) > 1]
    )


def _differences(d: np.ndarray) -> tuple[float, ...]:
    """Of paired differences (n,): n, mean, standard error, t interval, two tests that the mean is 0, and the
    pairs that would settle it; NaN below three, as two hardly know their spread (it may even be 0)."""
    n, mean = len(d), float(d.mean())
    if n < 3:
        return n, mean, *[np.nan] * 5, to_settle(d)
    se = float(d.std(ddof=1) / np.sqrt(n))
    half = stats.t.ppf((1 + LEVEL) / 2, n - 1) * se
    p = float(2 * stats.t.sf(abs(mean) / se, n - 1)) if se else float(mean == 0)
    flip = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=2**14, rng=0)
    return n, mean, se, mean - half, mean + half, p, float(flip.pvalue), to_settle(d)


def _judged(rows: Sequence[tuple]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(rows, columns=list(COLUMNS))
    table["p_holm"] = table.groupby("score", sort=False)["p"].transform(holm) if len(table) else []
    table["verdict"] = [verdict(low, high) for low, high in zip(table["low"], table["high"], strict=True)]
    return table


def verdict(low: float, high: float) -> str:
    """What an interval of a difference says, in points: ``gain`` or ``loss`` where it excludes 0, ``no
    difference`` where it lies within the margin, else ``inconclusive``, as where there is no interval."""
    if low > 0:
        return "gain"
    if high < 0:
        return "loss"
    return "no difference" if low > -MARGIN and high < MARGIN else "inconclusive"


def power(n: int, *, sd: float, difference: float = MARGIN) -> float:
    """Chance that a paired t test of `n` pairs finds a true `difference` of this spread `sd`."""
    bound, shift = stats.t.ppf((1 + LEVEL) / 2, n - 1), difference * np.sqrt(n) / sd
    chance = stats.nct.sf(bound, n - 1, shift) + stats.nct.cdf(-bound, n - 1, shift)
    return float(np.nan_to_num(chance, nan=1.0))  # SciPy gives NaN far beyond certainty


def to_settle(d: Sequence[float]) -> float:
    """Pairs that would find a true difference of `MARGIN` with a power of 0.8, at the spread of differences:
    a whole number; NaN from a single difference, infinity above a thousand."""
    if len(d) < 2:
        return np.nan
    sd = max(float(np.std(d, ddof=1)), 1e-9)
    return next((float(n) for n in range(2, 1001) if power(n, sd=sd) >= 0.8), np.inf)
