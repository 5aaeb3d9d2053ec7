"""Verdicts of notebook 05: what the recorded cells say of the paper's claims about accuracy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gmaug.experiment import comparison, tables

NOT_HERE = "needs the data sets and weeks on a GPU"
ONE_GARDEN_TEXT = "recorded cells on gardens, not the paper's data"


def judge_printed(nb: Any) -> None:
    """Claims that rest on data, models or a GPU that are not here: not run, and said so."""
    from gmaug import published

    tables = ("table2.fid", "table3.", "table4.", "table7.")
    for name in published.claims().query("notebook == '05'")["id"]:
        if name.startswith(tables) and name not in nb.judged:
            nb.judge(name, None, why=NOT_HERE)
    nb.judge("sec4.1.epochs_resnet", None, why="the paper profile asks for 100 epochs; it has not been run")
    nb.judge("sec4.1.epochs_mae", None, why="the paper profile's setting; ours is smaller and for gardens")
    nb.judge("sec4.1.gd_iterations", None, why="needs the ImageNet model and a GPU; ours starts from nothing")


def judge_table2(nb: Any, table: pd.DataFrame) -> None:
    """Diffusion's printed FIDs against the cGAN's, on the sets that have both."""
    both = table.dropna()
    higher = bool((both["gd_fid"] > both["stylegan2_fid"]).all())
    nb.judge(
        "table2.gan_lower",
        f"higher on {int((both['gd_fid'] > both['stylegan2_fid']).sum())} of {len(both)} sets",
        holds=higher,
        why="as printed; the two columns come from different FID pipelines and are not comparable",
    )


def judge_cells(nb: Any, cells: pd.DataFrame, gardens: pd.DataFrame) -> None:
    """Claims that the recorded cells can speak to; not run where there are no cells.

    Parameters
    ----------
    nb : gmaug.notebook.Notebook
    cells, gardens : DataFrame
        ``recorded_cells("cells")`` and ``recorded_cells("similarity")``.
    """
    claims = (
        "sec2.imbalance", "sec4.1.same_hyperparameters", "abstract.verified", "sec3.3.less_benefit",
        "sec4.3.only_small", "sec1.unfaithful", "sec4.3.why", "sec4.1.best_epoch",
    )  # fmt: skip
    if cells.empty or not {"original", "cgan-augcls"} <= set(cells["arm"]):
        for claim in claims:
            nb.judge(claim, None, why="no recorded cells")
        return
    means = comparison.summary(cells).set_index(["dataset", "arm"])
    plain = means.xs("original", level="arm")
    gap = plain["head"] - plain["tail"]
    nb.judge(
        "sec2.imbalance",
        ", ".join(f"{name} {value:.0f}" for name, value in gap.items()) + " points, head less tail",
        holds=bool((gap > 0).all()),
        why=ONE_GARDEN_TEXT,
    )
    best = 100 * (cells["validation_accuracy"] - cells["balanced_accuracy"])
    nb.judge(
        "sec4.1.best_epoch",
        f"best validation accuracy exceeds test accuracy by {best.mean():+.1f} ± {best.sem():.1f} points",
        se=None,
        holds=bool(best.mean() > 0),
        why="the paper reports the former; here epochs are chosen on validation and test is reported",
    )
    _judge_steps(nb, cells)
    _judge_similarity(nb, gardens)


def _judge_steps(nb: Any, cells: pd.DataFrame) -> None:
    """Does more training alone do what the generated images are credited with?"""
    over = comparison.paired(cells, base="original", scores=("top1",))
    steps = over[over["arm"] == "step-matched"]
    nb.judge(
        "sec4.1.same_hyperparameters",
        "more steps alone: " + comparison.text_of(steps) if len(steps) else "no step-matched cells",
        itself=True,
        why="epochs stay the same, so the filled set takes more gradient steps: not the same training",
    )


def fall(cells: pd.DataFrame, *, arm: str = "cgan-augcls", base: str = "original") -> Any:
    """Spearman's rank correlation of a garden's similarity with the gain of `arm` over `base`, seed by seed.

    Gardens are named in the order of their similarity. Seeds of a garden share its images and its
    generator, which the test does not know: its p is a little too small.

    Returns
    -------
    scipy result
        ``statistic``, and ``pvalue`` of no fall; NaN with fewer than three gardens.
    """
    chosen = cells[cells["arm"].isin([arm, base])]
    wide = chosen.pivot_table(index=["dataset", "seed"], columns="arm", values="top1")
    gains = (wide[arm] - wide[base]).dropna()
    place = gains.index.get_level_values("dataset")
    if place.nunique() < 3:
        return SimpleNamespace(statistic=np.nan, pvalue=np.nan)
    return stats.spearmanr(place.map(sorted(set(place)).index), gains, alternative="less")


def _judge_similarity(nb: Any, cells: pd.DataFrame) -> None:
    """Gain of the pipeline against similarity, over original and over step-matched training."""
    gains = comparison.paired(cells, base="original", scores=("top1",))
    gains = gains[gains["arm"] == "cgan-augcls"].sort_values("dataset")
    if gains.empty:
        claims = (
            "abstract.verified",
            "sec3.3.less_benefit",
            "sec4.3.only_small",
            "sec1.unfaithful",
            "sec4.3.why",
        )
        for claim in claims:
            nb.judge(claim, None, why="no garden has both arms recorded")
        return
    text, trend = comparison.text_of(gains), fall(cells)
    how = (
        f"{len(gains)} gardens of rising similarity: rank correlation with the gain of each seed "
        f"{trend.statistic:+.2f}, one-sided p {trend.pvalue:.2g}; below 5 % would match"
    )
    for claim in ("abstract.verified", "sec3.3.less_benefit"):
        nb.judge(claim, text, holds=bool(trend.pvalue < 0.05), why=how)
    alike, unlike = gains.iloc[-1], gains.iloc[0]
    nb.judge(
        "sec4.3.only_small",
        text,
        holds=bool(unlike["low"] > 0 and not alike["low"] > 0),
        why="a gain that excludes zero in the least alike garden and not in the most alike would match",
    )
    nb.judge(
        "sec1.unfaithful",
        f"{comparison.text_of(gains.tail(1))}, 95 % {alike['low']:+.1f} to {alike['high']:+.1f}",
        holds=bool(alike["low"] <= 0),
        why="no gain beyond doubt in the most alike garden would match",
    )
    quality = tables.generators_table()
    quality = quality[quality["generator"] == "cgan"]
    if "recognised" in quality and quality["recognised"].notna().sum() > 2:
        share = quality.dropna(subset="recognised").sort_values("garden")["recognised"]
        nb.judge(
            "sec4.3.why",
            ", ".join(f"{value:.0%}" for value in share) + " recognised, from unlike to alike",
            holds=bool(share.is_monotonic_decreasing),
            why="generated images recognised by an independent net; a fall would match",
        )
    else:
        nb.judge("sec4.3.why", None, why="fewer than three recorded generators")
