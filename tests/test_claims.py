"""The list of claims, and the judge."""

import json

import numpy as np
import pytest

from gmaug import claims, published


@pytest.fixture(scope="module")
def every():
    return claims.load().set_index("id")


def test_list_is_well_formed(every):
    assert every.index.is_unique
    assert set(every["kind"]) == {"number", "trend", "method", "statement"}
    assert set(every["notebook"]) == {"", "01", "02", "03", "04", "05", "06"}
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
    assert claims.judge("table6.r2.cgan", 0.87494).verdict == claims.MATCHES
    assert claims.judge("table6.r2.cgan", 0.87496).verdict == claims.DIFFERS
    assert claims.judge("table6.r2.cgan", np.float64(0.5)).verdict == claims.DIFFERS
    assert claims.judge("table6.r2.cgan", None).verdict == claims.NOT_RUN


def test_an_error_is_shown_and_widens_nothing():
    verdict = claims.judge("table5.flowers.ssim_sup_sub_cls", 0.19, se=0.1)
    assert verdict.verdict == claims.DIFFERS
    assert verdict.ours == "0.19 ± 0.1"
    assert claims.judge("table5.flowers.ssim_sup_sub_cls", 0.16).verdict == claims.MATCHES


def test_trends_need_a_decision():
    assert claims.judge("abstract.decay", False, why="x").verdict == claims.DIFFERS
    assert claims.judge("abstract.decay", "flat", holds=False).ours == "flat"
    assert claims.judge("sec4.3.mae_same", "one of four", itself=True).verdict == claims.ITSELF
    with pytest.raises(ValueError, match="holds"):
        claims.judge("abstract.decay", "rather")
    with pytest.raises(ValueError, match="tolerance"):
        claims.judge("table6.r2.cgan", 0.1, holds=True)


def test_unknown_claim_names_its_neighbours():
    with pytest.raises(ValueError, match=r"table6\.r2\.cgan"):
        claims.judge("table6.r3", 1.0)


def test_table_lists_every_claim(every):
    verdict = claims.judge("table6.r2.gd", 0.8823)
    frame = claims.table([verdict]).set_index("id")
    assert list(frame.index) == list(every.index)
    assert (frame["verdict"] != claims.NOT_RUN).sum() == 1
    assert frame.loc["table6.r2.gd", "verdict"] == claims.DIFFERS


def test_summary_reads_what_notebooks_left(tmp_path):
    verdicts = [claims.judge("table6.r2.gd", 0.8823), claims.judge("eq1.identity", 1.0)]
    (tmp_path / "06.json").write_text(json.dumps([vars(v) for v in verdicts]))
    text = claims.summary(tmp_path)
    assert "1 matches, 1 differs" in text
    assert "table6.r2.gd" in text
    assert len(claims.closing_table(claims.read(tmp_path))) == 2
    assert "0 matches" in claims.summary(tmp_path / "nothing")
