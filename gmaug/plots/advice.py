"""The picture that goes with advice on an image set."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import published
from gmaug.law import audit
from gmaug.plots import COLOURS, DOUBLE, letter, new
from gmaug.plots.law import X_LABEL, Y_LABEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST = 14  # bars that can be labelled at this size; beyond it the ends are shown


def advice(given: Any) -> Figure:
    """Where the set stands on Fig. 7, what each model expects, its class counts, its super-classes.

    Parameters
    ----------
    given : gmaug.advice.advise.Advice
        Not imported here, since figures come before what they show in the order of rooms.
    """
    figure, panels = new(2, 2, width=DOUBLE, height=4.6)
    (place, expected), (counts, supers) = panels
    _place(place, given)
    _expected(expected, given)
    _counts(counts, given)
    _supers(supers, given)
    for axes, name in zip(panels.flat, "abcd", strict=True):
        letter(axes, name, axes.get_title())
        axes.title.set_text("")
    return figure


def _place(axes: Axes, given: Any) -> None:
    points, metric = published.load("table5"), given.similarity.ssim_sup_sub_cls
    right = max(0.42, metric.value + 0.05)
    at = np.linspace(min(0.06, metric.value - 0.01), right, 200)
    axes.plot(at, audit.refit()(at), color=COLOURS["blue"], label="refit")
    axes.plot(at, published.EQ4(at), color=COLOURS["orange"], ls=(0, (4, 2)), label="Eq. 4 as printed")
    x, y = points["ssim_sup_sub_cls"], points["cgan_augcls_improvement"]
    axes.plot(x, y, "o", color=COLOURS["black"], label="the paper's data sets")
    axes.axvline(metric.value, color=COLOURS["purple"], lw=1.4, label="this set")
    if not np.isnan(metric.low):
        axes.axvspan(metric.low, metric.high, color=COLOURS["purple"], alpha=0.25, lw=0)
    axes.set_ylim(-4, 110)
    axes.set_xlabel(X_LABEL)
    axes.set_ylabel(Y_LABEL)
    axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")


def _expected(axes: Axes, given: Any) -> None:
    shown = given.forecasts[::-1]
    for k, one in enumerate(shown):
        colour = COLOURS["grey" if one.note else "blue"]
        axes.plot([one.low, one.high], [k, k], color=colour, lw=1.2, solid_capstyle="butt")
        axes.plot(one.expected, k, "o", color=colour, mfc="white" if one.note else colour)
    axes.axvline(0, color=COLOURS["black"], lw=0.6)
    axes.set_yticks(range(len(shown)), [_two_lines(one.model) for one in shown], fontsize=6.5)
    axes.set_xlim(-60, 160)
    axes.set_xlabel("expected gain (%), 80 % interval")


def _counts(axes: Axes, given: Any) -> None:
    ordered = sorted(given.class_counts.items(), key=lambda item: -item[1])
    names, numbers = zip(*ordered, strict=True)
    numbers, place = np.array(numbers), np.arange(len(numbers))
    axes.bar(place, numbers, color=COLOURS["blue"], width=0.8, label="images")
    if given.to_generate:
        rest = given.target - numbers
        axes.bar(
            place,
            rest,
            bottom=numbers,
            color="white",
            edgecolor=COLOURS["orange"],
            hatch="////",
            width=0.8,
            label="to generate",
        )
        axes.set_ylim(0, given.target * 1.28)
        axes.legend(loc="upper right", ncols=2)
    if len(names) <= MOST:
        axes.set_xticks(place, names, rotation=35, ha="right", rotation_mode="anchor")
    else:
        axes.set_xticks([0, len(names) - 1], [names[0], names[-1]])
    axes.set_ylabel("images")


def _supers(axes: Axes, given: Any) -> None:
    found = [(name, e) for name, e in given.similarity.super_classes.items() if not np.isnan(e.value)]
    found = sorted(found, key=lambda item: item[1].value)[-MOST:]
    for k, (name, estimate) in enumerate(found):
        colour = COLOURS["purple" if name == given.similarity.argmax else "grey"]
        if not np.isnan(estimate.low):
            axes.plot([estimate.low, estimate.high], [k, k], color=colour, lw=1.2)
        axes.plot(estimate.value, k, "o", color=colour)
    merged = given.similarity.ssim_merge_cls.value
    axes.axvline(merged, color=COLOURS["black"], lw=0.8, ls=(0, (3, 2)), label="all classes")
    axes.set_yticks(range(len(found)), [name for name, _ in found])
    axes.set_ylim(-0.6, len(found) - 0.4)
    axes.set_xlabel("mean SSIM within the super-class (95 %)")
    axes.legend(loc="lower right")


def _two_lines(text: str) -> str:
    return text.split(" (")[0].replace(", ", ",\n").replace(" of the ", "\nof the ")
