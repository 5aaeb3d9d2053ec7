"""Confusion in feature space."""

import numpy as np
import pytest

from gmaug.advice.confusion import feature_confusion
from gmaug.datasets.base import ArrayImages
from gmaug.hierarchy import Hierarchy


def blocks(levels, *, n=24, noise=20, seed=0):
    """Grey squares: one class a level."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(levels)), n)
    base = np.asarray(levels, float)[labels][:, None, None, None]
    images = np.clip(base + rng.normal(0, noise, (len(labels), 16, 16, 3)), 0, 255).astype(np.uint8)
    hierarchy = Hierarchy(
        {"dark": ("0", "1"), "bright": tuple(str(k) for k in range(2, len(levels)))}, "a test"
    )
    return ArrayImages(images, labels, hierarchy=hierarchy)


def test_separate_classes_are_not_confused_and_equal_ones_are_within_their_super_class():
    apart = feature_confusion(blocks([40, 90, 150, 210]), components=8)
    assert apart.error == 0
    assert np.isnan(apart.within)
    alike = feature_confusion(blocks([60, 60, 200, 200]), components=8)
    assert 0.35 < alike.error < 0.65
    assert alike.within == 1
    assert np.allclose(alike.matrix.sum(axis=1), 1)


def test_confusion_is_repeatable_and_bounded_in_size():
    images = blocks([60, 80, 200, 220])
    assert feature_confusion(images, seed=1).error == feature_confusion(images, seed=1).error
    assert feature_confusion(images, most=40).images <= 44


def test_confusion_needs_two_classes_and_two_images_each():
    images = blocks([60, 80, 200])
    with pytest.raises(ValueError, match="one class"):
        feature_confusion(images.subset(range(10)))
    with pytest.raises(ValueError, match="two or more"):
        feature_confusion(images.subset([*range(30), 60]))
