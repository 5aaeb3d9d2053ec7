"""Figures of the experiment: printed accuracies with their errors, arms compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gmaug.plots import COLOURS, DOUBLE, not_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GARDENS = ("blue", "orange", "green", "purple", "yellow", "sky", "black", "grey")


def printed_accuracies(
    table: pd.DataFrame, intervals: pd.DataFrame, columns: Sequence[str], names: Sequence[str]
) -> Figure:
    """Table 3's accuracies with the error bars that their validation images give them.

    Parameters
    ----------
    table : DataFrame
        ``dataset`` and accuracies in percent.
    intervals : DataFrame
        As :func:`gmaug.experiment.tables.accuracy_intervals` gives them.
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


def differences(
    table: pd.DataFrame,
    *,
    scores: Sequence[str],
    titles: Sequence[str],
    groups: Mapping[str, Sequence[str]] | None = None,
) -> Figure:
    """Paired differences from one arm, a panel a score, a row an arm, a colour a garden.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.experiment.comparison.paired` gives it.
    scores, titles : sequence of str
        Scores to draw, and the panels' titles.
    groups : dict of str to sequence of str, optional
        Arms that belong together, such as ``gmaug.study.plan.GROUPS``: a line between them.
    """
    arms = list(dict.fromkeys(table["arm"]))
    figure, panels = _rows(arms, len(scores), groups)
    for axes, score, title in zip(panels, scores, titles, strict=True):
        axes.axvline(0, color="0.5", lw=0.8, zorder=0)
        rows = table[table["score"] == score].set_index("arm")
        # an interval over two or three seeds is wide; the thick bar, one standard error, tells arms apart
        half = (rows["high"] - rows["difference"]).fillna(0)
        _points(axes, arms, rows["dataset"], rows["difference"], rows["se"], half)
        axes.set(title=title, xlabel="percentage points")
    _legend(figure, panels[-1])
    return figure


def by_frequency(table: pd.DataFrame, *, groups: Mapping[str, Sequence[str]] | None = None) -> Figure:
    """Accuracy of head, middle and tail classes, a panel each, a row an arm, a colour a garden.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.experiment.comparison.summary` gives it.
    groups : dict of str to sequence of str, optional
        As :func:`differences` takes them.
    """
    arms = list(dict.fromkeys(table["arm"]))
    figure, panels = _rows(arms, 3, groups)
    rows = table.set_index("arm")
    for axes, score in zip(panels, ("head", "middle", "tail"), strict=True):
        _points(axes, arms, rows["dataset"], rows[score], rows[f"{score}_se"])
        axes.set(title=score, xlabel="test accuracy (%)")
    _legend(figure, panels[-1])
    return figure


def sweep(
    table: pd.DataFrame, references: pd.DataFrame, *, scores: Sequence[str], titles: Sequence[str]
) -> Figure:
    """Accuracy against the count that classes are filled to, with epochs and with steps fixed.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.experiment.comparison.swept` gives it, of one garden and one arm.
    references : DataFrame
        Rows of :func:`gmaug.experiment.comparison.summary` to draw as level lines.
    scores, titles : sequence of str
        Scores to draw, and the panels' titles.
    """
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, len(scores), figsize=(DOUBLE, 2.5), squeeze=False)
    targets = sorted(set(table["target"]))
    styles = {"epochs": ("o", "orange"), "steps": ("s", "blue")}
    for axes, score, title in zip(panels[0], scores, titles, strict=True):
        for row, line in zip(references.to_dict("records"), ("--", ":", "-.", "-"), strict=False):
            axes.axhline(row[score], color="0.5", lw=0.9, ls=line, label=row["arm"])
        for fixed, rows in table.groupby("fixed"):
            marker, colour = styles[fixed]
            axes.errorbar(
                rows["target"], rows[score], yerr=rows[f"{score}_se"].fillna(0), marker=marker, ms=4,
                color=COLOURS[colour], label=f"{fixed} fixed",
            )  # fmt: skip
        axes.set_xscale("log", base=2)
        axes.set_xticks(targets, [str(target) for target in targets])
        axes.minorticks_off()
        axes.set(title=title, xlabel="images a class after filling")
    panels[0][0].set_ylabel("test accuracy (%)")
    if table.empty:
        not_run(panels[0][0])
    if panels[0][-1].get_legend_handles_labels()[1]:
        panels[0][-1].legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _rows(
    arms: Sequence[str], panels: int, groups: Mapping[str, Sequence[str]] | None
) -> tuple[Figure, Sequence[Axes]]:
    """Panels side by side with a row for each arm, every second one shaded, and lines between groups."""
    from matplotlib import pyplot as plt

    height = 0.7 + 0.26 * max(len(arms), 3)
    figure, axes = plt.subplots(1, panels, figsize=(DOUBLE, height), sharey=True, squeeze=False)
    of = {arm: k for k, group in enumerate((groups or {}).values()) for arm in group}
    breaks = [k for k in range(1, len(arms)) if of.get(arms[k]) != of.get(arms[k - 1])]
    for one in axes[0]:
        for k in range(0, len(arms), 2):
            one.axhspan(k - 0.5, k + 0.5, color="0.96", lw=0, zorder=-1)
        for k in breaks:
            one.axhline(k - 0.5, color="0.3", lw=0.8)
    axes[0][0].set_yticks(range(len(arms)), arms)
    axes[0][0].set_ylim(max(len(arms), 1) - 0.5, -0.5)
    if not arms:
        not_run(axes[0][0])
    return figure, axes[0]


def _points(
    axes: Axes,
    arms: Sequence[str],
    datasets: pd.Series,
    values: pd.Series,
    errors: pd.Series,
    halves: pd.Series | None = None,
) -> None:
    """A point for each arm and garden with one standard error, thick, and its interval, thin."""
    gardens = sorted(set(datasets))
    step = 0.7 / max(len(gardens), 1)
    for k, garden in enumerate(gardens):
        mine = (datasets == garden).to_numpy()
        y = np.array([arms.index(arm) for arm in values.index[mine]]) + (k - (len(gardens) - 1) / 2) * step
        colour = COLOURS[GARDENS[k % len(GARDENS)]]
        if halves is not None:
            axes.errorbar(values[mine], y, xerr=halves[mine], fmt="none", color=colour, lw=0.6, capsize=0)
        axes.errorbar(
            values[mine], y, xerr=errors[mine].fillna(0), fmt="osD^vP*X"[k % 8], color=colour, ms=3, lw=1.6,
            capsize=0, label=garden,
        )  # fmt: skip


def _legend(figure: Figure, axes: Axes) -> None:
    handles, labels = axes.get_legend_handles_labels()
    if labels:
        figure.legend(handles, labels, loc="outside upper center", ncols=len(labels))
