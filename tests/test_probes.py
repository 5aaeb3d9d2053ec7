"""What notebook 02 counts, and the photographs and gardens that notebooks 01 to 03 look at."""

import pytest

from gmaug.datasets import imbalance, open_images
from gmaug.datasets.folder import export
from gmaug.datasets.garden import FIRST_GARDENS, plant
from gmaug.datasets.real import PHOTOGRAPHS, photograph, photographs
from gmaug.hierarchy import Hierarchy

SMALL = {"a": 40, "b": 10, "c": 10}


def test_counts_in_a_few_numbers():
    even = imbalance.describe({"a": 7, "b": 7, "c": 7, "d": 7, "e": 7})
    assert even["effective"] == pytest.approx(5)
    assert even["head"] == pytest.approx(0.2)
    assert imbalance.describe(SMALL)["ratio"] == 4
    with pytest.raises(ValueError, match="positive"):
        imbalance.describe({"a": 0})


def test_pairs_are_counted_exactly():
    hierarchy = Hierarchy({"x": ("a", "b"), "y": ("c",)}, "a test")
    shares = imbalance.pairs_across(hierarchy, SMALL)
    assert shares == {"x": pytest.approx(40 * 10 / (50 * 49 / 2)), "y": 0}


def test_exported_images_are_found_again(tmp_path):
    train = plant(FIRST_GARDENS["garden-1"], seed=0).train
    back = open_images(export(train, tmp_path / "garden", size=16, every=40))
    assert len(back) == len(range(0, len(train), 40))
    assert set(back.hierarchy.super_classes) == set(train.hierarchy.super_classes)


def test_the_photographs_are_there_without_a_network():
    found = photographs()
    assert tuple(found) == PHOTOGRAPHS
    assert {image.mode for image in found.values()} <= {"L", "RGB"}
    with pytest.raises(ValueError, match="chelsea"):
        photograph("mona lisa")
