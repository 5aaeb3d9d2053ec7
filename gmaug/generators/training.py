"""One training step of the transitional cGAN, and its state as tensors for an exact resume."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gmaug.generators.augment import augment
from gmaug.generators.losses import (
    discriminator_loss,
    ema_decay,
    generator_loss,
    r1_penalty,
    update_ema,
)
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.generators.stylegan2 import Discriminator, Generator

LOSSES = ("loss_g", "loss_d", "r1", "u_real", "u_fake", "c_real", "c_fake")


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch compute on `count` threads (None: as many as it does already) for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def make_generator(settings: TransitionalCGANSettings, n_classes: int) -> Generator:
    """The generator, its first weights drawn from the settings' seed; torch's own state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        return Generator(
            n_classes,
            channels=settings.channels,
            z_dim=settings.z_dim,
            w_dim=settings.w_dim,
            mapping_layers=settings.mapping_layers,
            mapping_lr=settings.mapping_lr,
        )


def make_discriminator(settings: TransitionalCGANSettings, n_classes: int) -> Discriminator:
    """The discriminator, drawn from the settings' seed (another stream than the generator's)."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed + 2**32)
        return Discriminator(
            n_classes, channels=settings.channels, w_dim=settings.w_dim, std_group=settings.minibatch_std
        )


class Training:
    """Networks, optimisers, random state and data of a run.

    Parameters
    ----------
    settings : TransitionalCGANSettings
    images : ndarray of uint8, shape (n, side, side, 3)
    labels : ndarray of int, shape (n,)
    n_classes : int
    device : torch.device
    """

    def __init__(
        self,
        settings: TransitionalCGANSettings,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        n_classes: int,
        device: torch.device,
    ) -> None:
        self.settings, self.device = settings, device
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64)).to(device)
        to = {"device": device, "memory_format": torch.channels_last}
        self.generator = make_generator(settings, n_classes).to(**to)
        self.average = make_generator(settings, n_classes).to(**to).requires_grad_(False)
        self.discriminator = make_discriminator(settings, n_classes).to(**to)
        options = {"lr": settings.lr, "betas": settings.betas, "eps": 1e-8, "fused": True}
        self.optimisers = {
            "g": torch.optim.Adam(self.generator.parameters(), **options),
            "d": torch.optim.Adam(self.discriminator.parameters(), **options),
        }
        self.random = torch.Generator(device=device).manual_seed(settings.seed)
        self.step_count = 0

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far."""
        return self.step_count * self.settings.batch / 1000

    def _rows(self) -> Tensor:
        size = (self.settings.batch,)
        return torch.randint(len(self.images), size, generator=self.random, device=self.device)

    def _reals(self) -> tuple[Tensor, Tensor]:
        rows = self._rows()
        # a batch of NHWC pixels seen as NCHW is channels-last already
        images = self.images[rows].to(torch.float32).div_(127.5).sub_(1).permute(0, 3, 1, 2)
        if self.settings.flip:
            mirrored = torch.rand(len(rows), 1, 1, 1, generator=self.random, device=self.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        return images, self.labels[rows]

    def step(self) -> Tensor:
        """Train both networks on one batch; the values named in `LOSSES`, as one tensor.

        The R1 penalty is zero on the steps that do without it.

        One batch of fakes serves both networks: the discriminator learns from it, and the
        generator then learns from the improved discriminator. (Drawing a second batch, as
        StyleGAN2 does, costs another forward pass of the generator and changes nothing in
        expectation.)
        """
        s, batch = self.settings, self.settings.batch
        weight = s.lambda_at(self.kimg)
        # a fake's class is the class of a training image drawn at random: the training distribution
        wanted = self.labels[self._rows()]
        z = torch.randn(batch, s.z_dim, generator=self.random, device=self.device)
        with_r1 = self.step_count % s.r1_every == 0
        mixed = s.mixed_precision and self.device.type == "cuda"
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed and not with_r1)
        r1 = torch.zeros((), device=self.device)
        with autocast:
            fakes = augment(self.generator(z, wanted, weight, self.random), s.augment, self.random)
            reals, labels = self._reals()
            reals.requires_grad_(with_r1)
            shown = augment(reals, s.augment, self.random)
            if with_r1:  # apart, so that the second derivative is not taken through the fakes
                u_real, c_real = self.discriminator(shown, labels)
                u_fake, c_fake = self.discriminator(fakes.detach(), wanted)
                r1 = r1_penalty(u_real, reals)
            else:
                both, classes = torch.cat([shown, fakes.detach()]), torch.cat([labels, wanted])
                (u_real, u_fake), (c_real, c_fake) = (
                    y.split(batch) for y in self.discriminator(both, classes)
                )
            loss_d = discriminator_loss(u_real, c_real, u_fake, c_fake, weight)
        self._descend("d", loss_d + r1 * (s.gamma / 2 * s.r1_every))
        self.discriminator.requires_grad_(False)  # the generator's step needs no gradient of its weights
        with autocast:
            loss_g = generator_loss(*self.discriminator(fakes, wanted), weight)
        self._descend("g", loss_g)
        self.discriminator.requires_grad_(True)
        self.step_count += 1
        decay = ema_decay(self.kimg, batch=batch, half_life=s.ema_kimg, rampup=s.ema_rampup)
        update_ema(self.average, self.generator, decay)
        values = (loss_g, loss_d, r1, u_real.mean(), u_fake.mean(), c_real.mean(), c_fake.mean())
        return torch.stack([value.detach().float() for value in values])

    def _descend(self, which: str, loss: Tensor) -> None:
        self.optimisers[which].zero_grad(set_to_none=True)
        loss.backward()
        self.optimisers[which].step()

    def _modules(self) -> dict[str, nn.Module]:
        return {"generator": self.generator, "average": self.average, "discriminator": self.discriminator}

    def state(self) -> dict[str, Tensor]:
        """Weights, Adam's moments and the random state: all that the next step depends on."""
        tensors = {"random": self.random.get_state()}
        for name, module in self._modules().items():
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{index}.{key}": value for key, value in moments.items()}
        return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor], step_count: int) -> None:
        """Go on from `state`'s tensors."""
        self.step_count = step_count
        self.random.set_state(tensors["random"])
        for name, module in self._modules().items():
            start = f"{name}."
            module.load_state_dict(
                {k.removeprefix(start): v for k, v in tensors.items() if k.startswith(start)}
            )
        for name, optimiser in self.optimisers.items():
            weights = optimiser.param_groups[0]["params"]
            moments: dict[int, dict[str, Any]] = {}
            for key, value in tensors.items():
                if key.startswith(f"adam.{name}."):
                    _, _, index, moment = key.split(".")
                    if value.dim():  # fused Adam walks memory: moments must lie as their weights do
                        value = torch.empty_like(weights[int(index)]).copy_(value)
                    moments.setdefault(int(index), {})[moment] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})
