"""The study's generators: sets, measures, ablation, usefulness, speed; tiny, without their records."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from gmaug.generators import FunctionGenerator
from gmaug.generators.manifold import manifold
from gmaug.plots import generators
from gmaug.study import ablation, scrutiny, sets, speed, usefulness
from gmaug.study.generation import class_of, settings_of
from gmaug.study.quality import quality


class Judge:
    """Mean colour as features; the class is the brightest channel."""

    name = "mean colour"

    def __call__(self, images):
        return images.mean(axis=(1, 2)) / 255

    def logits(self, images):
        return self(images)


def coloured(labels, rng):
    """Images of noise whose channel `label` is the brightest."""
    images = rng.integers(0, 100, (len(labels), 4, 4, 3))
    images[np.arange(len(labels)), :, :, labels] += 100
    return images.astype(np.uint8)


@pytest.fixture
def source():
    def arrays(each, seed):
        labels = np.repeat(np.arange(3), each)
        return coloured(labels, np.random.default_rng(seed)), labels

    parts = arrays(20, 0), arrays(10, 1), arrays(60, 2)
    return sets.StudySet("toy", ("r", "g", "b"), *parts, arrays, *[lambda: arrays(9, 3)] * 2)


# ---- sets ---------------------------------------------------------------------------------


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


def test_settings_of_the_recorded_runs():
    for kind in ("cgan", "gd"):
        settings = settings_of("garden-1", kind, 9)
        assert (settings.n_classes, settings.threads) == (9, 1)
        assert isinstance(settings, class_of(kind).settings_class)
    with pytest.raises(ValueError, match="cgan, gd"):
        class_of("vae")


# ---- measures -----------------------------------------------------------------------------


def test_manifold_of_alike_shifted_and_collapsed_sets():
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(2, 600, 4))
    found = manifold(real, alike)
    assert min(found.precision, found.recall, found.coverage) > 0.85
    assert found.density == pytest.approx(1, abs=0.1)
    far = manifold(real, alike + 50)
    assert (far.precision, far.recall, far.coverage) == (0, 0, 0)
    collapsed = manifold(real, 1e-3 * alike)
    assert collapsed.precision == 1
    assert collapsed.recall < 0.01
    assert collapsed.coverage < 0.2
    with pytest.raises(ValueError, match="k=5"):
        manifold(real[:5], alike)


def test_quality_tells_good_generators_from_bad(source):
    good = quality(source, FunctionGenerator(coloured), Judge())
    wrong = quality(source, FunctionGenerator(lambda y, rng: coloured((y + 1) % 3, rng)), Judge())
    same = quality(
        source, FunctionGenerator(lambda y, rng: coloured(y, np.random.default_rng(0))[y * 0]), Judge()
    )
    assert good["recognised"] == [1, 1, 1] == good["recognised_real"]
    assert wrong["recognised"] == [0, 0, 0]
    assert good["frechet"]["value"] < 5 * good["frechet_floor"]["value"]
    # as a whole the colours are the same, class by class they are not
    assert min(wrong["frechet_by_class"]) > 20 * max(good["frechet_by_class"])
    assert max(same["spread"]) == 0
    assert good["frechet"]["n_real"] == 90


def test_mean_and_noise_has_the_class_moments(source):
    labels = np.repeat([0, 2], 400)
    made = usefulness.mean_and_noise(source, labels, seed=0).astype(float)
    for c in (0, 2):
        real = source.train[0][source.train[1] == c].astype(float)
        assert np.abs(made[labels == c].mean(axis=0) - real.mean(axis=0)).max() < 12
        ratio = made[labels == c].std(axis=0) / real.std(axis=0)
        assert ratio.mean() == pytest.approx(1, abs=0.05)


def test_usefulness_without_a_record_is_empty(monkeypatch, tmp_path):
    monkeypatch.setattr("gmaug.runs.RECORDED", tmp_path)
    none = usefulness.frame("garden-1")
    assert none.empty
    figure = generators.usefulness(none)
    assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]


# ---- ablation, tables ---------------------------------------------------------------------


def content(way, seed, value):
    quality = {
        "frechet": {"value": value},
        "recognised": [value] * 9,
        "spread": [value] * 9,
        "frechet_by_class": [value] * 9,
        "frechet_by_class_floor": [1.0] * 9,
    }
    names = sets.study_set(ablation.GARDEN).classes
    return {
        "way": way, "seed": seed, "distances": quality, "smallest": dict.fromkeys(names[:3], 10),
        "history": [{"kimg": 1.0, "spread": value}],
    }  # fmt: skip


def test_ablation_compares_seed_by_seed():
    values = {"transitional": [3.0, 4.0, 5.0], "plain": [1.0, 2.5, 2.0]}
    runs = [content(way, seed, v) for way, found in values.items() for seed, v in enumerate(found)]
    row = ablation.compare(ablation.frame(runs)).set_index("measure").loc["collapse"]
    assert row["transitional"] == 4
    assert row["difference"] == pytest.approx(np.mean([2, 1.5, 3]))
    assert row["difference_se"] == pytest.approx(np.std([2, 1.5, 3], ddof=1) / 3**0.5)
    assert row["seeds"] == 3


def test_ablation_differs_in_lambda_alone():
    one, other = (ablation.settings_for(way, 1).to_dict() for way in ablation.WAYS)
    assert {key for key in one if one[key] != other[key]} == {"transitional"}


def test_samples_survive_packing():
    images = np.random.default_rng(0).integers(0, 256, (6, 5, 5, 3), np.uint8)
    assert np.array_equal(ablation.unpacked(ablation.packed(images)), images)


def test_quality_table_stands_beside_real_images(source):
    record = {"content": {"distances": quality(source, FunctionGenerator(coloured), Judge())}}
    table = scrutiny.quality_table({"cgan": record, "gd": record}).set_index("measure")
    assert list(table) == ["cgan", "gd", "real images"]
    assert table.loc["recognised as its class, mean", "cgan"] == "1.00"


def test_speed_counts_images_per_second():
    ticks = iter([0.0, 2.0])
    assert speed.images_per_second(lambda: 30, clock=lambda: next(ticks)) == 15
