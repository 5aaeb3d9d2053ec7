"""``python -m gmaug audit``: run one cheap record of each kind again and compare it with what was recorded.

A record is kept whatever the code is today; this says whether today's code still gives its numbers, within
the scatter stated for each. It takes minutes and is meant for a release, not for every test run. A kind
of record joins by a function in :data:`AUDITS`.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any

from gmaug.runs import NotRecorded, read_record


@dataclass(frozen=True)
class Check:
    """A number of a record beside the same number now."""

    what: str
    recorded: float
    now: float
    scatter: float  # how far apart the two may be
    why: str  # where the scatter comes from

    @property
    def holds(self) -> bool:
        """Whether both agree within the scatter."""
        return abs(self.now - self.recorded) <= self.scatter

    def __str__(self) -> str:
        sign = "ok  " if self.holds else "FAIL"
        return (
            f"{sign} {self.what}: recorded {self.recorded:.6g}, now {self.now:.6g}, "
            f"may differ by {self.scatter:.2g} ({self.why})"
        )


def metric(data: Path | None) -> Iterator[Check]:
    """The two metrics of the scene photographs, from the same pairs."""
    from gmaug.datasets import open_images
    from gmaug.similarity import measure

    record = read_record("metric", "scene")
    settings = record["settings"]
    images = open_images("scene", root=data) if data is not None else open_images("scene")
    now = measure(images, pairs=settings["pairs"], seed=settings["seed"]).to_dict()
    for name in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        then = record["content"]["similarity"][name]["value"]
        yield Check(f"metric/scene {name}", then, now[name]["value"], 1e-6, "the same pairs; rounding")


def cell(data: Path | None) -> Iterator[Check]:
    """A cell of the middle garden without generated images."""
    from gmaug.experiment import cell_of, frame, load_cells, run_cell
    from gmaug.studies import material

    record = read_record("cells/middle", "original_0")
    same = frame(load_cells(datasets=["middle"])).query("arm == 'original' and variant == ''")
    found = run_cell(cell_of(record), material("middle", 0, data))
    for score in ("balanced_accuracy", "auroc"):
        spread = 3 * float(same[score].std()) if len(same) > 1 else 0.05
        yield Check(
            f"cells/middle original_0 {score}", record["content"][score], found[score], spread,
            f"three deviations between {len(same)} repetitions",
        )  # fmt: skip


def first_round(data: Path | None) -> Iterator[Check]:
    """The first cell of the first round: a ResNet18 on a garden as it is."""
    from gmaug.classifiers import ResNet18, ResNet18Settings
    from gmaug.datasets.garden import FIRST_GARDENS, plant

    wanted = ("garden-1", "original")
    content = read_record("first_round", "cells")["content"]
    same = [one for one in content if (one["cell"]["dataset"], one["cell"]["arm"]) == wanted]
    about = same[0]["cell"]
    garden = plant(FIRST_GARDENS[about["dataset"]], seed=0)
    train, held, test = (
        (part.arrays(size=about["settings"]["size"]), part.labels)
        for part in (garden.train, garden.validation, garden.test)
    )
    model = ResNet18(ResNet18Settings(**about["settings"]["training"]))
    model.fit(*train, validation=held, seed=about["seed"])
    found = float((model.predict(test[0]) == test[1]).mean())
    spread = 3 * stdev(one["result"]["top1"] for one in same)
    yield Check(
        f"first_round/cells {' '.join(wanted)} top1", same[0]["result"]["top1"], found, spread,
        f"three deviations between {len(same)} seeds",
    )  # fmt: skip


AUDITS: dict[str, Callable[[Path | None], Iterator[Check]]] = {
    "metric": metric,
    "first_round": first_round,
    "cell": cell,
}
"""By kind: a function that takes the folder of real image sets, or None, and yields checks."""


def audit(kinds: list[str] | None = None, *, data: Path | None = None) -> list[Check]:
    """Run the audits of `kinds`, all by default, and print each check as it is done.

    `data` is the folder of the real image sets; where they are missing, what needs them is left out.
    """
    unknown = set(kinds or ()) - set(AUDITS)
    if unknown:
        raise ValueError(f"audit {' '.join(sorted(unknown))}: unknown; there are {', '.join(AUDITS)}")
    checks = []
    for kind in kinds or AUDITS:
        start = time.perf_counter()
        try:
            found = list(AUDITS[kind](data))
        except (FileNotFoundError, NotRecorded) as missing:
            print(f"left out {kind}: {missing}", flush=True)
            continue
        for check in found:
            print(check, flush=True)
        print(f"{kind}: {time.perf_counter() - start:.0f} s", flush=True)
        checks += found
    return checks


def add_parser(subparsers: Any) -> None:
    """Add ``audit`` to the command line."""
    parser = subparsers.add_parser(
        "audit", help="run one cheap record of each kind again and compare", description=__doc__
    )
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(AUDITS)}; default: all")
    parser.add_argument("--data", type=Path, default=None, help="folder that holds flowers/, scene/, ...")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    checks = audit(options.kinds, data=options.data)
    failed = sum(not check.holds for check in checks)
    print(f"{len(checks)} numbers compared, {failed} out of their scatter")
    return 1 if failed else 0
