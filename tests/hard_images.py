"""Images and options on which SSIM is compared with scikit-image."""

import numpy as np
from pictures import textures
from skimage.metrics import structural_similarity

SCIKIT = {
    "paper": {},
    "wang2004": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
    "authors32": {},
    "rgb": {"channel_axis": 2},
}


def scikit(x, y, **options):
    return structural_similarity(x.astype(np.float64), y.astype(np.float64), data_range=255, **options)


def hard_images(size, channels=None):
    """Noise, textures, flat ones, nearly flat ones, edges: where cancellation would show."""
    rng = np.random.default_rng(1)
    shape = (size, size) if channels is None else (size, size, channels)
    flat = [np.full(shape, v, np.uint8) for v in (0, 1, 128, 254, 255)]
    nearly = [np.clip(np.int64(v) + rng.integers(-1, 2, shape), 0, 255).astype(np.uint8) for v in (3, 250)]
    step = np.zeros(shape, np.uint8)
    step[:, size // 2 :] = 255
    noise = list(rng.integers(0, 256, (6, *shape)).astype(np.uint8))
    return np.stack([*flat, *nearly, step, *noise, *textures(6, size, channels=channels)])
