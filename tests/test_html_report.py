"""The report is one page that needs nothing from outside."""

import json
import re

import pandas as pd
import pytest
from matplotlib.figure import Figure

from gmaug import claims, html_report, report


@pytest.fixture
def page(tmp_path):
    origin = {"profile": "smoke"}
    folder = tmp_path / "figures"
    data = pd.DataFrame({"x": [1, 2], "name": ["<b>", "plain"]})
    report.save_figure(Figure(), "fig1_x", folder=folder, data=data, caption="One & two", provenance=origin)
    report.save_table(data, "table1_x", folder=folder, caption="A table", provenance=origin)
    verdict = {"id": "eq4.curve", "paper": "51.95", "ours": "62.4 <points>", "verdict": "differs", "why": "w"}
    (tmp_path / "verdicts").mkdir()
    (tmp_path / "verdicts" / "06.json").write_text(json.dumps([verdict]))
    path = html_report.write(tmp_path, seconds={"01_x": 12.3}, parameters={"profile": "smoke", "seed": 0})
    return path.read_text(encoding="utf-8")


def test_it_holds_every_claim_and_the_given_verdict(page):
    assert page.count("class='verdict'") == len(claims.load())
    assert "62.4 &lt;points&gt;" in page
    assert "01_x" in page
    assert "12 s" in page


def test_it_fetches_nothing(page):
    assert re.findall(r"(?:src|href)=['\"](?!data:)", page) == []
    assert "data:image/png;base64," in page


def test_text_is_escaped(page):
    assert "One &amp; two" in page
    assert "<td>&lt;b&gt;</td>" in page
