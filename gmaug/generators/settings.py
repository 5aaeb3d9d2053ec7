"""Settings of the generators, with the reason beside each odd value."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

AUGMENTATIONS = ("color", "translation", "cutout")


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every training run of a generator has.

    Parameters
    ----------
    resolution : int
        Side in pixels, a power of two of at least 8.
    batch : int
        Images in a step, over all processes.
    kimg : float
        Length of the whole run, in thousands of training images shown.
    lr : float
    betas : (float, float)
        Of Adam.
    ema_kimg, ema_rampup : float
        Half-life of the weights' average in kimg, and at most this share of what has been seen.
    flip : bool
        Mirror real images at random. Off where left and right differ (digits).
    n_classes : int, optional
        Needed where the last classes may be absent from the training images.
    report_kimg : float
        A row of the history, the callback and (if it is due) a checkpoint every so often.
    checkpoint_kimg : float
    keep_best : bool
        Where validation images are given, sample from the weights of the least distance to them
        (see ``fit``); from the last ones otherwise.
    patience_kimg : float, optional
        Stop when that distance has not fallen for so long.
    mixed_precision : bool
        bfloat16 autocast on CUDA; nothing elsewhere (it is slower on a CPU).
    device : str
        As :func:`gmaug.backend.device` takes it.
    seed : int
    threads : int, optional
        Threads of torch while fitting and sampling; as torch has it by default. Results are the
        same bytes for the same number of threads.
    """

    resolution: int = 32
    batch: int = 32
    kimg: float = 100.0
    lr: float = 0.0025
    betas: tuple[float, float] = (0.9, 0.999)
    ema_kimg: float = 10.0
    ema_rampup: float = 0.05
    flip: bool = True
    n_classes: int | None = None
    report_kimg: float = 1.0
    checkpoint_kimg: float = 5.0
    keep_best: bool = True
    patience_kimg: float | None = None
    mixed_precision: bool = False
    device: str = "cpu"
    seed: int = 0
    threads: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            if isinstance(value := getattr(self, field.name), list):  # from JSON
                object.__setattr__(self, field.name, tuple(value))
        wanted = int(math.log2(self.resolution)) - 1 if self.resolution >= 8 else 0
        if wanted < 2 or 2 ** (wanted + 1) != self.resolution:
            raise ValueError(f"resolution={self.resolution}; give a power of two of at least 8")
        self._positive("batch", "kimg", "lr", "ema_kimg", "report_kimg", "checkpoint_kimg")
        if self.patience_kimg is not None:
            self._positive("patience_kimg")

    def _positive(self, *names: str) -> None:
        for name in names:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name}={getattr(self, name)}; give a positive number")

    @property
    def steps(self) -> int:
        """Training steps of the whole run."""
        return math.ceil(self.kimg * 1000 / self.batch)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Settings from `to_dict`'s form.

        Raises
        ------
        ValueError
            If a name is unknown.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"unknown settings {sorted(unknown)}; known: {[f.name for f in fields(cls)]}")
        return cls(**values)


def lambda_t(kimg: float, *, ts: float, te: float) -> float:
    """Weight of the class after `kimg` thousand images: 0 up to `ts`, 1 from `te`, linear between.

    Parameters
    ----------
    kimg, ts, te : float
        Thousands of training images; `ts` at most `te`.
    """
    if kimg < ts:
        return 0.0
    return 1.0 if kimg >= te else (kimg - ts) / (te - ts)


@dataclass(frozen=True, kw_only=True)
class TransitionalCGANSettings(RunSettings):
    """Everything that decides what a training run computes; `PROFILES` holds ready ones.

    The defaults are the method's, but for the size of the networks and of the run.

    Parameters
    ----------
    channels : tuple of int
        At 4, 8, 16, ... px up to `resolution`, for both networks.
    z_dim, w_dim, mapping_layers : int
    mapping_lr : float
        Learning rate of the mapping relative to the rest.
    ts, te : float
        Where in the run (0 to 1) the class begins to count and where it counts in full.
    transitional : bool
        False is plain conditional training (lambda = 1 throughout), for ablations.
    r1_gamma : float, optional
        Default 0.0002 resolution^2 / batch, StyleGAN2-ADA's rule: see `gamma`.
    r1_every : int
        Steps from one R1 penalty to the next; the penalty is weighted by it.
    path_length : float
        Weight of path length regularisation (StyleGAN2: 2); 0 does without.
    path_every : int
        Steps from one path length penalty to the next; weighted alike.
    style_mixing : float
        Share of images whose later layers follow another z (StyleGAN2: 0.9); 0 does without.
    minibatch_std : int
        Images in a group of the minibatch standard deviation; divides `batch`.
    augment : tuple of {"color", "translation", "cutout"}
        Differentiable augmentation of all that the discriminator sees; empty for none.
    **run
        As :class:`RunSettings` has them.
    """

    channels: tuple[int, ...] = (64, 64, 32, 16)
    z_dim: int = 64
    w_dim: int = 64
    mapping_layers: int = 2
    mapping_lr: float = 0.01  # StyleGAN2: faster and the mapping is unstable
    ts: float = 0.25  # the method's 2 : 4 : 8
    te: float = 0.5
    transitional: bool = True
    betas: tuple[float, float] = (0.0, 0.99)  # no momentum: the game turns
    r1_gamma: float | None = None
    r1_every: int = 16
    path_length: float = 0.0  # StyleGAN2-ADA leaves both out at small sizes
    path_every: int = 4
    style_mixing: float = 0.0
    minibatch_std: int = 4
    augment: tuple[str, ...] = AUGMENTATIONS

    def __post_init__(self) -> None:
        super().__post_init__()
        wanted = int(math.log2(self.resolution)) - 1
        if len(self.channels) != wanted:
            sides = ", ".join(str(4 << k) for k in range(wanted))
            raise ValueError(f"channels={self.channels}; give {wanted} numbers, at {sides} px")
        if not 0 <= self.ts <= self.te <= 1:
            raise ValueError(f"ts={self.ts}, te={self.te}; give 0 <= ts <= te <= 1, shares of the run")
        if self.batch % self.minibatch_std:
            raise ValueError(f"batch={self.batch} is not a multiple of minibatch_std={self.minibatch_std}")
        unknown = set(self.augment) - set(AUGMENTATIONS)
        if unknown:
            raise ValueError(f"augment: unknown {sorted(unknown)}; known: {', '.join(AUGMENTATIONS)}")
        if not 0 <= self.style_mixing <= 1 or self.path_length < 0:
            raise ValueError(
                f"style_mixing={self.style_mixing}, path_length={self.path_length}; give a share in [0, 1] "
                "and a weight of at least 0"
            )
        self._positive("z_dim", "w_dim", "mapping_layers", "r1_every", "path_every")

    @property
    def gamma(self) -> float:
        """The R1 weight in use."""
        return 0.0002 * self.resolution**2 / self.batch if self.r1_gamma is None else self.r1_gamma

    def lambda_at(self, kimg: float) -> float:
        """The class's weight after `kimg` thousand images."""
        return lambda_t(kimg, ts=self.ts * self.kimg, te=self.te * self.kimg) if self.transitional else 1.0


# What the compact settings share, found on the garden at 32 px with two cores; the pictures were
# looked at, and the class accuracy and diversity of samples measured on images drawn for it.
_COMPACT: dict[str, Any] = {
    "batch": 16,  # early on the number of steps counts, not the size of the batch
    "lr": 0.005,  # twice the method's: thousands of steps, not hundreds of thousands
    "mapping_lr": 0.1,  # at 0.01 the class takes longer to reach w than such a run lasts
    "r1_gamma": 0.1,  # eight times the rule at 32 px, for the larger step
    # colour and cutout hide small coloured marks: with all three a run of 22 kimg drew no shape,
    # with translation alone one could name the super-classes
    "augment": ("translation",),
}

PROFILES: dict[str, TransitionalCGANSettings] = {
    # a few seconds: runs every line, learns nothing
    "smoke": TransitionalCGANSettings(
        resolution=16, channels=(16, 16, 8), kimg=1.0, report_kimg=0.25, checkpoint_kimg=0.5, **_COMPACT
    ),
    # to be watched in a notebook: a few classes at 16 px, recognisable in about a minute
    "live": TransitionalCGANSettings(resolution=16, channels=(64, 48, 24), kimg=24.0, **_COMPACT),
    # the recorded run. Width at 4 and 8 px draws the shapes and costs little there
    "default": TransitionalCGANSettings(channels=(96, 96, 48, 16), kimg=100.0, report_kimg=2.0, **_COMPACT),
    # a GPU: the method's own numbers at 128 px, 16384 / resolution channels up to 512
    "paper": TransitionalCGANSettings(
        resolution=128,
        channels=(512, 512, 512, 512, 256, 128),
        z_dim=512,
        w_dim=512,
        kimg=8000.0,
        lr=0.0025,
        report_kimg=50.0,
        checkpoint_kimg=200.0,
        mixed_precision=True,
        device="auto",
    ),
}
"""Settings for each profile, and ``live`` for what is trained as one watches."""
