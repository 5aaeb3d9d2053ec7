"""Figures of GM-augCls: its schematic (Fig. 5), before and after (Fig. 1), real and made (Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.plots import COLOURS, DOUBLE

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def schematic(numbers: Mapping[str, str]) -> Figure:
    """The steps of GM-augCls as boxes and arrows, with the numbers of a run written in (Fig. 5).

    Parameters
    ----------
    numbers : mapping of str to str
        ``original``, ``candidates_1``, ``kept_1``, ``set_1``, ``candidates_2``, ``kept_2``,
        ``set_2``: a short text for the second line of each box.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(DOUBLE, 2.9))
    axes.set(xlim=(0, 100), ylim=(0, 42))
    axes.axis("off")
    data, model, images = COLOURS["blue"], COLOURS["orange"], COLOURS["green"]
    boxes = {
        "X": (9, 21, "imbalanced set $\\mathcal{X}$", numbers["original"], data),
        "M": (29, 34, "generator $M$", "trained once", model),
        "C": (29, 8, "classifier $C$", "trained on $\\mathcal{X}$", model),
        "F1": (
            48,
            21,
            "step 1: select with $C$",
            f"{numbers['kept_1']} of {numbers['candidates_1']}",
            images,
        ),
        "X1": (67, 21, "set $\\mathcal{X}'$", numbers["set_1"], data),
        "C1": (67, 5, "classifier $C'$", "trained on $\\mathcal{X}'$", model),
        "F2": (
            87,
            13,
            "step 2: select with $C'$",
            f"{numbers['kept_2']} of {numbers['candidates_2']}",
            images,
        ),
        "X2": (87, 32, "balanced set $\\mathcal{X}''$", numbers["set_2"], data),
    }
    for x, y, title, detail, colour in boxes.values():
        _box(axes, x, y, title, detail, colour)
    for start, end in (
        ("X", "M"), ("X", "C"), ("M", "F1"), ("C", "F1"), ("F1", "X1"), ("X1", "C1"), ("C1", "F2"),
        ("F2", "X2"),
    ):  # fmt: skip
        _arrow(axes, boxes[start][:2], boxes[end][:2])
    axes.annotate(
        "a new pool of candidates",
        xy=(79.5, 16.5),
        xytext=(36.5, 35.5),
        arrowprops={"arrowstyle": "->", "color": "0.45", "connectionstyle": "arc3,rad=-0.28", "ls": "--"},
        color="0.35",
        fontsize=7,
        va="center",
    )
    return figure


HALF_WIDTH, HALF_HEIGHT = 8.6, 4.6


def _box(axes: Axes, x: float, y: float, title: str, detail: str, colour: str) -> None:
    from matplotlib.patches import FancyBboxPatch

    axes.add_patch(
        FancyBboxPatch(
            (x - HALF_WIDTH, y - HALF_HEIGHT), 2 * HALF_WIDTH, 2 * HALF_HEIGHT,
            boxstyle="round,pad=0.2,rounding_size=1", facecolor=colour, alpha=0.16, edgecolor="none",
        )
    )  # fmt: skip
    axes.plot([x - HALF_WIDTH, x - HALF_WIDTH], [y - HALF_HEIGHT, y + HALF_HEIGHT], color=colour, lw=2)
    axes.text(x, y + 1.6, title, ha="center", va="center", fontsize=7.5, weight="bold")
    axes.text(x, y - 1.9, detail, ha="center", va="center", fontsize=7, color="0.25")


def _arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From the border of one box to that of the next, along the line of their centres."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    scale = min(
        (HALF_WIDTH + 0.8) / abs(dx) if dx else np.inf, (HALF_HEIGHT + 0.8) / abs(dy) if dy else np.inf
    )
    axes.annotate(
        "",
        xy=(x1 - dx * scale, y1 - dy * scale),
        xytext=(x0 + dx * scale, y0 + dy * scale),
        arrowprops={"arrowstyle": "-|>", "color": "0.25", "lw": 1.1},
    )


def before_and_after(
    real: np.ndarray, made: np.ndarray, classes: Sequence[str], counts: pd.DataFrame
) -> Figure:
    """Original and generated images of some classes above, images per class below (Fig. 1).

    Parameters
    ----------
    real, made : ndarray of uint8, shape (classes, k, h, w, 3)
        `k` images of each class.
    classes : sequence of str
        Their names.
    counts : DataFrame
        Columns ``class``, ``original``, ``added``; one row a class of the set.
    """
    from matplotlib import pyplot as plt

    figure = plt.figure(figsize=(DOUBLE, 4.1))
    grid = figure.add_gridspec(2, 2, height_ratios=(1.25, 1))
    for column, (title, images) in enumerate((("original images", real), ("generated and kept", made))):
        axes = figure.add_subplot(grid[0, column])
        tiles(axes, images, names=classes if column == 0 else None)
        axes.set_title(title)
    stacked_counts(figure.add_subplot(grid[1, :]), counts)
    return figure


def stacked_counts(axes: Axes, counts: pd.DataFrame) -> None:
    """Bars of the original images of each class with those added on top, most frequent first."""
    counts = counts.sort_values("original", ascending=False)
    places = np.arange(len(counts))
    axes.bar(places, counts["original"], color=COLOURS["blue"], label="original", width=0.75)
    on_top = {"bottom": counts["original"], "color": COLOURS["orange"], "width": 0.75}
    axes.bar(places, counts["added"], label="generated and kept", **on_top)
    axes.set_xticks(places, [name.replace(" ", "\n") for name in counts["class"]])
    axes.set_ylabel("images")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)


def tiles(axes: Axes, rows: np.ndarray, *, names: Sequence[str] | None = None, gap: int = 2) -> None:
    """Rows of images of one size on one pair of axes, with the rows' names at the left.

    Parameters
    ----------
    rows : ndarray of uint8, shape (rows, columns, h, w, 3)
    names : sequence of str, optional
    gap : int
        White pixels between images.
    """
    count, columns, height, width, _ = rows.shape
    sheet = np.full((count * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, dtype=np.uint8)
    for r in range(count):
        for c in range(columns):
            top, left = r * (height + gap), c * (width + gap)
            sheet[top : top + height, left : left + width] = rows[r, c]
    for r in range(count):
        if (rows[r] == 255).all():
            axes.text(0, r * (height + gap) + height / 2, "none", va="center", color="0.4", fontsize=7)
    axes.imshow(sheet, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if names is not None:
        axes.set_yticks([r * (height + gap) + height / 2 for r in range(count)], names)
        axes.tick_params(axis="y", length=0)


def real_and_made(
    real: np.ndarray, made: np.ndarray, classes: Sequence[str], counts: Sequence[int]
) -> Figure:
    """A row a class: real images at the left, generated ones at the right (Fig. 6).

    Parameters
    ----------
    real, made : ndarray of uint8, shape (classes, k, h, w, 3)
    classes : sequence of str
    counts : sequence of int
        Training images of each class, written beside its name.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(DOUBLE, DOUBLE * 0.5 * len(classes) / real.shape[1] + 0.4))
    names = [f"{name}\n({count} images)" for name, count in zip(classes, counts, strict=True)]
    tiles(axes[0], real, names=names)
    tiles(axes[1], made)
    axes[0].set_title("real")
    axes[1].set_title("generated, kept by the classifier")
    return figure


def candidates(examples: Any, names: Sequence[str]) -> Figure:
    """Candidates with what was asked for, what the classifier saw, and its score.

    Parameters
    ----------
    examples : gmaug.selection.Examples
    names : sequence of str
        Class names.
    """
    from matplotlib import pyplot as plt

    columns = 9
    shown = min(len(examples.images), 2 * columns)
    rows = max(1, -(-shown // columns))
    figure, axes = plt.subplots(rows, columns, figsize=(DOUBLE, 1.15 * rows + 0.3), squeeze=False)
    for place, panel in enumerate(axes.flat):
        panel.axis("off")
        if place < shown:
            wanted, seen = names[examples.wanted[place]], names[examples.predicted[place]]
            panel.imshow(examples.images[place], interpolation="nearest")
            panel.set_title(f"{wanted}\n→ {seen}\n{examples.score[place]:.2f}", fontsize=5.5, pad=2)
    return figure
