"""Settings of the classifiers; importing them needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

STEMS = ("imagenet", "small")
CROPS = ("resized", "padded", "none")


@dataclass(frozen=True)
class ResNet18Settings:
    """ResNet18 and how it is trained; the defaults are the paper's recipe (section 4.1, facts of its code).

    Parameters
    ----------
    width : int
        Channels of the first stage; each of the three further ones doubles them.
    stem : {"imagenet", "small"}
        7x7 convolution of stride 2 and max pooling, or one 3x3 convolution and no pooling.
    stem_stride : int
        Stride of the small stem; the other's is 2.
    crop : {"resized", "padded", "none"}
        Random part of random size and aspect; a window shifted over the padded image; neither.
    crop_size : int, optional
        Side of the network's input, in pixels: the resized crop in training, the centre crop
        otherwise; that of the images by default.
    padding : int
        Pixels the window may shift each way with ``crop="padded"`` (mirrored at the border).
    flip : bool
        Mirror half of the training images left to right.
    batch, epochs, lr, momentum, weight_decay : int, int, float, float, float
        Stochastic gradient descent. An epoch is as many images as the training set holds.
    decay, decay_every : float, float
        The rate is multiplied by `decay` after each `decay_every` of the run.
    """

    width: int = 64
    stem: str = "imagenet"
    stem_stride: int = 2
    crop: str = "resized"
    crop_size: int | None = 224
    padding: int = 4
    flip: bool = True
    batch: int = 256
    epochs: int = 100
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 1e-4
    decay: float = 0.1
    decay_every: float = 0.3  # 30 of the paper's 100 epochs; as a share, longer runs keep the shape

    def __post_init__(self) -> None:
        if self.stem not in STEMS:
            raise ValueError(f"stem={self.stem!r} is unknown; use one of {', '.join(STEMS)}")
        if self.crop not in CROPS:
            raise ValueError(f"crop={self.crop!r} is unknown; use one of {', '.join(CROPS)}")
        for name in ("width", "stem_stride", "batch", "epochs"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)}: give 1 or more")
        if self.padding < 0:
            raise ValueError(f"padding={self.padding}: give 0 or more")
        if not 0 < self.decay_every <= 1:
            raise ValueError(f"decay_every={self.decay_every} is a share of the run: give one in (0, 1]")

    def steps(self, images: int) -> int:
        """Gradient steps that `epochs` epochs over a training set of `images` images take."""
        return max(1, -(-self.epochs * images // min(self.batch, images)))

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
