"""Mixed classes: conditions, search, pairs and sets; recognition: the margin, verification, the runner."""

import dataclasses
import json

import further
import numpy as np
import pytest
import record
import torch

from gmaug import mixing, recognition, runs
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.settings import ResNet18Settings
from gmaug.experiment import CellSettings, Material, find, run_cell
from gmaug.experiment.cells import Cell
from gmaug.generators import make_generator
from gmaug.recognition import Recogniser, Tar, Verification, gain

CLASSES = 5
PAIRS = [[0, 1], [1, 2]]
TINY = ResNet18Settings(
    width=4, stem="small", padding=0, crop="padded", crop_size=None, batch=16, steps=4, epochs=None,
    schedule="cycle", lr=0.1, smoothing=0.1,
)  # fmt: skip


class Blend:
    """Each class a colour; an image is the mix of the colours, and noise that depends on its place."""

    linear_conditions = True
    mixes_scores = True

    def __init__(self, classes=CLASSES, side=8):
        self.colours = np.random.default_rng(0).uniform(-100, 100, (classes, side, side, 3))

    def sample(self, labels=None, *, conditions=None, scores=None, seed):
        given = scores if conditions is None else conditions
        wanted = np.eye(len(self.colours))[labels] if labels is not None else np.asarray(given)
        noise = np.random.default_rng(seed).normal(0, 20, (len(wanted), *self.colours.shape[1:]))
        mixed = np.tensordot(wanted, self.colours, axes=1) + noise
        return (mixed + 128).round().clip(0, 255).astype(np.uint8)


class Pixels:
    """Features that are pixels."""

    def features(self, images):
        return images.reshape(len(images), -1).astype(float) - 128


@pytest.fixture(scope="module")
def trained():
    """A cGAN and a diffusion model after a few steps, and their images."""
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (30, 16, 16, 3), dtype=np.uint8), np.arange(30) % CLASSES
    options = {"shape": (16, 16), "profile": "smoke", "n_classes": CLASSES, "threads": 1, "kimg": 0.06}
    return {kind: make_generator(kind, **options).fit(x, y) for kind in ("cgan", "diffusion")}


# Conditions and the search


def test_a_condition_holds_the_two_weights_and_nothing_else():
    rows = mixing.conditions([[0, 3], [4, 1]], 0.7, 0.9, classes=CLASSES)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, [[0.7, 0, 0, 0.9, 0], [0, 0.9, 0, 0, 0.7]])


@pytest.mark.parametrize("kind", ["cgan", "diffusion"])
def test_one_hot_mixes_give_exactly_the_classes_own_samples(trained, kind):
    pairs = np.array([[0, 3], [4, 1], [2, 0]])
    for alpha, beta, column in ((1, 0, 0), (0, 1, 1)):
        wanted = mixing.conditions(pairs, alpha, beta, classes=CLASSES)
        mixed = trained[kind].sample(conditions=wanted, seed=3)
        np.testing.assert_array_equal(mixed, trained[kind].sample(pairs[:, column], seed=3))


def test_m_total_is_that_of_its_definition():
    found = mixing.search(Blend(), Pixels(), PAIRS, classes=CLASSES, seed=1, grid=(0.3, 0.7), samples=4)

    def of_first_pair(alpha, beta):
        rows = mixing.conditions(np.repeat(PAIRS, 4, axis=0), alpha, beta, classes=CLASSES)
        return mixing.unit(Pixels().features(Blend().sample(conditions=rows, seed=1)))[:4]

    z, a, b = (of_first_pair(*weights) for weights in ((0.3, 0.7), (1, 0), (0, 1)))
    separations = [1 - (z @ a.T).mean(), 1 - (z @ b.T).mean()]
    assert found.separations[0, 1, 0] == pytest.approx(separations)
    assert found.consistency[0, 1, 0] == pytest.approx((z @ z.T)[~np.eye(4, dtype=bool)].mean())


def test_m_total_does_not_depend_on_the_order_of_the_pair_at_equal_weights():
    pairs = np.array([[0, 3], [4, 1], [2, 0]])
    options = {"classes": CLASSES, "seed": 1, "grid": (0.3, 0.7, 1.1)}
    one = mixing.search(Blend(), Pixels(), pairs, **options)
    other = mixing.search(Blend(), Pixels(), pairs[:, ::-1], **options)
    for name in ("separation", "consistency"):
        ours, theirs = getattr(one, name), getattr(other, name)
        np.testing.assert_allclose(np.diagonal(ours), np.diagonal(theirs))
        np.testing.assert_allclose(ours, theirs.transpose(1, 0, 2))  # elsewhere the two weights change places


def test_the_search_finds_its_highest_point_and_what_is_level_with_it():
    pairs = mixing.choose_pairs(6, classes=CLASSES, seed=0)
    nearer = mixing.search(Blend(), Pixels(), pairs, classes=CLASSES, seed=0)
    mean = dataclasses.replace(nearer, nearer=False)
    assert (nearer.separation <= mean.separation).all()
    for found in (nearer, mean):
        table, best = found.table, found.best
        assert len(table) == len(mixing.GRID) ** 2
        assert best["m_total"] == table["m_total"].max()
        assert best["behind"] == 0
        assert (table["behind"] >= -1e-12).all()
        assert (best["alpha"], best["beta"]) in set(found.level[["alpha", "beta"]].itertuples(index=False))
    # strong conditions drown this generator's noise: they agree more
    corner = nearer.table.set_index(["alpha", "beta"])["consistency"]
    assert corner[1.1, 1.1] > corner[0.1, 0.1]
    part = nearer.among(0.5)
    assert part.grid == mixing.GRID[4:]
    assert part.best["m_total"] == part.table["m_total"].max()
    inside = nearer.table.query("alpha >= 0.5 and beta >= 0.5")
    np.testing.assert_allclose(part.table["m_total"], inside["m_total"])
    with pytest.raises(ValueError, match=r"ends at 1\.1"):
        nearer.among(1.2)
    # a mix is of both: far from the nearer source, as one class alone is not
    of_nearer = nearer.table.set_index(["alpha", "beta"])["separation"]
    assert of_nearer[1.1, 1.1] > of_nearer[1.1, 0.1]


@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: mixing.conditions([[1, 1]], 0.5, 0.5, classes=3), "mixes a class with itself"),
        (lambda: mixing.conditions([[0, 3]], 0.5, 0.5, classes=3), "classes are 0 to 2"),
        (lambda: mixing.conditions([[0.5, 1]], 0.5, 0.5, classes=3), "give integers"),
        (lambda: mixing.conditions([[0, 1]], 1.2, 0.5, classes=3), r"alpha=1.2: give 0.1 to 1.1"),
        (lambda: mixing.conditions([[0, 1]], 0.5, -0.1, classes=3), r"beta=-0.1: give 0.1 to 1.1"),
        (lambda: mixing.search(Blend(), Pixels(), PAIRS, classes=5, seed=0, grid=(0.0, 0.5)), "grid"),
        (lambda: mixing.search(Blend(), Pixels(), [[0, 1]], classes=5, seed=0), "1 pairs"),
        (lambda: mixing.choose_pairs(11, classes=5, seed=0), "5 classes make 10 pairs"),
        (lambda: mixing.choose_pairs(2, how="nearest", classes=5, seed=0), "random, near, distant"),
        (lambda: mixing.choose_pairs(2, how="near", classes=5, seed=0), "needs embedding="),
        (lambda: further.open_identities("faces", seed=0), "individuals and lfw"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_told_in_one_line(call, told):
    with pytest.raises(ValueError, match=told) as error:
        call()
    assert "\n" not in str(error.value)


def test_a_generator_of_labels_alone_is_refused_before_it_draws():
    class LabelsAlone:
        def sample(self, labels, *, seed):
            pytest.fail("it was asked")

    labels_alone = LabelsAlone()
    with pytest.raises(ValueError, match="no mixed conditions"):
        mixing.search(labels_alone, Pixels(), PAIRS, classes=3, seed=0)
    with pytest.raises(ValueError, match="no mixed conditions"):
        mixing.draw(labels_alone, [[0, 1]], 0.5, 0.5, images=2, classes=3, seed=0)


# Pairs and sets


def test_pairs_are_different_and_near_ones_nearer_than_distant_ones():
    directions = np.random.default_rng(0).normal(size=(12, 4))
    cosine = mixing.unit(directions) @ mixing.unit(directions).T
    mean = {}
    for how in mixing.CHOICES:
        pairs = mixing.choose_pairs(10, how=how, embedding=directions, seed=1)
        assert len({tuple(sorted(pair)) for pair in pairs.tolist()}) == 10
        assert (pairs[:, 0] != pairs[:, 1]).all()
        mean[how] = cosine[pairs[:, 0], pairs[:, 1]].mean()
    assert mean["near"] > mean["random"] > mean["distant"]


def test_each_mix_is_a_new_class_whether_conditions_scores_or_pixels_are_mixed(trained):
    pairs = np.array([[0, 3], [4, 1]])
    about = {"images": 3, "classes": CLASSES, "seed": 0}
    for kind, scores in (("cgan", False), ("diffusion", False), ("diffusion", True)):
        images, labels = mixing.draw(trained[kind], pairs, 0.7, 0.7, scores=scores, **about)
        assert labels.tolist() == [5, 5, 5, 6, 6, 6]
        assert images.shape == (6, 16, 16, 3)
    with pytest.raises(ValueError, match="needs a diffusion model"):
        mixing.draw(trained["cgan"], pairs, 0.7, 0.7, scores=True, **about)
    x, y = np.zeros((10, 4, 4, 3), np.uint8), np.arange(10) % CLASSES
    x[y == 3] = 101
    mixed, labels = mixing.pixel_mixes(x, y, pairs, count=3, seed=0)
    assert labels.tolist() == [5, 5, 5, 6, 6, 6]
    assert (mixed[:3] == 51).all()
    assert (mixed[3:] == 0).all()


# Recognition


def test_the_margin_is_that_of_cosface():
    """Eq. 4 of Wang et al. (2018), in NumPy."""
    rng = np.random.default_rng(0)
    features, labels, head = rng.normal(size=(12, 6)), np.arange(12) % 4, recognition.CosineHead(6, 4, 16.0)
    directions = mixing.unit(head.weight.detach().numpy())
    cosine = mixing.unit(features) @ directions.T
    own = cosine[np.arange(12), labels]
    others = np.exp(16 * cosine).sum(axis=1) - np.exp(16 * own)
    wanted = -np.log(np.exp(16 * (own - 0.2)) / (np.exp(16 * (own - 0.2)) + others)).mean()
    logits, truth = head(torch.from_numpy(features).float()), torch.from_numpy(labels)
    ours = Loss(margin=0.2 * 16).value(logits, truth, counts=np.full(4, 3))
    assert ours.item() == pytest.approx(wanted, rel=1e-5)


def test_a_recogniser_trains_and_is_read_back(tmp_path):
    x = np.random.default_rng(0).integers(0, 256, (24, 16, 16, 3), dtype=np.uint8)
    model = Recogniser(TINY).fit(x, np.arange(24) % 3, seed=0)
    assert np.abs(model.logits(x)).max() <= 16 + 1e-4
    model.save(tmp_path / "recogniser.safetensors")
    again = Recogniser.load(tmp_path / "recogniser.safetensors")
    np.testing.assert_array_equal(again.features(x), model.features(x))


def people(rng, count, each=4, noise=1.0):
    """Features of `count` identities; some of them are easier than others."""
    middle, ease = rng.normal(size=(count, 1, 8)), rng.uniform(0.4, 1.6, (count, 1, 1))
    features = middle + noise * ease * rng.normal(size=(count, each, 8)) / 2
    return features.reshape(-1, 8), np.repeat(np.arange(count), each)


def test_tar_is_that_of_its_definition_and_rises_with_far():
    features, who = people(np.random.default_rng(0), 20)
    held = Verification(features, who)
    assert (len(held.genuine), len(held.impostor)) == (20 * 6, 80 * 79 // 2 - 120)
    for far in (1e-3, 1e-2, 0.1, 1.0):
        limit = held.threshold(far)
        assert (held.impostor > limit).mean() <= far
        assert held.tar(far, draws=1).value == (held.genuine > limit).mean()
    rates = [held.tar(far, draws=1).value for far in np.geomspace(1e-3, 1, 30)]
    assert np.all(np.diff(rates) >= 0)
    assert rates[-1] == 1
    far, tar = held.roc(50)
    assert np.all(np.diff(tar) >= 0)
    np.testing.assert_allclose(tar, [held.tar(f, draws=1).value for f in far])


def test_too_few_pairs_are_refused():
    features, who = people(np.random.default_rng(0), 4)
    with pytest.raises(ValueError, match="hold out more identities"):
        Verification(features, who).tar(1e-3)
    with pytest.raises(ValueError, match="two images of at least two identities"):
        Verification(features, np.arange(len(who)))


def test_bootstrap_intervals_over_identities_hold_the_truth():
    rng = np.random.default_rng(0)
    truth = Verification(*people(rng, 400)).tar(0.01, draws=1).value
    held = 0
    for k in range(60):
        low, high = Verification(*people(rng, 40)).tar(0.01, seed=k, draws=150).interval()
        held += low <= truth <= high
    assert held >= 50  # of a nominal 95 %: 57


def test_gain_is_paired_and_needs_the_same_seeds():
    rng = np.random.default_rng(0)
    sides = [people(np.random.default_rng(k), 30, noise=n) for k, n in ((1, 0.8), (1, 1.2))]
    better, worse = ([Verification(*side).tar(0.01)] for side in sides)
    told = gain(better, worse)
    assert told["low"] <= told["gain"] <= told["high"]
    assert told["gain"] == pytest.approx(better[0].value - worse[0].value)
    assert gain(better, better) == {"gain": 0, "low": 0, "high": 0, "seeds": 1}
    assert gain(better * 3, worse * 3)["seeds"] == 3
    with pytest.raises(ValueError, match="1 and 2 trainings"):
        gain(better, worse * 2)
    with pytest.raises(ValueError, match="different FAR"):
        gain(better, [Tar(0.1, 0.5, rng.random(200))])


# The experiment


GUARD = {
    "real": 0.1306, "same": 0.1367, "pixels": 0.1783, "random": 0.1578, "near": 0.1544, "distant": 0.1722,
    "scoremix": 0.1378, "more": 0.1483,
}  # fmt: skip


def test_the_runner_records_every_arm_and_goes_on(tmp_path, monkeypatch):
    options = {
        "persons": 6, "images": 4, "size": 16, "kimg": 0.05, "steps": 3, "profile": "smoke",
        "checkpoints": tmp_path / "generators", "folder": tmp_path,
    }  # fmt: skip
    monkeypatch.setattr(further, "FARS", (0.1, 0.01))
    path = further.record_recognition("individuals", seed=0, arms=("real", "random"), **options)
    first = json.loads(path.read_text())
    assert set(first["content"]["arms"]) == {"real", "random"}
    further.record_recognition("individuals", seed=0, **options)
    arms = runs.read_record("mixing", "individuals_0", folder=tmp_path)["content"]["arms"]
    assert set(arms) == set(recognition.ARMS)
    assert arms["random"] == first["content"]["arms"]["random"]
    assert {name: told["added"] for name, told in arms.items()} == dict.fromkeys(arms, 24) | {"real": 0}
    # what guards the records: numbers of this run, at a FAR where they are many
    assert {name: told["tar"][0]["value"] for name, told in arms.items()} == pytest.approx(GUARD, abs=0.02)
    with pytest.raises(ValueError, match="recorded otherwise"):
        further.record_recognition("individuals", seed=0, **options | {"steps": 4})


def test_the_command_lists_and_makes_the_records_of_recognition(tmp_path, monkeypatch, capsys):
    made = []
    monkeypatch.setattr(further, "record_recognition", lambda name, **about: made.append((name, about)))
    assert record.main(["recognition", "--list", "--seeds", "0"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("recognition: individuals seed 0\nrecognition: lfw seed 0\n")
    asked = ["recognition", "--sets", "lfw", "--seeds", "1", "--steps", "7"]
    assert record.main([*asked, "--data", str(tmp_path)]) == 0
    [(name, about)] = made
    assert (name, about["seed"], about["steps"], about["root"]) == ("lfw", 1, 7, tmp_path)


def test_the_live_generator_is_recorded(tmp_path):
    about = {"persons": 4, "each": 3, "kimg": 0.05, "profile": "smoke"}
    further.record_live_generator(**about, checkpoints=tmp_path, folder=tmp_path)
    found = runs.read_record("individuals", "cgan", folder=tmp_path)
    of = recognition.open_individuals(seed=0, persons=4, images=3, size=16)
    assert found["data"]["hash"] == runs.digest(*of.train)


def test_faces_are_divided_by_person(tmp_path):
    from PIL import Image

    rng = np.random.default_rng(0)
    for person in range(62):
        folder = tmp_path / "lfw" / f"person{person:02d}"
        folder.mkdir(parents=True)
        for k in range(3):
            Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(folder / f"{k}.png")
    about = {"seed": 0, "size": 16, "root": tmp_path}
    of = further.open_identities("lfw", persons=4, images=2, **about)
    assert (of.classes, len(of.train[1]), len(set(of.held[1].tolist())), of.more) == (4, 8, 58, None)
    known = {image.tobytes() for image in of.train[0]}
    assert not known & {image.tobytes() for image in of.held[0]}
    with pytest.raises(ValueError, match="4 are left"):
        further.open_identities("lfw", persons=5, **about)


def test_arms_of_mixes_drop_their_extra_outputs():
    rng = np.random.default_rng(0)

    def images(counts):
        labels = np.repeat(np.arange(len(counts)), counts)
        return rng.integers(0, 256, (len(labels), 8, 8, 3), dtype=np.uint8), labels

    sets = [images(n) for n in ([12, 6, 4], [3, 3, 3], [3, 3, 3])]
    blend = Blend(3)
    material = Material("toy", ("a", "b", "c"), *sets, generators={"mine": (blend, "digest")})
    settings = CellSettings(size=8, training=TINY, steps=3)
    for name in ("pixel-mixed", "mine-mixed", "mine-mixnear", "mine-mixdistant", "mine-scoremix"):
        told = run_cell(Cell("toy", name, 0, settings), material, arm=find(name))
        assert len(told["confusion"]) == 3
        assert (told["steps"], told["mixed_images"], len(told["pairs"])) == (3, 15, 3)
        assert told["counts_after"] == [12, 6, 4]
