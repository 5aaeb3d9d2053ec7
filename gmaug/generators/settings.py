"""Settings of the generators, what each field means beside it, and ready ones by profile."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, ClassVar, Self

AUGMENTATIONS = ("color", "translation", "cutout")
SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}  # ours and diffusers' names


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """What every training run of a generator has; *kimg* are thousands of training images shown."""

    RETIRED: ClassVar[frozenset[str]] = frozenset()  # names that older files hold and nothing uses

    resolution: int = 32  # side in pixels, a power of two of at least 8
    batch: int = 32  # images in a step, over all processes
    kimg: float = 100.0  # length of the whole run
    lr: float = 0.0025
    betas: tuple[float, float] = (0.9, 0.999)  # of Adam
    ema_kimg: float = 10.0  # half-life of the weights' average,
    ema_rampup: float = 0.05  # at most this share of what has been seen
    flip: bool = True  # mirror real images at random: off where left and right differ (digits)
    n_classes: int | None = None  # needed where the last classes may be absent from the training images
    report_kimg: float = 1.0  # a row of the history, the callback and a due checkpoint every so often
    checkpoint_kimg: float = 5.0
    keep_best: bool = True  # with validation images, sample from the weights nearest to them (see `fit`)
    patience_kimg: float | None = None  # stop when that distance has not fallen for so long
    watched: int = 1000  # validation images that a report looks at, at most: as many are sampled
    mixed_precision: bool = False  # bfloat16 autocast on CUDA; nothing elsewhere (slower on a CPU)
    device: str = "cpu"  # as gmaug.backend.device takes it
    seed: int = 0
    threads: int | None = None  # of torch; results are the same bytes for the same number

    def __post_init__(self) -> None:
        for name in ("batch", "kimg", "lr", "ema_kimg", "report_kimg", "checkpoint_kimg", "watched"):
            _require(getattr(self, name) > 0, f"{name}={getattr(self, name)}; give a positive number")
        side = self.resolution
        _require(side >= 8 and not side & (side - 1), f"resolution={side}; give a power of two from 8")

    @property
    def steps(self) -> int:
        """Training steps of the whole run."""
        return math.ceil(self.kimg * 1000 / self.batch)

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Settings from `to_dict`'s form; ``ValueError`` if a name is unknown."""
        known = [field.name for field in fields(cls)]
        unknown = set(values) - set(known) - cls.RETIRED
        _require(not unknown, f"unknown settings {sorted(unknown)}; known: {known}")
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items() if k in known})


@dataclass(frozen=True, kw_only=True)
class TransitionalCGANSettings(RunSettings):
    """Everything that decides what a training run of the cGAN computes.

    The defaults are the method's, but for the size of the networks and of the run.
    """

    RETIRED: ClassVar[frozenset[str]] = frozenset({"path_length", "path_every", "style_mixing"})

    channels: tuple[int, ...] = (64, 64, 32, 16)  # at 4, 8, 16, ... px up to `resolution`, in both networks
    z_dim: int = 64
    w_dim: int = 64
    mapping_layers: int = 2
    mapping_lr: float = 0.01  # relative to the rest. StyleGAN2: faster and the mapping is unstable
    ts: float = 0.25  # where in the run (0 to 1) the class begins to count; the method's 2 : 4 : 8
    te: float = 0.5  # and where it counts in full
    transitional: bool = True  # False is plain conditional training (lambda = 1), for ablations
    betas: tuple[float, float] = (0.0, 0.99)  # no momentum: the game turns
    r1_gamma: float | None = None  # by default StyleGAN2-ADA's rule, see `gamma`
    r1_every: int = 16  # steps from one R1 penalty to the next, which is weighted by it
    minibatch_std: int = 4  # images in a group of the minibatch standard deviation; divides `batch`
    augment: tuple[str, ...] = AUGMENTATIONS  # of all that the discriminator sees; empty for none

    def __post_init__(self) -> None:
        super().__post_init__()
        levels, unknown = self.resolution.bit_length() - 2, set(self.augment) - set(AUGMENTATIONS)
        _require(
            len(self.channels) == levels,
            f"channels={self.channels}; give {levels} numbers, at {[4 << k for k in range(levels)]} px",
        )
        _require(0 <= self.ts <= self.te <= 1, f"ts={self.ts}, te={self.te}; give 0 <= ts <= te <= 1")
        _require(self.batch % self.minibatch_std == 0, f"minibatch_std does not divide batch={self.batch}")
        _require(not unknown, f"augment: unknown {sorted(unknown)}; known: {', '.join(AUGMENTATIONS)}")

    @property
    def gamma(self) -> float:
        """The R1 weight in use."""
        return 0.0002 * self.resolution**2 / self.batch if self.r1_gamma is None else self.r1_gamma

    def lambda_at(self, kimg: float) -> float:
        """The class's weight after `kimg` thousand images: 0 up to `ts`, 1 from `te`, linear between."""
        start, end = self.ts * self.kimg, self.te * self.kimg
        if kimg >= end or not self.transitional:
            return 1.0
        return max(0.0, (kimg - start) / (end - start))


@dataclass(frozen=True, kw_only=True)
class GuidedDiffusionSettings(RunSettings):
    """Everything that decides what a training run of the diffusion model and its samples are.

    The variance of the reverse steps is fixed to its lower bound and not learned.
    """

    RETIRED: ClassVar[frozenset[str]] = frozenset({"eta", "pretrained", "unet_config"})

    # the networks see blocks of patch x patch pixels as channels (Luhman and Luhman 2022): a quarter
    # of the work for 2; 1 is the plain model
    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 128)  # of the UNet at each level; each halves the side
    layers: int = 2  # residual blocks a level
    attention: tuple[bool, ...] = (False, False, True)  # self-attention at each level
    head_dim: int = 16  # channels of an attention head
    norm_groups: int = 8  # of the group normalisation; divides all channels
    classifier_channels: tuple[int, ...] = (32, 64, 64)  # the noisy classifier is such a UNet's encoder
    classifier_lr: float = 1e-3
    classifier_weight_decay: float = 0.05  # as Dhariwal and Nichol; it over-fits small sets
    # its training stops when its own loss on validation images has not fallen for so long; its
    # weights of the least loss guide in any case
    classifier_patience_kimg: float | None = None
    timesteps: int = 1000  # T, noise levels of the training
    schedule: str = "cosine"  # of the noise (Nichol and Dhariwal 2021), or "linear" (Ho et al. 2020)
    prediction: str = "v_prediction"  # what the UNet is trained on, or "epsilon"
    snr_gamma: float | None = None  # min-SNR weighting (Hang et al. 2023); None weights levels alike
    lr: float = 1e-3
    warmup_kimg: float = 4.0  # the learning rate rises linearly for so long
    clip: float = 1.0  # largest norm of the gradient of a step
    sampler: str = "ddim"  # or "ancestral"
    sampling_steps: int = 50  # noise levels visited in sampling, at most `timesteps`
    guidance: float = 0.5  # scale of the classifier's gradient, the authors'; 0 does without
    # signal power alpha-bar below which nothing guides: in pure noise a classifier knows no class, and
    # its gradient, divided by the square root of alpha-bar, throws x_0 out of range
    guidance_from: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        choices = {
            "schedule": SCHEDULES,
            "prediction": ("epsilon", "v_prediction"),
            "sampler": ("ddim", "ancestral"),
        }
        for name, known in choices.items():
            value = getattr(self, name)
            _require(value in known, f"{name}={value!r} is unknown; use one of {', '.join(known)}")
        channels, smallest = self.channels + self.classifier_channels, self.patch << (len(self.channels) - 1)
        _require(
            len(self.channels) == len(self.attention) == len(self.classifier_channels),
            "channels, attention and classifier_channels differ in length; give one value a level to each",
        )
        _require(
            not any(c % self.norm_groups for c in channels),
            f"norm_groups={self.norm_groups} does not divide all channels, which are {channels}",
        )
        _require(
            self.resolution % smallest == 0,
            f"resolution={self.resolution} is no multiple of {smallest}; use a smaller patch or fewer levels",
        )
        _require(1 <= self.sampling_steps <= self.timesteps, "sampling_steps: give 1 to timesteps")
        _require(self.guidance >= 0, f"guidance={self.guidance}; give a number of at least 0")


# What the compact cGANs share, found on a garden at 32 px with two cores; the pictures were looked
# at, and the class accuracy and diversity of samples measured on images drawn for it.
_COMPACT: dict[str, Any] = {
    "batch": 16,  # early on the number of steps counts, not the size of the batch
    "lr": 0.005,  # twice the method's: thousands of steps, not hundreds of thousands
    "mapping_lr": 0.1,  # at 0.01 the class takes longer to reach w than such a run lasts
    "r1_gamma": 0.1,  # eight times the rule at 32 px, for the larger step
    # colour and cutout hide small coloured marks: with all three a run of 22 kimg drew no shape,
    # with translation alone one could name the super-classes
    "augment": ("translation",),
}
_CGAN = TransitionalCGANSettings(
    channels=(96, 96, 48, 16),  # width at 4 and 8 px draws the shapes and costs little there
    kimg=100.0, report_kimg=2.0, **_COMPACT,
)  # fmt: skip
# Measured on garden-4 at 32 px, ten minutes of one thread: Fréchet distance to test images 1.27 and
# share recognised 0.77 (real images 0.14 and 0.94); with 12 sampling steps 1.80 and 0.75; without
# patches, channels (32, 48, 48), 1.61 and 0.63.
_DIFFUSION = GuidedDiffusionSettings(
    patch=2, channels=(32, 64, 96), layers=1, classifier_channels=(24, 32, 32),
    classifier_patience_kimg=20.0, snr_gamma=5.0, batch=32, kimg=120.0, report_kimg=10.0,
    checkpoint_kimg=10.0,
    watched=300,  # a report samples as many: 15 s of one thread after 40 s of training
    sampling_steps=25,  # 20 images a second; with 12 the images lack contrast, and the distance says so
    guidance=2.0,  # 1 is the gradient of the classifier as it stands
)  # fmt: skip

PROFILES: dict[str, dict[str, RunSettings]] = {
    "cgan": {
        # a few seconds: runs every line, learns nothing
        "smoke": TransitionalCGANSettings(
            resolution=16, channels=(16, 16, 8), kimg=1.0, report_kimg=0.25, checkpoint_kimg=0.5, **_COMPACT
        ),
        # to be watched in a notebook: a few classes at 16 px, recognisable in about a minute
        "live": TransitionalCGANSettings(resolution=16, channels=(64, 48, 24), kimg=24.0, **_COMPACT),
        # a quarter of an hour of one core
        "default": _CGAN,
        # for recordings: until the watched distance stops falling. At 300 kimg it still fell (1.7,
        # from 7.1 before the transition ended at 150); the transition keeps those 75 and 150 kimg
        "converged": replace(
            _CGAN, kimg=900.0, ts=1 / 12, te=1 / 6, report_kimg=6.0, checkpoint_kimg=6.0, patience_kimg=90.0
        ),
        # a GPU: the method's own numbers at 128 px, 16384 / resolution channels up to 512
        "paper": TransitionalCGANSettings(
            resolution=128, channels=(512, 512, 512, 512, 256, 128), z_dim=512, w_dim=512, kimg=8000.0,
            lr=0.0025, report_kimg=50.0, checkpoint_kimg=200.0, mixed_precision=True, device="auto",
        ),
    },
    "diffusion": {
        "smoke": GuidedDiffusionSettings(
            resolution=16, patch=2, channels=(16, 16), attention=(False, True), layers=1,
            classifier_channels=(16, 16), kimg=0.5, report_kimg=0.25, checkpoint_kimg=0.25, sampling_steps=4,
        ),
        "default": _DIFFUSION,
        "converged": replace(_DIFFUSION, kimg=1000.0, patience_kimg=90.0),
        # a GPU: the size of the published ImageNet-128 model's smaller sisters
        "paper": GuidedDiffusionSettings(
            resolution=128, channels=(128, 128, 256, 384, 512), attention=(False, False, True, True, True),
            head_dim=64, norm_groups=32, classifier_channels=(128, 128, 256, 256, 512), classifier_lr=3e-4,
            classifier_patience_kimg=2000.0, batch=64, kimg=20000.0, lr=1e-4, warmup_kimg=50.0,
            report_kimg=200.0, checkpoint_kimg=200.0, prediction="epsilon", sampler="ancestral",
            sampling_steps=250, guidance=0.5, mixed_precision=True, device="auto",
        ),
    },
}  # fmt: skip
"""Settings by generator and profile; ``live`` and ``converged`` are no profiles of a whole run."""

CHANNELS = (96, 96, 48, 16, 16, 16)
"""Of the compact cGAN at 4 to 32 px, and for 64 and 128."""
