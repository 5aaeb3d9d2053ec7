"""How much eight points say: the ridge, influence, what is predicted unseen, and rivals for the x axis."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import curve, identifiability, rivals
from gmaug.plots import COLOURS, DOUBLE, letter, new
from gmaug.plots.law import X_LABEL, Y_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MODEL_LOOK = {
    "exponential": ("o", "blue", "exponential (Eq. 4)"),
    "log_linear": ("D", "sky", "exponential, by logarithms"),
    "line": ("s", "grey", "straight line"),
    "step": ("v", "yellow", "two levels"),
    "published_step": ("^", "orange", "two levels at 0.1652"),
    "isotonic": ("P", "green", "any monotone curve"),
    "mean": ("X", "black", "constant"),
}


def ridge(fitted: curve.Fit) -> Figure:
    """Eq. 4's constants lie on a valley without a bottom; amplitude and rate in a bowl.

    Parameters
    ----------
    fitted : Fit
        Least-squares exponential through Table 5.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=2.7)
    eq4 = published.EQ4
    rate, amplitude = fitted.parameters["rate"], fitted.parameters["amplitude"]
    bases, slopes = np.linspace(0.90, 0.965, 160), np.linspace(90, 380, 160)
    levels = [10.2, 10.5, 11, 12, 14, 18, 24, 30]
    lost = identifiability.lost_by_base_and_slope(bases, slopes)
    shown = left.contourf(bases, slopes, lost, levels=[0, *levels, 60], cmap="cividis_r", extend="max")
    shown.set_clim(9, 30)
    curve_of = identifiability.ridge(fitted, bases)
    left.plot(bases, curve_of["slope"], color="white", lw=1, ls=(0, (3, 2)))
    left.plot(eq4.base, eq4.slope, "o", color=COLOURS["orange"], mec="white", ms=6)
    left.annotate("as printed", (eq4.base, eq4.slope), (8, -10), textcoords="offset points", fontsize=7)
    base = float(np.exp(-rate / eq4.slope))
    left.plot(base, eq4.slope, "D", color=COLOURS["sky"], mec="white", ms=5)
    note = f"fit at the printed\nslope: {base:.5f}"
    left.annotate(note, (base, eq4.slope), (-62, 22), textcoords="offset points", fontsize=7)
    left.set_ylim(slopes[0], slopes[-1])
    left.set_xlabel("base")
    left.set_ylabel("slope in the exponent")
    letter(left, "a", "as Eq. 4 is written")
    amplitudes, rates = np.linspace(60, 420, 160), np.linspace(5, 24, 160)
    lost = identifiability.lost_by_amplitude_and_rate(amplitudes, rates)
    shown = right.contourf(rates, amplitudes, lost, levels=[0, *levels, 60], cmap="cividis_r", extend="max")
    shown.set_clim(9, 30)
    right.plot(eq4.rate, eq4.amplitude, "o", color=COLOURS["orange"], mec="white", ms=6)
    right.annotate("as printed", (eq4.rate, eq4.amplitude), (-2, -14), textcoords="offset points", fontsize=7)
    right.plot(rate, amplitude, "D", color=COLOURS["sky"], mec="white", ms=5)
    right.annotate("least squares", (rate, amplitude), (8, -2), textcoords="offset points", fontsize=7)
    right.set_xlabel("rate $k$ (per unit of SSIM)")
    right.set_ylabel("amplitude $A$ (%)")
    letter(right, "b", "as data can tell")
    figure.colorbar(shown, ax=right, label="root mean square error (%)", ticks=[10, 14, 18, 24, 30])
    return figure


def influence(points: pd.DataFrame, table: pd.DataFrame, fitted: curve.Fit, *, top: float = 125.0) -> Figure:
    """The curve without each data set in turn, and what that does to its rate.

    Parameters
    ----------
    points : DataFrame
        The points fitted: ``ssim_sup_sub_cls`` and ``gain``.
    table : DataFrame
        As :func:`gmaug.law.uncertainty.jackknife` gives it for an exponential.
    fitted : Fit
        The curve through all of them.
    top : float
        Upper end of the scale, percent.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=2.5, width_ratios=[1.3, 1])
    at = np.linspace(0.06, 0.42, 200)
    looks = zip(("orange", "purple", "green"), ((0, (4, 2)), (0, (1, 1)), (0, (4, 1, 1, 1))), strict=True)
    marked = dict(zip(table.nlargest(3, "largest_shift")["without"], looks, strict=True))
    for row in table.itertuples(index=False):
        without = row.amplitude * np.exp(-row.rate * at)
        if row.without in marked:
            colour, dashes = marked[row.without]
            left.plot(at, without, color=COLOURS[colour], ls=dashes, label=f"without {row.without}", zorder=3)
        else:
            left.plot(at, without, color=COLOURS["grey"], lw=0.6)
    left.plot(at, fitted(at), color=COLOURS["blue"], lw=1.8, label="all eight")
    left.plot(points["ssim_sup_sub_cls"], points["gain"], "o", color=COLOURS["black"], zorder=4)
    left.set_ylim(-4, top)
    left.set_xlabel(X_LABEL)
    left.set_ylabel(Y_LABEL)
    left.legend()
    ordered = table.sort_values("rate", ignore_index=True)
    colours = [COLOURS[marked[name][0]] if name in marked else COLOURS["grey"] for name in ordered["without"]]
    right.axvline(fitted.parameters["rate"], color=COLOURS["blue"])
    right.hlines(ordered.index, fitted.parameters["rate"], ordered["rate"], color=colours, lw=1.2)
    right.scatter(ordered["rate"], ordered.index, color=colours, s=18, zorder=3)
    right.set_yticks(ordered.index, [f"without {name}" for name in ordered["without"]])
    right.set_xlim(5, 35)
    right.set_xlabel("rate $k$ (per unit of SSIM)")
    letter(left, "a")
    letter(right, "b")
    return figure


def unseen(table: pd.DataFrame) -> Figure:
    """Each data set as predicted from the other seven, beside what was measured.

    Parameters
    ----------
    table : DataFrame
        ``dataset``, ``actual``, and a column of leave-one-out predictions for each model to show,
        named as in :data:`MODEL_LOOK`, percent.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=3.6, width_ratios=[1.5, 1])
    models = [name for name in MODEL_LOOK if name in table]
    y = np.arange(len(table))[::-1]
    for k, name in enumerate(models):
        marker, colour, label = MODEL_LOOK[name]
        height = y + (k - (len(models) - 1) / 2) * 0.125
        left.plot(table[name], height, marker, color=COLOURS[colour], ms=4, label=label, zorder=3)
    left.vlines(table["actual"], y - 0.4, y + 0.4, color=COLOURS["black"], lw=2, label="Table 3", zorder=2)
    for edge in y[:-1]:
        left.axhline(edge - 0.5, color="#E5E5E5", lw=0.5)
    left.set_yticks(y, table["dataset"])
    left.set_xlabel(Y_LABEL)
    left.set_ylim(-0.5, len(table) - 0.5)
    handles, labels = left.get_legend_handles_labels()
    left.legend(handles[-1:], labels[-1:], loc="upper right")  # panel b is the key to the markers
    letter(left, "a", "predicted from the other seven")
    error = {name: (table[name] - table["actual"]).abs() for name in models}
    ordered = sorted(models, key=lambda name: error[name].mean())
    for k, name in enumerate(ordered[::-1]):
        marker, colour, _ = MODEL_LOOK[name]
        right.plot(error[name], np.full(len(table), k), "|", color=COLOURS[colour], ms=7, mew=1)
        right.plot(error[name].mean(), k, marker, color=COLOURS[colour], ms=6, mec="white", mew=0.5)
        text = f"{error[name].mean():.1f}"
        right.annotate(
            text, (error[name].mean(), k), (0, 6), textcoords="offset points", fontsize=6.5, ha="center"
        )
    right.set_yticks(range(len(ordered)), [MODEL_LOOK[name][2] for name in ordered[::-1]])
    right.set_ylim(-0.6, len(ordered) - 0.2)
    right.set_xlim(-1, None)
    right.set_xlabel("absolute error, mean marked (%)")
    letter(right, "b")
    return figure


def rival_predictors(frame: pd.DataFrame, ranks: pd.DataFrame, errors: pd.DataFrame) -> Figure:
    """Gain against each predictor, and how well each predicts a data set that it has not seen.

    Parameters
    ----------
    frame : DataFrame
        As :func:`gmaug.law.rivals.paper_predictors` gives it.
    ranks, errors : DataFrame
        As :func:`gmaug.law.rivals.rank_table` and :func:`gmaug.law.rivals.prediction_table` give them.
    """
    names = list(ranks["predictor"])
    figure, whole = new(width=DOUBLE, height=4.3)
    whole.remove()
    upper, lower = figure.subfigures(2, 1, height_ratios=[1.05, 1])
    panels = upper.subplots(1, len(names), sharey=True)
    for axes, row in zip(panels, ranks.itertuples(index=False), strict=True):
        axes.plot(frame[row.predictor], frame["gain"], "o", color=COLOURS["blue"], ms=4)
        if rivals.PREDICTORS[row.predictor].logarithm:
            _octaves(axes, frame[row.predictor].to_numpy(float))
        axes.set_title(
            f"ρ = {row.spearman:.2f}, p = {row.p:.3f}\nbest of {len(names)}: p = {row.p_any:.2f}",
            fontsize=6.5,
            fontweight="normal",
        )
        axes.set_xlabel(_wrapped(row.label), fontsize=7)
        axes.set_ylim(-5, 95)
    panels[0].set_ylabel("relative gain (%)")
    upper.text(0.004, 0.985, "a", fontweight="bold", va="top")
    lower.text(0.004, 0.985, "b", fontweight="bold", va="top")
    _errors(lower.subplots(), errors, names, frame)
    return figure


def _errors(axes: Axes, errors: pd.DataFrame, names: list[str], frame: pd.DataFrame) -> None:
    order = errors.groupby("predictor")["loo_mae"].min().sort_values(ascending=False).index
    order = [name for name in order if name in names]
    constant = np.abs(frame["gain"] - curve.leave_one_out(frame["gain"], frame["gain"], model="mean")).mean()
    axes.axvline(constant, color=COLOURS["black"], lw=0.8, ls=(0, (3, 2)))
    axes.annotate("constant", (constant, len(order) - 0.6), (3, 0), textcoords="offset points", fontsize=6.5)
    for model in rivals.MODELS:
        marker, colour, label = MODEL_LOOK[model]
        own = errors[errors["model"] == model].set_index("predictor")["loo_mae"]
        heights = [order.index(name) for name in own.index]
        axes.plot(own, heights, marker, color=COLOURS[colour], ms=5, label=label)
    axes.set_yticks(range(len(order)), [rivals.PREDICTORS[name].label for name in order])
    axes.set_ylim(-0.5, len(order) - 0.4)
    axes.set_xlim(0, None)
    axes.grid(axis="y")
    axes.set_xlabel("leave-one-data-set-out mean absolute error (points of relative gain)")
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))


def _octaves(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic scale with every other power of two, or every one where they are few."""
    axes.set_xscale("log", base=2)
    first, last = int(np.floor(np.log2(values.min()))), int(np.ceil(np.log2(values.max())))
    ticks = 2.0 ** np.arange(first, last + 1, 2 if last - first > 3 else 1)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])


def _wrapped(label: str) -> str:
    words = label.split()
    half = (len(words) + 1) // 2
    return label if len(label) < 20 else " ".join(words[:half]) + "\n" + " ".join(words[half:])
