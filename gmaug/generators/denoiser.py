"""The two networks of guided diffusion: the UNet that takes noise away, and the noisy classifier."""

from __future__ import annotations

import json

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmaug import backend
from gmaug.generators.diffusion_settings import GuidedDiffusionSettings


def _unet(settings: GuidedDiffusionSettings, channels: tuple[int, ...], **options: object) -> nn.Module:
    """A ``diffusers`` UNet over images of the settings' size, patches as channels."""
    backend.torchvision()
    from diffusers import UNet2DModel

    attention = settings.attention
    down = tuple("AttnDownBlock2D" if a else "DownBlock2D" for a in attention)
    up = tuple("AttnUpBlock2D" if a else "UpBlock2D" for a in reversed(attention))
    colours = 3 * settings.patch**2
    return UNet2DModel(
        sample_size=settings.resolution // settings.patch,
        in_channels=colours,
        out_channels=colours,
        layers_per_block=settings.layers,
        block_out_channels=channels,
        down_block_types=down,
        up_block_types=up,
        attention_head_dim=settings.head_dim,
        norm_num_groups=settings.norm_groups,
        resnet_time_scale_shift="scale_shift",
        **options,
    )


class Denoiser(nn.Module):
    """The class-conditional UNet.

    Parameters
    ----------
    settings : GuidedDiffusionSettings
    n_classes : int
    """

    def __init__(self, settings: GuidedDiffusionSettings, n_classes: int) -> None:
        super().__init__()
        self.patch = settings.patch
        if settings.unet_config is None:
            self.unet = _unet(settings, settings.channels, num_class_embeds=n_classes)
        else:
            backend.torchvision()
            from diffusers import UNet2DModel

            config = json.loads(settings.unet_config) | {"num_class_embeds": n_classes}
            self.unet = UNet2DModel(**config | {"sample_size": settings.resolution})

    def forward(self, x: Tensor, t: Tensor, labels: Tensor) -> Tensor:
        """What the settings say it predicts, (n, 3, side, side), of images at noise level `t` (n,).

        (n, 6, side, side) of a pre-trained UNet that predicts its variance as well.
        """
        y = self.unet(F.pixel_unshuffle(x, self.patch), t, class_labels=labels).sample
        return F.pixel_shuffle(y, self.patch)

    def take(self, folder: str) -> None:
        """Start from the weights of a pre-trained UNet; its classes are another set's and stay behind.

        Raises
        ------
        ValueError
            If the folder's weights do not fit its configuration.
        """
        from diffusers import UNet2DModel

        try:
            found = UNet2DModel.from_pretrained(folder, local_files_only=True).state_dict()
        except (OSError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"pretrained={folder!r} cannot be read as a UNet2DModel ({reason})") from None
        mine = self.unet.state_dict()
        fits = {k: v for k, v in found.items() if not k.startswith("class_embedding")}
        self.unet.load_state_dict(mine | fits)


class NoisyClassifier(nn.Module):
    """Encoder half of a UNet with attention pooling: the class of an image at any noise level.

    Dhariwal and Nichol, *Diffusion Models Beat GANs on Image Synthesis* (NeurIPS 2021), section 4.
    """

    def __init__(self, settings: GuidedDiffusionSettings, n_classes: int) -> None:
        super().__init__()
        self.patch = settings.patch
        width = settings.classifier_channels[-1]
        self.encoder = _unet(settings, settings.classifier_channels)
        for decoder in ("up_blocks", "conv_norm_out", "conv_act", "conv_out"):
            delattr(self.encoder, decoder)
        self.norm = nn.GroupNorm(settings.norm_groups, width)
        self.query = nn.Parameter(torch.zeros(1, 1, width))  # asks every place alike to begin with
        self.pool = nn.MultiheadAttention(width, max(1, width // settings.head_dim), batch_first=True)
        self.last = nn.Linear(width, n_classes)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """Class logits (n, C) of images (n, 3, side, side) at noise level `t` (n,)."""
        encoder = self.encoder
        time = encoder.time_embedding(encoder.time_proj(t).to(x.dtype))
        y = encoder.conv_in(F.pixel_unshuffle(x, self.patch))
        for block in encoder.down_blocks:
            y, _ = block(hidden_states=y, temb=time)
        y = F.silu(self.norm(encoder.mid_block(y, time)))
        places = y.flatten(2).transpose(1, 2)
        query = places.mean(dim=1, keepdim=True) + self.query
        return self.last(self.pool(query, places, places, need_weights=False)[0][:, 0])
