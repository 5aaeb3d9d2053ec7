"""The companion's own study: which gardens, which generator, which cells; recorded or run again.

``python -m gmaug record generators|cells`` makes the records that the notebooks show. A
generator is trained once per garden (Fig. 5: M is trained only once) and its weights are part of
its record; the cells draw from those weights.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import records
from gmaug.datasets.base import Splits
from gmaug.datasets.garden import GARDENS, more, plant
from gmaug.generators.settings import PROFILES
from gmaug.provenance import digest

if TYPE_CHECKING:
    from gmaug.experiment import Cell
    from gmaug.experiment.cells import Material
    from gmaug.generators.cgan import TransitionalCGAN
    from gmaug.generators.extractor import Extractor

SIZE = 32  # pixels a side in training, as the garden's marks allow
STUDIED = ("garden-1", "garden-4", "garden-8")
ARMS = ("original", "cb-loss", "step-matched", "oversample", "cgan-aug", "cgan-augcls")
SEEDS = (0, 1, 2)
GARDEN_SEED = 0
EXTRACTOR_IMAGES = 400  # per class, drawn afresh: neither generator nor filter has seen them

RECORDED = replace(PROFILES["default"], n_classes=9, threads=1)
"""The generator of a garden: twenty minutes on one core."""

GENERATOR_MODULES = ("generators.cgan",)


@cache
def splits(name: str) -> Splits:
    """The images of a garden; the same in every cell, whatever its seed."""
    return plant(GARDENS[name], seed=GARDEN_SEED)


@cache
def training_arrays(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Training images, uint8 (n, 32, 32, 3), and labels (n,) of a garden."""
    train = splits(name).train
    return train.arrays(size=SIZE), train.labels


def generator_data(name: str) -> dict[str, Any]:
    """Name, count and digest of what a generator is trained on."""
    images, labels = training_arrays(name)
    return {"name": name, "images": len(images), "hash": digest_of(images, labels)}


def digest_of(images: np.ndarray, labels: np.ndarray) -> str:
    """Digest of a labelled set of images."""
    return digest(images, labels)


def recorded_generator(name: str) -> tuple[TransitionalCGAN, dict[str, Any]]:
    """The generator of a garden from its record, and the record.

    Raises
    ------
    gmaug.records.Refused
        If there is none, or its settings, images, source or weights differ from today's.
    """
    from gmaug.generators.cgan import TransitionalCGAN

    path = records.path_of("generators", name)
    record = records.read(path, settings=RECORDED, data_hash=generator_data(name)["hash"])
    return TransitionalCGAN.load(path.with_suffix(".safetensors")), record


def record_generator(name: str, *, checkpoints: Path) -> Path:
    """Train the generator of a garden and record its weights, curve and distances.

    Parameters
    ----------
    name : str
    checkpoints : Path
        Where the run is kept while it goes on; a killed one resumes there.
    """
    from gmaug.generators.cgan import TransitionalCGAN

    images, labels = training_arrays(name)
    validation = splits(name).validation
    generator = TransitionalCGAN(RECORDED).fit(
        images,
        labels,
        validation=(validation.arrays(size=SIZE), validation.labels),
        checkpoint=checkpoints / name,
    )
    weights = records.path_of("generators", name).with_suffix(".safetensors")
    weights.parent.mkdir(parents=True, exist_ok=True)
    generator.save(weights)
    # What is measured is what a reader loads: half-precision weights, not those in memory.
    content = {
        "history": generator.history_,
        "distances": distances(name, TransitionalCGAN.load(weights)),
    }
    return records.write(
        "generators",
        name,
        content,
        settings=RECORDED,
        data=generator_data(name),
        modules=GENERATOR_MODULES,
        seconds=generator.history_[-1]["seconds"],
        device=f"cpu, {RECORDED.threads} thread",
        files=[weights.name],
    )


def distances(name: str, generator: TransitionalCGAN) -> dict[str, Any]:
    """How far a generator's images are from test images, in features of a net of its own.

    The extractor is trained on real images that were drawn for it alone. Beside each distance
    stands the floor: as many fresh real images against the test images.

    Returns
    -------
    dict
        ``frechet``, ``frechet_floor``, ``kid``, ``kid_floor`` (as
        :class:`gmaug.generators.distance.Distance`); and by class, in the order of the garden,
        ``recognised`` and ``recognised_real`` (shares in [0, 1] of generated and of test images
        that the extractor puts in their class) and ``spread`` (diversity within the class
        relative to real images).
    """
    from gmaug.generators.distance import class_spread, frechet, kid
    from gmaug.provenance import plain

    test = splits(name).test
    labels = test.labels
    shown = {
        "real": test.arrays(size=SIZE),
        "made": generator.sample(labels, seed=1),
        "fresh": _fresh(name, int(np.bincount(labels).max()), seed=2),
    }
    judge = extractor(name)
    features = {key: judge(x) for key, x in shown.items()}

    def shares(key: str) -> list[float]:
        right = judge.logits(shown[key]).argmax(axis=1) == labels
        return [float(right[labels == c].mean()) for c in range(len(test.classes))]

    spreads = class_spread(features["real"], labels, features["made"], labels)
    return plain(
        {
            "frechet": frechet(features["real"], features["made"], name=judge.name),
            "frechet_floor": frechet(features["real"], features["fresh"], name=judge.name),
            "kid": kid(features["real"], features["made"], name=judge.name),
            "kid_floor": kid(features["real"], features["fresh"], name=judge.name),
            "recognised": shares("made"),
            "recognised_real": shares("real"),
            "spread": [spread.ratio for spread in spreads],
        }
    )


def _fresh(name: str, each: int, *, seed: int) -> np.ndarray:
    """Real images that no split holds, class by class, in the order of the test images."""
    settings = GARDENS[name]
    return more(settings, dict.fromkeys(settings.hierarchy.sub_classes, each), seed=seed).arrays(size=SIZE)


@cache
def extractor(name: str) -> Extractor:
    """A net trained on real images of a garden that no split holds: judge of what is generated."""
    from gmaug.generators.extractor import train_extractor

    images = _fresh(name, EXTRACTOR_IMAGES, seed=3)
    labels = np.repeat(np.arange(len(GARDENS[name].hierarchy.sub_classes)), EXTRACTOR_IMAGES)
    return train_extractor(images, labels, seed=0, threads=1)


@cache
def material(name: str) -> Material:
    """A garden's arrays with its recorded generator, for the cells of the experiment."""
    from gmaug.experiment.cells import Material
    from gmaug.provenance import files_hash

    generators = {}
    try:
        generator, _ = recorded_generator(name)
        weights = records.path_of("generators", name).with_suffix(".safetensors")
        generators = {"cgan": (generator, files_hash([weights]))}
    except records.Refused:
        pass  # arms without a generator can still be run
    return Material.of(splits(name), size=SIZE, name=name, generators=generators)


def cells(
    names: Iterable[str] = STUDIED, arms: Iterable[str] = ARMS, seeds: Iterable[int] = SEEDS
) -> list[Cell]:
    """The cells of the study, garden by garden."""
    from gmaug.experiment import Cell

    return [Cell(name, arm, seed) for name in names for arm in arms for seed in seeds]


def add_parser(subparsers: Any) -> None:
    """Add ``record`` to the command line."""
    parser = subparsers.add_parser("record", help="make the recorded runs again", description=__doc__)
    parser.add_argument("what", choices=("generators", "cells"))
    parser.add_argument("--gardens", nargs="+", default=list(STUDIED), metavar="NAME")
    parser.add_argument("--arms", nargs="+", default=list(ARMS), metavar="ARM")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="K")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once (default 1)")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path("runs/recording"), help="default runs/recording"
    )
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    unknown = set(options.gardens) - set(GARDENS)
    if unknown:
        raise ValueError(f"--gardens {' '.join(sorted(unknown))}: unknown; there are {', '.join(GARDENS)}")
    start = time.perf_counter()
    if options.what == "generators":
        for name in options.gardens:
            print(record_generator(name, checkpoints=options.checkpoints / "generators"), flush=True)
    else:
        from gmaug.experiment import run_cells

        wanted = cells(options.gardens, options.arms, options.seeds)
        threads = max(1, (os.cpu_count() or 1) // options.jobs)
        folder = records.FOLDER / "experiment"
        run_cells(wanted, material, directory=folder, jobs=options.jobs, threads=threads, say=print)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return 0
