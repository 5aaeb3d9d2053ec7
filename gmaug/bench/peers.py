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
