"""Settings of the classifiers; importing them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

VALIDATIONS = 8  # of a run whose length is given in steps: a validation costs as much as some steps

_RANGES = (
    ("give 1 or more", lambda v: v >= 1,
     "batch steps epochs validations crop_size width stem_stride patch depth heads "
     "decoder_width decoder_depth decoder_heads pretraining_batch"),
    ("give 0 or more", lambda v: v >= 0, "padding mixup cutmix pretraining_epochs"),
    ("give a share in [0, 1)", lambda v: 0 <= v < 1, "smoothing warmup drop_path"),
    ("give a share in (0, 1)", lambda v: 0 < v < 1, "mask"),
    ("give a share in (0, 1]", lambda v: 0 < v <= 1, "decay_every layer_decay"),
    ("give a share in [0, 1]", lambda v: 0 <= v <= 1, "erasing"),
    ("use 'resized' or 'padded'", lambda v: v in ("resized", "padded"), "crop"),
    ("use 'imagenet' or 'small'", lambda v: v in ("imagenet", "small"), "stem"),
    ("use 'step', 'cycle' or 'cosine'", lambda v: v in ("step", "cycle", "cosine"), "schedule"),
    ("give (operations, magnitude), such as (2, 9), magnitude 0 to 30; or None",
     lambda v: isinstance(v, tuple) and [*map(type, v)] == [int, int] and v[0] > 0 <= v[1] <= 30,
     "randaugment"),
)  # fmt: skip
"""What settings may be: in words, as a test of a value that is not None, and the settings' names."""


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What every classifier's training has: its views of the images, batches and length, in `steps` or in
    `epochs`, the other being None. Raises ``ValueError`` if a value is out of its range."""

    crop: str = "resized"  # random part of random size and aspect; or "padded": the padded image, shifted
    crop_size: int | None = 224  # side of the network's input, in pixels; None is the images' own
    padding: int = 4  # pixels of a shift each way with crop="padded", mirrored at the border
    flip: bool = True  # mirror half of the training images left to right
    randaugment: tuple[int, int] | None = None  # operations and magnitude (Cubuk et al., 2020)
    mixup: float = 0.0  # parameter of the Beta distribution of shares (Zhang et al., 2018); 0 is off, and
    cutmix: float = 0.0  # (Yun et al., 2019); with both on, each batch has one of them, by chance
    erasing: float = 0.0  # share of images a random box of which is replaced by noise (Zhong et al., 2020)
    smoothing: float = 0.0  # share of the softmax loss's target spread over all classes
    batch: int = 256  # images of a gradient step; the whole set where it is smaller
    steps: int | None = None  # whatever the size of the set
    epochs: int | None = 100  # each as many images as the set holds, as the paper has it
    validations: int | None = None  # of a run, at equal distances; None: each epoch, or 8 with steps
    mixed_precision: bool = False  # bfloat16 autocast on CUDA; nothing elsewhere (slower on a CPU)

    def __post_init__(self) -> None:
        if (self.steps is None) == (self.epochs is None):
            given = f"steps={self.steps}, epochs={self.epochs}"
            raise ValueError(f"{given}: give one as the length, and None for the other")
        if isinstance(self.randaugment, list):  # from JSON
            object.__setattr__(self, "randaugment", tuple(self.randaugment))
        for words, fits, names in _RANGES:
            for name in names.split():
                value = getattr(self, name, None)
                if value is not None and not fits(value):
                    raise ValueError(f"{name}={value!r}: {words}")

    def steps_for(self, images: int) -> int:
        """Gradient steps of a training on a set of `images` images."""
        if self.steps is not None:
            return self.steps
        return max(1, -(-self.epochs * images // min(self.batch, images)))

    def validations_of(self, total: int) -> int:
        """How often a run of `total` steps is validated."""
        return min(self.validations or self.epochs or VALIDATIONS, total)


@dataclass(frozen=True, kw_only=True)
class ResNet18Settings(TrainingSettings):
    """ResNet18 and its stochastic gradient descent; by default the paper's (section 4.1, and its code)."""

    width: int = 64  # channels of the first stage; each of the three further ones doubles them
    stem: str = "imagenet"  # 7x7 of stride 2 and max pooling; or "small": one 3x3 convolution, no pooling
    stem_stride: int = 2  # of the small stem
    lr: float = 0.1  # the highest of the run
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True  # False: of matrices and filters alone, not of biases and the norms' scales
    schedule: str = "step"  # times `decay` after each `decay_every`; down in a line ("cycle") or a "cosine"
    warmup: float = 0.0  # share of the run over which the rate first rises in a line
    decay: float = 0.1
    decay_every: float = 0.3  # 30 of the paper's 100 epochs; as a share, longer runs keep the shape

    def rate(self, progress: float) -> float:
        """Learning rate at `progress`, the share of the run that is done, in [0, 1)."""
        if self.schedule == "step" and progress >= self.warmup:
            return self.lr * self.decay ** int(progress / self.decay_every + 1e-9)
        return self.lr * ramp(progress, self.warmup, cosine=self.schedule == "cosine")


@dataclass(frozen=True, kw_only=True)
class MAESettings(TrainingSettings):
    """A vision transformer, its pre-training on masked images and its fine-tuning.

    By default the paper's: the ViT-H/14 of He et al. (2022), fine-tuned as the authors' code does. Rates are
    AdamW's per 256 images of a batch: one of b images takes ``lr * b / 256``. Pre-training uses `crop`,
    `crop_size`, `padding` and `flip` alone of the views.
    """

    patch: int = 14  # side in pixels
    width: int = 1280  # channels of the encoder; a layer's hidden part is four times as wide
    depth: int = 32
    heads: int = 16
    weights: str | None = None  # folder of `save_pretrained`, instead of pre-training; never downloaded
    mask: float = 0.75  # share of the patches that pre-training hides
    decoder_width: int = 512  # the decoder serves pre-training alone
    decoder_depth: int = 8
    decoder_heads: int = 16
    pretraining_epochs: int = 800
    pretraining_batch: int = 256
    pretraining_lr: float = 1.5e-4
    pretraining_weight_decay: float = 0.05
    batch: int = 64
    epochs: int | None = 50
    base_lr: float = 1e-3  # of the fine-tuning's last layer;
    weight_decay: float = 0.05
    layer_decay: float = 0.75  # each layer takes this multiple of the rate of the one above it
    drop_path: float = 0.2  # chance to skip the last layer's branches; it grows from 0 along the depth
    warmup: float = 0.1  # share of both runs; 5 of the 50 epochs, as the published recipe has it
    mixup: float = 0.8
    cutmix: float = 1.0
    erasing: float = 0.25

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, heads in (("width", 4 * self.heads), ("decoder_width", 4 * self.decoder_heads)):
            if getattr(self, name) % heads:  # whole heads; both axes' sines and cosines take a quarter each
                raise ValueError(f"{name}={getattr(self, name)}: give a multiple of 4 heads, {heads}")
        if self.crop != "resized" and self.crop_size is not None:
            raise ValueError(f"crop_size={self.crop_size} needs crop='resized'; give None, resize the images")

    def rate(self, progress: float) -> float:
        """Learning rate of the fine-tuning's last layer at `progress`, in [0, 1)."""
        return self.base_lr * self.batch / 256 * ramp(progress, self.warmup, cosine=True)

    def pretraining_rate(self, progress: float) -> float:
        """Learning rate of the pre-training at `progress`, in [0, 1)."""
        return self.pretraining_lr * self.pretraining_batch / 256 * ramp(progress, self.warmup, cosine=True)


def ramp(progress: float, warmup: float, *, cosine: bool) -> float:
    """Share of the highest rate at `progress`, in [0, 1): up in a line, down in a line or along a cosine."""
    if progress < warmup:
        return progress / warmup
    fallen = (progress - warmup) / (1 - warmup)
    return 0.5 * (1 + math.cos(math.pi * fallen)) if cosine else 1 - fallen


PAPER = ResNet18Settings()

GARDEN = ResNet18Settings(
    width=8,  # an eighth as wide: at full resolution a step costs 1.4 times that of 16 at half of it,
    stem="small",
    stem_stride=1,  # and marks, three to six pixels across at 32 px, are told apart more often
    crop="padded",
    crop_size=None,
    batch=64,  # with 256, an epoch over 620 images would be three steps
    steps=800,
    epochs=None,  # what matters is the plateau, which is a number of steps whatever the set's size
    schedule="cycle",
    warmup=0.2,
    lr=0.4,  # half of it is 8 points worse on garden-4 after 800 steps
    nesterov=True,
    weight_decay=5e-4,
    decay_all=False,
    smoothing=0.1,
)
"""For images of 32 px on a CPU: one cycle, a minute of one core; chosen on validation images of gardens."""

PAPER_MAE = MAESettings()

GARDEN_MAE = MAESettings(
    patch=4, width=64, depth=4, heads=4,
    decoder_width=32, decoder_depth=1, decoder_heads=4,  # light: its work is thrown away
    pretraining_epochs=90, pretraining_batch=64, pretraining_lr=4e-3,
    crop="padded", crop_size=None, batch=64, epochs=60,
    base_lr=8e-3, layer_decay=1.0, drop_path=0.0, mixup=0.0, cutmix=0.0, erasing=0.0,
)  # fmt: skip
"""For the garden at 32 px on a CPU: two and a half minutes of one core on garden-4. Sizes were set by that
budget, rates and epochs by its validation images."""
