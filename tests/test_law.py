"""The decay law: what its fits must obey, and the paper's numbers found again; the tests of notebook 06."""

import json
from itertools import permutations
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats

from gmaug import law, published


@pytest.fixture
def table5():
    five = published.load("table5")
    return five["ssim_sup_sub_cls"].to_numpy(), five["cgan_augcls_improvement"].to_numpy()


@pytest.fixture(scope="module")
def paper():
    return law.paper_predictors()


# --- curves


def test_points_of_fig7(paper):
    points = law.paper_points()
    assert (points["model"] == "GD").sum() == 3
    assert tuple(paper["dataset"]) == published.DATASETS
    assert (paper["gain"].round(2) == published.load("table5")["cgan_augcls_improvement"]).all()


def test_refit_of_table5_reproduces_table6(table5):
    """R² and the *median* absolute error of a least-squares fit are Table 6's first row."""
    x, y = table5
    fitted = law.fit(x, y)
    residual = y - fitted(x)
    printed = published.load("table6").set_index("model").loc["cGAN-augCls"]
    assert round(1 - np.sum(residual**2) / np.sum((y - y.mean()) ** 2), 4) == printed["r2"]
    assert round(np.median(np.abs(residual)), 4) == printed["mae"]
    assert np.mean(np.abs(residual)) > 7  # not the mean absolute error that the name says


def test_squared_correlation_of_the_refit_is_table6s_second_row(table5):
    fitted = law.fit(*table5)
    points = law.paper_points()
    gd = points[points["model"] == "GD"]
    r = np.corrcoef(fitted(gd["ssim_sup_sub_cls"]), gd["gain"])[0, 1]
    assert round(r**2, 4) == published.load("table6")["r2"][1]


@given(
    amplitude=st.floats(1, 1000), rate=st.floats(-30, 60), shift=st.floats(-5, 5), scale=st.floats(0.01, 100)
)
@settings(max_examples=60, deadline=None)
def test_exponentials_are_recovered_in_any_unit_of_x(amplitude, rate, shift, scale):
    x = np.array([0.05, 0.1, 0.2, 0.25, 0.4])
    y = amplitude * np.exp(-rate * x)
    for model in ("exponential", "log_linear"):
        fitted = law.fit(scale * (x + shift), y, model=model)
        assert np.allclose(fitted(scale * (x + shift)), y, rtol=1e-5)
        assert fitted.parameters["rate"] == pytest.approx(rate / scale, rel=1e-5, abs=1e-5 / scale)


@given(st.lists(st.floats(-50, 100), min_size=4, max_size=12))
@settings(max_examples=60, deadline=None)
def test_least_squares_is_least(y):
    """No model loses more than the mean, and isotonic no more than a step of its direction."""
    y = np.array(y)
    x = np.linspace(0.1, 0.4, len(y))
    lost = {m: np.sum((y - law.fit(x, y, model=m)(x)) ** 2) for m in law.MODELS if m != "log_linear"}
    for model in ("line", "step", "exponential"):
        assert lost[model] <= lost["mean"] * (1 + 1e-6) + 1e-6


def test_exponential_is_a_stationary_point(table5):
    x, y = table5
    a, k = law.fit(x, y).parameters.values()
    e = np.exp(-k * x)
    residual = a * e - y
    assert abs(residual @ e) < 1e-6 * np.linalg.norm(y)
    assert abs(residual @ (a * x * e)) < 1e-4 * np.linalg.norm(y)


def test_isotonic_is_monotone_and_level_beyond_the_points(paper):
    x, y = paper["ssim_sup_sub_cls"].to_numpy(), paper["gain"].to_numpy()
    fitted = law.fit(x, y, model="isotonic")
    assert (np.diff(fitted(np.linspace(0, 0.5, 200))) <= 1e-9).all()
    assert fitted(0.0) == fitted(x.min())
    assert (np.diff(law.fit(-x, y, model="isotonic")(np.linspace(-0.5, 0, 200))) >= -1e-9).all()


def test_step_finds_its_threshold():
    fitted = law.fit([0.1, 0.15, 0.3, 0.4], [50, 52, 2, 1], model="step")
    assert 0.15 < fitted.parameters["threshold"] < 0.3
    assert fitted(np.array([0.0, 1.0])).tolist() == [51, 1.5]


def test_leave_one_out_leaves_out(paper):
    x, y = paper["ssim_sup_sub_cls"].to_numpy(), paper["gain"].to_numpy()
    assert np.allclose(law.leave_one_out(x, y, model="mean"), (y.sum() - y) / 7)
    changed = y.copy()
    changed[3] = 1e3
    assert law.leave_one_out(x, changed)[3] == law.leave_one_out(x, y)[3]


def test_leave_one_out_errors_known_beforehand(paper):
    x, y = paper["ssim_sup_sub_cls"].to_numpy(), paper["gain"].to_numpy()
    models = {**law.MODELS, "published_step": law.published_step}
    error = {name: np.abs(law.leave_one_out(x, y, model=f) - y).mean() for name, f in models.items()}
    assert {name: round(value, 1) for name, value in error.items()} == {
        "exponential": 12.7, "mean": 28.4, "log_linear": 10.5, "isotonic": 12.2, "line": 16.1, "step": 17.1,
        "published_step": 11.8,  # its threshold is given; one that has to find it does worse
    }  # fmt: skip


@pytest.mark.parametrize(
    ("x", "y", "options", "match"),
    [
        ([0.1, 0.2], [1.0], {}, "one length"),
        ([0.1], [1.0], {}, "too few"),
        ([0.1, np.nan], [1.0, 2.0], {}, "not finite"),
        ([0.1, 0.2], [1.0, -2.0], {"model": "log_linear"}, "exponential"),
        ([0.1, 0.2], [1.0, 2.0], {"model": "spline"}, "isotonic"),
    ],
)
def test_bad_input_names_the_remedy(x, y, options, match):
    with pytest.raises(ValueError, match=match):
        law.fit(x, y, **options)


# --- uncertainty


def test_one_data_set_carries_the_rate(paper):
    x, y, rates = paper["ssim_sup_sub_cls"], paper["gain"], {}
    for k, name in enumerate(paper["dataset"]):
        rates[name] = round(law.fit(x.drop(k), y.drop(k)).parameters["rate"], 1)
    assert min(rates, key=rates.get) == "Amphibians"
    assert max(rates, key=rates.get) == "flowers"
    assert (rates["Amphibians"], rates["flowers"]) == (10.7, 29.5)


def test_jackknife_plus_covers():
    """On curves with known noise it covers about as often as its nominal level says."""
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(300):
        x = rng.uniform(0.08, 0.38, 9)
        y = 5 - 10 * x + rng.normal(size=9)
        low, high = law.jackknife_plus(x[:8], y[:8], x[8], model="line", level=0.75)
        hits.append(low <= y[8] <= high)
    assert 0.68 < np.mean(hits) < 0.92


def test_jackknife_plus_refuses_what_eight_points_cannot_give(paper):
    x, y = paper["ssim_sup_sub_cls"], paper["gain"]
    with pytest.raises(ValueError, match=r"0\.89"):
        law.jackknife_plus(x, y, 0.2, level=0.95)
    low, high = law.jackknife_plus(x, y, 0.2, model="log_linear")
    assert 0 < low < high
    assert law.jackknife_plus(x, y, 0.38, floor=-5)[0] == -5


# --- rivals


def test_errors_by_predictor_and_model(paper):
    table = law.prediction_table(paper).set_index(["predictor", "model"])
    assert round(table.loc[("ssim_sup_sub_cls", "exponential"), "loo_mae"], 1) == 12.7
    assert len(table) == len(law.PREDICTORS) * (len(law.MODELS) - 1)


def test_a_perfect_rival_is_found(paper):
    frame = paper.assign(ssim_merge_cls=100 - 2 * paper["gain"])
    best = law.prediction_table(frame).iloc[0]
    assert (best["predictor"], best["model"]) == ("ssim_merge_cls", "line")
    assert best["loo_mae"] < 1e-9


def test_gains_below_zero_leave_out_the_logarithm(paper):
    table = law.prediction_table(paper.assign(gain=paper["gain"] - 10))
    assert "log_linear" not in set(table["model"])


def test_wide_predictors_are_in_logarithms(paper):
    assert np.allclose(2 ** law.values(paper, "enlargement"), paper["enlargement"])


def test_refit_known_beforehand():
    assert law.refit().parameters["amplitude"] == pytest.approx(176.57, abs=0.005)
    assert law.refit().parameters["rate"] == pytest.approx(13.125, abs=0.0005)


# --- notebook 06


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """The variables of notebook 06, whose cells run here as they stand, and its verdicts."""
    path = Path(__file__).parents[1] / "notebooks" / "06_curve_fit.ipynb"
    folder, backend = tmp_path_factory.mktemp("runs"), matplotlib.get_backend()
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    with pytest.MonkeyPatch.context() as patch, matplotlib.rc_context():
        patch.setenv("GMAUG_PROFILE", "smoke")
        patch.setenv("GMAUG_RUNS", str(folder))
        matplotlib.use("Agg")
        variables = {}
        for k, cell in enumerate(cells):
            source = "".join(cell["source"])
            if cell["cell_type"] == "code" and "advice.advise(" not in source:
                exec(compile(source, f"cell {k}", "exec"), variables)
        matplotlib.use(backend)
    (left,) = folder.rglob("verdicts/06_curve_fit.json")
    return variables, {row["id"]: row for row in json.loads(left.read_text(encoding="utf-8"))}


@pytest.fixture(scope="module")
def verdicts(notebook):
    return notebook[1]


@pytest.fixture(scope="module")
def variables(notebook):
    return notebook[0]


def test_every_claim_of_notebook_06_gets_a_verdict(verdicts):
    expected = published.claims()
    assert set(verdicts) == set(expected.loc[expected["notebook"] == "06", "id"])


def test_what_eight_points_cannot_decide_is_inconclusive(verdicts):
    for claim in (
        "abstract.decay", "sec4.3.effective", "sec4.3.enhanced", "sec5.indicator", "fig7.trend",
        "sec1.easier",
        "sec3.5.any_classifier", "table3.selection", "table7.gain", "table6.mae.gd.definition",
    ):  # fmt: skip
        assert verdicts[claim]["verdict"] == "inconclusive", claim


def test_what_differs_is_no_matter_of_chance(verdicts):
    """Arithmetic, or a test below 5 %; everything else in the list would be a hasty word."""
    assert {claim for claim, row in verdicts.items() if row["verdict"] == "differs"} == {
        "table3.whole_images", "eq4.curve", "table6.r2.cgan", "table6.mae.cgan", "table6.r2.gd",
        "table6.mae.gd", "sec1.predict", "sec5.predict", "sec5.regardless", "sec4.3.comparable",
    }  # fmt: skip


def test_table7_differences(verdicts):
    assert verdicts["table7.gain"]["ours"] == "+1.0 points"
    assert verdicts["table7.mae_gain"]["verdict"] == "the paper disagrees with itself"
    assert verdicts["sec4.3.comparable"]["ours"] == "-5.8 points: 1.5 times as many errors"


def test_what_was_chosen_to_fit_is_not_counted(verdicts):
    built = {claim for claim, row in verdicts.items() if row["verdict"] == "holds by construction"}
    assert built == {
        "table5.threshold.ssim_merge_cls", "table5.threshold.ssim_sup_sub_cls", "table6.r2.cgan.definition",
        "table6.mae.cgan.definition", "table6.r2.gd.definition",
    }  # fmt: skip


def test_amphibians_and_most_others_could_be_chance(variables):
    table = variables["tests"].set_index(["dataset", "model"])
    assert round(table.loc[("Amphibians", "cGAN"), "p"], 2) == 0.25
    assert (table["p_holm"] >= table["p"]).all()
    assert (table["p_holm"] < 0.05).sum() == 1


def test_rank_tests_known_beforehand(variables):
    table = variables["ranks"].set_index("predictor").astype(float).round(3)
    assert table.loc["ssim_sup_sub_cls"].tolist() == [-0.762, 0.037, 0.120]
    assert table.loc["original", ["spearman", "p"]].tolist() == [-0.857, 0.011]
    assert table.loc["enlargement", "spearman"] == 0.857
    assert (table["p_any"] >= table["p"]).all()


def test_rank_tests_against_counting_every_order(variables):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(2, 6))
    y[1] = y[2]  # a tie
    row = variables["rank_tests"](pd.DataFrame({"x": x}), y).iloc[0]
    assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
    every = [abs(stats.spearmanr(x, order).statistic) for order in permutations(y)]
    assert row["p"] == row["p_any"] == np.mean(np.array(every) >= abs(row["spearman"]) - 1e-12)


def test_band_counts_binomial_noise_once(variables):
    """Data sets on one line, with binomial noise alone: the band is as wide as refits on new data scatter.

    Redrawing the images inside the redrawn data sets would make it a third wider.
    """
    rng = np.random.default_rng(0)
    x, images = np.linspace(0.1, 0.4, 40), 200

    def measured():
        before = rng.binomial(images, 0.5, 40) / images
        after = rng.binomial(images, 0.7 - 0.4 * x) / images
        return pd.DataFrame({"ssim_sup_sub_cls": x, "gain": 100 * (after - before) / before})

    at = np.array([0.2])
    refits = [float(law.fit(p["ssim_sup_sub_cls"], p["gain"], model="line")(0.2)) for p in
              (measured() for _ in range(300))]  # fmt: skip
    bootstrap = variables["bootstrap"]
    drawn = [bootstrap(measured(), at, seed=k, draws=150, model="line")[0] for k in range(8)]
    width = np.mean([np.diff(np.percentile(curves, [16, 84])) for curves in drawn]) / 2
    assert 0.8 < width / np.std(refits) < 1.2


def test_cells_that_no_whole_number_of_images_gives(variables, verdicts):
    table = variables["cells"]
    assert set(table[["dataset", "column"]].itertuples(index=False, name=None)) == {
        ("Amphibians", "original_mae"), ("Reptiles", "cgan_aug_resnet18"), ("flowers", "cgan_aug_resnet18"),
    }  # fmt: skip
    assert verdicts["table3.whole_images"]["ours"] == "3 of 55 cells are not"


def test_the_mae_gains_and_the_one_that_is_no_gain(variables):
    """74.67 % of 30 images is no accuracy: without that gain similarity's p is 0.05, and 0.14 of three."""
    table = variables["mae"].set_index("dataset")
    assert table.loc["Fungi", "gain"] == 0
    assert (table["p"] > 0.05).all()
    assert table.loc["UTKFace", "gain"] < 0
    assert list(table.index[~table["possible"]]) == ["Amphibians"]
    row = variables["of_three"].iloc[0]
    assert row["predictor"] == "ssim_sup_sub_cls"
    assert (row[["p", "p_any"]].astype(float).round(3) == [0.049, 0.137]).all()


def test_one_recipe_gives_three_of_four_and_stands_alone(variables):
    best = variables["recipes"]
    top = best.iloc[0]
    assert top["matched"] == 3
    assert best["matched"].iloc[1] < 3
    assert (top["curve"], top["fitted_to"], top["predictor"]) == (
        "exponential, least squares", "cGAN", "ssim_sup_sub_cls",
    )  # fmt: skip
    assert (top["r2_means"], top["mae_means"]) == ("squared Pearson correlation", "median absolute error")
    assert top[["r2_cgan", "mae_cgan", "r2_gd"]].astype(float).round(4).tolist() == [0.8749, 4.7882, 0.9597]
    assert top["mae_gd"] == pytest.approx(5.5035, abs=0.0025)
    assert round(top["mae_gd"], 4) != 5.5035  # close, and said to be no more than close


def test_the_search_is_not_told_the_answer(variables, monkeypatch):
    """With other numbers printed in Table 6 nothing matches all along the line."""
    original = published.load

    def other(name, **options):
        frame = original(name, **options)
        return frame.assign(r2=[0.8123, 0.9411], mae=[6.1234, 7.4321]) if name == "table6" else frame

    monkeypatch.setattr(published, "load", other)
    assert variables["search"]()["matched"].max() < 3
