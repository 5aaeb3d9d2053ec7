"""The paper's data sets by name, on small stand-ins laid out as their sources lay them out."""

import json

import pytest
from pictures import photographs, textures, write_folder
from PIL import Image

from gmaug.datasets import open_images
from gmaug.datasets.imbalance import groups_from_csv, split
from gmaug.datasets.real import REAL, SETS


def test_every_set_says_where_it_is_from_and_what_it_holds(tmp_path):
    for name, entry in SETS.items():
        assert entry.url.startswith("https://")
        assert entry.licence
        with pytest.raises(FileNotFoundError) as error:
            open_images(name, root=tmp_path)
        assert entry.obtain in str(error.value)
        assert entry.url in str(error.value)
    with pytest.raises(FileNotFoundError, match="there are flowers"):
        open_images("flower", root=tmp_path)


def test_published_counts():
    assert {name: sum(entry.counts.values()) for name, entry in REAL.items()} == {
        "flowers": 4317, "scene": 17034, "utkface": 23705, "inat2019-birds": 47489, "inat2019-insects": 40781,
        "inat2019-fungi": 2248, "inat2019-reptiles": 14396, "inat2019-amphibians": 3882,
    }  # fmt: skip
    classes = {name: len(entry.counts) for name, entry in REAL.items()}
    assert list(classes.values()) == [5, 6, 5, 126, 141, 12, 39, 10]


def test_utkface_by_its_file_names(tmp_path):
    folder = tmp_path / "UTKFace"
    folder.mkdir()
    names = [
        "1_0_2_20161219140623097.jpg.chip.jpg", "100_1_0_20170112213500903.jpg.chip.jpg",
        "24_1_4_20170117173500000.jpg.chip.jpg", "61_1_20170109142408075.jpg.chip.jpg", "5_0_7_2.jpg",
    ]  # fmt: skip
    for name, pixels in zip(names, textures(5, 20), strict=True):
        Image.fromarray(pixels).save(folder / name)
    faces = open_images("utkface", root=tmp_path)
    assert faces.classes == ("White", "Black", "Asian", "Indian", "Others")
    assert [(p.name, faces.classes[k]) for p, k in zip(faces.paths, faces.labels, strict=True)] == [
        (names[1], "White"), (names[0], "Asian"), (names[2], "Others"),
    ]  # fmt: skip
    assert len(faces.skipped) == 2


def test_scene_as_kaggle_packs_it(tmp_path):
    folder = tmp_path / "scene" / "train"
    folder.mkdir(parents=True)
    for k, pixels in enumerate(textures(3, 20)):
        Image.fromarray(pixels).save(folder / f"{k}.jpg")
    (tmp_path / "scene" / "train.csv").write_text("image_name,label\n2.jpg,5\n0.jpg,3\n1.jpg,5\n")
    scene = open_images("scene", root=tmp_path)
    assert [p.name for p in scene.paths] == ["0.jpg", "1.jpg", "2.jpg"]
    assert [scene.classes[k] for k in scene.labels] == ["mountain", "street", "street"]


def test_scene_and_flowers_as_class_folders(tmp_path):
    write_folder(tmp_path / "scene", {"sea": 2, "forest": 1})
    assert open_images("scene", root=tmp_path).class_counts == {"forest": 1, "sea": 2}
    write_folder(tmp_path / "flowers" / "flowers", {"rose": 2})
    assert open_images("flowers", root=tmp_path).class_counts == {"rose": 2}


def test_inaturalist_lies_as_torchvision_lays_it(tmp_path):
    from gmaug.backend import torchvision

    torchvision()
    from torchvision.datasets import INaturalist

    root = tmp_path / "inat2019"
    write_folder(root / "2019", {"Birds/0": 3, "Birds/1": 2, "Fungi/2": 1})
    ours, theirs = open_images("inat2019-birds", root=tmp_path), INaturalist(root, version="2019")
    assert ours.class_counts == {"0": 3, "1": 2}
    assert {(ours.classes[k], p.name) for p, k in zip(ours.paths, ours.labels, strict=True)} == {
        (str(k), name) for k, name in theirs.index if theirs.all_categories[k].startswith("Birds")
    }
    files = [{"file_name": f"train_val2019/Birds/{name}"} for name in ("0/0.png", "0/2.png", "1/1.png")]
    (root / "train2019.json").write_text(json.dumps({"images": files}))
    assert open_images("inat2019-birds", root=tmp_path).class_counts == {"0": 2, "1": 1}


def test_other_sets_lie_in_class_folders(tmp_path):
    for name, folder in (("cifar10", "cifar10/train"), ("cifar10-test", "cifar10/test"), ("fish", "fish"),
                         ("ham10000", "ham10000"), ("lfw", "lfw")):  # fmt: skip
        write_folder(tmp_path / folder, {"a": 2, "b": 1})
        (tmp_path / folder / "SOURCE.md").write_text("words")
        found = open_images(name, root=tmp_path)
        assert found.class_counts == {"a": 2, "b": 1}
        assert found.name == SETS[name].title


def test_the_copies_of_other_sets_here():
    lesions = open_images("ham10000", root=photographs("ham10000").parent)
    assert (len(lesions), len(lesions.classes)) == (7470, 7)
    groups = groups_from_csv(lesions, photographs("ham10000") / "meta.csv", column="lesion_id")
    train, test = split(lesions, [0.8, 0.2], groups=groups.tolist())
    assert abs(test.class_counts["df"] - 0.2 * 73) < 1
    assert len(train) + len(test) == 7470
    assert len(open_images("lfw", root=photographs("lfw").parent).classes) == 158
    assert len(open_images("fish", root=photographs("fish").parent).classes) == 16


def test_the_copy_of_flowers_here_has_the_published_counts():
    assert open_images(photographs("flowers")).class_counts == dict(REAL["flowers"].counts)
    assert set(open_images(photographs("scene")).class_counts) == set(REAL["scene"].counts)
