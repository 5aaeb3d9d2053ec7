"""The losses of transitional training, each as its formula, and the average of the weights.

Shahbazi, Danelljan, Paudel and Van Gool, *Collapse by Conditioning: Training Class-conditional
GANs with Limited Data* (ICLR 2022). ``u`` is the unconditional logit, ``c`` the conditional one,
``sp`` the softplus.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def generator_loss(u_fake: Tensor, c_fake: Tensor, weight: float) -> Tensor:
    """``sp(-u_f) + lambda sp(-c_f)``, averaged over the batch (non-saturating)."""
    loss = F.softplus(-u_fake).mean()
    return loss + weight * F.softplus(-c_fake).mean() if weight > 0 else loss


def discriminator_loss(
    u_real: Tensor, c_real: Tensor, u_fake: Tensor, c_fake: Tensor, weight: float
) -> Tensor:
    """``sp(u_f) + sp(-u_r) + lambda [sp(c_f) + sp(-c_r)]``, averaged over the batch."""
    loss = F.softplus(u_fake).mean() + F.softplus(-u_real).mean()
    if weight > 0:
        loss = loss + weight * (F.softplus(c_fake).mean() + F.softplus(-c_real).mean())
    return loss


def r1_penalty(u_real: Tensor, images: Tensor) -> Tensor:
    """Mean over the batch of ``|grad_x u(x)|^2`` at the real `images`; multiply by gamma / 2.

    The unconditional logit alone, as the method has it. Keeps the graph, for the step on the
    discriminator's weights.
    """
    (gradient,) = torch.autograd.grad(u_real.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


def path_length_penalty(
    images: Tensor, w: Tensor, mean: Tensor, *, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Path length regularisation of StyleGAN2 (Karras et al. 2020, Eq. 4): ``E (|J' y| - a)^2``.

    ``J`` is the Jacobian of the image by w, ``y`` an image of noise; a step in w shall change
    the image equally whatever w and the direction.

    Parameters
    ----------
    images : Tensor, shape (n, 3, side, side)
        Made from `w`, the graph kept.
    w : Tensor, shape (n, w_dim)
    mean : Tensor, shape ()
        Running mean ``a`` of the lengths so far.
    generator : torch.Generator
        Of the noise.

    Returns
    -------
    penalty, mean : Tensor, shape ()
        To be weighted and added to the generator's loss; the running mean after this batch.
    """
    noise = torch.randn(images.shape, generator=generator, device=images.device)
    noise = noise / (images.shape[2] * images.shape[3]) ** 0.5
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    lengths = gradient.square().sum(dim=1).sqrt()
    mean = torch.lerp(mean, lengths.detach().mean(), 0.01)  # the published decay
    return (lengths - mean).square().mean(), mean


def ema_decay(kimg: float, *, batch: int, half_life: float, rampup: float) -> float:
    """How much of the average to keep in a step, so that a weight halves every `half_life` kimg.

    Early on the half-life is `rampup` of what has been seen, so that the average follows quickly.
    """
    half_life = min(half_life, kimg * rampup)
    return 0.5 ** (batch / 1000 / max(half_life, 1e-8))


@torch.no_grad()
def update_ema(average: nn.Module, model: nn.Module, decay: float) -> None:
    """``average = decay average + (1 - decay) model``, every parameter."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
