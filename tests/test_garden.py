"""The garden: the same bytes for a seed, disjoint draws, one picture at every size, a knob that works."""

import hashlib
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image

from gmaug.datasets.base import Splits
from gmaug.datasets.garden import (
    FIRST_GARDENS,
    GARDENS,
    Garden,
    GardenSettings,
    individuals,
    more,
    plant,
)
from gmaug.datasets.garden_drawing import BODY_PLANS, draw

SMALL = GardenSettings(shared=0.3, largest=8, imbalance=4, validation=2, test=3)


def digests(images: Garden) -> set[bytes]:
    return {image.tobytes() for image in images.arrays(size=16)}


def grey(images: Garden, size: int) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(a).convert("L")) for a in images.arrays(size=size)])


def test_same_seed_same_bytes_and_another_seed_other_images():
    first, again, other = (plant(SMALL, seed=seed) for seed in (3, 3, 4))
    for split in ("train", "validation", "test"):
        a, b, c = (getattr(splits, split).arrays(size=24) for splits in (first, again, other))
        assert a.dtype == np.uint8
        assert np.array_equal(a, b)
        assert not any(np.array_equal(x, y) for x, y in zip(a, c, strict=True))


def test_an_image_does_not_depend_on_which_were_drawn_before_it():
    train = plant(SMALL, seed=1).train
    whole = train.arrays(size=20)
    order = np.random.default_rng(0).permutation(len(train))[:7]
    assert np.array_equal(train.arrays(order, size=20), whole[order])
    assert np.array_equal(train.subset(order).arrays(size=20), whole[order])
    assert np.array_equal(np.asarray(train.image(int(order[0]), size=20)), whole[order[0]])


def test_no_image_stands_in_two_splits_nor_in_further_images():
    splits = plant(SMALL, seed=5)
    sets = [splits.train, splits.validation, splits.test]
    counts = dict.fromkeys(splits.train.classes, 4)
    sets += [more(SMALL, counts, seed=seed) for seed in (5, 6)]
    sets += [plant(SMALL, seed=6).train]
    total = sum(len(images) for images in sets)
    assert len(set().union(*(set(images.keys) for images in sets))) == total
    assert len(set().union(*(digests(images) for images in sets))) == total


def test_counts_are_as_promised():
    garden = GardenSettings(shared=0.2, largest=40, imbalance=10, validation=3, test=4)
    splits = plant(garden, seed=0)
    assert splits.train.class_counts == garden.train_counts
    assert set(splits.validation.class_counts.values()) == {3}
    assert set(splits.test.class_counts.values()) == {4}
    counts = sorted(garden.train_counts.values())
    assert (counts[-1], counts[0]) == (40, 4)
    ratios = np.array(counts[1:]) / np.array(counts[:-1])
    assert np.abs(ratios - 10 ** (1 / 8)).max() < 0.2  # rounding moves a count of 4 by an eighth
    wanted = {"anemone": 2, "bunting": 1}
    assert {k: n for k, n in more(garden, wanted, seed=0).class_counts.items() if n} == wanted


def test_every_super_class_has_classes_of_head_and_tail():
    garden = FIRST_GARDENS["garden-1"]
    ranked = sorted(garden.train_counts, key=garden.train_counts.get)
    for members in garden.hierarchy.groups.values():
        assert set(members) & set(ranked[:3])
        assert set(members) & set(ranked[-3:])


def test_labels_and_hierarchy_agree():
    splits = plant(GardenSettings(shared=0.5, largest=9, imbalance=2), seed=0)
    assert isinstance(splits, Splits)
    train = splits.train
    assert train.classes == train.hierarchy.sub_classes
    assert train.hierarchy.groups == {name: tuple(marks) for name, (_, marks) in BODY_PLANS.items()}
    members = train.hierarchy.members(train.labels, train.classes)
    assert sorted(np.concatenate(list(members.values()))) == list(range(len(train)))


def test_the_gardens_differ_in_their_knobs_alone():
    for gardens, knobs in ((FIRST_GARDENS, {"shared"}), (GARDENS, {"shared", "contrast"})):
        settings = [asdict(garden) for garden in gardens.values()]
        differ = {key for key in settings[0] if len({one[key] for one in settings}) > 1}
        assert differ == knobs
    assert list(FIRST_GARDENS) == [f"garden-{k}" for k in range(1, 9)]
    assert FIRST_GARDENS["garden-4"] == GardenSettings()
    likeness, mark = (
        {name: getattr(garden, key) for name, garden in GARDENS.items()} for key in ("shared", "contrast")
    )
    assert likeness["unlike-faint"] == likeness["unlike-bold"] < likeness["middle"]
    assert likeness["middle"] < likeness["alike-faint"] == likeness["alike-bold"]
    assert (
        mark["unlike-faint"]
        == mark["alike-faint"]
        < mark["middle"]
        < mark["unlike-bold"]
        == mark["alike-bold"]
    )


def test_small_and_large_drawings_show_one_picture():
    # They cannot be equal: the large one holds octaves of noise beyond the small one's pixels, and
    # thin parts (legs, beaks) are blended differently. Another image of the class is far below.
    garden = FIRST_GARDENS["garden-1"]
    images = more(garden, dict.fromkeys(garden.hierarchy.sub_classes, 2), seed=2)
    large = images.arrays(size=224).reshape(len(images), 32, 7, 32, 7, 3).mean((2, 4))
    small = images.arrays(size=32).astype(float)

    def agreement(others: np.ndarray) -> list[float]:
        return [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(small, others, strict=True)]

    same, other = agreement(large), agreement(np.roll(large, 1, 0))
    assert min(same) > 0.95
    assert max(other) < 0.85
    assert np.abs(small.mean() - large.mean()) < 2


def test_ssim_rises_with_the_knob():
    from skimage.metrics import structural_similarity

    values = []
    for knob in (0.0, 0.25, 0.5, 1.0):
        images = grey(more(GardenSettings(shared=knob), {"daisy": 4, "gazania": 4}, seed=0), 112)
        pairs = zip(images[:4], images[4:], strict=True)
        values.append(np.mean([structural_similarity(a, b) for a, b in pairs]))
    # Four pairs scatter by a few hundredths; the steps between these knobs are near a fifth.
    assert all(np.diff(values) > 0.08)
    assert values[0] < 0.12


def test_the_knob_leaves_the_contrast_as_it_is():
    counts = dict.fromkeys(SMALL.hierarchy.sub_classes, 8)
    spread = [
        np.mean([image.std() for image in grey(more(replace(SMALL, shared=knob), counts, seed=0), 32)])
        for knob in (0.0, 0.5, 1.0)
    ]
    # At 1 three scenes decide everything, so that the means of 72 images still scatter.
    assert max(spread) / min(spread) < 1.25


@pytest.mark.parametrize("parent", range(len(BODY_PLANS)))
def test_a_mark_changes_a_small_part_of_the_picture(parent):
    def picture(mark: int) -> np.ndarray:
        drawn = draw(parent, mark, (9, 9, 9, 9), shared=1.0, contrast=1.0, size=32)
        return drawn.astype(int)

    for first, second in ((0, 1), (0, 2), (1, 2)):
        changed = np.abs(picture(first) - picture(second)).max(-1) > 12
        assert 4 <= changed.sum() <= 0.15 * changed.size  # visible at 32 px, yet subtle


@settings(max_examples=12, deadline=None)
@given(size=st.integers(8, 150), knob=st.floats(0, 1), label=st.integers(0, 8))
def test_any_size_any_knob_draws_a_picture(size, knob, label):
    garden = GardenSettings(shared=knob)
    name = garden.hierarchy.sub_classes[label]
    image = more(garden, {name: 1}, seed=0).arrays(size=size)
    assert image.shape == (1, size, size, 3)
    assert image.std() > 10


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"shared": 1.2}, "shared"),
        ({"shared": float("nan")}, "shared"),
        ({"shared": "high"}, "shared"),
        ({"largest": 2.5}, "largest"),
        ({"largest": 10, "imbalance": 20}, "imbalance"),
        ({"imbalance": 0.5}, "imbalance"),
        ({"test": -1}, "test"),
        ({"validation": True}, "validation"),
    ],
)
def test_wrong_settings_are_errors_of_one_line(wrong, named):
    with pytest.raises(ValueError, match=named) as caught:
        GardenSettings(**{"shared": 0.5, **wrong})
    assert "\n" not in str(caught.value)


def test_unknown_settings_classes_seeds_and_sizes_are_errors():
    with pytest.raises(TypeError, match="likeness"):
        GardenSettings(shared=0.5, likeness=1)
    with pytest.raises(ValueError, match="tulip"):
        more(SMALL, {"tulip": 3}, seed=0)
    with pytest.raises(ValueError, match="daisy"):
        more(SMALL, {"daisy": -3}, seed=0)
    with pytest.raises(ValueError, match="seed"):
        plant(SMALL, seed=-1)
    with pytest.raises(ValueError, match="size"):
        plant(SMALL, seed=0).train.arrays(size=0)


def test_the_bytes_of_a_drawing_are_as_they_were():
    """Records name images by their settings and seed: whoever changes a drawing makes them again."""
    images = more(GardenSettings(shared=0.25, contrast=1.0), {"daisy": 1, "parasol": 1, "bunting": 1}, seed=5)
    found = {size: hashlib.sha256(images.arrays(size=size).tobytes()).hexdigest()[:16] for size in (32, 128)}
    assert found == {32: "7b8106ab8ec497a0", 128: "9dc1085ea2317e73"}


def test_an_individual_keeps_its_body_in_every_pose_and_light():
    few, many = individuals(4, per_identity=2, seed=1), individuals(7, per_identity=3, seed=1)
    assert many.class_counts == dict.fromkeys(many.classes, 3)
    assert list(many.hierarchy.groups) == ["flower", "mushroom", "bird"]
    kept = [int(np.flatnonzero(many.labels == k)[i]) for k in range(4) for i in range(2)]
    assert np.array_equal(few.arrays(size=24), many.arrays(kept, size=24))
    assert few.classes == many.classes[:4]
    assert len({image.tobytes() for image in many.arrays(size=16)}) == 21
    assert np.array_equal(many.subset([5, 2]).arrays(size=16), many.arrays([5, 2], size=16))
    other = individuals(4, per_identity=2, seed=2)
    assert not np.array_equal(few.arrays(size=24), other.arrays(size=24))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 99), parent=st.integers(0, 2))
def test_in_one_scene_an_individual_is_one_picture_and_another_is_another(seed, parent):
    """At shared = 1 pose, light and background are the super-class's: what is left is the body."""
    images = individuals(6, per_identity=2, seed=seed, shared=1.0).arrays(size=32).astype(int)
    first, again, another = images[2 * parent], images[2 * parent + 1], images[2 * (parent + 3)]
    assert np.array_equal(first, again)
    assert (np.abs(first - another).max(-1) > 12).sum() > 4


@pytest.mark.parametrize(
    ("wrong", "named"), [({"n": 0}, "n=0"), ({"per_identity": 0}, "per_identity"), ({"shared": 2}, "shared")]
)
def test_wrong_numbers_of_individuals_are_errors(wrong, named):
    with pytest.raises(ValueError, match=named):
        individuals(**{"n": 2, "per_identity": 2, **wrong})
