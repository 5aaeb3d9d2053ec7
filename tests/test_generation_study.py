"""The sets of the first round."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gmaug.study import sets


def test_garden_sets_hold_different_images():
    source = sets.study_set("garden-1")
    fresh, labels = source.fresh(2, 7)
    assert len(fresh) == 2 * len(source.classes)
    assert source.counts.max() > 10 * source.counts.min()
    known = {x.tobytes() for part in (source.train, source.validation, source.test) for x in part[0]}
    assert not known & {x.tobytes() for x in fresh}
    assert labels.tolist() == sorted(labels.tolist())


def test_cifar10_parts_are_disjoint_and_long_tailed(tmp_path, monkeypatch):
    monkeypatch.setattr(sets, "CIFAR10_HEAD", 20)
    monkeypatch.setattr(sets, "CIFAR10_VALIDATION", 3)
    rng = np.random.default_rng(0)
    for part, each in (("train", 30), ("test", 2)):
        for c in range(10):
            folder = tmp_path / "cifar10" / part / f"class{c}"
            folder.mkdir(parents=True)
            for k in range(each):
                Image.fromarray(rng.integers(0, 256, (32, 32, 3), np.uint8)).save(folder / f"{k}.png")
    source = sets._cifar10(tmp_path)
    assert source.counts[0] == 20
    assert source.counts[-1] == 2
    assert (np.diff(source.counts) <= 0).all()
    fresh, _ = source.fresh(7, 0)
    parts = [source.train[0], source.validation[0], source.test[0], fresh]
    everything = [x.tobytes() for part in parts for x in part]
    assert len(set(everything)) == len(everything)
    with pytest.raises(ValueError, match="7 images of a class in reserve"):
        source.fresh(8, 0)
    with pytest.raises(FileNotFoundError, match="--data"):
        sets._cifar10(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="unknown set"):
        sets.study_set("meadow")
