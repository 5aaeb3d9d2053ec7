"""What a run hands over: figures and tables with their data, and verdicts on the paper's claims.

A figure is ``name.svg`` and ``name.png``, a table ``name.md``; each has its data in ``name.csv`` and a
``name.json`` with its caption, columns and provenance, which holds nothing that changes from one run to the
next on the same machine. ``published/claims.csv`` lists the claims, and :func:`judge` decides on one.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterable, Mapping
from functools import cache
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.runs import write_json, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PRINT_DPI = 200
# Figures of the paper (fig1_) and of the further systems (fig_s1_): all that a run touches in figures/. Those
# named extra_ belong to the notebooks alone and stay with the run.
OURS = re.compile(r"(fig|table)(\d+|_s\d+)_")

# Figures and tables


def save_figure(figure: Figure, name: str, *, folder: Path, data: pd.DataFrame, **about: Any) -> None:
    """Write a figure, its data, `caption=` and `provenance=`; an unchanged figure is an unchanged file."""
    import matplotlib

    folder.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context({"svg.hashsalt": name}):
        figure.savefig(folder / f"{name}.svg", metadata={"Date": None})
    figure.savefig(folder / f"{name}.png", dpi=PRINT_DPI)
    _sidecar(name, folder, data, **about)


def save_table(table: pd.DataFrame, name: str, *, folder: Path, caption: str, provenance: Any) -> None:
    """Write a table as CSV and Markdown with its sidecar."""
    write_text(folder / f"{name}.md", f"{markdown(table)}\n\n{caption}\n")
    _sidecar(name, folder, table, caption, provenance)


def _sidecar(name: str, folder: Path, data: pd.DataFrame, caption: str, provenance: Any) -> None:
    data.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    columns = {str(column): str(dtype) for column, dtype in data.dtypes.items()}
    about = {"name": name, "caption": caption, "data": f"{name}.csv", "columns": columns}
    write_json(folder / f"{name}.json", {**about, "provenance": provenance})


def markdown(table: pd.DataFrame) -> str:
    """A Markdown table; missing values are empty cells."""
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [_cell(column) for column in table.columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *rows])


def _cell(value: Any) -> str:
    if value is None or value != value:  # None, NaN, NaT
        return ""
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text.replace("|", "\\|").replace("\n", " ")


def refresh(source: Path, target: Path) -> None:
    """Replace the figures and tables in `target` by those in `source`; its other files stay."""
    target.mkdir(parents=True, exist_ok=True)
    new, old = ({p.name for p in folder.iterdir() if OURS.match(p.name)} for folder in (source, target))
    for name in sorted(new):
        scratch = target / f".{name}"
        shutil.copyfile(source / name, scratch)
        scratch.replace(target / name)
    for name in old - new:
        (target / name).unlink()


# Claims and their verdicts

MATCHES, DIFFERS, INCONCLUSIVE, NOT_RUN = "matches", "differs", "inconclusive", "not run"
ITSELF = "the paper disagrees with itself"
VERDICTS = (MATCHES, DIFFERS, INCONCLUSIVE, ITSELF, NOT_RUN)
CONSTRUCTION = "holds by construction"  # listed and not counted

COLUMNS = ["claim", "paper", "ours", "verdict", "why"]  # of a notebook's closing table
LEVEL_P = 0.05  # a claim whose test gives a greater p-value is not refuted
Z = 1.96  # 95 % of a normal distribution


@cache
def _rows() -> Mapping[str, Mapping[str, Any]]:
    """Every claim by its id, with the ``title`` that it has in closing tables."""
    frame = published.claims()
    frame["title"] = frame["claim"] + " (" + frame["section"] + ")"
    return {row["id"]: row for row in frame.to_dict("records")}


def judge(
    claim: str, ours: Any, *, holds: bool | None = None, se: float | None = None, p: float | None = None,
    itself: bool = False, inconclusive: bool = False, why: str = "",
) -> dict[str, str]:  # fmt: skip
    """Compare what was found with what the paper says: one of :data:`VERDICTS`, or :data:`CONSTRUCTION`.

    Parameters
    ----------
    claim : str
        Id of the claim.
    ours : number, bool, str or None
        What was found. A number is compared with the paper's where the claim has a tolerance; a bool
        says whether the claim holds; None means that nothing was run.
    holds : bool, optional
        Whether the claim holds, where `ours` is text or a number without a tolerance.
    se : float, optional
        Standard error of `ours`: inconclusive where its 95 % interval reaches across the tolerance.
    p : float, optional
        p-value of the test against the claim: above 5 % what would differ is inconclusive.
    itself, inconclusive : bool
        The paper's own numbers contradict the claim; the interval holds both answers, or the comparison
        lacks power (`why` should say how many seeds or images would settle it).
    why : str
        The reason, in a line.

    Returns
    -------
    dict
        ``id``, ``paper`` and ``ours`` as text to print, ``verdict``, ``why``.

    Raises
    ------
    ValueError
        If there is no such claim, or nothing to decide it by.
    """
    if claim not in _rows():
        near = ", ".join(name for name in _rows() if name.split(".")[0] == claim.split(".")[0])
        raise ValueError(f"no claim {claim!r} in published/claims.csv; its section has: {near or 'none'}")
    row = _rows()[claim]
    truth = isinstance(ours, (bool, np.bool_))
    measured = isinstance(ours, Real) and not truth and not np.isnan(row["tolerance"])
    if measured and holds is not None:
        raise ValueError(f"{claim} is decided by its tolerance; leave out holds=")
    if ours is None:
        verdict = NOT_RUN
    elif itself:
        verdict = ITSELF
    elif inconclusive:
        verdict = INCONCLUSIVE
    elif measured:
        verdict = _within(abs(float(ours) - float(row["paper"])), row["tolerance"], Z * (se or 0.0))
        why = why or f"within {row['tolerance']:g} would match: {row['reason']}"
    elif holds is not None or truth:
        verdict = MATCHES if (ours if holds is None else holds) else DIFFERS
    else:
        raise ValueError(f"{claim} has no tolerance to decide {ours!r} by; say holds=True or holds=False")
    if verdict == DIFFERS and p is not None and p > LEVEL_P:
        verdict = INCONCLUSIVE
    if verdict == MATCHES and row["kind"] == "construction":
        verdict = CONSTRUCTION
    paper = f"{row['paper']} {row['unit']}".strip()
    return {"id": claim, "paper": paper, "ours": _ours(ours, se), "verdict": verdict, "why": why}


def _within(distance: float, tolerance: float, half: float) -> str:
    """The verdict on a number whose 95 % interval has the half width `half`."""
    slack = 1e-12  # forgives binary fractions only: 0.1652 - 0.1651 must not miss 0.0001
    if distance <= tolerance + slack and half <= tolerance + slack:
        return MATCHES
    return DIFFERS if distance > tolerance + half + slack else INCONCLUSIVE


def _ours(ours: Any, se: float | None) -> str:
    if ours is None:
        return ""
    if isinstance(ours, (bool, np.bool_)):
        return "holds" if ours else "does not hold"
    if not isinstance(ours, Real):
        return str(ours)
    return f"{float(ours):.6g}" + ("" if se is None else f" ± {se:.2g}")


def table(verdicts: Iterable[Mapping[str, str]] = ()) -> pd.DataFrame:
    """Every claim, as :func:`gmaug.published.claims` has them, with ``ours``, ``verdict`` and ``why``."""
    frame = published.claims()
    found = pd.DataFrame(verdicts, columns=["id", "ours", "verdict", "why"], dtype=object)
    frame = frame.join(found.drop_duplicates("id", keep="last").set_index("id"), on="id")
    return frame.fillna({"ours": "", "verdict": NOT_RUN, "why": frame["test"]})


def closing_table(verdicts: Iterable[Mapping[str, str]]) -> pd.DataFrame:
    """The closing table of a notebook: ``claim``, ``paper``, ``ours``, ``verdict`` and ``why``."""
    given = {one["id"]: one for one in verdicts}
    rows = [{"claim": row["title"], **given[name]} for name, row in _rows().items() if name in given]
    return pd.DataFrame(rows, columns=COLUMNS)


def closing_text(verdicts: Iterable[Mapping[str, str]]) -> str:
    """The closing table in Markdown; claims that were not run are folded away below the others."""
    found = closing_table(verdicts)
    waiting = found["verdict"] == NOT_RUN
    text = markdown(found[~waiting]) if not waiting.all() else ""
    if waiting.any():
        head = f"<details><summary>Claims not run here: {waiting.sum()}</summary>"
        text += f"\n\n{head}\n\n{markdown(found[waiting])}\n\n</details>"
    return text.strip()


def read_verdicts(folder: Path) -> list[dict[str, Any]]:
    """Verdicts that the notebooks of a run have left in `folder` as JSON lists, by file name."""
    return [row for path in sorted(folder.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]


def committed_verdicts(notebooks: Path) -> list[dict[str, Any]]:
    """Verdicts that stand in the closing tables of the notebooks in a folder, with ``notebook``."""
    names = {row["title"]: name for name, row in _rows().items()}
    found = []
    for path in sorted(notebooks.glob("[0-9][0-9]_*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        for output in (output for cell in cells for output in cell.get("outputs", ())):
            for line in "".join(output.get("data", {}).get("text/markdown", "")).splitlines():
                row = dict(zip(COLUMNS, table_row(line), strict=False))
                if row.get("claim") in names and "verdict" in row:
                    found.append({"id": names[row.pop("claim")], **row, "notebook": path.stem})
    return found


def table_row(line: str) -> list[str]:
    """The cells of a line that :func:`markdown` wrote."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def tally(frame: pd.DataFrame) -> str:
    """How many claims of a :func:`table` met which verdict; what holds by construction is not counted."""
    built = (frame["kind"] == "construction") & frame["verdict"].isin([CONSTRUCTION, NOT_RUN])
    counts = frame.loc[~built, "verdict"].value_counts()
    text = f"{(~built).sum()} claims: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)
    return f"{text} ({built.sum()} more hold by construction and are not counted)" if built.any() else text


def summary(folder: Path) -> str:
    """How many claims met which verdict, and each that differs, as text for a terminal."""
    frame = table(read_verdicts(folder))
    lines = [tally(frame)]
    for verdict in (DIFFERS, ITSELF):
        for row in frame[frame["verdict"] == verdict].to_dict("records"):
            lines.append(f"  {verdict}: {row['id']}: paper {row['paper']}, ours {row['ours']}. {row['why']}")
    return "\n".join(lines)


# The verdicts in README.md

BEGIN, END = "<!-- verdicts -->", "<!-- /verdicts -->"
SHOWN = [  # what a reader asks about first
    "abstract.related", "abstract.decay", "sec1.predict",
    "sec4.1.same_hyperparameters", "sec3.3.less_benefit",
]  # fmt: skip


def write_verdicts(verdicts: Path, readme: Path) -> None:
    """Write the verdicts of a run (a folder) between the markers of `readme`."""
    before, begin, rest = readme.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError(f"{readme.name}: no {BEGIN} ... {END} to write the verdicts between; put them back")
    frame = table(read_verdicts(verdicts))
    shown = markdown(frame.set_index("id").loc[SHOWN, COLUMNS])
    write_text(readme, f"{before}{begin}\n{tally(frame)}. Some of them:\n\n{shown}\n{end}{after}")
