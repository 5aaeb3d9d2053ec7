"""What notebooks 01 to 03 measure: laws that must hold whatever the pictures."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gmaug.datasets import imbalance, open_images
from gmaug.datasets.folder import export
from gmaug.datasets.garden import FIRST_GARDENS, plant
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import measure, probes as metric_probes
from gmaug.ssim import CONVENTIONS, checks as ssim_checks, probes, ssim
from gmaug.ssim.distortions import distort

rng = np.random.default_rng(0)
SMALL = {"a": 40, "b": 10, "c": 10}


@pytest.fixture(scope="module")
def pictures():
    return {name: Image.fromarray(rng.integers(0, 256, (240, 300, 3), dtype=np.uint8)) for name in "abcd"}


def test_shuffling_pixels_alike_leaves_the_whole_image_reading_alone():
    x, y = rng.integers(0, 256, (2, 40, 40), dtype=np.uint8)
    moved = probes.scrambled(x, y, seed=3)
    assert ssim(*moved, convention="global") == pytest.approx(ssim(x, y, convention="global"), abs=1e-12)
    assert not np.array_equal(moved[0], x)


def test_the_mean_columns_are_those_of_the_images():
    x = rng.integers(0, 256, (40, 40), dtype=np.uint8)
    row = probes.verdicts_of(x, [distort(x, "noise", mse=64)]).iloc[0]
    assert row["ssim"] == ssim(x, distort(x, "noise", mse=64).image)
    assert row["psnr"] == pytest.approx(10 * np.log10(255**2 / row["mse"]))


def test_a_shift_by_nothing_changes_nothing(pictures):
    table = probes.shifted(pictures, [0, 3])
    assert (table.query("offset == 0").ssim == 1).all()
    assert (table.query("offset == 3").ssim < 0.2).all()  # noise forgets at once


def test_grain_follows_equation_1():
    table = probes.grain([0, 2, 8, 20], size=128)
    assert np.allclose(table["ssim"], table["expected"], atol=0.02)
    assert table["ssim"].is_monotonic_decreasing


def test_a_plain_ground_covers_what_it_says():
    image = rng.integers(0, 128, (60, 60), dtype=np.uint8)
    made = probes.on_plain_ground(image, 0.7, level=200)
    assert (made == 200).mean() == pytest.approx(0.7, abs=0.001)
    assert np.array_equal(probes.on_plain_ground(image, 0), image)
    with pytest.raises(ValueError, match="share"):
        probes.on_plain_ground(image, 1.2)


def test_every_pair_stands_under_every_convention(pictures):
    table = ssim_checks.by_convention(pictures, ["paper", "global"])
    assert len(table) == 6
    grey = [CONVENTIONS["paper"].prepare(pictures[name]) for name in "ab"]
    assert table["paper"][0] == ssim(*grey)
    swapped = ssim_checks.agreement(table).set_index("convention")["swapped"]
    assert swapped["paper"] == pytest.approx(0, abs=1e-12)
    assert 0 <= swapped["global"] <= 1


def test_the_laws_and_the_reference(pictures):
    grey = [CONVENTIONS["paper"].prepare(image) for image in pictures.values()]
    laws = ssim_checks.identities(grey)
    assert laws["identity"] <= 1e-12
    assert laws["symmetry"] <= 1e-12
    assert -1 <= laws["lowest"] <= laws["highest"] <= 1
    checked = ssim_checks.against_skimage(dict(list(pictures.items())[:2]), noise=1)
    assert (checked["ssim_deviation"] < 1e-9).all()
    assert (checked["ssim_pairs_deviation"] < 1e-6).all()


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


@pytest.fixture(scope="module")
def garden():
    images = plant(FIRST_GARDENS["garden-8"], seed=1).validation
    images = images.subset(range(0, len(images), 6))
    return images, measure(images, convention=metric_probes.at(32), pairs="all", progress=False)


def test_the_class_matrix_gives_the_metric_back(garden):
    images, found = garden
    means, counts = metric_probes.class_matrix(found.samples[""], images.classes)
    assert counts.to_numpy()[np.triu_indices(9)].sum() == len(images) * (len(images) - 1) / 2
    assert metric_probes.under(images.hierarchy, means, counts) == pytest.approx(found.ssim_sup_sub_cls.value)
    one = Hierarchy({"all": images.classes}, "one group")
    assert metric_probes.under(one, means, counts) == pytest.approx(found.ssim_merge_cls.value)


def test_groupings_at_random_stay_below_the_body_plans(garden):
    images, found = garden
    means, counts = metric_probes.class_matrix(found.samples[""], images.classes)
    dealt = metric_probes.regrouped(images.hierarchy, means, counts, draws=60)
    assert np.median(dealt) < found.ssim_sup_sub_cls.value


def test_a_maximum_is_biased_as_order_statistics_say():
    table = metric_probes.optimism([1, 2, 5], [0.0, 6.0]).set_index(["k", "lead"])["bias"]
    assert table[1, 0.0] == pytest.approx(0, abs=0.03)
    assert table[2, 0.0] == pytest.approx(1 / np.sqrt(np.pi), abs=0.03)
    assert table[5, 0.0] == pytest.approx(1.163, abs=0.03)
    assert table[5, 6.0] == pytest.approx(0, abs=0.03)


def test_coverage_of_a_wrong_error_is_seen():
    values = np.random.default_rng(0).normal(0, 1, 400)
    rows = pd.DataFrame({"design": "d", "value": values, "se": 1.0, "se_pairs": 0.25})
    table = metric_probes.coverage(rows).set_index("unit")
    assert table.loc["images", "covered"] == pytest.approx(0.95, abs=0.04)
    assert table.loc["pairs", "covered"] < 0.6
    assert table.loc["pairs", "ratio"] == pytest.approx(4, rel=0.1)


def test_a_choice_of_images_is_the_same_for_the_same_seed():
    train = plant(FIRST_GARDENS["garden-1"], seed=0).train
    assert metric_probes.some(train, None) is train
    assert np.array_equal(metric_probes.some(train, 30).labels, metric_probes.some(train, 30).labels)
    assert len(metric_probes.some(train, 30)) == 30


def test_extremes_ascend(garden):
    images, found = garden
    values = [value for *_, value in metric_probes.extremes(images, found.samples[""], each=2, size=16)]
    assert values == sorted(values)
    assert len(values) == 6


def test_all_pairs_cost_what_they_cost():
    row = metric_probes.all_pairs_cost({"a": 1001}, 1000.0).iloc[0]
    assert row["all pairs"] == 1001 * 1000 / 2
    assert row["hours for all"] == pytest.approx(500.5 / 3600)
