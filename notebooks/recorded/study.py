"""The sets of the study: images, what is held in reserve, and the recorded generators that know them.

A garden's repetition r is ``plant(settings, seed=r)``: fresh images. A set named ``middle.1`` holds on to the
images of repetition 1 whatever the seed, for cells whose generator was trained on them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from gmaug import runs
from gmaug.datasets import open_images
from gmaug.datasets.base import Splits
from gmaug.datasets.folder import Folder
from gmaug.datasets.garden import GARDENS, more, plant
from gmaug.datasets.imbalance import exponential_counts
from gmaug.experiment import Material
from gmaug.experiment.cells import Arrays
from gmaug.generators import load_generator
from gmaug.hierarchy import Hierarchy

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
        raise FileNotFoundError(f"{data / about.folder}: not there; name its folder with --data")
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
    generators = {kind: (RecordedGenerator(p.stem), runs.files_hash([p])) for kind, p in weights.items()}
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


# Recorded generators

KINDS = ("cgan", "diffusion")


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
    return load_generator(generator_weights(title), threads=1)
