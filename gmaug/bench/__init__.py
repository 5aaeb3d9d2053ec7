"""``make bench``: the metric's engine against its peers, as ratios in one run.

Absolute times belong to a machine and a moment; every contender is therefore timed in turn, on the
same pairs and cores, several times over, and the best time of each is taken. Peers work pair by
pair, so they are timed on as many pairs as fit a few seconds; ours on all, statistics included.
Beside the clock's time stands that of the processors, summed over threads and processes.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmaug import records
from gmaug.bench import limits as bench_limits, peers as bench_peers, profile as bench_profile
from gmaug.progress import bar
from gmaug.ssim import ssim_pairs
from gmaug.ssim.parts import cores as all_cores

MODULES = (
    "ssim.kernel",
    "ssim.weighted",
    "ssim.parts",
    "ssim.engine",
    "ssim.conventions",
    "similarity.pixels",
    "similarity",
    "similarity.streaming",
)


@dataclass(frozen=True)
class BenchSettings:
    """What is timed.

    Attributes
    ----------
    sizes : tuple of int
        Sides in pixels: the later script's, the paper's generators', the paper's metric's.
    pairs : tuple of int
        Lengths of the lists of pairs that ours is timed on.
    per_image : int
        Pairs for each image: the paper's 2N.
    most_images : int
        100 MB at 224 px; longer lists use the same images more often.
    peer_seconds : float
        A peer is timed on as many pairs as take about so long.
    repeats : int
    cores : int
        Threads of ours and of torch, processes of the scikit-image loop.
    seed : int
    """

    sizes: tuple[int, ...] = (32, 128, 224)
    pairs: tuple[int, ...] = (100, 1_000, 10_000, 100_000, 1_000_000)
    per_image: int = 2
    most_images: int = 2_000
    peer_seconds: float = 2.0
    repeats: int = 3
    cores: int = 2
    seed: int = 0

    def __post_init__(self) -> None:
        if self.cores < 1 or self.repeats < 1 or not self.sizes or not self.pairs:
            raise ValueError("cores and repeats are at least 1; sizes and pairs are not empty")


QUICK = {"pairs": (100, 1_000, 4_000), "most_images": 400, "peer_seconds": 0.3, "repeats": 1}


def pictures(n: int, size: int, *, seed: int) -> np.ndarray:
    """Random images with structure, uint8, shape (n, size, size); their content costs nothing."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 200, (n, -(-size // 8), -(-size // 8)), dtype=np.uint8)
    grown = coarse.repeat(8, axis=1).repeat(8, axis=2)[:, :size, :size]
    return grown + rng.integers(0, 56, (n, size, size), dtype=np.uint8)


def _pairs(images: int, count: int, rng: np.random.Generator) -> np.ndarray:
    from gmaug.similarity.designs import random_pairs

    return random_pairs(images, count, rng)


def _seconds(function, *arguments: Any) -> np.ndarray:
    """Seconds by the clock, and of processors; the latter hardly notices what else runs."""
    start, cpu = time.perf_counter(), time.process_time()
    function(*arguments)
    took = time.perf_counter() - start
    return np.array([took, time.process_time() - cpu + getattr(function, "elsewhere", 0.0)])


def speed(settings: BenchSettings, *, progress: bool = True) -> pd.DataFrame:
    """Time of every contender at every size.

    Returns
    -------
    DataFrame
        ``contender``, ``convention``, ``size``, ``images``, ``pairs`` (of the list), ``timed``
        (pairs that were timed), ``seconds`` (best), ``us_per_pair``, ``cpu_us_per_pair``.
    """
    import torch

    torch.set_num_threads(settings.cores)
    loops = {
        "paper": bench_peers.ScikitLoop(settings.cores),
        "wang2004": bench_peers.ScikitLoop(
            settings.cores, gaussian_weights=True, sigma=1.5, use_sample_covariance=False
        ),
    }
    peers = [bench_peers.Peer("scikit-image loop", name, loop) for name, loop in loops.items()]
    peers += bench_peers.torch_peers()
    rng, rows = np.random.default_rng(settings.seed), []
    with (
        bar(desc="bench", total=len(settings.sizes) * (settings.repeats + 1))
        if progress
        else _Silent() as shown
    ):
        for size in settings.sizes:
            images = pictures(settings.most_images, size, seed=settings.seed)
            base = settings.per_image * settings.most_images
            pairs = _pairs(len(images), base, rng)
            timed = [(p, _affordable(p.score, images, pairs, settings.peer_seconds)) for p in peers]
            contenders = [
                (f"ours, {name}", name, _ours(name, settings.cores), base) for name in _conventions(peers)
            ]
            contenders += [(p.name, p.convention, p.score, count) for p, count in timed]
            for _, _, score, count in contenders:
                score(images, pairs[: min(count, 64)])  # nothing is compiled or started on the clock
            best = dict.fromkeys(range(len(contenders)), np.full(2, np.inf))
            for _ in range(settings.repeats):
                for k, (_, _, score, count) in enumerate(contenders):
                    best[k] = np.minimum(best[k], _seconds(score, images, pairs[:count]))
                shown.update()
            for k, (name, convention, _, count) in enumerate(contenders):
                rows.append(_row(name, convention, size, len(images), base, count, best[k]))
            for count in settings.pairs:
                n = min(max(2, count // settings.per_image), len(images))
                more = _pairs(n, count, rng)
                score = _ours("paper", settings.cores)
                score(images[:n], more[:100])
                times = settings.repeats if count <= 100_000 else 1
                took = np.min([_seconds(score, images[:n], more) for _ in range(times)], axis=0)
                rows.append(_row("ours, paper", "paper", size, n, count, count, took))
            shown.update()
    for loop in loops.values():
        loop.close()
    return pd.DataFrame(rows)


class _Silent:
    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def update(self) -> None:
        pass


def _conventions(peers: list[bench_peers.Peer]) -> list[str]:
    return list(dict.fromkeys(peer.convention for peer in peers))


def _ours(convention: str, threads: int) -> bench_peers.Score:
    return lambda images, pairs: ssim_pairs(images, pairs, convention=convention, threads=threads)


def _affordable(score: bench_peers.Score, images: np.ndarray, pairs: np.ndarray, seconds: float) -> int:
    """How many pairs a peer gets through in `seconds`, and its warm-up."""
    score(images, pairs[:8])
    few = min(32, len(pairs))
    return int(np.clip(few * seconds / max(_seconds(score, images, pairs[:few])[0], 1e-6), few, len(pairs)))


def _row(name, convention, size, images, pairs, timed, seconds) -> dict[str, Any]:
    return {
        "contender": name, "convention": convention, "size": size, "images": images, "pairs": pairs,
        "timed": timed, "seconds": seconds[0], "us_per_pair": 1e6 * seconds[0] / timed,
        "cpu_us_per_pair": 1e6 * seconds[1] / timed,
    }  # fmt: skip


def ratios(table: pd.DataFrame, settings: BenchSettings) -> pd.DataFrame:
    """How many times as long each peer takes for a pair of the 2N list, against ours.

    Returns
    -------
    DataFrame
        One row per peer and size: ``ratio`` of the clock's time against ours in the peer's own
        convention, ``ratio_cpu`` of the processors' time, ``ratio_paper`` of the clock's against
        ours in the paper's convention, and pairs a second of both.
    """
    at = table[table["pairs"] == settings.per_image * settings.most_images]
    ours = at[at["contender"].str.startswith("ours")].drop_duplicates(["convention", "size"])
    ours = ours.set_index(["convention", "size"])
    cpu, ours = ours["cpu_us_per_pair"], ours["us_per_pair"]
    rows = []
    for _, row in at[~at["contender"].str.startswith("ours")].iterrows():
        rows.append(
            {
                "peer": row["contender"],
                "convention": row["convention"],
                "size": row["size"],
                "pairs_per_second": 1e6 / row["us_per_pair"],
                "ours_per_second": 1e6 / ours[row["convention"], row["size"]],
                "ratio": row["us_per_pair"] / ours[row["convention"], row["size"]],
                "ratio_cpu": row["cpu_us_per_pair"] / cpu[row["convention"], row["size"]],
                "ratio_paper": row["us_per_pair"] / ours["paper", row["size"]],
            }
        )
    return pd.DataFrame(rows)


def run(settings: BenchSettings, *, quick: bool = False, progress: bool = True) -> dict[str, Any]:
    """Everything ``make bench`` measures, as one JSON-able value of tables (lists of rows)."""
    table = speed(settings, progress=progress)
    content = {
        "speed": table.to_dict("records"),
        "ratios": ratios(table, settings).to_dict("records"),
        "agreement": bench_peers.agreement(pairs=1_000 if quick else 10_000, seed=settings.seed),
        "files": bench_limits.from_files(
            images=60 if quick else 600, cores=settings.cores, seed=settings.seed
        ),
        "memory": bench_limits.memory((200,) if quick else (1_000, 4_000, 16_000), cores=settings.cores),
        "limits": bench_limits.limits(settings.sizes, table, cores=settings.cores),
        "profile": bench_profile.profile(
            table,
            settings.sizes,
            images=settings.most_images,
            per_image=settings.per_image,
            seed=settings.seed,
        ),
        "load": bench_limits.load(),
    }
    return content


def add_parser(subparsers: Any) -> None:
    """Add ``bench`` to the command line."""
    parser = subparsers.add_parser("bench", help="time the metric against its peers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a minute: fewer pairs, one repeat")
    parser.add_argument("--cores", type=int, default=all_cores(), help="threads and processes (default: all)")
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for the tables")
    parser.add_argument(
        "--record", action="store_true", help="store the result in the package, with provenance"
    )
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    settings = BenchSettings(cores=options.cores, **(QUICK if options.quick else {}))
    start = time.perf_counter()
    content = run(settings, quick=options.quick)
    folder, kind = (records.FOLDER, "bench") if options.record else (options.out.parent, options.out.name)
    (folder / kind).mkdir(parents=True, exist_ok=True)
    files = []
    for name in ("speed", "ratios", "files", "memory", "limits", "profile"):
        files.append(f"{name}.csv")
        pd.DataFrame(content[name]).to_csv(folder / kind / files[-1], index=False, float_format="%.6g")
    path = records.write(
        kind,
        "metric",
        content,
        settings=asdict(settings),
        data={"name": "synthetic images", "images": settings.most_images, "hash": None},
        modules=MODULES,
        seconds=time.perf_counter() - start,
        device=f"cpu, {settings.cores} threads",
        files=files,
        folder=folder,
    )
    with pd.option_context("display.width", 120, "display.float_format", "{:.3g}".format):
        for name in ("ratios", "files", "memory", "limits", "profile"):
            print(f"\n{name}\n{pd.DataFrame(content[name]).to_string(index=False)}")
    print(f"\nlargest deviation from scikit-image: {content['agreement']}; written to {path}")
    return 0
