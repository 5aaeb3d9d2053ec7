"""Pictures side by side: grids with row, column and cell labels, mosaics, contact sheets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gmaug.plots import DOUBLE, coloured, mosaic, use_style  # noqa: F401

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LINE = 0.128  # inches of height per line of text at 7 points
CHARACTER = 0.062  # inches of width per character at 7 points
ROOM = 0.03  # inches between an image and the text at it
POINTS = 7


def grid(
    rows: Sequence[Sequence[np.ndarray]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    notes: Sequence[Sequence[str]] = (),
    width: float = DOUBLE,
    gap: float = 0.06,
    right: float = 0.0,
) -> Figure:
    """Images in rows and columns.

    Parameters
    ----------
    rows : sequence of sequences of ndarray, uint8, shape (h, w) or (h, w, 3)
        Images of one shape; rows may be of different lengths.
    row_labels, column_labels : sequence of str, optional
        To the left of each row and above each column.
    notes : sequence of sequences of str, optional
        Text under each image.
    width : float
        Of the figure, in inches.
    gap : float
        Between images, in inches.
    right : float
        Room kept free on the right, in inches, for a colour bar.

    Returns
    -------
    Figure
        Its axes are the images, row by row.

    Raises
    ------
    ValueError
        If there is no image, or one is not uint8.
    """
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import PlaceHolderLayoutEngine

    if not rows or not any(len(row) for row in rows):
        raise ValueError("rows holds no image; give at least one")
    first = next(image for row in rows for image in row)
    left = max((_width(text) for text in row_labels), default=0.0) + (0.06 if row_labels else 0)
    top = max((_lines(text) for text in column_labels), default=0) * LINE + (0.04 if column_labels else 0)
    under = [_under(row) for row in notes] or [0.0] * len(rows)
    columns = max(len(row) for row in rows)
    cell = (width - left - right - gap * (columns - 1)) / columns
    tall = cell * first.shape[0] / first.shape[1]
    height = top + sum(tall + text + gap for text in under) - gap
    use_style()
    # layout="none" would last one savefig only: it is restored from the style, which has another.
    figure = Figure(figsize=(width, height), layout=PlaceHolderLayoutEngine(True, True))
    y = height - top
    for r, row in enumerate(rows):
        y -= tall
        for c, image in enumerate(row):
            if image.dtype != np.uint8:
                raise ValueError(f"image {r}, {c} is {image.dtype}; give uint8 (see `coloured` for maps)")
            x = left + c * (cell + gap)
            axes = figure.add_axes((x / width, y / height, cell / width, tall / height))
            axes.imshow(image, cmap="gray", vmin=0, vmax=255, interpolation="none", aspect="auto")
            axes.set_axis_off()
            if notes and notes[r][c]:
                axes.text(0.5, -ROOM / tall, notes[r][c], transform=axes.transAxes, **_text("center", "top"))
            if r == 0 and column_labels:
                axes.text(
                    0.5,
                    1 + ROOM / tall,
                    column_labels[c],
                    transform=axes.transAxes,
                    **_text("center", "bottom"),
                )
            if c == 0 and row_labels:
                axes.text(
                    -0.06 / cell, 0.5, row_labels[r], transform=axes.transAxes, **_text("right", "center")
                )
        y -= under[r] + gap
    return figure


def _text(across: str, along: str) -> dict[str, object]:
    return {"ha": across, "va": along, "fontsize": POINTS, "linespacing": 1.25}


def _under(notes: Sequence[str]) -> float:
    lines = max((_lines(text) for text in notes), default=0)
    return lines * LINE + 2 * ROOM if lines else 0.0


def _lines(text: str) -> int:
    return text.count("\n") + 1 if text else 0


def _width(text: str) -> float:
    return CHARACTER * max(len(line) for line in text.split("\n"))


def colour_bar(figure: Figure, *, low: float, high: float, label: str, cmap: str = "cividis") -> None:
    """A colour bar in the room that ``grid(..., right=0.55)`` keeps free."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    width, height = figure.get_size_inches()
    tall = min(height * 0.8, 2.6)
    axes = figure.add_axes(
        ((width - 0.47) / width, (height - tall) / 2 / height, 0.09 / width, tall / height)
    )
    bar = figure.colorbar(ScalarMappable(Normalize(low, high), cmap), cax=axes)
    bar.set_label(label, fontsize=POINTS, labelpad=2)
    bar.ax.tick_params(labelsize=POINTS - 1, length=2, pad=1.5)
    bar.outline.set_visible(False)


def strip(images: Sequence[np.ndarray], *, notes: Sequence[str] = (), width: float = DOUBLE) -> Figure:
    """Images in one row, with a note under each."""
    return grid([list(images)], notes=[list(notes)] if notes else (), width=width)


def wrapped(images: Mapping[str, np.ndarray], *, columns: int, width: float = DOUBLE) -> Figure:
    """Named images, `columns` in a row, each with its name under it."""
    names = [name.replace("_", "\n") for name in images]
    parts = range(0, len(names), columns)
    rows = [list(images.values())[k : k + columns] for k in parts]
    return grid(rows, notes=[names[k : k + columns] for k in parts], width=width)


def contact_sheet(
    classes: Mapping[str, np.ndarray], *, columns: int | None = None, width: float = DOUBLE, gap: int = 2
) -> Figure:
    """A row of images for each class, with its name on the left.

    Parameters
    ----------
    classes : mapping of str to ndarray of uint8, shape (n, h, w, 3)
        Name to images; classes with fewer images than `columns` leave places white.
    columns : int, optional
        Images in a row; as many as the largest class has by default. Further ones are left out.
    """
    columns = columns or max(len(images) for images in classes.values())
    rows = [[mosaic(images[:columns], columns=columns, gap=gap)] for images in classes.values()]
    return grid(rows, row_labels=list(classes), width=width, gap=0.02)
