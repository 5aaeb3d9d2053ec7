"""The metric: Eq. 2 and 3 against naive loops, its error against simulation, its printed forms."""

import json
import math

import numpy as np
import pytest
from pictures import photographs, textures
from PIL import Image

from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import measure
from gmaug.similarity.designs import random_pairs
from gmaug.similarity.estimates import estimate, influence, jackknife_se
from gmaug.similarity.pixels import PixelStore
from gmaug.ssim import Convention, ssim

SMALL = Convention(name="small", size=16)


def toy(counts=(12, 9, 5), *, hierarchy=None):
    """Three classes; the second one's images are alike."""
    labels = np.repeat(np.arange(len(counts)), counts)
    images = textures(len(labels), 16)
    alike = labels == 1
    images[alike] = np.clip(images[alike][:1] // 1 + textures(int(alike.sum()), 16, seed=9) // 4, 0, 255)
    return ArrayImages(images, labels, classes=["a", "b", "c"], hierarchy=hierarchy, name="toy")


def test_random_pairs_are_different_images_and_every_pair_is_as_likely():
    pairs = random_pairs(5, 40_000, np.random.default_rng(0))
    assert (pairs[:, 0] != pairs[:, 1]).all()
    counts = np.bincount(pairs[:, 0] * 5 + pairs[:, 1], minlength=25).reshape(5, 5)
    off = counts[~np.eye(5, dtype=bool)]
    assert abs(off - 2000).max() < 5 * math.sqrt(2000)


def test_equations_2_and_3_by_a_naive_loop():
    images = toy()
    result = measure(images, convention=SMALL, seed=3, progress=False)
    streams = np.random.SeedSequence(3).spawn(4)
    members = [np.arange(26), *(np.flatnonzero(images.labels == k) for k in range(3))]
    means = []
    for stream, group in zip(streams, members, strict=True):
        chosen = group[random_pairs(len(group), 2 * len(group), np.random.default_rng(stream))]
        means.append(np.mean([ssim(images.images[i], images.images[j]) for i, j in chosen]))
    assert result.ssim_merge_cls.value == pytest.approx(means[0], abs=1e-6)
    assert [e.value for e in result.super_classes.values()] == pytest.approx(means[1:], abs=1e-6)
    assert result.ssim_sup_sub_cls.value == pytest.approx(max(means[1:]), abs=1e-6)
    assert result.argmax == "b"
    assert result.ssim_merge_cls.pairs == 52


def test_a_hierarchy_groups_the_classes():
    grouped = Hierarchy({"ab": ("a", "b"), "rest": ("c",)}, "test")
    result = measure(toy(), hierarchy=grouped, convention=SMALL, progress=False)
    assert list(result.super_classes) == ["ab", "rest"]
    assert result.super_classes["ab"].images == 21


def test_same_seed_same_bytes_whatever_the_threads():
    one = measure(toy(), convention=SMALL, seed=1, jobs=1, progress=False)
    two = measure(toy(), convention=SMALL, seed=1, jobs=3, progress=False)
    assert one.to_dict() == two.to_dict()
    assert one.to_dict() != measure(toy(), convention=SMALL, seed=2, progress=False).to_dict()


def test_a_class_of_one_image_has_no_value_and_is_not_the_largest():
    result = measure(toy((6, 4, 1)), convention=SMALL, progress=False)
    assert math.isnan(result.super_classes["c"].value)
    assert result.super_classes["c"].pairs == 0
    assert json.loads(json.dumps(result.to_dict(), allow_nan=False))["super_classes"]["c"]["value"] is None
    assert "not measured" in str(result)


@pytest.mark.parametrize("counts", [(1, 0, 0), (1, 1, 1)])
def test_too_few_images_are_an_error(counts):
    with pytest.raises(ValueError, match="two"):
        measure(toy(counts), convention=SMALL, progress=False)


def test_the_scratch_file_changes_nothing(monkeypatch):
    plain = measure(toy(), convention=SMALL, progress=False)
    monkeypatch.setattr("gmaug.similarity.PixelStore", lambda n: PixelStore(n, memory=100))
    monkeypatch.setattr("gmaug.ssim.engine.HELD_BYTES", 5 * 7 * 256)
    assert measure(toy(), convention=SMALL, progress=False).to_dict() == plain.to_dict()


def test_images_of_different_sizes_need_a_convention_with_a_size():
    class Mixed(ArrayImages):
        def image(self, index, *, size):
            return Image.new("L", (20 + index, 20))

    images = Mixed(np.zeros((3, 8, 8), np.uint8), [0, 0, 0])
    with pytest.raises(ValueError, match="with a size"):
        measure(images, convention=Convention(size=None), progress=False)


def test_it_prints_well():
    result = measure(toy(), convention=SMALL, progress=False)
    frame = result.to_frame()
    assert list(frame.index[:3]) == sorted(frame.index[:3], key=lambda name: -frame.ssim[name])
    assert frame.images.iloc[-1] == 26
    assert "SSIM-supSubCls" in str(result)
    assert "<table" in result._repr_html_()


def test_the_error_is_that_of_images_not_of_pairs():
    """Simulated pair values a_i + a_j + noise, whose mean's true spread is known by repetition."""
    rng = np.random.default_rng(0)
    n, values, errors, naive, covered = 60, [], [], [], 0
    for _ in range(400):
        own, pairs = rng.normal(0, 1, n), random_pairs(n, 2 * n, rng)
        scores = own[pairs].sum(axis=1) + rng.normal(0, 1, len(pairs))
        e = estimate(pairs, scores, n)
        values.append(e.value)
        errors.append(e.se)
        naive.append(e.se_pairs)
        covered += e.low <= 0 <= e.high
    truth = np.std(values)
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(truth, rel=0.1)
    assert np.mean(naive) < 0.75 * truth
    assert 0.91 < covered / 400 < 0.98


def test_the_closed_form_is_the_jackknife_but_for_the_pairs_own_part():
    rng = np.random.default_rng(0)
    n = 40
    pairs = random_pairs(n, 3 * n, rng)
    scores = rng.normal(0, 1, n)[pairs].sum(axis=1)
    left = [scores[(pairs != i).all(axis=1)].mean() for i in range(n)]
    moved = scores.mean() - np.array(left)
    # Leaving an image out divides by the pairs that remain: a factor near 1 for each image.
    shares = np.bincount(pairs.ravel(), minlength=n) / len(pairs)
    assert influence(pairs, scores, n) == pytest.approx(moved * (1 - shares), abs=1e-12)
    assert jackknife_se(pairs, scores, n) < math.sqrt((moved**2).sum())


def test_two_images_give_a_value_and_no_error():
    e = estimate(np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5]), 2)
    assert e.value == 0.5
    assert math.isnan(e.se)


# Table 5, and how far the copies at hand may stand from it: flowers is recompressed, scene a sample.
@pytest.mark.parametrize(
    ("name", "merged", "largest", "argmax", "tolerance"),
    [("flowers", 0.1319, 0.1652, "dandelion", 0.012), ("scene", 0.1462, 0.2625, "mountain", 0.015)],
)
def test_table_5_on_photographs(name, merged, largest, argmax, tolerance):
    result = measure(open_images(photographs(name)), progress=False)
    assert result.argmax == argmax
    assert result.ssim_merge_cls.value == pytest.approx(merged, abs=tolerance)
    assert result.ssim_sup_sub_cls.value == pytest.approx(largest, abs=tolerance)
