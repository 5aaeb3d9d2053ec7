"""Verdicts of notebook 06: what the paper's own numbers say of its claims about the law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from gmaug.law import (
    audit,
    checks as law_checks,
    curve,
    identifiability,
    rivals,
    rounding,
    significance,
    uncertainty,
)
from gmaug.published import EQ4

WORKING = ("flowers", "Fungi", "Reptiles", "Amphibians")
REPTILES = 0.0793  # Table 5: where printed and fitted curve are compared


def judge_table5(nb: Any, paper: pd.DataFrame) -> None:
    """Improvements, who is said to work, and the thresholds; `paper` as of ``rivals.paper_predictors``."""
    for row in paper.itertuples(index=False):
        nb.judge(f"table5.{row.dataset.lower()}.improvement", round(row.gain, 4))
    rule = law_checks.threshold_rule(paper)
    works = paper[rule["works"].to_numpy()]
    nb.judge(
        "table5.works",
        ", ".join(works["dataset"]),
        holds=set(works["dataset"]) == set(WORKING),
        why="the gains fall in two groups: up to 4.6 %, and from 24.7 %",
    )
    for column in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        why = "flowers' own value: the edge of what was seen"
        nb.judge(f"table5.threshold.{column}", works[column].max(), why=why)
    why = "'smaller than' would exclude flowers, which is counted as working"
    nb.judge("table5.threshold.strict", "flowers lies at both", itself=True, why=why)
    nb.judge(
        "sec3.3.prior",
        f"{rule['right'].sum()} of {len(rule)} sets on the right side",
        holds=bool(rule["right"].all()),
        why="threshold found from the other seven; a gain of 10 % or more counts as working",
    )


def judge_table3(nb: Any) -> None:
    """Significance, whole images, selection, the second classifier, the balanced loss, Table 7."""
    tests = significance.accuracy_tests(curve.paper_points()).query("model == 'cGAN'").set_index("dataset")
    sure = tests.loc[list(WORKING), "p_holm"] < 0.05
    why = "Fisher's exact test at 5 %, Holm-corrected for eleven gains"
    nb.judge("sec4.3.enhanced", f"{sure.sum()} of 4", holds=bool(sure.all()), why=why)
    cells = rounding.whole_images()
    bad = cells[~cells["possible"]]
    nb.judge(
        "table3.whole_images",
        f"{len(bad)} of {len(cells)} cells are not",
        holds=not len(bad),
        why="; ".join(f"{row.dataset} {row.printed} % of {row.images}" for row in bad.itertuples()),
    )
    mae = law_checks.mae_columns().set_index("dataset")
    gains = ", ".join(f"{name} {mae.loc[name, 'gain']:.1f}" for name in WORKING)
    least = mae["p"].min()
    nb.judge(
        "sec4.3.mae_same", f"{gains} %", itself=True, why=f"no gain is significant (least p {least:.2f})"
    )
    nb.judge(
        "sec3.5.any_classifier",
        f"MAE: {(mae['gain'] > 0).sum()} of 8 sets gain, {(mae['gain'] < 0).sum()} lose",
        itself=True,
        why="Table 3; none of the MAE's changes is significant",
    )
    kept = law_checks.selection().set_index("dataset")
    worse = kept[kept["difference"] < 0]
    nb.judge(
        "table3.selection",
        f"better on {(kept['difference'] > 0).sum()} of {len(kept)}",
        itself=bool(len(worse)),
        holds=not len(worse),
        why="; ".join(
            f"{name}: all {r['all']} %, selected {r['selected']} %" for name, r in worse.iterrows()
        ),
    )
    loss = law_checks.class_balanced_loss()
    less = loss["balanced_loss"] < loss["pipeline"]
    text = f"less on {less.sum()} of {len(loss)} sets"
    nb.judge("sec4.3.cb_loss", text, holds=bool(less.all()), why="Table 4 against Table 3")
    nb.judge(
        "sec1.easier",
        "ResNet18 50.0 against 52.1 %, MAE 88.9 against 80.4 %",
        holds=False,
        why="original accuracies of Fungi and Birds in Table 3; Fungi has 36 validation images",
    )
    _judge_table7(nb)


def judge_eq4(nb: Any) -> None:
    """The printed constants against the least-squares fit."""
    fit = audit.refit()
    base = rounding.recovered_base(fit)["from_rate"]
    nb.judge("eq4.base", round(base, 5), why="right as printed, and too few digits to compute with")
    there = identifiability.ridge(fit, np.array([EQ4.base])).iloc[0]
    why = "what the fit needs at the printed base; not identifiable by itself"
    for name in ("slope", "offset"):
        nb.judge(f"eq4.{name}", round(float(there[name]), 2), why=why)
    why = f"the least-squares fit to Table 5, at Reptiles; Eq. 4 as printed gives {float(EQ4(REPTILES)):.2f}"
    nb.judge("eq4.curve", round(float(fit(REPTILES)), 2), why=why)


def judge_table6(nb: Any, curves: pd.DataFrame) -> None:
    """Both rows of Table 6, in its words and by the definitions found; `curves` as of ``audit``."""
    printed, fitted = (curves.iloc[k] for k in (0, 1))
    for row in ("cgan", "gd"):
        why = "coefficient of determination of Eq. 4 as printed"
        nb.judge(f"table6.r2.{row}", round(printed[f"{row}_r2"], 4), why=why)
        why = "mean absolute error of Eq. 4 as printed"
        nb.judge(f"table6.mae.{row}", round(printed[f"{row}_mae"], 4), why=why)
        why = "squared correlation with the refit, found by search"
        nb.judge(f"table6.r2.{row}.definition", round(fitted[f"{row}_r2_pearson"], 4), why=why)
        why = "median absolute error of the refit, found by search, from inputs of two decimals"
        nb.judge(f"table6.mae.{row}.definition", round(fitted[f"{row}_median_ae"], 4), why=why)


def judge_law(nb: Any, shapes: pd.DataFrame, knife: pd.DataFrame, paper: pd.DataFrame) -> None:
    """Decay, effectiveness, prediction, indication, universality.

    Parameters
    ----------
    shapes, knife, paper : DataFrame
        As of ``curve.compare_models``, ``uncertainty.jackknife``, ``rivals.paper_predictors``.
    """
    error, best = shapes.set_index("model")["loo_mae"], shapes["model"].iloc[0]
    nb.judge(
        "abstract.decay",
        f"{best} first of {len(shapes)} shapes ({error[best]:.1f}); Eq. 4's fit {error['exponential']:.1f}, "
        f"any monotone curve {error['isotonic']:.1f}",
        holds=best in ("exponential", "log_linear"),
        why="leave-one-out error in points of gain: an exponential leads, by less than eight points can show",
    )
    nb.judge(
        "sec4.3.effective",
        f"{error['exponential']:.1f} against {error['published_step']:.1f} for two levels",
        holds=bool(error["exponential"] < error["published_step"]),
        why="leave-one-out error in points of gain",
    )
    x, y = paper["ssim_sup_sub_cls"], paper["gain"]
    low, high = uncertainty.prediction_interval(x, y, 0.1652)
    text = f"off by {error['exponential']:.1f} points on unseen sets; at 0.1652, {low:.0f} to {high:.0f} %"
    for claim in ("sec1.predict", "sec5.predict"):
        nb.judge(claim, text, holds=bool(low > 0), why="an 80 % interval that excludes a loss would match")
    ranks = rivals.rank_table(paper).set_index("predictor").loc["ssim_sup_sub_cls"]
    nb.judge(
        "abstract.related",
        f"Spearman {ranks['spearman']:.2f}, p {ranks['p']:.3f}",
        holds=bool(ranks["p"] < 0.05),
        why="exact test over all orders, at 5 %; the MAE's gains agree",
    )
    nb.judge(
        "sec5.indicator",
        f"p {ranks['p_any']:.2f} when five predictors are tried",
        holds=bool(ranks["p_any"] < 0.05),
        why="original accuracy and enlargement order the gains better",
    )
    fast, slow = knife["rate"].max(), knife["rate"].min()
    nb.judge(
        "sec5.regardless",
        f"rate {slow:.1f} to {fast:.1f} when one set is left out; the MAE's gains a tenth as large",
        holds=bool(fast < 2 * slow),
        why="the order holds for both classifiers, one common curve does not",
    )
    points = curve.paper_points()
    gd = points[points["model"] == "GD"]
    rho, p = significance.rank_test(gd["ssim_sup_sub_cls"], gd["gain"])
    nb.judge(
        "fig7.trend",
        f"Spearman {rho:.1f} on {len(gd)} sets, p {p:.0f}",
        holds=bool(p < 0.05),
        why="diffusion's three gains do not even fall in order; three points cannot show a trend",
    )


def _judge_table7(nb: Any) -> None:
    table: Mapping[str, Any] = law_checks.whole_inaturalist().set_index("comparison").to_dict("index")
    resnet, mae, sota = table.values()
    why = f"Table 7; p = {resnet['p']:.2f} on 3,030 images"
    nb.judge("table7.gain", round(resnet["difference"], 2), why=why)
    text = f"{mae['difference']:.1f} points"
    nb.judge(
        "table7.mae_gain",
        text,
        itself=mae["difference"] < 0,
        holds=True,
        why="Table 7: it lowers the accuracy",
    )
    nb.judge(
        "sec4.3.comparable",
        f"{sota['difference']:.1f} points: 1.5 times as many errors",
        holds=bool(sota["p"] > 0.05),
        why=f"{abs(sota['difference'] / sota['se']):.0f} standard errors on 3,030 images",
    )
