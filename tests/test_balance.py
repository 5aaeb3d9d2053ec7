"""balance: a folder that torchvision reads, balanced to the image; killed and resumed; odd names."""

import json
import os
from collections import Counter

import numpy as np
import pandas as pd
import pytest
from blobs import blobs
from own_folders import alone, killed_and_finished, make_folder
from PIL import Image

import gmaug
from gmaug import backend, balance as module
from gmaug.__main__ import main

TINY = {"size": 16, "steps": 4, "kimg": 0.1}


def tiny(folder, out):
    os.environ["GMAUG_PROGRESS"] = os.devnull
    module.balance(folder, out, **TINY)


def tree(folder):
    """Every file below a folder with its bytes, without those that hold how long a training took."""
    found = {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if name.suffix != ".safetensors"}


def read(folder):
    """Images of each class as torchvision's ImageFolder sees them."""
    backend.torchvision()
    from torchvision.datasets import ImageFolder

    images = ImageFolder(folder)
    assert all(image.mode == "RGB" for image, _ in images)
    return Counter(images.classes[label] for label in images.targets)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("images") / "photos")


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("out") / "balanced"


@pytest.fixture(scope="module")
def found(folder, out):
    return gmaug.balance(folder, out, **TINY)


def test_it_is_balanced_to_the_image(found, folder, out):
    assert read(out) == {"c0": 24, "c1": 24, "c2": 24}
    names = {"manifest.csv", "balance.json", "report.html", "generator.safetensors", "generator.json"}
    names |= {"classifier.safetensors", ".gmaug-balance.json", "c0", "c1", "c2"}
    assert {path.name for path in out.iterdir()} == names
    assert os.path.samefile(folder / "c2" / "036.png", out / "c2" / "036.png")
    assert found.to_dict() == json.loads((out / "balance.json").read_text(encoding="utf-8"))
    assert "memorised" in (out / "report.html").read_text(encoding="utf-8")


def test_the_manifest_says_where_each_image_comes_from(found, out):
    table = found.manifest()
    assert sorted(table["path"]) == sorted(p.relative_to(out).as_posix() for p in out.glob("c*/*.png"))
    made = table[table["synthetic"] == 1]
    assert len(made) == 28
    assert made["path"].iloc[0] == "c1/gm_000001.png"
    assert made["score"].between(0, 1).all()
    assert (made["round"] == found.best_round).all()
    one = made.iloc[0]
    near, image = (
        np.asarray(Image.open(out / name), float) for name in (one["nearest_original"], one["path"])
    )
    assert one["distance"] == pytest.approx(np.sqrt(np.mean((near - image) ** 2)), abs=0.01)


def test_results_are_objects(found):
    table = found.to_frame()
    assert table["wanted"].tolist() == [0, 12, 16]
    assert (table["accepted"] + table["filled"]).tolist() == [0, 12, 16]
    assert "c2" in found._repr_html_()
    assert len(found.figure().axes) == 1
    assert "44 originals and 28 generated" in str(found)


def test_a_finished_folder_is_read_at_once(found, folder, out):
    said = []
    again = module.balance(folder, out, **TINY, say=said.append)
    assert said == [f"{out} is finished already"]
    assert again.to_dict() == found.to_dict()
    pd.testing.assert_frame_equal(again.to_frame(), found.to_frame())


def test_killed_at_five_moments_it_ends_the_same(folder, tmp_path):
    took = alone(tiny, folder, tmp_path / "whole" / "out")
    code, killed = killed_and_finished(tiny, folder, tmp_path / "killed" / "out", longest=0.6 * took)
    assert code == 0
    assert killed
    after, whole = (tree(tmp_path / one / "out") for one in ("killed", "whole"))
    assert after.keys() == whole.keys()
    different = [name for name in after if after[name] != whole[name]]
    assert [str(name) for name in different] == ["balance.json"]  # it names the folder


def test_a_trained_generator_will_do(found, folder, out, tmp_path):
    result = module.balance(
        folder, tmp_path / "out", size=16, steps=4, from_generator=out, target=26, select=False
    )
    assert read(tmp_path / "out") == {"c0": 26, "c1": 26, "c2": 26}
    assert np.isnan(result.manifest()["score"]).all()


def test_images_made_elsewhere_will_do(folder, tmp_path):
    bank = make_folder(tmp_path / "bank", (4, 20, 20), seed=1)
    module.balance(folder, tmp_path / "out", size=16, steps=4, from_generator=bank)
    assert set(read(tmp_path / "out").values()) == {24}


def test_odd_names_and_formats(tmp_path):
    names = ["a, b", "line\nbreak", os.fsdecode(b"caf\xe9")]
    folder = make_folder(tmp_path / "photos", (9, 6, 4), names=names)
    (folder / names[0] / "000.png").rename(folder / names[0] / "gm_000001.png")
    first = sorted((folder / names[1]).iterdir())[0]
    Image.open(first).save(folder / names[1] / "still.gif")
    first.unlink()
    (folder / names[2] / "broken.jpg").write_bytes(b"\xff\xd8 no")
    result = module.balance(folder, tmp_path / "out", size=16, steps=2, from_generator=folder)
    assert set(read(tmp_path / "out").values()) == {9}
    assert (tmp_path / "out" / names[1] / "still.gif.png").is_file()
    assert any("broken.jpg" in one for one in result.warnings)
    assert len(result.manifest()) == 27


def test_arrays_and_super_classes(tmp_path):
    images, labels = blobs([9, 6, 4], seed=0)
    bank = make_folder(tmp_path / "bank", (4, 20, 20), names=["0", "1", "2"])
    gmaug.balance(images, tmp_path / "out", labels=labels, size=16, steps=2, from_generator=bank)
    assert set(read(tmp_path / "out").values()) == {9}
    make_folder(tmp_path / "deep" / "warm", (9, 6))
    make_folder(tmp_path / "deep" / "cold", (0, 0, 4))
    bank = make_folder(tmp_path / "bank2", (4, 20, 20))
    module.balance(tmp_path / "deep", tmp_path / "out2", size=16, steps=2, from_generator=bank)
    assert read(tmp_path / "out2") == {"c0": 9, "c1": 9, "c2": 9}
    assert gmaug.open_images(tmp_path / "out2").hierarchy.super_of("c2") == "cold"


def test_bad_input_is_one_line(capsys, folder, found, out, tmp_path):
    def bad(*words):
        assert main(["balance", *map(str, words)]) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    new = tmp_path / "new"
    assert "lies inside" in bad(folder, folder / "out", "--size", 16)
    assert "something else" in bad(folder, folder.parent, "--size", 16)
    assert "other images or settings" in bad(folder, out, "--size", 16, "--steps", 9)
    assert "target='many'" in bad(folder, new, "--target", "many")
    assert "alpha=3.0" in bad(folder, new, "--alpha", 3)
    assert "16 px" in bad(folder, new, "--size", 32, "--from-generator", out)
    two = make_folder(tmp_path / "two", (5, 5), seed=2)
    assert "draws 3 classes (c0, c1, c2)" in bad(two, new, "--size", 16, "--from-generator", out)
    (tmp_path / "file").write_text("")
    assert "Not a directory" in bad(folder, tmp_path / "file", "--size", 16, "--from-generator", out)
    assert not new.exists()


def test_a_full_disk_loses_nothing(capsys, folder, out, found, tmp_path, monkeypatch):
    calls = []

    def full(*given):
        calls.append(given)
        if len(calls) > 5:
            raise OSError(28, "No space left on device")
        return put(*given)

    put = module._put
    monkeypatch.setattr(module, "_put", full)
    words = ["balance", str(folder), str(tmp_path / "out"), "--size", "16", "--steps", "4"]
    words += ["--from-generator", str(out)]
    assert main(words) == 2
    assert "No space left" in capsys.readouterr().err
    monkeypatch.setattr(module, "_put", put)
    assert main(words) == 0
    assert set(read(tmp_path / "out").values()) == {24}
