"""Arms compared over gardens: means, paired differences, and what they say of the paper's claims.

An arm is compared with another *seed by seed*: the seed sets the classifier's weights and the
order of the images, so pairs cancel part of the noise. With three seeds an interval is wide
(Student's t with two degrees of freedom); it is printed, not hidden.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import experiment, runs
from gmaug.study import plan, studies

SCORES = ("top1", "head", "middle", "tail", "macro_f1")


def recorded_cells(family: str = "cells") -> pd.DataFrame:
    """The recorded cells of the first round: one row a cell, empty if there are none.

    Parameters
    ----------
    family : {"cells", "similarity", "mae", "sweep"}
        As :func:`gmaug.study.plan.cells` has them.

    Returns
    -------
    DataFrame
        Columns as :func:`gmaug.experiment.frame` gives them; scores in [0, 1].
    """
    kept = "cells" if family == "similarity" else family
    try:
        record = runs.read_record("first_round", kept)
    except runs.NotRecorded:
        record = {"made": {}, "content": []}
    arms = plan.FAMILIES[family][1]
    found = [
        {**cell, "run": {**record["made"], **cell["run"]}}
        for cell in record["content"]
        if cell["cell"]["arm"] in arms
    ]
    about = ["dataset", "arm", "seed", "classifier", "target", "fixed_steps", "steps", "seconds"]
    table = experiment.frame(found) if found else pd.DataFrame(columns=[*about, *SCORES])
    table.attrs["left_out"] = 0
    return table


def live_cells(nb: Any) -> pd.DataFrame:
    """The cells of the profile, run now: kept under the run's folder and resumed there."""
    from dataclasses import replace

    from gmaug.classifiers.settings import GARDEN
    from gmaug.experiment.cells import Cell

    s = nb.settings
    settings = experiment.CellSettings(training=replace(GARDEN, epochs=s.live_epochs))
    wanted = [Cell(s.live_garden, arm, nb.seed + k, settings) for arm in s.live_arms for k in s.live_seeds]
    # one thread a cell, as the recorded ones: on the same processor, the same numbers
    jobs, folder = min(2, os.cpu_count() or 1), Path(nb.folder) / "cells"
    found = experiment.run_cells(wanted, studies.material, directory=folder, jobs=jobs, threads=1)
    return experiment.frame(found)


def summary(cells: pd.DataFrame, *, scores: Sequence[str] = SCORES) -> pd.DataFrame:
    """Mean and standard error over seeds, one row for each data set and arm.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``seeds``, ``steps``, and for each score its mean and ``<score>_se``
        (NaN with one seed), in percent.
    """
    rows = []
    for (dataset, arm), group in cells.groupby(["dataset", "arm"], sort=False):
        rows.append({"dataset": dataset, "arm": arm} | _mean(group, scores))
    columns = ["dataset", "arm", "seeds", "steps", *(f"{s}{end}" for s in scores for end in ("", "_se"))]
    return _in_order(pd.DataFrame(rows, columns=columns))


def _mean(group: pd.DataFrame, scores: Sequence[str]) -> dict[str, Any]:
    row: dict[str, Any] = {"seeds": len(group), "steps": float(group["steps"].mean())}
    for score in scores:
        row |= {score: 100 * float(group[score].mean()), f"{score}_se": 100 * float(group[score].sem())}
    return row


def swept(cells: pd.DataFrame, *, scores: Sequence[str] = ("top1", "tail")) -> pd.DataFrame:
    """Mean and standard error of the swept cells by target count, with epochs and with steps fixed.

    Where both come to the same number of steps, the same cells stand in both rows.

    Parameters
    ----------
    cells : DataFrame
        ``recorded_cells("sweep")``.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``fixed`` ("epochs" or "steps"), ``target`` (images a class), ``seeds``,
        ``steps``, and each score in percent with its ``_se``.
    """
    rows, at = [], str(plan.FIXED_AT)
    keys = ["dataset", "arm", "target"]
    for fixed in ("epochs", "steps"):
        free = cells["fixed_steps"].isna()
        chosen = cells[free] if fixed == "epochs" else cells[~free | (cells["target"] == at)]
        for (dataset, arm, target), group in chosen.groupby(keys, sort=False):
            about = {"dataset": dataset, "arm": arm, "fixed": fixed, "target": int(target)}
            rows.append(about | _mean(group, scores))
    columns = ["dataset", "arm", "fixed", "target", "seeds", "steps"]
    columns += [f"{score}{end}" for score in scores for end in ("", "_se")]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["dataset", "arm", "fixed", "target"], ignore_index=True)


def swept_apart(cells: pd.DataFrame, *, score: str = "top1") -> pd.DataFrame:
    """More images at as many steps, and more steps over as many images, seed by seed.

    Parameters
    ----------
    cells : DataFrame
        ``recorded_cells("sweep")``, of one data set and arm.
    score : str

    Returns
    -------
    DataFrame
        ``target``; ``images`` (percentage points that filling to `target` instead of the smallest
        target adds, steps fixed) and ``steps`` (what its longer training adds, images fixed), each
        with its standard error ``_se``; ``seeds``.
    """
    free = cells["fixed_steps"].isna()
    by = {
        (int(target), bool(fixed)): 100 * part.set_index("seed")[score]
        for (target, fixed), part in cells.groupby(["target", ~free])
    }
    rows = []
    for target in sorted(target for target, fixed in by if fixed):
        at, longer, base = (by.get(key) for key in ((target, True), (target, False), (plan.FIXED_AT, False)))
        if longer is None or base is None:
            continue
        effects = {"images": (at - base).dropna(), "steps": (longer - at).dropna()}
        row: dict[str, Any] = {"target": target}
        for name, values in effects.items():
            row |= {name: float(values.mean()), f"{name}_se": float(values.sem())}
        rows.append(row | {"seeds": min(map(len, effects.values()))})
    return pd.DataFrame(rows, columns=["target", "images", "images_se", "steps", "steps_se", "seeds"])


def paired(
    cells: pd.DataFrame, *, base: str, scores: Sequence[str] = ("top1", "tail"), level: float = 0.95
) -> pd.DataFrame:
    """Differences from the arm `base`, seed by seed, in percentage points.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``base``, ``score``, ``seeds``, ``difference``, ``se``, ``low``, ``high``
        (Student's t interval), and ``relative`` (gain in percent of the base's mean).
    """
    rows = []
    for (dataset, arm), group in cells.groupby(["dataset", "arm"], sort=False):
        mine = cells[(cells["dataset"] == dataset) & (cells["arm"] == base)]
        both = group.merge(mine, on="seed", suffixes=("", "_base"))
        if arm == base or not len(both):
            continue
        for score in scores:
            difference = 100 * (both[score] - both[f"{score}_base"]).to_numpy()
            se = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.nan
            half = stats.t.ppf((1 + level) / 2, len(difference) - 1) * se if len(difference) > 1 else np.nan
            mean = float(difference.mean())
            rows.append(
                {
                    "dataset": dataset, "arm": arm, "base": base, "score": score, "seeds": len(difference),
                    "difference": mean, "se": se, "low": mean - half, "high": mean + half,
                    "relative": mean / float(both[f"{score}_base"].mean()),
                }
            )  # fmt: skip
    columns = ["dataset", "arm", "base", "score", "seeds", "difference", "se", "low", "high", "relative"]
    return _in_order(pd.DataFrame(rows, columns=columns))


def _in_order(frame: pd.DataFrame) -> pd.DataFrame:
    """Gardens by name, arms as the study lists them."""
    arms = {arm: place for place, arm in enumerate([*plan.ARMS, *experiment.ARMS])}
    keys = frame["arm"].map(lambda arm: arms.get(arm, len(arms)))
    return (
        frame.assign(_arm=keys)
        .sort_values(["dataset", "_arm"], kind="stable")
        .drop(columns="_arm")
        .reset_index(drop=True)
    )


def text_of(rows: pd.DataFrame) -> str:
    """Differences in words: ``garden-1 +3.2 ± 0.5, ...`` points."""
    parts = []
    for row in rows.itertuples():
        error = f" ± {row.se:.1f}" if row.se == row.se else " (one seed)"
        parts.append(f"{row.dataset} {row.difference:+.1f}{error}")
    return ", ".join(parts) + " points"


def words(differences: pd.DataFrame, arm: str, *, score: str = "top1") -> str:
    """The differences of one arm in words; ``not run`` where there are none."""
    rows = differences[(differences["arm"] == arm) & (differences["score"] == score)]
    return text_of(rows) if len(rows) else "not run"
