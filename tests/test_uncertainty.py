"""Bands, intervals and exact tests."""

import numpy as np
import pytest
from scipy import stats

from gmaug.law import curve, significance, uncertainty


@pytest.fixture
def cgan():
    points = curve.paper_points()
    return points[points["model"] == "cGAN"]


def test_rank_tests_known_beforehand(cgan):
    rho, p = significance.rank_test(cgan["ssim_sup_sub_cls"], cgan["gain"])
    assert (round(rho, 2), round(p, 3)) == (-0.76, 0.037)
    rho, p = significance.rank_test(cgan["original"], cgan["gain"])
    assert (round(rho, 3), round(p, 3)) == (-0.857, 0.011)


def test_rank_tests_agree_with_scipy():
    rng = np.random.default_rng(0)
    for _ in range(5):
        x, y = rng.normal(size=(2, 6))
        rho, p = significance.rank_test(x, y)
        assert rho == pytest.approx(stats.spearmanr(x, y).statistic)
        tau, q = significance.rank_test(x, y, method="kendall")
        assert (tau, q) == pytest.approx(tuple(stats.kendalltau(x, y, method="exact")))
        exact = stats.permutation_test(
            (x,),
            lambda a, y=y: stats.spearmanr(a, y).statistic,
            permutation_type="pairings",
            n_resamples=np.inf,
        )
        assert p == pytest.approx(exact.pvalue)


def test_beyond_exact_the_p_value_is_close():
    rng = np.random.default_rng(1)
    x = rng.normal(size=12)
    y = x + rng.normal(size=12)
    _, p = significance.rank_test(x, y, draws=20_000)
    assert p == pytest.approx(stats.spearmanr(x, y).pvalue, abs=0.02)


def test_jackknife_of_the_rate_known_beforehand(cgan):
    table = uncertainty.jackknife(cgan["ssim_sup_sub_cls"], cgan["gain"], names=cgan["dataset"])
    rate = table.set_index("without")["rate"].round(1)
    assert rate["Amphibians"] == rate.min() == 10.7
    assert rate["flowers"] == rate.max() == 29.5
    assert np.allclose(table["predicted"], curve.leave_one_out(cgan["ssim_sup_sub_cls"], cgan["gain"]))


def test_jackknife_se_of_a_mean_is_the_standard_error():
    y = np.random.default_rng(0).normal(size=20)
    left_out = (y.sum() - y) / 19
    assert uncertainty.jackknife_se(left_out) == pytest.approx(y.std(ddof=1) / np.sqrt(20))


def test_band_is_repeatable_ordered_and_wider_with_both_sources(cgan):
    at = np.array([0.1, 0.2])

    def band(**options):
        return uncertainty.nested_bootstrap(cgan, at, seed=3, draws=300, **options)

    both, again = band(), band()
    assert both.parameters.equals(again.parameters)
    assert (both.low <= both.median).all()
    assert (both.median <= both.high).all()
    for one in (band(noise=False), band(datasets=False)):
        assert np.all(both.high - both.low > 0.9 * (one.high - one.low))
    neither = band(noise=False, datasets=False)
    assert np.allclose(neither.low, neither.high)


def test_amphibians_and_most_others_could_be_chance():
    table = significance.accuracy_tests(curve.paper_points()).set_index(["dataset", "model"])
    row = table.loc[("Amphibians", "cGAN")]
    assert (row["right_before"], row["right_after"], row["images"]) == (6, 11, 30)
    assert round(row["p"], 2) == 0.25
    assert (table["p_holm"] >= table["p"]).all()
    assert (table["p_holm"] < 0.05).sum() == 1


def test_holm_known_values():
    assert np.allclose(significance.holm([0.01, 0.04, 0.03]), [0.03, 0.06, 0.06])


def test_prediction_interval_covers():
    """On curves with known noise the jackknife+ covers about as often as it says."""
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(300):
        x = rng.uniform(0.08, 0.38, 9)
        y = 5 - 10 * x + rng.normal(size=9)
        low, high = uncertainty.prediction_interval(x[:8], y[:8], x[8], model="line", level=0.75)
        hits.append(low <= y[8] <= high)
    assert 0.68 < np.mean(hits) < 0.92


def test_prediction_interval_refuses_what_eight_points_cannot_give(cgan):
    x, y = cgan["ssim_sup_sub_cls"], cgan["gain"]
    with pytest.raises(ValueError, match=r"0\.89"):
        uncertainty.prediction_interval(x, y, 0.2, level=0.95)
    low, high = uncertainty.prediction_interval(x, y, 0.2, model="log_linear")
    assert 0 < low < high
    assert uncertainty.prediction_interval(x, y, 0.38, floor=-5)[0] == -5
