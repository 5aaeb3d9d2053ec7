"""The smaller claims of section 4.3, and our own points for Fig. 7."""

import numpy as np
import pandas as pd
import pytest

from gmaug import claims
from gmaug.law import (
    audit,
    checks as law_checks,
    curve,
    own_points,
    rivals,
    uncertainty,
    verdicts as law_verdicts,
)


def test_mae_gains_nothing_on_fungi():
    table = law_checks.mae_columns().set_index("dataset")
    assert table.loc["Fungi", "gain"] == 0
    assert (table["p"] > 0.05).all()
    assert table.loc["UTKFace", "gain"] < 0


def test_selection_is_worse_on_amphibians_alone():
    table = law_checks.selection().set_index("dataset")["difference"]
    assert set(table.index[table < 0]) == {"Amphibians"}


def test_balanced_loss_is_behind_the_pipeline():
    table = law_checks.class_balanced_loss()
    assert (table["balanced_loss"] < table["pipeline"]).all()
    assert len(table) == 4


def test_threshold_rule_finds_its_threshold_without_the_one_left_out():
    points = curve.paper_points()
    points = points[points["model"] == "cGAN"].reset_index(drop=True)
    assert law_checks.threshold_rule(points)["right"].all()
    turned = points.assign(gain=points["gain"].to_numpy()[::-1])
    assert not law_checks.threshold_rule(turned)["right"].any()


def test_table7_differences():
    table = law_checks.whole_inaturalist().set_index("comparison")
    assert table["difference"].round(1).tolist() == [1.0, -0.6, -5.8]
    assert table["p"].iloc[0] > 0.05 > table["p"].iloc[2]


def cells(scores):
    return pd.DataFrame(
        [
            {"dataset": d, "arm": a, "seed": s, "top1": v}
            for (d, a), values in scores.items()
            for s, v in enumerate(values)
        ]
    )


def test_own_points_are_paired_by_seed():
    frame = cells(
        {("g1", "original"): [0.5, 0.4], ("g1", "cgan-augcls"): [0.6, 0.44], ("g2", "original"): [0.5]}
    )
    found = own_points.points(frame, {"g1": 0.1, "g2": 0.2})
    assert found["dataset"].tolist() == ["g1"]
    row = found.iloc[0]
    assert row["gain"] == pytest.approx(15.0)
    assert row["low"] < 15 < row["high"]
    assert row["seeds"] == 2
    points = own_points.points(frame, {"g1": 0.1}, kind="points")
    assert points["gain"].iloc[0] == pytest.approx(7.0)


def test_own_points_without_runs_are_an_empty_table():
    assert list(own_points.points(pd.DataFrame(), {}).columns) == list(own_points.COLUMNS)
    one = cells({("g1", "original"): [0.5], ("g1", "cgan-augcls"): [0.6]})
    assert own_points.points(one, {}).empty
    assert np.isnan(own_points.points(one, {"g1": 0.1})["low"].iloc[0])


def test_table5_takes_own_points_below_the_papers():
    own = pd.DataFrame({"dataset": ["g1"], "series": ["gardens"], "ssim_sup_sub_cls": [0.1], "gain": [4.0]})
    table = own_points.table5(own)
    assert len(table) == 9
    assert np.allclose(table["printed"][:8], table["recomputed"][:8], atol=0.005)
    last = table.iloc[-1]
    assert (last["recomputed"], last["source"]) == (4.0, "gardens")
    assert last["unseen"] == last["refit"]
    assert (table["unseen"][:8] != table["refit"][:8]).all()


class Notebook:
    """Collects verdicts as a notebook does."""

    def __init__(self):
        self.verdicts = {}

    def judge(self, claim, ours, **options):
        self.verdicts[claim] = claims.judge(claim, ours, **options).verdict


def test_every_claim_of_notebook_06_gets_its_verdict():
    nb, paper = Notebook(), rivals.paper_predictors()
    x, y = paper["ssim_sup_sub_cls"], paper["gain"]
    law_verdicts.judge_table3(nb)
    law_verdicts.judge_table5(nb, paper)
    law_verdicts.judge_eq4(nb)
    law_verdicts.judge_table6(nb, audit.compare_curves())
    shapes = curve.compare_models(x, y, models=curve.PAPER_MODELS)
    law_verdicts.judge_law(nb, shapes, uncertainty.jackknife(x, y, names=paper["dataset"]), paper)
    expected = claims.load()
    assert set(nb.verdicts) == set(expected.loc[expected["notebook"] == "06", "id"])
    assert nb.verdicts["table6.r2.cgan"] == claims.DIFFERS
    assert nb.verdicts["table6.mae.cgan.definition"] == claims.MATCHES
    assert nb.verdicts["table6.mae.gd.definition"] == claims.DIFFERS
    assert all(
        nb.verdicts[f"table5.{name.lower()}.improvement"] == claims.MATCHES for name in paper["dataset"]
    )
