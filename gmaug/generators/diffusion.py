"""Class-conditional diffusion, guided by a noisy classifier (section 3.5).

Dhariwal and Nichol, *Diffusion Models Beat GANs on Image Synthesis* (NeurIPS 2021). The UNet and
the schedules are ``diffusers``'; the noisy classifier and its gradient are added here. Both
networks are trained together, on the same noisy images.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmaug.generators import samplers
from gmaug.generators.diffusion_settings import SAMPLERS, GuidedDiffusionSettings
from gmaug.generators.diffusion_training import (
    DiffusionTraining,
    make_classifier,
    make_denoiser,
    make_scheduler,
)
from gmaug.generators.trained import TrainedGenerator


class GuidedDiffusion(TrainedGenerator):
    """Generator of images of a wanted class.

    Parameters
    ----------
    settings : GuidedDiffusionSettings, optional

    Attributes
    ----------
    history_ : list of dict
        Rows as every trained generator has them, with ``loss`` (mean squared error),
        ``loss_classifier`` (cross-entropy) and ``classifier_accuracy`` (in [0, 1], over all
        noise levels, on training images).
    n_classes_, kimg_
        As in :class:`gmaug.generators.trained.TrainedGenerator`.
    """

    FORMAT: ClassVar[str] = "gmaug guided diffusion 1"
    CHUNK: ClassVar[int] = 32
    ADVICE: ClassVar[str] = "lower lr or raise warmup_kimg"
    settings_class: ClassVar[type] = GuidedDiffusionSettings
    training_class: ClassVar[type] = DiffusionTraining
    settings: GuidedDiffusionSettings

    def sample(
        self,
        labels: Sequence[int] | np.ndarray,
        *,
        seed: int,
        guidance: float | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        callback: Callable[[int, Tensor], None] | None = None,
    ) -> np.ndarray:
        """Images of the wanted classes.

        Parameters
        ----------
        labels : sequence of int, shape (n,)
        seed : int
            Image i depends on the seed, on i and on ``labels[i]``.
        guidance, steps, sampler : optional
            In place of the settings'.
        callback : callable, optional
            Called with the noise level and the images, float from -1 to 1, after each step.

        Returns
        -------
        ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255

        Raises
        ------
        ValueError
            If the generator is not fitted, does not know a class, or `sampler` is unknown.
        """
        s = self.settings
        sampler = s.sampler if sampler is None else sampler
        if sampler not in SAMPLERS:
            raise ValueError(f"sampler={sampler!r} is unknown; use one of {', '.join(SAMPLERS)}")
        steps = s.sampling_steps if steps is None else steps
        if not 1 <= steps <= s.timesteps:
            raise ValueError(f"steps={steps}; give 1 to {s.timesteps}")
        guidance = s.guidance if guidance is None else guidance
        return super().sample(
            labels, seed=seed, guidance=guidance, steps=steps, sampler=sampler, callback=callback
        )

    def _draw(
        self,
        wanted: Tensor,
        random: torch.Generator,
        *,
        guidance: float | None = None,
        steps: int | None = None,
        sampler: str | None = None,
        callback: Callable[[int, Tensor], None] | None = None,
    ) -> Tensor:
        s, options = self.settings, {"prediction_type": "epsilon", "timestep_spacing": "trailing"}
        if sampler == "ancestral":
            learned = self._learns_variance
            options["variance_type"] = "learned_range" if learned else "fixed_small"
        scheduler = make_scheduler("DDPM" if sampler == "ancestral" else "DDIM", s, **options)
        scheduler.set_timesteps(steps)
        shape = (len(wanted), 3, s.resolution, s.resolution)
        x = torch.randn(shape, generator=random, device=wanted.device)
        more: dict[str, Any] = {"eta": s.eta} if sampler == "ddim" else {}
        return getattr(samplers, sampler)(
            lambda x, t: self._noise(scheduler, x, t, wanted),
            x,
            scheduler,
            score=lambda x, t: self._score(x, t, wanted),
            scale=guidance,
            generator=random,
            callback=callback,
            **more,
        )

    @property
    def _learns_variance(self) -> bool:
        return self.nets_["unet"].unet.config.out_channels == 2 * self.nets_["unet"].unet.config.in_channels

    @torch.no_grad()
    def _noise(self, scheduler: Any, x: Tensor, t: int, wanted: Tensor) -> tuple[Tensor, Tensor | None]:
        """The noise in `x` as the UNet sees it, whatever it was trained to predict."""
        level = torch.full((len(x),), t, device=x.device, dtype=torch.int64)
        output = self.nets_["unet"](x, level, wanted)
        found, share = (output[:, :3], output[:, 3:]) if self._learns_variance else (output, None)
        if self.settings.prediction == "v_prediction":
            bar, _ = samplers.levels(scheduler, t)
            found = bar**0.5 * found + (1 - bar) ** 0.5 * x
        return found, share

    def _score(self, x: Tensor, t: int, wanted: Tensor) -> Tensor:
        """Gradient of the noisy classifier's log p(wanted | x_t, t) by x_t."""
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            level = torch.full((len(x),), t, device=x.device, dtype=torch.int64)
            logits = self.nets_["classifier"](x, level)
            chosen = F.log_softmax(logits, dim=1).gather(1, wanted[:, None]).sum()
            return torch.autograd.grad(chosen, x)[0]

    def _networks(self) -> dict[str, nn.Module]:
        return {
            "unet": make_denoiser(self.settings, self.n_classes_),
            "classifier": make_classifier(self.settings, self.n_classes_),
        }
