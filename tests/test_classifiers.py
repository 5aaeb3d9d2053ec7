"""ResNet18: its parts, its training, its manners."""

import errno
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import SMALL, blobs
from safetensors import SafetensorError

from gmaug.classifiers import (
    GARDEN,
    PAPER,
    Loss,
    ResNet18,
    balancing_weights,
    make_classifier,
    settings_for,
)
from gmaug.classifiers.resnet import resnet18
from gmaug.classifiers.training import Batches
from gmaug.classifiers.views import Views

TRAIN = blobs([60, 30, 10], seed=0)
HELD = blobs([15, 15, 15], seed=1)
TEST = blobs([40, 40, 40], seed=2)


@pytest.fixture(scope="module")
def trained():
    return ResNet18(SMALL, device="cpu").fit(*TRAIN, validation=HELD, seed=3)


def test_learns(trained):
    # chance is one third
    assert (trained.predict(TEST[0]) == TEST[1]).mean() > 0.8
    assert trained.history_[-1]["train_loss"] < trained.history_[0]["train_loss"]


def test_the_best_epoch_is_kept(trained):
    scores = [(h["validation_accuracy"], -h["validation_loss"]) for h in trained.history_]
    assert trained.best_epoch_ == 1 + scores.index(max(scores))
    right = trained.predict(HELD[0]) == HELD[1]
    assert np.mean([right[HELD[1] == c].mean() for c in range(3)]) == pytest.approx(max(scores)[0])


def test_history(trained):
    assert [h["epoch"] for h in trained.history_] == list(range(1, SMALL.epochs + 1))
    assert trained.history_[-1]["step"] == trained.steps_ == SMALL.steps_for(100) == 50
    assert trained.history_[0]["rate"] == SMALL.lr
    assert trained.history_[-1]["rate"] == pytest.approx(SMALL.lr * 0.1**3)


def test_same_seed_same_bytes(trained):
    state = torch.get_rng_state()
    again = ResNet18(SMALL, device="cpu").fit(*TRAIN, validation=HELD, seed=3)
    assert torch.equal(torch.get_rng_state(), state), "the caller's random state was moved"
    other = ResNet18(SMALL, device="cpu").fit(*TRAIN, validation=HELD, seed=4)
    assert trained.logits(TEST[0]).tobytes() == again.logits(TEST[0]).tobytes()
    assert trained.logits(TEST[0]).tobytes() != other.logits(TEST[0]).tobytes()


def test_save_and_load(trained, tmp_path):
    trained.save(tmp_path / "net.safetensors")
    back = ResNet18.load(tmp_path / "net.safetensors", device="cpu")
    assert back.logits(TEST[0]).tobytes() == trained.logits(TEST[0]).tobytes()
    assert back.predict_proba(TEST[0]).tobytes() == trained.predict_proba(TEST[0]).tobytes()
    assert (back.settings, back.history_, back.best_epoch_) == (SMALL, trained.history_, trained.best_epoch_)


def test_scores_fit_together(trained):
    logits, chances = trained.logits(TEST[0]), trained.predict_proba(TEST[0])
    assert logits.shape == chances.shape == (120, 3)
    assert logits.dtype == np.float32
    assert chances.sum(axis=1) == pytest.approx(np.ones(120))
    weight, bias = (getattr(trained.net_.fc, name).detach().numpy() for name in ("weight", "bias"))
    assert trained.features(TEST[0]) @ weight.T + bias == pytest.approx(logits, abs=1e-4)
    assert trained.logits(TEST[0][:0]).shape == (0, 3)


def test_a_class_may_be_absent_from_training():
    two = TRAIN[1] < 2
    model = ResNet18(replace(SMALL, epochs=1), device="cpu")
    model.fit(TRAIN[0][two], TRAIN[1][two], validation=HELD, classes=np.arange(3))
    assert model.logits(TEST[0]).shape == (120, 3)
    assert model.counts_.tolist() == [60, 30, 0]


def test_step_matched_takes_exactly_the_steps_asked_for(monkeypatch):
    taken = []
    original = torch.optim.SGD.step
    monkeypatch.setattr(torch.optim.SGD, "step", lambda self, *a: taken.append(1) or original(self, *a))
    for images, labels in (TRAIN, blobs([20, 5, 5], seed=5)):
        taken.clear()
        model = ResNet18(SMALL, device="cpu").fit(images, labels, validation=HELD, steps=11)
        assert len(taken) == model.steps_ == model.history_[-1]["step"] == 11
        assert len(model.history_) == SMALL.epochs  # judged as often, so no more chances to be lucky


def test_loss_and_weights_reach_the_training():
    base = ResNet18(replace(SMALL, epochs=2), device="cpu").fit(*TRAIN).logits(TEST[0])
    for options in ({"loss": Loss(tau=1.0)}, {"sampling_weights": balancing_weights(TRAIN[1])}):
        other = ResNet18(replace(SMALL, epochs=2), device="cpu").fit(*TRAIN, **options).logits(TEST[0])
        assert not np.allclose(base, other)


def test_batches():
    random = torch.Generator().manual_seed(0)
    passes = Batches(10, 4, random=random)
    drawn = torch.cat([next(passes) for _ in range(5)])
    assert sorted(drawn[:10].tolist()) == sorted(drawn[10:].tolist()) == list(range(10))
    labels = np.repeat([0, 1], [95, 5])
    weighted = Batches(100, 100, weights=balancing_weights(labels), random=random)
    share = np.mean([labels[next(weighted).numpy()].mean() for _ in range(20)])
    assert share == pytest.approx(0.5, abs=0.05)  # 2000 draws: standard error 0.011


def test_steps_and_rate():
    assert PAPER.steps_for(2248) == -(-100 * 2248 // 256)
    assert PAPER.steps_for(3) == 100  # a set smaller than a batch: one step an epoch
    assert GARDEN.steps_for(3) == GARDEN.steps_for(3000) == GARDEN.steps
    rates = [PAPER.rate(epoch / 100) for epoch in (0, 29, 30, 60, 90, 99)]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 1e-3, 1e-4, 1e-4])


def test_views_are_windows_of_the_mirrored_image():
    images = torch.from_numpy(TRAIN[0][:40])
    views = Views(images, replace(SMALL, padding=3))
    drawn = views.draw(torch.arange(40), torch.Generator().manual_seed(0)).permute(0, 2, 3, 1).byte()
    wide = np.pad(TRAIN[0][:40], ((0, 0), (3, 3), (3, 3), (0, 0)), mode="reflect")
    assert np.array_equal(views.images.numpy(), wide)
    kinds = set()
    for image, view in zip(wide, drawn.numpy(), strict=True):
        found = [
            (top, left, flip)
            for top in range(7)
            for left in range(7)
            for flip in (False, True)
            if np.array_equal(image[top : top + 16, left : left + 16][:, :: -1 if flip else 1], view)
        ]
        assert len(found) == 1
        kinds.add(found[0])
    assert {flip for *_, flip in kinds} == {False, True}
    assert len({place[:2] for place in kinds}) > 15


def test_no_crop_and_no_flip_leave_images_alone():
    views = Views(torch.from_numpy(TRAIN[0][:8]), replace(SMALL, padding=0, flip=False))
    drawn = views.draw(torch.arange(8), torch.Generator())
    assert np.array_equal(drawn.permute(0, 2, 3, 1).byte().numpy(), TRAIN[0][:8])


def test_the_papers_crop():
    gradient = np.tile(np.arange(16, dtype=np.uint8)[None, :, None] * 10, (16, 1, 3))
    views = Views(torch.from_numpy(np.stack([gradient] * 200)), replace(PAPER, crop_size=8))
    drawn = views.draw(torch.arange(200), torch.Generator().manual_seed(0))
    assert drawn.shape == (200, 3, 8, 8)
    slope = (drawn[:, 0, 0, -1] - drawn[:, 0, 0, 0]).numpy()  # of 7 columns out of 8: at most 150 * 7 / 8
    assert (slope < 0).mean() == pytest.approx(0.5, abs=0.11)  # flips: three standard errors
    assert 0 < np.abs(slope).min() < 60 < 100 < np.abs(slope).max() <= 150


@pytest.mark.parametrize("stem", ["imagenet", "small"])
@pytest.mark.parametrize("width", [8, 64])
def test_networks(stem, width):
    net = resnet18(5, replace(PAPER, stem=stem, width=width))
    assert net(torch.zeros(2, 3, 32, 32)).shape == (2, 5)
    assert net.fc.in_features == 8 * width
    assert len(list(net.parameters())) == 62  # 20 convolutions, 20 x 2 of the norms, 2 of the last layer


def test_the_papers_network_is_torchvisions():
    from torchvision.models import resnet18 as stock

    ours, theirs = resnet18(1000, PAPER).state_dict(), stock(num_classes=1000).state_dict()
    assert {k: v.shape for k, v in ours.items()} == {k: v.shape for k, v in theirs.items()}


SHORTCUT = """
import torch
from dataclasses import replace
from gmaug.classifiers import GARDEN
from gmaug.classifiers.resnet import resnet18

torch.set_num_threads(2)
layer = resnet18(3, GARDEN).layer2[0].downsample[0]
images = torch.randn(37, 8, 32, 32).to(memory_format=torch.channels_last)
goal = torch.randn(37, 16, 16, 16).to(memory_format=torch.channels_last)
exact = torch.nn.Conv2d(8, 16, 1, stride=2, bias=False).double()
exact.weight.data = layer.weight.data.double()
exact(images.double()).backward(goal.double())
for _ in range(10):
    layer.weight.grad = None
    layer(images.requires_grad_()).backward(goal)
    torch.testing.assert_close(layer.weight.grad.double(), exact.weight.grad, rtol=0, atol=1e-3)
print("as exact")
"""


def test_narrow_shortcuts_with_several_threads():
    # a strided convolution in their place kills the process, or gives wrong gradients, where there is AVX-512
    found = subprocess.run([sys.executable, "-c", SHORTCUT], capture_output=True, text=True, check=False)
    assert found.stdout == "as exact\n", found.stderr[-500:] or found.returncode


@pytest.mark.parametrize(
    ("images", "labels", "options", "says"),
    [
        (TRAIN[0], TRAIN[1], {"classes": [0, 1]}, "classes="),
        (TRAIN[0], TRAIN[1], {"steps": 0}, "steps=0"),
        (TRAIN[0], TRAIN[1], {"sampling_weights": np.zeros(100)}, "sampling_weights"),
        (TRAIN[0], TRAIN[1], {"validation": (HELD[0], HELD[1] + 5)}, "validation labels"),
    ],
)
def test_bad_input(images, labels, options, says):
    with pytest.raises(ValueError, match=says):
        ResNet18(SMALL, device="cpu").fit(images, labels, **options)


def test_bad_use(trained, tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        ResNet18(SMALL).logits(TEST[0])
    with pytest.raises(ValueError, match="resize"):
        trained.logits(TEST[0][:, :8, :8])
    with pytest.raises(ValueError, match="diverged"):
        ResNet18(replace(SMALL, lr=1e30), device="cpu").fit(*TRAIN)
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, str(tmp_path / "other.safetensors"))
    with pytest.raises(ValueError, match=r"other\.safetensors"):
        ResNet18.load(tmp_path / "other.safetensors")


@pytest.mark.parametrize(
    "wrong", [{"stem": "big"}, {"crop": "round"}, {"width": 0}, {"padding": -1}, {"decay_every": 0.0}]
)
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


# The recipe


def test_one_cycle_cosine_and_the_papers_steps():
    cycle = replace(SMALL, schedule="cycle", warmup=0.2, lr=0.4)
    assert [cycle.rate(p) for p in (0, 0.1, 0.2, 0.6)] == pytest.approx([0, 0.2, 0.4, 0.2])
    assert cycle.rate(799 / 800) == pytest.approx(0.4 / 800 / 0.8)
    cosine = replace(SMALL, schedule="cosine", lr=0.4)
    assert [cosine.rate(p) for p in (0, 0.5, 0.999)] == pytest.approx([0.4, 0.2, 0], abs=1e-5)
    step = replace(SMALL, warmup=0.1, lr=0.4)
    assert [step.rate(p) for p in (0.05, 0.1, 0.31)] == pytest.approx([0.2, 0.4, 0.04])


def test_a_length_in_steps_or_in_epochs_but_not_both():
    steps = replace(SMALL, steps=7, epochs=None)
    assert steps.steps_for(10) == steps.steps_for(10_000) == 7
    assert (steps.validations_of(7), GARDEN.validations_of(800), PAPER.validations_of(900)) == (7, 8, 100)
    model = ResNet18(replace(steps, steps=20, validations=3), device="cpu").fit(*TRAIN, validation=HELD)
    assert [row["step"] for row in model.history_] == [7, 14, 20]
    for wrong in ({"steps": 7}, {"epochs": None}, {"steps": 0, "epochs": None}, {"validations": 0}):
        with pytest.raises(ValueError, match=r"steps=|validations="):
            replace(SMALL, **wrong)


def test_decay_spares_biases_and_norms_if_asked(trained):
    for every, expected in ((True, {1: 0.1, 2: 0.1, 4: 0.1}), (False, {1: 0.0, 2: 0.1, 4: 0.1})):
        model = ResNet18(replace(SMALL, weight_decay=0.1, decay_all=every, nesterov=True))
        optimizer = model._optimizer(trained.net_)
        found = {w.ndim: group["weight_decay"] for group in optimizer.param_groups for w in group["params"]}
        assert found == expected
        assert all(group["nesterov"] for group in optimizer.param_groups)


def test_smoothing_of_the_settings_reaches_a_loss_that_states_none():
    settings = replace(SMALL, smoothing=0.1)
    fit = ResNet18(settings, device="cpu").fit
    assert fit(*TRAIN, steps=1).loss_ == Loss(smoothing=0.1)
    assert fit(*TRAIN, steps=1, loss=Loss(tau=1.0)).loss_ == Loss(tau=1.0, smoothing=0.1)
    assert fit(*TRAIN, steps=1, loss=Loss(smoothing=0.0)).loss_.smoothing == 0


def test_image_weights_are_what_each_images_loss_counts():
    settings = replace(SMALL, epochs=2)
    fit = ResNet18(settings, device="cpu").fit
    plain = fit(*TRAIN).logits(TEST[0])
    assert fit(*TRAIN, image_weights=np.ones(100)).logits(TEST[0]).tobytes() == plain.tobytes()
    weights = np.where(TRAIN[1] == 0, 1.0, 0.0)  # as if there were class 0 alone
    assert (fit(*TRAIN, image_weights=weights, steps=30).predict(TEST[0]) == 0).mean() > 0.9
    with pytest.raises(ValueError, match="image_weights: give 100 numbers"):
        fit(*TRAIN, image_weights=np.ones(99))
    with pytest.raises(ValueError, match="turn mixup and cutmix off"):
        ResNet18(replace(settings, mixup=0.2), device="cpu").fit(*TRAIN, image_weights=weights)


def test_a_file_is_written_whole_or_not_at_all(trained, monkeypatch, tmp_path):
    path = tmp_path / "net.safetensors"
    trained.save(path)
    before = path.read_bytes()

    def full(*rest, **options):
        raise SafetensorError("I/O error: (os error 28)")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    with pytest.raises(OSError, match=r"No space left.*net\.safetensors") as raised:
        trained.save(path)
    assert raised.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_by_name():
    model = make_classifier("resnet18", settings_for("resnet18", shape=(64, 64)))
    assert isinstance(model, ResNet18)
    assert model.settings.stem_stride == 2
    with pytest.raises(ValueError, match=r"classifier='vgg' is unknown; use 'resnet18' or 'mae'"):
        make_classifier("vgg", GARDEN)


def test_numbers_of_a_tiny_run():
    """Twelve steps of the garden's recipe on one thread: who changes them changes every recorded training.

    The tolerance is for another processor's order of summation, whose rounding twelve steps enlarge.
    """
    torch.set_num_threads(1)
    settings = replace(GARDEN, steps=12, batch=16, validations=3, lr=0.05)
    model = ResNet18(settings, device="cpu").fit(*TRAIN, validation=HELD, seed=0)
    losses = [(row["train_loss"], row["validation_loss"]) for row in model.history_]
    assert np.array(losses) == pytest.approx(
        np.array([(1.16081, 2.04429), (0.95653, 1.19253), (0.70421, 1.22723)]), rel=2e-3
    )
