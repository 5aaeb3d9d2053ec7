"""The study's sets and cells, and the command that records them."""

import numpy as np
import pytest
from PIL import Image

from gmaug import __main__, published, runs, studies
from gmaug.datasets.garden import GARDENS
from gmaug.experiment import ARMS, GENERATED, find

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
        "natural": studies.Photographs("natural", None, validation=10, test=20, steps=2),
        "made": studies.Photographs("made", 12, imbalance=4.0, validation=3, test=4, steps=2),
        "pair": studies.Photographs("made", 12, imbalance=4.0, validation=3, test=4, classes=("two", "one")),
    }
    monkeypatch.setattr(studies, "PHOTOGRAPHS", studies.PHOTOGRAPHS | added)
    monkeypatch.setattr(studies, "SETS", (*added, *studies.SETS))
    studies.material.cache_clear()
    yield tmp_path
    studies.material.cache_clear()


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
    material = studies.material("natural", 0, data, 8)
    assert material.classes == ("one", "three", "two")
    assert studies.left_out("natural", data) == {"four": 20}
    parts = parts_of(material)
    assert counts(parts["test"], material.classes) == [20, 10, 15]
    assert counts(parts["validation"], material.classes) == [10, 5, 7]
    assert counts(parts["train"], material.classes) == [90, 21, 38]
    assert material.reserve is None


def test_a_made_tail_keeps_the_rest_in_reserve(data):
    material = studies.material("made", 0, data, 8)
    parts = parts_of(material)
    assert counts(parts["train"], material.classes) == [12, 8, 5, 3]
    assert counts(parts["left"], material.classes) == [20 - 19, 120 - 15, 36 - 12, 60 - 10]
    seen = [image.tobytes() for part in parts.values() for image in part[0]]
    assert len(seen) == len(set(seen)) == sum(COUNTS.values())


def test_a_group_of_classes_is_one_super_class(data):
    splits, _ = studies.image_sets("pair", data=data)
    assert splits.train.classes == ("two", "one")
    assert splits.train.class_counts == {"two": 12, "one": 3}
    assert list(splits.train.hierarchy.groups) == ["all"]


def test_repetitions(data, monkeypatch):
    same = [studies.material("made", seed, data, 8).data_hash for seed in (0, 1)]
    assert same[0] == same[1]
    assert studies.material("made.1", 0, data, 8).data_hash != same[0]
    small = {"middle": studies.GARDENS["middle"].__class__(largest=4, imbalance=2, validation=1, test=1)}
    monkeypatch.setattr(studies, "GARDENS", small)
    fresh = [studies.material("middle", seed, None, 16) for seed in (0, 1)]
    assert fresh[0].data_hash != fresh[1].data_hash
    held = studies.material("middle.1", 5, None, 16)
    assert held.data_hash == fresh[1].data_hash
    wanted = np.array([2, 0, 1, 0, 0, 0, 0, 0, 3])
    images, labels = held.reserve(wanted, 5)
    assert np.bincount(labels, minlength=9).tolist() == wanted.tolist()
    assert not {i.tobytes() for i in images} & {i.tobytes() for i in held.train[0]}
    for bad in ("middle.x", "nowhere", "made."):
        if bad != "made.":
            with pytest.raises(ValueError, match="unknown set"):
                studies.base_of(bad)


def test_what_is_recorded():
    for what in studies.FAMILIES:
        found = studies.cells(what)
        names = [(cell.dataset, cell.name) for cell in found]
        assert len(names) == len(set(names)), "two cells would have one record"
        assert [cell.seed for cell in found] == sorted(cell.seed for cell in found)
    controls = studies.cells("controls")
    assert {cell.dataset for cell in controls} == set(studies.SETS)
    assert all(find(cell.arm).generator is None for cell in controls)
    repeated = {cell.seed for cell in controls if cell.dataset == "middle" and cell.arm == "oversample"}
    assert repeated == set(range(6))
    assert ("ham10000", "more-real") not in {(cell.dataset, cell.arm) for cell in controls}
    shown = {cell.arm for what in ("controls", "gardens", "mixed") for cell in studies.cells(what)}
    assert set(ARMS) <= shown
    assert {arm.partition("-")[2] for arm in shown if arm.startswith(("cgan", "diffusion"))} == set(GENERATED)


def test_other_steps_are_a_variant():
    [cell] = studies.cells("controls", sets=["middle"], arms=["original"], seeds=[3], steps=40)
    assert (cell.name, cell.settings.steps) == ("original-steps40_3", 40)
    own = studies.GARDEN_STEPS
    [cell] = studies.cells("controls", sets=["middle"], arms=["original"], seeds=[3], steps=own)
    assert cell.name == "original_3"


def test_the_command_records_and_goes_on(data, capsys):
    asked = ["record", "controls", "--sets", "made", "--arms", "original", "oversample", "--seeds", "0"]
    asked += ["--data", str(data), "--folder", str(data / "out")]
    settings = studies.settings_of("made")
    assert settings.steps == 2
    assert __main__.main([*asked, "--list"]) == 0
    assert "controls: 2 of 2 cells to run\nmade original seed 0\n" in capsys.readouterr().out
    assert __main__.main(asked) == 0
    assert "made oversample seed 0: done" in capsys.readouterr().out
    assert runs.record_names("cells/made", folder=data / "out") == ["original_0", "oversample_0"]
    assert __main__.main(asked) == 0
    assert "controls: 0 of 2 cells to run" in capsys.readouterr().out


def test_cells_wait_for_their_generator(monkeypatch, tmp_path, capsys):
    for title in ("middle-cgan", "middle.1-cgan@96", "middle-diffusion"):
        path = tmp_path / "generators" / title
        path.parent.mkdir(exist_ok=True)
        path.with_name(f"{title}.json").write_text("{}")
        if "cgan" in title:  # the weights of the other are lost
            path.with_name(f"{title}.safetensors").write_text("")
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    assert studies.generator_titles("middle", 0) == {"cgan": "middle-cgan"}
    assert studies.generator_titles("middle", 1) == {"cgan@96": "middle.1-cgan@96"}
    assert studies.generator_titles("middle.1", 0) == {"cgan@96": "middle.1-cgan@96"}
    listed = studies.cells("gardens", sets=["middle"], arms=["cgan-aug"], seeds=[0, 1])
    there, missing = studies.ready(listed)
    assert [cell.seed for cell in there] == [0]
    assert missing == {"middle cgan": 1}


def test_a_mistyped_set_is_one_line(capsys):
    assert __main__.main(["record", "controls", "--sets", "midle"]) == 2
    assert "midle: unknown set" in capsys.readouterr().err
    assert "middle" in GARDENS


def test_the_summary_has_a_row_a_set_and_arm(data, capsys, monkeypatch):
    out = data / "out"
    asked = ["record", "controls", "--sets", "made", "--arms", "original", "oversample", "--seeds", "0", "1"]
    assert __main__.main([*asked, "--data", str(data), "--folder", str(out)]) == 0
    table = studies.experiment_table(out)
    assert tuple(table.columns) == published.EXPERIMENT_COLUMNS
    [row] = table.to_dict("records")
    assert (row["set"], row["arm"], row["images"], row["imbalance"], row["seeds"]) == (
        "made",
        "original",
        28,
        4.0,
        2,
    )
    assert row["low"] <= row["gain_over_oversample"] <= row["high"]
    monkeypatch.setattr(runs, "PACKAGE", data)
    assert __main__.main(["record", "summary", "--folder", str(out)]) == 0
    assert (data / "published" / "experiments.csv").read_text().startswith("set,images,classes")
