"""Random crops and flips of whole batches at once."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from gmaug.classifiers.settings import ResNet18Settings

RATIO = (3 / 4, 4 / 3)  # aspect of a resized crop, and
SCALE = (0.08, 1.0)  # its share of the image's area: torchvision's RandomResizedCrop


class Views:
    """Random views of a set of images.

    Parameters
    ----------
    images : uint8 tensor, shape (n, h, w, 3)
    settings : ResNet18Settings
        Of which `crop`, `crop_size`, `padding` and `flip` are used.
    """

    def __init__(self, images: torch.Tensor, settings: ResNet18Settings) -> None:
        self.settings = settings
        self.side = images.shape[1:3]
        pad = settings.padding if settings.crop == "padded" else 0
        if pad >= min(self.side):
            raise ValueError(f"padding={pad} is not less than the image's side {min(self.side)}; lower it")
        if pad:  # mirrored, not black: a black border would mark the shifted images
            images = mirrored(images, pad)
        self.images, self.pad = images, pad

    def draw(self, index: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """A random view of each image of a batch.

        Parameters
        ----------
        index : int64 tensor, shape (b,), on the CPU
        random : torch.Generator
            On the CPU whatever the device, so that every device sees the same views.

        Returns
        -------
        float tensor, shape (b, 3, height, width), range 0-255
        """
        count, device = len(index), self.images.device
        mirror = (torch.rand(count, generator=random) < 0.5) & self.settings.flip
        if self.settings.crop == "resized":
            grid = self._resized(mirror, random).to(device)
            batch = self.images[index.to(device)].permute(0, 3, 1, 2).float()
            return F.grid_sample(batch, grid, mode="bilinear", padding_mode="reflection", align_corners=False)
        height, width = self.side
        corner = torch.randint(0, 2 * self.pad + 1, (2, count, 1), generator=random)
        rows = corner[0] + torch.arange(height)
        columns = torch.arange(width).expand(count, width)
        columns = corner[1] + torch.where(mirror[:, None], columns.flip(1), columns)
        # one gather does the crop and the flip
        index, rows, columns = index.to(device), rows.to(device), columns.to(device)
        batch = self.images[index[:, None, None], rows[:, :, None], columns[:, None, :]]
        return batch.permute(0, 3, 1, 2).float()

    def _resized(self, mirror: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """Sampling grid of windows of random area, aspect and place, cut back to the image's sides."""
        count = len(mirror)
        area, aspect, x, y = torch.rand((4, count), generator=random)
        area = SCALE[0] + (SCALE[1] - SCALE[0]) * area
        aspect = torch.exp(math.log(RATIO[0]) + math.log(RATIO[1] / RATIO[0]) * aspect)
        wide, high = (area * aspect).sqrt().clamp(max=1), (area / aspect).sqrt().clamp(max=1)
        theta = torch.zeros(count, 2, 3)
        theta[:, 0, 0] = torch.where(mirror, -wide, wide)
        theta[:, 1, 1] = high
        theta[:, 0, 2] = (1 - wide) * (2 * x - 1)
        theta[:, 1, 2] = (1 - high) * (2 * y - 1)
        side = self.settings.crop_size
        size = (side, side) if side else tuple(self.side)
        return F.affine_grid(theta, [count, 3, *size], align_corners=False)


def mirrored(images: torch.Tensor, pad: int) -> torch.Tensor:
    """Images (n, h, w, 3) with `pad` pixels more on each side, mirrored at the border."""
    height, width = images.shape[1:3]
    rows, columns = (_reflect(torch.arange(-pad, side + pad), side) for side in (height, width))
    return images[:, rows.to(images.device)][:, :, columns.to(images.device)].contiguous()


def _reflect(position: torch.Tensor, side: int) -> torch.Tensor:
    position = position.abs()
    return torch.where(position >= side, 2 * (side - 1) - position, position)


def centre(images: torch.Tensor, side: int | None) -> torch.Tensor:
    """The central square of `side` pixels of images (n, h, w, 3); the images themselves if None."""
    if side is None or images.shape[1:3] == (side, side):
        return images
    height, width = images.shape[1:3]
    top, left = (height - side) // 2, (width - side) // 2
    return images[:, top : top + side, left : left + side]
