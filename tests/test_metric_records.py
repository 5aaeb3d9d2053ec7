"""Records of photographs: what they hold, and the numbers that their code gives on a tiny set."""

import numpy as np
import pytest
import record
from pictures import textures, write_folder

from gmaug import runs
from gmaug.datasets.base import ArrayImages
from gmaug.similarity import measure

TINY = {"pairs": "2n", "seed": 0, "sizes": (32,), "conventions": ("wang2004", "global"), "smooth_images": 4}


VALUES = [0.2504258, 0.8191306, 0.0429345, 0.7914888, 0.3126011, 0.8463154, 0.0365805, 0.8092729]
ERRORS = [0.0219008, 0.0033776, 0.0300934, 0.0085601, 0.0222375, 0.0030191, 0.0299526, 0.0085071]
SEARCHED = 0.1955400
SMOOTH = [0.6547639, 0.3539633, 0.3515329]


def test_the_code_behind_a_record_gives_these_numbers(monkeypatch):
    """Whoever changes them has to measure the recorded photographs again (record.py metric)."""
    images = textures(24, 40)
    images[:9] = images[:9] // 4 + textures(1, 40, seed=7) // 2  # alike
    monkeypatch.setattr(record, "METRIC", TINY)
    found = record.metric_content(ArrayImages(images, np.repeat([0, 1, 2], [9, 8, 7])))
    rows = {row["convention"]: row for row in found["by_convention"]}
    assert list(rows) == ["paper", "paper at 32 px", "wang2004", "global"]
    values = [row[column] for row in rows.values() for column in ("merge", "sup_sub")]
    assert values == pytest.approx(VALUES, abs=1e-6)
    errors = [row[column] for row in rows.values() for column in ("merge_se", "sup_sub_se")]
    assert errors == pytest.approx(ERRORS, abs=1e-6)
    assert list(found["smooth"].values()) == pytest.approx(SMOOTH, abs=1e-6)
    assert rows["paper"]["argmax"] == "0"


def test_a_record_says_what_was_measured():
    for name in runs.record_names("metric"):
        record = runs.read_record("metric", name)
        content = record["content"]
        first = content["by_convention"][0]
        assert first["convention"] == "paper"
        assert first["sup_sub"] == content["similarity"]["ssim_sup_sub_cls"]["value"]
        assert record["data"]["images"] == content["similarity"]["images"]
        assert set(content["smooth"]) == set(content["similarity"]["super_classes"])


def test_a_folder_can_be_recorded(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RECORDED", tmp_path / "recorded")
    monkeypatch.setattr(record, "METRIC", TINY)
    write_folder(tmp_path / "data" / "flowers", {"daisy": 5, "rose": 6})
    path = record.record_metric("flowers", tmp_path / "data")
    assert path == tmp_path / "recorded" / "metric" / "flowers.json"
    kept = runs.read_record("metric", "flowers")
    assert kept["data"]["images"] == 11
    now = measure(tmp_path / "data" / "flowers", seed=kept["settings"]["seed"])
    assert kept["content"]["by_convention"][0] == pytest.approx(now.to_row())


def test_the_search_of_conventions_tries_each_once(monkeypatch):
    images = ArrayImages(textures(12, 40), np.repeat([0, 1], 6))
    monkeypatch.setattr(record, "SEARCH", record.SEARCH | {"images": 10})
    found = record.search_conventions({"toy": images})
    assert len({(row["window"], row["size"], row["fit"]) for row in found}) == len(found) == 32
    nearest = next(row for row in found if (row["window"], row["size"], row["fit"]) == ("7x7", 224, "crop"))
    assert nearest["toy merge"] == pytest.approx(SEARCHED, abs=1e-6)
