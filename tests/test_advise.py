"""``python -m gmaug advise``: forecasts, verdicts, the command, and its errors."""

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from gmaug import advice, published
from gmaug.__main__ import main
from gmaug.advice import advise
from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages
from gmaug.similarity import Estimate

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


@pytest.fixture(scope="module")
def given():
    return advise(images(), progress=False)


def by_model(found):
    return {f.model: f for f in found.itertuples()}


def test_forecasts_at_a_published_point():
    found = by_model(advice.forecasts(estimate(0.1652), merge=estimate(0.1319), enlargement=3.57))
    assert found["Eq. 4 as printed"].expected == pytest.approx(float(published.EQ4(0.1652)))
    assert found[advice.REFIT].expected == pytest.approx(20.2, abs=0.1)
    for f in found.values():
        assert f.low < f.expected < f.high, f.model
        assert f.note == ""
    # None of the curves may promise what its own errors on eight points deny.
    assert found["Eq. 4 as printed"].high - found["Eq. 4 as printed"].low > 60


def test_an_uncertain_metric_widens_the_forecast():
    sure, unsure = (
        by_model(advice.forecasts(estimate(0.12, half), merge=estimate(0.1), enlargement=2.0))[advice.REFIT]
        for half in (0.001, 0.03)
    )
    assert sure.expected == unsure.expected
    assert unsure.low < sure.low
    assert unsure.high > sure.high


def test_accuracy_adds_a_rival_and_no_gain_goes_beyond_all_right(given):
    more = advise(images(), accuracy=90.0, progress=False)
    assert more.forecasts["model"].str.contains("original accuracy").any()
    assert more.forecasts["high"].max() <= 100 * 10 / 90 + 1e-9
    tight = advise(images((20, 8)), accuracy=99.9, progress=False)
    assert all(
        "cut to what is possible" in f.note for f in tight.forecasts.itertuples() if f.expected == f.low
    )
    assert any("no more than 0.1 %" in warning for warning in tight.words["warnings"])
    assert given.forecasts["high"].max() <= 100  # two classes: guessing is right on half
    assert given.to_dict()["most_gain_percent"] == 100


def test_outside_the_published_range_is_said():
    found = advice.forecasts(estimate(0.6), merge=estimate(0.5), enlargement=40.0)
    assert found["note"].str.contains("outside").all()


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (0.08, 0.002, advice.TRY),
        (0.1652, 0.002, advice.TRY),
        (0.21, 0.01, advice.UNKNOWN),  # between the published points
        (0.30, 0.01, advice.LITTLE),
        (0.22, 0.08, advice.UNKNOWN),  # on both sides
        (0.033, 0.002, advice.UNKNOWN),  # below all published sets
        (0.975, 0.002, advice.UNKNOWN),  # above them
        (0.078, 0.002, advice.TRY),  # the interval reaches the lowest
    ],
)
def test_verdicts(value, half, verdict):
    found, why = advice.judge(estimate(value, half))
    assert found == verdict
    assert ("below all published sets (0.079 to 0.383)" in why) == (value == 0.033)
    assert ("above all published sets" in why) == (value == 0.975)


def test_images_to_see_a_gain():
    """Against the textbook: 50 % against 60 % takes about 385 a side."""
    assert advice.images_to_see(50, 20) == pytest.approx(385, abs=3)
    assert advice.images_to_see(50, 1) > 50 * advice.images_to_see(50, 20)
    with pytest.raises(ValueError, match="above 0"):
        advice.images_to_see(50, 0)


def test_advice_adds_up(given):
    assert given.class_counts == {"0": 20, "1": 8}
    assert (given.target, given.to_generate, given.imbalance) == (20, 12, 2.5)
    assert given.enlargement == pytest.approx(40 / 28)
    more = advise(images((20, 8)), target=50, progress=False)
    assert more.to_generate == 72
    assert any("validation" in step for step in given.words["next_steps"])


def test_balanced_or_tiny_images_are_not_advised_on():
    balanced = advise(images((12, 12)), progress=False)
    assert balanced.verdict == advice.UNKNOWN
    assert "balanced" in balanced.words["recommendation"][0]
    assert balanced.to_generate == 0
    tiny = advise(images((20, 8), side=32), progress=False)
    assert tiny.verdict == advice.UNKNOWN
    assert any("smoother" in warning for warning in tiny.words["warnings"])


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
        (["--accuracy", "0"], "between 1 and 100"),
        (["--accuracy", "120"], "between 1 and 100"),
        (["--accuracy", "0.85"], "is it 85 %?"),
        (["--html", "advice.txt"], ".html"),
        (["--html", "missing/advice.html"], "no such folder"),
        (["--hierarchy", "missing.csv"], "missing.csv"),
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
        (two, "three usable images"),
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
    assert given.verdict == advice.TRY
    assert given.class_counts.keys() == whole.class_counts.keys()


@pytest.mark.parametrize("accuracy", [50.0, 99.0, 99.9, 99.99])
def test_images_to_see_stay_a_number_one_can_read(accuracy):
    given = advise(images((20, 8)), accuracy=accuracy, progress=False)
    digits = [word for word in given.words["next_steps"][0].replace(",", "").split() if word.isdigit()]
    assert digits
    assert all(len(word) < 8 for word in digits)


def test_files_that_are_no_images_are_not_counted(folder, tmp_path):
    import shutil

    copy = tmp_path / "set"
    shutil.copytree(folder, copy)
    for k in range(5):
        (copy / "1" / f"broken-{k}.png").write_bytes(b"no image")
    given = advise(copy, progress=False)
    assert given.class_counts == {"0": 20, "1": 8}
    assert given.to_generate == 12
    assert len(given.similarity.skipped) == 5


def test_small_classes_are_warned_of_and_what_costs_nothing_comes_first():
    found = advise(images((60, 20)), progress=False)
    assert any("under 50" in warning and "1 20" in warning for warning in found.words["warnings"])
    larger = advise(images((60, 50)), progress=False)
    assert not any("under 50" in warning for warning in larger.words["warnings"])
    assert found.words["recommendation"][0].startswith("try first what costs nothing, oversampling")
    steps = found.words["next_steps"]
    free, compare = (next(k for k, s in enumerate(steps) if word in s) for word in ("logit", "compare"))
    assert free < compare < len(steps) - 1


def test_intervals_say_what_they_are(given):
    assert "jackknife+ interval, nominal 80%, guaranteed 60%" in str(given)
    prediction = given.to_dict()["predictions"][0]
    assert prediction["interval_method"] == "jackknife+"
    assert (prediction["interval_level"], prediction["interval_guaranteed"]) == (0.8, 0.6)


def test_hierarchy_from_a_file(folder, tmp_path, capsys):
    groups = tmp_path / "groups.csv"
    groups.write_text("super_class,sub_class\nall,0\nall,1\n")
    assert main(["advise", str(folder), "--json", "--hierarchy", str(groups)]) == 0
    assert set(json.loads(capsys.readouterr().out)["super_classes"]) == {"all"}
    groups.write_text("super_class,sub_class\nall,0\n")
    assert main(["advise", str(folder), "--hierarchy", str(groups)]) == 2
    assert "does not name '1'" in capsys.readouterr().err


def experiments(monkeypatch, rows):
    table = pd.DataFrame(rows, columns=list(published.EXPERIMENT_COLUMNS))
    monkeypatch.setattr(published, "experiments", lambda: table)


def test_means_of_real_images_are_no_generated_images():
    arms = ["original", "pixel-mixed", "cgan-mixed", "diffusion-scoremix", "cgan-augcls", "more-real"]
    kept = advice.generated_arms(pd.DataFrame({"arm": arms}))["arm"]
    assert kept.tolist() == ["cgan-mixed", "diffusion-scoremix", "cgan-augcls"]


def test_recorded_experiments_are_quoted_nearest_first(monkeypatch):
    about = (900, 9, 8.0)
    experiments(
        monkeypatch,
        [
            ("far", *about, 0.40, "cgan-augcls", 9.0, 8.0, 10.0, 3, "2026-11-24"),
            ("near", *about, 0.21, "logit-adjusted", 1.5, 0.5, 2.5, 5, "2026-11-24"),
            ("near", *about, 0.21, "cgan-augcls", -2.0, -4.0, 0.1, 5, "2026-11-24"),
            ("next", *about, 0.25, "cgan-augcls", 0.5, np.nan, np.nan, 1, "2026-11-24"),
        ],
    )
    found = advice.nearest_recorded(0.2)
    assert found["set"].tolist() == ["near", "near", "next"]
    given = advise(images((20, 8)), progress=False)
    assert "cgan-augcls -2.0 (-4.0 to +0.1)" in str(given)
    assert "-2.0 to +0.5 points against oversampling; 0 of 2 intervals" in given.words["recommendation"][0]
    rows = json.loads(json.dumps(given.to_dict(), allow_nan=False))["recorded"]
    assert rows[2]["low"] is None


def test_nothing_recorded_is_said(monkeypatch):
    experiments(monkeypatch, [])
    assert "nothing is recorded" in str(advise(images((20, 8)), progress=False))


def test_page_stands_alone_and_escapes_names(tmp_path, capsys):
    root = tmp_path / "set"
    given = images((12, 5))
    for k in range(len(given)):
        path = root / ("<b>&'x" if given.labels[k] else "plain") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        given.image(k, size=160).save(path)
    page = tmp_path / "advice.html"
    assert main(["advise", str(root), "--html", str(page), "--accuracy", "60"]) == 0
    text = page.read_text(encoding="utf-8")
    assert "<b>&'x" not in text
    assert "&lt;b&gt;&amp;" in text
    assert "http" not in text
    assert "python -m gmaug advise" in text
    assert text.count("<img") == 1


def test_arrays_and_labels_are_taken():
    given = images((20, 8))
    assert advise(given.images, given.labels, progress=False).class_counts == {"0": 20, "1": 8}
    with pytest.raises(ValueError, match="labels="):
        advise(given.images)
