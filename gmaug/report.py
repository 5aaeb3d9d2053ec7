"""Figures and tables written with the data behind them and where they come from.

A figure is ``name.svg`` and ``name.png``, a table ``name.csv`` and ``name.md``; each has a
``name.json`` beside it: caption, columns, and provenance. The files of a figure include
``name.csv``, the data it draws.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.provenance import write_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PRINT_DPI = 200


def save_figure(
    figure: Figure,
    name: str,
    *,
    folder: Path,
    data: pd.DataFrame,
    caption: str,
    provenance: Mapping[str, Any],
) -> Path:
    """Write a figure, its data and its sidecar; return the PNG's path.

    The bytes do not depend on the date, so an unchanged figure is an unchanged file.
    """
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", dpi=PRINT_DPI)
    data.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    _sidecar(name, folder, data, caption, provenance)
    return folder / f"{name}.png"


def save_table(
    table: pd.DataFrame, name: str, *, folder: Path, caption: str, provenance: Mapping[str, Any]
) -> None:
    """Write a table as CSV and Markdown with its sidecar."""
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    (folder / f"{name}.md").write_text(f"{markdown(table)}\n\n{caption}\n", encoding="utf-8")
    _sidecar(name, folder, table, caption, provenance)


def _sidecar(
    name: str, folder: Path, data: pd.DataFrame, caption: str, provenance: Mapping[str, Any]
) -> None:
    columns = {str(column): str(dtype) for column, dtype in data.dtypes.items()}
    write_json(
        folder / f"{name}.json",
        {
            "name": name,
            "caption": caption,
            "data": f"{name}.csv",
            "columns": columns,
            "provenance": provenance,
        },
    )


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table; missing values are empty cells."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [_cell(column) for column in table.columns]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(value: Any) -> str:
    if value is None or value != value:  # None, NaN, NaT
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def refresh(source: Path, target: Path) -> list[str]:
    """Replace the files of `target` by the paper's figures and tables in `source`.

    Those named ``extra_...`` belong to the companion alone: they stand in the notebooks and stay
    with the run.

    Returns
    -------
    list of str
        Names that left or came.
    """
    target.mkdir(parents=True, exist_ok=True)
    new = {path.name for path in source.iterdir() if path.name.startswith(("fig", "table"))}
    old = {path.name for path in target.iterdir() if path.is_file() and not path.name.startswith(".")}
    for name in sorted(new):
        scratch = target / f".{name}"
        shutil.copyfile(source / name, scratch)
        os.replace(scratch, target / name)
    for name in sorted(old - new):
        (target / name).unlink()
    return sorted(old ^ new)
