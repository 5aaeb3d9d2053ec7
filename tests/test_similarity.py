"""The metric: Eq. 2 and 3 against naive loops, its error against simulation, its printed forms."""

import json
import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from pictures import photographs, textures, write_folder
from PIL import Image

from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import all_pairs, estimate, left_out, measure, random_pairs, ring_pairs
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


@pytest.mark.parametrize("border", ["valid", "reflect"])
def test_equations_2_and_3_by_a_naive_loop(border):
    images, convention = toy((12, 9, 6)), replace(SMALL, border=border)
    result = measure(images, convention=convention, seed=3, progress=False)
    streams = np.random.SeedSequence(3).spawn(4)
    members = [np.arange(27), *(np.flatnonzero(images.labels == k) for k in range(3))]
    means = []
    for stream, group in zip(streams, members, strict=True):
        chosen = group[random_pairs(len(group), 2 * len(group), np.random.default_rng(stream))]
        means.append(np.mean([ssim(*images.images[pair], convention=convention) for pair in chosen]))
    assert result.ssim_merge_cls.value == pytest.approx(means[0], abs=1e-6)
    assert [e.value for e in result.super_classes.values()] == pytest.approx(means[1:], abs=1e-6)
    assert result.ssim_sup_sub_cls.value == pytest.approx(max(means[1:]), abs=1e-6)
    assert result.argmax == "b"
    assert result.ssim_merge_cls.pairs == 54


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


@pytest.mark.parametrize("counts", [(1, 0, 0), (1, 1, 1), (2, 2, 2)])
def test_too_few_images_are_an_error(counts):
    with pytest.raises(ValueError, match="three usable images"):
        measure(toy(counts), convention=SMALL, progress=False)


def test_the_scratch_file_changes_nothing(monkeypatch):
    plain = measure(toy(), convention=SMALL, progress=False)
    monkeypatch.setattr("gmaug.similarity.STORE_BYTES", 100)
    monkeypatch.setattr("gmaug.ssim.HELD_BYTES", 5 * 7 * 256)
    assert measure(toy(), convention=SMALL, progress=False).to_dict() == plain.to_dict()


def test_images_of_different_sizes_need_a_convention_with_a_size():
    class Mixed(ArrayImages):
        def opened(self, index, *, size):
            return nullcontext(Image.new("L", (20 + index, 20)))

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


def drawn(n, pairs, of_images, of_pairs, rng):
    """Scores a_i + a_j + e_ij of the pairs, with these standard deviations of the parts."""
    own = rng.normal(0, 1, (n, n))
    own = np.triu(own, 1) + np.triu(own, 1).T
    return of_images * rng.normal(0, 1, n)[pairs].sum(axis=1) + of_pairs * own[pairs[:, 0], pairs[:, 1]]


SAMPLINGS = {
    "2n": lambda n, rng: random_pairs(n, 2 * n, rng) if n > 5 else all_pairs(n),
    "balanced": lambda n, rng: rng.permutation(n)[ring_pairs(n)],
    "all": lambda n, rng: all_pairs(n),
}


@pytest.mark.parametrize("sampling", SAMPLINGS)
@pytest.mark.parametrize("n", [3, 5, 8, 15, 60])
@pytest.mark.parametrize(("of_images", "of_pairs"), [(1, 0), (1, 1), (0.3, 1)])
def test_the_stated_error_is_the_true_one(sampling, n, of_images, of_pairs):
    """Means of repeated samples scatter as much as is said, and intervals hold the truth as often."""
    rng, runs = np.random.default_rng(n), 600
    found = []
    for _ in range(runs):
        pairs = SAMPLINGS[sampling](n, rng)
        found.append(estimate(pairs, drawn(n, pairs, of_images, of_pairs, rng), n))
    truth = np.sqrt(np.mean([e.value**2 for e in found]))
    stated = np.sqrt(np.mean([e.se**2 for e in found]))
    # Where few images leave a part's variance uncertain it is cut off at zero, so the error errs upwards.
    most = {3: 2.0, 5: 1.35, 8: 1.25}.get(n, 1.12)
    assert 0.9 < stated / truth < most
    assert np.mean([e.low <= 0 <= e.high for e in found]) > 0.88


def test_an_error_over_pairs_is_too_small():
    rng, n = np.random.default_rng(0), 60
    found = []
    for _ in range(300):
        pairs = random_pairs(n, 2 * n, rng)
        found.append(estimate(pairs, drawn(n, pairs, 1, 1, rng), n))
    assert np.mean([e.se_pairs for e in found]) < 0.75 * np.std([e.value for e in found])


def test_leaving_out_is_exact():
    rng, n = np.random.default_rng(0), 9
    pairs = random_pairs(n, 2 * n, rng)
    scores = rng.normal(0, 1, len(pairs))
    expected = [scores.mean() - scores[(pairs != i).all(axis=1)].mean() for i in range(n)]
    assert left_out(pairs, scores, n) == pytest.approx(expected, abs=1e-12)


def test_two_images_give_a_value_and_no_error():
    e = estimate(np.array([[0, 1], [1, 0]]), np.array([0.5, 0.5]), 2)
    assert e.value == 0.5
    assert math.isnan(e.se)


def test_two_identical_files_do_not_win_the_maximum():
    images = toy((6, 5, 2))
    images.images[-1] = images.images[-2]
    result = measure(images, convention=SMALL, progress=False)
    assert result.super_classes["c"].value == 1
    assert result.argmax in "ab"
    assert not math.isnan(result.ssim_sup_sub_cls.low)
    assert set(result.argmax_probability) == {"a", "b"}
    assert "too few images to be the largest (it takes 3): c (2)" in str(result)


def test_identical_images_of_three_win_with_certainty():
    images = toy((6, 5, 3))
    images.images[-3:] = images.images[-1]
    result = measure(images, convention=SMALL, progress=False)
    assert result.argmax == "c"
    assert result.argmax_probability["c"] == pytest.approx(1)


def test_few_images_give_all_their_pairs_once():
    result = measure(toy((5, 4, 3)), convention=SMALL, progress=False)
    assert [e.pairs for e in result.super_classes.values()] == [10, 6, 3]
    assert all(e.se_pairs == 0 and e.se > 0 for e in result.super_classes.values())


def test_a_path_and_an_array_are_taken_as_they_are(tmp_path):
    images = toy()
    by_array = measure(images.images, images.labels, convention=SMALL, progress=False)
    assert by_array.ssim_merge_cls == measure(images, convention=SMALL, progress=False).ssim_merge_cls
    write_folder(tmp_path, {"a": 4, "b": 5})
    assert measure(str(tmp_path), convention=SMALL, progress=False).images == 9
    with pytest.raises(ValueError, match="give labels="):
        measure(images.images)
    with pytest.raises(TypeError, match="has its own"):
        measure(images, images.labels)


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
