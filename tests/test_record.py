"""The study's sets and cells, and the command that records them."""

import numpy as np
import pytest
import record
import study
from PIL import Image

from gmaug import published, runs
from gmaug.experiment import ARMS, GENERATED, Cell, find

COUNTS = {"one": 120, "two": 60, "three": 36, "four": 20}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with a natural and a made long tail, each image of a colour of its own."""
    rng = np.random.default_rng(0)
    for name, count in COUNTS.items():
        for k in range(count):
            for folder in ("natural", "made"):
                path = tmp_path / folder / name / f"{k:03}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(path)
    added = {
        "natural": study.Photographs("natural", None, validation=10, test=20, steps=2),
        "made": study.Photographs("made", 12, imbalance=4.0, validation=3, test=4, steps=2),
        "pair": study.Photographs("made", 12, imbalance=4.0, validation=3, test=4, classes=("two", "one")),
    }
    monkeypatch.setattr(study, "PHOTOGRAPHS", study.PHOTOGRAPHS | added)
    monkeypatch.setattr(study, "SETS", (*added, *study.SETS))
    study.material.cache_clear()
    yield tmp_path
    study.material.cache_clear()


def parts_of(material):
    reserve = material.reserve(np.full(len(material.classes), 1000), 0) if material.reserve else ([], [])
    return {
        "train": material.train,
        "validation": material.validation,
        "test": material.test,
        "left": reserve,
    }


def counts(part, classes):
    return np.bincount(part[1], minlength=len(classes)).tolist()


def test_a_natural_set_is_split_by_class_and_leaves_small_classes_out(data):
    material = study.material("natural", 0, data, 8)
    assert material.classes == ("one", "three", "two")
    parts = parts_of(material)
    assert counts(parts["test"], material.classes) == [20, 10, 15]
    assert counts(parts["validation"], material.classes) == [10, 5, 7]
    assert counts(parts["train"], material.classes) == [90, 21, 38]
    assert material.reserve is None


def test_a_made_tail_keeps_the_rest_in_reserve(data):
    material = study.material("made", 0, data, 8)
    parts = parts_of(material)
    assert counts(parts["train"], material.classes) == [12, 8, 5, 3]
    assert counts(parts["left"], material.classes) == [20 - 19, 120 - 15, 36 - 12, 60 - 10]
    seen = [image.tobytes() for part in parts.values() for image in part[0]]
    assert len(seen) == len(set(seen)) == sum(COUNTS.values())


def test_a_group_of_classes_is_one_super_class(data):
    splits, _ = study.image_sets("pair", data=data)
    assert splits.train.classes == ("two", "one")
    assert splits.train.class_counts == {"two": 12, "one": 3}
    assert list(splits.train.hierarchy.groups) == ["all"]


def test_repetitions(data, monkeypatch):
    same = [study.material("made", seed, data, 8).data_hash for seed in (0, 1)]
    assert same[0] == same[1]
    assert study.material("made.1", 0, data, 8).data_hash != same[0]
    small = {"middle": study.GARDENS["middle"].__class__(largest=4, imbalance=2, validation=1, test=1)}
    monkeypatch.setattr(study, "GARDENS", small)
    fresh = [study.material("middle", seed, size=16) for seed in (0, 1)]
    assert fresh[0].data_hash != fresh[1].data_hash
    held = study.material("middle.1", 5, size=16)
    assert held.data_hash == fresh[1].data_hash
    wanted = np.array([2, 0, 1, 0, 0, 0, 0, 0, 3])
    images, labels = held.reserve(wanted, 5)
    assert np.bincount(labels, minlength=9).tolist() == wanted.tolist()
    assert not {i.tobytes() for i in images} & {i.tobytes() for i in held.train[0]}
    for bad in ("middle.x", "nowhere"):
        with pytest.raises(ValueError, match="unknown set"):
            study.drawn(bad)


def test_what_is_recorded():
    for what in record.FAMILIES:
        found = record.cells(what)
        names = [(cell.dataset, cell.name) for cell in found]
        assert len(names) == len(set(names)), "two cells would have one record"
        assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    controls = record.cells("controls")
    assert {cell.dataset for cell in controls} == set(study.SETS)
    assert all(find(cell.arm).generator is None for cell in controls)
    repeated = {cell.seed for cell in controls if cell.dataset == "middle" and cell.arm == "oversample"}
    assert repeated == set(range(6))
    assert ("ham10000", "more-real") not in {(cell.dataset, cell.arm) for cell in controls}
    shown = {cell.arm for what in ("controls", "gardens", "mixed") for cell in record.cells(what)}
    assert set(ARMS) <= shown
    assert {arm.partition("-")[2] for arm in shown if arm.startswith(("cgan", "diffusion"))} == set(GENERATED)
    some = record.cells("controls", sets=["flowers", "middle"], seeds=[0])
    assert [cell.arm for cell in some if cell.dataset == "flowers"] == [*record.HEADLINE, "randaugment"]


def test_other_steps_are_a_variant():
    chosen = {"sets": ["middle"], "arms": ["original"], "seeds": [3]}
    [cell] = record.cells("controls", **chosen, steps=40)
    assert (cell.name, cell.settings.steps) == ("original-steps40_3", 40)
    [cell] = record.cells("controls", **chosen, steps=study.GARDEN_STEPS)
    assert cell.name == "original_3"
    names = {cell.name for cell in record.cells("steps", **chosen)}
    assert {"original_3", "original-steps400_3"} < names


def test_the_command_records_and_goes_on(data, capsys):
    asked = ["controls", "--sets", "made", "--arms", "original", "oversample", "--seeds", "0"]
    asked += ["--data", str(data), "--folder", str(data / "out")]
    assert record.main([*asked, "--list"]) == 0
    assert "controls: 2 of 2 cells to run\nmade original seed 0\n" in capsys.readouterr().out
    assert record.main(asked) == 0
    assert "made oversample seed 0: done" in capsys.readouterr().out
    assert runs.record_names("cells/made", folder=data / "out") == ["original_0", "oversample_0"]
    assert record.main(asked) == 0
    assert "controls: 0 of 2 cells to run" in capsys.readouterr().out


def test_cells_wait_for_their_generator(monkeypatch, tmp_path):
    for title in ("middle-cgan", "middle.1-cgan@96", "middle-diffusion"):
        path = tmp_path / "generators" / title
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{title}.json").write_text("{}")
        if "cgan" in title:  # the weights of the other are lost
            path.with_name(f"{title}.safetensors").write_text("")
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    assert study.generator_titles("middle", 0) == {"cgan": "middle-cgan"}
    assert study.generator_titles("middle", 1) == {"cgan@96": "middle.1-cgan@96"}
    assert study.generator_titles("middle.1", 0) == {"cgan@96": "middle.1-cgan@96"}
    listed = record.cells("gardens", sets=["middle"], arms=["cgan-aug"], seeds=[0, 1])
    there, missing = record.ready(listed)
    assert [cell.seed for cell in there] == [0]
    assert missing == {"middle cgan": 1}


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["controls", "--sets", "midle"], "midle: unknown set"),
        (["nothing"], "nothing: unknown; there are metric"),
        ([], "say what"),
        (["recognition", "mixed", "--sets", "lfw", "--list"], "by themselves"),
    ],
)
def test_a_mistyped_command_is_one_line(asked, told, capsys):
    assert record.main(asked) == 2
    assert told in capsys.readouterr().err


def test_the_summary_has_a_row_a_set_and_arm(tmp_path, capsys, monkeypatch):
    drawn = {"original": (0.5, 0.62, 0.56), "oversample": (0.55, 0.6, 0.575)}
    scores = {(arm, seed): score for arm, three in drawn.items() for seed, score in enumerate(three)}
    for (arm, seed), score in scores.items():
        cell = Cell("made", arm, seed)
        content = {"balanced_accuracy": score, "steps": 2, "counts_before": [12, 8, 5, 3]}
        options = {"settings": cell, "data": {}, "seconds": 1.0, "folder": tmp_path}
        runs.write_record("cells/made", cell.name, content, **options)
    [row] = record.experiment_table(tmp_path).to_dict("records")
    assert tuple(row) == published.EXPERIMENT_COLUMNS
    about = ("set", "arm", "images", "imbalance", "gain_over_oversample", "seeds")
    assert [row[name] for name in about] == ["made", "original", 28, 4.0, -1.5, 3]
    assert row["low"] < row["gain_over_oversample"] < row["high"]
    monkeypatch.setattr(runs, "PACKAGE", tmp_path)
    assert record.main(["summary", "--folder", str(tmp_path)]) == 0
    assert (tmp_path / "published" / "experiments.csv").read_text().startswith("set,images,classes")
