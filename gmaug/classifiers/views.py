"""Random views of training images: crops, flips, RandAugment, erased boxes, mixed pairs.

Crops and flips are done for a whole batch at once; the rest is torchvision's, whose transforms draw from
torch's own random state: it is lent a seed from the run's generator each time, and put back (:func:`lent`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
import torch.nn.functional as F

from gmaug import backend
from gmaug.classifiers.settings import TrainingSettings

RATIO = (3 / 4, 4 / 3)  # aspect of a resized crop, and
SCALE = (0.08, 1.0)  # its share of the image's area: torchvision's RandomResizedCrop


class Views:
    """Random views of a set of images, a uint8 tensor of shape (n, h, w, 3)."""

    def __init__(self, images: torch.Tensor, settings: TrainingSettings) -> None:
        self.settings, self.side = settings, images.shape[1:3]
        self.pad = settings.padding if settings.crop == "padded" else 0
        if settings.crop_size and settings.crop_size > min(self.side):
            side = f"crop_size={settings.crop_size} is more than the images' side {min(self.side)}"
            raise ValueError(f"{side}; enlarge the images, or give crop_size=None")
        if self.pad >= min(self.side):
            raise ValueError(f"padding={self.pad} is not less than the image's side {min(self.side)}")
        self.images = images
        if self.pad:  # black beyond the border would mark the images that were shifted
            pads = (0, 0), (self.pad, self.pad), (self.pad, self.pad), (0, 0)
            wide = np.pad(images.cpu().numpy(), pads, mode="reflect")
            self.images = torch.from_numpy(wide).to(images.device)
        self.operations = None
        if settings.randaugment:
            backend.torchvision()
            from torchvision.transforms import v2

            # grey beyond the border, for the same reason
            bilinear = v2.InterpolationMode.BILINEAR
            self.operations = v2.RandAugment(*settings.randaugment, fill=128, interpolation=bilinear)

    def draw(self, index: torch.Tensor, random: torch.Generator) -> torch.Tensor:
        """A random view of each image of a batch: float, shape (b, 3, height, width), range 0-255.

        `index` (int64, shape (b,)) and `random` are on the CPU whatever the device, so that every device sees
        the same views.
        """
        batch = self._cropped(index, random)
        if self.operations is None:
            return batch
        pixels = batch.round().to(torch.uint8).cpu()
        with lent(random):  # image by image: on a batch torchvision would do the same to all of it
            return torch.stack([self.operations(image) for image in pixels]).to(batch)

    def _cropped(self, index: torch.Tensor, random: torch.Generator) -> torch.Tensor:
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


class Mixer:
    """Erased boxes and mixed pairs, for the pixels as the network sees them."""

    def __init__(self, settings: TrainingSettings, classes: int) -> None:
        self.ways, self.classes, self.erase = [], classes, None
        if not (settings.erasing or settings.mixup or settings.cutmix):
            return
        backend.torchvision()
        from torchvision.transforms import v2

        if settings.erasing:
            self.erase = v2.RandomErasing(p=settings.erasing, value="random")
        for way, alpha in ((v2.MixUp, settings.mixup), (v2.CutMix, settings.cutmix)):
            if alpha:
                self.ways.append(way(alpha=alpha, num_classes=classes))

    def __call__(
        self, batch: torch.Tensor, labels: torch.Tensor, random: torch.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """A batch (b, 3, height, width), its labels, and the labels' shares where images were mixed: then
        both are of shape (b, 2), the larger share first."""
        if self.erase is not None:
            with lent(random):  # image by image, as above
                batch = torch.stack([self.erase(image) for image in batch.cpu()]).to(batch)
        if not self.ways:
            return batch, labels, None
        way = self.ways[int(torch.randint(len(self.ways), (), generator=random))]
        with lent(random):
            batch, soft = way(batch, labels)
        # a class mixed with itself has one share; its second is 0, of any class
        shares, labels = soft.topk(min(2, self.classes))
        return batch, labels, shares


@contextmanager
def lent(random: torch.Generator, device: torch.device | None = None) -> Iterator[None]:
    """torch's own random state, and a `device`'s, seeded by one draw of `random` for a while and put back."""
    seed = int(torch.randint(2**62, (), generator=random))
    cuda = device is not None and device.type == "cuda"
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if cuda else []):
        # torch.manual_seed would seed every device, and those not named above stay so
        (torch.manual_seed if cuda else torch.default_generator.manual_seed)(seed)
        yield
