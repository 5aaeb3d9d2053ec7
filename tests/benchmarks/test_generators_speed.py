"""``make bench``: training and sampling of the generators against peers of equal size, in one run.

- the cGAN against ``stylegan2_pytorch``, whose training step and networks are taken as they are (it
  asks for CUDA at import; on a CPU its calls to ``.cuda()`` are made to do nothing);
- guided diffusion against the training loop of ``diffusers``' own tutorial, written here in its
  plainest form around the same UNet, and against its DDIM pipeline for sampling.

``notebooks/recorded/speed/generators.json`` holds an earlier run.
"""

import importlib
import itertools
import sys
from contextlib import contextmanager
from types import ModuleType

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from gmaug import backend
from gmaug.generators import generator_class, make_generator
from gmaug.generators.diffusion import new_networks

STEPS, COUNT, ROUNDS = 12, 128, 5
CLASSES = 9
IMAGES = np.random.default_rng(0).integers(0, 256, (256, 32, 32, 3), dtype=np.uint8)
LABELS = np.arange(256) % CLASSES


def settings(kind):
    return make_generator(kind, shape=(32, 32), n_classes=CLASSES, threads=1).settings


def ours_training(kind):
    s = settings(kind)
    run = generator_class(kind).training_class(
        s, IMAGES, LABELS, n_classes=CLASSES, device=torch.device("cpu")
    )
    return lambda: [run.step() for _ in range(STEPS)]


def ours_sampling(kind, **options):
    model = make_generator(kind, shape=(32, 32), n_classes=CLASSES, threads=1, kimg=0.032)
    model.fit(IMAGES, LABELS)
    return lambda: model.sample(np.arange(COUNT) % CLASSES, seed=0, **options)


def diffusers_training():
    """The tutorial's loop: batch, noise, UNet, loss, AdamW, clipping, EMA; the noisy classifier too."""
    backend.torchvision()
    from diffusers import DDPMScheduler
    from diffusers.training_utils import EMAModel

    s = settings("diffusion")
    nets = list(new_networks(s, CLASSES).values())
    optimisers = [torch.optim.AdamW(net.parameters(), lr=1e-3) for net in nets]
    averages = [EMAModel(net.parameters()) for net in nets]
    scheduler = DDPMScheduler(s.timesteps, beta_schedule="squaredcos_cap_v2", prediction_type=s.prediction)
    pixels, classes = (
        torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 127.5 - 1,
        torch.from_numpy(LABELS),
    )

    def work():
        for _ in range(STEPS):
            rows = torch.randint(len(pixels), (s.batch,))
            images, labels, noise = pixels[rows], classes[rows], torch.randn(s.batch, 3, 32, 32)
            t = torch.randint(0, s.timesteps, (s.batch,))
            noisy = scheduler.add_noise(images, noise, t)
            losses = (
                F.mse_loss(nets[0](noisy, t, labels), scheduler.get_velocity(images, noise, t)),
                (F.cross_entropy(nets[1](noisy, t), labels)),
            )
            for net, optimiser, average, loss in zip(nets, optimisers, averages, losses, strict=True):
                loss.backward()
                torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
                optimiser.step()
                optimiser.zero_grad()
                average.step(net.parameters())

    return work


def diffusers_sampling():
    """DDIM as ``diffusers``' pipeline loops, without guidance."""
    backend.torchvision()
    from diffusers import DDIMScheduler

    s = settings("diffusion")
    net = new_networks(s, CLASSES)["unet"].eval()
    scheduler = DDIMScheduler(s.timesteps, beta_schedule="squaredcos_cap_v2", prediction_type=s.prediction)
    scheduler.set_timesteps(s.sampling_steps)

    @torch.no_grad()
    def work():
        for start in range(0, COUNT, 32):
            labels, x = torch.arange(start, start + 32) % CLASSES, torch.randn(32, 3, 32, 32)
            for t in scheduler.timesteps:
                x = scheduler.step(net(x, t.expand(32), labels), t, x).prev_sample
            (x / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1).numpy()

    return work


@contextmanager
def pretending_cuda():
    """Code that insists on CUDA runs on a CPU: its calls to ``.cuda()`` give back what they are called on."""
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


class Peer:
    """``stylegan2_pytorch`` at 32 px, of the capacity whose number of parameters comes nearest to ours."""

    def __init__(self):
        backend.torchvision()
        tracker = sys.modules.setdefault("aim", ModuleType("aim"))  # its experiment tracker, not used here
        try:
            with pretending_cuda():
                self.module = importlib.import_module("stylegan2_pytorch.stylegan2_pytorch")
        except ImportError:
            pytest.skip("stylegan2_pytorch is not installed")
        finally:
            if sys.modules.get("aim") is tracker:
                del sys.modules["aim"]
        size = {"image_size": 32, "latent_dim": 64, "style_depth": 2, "lr_mlp": 0.1}
        run = generator_class("cgan").training_class(
            settings("cgan"), IMAGES, LABELS, n_classes=CLASSES, device=torch.device("cpu")
        )
        like = self.parameters(run.generator, run.discriminator)
        with pretending_cuda():
            models = [self.module.StyleGAN2(network_capacity=c, **size) for c in (1, 2, 3, 4, 5, 6, 8, 10)]
        self.model = min(models, key=lambda m: abs(self.parameters(m.G, m.S, m.D) - like))
        self.count = itertools.count()

    @staticmethod
    def parameters(*nets):
        return sum(p.numel() for net in nets for p in net.parameters())

    def fakes(self, count):
        module, model = self.module, self.model
        latent = module.noise_list(count, model.G.num_layers, model.G.latent_dim, 0)
        styles = module.styles_def_to_tensor(module.latent_to_w(model.S, latent))
        return model.G(styles, module.image_noise(count, 32, 0))

    def training(self):
        """Its training step: hinge loss, gradient penalty every fourth step, Adam."""
        module, model, batch = self.module, self.model, settings("cgan").batch
        pixels = torch.from_numpy(IMAGES).permute(0, 3, 1, 2).float() / 255
        with pretending_cuda():
            for _ in range(STEPS):
                penalised = next(self.count) % 4 == 0
                model.D_opt.zero_grad()
                real = pixels[torch.randint(len(pixels), (batch,))].requires_grad_(penalised)
                real_out, _ = model.D(real)
                fake_out, _ = model.D(self.fakes(batch).detach())
                loss = module.hinge_loss(fake_out, real_out)
                if penalised:
                    loss = loss + module.gradient_penalty(real, real_out)
                loss.backward()
                model.D_opt.step()
                model.G_opt.zero_grad()
                module.gen_hinge_loss(model.D(self.fakes(batch))[0], None).backward()
                model.G_opt.step()

    @torch.no_grad()
    def sampling(self):
        with pretending_cuda():
            for _ in range(0, COUNT, 64):
                self.fakes(64).clamp_(0, 1).permute(0, 2, 3, 1).numpy()


CONTESTS = {
    ("cgan training", "gmaug"): lambda: ours_training("cgan"),
    ("cgan training", "stylegan2_pytorch"): lambda: Peer().training,
    ("cgan sampling", "gmaug"): lambda: ours_sampling("cgan"),
    ("cgan sampling", "stylegan2_pytorch"): lambda: Peer().sampling,
    ("diffusion training", "gmaug"): lambda: ours_training("diffusion"),
    ("diffusion training", "diffusers loop"): diffusers_training,
    ("diffusion sampling", "gmaug, unguided"): lambda: ours_sampling("diffusion", guidance=0.0),
    ("diffusion sampling", "gmaug, guided"): lambda: ours_sampling("diffusion"),
    ("diffusion sampling", "diffusers loop"): diffusers_sampling,
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(("task", "contestant"), CONTESTS)
def test_speed(benchmark, task, contestant):
    benchmark.group = task
    benchmark.pedantic(CONTESTS[task, contestant](), rounds=ROUNDS, warmup_rounds=1)
