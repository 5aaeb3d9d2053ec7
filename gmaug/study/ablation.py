"""What the transition does: transitional against plain conditional training (section 3.5).

The same networks, data, seeds and number of images; only lambda differs (0 to 1 in the course of
the run, or 1 throughout). The last weights are compared, so that nothing is chosen.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import records
from gmaug.generators.settings import PROFILES, TransitionalCGANSettings
from gmaug.study.generation import extractor, watching
from gmaug.study.sets import StudySet, data_of, study_set

if TYPE_CHECKING:
    import pandas as pd

GARDEN = "garden-1"
SEEDS = (0, 1, 2)
WAYS = {"transitional": True, "plain": False}
SIDE = PROFILES["live"].resolution  # 16 px: six trainings take ten minutes of one core
SMALLEST = 3  # classes called the smallest
COLLAPSED = 0.5  # a class with less than half the diversity of its real images is called collapsed
MODULES = ("generators.cgan", "generators.extractor")


def settings_for(way: str, seed: int) -> TransitionalCGANSettings:
    """Settings of one training of the ablation."""
    return replace(
        PROFILES["live"], n_classes=len(_set().classes), transitional=WAYS[way], seed=seed,
        keep_best=False, threads=1,
    )  # fmt: skip


def _set() -> StudySet:
    return study_set(GARDEN, size=SIDE)


def record(way: str, seed: int, *, checkpoints: Path) -> Path:
    """Train, measure and record one of the six; a killed training goes on from `checkpoints`."""
    from gmaug.generators import TransitionalCGAN
    from gmaug.study.quality import quality

    source, title, settings = _set(), f"{GARDEN}-{way}-{seed}", settings_for(way, seed)
    model = TransitionalCGAN(settings).fit(
        *source.train,
        validation=source.validation,
        checkpoint=checkpoints / title,
        extractor=watching(GARDEN, size=SIDE),
    )
    smallest = np.argsort(source.counts, kind="stable")[:SMALLEST]
    content = {
        "way": way,
        "seed": seed,
        "history": model.history_,
        "distances": quality(source, model, extractor(GARDEN, size=SIDE)),
        "smallest": {source.classes[c]: int(source.counts[c]) for c in smallest},
        "samples": packed(model.sample(np.repeat(smallest, 6), seed=2)),
    }
    return records.write(
        "ablation",
        title,
        content,
        settings=settings,
        data=data_of(source),
        modules=MODULES,
        seconds=model.history_[-1]["seconds"],
        device=f"cpu, {settings.threads} thread",
    )


def packed(images: np.ndarray) -> str:
    """Images, uint8 (n, side, side, 3), as a PNG strip in text: a tenth of their numbers in JSON."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(np.concatenate(list(images), axis=1)).save(buffer, format="PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode("ascii")


def unpacked(text: str) -> np.ndarray:
    """The images of `packed`, uint8 (n, side, side, 3)."""
    from PIL import Image

    strip = np.asarray(Image.open(io.BytesIO(base64.b64decode(text))))
    return np.stack(np.split(strip, strip.shape[1] // strip.shape[0], axis=1))


def runs() -> list[dict[str, Any]]:
    """Contents of the recorded trainings that still hold, transitional ones first; empty if none."""
    found, hashed = [], data_of(_set())["hash"]
    for way in WAYS:
        for seed in SEEDS:
            path = records.path_of("ablation", f"{GARDEN}-{way}-{seed}")
            try:
                read = records.read(path, settings=settings_for(way, seed), data_hash=hashed)
            except records.Refused:
                continue
            found.append(read["content"])
    return found


def frame(contents: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """One row a training: distances and diversity, over all classes and over the smallest.

    Returns
    -------
    DataFrame
        ``way``, ``seed``, ``frechet``, ``recognised``, ``spread`` (means over classes), the same
        with ``_smallest`` (means over the smallest classes), and ``collapse``: the least
        diversity of a class at the end, relative to real images.
    """
    import pandas as pd

    source = _set()
    rows = []
    for one in contents:
        d, last = one["distances"], one["history"][-1]
        few = [source.classes.index(name) for name in one["smallest"]]
        rows.append(
            {
                "way": one["way"],
                "seed": one["seed"],
                "frechet": d["frechet"]["value"],
                "recognised": float(np.mean(d["recognised"])),
                "spread": float(np.mean(d["spread"])),
                "frechet_smallest": float(np.mean([d["frechet_by_class"][c] for c in few])),
                "frechet_smallest_floor": float(np.mean([d["frechet_by_class_floor"][c] for c in few])),
                "recognised_smallest": float(np.mean([d["recognised"][c] for c in few])),
                "spread_smallest": float(np.mean([d["spread"][c] for c in few])),
                "collapse": last["spread"],
            }
        )
    return pd.DataFrame(rows)


def compare(table: pd.DataFrame) -> pd.DataFrame:
    """Means and standard errors over seeds, and the paired difference transitional less plain.

    Returns
    -------
    DataFrame
        ``measure``, ``transitional``, ``transitional_se``, ``plain``, ``plain_se``,
        ``difference``, ``difference_se``, ``seeds``.
    """
    import pandas as pd

    sides = {way: table[table["way"] == way].set_index("seed") for way in WAYS}
    rows = []
    for measure in [column for column in table if column not in ("way", "seed")]:
        row: dict[str, Any] = {"measure": measure}
        for way, side in sides.items():
            row |= {way: float(side[measure].mean()), f"{way}_se": float(side[measure].sem())}
        difference = (sides["transitional"][measure] - sides["plain"][measure]).dropna()
        row |= {"difference": float(difference.mean()), "difference_se": float(difference.sem())}
        rows.append(row | {"seeds": len(difference)})
    return pd.DataFrame(rows)


def samples(contents: Iterable[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Samples of the smallest classes from the last seed of each way, uint8 (classes, each, h, w, 3)."""
    strips = {one["way"]: unpacked(one["samples"]) for one in contents}
    return {way: x.reshape(SMALLEST, -1, *x.shape[1:]) for way, x in strips.items()}


def judge(nb: Any, table: pd.DataFrame) -> None:
    """Verdicts on what the transition prevents, from `compare`'s table."""
    from scipy import stats

    if table.empty or table["seeds"].min() < 2:
        for claim in ("sec2.transition", "sec3.5.collapse"):
            nb.judge(claim, None, why="the ablation takes three trainings of each kind")
        return
    row = table.set_index("measure").loc["collapse"]
    half = stats.t.ppf(0.975, row["seeds"] - 1) * row["difference_se"]
    nb.judge(
        "sec2.transition",
        f"diversity of the least diverse class {row['transitional']:.2f}, plain {row['plain']:.2f}; "
        f"difference {row['difference']:+.2f} ± {row['difference_se']:.2f}",
        holds=bool(row["difference"] > half),
        why=f"{row['seeds']:.0f} seeds on {GARDEN} at {SIDE} px; a 95 % interval above zero would match",
    )
    nb.judge(
        "sec3.5.collapse",
        f"{row['plain']:.2f} ± {row['plain_se']:.2f} of real diversity in the least diverse class",
        holds=bool(row["plain"] < COLLAPSED),
        why=f"plain conditional training; less than {COLLAPSED:g} of real diversity would match",
    )
