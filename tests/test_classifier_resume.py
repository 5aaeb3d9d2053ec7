"""A training that is interrupted goes on to the same weights; a full disk loses nothing."""

import errno
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch
from blobs import SMALL, blobs
from safetensors import SafetensorError

from gmaug.classifiers import Loss, ResNet18, balancing_weights
from gmaug.classifiers.training import TorchClassifier

TRAIN = blobs([30, 15, 6], seed=0)
HELD = blobs([6, 6, 6], seed=1)
TEST = blobs([10, 10, 10], seed=2)
SETTINGS = replace(SMALL, epochs=5, randaugment=(1, 5), erasing=0.3)
OPTIONS = {"loss": Loss(beta=0.9), "sampling_weights": balancing_weights(TRAIN[1])}


class Killed(Exception):
    """Stands for whatever ends a process."""


def fit(folder=None, settings=SETTINGS, *, seed=0, held=HELD, **options):
    model = ResNet18(settings, device="cpu")
    return model.fit(*TRAIN, validation=held, seed=seed, checkpoint=folder, **{**OPTIONS, **options})


def kill_at(monkeypatch, validation):
    """End the run when it comes to its validation of this number, from 1."""
    original, seen = TorchClassifier.validated, []

    def validated(self):
        seen.append(1)
        if len(seen) == validation:
            raise Killed
        return original(self)

    monkeypatch.setattr(TorchClassifier, "validated", validated)


@pytest.fixture(scope="module")
def whole():
    return fit()


@pytest.mark.parametrize(("held", "at"), [(HELD, 2), (None, 5)])
def test_resumes_to_the_same_bytes(held, at, monkeypatch, tmp_path):
    straight = fit(held=held)
    with monkeypatch.context() as patch:
        kill_at(patch, at)
        with pytest.raises(Killed):
            fit(tmp_path, held=held)
    taken = []
    step = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *a: taken.append(1) or step(self, *a))
    again = fit(tmp_path, held=held)
    assert 0 < len(taken) < straight.steps_, "it started afresh"
    assert again.logits(TEST[0]).tobytes() == straight.logits(TEST[0]).tobytes()
    assert (again.history_, again.best_epoch_) == (straight.history_, straight.best_epoch_)


def test_the_best_weights_survive_an_interruption_after_them(monkeypatch, tmp_path):
    values = iter([0.2, 0.9, 0.3, 0.4, 0.5])
    states = []

    def validated(self):
        states.append({name: value.clone() for name, value in self.net_.state_dict().items()})
        value = next(values)
        if value == 0.4:
            raise Killed
        return {"validation_accuracy": value, "validation_loss": 1.0}

    monkeypatch.setattr(TorchClassifier, "validated", validated)
    with pytest.raises(Killed):
        fit(tmp_path)
    values = iter([0.4001, 0.5])
    model = fit(tmp_path)
    assert model.best_epoch_ == 2
    assert all(torch.equal(v, states[1][k]) for k, v in model.net_.state_dict().items())


def test_a_finished_run_is_not_repeated(whole, monkeypatch, tmp_path):
    fit(tmp_path)
    monkeypatch.setattr(torch.optim.SGD, "step", lambda *a: pytest.fail("a step was taken"))
    assert fit(tmp_path).logits(TEST[0]).tobytes() == whole.logits(TEST[0]).tobytes()


@pytest.mark.parametrize(
    "options",
    [
        {"seed": 1},
        {"settings": replace(SETTINGS, epochs=1, lr=0.01)},
        {"loss": Loss()},
        {"steps": 7},
        {"held": None},
        {"sampling_weights": None},
        {"image_weights": np.ones(51)},
    ],
)
def test_another_runs_checkpoint_is_refused(options, tmp_path):
    same = {"settings": replace(SETTINGS, epochs=1), "steps": 1}
    fit(tmp_path, **same)
    with pytest.raises(ValueError, match="of another training"):
        fit(tmp_path, **(same | options))


def test_a_damaged_checkpoint_is_refused(tmp_path):
    fit(tmp_path, steps=2)
    file = tmp_path / "training.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"training\.safetensors"):
        fit(tmp_path, steps=2)


def test_a_full_disk_loses_nothing(whole, monkeypatch, tmp_path):
    original, calls = safetensors.torch.save_file, []

    def write(*rest, **options):
        calls.append(rest)
        if len(calls) == 3:
            raise SafetensorError("I/O error: (os error 28)")
        original(*rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(safetensors.torch, "save_file", write)
        with pytest.raises(OSError, match=r"No space left.*training\.safetensors") as raised:
            fit(tmp_path)
    assert raised.value.errno == errno.ENOSPC
    assert [p.name for p in tmp_path.iterdir()] == ["training.safetensors"]
    again = fit(tmp_path)
    assert again.logits(TEST[0]).tobytes() == whole.logits(TEST[0]).tobytes()


def test_a_full_disk_for_real(whole, tmp_path):
    """On a file system of eight megabytes, where this process may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(disk)], check=True, capture_output=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("mounting a small tmpfs needs rights this process has not")
    try:
        fit(disk / "run", steps=1)
        kept = (disk / "run" / "training.safetensors").read_bytes()
        filler = disk / "filler"
        free = 8 * 2**20 - len(kept)
        filler.write_bytes(np.zeros(free - len(kept) // 2, np.uint8).tobytes())
        with pytest.raises(OSError, match="No space left"):
            fit(disk / "other")
        assert (disk / "run" / "training.safetensors").read_bytes() == kept
        filler.unlink()
        assert fit(disk / "other").logits(TEST[0]).tobytes() == whole.logits(TEST[0]).tobytes()
    finally:
        subprocess.run(["umount", str(disk)], check=True)
