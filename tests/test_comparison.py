"""Arms compared: means, paired differences, the sweep, and the figures of them."""


import numpy as np
import pandas as pd
import pytest

from gmaug import experiment, runs
from gmaug.experiment import CellSettings, comparison, tables, verdicts
from gmaug.plots import experiments
from gmaug.provenance import plain
from gmaug.study import plan

SCORES = ("top1", "head", "middle", "tail", "macro_f1")


def record(cell, value):
    """A cell's record with every score at `value`."""
    result = dict.fromkeys(SCORES, value) | {"steps": cell.settings.steps or 844, "classes": ["a"]}
    return {"cell": plain(cell), "result": result, "run": {"seconds": 1.0, "device": "cpu"}}


def made_up(family, value=lambda cell: 0.5):
    return experiment.frame([record(cell, value(cell)) for cell in plan.cells(family=family)])


@pytest.fixture(scope="module")
def cells():
    rng = np.random.default_rng(0)
    return made_up(
        "cells", lambda cell: 0.4 + 0.02 * plan.ARMS.index(cell.arm) + 0.01 * rng.standard_normal()
    )


def test_the_study_lists_every_arm_once():
    assert sorted(plan.ARMS) == sorted(experiment.ARMS)
    found = plan.cells()
    assert len(found) == len(set(found)) == 3 * 15 * 3
    assert {cell.settings.classifier for cell in plan.cells(family="mae")} == {"mae"}


def test_the_sweep_fixes_epochs_then_steps():
    found = {(c.settings.target, c.settings.steps) for c in plan.cells(family="sweep")}
    # 9 classes of 200 images, batches of 64, 30 epochs
    assert found == {(200, None), (400, None), (800, None), (400, 844), (800, 844)}
    assert len(plan.cells(family="sweep")) == 15
    assert CellSettings().training.steps(9 * 200) == 844


def test_the_first_round_is_read_by_family():
    sizes = {family: len(comparison.recorded_cells(family)) for family in plan.FAMILIES}
    assert sizes == {"cells": 135, "similarity": 27, "mae": 9, "sweep": 15}
    table = comparison.recorded_cells("mae")
    assert set(table["classifier"]) == {"mae"}
    assert set(table["device"]) == {"cpu (x86_64)"}


def test_gardens_between_the_three_are_no_part_of_the_whole_comparison():
    names = {family: {cell.dataset for cell in plan.cells(family=family)} for family in plan.FAMILIES}
    assert names["cells"] < names["similarity"]


def test_nothing_recorded_is_an_empty_table_everywhere(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    none = comparison.recorded_cells()
    assert none.empty
    assert comparison.summary(none).empty
    assert comparison.swept(comparison.recorded_cells("sweep")).empty
    assert comparison.swept_apart(comparison.recorded_cells("sweep")).empty
    over = comparison.paired(none, base="original")
    assert comparison.words(over, "cgan-augcls") == "not run"
    assert tables.by_group(over).empty
    assert tables.classifiers(none, none).empty
    sweep = comparison.swept(none)
    for figure in (
        experiments.differences(over, scores=["top1"], titles=["all"]),
        experiments.by_frequency(comparison.summary(none)),
        experiments.sweep(sweep, comparison.summary(none), scores=["top1"], titles=["all"]),
    ):
        assert [text.get_text() for text in figure.axes[0].texts] == ["not run"]


def test_means_and_errors_over_seeds():
    values = {0: 0.5, 1: 0.6, 2: 0.7}
    table = comparison.summary(made_up("mae", lambda cell: values[cell.seed]))
    assert list(table["arm"]) == list(plan.COMPARED)
    assert table["top1"].tolist() == pytest.approx([60.0] * 3)
    assert table["tail_se"].tolist() == pytest.approx([10 / np.sqrt(3)] * 3)


def test_differences_are_paired_by_seed():
    noise = {0: 0.1, 1: 0.0, 2: 0.3}
    gain = {"original": 0.0, "step-matched": 0.01, "cgan-augcls": 0.02}
    table = comparison.paired(
        made_up("mae", lambda cell: 0.4 + noise[cell.seed] + gain[cell.arm]), base="original"
    )
    assert table["difference"].tolist() == pytest.approx([1, 1, 2, 2])
    assert table["se"].max() < 1e-9, "the noise that the seeds share does not cancel"


def test_the_sweep_shares_the_target_where_both_are_one():
    value = {(200, None): 0.5, (400, None): 0.6, (800, None): 0.7, (400, 844): 0.55, (800, 844): 0.56}
    cells = made_up("sweep", lambda cell: value[cell.settings.target, cell.settings.steps])
    table = comparison.swept(cells).set_index(["fixed", "target"])["top1"]
    assert table["epochs"].to_dict() == pytest.approx({200: 50, 400: 60, 800: 70})
    assert table["steps"].to_dict() == pytest.approx({200: 50, 400: 55, 800: 56})


def test_the_sweep_tells_images_from_steps():
    value = {(200, None): 0.5, (400, None): 0.6, (800, None): 0.7, (400, 844): 0.45, (800, 844): 0.4}
    noise = {0: 0.1, 1: 0.0, 2: 0.3}
    cells = made_up("sweep", lambda c: noise[c.seed] + value[c.settings.target, c.settings.steps])
    table = comparison.swept_apart(cells).set_index("target")
    assert table["images"].to_dict() == pytest.approx({400: -5, 800: -10})
    assert table["steps"].to_dict() == pytest.approx({400: 15, 800: 30})
    assert table[["images_se", "steps_se"]].to_numpy().max() < 1e-9, "noise shared by seeds does not cancel"
    assert comparison.swept_apart(cells[cells["fixed_steps"].isna()]).empty


def test_the_figures_show_every_arm_and_garden(cells):
    from matplotlib import pyplot as plt

    means = comparison.summary(cells)
    over = comparison.paired(cells, base="original")
    sweep = comparison.swept(made_up("sweep"))
    figures = [
        experiments.by_frequency(means, groups=plan.GROUPS),
        experiments.differences(over, scores=["top1", "tail"], titles=["all", "tail"], groups=plan.GROUPS),
    ]
    for figure, arms in zip(figures, (plan.ARMS, plan.ARMS[1:]), strict=True):
        assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == list(arms)
        assert [text.get_text() for text in figure.legends[0].get_texts()] == list(plan.STUDIED)
    points = figures[0].axes[2].containers[0].lines[0].get_xdata()
    assert sorted(points) == pytest.approx(sorted(means[means["dataset"] == "garden-1"]["tail"]))
    lines = experiments.sweep(
        sweep, means[means["dataset"] == "garden-4"].head(2), scores=["top1"], titles=["all"]
    )
    assert [t.get_text() for t in lines.axes[0].get_xticklabels()] == ["200", "400", "800"]
    plt.close("all")


def test_tables_hold_what_was_run_and_say_what_was_not(cells):
    paper = pd.DataFrame({"dataset": ["Fungi"], "original_resnet18": [20.0], "original_mae": [74.67]})
    table = tables.table3(paper, comparison.summary(cells), comparison.summary(made_up("mae")))
    assert list(table.columns) == ["source", *paper.columns]
    assert table["source"].tolist() == ["paper"] + ["recorded"] * 3
    mae = table.set_index("dataset")["original_mae"]
    assert mae["Fungi"] == 74.67
    assert mae["garden-1"] == "not run"
    assert mae["garden-4"] == "50.0 ± 0.0"


def test_classifiers_stand_side_by_side_on_what_both_ran(cells):
    table = tables.classifiers(cells, made_up("mae"))
    assert list(table["classifier"]) == ["resnet18"] * 3 + ["mae"] * 3
    assert list(table["arm"]) == list(plan.COMPARED) * 2
    assert set(table["dataset"]) == {"garden-4"}
    assert table["gain"].iloc[4] == "+0.0 ± 0.0 points"
    assert table["gain"].iloc[0] == ""


def test_groups_are_split_by_base(cells):
    scores = ("head", "middle", "tail")
    over = [comparison.paired(cells, base=base, scores=scores) for base in ("original", "step-matched")]
    table = tables.by_group(*over).set_index(["arm", "dataset"])
    row = over[1].set_index(["arm", "dataset", "score"]).loc["smote", "garden-8", "tail"]
    expected = f"{row['difference']:+.1f} ± {row['se']:.1f}"
    assert table.loc[("smote", "garden-8"), "tail over step-matched"] == expected
    assert table.loc[("step-matched", "garden-1"), "tail over step-matched"] == ""


def test_a_fall_of_the_gain_with_similarity_is_told_from_none():
    place = sorted({cell.dataset for cell in plan.cells(family="similarity")}).index

    def gains(slope):
        noise = np.random.default_rng(1).normal
        filled = {"cgan-augcls": slope}
        return made_up(
            "similarity", lambda c: 0.5 + filled.get(c.arm, 0) * place(c.dataset) + noise(scale=0.01)
        )

    assert verdicts.fall(gains(-0.02)).pvalue < 0.01
    assert verdicts.fall(gains(0.02)).pvalue > 0.9
    few = gains(-0.02)
    assert np.isnan(verdicts.fall(few[few["dataset"].isin(["garden-1", "garden-8"])]).pvalue)
