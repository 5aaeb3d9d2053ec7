"""ResNet18 from torchvision, as the paper trains it and in a size for small images (section 3.5)."""

from __future__ import annotations

import torch
from torch import nn

from gmaug import backend
from gmaug.classifiers.settings import PAPER, ResNet18Settings
from gmaug.classifiers.training import TorchClassifier, decay_groups


class ResNet18(TorchClassifier):
    """ResNet18 (He et al., 2016).

    Parameters
    ----------
    settings : ResNet18Settings
        The paper's by default; ``gmaug.classifiers.GARDEN`` suits small images on a CPU.
    device : str
        As :func:`gmaug.backend.device` takes it.

    Examples
    --------
    >>> model = ResNet18(GARDEN).fit(images, labels, validation=(held, held_labels), seed=0)
    >>> model.predict(other)
    """

    def __init__(self, settings: ResNet18Settings = PAPER, *, device: str = "auto") -> None:
        self.settings = settings
        self.device = device

    def _network(self, classes: int) -> nn.Module:
        net = resnet18(classes, self.settings)
        nn.init.zeros_(net.fc.bias)
        return net

    def _features(self, batch: torch.Tensor) -> torch.Tensor:
        layers = [layer for name, layer in self.net_.named_children() if name != "fc"]
        return nn.Sequential(*layers)(batch).flatten(1)

    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        s = self.settings
        weights = net.parameters() if s.decay_all else decay_groups(net, s.weight_decay)
        about = {"momentum": s.momentum, "weight_decay": s.weight_decay, "nesterov": s.nesterov}
        return torch.optim.SGD(weights, lr=s.lr, fused=next(net.parameters()).is_cuda, **about)


def resnet18(classes: int, settings: ResNet18Settings) -> nn.Module:
    """torchvision's ResNet18, its stem and stages rebuilt where the settings ask for others."""
    backend.torchvision()
    from torchvision.models import resnet

    net = resnet.resnet18(num_classes=classes)
    width = settings.width
    if settings.stem == "small":
        net.conv1 = nn.Conv2d(3, width, 3, stride=settings.stem_stride, padding=1, bias=False)
        net.maxpool = nn.Identity()
    elif width != 64:
        net.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
    if width != 64:
        net.bn1 = nn.BatchNorm2d(width)
        for stage in range(4):
            inside, outside, stride = width * 2 ** max(stage - 1, 0), width * 2**stage, 1 + (stage > 0)
            shortcut = None
            if stage:
                pick = _Shortcut(inside, outside, 1, stride, bias=False)
                shortcut = nn.Sequential(pick, nn.BatchNorm2d(outside))
            blocks = resnet.BasicBlock(inside, outside, stride, shortcut), resnet.BasicBlock(outside, outside)
            setattr(net, f"layer{stage + 1}", nn.Sequential(*blocks))
        net.fc = nn.Linear(8 * width, classes)
    for module in net.modules():  # what torchvision does, for the parts that are new as well
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return net


class _Shortcut(nn.Conv2d):
    """A 1x1 convolution with a stride that picks its pixels first, and convolves those.

    The same numbers by another way: in the backward pass of a strided 1x1 convolution over fewer than 16
    channels, laid out channels last, oneDNN writes past its memory (its issue 6035; torch 2.13). With several
    threads the process ends there, or the gradient is wrong.
    """

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        down, across = self.stride
        return nn.functional.conv2d(images[:, :, ::down, ::across], self.weight)
