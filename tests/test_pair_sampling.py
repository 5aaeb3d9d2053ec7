"""Samplings of pairs: what each promises, and the measurements made with them."""

import math
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pictures import textures, write_folder

from gmaug.datasets.base import ArrayImages
from gmaug.datasets.folder import NO_IMAGE, open_folder
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import all_pairs, estimate, measure, pair_sampling, random_pairs, ring_pairs
from gmaug.ssim import Convention, ssim

SMALL = Convention(name="small", size=16)


def toy(counts=(14, 11, 6), *, hierarchy=None):
    labels = np.repeat(np.arange(len(counts)), counts)
    shuffled = np.random.default_rng(0).permutation(labels)
    names = [chr(97 + k) for k in range(len(counts))]
    return ArrayImages(textures(len(labels), 16), shuffled, classes=names, hierarchy=hierarchy, name="toy")


def sets(pairs):
    return [frozenset(map(int, pair)) for pair in pairs]


@pytest.mark.parametrize("name", ["", "n", "0n", "two", "2", "balanced-4n", "-2n"])
def test_wrong_names(name):
    with pytest.raises(ValueError, match="unknown; use '2n'"):
        pair_sampling(name)


@pytest.mark.parametrize("n", range(6))
def test_few_images(n):
    assert len(random_pairs(n, 2 * n, np.random.default_rng(0))) == (2 * n if n > 1 else 0)
    assert sorted(map(sorted, sets(all_pairs(n)))) == [list(c) for c in combinations(range(n), 2)]
    assert set(sets(ring_pairs(n))) == set(sets(all_pairs(n)))


def test_too_many_pairs_are_an_error():
    with pytest.raises(ValueError, match="balanced"):
        all_pairs(10_000)


@given(n=st.integers(0, 40))
def test_in_a_ring_each_image_is_in_four_pairs_and_no_pair_comes_twice(n):
    pairs = ring_pairs(n)
    assert len(set(sets(pairs))) == len(pairs)
    if n > 5:
        assert (np.bincount(pairs.ravel()) == 4).all()


def test_balanced_beats_random_at_the_same_number_of_pairs():
    rng = np.random.default_rng(0)
    n, spread = 50, {"random": [], "balanced": []}
    errors = []
    for _ in range(500):
        own = rng.normal(0, 1, n)
        drawn = {"random": random_pairs(n, 2 * n, rng), "balanced": rng.permutation(n)[ring_pairs(n)]}
        for kind, pairs in drawn.items():
            scores = own[pairs].sum(axis=1) + rng.normal(0, 0.5, len(pairs))
            spread[kind].append(scores.mean())
            if kind == "balanced":
                errors.append(estimate(pairs, scores, n).se)
    assert np.std(spread["balanced"]) < 0.95 * np.std(spread["random"])
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(spread["balanced"]), rel=0.1)


def test_all_pairs_is_the_mean_over_all_and_needs_no_luck():
    images = toy()
    result = measure(images, convention=SMALL, pairs="all", progress=False)
    values = {
        pair: ssim(images.images[pair[0]], images.images[pair[1]]) for pair in combinations(range(31), 2)
    }
    assert result.ssim_merge_cls.value == pytest.approx(np.mean(list(values.values())), abs=1e-7)
    assert result.ssim_merge_cls.se_pairs == 0
    for k, name in enumerate("abc"):
        own = [v for (i, j), v in values.items() if images.labels[i] == images.labels[j] == k]
        assert result.super_classes[name].value == pytest.approx(np.mean(own), abs=1e-7)
        assert result.super_classes[name].pairs == len(own)


def test_every_design_aims_at_the_same_number():
    images = toy((40, 30))
    truth = measure(images, convention=SMALL, pairs="all", progress=False)
    for pairs in ("2n", "60n", "balanced"):
        result = measure(images, convention=SMALL, pairs=pairs, progress=False)
        for name in ("a", "b"):
            e = result.super_classes[name]
            assert abs(e.value - truth.super_classes[name].value) <= 4 * e.se_pairs


def test_balanced_decodes_each_image_once_and_in_small_chunks(tmp_path, monkeypatch):
    write_folder(tmp_path, {"x/a": 30, "x/b": 20, "y/c": 25})
    (tmp_path / "y" / "c" / "bad.png").write_text("no")
    seen = []
    images = open_folder(tmp_path)
    whole = measure(images, convention=SMALL, pairs="balanced", progress=False)
    monkeypatch.setattr("gmaug.similarity.CHUNK", 8)
    plain = images.opened
    monkeypatch.setattr(images, "opened", lambda i, size: (seen.append(i), plain(i, size=size))[1])
    result = measure(images, convention=SMALL, pairs="balanced", jobs=1, progress=False)
    assert sorted(seen) == list(range(76))
    assert [s.reason for s in result.skipped] == [NO_IMAGE]
    assert result.ssim_merge_cls.pairs == 150
    assert result.super_classes["x"].pairs == 100
    assert result.to_dict() == whole.to_dict()


def test_target_se_draws_until_it_is_reached():
    images = toy((60, 50))
    free = measure(images, convention=SMALL, progress=False)
    target = 0.9 * free.super_classes["b"].se
    result = measure(images, convention=SMALL, target_se=target, progress=False)
    assert result.super_classes["b"].pairs > free.super_classes["b"].pairs
    for name, e in {"all classes": result.ssim_merge_cls, **result.super_classes}.items():
        assert (name in result.missed) == (e.se > target)


def test_target_se_gives_up_when_only_more_images_would_help():
    result = measure(toy((12, 10)), convention=SMALL, target_se=1e-9, progress=False)
    assert result.ssim_merge_cls.se_pairs <= 0.2 * result.ssim_merge_cls.se
    found = result.to_dict()["target_se"]
    assert not found["met"]
    assert found["missed"]["a"] == "only more images would lower it"
    assert "not met by all classes (only more images would lower it)" in str(result)


def test_whether_target_se_was_met_is_said():
    result = measure(toy((60, 50)), convention=SMALL, target_se=0.5, progress=False)
    assert result.to_dict()["target_se"] == {"target": 0.5, "met": True, "missed": {}}
    assert "0.5: met by every set" in str(result)
    assert "target_se" not in measure(toy(), convention=SMALL, progress=False).to_dict()


@pytest.mark.parametrize("options", [{"target_se": 0}, {"target_se": 0.1, "pairs": "all"}])
def test_wrong_settings(options):
    with pytest.raises(ValueError, match="target_se"):
        measure(toy(), convention=SMALL, progress=False, **options)


def test_pairs_across_sub_classes_are_the_second_reading():
    grouped = Hierarchy({"ab": ("a", "b"), "c": ("c",)}, "test")
    images = toy(hierarchy=grouped)
    images.images[images.labels == 0] = textures(1, 16, seed=5)[..., None]  # one picture many times
    result = measure(images, convention=SMALL, pairs="all", progress=False)
    assert set(result.cross_sub_class) == {"ab"}
    across = [
        ssim(images.images[i], images.images[j])
        for i, j in combinations(range(31), 2)
        if {images.labels[i], images.labels[j]} == {0, 1}
    ]
    assert result.cross_sub_class["ab"].value == pytest.approx(np.mean(across), abs=1e-7)
    assert result.cross_sub_class["ab"].value < result.super_classes["ab"].value - 0.1
    assert math.isnan(result.to_frame().loc["c", "cross_sub_class"])
