"""Make the recorded runs again: which sets, arms and seeds are recorded, and the command that does it.

A garden's repetition r is ``plant(settings, seed=r)``: fresh images. A set named ``middle.1`` holds on to the
images of repetition 1 whatever the seed, for cells whose generator was trained on them.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.ndimage import uniform_filter

from gmaug import equivalence, experiment, mixing, recognition, runs
from gmaug.datasets import open_images
from gmaug.datasets.base import Splits
from gmaug.datasets.folder import Folder
from gmaug.datasets.garden import GARDENS, garden_named, individuals, more, plant
from gmaug.datasets.imbalance import exponential_counts
from gmaug.equivalence import Task, interleaved
from gmaug.experiment import Cell, CellSettings, Material
from gmaug.experiment.cells import Arrays, measured
from gmaug.generators import generator_class, make_generator, quality
from gmaug.hierarchy import Hierarchy
from gmaug.published import EXPERIMENT_COLUMNS
from gmaug.recognition import Identities
from gmaug.similarity import measure
from gmaug.ssim import Convention, convention_named

DATA = Path("data")

# The sets


@dataclass(frozen=True)
class Photographs:
    """A folder of photographs, and how a set is made of them."""

    folder: str  # <folder>/<class>/* in the data folder
    largest: int | None  # training images of the largest class, the others' fall from it; None: as they are
    imbalance: float = 10.0  # largest class over the smallest
    validation: int = 50  # images of each class; of natural counts an eighth, and this at most
    test: int = 100  # the same, of natural counts a quarter
    tested: str | None = None  # folder of the test images, where the set has one
    classes: tuple[str, ...] = ()  # those taken, as one super-class; all, each its own, by default
    width: int = 8  # channels of the ResNet18's first stage
    steps: int = 1500  # of every training
    target: str | int = "not majority"  # counts that classes are filled to


_CIFAR10 = Photographs("cifar10/train", 600, test=200, tested="cifar10/test", width=16)
PHOTOGRAPHS = {
    "flowers": Photographs("flowers", 500, width=16),
    "scene": Photographs("scene", 250, validation=40, width=16),
    "cifar10-10": _CIFAR10,
    "cifar10-100": replace(_CIFAR10, imbalance=100.0),
    # two groups of classes: animals on legs and a bird, and classes that are nothing like each other
    "cifar10-alike": replace(_CIFAR10, classes=("bird", "cat", "deer", "dog", "horse")),
    "cifar10-unlike": replace(_CIFAR10, classes=("airplane", "automobile", "cat", "frog", "horse")),
    # filled to the largest class, these would be 36,000 and 37,000 images, nearly all of them generated
    "ham10000": Photographs("ham10000", None, validation=75, test=150, target=1000),
    "fish": Photographs("fish", None, validation=75, test=150, target=1000),
}
LEAST = 20, 5, 10  # images of training, validation and test without which a natural class is left out
GARDEN_STEPS = 3000  # in the middle garden, 9 points above 1500 on validation images for `original`
GARDEN_TARGET = 1000  # a class, four times the largest; the paper fills Fungi, of at most 500, to 2,770
SETS = (*PHOTOGRAPHS, *GARDENS)


def drawn(name: str, seed: int = 0) -> tuple[str, int]:
    """The set behind a name, and which drawing of its images a cell of this seed takes.

    Photographs are always the same; ``middle.1`` is always repetition 1. ValueError if there is no such set.
    """
    base, _, fixed = name.partition(".")
    if base not in SETS or (fixed and not fixed.isdigit()):
        raise ValueError(f"{name}: unknown set; there are {', '.join(SETS)}, and NAME.R for one repetition")
    return base, int(fixed) if fixed else seed if base in GARDENS else 0


def image_sets(name: str, seed: int = 0, data: Path = DATA) -> tuple[Splits, Folder | None]:
    """Training, validation and test images of a set, and the photographs left over, where there are any.

    Test images are never used to choose anything. Classes too small for a split are left out.
    """
    base, repetition = drawn(name, seed)
    if base in GARDENS:
        return plant(GARDENS[base], seed=repetition), None
    about = PHOTOGRAPHS[base]
    if not (data / about.folder).is_dir():
        raise FileNotFoundError(
            f"{data / about.folder}: not there; name the folder that holds it with --data"
        )
    found = open_images(data / about.folder)
    classes = about.classes or found.classes
    if about.largest is None:
        sizes = {name: _natural(about, found.class_counts[name]) for name in classes}
        classes = tuple(name for name in classes if sizes[name] is not None)
    else:
        given = exponential_counts(len(classes), largest=about.largest, imbalance=about.imbalance)
        held = about.validation, 0 if about.tested else about.test
        sizes = {name: (n, *held) for name, n in zip(classes, given, strict=True)}
    rng, rows = np.random.default_rng(repetition), [[], [], [], []]
    for name in classes:
        mine = rng.permutation(np.flatnonzero(found.labels == found.classes.index(name)))
        for part, chosen in zip(rows, np.split(mine, np.cumsum(sizes[name])), strict=True):
            part.append(np.sort(chosen))
    train, held, test, left = (_taken(found, np.concatenate(part), about, classes) for part in rows)
    if about.tested:
        apart = open_images(data / about.tested)
        test = _taken(apart, np.arange(len(apart)), about, classes)
    return Splits(train, held, test), left if about.largest is not None else None


def _natural(about: Photographs, count: int) -> tuple[int, int, int] | None:
    """Training, validation and test images of a class by its natural count; None if it is too small."""
    test, held = min(about.test, max(count // 4, LEAST[2])), min(about.validation, max(count // 8, LEAST[1]))
    return (count - test - held, held, test) if count - test - held >= LEAST[0] else None


def _taken(found: Folder, rows: np.ndarray, about: Photographs, classes: Sequence[str]) -> Folder:
    """The images in `rows` that are of these classes, labelled by their place among them."""
    place = {found.classes.index(name): k for k, name in enumerate(classes)}
    rows = [row for row in rows.tolist() if int(found.labels[row]) in place]
    grouped = Hierarchy({"all": classes}, "one super-class") if about.classes else Hierarchy.flat(classes)
    labels = [place[int(found.labels[row])] for row in rows]
    return Folder(found.name, classes, labels, grouped, paths=[found.paths[row] for row in rows])


@lru_cache(maxsize=2)
def material(name: str, seed: int = 0, data: Path = DATA, size: int = 32) -> Material:
    """A set's images at `size` pixels with its recorded generators and its reserve."""
    base, repetition = drawn(name, seed)
    splits, left = image_sets(name, seed, data)
    reserve = partial(from_garden, base, repetition, size) if base in GARDENS else None
    if left is not None:
        reserve = partial(left_over, left.arrays(size=size), left.labels)
    weights = {kind: generator_weights(title) for kind, title in generator_titles(name, seed).items()}
    generators = {
        kind: (RecordedGenerator(path.stem), runs.files_hash([path])) for kind, path in weights.items()
    }
    return Material.of(splits, size=size, name=name, generators=generators, reserve=reserve)


def left_over(images: np.ndarray, labels: np.ndarray, counts: np.ndarray, seed: int) -> Arrays:
    """At most `counts` (C,) of each class of the photographs that are left over, drawn by the seed."""
    rng = np.random.default_rng(seed)
    mine = [rng.permutation(np.flatnonzero(labels == c))[:n] for c, n in enumerate(counts)]
    rows = np.concatenate(mine).astype(np.int64)
    return images[rows], labels[rows]


def from_garden(name: str, repetition: int, size: int, counts: np.ndarray, seed: int) -> Arrays:
    """`counts` (C,) further images of each class; the seed is the images' own, so repetitions share none."""
    settings = GARDENS[name]
    wanted = dict(zip(settings.hierarchy.sub_classes, np.asarray(counts).tolist(), strict=True))
    found = more(settings, wanted, seed=1000 + 100 * repetition + seed)
    return found.arrays(size=size), found.labels


# Generators

KINDS = ("cgan", "diffusion")
SNAPSHOTS = (12, 30, 60, 100, 150, 200, 300, 450)  # kimg; the rungs of the ladder of quality
LADDERS = ("middle-cgan", "middle-diffusion")


def title_of(base: str, repetition: int, kind: str) -> str:
    """Name of a generator's record: ``<set>-<kind>``, and ``<set>.<r>-<kind>`` of further repetitions."""
    return f"{base}{f'.{repetition}' if repetition else ''}-{kind}"


def generator_weights(title: str) -> Path:
    """Where the weights of a recorded generator lie."""
    return runs.record_path("generators", title, ".safetensors")


def generator_titles(name: str, seed: int = 0) -> dict[str, str]:
    """Names of the recorded generators trained on a set's images, by kind (``"cgan"``, ``"cgan@96"``)."""
    start = title_of(*drawn(name, seed), "")
    kinds = {title.removeprefix(start): title for title in runs.record_names("generators")}
    return {
        kind: title for kind, title in kinds.items()
        if title.startswith(start) and kind.partition("@")[0] in KINDS and generator_weights(title).is_file()
    }  # fmt: skip


@dataclass(frozen=True)
class RecordedGenerator:
    """A recorded generator by its name, read where it is used: processes are sent names, not networks."""

    title: str
    linear_conditions = True

    @property
    def mixes_scores(self) -> bool:
        """Whether it is a diffusion model."""
        return getattr(_loaded(self.title), "mixes_scores", False)

    def sample(self, labels: np.ndarray | None = None, *, seed: int, **options: Any) -> np.ndarray:
        """As the generator's own ``sample``."""
        return _loaded(self.title).sample(labels, seed=seed, **options)


@cache
def _loaded(title: str) -> Any:
    runs.read_record("generators", title)  # refuses weights that do not fit their digest
    kind = title.rpartition("-")[2].partition("@")[0]
    return generator_class(kind).load(generator_weights(title), threads=1)


def record_generator(name: str, kind: str, *, repetition: int, data: Path, checkpoints: Path) -> list[Path]:
    """Train a generator on a set's training images until its watched distance stops falling."""
    source, base = material(name, repetition, data), drawn(name)[0]
    if base in GARDENS:
        even = np.ones(len(source.classes), dtype=np.int64)
        judges, watchers = source.reserve(400 * even, -2), source.reserve(200 * even, -1)
    elif source.reserve is not None:
        watchers = source.reserve(source.counts.max() - source.counts + 1, 0)
        judges = tuple(np.concatenate(pair) for pair in zip(source.train, watchers, strict=True))
    else:  # natural counts leave nothing over: both nets know the training images
        judges = watchers = source.train
    title = title_of(base, repetition, kind)
    about = {"seed": repetition, "threads": 1, "n_classes": len(source.classes)}
    return trained_and_judged(
        title, make_generator(kind, shape=source.train[0].shape[1:3], profile="converged", **about),
        train=source.train, validation=source.validation, test=source.test, judges=judges, watchers=watchers,
        checkpoints=checkpoints, snapshots=SNAPSHOTS if title in LADDERS else (),
    )  # fmt: skip


def trained_and_judged(
    title: str,
    generator: Any,
    *,
    train: Arrays,
    validation: Arrays,
    test: Arrays,
    judges: Arrays,
    watchers: Arrays,
    checkpoints: Path,
    snapshots: Iterable[float] = (),
    folder: Path | None = None,
) -> list[Path]:
    """Train a generator, and record its weights, its curve and what its samples are worth.

    `judges` and `watchers` are real images for the net that judges samples and for the one that watches
    the training. The latter are not in `train`: a net that knows the training images by heart takes
    images which resemble them for something else. The weights of `snapshots`, in thousands of images,
    are recorded as well, as ``<title>@<kimg>``.
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
        loaded = type(generator).load(weights, threads=threads)
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
    about, ways = PHOTOGRAPHS.get(drawn(name)[0]), dict(training)
    steps, target = (about.steps, about.target) if about else (GARDEN_STEPS, GARDEN_TARGET)
    settings = CellSettings(**{"steps": steps, "target": target} | changes)
    if about and settings.classifier == "resnet18":
        ways["width"] = about.width
    if settings.steps is None:
        ways |= {"epochs": EPOCHS, "steps": None}
    return replace(settings, training=replace(settings.training, **ways))


def plan(what: str, sets: Iterable[str] | None) -> Iterator[tuple]:
    """Sets, arms, number of seeds, settings other than a set's own, and variant of a family's cells."""
    if what == "recipe":
        for recipe, training in RECIPES.items():
            changes = {"training": training, "steps": 1500, "target": "not majority"}
            yield ["middle"], ("original", "oversample"), 1, changes, recipe
    elif what == "controls":
        for name in sets or SETS:
            garden = drawn(name)[0] in GARDENS
            arms, seeds = ((*HEADLINE, *SIDE), REPETITIONS) if garden else ((*HEADLINE, "randaugment"), 3)
            yield [name], arms, seeds, {}, ""
    elif what == "photographs":
        yield PHOTOGRAPHS, GENERATED[:3], 3, {}, ""
    elif what == "gardens":
        yield GARDENS, GENERATED, REPETITIONS, {}, ""
        yield ["middle"], REFINED, 3, {}, ""
    elif what == "ladder":
        rungs = [f"{kind}-aug" for kind in sorted(generator_titles("middle"))]
        yield ["middle.0"], (*rungs, *HEADLINE), 3, {}, ""
    elif what == "steps":
        arms = ("original", "oversample", "cgan-augcls", "more-real")
        for steps in STEPS:
            yield ["middle", "cifar10-10", "ham10000"], arms, 2, {"steps": steps}, ""
    elif what == "targets":
        for target in TARGETS:
            arms = ("cgan-aug", "cgan-augcls", "more-real")
            yield ["middle"], arms, 3, {"target": target}, f"target{target}"
    elif what == "paper":
        arms = ("original", "cb-loss", "cgan-aug", "cgan-augcls", "diffusion-augcls")
        yield [*GARDENS, "flowers"], arms, 3, {"steps": None}, "epochs"
    elif what == "mae":
        arms = ("original", "oversample", "cgan-augcls")
        yield ["middle", "cifar10-10"], arms, 3, {"classifier": "mae"}, "mae"
    elif what == "mixed":
        arms = ("original", "oversample", "pixel-mixed", "cgan-augcls", *MIXED)
        yield ["middle", "cifar10-10"], arms, 3, {}, ""


def cells(
    what: str,
    *,
    sets: Iterable[str] | None = None,
    arms: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    steps: int | None = None,
) -> list[Cell]:
    """The cells of a family, first seeds first; `sets`, `arms`, `seeds` and `steps` replace its own.

    Other steps than a set's own are a variant, ``steps<n>``.
    """
    listed = []
    for own_sets, own_arms, count, changes, variant in plan(what, sets):
        names = own_sets if what == "controls" else sets or own_sets
        for name, arm in product(names, arms or own_arms):
            about, own, parts = PHOTOGRAPHS.get(drawn(name)[0]), settings_of(name), [variant]
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
    there, missing = [], {}
    for cell in listed:
        generator = experiment.find(cell.arm).generator
        if generator is None or generator in generator_titles(cell.dataset, cell.seed):
            there.append(cell)
        else:
            key = f"{cell.dataset} {generator}"
            missing[key] = missing.get(key, 0) + 1
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
            left, partial(material, data=options.data), folder=options.folder, jobs=options.jobs,
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
    for row in experiment.contrasts(known[known["variant"] == ""], scores=["balanced_accuracy"]).itertuples():
        similar = np.nan
        if row.dataset in runs.record_names("similarity", folder=folder):
            measured = runs.read_record("similarity", row.dataset, folder=folder)["content"]
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


def record_similarity(name: str, data: Path = DATA) -> Path:
    """Record the metric of a set's training images, in the paper's convention: Fig. 7's abscissa."""
    begun, train = time.perf_counter(), image_sets(name, data=data)[0].train
    content = measure(train, seed=0).to_dict()
    about = {"name": name, "images": len(train), "hash": runs.digest(train.labels, list(train.classes))}
    took = time.perf_counter() - begun
    return runs.write_record("similarity", name, content, settings={"seed": 0}, data=about, seconds=took)


def record_metric(name: str, data: Path = DATA) -> Path:
    """Record the metric of one of the paper's data sets."""
    begun, images = time.perf_counter(), open_images(name, root=data)
    content, took = metric_content(images), time.perf_counter() - begun
    about = {"name": name, "images": len(images), "hash": runs.files_hash(images.paths)}
    return runs.write_record("metric", name, content, settings=METRIC, data=about, seconds=took)


def record_conventions(names: Sequence[str], data: Path = DATA) -> Path:
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


# Records that grow


class Growing:
    """A record that is written after each of its parts, so that a run that was broken off goes on with it.

    `content` is what is there already. ValueError if that was made with other settings.
    """

    def __init__(self, kind: str, title: str, *, settings: Any, folder: Path | None) -> None:
        self.about = {"kind": kind, "name": title, "settings": runs.plain(settings), "folder": folder}
        self.content, self.begun, self.data = {}, time.perf_counter(), {}
        if title not in runs.record_names(kind, folder=folder):
            return
        kept = runs.read_record(kind, title, folder=folder)
        changed = runs.difference(kept["settings"], self.about["settings"])
        if changed is not None:
            raise ValueError(f"{title} was recorded otherwise ({changed}); delete it, or name another folder")
        self.content, self.begun = kept["content"], self.begun - kept["made"]["seconds"]

    def keep(self) -> Path:
        """Write it as it is now."""
        seconds = time.perf_counter() - self.begun
        return runs.write_record(content=self.content, data=self.data, seconds=seconds, **self.about)


# Generated against further real images (notebook 07)


def open_task(
    name: str,
    *,
    base: int,
    seed: int,
    most: float = 4.0,
    size: int = 32,
    root: Path = DATA,
    open_set: bool = False,
) -> Task:
    """`base` images of a garden or of photographs, and at most `most` times as many further ones.

    Photographs are ``cifar10``; ``cifar10-five``, its classes 0 to 4, so that the others are left for the
    open set; and ``ham10000``, of which a fifth is the test set. The test images are the same for every seed.
    In the open set the generator is given the other gardens, or the other classes of CIFAR-10.
    """
    extra = None
    if name in ("cifar10", "cifar10-five", "ham10000"):
        pool, test, extra = _photographs(name, root, size)
    else:
        settings = garden_named(name)
        each = -(-base // len(settings.hierarchy.sub_classes))
        counts = dict.fromkeys(settings.hierarchy.sub_classes, int(np.ceil(each * (1 + most))))
        parts = more(settings, counts, seed=1000 + seed), plant(settings).test
        pool, test = ((part.arrays(size=size), part.labels) for part in parts)
        if open_set:
            each_of, shift = dict.fromkeys(counts, each), len(counts)
            others = [more(GARDENS[g], each_of, seed=1000 + seed) for g in GARDENS if g != name]
            labels = [other.labels + shift * k for k, other in enumerate(others, 1)]
            extra = np.concatenate([other.arrays(size=size) for other in others]), np.concatenate(labels)
    if open_set and extra is None:
        raise ValueError(f"{name} has no further images for an open set; use cifar10-five or a garden")
    if not 1 <= base < len(pool[1]):
        raise ValueError(f"base={base}: {name} has {len(pool[1])} images to choose it from")
    order = interleaved(pool[1], np.random.default_rng((7, seed)))[: int(base * (1 + most))]
    first, rest = ((pool[0][rows], pool[1][rows]) for rows in (order[:base], order[base:]))
    return Task(first, rest, test, extra if open_set else None)


def _photographs(name: str, root: Path, size: int) -> tuple[Arrays, Arrays, Arrays | None]:
    def read(*folders: str) -> Arrays:
        found = open_images(root.joinpath(*folders))
        return found.arrays(size=size), found.labels

    if name == "ham10000":
        x, y = read("ham10000")
        order = interleaved(y, np.random.default_rng(0))
        test, pool = order[: len(y) // 5], order[len(y) // 5 :]
        return (x[pool], y[pool]), (x[test], y[test]), None
    pool, test = read("cifar10", "train"), read("cifar10", "test")
    if name == "cifar10":
        return pool, test, None
    (ours, held), others = ([(x[y < 5], y[y < 5]) for x, y in (pool, test)], pool[1] >= 5)
    return ours, held, (pool[0][others], pool[1][others])


def resnet_score(
    images: np.ndarray, labels: np.ndarray, test: Arrays, *, steps: int, seed: int
) -> dict[str, float]:
    """``accuracy``, ``balanced_accuracy`` and ``auroc``, in [0, 1], of a ResNet18 trained from scratch."""
    classes = tuple(map(str, np.unique(test[1])))
    settings = CellSettings(images.shape[1], steps=steps)
    trial = experiment.Trial(images, labels, None, len(classes), settings, seed)
    material = Material("", classes, (images, labels), None, test)
    found = measured(experiment.Outcome(trial.train()), trial, material)
    return {"accuracy": found["top1"], **{name: found[name] for name in ("balanced_accuracy", "auroc")}}


def fitted(task: Task, generator: str, *, kimg: float, seed: int, checkpoint: Path | None = None) -> Any:
    """A generator trained on the base of a task, and its extra images if there are any.

    No other real image is used, to choose its best moment neither: the set is closed.
    """
    parts = [task.base] if task.extra is None else [task.base, task.extra]
    images, labels = (np.concatenate(side) for side in zip(*parts, strict=True))
    options = {"seed": seed, "kimg": kimg, "n_classes": int(labels.max()) + 1, "threads": 1}
    return make_generator(generator, shape=images.shape[1:3], **options).fit(
        images, labels, checkpoint=checkpoint
    )


def differences(task: Task, fake: np.ndarray, *, seed: int) -> dict[str, Any]:
    """How generated images differ from further real ones: told apart by pixels and by features, the Fréchet
    distance (``frechet_floor``: real against real), precision and its kin, memorisation."""
    judge = quality.train_extractor(*task.test, seed=seed, threads=1)
    n = min(len(fake), len(task.further[0]), len(task.base[0]))
    real, base, made = (judge(images[:n]) for images in (task.further[0], task.base[0], fake))
    found, known = quality.manifold(real, made), equivalence.memorisation(base, real, made, seed=seed)
    return {
        "images": n,
        "told_apart": equivalence.told_apart(task.further[0][:n], fake[:n], seed=seed)["accuracy"],
        "told_apart_features": equivalence.told_apart(real, made, seed=seed)["accuracy"],
        "frechet": quality.frechet(real, made, name=judge.name, groups=0).value,
        "frechet_floor": quality.frechet(real, base, name=judge.name, groups=0).value,
        **{key: found[key] for key in ("precision", "recall", "density", "coverage")},
        "memorisation": {key: value for key, value in known.items() if key != "nearest"},
    }


def record_equivalence(
    name: str, base: int, generator: str, seed: int, *, kimg: float = 100.0, steps: int = 400,
    amounts: Mapping[str, Sequence[float]] = equivalence.AMOUNTS, open_set: bool = False, size: int = 32,
    root: Path = DATA, folder: Path | None = None,
) -> Path:  # fmt: skip
    """Train a generator for `kimg` thousand images of one base, run its cells, compare its images."""
    settings = {
        "name": name, "base": base, "seed": seed, "generator": generator, "kimg": kimg, "steps": steps,
        "amounts": amounts, "open_set": open_set, "size": size,
    }  # fmt: skip
    title = f"{name}_{base}_{generator}_{'open' if open_set else 'closed'}_{seed}"
    record = Growing("equivalence", title, settings=settings, folder=folder)
    if "differences" in record.content:
        return runs.record_path("equivalence", title, folder=folder)
    most, rows = max(map(max, amounts.values())), record.content.setdefault("cells", [])
    task = open_task(name, base=base, seed=seed, most=most, size=size, root=root, open_set=open_set)
    record.data = {"name": name, "images": base, "hash": runs.digest(*task.base)}
    checkpoint = runs.root() / "runs" / "equivalence" / title
    model = fitted(task, generator, kimg=kimg, seed=seed, checkpoint=checkpoint)
    done = {(row["kind"], row["amount"], row["schedule"]) for row in rows}
    for row in equivalence.cells(
        task, model, resnet_score, seed=seed, steps=steps, amounts=amounts, done=done
    ):
        rows.append(row)
        record.keep()
    fake = model.sample(np.resize(task.base[1], min(base, 1000)), seed=seed + 1)
    record.content["differences"] = differences(task, fake, seed=seed)
    return record.keep()


# Mixed classes in recognition (notebook 08)

FARS = (1e-2, 1e-3)
IDENTITIES = {"individuals": {"persons": 60}, "lfw": {"persons": 100, "images": 40}}


def open_identities(
    name: str, *, seed: int, persons: int = 60, images: int = 20, size: int = 32, root: Path = DATA
) -> Identities:
    """The garden's individuals, or the faces of ``<root>/lfw/<person>/*``.

    Of these the same 58 persons always verify. `persons` are trained on, with at most so many `images` of
    each, and ten of those that verify.
    """
    if name == "individuals":
        return recognition.open_individuals(seed=seed, persons=persons, images=images, size=size)
    if name != "lfw":
        raise ValueError(f"{name}: unknown; there are individuals and lfw")
    found = open_images(root / "lfw")
    order = np.random.default_rng(0).permutation(len(found.classes))
    if not 2 <= persons <= len(order) - 58:
        raise ValueError(f"persons={persons}: {len(order) - 58} are left beside those held out")

    def taken(who: np.ndarray, most: int, rng: np.random.Generator) -> Arrays:
        rows = [rng.permutation(np.flatnonzero(found.labels == c))[:most] for c in who]
        labels = np.repeat(np.arange(len(who)), [len(mine) for mine in rows])
        return found.subset(np.concatenate(rows)).arrays(size=size), labels

    rng = np.random.default_rng((1, seed))
    trained = rng.permutation(order[58:])[:persons]
    return Identities(name, taken(trained, images, rng), taken(order[:58], 10, np.random.default_rng(2)))


def record_recognition(
    name: str, *, seed: int = 0, persons: int = 60, images: int = 20, size: int = 32, kimg: float = 300.0,
    steps: int = 1500, arms: Sequence[str] | None = None, profile: str = "default", root: Path = DATA,
    checkpoints: Path, folder: Path | None = None,
) -> Path:  # fmt: skip
    """Train generators and recognisers of one seed, and record what each arm verifies.

    The record's content is the ``search`` (its table, its best row with both weights from 0.5, and the points
    level with the highest of all) and of each arm ``tar`` (by FAR) and ``added`` images.
    """
    settings = {
        "name": name, "seed": seed, "persons": persons, "images": images, "size": size, "kimg": kimg,
        "steps": steps, "profile": profile,
    }  # fmt: skip
    title = f"{name}_{seed}"
    record = Growing("mixing", title, settings=settings, folder=folder)
    of = open_identities(name, seed=seed, persons=persons, images=images, size=size, root=root)
    content = record.content or {"identities": of.classes, "held": len(set(of.held[1].tolist())), "arms": {}}
    record.content = content
    record.data = {"name": name, "images": len(of.train[1]), "hash": runs.digest(*of.train, *of.held)}
    arms = arms or [arm for arm in recognition.ARMS if arm != "more" or of.more is not None]
    todo, generators = [arm for arm in arms if arm not in content["arms"]], {}
    if not todo:
        return runs.record_path("mixing", title, folder=folder)
    for kind in KINDS if "scoremix" in todo else KINDS[:1]:
        print(f"{title}: {kind}, {kimg:g} kimg", flush=True)
        options = {"profile": profile, "seed": seed, "kimg": kimg, "n_classes": of.classes, "threads": 1}
        model = make_generator(kind, shape=(size, size), **options)
        generators[kind] = model.fit(*of.train, checkpoint=checkpoints / f"{title}-{kind}")
    recogniser = recognition.train_recogniser(of.train, None, steps=steps, seed=seed)
    if "search" not in content:
        pairs = mixing.choose_pairs(min(24, of.classes), classes=of.classes, seed=seed)
        found = mixing.search(generators["cgan"], recogniser, pairs, classes=of.classes, seed=seed)
        level = found.level[["alpha", "beta"]].to_dict("list")
        content["search"] = {
            "table": found.table.to_dict("list"),
            "level": level,
            "best": found.among(0.5).best,
        }
        record.keep()
    about = {key: content["search"]["best"][key] for key in ("alpha", "beta")} | {"seed": seed}
    for arm in todo:
        print(f"{title}: {arm}", flush=True)
        added = recognition.additions(arm, of, generators=generators, recogniser=recogniser, **about)
        model = recogniser
        if added is not None:
            model = recognition.train_recogniser(of.train, added, steps=steps, seed=seed)
        held = recognition.Verification(model.features(of.held[0]), of.held[1])
        tars = [held.tar(far) for far in FARS]
        content["arms"][arm] = {
            "added": 0 if added is None else len(added[1]),
            "tar": [{"far": t.far, "value": t.value, "draws": t.draws.round(4)} for t in tars],
        }
        record.keep()
    return record.keep()


def record_live_generator(
    *, persons: int = 24, each: int = 20, kimg: float = 45.0, profile: str = "live", checkpoints: Path,
    folder: Path | None = None,
) -> Path:  # fmt: skip
    """Record the cGAN that notebook 08 mixes with; six further images of each choose its best moment."""
    found = individuals(persons, per_identity=each + 6, seed=0)
    x, y, first = found.arrays(size=16), found.labels, np.arange(len(found)) % (each + 6) < each
    about = {"seed": 0, "n_classes": persons, "threads": 1, "kimg": kimg, "report_kimg": 6.0}
    model = make_generator("cgan", shape=(16, 16), profile=profile, **about)
    model.fit(x[first], y[first], validation=(x[~first], y[~first]), checkpoint=checkpoints / "individuals")
    weights = runs.record_path("individuals", "cgan", ".safetensors", folder=folder)
    model.save(weights)
    data = {"name": "individuals", "images": int(first.sum()), "hash": runs.digest(x[first], y[first])}
    return runs.write_record(
        "individuals", "cgan", {"history": model.history_, "kept_kimg": model.kimg_},
        settings=model.settings.to_dict(), data=data, seconds=model.history_[-1]["seconds"],
        files=[weights.name], folder=folder,
    )  # fmt: skip


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
    sets, data, kinds = options.sets, options.data, options.generators
    where = {"checkpoints": options.checkpoints}
    if what == "metric":
        for name in sets or ("flowers", "scene"):
            yield name, partial(record_metric, name, data)
    elif what == "conventions":
        names = sets or ("flowers", "scene")
        yield ", ".join(names), partial(record_conventions, names, data)
    elif what == "similarity":
        for name in sets or SETS:
            yield name, partial(record_similarity, name, data)
    elif what == "generators":
        for repetition, name, kind in product(options.seeds or (0,), sets or SETS, kinds or KINDS):
            if repetition and drawn(name)[0] not in GARDENS:
                continue  # photographs are always the same
            there = kind in generator_titles(name, repetition) and not options.again
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
        wanted = product(sets or ("middle",), kinds or KINDS[:1], options.seeds or range(3), options.bases)
        for name, kind, seed, base in wanted:
            make = partial(record_equivalence, name, base, kind, seed, **about)
            yield f"{name} base {base} {kind} seed {seed}", make
    elif what == "recognition" and sets == ["live"]:
        yield "live", partial(record_live_generator, folder=options.folder, **where)
    elif what == "recognition":
        about = {"steps": options.steps or 1500, "root": data, "arms": options.arms, "folder": options.folder}
        for seed, name in product(options.seeds or (0, 1, 2), sets or IDENTITIES):
            make = partial(record_recognition, name, seed=seed, **IDENTITIES[name], **about, **where)
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
    add("--sets", nargs="+", metavar="NAME", help=f"instead of all: {', '.join(SETS)}")
    add("--arms", nargs="+", metavar="ARM", help="instead of those of the study")
    add("--seeds", nargs="+", type=int, metavar="K", help="instead of those of the study")
    add("--steps", type=int, metavar="N", help="gradient steps of a training, instead of each set's own")
    add("--generators", nargs="+", choices=KINDS, help="which kinds to train")
    add("--checkpoints", type=Path, default=Path("runs/generators"), metavar="FOLDER",
        help="of generators in training (default runs/generators)")  # fmt: skip
    add("--jobs", type=int, default=1, help="run so many cells at once, with a thread each (default 1)")
    add("--scheduler", metavar="ADDRESS", help="run the cells on a Dask cluster")
    add("--data", type=Path, default=DATA, help="folder that holds flowers/, cifar10/, ... (default data)")
    add("--folder", type=Path, help="of the records (default notebooks/recorded)")
    add = parser.add_argument_group(
        "equivalence", "its sets are a garden, cifar10, cifar10-five and ham10000"
    ).add_argument
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
    for name in options.sets or () if not apart else ():
        drawn(name)
    failed = 0
    for what in known:
        if asked and what not in asked:
            continue
        if what in FAMILIES:
            failed += record_cells(what, options)
            continue
        for line, make in others(what, options):
            print(f"{what}: {line}", flush=True)
            if make is not None and not options.list:
                print(make(), flush=True)
    return failed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 1 if cells failed, 2 after one line on bad input."""
    options = parser().parse_args(arguments)
    try:
        return min(run(options), 1)
    except (ValueError, OSError) as error:
        print(f"record: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    import record  # by its name, so that processes which run cells find it

    sys.exit(record.main())
