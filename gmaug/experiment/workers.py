"""Cells run here, in other processes, or on other machines, and their records written safely."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from gmaug import progress
from gmaug.experiment.arms import ARMS, Arm
from gmaug.experiment.cells import Cell, Material, run_cell, stale
from gmaug.provenance import write_json

Task = tuple[Cell, Material, Path]
ROOM = 128 * 1024  # bytes a disk must have left for a cell to be started: some ten records
WAIT = 30  # seconds for a scheduler to answer and for its first worker to come


def spread(
    tasks: Sequence[Task], *, jobs: int, threads: int | None, scheduler: str | None
) -> Iterator[tuple[Cell, str | None]]:
    """Run cells and keep their records; each cell as it is done, and what went wrong with it, or None.

    Parameters
    ----------
    tasks : sequence of (Cell, Material, Path)
        The path is where the record goes.
    jobs : int
        Processes on this machine.
    threads : int, optional
        Torch threads of each.
    scheduler : str, optional
        Address of a Dask scheduler to use instead.

    Raises
    ------
    OSError
        If a record cannot be written, or there is no room left for one.
    """
    if not tasks:
        return
    with ExitStack() as stack:
        if scheduler is not None:
            client = stack.enter_context(_client(scheduler))
        else:
            client = _cluster_of_the_context()
        if client is not None:
            yield from _on_a_cluster(tasks, client, threads)
        elif jobs == 1:
            for cell, material, path in tasks:
                _need_room(path)
                yield cell, _keep(_attempt(cell, material, ARMS[cell.arm], threads, quiet=False), cell, path)
        else:
            yield from _in_processes(tasks, jobs, threads)


def _in_processes(
    tasks: Sequence[Task], jobs: int, threads: int | None
) -> Iterator[tuple[Cell, str | None]]:
    from joblib import Parallel, delayed

    done = set()
    calls = (delayed(_work)(cell, material, ARMS[cell.arm], threads, path) for cell, material, path in tasks)
    # a cell takes minutes: one at a time, or a process holds a batch that others could do; and with
    # images of its own, not the read-only map of a file, which torch warns of
    pool = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1, max_nbytes=None)
    try:
        for cell, found in pool(calls):
            done.add(cell)
            yield cell, found
    except RuntimeError as error:  # joblib's TerminatedWorkerError is one; it ends all of the pool
        for cell, _, path in tasks:
            if cell not in done and not _there(path):
                yield cell, _ended(error)


def _on_a_cluster(
    tasks: Sequence[Task], client: Any, threads: int | None
) -> Iterator[tuple[Cell, str | None]]:
    """By Dask's own client: joblib's Dask backend waits for ever where workers die of a task (1.6)."""
    from distributed import KilledWorker, as_completed

    _need_room(tasks[0][2])
    client.wait_for_workers(1, timeout=WAIT)
    # images travel with each cell: what is scattered once is lost with the worker that holds it
    futures = {
        client.submit(_work, cell, material, ARMS[cell.arm], threads, None, pure=False): (cell, path)
        for cell, material, path in tasks
    }
    try:
        for future in as_completed(futures, loop=client.loop):
            cell, path = futures[future]
            if future.status == "finished":
                yield cell, _keep(future.result()[1], cell, path)
            elif isinstance(error := future.exception(), KilledWorker):
                yield cell, _ended(error)
            else:  # a worker that lacks a package, say
                yield cell, _told(error)
    finally:  # the disk is full, or the run was interrupted: nobody waits for the rest
        client.cancel(list(futures))


def _told(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _ended(error: BaseException) -> str:
    return f"a worker process ended ({type(error).__name__}): killed, or out of memory"


def _cluster_of_the_context() -> Any:
    """Dask's client of a surrounding ``joblib.parallel_config("dask")``; None outside of one."""
    from joblib.parallel import get_active_backend

    return getattr(get_active_backend()[0], "client", None)


def _client(scheduler: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise ImportError("scheduler= needs Dask: pip install 'gmaug[dask]'") from None
    try:
        return Client(scheduler, timeout=WAIT, set_as_default=False)
    except OSError as error:
        raise TimeoutError(
            f"scheduler={scheduler!r} does not answer ({error}); start `dask scheduler`"
        ) from None


def _work(
    cell: Cell, material: Material, arm: Arm, threads: int | None, path: Path | None
) -> tuple[Cell, dict[str, Any] | str | None]:
    """What a process does: run a cell; write its record, or give it back where no disk is shared."""
    if path is None:
        return cell, _attempt(cell, material, arm, threads, quiet=True)
    _need_room(path)
    return cell, _keep(_attempt(cell, material, arm, threads, quiet=True), cell, path)


def _attempt(
    cell: Cell, material: Material, arm: Arm, threads: int | None, *, quiet: bool
) -> dict[str, Any] | str:
    """A cell's record, or what went wrong."""
    import torch

    ARMS[arm.name] = arm  # an arm made in a notebook is unknown to a fresh process
    if quiet:  # bars of several processes would write over each other
        os.environ[progress.FILE_VARIABLE] = os.devnull
    if threads is not None:
        torch.set_num_threads(threads)
    try:
        return run_cell(cell, material)
    except Exception as error:
        return _told(error)


def _keep(found: dict[str, Any] | str, cell: Cell, path: Path) -> str | None:
    """Write a record; or pass on what went wrong."""
    if isinstance(found, str):
        return found
    try:
        write_json(path, found)
    except OSError as error:
        for part in path.parent.glob(f".{path.name}.*"):  # half a file would take the space that is wanted
            part.unlink(missing_ok=True)
        raise _unwritten(error.errno or errno.EIO, error.strerror or str(error), path, str(cell)) from error
    return None


def _need_room(path: Path) -> None:
    """Stop before hours are spent on a record that could not be written."""
    if shutil.disk_usage(path.parent).free < ROOM:
        raise _unwritten(errno.ENOSPC, os.strerror(errno.ENOSPC), path, "the next cell")


def _unwritten(number: int, reason: str, path: Path, cell: str) -> OSError:
    return OSError(
        number,
        f"{reason}: no record of {cell} at {path}; free some space (a record takes 10 kB) or take another "
        "directory, and run again: the records that are there stay, and only the others are run",
    )


def _there(path: Path) -> bool:
    """Whether a record was written whole, though its process did not live to say so."""
    try:
        return stale(json.loads(path.read_text(encoding="utf-8"))) is None
    except (OSError, ValueError):
        return False
