"""``python -m gmaug advise``: forecasts, verdicts, the command, and its errors."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmaug import published
from gmaug.__main__ import main
from gmaug.advice import forecast
from gmaug.advice.advise import advise
from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages
from gmaug.similarity.estimates import Estimate

DATA = Path(os.environ.get("GMAUG_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def estimate(value, half=0.002, images=100):
    return Estimate(value, half / 2, value - half, value + half, images, 2 * images)


def images(counts=(20, 8), *, side=160, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.arange(len(counts)), counts)
    return ArrayImages(rng.integers(0, 255, (len(labels), side, side), dtype=np.uint8), labels)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("set")
    given = images()
    for k in range(len(given)):
        path = root / given.classes[given.labels[k]] / f"{k}.png"
        path.parent.mkdir(exist_ok=True)
        given.image(k, size=160).save(path)
    return root


def by_model(found):
    return {f.model: f for f in found}


def test_forecasts_at_a_published_point():
    found = by_model(forecast.forecasts(estimate(0.1652), merge=estimate(0.1319), enlargement=3.57))
    assert found["Eq. 4 as printed"].expected == pytest.approx(float(published.EQ4(0.1652)))
    assert found[forecast.REFIT].expected == pytest.approx(20.2, abs=0.1)
    for f in found.values():
        assert f.low < f.expected < f.high, f.model
        assert f.note == ""
    # None of the curves may promise what its own errors on eight points deny.
    assert found["Eq. 4 as printed"].high - found["Eq. 4 as printed"].low > 60


def test_an_uncertain_metric_widens_the_forecast():
    sure, unsure = (
        by_model(forecast.forecasts(estimate(0.12, half), merge=estimate(0.1), enlargement=2.0))[
            forecast.REFIT
        ]
        for half in (0.001, 0.03)
    )
    assert sure.expected == unsure.expected
    assert unsure.low < sure.low
    assert unsure.high > sure.high


def test_accuracy_adds_a_rival_and_a_ceiling():
    found = forecast.forecasts(estimate(0.08), merge=estimate(0.07), enlargement=7, original=90.0)
    assert any("original accuracy" in f.model for f in found)
    assert max(f.high for f in found) <= 100 * 10 / 90 + 1e-9


def test_outside_the_published_range_is_said():
    found = forecast.forecasts(estimate(0.6), merge=estimate(0.5), enlargement=40.0)
    assert all("outside" in f.note for f in found)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.08, 0.002, forecast.TRY),
        (0.1652, 0.002, forecast.TRY),
        (0.21, 0.01, forecast.UNKNOWN),  # between the published points
        (0.30, 0.01, forecast.LITTLE),
        (0.22, 0.08, forecast.UNKNOWN),  # on both sides
    ],
)
def test_verdicts(value, half, verdict):
    assert forecast.neighbours(estimate(value, half))[0] == verdict


def test_images_to_see_a_gain():
    """Against the textbook: 50 % against 60 % takes about 385 a side."""
    assert forecast.images_to_see(50, 20) == pytest.approx(385, abs=3)
    assert forecast.images_to_see(50, 1) > 50 * forecast.images_to_see(50, 20)
    with pytest.raises(ValueError, match="above 0"):
        forecast.images_to_see(50, 0)


def test_advice_adds_up():
    given = advise(images((20, 8)), progress=False)
    assert given.class_counts == {"0": 20, "1": 8}
    assert (given.target, given.to_generate, given.imbalance) == (20, 12, 2.5)
    assert given.enlargement == pytest.approx(40 / 28)
    more = advise(images((20, 8)), target=50, progress=False)
    assert more.to_generate == 72
    assert any("validation" in step for step in given.next_steps)


def test_balanced_or_tiny_images_are_not_advised_on():
    balanced = advise(images((12, 12)), progress=False)
    assert balanced.verdict == forecast.UNKNOWN
    assert "balanced" in balanced.recommendation
    assert balanced.to_generate == 0
    tiny = advise(images((20, 8), side=32), progress=False)
    assert tiny.verdict == forecast.UNKNOWN
    assert any("smoother" in warning for warning in tiny.warnings)


def test_command_prints_one_json_object(folder, capsys, tmp_path):
    picture = tmp_path / "advice.png"
    assert main(["advise", str(folder), "--json", "--figure", str(picture)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert {
        "images", "skipped", "ssim_merge_cls", "ssim_sup_sub_cls", "super_classes",
        "class_counts", "predictions", "recommendation",
    } <= set(printed)  # fmt: skip
    for prediction in printed["predictions"]:
        low, high = prediction["interval"]
        assert low <= prediction["expected_gain_percent"] <= high
    assert Image.open(picture).width > 500


def test_command_prints_plain_words(folder, capsys):
    assert main(["advise", str(folder)]) == 0
    out = capsys.readouterr().out
    assert "Recommendation" in out
    assert "Eq. 4 as printed" in out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--accuracy", "0"], "between 0 and 100"),
        (["--accuracy", "120"], "between 0 and 100"),
        (["--target", "3"], "below the largest"),
        (["--seed", "-1"], "0 or more"),
        (["--figure", "advice.txt"], ".png"),
    ],
)
def test_bad_options_are_one_line(folder, capsys, options, words):
    assert main(["advise", str(folder), *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_bad_folders_are_one_line(folder, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    one = tmp_path / "one" / "cats"
    two = tmp_path / "two"
    for path in (one / "a.png", one / "b.png", two / "cats" / "a.png", two / "dogs" / "b.png"):
        path.parent.mkdir(parents=True, exist_ok=True)
        images((1,), side=160).image(0, size=160).save(path)
    for path, words in (
        (tmp_path / "missing", "no such"),
        (tmp_path / "empty", ""),
        (tmp_path / "one", "nothing to balance"),
        (two, "two usable images"),
    ):
        assert main(["advise", str(path), "--json"]) == 2, path
        captured = capsys.readouterr()
        assert words in captured.err
        assert captured.err.count("\n") == 1
        assert captured.out == ""


@pytest.mark.skipif(not (DATA / "flowers").is_dir(), reason=f"no photographs in {DATA}/flowers")
def test_flowers_is_advised_by_its_neighbours():
    """A part of flowers, for time: dandelion is the most alike, and the metric near Table 5's."""
    whole = open_images(DATA / "flowers")
    rng = np.random.default_rng(0)
    part = whole.subset(np.sort(rng.permutation(len(whole))[:500]))
    given = advise(part, progress=False)
    assert given.similarity.argmax == "dandelion"
    assert given.verdict == forecast.TRY
    assert given.class_counts.keys() == whole.class_counts.keys()


def test_forecasts_of_recorded_measurements():
    kept = advise(images((20, 8)), progress=False)
    table = forecast.of_measured({"a": json.loads(json.dumps(kept.similarity.to_dict()))})
    assert table["verdict"].tolist() == [kept.verdict]
    assert table["images"].tolist() == [28]
    assert forecast.of_measured({}).empty
