"""The recorded metric of real photographs: read, refused, compared, recorded."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from gmaug import runs
from gmaug.datasets import open_images
from gmaug.datasets.folder import export
from gmaug.datasets.garden import FIRST_GARDENS, plant
from gmaug.similarity import recording as metric_records

DATA = Path(os.environ.get("GMAUG_DATA") or Path(__file__).parents[1] / "../shared/data")


def test_what_is_recorded_matches_today_s_source_and_settings():
    found, refused = metric_records.recorded()
    assert not refused, f"python -m gmaug.similarity.recording: {refused}"
    assert set(found) == set(metric_records.REAL)


def test_a_record_says_what_was_measured():
    for name in metric_records.REAL:
        record = json.loads(runs.record_path("metric", name).read_text(encoding="utf-8"))
        content = record["content"]
        first = content["by_convention"][0]
        assert first["convention"] == "paper"
        assert first["sup_sub"] == content["similarity"]["ssim_sup_sub_cls"]["value"]
        assert record["data"]["images"] == content["similarity"]["images"]
        assert set(content["smooth"]) == set(content["similarity"]["super_classes"])


def test_recorded_values_lie_near_table_5():
    found, _ = metric_records.recorded()
    table = metric_records.compared(found, {}).dropna(subset=["recorded"])
    assert len(table) == 2 * len(found)
    limits = {"flowers": 0.012, "scene": 0.015}  # the copies: one recompressed, one a sample
    off = (table["paper"] - table["recorded"]).abs()
    assert (off <= table["data set"].map(limits)).all()


def test_nothing_measured_is_not_run():
    table = metric_records.compared({}, {"flowers": {"merge": 0.1, "merge_se": 0.01, "sup_sub": 0.2}})
    verdicts = {claim: (ours, why) for claim, ours, _, why in metric_records.verdicts(table)}
    assert len(verdicts) == 16
    assert verdicts["table5.birds.ssim_merge_cls"][0] is None
    assert verdicts["table5.flowers.ssim_merge_cls"][0] == 0.1
    assert verdicts["table5.flowers.ssim_merge_cls"][1].startswith("this run")


def test_a_folder_can_be_recorded_and_read_again(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RECORDED", tmp_path / "recorded")
    export(plant(FIRST_GARDENS["garden-4"], seed=0).train, tmp_path / "data" / "flowers", size=32, every=30)
    monkeypatch.setattr(metric_records, "SIZES", (32, 224))
    path = metric_records.record("flowers", root=tmp_path / "data")
    assert path == tmp_path / "recorded" / "metric" / "flowers.json"
    record = runs.read_record("metric", "flowers")
    images = open_images("flowers", root=tmp_path / "data")
    assert record["data"] == metric_records.data_of(images, "flowers")


def test_smooth_windows_are_counted():
    flat = metric_records.smooth_share(plant(FIRST_GARDENS["garden-1"], seed=0).train, each=3)
    assert set(flat) == {"flower", "mushroom", "bird"}
    assert all(0 <= share <= 1 for share in flat.values())


@pytest.mark.skipif(not (DATA / "scene").is_dir(), reason="no photographs: set GMAUG_DATA")
def test_the_photographs_here_are_those_that_were_recorded():
    found, _ = metric_records.recorded()
    if "scene" not in found:
        pytest.skip("scene is not recorded")
    images = open_images("scene", root=DATA)
    assert found["scene"]["data"] == metric_records.data_of(images, "scene")
    assert np.isfinite(found["scene"]["content"]["similarity"]["ssim_sup_sub_cls"]["value"])


def test_a_missing_benchmark_is_said(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    bench, note = metric_records.benchmark()
    assert bench is None
    assert "not recorded" in note
