"""Runs: digests, files written whole, records read back whatever the code is today, kept stages."""

import json

import numpy as np
import pytest

from gmaug import runs
from gmaug.runs import NotRecorded, digest, read_record, record_names, record_path, stage, stale, write_record

# ---- digests and files --------------------------------------------------------------------


def test_digest_tells_shapes_types_and_order_apart():
    a = np.arange(6, dtype=np.uint8)
    values = [digest(a), digest(a.reshape(2, 3)), digest(a.astype(np.int16)), digest(a, 1), digest(1, a)]
    assert len(set(values)) == len(values)
    with pytest.raises(TypeError, match="cannot record"):
        digest(object())


def test_json_reads_back_and_its_lists_of_numbers_stand_on_one_line(tmp_path):
    value = {"a": [1, 2.5, None], "b": [[1, 2], [3, 4]], "c": ["x [1,\n 2]", "y"], "d": [], "e": [{"f": 1}]}
    runs.write_json(tmp_path / "x.json", value)
    text = (tmp_path / "x.json").read_text()
    assert json.loads(text) == value
    assert '"a": [1, 2.5, null]' in text


def test_a_file_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "x.txt"
    runs.write_text(path, "old")
    monkeypatch.setattr(runs.os, "replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        runs.write_text(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["x.txt"]


def test_the_package_hash_sees_a_changed_constant(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "PACKAGE", tmp_path)
    (tmp_path / "m.py").write_text("RATE = 1\n")
    before = runs.package_hash.__wrapped__()
    (tmp_path / "m.py").write_text("RATE = 2\n")
    assert runs.package_hash.__wrapped__() != before


# ---- records ------------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    (tmp_path / "metric").mkdir()
    (tmp_path / "metric" / "w.bin").write_bytes(b"weights")
    return write_record(
        "metric",
        "flowers",
        {"value": 0.5},
        settings={"seed": 0, "size": 224},
        data={"name": "flowers", "images": 3, "hash": "abc"},
        seconds=1.5,
        device="cpu",
        files=["w.bin"],
        folder=tmp_path,
    )


def test_a_record_reads_back(written, tmp_path):
    assert written == record_path("metric", "flowers", folder=tmp_path)
    assert record_names("metric", folder=tmp_path) == ["flowers"]
    record = read_record("metric", "flowers", folder=tmp_path)
    assert set(record) == {"settings", "data", "made", "files", "content"}
    assert record["content"] == {"value": 0.5}
    assert record["made"]["versions"]["numpy"]
    assert record["made"]["device"] == "cpu"
    assert record["made"]["date"] in runs.origin(record)


def test_a_record_holds_no_hash_of_source_and_stands_when_the_code_changes(written, tmp_path, monkeypatch):
    assert runs.package_hash() not in written.read_text()
    monkeypatch.setattr(runs, "package_hash", lambda: "another")
    assert read_record("metric", "flowers", folder=tmp_path)["content"] == {"value": 0.5}


@pytest.mark.parametrize("spoil", [lambda p: p.write_bytes(b"other"), lambda p: p.unlink()])
def test_a_record_whose_weights_changed_is_refused(written, tmp_path, spoil):
    spoil(written.parent / "w.bin")
    with pytest.raises(NotRecorded, match=r"w\.bin is missing or changed"):
        read_record("metric", "flowers", folder=tmp_path)


def test_a_missing_or_damaged_record_is_refused(written, tmp_path):
    with pytest.raises(NotRecorded, match="metric/x: not recorded"):
        read_record("metric", "x", folder=tmp_path)
    written.write_text("{")
    with pytest.raises(NotRecorded, match="damaged"):
        read_record("metric", "flowers", folder=tmp_path)


def committed():
    return sorted(path.relative_to(runs.RECORDED) for path in runs.RECORDED.rglob("*.json"))


@pytest.mark.parametrize("path", committed(), ids=str)
def test_every_committed_record_is_whole(path):
    record = read_record(path.parent.as_posix(), path.stem)
    assert set(record) == {"settings", "data", "made", "files", "content"}
    assert {"date", "commit", "seconds", "device", "machine", "python", "versions"} <= set(record["made"])
    assert {"name", "images", "hash"} <= set(record["data"]) <= {"name", "images", "hash", "generator"}
    assert '"source"' not in (runs.RECORDED / path).read_text(encoding="utf-8")


def test_all_weights_together_are_at_most_40_mb():
    assert sum(path.stat().st_size for path in runs.RECORDED.rglob("*.safetensors")) < 40e6


# ---- stages -------------------------------------------------------------------------------


@pytest.fixture
def kept(tmp_path):
    return tmp_path / "stages" / "x.json"


def test_a_kept_result_is_not_computed_again(kept):
    calls = []
    for _ in range(2):
        assert stage(kept, lambda: calls.append(0) or {"a": len(calls)}, key={"n": 3}) == {"a": 1}
    assert len(calls) == 1


@pytest.mark.parametrize(("part", "value"), [("settings", {"n": 4}), ("inputs", "other")])
def test_each_part_of_the_key_counts_and_is_named(kept, part, value):
    key = {"settings": {"n": 3}, "inputs": None}
    stage(kept, lambda: 1, key=key)
    assert part in stale(kept, {**key, part: value})
    assert stage(kept, lambda: 2, key={**key, part: value}) == 2


def test_a_changed_package_or_a_damaged_file_computes_again(kept, monkeypatch):
    stage(kept, lambda: 1, key={})
    monkeypatch.setattr(runs, "package_hash", lambda: "another")
    assert stale(kept, {}) == "package changed"
    assert stage(kept, lambda: 2, key={}) == 2
    kept.write_text('{"key": ')
    assert stale(kept, {}) == "its file is damaged"
    assert stage(kept, lambda: 3, key={}) == 3


def test_a_failing_computation_keeps_what_was_there(kept):
    stage(kept, lambda: 1, key={"n": 1})

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        stage(kept, fail, key={"n": 2})
    assert stale(kept, {"n": 1}) is None
