"""Figures of what distinguishes generators: the ablation, guidance, the tail, use for training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug.plots import COLOURS, DOUBLE, SINGLE, letter, new, not_run
from gmaug.plots.pipeline import tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOKS = {
    "cgan": ("transitional cGAN", "blue", "o"),
    "gd": ("guided diffusion", "orange", "s"),
    "real": ("real images", "black", "D"),
    "mean and noise": ("class mean and noise", "grey", "v"),
}
"""Name, colour and marker of each kind of images."""

WAYS = {"transitional": "blue", "plain": "orange"}


def ablation(runs: Sequence[Mapping[str, Any]], images: Mapping[str, np.ndarray]) -> Figure:
    """Transitional against plain conditional training: curves of every seed, samples of the last seed.

    Parameters
    ----------
    runs : sequence of dict
        As :func:`gmaug.study.ablation.runs` gives them.
    images : mapping of str to ndarray of uint8, shape (classes, each, h, w, 3)
        Samples of the smallest classes by the way they were trained.
    """
    figure, axes = new(2, 2, width=DOUBLE, height=4.0, height_ratios=(1.1, 1))
    for panel, column, title, text in (
        (axes[0, 0], "distance", "distance to validation images", "a"),
        (axes[0, 1], "spread", "diversity of the least diverse class", "b"),
    ):
        for run in runs:
            curve = pd.DataFrame(run["history"])
            panel.plot(curve["kimg"], curve[column], color=COLOURS[WAYS[run["way"]]], lw=0.9, alpha=0.8)
        letter(panel, text, title)
        panel.set_xlabel("thousands of images shown")
    axes[0, 0].set_yscale("log")
    axes[0, 0].yaxis.set_major_formatter("{x:g}")
    axes[0, 0].yaxis.set_minor_formatter("")
    axes[0, 1].axhline(1, color="0.6", lw=0.8, ls="--")
    axes[0, 1].set_ylim(bottom=0)
    for place, (way, colour) in enumerate(WAYS.items()):
        axes[0, 0].text(
            0.97, 0.93 - 0.1 * place, f"{way} training", transform=axes[0, 0].transAxes, ha="right",
            color=COLOURS[colour], fontsize=7,
        )  # fmt: skip
    for panel, (way, shown), text in zip(axes[1], images.items(), "cd", strict=True):
        tiles(panel, shown, gap=1)
        letter(panel, text, f"the smallest classes, {way}")
    return figure


def trajectory(frames: np.ndarray, levels: Sequence[float], names: Sequence[str]) -> Figure:
    """Images on their way from noise, one row a class, the noise falling from left to right.

    Parameters
    ----------
    frames : ndarray of uint8, shape (classes, levels, h, w, 3)
    levels : sequence of float
        Share of noise in each column, in [0, 1].
    names : sequence of str
    """
    figure, axes = new(width=DOUBLE, height=DOUBLE * len(frames) / frames.shape[1] + 0.3)
    tiles(axes, frames, names=list(names), gap=1)
    width = frames.shape[3] + 1
    axes.set_xticks([(k + 0.5) * width for k in range(len(levels))], [f"{level:.2f}" for level in levels])
    axes.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    return figure


def guidance(table: pd.DataFrame) -> Figure:
    """What the scale of the classifier's gradient trades.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.study.scrutiny.guidance_sweep` gives it.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=2.1)
    place = np.arange(len(table))
    left.errorbar(place, table["recognised"], yerr=table["se"], fmt="o-", color=COLOURS["blue"], ms=3, lw=1)
    left.plot(place, table["spread"], "s-", color=COLOURS["orange"], ms=3, lw=1)
    for column, text, colour in (
        ("recognised", "recognised", "blue"), ("spread", "diversity, real = 1", "orange")
    ):  # fmt: skip
        left.annotate(
            text, (place[0], table[column].iloc[0]), xytext=(4, 7), textcoords="offset points",
            color=COLOURS[colour], fontsize=7,
        )  # fmt: skip
    left.set_ylim(0, 1.15)
    right.errorbar(
        place, table["frechet"], yerr=table["frechet_se"], fmt="o-", color=COLOURS["blue"], ms=3, lw=1
    )
    right.set_ylim(bottom=0)
    letter(left, "a", "recognition and diversity")
    letter(right, "b", "Fréchet distance to test images")
    for axes in (left, right):
        axes.set_xticks(place, [f"{s:g}" for s in table["scale"]])
        axes.set_xlabel("guidance scale")
    return figure


def tail(table: pd.DataFrame) -> Figure:
    """Recognised share of each class's images against how many the generator was trained on.

    Parameters
    ----------
    table : DataFrame
        ``kind`` (``"cgan"``, ``"gd"`` or ``"real"``), ``images`` and ``recognised``.
    """
    figure, axes = new(width=SINGLE, height=2.3)
    for kind, rows in table.sort_values("images").groupby("kind", sort=False):
        title, colour, marker = LOOKS[kind]
        axes.plot(
            rows["images"], rows["recognised"], marker, color=COLOURS[colour], ms=4, label=title, alpha=0.9
        )
    axes.set_xscale("log")
    ticks = sorted(table["images"].unique())[::2]
    axes.set_xticks(ticks, [str(t) for t in ticks])
    axes.minorticks_off()
    axes.set(xlabel="training images of the class", ylabel="share recognised", ylim=(-0.03, 1.05))
    axes.legend(loc="lower right")
    return figure


def usefulness(table: pd.DataFrame) -> Figure:
    """Accuracy on real test images of classifiers trained on each kind of images alone.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.study.usefulness.frame` gives it, for one or more sets.
    """
    sets = list(dict.fromkeys(table["set"]))
    figure, panels = new(1, max(len(sets), 1), width=DOUBLE, height=1.7, squeeze=False)
    if not sets:
        not_run(panels[0][0])
    for text, axes, name in zip("abcd", panels[0], sets, strict=False):
        rows = table[table["set"] == name].iloc[::-1]
        for place, row in enumerate(rows.itertuples()):
            _, colour, marker = LOOKS[row.images]
            axes.errorbar(row.accuracy, place, xerr=row.se, fmt=marker, color=COLOURS[colour], ms=5)
            axes.annotate(
                f"{row.accuracy:.1f}", (row.accuracy, place), xytext=(0, 6), textcoords="offset points",
                ha="center", fontsize=7, color=COLOURS[colour],
            )  # fmt: skip
        axes.set_yticks(range(len(rows)), [LOOKS[kind][0] for kind in rows["images"]])
        axes.set_ylim(-0.5, len(rows) - 0.2)
        axes.set_xlim(0, 100)
        axes.grid(axis="x")
        axes.set_xlabel("accuracy on real test images (%)")
        letter(axes, text, f"{name}, {rows['each'].iloc[0]} images a class")
    return figure


def grids(images: Mapping[str, np.ndarray], classes: Sequence[str]) -> Figure:
    """Samples of several kinds side by side, one row a class.

    Parameters
    ----------
    images : mapping of str to ndarray of uint8, shape (classes, each, h, w, 3)
        By kind of images, as in `LOOKS`.
    classes : sequence of str
    """
    first = next(iter(images.values()))
    height = DOUBLE * 0.86 * len(classes) / (first.shape[1] * len(images)) + 0.35
    figure, panels = new(1, len(images), width=DOUBLE, height=height, squeeze=False)
    for place, (axes, (kind, shown)) in enumerate(zip(panels[0], images.items(), strict=True)):
        tiles(axes, shown, names=list(classes) if place == 0 else None, gap=1)
        letter(axes, "abcd"[place], LOOKS[kind][0])
    return figure
