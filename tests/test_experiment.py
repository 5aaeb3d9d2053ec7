"""Arms, cells, their records, and runs that are broken off."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from blobs import SMALL, Generator, blobs, draw

from gmaug import runs
from gmaug.classifiers import ResNet18
from gmaug.experiment import (
    ARMS,
    GENERATED,
    Arm,
    Cell,
    CellSettings,
    CellsFailed,
    Material,
    Outcome,
    Trial,
    arm,
    cell_of,
    find,
    frame,
    load_cells,
    recorded,
    run_cell,
    run_cells,
    workers,
)

SETTINGS = CellSettings(size=16, training=replace(SMALL, epochs=2), steps=10, alpha=0.34)
TRAIN, HELD, TEST = blobs([40, 20, 8], seed=0), blobs([10] * 3, seed=1), blobs([20] * 3, seed=2)
ALL = (*ARMS, *(f"cgan-{use}" for use in GENERATED))


def reserve(counts, seed):
    labels = np.repeat(np.arange(len(counts)), counts)
    return draw(labels, seed=100 + seed), labels


def material(**changes):
    parts = {
        "name": "blobs",
        "classes": ("red", "green", "blue"),
        "train": TRAIN,
        "validation": HELD,
        "test": TEST,
        "generators": {"cgan": (Generator(wrong=0.2), "toy-1")},
        "reserve": reserve,
    }
    return Material(**(parts | changes))


def cell(arm="original", seed=0, variant="", **settings):
    return Cell("blobs", arm, seed, replace(SETTINGS, **settings), variant)


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    return folder, run_cells([cell(arm) for arm in ALL], {"blobs": material()}, folder=folder, threads=1)


def by_arm(records):
    return {record["settings"]["arm"]: record["content"] for record in records[1]}


def test_all_arms_take_the_same_steps(records):
    assert {result["steps"] for result in by_arm(records).values()} == {10}


def test_with_epochs_fixed_a_filled_set_takes_more_steps():
    steps = {arm: run_cell(cell(arm, steps=None), material())["steps"] for arm in ("original", "cgan-aug")}
    assert steps == {"original": -(-2 * 68 // 16), "cgan-aug": -(-2 * 120 // 16)}


def test_results_hang_together(records):
    for result in by_arm(records).values():
        table = np.array(result["confusion"])
        assert table.sum(axis=1).tolist() == [20, 20, 20]
        assert result["recall"] == pytest.approx((np.diag(table) / 20).tolist(), abs=1e-6)
        assert result["top1"] == pytest.approx(result["balanced_accuracy"])
        assert [result["head"], result["middle"], result["tail"]] == pytest.approx(result["recall"], abs=1e-6)
        assert result["groups"] == {"head": ["red"], "middle": ["green"], "tail": ["blue"]}
        assert result["counts_before"] == [40, 20, 8]
        assert 0 <= result["macro_f1"] <= 1
        assert 0.5 < result["auroc"] <= 1
    assert by_arm(records)["original"]["counts_after"] == [40, 20, 8]


def test_filled_sets_are_balanced_to_the_image(records):
    for name in (
        "duplicates",
        "smote",
        "more-real",
        "cgan-aug",
        "cgan-weighted",
        "cgan-confident",
        "cgan-band",
    ):
        assert by_arm(records)[name]["counts_after"] == [40, 40, 40], name
    for use in ("augcls", "confident", "band"):
        assert len(by_arm(records)[f"cgan-{use}"]["selector_recall"]) == 3


class Spy:
    """A classifier that remembers what it was trained on."""

    def fit(self, images, labels, **options):
        self.images, self.labels, self.options = images, labels, options
        return self


def spied(name, monkeypatch, **settings):
    monkeypatch.setattr(Trial, "untrained", lambda self, images, **views: Spy())
    trial = Trial(
        *TRAIN, HELD, 3, replace(SETTINGS, **settings), 0, {"cgan": Generator()}, reserve
    )  # fmt: skip
    return find(name).function(trial).classifier


def test_duplicates_are_real_images_in_equal_numbers(monkeypatch):
    spy = spied("duplicates", monkeypatch)
    known = {image.tobytes(): k for k, image in enumerate(TRAIN[0])}
    seen = np.bincount([known[image.tobytes()] for image in spy.images], minlength=68)
    assert seen[:40].tolist() == [1] * 40
    assert seen[40:60].tolist() == [2] * 20
    assert seen[60:].tolist() == [5] * 8


def test_draws_are_even_where_the_set_is_not(monkeypatch):
    for name, target, even in (
        ("oversample", "not majority", True), ("original", "not majority", False),
        ("cgan-aug", "not majority", False), ("cgan-aug", 30, True), ("more-real", 30, True),
    ):  # fmt: skip
        spy = spied(name, monkeypatch, target=target)
        weights = spy.options["sampling_weights"]
        assert (weights is not None) == even, (name, target)
        if even:
            shares = np.bincount(spy.labels, weights=weights)
            assert shares == pytest.approx([shares[0]] * 3)


def test_generated_images_may_weigh_less(monkeypatch):
    weights = spied("cgan-weighted", monkeypatch).options["image_weights"]
    assert weights[:68].tolist() == [1.0] * 68
    assert weights[68:].tolist() == [0.3] * 52


def test_the_best_of_each_class_are_kept(monkeypatch):
    monkeypatch.setattr(Trial, "untrained", lambda self, images, **views: Spy())
    monkeypatch.setattr(Trial, "selector_recall", None)
    trial = Trial(TRAIN[0][:3], np.array([0, 0, 1]), HELD, 2, replace(SETTINGS, target=3), 0)
    cost, labels = np.array([3.0, 1.0, 2.0, 5.0, 4.0, 4.0]), np.array([0, 0, 0, 1, 1, 1])
    spy = trial.filled_with_best(TRAIN[0][10:16], labels, cost).classifier  # one and two images are wanted
    assert np.array_equal(spy.images[3:], TRAIN[0][[11, 14, 15]])


def test_validated_size_takes_the_least_balanced_loss(records):
    result = by_arm(records)["cgan-vtss"]
    best = int(np.argmin(result["validation_losses"]))
    assert result["share"] == SETTINGS.shares[best]
    added = np.array(result["counts_after"]) - result["counts_before"]
    assert added.tolist() == np.round(np.array([0, 20, 32]) * result["share"]).tolist()


def test_a_tiny_run_gives_these_numbers(records):
    """What guards the records: whoever changes an arm's behaviour sees this fail, and decides."""
    found = {name: result["auroc"] for name, result in by_arm(records).items()}
    assert found == pytest.approx(AUROC, abs=0.005)


AUROC = {
    "original": 0.8025,
    "oversample": 0.9071,
    "duplicates": 0.8112,
    "logit-adjusted": 0.73,
    "cb-loss": 0.665,
    "randaugment": 0.8163,
    "smote": 0.8467,
    "more-real": 0.8858,
    "cgan-aug": 0.63,
    "cgan-weighted": 0.7054,
    "cgan-augcls": 0.705,
    "cgan-confident": 0.7846,
    "cgan-band": 0.6883,
    "cgan-vtss": 0.9071,
    "pixel-mixed": 0.8275,
    "cgan-mixed": 0.5713,
    "cgan-mixnear": 0.6888,
    "cgan-mixdistant": 0.5713,
    "cgan-scoremix": 0.6567,
}


def test_the_pipelines_cell_tells_what_was_filled_up_and_which_round_it_is(records):
    result = by_arm(records)["cgan-augcls"]
    assert result["counts_after"] == [40, 40, 40]
    assert np.add(result["accepted"], result["filled_up"]).tolist() == [0, 20, 32]
    after = [one["after"] for one in result["rounds"]]
    assert result["best_round"] == 1 + int(np.argmax(after))
    assert result["improved"] == (max(after) > result["rounds"][0]["before"])


def test_a_target_below_the_largest_class_is_drawn_evenly(monkeypatch):
    seen, fit = [], ResNet18.fit

    def watched(self, *rest, **options):
        weights = options.get("sampling_weights")
        seen.append(None if weights is None else np.bincount(rest[1], weights=weights).tolist())
        return fit(self, *rest, **options)

    monkeypatch.setattr(ResNet18, "fit", watched)
    result = run_cell(cell("cgan-augcls", target=30), material())
    assert result["counts_after"] == [40, 30, 30]
    assert seen[-1] == pytest.approx([1, 1, 1])


def test_the_same_cell_gives_the_same_result(records):
    assert run_cell(cell("cgan-augcls"), material()) == by_arm(records)["cgan-augcls"]


def test_the_test_images_choose_nothing():
    other = material(test=(TEST[0][::-1].copy(), TEST[1][::-1].copy()))
    one, two = (run_cell(cell("cgan-augcls"), m) for m in (material(), other))
    assert one["rounds"] == two["rounds"]
    assert one["best_epoch"] == two["best_epoch"]
    assert one["confusion"] == two["confusion"]


def test_a_record_tells_where_it_comes_from(records):
    folder, found = records
    assert len(list((folder / "cells" / "blobs").iterdir())) == len(ALL)
    for record in found:
        name = record["settings"]["arm"]
        assert record["data"]["hash"] == material().data_hash
        assert record["data"].get("generator") == (None if name in ARMS else "toy-1")
        assert {"seconds", "device", "versions", "commit", "date"} <= record["made"].keys()
        assert cell_of(record) == cell(name)
        assert recorded(cell(name), {"blobs": material()}, folder=folder)


def test_a_second_run_repeats_nothing(records, monkeypatch):
    folder, found = records
    monkeypatch.setattr(workers, "_compute", lambda *a, **k: pytest.fail("a finished cell was run again"))
    assert run_cells([cell(arm) for arm in ALL], {"blobs": material()}, folder=folder) == found
    assert run_cells([cell(arm) for arm in ALL], lambda *a: pytest.fail("read"), folder=folder) == found
    assert len(load_cells(folder=folder)) == len(ALL)


def fake(monkeypatch, *, fails=()):
    """Make cells instant: a result, or an error."""
    run = []

    def instant(cell, arm, material, threads, quiet=True):
        run.append(cell)
        if cell.arm in fails:
            return "RuntimeError: out of paint"
        about = material().about(arm)
        return {"content": {"top1": 0.5}, "data": about, "seconds": 0.0, "device": "cpu"}

    monkeypatch.setattr(workers, "_compute", instant)
    return run


def test_records_of_another_experiment_are_not_mixed_in(tmp_path, monkeypatch):
    run = fake(monkeypatch)
    run_cells([cell(), cell("cgan-aug")], {"blobs": material()}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"original_0\.json is a record of another .*steps.*move it away"):
        run_cells([cell(steps=11)], {"blobs": material()}, folder=tmp_path)
    with pytest.raises(ValueError, match=r"another experiment \(hash changed\)"):
        run_cells([cell()], {"blobs": material(test=HELD)}, folder=tmp_path)
    other = material(generators={"cgan": (Generator(), "toy-2")})
    with pytest.raises(ValueError, match="generator changed"):
        run_cells([cell("cgan-aug")], {"blobs": other}, folder=tmp_path)
    run.clear()
    run_cells([cell(steps=11, variant="steps11"), cell(seed=1)], {"blobs": material()}, folder=tmp_path)
    run_cells([cell("cgan-aug")], {"blobs": other}, folder=tmp_path, again=True)
    assert len(run) == 3
    names = sorted(path.name for path in (tmp_path / "cells" / "blobs").iterdir())
    assert names == ["cgan-aug_0.json", "original-steps11_0.json", "original_0.json", "original_1.json"]


def test_a_setting_that_is_new_has_its_default_in_old_records(tmp_path, monkeypatch):
    fake(monkeypatch)
    run_cells([cell()], {"blobs": material()}, folder=tmp_path)
    path = tmp_path / "cells" / "blobs" / "original_0.json"
    record = json.loads(path.read_text())
    del record["settings"]["settings"]["pool"]
    record["settings"]["settings"]["tau"] = 1.0  # a constant today
    path.write_text(json.dumps(record))
    assert recorded(cell(), folder=tmp_path)
    record["settings"]["settings"]["tau"] = 0.5
    path.write_text(json.dumps(record))
    with pytest.raises(ValueError, match="another experiment"):
        recorded(cell(), folder=tmp_path)


def test_a_failing_cell_leaves_the_others(tmp_path, monkeypatch):
    fake(monkeypatch, fails=["cb-loss"])
    wanted, said = [cell("original"), cell("cb-loss"), cell("oversample")], []
    with pytest.raises(CellsFailed, match=r"1 of 3 cells failed, first blobs cb-loss seed 0: .*out of paint"):
        run_cells(wanted, {"blobs": material()}, folder=tmp_path, say=said.append)
    assert said[1] == "blobs cb-loss seed 0: RuntimeError: out of paint"
    assert len(load_cells(folder=tmp_path)) == 2
    run = fake(monkeypatch)
    assert len(run_cells(wanted, {"blobs": material()}, folder=tmp_path)) == 3
    assert [c.arm for c in run] == ["cb-loss"]


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
        run_cells(wanted, {"blobs": material()}, folder=tmp_path)
    assert [path.name for path in (tmp_path / "cells" / "blobs").iterdir()] == ["original_0.json"]
    monkeypatch.setattr(os, "replace", replace_file)
    run = fake(monkeypatch)
    (tmp_path / "cells" / "blobs" / "original_0.json").write_text("{")  # half a file counts as none
    run_cells(wanted, {"blobs": material()}, folder=tmp_path, again=True)
    assert [c.arm for c in run] == ["original", "oversample", "cb-loss"]


def test_an_arm_of_ones_own(tmp_path):
    @arm("half")
    def half(trial: Trial) -> Outcome:
        """Half the classes' weight."""
        return Outcome(trial.train(balanced=True))

    try:
        assert run_cell(cell("half"), material())["steps"] == 10
        assert isinstance(find("half"), Arm)
    finally:
        del ARMS["half"]
    mine = material(generators={"mine": (Generator(), "my own")})
    assert run_cell(cell("mine-aug"), mine)["counts_after"] == [40, 40, 40]


def test_two_processes(tmp_path):
    wanted = [cell("original", seed=s) for s in (0, 1)] + [cell("cgan-aug")]
    found = run_cells(wanted, {"blobs": material()}, folder=tmp_path, jobs=2)
    assert [r["settings"]["seed"] for r in found] == [0, 1, 0]
    alone = run_cells(wanted[:1], {"blobs": material()}, folder=tmp_path / "alone", threads=1)
    assert "1 thread" in found[0]["made"]["device"]
    assert found[0]["content"] == alone[0]["content"]


def test_frame(records):
    table = frame(records[1])
    assert list(table["arm"]) == list(ALL)
    assert {"top1", "tail", "auroc", "worst", "steps", "seconds"} <= set(table.columns)
    assert table["worst"].tolist() == [min(result["recall"]) for result in by_arm(records).values()]
    assert frame([]).empty


def test_bad_cells(tmp_path):
    for name in ("magic", "cgan-magic", "-aug"):
        with pytest.raises(ValueError, match=f"arm='{name}'"):
            Cell("blobs", name, 0)
    with pytest.raises(ValueError, match="needs the generator 'cgan'; there is none"):
        run_cells([cell("cgan-aug")], {"blobs": material(generators={})}, folder=tmp_path)
    with pytest.raises(ValueError, match="in reserve; there are none"):
        run_cells([cell("more-real")], {"blobs": material(reserve=None)}, folder=tmp_path)
    with pytest.raises(ValueError, match="hold no 'blobs'"):
        run_cells([cell()], {}, folder=tmp_path)
    with pytest.raises(ValueError, match="16 pixels"):
        run_cell(cell(size=32), material())
    with pytest.raises(ValueError, match="steps=0"):
        CellSettings(steps=0)
    assert load_cells(folder=tmp_path / "none") == []
    assert runs.record_names("cells", folder=tmp_path) == []
