"""Settings of the classifiers; importing them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

STEMS = ("imagenet", "small")
CROPS = ("resized", "padded", "none")
MAGNITUDES = 31  # torchvision's RandAugment counts its magnitudes from 0 to 30


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
    batch, epochs : int
        An epoch is as many images as the training set holds.
    """

    crop: str = "resized"
    crop_size: int | None = 224
    padding: int = 4
    flip: bool = True
    randaugment: tuple[int, int] | None = None
    mixup: float = 0.0
    cutmix: float = 0.0
    erasing: float = 0.0
    batch: int = 256
    epochs: int = 100

    def __post_init__(self) -> None:
        if self.crop not in CROPS:
            raise ValueError(f"crop={self.crop!r} is unknown; use one of {', '.join(CROPS)}")
        self._at_least_one("batch", "epochs")
        if self.crop_size is not None and self.crop_size < 1:
            raise ValueError(f"crop_size={self.crop_size}: give 1 or more, or None for the images' own side")
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}: give 0 or more")
        if self.randaugment is not None:
            object.__setattr__(self, "randaugment", _operations(self.randaugment))
        for name in ("mixup", "cutmix"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name}={getattr(self, name)}: give a number above 0, or 0 for none")
        if not 0 <= self.erasing <= 1:
            raise ValueError(f"erasing={self.erasing} is a share of the images: give one in [0, 1]")

    def _at_least_one(self, *names: str) -> None:
        for name in names:
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give 1 or more")

    def steps(self, images: int) -> int:
        """Gradient steps that `epochs` epochs over a training set of `images` images take."""
        return max(1, -(-self.epochs * images // min(self.batch, images)))


def _operations(value: object) -> tuple[int, int]:
    """A pair of RandAugment's numbers; lists come from JSON."""
    right = isinstance(value, (tuple, list)) and len(value) == 2 and all(type(v) is int for v in value)
    if not right or value[0] < 1 or not 0 <= value[1] < MAGNITUDES:
        raise ValueError(
            f"randaugment={value!r}: give (operations, magnitude), such as (2, 9), "
            f"magnitude 0 to {MAGNITUDES - 1}; or None"
        )
    return tuple(value)


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
    lr, momentum, weight_decay : float
        Stochastic gradient descent.
    decay, decay_every : float, float
        The rate is multiplied by `decay` after each `decay_every` of the run.
    **views
        As :class:`TrainingSettings` has them.
    """

    width: int = 64
    stem: str = "imagenet"
    stem_stride: int = 2
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: float = 0.1
    decay_every: float = 0.3  # 30 of the paper's 100 epochs; as a share, longer runs keep the shape

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.stem not in STEMS:
            raise ValueError(f"stem={self.stem!r} is unknown; use one of {', '.join(STEMS)}")
        self._at_least_one("width", "stem_stride")
        if not 0 < self.decay_every <= 1:
            raise ValueError(f"decay_every={self.decay_every} is a share of the run: give one in (0, 1]")

    def rate(self, progress: float) -> float:
        """Learning rate at `progress`, the share of the run that is done, in [0, 1)."""
        return self.lr * self.decay ** int(progress / self.decay_every + 1e-9)


PAPER = ResNet18Settings()

GARDEN = ResNet18Settings(
    width=8,  # an eighth as wide: at full resolution a step costs 1.4 times that of 16 at half of it,
    stem="small",
    stem_stride=1,  # and marks, three to six pixels across at 32 px, are told apart more often
    crop="padded",
    crop_size=None,
    batch=64,  # with 256, an epoch over 620 images would be three steps
    epochs=30,
    decay_every=0.5,  # with 0.3 so short a run spends most of its steps at a rate too low to learn
)
"""For the garden at 32 px on a CPU; chosen on the validation images of garden-4."""
