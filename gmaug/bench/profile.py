"""Where the engine's time goes, and how far from the machine's limits that is.

For each convention and size the list of 2N pairs is scored on one core with a clock around each of
the engine's two steps. Beside it stand two bounds: the arithmetic at the rate of a loop of
multiply-adds that never leaves the registers, and the bytes at the rate of adding up a large
array. No engine that does this arithmetic and moves these bytes can take less than the larger.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from gmaug.bench.limits import bandwidth, multiply_adds
from gmaug.ssim import CONVENTIONS, engine, ssim_pairs
from gmaug.ssim.parts import bytes_per_image, keeps

# Additions and multiplications per window of the loops as they are written, conversions not counted.
# Plain window, nothing kept: 16 into three column sums, 3 x 6 across, 20 of Eq. 1. Weighted window:
# 16 across, 16 down and 1 product for each weighted sum; a pair has one and 20 of Eq. 1, an image two.
DIRECT = 54
WEIGHTED_PAIR, WEIGHTED_IMAGE = 53, 70
REPEATS = 3


@contextmanager
def _clocked() -> Iterator[dict[str, list[float]]]:
    """Processor seconds of the engine's two steps, and the images or pairs that went through them."""
    plain = {"describe": engine.describe, "cross": engine.cross}
    spent = {name: [0.0, 0] for name in plain}

    def clocked(name: str, item: int):
        def call(*arguments: Any, **options: Any) -> Any:
            start = time.process_time()
            result = plain[name](*arguments, **options)
            spent[name][0] += time.process_time() - start
            spent[name][1] += len(arguments[item])
            return result

        return call

    engine.describe, engine.cross = clocked("describe", 0), clocked("cross", 2)
    try:
        yield spent
    finally:
        engine.describe, engine.cross = plain["describe"], plain["cross"]


def shares(images: np.ndarray, pairs: np.ndarray, convention: str) -> dict[str, float]:
    """Processor time of a list of pairs on one core, by part; the fastest of a few runs.

    Returns
    -------
    dict
        ``us_per_pair``; ``statistics``, ``pairs`` and ``rest`` (sorting the list, copying pixels),
        shares of it; ``described_per_pair``, images whose statistics were computed.
    """
    ssim_pairs(images, pairs[:16], convention=convention, threads=1)  # compiled before the clock starts
    best = None
    for _ in range(REPEATS):
        with _clocked() as spent:
            start = time.process_time()
            ssim_pairs(images, pairs, convention=convention, threads=1)
            total = time.process_time() - start
        if best is None or total < best[0]:
            best = (total, spent)
    total, spent = best
    statistics, crossed = spent["describe"][0] / total, spent["cross"][0] / total
    return {
        "us_per_pair": 1e6 * total / len(pairs),
        "statistics": statistics,
        "pairs": crossed,
        "rest": max(0.0, 1 - statistics - crossed),
        "described_per_pair": spent["describe"][1] / len(pairs),
    }


def profile(
    table: pd.DataFrame,
    sizes: Sequence[int],
    *,
    images: int,
    per_image: int = 2,
    seed: int = 0,
    conventions: Sequence[str] = ("paper", "wang2004"),
) -> list[dict[str, Any]]:
    """The engine's profile on the list of 2N pairs, and the best ratio to scikit-image there could be.

    Parameters
    ----------
    table : DataFrame
        From :func:`gmaug.bench.speed`; of it the processor time of scikit-image's loop.
    images, per_image : int
        N, and pairs for each.

    Returns
    -------
    list of dict
        :func:`shares`, and per pair on one core: ``us_arithmetic`` and ``us_memory``, the two
        bounds; ``of_arithmetic`` and ``of_bandwidth``, the shares of the machine's rates that are
        reached; ``scikit_image_us``, ``ratio``, and ``ratio_at_the_bound``: of the processor times.
    """
    from gmaug.bench import pictures
    from gmaug.similarity.designs import random_pairs

    rate, moved = multiply_adds(), bandwidth()
    loop = table[table["contender"] == "scikit-image loop"].set_index(["convention", "size"])
    rows = []
    for size in sizes:
        stack = pictures(images, size, seed=seed)
        pairs = random_pairs(images, per_image * images, np.random.default_rng(seed))
        for name in conventions:
            convention = CONVENTIONS[name]
            found = shares(stack, pairs, name)
            windows = (size - convention.win_size + 1) ** 2
            again = found["described_per_pair"]
            keep = keeps(convention, pairs=len(pairs), images=images, device="cpu")
            held = bytes_per_image(convention, (1, size, size), keep=keep)
            if convention.window == "uniform":
                if keep:
                    raise ValueError(
                        f"per_image={per_image}: the profile is of lists with few pairs an image"
                    )
                seconds = DIRECT * windows / rate
            else:  # float64: half as many at a time
                seconds = (WEIGHTED_PAIR + again * WEIGHTED_IMAGE) * windows / (rate / 2)
            # A pair reads two images; describing one reads its pixels and writes all of it.
            seconds_memory = (2 * held + (again * (size**2 + held) if keep else 0)) / moved
            took, bound = found["us_per_pair"], 1e6 * max(seconds, seconds_memory)
            theirs = float(loop.loc[(name, size), "cpu_us_per_pair"])
            rows.append(
                {
                    "convention": name,
                    "size": size,
                    **found,
                    "us_arithmetic": 1e6 * seconds,
                    "us_memory": 1e6 * seconds_memory,
                    "of_arithmetic": 1e6 * seconds / took,
                    "of_bandwidth": 1e6 * seconds_memory / took,
                    "scikit_image_us": theirs,
                    "ratio": theirs / took,
                    "ratio_at_the_bound": theirs / bound,
                }
            )
    return rows
