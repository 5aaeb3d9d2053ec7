"""Differentiable augmentation of real and generated images alike, for small training sets.

After Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training* (NeurIPS 2020),
in place of StyleGAN2-ADA's adaptive pipeline: the discriminator sees only augmented images, and
gradients pass through to the generator, so that it learns the images and not their augmentation.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gmaug.generators.settings import AUGMENTATIONS


def augment(images: Tensor, policy: Sequence[str], generator: torch.Generator) -> Tensor:
    """Augment each image by its own draw.

    Parameters
    ----------
    images : Tensor, shape (n, 3, side, side), range -1 to 1
    policy : sequence of {"color", "translation", "cutout"}
        Applied in this order; empty leaves the images alone.
    generator : torch.Generator
        On the images' device.

    Raises
    ------
    ValueError
        If the policy names an unknown augmentation.
    """
    for name in policy:
        if name not in AUGMENTATIONS:
            raise ValueError(f"unknown augmentation {name!r}; known: {', '.join(AUGMENTATIONS)}")
        images = _STEPS[name](images, generator)
    return images


def _uniform(images: Tensor, generator: torch.Generator) -> Tensor:
    shape = (len(images), 1, 1, 1)
    return torch.rand(shape, generator=generator, device=images.device, dtype=torch.float32).to(images.dtype)


def color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation x 0-2, contrast x 0.5-1.5 (the method's ranges on -1 to 1).

    The three are affine in the pixel, so they are worked out on the means and applied at once.
    """
    brightness = _uniform(images, generator) - 0.5
    saturation = _uniform(images, generator) * 2
    contrast = _uniform(images, generator) + 0.5
    grey = images.mean(dim=1, keepdim=True)
    centre = grey.mean(dim=(2, 3), keepdim=True)  # brightness shifts it, saturation leaves it
    spread = torch.lerp(grey, images, saturation)
    return torch.lerp(centre, spread, contrast) + brightness


def _offsets(n: int, reach: int, generator: torch.Generator) -> Tensor:
    """Two integers in [-reach, reach] for each image."""
    return torch.randint(-reach, reach + 1, (2, n, 1), generator=generator, device=generator.device)


def translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth of the side each way; what comes in is zero (mid-grey)."""
    n, _, height, width = images.shape
    down, right = _offsets(n, max(1, round(height / 8)), generator)
    # As two products with 0/1 matrices: exact, the same bytes every time on a GPU too (indexing is
    # not, going backwards), and at these sizes no slower.
    rows = _shift(height, down, images)
    columns = _shift(width, right, images)
    return (rows @ images @ columns.transpose(2, 3)).contiguous(memory_format=torch.channels_last)


def _shift(side: int, by: Tensor, like: Tensor) -> Tensor:
    """Matrices (n, 1, side, side) that move a column vector by `by` (n, 1) places."""
    place = torch.arange(side, device=like.device)
    return (place[None, :, None] - by[:, :, None] == place[None, None, :]).to(like.dtype)[:, None]


def cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Grey out one square of half the side, wherever its centre falls."""
    n, _, height, width = images.shape
    ys = torch.randint(0, height + 1, (n, 1), generator=generator, device=images.device)
    xs = torch.randint(0, width + 1, (n, 1), generator=generator, device=images.device)
    in_y = (torch.arange(height, device=images.device)[None] - ys + height // 4).div(
        height // 2, rounding_mode="floor"
    ) == 0
    in_x = (torch.arange(width, device=images.device)[None] - xs + width // 4).div(
        width // 2, rounding_mode="floor"
    ) == 0
    return images * ~(in_y[:, None, :, None] & in_x[:, None, None, :])


_STEPS = {"color": color, "translation": translation, "cutout": cutout}
