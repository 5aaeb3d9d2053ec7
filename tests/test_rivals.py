"""Rivals for the x axis."""

import numpy as np
import pytest

from gmaug.law import rivals


@pytest.fixture(scope="module")
def paper():
    return rivals.paper_predictors()


def test_rank_correlations_known_beforehand(paper):
    table = rivals.rank_table(paper).set_index("predictor")
    assert round(table.loc["enlargement", "spearman"], 2) == 0.86
    assert round(table.loc["original", "spearman"], 3) == -0.857
    assert round(table.loc["ssim_sup_sub_cls", "spearman"], 2) == -0.76
    assert (table["p_any"] >= table["p"]).all()


def test_errors_by_predictor_and_model(paper):
    table = rivals.prediction_table(paper).set_index(["predictor", "model"])
    assert round(table.loc[("ssim_sup_sub_cls", "exponential"), "loo_mae"], 1) == 12.7
    assert len(table) == 5 * len(rivals.MODELS)
    assert table["wins"].dropna().between(0, 8).all()


def test_a_perfect_rival_is_found(paper):
    frame = paper.assign(ssim_cross_sub_cls=100 - 2 * paper["gain"])
    assert rivals.rank_table(frame).loc[0, "predictor"] == "ssim_cross_sub_cls"
    best = rivals.prediction_table(frame).iloc[0]
    assert (best["predictor"], best["model"]) == ("ssim_cross_sub_cls", "line")
    assert best["loo_mae"] < 1e-9
    assert (rivals.choose_within(frame)["error"].abs() < 1e-9).all()


def test_choosing_within_does_not_see_the_one_left_out(paper):
    changed = paper.copy()
    changed.loc[0, "gain"] = 500.0
    before, after = rivals.choose_within(paper).iloc[0], rivals.choose_within(changed).iloc[0]
    assert before["predicted"] == after["predicted"]
    assert rivals.choose_within(paper)["error"].abs().mean() > rivals.prediction_table(paper)["loo_mae"].min()


def test_gains_below_zero_leave_out_the_logarithm(paper):
    table = rivals.prediction_table(paper.assign(gain=paper["gain"] - 10))
    assert "log_linear" not in set(table["model"])


def test_missing_predictor_is_named(paper):
    assert "feature_confusion" not in rivals.available(paper)
    with pytest.raises(ValueError, match="ssim_merge_cls"):
        rivals.values(paper, "feature_confusion")


def test_logarithm_where_said(paper):
    assert np.allclose(2 ** rivals.values(paper, "enlargement"), paper["enlargement"])


def test_coupling_is_negative_by_arithmetic(paper):
    result = rivals.coupling(paper)
    assert result["observed"] < result["by_arithmetic"] < 0
    assert 0 < result["p"] < 0.1
