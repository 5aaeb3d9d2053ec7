"""Cells run here, in other processes, or on other machines, and their records written safely."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import progress, runs

if TYPE_CHECKING:
    from gmaug.experiment.arms import Arm
    from gmaug.experiment.cells import Cell, Material, Materials

WAIT = 30  # seconds for a scheduler to answer and for its first worker to come
Told = tuple["Cell", str | None]
"""A cell that has ended, and what went wrong, if anything."""


@dataclass(frozen=True, eq=False)
class Task:
    """A cell with all that it needs, and the folder of its record."""

    cell: Cell
    arm: Arm  # an arm made in a notebook is unknown to a fresh process
    materials: Materials
    folder: Path
    again: bool = False

    @property
    def place(self) -> tuple[str, str]:
        """Kind and name of its record."""
        return f"cells/{self.cell.dataset}", self.cell.name

    @property
    def lock(self) -> Path:
        """Held while it runs; beside the records it would stay behind as litter."""
        path = runs.record_path(*self.place, folder=self.folder).absolute()
        return Path(tempfile.gettempdir()) / f"gmaug-{runs.digest(path)}.lock"

    def material(self) -> Material:
        """Its data set."""
        known = self.materials
        return known(self.cell.dataset, self.cell.seed) if callable(known) else known[self.cell.dataset]

    def there(self) -> bool:
        """Whether its record was written whole, though its process may not have lived to say so."""
        try:
            return bool(runs.read_record(*self.place, folder=self.folder))
        except runs.NotRecorded:
            return False


def run(tasks: Sequence[Task], *, jobs: int, threads: int | None, scheduler: str | None) -> Iterator[Told]:
    """Run cells in `jobs` processes of so many torch `threads`, or by a Dask `scheduler`; keep their records.

    Yields each cell as it ends, and what went wrong with it, or None. OSError if a record cannot be written.
    """
    if jobs > 1 and threads is None:  # more threads than cores slow each other down fivefold
        threads = max(1, (os.cpu_count() or 1) // jobs)
    if tasks and scheduler is not None:
        with _client(scheduler) as client:
            yield from _on_a_cluster(tasks, client, threads)
    elif jobs > 1:
        yield from _in_processes(tasks, jobs, threads)
    else:
        for task in tasks:
            yield _work(task, threads, quiet=False)


def _in_processes(tasks: Sequence[Task], jobs: int, threads: int | None) -> Iterator[Told]:
    from joblib import Parallel, delayed

    done = set()
    # a cell takes minutes: one at a time, or a process holds a batch that others could do; and with images
    # of its own, not the read-only map of a file, which torch warns of
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    try:
        for cell, reason in pool(delayed(_work)(task, threads) for task in tasks):
            done.add(cell)
            yield cell, reason
    except RuntimeError as error:  # joblib's TerminatedWorkerError is one; it ends all of the pool
        left = [task for task in tasks if task.cell not in done and not task.there()]
        yield from ((task.cell, _ended(error)) for task in left)


def _on_a_cluster(tasks: Sequence[Task], client: Any, threads: int | None) -> Iterator[Told]:
    """By Dask's own client: joblib's Dask backend waits for ever where workers die of a task (1.6)."""
    from distributed import KilledWorker, as_completed

    client.wait_for_workers(1, timeout=WAIT)
    # images travel with each cell: what is scattered once is lost with the worker that holds it
    futures = {
        client.submit(_compute, task.cell, task.arm, task.material(), threads, pure=False): task
        for task in tasks
    }
    try:
        for future in as_completed(futures, loop=client.loop):
            task = futures[future]
            if future.status == "finished":
                yield task.cell, _keep(task, future.result())
                continue
            # a lost or cancelled future has no exception: its worker is gone and nobody can say more
            error = future.exception() if future.status == "error" else None
            gone = error is None or isinstance(error, KilledWorker)
            yield task.cell, _ended(error) if gone else f"{type(error).__name__}: {error}"
    finally:  # the disk is full, or the run was interrupted: nobody waits for the rest
        client.cancel(list(futures))


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("scheduler= needs Dask: pip install 'gmaug[dask]'") from None
    try:
        return Client(scheduler, timeout=WAIT, set_as_default=False)
    except OSError as error:
        found = f"scheduler={scheduler!r} does not answer ({error})"
        raise TimeoutError(f"{found}; start `dask scheduler`") from None


def _ended(error: BaseException | None) -> str:
    kind = "it was lost" if error is None else type(error).__name__
    return f"a worker process ended ({kind}): killed, or out of memory"


def _work(task: Task, threads: int | None, *, quiet: bool = True) -> Told:
    """Run a cell, unless another process has done so or is about it, and write its record."""
    from filelock import FileLock, Timeout

    try:
        with FileLock(task.lock, timeout=0):
            if not task.again and task.there():
                return task.cell, None
            return task.cell, _keep(task, _compute(task.cell, task.arm, task.material, threads, quiet=quiet))
    except Timeout:
        return task.cell, "another process is running it"


def _compute(
    cell: Cell, arm: Arm, material: Any, threads: int | None, quiet: bool = True
) -> dict[str, Any] | str:
    """What goes into a cell's record, or what went wrong; `material` is one, or a function that gives it."""
    import torch

    from gmaug.experiment.cells import run_cell

    if quiet:  # bars of several processes would write over each other
        os.environ[progress.FILE_VARIABLE] = os.devnull
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        material = material() if callable(material) else material
        start = time.perf_counter()
        content = run_cell(cell, material, arm=arm)
        seconds = time.perf_counter() - start
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    count = torch.get_num_threads()
    device = f"{runs.environment()['device']}, {count} thread{'s' if count > 1 else ''}"
    return {"content": content, "data": material.about(arm), "seconds": seconds, "device": device}


def _keep(task: Task, found: dict[str, Any] | str) -> str | None:
    """Write a record; or pass on what went wrong."""
    if isinstance(found, str):
        return found
    runs.write_record(*task.place, settings=runs.plain(task.cell), folder=task.folder, **found)
    return None
