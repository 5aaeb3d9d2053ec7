"""Samplers of guided diffusion as plain loops (Dhariwal and Nichol 2021, algorithms 1 and 2).

Both take the schedule from a ``diffusers`` scheduler that has been told the steps to visit
(``set_timesteps``) and whose ``prediction_type`` is ``"epsilon"``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

Denoise = Callable[[Tensor, int], tuple[Tensor, Tensor | None]]
"""``denoise(x, t)``: predicted noise, and the predicted share of the log variance (-1 to 1) or None."""

Score = Callable[[Tensor, int], Tensor]
"""``score(x, t)``: gradient of log p(y | x_t, t) by x_t."""


def levels(scheduler: Any, t: int) -> tuple[float, float]:
    """Signal power ``alpha-bar`` at `t` and at the step that is visited next."""
    bars = scheduler.alphas_cumprod
    before = int(t) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return float(bars[t]), float(bars[before]) if before >= 0 else 1.0


def ddim(
    denoise: Denoise,
    x: Tensor,
    scheduler: Any,
    *,
    score: Score | None = None,
    scale: float = 1.0,
    eta: float = 0.0,
    generator: torch.Generator | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Guided DDIM: ``eps' = eps - sqrt(1 - abar_t) s grad``, then DDIM's step.

    Parameters
    ----------
    denoise : callable
    x : Tensor, shape (n, 3, side, side)
        Standard normal noise.
    scheduler : diffusers.DDIMScheduler
    score : callable, optional
        Without it nothing guides.
    scale : float
        s.
    eta : float
        0 adds no noise on the way.
    generator : torch.Generator, optional
        Of that noise.
    callback : callable, optional
        Called with the noise level and the images after each step.
    """
    for t in scheduler.timesteps.tolist():
        noise, _ = denoise(x, t)
        if score is not None and scale:
            bar, _ = levels(scheduler, t)
            noise = noise - (1 - bar) ** 0.5 * scale * score(x, t)
        x = scheduler.step(noise, t, x, eta=eta, generator=generator).prev_sample
        if callback is not None:
            callback(t, x)
    return x


def ancestral(
    denoise: Denoise,
    x: Tensor,
    scheduler: Any,
    *,
    score: Score | None = None,
    scale: float = 1.0,
    generator: torch.Generator | None = None,
    callback: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """Guided ancestral sampling: the mean is moved by ``Sigma s grad``, the gradient taken at x_t.

    Parameters
    ----------
    scheduler : diffusers.DDPMScheduler
        With ``variance_type="learned_range"`` if `denoise` predicts the variance.
    **others
        As :func:`ddim` takes them.
    """
    for t in scheduler.timesteps.tolist():
        noise, share = denoise(x, t)
        output = noise if share is None else torch.cat([noise, share], dim=1)
        moved = 0.0
        if score is not None and scale:
            moved = variance(scheduler, t, share) * scale * score(x, t)
        x = scheduler.step(output, t, x, generator=generator).prev_sample + moved
        if callback is not None:
            callback(t, x)
    return x


def variance(scheduler: Any, t: int, share: Tensor | None = None) -> Tensor | float:
    """Sigma of the reverse step at `t`: its lower bound, or between the bounds as `share` says."""
    bar, before = levels(scheduler, t)
    beta = 1 - bar / before
    least = max((1 - before) / (1 - bar) * beta, 1e-20)
    if share is None:
        return least
    bounds = torch.log(torch.tensor([least, beta], dtype=share.dtype))
    return torch.exp(torch.lerp(bounds[0], bounds[1], (share + 1) / 2))
