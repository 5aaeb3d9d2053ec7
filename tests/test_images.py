"""Image arrays and image sets, whatever they come from: one validator, one door."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pictures import write_folder

from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages, as_images, labelled
from gmaug.datasets.garden import GardenSettings
from gmaug.datasets.imbalance import (
    exponential_counts,
    groups_from_csv,
    split,
    split_rows,
)

PIXELS = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)


def test_lists_and_whole_numbers_become_uint8_and_bytes_stay():
    assert as_images(PIXELS) is not None
    assert np.shares_memory(as_images(PIXELS), PIXELS)
    for source in (PIXELS.astype(int), PIXELS.tolist(), list(PIXELS)):
        found = as_images(source)
        assert found.dtype == np.uint8
        assert np.array_equal(found, PIXELS)
    assert as_images(PIXELS[:, ::2]).flags.c_contiguous
    assert as_images(PIXELS[:0]).shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (PIXELS / 255, r"faces: float64, 0 to 1; give uint8, 0 to 255: .*255 \* faces"),
        (PIXELS.astype(int) - 1, "int64, -1 to 254"),
        (PIXELS[0], r"uint8 of shape \(8, 8, 3\); give uint8 \(n, height, width, 3\)"),
        ([PIXELS[0], PIXELS[0][:4]], "different sizes; resize"),
        (PIXELS > 3, "bool"),
    ],
)
def test_what_is_no_image_array_is_refused_in_one_line_with_the_remedy(given, says):
    with pytest.raises(ValueError, match=says) as error:
        as_images(given, name="faces")
    assert "\n" not in str(error.value)


def test_labelled_takes_an_array_with_labels_or_an_image_set():
    pixels, labels = labelled(PIXELS, [4, 7])
    assert np.array_equal(pixels, PIXELS)
    assert labels.tolist() == [4, 7]
    pixels, labels = labelled(ArrayImages(PIXELS, [1, 0]), size=4)
    assert pixels.shape == (2, 4, 4, 3)
    assert labels.tolist() == [1, 0]
    for source, y, says in (
        (PIXELS, None, "without labels"),
        (PIXELS, [1], "one each"),
        (PIXELS[:0], [], "no image"),
    ):
        with pytest.raises(ValueError, match=says):
            labelled(source, y, name="X")


def test_labels_of_an_array_are_its_classes_numbers():
    for labels, says in (
        ([0, -1], "a label is -1; with 2 classes give 0 to 1"),
        ([0, 2], "a label is 2"),
        ([0, 0.5], "labels are float64; give one whole number"),
        ([[0], [1]], r"shape \(2, 1\)"),
        (["0", "1"], "labels hold '0'"),
        ([float("nan"), 0], "float64"),
    ):
        with pytest.raises(ValueError, match=says):
            ArrayImages(PIXELS, labels, classes=["a", "b"])
    assert ArrayImages(PIXELS, [1.0, 0.0], classes=["a", "b"]).labels.tolist() == [1, 0]
    assert ArrayImages(PIXELS[:0], []).classes == ()
    with pytest.raises(ValueError, match="classes name 'a' twice"):
        ArrayImages(PIXELS, [0, 1], classes=["a", "a"])
    with pytest.raises(ValueError, match="a label is -1"):
        ArrayImages(PIXELS, [0, -1])


def test_open_images_takes_arrays_sets_and_other_super_classes(tmp_path):
    for source in (open_images(PIXELS, ["oak", "elm"]), open_images((PIXELS, ["oak", "elm"]))):
        assert source.classes == ("elm", "oak")
        assert source.labels.tolist() == [1, 0]
    named = open_images(PIXELS, [1, 0], classes=["x", "y"], hierarchy={"both": ("x", "y")})
    assert named.class_counts == {"x": 1, "y": 1}
    assert named.hierarchy.super_classes == ("both",)
    assert open_images(named) is named
    (tmp_path / "g.csv").write_text("super_class,sub_class\nl,x\nr,y\n")
    assert open_images(named, hierarchy=tmp_path / "g.csv").hierarchy.super_classes == ("l", "r")
    assert named.hierarchy.super_classes == ("both",), "the set that was given stays as it is"
    for wrong, error, says in (
        ({"source": PIXELS}, ValueError, "without labels"),
        ({"source": named, "labels": [0, 1]}, TypeError, "go with an array"),
        ({"source": named, "hierarchy": {"l": ["x"]}}, ValueError, "does not name 'y'"),
        ({"source": PIXELS, "labels": ["x", "z"], "classes": ["x", "y"]}, ValueError, "'z'"),
        ({"source": 3}, TypeError, "cannot open a int"),
        ({"source": "midle"}, FileNotFoundError, "no data set of that name; there are .*middle"),
    ):
        with pytest.raises(error, match=says):
            open_images(**wrong)


def test_torchvisions_image_folder(tmp_path):
    from gmaug.backend import torchvision

    torchvision()
    from torchvision.datasets import ImageFolder

    write_folder(tmp_path, {"b": 2, "a": 1})
    theirs, ours = open_images(ImageFolder(tmp_path)), open_images(tmp_path)
    assert (theirs.classes, theirs.labels.tolist()) == (ours.classes, ours.labels.tolist())
    assert np.array_equal(theirs.arrays(size=8), ours.arrays(size=8))


def test_hugging_faces_datasets(tmp_path):
    datasets = pytest.importorskip("datasets", reason="needs Hugging Face's datasets")
    write_folder(tmp_path, {"b": 2, "a": 1})
    ours = open_images(tmp_path)
    rows = {"image": [p.read_bytes() for p in ours.paths], "label": ours.labels.tolist(), "place": ["x"] * 3}
    rows["image"] = [{"bytes": data, "path": None} for data in rows["image"]]
    features = {
        "image": datasets.Image(),
        "label": datasets.ClassLabel(names=["a", "b"]),
        "place": datasets.Value("string"),
    }
    table = datasets.Dataset.from_dict(rows, features=datasets.Features(features))
    theirs = open_images(table)
    assert (theirs.classes, theirs.labels.tolist()) == (ours.classes, ours.labels.tolist())
    assert np.array_equal(theirs.arrays(size=8), ours.arrays(size=8))
    assert np.array_equal(theirs.subset([2, 0]).arrays(size=8), ours.arrays([2, 0], size=8))
    words = datasets.Dataset.from_dict(
        {"image": rows["image"], "label": ["oak", "elm 10", "elm 9"]},
        features=datasets.Features({"image": datasets.Image(), "label": datasets.Value("string")}),
    )
    assert open_images(words).classes == ("elm 9", "elm 10", "oak")
    assert open_images(words).labels.tolist() == [2, 1, 0]
    bad = datasets.Dataset.from_dict(
        {"image": [{"bytes": b"%!PS", "path": None}, None], "label": [0, 1]},
        features=datasets.Features({key: features[key] for key in ("image", "label")}),
    )
    reasons = [one.reason for one in open_images(bad).read(size=8)[2]]
    assert ["not an image" in reasons[0], reasons[1]] == [True, "holds no image"]
    with pytest.raises(ValueError, match="one ClassLabel column is needed, there is none"):
        open_images(table.remove_columns("label"))
    with pytest.raises(ValueError, match=r"splits \(train\); give one of them"):
        open_images(datasets.DatasetDict({"train": table}))


@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=60),
    st.lists(st.integers(1, 9), min_size=1, max_size=4),
    st.integers(0, 5),
)
def test_a_split_takes_its_share_of_every_class(labels, weights, seed):
    labels, shares = np.array(labels), np.array(weights) / sum(weights)
    parts = split_rows(labels, shares, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for c in np.unique(labels):
        n, found = (labels == c).sum(), np.array([(labels[rows] == c).sum() for rows in parts])
        assert n < len(shares) or (found >= 1).all()
        if (n * shares >= 1).all():
            assert (np.abs(found - n * shares) < 1).all()
    again = split_rows(labels, shares, seed=seed)
    assert all(np.array_equal(a, b) for a, b in zip(parts, again, strict=True))


@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 20)), min_size=1, max_size=80), st.integers(0, 5))
def test_a_group_stays_on_one_side(rows, seed):
    labels, groups = np.array([r[0] for r in rows]), [f"patient {r[1]}" for r in rows]
    parts = split_rows(labels, [0.7, 0.1, 0.2], groups=groups, seed=seed)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    sides = [{groups[row] for row in part} for part in parts]
    assert sum(map(len, sides)) == len(set(groups))
    largest = max(groups.count(one) for one in set(groups))
    for share, part in zip([0.7, 0.1, 0.2], parts, strict=True):
        assert len(part) <= share * len(rows) + 3 + largest


def test_groups_are_split_in_proportion_where_they_are_small():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 400, 2000)
    labels = np.where(rng.random(2000) < 0.9, groups % 3, rng.integers(0, 3, 2000))
    parts = split_rows(labels, [0.6, 0.2, 0.2], groups=groups.tolist(), seed=1)
    for share, rows in zip([0.6, 0.2, 0.2], parts, strict=True):
        assert np.abs(np.bincount(labels[rows]) / np.bincount(labels) - share).max() < 0.02
    assert not np.array_equal(
        parts[1], split_rows(labels, [0.6, 0.2, 0.2], groups=groups.tolist(), seed=2)[1]
    )


def test_splits_and_subsets_of_image_sets(tmp_path):
    write_folder(tmp_path, {"a": 6, "b": 4})
    images = open_images(tmp_path)
    (tmp_path / "meta.csv").write_text(
        "file,patient\n"
        + "".join(f"{p.parent.name}/{p.name},p{k // 2}\n" for k, p in enumerate(images.paths))
    )
    patients = groups_from_csv(images, tmp_path / "meta.csv", column="patient")
    assert patients.tolist() == [f"p{k // 2}" for k in range(10)]
    train, test = split(images, [0.5, 0.5], groups=patients, seed=0)
    assert not {p for p in train.paths if p in test.paths}
    assert sorted(train.class_counts.values()) + sorted(test.class_counts.values()) in (
        [2, 4, 2, 2],
        [2, 2, 2, 4],
    )
    for call, says in (
        (lambda: split(images, [0.5, 0.4]), "add up to 1"),
        (lambda: split(images, [0.5, 0.5], groups=["p"]), "1 names for 10 images"),
        (lambda: groups_from_csv(images, tmp_path / "meta.csv", column="lesion"), "no column lesion"),
        (lambda: groups_from_csv(open_images(PIXELS, [0, 1]), "x", column="y"), "holds no files"),
    ):
        with pytest.raises(ValueError, match=says):
            call()
    (tmp_path / "meta.csv").write_text("file,patient\na/0.png,p\n")
    with pytest.raises(ValueError, match=r"meta\.csv: no patient for 1\.png; add a row"):
        groups_from_csv(images, tmp_path / "meta.csv", column="patient")


def test_exponential_counts_are_the_gardens():
    counts = GardenSettings(largest=400, imbalance=8).train_counts
    assert exponential_counts(9, largest=400, imbalance=8) == sorted(counts.values(), reverse=True)
    assert exponential_counts(1, largest=7, imbalance=7) == [7]
    with pytest.raises(ValueError, match="imbalance=0"):
        exponential_counts(3, largest=5, imbalance=0)
