"""``make bench``: the metric against its peers, in one run.

Absolute times belong to a machine and a moment, so every contender is timed on the same pairs of the same
images, one after another, on one core; ``pytest-benchmark`` prints each beside the fastest of its group.
Peers are called as their own users would call them. What the project promises is asserted at the end, on
processor time, which hardly notices what else runs.

``--record`` writes the ratios to ``notebooks/recorded/bench/metric.json``, which notebook 03 shows.
"""

import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gmaug.backend import torchvision
from gmaug.datasets.folder import open_folder
from gmaug.similarity import measure, random_pairs
from gmaug.ssim import CONVENTIONS, ssim_pairs

SIZES = (32, 128, 224)  # the later script's, the paper's generators', the paper's metric's
IMAGES = 1000  # 50 MB at 224 px: more than the caches hold
BATCH_PIXELS = 2**20  # pairs a torch library gets at once: 20 at 224 px, 64 at 128 px
GAUSSIAN = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}
PROMISED = {  # times the peer's processor time over ours at 128 px
    ("scikit-image loop", "paper"): 25,
    ("scikit-image loop", "wang2004"): 4,
    ("torchmetrics", "torchmetrics"): 10,
    ("pytorch-msssim", "wang2004"): 10,
    ("piq", "wang2004"): 10,
}


def pictures(n, size, *, seed=0):
    """Random images with structure, uint8, shape (n, size, size); their content costs nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (n, -(-size // 8), -(-size // 8)), dtype=np.uint8)
    grown = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]
    return grown + rng.integers(0, 56, (n, size, size), dtype=np.uint8)


def ours(convention, images, pairs):
    return ssim_pairs(images, pairs, convention=convention, threads=1)


def scikit_loop(options, images, pairs):
    from skimage.metrics import structural_similarity

    return np.array(
        [structural_similarity(images[i], images[j], data_range=255, **options) for i, j in pairs]
    )


def on_torch(library, images, pairs):
    """One of the libraries that score batches of float images."""
    import torch

    torch.set_num_threads(1)
    torchvision()  # torchmetrics and piq import it
    if library == "torchmetrics":
        from torchmetrics.functional.image import structural_similarity_index_measure as score

        options = {"data_range": 255.0, "reduction": "none"}
    elif library == "pytorch-msssim":
        from pytorch_msssim import ssim as score

        options = {"data_range": 255, "size_average": False}
    else:
        from piq import ssim as score

        # Without `downsample` it would shrink images from 384 px on: another convention.
        options = {"data_range": 255.0, "reduction": "none", "downsample": False}
    stack, found = torch.from_numpy(images[:, None]), []
    step = max(1, BATCH_PIXELS // images[0].size)
    with torch.inference_mode():
        for k in range(0, len(pairs), step):
            i, j = torch.from_numpy(pairs[k : k + step].T.copy())
            found.append(score(stack[i].float(), stack[j].float(), **options).numpy())
    return np.concatenate(found)


CONTENDERS = {
    ("ours", "paper"): partial(ours, "paper"),
    ("scikit-image loop", "paper"): partial(scikit_loop, {}),
    ("ours", "wang2004"): partial(ours, "wang2004"),
    ("scikit-image loop", "wang2004"): partial(scikit_loop, GAUSSIAN),
    ("pytorch-msssim", "wang2004"): partial(on_torch, "pytorch-msssim"),
    ("piq", "wang2004"): partial(on_torch, "piq"),
    ("ours", "torchmetrics"): partial(ours, "torchmetrics"),
    ("torchmetrics", "torchmetrics"): partial(on_torch, "torchmetrics"),
}


@pytest.fixture(scope="module", params=SIZES)
def pairs_of(request):
    """Size, images, and random pairs of them, few enough for the slowest peer."""
    size = request.param
    images = pictures(IMAGES, size)
    return size, images, random_pairs(IMAGES, 2_000_000 // size**2, np.random.default_rng(0))


@pytest.mark.parametrize("contender", CONTENDERS, ids=", ".join)
def test_pairs(benchmark, pairs_of, contender):
    size, images, pairs = pairs_of
    benchmark.group = f"{len(pairs)} pairs at {size} px, {contender[1]}"
    values = benchmark.pedantic(CONTENDERS[contender], (images, pairs), rounds=3, warmup_rounds=1)
    assert np.abs(values - ours(contender[1], images, pairs)).max() < 1e-4  # float32 in some peers


def processor_seconds(score, images, pairs, *, rounds=3):
    score(images, pairs[:4])  # nothing is compiled or imported on the clock
    found = []
    for _ in range(rounds):
        start = time.process_time()
        score(images, pairs)
        found.append(time.process_time() - start)
    return min(found)


def test_the_promised_ratios(request):
    """Ours on 2N pairs of N images, caches included; peers on as many pairs as fit a second or two."""
    rows = []
    for size in SIZES:
        images, rng = pictures(IMAGES, size), np.random.default_rng(0)
        base, few = random_pairs(IMAGES, 2 * IMAGES, rng), random_pairs(IMAGES, 3_000_000 // size**2, rng)
        mine = {
            name: processor_seconds(partial(ours, name), images, base)
            for name in ("paper", "wang2004", "torchmetrics")
        }
        for (peer, convention), score in CONTENDERS.items():
            if peer != "ours":
                theirs = processor_seconds(score, images, few) / len(few)
                per_second = {"pairs_per_second": 1 / theirs, "ours_per_second": len(base) / mine[convention]}
                ratio = theirs * len(base) / mine[convention]
                rows.append(
                    {"peer": peer, "convention": convention, "size": size, **per_second, "ratio": ratio}
                )
                print(f"{peer:18} {convention:13} {size:4} px  {ratio:6.1f}")
    if request.config.getoption("--record"):
        from gmaug import runs

        runs.write_record(
            "bench",
            "metric",
            {"ratios": rows},
            settings={"sizes": SIZES, "pairs": "2n", "clock": "processor"},
            data={"name": "synthetic images", "images": IMAGES, "hash": None},
            seconds=time.process_time(),
            device="cpu, 1 thread",
        )
    found = {(row["peer"], row["convention"]): row["ratio"] for row in rows if row["size"] == 128}
    assert {key: found[key] for key, least in PROMISED.items() if found[key] < least} == {}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """600 JPEG files in five classes."""
    root, rng = tmp_path_factory.mktemp("files"), np.random.default_rng(0)
    for k in range(600):
        path = root / f"class{k % 5}" / f"{k}.jpg"
        path.parent.mkdir(exist_ok=True)
        pixels = rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((320, 240), Image.Resampling.BICUBIC).save(path, quality=85)
    return root


def open_two_files_per_pair(root, pairs):
    """The loop of a short script; no part of it is done once."""
    from skimage.metrics import structural_similarity

    paths, paper = sorted(Path(root).rglob("*.jpg")), CONVENTIONS["paper"]
    for i, j in pairs:
        structural_similarity(*(paper.prepare(Image.open(paths[k])) for k in (i, j)), data_range=255)


@pytest.mark.parametrize("sampling", ["2n", "balanced"])
def test_from_files(benchmark, folder, sampling):
    benchmark.group = "2400 pairs of 600 JPEG files"
    benchmark.pedantic(lambda: measure(open_folder(folder), pairs=sampling, jobs=1, progress=False), rounds=3)


def test_from_files_by_a_loop(benchmark, folder):
    benchmark.group = "2400 pairs of 600 JPEG files"
    pairs = random_pairs(600, 2400, np.random.default_rng(0))
    benchmark.pedantic(open_two_files_per_pair, (folder, pairs), rounds=1)


MEMORY = """
import re, sys
from contextlib import nullcontext
import numpy as np
from PIL import Image
from gmaug.datasets.base import ImageSet
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import measure

class Drawn(ImageSet):
    def opened(self, index, *, size):
        pixels = np.random.default_rng(index).integers(0, 256, (56, 56), dtype=np.uint8)
        return nullcontext(Image.fromarray(pixels).resize((size, size), Image.Resampling.BILINEAR))

names = ["a", "b", "c", "d"]
images = Drawn("drawn", names, np.arange(24_000) % 4, Hierarchy.flat(names))
measure(images, pairs=sys.argv[1], progress=False)
print(int(re.search(r"VmHWM:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
@pytest.mark.parametrize("sampling", ["2n", "balanced"])
def test_24000_images_take_less_than_600_mb(sampling):
    run = subprocess.run([sys.executable, "-c", MEMORY, sampling], capture_output=True, text=True, check=True)
    print(f"peak memory of 24,000 images at 224 px, {sampling}: {float(run.stdout):.0f} MiB")
    assert float(run.stdout) < 600
