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
from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmaug import notebook, report, runs
from gmaug.notebook import PROFILES, profile_named
from gmaug.progress import FILE_VARIABLE, last_line
from gmaug.runs import Stages, digest, files_hash

# Those whose kept results a notebook reads: with several jobs it starts after them.
AFTER: dict[str, tuple[str, ...]] = {
    "05_experiments": ("03_similarity_metric", "04_gm_augcls"),
    "06_curve_fit": ("05_experiments",),
}
NOTEBOOKS = {
    path.stem: AFTER.get(path.stem, ())
    for path in sorted((runs.root() / "notebooks").glob("[0-9][0-9]_*.ipynb"))
}
if "00_start_here" in NOTEBOOKS:  # it reads what all the others found
    NOTEBOOKS["00_start_here"] = tuple(NOTEBOOKS)[1:]
"""Every notebook, in order, and what it waits for."""

PARAMETERS = {"PROFILE": "default", "SEED": 0, "DATA": None}
"""The literals of every notebook's parameters cell."""


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


class NotebookFailed(RuntimeError):
    """A cell raised; the message names the notebook, the cell and the executed copy."""


def execute(name: str, run: Run, *, threads: int) -> float:
    """Run one notebook headless into ``<run>/notebooks``; return the seconds it took.

    Where a cell raises, so does this, and the executed copy stays, with the error.
    """
    progress = progress_file(run, name)
    os.environ[FILE_VARIABLE] = str(progress)
    os.environ["OMP_NUM_THREADS"] = str(threads)
    # the kernel, which starts in notebooks/, imports this package and no other that is installed
    paths = [str(runs.PACKAGE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    # tqdm.auto, which diffusers and transformers import, misses ipywidgets aloud; nothing here needs them
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    os.environ.pop(notebook.PROFILE_VARIABLE, None)  # the parameter counts here
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = run.notebooks / f"{name}.ipynb"
    target = run.folder / "notebooks" / f"{name}.ipynb"
    runs.write_text(progress, "")
    target.parent.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        with _transport() as kernel:
            papermill.execute_notebook(
                str(source),
                str(target),
                parameters=run.parameters,
                kernel_name="python3",
                cwd=str(source.parent),
                progress_bar=False,
                **kernel,
            )
    except PapermillExecutionError as error:
        raise NotebookFailed(
            f"{name}, cell {error.exec_count}: {error.ename}: {error.evalue}; see {os.path.relpath(target)}"
        ) from None
    return time.perf_counter() - start


@contextmanager
def _transport() -> Iterator[dict[str, Any]]:
    """Options with which a kernel talks over socket files, so that several cannot clash on ports."""
    from traitlets.config import Config

    if os.name == "nt":  # TCP is all there is
        yield {}
        return
    # A folder of its own under the system's short temporary path: socket names hold 107 characters.
    with tempfile.TemporaryDirectory(prefix="gmaug-") as folder:
        yield {"config": Config({"KernelManager": {"transport": "ipc", "ip": f"{folder}/kernel"}})}


def progress_file(run: Run, name: str) -> Path:
    """Where the bars of a notebook go during a headless run."""
    return run.folder / "progress" / f"{name}.txt"


def end_with_parent() -> None:
    """Have a worker, and with it its kernel, end at once when the run that started it ends."""
    parent = multiprocessing.parent_process()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def key_of(name: str, run: Run) -> dict[str, Any]:
    """What the executed copy of a notebook depends on."""
    cells = json.loads((run.notebooks / f"{name}.ipynb").read_text(encoding="utf-8"))["cells"]
    recorded = sorted(p for p in runs.RECORDED.rglob("*") if p.is_file())
    return {
        "parameters": {"profile": run.profile, "seed": run.seed, "data": _data_key(run.data)},
        "notebook": digest(["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]),
        "inputs": {"recorded runs": files_hash(recorded)},
    }


def _data_key(data: str | None) -> str | None:
    """Names and sizes of the files in the data folder: cheap, and it sees files come and go."""
    if data is None:
        return None
    files = (p for p in Path(data).rglob("*") if p.is_file())
    return digest(sorted((p.relative_to(data).as_posix(), p.stat().st_size) for p in files))


def reproduce(run: Run, *, notebooks: Mapping[str, tuple[str, ...]] = NOTEBOOKS, jobs: int = 1) -> int:
    """Run the notebooks that need it, refresh ``figures/``, print the claims; 0, or 1 if one failed.

    Parameters
    ----------
    run : Run
    jobs : int
        Notebooks at once. With more than one each gets its share of the cores, and numbers
        that depend on the thread count may differ in the last digits.
    notebooks : mapping of str to tuple of str
        Notebooks to run, each with those it waits for.
    """
    kept = Stages(run.folder / "stages" / "notebooks")
    waiting: dict[str, tuple[str, ...]] = {}
    keys = {name: key_of(name, run) for name in notebooks}
    for name in notebooks:
        reason = kept.reason(name, keys[name])
        if reason is None and not (run.folder / "notebooks" / f"{name}.ipynb").is_file():
            reason = "its executed copy is gone"
        if reason is None:
            print(f"  kept  {name}  ({kept.read(name)['seconds']:.0f} s when it ran)", flush=True)
        else:
            print(f"  run   {name}: {reason}", flush=True)
            waiting[name] = notebooks[name]
    failures = _execute_all(waiting, run, jobs=jobs, kept=kept, keys=keys)
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

    if not waiting:
        return []
    threads = max(1, (os.cpu_count() or 1) // jobs)
    order = list(waiting)
    failures: list[str] = []
    running: dict[Future[float], str] = {}
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    with pool, tqdm(total=len(order), desc="notebooks", unit="notebook") as shown:
        while (order and not failures) or running:
            busy = {*order, *running.values()}
            ready = [n for n in order if not busy & set(waiting[n])] if not failures else []
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
            states = (f"{name[:2]} {last_line(progress_file(run, name))[:70]}" for name in running.values())
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
    seconds = {
        name: kept.read(name)["seconds"] for name in NOTEBOOKS if (kept.folder / f"{name}.json").is_file()
    }
    about = {"profile": run.profile, "seed": run.seed, "data": run.data and Path(run.data).name}
    page = report.write_page(run.folder, seconds=seconds, parameters=about)
    print(f"report: {os.path.relpath(page)}\n")
    print(report.summary(run.folder / "verdicts"))


def write_back(run: Run) -> None:
    """Put the executed copies in place of the committed notebooks, and the verdicts in README.md."""
    import nbformat

    for name in NOTEBOOKS:
        path = run.notebooks / f"{name}.ipynb"
        executed = nbformat.read(run.folder / "notebooks" / f"{name}.ipynb", as_version=4)
        for cell in executed.cells:
            cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        executed.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        runs.write_text(path, nbformat.writes(executed) + "\n")
    report.write_verdicts(run.folder / "verdicts", runs.root() / "README.md")


def add_parser(subparsers: Any) -> None:
    """Add ``reproduce`` to the command line."""
    parser = subparsers.add_parser(
        "reproduce", help="run every notebook headless and regenerate figures/", description=__doc__
    )
    parser.add_argument("--profile", default="default", help=f"one of {', '.join(PROFILES)}")
    parser.add_argument("--seed", type=int, default=0, help="seed of everything random (default 0)")
    parser.add_argument("--data", default=None, help="folder that holds flowers/, scene/, ...")
    parser.add_argument("--jobs", type=int, default=1, help="notebooks at once (default 1)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NN", help="numbers of the notebooks to run")
    parser.add_argument("--write-back", action="store_true", help="store the outputs in notebooks/")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    profile_named(options.profile)
    if options.jobs < 1:
        raise ValueError(f"JOBS={options.jobs}: at least 1")
    chosen = {_full_name(number) for number in options.only} or set(NOTEBOOKS)
    if options.data is not None:
        options.data = str(notebook.data_folder(options.data))
    folder = notebook.run_folder(options.profile, seed=options.seed)
    run = Run(options.profile, folder, runs.root() / "notebooks", options.seed, options.data)
    if options.write_back and (run.parameters or len(chosen) < len(NOTEBOOKS)):
        raise ValueError("--write-back: only a whole run with the default parameters is committed")
    start = time.perf_counter()
    notebooks = {name: after for name, after in NOTEBOOKS.items() if name in chosen}
    status = reproduce(run, notebooks=notebooks, jobs=options.jobs)
    if status == 0 and options.write_back:
        write_back(run)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return status


def _full_name(number: str) -> str:
    for name in NOTEBOOKS:
        if number in (name, name.split("_")[0]):
            return name
    raise ValueError(f"--only {number}: no such notebook; there are {', '.join(NOTEBOOKS)}")
