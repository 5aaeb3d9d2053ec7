"""Settings of the masked autoencoder; importing them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gmaug.classifiers.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True)
class MAESettings(TrainingSettings):
    """A vision transformer, its pre-training on masked images and its fine-tuning.

    The defaults are the paper's: the ViT-H/14 of He et al. (2022), fine-tuned as the authors'
    code does.

    Parameters
    ----------
    patch, width, depth, heads : int
        Side of a patch in pixels; channels, layers and attention heads of the encoder. A layer's
        hidden part is four times as wide.
    weights : str, optional
        Folder of published weights, as transformers' ``save_pretrained`` leaves it; then nothing
        is pre-trained here. Nothing is ever downloaded.
    mask : float
        Share of the patches that pre-training hides.
    decoder_width, decoder_depth, decoder_heads : int
        Of the decoder, which only pre-training needs.
    pretraining_epochs, pretraining_batch : int
    pretraining_lr, pretraining_weight_decay : float
        AdamW's; the rate is per 256 images of a batch, as below.
    base_lr : float
        Rate of the fine-tuning per 256 images of a batch: a batch of b takes ``base_lr * b / 256``.
    weight_decay : float
    layer_decay : float
        Each layer takes this multiple of the rate of the one above it.
    drop_path : float
        Chance to skip the last layer's branches in training; it grows from 0 along the depth.
    warmup : float
        Share of a run over which the rate grows from 0, before it falls along a cosine to 0;
        of the pre-training as well.
    **views
        As :class:`gmaug.classifiers.TrainingSettings` has them; pre-training uses `crop`,
        `crop_size`, `padding` and `flip` alone.
    """

    patch: int = 14
    width: int = 1280
    depth: int = 32
    heads: int = 16
    weights: str | None = None
    mask: float = 0.75
    decoder_width: int = 512
    decoder_depth: int = 8
    decoder_heads: int = 16
    pretraining_epochs: int = 800
    pretraining_batch: int = 256
    pretraining_lr: float = 1.5e-4
    pretraining_weight_decay: float = 0.05
    batch: int = 64
    epochs: int = 50
    base_lr: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float = 0.75
    drop_path: float = 0.2
    warmup: float = 0.1  # 5 of the 50 epochs, as the published recipe has it
    mixup: float = 0.8
    cutmix: float = 1.0
    erasing: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        self._at_least_one(
            "patch", "width", "depth", "heads", "decoder_width", "decoder_depth", "decoder_heads",
            "pretraining_batch",
        )  # fmt: skip
        if self.pretraining_epochs < 0:
            raise ValueError(f"pretraining_epochs={self.pretraining_epochs}: give 0 or more")
        for width, heads in (("width", "heads"), ("decoder_width", "decoder_heads")):
            if getattr(self, width) % (4 * getattr(self, heads)):
                # whole heads; and the fixed sines and cosines of both axes take a quarter each
                raise ValueError(
                    f"{width}={getattr(self, width)}: give a multiple of 4 * {heads} = "
                    f"{4 * getattr(self, heads)}"
                )
        for name in ("mask", "layer_decay"):
            if not 0 < getattr(self, name) <= (1 if name == "layer_decay" else 0.99):
                raise ValueError(f"{name}={getattr(self, name)}: give a share above 0 and below 1")
        for name in ("drop_path", "warmup"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a share in [0, 1)")
        if self.crop != "resized" and self.crop_size is not None:
            raise ValueError(f"crop_size={self.crop_size} needs crop='resized'; give None, resize the images")

    def schedule(self, progress: float) -> float:
        """Share of the full rate at `progress` of a run in [0, 1): up in a line, down along a cosine."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))

    def rate(self, progress: float) -> float:
        """Learning rate of the fine-tuning's last layer at `progress`, in [0, 1)."""
        return self.base_lr * self.batch / 256 * self.schedule(progress)

    def pretraining_rate(self, progress: float) -> float:
        """Learning rate of the pre-training at `progress`, in [0, 1)."""
        return self.pretraining_lr * self.pretraining_batch / 256 * self.schedule(progress)


PAPER_MAE = MAESettings()

GARDEN_MAE = MAESettings(
    patch=4,
    width=64,
    depth=4,
    heads=4,
    decoder_width=32,  # light: its work is thrown away
    decoder_depth=1,
    decoder_heads=4,
    pretraining_epochs=90,
    pretraining_batch=64,
    pretraining_lr=4e-3,
    crop="padded",
    crop_size=None,
    batch=64,
    epochs=60,
    base_lr=8e-3,
    layer_decay=1.0,
    drop_path=0.0,
    mixup=0.0,
    cutmix=0.0,
    erasing=0.0,
)
"""For the garden at 32 px on a CPU: two and a half minutes of one core on garden-4. Sizes were set by that
budget, rates and epochs by its validation images (``gmaug.study.choice``)."""
