"""The StyleGAN2 conditional GAN with transitional training, top to bottom (section 3.5).

The class is let in gradually: with few images per class a GAN that is conditional from the start
collapses (Shahbazi et al., *Collapse by Conditioning*, ICLR 2022). The networks are StyleGAN2's
(Karras et al., *Analyzing and Improving the Image Quality of StyleGAN*, CVPR 2020), smaller.
"""

# What differs from the published networks, which are written for a GPU:
# - features are resampled by bilinear `interpolate` (the FIR filter 1-3-3-1 but for the border) on the
#   way up and by 2 x 2 means on the way down; a layer that changes resolution convolves on the smaller
#   side (a quarter of the work);
# - a modulated convolution scales the activations instead of one kernel per image, the same sum in
#   another order; the activation's gain of sqrt(2) is folded into the small tensors;
# - memory is channels-last: on a CPU convolution and resampling are up to four times faster so;
# - path length regularisation and style mixing are left out, and ADA is replaced by DiffAugment.

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gmaug.backend import autocast
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.generators.training import TrainedGenerator, Training, seeded

# ---- networks -----------------------------------------------------------------------------

SLOPE = 0.2  # of the leaky ReLU, as in StyleGAN2
GAIN = math.sqrt(2.0)  # keeps the second moment of N(0, 1) input after that leaky ReLU


def second_moment_norm(x: Tensor) -> Tensor:
    """Scale each row to a mean square of one."""
    return x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-8)


def upsample(x: Tensor) -> Tensor:
    """Twice the side, bilinear."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class Linear(nn.Module):
    """Fully connected layer with an equalised learning rate, and a leaky ReLU where it is to `activate`.

    The stored weight is N(0, 1) and is scaled when used, so that Adam's steps are equally large,
    relative to the weight, in every layer; `lr_mul` is this layer's rate relative to the others.
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
    """Convolution with an equalised learning rate; with a bias and a leaky ReLU, or with neither."""

    def __init__(
        self, n_in: int, n_out: int, *, kernel: int = 3, activate: bool = True, gain: float = 1.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_out, n_in, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(n_out)) if activate else None
        gain = gain * GAIN if activate else gain
        self.scale, self.bias_scale = gain / math.sqrt(n_in * kernel**2), gain

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias * self.bias_scale
        y = F.conv2d(x, self.weight * self.scale, bias, padding=self.weight.shape[-1] // 2)
        return y if self.bias is None else F.leaky_relu_(y, SLOPE)


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
        padding = self.weight.shape[-1] // 2
        return F.conv2d(x * style[:, :, None, None], self.weight * self.scale, padding=padding), style

    def demodulation(self, style: Tensor) -> Tensor:
        """``1 / |v s|`` for each image and output channel, shape (n, n_out)."""
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
        noise = torch.randn((len(y), 1, *y.shape[2:]), generator=generator, device=y.device)
        noise = noise.to(y.dtype) * (self.noise_strength * GAIN)
        factor = (self.conv.demodulation(style) * GAIN)[:, :, None, None].to(y.dtype)
        y = torch.addcmul((self.bias * GAIN)[:, None, None].to(y.dtype), y, factor) + noise
        return F.leaky_relu_(y, SLOPE)


class Mapping(nn.Module):
    """(z, class) to w, the class weighted by lambda.

    ``h = FC0(norm(z)) + lambda FCproj(norm(Embed(y)))``, then the other layers: added after layer 0,
    so at lambda = 0 the network is exactly an unconditional one. What is wanted, `y`, is labels (n,)
    or weights of the classes (n, C), in which the sum is linear.
    """

    def __init__(self, n_classes: int, z_dim: int, w_dim: int, *, layers: int, lr_mul: float) -> None:
        super().__init__()
        self.embed = nn.Parameter(torch.randn(n_classes, w_dim))
        self.project = Linear(w_dim, w_dim, lr_mul=lr_mul)
        self.first = Linear(z_dim, w_dim, activate=True, lr_mul=lr_mul)
        others = (Linear(w_dim, w_dim, activate=True, lr_mul=lr_mul) for _ in range(layers - 1))
        self.rest = nn.Sequential(*others)

    def forward(self, z: Tensor, wanted: Tensor, lambda_t: float) -> Tensor:
        h = self.first(second_moment_norm(z))
        if lambda_t > 0:
            table = second_moment_norm(self.embed)
            mixed = wanted.is_floating_point()
            h = h + lambda_t * self.project(wanted.to(table.dtype) @ table if mixed else table[wanted])
        return self.rest(h)


class Generator(nn.Module):
    """Mapping and synthesis with skip RGB."""

    def __init__(self, settings: TransitionalCGANSettings, n_classes: int) -> None:
        super().__init__()
        s, channels, w_dim = settings, settings.channels, settings.w_dim
        self.mapping = Mapping(n_classes, s.z_dim, w_dim, layers=s.mapping_layers, lr_mul=s.mapping_lr)
        self.constant = nn.Parameter(torch.randn(1, channels[0], 4, 4))
        self.layers = nn.ModuleList([SynthesisLayer(channels[0], channels[0], w_dim)])
        for n_in, n_out in pairwise(channels):
            self.layers.append(SynthesisLayer(n_in, n_out, w_dim, up=True))
            self.layers.append(SynthesisLayer(n_out, n_out, w_dim))
        self.to_rgb = nn.ModuleList(ModulatedConv(c, 3, w_dim, kernel=1) for c in channels)
        self.rgb_bias = nn.Parameter(torch.zeros(3))

    def forward(self, z: Tensor, wanted: Tensor, lambda_t: float, generator: torch.Generator) -> Tensor:
        """Images (n, 3, side, side), -1 to 1 but not clipped, of what is wanted, from `z` (n, z_dim)."""
        w = self.mapping(z, wanted, lambda_t)
        x = self.constant.expand(len(w), -1, -1, -1).contiguous(memory_format=torch.channels_last)
        x = self.layers[0](x, w, generator)
        rgb = self.to_rgb[0](x, w)[0]  # no demodulation: a style may brighten or fade
        for block in range(1, len(self.to_rgb)):
            x = self.layers[2 * block - 1](x, w, generator)
            x = self.layers[2 * block](x, w, generator)
            rgb = upsample(rgb) + self.to_rgb[block](x, w)[0]
        return rgb + self.rgb_bias[:, None, None]


class ResidualBlock(nn.Module):
    """Two convolutions, the second after halving the side, beside a 1 x 1 path; variance kept."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.first = Conv(n_in, n_in)
        self.second = Conv(n_in, n_out, gain=math.sqrt(0.5))
        self.skip = Conv(n_in, n_out, kernel=1, activate=False, gain=math.sqrt(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.avg_pool2d(self.first(x), 2)) + self.skip(F.avg_pool2d(x, 2))


def minibatch_std(x: Tensor, group: int) -> Tensor:
    """Append one map: the standard deviation over each `group` of neighbouring images, averaged."""
    n, c, height, width = x.shape
    y = x.reshape(n // group, group, c, height, width)
    variance = (y - y.mean(dim=1, keepdim=True)).square().mean(dim=1)  # a third of the time of var()
    std = (variance + 1e-8).sqrt().mean(dim=(1, 2, 3))
    maps = std.repeat_interleave(group)[:, None, None, None].expand(n, 1, height, width)
    return torch.cat([x, maps.to(x.dtype)], dim=1)


class Discriminator(nn.Module):
    """Shared trunk with an unconditional logit ``u`` and a conditional one ``c``.

    ``u = FC(features)``, ``c = <FC(features), cmap(y)> / sqrt(dim)``.
    """

    def __init__(self, settings: TransitionalCGANSettings, n_classes: int) -> None:
        super().__init__()
        channels, w_dim, self.group = settings.channels, settings.w_dim, settings.minibatch_std
        self.from_rgb = Conv(3, channels[-1], kernel=1)
        self.blocks = nn.Sequential(*(ResidualBlock(a, b) for a, b in pairwise(channels[::-1])))
        self.last_conv = Conv(channels[0] + 1, channels[0])
        self.last = Linear(channels[0] * 16, channels[0], activate=True)
        self.unconditional = Linear(channels[0], 1)
        self.conditional = Linear(channels[0], w_dim)
        self.embed = nn.Parameter(torch.randn(n_classes, w_dim))
        self.class_map = Linear(w_dim, w_dim)

    def forward(self, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (u, c), each (n,), of images (n, 3, side, side)."""
        x = self.last_conv(minibatch_std(self.blocks(self.from_rgb(images)), self.group))
        features = self.last(x.flatten(1))
        wanted = second_moment_norm(self.class_map(second_moment_norm(self.embed)))[labels]
        conditional = (self.conditional(features) * wanted).sum(dim=1) / math.sqrt(wanted.shape[1])
        return self.unconditional(features)[:, 0], conditional


# ---- losses: u is the unconditional logit, c the conditional one, sp the softplus -------------


def generator_loss(u_fake: Tensor, c_fake: Tensor, weight: float) -> Tensor:
    """``sp(-u_f) + lambda sp(-c_f)``, averaged over the batch (non-saturating)."""
    loss = F.softplus(-u_fake).mean()
    return loss + weight * F.softplus(-c_fake).mean() if weight > 0 else loss


def discriminator_loss(
    u_real: Tensor, c_real: Tensor, u_fake: Tensor, c_fake: Tensor, weight: float
) -> Tensor:
    """``sp(u_f) + sp(-u_r) + lambda [sp(c_f) + sp(-c_r)]``, averaged over the batch."""
    loss = F.softplus(u_fake).mean() + F.softplus(-u_real).mean()
    if weight > 0:
        loss = loss + weight * (F.softplus(c_fake).mean() + F.softplus(-c_real).mean())
    return loss


def r1_penalty(u_real: Tensor, images: Tensor) -> Tensor:
    """Mean of ``|grad_x u(x)|^2`` at the real `images`, of the unconditional logit alone; times gamma / 2."""
    (gradient,) = torch.autograd.grad(u_real.sum(), images, create_graph=True)
    return gradient.square().sum(dim=(1, 2, 3)).mean()


# ---- differentiable augmentation ----------------------------------------------------------


def augment(images: Tensor, policy: Sequence[str], generator: torch.Generator) -> Tensor:
    """Augment each image, (n, 3, side, side) from -1 to 1, by its own draw, policy after policy.

    After Zhao et al., *Differentiable Augmentation for Data-Efficient GAN Training* (NeurIPS 2020):
    the discriminator sees only augmented images, and gradients pass through to the generator, so that
    it learns the images and not their augmentation.
    """
    steps = {"color": _color, "translation": _translation, "cutout": _cutout}
    for name in policy:
        images = steps[name](images, generator)
    return images


def _color(images: Tensor, generator: torch.Generator) -> Tensor:
    """Brightness +-0.5, saturation x 0-2, contrast x 0.5-1.5 (the method's ranges on -1 to 1)."""
    shape = (3, len(images), 1, 1, 1)
    draws = torch.rand(shape, generator=generator, device=images.device).to(images.dtype)
    brightness, saturation, contrast = draws[0] - 0.5, draws[1] * 2, draws[2] + 0.5
    grey = images.mean(dim=1, keepdim=True)
    centre = grey.mean(dim=(2, 3), keepdim=True)  # brightness shifts it, saturation leaves it
    return torch.lerp(centre, torch.lerp(grey, images, saturation), contrast) + brightness


def _translation(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift by up to an eighth of the side each way; what comes in is zero (mid-grey).

    As two products with 0/1 matrices: exact, and the same bytes every time on a GPU too, which going
    backwards through indexing is not.
    """
    side = images.shape[2]
    reach, shape = max(1, round(side / 8)), (2, len(images), 1, 1, 1)
    shift = torch.randint(-reach, reach + 1, shape, generator=generator, device=images.device)
    place = torch.arange(side, device=images.device)
    rows, columns = (place[:, None] - shift == place).to(images.dtype)
    return (rows @ images @ columns.transpose(2, 3)).contiguous(memory_format=torch.channels_last)


def _cutout(images: Tensor, generator: torch.Generator) -> Tensor:
    """Grey out one square of half the side, wherever its centre falls."""
    n, _, side, _ = images.shape
    inside = []
    for _ in range(2):
        centre = torch.randint(0, side + 1, (n, 1), generator=generator, device=images.device)
        place = torch.arange(side, device=images.device)[None] - centre + side // 4
        inside.append((place >= 0) & (place < side // 2))
    return images * ~(inside[0][:, None, :, None] & inside[1][:, None, None, :])


# ---- training -----------------------------------------------------------------------------


def new_networks(settings: TransitionalCGANSettings, n_classes: int) -> dict[str, Generator]:
    """What samples are drawn from: the generator, its first weights drawn from the settings' seed."""
    return {"generator": seeded(settings.seed, lambda: Generator(settings, n_classes))}


class CGANTraining(Training):
    """Generator, its average and discriminator of a :class:`TransitionalCGAN`."""

    settings: TransitionalCGANSettings

    def _build(self) -> None:
        s = self.settings
        live, self.drawn = (new_networks(s, self.n_classes) for _ in range(2))
        self.generator, self.averaged = live["generator"], self.drawn["generator"].requires_grad_(False)
        # drawn from another stream of the same seed
        self.discriminator = seeded(s.seed + 2**32, lambda: Discriminator(s, self.n_classes))
        self.modules = {
            "generator": self.generator, "average": self.averaged, "discriminator": self.discriminator
        }  # fmt: skip
        for net in self.modules.values():
            net.to(device=self.device, memory_format=torch.channels_last)
        self.optimisers = {
            name: torch.optim.Adam(net.parameters(), lr=s.lr, betas=s.betas, fused=True)
            for name, net in (("g", self.generator), ("d", self.discriminator))
        }

    @property
    def lambda_t(self) -> float:
        """The class's weight now."""
        return self.settings.lambda_at(self.kimg)

    @property
    def ready(self) -> bool:
        """Not before the class counts in full: earlier, samples are real enough but of any class."""
        return self.lambda_t >= 1

    def examine(self) -> dict[str, float]:
        return {"lambda": self.lambda_t}

    def step(self) -> dict[str, Tensor]:
        """Train both networks on one batch; losses, the R1 penalty and the means of the four logits.

        The R1 penalty is zero on the steps that do without it, else weighted by their rarity. One batch
        of fakes serves both networks: the generator learns from the discriminator that it has improved.
        (A second batch, as StyleGAN2 draws, costs a forward pass and changes nothing in expectation.)
        """
        s, weight, own = self.settings, self.lambda_t, self.own()
        # a fake's class is the class of a training image drawn at random: the training distribution
        wanted = self.part(self.labels[self.rows()])
        z = self.part(torch.randn(s.batch, s.z_dim, generator=self.random, device=self.device))
        with_r1 = self.step_count % s.r1_every == 0
        r1 = torch.zeros((), device=self.device)
        with autocast(self.device, s.mixed_precision and not with_r1):
            fakes = augment(self.generator(z, wanted, weight, own), s.augment, own)
            reals, labels = self.reals()
            reals.requires_grad_(with_r1)
            shown = augment(reals, s.augment, own)
            if with_r1:  # apart, so that the second derivative is not taken through the fakes
                u_real, c_real = self.discriminator(shown, labels)
                u_fake, c_fake = self.discriminator(fakes.detach(), wanted)
                r1 = r1_penalty(u_real, reals)
            else:
                u, c = self.discriminator(torch.cat([shown, fakes.detach()]), torch.cat([labels, wanted]))
                (u_real, u_fake), (c_real, c_fake) = u.split(len(reals)), c.split(len(reals))
            loss_d = discriminator_loss(u_real, c_real, u_fake, c_fake, weight)
        self.descend("d", loss_d + r1 * (s.gamma / 2 * s.r1_every))
        self.discriminator.requires_grad_(False)  # the generator's step needs no gradient of its weights
        with autocast(self.device, s.mixed_precision):
            loss_g = generator_loss(*self.discriminator(fakes, wanted), weight)
        self.descend("g", loss_g)
        self.discriminator.requires_grad_(True)
        self.average([(self.averaged, self.generator)])
        logits = {"u_real": u_real, "u_fake": u_fake, "c_real": c_real, "c_fake": c_fake}
        values = {"loss_g": loss_g, "loss_d": loss_d, "r1": r1 * s.r1_every}
        values |= {key: value.mean() for key, value in logits.items()}
        return {key: value.detach().float() for key, value in values.items()}


class TransitionalCGAN(TrainedGenerator):
    """The paper's cGAN: images of a wanted class, or of weighted classes.

    Rows of ``history_`` also hold ``lambda``, ``loss_g``, ``loss_d``, ``r1`` and the means of the four
    logits (see :class:`~gmaug.generators.training.TrainedGenerator`).
    """

    FORMAT = "gmaug transitional cgan 2"
    settings_class, training_class = TransitionalCGANSettings, CGANTraining
    networks = staticmethod(new_networks)
    settings: TransitionalCGANSettings

    @torch.inference_mode()
    def _draw(self, wanted: Tensor, random: torch.Generator) -> Tensor:
        z = torch.randn(len(wanted), self.settings.z_dim, generator=random, device=wanted.device)
        return self.nets_["generator"](z, wanted, self.settings.lambda_at(self.kimg_), random)
