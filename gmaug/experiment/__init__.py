"""The experiment: many cells, one JSON record each, resumable and in parallel (section 4)."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import progress
from gmaug.experiment.arms import ARMS, CellSettings
from gmaug.experiment.cells import Cell, Material, cell_of, run_cell, source, stale
from gmaug.experiment.workers import spread
from gmaug.provenance import digest, plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "ARMS", "Cell", "CellSettings", "CellsFailed", "Material", "cell_of", "frame", "load_records", "path_of",
    "run_cell", "run_cells", "source", "stale",
]  # fmt: skip


class CellsFailed(RuntimeError):
    """Some cells failed; the others are done and kept. `failures` holds (cell, reason) pairs."""

    def __init__(self, failures: Sequence[tuple[Cell, str]], total: int, directory: Path) -> None:
        self.failures = tuple(failures)
        cell, reason = self.failures[0]
        super().__init__(
            f"{len(failures)} of {total} cells failed, first {cell}: {reason}. The others are kept in "
            f"{directory}; mend the cause and run again: only what is not there is run"
        )


def path_of(cell: Cell, material: Material, directory: str | Path) -> Path:
    """Where the record of a cell lies: named by the digest of its settings, images and generator."""
    name = digest(plain(cell), material.inputs(cell.arm))
    return Path(directory) / f"{cell.dataset}_{cell.arm}_{cell.seed}_{name}.json"


def run_cells(
    cells: Iterable[Cell],
    materials: Mapping[str, Material] | Callable[[str], Material],
    *,
    directory: str | Path,
    jobs: int = 1,
    threads: int | None = None,
    scheduler: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Run the cells whose records are missing or stale; read the others.

    Cells run in this process, in several processes of this machine (`jobs`), or on the machines of
    a Dask cluster (`scheduler`, or whatever ``joblib.parallel_config`` is in force around the
    call). The bar shows how many are done, and the time left at the mean rate so far.

    Parameters
    ----------
    cells : iterable of Cell
    materials : dict or callable
        From the name of a data set to its images and generators.
    directory : path
        Of the records; each is written whole as soon as its cell is done.
    jobs : int
        Processes.
    threads : int, optional
        Torch threads of each; the cores shared out among several, torch's own choice for one.
        Results are the same bytes only for the same number.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; needs ``gmaug[dask]`` here and
        gmaug on its workers. They need no shared disk: records are written here.
    say : callable, optional
        Told why each cell has to be run.

    Returns
    -------
    list of dict
        The records, in the order of `cells`.

    Raises
    ------
    CellsFailed
        At the end, if some failed.
    OSError
        At once, if a record cannot be written, as on a full disk; those written stay.
    ValueError
        If an arm lacks its generator, before anything is run.
    ImportError, TimeoutError
        If Dask is asked for and not installed, or its scheduler does not answer.
    """
    cells, directory = list(cells), Path(directory)
    known: dict[str, Material] = {}
    for cell in cells:
        if cell.dataset in known:
            continue
        if not callable(materials) and cell.dataset not in materials:
            there = ", ".join(materials) or "nothing"
            raise ValueError(f"{cell}: materials hold no {cell.dataset!r}, only {there}")
        known[cell.dataset] = materials(cell.dataset) if callable(materials) else materials[cell.dataset]
    paths = [path_of(cell, known[cell.dataset], directory) for cell in cells]
    waiting = []
    for cell, path in dict(zip(cells, paths, strict=True)).items():
        if (reason := _why(path, known[cell.dataset])) is not None:
            say(f"{cell}: {reason}")
            waiting.append((cell, known[cell.dataset], path))
    directory.mkdir(parents=True, exist_ok=True)
    if jobs > 1 and threads is None:  # more threads than cores slow each other down fivefold
        threads = max(1, (os.cpu_count() or 1) // jobs)
    failures = []
    with progress.bar(desc="cells", total=len(cells), initial=len(cells) - len(waiting), unit="cell") as bar:
        for cell, reason in spread(waiting, jobs=jobs, threads=threads, scheduler=scheduler):
            if reason is not None:
                failures.append((cell, reason))
            bar.set_postfix_str(str(cell))
            bar.update()
    if failures:
        raise CellsFailed(failures, len(cells), directory)
    return [_read(path) for path in paths]


def load_records(directory: str | Path, *, on_stale: str = "raise") -> list[dict[str, Any]]:
    """Records of a folder, by data set, arm and seed.

    Parameters
    ----------
    directory : path
    on_stale : {"raise", "skip"}
        What to do with a record whose settings or source no longer match: refuse all, or leave
        it out with a warning that gives the reason.

    Raises
    ------
    ValueError
        If a record does not match, or is damaged, and `on_stale` is ``"raise"``.
    FileNotFoundError
        If there is no such folder.
    """
    directory = Path(directory)
    if on_stale not in ("raise", "skip"):
        raise ValueError(f"on_stale={on_stale!r} is unknown; use 'raise' or 'skip'")
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such folder of records; run_cells makes one")
    records = []
    for path in sorted(directory.glob("*.json")):
        reason = _why(path, None)
        if reason is None:
            records.append(_read(path))
        elif on_stale == "raise":
            raise ValueError(f"{path} is refused: {reason}; run its cell again or pass on_stale='skip'")
        else:
            warnings.warn(f"{path.name} is left out: {reason}", stacklevel=2)
    return sorted(records, key=lambda r: (r["cell"]["dataset"], r["cell"]["arm"], r["cell"]["seed"]))


def frame(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a record: data set, arm, seed, what tells families of cells apart (classifier, target,
    steps if they were fixed), every result that is one value, seconds and device."""
    import pandas as pd

    rows = []
    for record in records:
        about = {name: record["cell"][name] for name in ("dataset", "arm", "seed")}
        settings = record["cell"]["settings"]
        about |= {"classifier": settings["classifier"], "target": str(settings["target"])}
        about["fixed_steps"] = settings["steps"]
        single = {k: v for k, v in record["result"].items() if not isinstance(v, (list, dict))}
        rows.append(about | single | {name: record["run"][name] for name in ("seconds", "device")})
    return pd.DataFrame(rows)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _why(path: Path, material: Material | None) -> str | None:
    """Why the cell kept at `path` has to be run; None if its record serves."""
    try:
        record = _read(path)
    except FileNotFoundError:
        return "not run yet"
    except (json.JSONDecodeError, UnicodeDecodeError):
        return "its file is damaged"
    return stale(record, material=material)
