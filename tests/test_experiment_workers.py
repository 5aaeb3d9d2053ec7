"""Cells in other processes and on other machines: killed workers, full disks, a cluster of two."""

import errno
import os
import re
import signal
import subprocess
import time
from dataclasses import replace

import pytest
from blobs import SMALL, blobs

from gmaug.experiment import Cell, CellsFailed, Material, arms, load_records, run_cells, source, workers
from gmaug.experiment.arms import ARMS, CellSettings, Outcome, Trial
from gmaug.provenance import plain

SETTINGS = CellSettings(size=16, training=replace(SMALL, epochs=1))
PARTS = (blobs([12, 8, 6], seed=0), blobs([4] * 3, seed=1), blobs([4] * 3, seed=2))
MATERIAL = Material("blobs", ("red", "green", "blue"), *PARTS)


def cells(*arms_of, seeds=(0,)):
    return [Cell("blobs", arm, seed, SETTINGS) for arm in arms_of for seed in seeds]


def run(wanted, folder, **options):
    return run_cells(wanted, {"blobs": MATERIAL}, directory=folder, **options)


@pytest.fixture
def deadly(tmp_path):
    """An arm whose process is killed from outside until a file is taken away."""
    trap = tmp_path / "trap"
    trap.touch()

    @arms.arm("deadly")
    def deadly(trial: Trial) -> Outcome:
        if trap.exists():
            os.kill(os.getpid(), signal.SIGKILL)
        return Outcome(trial.train(steps=trial.natural_steps))

    yield trap
    del ARMS["deadly"]


def test_a_killed_worker_costs_its_own_cell_and_the_rest_is_run_by_a_second_call(tmp_path, deadly):
    folder, said = tmp_path / "records", []
    run(cells("original"), folder)
    written = next(folder.iterdir()).stat().st_mtime_ns
    wanted = cells("original", "deadly", "cb-loss")
    with pytest.raises(CellsFailed, match=r"a worker process ended .*out of memory.*run again") as e:
        run(wanted, folder, jobs=2)
    assert "deadly" in {cell.arm for cell, _ in e.value.failures}
    kept = {record["cell"]["arm"] for record in load_records(folder)}
    assert "original" in kept
    assert kept | {cell.arm for cell, _ in e.value.failures} == {"original", "deadly", "cb-loss"}
    assert not kept & {cell.arm for cell, _ in e.value.failures}
    deadly.unlink()
    found = run(wanted, folder, jobs=2, say=said.append)
    assert [r["cell"]["arm"] for r in found] == ["original", "deadly", "cb-loss"]
    assert len(said) == 3 - len(kept)
    assert min(path.stat().st_mtime_ns for path in folder.iterdir()) == written


def test_a_full_disk_stops_at_once_and_keeps_what_is_there(tmp_path, monkeypatch):
    real = workers.write_json

    def full(path, value):
        if "cb-loss" in path.name:
            path.with_name(f".{path.name}.{os.getpid()}").write_text("{")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        real(path, value)

    monkeypatch.setattr(workers, "write_json", full)
    wanted = cells("original", "cb-loss", "logit-adjusted")
    with pytest.raises(OSError, match=r"No space left.*blobs cb-loss seed 0.*free some.*run again") as e:
        run(wanted, tmp_path)
    assert e.value.errno == errno.ENOSPC
    assert str(tmp_path) in str(e.value)
    assert [p.name.split("_")[1] for p in tmp_path.iterdir()] == ["original"], "half a file was left"
    monkeypatch.setattr(workers, "write_json", real)
    assert len(run(wanted, tmp_path)) == 3


def test_no_cell_is_started_without_room_for_its_record(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "run_cell", lambda *a: pytest.fail("a cell was run in vain"))
    monkeypatch.setattr(workers, "ROOM", 2**70)
    with pytest.raises(OSError, match=re.escape(str(tmp_path))) as e:
        run(cells("original"), tmp_path)
    assert e.value.errno == errno.ENOSPC


def test_a_full_disk_in_a_worker(tmp_path, monkeypatch):
    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=160k", "tmpfs", str(small)], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        run(cells("original"), small)
        (small / "filler").write_bytes(bytes(60 * 1024))
        for jobs in (1, 2):
            with pytest.raises(OSError, match="No space left") as e:
                run(cells("original", "cb-loss", "logit-adjusted"), small, jobs=jobs)
            assert e.value.errno == errno.ENOSPC
            assert [r["cell"]["arm"] for r in load_records(small)] == ["original"]
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

    wanted = cells("original", "step-matched", seeds=(0, 1))
    found = run(wanted, tmp_path / "cluster", scheduler=cluster.scheduler_address, threads=1)
    assert [(r["cell"]["arm"], r["cell"]["seed"]) for r in found] == [(c.arm, c.seed) for c in wanted]
    assert len(list((tmp_path / "cluster").glob("*.json"))) == 4
    here = run(wanted[:1], tmp_path / "here", threads=1)
    assert found[0]["result"] == here[0]["result"]
    with Client(cluster, set_as_default=False) as client:
        assert len(client.run(os.getpid)) == 2


def test_a_cell_that_kills_a_clusters_workers_ends_the_run_and_not_the_waiting(tmp_path, cluster, deadly):
    wanted, where = cells("deadly", "original", "cb-loss"), {"scheduler": cluster.scheduler_address}
    with pytest.raises(CellsFailed, match=r"a worker process ended \(KilledWorker\).*run again") as e:
        run(wanted, tmp_path / "records", **where)
    failed = {cell.arm for cell, _ in e.value.failures}  # Dask suspects what waits at the same worker, too
    assert "deadly" in failed
    assert {r["cell"]["arm"] for r in load_records(tmp_path / "records")} == {c.arm for c in wanted} - failed
    deadly.unlink()
    assert len(run(wanted, tmp_path / "records", **where)) == 3


def test_a_joblib_context_will_do(tmp_path, cluster):
    from distributed import Client
    from joblib import parallel_config

    def bad(trial: Trial) -> Outcome:
        raise RuntimeError("out of paint")

    ARMS["bad"] = arms.Arm("bad", bad)
    try:
        with (
            Client(cluster, set_as_default=False) as client,
            parallel_config("dask", client=client),
            pytest.raises(CellsFailed, match=r"1 of 2 cells failed, first blobs bad seed 0: .*out of paint"),
        ):
            run(cells("original", "bad"), tmp_path, threads=1)
    finally:
        del ARMS["bad"]
    assert [r["cell"]["arm"] for r in load_records(tmp_path)] == ["original"]


def test_a_scheduler_that_is_not_there(tmp_path, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is an extra: pip install 'gmaug[dask]'")
    monkeypatch.setattr(workers, "WAIT", 1)
    with pytest.raises(TimeoutError, match=r"scheduler='tcp://127\.0\.0\.1:9' does not answer"):
        run(cells("original"), tmp_path, scheduler="tcp://127.0.0.1:9")


def test_the_bar_tells_the_time_left(tmp_path, monkeypatch):
    told = tmp_path / "bars"
    monkeypatch.setenv("GMAUG_PROGRESS", str(told))

    def slow(cell, material):
        time.sleep(0.6)  # the bar is drawn twice a second
        about = {"cell": plain(cell), "inputs": material.inputs(cell.arm), "source": source(cell.arm)}
        return {**about, "result": {}, "run": {}}

    monkeypatch.setattr(workers, "run_cell", slow)
    run(cells("original", "cb-loss", "focal"), tmp_path / "records")
    lines = told.read_text().replace("\n", "\r").split("\r")
    assert any(re.search(r"cells: .* 2/3 \[00:\d\d<00:\d\d", line) for line in lines), lines
    assert any("blobs focal seed 0" in line for line in lines), lines
