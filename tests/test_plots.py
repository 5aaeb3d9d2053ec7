"""Figures draw the data they are given; pixels are not compared."""

import warnings

import numpy as np
import pandas as pd
import pytest

from gmaug.datasets.garden import FIRST_GARDENS, plant
from gmaug.plots import DOUBLE, images, similarity, ssim
from gmaug.similarity import measure, probes as metric_probes
from gmaug.ssim import probes
from gmaug.ssim.distortions import Distorted


@pytest.fixture(scope="module")
def train():
    return plant(FIRST_GARDENS["garden-4"], seed=0).train.subset(range(0, 620, 12))


@pytest.fixture(scope="module")
def found(train):
    return measure(train, convention=metric_probes.at(32), seed=0, progress=False)


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def texts(figure):
    return [text.get_text() for axes in figure.axes for text in axes.texts]


def lines(axes):
    return {line.get_label(): line.get_xydata() for line in axes.lines}


def test_a_grid_shows_the_pixels_and_says_what_they_are():
    rows = [[noise(8, 8, seed=r * 3 + c) for c in range(3)] for r in range(2)]
    figure = images.grid(rows, row_labels=["one", "two"], notes=[["a", "b", "c"], ["d", "e", "f"]])
    assert len(figure.axes) == 6
    for axes, expected in zip(figure.axes, (image for row in rows for image in row), strict=True):
        assert np.array_equal(axes.images[0].get_array(), expected)
    assert {"one", "two", *"abcdef"} <= set(texts(figure))
    assert figure.get_size_inches()[0] == pytest.approx(DOUBLE)


def test_a_grid_can_be_saved_twice_without_a_warning(tmp_path):
    figure = images.grid([[noise(8, 8, 3)]])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "a.svg")
        figure.savefig(tmp_path / "a.png")


@pytest.mark.parametrize(("rows", "says"), [([], "no image"), ([[np.zeros((4, 4))]], "uint8")])
def test_a_grid_refuses_what_is_no_image(rows, says):
    with pytest.raises(ValueError, match=says):
        images.grid(rows)


def test_a_mosaic_keeps_every_pixel_in_its_place():
    stack = noise(5, 4, 6, 3)
    made = images.mosaic(stack, columns=3, gap=2)
    assert made.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert np.array_equal(made[6:10, 8:14], stack[4])
    assert (made[6:10, 16:] == 255).all()  # the place that is left over


def test_coloured_maps_clip_and_keep_the_order():
    made = images.coloured(np.array([[-1.0, 0.0, 1.0, 2.0]]), low=0, high=1)
    assert made.dtype == np.uint8
    assert np.array_equal(made[0, 0], made[0, 1])
    assert np.array_equal(made[0, 2], made[0, 3])
    assert made[0, 2].sum() > made[0, 0].sum()


def test_distortions_are_shown_best_first():
    original = noise(32, 32)
    spoilt = [Distorted(noise(32, 32, seed=9), "other", 1.0, 10.0), Distorted(original, "same", 1.0, 10.0)]
    shown = [text.split("\n")[0] for text in texts(ssim.equal_error(original, spoilt))]
    assert shown == ["original", "same", "other"]


def test_component_maps_state_their_means():
    original = noise(32, 32)
    figure = ssim.component_maps(original, [Distorted(original, "same", 1.0, 0.0)])
    assert texts(figure).count("mean 1.00") == 4


def test_curves_of_notebook_01_draw_their_tables():
    table = probes.grain([0, 4, 16], size=32)
    drawn = lines(ssim.grain_curve(table).axes[0])
    assert np.allclose(drawn["measured"], table[["grain", "ssim"]])
    grid = pd.DataFrame(
        {"first": list("abc"), "second": list("bca"), "p": [0.1, 0.2, 0.3], "q": [0.3, 0.2, 0.1]}
    )
    drawn = lines(ssim.conventions_slope(grid, mark={("b", "c"): "blue"}).axes[0])
    assert drawn["b, c"][:, 1].tolist() == [0.2, 0.2]


def test_the_running_mean_ends_at_the_measured_value(found):
    figure = similarity.convergence({"all": found.trace()})
    line = lines(figure.axes[0])["running mean"]
    assert line[-1, 1] == pytest.approx(found.ssim_merge_cls.value)


def test_the_matrix_frames_each_super_class(train, found):
    means, _ = metric_probes.class_matrix(found.samples[""], train.classes)
    figure = similarity.matrix(means.fillna(0), train.hierarchy.groups)
    assert len(figure.axes[0].patches) == len(train.hierarchy.super_classes)


def test_groupings_and_sizes_draw_their_values():
    marks = {"ours": 0.3}
    drawn = lines(similarity.groupings(np.array([0.1, 0.2]), marks).axes[0])
    assert drawn["ours: 0.300"][0, 0] == 0.3
    part = pd.DataFrame({"size": [32, 224], "sup_sub": [0.1, 0.3], "sup_sub_se": [0.01, 0.01]})
    axes = similarity.by_size({"a set": part}).axes[0]
    assert axes.lines[0].get_ydata().tolist() == [0.1, 0.3]


def test_paper_and_record_are_never_one_series():
    table = pd.DataFrame(
        {
            "data set": ["a", "b"], "metric": ["mergeCls"] * 2, "paper": [0.1, 0.2],
            "recorded": [0.11, np.nan], "recorded se": [0.01, np.nan],
            "this run": [np.nan] * 2, "this run se": [np.nan] * 2,
        }
    )  # fmt: skip
    axes = similarity.side_by_side(table).axes[0]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["paper", "recorded"]


def test_every_peer_and_convention_of_the_benchmark_is_shown():
    rows = [("a", "paper", 32, 4.0), ("a", "wang2004", 32, 5.0), ("b", "wang2004", 224, 90.0)]
    figure = similarity.speedups(pd.DataFrame(rows, columns=["peer", "convention", "size", "ratio"]))
    assert sorted(texts(figure)) == ["4", "5", "90"]
