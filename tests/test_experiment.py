"""Cells, their records, and runs that are broken off."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from blobs import SMALL, Generator, blobs

from gmaug.experiment import (
    Cell,
    CellsFailed,
    Material,
    cell_of,
    cells,
    frame,
    load_records,
    path_of,
    run_cell,
    run_cells,
    stale,
    workers,
)
from gmaug.experiment.arms import ARMS, CellSettings

SETTINGS = CellSettings(size=16, training=replace(SMALL, epochs=3), alpha=0.34)
TRAIN, HELD, TEST = blobs([40, 20, 8], seed=0), blobs([10] * 3, seed=1), blobs([20] * 3, seed=2)
NATURAL = ("original", "cb-loss", "focal", "logit-adjusted")
FILLED = (
    "step-matched", "logit-adjusted-steps", "randaugment", "mixup-cutmix", "oversample", "smote", "cgan-aug",
    "cgan-augcls", "gd-aug", "gd-augcls", "more-real",
)  # fmt: skip
PAPER_ARMS = NATURAL + FILLED


def material(**changes):
    parts = {
        "name": "blobs",
        "classes": ("red", "green", "blue"),
        "train": TRAIN,
        "validation": HELD,
        "test": TEST,
        "generators": {
            "cgan": (Generator(wrong=0.2), "toy-1"),
            "gd": (Generator(wrong=0.4), "toy-2"),
            "real": (Generator(), "truth"),
        },
    }
    return Material(**(parts | changes))


def cell(arm="original", seed=0, **settings):
    return Cell("blobs", arm, seed, replace(SETTINGS, **settings))


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return folder, run_cells([cell(arm) for arm in PAPER_ARMS], {"blobs": material()}, directory=folder)


def by_arm(records):
    return {record["cell"]["arm"]: record["result"] for record in records[1]}


def test_every_arm_is_tested():
    assert set(PAPER_ARMS) == set(ARMS)


def test_arms_that_fill_take_the_same_steps(records):
    result = by_arm(records)
    few, many = -(-3 * 68 // 16), -(-3 * 120 // 16)
    assert {result[arm]["steps"] for arm in NATURAL} == {few}
    assert {result[arm]["steps"] for arm in FILLED} == {many}


def test_steps_may_be_fixed_for_arms_that_fill():
    for arm in ("step-matched", "cgan-aug"):
        assert run_cell(cell(arm, steps=4, target=100), material())["result"]["steps"] == 4
    assert run_cell(cell("original", steps=4), material())["result"]["steps"] == -(-3 * 68 // 16)


def test_results_hang_together(records):
    for record in records[1]:
        r = record["result"]
        table = np.array(r["confusion"])
        assert table.sum(axis=1).tolist() == [20, 20, 20]
        assert r["accuracy"] == pytest.approx((np.diag(table) / 20).tolist())
        assert r["top1"] == pytest.approx(r["balanced_accuracy"]) == pytest.approx(np.mean(r["accuracy"]))
        assert [r["head"], r["middle"], r["tail"]] == pytest.approx(r["accuracy"])
        assert r["groups"] == {"head": ["red"], "middle": ["green"], "tail": ["blue"]}
        assert r["counts_before"] == [40, 20, 8]
        assert 0 <= r["macro_f1"] <= 1
    assert by_arm(records)["original"]["counts_after"] == [40, 20, 8]
    for arm in ("cgan-aug", "gd-aug", "more-real", "smote"):
        assert by_arm(records)[arm]["counts_after"] == [40, 40, 40]
    chosen = by_arm(records)["cgan-augcls"]
    assert chosen["counts_after"] == (np.array([40, 20, 8]) + chosen["accepted"]).tolist()
    assert (np.array(chosen["accepted"]) + chosen["missing"]).tolist() == [0, 20, 32]
    assert chosen["acceptance_rate"][0] is None
    assert 1 <= len(chosen["rounds"]) <= 2


def test_the_arms_differ_in_what_they_say(records):
    tables = {arm: json.dumps(result["confusion"]) for arm, result in by_arm(records).items()}
    assert len(set(tables.values())) > 3


def test_a_record_tells_where_it_comes_from(records):
    folder, found = records
    assert len(list(folder.glob("*.json"))) == len(PAPER_ARMS) == len(list(folder.iterdir()))
    for record in found:
        assert record["inputs"]["data"] == material().data_hash
        kind = ARMS[record["cell"]["arm"]].generator
        assert record["inputs"]["generator"] == (material().generators[kind][1] if kind else None)
        assert {"seconds", "device", "threads", "versions", "commit"} <= record["run"].keys()
        assert stale(record, material=material()) is None
        assert cell_of(record) == cell(record["cell"]["arm"])


def test_the_same_cell_gives_the_same_result(records):
    assert run_cell(cell("cgan-augcls"), material())["result"] == by_arm(records)["cgan-augcls"]


def test_the_test_images_choose_nothing():
    other = material(test=(TEST[0][::-1].copy(), TEST[1][::-1].copy()))
    one, two = (run_cell(cell("cgan-augcls"), m)["result"] for m in (material(), other))
    assert one["rounds"] == two["rounds"]
    assert one["best_epoch"] == two["best_epoch"]
    assert one["confusion"] == two["confusion"]


def test_a_second_run_repeats_nothing(records, monkeypatch):
    folder, found = records
    monkeypatch.setattr(workers, "run_cell", lambda *a: pytest.fail("a finished cell was run again"))
    said = []
    again = run_cells(
        [cell(arm) for arm in PAPER_ARMS], lambda name: material(), directory=folder, say=said.append
    )
    assert again == found
    assert said == []


def fake(monkeypatch, *, fails=()):
    """Make cells instant: a record of the right form, or an error."""
    run = []

    def instant(cell, material):
        run.append(cell)
        if cell.arm in fails:
            raise RuntimeError("out of paint")
        return {
            "cell": cells.plain(cell), "inputs": material.inputs(cell.arm), "source": cells.source(cell.arm),
            "result": {"top1": 0.5}, "run": {"seconds": 0.0, "device": "cpu"},
        }  # fmt: skip

    monkeypatch.setattr(workers, "run_cell", instant)
    return run


def test_what_changed_is_run_again_and_the_reason_said(tmp_path, monkeypatch):
    run, said = fake(monkeypatch), []
    wanted = [cell("original"), cell("cgan-aug")]
    run_cells(wanted, {"blobs": material()}, directory=tmp_path)
    other = material(generators={"cgan": (Generator(), "toy-2")})
    run_cells(wanted, {"blobs": other}, directory=tmp_path, say=said.append)
    assert [c.arm for c in run] == ["original", "cgan-aug", "cgan-aug"]
    assert said == ["blobs cgan-aug seed 0: not run yet"]
    monkeypatch.setattr(cells, "package_hash", lambda: "new")
    said.clear()
    run_cells([wanted[0]], {"blobs": other}, directory=tmp_path, say=said.append)
    assert said == ["blobs original seed 0: source changed: package"]


def test_a_failing_cell_leaves_the_others(tmp_path, monkeypatch):
    run = fake(monkeypatch, fails=["cb-loss"])
    wanted = [cell("original"), cell("cb-loss"), cell("oversample")]
    with pytest.raises(CellsFailed, match=r"1 of 3 cells failed, first blobs cb-loss seed 0: .*out of paint"):
        run_cells(wanted, {"blobs": material()}, directory=tmp_path)
    assert len(load_records(tmp_path)) == 2
    run.clear()
    fake_again = fake(monkeypatch)
    assert len(run_cells(wanted, {"blobs": material()}, directory=tmp_path)) == 3
    assert [c.arm for c in fake_again] == ["cb-loss"]


def test_an_interruption_leaves_whole_files_only(tmp_path, monkeypatch):
    fake(monkeypatch)
    replace_file = os.replace

    def pulled(source, target):
        if "oversample" in str(target):
            raise KeyboardInterrupt
        replace_file(source, target)

    monkeypatch.setattr(os, "replace", pulled)
    wanted = [cell("original"), cell("oversample"), cell("cb-loss")]
    with pytest.raises(KeyboardInterrupt):
        run_cells(wanted, {"blobs": material()}, directory=tmp_path)
    assert [r["cell"]["arm"] for r in load_records(tmp_path)] == ["original"]
    monkeypatch.setattr(os, "replace", replace_file)
    run = fake(monkeypatch)
    run_cells(wanted, {"blobs": material()}, directory=tmp_path)
    assert [c.arm for c in run] == ["oversample", "cb-loss"]


def test_records_that_do_not_match_are_refused(tmp_path, monkeypatch):
    fake(monkeypatch)
    run_cells([cell("original"), cell("cb-loss")], {"blobs": material()}, directory=tmp_path)
    path = path_of(cell("cb-loss"), material(), tmp_path)
    record = json.loads(path.read_text())

    def refused(change, says):
        changed = json.loads(json.dumps(record))
        change(changed)
        path.write_text(json.dumps(changed))
        with pytest.raises(ValueError, match=says) as error:
            load_records(tmp_path)
        assert path.name in str(error.value)
        with pytest.warns(UserWarning, match=says):
            assert [r["cell"]["arm"] for r in load_records(tmp_path, on_stale="skip")] == ["original"]

    refused(lambda r: r["source"].update(package="other"), "source changed: package")
    refused(lambda r: r["cell"]["settings"].pop("tau"), "settings")
    refused(lambda r: r["cell"]["settings"].update(magic=1), "settings")
    refused(lambda r: r["cell"].update(arm="wish"), "settings")
    path.write_text("{")
    with pytest.raises(ValueError, match="damaged"):
        load_records(tmp_path)
    assert stale(record, material=material(test=HELD)) == "inputs changed: data"
    assert stale(record, material=material()) is None


def test_two_processes(tmp_path):
    wanted = [cell("original", seed=s, steps=3) for s in (0, 1)] + [cell("cgan-aug", steps=3)]
    found = run_cells(wanted, {"blobs": material()}, directory=tmp_path, jobs=2)
    assert [r["cell"]["seed"] for r in found] == [0, 1, 0]
    alone = run_cells(wanted[:1], {"blobs": material()}, directory=tmp_path / "alone", threads=1)
    assert found[0]["run"]["threads"] == 1
    assert found[0]["result"] == alone[0]["result"]


def test_frame(records):
    table = frame(records[1])
    assert list(table["arm"]) == list(PAPER_ARMS)
    assert {"top1", "tail", "steps", "seconds"} <= set(table.columns)


def test_bad_cells(tmp_path):
    with pytest.raises(ValueError, match="arm='magic'"):
        Cell("blobs", "magic", 0)
    with pytest.raises(ValueError, match="needs generators="):
        run_cells([cell("cgan-aug")], {"blobs": material(generators={})}, directory=tmp_path)
    with pytest.raises(ValueError, match="hold no 'blobs'"):
        run_cells([cell()], {}, directory=tmp_path)
    with pytest.raises(ValueError, match="16 pixels"):
        run_cell(cell(size=32), material())
    with pytest.raises(FileNotFoundError, match="no such folder"):
        load_records(tmp_path / "none")
