"""The transitional cGAN: its parts against their formulae, its training against itself."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from PIL import Image
from small_generators import TINY, flat_classes, tiny, two_processes, weights

from gmaug.backend import write_tensors
from gmaug.generators import (
    BankGenerator,
    TransitionalCGAN,
    load_generator,
    make_generator,
    require_linear,
)
from gmaug.generators.cgan import (
    CGANTraining,
    Discriminator,
    Generator as Networks,
    Mapping,
    ModulatedConv,
    augment,
    discriminator_loss,
    generator_loss,
    minibatch_std,
    new_networks,
    r1_penalty,
    second_moment_norm,
)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return flat_classes([40, 16, 8])


@pytest.fixture(scope="module")
def fitted(data) -> TransitionalCGAN:
    return TransitionalCGAN(TINY).fit(*data)


# ---- the networks -------------------------------------------------------------------------


def test_shapes():
    gen = torch.Generator().manual_seed(0)
    s = tiny(resolution=16, channels=(8, 8, 4), z_dim=6, w_dim=10)
    images = Networks(s, 3)(torch.randn(8, 6), torch.zeros(8, dtype=torch.int64), 1.0, gen)
    assert images.shape == (8, 3, 16, 16)
    u, c = Discriminator(s, 3)(images, torch.zeros(8, dtype=torch.int64))
    assert u.shape == c.shape == (8,)


def test_scaling_activations_is_modulating_the_kernel():
    """x s -> conv -> d equals one demodulated kernel per image, as StyleGAN2 writes it."""
    torch.manual_seed(0)
    conv = ModulatedConv(5, 7, 4).double()
    x, w = torch.randn(3, 5, 6, 6).double(), torch.randn(3, 4).double()
    y, style = conv(x, w)
    ours = y * conv.demodulation(style)[:, :, None, None]
    for image in range(3):
        kernel = conv.weight * conv.scale * conv.affine(w)[image][None, :, None, None]
        kernel = kernel / (kernel.square().sum(dim=(1, 2, 3), keepdim=True) + 1e-8).sqrt()
        expected = torch.nn.functional.conv2d(x[image : image + 1], kernel, padding=1)
        torch.testing.assert_close(ours[image : image + 1], expected)


@pytest.mark.parametrize("strength", [0.1, 1.0, 30.0])
def test_demodulated_output_has_unit_variance(strength):
    """Whatever the style's size, unit-variance input gives unit-variance output."""
    torch.manual_seed(0)
    conv = ModulatedConv(64, 64, 8)
    x, w = torch.randn(8, 64, 16, 16), strength * torch.randn(8, 8)
    with torch.no_grad():
        y, style = conv(x, w)
        y = (y * conv.demodulation(style)[:, :, None, None])[:, :, 1:-1, 1:-1]  # the border sees padding
    assert y.std().item() == pytest.approx(1, abs=0.03)


def test_mapping_without_class_ignores_it_and_adds_it_after_layer_0():
    torch.manual_seed(0)
    mapping = Mapping(3, 4, 6, layers=2, lr_mul=0.01)
    z, labels = torch.randn(5, 4), torch.tensor([0, 1, 2, 0, 1])
    assert torch.equal(mapping(z, labels, 0.0), mapping(z, labels * 0, 0.0))
    h = mapping.first(second_moment_norm(z)) + 0.3 * mapping.project(
        second_moment_norm(mapping.embed[labels])
    )
    torch.testing.assert_close(mapping(z, labels, 0.3), mapping.rest(h))
    assert not torch.equal(mapping(z, labels, 1.0), mapping(z, labels * 0, 1.0))


def test_minibatch_std_against_numpy():
    x = torch.randn(8, 3, 4, 4)
    maps = minibatch_std(x, 4)[:, 3]
    for group in (0, 1):
        part = x[4 * group : 4 * group + 4].numpy()
        np.testing.assert_allclose(maps[4 * group : 4 * group + 4], part.std(axis=0).mean(), rtol=1e-4)


# ---- losses and schedule ------------------------------------------------------------------


def test_lambda_follows_the_settings():
    s = tiny(kimg=80.0)
    assert [s.lambda_at(k) for k in (0, 20, 25, 30, 40, 80)] == [0, 0, 0.25, 0.5, 1, 1]
    assert tiny(ts=0.5, te=0.5, kimg=80.0).lambda_at(40) == 1
    assert tiny(transitional=False).lambda_at(0) == 1


@pytest.mark.parametrize("weight", [0.0, 0.4, 1.0])
def test_losses_by_hand(weight):
    u_r, c_r, u_f, c_f = torch.tensor([[0.5, -2.0], [3.0, 0.1], [-1.0, 0.7], [0.2, -0.3]])

    def sp(values, sign):
        return sum(math.log1p(math.exp(sign * float(v))) for v in values) / len(values)

    expected_g = sp(u_f, -1) + weight * sp(c_f, -1)
    expected_d = sp(u_f, 1) + sp(u_r, -1) + weight * (sp(c_f, 1) + sp(c_r, -1))
    assert generator_loss(u_f, c_f, weight).item() == pytest.approx(expected_g, rel=1e-6)
    assert discriminator_loss(u_r, c_r, u_f, c_f, weight).item() == pytest.approx(expected_d, rel=1e-6)


def test_r1_against_finite_differences():
    torch.manual_seed(0)
    net = Discriminator(tiny(channels=(4, 4), w_dim=4), 2).double()
    images = torch.randn(4, 3, 8, 8).double().requires_grad_()
    labels = torch.tensor([0, 1, 0, 1])
    penalty = r1_penalty(net(images, labels)[0], images).item()
    # |grad|^2 needs every pixel: walk them with central differences of the summed logit
    total, step = 0.0, 1e-6
    with torch.no_grad():
        flat = images.detach().clone().reshape(-1)
        for pixel in range(0, flat.numel()):
            values = []
            for sign in (1, -1):
                moved = flat.clone()
                moved[pixel] += sign * step
                values.append(net(moved.reshape(4, 3, 8, 8), labels)[0].sum().item())
            total += ((values[0] - values[1]) / (2 * step)) ** 2
    assert penalty == pytest.approx(total / 4, rel=1e-5)


def test_r1_gradient_reaches_the_unconditional_head_only():
    net = Discriminator(tiny(channels=(4, 4), w_dim=4), 2)
    images = torch.randn(4, 3, 8, 8, requires_grad=True)
    r1_penalty(net(images, torch.tensor([0, 1, 0, 1]))[0], images).backward()
    assert net.unconditional.weight.grad.abs().sum() > 0
    assert net.conditional.weight.grad is None
    assert net.embed.grad is None


def test_the_average_halves_in_its_half_life(data):
    run = CGANTraining(tiny(ema_kimg=0.8), *data, n_classes=3, device=torch.device("cpu"))
    run.step_count = 10**6
    ones, zeros = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        ones.weight.fill_(1)
        zeros.weight.fill_(0)
    for _ in range(100):  # of eight images
        run.average([(ones, zeros)])
    assert ones.weight.item() == pytest.approx(0.5, rel=1e-4)
    run.step_count = 0  # early on it follows at once
    run.average([(ones, zeros)])
    assert ones.weight.item() < 1e-3


# ---- augmentation -------------------------------------------------------------------------


@pytest.mark.parametrize("policy", [("color",), ("translation",), ("cutout",), TINY.augment])
def test_augmentation_is_differentiable_and_repeatable(policy):
    images = torch.rand(6, 3, 16, 16, requires_grad=True)
    first, second = (augment(images, policy, torch.Generator().manual_seed(1)) for _ in range(2))
    assert first.shape == images.shape
    assert torch.equal(first, second)
    assert not torch.equal(first, images)
    first.sum().backward()
    assert images.grad.abs().sum() > 0


def test_translation_moves_whole_pixels():
    images = torch.arange(1, 8 * 16 * 16 + 1.0).reshape(8, 1, 16, 16).expand(-1, 3, -1, -1)
    moved = augment(images, ("translation",), torch.Generator().manual_seed(0))
    kept = moved[moved > 0]
    assert len(kept) >= 3 * 8 * 14 * 14  # at most two rows and two columns are lost
    assert torch.isin(kept, images).all()
    offsets = {tuple(torch.nonzero(moved[k, 0] == images[k, 0, 8, 8])[0].tolist()) for k in range(8)}
    assert len(offsets) > 1
    assert all(abs(r - 8) <= 2 and abs(c - 8) <= 2 for r, c in offsets)


def test_cutout_removes_at_most_a_quarter():
    out = augment(torch.ones(50, 3, 16, 16), ("cutout",), torch.Generator().manual_seed(0))
    holes = (out == 0).float().mean(dim=(1, 2, 3))
    assert 0 < holes.min() <= holes.max() <= 0.25
    assert holes.max() == 0.25


# ---- training -----------------------------------------------------------------------------


def test_fakes_follow_the_training_distribution(data):
    run = CGANTraining(TINY, *data, n_classes=3, device=torch.device("cpu"))
    drawn = torch.cat([run.labels[run.rows()] for _ in range(500)])
    observed = torch.bincount(drawn, minlength=3).numpy()
    expected = len(drawn) * np.array([40, 16, 8]) / 64
    assert ((observed - expected) ** 2 / expected).sum() < 13.8  # chi-square, 2 df, p = 0.001


def test_same_seed_same_bytes(data, fitted):
    again = TransitionalCGAN(TINY).fit(*data)
    assert weights(again) == weights(fitted)
    assert np.array_equal(again.sample([0, 1, 2], seed=5), fitted.sample([0, 1, 2], seed=5))
    other = TransitionalCGAN(tiny(seed=1)).fit(*data)
    assert weights(other) != weights(fitted)


def test_killed_and_resumed_equals_uninterrupted(data, fitted, tmp_path):
    """Killed at step 25 of 40, after the checkpoint of step 20: goes on to the very same weights."""

    class Killed(Exception):
        pass

    steps = []

    def kill(model, row):
        steps.append(round(row["kimg"] * 1000 / 8))
        if len(steps) == 3:
            raise Killed

    with pytest.raises(Killed):
        TransitionalCGAN(TINY).fit(*data, checkpoint=tmp_path, callback=kill)
    assert steps == [10, 20, 30]
    resumed = TransitionalCGAN(TINY).fit(*data, checkpoint=tmp_path)
    assert weights(resumed) == weights(fitted)
    assert [row["kimg"] for row in resumed.history_] == [row["kimg"] for row in fitted.history_]
    with pytest.raises(ValueError, match="another run"):
        TransitionalCGAN(tiny(lr=0.001)).fit(*data, checkpoint=tmp_path)
    with pytest.raises(ValueError, match="another run"):
        TransitionalCGAN(TINY).fit(data[0][::-1], data[1], checkpoint=tmp_path)


def test_history_and_early_stops(data, fitted):
    assert [round(row["kimg"], 3) for row in fitted.history_] == [0.08, 0.16, 0.24, 0.32]
    assert [row["lambda"] for row in fitted.history_] == [0, 1, 1, 1]
    assert all(math.isfinite(value) for row in fitted.history_ for value in row.values())
    model = TransitionalCGAN(TINY).fit(*data, validation=data, callback=lambda m, row: row["kimg"] > 0.1)
    assert len(model.history_) == 2
    assert {"distance", "spread", "spreads"} <= set(model.history_[-1])


def test_it_learns_the_classes(data):
    """Means of three flat classes, after three hundred steps."""
    s = tiny(kimg=2.4, report_kimg=1.0, augment=(), lr=0.005, mapping_lr=0.1, ts=0.1, te=0.2)
    model = TransitionalCGAN(s).fit(*data)
    means = [model.sample([k] * 32, seed=0).mean() for k in range(3)]
    assert means[0] + 30 < means[1] < means[2]  # the real ones: 39, 100, 159


def test_divergence_stops_with_advice(data):
    with pytest.raises(RuntimeError, match="lower lr"):
        TransitionalCGAN(tiny(lr=1e6)).fit(*data)


def test_save_and_load(fitted, tmp_path):
    path = tmp_path / "generator.safetensors"
    labels = np.arange(90) % 3
    fitted.save(path)
    loaded = load_generator(path, threads=1)
    assert loaded.history_ == fitted.history_
    images = loaded.sample(labels, seed=3)
    assert np.abs(images.astype(int) - fitted.sample(labels, seed=3)).max() <= 8
    loaded.save(tmp_path / "again.safetensors")
    assert np.array_equal(
        load_generator(tmp_path / "again.safetensors", threads=1).sample(labels, seed=3), images
    )


def test_samples(fitted):
    images = fitted.sample([0, 1, 2, 0], seed=0)
    assert images.shape == (4, 8, 8, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:2], fitted.sample([0, 1], seed=0))  # whatever follows
    assert not np.array_equal(images, fitted.sample([0, 1, 2, 0], seed=1))
    assert len(fitted.sample([], seed=0)) == 0


# ---- the least distance -------------------------------------------------------------------


def test_the_weights_of_the_least_distance_are_kept(data):
    taken = {}
    model = TransitionalCGAN(TINY).fit(
        *data, validation=data, callback=lambda m, row: taken.update({row["kimg"]: weights(m)}) and None
    )
    distances = {row["kimg"]: row["distance"] for row in model.history_ if row["lambda"] == 1}
    assert len(distances) == 3
    best = min(distances, key=distances.__getitem__)
    assert model.kimg_ == best
    assert weights(model) == taken[best]
    last = TransitionalCGAN(tiny(keep_best=False)).fit(*data, validation=data)
    assert last.kimg_ == 0.32
    assert weights(last) == taken[0.32]


def test_resumed_run_keeps_the_same_best(data, tmp_path):
    whole = TransitionalCGAN(TINY).fit(*data, validation=data)

    class Killed(Exception):
        pass

    def kill(model, row):
        if row["kimg"] > 0.2:
            raise Killed

    with pytest.raises(Killed):
        TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path, callback=kill)
    resumed = TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path)
    assert resumed.kimg_ == whole.kimg_
    assert weights(resumed) == weights(whole)
    finished = TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path)  # nothing left to do
    assert weights(finished) == weights(whole)


def test_patience_stops_a_run_that_no_longer_improves(data, monkeypatch):
    falling = iter([5.0, 3.0, 4.0, 4.0])
    monkeypatch.setattr("gmaug.generators.training.frechet", lambda *_: next(falling))
    model = TransitionalCGAN(tiny(patience_kimg=0.08)).fit(*data, validation=data)
    assert [row["distance"] for row in model.history_] == [5.0, 3.0, 4.0]
    assert model.kimg_ == 0.16


# ---- several processes --------------------------------------------------------------------


def test_two_processes_hold_the_same_weights(data, tmp_path):
    first, second = two_processes(
        tmp_path,
        data,
        imports="from gmaug.generators import TransitionalCGAN, TransitionalCGANSettings",
        model=f"TransitionalCGAN(TransitionalCGANSettings.from_dict({tiny(kimg=0.08).to_dict()!r}))",
    )
    assert np.array_equal(first, second)
    start = new_networks(TINY, 3)["generator"].state_dict().values()
    assert not np.allclose(first, torch.cat([t.flatten() for t in start]).numpy())


def test_a_batch_must_divide(data):
    three = type("Accelerator", (), {"num_processes": 3, "process_index": 0})()
    with pytest.raises(ValueError, match="3 processes"):
        CGANTraining(TINY, *data, n_classes=3, device=torch.device("cpu"), accelerator=three)


# ---- mixed conditions ---------------------------------------------------------------------


def test_one_hot_conditions_are_labels(fitted):
    labels = np.arange(70) % 3
    by_label = fitted.sample(labels, seed=2)
    assert np.array_equal(fitted.sample(conditions=np.eye(3)[labels], seed=2), by_label)
    mixed = fitted.sample(conditions=0.7 * (np.eye(3)[labels] + np.eye(3)[(labels + 1) % 3]), seed=2)
    assert not np.array_equal(mixed, by_label)


def test_the_class_enters_linearly():
    torch.manual_seed(0)
    mapping = Mapping(3, 4, 6, layers=1, lr_mul=1.0)  # no layer after the sum
    z = torch.randn(5, 4)
    one, other, both = (
        mapping(z, torch.tensor([row] * 5), 1.0) for row in ([1.0, 0, 0], [0, 1.0, 0], [0.7, 0.2, 0])
    )
    none = mapping(z, torch.zeros(5, 3), 1.0)
    torch.testing.assert_close(both - none, 0.7 * (one - none) + 0.2 * (other - none))


def test_conditions_that_do_not_fit(fitted):
    for wrong, words in (
        ({"conditions": np.eye(4)}, "3"),
        ({"conditions": np.full((2, 3), np.nan)}, "finite"),
        ({"labels": [0], "conditions": np.eye(3)}, "one of the two"),
        ({}, "one of the two"),
    ):
        with pytest.raises(ValueError, match=words):
            fitted.sample(**wrong, seed=0)
    require_linear(fitted)


# ---- files, names, behaviour --------------------------------------------------------------


def test_by_name_and_from_a_file(tmp_path):
    model = make_generator("cgan", shape=(64, 64), profile="converged", seed=3, n_classes=9)
    assert (model.settings.resolution, len(model.settings.channels), model.settings.seed) == (64, 5, 3)
    assert model.settings.patience_kimg
    for wrong, words in (
        ({"name": "vae", "shape": (32, 32)}, "cgan"),
        ({"name": "cgan", "shape": (32, 48)}, "power of two"),
        ({"name": "cgan", "shape": (32, 32), "profile": "huge"}, "converged"),
    ):
        with pytest.raises(ValueError, match=words):
            make_generator(**wrong)
    write_tensors(tmp_path / "other.safetensors", {"x": torch.ones(1)}, {"format": "something"})
    with pytest.raises(ValueError, match="something"):
        load_generator(tmp_path / "other.safetensors")


def test_no_more_than_so_many_validation_images_are_watched(data):
    seen = []

    def extractor(images):
        seen.append(len(images))
        return images.reshape(len(images), -1)[:, :5].astype(float)

    TransitionalCGAN(tiny(watched=20, kimg=0.08)).fit(*data, validation=data, extractor=extractor)
    assert seen == [20, 20]


def test_behaviour_of_a_seeded_run(data, fitted):
    """These numbers change with whatever changes the training or the sampling: then records are old."""
    row = fitted.history_[-1]
    expected = {"loss_g": 1.48218, "loss_d": 2.84102, "r1": 0.03984, "u_real": -0.06170, "c_fake": -0.09639}
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=2e-3)
    images = fitted.sample(np.arange(60) % 3, seed=0).astype(float)
    assert images.mean(axis=(0, 1, 2)) == pytest.approx([153.701, 90.185, 93.486], abs=0.5)
    assert images.std() == pytest.approx(86.471, abs=0.5)


# ---- what something else made ------------------------------------------------------------


def test_a_folder_is_a_generator(tmp_path):
    for k, name in enumerate(("ant", "bee")):
        (tmp_path / name).mkdir()
        for i in range(3):
            Image.new("RGB", (20, 16), (50 * i, 200 * k, 9)).save(tmp_path / name / f"{i}.png")
    bank = BankGenerator.from_folder(tmp_path, classes=["cat", "bee", "ant"], size=8)
    images = bank.sample([1, 2, 2], seed=0)
    assert images.shape == (3, 8, 8, 3)
    assert images[0, 0, 0, 1] == 200
    assert (images[1:, 0, 0, 1] == 0).all()
    with pytest.raises(ValueError, match="no image of class 0"):
        bank.sample([0], seed=0)
    with pytest.raises(ValueError, match="not among the classes"):
        BankGenerator.from_folder(tmp_path, classes=["ant"], size=8)


def test_a_bank_gives_each_image_once_while_they_last(data):
    images, labels = data
    bank = BankGenerator(images, labels)
    drawn = bank.sample([2] * 8, seed=0)
    assert {x.tobytes() for x in drawn} == {x.tobytes() for x in images[labels == 2]}
    assert np.array_equal(drawn, bank.sample([2] * 8, seed=0))
    assert len(bank.sample([2] * 20, seed=0)) == 20
    with pytest.raises(ValueError, match="labels alone"):
        require_linear(bank)


# ---- bad input ----------------------------------------------------------------------------


def test_bad_input_is_one_clear_line(data, fitted, tmp_path):
    images, labels = data
    model = TransitionalCGAN(TINY)
    cases = [
        (lambda: model.fit(images.astype(float), labels), "uint8"),
        (lambda: model.fit(images[:, :4, :4], labels), "resolution"),
        (lambda: model.fit(images, labels[:-1]), "label"),
        (lambda: model.fit(images, labels, validation=(images[:, :4, :4], labels)), "resolution"),
        (lambda: model.fit(images, labels - 1), "a label is -1"),
        (lambda: TransitionalCGAN(tiny(n_classes=2)).fit(images, labels), "give 0 to 1"),
        (lambda: model.sample([0], seed=0), "not fitted"),
        (lambda: fitted.sample([3], seed=0), "give 0 to 2"),
        (lambda: fitted.sample([0.5], seed=0), "whole number"),
        (lambda: tiny(channels=(8,)), "channels"),
        (lambda: tiny(resolution=12), "power of two"),
        (lambda: tiny(ts=0.6, te=0.5), "ts"),
        (lambda: tiny(batch=6), "minibatch_std"),
        (lambda: tiny(augment=("blur",)), "unknown"),
        (lambda: tiny(speed=2), "unknown"),
        (lambda: tiny(lr=0), "positive"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)
    with pytest.raises(FileNotFoundError):
        load_generator(tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"not a file of ours")
    with pytest.raises(ValueError, match="damaged"):
        load_generator(tmp_path / "damaged.safetensors")
