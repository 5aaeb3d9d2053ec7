"""The README's verdicts come from a run, and its promises name what is there."""

import json
import re
from pathlib import Path

import pytest

from gmaug import readme
from gmaug.reproduce import NOTEBOOKS

ROOT = Path(__file__).parents[1]


def test_verdicts_are_written_between_the_markers(tmp_path):
    verdicts = [{"id": readme.SHOWN[0], "paper": "0.1652", "ours": "0.156", "verdict": "matches", "why": "w"}]
    (tmp_path / "03.json").write_text(json.dumps(verdicts))
    page = tmp_path / "README.md"
    page.write_text(f"before\n{readme.BEGIN}\nold\n{readme.END}\nafter\n")
    assert readme.render(tmp_path, page)
    text = page.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| 0.156 | matches |" in text
    assert not readme.render(tmp_path, page)


def test_missing_markers_are_an_error(tmp_path):
    (tmp_path / "README.md").write_text("nothing")
    with pytest.raises(ValueError, match="put them back"):
        readme.render(tmp_path, tmp_path / "README.md")


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
        assert [name[len(kind)] for name in found] == list("1234567")
        for name in found:
            assert all((ROOT / "figures" / f"{name}.{ending}").is_file() for ending in endings)
            sidecar = json.loads((ROOT / "figures" / f"{name}.json").read_text(encoding="utf-8"))
            assert {"caption", "data", "provenance"} <= set(sidecar)
            provenance = {"profile", "seed", "data", "source_hash", "versions", "device"}
            assert provenance <= set(sidecar["provenance"])
