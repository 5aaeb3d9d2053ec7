"""The companion's own study: which sets, which generators, which cells are recorded.

``python -m gmaug record WHAT`` makes the records that the notebooks show, in the order of :data:`FAMILIES`;
what is recorded stays, and a run that was broken off goes on with the same command. A garden's repetition r
is ``plant(settings, seed=r)``: fresh images. A set named ``middle.1`` holds on to the images of repetition 1
whatever the seed, for cells whose generator was trained on them.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import equivalence_study, runs
from gmaug.datasets.base import Splits
from gmaug.datasets.garden import GARDENS, more, plant

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.experiment import Cell, CellSettings, Material
    from gmaug.experiment.cells import Arrays

SIZE = 32  # pixels a side in training
FRESH_SEED = 1000  # of a garden's further images; a hundred for each repetition
KINDS = ("cgan", "diffusion")
SNAPSHOTS = (12, 30, 60, 100, 150, 200, 300, 450)  # kimg; the rungs of the ladder of quality
LADDERS = ("middle-cgan", "middle-diffusion")


# The sets


@dataclass(frozen=True)
class Photographs:
    """A set of photographs in the data folder, and how it is made a long-tailed one.

    Parameters
    ----------
    folder : str
        ``<folder>/<class>/*`` in the data folder.
    largest : int or None
        Training images of the largest class; counts fall geometrically in the order of the classes, and what
        is left over is the reserve. None keeps the natural counts, and there is no reserve.
    imbalance : float
        Largest class over the smallest; of no meaning with natural counts.
    validation, test : int
        Images of each class. With natural counts the most: an eighth and a quarter of the class.
    tested : str or None
        Folder of the test images, where the set has one.
    classes : tuple of str
        Those taken, as one super-class; all, each a super-class of its own, by default.
    width : int
        Channels of the ResNet18's first stage.
    steps : int
        Gradient steps of every training.
    target : str or int
        Counts that classes are filled to.
    """

    folder: str
    largest: int | None
    imbalance: float = 10.0
    validation: int = 50
    test: int = 100
    tested: str | None = None
    classes: tuple[str, ...] = ()
    width: int = 8
    steps: int = 1500
    target: str | int = "not majority"


_CIFAR10 = Photographs("cifar10/train", 600, test=200, tested="cifar10/test", width=16)

PHOTOGRAPHS: dict[str, Photographs] = {
    "flowers": Photographs("flowers", 500, width=16),
    "scene": Photographs("scene", 250, validation=40, width=16),
    "cifar10-10": _CIFAR10,
    "cifar10-100": replace(_CIFAR10, imbalance=100.0),
    "cifar10-alike": replace(_CIFAR10, classes=("bird", "cat", "deer", "dog", "horse")),
    "cifar10-unlike": replace(_CIFAR10, classes=("airplane", "automobile", "cat", "frog", "horse")),
    # filled to the largest class, these would be 36,000 and 37,000 images, nearly all of them generated
    "ham10000": Photographs("ham10000", None, validation=75, test=150, target=1000),
    "fish": Photographs("fish", None, validation=75, test=150, target=1000),
}
"""Photographs of the study. The two groups of CIFAR-10's classes are alike (animals on legs, and a bird) and
unlike; both have 600 to 60 images a class."""

LEAST = 20, 5, 10  # images of training, validation and test without which a natural class is left out
GARDEN_STEPS = 3000  # in the middle garden, 9 points above 1500 on validation images for `original`
GARDEN_TARGET = 1000  # a class, four times the largest; the paper fills Fungi, of at most 500, to 2,770

SETS = (*PHOTOGRAPHS, *GARDENS)


def base_of(name: str) -> tuple[str, int | None]:
    """A set's name without the repetition it holds on to, and that: ``("middle", 1)`` of ``"middle.1"``.

    Raises
    ------
    ValueError
        If there is no such set.
    """
    base, _, fixed = name.partition(".")
    if base not in SETS or (fixed and not fixed.isdigit()):
        raise ValueError(f"{name}: unknown set; there are {', '.join(SETS)}, and NAME.R for one repetition")
    return base, int(fixed) if fixed else None


def repetition_of(name: str, seed: int) -> int:
    """Which drawing of the set's images a cell of this seed takes: of photographs always the same."""
    base, fixed = base_of(name)
    return fixed if fixed is not None else seed if base in GARDENS else 0


def image_sets(name: str, seed: int = 0, *, data: Path | None = None) -> tuple[Splits, Any]:
    """Training, validation and test images of a set, and its reserve: an image set, or None.

    Test images are never used to choose anything. Of natural counts, each class gives a quarter to the test
    and an eighth to validation, up to the set's limits, and classes too small for it are left out.

    Raises
    ------
    FileNotFoundError
        If a set of photographs is not in `data`.
    """
    base, _ = base_of(name)
    repetition = repetition_of(name, seed)
    if base in GARDENS:
        return plant(GARDENS[base], seed=repetition), None
    from gmaug.datasets import open_images

    about = PHOTOGRAPHS[base]
    folder = Path(data or "data") / about.folder
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: not there; name the folder that holds {about.folder} with --data")
    found = open_images(folder)
    counts = found.class_counts
    classes = about.classes or found.classes
    if about.largest is None:
        sizes = {name: _natural(about, counts[name]) for name in classes}
        classes = tuple(name for name in classes if sizes[name] is not None)
    else:
        last = max(len(classes) - 1, 1)
        given = [round(about.largest * about.imbalance ** (-k / last)) for k in range(len(classes))]
        test = 0 if about.tested else about.test
        sizes = {name: (n, about.validation, test) for name, n in zip(classes, given, strict=True)}
    rng, rows = np.random.default_rng(repetition), [[], [], [], []]
    for name in classes:
        mine = rng.permutation(np.flatnonzero(found.labels == found.classes.index(name)))
        for part, chosen in zip(rows, np.split(mine, np.cumsum(sizes[name])), strict=True):
            part.append(np.sort(chosen))
    train, held, test, left = (_taken(found, np.concatenate(part), about, classes) for part in rows)
    if about.tested:
        apart = open_images(Path(data or "data") / about.tested)
        test = _taken(apart, np.arange(len(apart)), about, classes)
    return Splits(train, held, test), left if about.largest is not None else None


def left_out(name: str, data: Path) -> dict[str, int]:
    """Classes of a natural set that have too few images for a split, and how many they have."""
    from gmaug.datasets import open_images

    about = PHOTOGRAPHS[base_of(name)[0]]
    counts = open_images(Path(data) / about.folder).class_counts
    return {} if about.largest else {c: n for c, n in counts.items() if _natural(about, n) is None}


def _natural(about: Photographs, count: int) -> tuple[int, int, int] | None:
    """Training, validation and test images of a class by its natural count; None if it is too small."""
    test, held = min(about.test, max(count // 4, LEAST[2])), min(about.validation, max(count // 8, LEAST[1]))
    return (count - test - held, held, test) if count - test - held >= LEAST[0] else None


def _taken(found: Any, rows: np.ndarray, about: Photographs, classes: tuple[str, ...]) -> Any:
    """The images in `rows` that are of these classes, labelled by their place among them."""
    from gmaug.datasets.folder import Folder
    from gmaug.hierarchy import Hierarchy

    place = {found.classes.index(name): k for k, name in enumerate(classes)}
    rows = [row for row in rows.tolist() if int(found.labels[row]) in place]
    grouped = Hierarchy({"all": classes}, "one super-class") if about.classes else Hierarchy.flat(classes)
    labels = [place[int(found.labels[row])] for row in rows]
    return Folder(found.name, classes, labels, grouped, paths=[found.paths[row] for row in rows])


@lru_cache(maxsize=2)
def material(name: str, seed: int = 0, data: Path | None = None, size: int = SIZE) -> Material:
    """A set's images at `size` pixels with its recorded generators and its reserve."""
    from gmaug.experiment import Material

    base, repetition = base_of(name)[0], repetition_of(name, seed)
    splits, left = image_sets(name, seed, data=data)
    if left is None and base not in GARDENS:
        reserve = None
    elif left is None:
        reserve = GardenReserve(base, repetition, size)
    else:
        reserve = Reserve(left.arrays(size=size), left.labels)
    generators = {kind: (RecordedGenerator(title), runs.files_hash([runs.record_path(
        "generators", title, ".safetensors")])) for kind, title in generator_titles(name, seed).items()
    }  # fmt: skip
    return Material.of(splits, size=size, name=name, generators=generators, reserve=reserve)


@dataclass(frozen=True, eq=False)
class Reserve:
    """Real images that are left over."""

    images: np.ndarray
    labels: np.ndarray

    def __call__(self, counts: np.ndarray, seed: int) -> Arrays:
        """At most `counts` (C,) of each class, drawn by the seed."""
        rng = np.random.default_rng(seed)
        mine = [rng.permutation(np.flatnonzero(self.labels == c))[:n] for c, n in enumerate(counts)]
        rows = np.concatenate(mine).astype(np.int64)
        return self.images[rows], self.labels[rows]


@dataclass(frozen=True)
class GardenReserve:
    """Further images of a garden, which never runs out of them."""

    name: str
    repetition: int
    size: int

    def __call__(self, counts: np.ndarray, seed: int) -> Arrays:
        """`counts` (C,) of each class; the seed is the images' own, so repetitions share none."""
        settings = GARDENS[self.name]
        wanted = dict(zip(settings.hierarchy.sub_classes, np.asarray(counts).tolist(), strict=True))
        drawn = more(settings, wanted, seed=FRESH_SEED + 100 * self.repetition + seed)
        return drawn.arrays(size=self.size), drawn.labels


# Recorded generators


def generator_titles(name: str, seed: int = 0) -> dict[str, str]:
    """Names of the recorded generators trained on the images of a set, by kind (``"cgan"``, ``"cgan@96"``).

    They are recorded as ``<set>-<kind>`` of repetition 0 and as ``<set>.<r>-<kind>`` of the others.
    """
    repetition = repetition_of(name, seed)
    start = f"{base_of(name)[0]}{f'.{repetition}' if repetition else ''}-"
    found = [title for title in runs.record_names("generators") if title.startswith(start)]
    found = [title for title in found if runs.record_path("generators", title, ".safetensors").is_file()]
    kinds = {title.removeprefix(start): title for title in found}
    return {kind: title for kind, title in kinds.items() if kind.partition("@")[0] in KINDS}


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
    from gmaug.generators import generator_class

    runs.read_record("generators", title)  # refuses weights that do not fit their digest
    kind = title.rpartition("-")[2].partition("@")[0]
    return generator_class(kind).load(runs.record_path("generators", title, ".safetensors"), threads=1)


def record_generator(
    name: str, kind: str, *, repetition: int = 0, data: Path | None = None, checkpoints: Path
) -> list[Path]:
    """Train a generator on a set's training images until its watched distance stops falling, and record it.

    Parameters
    ----------
    name : str
        Of the set; of a garden this repetition is drawn.
    kind : {"cgan", "diffusion"}
    repetition : int
        Of a garden's images; also the seed of the training.
    data : Path, optional
        Folder of the photographs.
    checkpoints : Path
        Where the run is kept while it goes on; a killed one goes on there.
    """
    from gmaug.generators import make_generator
    from gmaug.generators.quality import record_generator as record

    source = material(name, repetition, data)
    base, shape = base_of(name)[0], source.train[0].shape[1:3]
    title = f"{base}{f'.{repetition}' if repetition else ''}-{kind}"
    if base in GARDENS:
        even = np.ones(len(source.classes), dtype=np.int64)
        judges, watchers = source.reserve(400 * even, -2), source.reserve(200 * even, -1)
    elif source.reserve is not None:
        watchers = source.reserve(source.counts.max() - source.counts + 1, 0)
        judges = tuple(np.concatenate(pair) for pair in zip(source.train, watchers, strict=True))
    else:  # natural counts leave nothing over: both nets know the training images
        judges = watchers = source.train
    about = {"seed": repetition, "threads": 1, "n_classes": len(source.classes)}
    model = make_generator(kind, shape=shape, profile="converged", **about)
    return record(
        title, model, train=source.train, validation=source.validation, test=source.test, judges=judges,
        watchers=watchers, checkpoints=checkpoints, snapshots=SNAPSHOTS if title in LADDERS else (),
    )  # fmt: skip


# The cells

HEADLINE = ("original", "oversample", "logit-adjusted", "more-real")
SIDE = ("duplicates", "cb-loss", "randaugment", "smote")
ON_PHOTOGRAPHS = (*HEADLINE, "randaugment")
GENERATED = ("cgan-augcls", "cgan-aug", "diffusion-augcls", "diffusion-aug")
REFINED = ("cgan-weighted", "diffusion-weighted", "cgan-confident", "cgan-band", "cgan-vtss")
MIXED = ("cgan-mixed", "cgan-mixnear", "cgan-mixdistant", "diffusion-mixed", "diffusion-scoremix")
REPETITIONS = 6  # of the headline contrasts in gardens; three of all else
STEPS = (200, 400, 800, 1500, 3000, 6000)
EPOCHS = 30  # of the paper's comparison; its own 100 would be a night each
TARGETS = (250, 500, 1000, 2000)  # images a class; the largest has 250
RECIPES: dict[str, dict[str, Any]] = {
    "lr0.1": {"lr": 0.1},
    "lr0.2": {"lr": 0.2},
    "cosine": {"schedule": "cosine"},
    "unsmoothed": {"smoothing": 0.0},
    "step": {"schedule": "step", "warmup": 0.0, "lr": 0.1, "nesterov": False, "weight_decay": 1e-4,
             "decay_all": True, "smoothing": 0.0},
}  # fmt: skip
"""Other ways to train for as many steps, by what they have other than the set's own: compared on validation
images. ``step`` is the paper's."""
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


def settings_of(name: str, **changes: Any) -> CellSettings:
    """Settings of a set's cells."""
    from gmaug.experiment import CellSettings

    base, about = base_of(name)[0], {"steps": GARDEN_STEPS, "target": GARDEN_TARGET}
    photographs = PHOTOGRAPHS.get(base)
    if photographs is not None:
        about = {"steps": photographs.steps, "target": photographs.target}
    recipe = changes.pop("training", {})
    settings = CellSettings(**(about | changes))
    training = replace(settings.training, **recipe)
    if photographs is not None and settings.classifier == "resnet18":
        training = replace(training, width=photographs.width)
    if settings.steps is None:
        training = replace(training, epochs=EPOCHS, steps=None)
    return replace(settings, training=training)


def cells(
    what: str,
    *,
    sets: Iterable[str] | None = None,
    arms: Iterable[str] | None = None,
    seeds: Iterable[int] | None = None,
    steps: int | None = None,
) -> list[Cell]:
    """The cells of a family, first seeds first.

    Parameters
    ----------
    what : str
        One of :data:`FAMILIES`.
    sets, arms, seeds, steps : optional
        Instead of the family's own; other steps than a set's own are a variant, ``steps<n>``.
    """
    from gmaug.experiment import Cell

    listed = []
    for name, arm, count, changes, variant in _plan(what, sets, arms):
        if steps is not None and steps != settings_of(name).steps:
            changes, variant = changes | {"steps": steps}, f"{variant}{'-' * bool(variant)}steps{steps}"
        chosen = range(count) if seeds is None else seeds
        listed += [Cell(name, arm, seed, settings_of(name, **changes), variant) for seed in chosen]
    return sorted(dict.fromkeys(listed), key=lambda cell: cell.seed)


def _plan(
    what: str, sets: Iterable[str] | None, arms: Iterable[str] | None
) -> Iterator[tuple[str, str, int, dict[str, Any], str]]:
    """Set, arm, seeds, settings and variant of a family's cells."""

    def crossed(own_sets: Iterable[str], own_arms: Iterable[str], count: int) -> Iterator[tuple]:
        for name in own_sets if sets is None else sets:
            for arm in own_arms if arms is None else arms:
                yield name, arm, count

    if what == "recipe":
        for recipe, training in RECIPES.items():
            for one in crossed(["middle"], ("original", "oversample"), 1):
                yield *one, {"training": training, "steps": 1500, "target": "not majority"}, recipe
    elif what == "controls":
        for name in SETS if sets is None else sets:
            garden = base_of(name)[0] in GARDENS
            for arm in arms or ((*HEADLINE, *SIDE) if garden else ON_PHOTOGRAPHS):
                many = garden and arm not in SIDE
                if arm != "more-real" or garden or PHOTOGRAPHS[base_of(name)[0]].largest:
                    yield name, arm, REPETITIONS if many else 3, {}, ""
    elif what == "photographs":
        yield from ((*one, {}, "") for one in crossed(PHOTOGRAPHS, GENERATED[:3], 3))
    elif what == "gardens":
        yield from ((*one, {}, "") for one in crossed(GARDENS, GENERATED, REPETITIONS))
        if arms is None:
            yield from ((*one, {}, "") for one in crossed(["middle"], REFINED, 3))
    elif what == "ladder":
        kinds = sorted(generator_titles("middle"))
        yield from ((*one, {}, "") for one in crossed(["middle.0"], [f"{k}-aug" for k in kinds], 3))
        yield from ((*one, {}, "") for one in crossed(["middle.0"], HEADLINE, 3))
    elif what == "steps":
        arms_shown = ("original", "oversample", "cgan-augcls", "more-real")
        for steps in STEPS:
            for one in crossed(["middle", "cifar10-10", "ham10000"], arms_shown, 2):
                own = settings_of(one[0]).steps == steps
                if one[1] != "more-real" or one[0] != "ham10000":
                    yield (*one, {} if own else {"steps": steps}, "" if own else f"steps{steps}")
    elif what == "targets":
        for target in TARGETS:
            for one in crossed(["middle"], ("cgan-aug", "cgan-augcls", "more-real"), 3):
                yield (*one, {"target": target}, f"target{target}")
    elif what == "paper":
        compared = ("original", "cb-loss", "cgan-aug", "cgan-augcls", "diffusion-augcls")
        yield from ((*one, {"steps": None}, "epochs") for one in crossed([*GARDENS, "flowers"], compared, 3))
    elif what == "mae":
        compared = ("original", "oversample", "cgan-augcls")
        options = {"classifier": "mae"}
        yield from ((*one, options, "mae") for one in crossed(["middle", "cifar10-10"], compared, 3))
    elif what == "mixed":
        compared = ("original", "oversample", "pixel-mixed", "cgan-augcls", *MIXED)
        yield from ((*one, {}, "") for one in crossed(["middle", "cifar10-10"], compared, 3))
    else:
        raise ValueError(f"{what}: unknown; there are {', '.join(FAMILIES)}")


def ready(listed: Iterable[Cell]) -> tuple[list[Cell], dict[str, int]]:
    """Cells whose generator is recorded, and how many are not, by set and generator."""
    from gmaug.experiment import find

    there, missing = [], {}
    for cell in listed:
        generator = find(cell.arm).generator
        if generator is None or generator in generator_titles(cell.dataset, cell.seed):
            there.append(cell)
        else:
            key = f"{cell.dataset} {generator}"
            missing[key] = missing.get(key, 0) + 1
    return there, missing


# The metric


def similarity(name: str, data: Path | None = None, *, seed: int = 0) -> Path:
    """Record the metric of a set's training images, in the paper's convention: Fig. 7's abscissa."""
    from gmaug.similarity import measure

    begun, train = time.perf_counter(), image_sets(name, data=data)[0].train
    content = measure(train, seed=seed).to_dict()
    about = {"name": name, "images": len(train), "hash": runs.digest(train.labels, list(train.classes))}
    seconds = time.perf_counter() - begun
    return runs.write_record(
        "similarity", name, content, settings={"seed": seed}, data=about, seconds=seconds
    )


METRIC = {
    "pairs": "2n",  # the paper's
    "seed": 0,
    "sizes": (32, 64, 128),  # the paper's convention at other sizes
    "conventions": ("wang2004", "authors32", "global", "rgb"),
    "smooth_images": 200,  # of each super-class; the share of smooth windows is a mean over them
}
SEARCH = {"images": 600, "seed": 0, "pairs": "2n"}  # images of each set


def metric(names: Iterable[str], data: Path | None = None, *, conventions: bool = False) -> Path:
    """Record the metric of one of the paper's data sets, or the search of conventions on several."""
    from gmaug.datasets import open_images

    begun, names = time.perf_counter(), list(names)
    sets = {name: open_images(name, root=data or "data") for name in names}
    hashes = [runs.files_hash(images.paths) for images in sets.values()]
    content = search_conventions(sets) if conventions else metric_content(sets[names[0]])
    about = {
        "name": " and ".join(sets),
        "images": sum(map(len, sets.values())),
        "hash": runs.digest(*hashes) if conventions else hashes[0],
    }
    kind, title = ("conventions", "search") if conventions else ("metric", names[0])
    seconds = time.perf_counter() - begun
    settings = SEARCH if conventions else METRIC
    return runs.write_record(kind, title, content, settings=settings, data=about, seconds=seconds)


def metric_content(images: Any) -> dict[str, Any]:
    """``similarity``; ``by_convention``, the paper's first; ``smooth``."""
    from gmaug.similarity import measure
    from gmaug.ssim import convention_named

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
    from scipy.ndimage import uniform_filter

    from gmaug.ssim import convention_named

    paper, rng, shares = convention_named("paper"), np.random.default_rng(seed), {}
    for name, members in images.hierarchy.members(images.labels, images.classes).items():
        found = []
        for index in rng.choice(members, min(each, len(members)), replace=False):
            x = paper.prepare(images.image(int(index), size=paper.size)).astype(float)
            variance = uniform_filter(x * x, paper.win_size) - uniform_filter(x, paper.win_size) ** 2
            found.append(float((variance[3:-3, 3:-3] < paper.constants()[1]).mean()))
        shares[name] = float(np.mean(found))
    return shares


def search_conventions(sets: dict[str, Any]) -> list[dict[str, Any]]:
    """The metric of some images of each set under every combination of window, size and fit, in grey."""
    from gmaug.similarity import measure
    from gmaug.ssim import Convention

    rng, some = np.random.default_rng(SEARCH["seed"]), {}
    for name, whole in sets.items():
        chosen = rng.choice(len(whole), min(SEARCH["images"], len(whole)), replace=False)
        some[name] = whole.subset(np.sort(chosen))
    windows = {
        "7x7": {},
        "11x11": {"win_size": 11},
        "Gaussian": {"window": "gaussian", "win_size": 11, "covariance": "population"},
        "whole image": {"window": "global", "covariance": "population"},
    }
    rows = []
    for size, fit, window in product((32, 64, 128, 224), ("crop", "stretch"), windows):
        convention = Convention(size=size, fit=fit, **windows[window])
        rows.append({"window": window, "size": size, "fit": fit})
        for name, part in some.items():
            found = measure(part, convention=convention, seed=SEARCH["seed"], progress=False)
            rows[-1][f"{name} merge"] = found.ssim_merge_cls.value
            rows[-1][f"{name} sup_sub"] = found.ssim_sup_sub_cls.value
    return rows


def experiment_table(folder: Path | None = None) -> pd.DataFrame:
    """What the recorded cells say of each set and arm, as :func:`gmaug.published.experiments` has it."""
    import pandas as pd

    from gmaug.experiment import contrasts, frame, load_cells
    from gmaug.published import EXPERIMENT_COLUMNS

    records = load_cells(folder=folder)
    cells_of = frame(records)
    table = contrasts(cells_of[cells_of["variant"] == ""], scores=["balanced_accuracy"])
    counts = {r["settings"]["dataset"]: np.array(r["content"]["counts_before"]) for r in records}
    dates: dict[tuple[str, str], str] = {}
    for r in records:
        key = r["settings"]["dataset"], r["settings"]["arm"]
        dates[key] = max(dates.get(key, ""), r["made"]["date"])
    rows = []
    for row in table.itertuples():
        try:
            metric = runs.read_record("similarity", row.dataset, folder=folder)["content"]
            similar = metric["ssim_sup_sub_cls"]["value"]
        except runs.NotRecorded:
            similar = np.nan
        n = counts[row.dataset]
        rows.append([row.dataset, int(n.sum()), len(n), round(float(n.max() / n.min()), 2), similar, row.arm,
                     row.difference, row.low, row.high, row.pairs, dates[row.dataset, row.arm]])  # fmt: skip
    return pd.DataFrame(rows, columns=list(EXPERIMENT_COLUMNS)).round(4)


# The command


def add_parser(subparsers: Any) -> None:
    """Add ``record`` to the command line."""
    told = "; ".join(f"{name}: {text}" for name, text in (OTHERS | FAMILIES).items())
    parser = subparsers.add_parser(
        "record", help="make the recorded runs again", description=__doc__, epilog=told
    )
    parser.add_argument("what", nargs="*", metavar="WHAT",
                        help=f"of {', '.join(OTHERS | FAMILIES)}; all with --list")  # fmt: skip
    parser.add_argument("--sets", nargs="+", metavar="NAME", help=f"of {', '.join(SETS)}")
    parser.add_argument("--arms", nargs="+", metavar="ARM", help="default: those of the study")
    parser.add_argument("--seeds", nargs="+", type=int, metavar="K", help="default: those of the study")
    parser.add_argument("--steps", type=int, metavar="N", help="gradient steps, instead of each set's own")
    parser.add_argument("--generators", nargs="+", choices=KINDS, help="which to train")
    parser.add_argument("--checkpoints", type=Path, default=Path("runs/generators"), metavar="FOLDER",
                        help="of generators in training (default runs/generators)")  # fmt: skip
    parser.add_argument("--jobs", type=int, default=1, help="cells at once, a thread each (default 1)")
    parser.add_argument("--scheduler", metavar="ADDRESS", help="of a Dask cluster to run the cells on")
    parser.add_argument("--data", type=Path, help="folder that holds flowers/, cifar10/, ...")
    parser.add_argument("--folder", type=Path, help="of the records (default notebooks/recorded)")
    parser.add_argument("--again", action="store_true", help="also what is recorded already")
    parser.add_argument("--list", action="store_true", help="say what would be run, and end")
    equivalence_study.add_options(parser)
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    known = OTHERS | FAMILIES
    asked = options.what or (list(known) if options.list else [])
    for what in asked:
        if what not in known:
            raise ValueError(f"record {what}: unknown; there are {', '.join(known)}")
    if not asked:
        raise ValueError(f"record: say what, of {', '.join(known)}; or --list")
    if options.sets and len(asked) > 1 and {"equivalence", "recognition"} & set(asked):
        raise ValueError("record equivalence and recognition by themselves: their sets are others")
    if not {"equivalence", "recognition"} & set(asked):
        for name in options.sets or ():
            base_of(name)
    begun = time.perf_counter()
    record = {what: partial(_record_cells, what) for what in FAMILIES}
    record |= {what: partial(_record_metric, what) for what in ("metric", "conventions", "similarity")}
    record |= {"generators": _record_generators, "equivalence": equivalence_study.record}
    record |= {"recognition": _record_recognition, "summary": _record_summary}
    failed = sum(record[what](options) or 0 for what in known if what in asked)
    print(f"{(time.perf_counter() - begun) / 60:.1f} minutes")
    return 1 if failed else 0


def _record_metric(what: str, options: argparse.Namespace) -> None:
    photographs = ("flowers", "scene")
    for name in [""] if what == "conventions" else options.sets or (SETS, photographs)[what == "metric"]:
        if options.list:
            print(f"{what}: {name or ', '.join(options.sets or photographs)}")
        elif what == "similarity":
            print(similarity(name, options.data), flush=True)
        else:
            some = [name] if name else options.sets or photographs
            print(metric(some, options.data, conventions=what == "conventions"), flush=True)


def _record_summary(options: argparse.Namespace) -> None:
    path = runs.PACKAGE / "published" / "experiments.csv"
    if not options.list:
        runs.write_text(path, experiment_table(options.folder).to_csv(index=False))
    print(path)


def _record_cells(what: str, options: argparse.Namespace) -> int:
    """Run those of a family that are not recorded; how many failed."""
    from gmaug.experiment import CellsFailed, recorded, run_cells

    chosen = {name: getattr(options, name) for name in ("sets", "arms", "seeds", "steps")}
    listed, missing = ready(cells(what, **chosen))
    for about, count in missing.items():
        print(f"{what}: {count} cells wait for the generator of {about}, which is not recorded")
    left = [cell for cell in listed if options.again or not recorded(cell, folder=options.folder)]
    print(f"{what}: {len(left)} of {len(listed)} cells to run", flush=True)
    if options.list:
        print(*left, sep="\n")
        return 0
    try:
        run_cells(
            left, partial(material, data=options.data), folder=options.folder, jobs=options.jobs,
            threads=1, scheduler=options.scheduler, again=options.again, say=partial(print, flush=True),
        )  # fmt: skip
    except CellsFailed as error:  # the other families can still be run
        print(f"{what}: {error}", flush=True)
        return len(error.failures)
    return 0


def _record_recognition(options: argparse.Namespace) -> None:
    """Mixed classes in recognition (AugGen): its sets are individuals, lfw and, for notebook 08, live."""
    from gmaug.recognition import record_live_generator, record_recognition

    if options.sets == ["live"]:
        print(record_live_generator(checkpoints=options.checkpoints, folder=options.folder))
        return
    options_of = {"individuals": {"persons": 60}, "lfw": {"persons": 100, "images": 40}}
    about = {"steps": options.steps or 1500, "root": options.data or Path("data"), "arms": options.arms}
    about |= {"checkpoints": options.checkpoints, "folder": options.folder}
    for seed in options.seeds or (0, 1, 2):
        for name in options.sets or options_of:
            if options.list:
                print(f"recognition: {name} seed {seed}")
                continue
            print(record_recognition(name, seed=seed, **options_of[name], **about), flush=True)


def _record_generators(options: argparse.Namespace) -> None:
    """Train those that are not recorded yet, first repetitions first."""
    for repetition in options.seeds or (0,):
        for name in options.sets or SETS:
            if repetition and base_of(name)[0] not in GARDENS:
                continue  # photographs are always the same
            for kind in options.generators or KINDS:
                there = kind in generator_titles(name, repetition)
                state = "recorded" if there and not options.again else "to be trained"
                print(f"{name} {kind} repetition {repetition}: {state}", flush=True)
                if state != "recorded" and not options.list:
                    where = {"data": options.data, "checkpoints": options.checkpoints}
                    print(*record_generator(name, kind, repetition=repetition, **where), sep="\n", flush=True)
