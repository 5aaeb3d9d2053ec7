"""Small images that tests make for themselves."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmaug.datasets.folder import decoded

DATA = Path(os.environ.get("GMAUG_DATA", Path(__file__).parents[1] / ".." / "shared" / "data"))


def photographs(name):
    """Folder of real photographs, or skip."""
    if not (DATA / name).is_dir():
        pytest.skip(f"no photographs in {DATA / name}; set GMAUG_DATA")
    return DATA / name


def textures(n, size, *, seed=0, channels=None):
    """Random images with structure at two scales, uint8, shape (n, size, size[, channels])."""
    rng = np.random.default_rng(seed)
    shape = (n, size, size) if channels is None else (n, size, size, channels)
    coarse = rng.integers(0, 200, (n, -(-size // 4), -(-size // 4), *shape[3:]))
    grown = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :size, :size]
    return (grown + rng.integers(0, 56, shape)).astype(np.uint8)


def decode(source, **options):
    """One image file as the module reads it."""
    with decoded(source, **options) as image:
        return image


def write_folder(root, counts, *, size=16, seed=0):
    """Write PNGs; `counts` maps "class" or "super/sub" to a number of images."""
    for k, (name, count) in enumerate(counts.items()):
        folder = root / name
        folder.mkdir(parents=True, exist_ok=True)
        for i, pixels in enumerate(textures(count, size, seed=seed + k)):
            Image.fromarray(pixels).save(folder / f"{i}.png")
    return root
