"""Class-conditional diffusion, guided by a noisy classifier, top to bottom (section 3.5).

Dhariwal and Nichol, *Diffusion Models Beat GANs on Image Synthesis* (NeurIPS 2021). The UNet and
the noise schedules are ``diffusers``'; the noisy classifier, its gradient and the guided samplers
are here. Both networks are trained together, on the same noisy images.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmaug import backend
from gmaug.generators.settings import SCHEDULES, GuidedDiffusionSettings
from gmaug.generators.training import TrainedGenerator, Training, seeded

backend.torchvision()  # before diffusers, which imports it
from diffusers import DDPMScheduler, UNet2DModel  # noqa: E402

# ---- samplers: plain loops over noise levels ------------------------------------------------

At = Callable[[Tensor, int], Tensor]  # something at x_t and its noise level t
Level = tuple[int, float, float]  # a noise level t, its signal power alpha-bar, and that of the next visited


def new_scheduler(settings: GuidedDiffusionSettings) -> DDPMScheduler:
    """The settings' noise; its levels begin with pure noise."""
    return DDPMScheduler(
        settings.timesteps,
        beta_schedule=SCHEDULES[settings.schedule],
        prediction_type=settings.prediction,
        timestep_spacing="trailing",
    )


def levels(scheduler: DDPMScheduler, steps: int) -> list[Level]:
    """The noise levels that a sampler visits in so many steps, from pure noise on."""
    scheduler.set_timesteps(steps)
    visited = scheduler.timesteps
    bars = scheduler.alphas_cumprod[visited].tolist()
    return list(zip(visited.tolist(), bars, [*bars[1:], 1.0], strict=True))


def ddim(
    denoise: At, score: At, x: Tensor, visited: Sequence[Level], *, scale: float, start: float = 1e-3
) -> Tensor:
    """Guided DDIM (algorithm 2): ``eps' = eps - sqrt(1 - abar) s grad``, and x_0 as it follows from eps'.

    From the noise `x` (n, 3, side, side) on through the `visited` levels: `denoise` gives the noise in
    x_t, `score` the gradient by x_t of log p(y | x_t, t), which guides with `scale` s where the signal
    power alpha-bar is at least `start`.
    """
    for t, bar, after in visited:
        noise = denoise(x, t)
        if scale and bar >= start:
            noise = noise - math.sqrt(1 - bar) * scale * score(x, t)
        x0 = clean(x, noise, bar)
        noise = (x - math.sqrt(bar) * x0) / math.sqrt(1 - bar)
        x = math.sqrt(after) * x0 + math.sqrt(1 - after) * noise
    return x


def ancestral(
    denoise: At,
    score: At,
    x: Tensor,
    visited: Sequence[Level],
    *,
    scale: float,
    start: float = 1e-3,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Guided ancestral sampling (algorithm 1): the mean moves by ``Sigma s grad``, taken at x_t.

    Sigma is the lower bound of the reverse variance; `generator` draws the noise that is added. Other
    parameters are those of :func:`ddim`.
    """
    for t, bar, after in visited:
        x0 = clean(x, denoise(x, t), bar)
        alpha, sigma2 = bar / after, variance(bar, after)
        mean = math.sqrt(after) * (1 - alpha) / (1 - bar) * x0
        mean = mean + math.sqrt(alpha) * (1 - after) / (1 - bar) * x
        if scale and bar >= start:
            mean = mean + sigma2 * scale * score(x, t)
        x = mean
        if sigma2:
            x = x + math.sqrt(sigma2) * torch.randn(x.shape, generator=generator, device=x.device)
    return x


def clean(x: Tensor, noise: Tensor, bar: float) -> Tensor:
    """x_0 without its noise, brought into -1 to 1."""
    return ((x - math.sqrt(1 - bar) * noise) / math.sqrt(bar)).clamp(-1, 1)


def variance(bar: float, after: float) -> float:
    """Lower bound of the variance of a reverse step from signal power `bar` to `after`."""
    return (1 - after) / (1 - bar) * (1 - bar / after)


# ---- networks -----------------------------------------------------------------------------


class ClassEmbedding(nn.Embedding):
    """The UNet's class embedding, which takes labels (n,) or weights of the classes (n, C)."""

    def forward(self, wanted: Tensor) -> Tensor:
        if wanted.is_floating_point():
            return wanted.to(self.weight.dtype) @ self.weight
        return super().forward(wanted)


def _unet(settings: GuidedDiffusionSettings, channels: tuple[int, ...], **options: Any) -> UNet2DModel:
    """A UNet over images of the settings' size, patches as channels."""
    attention, colours = settings.attention, 3 * settings.patch**2
    return UNet2DModel(
        settings.resolution // settings.patch, colours, colours,
        block_out_channels=channels, layers_per_block=settings.layers,
        down_block_types=tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention),
        up_block_types=tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention)),
        attention_head_dim=settings.head_dim, norm_num_groups=settings.norm_groups,
        resnet_time_scale_shift="scale_shift", **options,
    )  # fmt: skip


class Denoiser(nn.Module):
    """The class-conditional UNet."""

    def __init__(self, settings: GuidedDiffusionSettings, n_classes: int) -> None:
        super().__init__()
        self.patch = settings.patch
        self.unet = _unet(settings, settings.channels, num_class_embeds=n_classes)
        table = self.unet.class_embedding.weight
        self.unet.class_embedding = ClassEmbedding.from_pretrained(table, freeze=False)

    def forward(self, x: Tensor, t: Tensor, wanted: Tensor) -> Tensor:
        """What the settings say it predicts, (n, 3, side, side), of images at noise level `t` (n,)."""
        y = self.unet(F.pixel_unshuffle(x, self.patch), t, class_labels=wanted).sample
        return F.pixel_shuffle(y, self.patch)


class NoisyClassifier(nn.Module):
    """Encoder half of a UNet with attention pooling (section 4): the class of an image at any noise level."""

    def __init__(self, settings: GuidedDiffusionSettings, n_classes: int) -> None:
        super().__init__()
        self.patch, width = settings.patch, settings.classifier_channels[-1]
        self.encoder = _unet(settings, settings.classifier_channels)
        for decoder in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
            delattr(self.encoder, decoder)
        self.norm = nn.GroupNorm(settings.norm_groups, width)
        self.query = nn.Parameter(torch.zeros(1, 1, width))  # asks every place alike to begin with
        self.pool = nn.MultiheadAttention(width, max(1, width // settings.head_dim), batch_first=True)
        self.last = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Class logits (n, C) of images (n, 3, side, side) at noise level `t` (n,)."""
        encoder = self.encoder
        time = encoder.time_embedding(encoder.time_proj(t).to(x.dtype))
        y = encoder.conv_in(F.pixel_unshuffle(x, self.patch))
        for block in encoder.down_blocks:
            y, _ = block(hidden_states=y, temb=time)
        y = F.silu(self.norm(encoder.mid_block(y, time)))
        places = y.flatten(2).transpose(1, 2)
        query = places.mean(dim=1, keepdim=True) + self.query
        return self.last(self.pool(query, places, places, need_weights=False)[0][:, 0])


def new_networks(settings: GuidedDiffusionSettings, n_classes: int) -> dict[str, nn.Module]:
    """UNet and noisy classifier, their first weights drawn from two streams of the settings' seed."""
    return {
        "unet": seeded(settings.seed, lambda: Denoiser(settings, n_classes)),
        "classifier": seeded(settings.seed + 2**32, lambda: NoisyClassifier(settings, n_classes)),
    }


# ---- training -----------------------------------------------------------------------------


class DiffusionTraining(Training):
    """UNet, noisy classifier and their averages of a :class:`GuidedDiffusion`."""

    settings: GuidedDiffusionSettings

    def _build(self) -> None:
        s = self.settings
        self.live, self.averages = (new_networks(s, self.n_classes) for _ in range(2))
        self.kept = new_networks(s, self.n_classes)["classifier"]  # of the least loss on validation images
        self.modules = {f"live.{name}": net for name, net in self.live.items()}
        self.modules |= {f"average.{name}": net for name, net in self.averages.items()} | {"kept": self.kept}
        for name, net in self.modules.items():
            backend.placed(net, self.device)
            if not name.startswith("live"):
                net.requires_grad_(False).eval()
        self.drawn = dict(self.averages)
        decays = {"unet": 0.0, "classifier": s.classifier_weight_decay}
        self.optimisers = {  # `step` sets the rates
            name: torch.optim.AdamW(net.parameters(), weight_decay=decays[name], betas=s.betas, fused=True)
            for name, net in self.live.items()
        }
        self.noise = new_scheduler(s)

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        super().restore(tensors, about)
        if "classifier_loss" in self.numbers:
            self.drawn["classifier"] = self.kept

    def step(self) -> dict[str, Tensor]:
        """Train both networks on one batch at uniform noise levels.

        ``loss`` (mean squared error), and until the noisy classifier stops its
        ``loss_classifier`` (cross-entropy) and ``classifier_accuracy``.
        """
        s = self.settings
        images, labels = self.reals()
        draw = {"generator": self.random, "device": self.device}
        t = self.part(torch.randint(s.timesteps, (s.batch,), **draw))
        noise = self.part(torch.randn((s.batch, 3, s.resolution, s.resolution), **draw))
        noisy = self.noise.add_noise(images, noise, t)
        goal = noise if s.prediction == "epsilon" else self.noise.get_velocity(images, noise, t)
        share = min(1.0, (self.kimg + s.batch / 1000) / s.warmup_kimg) if s.warmup_kimg else 1.0
        for name, rate in (("unet", s.lr), ("classifier", s.classifier_lr)):
            self.optimisers[name].param_groups[0]["lr"] = rate * share
        with backend.autocast(self.device, s.mixed_precision):
            predicted = self.live["unet"](noisy, t, labels)
        loss = F.mse_loss(predicted.float(), goal)
        descent = loss if s.snr_gamma is None else self.min_snr(predicted.float(), goal, t)
        self.descend("unet", descent, clip=s.clip)
        values, trained = {"loss": loss}, ["unet"]
        if not self.numbers.get("classifier_stopped"):
            with backend.autocast(self.device, s.mixed_precision):
                logits = self.live["classifier"](noisy, t).float()
            values["loss_classifier"] = F.cross_entropy(logits, labels)
            self.descend("classifier", values["loss_classifier"], clip=s.clip)
            values["classifier_accuracy"] = (logits.argmax(dim=1) == labels).float().mean()
            trained.append("classifier")
        self.average([(self.averages[name], self.live[name]) for name in trained])
        return {key: value.detach().float() for key, value in values.items()}

    def min_snr(self, predicted: Tensor, goal: Tensor, t: Tensor) -> Tensor:
        """The squared error of x_0 with weight ``min(SNR, gamma)``, in what is predicted."""
        bar = self.noise.alphas_cumprod.to(t.device)[t]
        snr = bar / (1 - bar)
        weight = snr.clamp(max=self.settings.snr_gamma)
        weight = weight / (snr if self.settings.prediction == "epsilon" else snr + 1)
        return (weight * (predicted - goal).square().mean(dim=(1, 2, 3))).mean()

    @torch.no_grad()
    def examine(self) -> dict[str, float]:
        """The noisy classifier's loss on validation images; keeps its best weights, and stops it.

        The same noise every time, at levels that are spread over all of them.
        """
        s, seen, (images, labels) = self.settings, self.numbers, self.held
        if not len(labels) or seen.get("classifier_stopped"):
            return {}
        random, total = torch.Generator().manual_seed(0), 0.0
        for rows in torch.randperm(len(labels), generator=random).split(256):
            x = torch.from_numpy(images[rows.numpy()]).permute(0, 3, 1, 2).float() / 127.5 - 1
            t = torch.linspace(0, s.timesteps - 1, len(rows)).long()
            noisy = self.noise.add_noise(x, torch.randn(x.shape, generator=random), t)
            wanted = torch.from_numpy(labels[rows.numpy()]).to(self.device)
            logits = self.averages["classifier"](noisy.to(self.device), t.to(self.device))
            total += float(F.cross_entropy(logits, wanted, reduction="sum"))
        loss = total / len(labels)
        if loss < seen.get("classifier_loss", math.inf):
            self.kept.load_state_dict(self.averages["classifier"].state_dict())
            self.drawn["classifier"] = self.kept
            seen |= {"classifier_loss": loss, "classifier_kimg": self.kimg}
        patience = s.classifier_patience_kimg
        if patience is not None and self.kimg - seen["classifier_kimg"] >= patience - 1e-9:
            seen["classifier_stopped"] = self.kimg
        return {"classifier_validation": loss}


class GuidedDiffusion(TrainedGenerator):
    """Diffusion: images of a wanted class, of weighted classes, or of mixed scores.

    Rows of ``history_`` also hold ``loss`` (mean squared error) and, until the noisy classifier stops,
    ``loss_classifier`` (cross-entropy) and ``classifier_accuracy`` (in [0, 1]) on training images at all
    noise levels, and ``classifier_validation``, its cross-entropy on validation images.
    """

    FORMAT = "gmaug guided diffusion 1"
    CHUNK = 32
    mixes_scores = True
    settings_class, training_class = GuidedDiffusionSettings, DiffusionTraining
    networks = staticmethod(new_networks)
    settings: GuidedDiffusionSettings

    def sample(
        self,
        labels: Sequence[int] | np.ndarray | None = None,
        *,
        conditions: np.ndarray | None = None,
        scores: np.ndarray | None = None,
        seed: int,
        guidance: float | None = None,
        steps: int | None = None,
    ) -> np.ndarray:
        """As :meth:`gmaug.generators.training.TrainedGenerator.sample`, with options of the sampler.

        `scores`, float (n, C), in place of labels and conditions: the classes' scores are mixed with these
        weights along sampling, each row of sum one (ScoreMix); a pass of the UNet for each class of a row.
        `guidance` and `steps` are in place of the settings' ``guidance`` and ``sampling_steps``.
        """
        s, mix = self.settings, scores is not None
        guidance = s.guidance if guidance is None else guidance
        steps = s.sampling_steps if steps is None else steps
        if not 1 <= steps <= s.timesteps:
            raise ValueError(f"steps={steps}; give 1 to {s.timesteps}")
        if mix:
            if conditions is not None or labels is not None:
                raise ValueError("give labels=, conditions= or scores=, one of the three")
            conditions = np.asarray(scores, dtype=np.float32)
            if not np.allclose(conditions.sum(axis=-1), 1, atol=1e-4):
                raise ValueError("scores: the weights of a row do not sum to one; divide by their sum")
        options = {"guidance": guidance, "steps": steps, "mix": mix}
        return super().sample(labels, conditions=conditions, seed=seed, **options)

    def _draw(
        self, wanted: Tensor, random: torch.Generator, *, guidance: float, steps: int, mix: bool
    ) -> Tensor:
        s, scheduler = self.settings, new_scheduler(self.settings)
        sampler = partial(ancestral, generator=random) if s.sampler == "ancestral" else ddim
        return sampler(
            lambda x, t: self.noise_in(x, t, float(scheduler.alphas_cumprod[t]), wanted, mix=mix),
            lambda x, t: self.score(x, t, wanted),
            torch.randn((len(wanted), 3, s.resolution, s.resolution), generator=random, device=wanted.device),
            levels(scheduler, steps),
            scale=guidance,
            start=s.guidance_from,
        )

    @torch.no_grad()
    def noise_in(self, x: Tensor, t: int, bar: float, wanted: Tensor, *, mix: bool = False) -> Tensor:
        """The noise that the UNet sees in `x` at level `t`, whatever it was trained to predict.

        With `mix`, of each class of a row of `wanted` apart, then added with the row's weights.
        """
        level = torch.full((len(x),), t, device=x.device, dtype=torch.int64)
        unet = self.nets_["unet"]
        if mix:
            most = max(1, int((wanted != 0).sum(dim=1).max()))
            classes = wanted.abs().topk(most, dim=1).indices
            shares = wanted.gather(1, classes)[..., None, None, None]
            output = sum(shares[:, k] * unet(x, level, classes[:, k]) for k in range(most))
        else:
            output = unet(x, level, wanted)
        if self.settings.prediction == "epsilon":
            return output
        return math.sqrt(bar) * output + math.sqrt(1 - bar) * x

    @torch.enable_grad()
    def score(self, x: Tensor, t: int, wanted: Tensor) -> Tensor:
        """Gradient by x_t of the noisy classifier's log p(wanted | x_t, t).

        Of mixed conditions, of the sum of the classes' log p with their weights.
        """
        x = x.detach().requires_grad_()
        level = torch.full((len(x),), t, device=x.device, dtype=torch.int64)
        log_p = F.log_softmax(self.nets_["classifier"](x, level), dim=1)
        if wanted.is_floating_point():
            chosen = (wanted.to(log_p.dtype) * log_p).sum()
        else:
            chosen = log_p.gather(1, wanted[:, None]).sum()
        return torch.autograd.grad(chosen, x)[0]
