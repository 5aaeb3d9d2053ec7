"""compare: results are whole and typed, a killed run ends the same, and bad input is one line."""

import json
import os
import shutil

import numpy as np
import pandas as pd
import pytest
from own_folders import alone, killed_and_finished, make_folder

import gmaug
from gmaug import compare as module
from gmaug.__main__ import main
from gmaug.experiment import CellsFailed

TINY = {"seeds": 2, "size": 16, "steps": 4, "kimg": 0.1, "arms": ["logit-adjusted", "cgan-augcls"]}


def tiny(folder, out):
    os.environ["GMAUG_PROGRESS"] = os.devnull
    module.compare(folder, out, **TINY | {"seeds": 1, "arms": ["cgan-augcls"]})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "compared"


@pytest.fixture(scope="module")
def found(folder, out):
    return gmaug.compare(folder, out, **TINY)


def test_results_are_whole(found, out):
    about = found.to_dict()
    assert about == json.loads((out / "results.json").read_text(encoding="utf-8"))
    assert [arm["arm"] for arm in about["arms"]] == [
        "original",
        "oversample",
        "logit-adjusted",
        "cgan-augcls",
    ]
    keys = {"arm", "top1", "balanced_accuracy", "auroc", "tail", "gain_over_oversample", "gain_over_original"}
    assert all(keys <= set(arm) for arm in about["arms"])
    assert about["arms"][1]["gain_over_oversample"]["value"] is None
    assert about["recommendation"] in [arm["arm"] for arm in about["arms"]]
    assert sum(map(sum, about["images"].values())) == 44
    assert len(pd.read_csv(out / "results.csv")) == 8
    assert (out / f"classifier-{found.recommendation}.safetensors").is_file()
    assert sorted(path.name for path in out.iterdir() if path.name.startswith(".")) == [".gmaug-compare.json"]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Recommendation" in page
    assert "nearest original" in page


def test_results_are_objects(found):
    assert list(found.to_frame()["arm"]) == [arm["arm"] for arm in found.to_dict()["arms"]]
    assert found.recommendation in found._repr_html_()
    assert len(found.figure().axes) == 1
    assert "Recommendation" in str(found)


def test_the_weights_kept_are_those_of_the_first_seed(found, out, folder):
    from gmaug.classifiers import ResNet18

    model = ResNet18.load(out / f"classifier-{found.recommendation}.safetensors")
    photos = gmaug.workspace.photographs(folder, size=16, least=3)
    rows = module._split(photos, None, 0)[2]
    right = np.mean(model.predict(photos.images[rows]) == photos.labels[rows])
    cell = found.cells.query(f"arm == '{found.recommendation}' and seed == 0")
    assert right == pytest.approx(cell["top1"].item())


def test_its_folder_gives_the_generator_that_it_trained(found, out):
    about = {"size": 16, "seed": 0, "kimg": None, "device": "auto"}
    model = gmaug.workspace.generator(out, ("c0", "c1", "c2"), **about)
    assert model.sample(np.array([0, 2]), seed=0).shape == (2, 16, 16, 3)
    with pytest.raises(ValueError, match=r"draws 3 classes \(c0, c1, c2\), these images have 2"):
        gmaug.workspace.generator(out, ("a", "b"), **about)


def test_more_seeds_are_added_to_those_there_are(found, folder, out, tmp_path):
    shutil.copytree(out, tmp_path / "out")
    said = []
    again = module.compare(folder, tmp_path / "out", **TINY, say=said.append)
    assert again.to_dict() == found.to_dict()
    assert not said
    more = module.compare(
        folder, tmp_path / "out", **TINY | {"seeds": 3, "arms": ["oversample"]}, say=said.append
    )
    assert len([line for line in said if line.endswith("done")]) == 2
    assert more.seeds == 3


def test_killed_at_five_moments_it_ends_the_same(folder, tmp_path):
    took = alone(tiny, folder, tmp_path / "whole")
    code, killed = killed_and_finished(tiny, folder, tmp_path / "killed", longest=0.6 * took)
    assert code == 0
    assert killed
    for name in ("results.json", "results.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    files = [sorted(p.name for p in (tmp_path / one).iterdir()) for one in ("killed", "whole")]
    assert files[0] == files[1]


def test_torchvisions_folder_is_taken_too(folder):
    from gmaug import backend

    backend.torchvision()
    from torchvision.datasets import ImageFolder

    photos = gmaug.workspace.photographs(ImageFolder(folder), size=16, least=3)
    assert np.bincount(photos.labels).tolist() == [24, 12, 8]
    with pytest.raises(ValueError, match="lies inside"):
        module.compare(ImageFolder(folder), folder / "out", size=16)


def bad(capsys, *words):
    code = main(["compare", *map(str, words)])
    lines = capsys.readouterr().err.strip().splitlines()
    assert code == 2
    assert len(lines) == 1
    return lines[0]


def test_bad_input_is_one_line(capsys, folder, found, out, tmp_path):
    new = tmp_path / "new"
    assert "lies inside" in bad(capsys, folder, "--out", folder / "out", "--size", 16)
    other = tmp_path / "other"
    other.mkdir()
    (other / "letter.txt").write_text("dear")
    assert "something else (letter.txt)" in bad(capsys, folder, "--out", other, "--size", 16)
    assert "other images or settings" in bad(capsys, folder, "--out", out, "--size", 16, "--steps", 5)
    assert "power of two" in bad(capsys, folder, "--out", new, "--size", 20)
    assert "arm='magic' is unknown" in bad(capsys, folder, "--out", new, "--size", 16, "--arms", "magic")
    assert "--generator gives cgan" in bad(capsys, folder, "--out", new, "--size", 16, "--arms", "mine-aug")
    assert "give a time" in bad(capsys, folder, "--out", new, "--size", 16, "--budget", "soon")
    assert "no such generator" in bad(
        capsys, folder, "--out", new, "--size", 16, "--generator", tmp_path / "no"
    )
    assert "no such folder" in bad(capsys, tmp_path / "missing", "--out", new)
    few = make_folder(tmp_path / "few", (6, 6, 2))
    line = bad(capsys, few, "--out", new, "--size", 16)
    assert "class 'c2' has 2 images that can be used; 3 are needed" in line
    shutil.rmtree(few / "c1")
    shutil.rmtree(few / "c2")
    assert "1 class" in bad(capsys, few, "--out", new, "--size", 16)
    assert not new.exists()
    assert (other / "letter.txt").read_text() == "dear"


def test_groups_stay_on_one_side(capsys, folder, tmp_path):
    files = sorted(path.relative_to(folder).as_posix() for path in folder.glob("*/*"))
    table = pd.DataFrame({"file": files, "patient": [f"p{k // 2}" for k in range(len(files))]})
    table.to_csv(tmp_path / "groups.csv", index=False)
    photos = gmaug.workspace.photographs(folder, size=16, least=3)
    groups, said = module._groups(tmp_path / "groups.csv", photos)
    assert not said
    parts = module._split(photos, groups, 0)
    where = {name: [k for k, rows in enumerate(parts) if name in set(groups[rows])] for name in set(groups)}
    assert all(len(k) == 1 for k in where.values())
    pd.concat([table, pd.DataFrame({"file": ["c0/gone.png"], "patient": ["x"]})]).to_csv(
        tmp_path / "groups.csv", index=False
    )
    assert "gone.png" in module._groups(tmp_path / "groups.csv", photos)[1][0]
    table[1:].to_csv(tmp_path / "groups.csv", index=False)
    line = bad(capsys, folder, "--out", tmp_path / "new", "--size", 16, "--groups", tmp_path / "groups.csv")
    assert "no patient for" in line
    table.assign(patient="all").to_csv(tmp_path / "groups.csv", index=False)
    line = bad(capsys, folder, "--out", tmp_path / "new", "--size", 16, "--groups", tmp_path / "groups.csv")
    assert "too few groups" in line


def test_a_budget_leaves_out_arms_then_seeds():
    def cost(arms, seeds):
        return seeds * sum(10 if "cgan" in arm else 1 for arm in arms)

    arms = ["original", "oversample", "cgan-augcls", "cb-loss"]
    plan = module._planned(arms, 5, 20.0, cost)
    assert (plan["arms"], plan["seeds"]) == (["original", "oversample", "cb-loss"], 5)
    assert "cgan-augcls was left out" in plan["dropped"][0]
    plan = module._planned(arms, 5, 6.0, cost)
    assert (plan["arms"], plan["seeds"]) == (["original", "oversample"], 3)
    plan = module._planned(arms, 5, 1.0, cost)
    assert (plan["arms"], plan["seeds"]) == (["original", "oversample"], 2)
    assert plan["dropped"][-1] == "even so it takes about 4 s: lower steps"
    assert module._planned(arms, 5, None, cost) == {"arms": arms, "seeds": 5, "dropped": []}
    assert module.seconds_of("2h") == 7200
    assert module.seconds_of("30m") == module.seconds_of("30") == 1800


def test_equal_differences_of_all_seeds_are_no_interval():
    rows = [("a", 0.5)] * 3 + [("oversample", 0.4)] * 3 + [("b", 0.5), ("b", 0.6), ("b", 0.5)]
    cells = pd.DataFrame(rows, columns=["arm", "balanced_accuracy"]).assign(seed=[0, 1, 2] * 3, dataset="x")
    table = module._gains(cells, "oversample")
    assert np.isnan(table.loc["a", "low"])
    assert table.loc["a", "verdict"] == "inconclusive"
    assert np.isnan(table.loc["a", "to_settle"])
    assert table.loc["b", "low"] < table.loc["b", "high"]


def test_a_probe_is_of_the_right_size(folder):
    import time

    from gmaug.classifiers import ResNet18, settings_for

    photos, settings = (
        gmaug.workspace.photographs(folder, size=16, least=3),
        settings_for("resnet18", shape=(16, 16)),
    )
    found = gmaug.workspace.probe("resnet18", settings, photos.images, photos.labels, None)
    begun = time.perf_counter()
    ResNet18(settings).fit(photos.images, photos.labels, steps=40)
    assert 0.05 < found.step / ((time.perf_counter() - begun) / 40) < 20


def test_stopped_it_says_how_to_go_on(capsys, folder, tmp_path, monkeypatch):
    def stopped(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "run_cells", stopped)
    words = ["compare", str(folder), "--out", str(tmp_path / "out"), "--size", "16", "--steps", "2"]
    assert main([*words, "--arms", "original"]) == 130
    assert "same command goes on" in capsys.readouterr().err


def test_cells_that_fail_are_one_line(capsys, folder, tmp_path, monkeypatch):
    def failed(cells, *_, folder, **__):
        raise CellsFailed([(cells[0], "out of memory")], len(cells), folder)

    monkeypatch.setattr(module, "run_cells", failed)
    words = ["compare", str(folder), "--out", str(tmp_path / "out"), "--size", "16", "--arms", "original"]
    assert main(words) == 2
    assert "out of memory" in capsys.readouterr().err


def test_cells_run_on_a_cluster(folder, found, out, tmp_path):
    distributed = pytest.importorskip("distributed")
    shutil.copytree(out, tmp_path / "out")
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        more = module.compare(
            folder,
            tmp_path / "out",
            **TINY | {"arms": ["logit-adjusted", "cb-loss"]},
            scheduler=cluster.scheduler_address,
        )
    assert list(more.table["arm"]) == ["original", "oversample", "logit-adjusted", "cb-loss"]
    assert more.to_dict()["arms"][2] == found.to_dict()["arms"][2]
