"""Run one cheap record of each kind again and compare it with what was recorded.

A record is kept whatever the code is today; this says whether today's code still gives its numbers, within
the scatter stated for each. It takes ten minutes, and is meant for a release, not for every test run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from statistics import stdev

import numpy as np
import record as study

from gmaug import experiment, runs
from gmaug.classifiers import ResNet18, ResNet18Settings
from gmaug.datasets import open_images
from gmaug.datasets.base import Splits
from gmaug.datasets.garden import FIRST_GARDENS, more, plant
from gmaug.equivalence import Arrays
from gmaug.generators import TransitionalCGAN, quality
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.runs import read_record, record_names
from gmaug.similarity import measure

Check = tuple[str, float, float, float, str]
"""What it is, the number recorded, the number now, how far apart they may be, and why so far."""


@cache
def first_garden(name: str) -> Splits:
    """A garden of the first round."""
    return plant(FIRST_GARDENS[name], seed=0)


def fresh(name: str, each: int, seed: int, size: int = 32) -> Arrays:
    """Further images of a garden of the first round, `each` of every class."""
    settings = FIRST_GARDENS[name]
    drawn = more(settings, dict.fromkeys(settings.hierarchy.sub_classes, each), seed=seed)
    return drawn.arrays(size=size), drawn.labels


def recall(name: str, train: Arrays, settings: dict, seed: int) -> np.ndarray:
    """Recall of each class on the test images of a garden of the first round, of a ResNet18."""
    held, test = first_garden(name).validation, first_garden(name).test
    model = ResNet18(ResNet18Settings(**settings))
    model.fit(*train, validation=(held.arrays(size=32), held.labels), seed=seed)
    right = model.predict(test.arrays(size=32)) == test.labels
    return np.array([right[test.labels == c].mean() for c in range(len(test.classes))])


def metric(data: Path) -> Iterator[Check]:
    """The two metrics of the scene photographs, from the same pairs."""
    record = read_record("metric", "scene")
    options = {name: record["settings"][name] for name in ("pairs", "seed")}
    now = measure(open_images("scene", root=data), **options).to_dict()
    for name in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        then = record["content"]["similarity"][name]["value"]
        yield f"scene {name}", then, now[name]["value"], 1e-6, "the same pairs; rounding"


def similarity(data: Path) -> Iterator[Check]:
    """The metric of the middle garden's training images, from the same pairs."""
    record = read_record("similarity", "middle")
    now = measure(study.image_sets("middle")[0].train, seed=record["settings"]["seed"]).to_dict()
    for name in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        then = record["content"][name]["value"]
        yield f"middle {name}", then, now[name]["value"], 1e-6, "the same pairs; rounding"


def generators(data: Path) -> Iterator[Check]:
    """The first two thousand images of a cGAN's training on a garden."""
    record = read_record("generators", "garden-1-cgan")
    train = first_garden("garden-1").train
    model = TransitionalCGAN(TransitionalCGANSettings.from_dict(record["settings"]))
    then = record["content"]["history"][0]
    model.fit(train.arrays(size=32), train.labels, callback=lambda *_: True)  # to the first report
    for name in ("loss_g", "loss_d"):
        yield f"garden-1-cgan {name}", then[name], model.history_[0][name], 0.05 * then[name], "a twentieth"


def ablation(data: Path) -> Iterator[Check]:
    """The first row of a plain training's history: the distance of its images, and their diversity."""
    records = [read_record("ablation", f"garden-1-plain-{seed}") for seed in range(3)]
    first = [one["content"]["history"][0] for one in records]
    parts = [first_garden("garden-1").train, first_garden("garden-1").validation]
    train, held = ((part.arrays(size=16), part.labels) for part in parts)
    watcher = quality.train_extractor(*fresh("garden-1", 200, 5, size=16), seed=1, threads=1)
    model = TransitionalCGAN(TransitionalCGANSettings.from_dict(records[0]["settings"]))
    model.fit(*train, validation=held, extractor=watcher, callback=lambda *_: True)
    for name in ("distance", "spread"):
        scatter = 3 * stdev(row[name] for row in first)
        now = model.history_[0][name]
        yield f"garden-1-plain-0 {name}", first[0][name], now, scatter, "three deviations between 3 seeds"


def usefulness(data: Path) -> Iterator[Check]:
    """A ResNet18 trained on real images alone, a hundred of each class."""
    record = read_record("usefulness", "garden-1")
    same = [row["accuracy"] for row in record["content"]["rows"] if row["images"] == "real"]
    train = fresh("garden-1", record["settings"]["each"], 100)
    now = float(recall("garden-1", train, record["settings"]["classifier"], 0).mean())
    yield "garden-1 real", same[0], now, 3 * stdev(same), f"three deviations between {len(same)} seeds"


def soundness(data: Path) -> Iterator[Check]:
    """A ResNet18 on a garden whose classes are all full."""
    record = read_record("soundness", "garden")
    settings, then = record["settings"], record["content"]["resnet18"]
    train = fresh(settings["garden"], settings["each"], 10)
    now = float(recall(settings["garden"], train, settings["resnet18"], settings["seed"]).mean())
    yield "garden resnet18", then["accuracy"], now, 3 * then["se"], "three standard errors of the test images"


def first_round(data: Path) -> Iterator[Check]:
    """The first cell of the first round: a ResNet18 on a garden as it is."""
    content, wanted = read_record("first_round", "cells")["content"], ("garden-1", "original")
    same = [one for one in content if (one["cell"]["dataset"], one["cell"]["arm"]) == wanted]
    cell, train = same[0]["cell"], first_garden("garden-1").train
    train = train.arrays(size=32), train.labels
    now = float(recall("garden-1", train, cell["settings"]["training"], cell["seed"]).mean())
    scores = [one["result"]["top1"] for one in same]
    why = f"three deviations between {len(same)} seeds"
    yield " ".join(("cells", *wanted, "top1")), scores[0], now, 3 * stdev(scores), why


def cells(data: Path) -> Iterator[Check]:
    """A cell of the middle garden without generated images."""
    record = read_record("cells/middle", "original_0")
    same = experiment.frame(experiment.load_cells(datasets=["middle"]))
    same = same.query("arm == 'original' and variant == ''")
    found = experiment.run_cell(experiment.cell_of(record), study.material("middle"))
    for score in ("balanced_accuracy", "auroc"):
        scatter = 3 * float(same[score].std()) if len(same) > 1 else 0.05
        why = f"three deviations between {len(same)} repetitions"
        yield f"middle original_0 {score}", record["content"][score], found[score], scatter, why


def equivalence(data: Path) -> Iterator[Check]:
    """The base alone of one recorded set, without its generator."""
    if not record_names("equivalence"):
        raise runs.NotRecorded("equivalence: not recorded")
    name = record_names("equivalence")[0]
    record = read_record("equivalence", name)
    about = {key: record["settings"][key] for key in ("name", "base", "seed", "size")}
    task = study.open_task(**about, root=data)
    steps, seed = record["settings"]["steps"], about["seed"]
    found = study.resnet_score(*task.base, task.test, steps=steps, seed=seed)
    then = record["content"]["cells"][0]
    for score, now in found.items():
        yield f"{name} base {score}", then[score], now, 0.05, "five points"


AUDITS = {
    one.__name__: one
    for one in (
        metric, similarity, generators, ablation, usefulness, soundness, first_round, cells, equivalence,
    )
}  # fmt: skip
NOT_AGAIN = {
    "bench": "speeds of a machine; `make bench` measures them anew",
    "speed": "speeds of a machine",
    "conventions": "seven minutes of the code that `metric` runs",
    "choice": "twenty minutes of trials behind a setting",
    "recipe": "an hour of trials behind a setting",
    "individuals": "a generator like that of `generators`",
    "mixing": "hours of the code that `generators` and `cells` run",
}


def audit(kinds: Sequence[str], data: Path) -> int:
    """Run audits, all where none is named, and print each number as it is compared; how many differ."""
    unknown = set(kinds) - set(AUDITS)
    if unknown:
        raise ValueError(f"{' '.join(sorted(unknown))}: unknown; there are {', '.join(AUDITS)}")
    failed = compared = 0
    for kind in kinds or AUDITS:
        begun = time.perf_counter()
        try:
            for what, then, now, scatter, why in AUDITS[kind](data):
                holds = abs(now - then) <= scatter
                compared, failed = compared + 1, failed + (not holds)
                numbers = f"recorded {then:.6g}, now {now:.6g}, may differ by {scatter:.2g} ({why})"
                print(f"{'ok  ' if holds else 'FAIL'} {kind}/{what}: {numbers}", flush=True)
        except (FileNotFoundError, runs.NotRecorded) as missing:
            print(f"left out {kind}: {missing}", flush=True)
            continue
        print(f"{kind}: {time.perf_counter() - begun:.0f} s", flush=True)
    for kind, why in NOT_AGAIN.items() if not kinds else ():
        print(f"not run again: {kind}, {why}")
    print(f"{compared} numbers compared, {failed} out of their scatter")
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 if all agree, 1 if not, 2 after one line on bad input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(AUDITS)}; default: all")
    parser.add_argument("--data", type=Path, default=study.DATA, help="folder that holds scene/, ...")
    options = parser.parse_args(arguments)
    try:
        return min(audit(options.kinds, options.data), 1)
    except ValueError as error:
        print(f"audit: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
