"""Settings of the classifier-guided diffusion model, with the reason beside each odd value."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from gmaug.generators.settings import RunSettings

SCHEDULES = {"linear": "linear", "cosine": "squaredcos_cap_v2"}  # ours and diffusers' names
PREDICTIONS = ("epsilon", "v_prediction")
SAMPLERS = ("ddim", "ancestral")


@dataclass(frozen=True, kw_only=True)
class GuidedDiffusionSettings(RunSettings):
    """Everything that decides what a training run and its samples are; `PROFILES` holds ready ones.

    Parameters
    ----------
    patch : int
        The networks see blocks of ``patch x patch`` pixels as channels (Luhman and Luhman 2022):
        a quarter of the work for 2. 1 is the plain model.
    channels : tuple of int
        Of the UNet at each level; each halves the side.
    layers : int
        Residual blocks a level.
    attention : tuple of bool
        Self-attention at each level.
    head_dim, norm_groups : int
        Channels of an attention head; groups of the group normalisation, dividing `channels`.
    classifier_channels : tuple of int
        The same for the noisy classifier, which is the encoder half of such a UNet.
    classifier_lr, classifier_weight_decay : float
    timesteps : int
        T, noise levels of the training.
    schedule : {"cosine", "linear"}
        Of the noise (Nichol and Dhariwal 2021; Ho et al. 2020).
    prediction : {"epsilon", "v_prediction"}
        What the UNet is trained on.
    warmup_kimg : float
        The learning rate rises linearly for so long.
    clip : float
        Largest norm of the gradient of a step.
    sampler : {"ddim", "ancestral"}
    sampling_steps : int
        Noise levels visited in sampling, at most `timesteps`.
    eta : float
        Noise that DDIM adds at each step: 0 none, 1 as much as the ancestral sampler.
    guidance : float
        Scale of the classifier's gradient; 0 does without. The authors use 0.5.
    pretrained : str, optional
        Folder of a ``diffusers`` ``UNet2DModel`` to start from; see :func:`resuming_from`.
    unet_config : str, optional
        Its configuration as JSON, in place of `channels`, `layers` and so on.
    **run
        As :class:`gmaug.generators.settings.RunSettings` has them.

    Notes
    -----
    The variance of the reverse steps is fixed to its lower bound (``fixed_small``) and not
    learned, except that a pre-trained UNet which predicts its variance keeps doing so.
    """

    patch: int = 1
    channels: tuple[int, ...] = (64, 128, 128)
    layers: int = 2
    attention: tuple[bool, ...] = (False, False, True)
    head_dim: int = 16
    norm_groups: int = 8
    classifier_channels: tuple[int, ...] = (32, 64, 64)
    classifier_lr: float = 1e-3
    classifier_weight_decay: float = 0.05  # as Dhariwal and Nichol; it over-fits small sets
    timesteps: int = 1000
    schedule: str = "cosine"
    prediction: str = "v_prediction"
    lr: float = 1e-3
    warmup_kimg: float = 4.0
    clip: float = 1.0
    sampler: str = "ddim"
    sampling_steps: int = 50
    eta: float = 0.0
    guidance: float = 0.5
    pretrained: str | None = None
    unet_config: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._positive(
            "patch",
            "layers",
            "head_dim",
            "norm_groups",
            "classifier_lr",
            "timesteps",
            "clip",
            "sampling_steps",
        )
        for name, known in (("schedule", SCHEDULES), ("prediction", PREDICTIONS), ("sampler", SAMPLERS)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of {', '.join(known)}")
        if len(self.attention) != len(self.channels) or len(self.classifier_channels) != len(self.channels):
            raise ValueError(
                f"channels={self.channels}, attention={self.attention}, "
                f"classifier_channels={self.classifier_channels}; give one value a level to each"
            )
        for name in ("channels", "classifier_channels"):
            if any(c % self.norm_groups for c in getattr(self, name)):
                raise ValueError(
                    f"{name}={getattr(self, name)}: norm_groups={self.norm_groups} does not divide it"
                )
        if self.resolution % (self.patch << (len(self.channels) - 1)):
            raise ValueError(
                f"resolution={self.resolution} is not a multiple of patch={self.patch} times "
                f"{1 << (len(self.channels) - 1)}, for {len(self.channels)} levels; use fewer"
            )
        if self.sampling_steps > self.timesteps:
            raise ValueError(f"sampling_steps={self.sampling_steps} exceed timesteps={self.timesteps}")
        if self.guidance < 0 or not 0 <= self.eta <= 1:
            raise ValueError(f"guidance={self.guidance}, eta={self.eta}; give at least 0, and one in [0, 1]")


def resuming_from(folder: str | Path, settings: GuidedDiffusionSettings) -> GuidedDiffusionSettings:
    """`settings`, to train on from a pre-trained UNet, as the paper does from an ImageNet checkpoint.

    Parameters
    ----------
    folder : path
        As ``diffusers.UNet2DModel.save_pretrained`` writes it. Nothing is downloaded.
    settings : GuidedDiffusionSettings
        Their resolution is kept; the schedule and `prediction` must be those of the checkpoint.

    Raises
    ------
    FileNotFoundError, ValueError
        If the folder holds no such UNet, or one for other than RGB images.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file; give the folder of a diffusers UNet2DModel")
    config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if config.get("_class_name") != "UNet2DModel" or config.get("in_channels") != 3:
        found = f"{config.get('_class_name')} of {config.get('in_channels')} channels"
        raise ValueError(f"{path}: a {found}; give a UNet2DModel of 3 channels")
    config = {key: value for key, value in config.items() if not key.startswith("_")}
    return replace(settings, patch=1, pretrained=str(folder), unet_config=json.dumps(config, sort_keys=True))


PROFILES: dict[str, GuidedDiffusionSettings] = {
    # a few seconds: runs every line, learns nothing
    "smoke": GuidedDiffusionSettings(
        resolution=16,
        patch=2,
        channels=(16, 16),
        attention=(False, True),
        layers=1,
        classifier_channels=(16, 16),
        kimg=0.5,
        report_kimg=0.25,
        checkpoint_kimg=0.25,
        sampling_steps=4,
    ),
    # the recorded run on two CPU cores
    "default": GuidedDiffusionSettings(
        patch=2,
        channels=(32, 48, 48),
        layers=1,
        classifier_channels=(24, 32, 32),
        batch=32,
        kimg=60.0,
        report_kimg=6.0,
        checkpoint_kimg=6.0,
        sampling_steps=12,  # 30 images a second and core; with 25 the distance is a fifth less
        guidance=1.0,  # the gradient of the classifier as it stands
    ),
    # a GPU: the size of the published ImageNet-128 model's smaller sisters
    "paper": GuidedDiffusionSettings(
        resolution=128,
        channels=(128, 128, 256, 384, 512),
        attention=(False, False, True, True, True),
        head_dim=64,
        norm_groups=32,
        classifier_channels=(128, 128, 256, 256, 512),
        classifier_lr=3e-4,
        batch=64,
        kimg=20000.0,
        lr=1e-4,
        warmup_kimg=50.0,
        report_kimg=200.0,
        checkpoint_kimg=200.0,
        prediction="epsilon",
        sampler="ancestral",
        sampling_steps=250,
        guidance=0.5,
        mixed_precision=True,
        device="auto",
    ),
}
"""Settings for each profile."""
