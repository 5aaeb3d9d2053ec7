"""Guided diffusion: samplers against exact answers, training against itself, folders, bad input."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from small_generators import flat_classes, two_processes, weights

from gmaug.backend import read_tensors, write_tensors
from gmaug.generators import GuidedDiffusion, GuidedDiffusionSettings, load_generator
from gmaug.generators.diffusion import (
    Denoiser,
    DiffusionTraining,
    NoisyClassifier,
    ancestral,
    ddim,
    levels,
    new_scheduler,
    variance,
)
from gmaug.generators.settings import PROFILES

TINY = GuidedDiffusionSettings(
    resolution=8,
    channels=(8, 8),
    attention=(False, True),
    layers=1,
    head_dim=8,
    norm_groups=4,
    classifier_channels=(8, 8),
    batch=8,
    kimg=0.128,  # 16 steps
    report_kimg=0.032,
    checkpoint_kimg=0.032,
    warmup_kimg=0.01,
    timesteps=50,
    sampling_steps=3,
    threads=1,
)


def tiny(**changes: object) -> GuidedDiffusionSettings:
    return GuidedDiffusionSettings.from_dict(TINY.to_dict() | changes)


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return flat_classes([24, 8, 8])


@pytest.fixture(scope="module")
def fitted(data) -> GuidedDiffusion:
    return GuidedDiffusion(TINY).fit(*data)


# ---- samplers -----------------------------------------------------------------------------

# Pixels that are N(m, v) have a known denoiser, so the samplers' answers are known.
MEAN, VARIANCE = 0.3, 0.25


def exact_noise(scheduler):
    """E[noise | x_t] for pixels N(MEAN, VARIANCE)."""

    def denoise(x, t):
        bar = float(scheduler.alphas_cumprod[t])
        return (1 - bar) ** 0.5 * (x - bar**0.5 * MEAN) / (bar * VARIANCE + 1 - bar)

    return denoise


def sampled(loop, *, steps, score=lambda scheduler: None, scale=0.0, monkeypatch):
    # pixels of a normal distribution go beyond any range
    monkeypatch.setattr(
        "gmaug.generators.diffusion.clean",
        lambda x, noise, bar: (x - (1 - bar) ** 0.5 * noise) / bar**0.5,
    )
    scheduler = new_scheduler(tiny(timesteps=1000, schedule="linear"))
    random = torch.Generator().manual_seed(0)
    x, visited = torch.randn((400, 3, 4, 4), generator=random), levels(scheduler, steps)
    loop = partial(ancestral, generator=random) if loop is ancestral else loop
    return loop(exact_noise(scheduler), score(scheduler), x, visited, scale=scale, start=0.0)


@pytest.mark.parametrize("loop", [ddim, ancestral])
def test_samplers_recover_a_known_distribution(loop, monkeypatch):
    errors = []
    for steps in (125, 1000):
        x = sampled(loop, steps=steps, monkeypatch=monkeypatch)
        assert x.mean().item() == pytest.approx(MEAN, abs=5 * (VARIANCE / x.numel()) ** 0.5)
        errors.append(abs(x.var().item() / VARIANCE - 1))
    # the fixed small variance spreads too little, by an amount that goes with the size of a step
    assert errors[1] < 5 * (2 / x.numel()) ** 0.5
    assert errors[1] < errors[0] or loop is ddim


@pytest.mark.parametrize("loop", [ddim, ancestral])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_guidance_samples_the_tilted_distribution(loop, scale, monkeypatch):
    """With p(y | x) = exp(a x), guiding at scale s turns N(m, v) into N(m + s a v, v)."""
    a = 0.8

    def score(scheduler):
        def gradient(x, t):
            # x_0 given x_t is normal, with a mean that is linear in x_t: its slope times a
            bar = float(scheduler.alphas_cumprod[t])
            return torch.full_like(x, a * bar**0.5 * VARIANCE / (bar * VARIANCE + 1 - bar))

        return gradient

    x = sampled(loop, steps=1000, score=score, scale=scale, monkeypatch=monkeypatch)
    assert x.mean().item() == pytest.approx(
        MEAN + scale * a * VARIANCE, abs=5 * (VARIANCE / x.numel()) ** 0.5
    )
    assert x.var().item() == pytest.approx(VARIANCE, rel=5 * (2 / x.numel()) ** 0.5)


@pytest.mark.parametrize("steps", [12, 50, 250])
def test_levels_are_those_that_are_visited(steps):
    """12 does not divide 1000: the level after is the next one visited, not 1000 // 12 further on."""
    scheduler = new_scheduler(tiny(timesteps=1000))
    visited = levels(scheduler, steps)
    bars = [float(scheduler.alphas_cumprod[t]) for t, *_ in visited] + [1.0]
    assert [after for *_, after in visited] == bars[1:]
    assert len(visited) == steps
    assert visited[0][0] == 999  # from pure noise
    for t, bar, after in visited[1:-1]:
        assert variance(bar, after) == pytest.approx(float(scheduler._get_variance(t)), rel=1e-3)


@pytest.mark.parametrize("loop", [ddim, ancestral])
def test_nothing_guides_in_pure_noise(loop):
    """The classifier is not asked where alpha-bar is below 1e-3, and the first step has no effect of it."""
    scheduler = new_scheduler(tiny(timesteps=1000))
    asked = []

    def score(x, t):
        asked.append(float(scheduler.alphas_cumprod[t]))
        return torch.ones_like(x)

    visited = levels(scheduler, 12)
    assert visited[0][1] < 1e-8  # the cosine schedule begins in pure noise
    loop(lambda x, t: torch.zeros_like(x), score, torch.randn(1, 3, 4, 4), visited, scale=1.0)
    assert min(asked) >= 1e-3
    assert len(asked) == sum(bar >= 1e-3 for _, bar, _ in visited) < 12


def test_one_step_of_ddim_is_the_schedulers():
    """Ours against diffusers' DDIM where nothing is clipped and the steps divide the levels."""
    from diffusers import DDIMScheduler

    theirs = DDIMScheduler(1000, beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")
    theirs.set_timesteps(50)
    random = torch.Generator().manual_seed(0)
    noise, x = 0.1 * torch.randn(2, 2, 3, 4, 4, generator=random)
    level = levels(new_scheduler(tiny(timesteps=1000)), 50)[40]
    step = theirs.step(noise, level[0], x, eta=0.0).prev_sample
    torch.testing.assert_close(ddim(lambda x, t: noise, None, x, [level], scale=0.0), step)


# ---- networks -----------------------------------------------------------------------------


@pytest.mark.parametrize("patch", [1, 2])
def test_shapes_and_classes(patch):
    s = tiny(patch=patch, channels=(8,), attention=(True,), classifier_channels=(8,))
    torch.manual_seed(0)
    unet, classifier = Denoiser(s, 3), NoisyClassifier(s, 3)
    x, t = torch.randn(4, 3, 8, 8), torch.tensor([0, 5, 20, 49])
    out = [unet(x, t, torch.full((4,), c)) for c in (0, 1)]
    assert out[0].shape == x.shape
    assert not torch.equal(*out)
    assert classifier(x, t).shape == (4, 3)
    assert not torch.equal(classifier(x, t), classifier(x, t * 0))


def test_score_is_the_gradient_of_the_log_probability(fitted):
    x = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    wanted, t = torch.tensor([0, 2]), 10
    net = fitted.nets_["classifier"].double()
    gradient = fitted.score(x.double(), t, wanted)
    level, step = torch.full((2,), t), 1e-5
    for place in [(0, 0, 0, 0), (0, 2, 5, 3), (1, 1, 7, 7)]:
        values = []
        for sign in (1, -1):
            moved = x.double().clone()
            moved[place] += sign * step
            log = torch.log_softmax(net(moved, level), dim=1)
            values.append(log[place[0], wanted[place[0]]].item())
        assert gradient[place].item() == pytest.approx(
            (values[0] - values[1]) / (2 * step), rel=1e-4, abs=1e-9
        )
    net.float()


# ---- training -----------------------------------------------------------------------------


def test_same_seed_same_bytes(data, fitted):
    again = GuidedDiffusion(TINY).fit(*data)
    assert weights(again) == weights(fitted)
    assert np.array_equal(again.sample([0, 1, 2], seed=5), fitted.sample([0, 1, 2], seed=5))
    assert weights(GuidedDiffusion(tiny(seed=1)).fit(*data)) != weights(fitted)


def test_stopped_and_resumed_equals_uninterrupted(data, fitted, tmp_path):
    GuidedDiffusion(TINY).fit(*data, checkpoint=tmp_path, callback=lambda m, row: row["kimg"] > 0.06)
    tensors, about = read_tensors(tmp_path / "state.safetensors")
    about["settings"]["eta"] = 0.0  # as an older version wrote it
    write_tensors(tmp_path / "state.safetensors", tensors, about)
    assert weights(GuidedDiffusion(TINY).fit(*data, checkpoint=tmp_path)) == weights(fitted)


def test_it_learns_the_classes(data):
    """Means of three flat classes, 39, 100 and 159, after some hundred steps."""
    s = tiny(kimg=3.2, report_kimg=1.0, ema_kimg=0.2, lr=3e-3, sampling_steps=10)
    model = GuidedDiffusion(s).fit(*data)
    means = [model.sample([k] * 32, seed=0, guidance=0.0).mean() for k in range(3)]
    assert means[0] + 20 < means[1] < means[2] - 20
    assert model.history_[-1]["loss"] < 0.7 * model.history_[0]["loss"]
    assert model.history_[-1]["classifier_accuracy"] > 0.7


def test_two_processes_train_as_one(data, tmp_path):
    """Halves of a batch on two processes, gradients averaged: one process's weights, but for rounding."""
    s = tiny(kimg=0.032, lr=1e-4, clip=1e9)
    pair = two_processes(
        tmp_path,
        data,
        imports="from gmaug.generators import GuidedDiffusion, GuidedDiffusionSettings",
        model=f"GuidedDiffusion(GuidedDiffusionSettings.from_dict({s.to_dict()!r}))",
    )
    assert np.array_equal(*pair)
    alone = GuidedDiffusion(s).fit(*data)
    tensors = [t for net in alone.nets_.values() for t in net.state_dict().values()]
    vector = torch.cat([t.flatten().float() for t in tensors]).numpy()
    start = DiffusionTraining(s, *data, n_classes=3, device=torch.device("cpu"))
    tensors = [t for net in start.averages.values() for t in net.state_dict().values()]
    moved = np.abs(vector - torch.cat([t.flatten().float() for t in tensors]).numpy())
    # Adam turns rounding of a vanishing gradient into a full step: compare in the mean
    assert np.abs(vector - pair[0]).mean() < 0.02 * moved.mean()


# ---- the noisy classifier, mixed conditions, behaviour ------------------------------------


def test_the_noisy_classifier_stops_by_its_own_validation(data, tmp_path):
    """On labels that it cannot learn its loss soon rises: it keeps its best weights and trains no more."""
    images, labels = data
    wrong = (images, (labels + 1) % 3)
    s = tiny(kimg=0.64, classifier_patience_kimg=0.1, classifier_lr=3e-3, ema_kimg=0.05, keep_best=False)
    model = GuidedDiffusion(s).fit(*data, validation=wrong)
    own = [row.get("classifier_validation") for row in model.history_]
    stopped = next(k for k, row in enumerate(model.history_) if "loss_classifier" not in row)
    best = int(np.argmin(own[:stopped]))
    assert own[stopped:] == [None] * (len(own) - stopped)
    kimg = [row["kimg"] for row in model.history_]
    assert kimg[stopped - 1] - kimg[best] >= 0.1
    taken = {}
    GuidedDiffusion(s).fit(
        *data, validation=wrong, callback=lambda m, row: taken.update({row["kimg"]: weights(m)})
    )
    guides = model.nets_["classifier"].state_dict()
    short = GuidedDiffusion(s).fit(*data, validation=wrong, callback=lambda m, row: row["kimg"] == kimg[best])
    again = short.nets_["classifier"].state_dict()
    assert all(torch.equal(guides[key], again[key]) for key in guides)
    for stop in (best + 1, stopped + 1):  # before and after it has stopped
        folder = tmp_path / str(stop)
        options = {"validation": wrong, "checkpoint": folder}
        GuidedDiffusion(s).fit(*data, **options, callback=lambda m, row, end=kimg[stop]: row["kimg"] == end)
        assert weights(GuidedDiffusion(s).fit(*data, **options)) == weights(model)


def test_one_hot_conditions_and_scores_are_labels(fitted):
    labels = np.arange(40) % 3
    by_label, hot = fitted.sample(labels, seed=2), np.eye(3)[labels]
    assert np.array_equal(fitted.sample(conditions=hot, seed=2), by_label)
    assert np.array_equal(fitted.sample(scores=hot, seed=2), by_label)
    half = 0.5 * (hot + np.eye(3)[(labels + 1) % 3])
    conditions, scores = fitted.sample(conditions=half, seed=2), fitted.sample(scores=half, seed=2)
    assert not np.array_equal(conditions, by_label)
    assert not np.array_equal(conditions, scores)


def test_mixed_scores_are_the_mean_of_the_classes_scores(fitted):
    x, t, bar = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 20, 0.4
    one, other = (fitted.noise_in(x, t, bar, torch.tensor([k, k])) for k in (0, 2))
    weights = torch.tensor([[0.3, 0.0, 0.7], [1.0, 0.0, 0.0]])
    mixed = fitted.noise_in(x, t, bar, weights, mix=True)
    torch.testing.assert_close(mixed[0], 0.3 * one[0] + 0.7 * other[0])
    torch.testing.assert_close(mixed[1], one[1])
    grads = [fitted.score(x, t, torch.tensor([k, k])) for k in (0, 2)]
    torch.testing.assert_close(fitted.score(x, t, weights)[0], 0.3 * grads[0][0] + 0.7 * grads[1][0])


def test_min_snr_weights_the_error_of_x0(data):
    run = DiffusionTraining(tiny(snr_gamma=5.0), *data, n_classes=3, device=torch.device("cpu"))
    x0, noise = torch.randn(2, 6, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    t = torch.tensor([0, 5, 15, 25, 40, 48])
    bar = run.noise.alphas_cumprod[t].double()
    guess = torch.randn_like(x0)
    v, v_guess = (run.noise.get_velocity(x, noise, t) for x in (x0, guess))
    # of one noisy image: x_0 = sqrt(abar) x_t - sqrt(1 - abar) v, so errors of v are divided by its SNR + 1
    x_t = run.noise.add_noise(x0, noise, t)
    root, rest = bar.sqrt()[:, None, None, None], (1 - bar).sqrt()[:, None, None, None]
    error = ((root * x_t - rest * v_guess) - (root * x_t - rest * v)).square().mean(dim=(1, 2, 3))
    snr = bar / (1 - bar)
    expected = (snr.clamp(max=5.0) * error).mean().item()
    assert run.min_snr(v_guess, v, t).item() == pytest.approx(expected, rel=1e-4)


def test_behaviour_of_a_seeded_run(data, fitted):
    """These numbers change with whatever changes the training or the sampling: then records are old."""
    row = fitted.history_[-1]
    expected = {"loss": 0.58529, "loss_classifier": 0.98284, "classifier_accuracy": 0.71875}
    assert {key: row[key] for key in expected} == pytest.approx(expected, rel=2e-3)
    images = fitted.sample(np.arange(60) % 3, seed=0).astype(float)
    assert images.mean(axis=(0, 1, 2)) == pytest.approx([99.012, 94.415, 90.422], abs=0.5)
    assert images.std() == pytest.approx(68.478, abs=0.5)


def test_recorded_generators_load_and_draw():
    """The weights of the first round, their digests checked; samples that a class's mean colour tells."""
    from gmaug import runs

    known = {"garden-4-cgan": (108.697, 50.305), "garden-4-diffusion": (109.697, 49.222)}  # mean, deviation
    for title, expected in known.items():
        record = runs.read_record("generators", title)
        model = load_generator(runs.record_path("generators", title, ".safetensors"), threads=1)
        assert model.n_classes_ == record["settings"]["n_classes"]
        assert model.kimg_ == record["content"]["kept_kimg"]
        images = model.sample(np.arange(9), seed=3).astype(float)
        assert (images.mean(), images.std()) == pytest.approx(expected, abs=0.5)


# ---- sampling, files ----------------------------------------------------------------------


def test_samples(fitted):
    images = fitted.sample([0, 1, 2, 0], seed=0)
    assert images.shape == (4, 8, 8, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:2], fitted.sample([0, 1], seed=0))  # whatever follows
    for other in ({"seed": 1}, {"guidance": 5.0}, {"steps": 6}):
        assert not np.array_equal(images, fitted.sample([0, 1, 2, 0], **{"seed": 0} | other))


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors")
    loaded = load_generator(tmp_path / "model.safetensors", threads=1)
    assert loaded.history_ == fitted.history_
    close = loaded.sample([0, 1, 2], seed=3).astype(int) - fitted.sample([0, 1, 2], seed=3)
    assert np.abs(close).max() <= 8


def test_bad_input_is_one_clear_line(fitted):
    cases = [
        (lambda: tiny(schedule="sqrt"), "cosine"),
        (lambda: tiny(prediction="x"), "v_prediction"),
        (lambda: tiny(attention=(True,)), "one value a level"),
        (lambda: tiny(channels=(6, 8)), "norm_groups"),
        (lambda: tiny(patch=8), "levels"),
        (lambda: tiny(sampling_steps=51), "timesteps"),
        (lambda: tiny(guidance=-1), "guidance"),
        (lambda: tiny(sampler="euler"), "ancestral"),
        (lambda: fitted.sample([0], seed=0, steps=99), "1 to 50"),
        (lambda: fitted.sample(scores=np.ones((1, 3)), seed=0), "sum to one"),
        (lambda: fitted.sample([0], scores=np.eye(3), seed=0), "one of the three"),
        (lambda: fitted.sample([7], seed=0), "give 0 to 2"),
        (lambda: GuidedDiffusion(TINY).sample([0], seed=0), "not fitted"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_profiles_are_valid_and_small_enough():
    s = PROFILES["diffusion"]["default"]
    count = sum(p.numel() for net in (Denoiser(s, 10), NoisyClassifier(s, 10)) for p in net.parameters())
    assert 2 * count < 4.2e6  # bytes in half precision
