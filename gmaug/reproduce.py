"""``python -m gmaug reproduce``: run every notebook headless and regenerate ``figures/``.

A notebook is a stage: it is rerun when its parameters, its code, the recorded runs or the package changed,
and the run says which. Slow parts inside a notebook are stages of their own, so that a killed run repeats
at most the one it was in.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmaug import notebook, report, runs
from gmaug.notebook import PROFILES, profile_named
from gmaug.progress import FILE_VARIABLE, last_line
from gmaug.runs import Stages, digest, files_hash

# Those whose kept results a notebook reads: with several jobs it starts after them.
AFTER = {
    "05_experiments": ("03_similarity_metric", "04_gm_augcls"),
    "06_curve_fit": ("05_experiments",),
}
_NAMES = sorted(path.stem for path in (runs.root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NOTEBOOKS: dict[str, tuple[str, ...]] = {name: AFTER.get(name, ()) for name in _NAMES}
"""Every notebook, in order, and what it waits for."""
if "00_start_here" in NOTEBOOKS:  # it reads what all the others found
    NOTEBOOKS["00_start_here"] = tuple(_NAMES[1:])
PARAMETERS = {"PROFILE": "default", "SEED": 0, "DATA": None}  # the literals of every parameters cell


@dataclass(frozen=True)
class Run:
    """One invocation: what is executed, with which parameters, and where it goes."""

    profile: str
    folder: Path
    notebooks: Path
    seed: int = 0
    data: str | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """What differs from the literals of the notebooks' parameters cells."""
        chosen = {"PROFILE": self.profile, "SEED": self.seed, "DATA": self.data}
        return {name: value for name, value in chosen.items() if value != PARAMETERS[name]}

    def progress(self, name: str) -> Path:
        """Where the bars of a notebook go."""
        return self.folder / "progress" / f"{name}.txt"

    def key(self, name: str) -> dict[str, Any]:
        """What the executed copy of a notebook depends on."""
        cells = json.loads((self.notebooks / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
        data = None
        if self.data is not None:  # names and sizes: cheap, and it sees files come and go
            files = (path for path in Path(self.data).rglob("*") if path.is_file())
            data = digest(sorted((p.relative_to(self.data).as_posix(), p.stat().st_size) for p in files))
        recorded = sorted(path for path in runs.RECORDED.rglob("*") if path.is_file())
        return {
            "parameters": {"profile": self.profile, "seed": self.seed, "data": data},
            "notebook": digest(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]),
            "inputs": {"recorded runs": files_hash(recorded)},
        }


class NotebookFailed(RuntimeError):
    """A cell raised; the message names the notebook, the cell and the executed copy."""


def execute(name: str, run: Run, *, threads: int) -> float:
    """Run one notebook headless into ``<run>/notebooks``; return the seconds it took.

    Where a cell raises, so does this, and the executed copy stays, with the error.
    """
    # the kernel, which starts in notebooks/, imports this package and no other that is installed
    paths = [str(runs.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ |= {
        FILE_VARIABLE: str(run.progress(name)),
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
        # tqdm.auto, which diffusers and transformers import, misses ipywidgets aloud
        "PYTHONWARNINGS": "ignore:IProgress not found",
    }
    os.environ.pop(notebook.PROFILE_VARIABLE, None)  # the parameter counts here
    import papermill
    from papermill.exceptions import PapermillExecutionError
    from traitlets.config import Config

    source, target = (folder / f"{name}.ipynb" for folder in (run.notebooks, run.folder / "notebooks"))
    runs.write_text(run.progress(name), "")
    target.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    # Kernels talk over socket files, so that several cannot clash on ports; in a folder of their own under
    # the system's short temporary path, as socket names hold 107 characters.
    with tempfile.TemporaryDirectory(prefix="gmaug-") as sockets:
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        about = {"kernel_name": "python3", "cwd": str(source.parent), "progress_bar": False, "config": config}
        try:
            papermill.execute_notebook(str(source), str(target), parameters=run.parameters, **about)
        except PapermillExecutionError as error:
            where = f"{name}, cell {error.exec_count}: {error.ename}: {error.evalue}"
            raise NotebookFailed(f"{where}; see {os.path.relpath(target)}") from None
    return time.perf_counter() - start


def end_with_parent() -> None:
    """Have a worker, and with it its kernel, end at once when the run that started it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def reproduce(run: Run, *, notebooks: Mapping[str, tuple[str, ...]] = NOTEBOOKS, jobs: int = 1) -> int:
    """Run the notebooks that need it, refresh ``figures/``, print the claims; 0, or 1 if one failed.

    `notebooks` says what each waits for. With several `jobs` each gets its share of the cores, and numbers
    that depend on the thread count may differ in the last digits.
    """
    kept, waiting = Stages(run.folder / "stages" / "notebooks"), {}
    keys = {name: run.key(name) for name in notebooks}
    for name in notebooks:
        reason = kept.reason(name, keys[name])
        if reason is None and not (run.folder / "notebooks" / f"{name}.ipynb").is_file():
            reason = "its executed copy is gone"
        if reason is None:
            print(f"  kept  {name}  ({kept.read(name)['seconds']:.0f} s when it ran)", flush=True)
        else:
            print(f"  run   {name}: {reason}", flush=True)
            waiting[name] = notebooks[name]
    failures = _execute_all(waiting, run, jobs=jobs, kept=kept, keys=keys) if waiting else []
    for failure in failures:
        print(f"gmaug: {failure}", file=sys.stderr, flush=True)
    if failures:
        return 1
    _conclude(run, kept, partial=len(notebooks) < len(NOTEBOOKS))
    return 0


def _execute_all(
    waiting: dict[str, tuple[str, ...]], run: Run, *, jobs: int, kept: Stages, keys: Mapping[str, Any]
) -> list[str]:
    """Run what waits, each after those it reads; a failure stops new starts."""
    from tqdm import tqdm

    threads = max(1, (os.cpu_count() or 1) // jobs)
    order, failures, running = list(waiting), [], {}
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    with pool, tqdm(total=len(order), desc="notebooks", unit="notebook") as shown:
        while (order and not failures) or running:
            busy = {*order, *running.values()}
            ready = [name for name in order if not failures and not busy & set(waiting[name])]
            for name in ready[: jobs - len(running)]:
                order.remove(name)
                running[pool.submit(execute, name, run, threads=threads)] = name
            try:
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                print("\ngmaug: stopped; the same command goes on from here", file=sys.stderr, flush=True)
                os._exit(130)  # leaving the pool in order would wait for the notebook to end
            for future in done:
                name = running.pop(future)
                try:
                    kept.keep(name, keys[name], None, seconds=future.result())
                except NotebookFailed as failure:
                    failures.append(str(failure))
                except (OSError, BrokenProcessPool) as failure:  # disk full, out of memory
                    failures.append(f"{name}: {type(failure).__name__}: {failure}")
                shown.update()
            states = (f"{name[:2]} {last_line(run.progress(name))[:70]}" for name in running.values())
            shown.set_postfix_str(" | ".join(states))
    return failures


def _conclude(run: Run, kept: Stages, *, partial: bool) -> None:
    """Refresh ``figures/`` where this run is the committed one; write the report, print the claims."""
    figures, note = run.folder / "figures", " of these notebooks" if partial else ""
    if not partial and run.parameters:
        note = " (figures/ is refreshed by the default run alone)"
    elif not partial:
        report.refresh(figures, figures := runs.root() / "figures")
    print(f"figures and tables{note}: {os.path.relpath(figures)}")
    done = [name for name in NOTEBOOKS if (kept.folder / f"{name}.json").is_file()]
    seconds = {name: kept.read(name)["seconds"] for name in done}
    about = {"profile": run.profile, "seed": run.seed, "data": run.data and Path(run.data).name}
    page = report.write_page(run.folder, seconds=seconds, parameters=about)
    print(f"report: {os.path.relpath(page)}\n")
    print(report.summary(run.folder / "verdicts"))


def write_back(run: Run) -> None:
    """Put the executed copies in place of the committed notebooks, and the verdicts in README.md."""
    import nbformat

    for name in NOTEBOOKS:
        executed = nbformat.read(run.folder / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in executed.cells:
            cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        executed.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        runs.write_text(run.notebooks / f"{name}.ipynb", nbformat.writes(executed) + "\n")
    report.write_verdicts(run.folder / "verdicts", runs.root() / "README.md")


def add_parser(subparsers: Any) -> None:
    """Add ``reproduce`` to the command line."""
    parser = subparsers.add_parser(
        "reproduce", help="run every notebook headless and regenerate figures/", description=__doc__
    )
    add = parser.add_argument
    add("--profile", default="default", help=f"one of {', '.join(PROFILES)}")
    add("--seed", type=int, default=0, help="seed of everything random (default 0)")
    add("--data", help="folder that holds flowers/, scene/, ...")
    add("--jobs", type=int, default=1, help="notebooks at once (default 1)")
    add("--only", nargs="+", default=[], metavar="NN", help="numbers of the notebooks to run")
    add("--write-back", action="store_true", help="store the outputs in notebooks/")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    profile_named(options.profile)
    if options.jobs < 1:
        raise ValueError(f"JOBS={options.jobs}: at least 1")
    names = {number: name for name in NOTEBOOKS for number in (name, name.split("_")[0])}
    if unknown := [number for number in options.only if number not in names]:
        raise ValueError(f"--only {unknown[0]}: no such notebook; there are {', '.join(NOTEBOOKS)}")
    chosen = {names[number] for number in options.only or NOTEBOOKS}
    data = None if options.data is None else str(notebook.data_folder(options.data))
    folder = notebook.run_folder(options.profile, seed=options.seed)
    run = Run(options.profile, folder, runs.root() / "notebooks", options.seed, data)
    if options.write_back and (run.parameters or len(chosen) < len(NOTEBOOKS)):
        raise ValueError("--write-back: only a whole run with the default parameters is committed")
    start = time.perf_counter()
    notebooks = {name: after for name, after in NOTEBOOKS.items() if name in chosen}
    status = reproduce(run, notebooks=notebooks, jobs=options.jobs)
    if status == 0 and options.write_back:
        write_back(run)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return status
