"""One training step of guided diffusion: the UNet and the noisy classifier on the same noisy batch."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from gmaug import backend
from gmaug.generators.denoiser import Denoiser, NoisyClassifier
from gmaug.generators.diffusion_settings import SCHEDULES, GuidedDiffusionSettings
from gmaug.generators.losses import ema_decay, update_ema
from gmaug.generators.training import Training, seeded


def make_denoiser(settings: GuidedDiffusionSettings, n_classes: int) -> Denoiser:
    """The UNet, its first weights drawn from the settings' seed."""
    return seeded(settings.seed, lambda: Denoiser(settings, n_classes))


def make_classifier(settings: GuidedDiffusionSettings, n_classes: int) -> NoisyClassifier:
    """The noisy classifier, drawn from another stream of the same seed."""
    return seeded(settings.seed + 2**32, lambda: NoisyClassifier(settings, n_classes))


def make_scheduler(kind: str, settings: GuidedDiffusionSettings, **options: Any) -> Any:
    """A ``diffusers`` scheduler ("DDPM" or "DDIM") of the settings' noise."""
    backend.torchvision()
    import diffusers

    return getattr(diffusers, f"{kind}Scheduler")(
        num_train_timesteps=settings.timesteps, beta_schedule=SCHEDULES[settings.schedule], **options
    )


class DiffusionTraining(Training):
    """UNet, noisy classifier and their averages of a :class:`gmaug.generators.diffusion.GuidedDiffusion`."""

    LOSSES: ClassVar[tuple[str, ...]] = ("loss", "loss_classifier", "classifier_accuracy")
    settings: GuidedDiffusionSettings

    def _build(self) -> None:
        s, n, to = self.settings, self.n_classes, {"device": self.device}
        self.unet, self.classifier = make_denoiser(s, n), make_classifier(s, n)
        if s.pretrained is not None:
            self.unet.take(s.pretrained)
        average = {"unet": make_denoiser(s, n), "classifier": make_classifier(s, n)}
        for name, net in average.items():
            net.load_state_dict(getattr(self, name).state_dict())
            net.requires_grad_(False).eval()
        self.drawn = {name: net.to(**to) for name, net in average.items()}
        self.modules = {"live.unet": self.unet.to(**to), "live.classifier": self.classifier.to(**to)}
        self.modules |= {f"average.{name}": net for name, net in self.drawn.items()}
        self.optimisers = {
            "unet": torch.optim.AdamW(
                self.unet.parameters(), lr=s.lr, betas=s.betas, weight_decay=0.0, fused=True
            ),
            "classifier": torch.optim.AdamW(
                self.classifier.parameters(),
                lr=s.classifier_lr,
                betas=s.betas,
                weight_decay=s.classifier_weight_decay,
                fused=True,
            ),
        }
        self.noise = make_scheduler("DDPM", s, prediction_type=s.prediction)

    def step(self) -> Tensor:
        """Train both networks on one batch at uniform noise levels; the values named in `LOSSES`."""
        s = self.settings
        images, labels = self._reals()
        draw = {"generator": self.random, "device": self.device}
        t = self.team.part(torch.randint(s.timesteps, (s.batch,), **draw))
        noise = self.team.part(torch.randn((s.batch, 3, s.resolution, s.resolution), **draw))
        noisy = self.noise.add_noise(images, noise, t)
        goal = noise if s.prediction == "epsilon" else self.noise.get_velocity(images, noise, t)
        self._warm_up()
        with self._autocast():
            predicted = self.unet(noisy, t, labels)[:, :3]  # a predicted variance is left as it was
            loss = F.mse_loss(predicted.float(), goal)
        self._descend("unet", loss, clip=s.clip)
        with self._autocast():
            logits = self.classifier(noisy, t).float()
            loss_classifier = F.cross_entropy(logits, labels)
        self._descend("classifier", loss_classifier, clip=s.clip)
        self.step_count += 1
        decay = ema_decay(self.kimg, batch=s.batch, half_life=s.ema_kimg, rampup=s.ema_rampup)
        for name, live in (("unet", self.unet), ("classifier", self.classifier)):
            update_ema(self.drawn[name], live, decay)
        right = (logits.argmax(dim=1) == labels).float().mean()
        return torch.stack([value.detach().float() for value in (loss, loss_classifier, right)])

    def _warm_up(self) -> None:
        s = self.settings
        share = min(1.0, (self.kimg + s.batch / 1000) / s.warmup_kimg) if s.warmup_kimg else 1.0
        for name, rate in (("unet", s.lr), ("classifier", s.classifier_lr)):
            for group in self.optimisers[name].param_groups:
                group["lr"] = rate * share
