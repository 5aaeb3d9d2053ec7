"""One notebook, headless: what is run, with which parameters, and how it ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gmaug import notebook
from gmaug.progress import FILE_VARIABLE

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

    Raises
    ------
    NotebookFailed
        If a cell raises. The executed copy, with the error, stays.
    """
    os.environ[FILE_VARIABLE] = str(progress_file(run, name))
    os.environ["OMP_NUM_THREADS"] = str(threads)
    # tqdm.auto, which diffusers and transformers import, misses ipywidgets aloud; nothing here needs them
    os.environ["PYTHONWARNINGS"] = "ignore:IProgress not found"
    os.environ.pop(notebook.PROFILE_VARIABLE, None)  # the parameter counts here
    import papermill
    from papermill.exceptions import PapermillExecutionError

    source = run.notebooks / f"{name}.ipynb"
    target = run.folder / "notebooks" / f"{name}.ipynb"
    target.parent.mkdir(parents=True, exist_ok=True)
    progress_file(run, name).parent.mkdir(parents=True, exist_ok=True)
    progress_file(run, name).write_text("", encoding="utf-8")
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
