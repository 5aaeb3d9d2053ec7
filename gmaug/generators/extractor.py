"""A small in-domain feature extractor, for distances where no pre-trained one is at hand.

Trained on real images alone, and not the classifier that selects: a generator must not be judged
by the network that chose its images.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gmaug.generators.base import check_labels, check_training
from gmaug.generators.training import threads as using_threads
from gmaug.progress import track


class Extractor:
    """Images to features: the last layer before the class logits of a small convolutional net.

    Called on uint8 images (n, h, w, 3), gives float32 features (n, dimension). Made by
    :func:`train_extractor`.

    Attributes
    ----------
    name : str
        For the name of a distance.
    """

    def __init__(self, net: nn.Sequential, *, name: str, threads: int | None) -> None:
        self.net, self.name, self.threads = net.eval(), name, threads

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._run(self.net[:-1], images)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores, float32 (n, n_classes): is a generated image of its class?"""
        return self._run(self.net, images)

    def _run(self, net: nn.Module, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), using_threads(self.threads):
            parts = (images[start : start + 256] for start in range(0, len(images), 256))
            return np.concatenate([net(_tensor(part)).numpy() for part in parts])


def train_extractor(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    *,
    seed: int,
    dimension: int = 64,
    epochs: int = 20,
    threads: int | None = None,
) -> Extractor:
    """Train an extractor to tell the classes of real images apart.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, side, side, 3)
        Real images, at best balanced and none of those that a generator is judged against.
    labels : sequence of int, shape (n,)
    seed : int
    dimension : int
        Of the features. A Fréchet distance wants many more images than dimensions: 64 by default.
    epochs : int
    threads : int, optional
        Of torch; as it has it by default.

    Raises
    ------
    ValueError
        If images and labels do not fit.
    """
    images, labels = check_training(images, labels)
    classes = int(check_labels(labels).max()) + 1
    with torch.random.fork_rng(devices=[]), using_threads(threads):
        torch.manual_seed(seed)
        net = _net(classes, dimension)
        net = net.to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
        steps = epochs * max(1, len(images) // 64)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=steps)
        wanted = torch.from_numpy(labels)
        for _ in track(range(epochs), desc="extractor"):
            order = torch.randperm(len(images))
            for start in range(0, max(1, len(images) // 64) * 64, 64):
                rows = order[start : start + 64]
                batch = _tensor(images[rows.numpy()])
                if torch.rand(()) < 0.5:
                    batch = batch.flip(3)
                loss = F.cross_entropy(net(batch), wanted[rows], label_smoothing=0.1)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    name = f"{dimension}-d net trained on {len(images)} real images of {classes} classes"
    return Extractor(net, name=name, threads=threads)


def _net(classes: int, dimension: int) -> nn.Sequential:
    """Four convolutions, each halving the side but the first, then one feature per channel."""
    layers: list[nn.Module] = []
    for n_in, n_out, stride in ((3, 16, 1), (16, 32, 2), (32, 64, 2), (64, dimension, 2)):
        layers += [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dimension, classes))


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1)
