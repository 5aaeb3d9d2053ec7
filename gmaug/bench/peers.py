"""Other implementations of SSIM, each called as its own users would call it, on the same pairs.

They are not needed by the package: ``pip install -e ".[bench]"`` brings those that are missing.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec

import numpy as np

BATCH_PIXELS = 2**20  # pairs a torch library gets at once: 20 at 224 px, 64 at 128 px

Score = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Peer:
    """A library, and the convention of ours that computes the same.

    Attributes
    ----------
    name, convention : str
    score : function of images (uint8, (n, h, w)) and pairs (int64, (m, 2))
        SSIM of each pair.
    """

    name: str
    convention: str
    score: Score


def _scikit_chunk(images: np.ndarray, pairs: np.ndarray, options: dict) -> tuple[list[float], float]:
    """SSIM of pairs, and the processor time that they took."""
    from skimage.metrics import structural_similarity

    start = time.process_time()
    values = [structural_similarity(images[i], images[j], data_range=255, **options) for i, j in pairs]
    return values, time.process_time() - start


def _warm(_: int) -> None:
    import skimage.metrics  # noqa: F401  each process imports it before the clock starts


class ScikitLoop:
    """scikit-image's function in a loop, on as many processes as there are cores."""

    def __init__(self, cores: int, **options: object) -> None:
        self.cores, self.options = cores, options
        self.elsewhere = 0.0  # processor time of the last call's processes
        self.pool = ProcessPoolExecutor(cores)
        list(self.pool.map(_warm, range(cores * 4)))

    def __call__(self, images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
        parts = np.array_split(pairs, self.cores)
        # Each process gets its own images alone, so that little is copied.
        jobs = []
        for part in parts:
            own, local = np.unique(part, return_inverse=True)
            jobs.append(self.pool.submit(_scikit_chunk, images[own], local.reshape(part.shape), self.options))
        results = [job.result() for job in jobs]
        self.elsewhere = sum(cpu for _, cpu in results)
        return np.concatenate([values for values, _ in results])

    def close(self) -> None:
        self.pool.shutdown()


def _batches(call, images: np.ndarray, pairs: np.ndarray) -> np.ndarray:
    import torch

    stack = torch.from_numpy(images[:, None])
    step = max(1, BATCH_PIXELS // images[0].size)
    out = np.empty(len(pairs))
    with torch.inference_mode():
        for k in range(0, len(pairs), step):
            i, j = torch.from_numpy(pairs[k : k + step].T.copy())
            out[k : k + step] = call(stack[i].float(), stack[j].float()).numpy()
    return out


def torch_peers() -> list[Peer]:
    """Those of torchmetrics, pytorch-msssim and piq that are installed."""
    from gmaug.backend import torchvision

    torchvision()  # torchmetrics and piq import it
    peers = []
    if find_spec("torchmetrics"):
        from torchmetrics.functional.image import structural_similarity_index_measure as call

        score = partial(_batches, partial(call, data_range=255.0, reduction="none"))
        peers.append(Peer("torchmetrics", "torchmetrics", score))
    if find_spec("pytorch_msssim"):
        from pytorch_msssim import ssim as call

        score = partial(_batches, partial(call, data_range=255, size_average=False))
        peers.append(Peer("pytorch-msssim", "wang2004", score))
    if find_spec("piq"):
        from piq import ssim as call

        # Without `downsample` it would shrink images from 384 px on: another convention.
        score = partial(_batches, partial(call, data_range=255.0, reduction="none", downsample=False))
        peers.append(Peer("piq", "wang2004", score))
    return peers


def agreement(*, pairs: int, size: int = 48, seed: int = 0) -> dict[str, float]:
    """Largest deviation from scikit-image in float64, of every convention that it offers.

    The images are textures, noise, flat ones and nearly flat ones, where cancellation would show.
    """
    from skimage.metrics import structural_similarity

    from gmaug.bench import pictures
    from gmaug.similarity.designs import random_pairs
    from gmaug.ssim import ssim_pairs

    rng = np.random.default_rng(seed)
    flat = rng.integers(0, 256, (40, 1, 1)) + rng.integers(0, 3, (40, size, size))
    noise = rng.integers(0, 256, (40, size, size))
    kinds = [pictures(120, size, seed=seed), np.clip(flat, 0, 255).astype(np.uint8), noise.astype(np.uint8)]
    images = np.concatenate(kinds)
    chosen = random_pairs(len(images), pairs, rng)
    gaussian = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
    worst = {}
    for name, options in (("paper", {}), ("wang2004", gaussian)):
        ours = ssim_pairs(images, chosen, convention=name)
        wide = images.astype(np.float64)
        theirs = [structural_similarity(wide[i], wide[j], data_range=255, **options) for i, j in chosen]
        worst[name] = float(np.abs(ours - theirs).max())
    return worst
