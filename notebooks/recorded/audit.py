"""Run one cheap record of each kind again and compare it with what was recorded.

A record is kept whatever the code is today; this says whether today's code still gives its numbers, within
the scatter stated for each. It takes ten minutes, and is meant for a release, not for every test run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import stdev
from typing import Any

import further
import study

from gmaug import experiment, runs
from gmaug.classifiers import ResNet18, ResNet18Settings
from gmaug.datasets import open_images
from gmaug.datasets.garden import FIRST_GARDENS, GARDENS, more, plant
from gmaug.equivalence import Arrays
from gmaug.generators import TransitionalCGAN, quality
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.runs import read_record
from gmaug.similarity import measure

Check = tuple[str, float, float, float, str]
"""What it is, the number recorded, the number now, how far apart they may be, and why so far."""


def garden(name: str, size: int = 32) -> list[Arrays]:
    """Training, validation and test images of a garden of the first round."""
    found = plant(FIRST_GARDENS[name], seed=0)
    return [(part.arrays(size=size), part.labels) for part in (found.train, found.validation, found.test)]


def fresh(name: str, each: int, seed: int, size: int = 32) -> Arrays:
    """Further images of a garden of the first round, `each` of every class."""
    settings = FIRST_GARDENS[name]
    drawn = more(settings, dict.fromkeys(settings.hierarchy.sub_classes, each), seed=seed)
    return drawn.arrays(size=size), drawn.labels


def accuracy(name: str, settings: dict[str, Any], train: Arrays | None = None) -> float:
    """Of a ResNet18 trained on such a garden, or on other images, on its test images, which are balanced."""
    own, held, (images, truth) = garden(name)
    model = ResNet18(ResNet18Settings(**settings)).fit(*(train or own), validation=held, seed=0)
    return float((model.predict(images) == truth).mean())


def near(what: str, then: list[float], now: float, of: str) -> Check:
    """A number that scatters as those recorded `then` do, of which it is the first."""
    return what, then[0], now, 3 * stdev(then), f"three deviations between {len(then)} {of}"


def same_pairs(name: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[Check]:
    """Two measurements side by side."""
    for one in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        yield f"{name} {one}", then[one]["value"], now[one]["value"], 1e-6, "the same pairs; rounding"


def metric(data: Path) -> Iterator[Check]:
    """The two metrics of the scene photographs, from the same pairs."""
    record = read_record("metric", "scene")["content"]["similarity"]
    yield from same_pairs("scene", record, measure(open_images("scene", root=data), seed=0).to_dict())


def similarity(data: Path) -> Iterator[Check]:
    """The metric of the middle garden's training images, from the same pairs."""
    record = read_record("similarity", "middle")["content"]
    yield from same_pairs("middle", record, measure(study.image_sets("middle")[0].train, seed=0).to_dict())


def generators(data: Path) -> Iterator[Check]:
    """The cGAN of the middle garden, trained anew up to its first report."""
    record = read_record("generators", "middle-cgan")
    model = TransitionalCGAN(TransitionalCGANSettings.from_dict(record["settings"]))
    middle = plant(GARDENS["middle"], seed=0).train
    model.fit(middle.arrays(size=32), middle.labels, callback=lambda *_: True)
    for name in ("loss_g", "loss_d"):
        then = record["content"]["history"][0][name]
        why = "a hundredth: other processors add in another order"
        yield f"middle-cgan {name}", then, model.history_[0][name], 0.01 * abs(then), why


def ablation(data: Path) -> Iterator[Check]:
    """A plain conditional training up to its first report: distance and diversity of its images."""
    records = [read_record("ablation", f"garden-1-plain-{seed}") for seed in range(3)]
    train, held, _ = garden("garden-1", size=16)
    watcher = quality.train_extractor(*fresh("garden-1", 200, 5, size=16), seed=1, threads=1)
    model = TransitionalCGAN(TransitionalCGANSettings.from_dict(records[0]["settings"]))
    model.fit(*train, validation=held, extractor=watcher, callback=lambda *_: True)
    for name in ("distance", "spread"):
        then = [one["content"]["history"][0][name] for one in records]
        yield near(f"garden-1-plain-0 {name}", then, model.history_[0][name], "seeds")


def usefulness(data: Path) -> Iterator[Check]:
    """A ResNet18 trained on a hundred real images of each class."""
    record = read_record("usefulness", "garden-1")
    then = [row["accuracy"] for row in record["content"]["rows"] if row["images"] == "real"]
    now = accuracy("garden-1", record["settings"]["classifier"], fresh("garden-1", 100, 100))
    yield near("garden-1 real", then, now, "seeds")


def soundness(data: Path) -> Iterator[Check]:
    """A ResNet18 on a garden whose classes are all full."""
    record = read_record("soundness", "garden")
    settings, then = record["settings"], record["content"]["resnet18"]
    now = accuracy(settings["garden"], settings["resnet18"], fresh(settings["garden"], settings["each"], 10))
    yield "garden resnet18", then["accuracy"], now, 3 * then["se"], "three standard errors of the test images"


def first_round(data: Path) -> Iterator[Check]:
    """The first cell of the first round: a ResNet18 on a garden as it is."""
    every, wanted = read_record("first_round", "cells")["content"], ("garden-1", "original")
    same = [one for one in every if (one["cell"]["dataset"], one["cell"]["arm"]) == wanted]
    now = accuracy("garden-1", same[0]["cell"]["settings"]["training"])
    yield near("cells garden-1 original top1", [one["result"]["top1"] for one in same], now, "seeds")


def cells(data: Path) -> Iterator[Check]:
    """A cell of the middle garden without generated images."""
    records = [read_record("cells/middle", f"original_{seed}") for seed in (0, 1)]
    found = experiment.run_cell(experiment.cell_of(records[0]), study.material("middle"))
    for score in ("balanced_accuracy", "auroc"):
        then = [record["content"][score] for record in records]
        yield near(f"middle original_0 {score}", then, found[score], "repetitions")


def equivalence(data: Path) -> Iterator[Check]:
    """The classifier on the base alone, of the first record that there is."""
    name = next(iter(runs.record_names("equivalence")), "any")
    record = read_record("equivalence", name)
    about = {key: record["settings"][key] for key in ("base", "seed", "size")}
    task = further.open_task(record["settings"]["name"], root=data, **about)
    options = {"steps": record["settings"]["steps"], "seed": about["seed"]}
    for score, now in further.resnet_score(*task.base, task.test, **options).items():
        yield f"{name} base {score}", record["content"]["cells"][0][score], now, 0.05, "five points"


every = (metric, similarity, generators, ablation, usefulness, soundness, first_round, cells, equivalence)
AUDITS = {one.__name__: one for one in every}
NOT_AGAIN = {
    "bench": "speeds of a machine; `make bench` measures them anew",
    "speed": "speeds of a machine",
    "conventions": "seven minutes of the code that `metric` runs",
    "choice": "twenty minutes of trials behind a setting",
    "recipe": "an hour of trials behind a setting",
    "individuals": "a generator like those of `generators`",
    "mixing": "hours of the code that `generators` and `cells` run",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run audits, all where none is named, and print each number as it is compared: 1 if one differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help=f"of {', '.join(AUDITS)}; default: all")
    parser.add_argument("--data", type=Path, default=study.DATA, help="folder that holds scene/, ...")
    options = parser.parse_args(arguments)
    for kind in options.kinds:
        if kind not in AUDITS:
            parser.error(f"{kind}: unknown; there are {', '.join(AUDITS)}")
    failed = compared = 0
    for kind in options.kinds or AUDITS:
        begun = time.perf_counter()
        try:
            for what, then, now, scatter, why in AUDITS[kind](options.data):
                holds = abs(now - then) <= scatter
                compared, failed = compared + 1, failed + (not holds)
                numbers = f"recorded {then:.6g}, now {now:.6g}, may differ by {scatter:.2g} ({why})"
                print(f"{'ok  ' if holds else 'FAIL'} {kind}/{what}: {numbers}", flush=True)
        except (FileNotFoundError, runs.NotRecorded) as missing:
            print(f"left out {kind}: {missing}", flush=True)
        print(f"{kind}: {time.perf_counter() - begun:.0f} s", flush=True)
    for kind, why in NOT_AGAIN.items() if not options.kinds else ():
        print(f"not run again: {kind}, {why}")
    print(f"{compared} numbers compared, {failed} out of their scatter")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
