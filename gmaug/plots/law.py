"""Fig. 7 and its uncertainty: the points, the printed curve, the refit, bands, room for our own points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import curve
from gmaug.law.significance import gain_intervals
from gmaug.plots import COLOURS, DOUBLE, SINGLE, letter, new

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gmaug.law.uncertainty import Band

X_LABEL, Y_LABEL = "SSIM-supSubCls", "relative gain in accuracy (%)"

# Where each label stands from its point, in points: set by eye so that none covers a curve or an
# error bar.
_OFFSETS = {
    "UTKFace": (5, 7), "Birds": (-5, 18), "Insects": (4, 9), "scene": (3, -12), "flowers": (7, 2),
    "Fungi": (8, 3), "Reptiles": (-4, -3), "Amphibians": (-4, -3),
}  # fmt: skip
# Amphibians and Reptiles differ by 0.0001 in x, and GD has its cGAN's x: moved apart to be seen.
_SHIFTS = {("Amphibians", "cGAN"): -0.002, ("Reptiles", "cGAN"): 0.001}
GD_SHIFT = 0.003


def fig7(
    points: pd.DataFrame,
    *,
    refit: curve.Fit,
    band: Band | None = None,
    own: pd.DataFrame | None = None,
    top: float = 125.0,
) -> Figure:
    """Fig. 7: gain against similarity, on a straight and on a logarithmic scale.

    Parameters
    ----------
    points : DataFrame
        As :func:`gmaug.law.curve.paper_points` gives them.
    refit : Fit
        The least-squares curve.
    band : Band, optional
        Shaded.
    own : DataFrame, optional
        Our own points: ``ssim_sup_sub_cls``, ``gain``, ``series`` (a name for the legend) and, where
        known, ``low`` and ``high`` (interval of the gain, percent).
    top : float
        Upper end of the straight scale, percent; what lies beyond is cut.

    Returns
    -------
    Figure
        Double-column.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=3.3)
    at = np.linspace(0.06, 0.42, 300)
    for axes in (left, right):
        if band is not None:
            label = f"{band.level:.0%} band: data sets and noise"
            axes.fill_between(
                band.x, band.low, band.high, color=COLOURS["sky"], alpha=0.25, lw=0, label=label
            )
        axes.plot(at, refit(at), color=COLOURS["blue"], label="least squares on Table 5")
        axes.plot(at, published.EQ4(at), color=COLOURS["orange"], ls=(0, (4, 2)), label="Eq. 4 as printed")
        _points(axes, points, "cGAN", "o", COLOURS["black"], filled=True)
        _points(axes, points, "GD", "D", COLOURS["green"], filled=False)
        if own is not None and len(own):
            _own(axes, own)
        axes.set_xlabel(X_LABEL)
        axes.set_xlim(-0.012, 0.44)  # room for the labels on the left
        axes.set_xticks([0.1, 0.2, 0.3, 0.4])
    left.set_ylim(-14, top)
    left.axhline(0, color=COLOURS["grey"], lw=0.6)
    left.set_ylabel(Y_LABEL)
    for row in points[points["model"] == "cGAN"].itertuples(index=False):
        _label(left, row.dataset, row.ssim_sup_sub_cls, min(row.gain, top))
    right.set_yscale("log")
    right.set_ylim(0.1, 300)
    right.set_yticks([0.1, 1, 10, 100], ["0.1", "1", "10", "100"])
    right.set_ylabel(f"{Y_LABEL}, log scale")
    letter(left, "a")
    letter(right, "b")
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, columnspacing=1.5)
    return figure


def bands(parts: Mapping[str, Band], points: pd.DataFrame, refit: curve.Fit, *, top: float = 125.0) -> Figure:
    """The band when data sets, noise, or both are redrawn, side by side.

    Parameters
    ----------
    parts : mapping of str to Band
        Title to band.
    points : DataFrame
        The fitted points.
    refit : Fit
        The curve through them.
    top : float
        Upper end of the scale, percent.
    """
    figure, panels = new(1, len(parts), width=DOUBLE, height=2.3, sharey=True)
    for axes, name, (title, band) in zip(panels, "abcdef", parts.items(), strict=False):
        axes.fill_between(band.x, band.low, band.high, color=COLOURS["sky"], alpha=0.35, lw=0)
        axes.plot(band.x, band.median, color=COLOURS["grey"], lw=0.8, label="median of the draws")
        axes.plot(band.x, refit(band.x), color=COLOURS["blue"], label="fit")
        axes.plot(points["ssim_sup_sub_cls"], points["gain"], "o", color=COLOURS["black"], ms=3.5)
        axes.set_ylim(-4, top)
        axes.set_xlabel(X_LABEL)
        letter(axes, name, title)
    panels[0].set_ylabel(Y_LABEL)
    panels[-1].legend(loc="upper right")
    return figure


def search(recipes: pd.DataFrame) -> Figure:
    """How far each recipe of the audit's search lies from Table 6: one stands apart.

    Parameters
    ----------
    recipes : DataFrame
        As :func:`gmaug.law.audit.recipes` gives them.
    """
    figure, axes = new(width=SINGLE, height=2.3)
    off = np.clip(recipes["misses_by"].to_numpy(float), 1e-4, 100)
    edges = np.geomspace(1e-4, 100, 49)
    axes.hist(off, bins=edges, color=COLOURS["sky"], edgecolor="white", linewidth=0.3)
    best = recipes.iloc[0]
    hits = f"({best['matched']} of 4 to the last digit)"
    axes.annotate(
        "\n".join([f"{best['curve']},", f"{best['r2_means']},", best["mae_means"], hits]),
        (best["misses_by"], 1),
        xytext=(1.6e-4, 120),
        fontsize=6.5,
        arrowprops={"arrowstyle": "-|>", "lw": 0.7, "color": COLOURS["orange"], "shrinkB": 2},
        color=COLOURS["orange"],
    )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_ylim(0.7, 3000)
    axes.set_xlabel("largest relative deviation from Table 6")
    axes.set_ylabel("recipes")
    return figure


def rounding(digits: pd.DataFrame, box: pd.DataFrame, refit: curve.Fit) -> Figure:
    """What two decimals of the base do: the printed curve, its rounding box, and the fit.

    Parameters
    ----------
    digits, box : DataFrame
        As :func:`gmaug.law.rounding.printed_digits` and :func:`gmaug.law.rounding.printed_box` give them.
    refit : Fit
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=2.4, width_ratios=[1.4, 1])
    label = "all curves that print as Eq. 4"
    left.fill_between(
        box["x"], box["low"], box["high"], color=COLOURS["yellow"], alpha=0.3, lw=0, label=label
    )
    left.plot(box["x"], box["printed"], color=COLOURS["orange"], ls=(0, (4, 2)), label="Eq. 4 as printed")
    left.plot(box["x"], refit(box["x"]), color=COLOURS["blue"], label="least squares on Table 5")
    left.set_xlabel(X_LABEL)
    left.set_ylabel("predicted gain (%)")
    left.legend()
    right.semilogy(digits["digits"], digits["furthest"], "o-", color=COLOURS["orange"])
    for row in digits.itertuples(index=False):
        text, place = f"{row.base:.{row.digits}f}", (row.digits, row.furthest)
        right.annotate(text, place, (5, 4), textcoords="offset points", fontsize=6.5)
    right.set_xticks(digits["digits"])
    right.set_xlim(1.7, digits["digits"].max() + 1)
    right.set_ylim(digits["furthest"].min() / 2, digits["furthest"].max() * 2.5)
    right.set_xlabel("decimals of the base")
    right.set_ylabel("largest distance from\nthe fit (points of gain)")
    letter(left, "a")
    letter(right, "b")
    return figure


def _points(axes: Axes, points: pd.DataFrame, model: str, marker: str, colour: str, *, filled: bool) -> None:
    own = points[points["model"] == model]
    interval = gain_intervals(own)
    reach = np.abs(interval.to_numpy().T - own["gain"].to_numpy())
    shift = [_SHIFTS.get((name, model), GD_SHIFT * (model == "GD")) for name in own["dataset"]]
    x = own["ssim_sup_sub_cls"] + shift
    axes.errorbar(
        x,
        own["gain"],
        yerr=reach,
        fmt=marker,
        color=colour,
        mfc=colour if filled else "white",
        ms=4,
        elinewidth=0.6,
        capsize=1.5,
        label=f"{model}, Table 3 (95 %)",
        zorder=4,
    )


def _own(axes: Axes, own: pd.DataFrame) -> None:
    for (name, part), colour, marker in zip(
        own.groupby("series", sort=False), _own_colours(), "s^vP", strict=False
    ):
        error = None
        if {"low", "high"} <= set(part.columns):
            error = np.abs(part[["low", "high"]].to_numpy().T - part["gain"].to_numpy())
        axes.errorbar(
            part["ssim_sup_sub_cls"],
            part["gain"],
            yerr=error,
            fmt=marker,
            color=colour,
            mec="white",
            mew=0.4,
            ms=6,
            elinewidth=1.0,
            capsize=2,
            label=name,
            zorder=6,
        )


def _own_colours() -> Sequence[str]:
    return [COLOURS[name] for name in ("purple", "yellow", "sky", "grey")]


def _label(axes: Axes, text: str, x: float, y: float) -> None:
    shift = _OFFSETS.get(text, (5, 5))
    side = "right" if shift[0] < -3 else "left"
    axes.annotate(text, (x, y), shift, textcoords="offset points", fontsize=6.5, ha=side, color="#333333")
