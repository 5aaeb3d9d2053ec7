"""Figures of the experiment: printed accuracies with their errors, arms compared."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gmaug.plots import COLOURS, DOUBLE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def printed_accuracies(
    table: pd.DataFrame, intervals: pd.DataFrame, columns: Sequence[str], names: Sequence[str]
) -> Figure:
    """Table 3's accuracies with the error bars that their validation images give them.

    Parameters
    ----------
    table : DataFrame
        ``dataset`` and accuracies in percent.
    intervals : DataFrame
        As :func:`gmaug.experiment.comparison.accuracy_intervals` gives them.
    columns, names : sequence of str
        Columns to draw, and what to call them.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(DOUBLE, 2.5))
    places = np.arange(len(table))
    colours = (COLOURS["blue"], COLOURS["yellow"], COLOURS["orange"], COLOURS["green"])
    width = 0.8 / len(columns)
    for k, (column, name) in enumerate(zip(columns, names, strict=True)):
        x = places + (k - (len(columns) - 1) / 2) * width
        low = table[column] - intervals[f"{column}_low"]
        high = intervals[f"{column}_high"] - table[column]
        axes.errorbar(
            x, table[column], yerr=[low, high], fmt="osD^"[k], color=colours[k], ms=3.5, lw=1, label=name
        )
    axes.set_xticks(places, table["dataset"])
    axes.set(ylabel="top-1 validation accuracy (%)", ylim=(0, 100))
    axes.legend(ncols=len(columns), loc="lower left")
    return figure


def differences(table: pd.DataFrame, *, scores: Sequence[str], titles: Sequence[str]) -> Figure:
    """Paired differences from one arm, a panel a score, a row an arm, a colour a garden.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.experiment.comparison.paired` gives it.
    scores, titles : sequence of str
        Scores to draw, and the panels' titles.
    """
    from matplotlib import pyplot as plt

    arms = list(dict.fromkeys(table["arm"]))
    gardens = sorted(set(table["dataset"]))
    figure, panels = plt.subplots(
        1, len(scores), figsize=(DOUBLE, 0.5 + 0.34 * max(len(arms), 3)), sharey=True, squeeze=False
    )
    colours = ("blue", "orange", "green", "purple", "yellow", "sky", "black", "grey")
    for axes, score, title in zip(panels[0], scores, titles, strict=True):
        axes.axvline(0, color="0.5", lw=0.8)
        for k, garden in enumerate(gardens):
            rows = table[(table["score"] == score) & (table["dataset"] == garden)].set_index("arm")
            rows = rows.reindex(arms)
            y = np.arange(len(arms)) + (k - (len(gardens) - 1) / 2) * 0.22
            half = (rows["high"] - rows["difference"]).fillna(0)
            axes.errorbar(
                rows["difference"], y, xerr=half, fmt="osD^vP*X"[k], color=COLOURS[colours[k]], ms=3.5, lw=1,
                label=garden,
            )  # fmt: skip
        axes.set_title(title)
        axes.set_xlabel("percentage points")
    panels[0][0].set_yticks(np.arange(len(arms)), arms)
    panels[0][0].invert_yaxis()
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def by_frequency(table: pd.DataFrame, *, arms: Sequence[str]) -> Figure:
    """Accuracy of head, middle and tail classes by arm, a panel a garden.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.experiment.comparison.summary` gives it.
    arms : sequence of str
        Arms to draw, in order.
    """
    from matplotlib import pyplot as plt

    gardens = sorted(set(table["dataset"]))
    figure, panels = plt.subplots(1, len(gardens), figsize=(DOUBLE, 2.4), sharey=True, squeeze=False)
    groups = ("head", "middle", "tail")
    colours = ("blue", "sky", "purple", "yellow", "orange", "green", "black", "grey")
    for axes, garden in zip(panels[0], gardens, strict=True):
        rows = table[table["dataset"] == garden].set_index("arm")
        shown = [arm for arm in arms if arm in rows.index]
        for k, arm in enumerate(shown):
            x = np.arange(3) + (k - (len(shown) - 1) / 2) * 0.12
            errors = [rows.loc[arm, f"{group}_se"] for group in groups]
            axes.errorbar(
                x, [rows.loc[arm, group] for group in groups], yerr=np.nan_to_num(errors), fmt="osD^vP*X"[k],
                color=COLOURS[colours[k]], ms=3.5, lw=1, label=arm,
            )  # fmt: skip
        axes.set_xticks(range(3), groups)
        axes.set_title(garden)
        axes.set_ylim(0, 100)
    panels[0][0].set_ylabel("test accuracy (%)")
    panels[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure
