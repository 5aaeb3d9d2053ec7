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
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmaug import notebook, report, runs
from gmaug.progress import FILE_VARIABLE, last_line
from gmaug.runs import digest, files_hash

NOTEBOOKS = tuple(sorted(path.stem for path in (runs.root() / "notebooks").glob("[0-9][0-9]_*.ipynb")))
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

    def executed(self, name: str) -> Path:
        """The executed copy of a notebook."""
        return self.folder / "notebooks" / f"{name}.ipynb"

    def stage(self, name: str) -> Path:
        """What says that the copy is whole, and under which key."""
        return self.folder / "stages" / "notebooks" / f"{name}.json"

    def reason(self, name: str) -> str | None:
        """Why a notebook has to be run; None if its executed copy serves."""
        gone = None if self.executed(name).is_file() else "its executed copy is gone"
        return runs.stale(self.stage(name), self.key(name)) or gone

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
            "inputs": {"recorded runs": files_hash(recorded), **self.others(name)},
        }

    def others(self, name: str) -> dict[str, str]:
        """What the start page reads: the verdicts that the other notebooks left."""
        if name != NOTEBOOKS[0]:
            return {}
        return {"other notebooks": files_hash(sorted((self.folder / "verdicts").glob("*.json")))}


def execute(name: str, run: Run, *, threads: int) -> None:
    """Run one notebook headless into ``<run>/notebooks``.

    RuntimeError where a cell raises; the executed copy stays, with the error.
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

    source, target = run.notebooks / f"{name}.ipynb", run.executed(name)
    runs.write_text(run.progress(name), "")
    target.parent.mkdir(parents=True, exist_ok=True)
    run.stage(name).unlink(missing_ok=True)
    # Kernels talk over socket files, so that several cannot clash on ports; in a folder of their own under
    # the system's short temporary path, as socket names hold 107 characters.
    with tempfile.TemporaryDirectory(prefix="gmaug-") as sockets:
        config = Config({"KernelManager": {"transport": "ipc", "ip": f"{sockets}/kernel"}})
        about = {"kernel_name": "python3", "cwd": str(source.parent), "progress_bar": False, "config": config}
        about["start_timeout"] = 600  # seconds; on a busy machine a kernel takes its time

        def compute() -> None:
            papermill.execute_notebook(str(source), str(target), parameters=run.parameters, **about)

        try:
            runs.stage(run.stage(name), compute, key=run.key(name))
        except PapermillExecutionError as error:
            where = f"cell {error.exec_count}: {error.ename}: {error.evalue}"
            raise RuntimeError(f"{where}; see {os.path.relpath(target)}") from None


def end_with_parent() -> None:
    """Have a worker, and with it its kernel, end at once when the run that started it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides

    def watch() -> None:
        multiprocessing.parent_process().join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def reproduce(run: Run, *, notebooks: Sequence[str] = NOTEBOOKS, jobs: int = 1) -> int:
    """Run the notebooks that need it, refresh ``figures/``, print the claims; 0, or 1 if one failed.

    The first comes last, since it reads what the others found. With several `jobs` each gets its share of
    the cores, and numbers that depend on the thread count may differ in the last digits.
    """
    waiting = []
    for name in (*notebooks[1:], *notebooks[:1]):
        reason = run.reason(name)
        if name == notebooks[0] and waiting:
            reason = reason or "notebooks that it reads are run"
        print(f"  run   {name}: {reason}" if reason else f"  kept  {name}", flush=True)
        waiting += [name] if reason else []
    failures = _execute_all(waiting, run, jobs=jobs) if waiting else []
    for failure in failures:
        print(f"gmaug: {failure}", file=sys.stderr, flush=True)
    if failures:
        return 1
    figures, note = run.folder / "figures", " (figures/ is refreshed by the default run alone)"
    if not run.parameters:
        report.refresh(figures, figures := runs.root() / "figures")
        note = ""
    print(f"figures and tables{note}: {os.path.relpath(figures)}\n")
    print(report.summary(run.folder / "verdicts"))
    return 0


def _execute_all(names: list[str], run: Run, *, jobs: int) -> list[str]:
    """Run notebooks, so many at once, and say what failed; a failure stops new starts."""
    from tqdm import tqdm

    threads = max(1, (os.cpu_count() or 1) // jobs)
    failures, running = [], {}
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), initializer=end_with_parent)
    with pool, tqdm(total=len(names), desc="notebooks", unit="notebook") as shown:
        while (names and not failures) or running:
            while names and not failures and len(running) < jobs:
                if running and len(names) == 1:
                    break  # the last reads what all others found
                name = names.pop(0)
                running[pool.submit(execute, name, run, threads=threads)] = name
            try:
                done, _ = wait(running, timeout=1.0, return_when=FIRST_COMPLETED)
            except KeyboardInterrupt:
                print("\ngmaug: stopped; the same command goes on from here", file=sys.stderr, flush=True)
                os._exit(130)  # leaving the pool in order would wait for the notebook to end
            for future in done:
                name = running.pop(future)
                try:
                    future.result()
                except (RuntimeError, OSError) as failure:  # of a cell; out of memory; disk full
                    failures.append(f"{name}: {failure}")
                shown.update()
            states = (f"{name[:2]} {last_line(run.progress(name))[:70]}" for name in running.values())
            shown.set_postfix_str(" | ".join(states))
    return failures


def write_back(run: Run) -> None:
    """Put the executed copies in place of the committed notebooks, and the verdicts in README.md."""
    import nbformat

    for name in NOTEBOOKS:
        executed = nbformat.read(run.executed(name), as_version=4)
        for cell in executed.cells:
            cell.metadata = {"tags": cell.metadata["tags"]} if cell.metadata.get("tags") else {}
        executed.metadata = {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
        runs.write_text(run.notebooks / f"{name}.ipynb", nbformat.writes(executed) + "\n")
    report.write_verdicts(run.folder / "verdicts", runs.root() / "README.md")


def configure(parser: argparse.ArgumentParser) -> None:
    """The command line of ``reproduce``."""
    parser.description = __doc__
    add = parser.add_argument
    add("--profile", default="default", help=f"one of {', '.join(notebook.PROFILES)}")
    add("--seed", type=int, default=0, help="seed of everything random (default 0)")
    add("--data", help="folder that holds flowers/, scene/, ...")
    add("--jobs", type=int, default=1, help="notebooks at once (default 1)")
    add("--write-back", action="store_true", help="store the outputs in notebooks/")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    notebook.profile_named(options.profile)
    if options.jobs < 1:
        raise ValueError(f"JOBS={options.jobs}: at least 1")
    data = None if options.data is None else str(notebook.data_folder(options.data))
    folder = notebook.run_folder(options.profile, seed=options.seed)
    run = Run(options.profile, folder, runs.root() / "notebooks", options.seed, data)
    if options.write_back and run.parameters:
        raise ValueError("--write-back: only a run with the default parameters is committed")
    start = time.perf_counter()
    status = reproduce(run, jobs=options.jobs)
    if status == 0 and options.write_back:
        write_back(run)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return status
