"""The two StyleGAN2 networks, class-conditional with a transition (section 3.5).

Generator: mapping to w, learned constant, modulated and demodulated convolutions, noise at every
layer, skip RGB. Discriminator: residual blocks, minibatch standard deviation. Every weight has an
equalised learning rate. From Karras et al., *Analyzing and Improving the Image Quality of
StyleGAN* (CVPR 2020); where the class enters is from Shahbazi et al., *Collapse by Conditioning*
(ICLR 2022).

Written for a CPU first; what differs from the published networks:

- the FIR resampling filters are **bilinear**: features are resampled by ``interpolate`` (which is
  the FIR filter 1-3-3-1 but for the border) on the way up and by 2 x 2 means on the way down;
- a layer that changes resolution convolves on the smaller side (a quarter of the work);
- a modulated convolution scales the activations instead of one kernel per image, which is the same
  sum in another order; the activation's gain of sqrt(2) is folded into the small tensors;
- memory is channels-last: on a CPU convolution and resampling are up to four times faster so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

SLOPE = 0.2  # of the leaky ReLU, as in StyleGAN2
GAIN = math.sqrt(2.0)  # keeps the second moment of N(0, 1) input after that leaky ReLU


def second_moment_norm(x: Tensor) -> Tensor:
    """Scale each row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def upsample(x: Tensor) -> Tensor:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def downsample(x: Tensor) -> Tensor:
    """Half the side, means of 2 x 2."""
    return F.avg_pool2d(x, 2)


class Linear(nn.Module):
    """Fully connected layer with an equalised learning rate.

    The stored weight is N(0, 1) and is scaled when used, so that Adam's steps are equally large,
    relative to the weight, in every layer; `lr_mul` is this layer's rate relative to the others.
    `bias` is what the bias starts from; `activate` adds a leaky ReLU.
    """

    def __init__(
        self, n_in: int, n_out: int, *, bias: float = 0.0, activate: bool = False, lr_mul: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in) / lr_mul)
        self.bias = nn.Parameter(torch.full((n_out,), bias / lr_mul))
        gain = GAIN if activate else 1.0
        self.scale, self.bias_scale, self.activate = gain * lr_mul / math.sqrt(n_in), gain * lr_mul, activate

    def forward(self, x: Tensor) -> Tensor:
        y = F.linear(x, self.weight * self.scale, self.bias * self.bias_scale)
        return F.leaky_relu_(y, SLOPE) if self.activate else y


class Conv(nn.Module):
    """Convolution with an equalised learning rate, optionally activated; `gain` scales its output."""

    def __init__(
        self,
        n_in: int,
        n_out: int,
        *,
        kernel: int = 3,
        activate: bool = True,
        bias: bool = True,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out)) if bias else None
        gain = gain * GAIN if activate else gain
        self.scale, self.bias_scale, self.activate = gain / math.sqrt(n_in * kernel**2), gain, activate

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_scale
        y = F.conv2d(x, self.weight * self.scale, bias, padding=self.weight.shape[-1] // 2)
        return F.leaky_relu_(y, SLOPE) if self.activate else y


class ModulatedConv(nn.Module):
    """Convolution whose input channels are scaled by a style, its output brought back to unit variance.

    With weight ``v`` and style ``s``, StyleGAN2 convolves image n with ``v s_n / |v s_n|``. Here the
    activations are multiplied by ``s_n``, convolved with the shared ``v``, and the caller multiplies
    the result by ``d_n = 1 / |v s_n|``: one dense convolution for the whole batch.
    """

    def __init__(self, n_in: int, n_out: int, w_dim: int, *, kernel: int = 3) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.affine = Linear(w_dim, n_in, bias=1.0)
        self.scale = 1 / math.sqrt(n_in * kernel**2)

    def forward(self, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        """The convolved activations, not yet demodulated, and the style (n, n_in)."""
        style = self.affine(w)
        y = F.conv2d(
            x * style[:, :, None, None], self.weight * self.scale, padding=self.weight.shape[-1] // 2
        )
        return y, style

    def demodulation(self, style: Tensor) -> Tensor:
        """1 / |v s| for each image and output channel, shape (n, n_out)."""
        energy = (self.weight * self.scale).square().sum(dim=(2, 3))
        return torch.rsqrt(F.linear(style.square(), energy) + 1e-8)


class SynthesisLayer(nn.Module):
    """Modulated convolution, noise, bias, leaky ReLU; the first of a block doubles the side."""

    def __init__(self, n_in: int, n_out: int, w_dim: int, *, up: bool = False) -> None:
        super().__init__()
        self.conv, self.up = ModulatedConv(n_in, n_out, w_dim), up
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.bias = nn.Parameter(torch.zeros(n_out))

    def forward(self, x: Tensor, w: Tensor, generator: torch.Generator) -> Tensor:
        y, style = self.conv(x, w)
        y = upsample(y) if self.up else y
        n, _, height, width = y.shape
        noise = torch.randn((n, 1, height, width), generator=generator, device=y.device)
        noise = noise.to(y.dtype) * (self.noise_strength * GAIN)
        factor = (self.conv.demodulation(style) * GAIN)[:, :, None, None].to(y.dtype)
        y = torch.addcmul((self.bias * GAIN)[:, None, None].to(y.dtype), y, factor) + noise
        return F.leaky_relu_(y, SLOPE)


class Mapping(nn.Module):
    """(z, class) to w, the class weighted by lambda.

    ``h = FC0(norm(z)) + lambda FCproj(norm(Embed(y)))``, then the other layers: added after layer 0,
    so at lambda = 0 the network is exactly an unconditional one.
    """

    def __init__(self, n_classes: int, z_dim: int, w_dim: int, *, layers: int, lr_mul: float) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(n_classes, w_dim))
        self.project = Linear(w_dim, w_dim, lr_mul=lr_mul)
        self.first = Linear(z_dim, w_dim, activate=True, lr_mul=lr_mul)
        self.rest = nn.Sequential(
            *(Linear(w_dim, w_dim, activate=True, lr_mul=lr_mul) for _ in range(layers - 1))
        )

    def forward(self, z: Tensor, labels: Tensor, lambda_t: float) -> Tensor:
        h = self.first(second_moment_norm(z))
        if lambda_t > 0:
            h = h + lambda_t * self.project(second_moment_norm(self.embed[labels]))
        return self.rest(h)


class Generator(nn.Module):
    """Mapping and synthesis with skip RGB.

    Parameters
    ----------
    n_classes : int
    channels : sequence of int
        Channels at 4, 8, 16, ... px; their number sets the resolution.
    z_dim, w_dim, mapping_layers : int
    mapping_lr : float
        Learning rate of the mapping relative to the rest.
    """

    def __init__(
        self,
        n_classes: int,
        *,
        channels: Sequence[int],
        z_dim: int,
        w_dim: int,
        mapping_layers: int = 2,
        mapping_lr: float = 0.01,
    ) -> None:
        super().__init__()
        self.z_dim = z_dim
        self.mapping = Mapping(n_classes, z_dim, w_dim, layers=mapping_layers, lr_mul=mapping_lr)
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.layers = nn.ModuleList([SynthesisLayer(channels[0], channels[0], w_dim)])
        for n_in, n_out in pairwise(channels):
            self.layers.append(SynthesisLayer(n_in, n_out, w_dim, up=True))
            self.layers.append(SynthesisLayer(n_out, n_out, w_dim))
        self.to_rgb = nn.ModuleList(ModulatedConv(c, 3, w_dim, kernel=1) for c in channels)
        self.rgb_bias = nn.Parameter(torch.zeros(3))
        self.register_buffer("path_mean", torch.zeros(()))  # of the path length penalty, where it is used

    def forward(self, z: Tensor, labels: Tensor, lambda_t: float, generator: torch.Generator) -> Tensor:
        """Images (n, 3, side, side), -1 to 1 but not clipped, of `labels` (n,) from `z` (n, z_dim)."""
        return self.synthesis(self.mapping(z, labels, lambda_t), generator)

    def styles(
        self,
        z: Tensor,
        labels: Tensor,
        lambda_t: float,
        *,
        other: Tensor | None = None,
        mixing: float = 0.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """w of `z`, (n, w_dim); with style mixing (n, layers, w_dim).

        A share `mixing` of the images takes the styles of the noise `other` from a random layer
        on (Karras et al. 2019, section 3.1): neighbouring layers do not rely on each other.
        """
        w = self.mapping(z, labels, lambda_t)
        if not mixing:
            return w
        n, layers = len(w), len(self.layers)
        draws = torch.rand((2, n), generator=generator, device=w.device)
        start = 1 + (draws[0] * (layers - 1)).long()
        start = torch.where(draws[1] < mixing, start, layers)
        late = torch.arange(layers, device=w.device) >= start[:, None]
        return torch.where(late[:, :, None], self.mapping(other, labels, lambda_t)[:, None], w[:, None])

    def synthesis(self, w: Tensor, generator: torch.Generator) -> Tensor:
        """Images of w, one style (n, w_dim) for all layers or one for each (n, layers, w_dim)."""
        style = [w] * len(self.layers) if w.dim() == 2 else w.unbind(dim=1)
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.layers[0](x, style[0], generator)
        rgb = self._rgb(0, x, style[0])
        for block in range(1, len(self.to_rgb)):
            x = self.layers[2 * block - 1](x, style[2 * block - 1], generator)
            x = self.layers[2 * block](x, style[2 * block], generator)
            rgb = upsample(rgb) + self._rgb(block, x, style[2 * block])
        return rgb + self.rgb_bias[:, None, None]

    def _rgb(self, block: int, x: Tensor, w: Tensor) -> Tensor:
        conv = self.to_rgb[block]
        return conv(x, w)[0]  # no demodulation: a style may brighten or fade


class ResidualBlock(nn.Module):
    """Two convolutions, the second after halving the side, beside a 1 x 1 path; variance kept."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = Conv(n_in, n_in)
        self.second = Conv(n_in, n_out, gain=math.sqrt(0.5))
        self.skip = Conv(n_in, n_out, kernel=1, activate=False, bias=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(downsample(self.first(x))) + self.skip(downsample(x))


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Append one map: the standard deviation over each `group` of neighbouring images, averaged."""
    n, c, height, width = x.shape
    if n % group:
        raise ValueError(f"a batch of {n} is not a multiple of minibatch_std={group}; change one of them")
    y = x.reshape(n // group, group, c, height, width)
    variance = (y - y.mean(dim=1, keepdim=True)).square().mean(dim=1)  # a third of the time of var()
    std = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    maps = std.repeat_interleave(group)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, maps.to(x.dtype)], dim=1)


class Discriminator(nn.Module):
    """Shared trunk with an unconditional logit ``u`` and a conditional one ``c``.

    ``u = FC(features)``, ``c = <FC(features), cmap(y)> / sqrt(dim)``.
    """

    def __init__(self, n_classes: int, *, channels: Sequence[int], w_dim: int, std_group: int = 4) -> None:
        super().__init__()
        self.std_group = std_group
        self.from_rgb = Conv(3, channels[-1], kernel=1)
        sizes = list(reversed(channels))
        self.blocks = nn.Sequential(*(ResidualBlock(n_in, n_out) for n_in, n_out in pairwise(sizes)))
        self.last_conv = Conv(channels[0] + 1, channels[0])
        self.last = Linear(channels[0] * 16, channels[0], activate=True)
        self.unconditional = Linear(channels[0], 1)
        self.conditional = Linear(channels[0], w_dim)
        self.embed = nn.Parameter(torch.randn(n_classes, w_dim))
        self.class_map = Linear(w_dim, w_dim)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (u, c), each (n,), of images (n, 3, side, side)."""
        x = self.blocks(self.from_rgb(images))
        x = self.last_conv(minibatch_std(x, self.std_group))
        features = self.last(x.flatten(1))
        wanted = second_moment_norm(self.class_map(second_moment_norm(self.embed)))[labels]
        conditional = (self.conditional(features) * wanted).sum(dim=1) / math.sqrt(wanted.shape[1])
        return self.unconditional(features)[:, 0], conditional
