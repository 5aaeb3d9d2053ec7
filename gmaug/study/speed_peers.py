"""Peers of the generators, to be timed: ``diffusers``' plain loops and ``stylegan2_pytorch``."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

from gmaug import backend
from gmaug.generators.diffusion_training import make_classifier, make_denoiser
from gmaug.study.generation import settings_of
from gmaug.study.sets import study_set

SET = "garden-1"


def parameters(*nets: torch.nn.Module) -> int:
    """Trainable and other parameters of networks."""
    return sum(p.numel() for net in nets for p in net.parameters())


def plain_diffusion(steps: int, *, classifier: bool) -> Callable[[], int]:
    """The tutorial's loop: batch, noise, UNet, loss, AdamW, clipping, EMA; the classifier too if asked."""
    backend.torchvision()
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel
    from torch.utils.data import DataLoader, TensorDataset

    source = study_set(SET)
    s, n = settings_of(source.name, "gd", len(source.classes)), len(source.classes)
    nets = [make_denoiser(s, n)] + ([make_classifier(s, n)] if classifier else [])
    optimisers = [torch.optim.AdamW(net.parameters(), lr=1e-3) for net in nets]
    averages = [EMAModel(net.parameters()) for net in nets]
    noise_scheduler = DDPMScheduler(
        s.timesteps, beta_schedule="squaredcos_cap_v2", prediction_type=s.prediction
    )
    pixels = torch.from_numpy(source.train[0]).permute(0, 3, 1, 2).float() / 127.5 - 1
    loader = DataLoader(
        TensorDataset(pixels, torch.from_numpy(source.train[1])), s.batch, shuffle=True, drop_last=True
    )

    def work() -> int:
        done = 0
        while True:
            for images, labels in loader:
                noise = torch.randn_like(images)
                t = torch.randint(0, s.timesteps, (len(images),))
                noisy = noise_scheduler.add_noise(images, noise, t)
                losses = [
                    F.mse_loss(nets[0](noisy, t, labels), noise_scheduler.get_velocity(images, noise, t))
                ]
                if classifier:
                    losses.append(F.cross_entropy(nets[1](noisy, t), labels))
                for net, optimiser, average, loss in zip(nets, optimisers, averages, losses, strict=True):
                    loss.backward()
                    torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                    optimiser.step()
                    optimiser.zero_grad()
                    average.step(net.parameters())
                done += 1
                if done == steps:
                    return steps * s.batch

    return work


def plain_ddim(count: int) -> Callable[[], int]:
    """DDIM sampling as ``diffusers``' pipeline loops, without guidance."""
    backend.torchvision()
    from diffusers import DDIMScheduler

    source = study_set(SET)
    s = settings_of(source.name, "gd", len(source.classes))
    net = make_denoiser(s, len(source.classes)).eval()
    scheduler = DDIMScheduler(s.timesteps, beta_schedule="squaredcos_cap_v2", prediction_type=s.prediction)

    @torch.no_grad()
    def work() -> int:
        for start in range(0, count, 32):
            labels = torch.arange(start, start + 32) % len(source.classes)
            x = torch.randn(32, 3, s.resolution, s.resolution)
            scheduler.set_timesteps(s.sampling_steps)
            for t in scheduler.timesteps:
                x = scheduler.step(net(x, t.expand(32), labels), t, x).prev_sample
            (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()
        return count

    return work


@contextmanager
def _pretending_cuda() -> Iterator[None]:
    """Let code that insists on CUDA run on a CPU: its calls to ``.cuda()`` return what they are called on."""
    there, methods = torch.cuda.is_available, {kind: kind.cuda for kind in (torch.Tensor, torch.nn.Module)}
    torch.cuda.is_available = lambda: True
    for kind in methods:
        kind.cuda = lambda self, *_, **__: self
    try:
        yield
    finally:
        torch.cuda.is_available = there
        for kind, method in methods.items():
            kind.cuda = method


def stylegan2_pytorch() -> ModuleType | None:
    """The package; None if it or what it needs is not installed."""
    backend.torchvision()
    tracker = "aim" not in sys.modules  # its experiment tracker, not used here
    if tracker:
        sys.modules["aim"] = ModuleType("aim")
    try:
        with _pretending_cuda():
            return importlib.import_module("stylegan2_pytorch.stylegan2_pytorch")
    except ImportError:
        return None
    finally:
        if tracker:
            del sys.modules["aim"]


def peer_gan(module: ModuleType, like: int, *, sampling: bool) -> Any:
    """Its model at 32 px, of the capacity whose number of parameters comes nearest to `like`.

    Those that a task uses are counted: all networks in training, the generator's in sampling.
    """
    with _pretending_cuda():
        models = [
            module.StyleGAN2(image_size=32, latent_dim=64, style_depth=2, network_capacity=c, lr_mlp=0.1)
            for c in (1, 2, 3, 4, 5, 6, 8, 10)
        ]
    return min(models, key=lambda model: abs(parameters(*peer_nets(model, sampling=sampling)) - like))


def peer_nets(model: Any, *, sampling: bool) -> tuple[torch.nn.Module, ...]:
    """The networks of its model that a task uses."""
    return (model.G, model.S) if sampling else (model.G, model.S, model.D)


def _peer_fakes(module: ModuleType, model: Any, count: int) -> torch.Tensor:
    latent = module.noise_list(count, model.G.num_layers, model.G.latent_dim, 0)
    styles = module.styles_def_to_tensor(module.latent_to_w(model.S, latent))
    return model.G(styles, module.image_noise(count, 32, 0))


def peer_gan_training(module: ModuleType, model: Any, steps: int, batch: int) -> Callable[[], int]:
    """Its training step: hinge loss, gradient penalty every fourth step, Adam."""
    pixels = torch.from_numpy(study_set(SET).train[0]).permute(0, 3, 1, 2).float() / 255
    count = itertools.count()

    def work() -> int:
        with _pretending_cuda():
            for _ in range(steps):
                penalised = next(count) % 4 == 0
                model.D_opt.zero_grad()
                real = pixels[torch.randint(len(pixels), (batch,))].requires_grad_(penalised)
                real_out, _ = model.D(real)
                fake_out, _ = model.D(_peer_fakes(module, model, batch).detach())
                loss = module.hinge_loss(fake_out, real_out)
                if penalised:
                    loss = loss + module.gradient_penalty(real, real_out)
                loss.backward()
                model.D_opt.step()
                model.G_opt.zero_grad()
                module.gen_hinge_loss(model.D(_peer_fakes(module, model, batch))[0], None).backward()
                model.G_opt.step()
        return steps * batch

    return work


def peer_gan_sampling(module: ModuleType, model: Any, count: int) -> Callable[[], int]:
    @torch.no_grad()
    def work() -> int:
        with _pretending_cuda():
            for _ in range(0, count, 64):
                _peer_fakes(module, model, 64).clamp_(0, 1).permute(0, 2, 3, 1).numpy()
        return count

    return work
