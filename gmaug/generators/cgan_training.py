"""One training step of the transitional cGAN."""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor

from gmaug.generators.augment import augment
from gmaug.generators.losses import (
    discriminator_loss,
    ema_decay,
    generator_loss,
    path_length_penalty,
    r1_penalty,
    update_ema,
)
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.generators.stylegan2 import Discriminator, Generator
from gmaug.generators.training import Training, seeded


def make_generator(settings: TransitionalCGANSettings, n_classes: int) -> Generator:
    """The generator, its first weights drawn from the settings' seed."""
    return seeded(
        settings.seed,
        lambda: Generator(
            n_classes,
            channels=settings.channels,
            z_dim=settings.z_dim,
            w_dim=settings.w_dim,
            mapping_layers=settings.mapping_layers,
            mapping_lr=settings.mapping_lr,
        ),
    )


def make_discriminator(settings: TransitionalCGANSettings, n_classes: int) -> Discriminator:
    """The discriminator, drawn from another stream of the same seed."""
    return seeded(
        settings.seed + 2**32,
        lambda: Discriminator(
            n_classes, channels=settings.channels, w_dim=settings.w_dim, std_group=settings.minibatch_std
        ),
    )


class CGANTraining(Training):
    """Generator, its average and discriminator of a :class:`gmaug.generators.cgan.TransitionalCGAN`."""

    LOSSES: ClassVar[tuple[str, ...]] = ("loss_g", "loss_d", "r1", "u_real", "u_fake", "c_real", "c_fake")
    settings: TransitionalCGANSettings

    def _build(self) -> None:
        s, to = self.settings, {"device": self.device, "memory_format": torch.channels_last}
        self.generator = make_generator(s, self.n_classes).to(**to)
        self.average = make_generator(s, self.n_classes).to(**to).requires_grad_(False)
        self.discriminator = make_discriminator(s, self.n_classes).to(**to)
        options = {"lr": s.lr, "betas": s.betas, "eps": 1e-8, "fused": True}
        self.optimisers = {
            "g": torch.optim.Adam(self.generator.parameters(), **options),
            "d": torch.optim.Adam(self.discriminator.parameters(), **options),
        }
        self.modules = {
            "generator": self.generator, "average": self.average, "discriminator": self.discriminator
        }  # fmt: skip
        self.drawn = {"generator": self.average}

    def about(self) -> dict[str, float]:
        """``lambda``, the class's weight now."""
        return {"lambda": self.settings.lambda_at(self.kimg)}

    @property
    def ready(self) -> bool:
        """Not before the class counts in full: earlier, samples are real enough but of any class."""
        return self.settings.lambda_at(self.kimg) >= 1

    def step(self) -> Tensor:
        """Train both networks on one batch; the values named in `LOSSES`, as one tensor.

        The R1 penalty is zero on the steps that do without it, else weighted by their rarity.

        One batch of fakes serves both networks: the discriminator learns from it, and the
        generator then learns from the improved discriminator. (Drawing a second batch, as
        StyleGAN2 does, costs another forward pass of the generator and changes nothing in
        expectation.)
        """
        s = self.settings
        weight, own = s.lambda_at(self.kimg), self.own
        # a fake's class is the class of a training image drawn at random: the training distribution
        wanted = self.team.part(self.labels[self._rows()])
        z = torch.randn(2, s.batch, s.z_dim, generator=self.random, device=self.device)
        z, other = self.team.part(z[0]), self.team.part(z[1])
        with_r1 = self.step_count % s.r1_every == 0
        with_path = bool(s.path_length) and self.step_count % s.path_every == 0
        r1 = torch.zeros((), device=self.device)
        with self._autocast(enabled=not with_r1):
            w = self.generator.styles(z, wanted, weight, other=other, mixing=s.style_mixing, generator=own)
            fakes = augment(self.generator.synthesis(w, own), s.augment, own)
            reals, labels = self._reals()
            reals.requires_grad_(with_r1)
            shown = augment(reals, s.augment, own)
            if with_r1:  # apart, so that the second derivative is not taken through the fakes
                u_real, c_real = self.discriminator(shown, labels)
                u_fake, c_fake = self.discriminator(fakes.detach(), wanted)
                r1 = r1_penalty(u_real, reals)
            else:
                both, classes = torch.cat([shown, fakes.detach()]), torch.cat([labels, wanted])
                (u_real, u_fake), (c_real, c_fake) = (
                    y.split(len(reals)) for y in self.discriminator(both, classes)
                )
            loss_d = discriminator_loss(u_real, c_real, u_fake, c_fake, weight)
        self._descend("d", loss_d + r1 * (s.gamma / 2 * s.r1_every))
        self.discriminator.requires_grad_(False)  # the generator's step needs no gradient of its weights
        with self._autocast():
            loss_g = generator_loss(*self.discriminator(fakes, wanted), weight)
        if with_path:
            w = self.generator.styles(z, wanted, weight)
            penalty, mean = path_length_penalty(
                self.generator.synthesis(w, own), w, self.average.path_mean, generator=own
            )
            self.average.path_mean.copy_(mean)
            self._descend("g", loss_g + penalty * (s.path_length * s.path_every))
        else:
            self._descend("g", loss_g)
        self.discriminator.requires_grad_(True)
        self.step_count += 1
        decay = ema_decay(self.kimg, batch=s.batch, half_life=s.ema_kimg, rampup=s.ema_rampup)
        update_ema(self.average, self.generator, decay)
        values = (loss_g, loss_d, r1 * s.r1_every, u_real.mean(), u_fake.mean(), c_real.mean(), c_fake.mean())
        return torch.stack([value.detach().float() for value in values])
