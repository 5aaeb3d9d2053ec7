"""The number of generated images that equal real ones: planted truths, intervals, censoring, the runner."""

import further
import numpy as np
import pandas as pd
import pytest

from gmaug import equivalence, runs
from gmaug.datasets import garden
from gmaug.equivalence import FOUND, NEVER, NO_GAIN, Curves, Task

AMOUNTS = np.array([0.5, 1.0, 2.0, 4.0])


def planted(*, base=400, seeds=5, scatter=0.0, factor=1.0, c2=2.5, rng=None):
    """Curves whose equivalent numbers follow the law with these constants."""
    rng = rng or np.random.default_rng(0)
    amounts = AMOUNTS * base
    worth = base * np.log1p(amounts / base / factor) / np.log(c2)
    mean = 0.5 + 0.12 * np.log1p(np.concatenate([[0], amounts, worth]) / base)
    shift = rng.normal(0, 0.01, (seeds, 1))  # a seed's base is good or bad for all its cells
    return Curves(base, amounts, amounts, mean + shift + rng.normal(0, scatter, (seeds, len(mean))))


def law_points(growth, c2, *, bases=(200, 400, 800), scatter=0.0, most=4.0, rng=None):
    rng, rows = rng or np.random.default_rng(0), []
    for base in bases:
        for x in (0.25, 0.5, 1.0, 2.0):
            m = base * np.exp(growth * base) * (c2**x - 1) * np.exp(rng.normal(0, scatter))
            reached = m <= most * base
            rows.append((base, x * base, m if reached else np.nan, most * base, FOUND if reached else NEVER))
    points = pd.DataFrame(rows, columns=["base", "real", "synthetic", "most", "outcome"])
    return points.assign(low=points["synthetic"], high=points["synthetic"])  # without errors of their own


# Inversion


def test_it_inverts_a_rising_curve_exactly_at_its_points():
    accuracy = [0.5, 0.6, 0.65, 0.7]
    amounts = np.array([0, 100, 200, 400])
    found = [equivalence.invert(amounts, accuracy, t, base=100) for t in accuracy]
    np.testing.assert_allclose(found, amounts, atol=1e-9)


def test_between_two_points_it_is_linear_in_the_logarithm_of_the_training_set():
    found = equivalence.invert(np.array([0, 300]), [0.5, 0.7], 0.6, base=100)
    assert found == pytest.approx(100 * (np.sqrt(4) - 1))


def test_it_is_monotone_in_the_target_and_infinite_beyond_the_curve():
    rng = np.random.default_rng(3)
    accuracy, amounts = rng.random(6), np.arange(6) * 50
    targets = np.linspace(-0.1, 1.1, 40)
    found = [equivalence.invert(amounts, accuracy, t, base=80) for t in targets]
    assert np.all(np.diff(found[: np.isfinite(found).sum()]) >= 0)
    assert found[0] == 0
    assert found[-1] == np.inf


def test_images_of_the_real_distribution_are_worth_one_each():
    known = planted()
    same = Curves(known.base, known.real, known.real, known.accuracies[:, [0, 1, 2, 3, 4, 1, 2, 3, 4]])
    table = equivalence.equivalents(same, seed=0, draws=50)
    np.testing.assert_allclose(table["synthetic"], table["real"])
    np.testing.assert_allclose(table["rate"], 1)
    assert (table["outcome"] == FOUND).all()


def test_it_recovers_a_planted_law_where_the_curves_were_measured():
    # d whose equal is one of the amounts that were tried: no interpolation in between
    at = 400 * np.log1p(AMOUNTS[:3]) / np.log(2.5)
    table = equivalence.equivalents(planted(c2=2.5), at=at, seed=0, draws=20)
    np.testing.assert_allclose(table["synthetic"], AMOUNTS[:3] * 400, rtol=0.02)


def test_counting_in_other_units_scales_the_answer():
    known = planted(scatter=0.005)
    one = equivalence.equivalents(known, seed=0, draws=50)
    larger = Curves(4000, 10 * known.real, 10 * known.synthetic, known.accuracies)
    ten = equivalence.equivalents(larger, seed=0, draws=50)
    np.testing.assert_allclose(ten["synthetic"], 10 * one["synthetic"])
    np.testing.assert_allclose(ten[["rate", "low", "high"]] / [1, 10, 10], one[["rate", "low", "high"]])


def test_accuracies_in_percent_give_the_same():
    known = planted(scatter=0.005)
    percent = Curves(known.base, known.real, known.synthetic, 100 * known.accuracies)
    one, other = (equivalence.equivalents(curves, seed=1, draws=30) for curves in (known, percent))
    np.testing.assert_allclose(one["synthetic"], other["synthetic"])


def test_the_shift_of_a_seed_that_moves_both_curves_alike_does_not_widen_the_interval():
    table = equivalence.equivalents(planted(scatter=0.0), seed=0, draws=50, at=[100, 200])
    np.testing.assert_allclose(table["low"], table["high"], rtol=1e-6)


def test_a_curve_that_never_gets_there_is_censored_and_gives_no_number():
    table = equivalence.equivalents(planted(scatter=0.003, factor=6), seed=0, draws=100)
    last = table.iloc[-1]
    assert last["outcome"] == NEVER
    assert last["reached"] < 0.5
    assert np.isnan(last["synthetic"])
    assert np.isnan(last["rate"])
    assert last["high"] == np.inf
    assert last["most"] == 1600


def test_real_images_that_raise_nothing_give_no_number():
    flat = Curves(100, [100, 200], [100, 200], np.tile([0.7, 0.7, 0.7, 0.8, 0.9], (3, 1)))
    table = equivalence.equivalents(flat, seed=0, draws=20)
    assert (table["outcome"] == NO_GAIN).all()
    assert table[["synthetic", "rate"]].isna().all().all()


def test_generated_images_that_harm_are_never_reached():
    fallen = Curves(100, [100, 200], [100, 200], np.tile([0.7, 0.8, 0.9, 0.6, 0.5], (3, 1)))
    table = equivalence.equivalents(fallen, seed=0, draws=20)
    assert (table["outcome"] == NEVER).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, [1], [1], [[0.5, 0.6, 0.6]] * 2), "base=0"),
        ((10, [0, 2], [1], [[0.5, 0.6, 0.6, 0.6]] * 2), "above 0"),
        ((10, [2, 1], [1], [[0.5, 0.6, 0.6, 0.6]] * 2), "give rising"),
        ((10, [1], [1], [[0.5, 0.6]] * 2), "give 3 for each seed"),
        ((10, [1], [1], [[0.5, 0.6, 0.6]]), "one seed"),
    ],
)
def test_curves_say_what_is_wrong_with_them(arguments, message):
    with pytest.raises(ValueError, match=message):
        Curves(*arguments)


@pytest.mark.parametrize(("at", "message"), [([2000], "up to 1600"), ([0], "above 0")])
def test_numbers_out_of_range_are_refused(at, message):
    with pytest.raises(ValueError, match=message):
        equivalence.equivalents(planted(), at=at, seed=0)


def test_the_intervals_cover_nearly_as_often_as_they_say():
    rng, hits = np.random.default_rng(5), []
    at = 400 * np.log1p(AMOUNTS[1:3]) / np.log(2.5)
    for k in range(60):
        table = equivalence.equivalents(planted(seeds=4, scatter=0.012, rng=rng), at=at, seed=k, draws=100)
        truth = AMOUNTS[1:3] * 400
        hits.append(((table["low"] <= truth) & (truth <= table["high"])).to_numpy())
    assert np.mean(hits) > 0.87  # of 0.95 aimed at; binomial scatter 0.03


# The law


def test_the_law_recovers_planted_constants_and_its_rate_is_its_derivative():
    law = equivalence.fit_law(law_points(4e-4, 2.53))
    assert law.growth == pytest.approx(4e-4, rel=1e-2)
    assert law.c2 == pytest.approx(2.53, rel=1e-3)
    step = (law(400, 200 + 1e-4) - law(400, 200 - 1e-4)) / 2e-4
    assert law.rate(400, 200) == pytest.approx(step, rel=1e-5)
    assert law.rate(400) == pytest.approx(np.exp(4e-4 * 400) * np.log(2.53), rel=1e-2)


def test_points_out_of_reach_still_speak():
    points = law_points(4e-4, 2.53, scatter=0.05)
    assert (points["outcome"] == NEVER).sum() >= 2
    with_them = equivalence.fit_law(points)
    assert with_them.c2 == pytest.approx(2.53, rel=0.1)
    # were they taken for the largest amount, the law would bend down
    clipped = points.assign(synthetic=points["synthetic"].fillna(points["most"]), outcome=FOUND)
    assert equivalence.fit_law(clipped).c2 < with_them.c2


def test_profile_intervals_hold_the_planted_constants_most_of_the_time():
    rng, hits = np.random.default_rng(2), []
    for _ in range(8):
        law = equivalence.fit_law(law_points(4e-4, 2.53, scatter=0.1, most=50, rng=rng))
        low, high = law.interval("c2")
        assert low < law.c2 < high
        hits.append(low < 2.53 < high)
    assert np.mean(hits) > 0.7


def test_the_profile_of_the_rate_holds_its_estimate():
    law = equivalence.fit_law(law_points(4e-4, 2.53, scatter=0.05))
    for real in (0, 400):
        low, high = law.interval("rate", base=400, real=real)
        assert low < law.rate(400, real) < high
    low, high = law.interval("growth")
    assert low < law.growth < high


def test_small_amounts_do_not_bound_c2_but_do_bound_the_rate():
    points = law_points(0.0, 1.6, bases=(400,), scatter=0.15)
    points["real"] = [4, 8, 12, 16]
    points["synthetic"] = 400 * (1.6 ** (points["real"] / 400) - 1) * np.array([1.2, 0.85, 1.15, 0.95])
    points["outcome"] = FOUND
    law = equivalence.fit_law(points)
    low, high = law.interval("c2")
    assert low < 1.01
    assert high > 100
    low, high = law.interval("rate", base=400, real=10)
    assert 0.2 < low < np.log(1.6) < high < 1.2


def test_points_with_wide_intervals_of_their_own_widen_the_laws():
    points = law_points(4e-4, 2.53, most=50)
    ends = {"low": points["synthetic"] * 0.7, "high": points["synthetic"] / 0.7}
    narrow, wide = equivalence.fit_law(points), equivalence.fit_law(points.assign(**ends))
    assert wide.c2 == pytest.approx(narrow.c2, rel=0.02)
    assert np.diff(wide.interval("c2"))[0] > 5 * np.diff(narrow.interval("c2"))[0]
    assert wide.misfit > 0.9
    bent = points.assign(synthetic=points["synthetic"] * np.where(np.arange(12) % 2, 3, 1))
    tight = {"low": bent["synthetic"] * 0.95, "high": bent["synthetic"] / 0.95}
    assert equivalence.fit_law(bent.assign(**tight)).misfit < 0.01


def test_too_few_points_are_refused():
    points = law_points(4e-4, 2.53)
    with pytest.raises(ValueError, match="2 of 2 points"):
        equivalence.fit_law(points.iloc[:2])
    with pytest.raises(ValueError, match="0 of 12 points"):
        equivalence.fit_law(points.assign(outcome=NEVER))
    with pytest.raises(ValueError, match="give 'growth'"):
        equivalence.fit_law(points).interval("k")


# The experiment, with a cheap generator and a cheap classifier


STEPS = {"steps": (0.5, 1, 2, 4)}
BOTH = {**STEPS, "epochs": (0.5, 1, 2, 4)}


class GaussianGenerator:
    """A normal distribution of each class in the space of the first principal components."""

    def fit(self, images, labels):
        from sklearn.decomposition import PCA

        self.shape, flat = images.shape[1:], images.reshape(len(images), -1)
        self.pca = PCA(12, random_state=0).fit(flat)
        found = self.pca.transform(flat)
        self.of = {c: (found[labels == c].mean(0), found[labels == c].std(0)) for c in np.unique(labels)}
        return self

    def sample(self, labels, *, seed):
        rng = np.random.default_rng(seed)
        drawn = np.array([rng.normal(*self.of[c]) for c in labels])
        flat = self.pca.inverse_transform(drawn)
        return flat.clip(0, 255).round().astype(np.uint8).reshape(-1, *self.shape)


def blobs(rng, n, side=8):
    """Images of four classes: a bright corner in noise, and a far from perfect one."""
    y = rng.integers(0, 4, n)
    x = rng.normal(110, 40, (n, side, side, 3))
    rows, columns = y // 2 * side // 2, y % 2 * side // 2
    for k in range(n):
        x[k, rows[k] : rows[k] + 4, columns[k] : columns[k] + 4] += 22
    return x.clip(0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def task():
    rng = np.random.default_rng(0)
    return Task(blobs(rng, 40), blobs(rng, 160), blobs(rng, 400))


def nearest_mean(images, labels, test, *, steps, seed):
    from sklearn.neighbors import NearestCentroid

    flat, held = images.reshape(len(images), -1), test[0].reshape(len(test[0]), -1)
    return {"accuracy": NearestCentroid().fit(flat, labels).score(held, test[1])}


def test_cells_are_the_base_and_each_amount_under_each_schedule(task):
    generator = GaussianGenerator().fit(*task.base)
    rows = pd.DataFrame(equivalence.cells(task, generator, nearest_mean, seed=0, steps=100, amounts=BOTH))
    assert len(rows) == 1 + 2 * 4 * 2
    assert rows["kind"].value_counts().to_dict() == {"real": 8, "synthetic": 8, "base": 1}
    assert set(rows.loc[rows["schedule"] == "steps", "steps"]) == {100}
    assert rows.loc[rows["schedule"] == "epochs", "steps"].tolist() == 2 * [150, 200, 300, 500]


def test_real_images_are_offered_as_far_as_there_are_any(task):
    short = Task(task.base, tuple(a[:60] for a in task.further), task.test)
    rows = equivalence.cells(short, GaussianGenerator().fit(*task.base), nearest_mean, seed=0, steps=9)
    real = [row["amount"] for row in rows if row["kind"] == "real" and row["schedule"] == "steps"]
    assert real == [20, 40, 60]


def test_cells_that_are_done_are_not_run_again(task):
    generator, calls = GaussianGenerator().fit(*task.base), []

    def counted(*args, **options):
        calls.append(1)
        return nearest_mean(*args, **options)

    rows = list(equivalence.cells(task, generator, nearest_mean, seed=0, steps=9, amounts=STEPS))
    done = {(row["kind"], row["amount"], row["schedule"]) for row in rows[:5]}
    again = list(equivalence.cells(task, generator, counted, seed=0, steps=9, amounts=STEPS, done=done))
    assert again == rows[5:]
    assert len(calls) == len(rows) - 5


def test_curves_come_out_of_the_table_of_cells_over_complete_seeds(task):
    rows = []
    for seed in range(3):
        generator = GaussianGenerator().fit(*task.base)
        rows += equivalence.cells(task, generator, nearest_mean, seed=seed, steps=9, amounts=BOTH)
    table = pd.DataFrame(rows).iloc[:-1]  # the last cell of the last seed is missing
    curves = equivalence.curves(table, base=40, schedule="steps")
    assert curves.accuracies.shape == (3, 9)
    assert curves.real.tolist() == curves.synthetic.tolist() == [20, 40, 80, 160]
    seed0 = table[(table["seed"] == 0) & table["schedule"].isin(["steps", "both"])]
    np.testing.assert_array_equal(curves.accuracies[0], seed0["accuracy"])  # base, real, synthetic
    assert equivalence.curves(table, base=40, schedule="epochs").accuracies.shape == (2, 9)
    with pytest.raises(ValueError, match="no seed has all"):
        equivalence.curves(table, base=41, schedule="steps")


def test_every_beginning_of_an_interleaved_order_has_the_shares_of_the_whole():
    labels = np.repeat([0, 1, 2], [600, 300, 30])
    order = equivalence.interleaved(labels, np.random.default_rng(0))
    assert sorted(order.tolist()) == list(range(930))
    for n in (31, 93, 310):
        counts = np.bincount(labels[order[:n]], minlength=3)
        np.testing.assert_allclose(counts, np.array([600, 300, 30]) * n / 930, atol=1.01)


def test_a_garden_task_is_disjoint_and_differs_by_seed(monkeypatch):
    small = garden.GardenSettings(0.25, 0.5, test=2, validation=1, largest=4, imbalance=2)
    monkeypatch.setitem(garden.GARDENS, "middle", small)
    one = further.open_task("middle", base=27, seed=0, most=1, size=8, open_set=True)
    assert len(one.base[1]) == len(one.further[1]) == 27
    assert np.all(np.bincount(one.base[1]) == 3)
    both = np.concatenate([one.base[0], one.further[0]]).reshape(54, -1)
    assert len(np.unique(both, axis=0)) == 54
    assert one.extra[1].min() == 9
    assert len(one.extra[1]) == 4 * 27
    other = further.open_task("middle", base=27, seed=1, most=1, size=8)
    assert other.extra is None
    assert not np.array_equal(one.base[0], other.base[0])
    np.testing.assert_array_equal(one.test[0], other.test[0])
    with pytest.raises(ValueError, match="base=0"):
        further.open_task("middle", base=0, seed=0, size=8)


def test_a_killed_run_goes_on_and_other_settings_are_refused(tmp_path, monkeypatch, task):
    monkeypatch.setattr(further, "open_task", lambda *_, **__: task)
    monkeypatch.setattr(further, "differences", lambda *_, **__: {"told_apart": 0.9})
    monkeypatch.setattr(further, "fitted", lambda task, *_, **__: GaussianGenerator().fit(*task.base))
    calls = []

    def dies(*args, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return nearest_mean(*args, **options)

    monkeypatch.setattr(further, "resnet_score", dies)
    place = "equivalence", "blobs_40_cgan_closed_0"

    def run(**options):
        about = {"steps": 9, "amounts": BOTH, "folder": tmp_path}
        further.record_equivalence("blobs", 40, "cgan", 0, **about | options)
        return runs.read_record(*place, folder=tmp_path)["content"]

    with pytest.raises(KeyboardInterrupt):
        run()
    assert len(runs.read_record(*place, folder=tmp_path)["content"]["cells"]) == 3
    whole = run()
    assert len(calls) == 4 + 14
    assert len(whole["cells"]) == 17
    assert whole["differences"]
    assert run() == whole
    assert len(calls) == 18  # nothing is left to do
    with pytest.raises(ValueError, match="recorded otherwise"):
        run(steps=10)


# How real and generated images differ


def test_images_of_one_distribution_cannot_be_told_apart_and_others_can(task):
    other = GaussianGenerator().fit(*task.base).sample(np.resize(task.base[1], 160), seed=0)
    same = equivalence.told_apart(task.further[0], task.test[0], seed=0, steps=60)
    apart = equivalence.told_apart(task.further[0], other, seed=0, steps=60)
    assert abs(same["accuracy"] - 0.5) < 4 * same["se"]
    assert apart["accuracy"] > 0.9
    assert apart["scores"].shape == (2, 160)


def test_features_are_told_apart_by_a_line():
    rng = np.random.default_rng(0)
    real, fake = rng.normal(0, 1, (150, 4)), rng.normal([2, 0, 0, 0], 1, (150, 4))
    assert equivalence.told_apart(real, fake, seed=0)["accuracy"] == pytest.approx(0.84, abs=0.05)


def test_copies_of_training_images_are_found_and_fresh_images_are_not(task):
    train, held = task.base[0], task.further[0]
    copies = equivalence.memorisation(train, held, train[:30], seed=0)
    assert copies["nearer"] == 1
    assert copies["copies"] == 1
    assert copies["ratio"] == 0
    assert copies["nearest"].tolist() == list(range(30))
    fresh = equivalence.memorisation(train, held, task.test[0][:200], seed=0)
    low, high = fresh["chance"]
    assert low <= fresh["nearer"] <= high
    assert fresh["copies"] == 0
    assert fresh["ratio"] == pytest.approx(1, abs=0.05)


def test_photographs_are_opened_by_folder_and_the_other_classes_are_for_the_open_set(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for split, each in (("train", 6), ("test", 2)):
        for c in range(10):
            (tmp_path / "cifar10" / split / f"class{c}").mkdir(parents=True)
            for k in range(each):
                pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
                Image.fromarray(pixels).save(tmp_path / "cifar10" / split / f"class{c}" / f"{k}.png")
    options = {"base": 10, "seed": 0, "size": 8, "root": tmp_path}
    whole = further.open_task("cifar10", **options)
    assert [len(part[1]) for part in (whole.base, whole.further, whole.test)] == [10, 40, 20]
    five = further.open_task("cifar10-five", open_set=True, **options)
    assert sorted(set(five.base[1].tolist())) == [0, 1, 2, 3, 4]
    assert sorted(set(five.extra[1].tolist())) == [5, 6, 7, 8, 9]
    assert [len(part[1]) for part in (five.further, five.test, five.extra)] == [20, 10, 30]
    with pytest.raises(ValueError, match="no further images for an open set"):
        further.open_task("cifar10", open_set=True, **options)
    with pytest.raises(ValueError, match="base=60"):
        further.open_task("cifar10", **(options | {"base": 60}))


def test_a_tiny_run_gives_the_numbers_it_gave_when_the_records_were_planned(task):
    """Whoever changes what a record holds sees this fail, and decides whether to record again."""
    model = further.fitted(task, "cgan", kimg=0.256, seed=0)
    assert model.sample(np.arange(4).repeat(8), seed=0).mean() == pytest.approx(112.16, abs=0.5)
    rows = equivalence.cells(
        task, model, further.resnet_score, seed=0, steps=12, amounts={"steps": (1,), "epochs": (1,)}
    )
    found = {(row["kind"], row["steps"]): row["auroc"] for row in rows}
    before = {
        ("base", 12): 0.4754,
        ("real", 12): 0.5601,
        ("synthetic", 12): 0.4873,
        ("real", 24): 0.5758,
        ("synthetic", 24): 0.4644,
    }
    assert found == pytest.approx(before, abs=0.005)
