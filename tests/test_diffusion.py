"""Guided diffusion: samplers against exact answers, training against itself, folders, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from small_generators import flat_classes, two_processes, weights

from gmaug import backend
from gmaug.generators import Budget, Generator, GuidedDiffusion, GuidedDiffusionSettings
from gmaug.generators.denoiser import Denoiser, NoisyClassifier
from gmaug.generators.diffusion_settings import PROFILES, resuming_from
from gmaug.generators.diffusion_training import DiffusionTraining, make_scheduler
from gmaug.generators.samplers import ancestral, ddim, variance

backend.torchvision()  # before diffusers, which imports it

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
        return (1 - bar) ** 0.5 * (x - bar**0.5 * MEAN) / (bar * VARIANCE + 1 - bar), None

    return denoise


def sampled(kind, *, steps, score=None, scale=1.0, **options):
    settings = tiny(timesteps=1000, schedule="linear")
    scheduler = make_scheduler(kind, settings, clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(steps)
    random = torch.Generator().manual_seed(0)
    x = torch.randn((400, 3, 4, 4), generator=random)
    loop = ddim if kind == "DDIM" else ancestral
    given = score(scheduler) if score else None
    return loop(exact_noise(scheduler), x, scheduler, score=given, scale=scale, generator=random, **options)


@pytest.mark.parametrize(("kind", "options"), [("DDIM", {}), ("DDIM", {"eta": 1.0}), ("DDPM", {})])
def test_samplers_recover_a_known_distribution(kind, options):
    errors = []
    for steps in (125, 1000):
        x = sampled(kind, steps=steps, **options)
        assert x.mean().item() == pytest.approx(MEAN, abs=5 * (VARIANCE / x.numel()) ** 0.5)
        errors.append(abs(x.var().item() / VARIANCE - 1))
    # the fixed small variance spreads too little, by an amount that goes with the size of a step
    assert errors[1] < 5 * (2 / x.numel()) ** 0.5
    assert errors[1] < errors[0] or (not options and kind == "DDIM")


@pytest.mark.parametrize("kind", ["DDIM", "DDPM"])
@pytest.mark.parametrize("scale", [0.5, 1.0])
def test_guidance_samples_the_tilted_distribution(kind, scale):
    """With p(y | x) = exp(a x), guiding at scale s turns N(m, v) into N(m + s a v, v)."""
    a = 0.8

    def score(scheduler):
        def gradient(x, t):
            # x_0 given x_t is normal, with a mean that is linear in x_t: its slope times a
            bar = float(scheduler.alphas_cumprod[t])
            return torch.full_like(x, a * bar**0.5 * VARIANCE / (bar * VARIANCE + 1 - bar))

        return gradient

    x = sampled(kind, steps=1000, score=score, scale=scale)
    assert x.mean().item() == pytest.approx(
        MEAN + scale * a * VARIANCE, abs=5 * (VARIANCE / x.numel()) ** 0.5
    )
    assert x.var().item() == pytest.approx(VARIANCE, rel=5 * (2 / x.numel()) ** 0.5)


def test_variance_lies_between_its_bounds_and_is_the_schedulers():
    scheduler = make_scheduler("DDPM", tiny(timesteps=1000))
    scheduler.set_timesteps(50)
    for t in scheduler.timesteps.tolist()[1:-1:7]:
        least = variance(scheduler, t)
        assert least == pytest.approx(float(scheduler._get_variance(t)), rel=1e-3)
        low, high = (variance(scheduler, t, torch.tensor([s])).item() for s in (-1.0, 1.0))
        assert low == pytest.approx(least, rel=1e-4)
        assert high > low


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
    gradient = fitted._score(x.double(), t, wanted)
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


@pytest.mark.parametrize("stop", [1, 7])
def test_stopped_and_resumed_equals_uninterrupted(data, fitted, tmp_path, stop):
    GuidedDiffusion(TINY).fit(*data, checkpoint=tmp_path, budget=Budget(kimg=stop * 8 / 1000))
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
    tensors = [t for net in start.drawn.values() for t in net.state_dict().values()]
    moved = np.abs(vector - torch.cat([t.flatten().float() for t in tensors]).numpy())
    # Adam turns rounding of a vanishing gradient into a full step: compare in the mean
    assert np.abs(vector - pair[0]).mean() < 0.02 * moved.mean()


# ---- sampling, files ----------------------------------------------------------------------


def test_samples(fitted):
    images = fitted.sample([0, 1, 2, 0], seed=0)
    assert images.shape == (4, 8, 8, 3)
    assert images.dtype == np.uint8
    assert np.array_equal(images[:2], fitted.sample([0, 1], seed=0))  # whatever follows
    for other in ({"seed": 1}, {"guidance": 5.0}, {"steps": 6}, {"sampler": "ancestral"}):
        assert not np.array_equal(images, fitted.sample([0, 1, 2, 0], **{"seed": 0} | other))
    seen = []
    fitted.sample([0], seed=0, callback=lambda t, x: seen.append(t))
    assert len(seen) == 3
    assert seen == sorted(seen, reverse=True)
    assert isinstance(fitted, Generator)


def test_save_and_load(fitted, tmp_path):
    fitted.save(tmp_path / "model.safetensors", half=False)
    loaded = GuidedDiffusion.load(tmp_path / "model.safetensors", threads=1)
    assert loaded.history_ == fitted.history_
    assert np.array_equal(loaded.sample([0, 1, 2], seed=3), fitted.sample([0, 1, 2], seed=3))


@pytest.mark.parametrize("channels_out", [3, 6])
def test_training_resumes_from_a_folder(data, tmp_path, channels_out):
    """A UNet of other classes, with and without learned variance; no network is asked."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    before = UNet2DModel(
        sample_size=8, in_channels=3, out_channels=channels_out, layers_per_block=1,
        block_out_channels=(8, 8), down_block_types=("DownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "UpBlock2D"), norm_num_groups=4, num_class_embeds=17,
        attention_head_dim=8,
    )  # fmt: skip
    before.save_pretrained(tmp_path / "unet")
    s = resuming_from(tmp_path / "unet", tiny(sampler="ancestral"))
    run = DiffusionTraining(s, *data, n_classes=3, device=torch.device("cpu"))
    assert torch.equal(run.unet.unet.conv_in.weight, before.conv_in.weight)
    assert run.unet.unet.class_embedding.weight.shape[0] == 3
    model = GuidedDiffusion(s).fit(*data)
    model.save(tmp_path / "model.safetensors", half=False)
    images = model.sample([0, 1, 2], seed=0)
    (tmp_path / "unet" / "config.json").unlink()  # the saved model needs the folder no more
    loaded = GuidedDiffusion.load(tmp_path / "model.safetensors", threads=1)
    assert np.array_equal(loaded.sample([0, 1, 2], seed=0), images)
    with pytest.raises(FileNotFoundError, match=r"config\.json"):
        resuming_from(tmp_path / "unet", TINY)
    with pytest.raises(ValueError, match="cannot be read"):
        run.unet.take(str(tmp_path / "unet"))


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
        (lambda: fitted.sample([0], seed=0, sampler="euler"), "ancestral"),
        (lambda: fitted.sample([0], seed=0, steps=99), "1 to 50"),
        (lambda: fitted.sample([7], seed=0), "known classes"),
        (lambda: GuidedDiffusion(TINY).sample([0], seed=0), "not fitted"),
    ]
    for call, words in cases:
        with pytest.raises(ValueError, match=words) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_profiles_are_valid_and_small_enough():
    s = PROFILES["default"]
    count = sum(p.numel() for net in (Denoiser(s, 10), NoisyClassifier(s, 10)) for p in net.parameters())
    assert 2 * count < 2e6  # bytes in half precision
