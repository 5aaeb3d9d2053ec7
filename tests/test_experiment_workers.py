"""Cells in other processes and on other machines: killed workers, full disks, a cluster of two."""

import errno
import os
import re
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import replace

import pytest
from blobs import SMALL, blobs
from filelock import FileLock

from gmaug import runs
from gmaug.experiment import (
    ARMS,
    Cell,
    CellSettings,
    CellsFailed,
    Material,
    Outcome,
    Trial,
    arm,
    load_cells,
    run_cells,
    workers,
)

SETTINGS = CellSettings(size=16, training=replace(SMALL, epochs=1), steps=2)
PARTS = (blobs([12, 8, 6], seed=0), blobs([4] * 3, seed=1), blobs([4] * 3, seed=2))
MATERIAL = Material("blobs", ("red", "green", "blue"), *PARTS)
THREE = ("original", "cb-loss", "logit-adjusted")


def cells(*arms_of, seeds=(0,)):
    return [Cell("blobs", arm, seed, SETTINGS) for arm in arms_of for seed in seeds]


def run(wanted, folder, **options):
    return run_cells(wanted, {"blobs": MATERIAL}, folder=folder, **options)


def arms_in(folder):
    return {record["settings"]["arm"] for record in load_cells(folder=folder)}


@pytest.fixture
def deadly(tmp_path):
    """An arm whose process is killed from outside until a file is taken away."""
    trap = tmp_path / "trap"
    trap.touch()

    @arm("deadly")
    def deadly(trial: Trial) -> Outcome:
        if trap.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(trial.train())

    yield trap
    del ARMS["deadly"]


def test_a_killed_worker_costs_its_own_cell_and_the_rest_is_run_by_a_second_call(tmp_path, deadly):
    folder, said = tmp_path / "records", []
    run(cells("original"), folder)
    first = folder / "cells" / "blobs" / "original_0.json"
    written = first.stat().st_mtime_ns
    wanted = cells("original", "deadly", "cb-loss")
    with pytest.raises(CellsFailed, match=r"a worker process ended .*out of memory.*run again") as e:
        run(wanted, folder, jobs=2)
    failed = {cell.arm for cell, _ in e.value.failures}
    assert "deadly" in failed
    assert arms_in(folder) == {"original", "deadly", "cb-loss"} - failed
    deadly.unlink()
    found = run(wanted, folder, jobs=2, say=said.append)
    assert [r["settings"]["arm"] for r in found] == ["original", "deadly", "cb-loss"]
    assert len(said) == len(failed)
    assert first.stat().st_mtime_ns == written


def test_a_cell_that_another_process_runs_is_left_to_it(tmp_path):
    [task] = [
        workers.Task(cell, ARMS["original"], {"blobs": MATERIAL}, tmp_path) for cell in cells("original")
    ]
    with FileLock(task.lock), pytest.raises(CellsFailed, match="another process is running it"):
        run(cells("original", "cb-loss"), tmp_path)
    assert arms_in(tmp_path) == {"cb-loss"}
    assert len(run(cells("original", "cb-loss"), tmp_path)) == 2
    assert {path.suffix for path in (tmp_path / "cells" / "blobs").iterdir()} == {".json"}


def test_a_full_disk_stops_at_once_and_keeps_what_is_there(tmp_path, monkeypatch):
    real = runs.write_json

    def full(path, value):
        if "cb-loss" in path.name:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, value)

    monkeypatch.setattr(runs, "write_json", full)
    with pytest.raises(OSError, match=r"No space left.*cb-loss_0") as e:
        run(cells(*THREE), tmp_path)
    assert e.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(e.value)
    assert arms_in(tmp_path) == {"original"}
    monkeypatch.setattr(runs, "write_json", real)
    assert len(run(cells(*THREE), tmp_path)) == 3


def test_a_full_disk_in_a_worker(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        run(cells("original"), small)
        with suppress(OSError):
            (small / "filler").write_bytes(bytes(160 * 1024))
        for jobs in (1, 2):
            with pytest.raises(OSError, match="No space left") as e:
                run(cells(*THREE), small, jobs=jobs)
            assert e.value.errno == errno.ENOSPC
            assert arms_in(small) == {"original"}
        (small / "filler").unlink()
        assert len(run(cells("original", "cb-loss"), small)) == 2
    finally:
        subprocess.run(["umount", str(small)], check=True)


@pytest.fixture(scope="module")
def cluster():
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'gmaug[dask]'")
    cluster = distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None)
    yield cluster
    cluster.close(timeout=60)  # on a busy machine the default is too short


def test_a_cluster_of_two_gives_the_same_records(tmp_path, cluster):
    from distributed import Client

    wanted = cells("original", "oversample", seeds=(0, 1))
    found = run(wanted, tmp_path / "cluster", scheduler=cluster.scheduler_address, threads=1)
    assert [(r["settings"]["arm"], r["settings"]["seed"]) for r in found] == [(c.arm, c.seed) for c in wanted]
    here = run(wanted[:1], tmp_path / "here", threads=1)
    assert found[0]["content"] == here[0]["content"]
    with Client(cluster, set_as_default=False) as client:
        assert len(client.run(os.getpid)) == 2


def test_a_cell_that_kills_a_clusters_workers_ends_the_run_and_not_the_waiting(tmp_path, cluster, deadly):
    wanted, where = cells("deadly", "original", "cb-loss"), {"scheduler": cluster.scheduler_address}
    with pytest.raises(CellsFailed, match=r"a worker process ended \(.*run again") as e:
        run(wanted, tmp_path / "records", **where)
    failed = {cell.arm for cell, _ in e.value.failures}  # Dask suspects what waits at the same worker, too
    assert "deadly" in failed
    assert arms_in(tmp_path / "records") == {c.arm for c in wanted} - failed
    deadly.unlink()
    assert len(run(wanted, tmp_path / "records", **where)) == 3


@pytest.mark.parametrize("status", ["lost", "cancelled", "error"])
def test_a_future_without_an_exception_has_a_reason_all_the_same(tmp_path, monkeypatch, status):
    """A worker that dies leaves futures that can tell nothing; they used to read ``NoneType: None``."""
    distributed = pytest.importorskip("distributed", reason="Dask is an extra: pip install 'gmaug[dask]'")

    class Future:
        def exception(self):
            return None

    class Client:
        loop = None
        wait_for_workers = submit = cancel = lambda self, *a, **k: Future()

    Future.status = status
    monkeypatch.setattr(distributed, "as_completed", lambda futures, loop: iter(futures))
    task = workers.Task(*cells("original"), ARMS["original"], {"blobs": MATERIAL}, tmp_path)
    [(_, reason)] = workers._on_a_cluster([task], Client(), 1)
    assert reason == "a worker process ended (it was lost): killed, or out of memory"


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is an extra: pip install 'gmaug[dask]'")
    monkeypatch.setattr(workers, "WAIT", 1)
    with pytest.raises(TimeoutError, match=r"scheduler='tcp://127\.0\.0\.1:9' does not answer"):
        run(cells("original"), tmp_path, scheduler="tcp://127.0.0.1:9")


def test_the_bar_tells_the_time_left(tmp_path, monkeypatch):
    told = tmp_path / "bars"
    monkeypatch.setenv("GMAUG_PROGRESS", str(told))

    def slow(cell, arm, material, threads, quiet=True):
        time.sleep(0.6)  # the bar is drawn twice a second
        return {"content": {}, "data": MATERIAL.about(arm), "seconds": 0.6, "device": "cpu"}

    monkeypatch.setattr(workers, "_compute", slow)
    run(cells(*THREE), tmp_path / "records")
    lines = told.read_text().replace("\n", "\r").split("\r")
    assert any(re.search(r"cells: .* 2/3 \[00:\d\d<00:\d\d", line) for line in lines), lines
    assert any("blobs logit-adjusted seed 0" in line for line in lines), lines
