"""What a notebook calls: parameters, stages, figures with their data, recorded runs, verdicts."""

import ast
import json
import sys
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest

from gmaug import notebook, published, runs
from gmaug.notebook import PROFILES, begin

ROOT = Path(__file__).parents[1]


@pytest.fixture
def nb(tmp_path, monkeypatch):
    monkeypatch.setenv("GMAUG_RUNS", str(tmp_path))
    monkeypatch.setenv("GMAUG_PROFILE", "smoke")
    return begin("03_similarity_metric", profile="default", seed=0, data=None)


def test_the_environment_picks_the_profile_and_bad_parameters_are_refused(nb, monkeypatch, tmp_path):
    assert nb.settings == PROFILES["smoke"]
    assert nb.folder == tmp_path / "smoke"
    assert begin("x", seed=3).folder == tmp_path / "smoke-seed3"
    monkeypatch.setenv("GMAUG_PROFILE", "larger")
    with pytest.raises(ValueError, match="PROFILE=larger: unknown; choose one of smoke, default, paper"):
        begin("x")
    monkeypatch.delenv("GMAUG_PROFILE")
    with pytest.raises(FileNotFoundError, match="DATA=nowhere: no such folder"):
        begin("x", data="nowhere")


def test_a_stage_is_kept_until_its_settings_or_inputs_change_and_prints_nothing(nb, capsys):
    calls = []

    def compute():
        calls.append(0)
        return {"n": len(calls)}

    assert nb.stage("x", compute, settings={"a": 1}) == {"n": 1}
    assert nb.stage("x", compute, settings={"a": 1}) == {"n": 1}
    assert nb.stage("x", compute, settings={"a": 2}) == {"n": 2}
    assert nb.stage("x", compute, settings={"a": 2}, inputs="other") == {"n": 3}
    assert capsys.readouterr().out == ""


def test_figures_of_two_runs_are_the_same_files(nb, tmp_path, monkeypatch):
    from matplotlib import pyplot as plt

    def drawn():
        figure, axes = plt.subplots()
        axes.plot([1, 2], [3, 4])
        nb.figure(figure, "fig1_x", data=pd.DataFrame({"x": [1, 2]}), caption="A line")
        nb.table(pd.DataFrame({"x": [1.5]}), "table1_x", caption="A number")
        assert not plt.get_fignums()  # shown once, by nb.figure alone
        return {path.name: path.read_bytes() for path in (nb.folder / "figures").iterdir()}

    first = drawn()
    monkeypatch.setattr(runs, "commit", lambda: "another")
    nb.started -= 100
    assert drawn() == first
    sidecar = json.loads(first["fig1_x.json"])
    assert sidecar["provenance"]["notebook"] == "03_similarity_metric"
    assert not {"commit", "date", "seconds"} & set(sidecar["provenance"])


@pytest.mark.parametrize("live", [False, True])
def test_what_a_reader_can_move_is_a_picture_where_nobody_looks(nb, monkeypatch, live):
    import IPython.display
    from matplotlib.figure import Figure

    controls, shown = [], []
    monkeypatch.setattr(IPython.display, "display", shown.append)
    fake = SimpleNamespace(interact=lambda show, **given: controls.append((signature(show), given)))
    monkeypatch.setitem(sys.modules, "ipywidgets", fake)
    monkeypatch.delenv(notebook.LIVE_VARIABLE, raising=False)
    if live:
        monkeypatch.setenv(notebook.LIVE_VARIABLE, "book.ipynb")

    def draw(strength=0.2):
        return Figure(figsize=(1 + strength, 1))

    nb.interact(draw, strength=(0.0, 1.0, 0.1))
    if live:
        assert not shown
        assert controls == [(signature(draw), {"strength": (0.0, 1.0, 0.1)})]
    else:
        assert shown[0].data.startswith(b"\x89PNG")
        assert not controls


def test_a_recorded_run_says_in_a_line_where_it_comes_from(nb, capsys):
    record = nb.recorded("metric", "scene")
    assert record["content"]["similarity"]["images"] == 2400
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert record["made"]["date"] in out
    assert record["made"]["commit"] in out
    with pytest.raises(runs.NotRecorded):
        nb.recorded("metric", "nothing")


def test_judging_twice_keeps_one_verdict_and_the_closing_table_is_left_for_the_report(nb):
    nb.judge("abstract.decay", False, p=0.001)
    nb.judge("abstract.decay", "flat", inconclusive=True, why="eight points")
    nb.verdicts()
    (verdict,) = json.loads((nb.folder / "verdicts" / "03_similarity_metric.json").read_text())
    assert verdict["verdict"] == "inconclusive"


def test_the_profiles_differ_in_size_alone():
    assert list(PROFILES) == ["smoke", "default", "paper"]
    assert {type(profile) for profile in PROFILES.values()} == {notebook.Profile}


def literal_verdicts():
    """Calls of ``judge`` whose answer is written down instead of computed, with their claim."""
    cells = [
        "".join(cell["source"])
        for path in sorted((ROOT / "notebooks").glob("*.ipynb"))
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    files = [path.read_text(encoding="utf-8") for path in sorted((ROOT / "gmaug").rglob("*.py"))]
    for source in [*cells, *files]:
        calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
        for call in calls:
            if getattr(call.func, "attr", None) != "judge" or len(call.args) < 2:
                continue
            holds = {word.arg: word.value for word in call.keywords}.get("holds")
            ours = getattr(call.args[1], "value", None)
            if isinstance(holds, ast.Constant) or isinstance(ours, bool):
                yield ast.literal_eval(call.args[0])


def test_no_verdict_is_written_down_unless_it_holds_by_construction():
    kinds = published.claims().set_index("id")["kind"]
    assert [claim for claim in literal_verdicts() if kinds[claim] != "construction"] == []
