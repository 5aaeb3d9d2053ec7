"""The rest of the benchmark: from files, in memory, and against the machine's own limits."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

# Of the kernel's loops, per window of the 7 x 7 sum: what comes in and goes out of the column sums
# (2 products, 2 additions), 6 additions across, and the quotient of Eq. 1 (some 17).
OPERATIONS = 27
# Per window: two pixels of each image, its window sum (2 bytes) and its spread (4 bytes).
BYTES = 16

_MEMORY = """
import resource, sys, time
import numpy as np
from PIL import Image
from gmaug.datasets.base import ImageSet
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import measure

class Drawn(ImageSet):
    def image(self, index, *, size):
        pixels = np.random.default_rng(index).integers(0, 256, (56, 56), dtype=np.uint8)
        return Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR)
    def subset(self, indices):
        raise NotImplementedError

n, pairs, cores = int(sys.argv[1]), sys.argv[2], int(sys.argv[3])
names = ["a", "b", "c", "d"]
images = Drawn("drawn", names, np.arange(n) % 4, Hierarchy.flat(names))
start = time.perf_counter()
measure(images, pairs=pairs, jobs=cores, progress=False)
try:  # getrusage would start from the peak of the process that started this one
    status = open("/proc/self/status").read()
    peak = int(status.split("VmHWM:")[1].split()[0]) / 1024
except (OSError, IndexError):
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform != "darwin" else 2**20)
print(time.perf_counter() - start, peak)
"""


def memory(counts: Sequence[int], *, cores: int) -> list[dict[str, Any]]:
    """Peak resident memory and time of ``measure`` at 224 px, each in a process of its own."""
    rows = []
    for pairs in ("2n", "balanced"):
        for n in counts:
            run = subprocess.run(
                [sys.executable, "-c", _MEMORY, str(n), pairs, str(cores)],
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            seconds, peak = map(float, run.stdout.split())
            rows.append(
                {
                    "design": pairs, "images": n, "pairs": 4 * n, "pixels_mib": n * 224 * 224 / 2**20,
                    "peak_mib": peak, "seconds": seconds,
                }
            )  # fmt: skip
    return rows


def from_files(*, images: int, cores: int, seed: int) -> list[dict[str, Any]]:
    """From a folder of JPEG files to the two numbers, against a loop that opens two files per pair."""
    from PIL import Image

    from gmaug.datasets.folder import open_folder
    from gmaug.similarity import measure

    rng, rows = np.random.default_rng(seed), []
    with tempfile.TemporaryDirectory() as scratch:
        for k in range(images):
            folder = Path(scratch) / f"class{k % 5}"
            folder.mkdir(exist_ok=True)
            pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
            image = Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC)
            image.save(folder / f"{k}.jpg", quality=85)
        for pairs in ("2n", "balanced"):
            start = time.perf_counter()
            result = measure(open_folder(scratch), pairs=pairs, jobs=cores, progress=False)
            scored = result.ssim_merge_cls.pairs + sum(e.pairs for e in result.super_classes.values())
            rows.append(_files_row(f"ours, {pairs}", images, scored, scored, time.perf_counter() - start))
        paths = sorted(Path(scratch).rglob("*.jpg"))
        for name, count, loop in (
            ("open two files per pair, scikit-image", min(100, 2 * images), _open_each),
            ("open once, scikit-image", min(400, 4 * images), _open_once),
        ):
            chosen = rng.integers(0, len(paths), (count, 2))
            start = time.perf_counter()
            opening = loop(paths, chosen)
            took = time.perf_counter() - start
            # The loops run on one core; spread perfectly over all they would take this long.
            seconds = (opening + (took - opening) * 4 * images / count) / cores
            rows.append(_files_row(name, images, 4 * images, count, seconds))
    for row in rows:
        row["ratio"] = row["seconds"] / rows[0]["seconds"]
    return rows


def _files_row(way: str, images: int, pairs: int, timed: int, seconds: float) -> dict[str, Any]:
    return {"way": way, "images": images, "pairs": pairs, "timed": timed, "seconds": seconds}


def _prepared(path: Path) -> np.ndarray:
    from gmaug.datasets.folder import decode
    from gmaug.ssim import CONVENTIONS

    return CONVENTIONS["paper"].prepare(decode(path))


def _open_each(paths: Sequence[Path], pairs: np.ndarray) -> float:
    """Score pairs as a short script would; no part of it is done once."""
    from skimage.metrics import structural_similarity

    for i, j in pairs:
        structural_similarity(_prepared(paths[i]), _prepared(paths[j]), data_range=255)
    return 0.0


def _open_once(paths: Sequence[Path], pairs: np.ndarray) -> float:
    """Open every file first; the seconds that took."""
    from skimage.metrics import structural_similarity

    start = time.perf_counter()
    images = [_prepared(path) for path in paths]
    opening = time.perf_counter() - start
    for i, j in pairs:
        structural_similarity(images[i], images[j], data_range=255)
    return opening


def limits(sizes: Sequence[int], table: pd.DataFrame, *, cores: int) -> list[dict[str, Any]]:
    """How near the compiled loops come to what one core can do.

    The arithmetic rate is that of a loop of single-precision multiply-adds on numbers in the
    first cache; the division, which the quotient of Eq. 1 needs once per window, has a rate of
    its own, and is what the loops wait for. The bandwidth is that of adding up a large array.
    """
    from gmaug.bench import pictures
    from gmaug.ssim import CONVENTIONS, parts as ssim_parts

    rate, divisions, moved = multiply_adds(), _divisions(), bandwidth()
    rows = []
    for size in sizes:
        # Few images, so that all of them stay in cache: the arithmetic alone.
        described = ssim_parts.describe(pictures(4, size, seed=0)[:, None], CONVENTIONS["paper"], threads=1)
        count = max(64, 2_000_000 // size**2)
        pairs = np.stack([np.arange(count) % 4, (np.arange(count) + 1) % 4], axis=1)
        took = min(
            _clock(ssim_parts.cross, described, described, pairs, CONVENTIONS["paper"], threads=1)
            for _ in range(7)
        )
        windows = (size - 6) ** 2 * count
        ours = table[(table["size"] == size) & (table["contender"] == "ours, paper")]["us_per_pair"].min()
        rows.append(
            {
                "size": size,
                "us_per_pair_in_cache_one_core": 1e6 * took / count,
                "us_per_pair_all_cores": ours,
                "operations_per_ns": OPERATIONS * windows / took / 1e9,
                "machine_operations_per_ns": rate / 1e9,
                "share_of_arithmetic": OPERATIONS * windows / took / rate,
                "share_of_divisions": windows / took / divisions,
                "gb_per_s_at_full_speed": BYTES * windows / took * cores / 1e9,
                "machine_gb_per_s": moved / 1e9,
            }
        )
    return rows


def _clock(function, *arguments: Any, **options: Any) -> float:
    start = time.perf_counter()
    function(*arguments, **options)
    return time.perf_counter() - start


def _compiled():
    from numba import njit

    options = {"error_model": "numpy", "nogil": True}

    # Contraction to fused operations alone: full `fastmath` would see through the loop.
    @njit(fastmath={"contract"}, **options)
    def multiply_add(x, rounds):
        a, b = np.float32(1.000001), np.float32(1e-6)
        for _ in range(rounds):
            for j in range(x.shape[0]):
                # Eight in a row on one number: loads and stores do not count.
                v = x[j]
                v = v * a + b
                v = v * a + b
                v = v * a + b
                v = v * a + b
                v = v * a + b
                v = v * a + b
                v = v * a + b
                x[j] = v * a + b

    @njit(fastmath=True, **options)
    def divide(x, y, rounds):
        total = np.float32(0)
        for _ in range(rounds):
            y[0] += np.float32(1)
            for j in range(x.shape[0]):
                total += x[j] / y[j]
        return total

    return multiply_add, divide


def multiply_adds() -> float:
    """Single-precision operations a second of one core."""
    multiply_add, _ = _compiled()
    x = np.ones(1024, np.float32)
    multiply_add(x, 1)
    return 1024 * 16 * 4000 / min(_clock(multiply_add, x, 4000) for _ in range(7))


def _divisions() -> float:
    _, divide = _compiled()
    x, y = np.ones(1024, np.float32), np.ones(1024, np.float32)
    divide(x, y, 1)
    return 1024 * 4000 / min(_clock(divide, x, y, 4000) for _ in range(7))


def bandwidth() -> float:
    """Bytes a second that one core reads from memory."""
    x = np.ones(2**26, np.uint8).view(np.uint64)
    return x.nbytes / min(_clock(x.max) for _ in range(7))


def load() -> dict[str, Any]:
    """What else the machine was doing."""
    average = os.getloadavg() if hasattr(os, "getloadavg") else (None,) * 3
    return {"load_average": list(average), "cores": os.cpu_count()}
