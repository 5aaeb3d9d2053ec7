"""The law's figures draw the data they are given: read back from the artists, not from pixels."""

import numpy as np
import pandas as pd
import pytest

from gmaug import published
from gmaug.law import audit, curve, rivals, uncertainty
from gmaug.plots import evidence, law


@pytest.fixture(scope="module")
def points():
    return curve.paper_points()


@pytest.fixture(scope="module")
def cgan(points):
    return points[points["model"] == "cGAN"].reset_index(drop=True)


def lines(axes):
    return {line.get_label(): line for line in axes.get_lines()}


def test_fig7_draws_both_curves_and_takes_own_points(points):
    own = pd.DataFrame({"ssim_sup_sub_cls": [0.1, 0.3], "gain": [5.0, 1.0], "series": "gardens"})
    figure = law.fig7(points, refit=audit.refit(), own=own)
    drawn = lines(figure.axes[0])
    x, y = drawn["Eq. 4 as printed"].get_data()
    assert np.allclose(y, published.EQ4(x))
    x, y = drawn["least squares on Table 5"].get_data()
    assert np.allclose(y, audit.refit()(x))
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert "gardens" in legend
    assert figure.axes[1].get_yscale() == "log"


def test_unseen_draws_the_predictions(cgan):
    x, y = cgan["ssim_sup_sub_cls"], cgan["gain"]
    table = pd.DataFrame(
        {"dataset": cgan["dataset"], "actual": y, "mean": curve.leave_one_out(x, y, model="mean")}
    )
    figure = evidence.unseen(table)
    assert np.allclose(lines(figure.axes[0])["constant"].get_xdata(), table["mean"])


def test_influence_marks_the_three_that_move_it_most(cgan):
    table = uncertainty.jackknife(cgan["ssim_sup_sub_cls"], cgan["gain"], names=cgan["dataset"])
    drawn = lines(evidence.influence(cgan, table, audit.refit()).axes[0])
    assert {"without flowers", "without Amphibians", "without Reptiles"} <= set(drawn)


def test_remaining_figures_are_drawn(cgan, points, tmp_path):
    frame = rivals.paper_predictors()
    band = uncertainty.nested_bootstrap(cgan, np.linspace(0.1, 0.3, 5), seed=0, draws=20)
    figures = [
        evidence.ridge(audit.refit()),
        evidence.rival_predictors(frame, rivals.rank_table(frame), rivals.prediction_table(frame)),
        law.bands({"noise": band, "both": band}, cgan, audit.refit()),
    ]
    for k, figure in enumerate(figures):
        figure.savefig(tmp_path / f"{k}.png", dpi=40)
        assert figure.get_size_inches()[0] <= 7.0
