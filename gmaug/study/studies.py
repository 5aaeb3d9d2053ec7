"""The companion's own study: which gardens, which generator, which cells; recorded or run again.

``python -m gmaug record generators|cells|similarity|mae|sweep`` makes the records that the notebooks show. A
generator is trained once per garden (Fig. 5: M is trained only once) and its weights are part of
its record; the cells draw from those weights.
"""

from __future__ import annotations

import argparse
import os
import time
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import records
from gmaug.datasets.garden import FIRST_GARDENS
from gmaug.study.by_name import Recorded
from gmaug.study.generation import KINDS, generator_record, record_generator, weights_path
from gmaug.study.plan import FAMILIES, SEEDS, STUDIED, cells
from gmaug.study.sets import CIFAR10, study_set

if TYPE_CHECKING:
    from gmaug.experiment.cells import Material

FRESH_SEED = 4  # of real images for the arm `more-real`; 2 and 3 are drawn for judges


@cache
def material(name: str, root: Path | None = None) -> Material:
    """A set's arrays with its recorded generators, for the cells of the experiment."""
    from gmaug.experiment.cells import Material
    from gmaug.generators import FunctionGenerator
    from gmaug.provenance import digest, files_hash

    source, generators = study_set(name, root), {}
    for kind in KINDS:
        try:
            generator_record(name, kind, root=root)
        except records.Refused:
            continue  # arms without this generator can still be run
        generators[kind] = (Recorded(name, kind, root), files_hash([weights_path(name, kind)]))
    drawn = digest("fresh", name, FRESH_SEED, source.fresh(1, FRESH_SEED)[0])
    generators["real"] = (FunctionGenerator(FreshImages(name, root), name="fresh real images"), drawn)
    parts = (source.train, source.validation, source.test)
    return Material(name, source.classes, *parts, generators)


@dataclass(frozen=True)
class FreshImages:
    """Real images of a set by label, that none of its parts holds, drawn when they are asked for."""

    name: str
    root: Path | None = None

    def __call__(self, labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """One of each label, uint8 (n, 32, 32, 3)."""
        each = int(np.bincount(labels).max())
        seed = int(rng.integers(2**31)) + FRESH_SEED
        images, found = study_set(self.name, self.root).fresh(each, seed)
        taken = np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            mine = labels == label
            taken[mine] = np.flatnonzero(found == label)[: mine.sum()]
        return images[taken]


def add_parser(subparsers: Any) -> None:
    """Add ``record`` to the command line."""
    parser = subparsers.add_parser("record", help="make the recorded runs again", description=__doc__)
    parser.add_argument("what", choices=("generators", *FAMILIES))
    parser.add_argument("--gardens", nargs="+", metavar="NAME", help="default: those of the study")
    parser.add_argument("--generators", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--data", type=Path, help=f"folder that holds cifar10/, for --gardens {CIFAR10}")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="default: those of the study")
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS), metavar="K")
    parser.add_argument("--jobs", type=int, default=1, help="cells at once (default 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster to run the cells on")
    parser.add_argument(
        "--checkpoints", type=Path, default=Path("runs/recording"), help="default runs/recording"
    )
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    unknown = set(options.gardens or ()) - {*FIRST_GARDENS, CIFAR10}
    if unknown:
        there = ", ".join([*FIRST_GARDENS, CIFAR10])
        raise ValueError(f"--gardens {' '.join(sorted(unknown))}: unknown; there are {there}")
    start = time.perf_counter()
    if options.what == "generators":
        folder = options.checkpoints / "generators"
        for name in options.gardens or STUDIED:
            for kind in options.generators:
                print(record_generator(name, kind, checkpoints=folder, root=options.data), flush=True)
    else:
        from gmaug.experiment import run_cells

        wanted = cells(options.gardens, options.arms, options.seeds, family=options.what)
        run_cells(
            wanted, partial(material, root=options.data), directory=records.FOLDER / "experiment",
            jobs=options.jobs, threads=max(1, (os.cpu_count() or 1) // options.jobs),
            scheduler=options.scheduler, say=print,
        )  # fmt: skip
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes")
    return 0
