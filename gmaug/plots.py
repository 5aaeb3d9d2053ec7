"""How every figure of the companion looks, and the few helpers that several notebooks share.

The figures themselves are drawn in the notebooks, with seaborn and matplotlib. Colours are Okabe and
Ito's (2008), told apart with any colour vision; figures that need more than colour use marker shapes and
direct labels too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE, DOUBLE = 3.4, 7.0  # width of a column and of the page of a two-column paper, in inches
COLOURS = {
    "blue": "#0072B2", "orange": "#D55E00", "green": "#009E73", "purple": "#CC79A7",
    "yellow": "#E69F00", "sky": "#56B4E9", "black": "#000000", "grey": "#7F7F7F",
}  # fmt: skip
CYCLE = ("blue", "orange", "green", "purple", "yellow", "sky", "black")  # in which lines take their colours

_STYLE = {
    # DejaVu comes with matplotlib, so a figure looks the same on every machine.
    "font.family": "DejaVu Sans", "mathtext.fontset": "dejavusans", "font.size": 8,
    "axes.titlesize": 8, "axes.titleweight": "bold", "axes.titlelocation": "left", "axes.labelsize": 8,
    "xtick.labelsize": 7, "ytick.labelsize": 7,
    "legend.fontsize": 7, "legend.frameon": False, "legend.handlelength": 1.6,
    "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.6,
    "axes.axisbelow": True, "axes.grid": False, "grid.color": "#E5E5E5", "grid.linewidth": 0.5,
    "xtick.major.width": 0.6, "ytick.major.width": 0.6, "xtick.major.size": 2.5, "ytick.major.size": 2.5,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.3, "lines.markersize": 4.5, "patch.linewidth": 0.6, "hatch.linewidth": 0.5,
    "errorbar.capsize": 2,
    "figure.constrained_layout.use": True, "figure.dpi": 110, "savefig.dpi": 300,
    "svg.fonttype": "path",  # text as shapes: the same wherever it is opened
    "image.cmap": "cividis", "image.interpolation": "nearest",
}  # fmt: skip


def use_style() -> None:
    """Set matplotlib's defaults to this style, for the rest of the process."""
    import matplotlib
    from matplotlib.rcsetup import cycler

    matplotlib.rcParams.update(_STYLE)
    matplotlib.rcParams["axes.prop_cycle"] = cycler("color", [COLOURS[name] for name in CYCLE])


def not_run(axes: Axes) -> None:
    """Say in an empty panel that there is nothing to draw."""
    axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color="0.4")


def label(name: str, most: int = 40) -> str:
    """A class's name as an axis can bear it: no formula, no line break, at most so many letters."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")


def grid(
    rows: Sequence[Sequence[np.ndarray]], *, row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (), notes: Sequence[Sequence[str]] = (),
) -> Figure:  # fmt: skip
    """Images in rows and columns, with labels, across a page.

    Parameters
    ----------
    rows : sequence of sequences of ndarray, uint8, shape (h, w) or (h, w, 3)
        Rows may be of different lengths.
    row_labels, column_labels : sequence of str, optional
        To the left of each row and above each column.
    notes : sequence of sequences of str, optional
        Text under each image.
    """
    from matplotlib.figure import Figure

    if not any(len(row) for row in rows):
        raise ValueError("rows holds no image; give at least one")
    shape = next(image for row in rows for image in row).shape
    lines = max((text.count("\n") + 1 for row in notes for text in row if text), default=0)
    columns = max(len(row) for row in rows)
    tall = DOUBLE / columns * shape[0] / shape[1] + 0.13 * lines
    use_style()
    size = DOUBLE, tall * len(rows) + (0.15 if column_labels else 0)
    figure = Figure(figsize=size, layout="constrained")
    every = figure.subplots(len(rows), columns, squeeze=False)
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    for (r, c), axes in np.ndenumerate(every):
        axes.set(xticks=[], yticks=[])
        axes.spines[:].set_visible(False)
        if c >= len(rows[r]):
            continue
        if rows[r][c].dtype != np.uint8:
            raise ValueError(f"image {r}, {c} is {rows[r][c].dtype}; give uint8")
        axes.imshow(rows[r][c], cmap="gray", vmin=0, vmax=255, interpolation="none")
        if notes and notes[r][c]:
            axes.set_xlabel(notes[r][c], fontsize=7, labelpad=2)
        if r == 0 and column_labels:
            axes.set_title(column_labels[c], fontsize=7, fontweight="normal", loc="center", pad=2)
        if c == 0 and row_labels:
            axes.set_ylabel(row_labels[r], fontsize=7, rotation=0, ha="right", va="center", labelpad=3)
    return figure


def mosaic(images: np.ndarray, *, columns: int, gap: int = 2) -> np.ndarray:
    """Images, uint8 (n, h, w[, 3]), as one picture, row by row, with white gaps of `gap` pixels."""
    n, h, w, *colours = images.shape
    rows = -(-n // columns)
    out = np.full((rows * (h + gap) - gap, columns * (w + gap) - gap, *colours), 255, np.uint8)
    for k, image in enumerate(images):
        row, column = divmod(k, columns)
        out[row * (h + gap) :, column * (w + gap) :][:h, :w] = image
    return out
