"""The experiment: many cells, one JSON record each, resumable and in parallel (section 4)."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import progress
from gmaug.experiment.arms import ARMS, Arm, CellSettings
from gmaug.experiment.cells import Cell, Material, cell_of, run_cell, source, stale
from gmaug.provenance import digest, plain, write_json

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
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Run the cells whose records are missing or stale; read the others.

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
    ValueError
        If an arm lacks its generator, before anything is run.
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
        for cell, reason in _results(waiting, jobs, threads):
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
    """One row a record: data set, arm, seed, every result that is one value, seconds and device."""
    import pandas as pd

    rows = []
    for record in records:
        about = {name: record["cell"][name] for name in ("dataset", "arm", "seed")}
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


def _results(
    waiting: Sequence[tuple[Cell, Material, Path]], jobs: int, threads: int | None
) -> Iterable[tuple[Cell, str | None]]:
    if jobs == 1:
        for task in waiting:
            yield _attempt(*task, ARMS[task[0].arm], threads=threads, quiet=False)
        return
    from joblib import Parallel, delayed

    pool = Parallel(n_jobs=jobs, return_as="generator_unordered")
    done = set()
    try:
        tasks = (
            delayed(_attempt)(*task, ARMS[task[0].arm], threads=threads, quiet=True) for task in waiting
        )
        for cell, reason in pool(tasks):
            done.add(cell)
            yield cell, reason
    except RuntimeError as error:  # joblib's TerminatedWorkerError is one: a worker was killed
        for cell, _, path in waiting:
            if cell not in done and _why(path, None) is not None:
                yield cell, f"a worker process ended ({type(error).__name__}; out of memory?)"


def _attempt(
    cell: Cell, material: Material, path: Path, arm: Arm, *, threads: int | None, quiet: bool
) -> tuple[Cell, str | None]:
    """Run a cell and keep its record; what went wrong, or None."""
    import torch

    ARMS[arm.name] = arm  # an arm made in a notebook is unknown to a fresh process
    if quiet:  # bars of several processes would write over each other
        os.environ[progress.FILE_VARIABLE] = os.devnull
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        write_json(path, run_cell(cell, material))
    except Exception as error:
        return cell, f"{type(error).__name__}: {error}"
    return cell, None
