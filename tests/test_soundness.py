"""The runs that show the classifiers to be sound, in miniature."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import SMALL, blobs

from gmaug import runs
from gmaug.study import soundness
from gmaug.study.soundness import RECORDED, against_plain, balanced_garden, plain_resnet18, record

TINY = replace(
    RECORDED,
    each=2,
    resnet18=replace(RECORDED.resnet18, epochs=1, batch=9),
    mae=replace(RECORDED.mae, width=16, heads=2, depth=1, epochs=1, pretraining_epochs=1, batch=9),
    cifar10=replace(SMALL, epochs=6, decay_every=0.5),
    seeds=(0, 1),
)
TRAIN, TEST = blobs([32, 32, 32], seed=0), blobs([40, 40, 40], seed=1)


def test_both_loops_learn_and_are_compared():
    found = against_plain(TRAIN, TEST, TINY)
    assert found["steps"] == 6 * 96 // 16
    assert min(found["ours"] + found["plain"]) > 0.5  # chance is one third
    assert found["difference"] == pytest.approx(np.mean(found["ours"]) - np.mean(found["plain"]))
    spread = [np.std(found[name], ddof=1) / np.sqrt(2) for name in ("ours", "plain")]
    assert found["se"] == pytest.approx(np.hypot(*spread))


def test_the_plain_loop_takes_as_many_steps_at_the_same_rates(monkeypatch):
    from gmaug.classifiers import ResNet18

    rates, step = [], torch.optim.SGD.step
    monkeypatch.setattr(
        torch.optim.SGD,
        "step",
        lambda self, *a: rates.append(self.param_groups[0]["lr"]) or step(self, *a),
    )
    plain_resnet18(TRAIN, TEST[0], TINY.cifar10, classes=3, seed=0)
    plain, rates[:] = list(rates), []
    ResNet18(TINY.cifar10, device="cpu").fit(*TRAIN)
    assert plain == pytest.approx(rates)
    assert len(set(plain)) == 2


def test_the_plain_loop_leaves_the_random_state_alone():
    state = torch.get_rng_state()
    guesses = [plain_resnet18(TRAIN, TEST[0], TINY.cifar10, classes=3, seed=s) for s in (0, 0, 1)]
    assert torch.equal(torch.get_rng_state(), state)
    assert guesses[0].tolist() == guesses[1].tolist() != guesses[2].tolist()


def test_the_balanced_garden():
    found = balanced_garden(TINY)
    assert found["images"] == 2 * len(found["classes"]) == 18
    for name in ("resnet18", "mae"):
        one = found[name]
        assert one["accuracy"] == pytest.approx(np.mean(one["by_class"]))
        assert len(one["by_class"]) == 9
        each = 100  # test images of a class
        deviation = [np.sqrt(p * (1 - p) / each) for p in one["by_class"]]
        assert one["se"] == pytest.approx(np.linalg.norm(deviation) / 9)


def test_a_record_is_read_again(monkeypatch, tmp_path):
    monkeypatch.setattr(soundness, "balanced_garden", lambda settings: {"images": 18})
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    record("garden", settings=TINY)
    assert runs.read_record("soundness", "garden")["content"] == {"images": 18}


def test_what_is_not_there_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match="cifar10"):
        record("cifar10", root=tmp_path)
    with pytest.raises(ValueError, match="garden and cifar10"):
        record("scene")


def test_the_recorded_settings_fill_whole_batches():
    # the plain loop drops what is left over, ours does not: they agree where nothing is
    assert 8000 % RECORDED.cifar10.batch == 0
    assert RECORDED.cifar10.crop == "padded"
    assert RECORDED.cifar10.randaugment is None
