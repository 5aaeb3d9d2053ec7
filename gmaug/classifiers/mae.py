"""A masked autoencoder: pre-trained on the images themselves, then fine-tuned (section 3.5, Table 4).

References
----------
He, Chen, Xie, Li, Dollár, Girshick: *Masked autoencoders are scalable vision learners*, CVPR 2022
(the paper's second classifier).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import nn

from gmaug.classifiers import vit
from gmaug.classifiers.augment import Views
from gmaug.classifiers.base import TorchClassifier
from gmaug.classifiers.mae_settings import PAPER_MAE, MAESettings
from gmaug.classifiers.resume import Checkpoint
from gmaug.classifiers.training import Batches, Run, descend

# colours that published weights expect: of ImageNet, range 0-255
IMAGENET = ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375))
REPORTS = 20  # entries of the pre-training's history


class MAE(TorchClassifier):
    """A vision transformer pre-trained as a masked autoencoder (He et al., 2022).

    Pre-training sees the training images alone, without their labels; or published weights are
    loaded from a folder (``settings.weights``).

    Parameters
    ----------
    settings : MAESettings
        The paper's by default; ``gmaug.classifiers.GARDEN_MAE`` suits small images on a CPU.
    device : str
        As :func:`gmaug.backend.device` takes it.

    Attributes
    ----------
    pretraining_ : list of dict
        ``epoch`` (of the report, not of the images), ``step``, ``rate``, ``train_loss``: mean squared error
        of the hidden patches' pixels, each patch normed (1 is no better than its mean). Empty
        where nothing was pre-trained, and of a model from a file, which keeps `history_` alone.

    Examples
    --------
    >>> model = MAE(GARDEN_MAE).fit(images, labels, validation=(held, held_labels), seed=0)
    >>> model.predict(other)
    """

    settings_class: ClassVar[type] = MAESettings

    def __init__(self, settings: MAESettings = PAPER_MAE, *, device: str = "auto") -> None:
        self.settings = settings
        self.device = device

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> MAE:
        """As every classifier's, without the history of the pre-training."""
        self = super().load(path, device=device)
        self.pretraining_ = []
        return self

    @property
    def stochastic(self) -> bool:
        """Whether the network skips layers by chance in training."""
        return self.settings.drop_path > 0

    def _network(self, classes: int) -> nn.Module:
        bias = self.loss_.start_bias(classes)
        return vit.classifier(self.settings, side=self._input_side(), classes=classes, bias=bias)

    def _input_side(self) -> int:
        side = self.settings.crop_size or self.side_[0]
        if self.settings.crop_size is None and self.side_[0] != self.side_[1]:
            raise ValueError(f"images are {self.side_} pixels; a masked autoencoder needs square ones")
        return side

    def _features(self, net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        return net.pooled(batch)

    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        return torch.optim.AdamW(vit.groups(net, self.settings), lr=self.settings.base_lr, betas=(0.9, 0.999))

    def _prepare(self, images: np.ndarray, keep: Callable[[str], Checkpoint | None], desc: str) -> None:
        self.pretraining_: list[dict[str, Any]] = []
        s = self.settings
        if s.weights is not None:
            self.mean_, self.std_ = (np.array(v, dtype=np.float32) for v in IMAGENET)
            vit.take_encoder(self.net_, vit.published(s, side=self._input_side()))
        elif s.pretraining_epochs:
            net = self._pretrained(images, keep("pretraining"), f"{desc}, pre-training")
            vit.take_encoder(self.net_, net.vit)

    def _pretrained(self, images: np.ndarray, checkpoint: Checkpoint | None, desc: str) -> nn.Module:
        s = self.settings
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self.seed_)
            net = vit.autoencoder(s, side=self._input_side()).to(self._device)
        random = torch.Generator().manual_seed(self.seed_)
        batch = min(s.pretraining_batch, len(images))
        batches = Batches(len(images), batch, random=random)
        # the paper of the method finds crops and flips enough: the mask is the augmentation
        plain = replace(s, randaugment=None, mixup=0.0, cutmix=0.0, erasing=0.0)
        views = Views(torch.tensor(images).to(self._device), plain)
        patches = (self._input_side() // s.patch) ** 2

        def loss_of(index: torch.Tensor) -> tuple[torch.Tensor, None]:
            noise = torch.rand(len(index), patches, generator=random).to(self._device)
            return net(self.normalised(views.draw(index, random)), noise=noise).loss, None

        weights = [w for w in net.parameters() if w.requires_grad]
        groups = [
            {"params": [w for w in weights if w.ndim > 1], "weight_decay": s.pretraining_weight_decay},
            {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
        ]
        # 0.95: the method's own; the loss changes less from batch to batch than a classifier's
        optimizer = torch.optim.AdamW(groups, lr=s.pretraining_lr, betas=(0.9, 0.95))
        total = max(1, -(-s.pretraining_epochs * len(images) // batch))
        run = descend(
            Run(net, optimizer, batches), loss_of, total=total, parts=min(REPORTS, total),
            rate=s.pretraining_rate, checkpoint=checkpoint, desc=desc,
        )  # fmt: skip
        self.pretraining_ = run.history
        return net
