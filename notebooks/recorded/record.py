"""Make the recorded runs again: which cells and generators are recorded, and the command that does it all."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import further
import numpy as np
import pandas as pd
import study
from scipy.ndimage import uniform_filter

from gmaug import equivalence, experiment, runs
from gmaug.__main__ import status_of
from gmaug.datasets import open_images
from gmaug.experiment import Cell, CellSettings
from gmaug.experiment.cells import Arrays
from gmaug.generators import load_generator, make_generator, quality
from gmaug.published import EXPERIMENT_COLUMNS
from gmaug.similarity import measure
from gmaug.ssim import Convention, convention_named

# Generators (notebook 04)

SNAPSHOTS = (12, 30, 60, 100, 150, 200, 300, 450)  # kimg; the rungs of the ladder of quality
LADDERS = ("middle-cgan", "middle-diffusion")


def record_generator(name: str, kind: str, *, repetition: int, data: Path, checkpoints: Path) -> list[Path]:
    """Train a generator on a set's training images until its watched distance stops falling."""
    source, base = study.material(name, repetition, data), study.drawn(name)[0]
    if base in study.GARDENS:
        even = np.ones(len(source.classes), dtype=np.int64)
        judges, watchers = source.reserve(400 * even, -2), source.reserve(200 * even, -1)
    elif source.reserve is not None:
        watchers = source.reserve(source.counts.max() - source.counts + 1, 0)
        judges = tuple(np.concatenate(pair) for pair in zip(source.train, watchers, strict=True))
    else:  # natural counts leave nothing over: both nets know the training images
        judges = watchers = source.train
    title = study.title_of(base, repetition, kind)
    about = {"seed": repetition, "threads": 1, "n_classes": len(source.classes)}
    return trained_and_judged(
        title, make_generator(kind, shape=source.train[0].shape[1:3], profile="converged", **about),
        train=source.train, validation=source.validation, test=source.test, judges=judges, watchers=watchers,
        checkpoints=checkpoints, snapshots=SNAPSHOTS if title in LADDERS else (),
    )  # fmt: skip


def trained_and_judged(
    title: str, generator: Any, *, train: Arrays, validation: Arrays, test: Arrays, judges: Arrays,
    watchers: Arrays, checkpoints: Path, snapshots: Iterable[float] = (), folder: Path | None = None,
) -> list[Path]:  # fmt: skip
    """Train a generator, and record its weights, its curve and what its samples are worth.

    `judges` and `watchers` are real images for the net that judges samples and for the one that watches the
    training. The latter are not in `train`: a net that knows the training images by heart takes images which
    resemble them for something else. The weights of `snapshots`, in thousands of images, are recorded as
    ``<title>@<kimg>``.
    """
    threads = generator.settings.threads
    judge = quality.train_extractor(*judges, seed=0, threads=threads)
    watcher = quality.train_extractor(*watchers, seed=1, threads=threads)
    data = {"name": title.rpartition("-")[0], "images": len(train[0]), "hash": runs.digest(*train)}
    written: list[Path] = []

    def write(name: str) -> None:
        weights = runs.record_path("generators", name, ".safetensors", folder=folder)
        generator.save(weights)
        # what is measured is what a reader loads: half-precision weights, not those in memory
        loaded = load_generator(weights, threads=threads)
        content = {"history": generator.history_, "kept_kimg": generator.kimg_}
        content["distances"] = quality.quality(*test, loaded, judge)
        written.append(runs.write_record(
            "generators", name, content, settings=generator.settings.to_dict(), data=data,
            seconds=generator.history_[-1]["seconds"], files=[weights.name], folder=folder,
        ))  # fmt: skip

    def snapshot(_: Any, row: dict[str, Any]) -> None:
        for kimg in snapshots:
            name = f"{title}@{kimg:g}"
            if row["kimg"] >= kimg and not runs.record_path("generators", name, folder=folder).is_file():
                write(name)

    about = {"validation": validation, "callback": snapshot, "extractor": watcher}
    generator.fit(*train, checkpoint=checkpoints / title, **about)
    write(title)
    return written


# Cells of the experiment (notebooks 05 and 08)

HEADLINE = ("original", "oversample", "logit-adjusted", "more-real")
SIDE = ("duplicates", "cb-loss", "randaugment", "smote")
GENERATED = ("cgan-augcls", "cgan-aug", "diffusion-augcls", "diffusion-aug")
REFINED = ("cgan-weighted", "diffusion-weighted", "cgan-confident", "cgan-band", "cgan-vtss")
MIXED = ("cgan-mixed", "cgan-mixnear", "cgan-mixdistant", "diffusion-mixed", "diffusion-scoremix")
REPETITIONS = 6  # of the headline contrasts in gardens; three of all else
STEPS = (200, 400, 800, 1500, 3000, 6000)
EPOCHS = 30  # of the paper's comparison; its own 100 would be a night each
TARGETS = (250, 500, 1000, 2000)  # images a class; the largest has 250
RECIPES = {
    "lr0.1": {"lr": 0.1},
    "lr0.2": {"lr": 0.2},
    "cosine": {"schedule": "cosine"},
    "unsmoothed": {"smoothing": 0.0},
    "step": {"schedule": "step", "warmup": 0.0, "lr": 0.1, "nesterov": False, "weight_decay": 1e-4,
             "decay_all": True, "smoothing": 0.0},  # the paper's
}  # fmt: skip
FAMILIES = {
    "recipe": "ways to train, compared on validation images",
    "controls": "arms without generated images, on every set",
    "photographs": "arms with generated images, on photographs",
    "gardens": "arms with generated images, on gardens",
    "ladder": "snapshots along a generator's training, in the middle garden",
    "steps": "accuracy against steps",
    "targets": "accuracy against the count that classes are filled to, at fixed steps",
    "paper": "the paper's comparison: epochs fixed",
    "mae": "the second classifier",
    "mixed": "mixed classes as extra outputs, against pixel mixes",
}


def settings_of(name: str, *, training: Mapping[str, Any] = {}, **changes: Any) -> CellSettings:
    """Settings of a set's cells, but for `changes`, those of their `training` among them."""
    about, ways = study.PHOTOGRAPHS.get(study.drawn(name)[0]), dict(training)
    steps, target = (about.steps, about.target) if about else (study.GARDEN_STEPS, study.GARDEN_TARGET)
    settings = CellSettings(**{"steps": steps, "target": target} | changes)
    if about and settings.classifier == "resnet18":
        ways["width"] = about.width
    if settings.steps is None:
        ways |= {"epochs": EPOCHS, "steps": None}
    return replace(settings, training=replace(settings.training, **ways))


def plan(sets: Iterable[str] | None = None) -> dict[str, list[tuple]]:
    """Sets, arms, number of seeds, settings other than a set's own, and variant of each family's cells."""
    gardens, rungs = study.GARDENS, [f"{kind}-aug" for kind in sorted(study.generator_titles("middle"))]
    plain, pilot = ("original", "oversample"), {"steps": 1500, "target": "not majority"}
    side = {name: study.drawn(name)[0] in gardens for name in sets or study.SETS}
    on_gardens, on_photographs = ((*HEADLINE, *SIDE), REPETITIONS), ((*HEADLINE, "randaugment"), 3)
    paper = ("original", "cb-loss", "cgan-aug", "cgan-augcls", "diffusion-augcls")
    return {
        "recipe": [(["middle"], plain, 1, {"training": way, **pilot}, name) for name, way in RECIPES.items()],
        "controls": [
            ([name], *(on_gardens if of_garden else on_photographs), {}, "")
            for name, of_garden in side.items()
        ],
        "photographs": [(study.PHOTOGRAPHS, GENERATED[:3], 3, {}, "")],
        "gardens": [(gardens, GENERATED, REPETITIONS, {}, ""), (["middle"], REFINED, 3, {}, "")],
        "ladder": [(["middle.0"], (*rungs, *HEADLINE), 3, {}, "")],
        "steps": [
            (["middle", "cifar10-10", "ham10000"], (*plain, "cgan-augcls", "more-real"), 2, {"steps": n}, "")
            for n in STEPS
        ],
        "targets": [
            (["middle"], ("cgan-aug", "cgan-augcls", "more-real"), 3, {"target": n}, f"target{n}")
            for n in TARGETS
        ],
        "paper": [([*gardens, "flowers"], paper, 3, {"steps": None}, "epochs")],
        "mae": [(["middle", "cifar10-10"], (*plain, "cgan-augcls"), 3, {"classifier": "mae"}, "mae")],
        "mixed": [(["middle", "cifar10-10"], (*plain, "pixel-mixed", "cgan-augcls", *MIXED), 3, {}, "")],
    }


def cells(
    what: str, *, sets: Iterable[str] | None = None, arms: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None, steps: int | None = None,
) -> list[Cell]:  # fmt: skip
    """The cells of a family, first seeds first; `sets`, `arms`, `seeds` and `steps` replace its own.

    Other steps than a set's own are a variant, ``steps<n>``.
    """
    listed = []
    for own_sets, own_arms, count, changes, variant in plan(sets)[what]:
        names = own_sets if what == "controls" else sets or own_sets
        for name, arm in product(names, arms or own_arms):
            about, own, parts = study.PHOTOGRAPHS.get(study.drawn(name)[0]), settings_of(name), [variant]
            if arm == "more-real" and about and about.largest is None:
                continue  # nothing is left over
            length = steps or (changes.get("steps") if what == "steps" else None)
            if length not in (None, own.steps):
                parts.append(f"steps{length}")
            settings = settings_of(name, **changes | ({"steps": length} if length else {}))
            chosen = range(min(count, 3) if arm in SIDE else count) if seeds is None else seeds
            listed += [Cell(name, arm, seed, settings, "-".join(filter(None, parts))) for seed in chosen]
    return sorted(dict.fromkeys(listed), key=lambda cell: cell.seed)


def ready(listed: Iterable[Cell]) -> tuple[list[Cell], dict[str, int]]:
    """Cells whose generator is recorded, and how many are not, by set and generator."""
    there, missing = [], Counter()
    for cell in listed:
        generator = experiment.find(cell.arm).generator
        if generator is None or generator in study.generator_titles(cell.dataset, cell.seed):
            there.append(cell)
        else:
            missing[f"{cell.dataset} {generator}"] += 1
    return there, missing


def record_cells(what: str, options: argparse.Namespace) -> int:
    """Run those of a family that are not recorded; how many failed."""
    chosen = {name: getattr(options, name) for name in ("sets", "arms", "seeds", "steps")}
    listed, missing = ready(cells(what, **chosen))
    for about, count in missing.items():
        print(f"{what}: {count} cells wait for the generator of {about}, which is not recorded")
    left = [cell for cell in listed if options.again or not experiment.recorded(cell, folder=options.folder)]
    print(f"{what}: {len(left)} of {len(listed)} cells to run", flush=True)
    if options.list:
        print(*left, sep="\n")
        return 0
    try:
        experiment.run_cells(
            left, partial(study.material, data=options.data), folder=options.folder, jobs=options.jobs,
            threads=1, scheduler=options.scheduler, again=options.again, say=partial(print, flush=True),
        )  # fmt: skip
    except experiment.CellsFailed as error:  # the other families can still be run
        print(f"{what}: {error}", flush=True)
        return len(error.failures)
    return 0


def experiment_table(folder: Path | None = None) -> pd.DataFrame:
    """What the recorded cells say of each set and arm, as :func:`gmaug.published.experiments` has it."""
    records, rows, of = experiment.load_cells(folder=folder), [], {}
    for record in records:
        of.setdefault((record["settings"]["dataset"], record["settings"]["arm"]), []).append(record)
    known = experiment.frame(records)
    main = known[(known["variant"] == "") & ~known["arm"].str.contains("@")]  # no snapshots of a training
    for row in experiment.contrasts(main, scores=["balanced_accuracy"]).itertuples():
        similar, base = np.nan, row.dataset.partition(".")[0]
        if base in runs.record_names("similarity", folder=folder):
            measured = runs.read_record("similarity", base, folder=folder)["content"]
            similar = measured["ssim_sup_sub_cls"]["value"]
        n = np.array(of[row.dataset, row.arm][0]["content"]["counts_before"])
        date = max(record["made"]["date"] for record in of[row.dataset, row.arm])
        rows.append([row.dataset, int(n.sum()), len(n), round(float(n.max() / n.min()), 2), similar, row.arm,
                     row.difference, row.low, row.high, row.pairs, date])  # fmt: skip
    return pd.DataFrame(rows, columns=list(EXPERIMENT_COLUMNS)).round(4)


# The metric (notebook 03)

METRIC = {
    "pairs": "2n",  # the paper's
    "seed": 0,
    "sizes": (32, 64, 128),  # the paper's convention at other sizes
    "conventions": ("wang2004", "authors32", "global", "rgb"),
    "smooth_images": 200,  # of each super-class; the share of smooth windows is a mean over them
}
SEARCH = {"images": 600, "seed": 0, "pairs": "2n"}  # images of each set
WINDOWS = {
    "7x7": {},
    "11x11": {"win_size": 11},
    "Gaussian": {"window": "gaussian", "win_size": 11, "covariance": "population"},
    "whole image": {"window": "global", "covariance": "population"},
}


def record_similarity(name: str, data: Path = study.DATA) -> Path:
    """Record the metric of a set's training images, in the paper's convention: Fig. 7's abscissa."""
    begun, train = time.perf_counter(), study.image_sets(name, data=data)[0].train
    content = measure(train, seed=0).to_dict()
    about = {"name": name, "images": len(train), "hash": runs.digest(train.labels, list(train.classes))}
    took = time.perf_counter() - begun
    return runs.write_record("similarity", name, content, settings={"seed": 0}, data=about, seconds=took)


def record_metric(name: str, data: Path = study.DATA) -> Path:
    """Record the metric of one of the paper's data sets."""
    begun, images = time.perf_counter(), open_images(name, root=data)
    content, took = metric_content(images), time.perf_counter() - begun
    about = {"name": name, "images": len(images), "hash": runs.files_hash(images.paths)}
    return runs.write_record("metric", name, content, settings=METRIC, data=about, seconds=took)


def record_conventions(names: Sequence[str], data: Path = study.DATA) -> Path:
    """Record the search of conventions on several of the paper's data sets."""
    begun, sets = time.perf_counter(), {name: open_images(name, root=data) for name in names}
    content, took = search_conventions(sets), time.perf_counter() - begun
    hashes = [runs.files_hash(images.paths) for images in sets.values()]
    about = {"name": " and ".join(sets), "images": sum(map(len, sets.values())), "hash": runs.digest(*hashes)}
    return runs.write_record("conventions", "search", content, settings=SEARCH, data=about, seconds=took)


def metric_content(images: Any) -> dict[str, Any]:
    """``similarity``; ``by_convention``, the paper's first; ``smooth``."""
    paper, options = convention_named("paper"), {key: METRIC[key] for key in ("pairs", "seed")}
    others = [replace(paper, name=f"paper at {size} px", size=size) for size in METRIC["sizes"]]
    found = [measure(images, convention=c, **options) for c in (paper, *others, *METRIC["conventions"])]
    return {
        "similarity": found[0].to_dict(),
        "by_convention": [one.to_row() for one in found],
        "smooth": smooth_share(images, each=METRIC["smooth_images"]),
    }


def smooth_share(images: Any, *, each: int, seed: int = 0) -> dict[str, float]:
    """Share of 7x7 windows with a standard deviation below sqrt(C2) = 7.65, by super-class.

    There the constant C2 weighs more than the image, and Eq. 1 tends to one whatever is shown. At most
    `each` images of a super-class are looked at.
    """
    paper, rng, shares = convention_named("paper"), np.random.default_rng(seed), {}
    for name, members in images.hierarchy.members(images.labels, images.classes).items():
        found = []
        for index in rng.choice(members, min(each, len(members)), replace=False):
            x = paper.prepare(images.image(int(index), size=paper.size)).astype(float)
            variance = uniform_filter(x * x, paper.win_size) - uniform_filter(x, paper.win_size) ** 2
            found.append(float((variance[3:-3, 3:-3] < paper.constants()[1]).mean()))
        shares[name] = float(np.mean(found))
    return shares


def search_conventions(sets: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The metric of some images of each set under every combination of window, size and fit, in grey."""
    rng, some = np.random.default_rng(SEARCH["seed"]), {}
    for name, whole in sets.items():
        chosen = rng.choice(len(whole), min(SEARCH["images"], len(whole)), replace=False)
        some[name] = whole.subset(np.sort(chosen))
    rows = []
    for size, fit, window in product((32, 64, 128, 224), ("crop", "stretch"), WINDOWS):
        convention = Convention(size=size, fit=fit, **WINDOWS[window])
        rows.append({"window": window, "size": size, "fit": fit})
        for name, part in some.items():
            found = measure(part, convention=convention, seed=SEARCH["seed"], progress=False)
            rows[-1][f"{name} merge"] = found.ssim_merge_cls.value
            rows[-1][f"{name} sup_sub"] = found.ssim_sup_sub_cls.value
    return rows


# The command

OTHERS = {
    "metric": "the metric of photographs, in several conventions and sizes",
    "conventions": "the search of conventions behind Table 5",
    "similarity": "the metric of every set's training images",
    "generators": "training of the generators, with their weights",
    "equivalence": "generated against further real images",
    "recognition": "mixed classes in recognition",
    "summary": "the table of experiments that the installed package quotes",
}
"""What is recorded and is no cell."""


def others(what: str, options: argparse.Namespace) -> Iterator[tuple[str, Callable[[], Any] | None]]:
    """What is to be made of a kind of :data:`OTHERS`: how to call it, and a function that makes it."""
    sets, data, kinds, seeds = options.sets, options.data, options.generators, options.seeds
    where = {"checkpoints": options.checkpoints}
    if what == "metric":
        for name in sets or ("flowers", "scene"):
            yield name, partial(record_metric, name, data)
    elif what == "conventions":
        names = sets or ("flowers", "scene")
        yield ", ".join(names), partial(record_conventions, names, data)
    elif what == "similarity":
        for name in sets or study.SETS:
            yield name, partial(record_similarity, name, data)
    elif what == "generators":
        for repetition, name, kind in product(seeds or (0,), sets or study.SETS, kinds or study.KINDS):
            if repetition and study.drawn(name)[0] not in study.GARDENS:
                continue  # photographs are always the same
            there = kind in study.generator_titles(name, repetition) and not options.again
            make = partial(record_generator, name, kind, repetition=repetition, data=data, **where)
            state = "recorded" if there else "to be trained"
            yield f"{name} {kind} repetition {repetition}: {state}", None if there else make
    elif what == "equivalence":
        given = {schedule: tuple(getattr(options, f"{schedule}_fixed")) for schedule in equivalence.AMOUNTS}
        amounts = {schedule: multiples for schedule, multiples in given.items() if multiples}
        if not amounts:
            raise ValueError("no amounts: give --steps-fixed or --epochs-fixed one number or more")
        about = {"kimg": options.kimg, "steps": options.steps or 400, "open_set": options.open_set}
        about |= {"amounts": amounts, "size": options.size, "root": data, "folder": options.folder}
        wanted = product(sets or ("middle",), kinds or ("cgan",), seeds or range(3), options.bases)
        for name, kind, seed, base in wanted:
            make = partial(further.record_equivalence, name, base, kind, seed, **about)
            yield f"{name} base {base} {kind} seed {seed}", make
    elif what == "recognition" and sets == ["live"]:
        yield "live", partial(further.record_live_generator, folder=options.folder, **where)
    elif what == "recognition":
        about = {"steps": options.steps or 1500, "root": data, "arms": options.arms, "folder": options.folder}
        for seed, name in product(seeds or range(3), sets or further.IDENTITIES):
            size = further.IDENTITIES.get(name, {})
            make = partial(further.record_recognition, name, seed=seed, **size, **about, **where)
            yield f"{name} seed {seed}", make
    else:
        path = runs.PACKAGE / "published" / "experiments.csv"
        yield path.name, lambda: runs.write_text(path, experiment_table(options.folder).to_csv(index=False))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    told = "\n".join(f"  {name:13}{text}" for name, text in (OTHERS | FAMILIES).items())
    parser = argparse.ArgumentParser(
        description="Make the runs that the notebooks show as recorded. What is there already stays as it\n"
        "is, and a run that was broken off goes on with the same command.",
        epilog=f"What can be recorded:\n{told}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("what", nargs="*", metavar="WHAT", help="what to record; see the list below")
    add("--list", action="store_true", help="only say what would be run")
    add("--again", action="store_true", help="also run what is recorded already")
    add("--sets", nargs="+", metavar="NAME", help=f"instead of all: {', '.join(study.SETS)}")
    add("--arms", nargs="+", metavar="ARM", help="instead of those of the study")
    add("--seeds", nargs="+", type=int, metavar="K", help="instead of those of the study")
    add("--steps", type=int, metavar="N", help="gradient steps of a training, instead of each set's own")
    add("--generators", nargs="+", choices=study.KINDS, help="which kinds to train")
    add("--checkpoints", type=Path, default=Path("runs/generators"), help="of generators in training")
    add("--jobs", type=int, default=1, help="run so many cells at once, with a thread each (default 1)")
    add("--scheduler", metavar="ADDRESS", help="run the cells on a Dask cluster")
    add("--data", type=Path, default=study.DATA, help="folder of flowers/, cifar10/, ... (default data)")
    add("--folder", type=Path, help="of the records (default notebooks/recorded)")
    group = parser.add_argument_group("equivalence", "its sets: a garden, cifar10, cifar10-five, ham10000")
    add = group.add_argument
    add("--bases", type=int, nargs="+", default=[225, 450, 900], metavar="N", help="images of a base")
    add("--kimg", type=float, default=100.0, help="length of the generator's training (default 100)")
    for schedule, multiples in equivalence.AMOUNTS.items():
        default = " ".join(map(str, multiples))
        said = f"multiples of the base that are added with {schedule} fixed (default {default})"
        add(f"--{schedule}-fixed", type=float, nargs="*", default=multiples, metavar="X", help=said)
    add("--open", dest="open_set", action="store_true", help="train the generator on further images too")
    add("--size", type=int, default=32, help="side of the images in pixels (default 32)")
    return parser


def run(options: argparse.Namespace) -> int:
    """Record what the command line asks for; how many cells failed."""
    known, asked = OTHERS | FAMILIES, options.what
    for what in asked:
        if what not in known:
            raise ValueError(f"record {what}: unknown; there are {', '.join(known)}")
    if not asked and not options.list:
        raise ValueError(f"record: say what, of {', '.join(known)}; or --list")
    apart = {"equivalence", "recognition"} & set(asked)  # their sets are others
    if options.sets and apart and len(asked) > 1:
        raise ValueError("record equivalence and recognition by themselves: their sets are others")
    if not apart:
        for name in options.sets or ():
            study.drawn(name)
    failed = 0
    for what in known:
        if asked and what not in asked:
            continue
        if what in FAMILIES:
            failed += record_cells(what, options)
            continue
        for line, make in others(what, options):
            print(f"{what}: {line}", flush=True)
            if make is not None and not options.list and (made := make()) is not None:
                print(made, flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 1 if cells failed, 2 after one line on bad input."""
    options = parser().parse_args(arguments)
    return status_of(lambda: min(run(options), 1), name="record")


if __name__ == "__main__":
    sys.exit(main())
