"""Settings of the classifiers; importing them needs no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass

STEMS = ("imagenet", "small")
CROPS = ("resized", "padded", "none")
SCHEDULES = ("step", "cycle", "cosine")
MAGNITUDES = 31  # torchvision's RandAugment counts its magnitudes from 0 to 30
VALIDATIONS = 8  # of a run whose length is given in steps: a validation costs as much as some steps


@dataclass(frozen=True, kw_only=True)
class TrainingSettings:
    """What every classifier's training has: its views of the images, batches and length.

    Parameters
    ----------
    crop : {"resized", "padded", "none"}
        Random part of random size and aspect; a window shifted over the padded image; neither.
    crop_size : int, optional
        Side of the network's input, in pixels: the resized crop in training, the centre crop
        otherwise; that of the images by default.
    padding : int
        Pixels the window may shift each way with ``crop="padded"`` (mirrored at the border).
    flip : bool
        Mirror half of the training images left to right.
    randaugment : (int, int), optional
        Operations on each image and their magnitude, 0 to 30 (Cubuk et al., 2020); off by default.
    mixup, cutmix : float
        Parameter of the Beta distribution that the share of the second image is drawn from
        (Zhang et al., 2018; Yun et al., 2019); 0 is off. With both on, each batch has one of the
        two, by chance.
    erasing : float
        Share of the training images a random box of which is replaced by noise (Zhong et al.,
        2020).
    smoothing : float
        Label smoothing of the softmax loss (Szegedy et al., 2016), in [0, 1): the share of the
        target spread evenly over all classes. A loss that states its own goes before.
    batch : int
        Images of a gradient step; the whole set where it is smaller.
    steps, epochs : int, optional
        Length of a training: in gradient steps, whatever the size of the set; or in epochs, each
        as many images as the set holds, as the paper has it. Exactly one of the two.
    validations : int, optional
        How often a run is validated, at equal distances, the last time at its end; by default
        each epoch, or 8 times where the length is given in steps.
    """

    crop: str = "resized"
    crop_size: int | None = 224
    padding: int = 4
    flip: bool = True
    randaugment: tuple[int, int] | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    smoothing: float = 0.0
    batch: int = 256
    steps: int | None = None
    epochs: int | None = 100
    validations: int | None = None

    def __post_init__(self) -> None:
        _one_of("crop", self.crop, CROPS)
        if (self.steps is None) == (self.epochs is None):
            raise ValueError(
                f"steps={self.steps}, epochs={self.epochs}: give one as the length, and None for the other"
            )
        self._at_least_one("batch", "steps", "epochs", "validations", "crop_size")
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}: give 0 or more")
        if self.randaugment is not None:
            object.__setattr__(self, "randaugment", _operations(self.randaugment))
        for name in ("mixup", "cutmix"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: give a number above 0, or 0 for none")
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"erasing={self.erasing} is a share of the images: give one in [0, 1]")
        self._shares("smoothing")

    def _at_least_one(self, *names: str) -> None:
        for name in names:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: give 1 or more")

    def _shares(self, *names: str) -> None:
        for name in names:
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give a share in [0, 1)")

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
    """ResNet18 and how it is trained; the defaults are the paper's recipe (section 4.1, facts of its code).

    Parameters
    ----------
    width : int
        Channels of the first stage; each of the three further ones doubles them.
    stem : {"imagenet", "small"}
        7x7 convolution of stride 2 and max pooling, or one 3x3 convolution and no pooling.
    stem_stride : int
        Stride of the small stem; the other's is 2.
    lr, momentum, nesterov, weight_decay : float, float, bool, float
        Stochastic gradient descent; `lr` is the highest rate of the run.
    decay_all : bool
        Whether weight decay pulls on all parameters; otherwise on matrices and filters alone, not
        on biases and the norms' scales.
    schedule : {"step", "cycle", "cosine"}
        The rate after the warm-up: multiplied by `decay` after each `decay_every` of the run, as
        the paper has it; down to 0 in a line (with a warm-up this is the one-cycle policy of Smith
        and Topin, 2019); down to 0 along a cosine.
    warmup : float
        Share of the run over which the rate first rises from 0 to `lr`, in a line.
    decay, decay_every : float, float
        See `schedule`.
    **views
        As :class:`TrainingSettings` has them.
    """

    width: int = 64
    stem: str = "imagenet"
    stem_stride: int = 2
    lr: float = 0.1
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    decay_all: bool = True
    schedule: str = "step"
    warmup: float = 0.0
    decay: float = 0.1
    decay_every: float = 0.3  # 30 of the paper's 100 epochs; as a share, longer runs keep the shape

    def __post_init__(self) -> None:
        super().__post_init__()
        _one_of("stem", self.stem, STEMS)
        _one_of("schedule", self.schedule, SCHEDULES)
        self._at_least_one("width", "stem_stride")
        self._shares("warmup")
        if not 0 < self.decay_every <= 1:
            raise ValueError(f"decay_every={self.decay_every} is a share of the run: give one in (0, 1]")

    def rate(self, progress: float) -> float:
        """Learning rate at `progress`, the share of the run that is done, in [0, 1)."""
        if self.schedule == "step" and progress >= self.warmup:
            return self.lr * self.decay ** int(progress / self.decay_every + 1e-9)
        return self.lr * ramp(progress, self.warmup, cosine=self.schedule == "cosine")


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
    epochs: int | None = 50
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
        self._shares("drop_path", "warmup")
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


def _one_of(name: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")


def _operations(value: object) -> tuple[int, int]:
    """A pair of RandAugment's numbers; lists come from JSON."""
    right = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(v) is int for v in value)
    if not right or value[0] < 1 or not 0 <= value[1] < MAGNITUDES:
        raise ValueError(
            f"randaugment={value!r}: give (operations, magnitude), such as (2, 9), "
            f"magnitude 0 to {MAGNITUDES - 1}; or None"
        )
    return tuple(value)


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
budget, rates and epochs by its validation images."""
