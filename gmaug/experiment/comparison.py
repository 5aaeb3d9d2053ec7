"""Arms compared over gardens: means, paired differences, and what they say of the paper's claims.

An arm is compared with another *seed by seed*: the seed sets the classifier's weights and the
order of the images, so pairs cancel part of the noise. With three seeds an interval is wide
(Student's t with two degrees of freedom); it is printed, not hidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import experiment, records
from gmaug.study import plan, studies

SCORES = ("top1", "head", "middle", "tail", "macro_f1")


def recorded_cells() -> pd.DataFrame:
    """The recorded cells that today's source stands by: one row a cell, empty if there are none.

    Columns as :func:`gmaug.experiment.frame` gives them; scores in [0, 1].
    """
    folder = records.FOLDER / "experiment"
    found = experiment.load_records(folder, on_stale="skip") if folder.is_dir() else []
    return experiment.frame(found) if found else pd.DataFrame(columns=["dataset", "arm", "seed", *SCORES])


def live_cells(nb: Any) -> pd.DataFrame:
    """The cells of the profile, run now: kept under the run's folder and resumed there."""
    from dataclasses import replace

    from gmaug.classifiers.settings import GARDEN
    from gmaug.experiment.cells import Cell

    s = nb.settings
    settings = experiment.CellSettings(training=replace(GARDEN, epochs=s.live_epochs))
    wanted = [Cell(s.live_garden, arm, nb.seed + k, settings) for arm in s.live_arms for k in s.live_seeds]
    found = experiment.run_cells(wanted, studies.material, directory=Path(nb.folder) / "cells")
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
        row: dict[str, Any] = {"dataset": dataset, "arm": arm, "seeds": len(group)}
        row["steps"] = float(group["steps"].mean())
        for score in scores:
            row[score] = 100 * float(group[score].mean())
            row[f"{score}_se"] = 100 * float(group[score].sem())
        rows.append(row)
    return _in_order(pd.DataFrame(rows))


def paired(
    cells: pd.DataFrame, *, base: str, scores: Sequence[str] = ("top1", "tail"), level: float = 0.95
) -> pd.DataFrame:
    """Differences from the arm `base`, seed by seed, in percentage points.

    Returns
    -------
    DataFrame
        ``dataset``, ``arm``, ``score``, ``seeds``, ``difference``, ``se``, ``low``, ``high``
        (Student's t interval), and ``relative`` (gain in percent of the base's mean).
    """
    rows = []
    for (dataset, arm), group in cells.groupby(["dataset", "arm"], sort=False):
        mine = cells[(cells["dataset"] == dataset) & (cells["arm"] == base)].set_index("seed")
        both = group.set_index("seed").join(mine, rsuffix="_base", how="inner")
        if arm == base or not len(both):
            continue
        for score in scores:
            difference = 100 * (both[score] - both[f"{score}_base"]).to_numpy()
            se = float(difference.std(ddof=1) / np.sqrt(len(difference))) if len(difference) > 1 else np.nan
            half = stats.t.ppf((1 + level) / 2, len(difference) - 1) * se if len(difference) > 1 else np.nan
            mean = float(difference.mean())
            rows.append(
                {
                    "dataset": dataset, "arm": arm, "score": score, "seeds": len(difference),
                    "difference": mean, "se": se, "low": mean - half, "high": mean + half,
                    "relative": mean / float(both[f"{score}_base"].mean()),
                }
            )  # fmt: skip
    return _in_order(pd.DataFrame(rows)) if rows else pd.DataFrame(columns=["dataset", "arm", "score"])


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


def accuracy_intervals(table: pd.DataFrame, images: pd.Series, *, level: float = 0.95) -> pd.DataFrame:
    """Wilson intervals of printed accuracies, from the number of validation images behind them.

    Parameters
    ----------
    table : DataFrame
        Accuracies in percent, one row a data set.
    images : Series
        Validation images of each row.
    """
    z = stats.norm.ppf((1 + level) / 2)
    out = {}
    for column in table:
        p, n = table[column] / 100, images.to_numpy()
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        out[f"{column}_low"], out[f"{column}_high"] = 100 * (centre - half), 100 * (centre + half)
    return pd.DataFrame(out, index=table.index)


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


def generators_table(names: Iterable[str] = plan.STUDIED) -> pd.DataFrame:
    """Distances of the recorded generators: one row a garden; the floor is what real images score."""
    rows = []
    for name in names:
        try:
            _, record = studies.recorded_generator(name)
        except records.Refused as reason:
            rows.append({"garden": name, "note": f"not run: {reason}"})
            continue
        d = record["content"]["distances"]
        rows.append(
            {
                "garden": name,
                "frechet": d["frechet"]["value"],
                "frechet_se": d["frechet"]["se"],
                "frechet_floor": d["frechet_floor"]["value"],
                "kid": d["kid"]["value"],
                "kid_se": d["kid"]["se"],
                "kid_floor": d["kid_floor"]["value"],
                "recognised": float(np.mean(d["recognised"])),
                "recognised_real": float(np.mean(d["recognised_real"])),
                "images": d["frechet"]["n_fake"],
                "dimension": d["frechet"]["dimension"],
                "note": "",
            }
        )
    return pd.DataFrame(rows)


def table3(paper: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Table 3 as printed with our recorded gardens below it; percent, ``source`` says which is which."""
    columns = {
        "original_resnet18": "original",
        "cgan_aug_resnet18": "cgan-aug",
        "cgan_augcls_resnet18": "cgan-augcls",
    }
    rows = [{"source": "paper", **row} for row in paper.astype(object).to_dict("records")]
    for dataset, group in means.groupby("dataset"):
        arms = group.set_index("arm")
        row: dict[str, Any] = {"source": "recorded", "dataset": dataset}
        rows.append(row | {column: _percent(arms, arm) for column, arm in columns.items()})
    return pd.DataFrame(rows)


def table4(paper: pd.DataFrame, printed: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Table 4 beside Table 3, with our recorded gardens below; percent."""
    joined = paper.merge(printed[["dataset", "original_resnet18", "cgan_augcls_resnet18"]], on="dataset")
    joined.columns = ["dataset", "cb_loss", "original", "cgan_augcls"]
    rows = [{"source": "paper", **row} for row in joined.astype(object).to_dict("records")]
    for dataset, group in means.groupby("dataset"):
        arms = group.set_index("arm")
        found = {arm.replace("-", "_"): _percent(arms, arm) for arm in ("cb-loss", "original", "cgan-augcls")}
        rows.append({"source": "recorded", "dataset": dataset, **found})
    return pd.DataFrame(rows)


def _percent(arms: pd.DataFrame, arm: str) -> str:
    if arm not in arms.index:
        return "not run"
    mean, se = arms.loc[arm, "top1"], arms.loc[arm, "top1_se"]
    return f"{mean:.1f} ± {se:.1f}" if se == se else f"{mean:.1f}"


def table2(paper: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Table 2 as printed, then our generators' distances in columns of their own."""
    ours = made.rename(columns={"garden": "dataset"}).assign(source="recorded")
    both = pd.concat([paper.assign(source="paper"), ours], ignore_index=True)
    return both[["source", *[column for column in both if column != "source"]]].round(4)
