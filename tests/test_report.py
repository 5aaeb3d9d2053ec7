"""What a run hands over: figures with their data, verdicts on claims, the page, the README's table."""

import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from gmaug import published, report
from gmaug.reproduce import NOTEBOOKS

ROOT = Path(__file__).parents[1]

# ---- claims -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def every():
    return published.claims().set_index("id")


def test_list_is_well_formed(every):
    assert every.index.is_unique
    assert set(every["kind"]) <= {"number", "trend", "method", "statement", "construction"}
    assert set(every["notebook"]) <= {"", *(name[:2] for name in NOTEBOOKS), "07", "08"}
    assert (every[["section", "claim", "paper", "test"]] != "").all(axis=None)
    bounded = every[every["tolerance"].notna()]
    assert (bounded["reason"] != "").all()
    assert (every.loc[every["tolerance"].isna(), "reason"] == "").all()
    bounded["paper"].astype(float)  # a tolerance needs a number to compare with
    for section in ("Abstract", "3.1", "3.2", "3.3", "3.4", "3.5", "4.1", "4.2", "4.3", "5"):
        assert every["section"].str.contains(section, regex=False).any(), section


def test_every_number_of_the_short_tables_has_its_row(every):
    for name in published.DATASETS:
        for column in ("ssim_merge_cls", "ssim_sup_sub_cls"):
            five = published.load("table5", printed=True).set_index("dataset")
            assert every.loc[f"table5.{name.lower()}.{column}", "paper"] == five.loc[name, column]
    six = published.load("table6", printed=True).set_index("model")
    assert every.loc["table6.mae.gd", "paper"] == six.loc["GD-augCls", "mae"]
    three = published.load("table3", printed=True)
    for column in three.columns[1:]:
        printed = every.loc[f"table3.{column}", "paper"].split()
        assert printed == [cell or "-" for cell in three[column]]


def test_numbers_are_decided_by_the_tolerance():
    assert report.judge("table6.r2.cgan", 0.87494)["verdict"] == report.MATCHES
    assert report.judge("table6.r2.cgan", 0.87496)["verdict"] == report.DIFFERS
    assert report.judge("table6.r2.cgan", np.float64(0.5))["verdict"] == report.DIFFERS
    assert report.judge("table6.r2.cgan", None)["verdict"] == report.NOT_RUN


def test_an_interval_that_holds_both_answers_is_inconclusive():
    # the paper says 0.1652, and within 0.012 matches
    name = "table5.flowers.ssim_sup_sub_cls"
    assert published.claims().set_index("id").loc[name, "tolerance"] == 0.012
    verdict = report.judge(name, 0.19, se=0.1)
    assert verdict["verdict"] == report.INCONCLUSIVE
    assert verdict["ours"] == "0.19 ± 0.1"
    assert report.judge(name, 0.1652, se=0.1)["verdict"] == report.INCONCLUSIVE  # it could be anywhere
    assert report.judge(name, 0.16, se=0.001)["verdict"] == report.MATCHES
    assert report.judge(name, 0.19, se=0.001)["verdict"] == report.DIFFERS
    assert report.judge(name, 0.16)["verdict"] == report.MATCHES


def test_a_p_value_above_5_percent_is_never_differs():
    verdicts = {
        p: report.judge("abstract.related", False, p=p)["verdict"] for p in (0.001, 0.05, 0.0501, 0.7)
    }
    assert list(verdicts.values()) == [report.DIFFERS] * 2 + [report.INCONCLUSIVE] * 2
    assert report.judge("abstract.related", True, p=0.7)["verdict"] == report.MATCHES
    assert report.judge("abstract.related", "r = 0.1", inconclusive=True)["verdict"] == report.INCONCLUSIVE


def test_what_holds_by_construction_is_listed_and_not_counted(monkeypatch):
    rows = published.claims()
    total = len(rows) - (rows["kind"] == "construction").sum()
    rows.loc[rows["id"] == "sec3.4.stop", "kind"] = "construction"
    monkeypatch.setattr(report.published, "claims", rows.copy)
    report._rows.cache_clear()
    try:
        holds, not_so = (report.judge("sec3.4.stop", truth) for truth in (True, False))
        assert holds["verdict"] == report.CONSTRUCTION
        assert not_so["verdict"] == report.DIFFERS  # and it can fail
        frame = report.table([holds])
        assert report.tally(frame).startswith(f"{total - 1} claims: 0 matches")
        assert "not counted" in report.tally(frame)
        assert report.tally(report.table([not_so])).startswith(f"{total} claims: 0 matches, 1 differs")
        assert len(report.closing_table([holds])) == 1
    finally:
        report._rows.cache_clear()


def test_trends_need_a_decision():
    assert report.judge("abstract.decay", False, why="x")["verdict"] == report.DIFFERS
    assert report.judge("abstract.decay", "flat", holds=False)["ours"] == "flat"
    assert report.judge("sec4.3.mae_same", "one of four", itself=True)["verdict"] == report.ITSELF
    with pytest.raises(ValueError, match="holds"):
        report.judge("abstract.decay", "rather")
    with pytest.raises(ValueError, match="tolerance"):
        report.judge("table6.r2.cgan", 0.1, holds=True)


def test_unknown_claim_names_its_neighbours():
    with pytest.raises(ValueError, match=r"table6\.r2\.cgan"):
        report.judge("table6.r3", 1.0)


def test_table_lists_every_claim(every):
    verdict = report.judge("table6.r2.gd", 0.8823)
    frame = report.table([verdict]).set_index("id")
    assert list(frame.index) == list(every.index)
    assert (frame["verdict"] != report.NOT_RUN).sum() == 1
    assert frame.loc["table6.r2.gd", "verdict"] == report.DIFFERS


def test_closing_table_folds_away_what_was_not_run_and_the_book_reads_all_of_it(tmp_path):
    verdicts = [report.judge("table6.r2.gd", 0.8823), report.judge("table6.r2.cgan", None, why="no | data")]
    text = report.closing_text(verdicts)
    assert text.index("differs") < text.index("not run here: 1") < text.index("no \\| data")
    output = nbformat.v4.new_output("display_data", {"text/markdown": text})
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(outputs=[output])])
    nbformat.write(book, tmp_path / "06_x.ipynb")
    found = {row["id"]: row for row in report.committed_verdicts(tmp_path)}
    assert {name: row["verdict"] for name, row in found.items()} == {
        "table6.r2.gd": report.DIFFERS, "table6.r2.cgan": report.NOT_RUN
    }  # fmt: skip
    assert found["table6.r2.cgan"]["why"] == "no | data"
    assert report.closing_text(verdicts[:1]).count("<details>") == 0


def test_summary_reads_what_notebooks_left(tmp_path):
    verdicts = [report.judge("table6.r2.gd", 0.8823), report.judge("eq1.identity", 1.0)]
    (tmp_path / "06.json").write_text(json.dumps(verdicts))
    text = report.summary(tmp_path)
    assert "1 differs" in text
    assert "table6.r2.gd" in text
    assert len(report.closing_table(report.read_verdicts(tmp_path))) == 2
    assert "0 matches" in report.summary(tmp_path / "nothing")


# ---- figures ------------------------------------------------------------------------------


def saved(folder):
    data = pd.DataFrame({"x": [1, 2]})
    about = {"folder": folder, "data": data, "caption": "c", "provenance": {"profile": "smoke"}}
    report.save_figure(Figure(), "fig1_x", **about)
    report.save_figure(Figure(), "extra_y", **about)


def test_refresh_leaves_a_users_own_files_alone(tmp_path):
    mine = ("notes.md", "sketch.png", "figure-of-mine.svg", "tables.csv", ".hidden")
    (tmp_path / "figures").mkdir()
    for name in (*mine, "fig9_gone.svg", "table8_gone.csv"):
        (tmp_path / "figures" / name).write_text("mine")
    saved(tmp_path / "run")
    report.refresh(tmp_path / "run", tmp_path / "figures")
    there = {path.name for path in (tmp_path / "figures").iterdir()}
    assert there == {*mine, *(f"fig1_x.{ending}" for ending in ("svg", "png", "csv", "json"))}


def test_an_unchanged_figure_is_an_unchanged_file(tmp_path):
    saved(tmp_path / "a")
    saved(tmp_path / "b")
    for path in (tmp_path / "a").iterdir():
        assert path.read_bytes() == (tmp_path / "b" / path.name).read_bytes(), path.name


# ---- the README ---------------------------------------------------------------------------


def test_verdicts_are_written_between_the_markers(tmp_path):
    verdicts = [{"id": report.SHOWN[0], "paper": "0.1652", "ours": "0.156", "verdict": "matches", "why": "w"}]
    (tmp_path / "03.json").write_text(json.dumps(verdicts))
    page = tmp_path / "README.md"
    page.write_text(f"before\n{report.BEGIN}\nformer table\n{report.END}\nafter\n")
    report.write_verdicts(tmp_path, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "former" not in text
    assert "| 0.156 | matches |" in text
    report.write_verdicts(tmp_path, page)
    assert page.read_text() == text


def test_missing_markers_are_an_error(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="put them back"):
        report.write_verdicts(tmp_path, tmp_path / "README.md")


def test_links_lead_somewhere():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)]+)\)", text) if "://" not in link]
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]
    assert all(f"notebooks/{name}.ipynb" in text for name in NOTEBOOKS)


def test_the_committed_figures_have_their_data_and_sidecar():
    names = {path.stem for path in (ROOT / "figures").glob("*.json")}
    for kind, endings in (("fig", ("svg", "png", "csv")), ("table", ("csv", "md"))):
        found = sorted(name for name in names if name.startswith(kind))
        assert {name[len(kind)] for name in found} >= set("1234567")
        for name in found:
            assert all((ROOT / "figures" / f"{name}.{ending}").is_file() for ending in endings)
            sidecar = json.loads((ROOT / "figures" / f"{name}.json").read_text(encoding="utf-8"))
            assert {"caption", "data", "provenance"} <= set(sidecar)
            assert {"profile", "seed", "data", "versions", "machine"} <= set(sidecar["provenance"])
            assert not {"commit", "seconds_since_start", "source_hash", "date"} & set(sidecar["provenance"])
