"""Figures draw the data they are given; pixels are not compared."""

import warnings

import matplotlib
import numpy as np
import pytest

from gmaug import plots


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_a_grid_shows_the_pixels_and_says_what_they_are():
    rows = [[noise(8, 8, seed=r * 3 + c) for c in range(3)] for r in range(2)]
    labels = {"row_labels": ["one", "two"], "column_labels": ["x", "y", "z"]}
    figure = plots.grid(rows, **labels, notes=[["a", "b", "c"], ["d", "e", "f"]])
    assert len(figure.axes) == 6
    for axes, expected in zip(figure.axes, (image for row in rows for image in row), strict=True):
        assert np.array_equal(axes.images[0].get_array(), expected)
    assert [axes.get_xlabel() for axes in figure.axes] == list("abcdef")
    assert [figure.axes[k].get_ylabel() for k in (0, 3)] == ["one", "two"]
    assert [axes.get_title() for axes in figure.axes[:3]] == list("xyz")
    assert figure.get_size_inches()[0] == pytest.approx(plots.DOUBLE)


def test_rows_may_be_of_different_lengths_and_a_grid_be_saved_twice(tmp_path):
    figure = plots.grid([[noise(8, 8, 3)], [noise(8, 8, 3)] * 2])
    assert [len(axes.images) for axes in figure.axes] == [1, 0, 1, 1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure.savefig(tmp_path / "a.svg")
        figure.savefig(tmp_path / "a.png")


@pytest.mark.parametrize(("rows", "says"), [([], "no image"), ([[np.zeros((4, 4))]], "uint8")])
def test_a_grid_refuses_what_is_no_image(rows, says):
    with pytest.raises(ValueError, match=says):
        plots.grid(rows)


def test_a_mosaic_keeps_every_pixel_in_its_place():
    stack = noise(5, 4, 6, 3)
    made = plots.mosaic(stack, columns=3, gap=2)
    assert made.shape == (2 * 4 + 2, 3 * 6 + 2 * 2, 3)
    assert np.array_equal(made[6:10, 8:14], stack[4])
    assert (made[6:10, 16:] == 255).all()  # the place that is left over


def test_the_style_holds_for_seaborn_too():
    import seaborn

    with matplotlib.rc_context():
        plots.use_style()
        palette = seaborn.color_palette().as_hex()
    assert [colour.upper() for colour in palette] == [plots.COLOURS[name].upper() for name in plots.CYCLE]
