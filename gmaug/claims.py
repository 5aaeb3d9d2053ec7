"""Every number and claim of the paper, and what became of it here.

``published/claims.csv`` has one row a claim: where it stands, what it says in our words, the
paper's value, the notebook that tests it, how, and for numbers the tolerance with its reason. A
notebook calls :func:`judge`; :func:`table` lists every claim, judged or not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmaug import published

MATCHES = "matches"
DIFFERS = "differs"
NOT_RUN = "not run"
ITSELF = "the paper disagrees with itself"
VERDICTS = (MATCHES, DIFFERS, ITSELF, NOT_RUN)


@dataclass(frozen=True)
class Verdict:
    """What became of one claim; `paper` and `ours` as text to print."""

    id: str
    paper: str
    ours: str
    verdict: str
    why: str


@cache
def _rows() -> Mapping[str, Mapping[str, Any]]:
    return {row["id"]: row for row in published.claims().to_dict("records")}


def load() -> pd.DataFrame:
    """The list of claims.

    Returns
    -------
    DataFrame
        ``id``, ``section``, ``claim``, ``paper``, ``unit``, ``notebook`` (``"01"`` to ``"06"``, empty where
        no notebook can test it), ``kind`` (number, trend, method or statement), ``test``,
        ``tolerance`` (NaN unless a number is compared) and ``reason``.
    """
    return published.claims()


def judge(
    claim: str,
    ours: Any,
    *,
    holds: bool | None = None,
    se: float | None = None,
    itself: bool = False,
    why: str = "",
) -> Verdict:
    """Compare what was found with what the paper says.

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
        Standard error of `ours`: printed beside it. It does not widen the tolerance.
    itself : bool
        The paper's own numbers contradict the claim.
    why : str
        The reason, in a line.

    Returns
    -------
    Verdict

    Raises
    ------
    ValueError
        If there is no such claim, or nothing to decide it by.
    """
    if claim not in _rows():
        near = ", ".join(name for name in _rows() if name.split(".")[0] == claim.split(".")[0])
        raise ValueError(f"no claim {claim!r} in published/claims.csv; its section has: {near or 'none'}")
    row = _rows()[claim]
    tolerance, numeric = row["tolerance"], isinstance(ours, Real) and not isinstance(ours, (bool, np.bool_))
    if ours is None:
        verdict = NOT_RUN
    elif itself:
        verdict = ITSELF
    elif holds is not None:
        if numeric and not np.isnan(tolerance):
            raise ValueError(f"{claim} is decided by its tolerance; leave out holds=")
        verdict = MATCHES if holds else DIFFERS
    elif isinstance(ours, (bool, np.bool_)):
        verdict = MATCHES if ours else DIFFERS
    elif numeric and not np.isnan(tolerance):
        # The last term forgives binary fractions only: 0.1652 - 0.1651 must not miss 0.0001.
        verdict = MATCHES if abs(float(ours) - float(row["paper"])) <= tolerance + 1e-12 else DIFFERS
        why = why or f"within {tolerance:g} would match: {row['reason']}"
    else:
        raise ValueError(f"{claim} has no tolerance to decide {ours!r} by; say holds=True or holds=False")
    return Verdict(claim, _with_unit(row["paper"], row["unit"]), _ours(ours, se), verdict, why)


def table(verdicts: Iterable[Mapping[str, Any] | Verdict] = ()) -> pd.DataFrame:
    """Every claim of the paper with its verdict; ``not run`` where none was given.

    Returns
    -------
    DataFrame
        The columns of :func:`load` with ``ours``, ``verdict`` and ``why``.
    """
    given = {verdict["id"]: verdict for verdict in map(_plain, verdicts)}
    frame = load()
    frame["ours"] = [given.get(name, {}).get("ours", "") for name in frame["id"]]
    frame["verdict"] = [given.get(name, {}).get("verdict", NOT_RUN) for name in frame["id"]]
    tests = zip(frame["id"], frame["test"], strict=True)
    frame["why"] = [given[name]["why"] if name in given else test for name, test in tests]
    return frame


def closing_table(verdicts: Iterable[Mapping[str, Any] | Verdict]) -> pd.DataFrame:
    """The closing table of a notebook: ``claim``, ``paper``, ``ours``, ``verdict`` and ``why``."""
    given = {verdict["id"]: verdict for verdict in map(_plain, verdicts)}
    rows = [
        {
            "claim": f"{row['claim']} ({row['section']})",
            **{column: given[name][column] for column in ("paper", "ours", "verdict", "why")},
        }
        for name, row in _rows().items()
        if name in given
    ]
    return pd.DataFrame(rows, columns=["claim", "paper", "ours", "verdict", "why"])


def read(folder: Path) -> list[dict[str, Any]]:
    """Verdicts that the notebooks of a run have left in `folder` as JSON lists, by file name."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("*.json")):
        found.extend(json.loads(path.read_text(encoding="utf-8")))
    return found


def tally(frame: pd.DataFrame) -> str:
    """How many claims of a :func:`table` met which verdict, in a line."""
    counts = frame["verdict"].value_counts()
    return f"{len(frame)} claims: " + ", ".join(f"{counts.get(name, 0)} {name}" for name in VERDICTS)


def summary(folder: Path) -> str:
    """How many claims met which verdict, and each that differs, as text for a terminal."""
    frame = table(read(folder))
    lines = [tally(frame)]
    for verdict in (DIFFERS, ITSELF):
        part = frame[frame["verdict"] == verdict]
        for row in part.to_dict("records"):
            lines.append(f"  {verdict}: {row['id']}: paper {row['paper']}, ours {row['ours']}. {row['why']}")
    return "\n".join(lines)


def _plain(verdict: Mapping[str, Any] | Verdict) -> Mapping[str, Any]:
    return asdict(verdict) if isinstance(verdict, Verdict) else verdict


def _with_unit(value: str, unit: str) -> str:
    if not unit:
        return value
    return f"{value} %" if unit == "%" else f"{value} {unit}"


def _ours(ours: Any, se: float | None) -> str:
    if ours is None:
        return ""
    if isinstance(ours, (bool, np.bool_)):
        return "holds" if ours else "does not hold"
    if not isinstance(ours, Real):
        return str(ours)
    text = f"{float(ours):.6g}"
    return text if se is None else f"{text} ± {se:.2g}"
