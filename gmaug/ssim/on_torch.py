"""The engine's two steps on torch tensors: for CUDA, where pairs are scored in large batches.

Plain windows are summed in whole numbers, others in float64, so the values are those of the
compiled engine to 1e-6.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from gmaug.backend import device as torch_device
from gmaug.ssim.conventions import Convention
from gmaug.ssim.parts import Described

if TYPE_CHECKING:
    import torch

BATCH_PIXELS = 2**24  # of a batch of pairs; some 0.8 GiB of sums in between


def describe(pixels: np.ndarray, convention: Convention, device: str) -> Described:
    """As :func:`gmaug.ssim.parts.describe`; all three attributes are tensors on `device`."""
    import torch

    x = torch.from_numpy(np.ascontiguousarray(pixels)).to(torch_device(device))
    step = _batch(x)
    parts = [_own(x[k : k + step], convention) for k in range(0, len(x), step)]
    return Described(x, torch.cat([p[0] for p in parts]), torch.cat([p[1] for p in parts]))


def cross(a: Described, b: Described, pairs: np.ndarray, convention: Convention) -> np.ndarray:
    """As :func:`gmaug.ssim.parts.cross`."""
    import torch

    c1, c2 = convention.constants()
    out = np.empty(len(pairs))
    step = _batch(a.pixels)
    for k in range(0, len(pairs), step):
        i, j = torch.from_numpy(pairs[k : k + step].T.copy()).to(a.pixels.device)
        x, y = _wide(a.pixels[i]), _wide(b.pixels[j])
        mean, n = _mean(x * y, convention)
        ux, uy = a.first[i], b.first[j]
        bessel = n / (n - 1) if convention.covariance == "sample" else 1.0
        m = ux * uy
        v, vxy = bessel * (a.second[i] + b.second[j]), bessel * (mean - m)
        value = ((2 * m + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (v + c2))
        out[k : k + step] = value.mean(dim=(1, 2, 3)).cpu().numpy()
    return out


def _batch(x: torch.Tensor) -> int:
    return max(1, BATCH_PIXELS // max(1, x[0].numel()))


def _wide(x: torch.Tensor) -> torch.Tensor:
    import torch

    return x.to(torch.int32)


def _own(x: torch.Tensor, convention: Convention) -> tuple[torch.Tensor, torch.Tensor]:
    x = _wide(x)
    mean, _ = _mean(x, convention)
    square, _ = _mean(x * x, convention)
    return mean, square - mean * mean


def _mean(x: torch.Tensor, convention: Convention) -> tuple[torch.Tensor, int]:
    """Window means in float64, and the pixels of a window."""
    import torch

    if convention.window == "global":
        n = x.shape[-1] * x.shape[-2]
        return x.sum(dim=(2, 3), keepdim=True, dtype=torch.int64).to(torch.float64) / n, n
    side = convention.win_size
    n = side * side
    weights = [1] * side if convention.window == "uniform" else convention.weights().tolist()
    x = x if convention.window == "uniform" else x.to(torch.float64)
    for dim in (2, 3):
        length = x.shape[dim] - side + 1
        total = weights[0] * x.narrow(dim, 0, length)
        for k in range(1, side):
            total = total + weights[k] * x.narrow(dim, k, length)
        x = total
    return (x.to(torch.float64) / n if convention.window == "uniform" else x), n
