"""Real images by name: the paper's data sets (section 4.1), some others, and single photographs.

Nothing is downloaded by itself. A set that is not here says how to obtain it. Licences are the
sources' own; none of these images is part of this project.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path

from PIL import Image

from gmaug.datasets.base import Skipped, printable
from gmaug.datasets.folder import Folder, natural, open_folder
from gmaug.hierarchy import Hierarchy

UTKFACE_CLASSES = ("White", "Black", "Asian", "Indian", "Others")  # codes 0 to 4 in the file names
SCENE_CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")  # labels 0 to 5 of train.csv
INAT_CATEGORIES = ("Birds", "Insects", "Fungi", "Reptiles", "Amphibians")


@dataclass(frozen=True)
class RealSet:
    """A published data set."""

    name: str  # to open it by
    title: str  # to print
    folders: tuple[str, ...]  # where it may lie below the root; the first that exists is taken
    url: str
    obtain: str  # how to put it in place
    licence: str
    read: Callable[[RealSet, Path], Folder] = field(repr=False)
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)  # published images of each class


def open_real(name: str, *, root: str | os.PathLike[str] = "data") -> Folder:
    """Open a real data set that lies below `root`; FileNotFoundError says how to obtain one that does not."""
    entry = (REAL | OTHERS)[name]
    for folder in entry.folders:
        path = Path(root) / folder
        if path.is_dir():
            return entry.read(entry, path)
    raise FileNotFoundError(
        f"{name}: not in {printable(Path(root) / entry.folders[0])}. {entry.obtain} ({entry.url}). "
        f"Licence: {entry.licence}. Set GMAUG_DATA where it lies elsewhere"
    )


def _plain(entry: RealSet, path: Path) -> Folder:
    # Kaggle's archive has held the folder twice, one in the other.
    inner = path / path.name
    return open_folder(inner if inner.is_dir() else path, name=entry.title)


def _scene(entry: RealSet, path: Path) -> Folder:
    """``scene/class/*``, or as Kaggle packs it: ``train.csv`` beside ``train/*.jpg``."""
    tables = [path / "train.csv", path / "train-scene classification" / "train.csv"]
    table = next((t for t in tables if t.is_file()), None)
    if table is None:
        return open_folder(path, name=entry.title)
    with table.open(newline="", encoding="utf-8") as file:
        rows = [(row["image_name"], int(row["label"])) for row in csv.DictReader(file)]
    rows.sort(key=lambda row: natural(row[0]))
    files = [(table.parent / "train" / name, label) for name, label in rows]
    return _labelled(entry, SCENE_CLASSES, files, [])


def _utkface(entry: RealSet, path: Path) -> Folder:
    """``age_gender_race_time.jpg``: the third number is the class."""
    files, skipped = [], []
    for file in sorted(path.iterdir(), key=lambda file: natural(file.name)):
        if file.name.startswith("."):
            continue
        parts = file.name.split(".")[0].split("_")
        if len(parts) == 4 and parts[2].isdigit() and int(parts[2]) < len(UTKFACE_CLASSES):
            files.append((file, int(parts[2])))
        else:
            skipped.append(Skipped(printable(file), "its name is not age_gender_race_time"))
    return _labelled(entry, UTKFACE_CLASSES, files, skipped)


def _labelled(entry: RealSet, classes: tuple[str, ...], files: list, skipped: list[Skipped]) -> Folder:
    if not files:
        raise FileNotFoundError(f"{entry.name}: no image found. {entry.obtain} ({entry.url})")
    files = sorted(files, key=lambda item: item[1])  # class by class; stable, so natural order within
    return Folder(
        entry.title,
        classes,
        [label for _, label in files],
        Hierarchy.flat(classes),
        paths=[path for path, _ in files],
        skipped=skipped,
    )


def _inat(entry: RealSet, path: Path) -> Folder:
    """torchvision's layout, ``2019/Birds/202/*.jpg``: one category, its classes flat.

    The archive holds training and validation images together; where the competition's
    ``train2019.json`` lies beside it, the training images alone are taken, as in the paper.
    The paper's super-classes (supplement S2) are not public: give a hierarchy of your own.
    """
    images = open_folder(path, name=entry.title)
    for listing in (path.parent / "train2019.json", path.parent.parent / "train2019.json"):
        if listing.is_file():
            entries = json.loads(listing.read_text(encoding="utf-8"))["images"]
            wanted = {"/".join(item["file_name"].split("/")[-3:]) for item in entries}
            kept = [k for k, p in enumerate(images.paths) if "/".join(p.parts[-3:]) in wanted]
            return images.subset(kept)
    return images


def download_inat2019(root: str | os.PathLike[str]) -> None:
    """Fetch all of iNaturalist-2019 (82 GB) through torchvision into ``root/2019``."""
    from gmaug.backend import torchvision

    torchvision()
    from torchvision.datasets import INaturalist

    INaturalist(root, version="2019", download=True)


@cache
def _inat_counts() -> dict[str, dict[str, int]]:
    """Training images of each class, by category; the class ids are the folders' names."""
    table = resources.files("gmaug") / "published" / "inat2019_class_counts.csv"
    counts: dict[str, dict[str, int]] = {}
    for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines()):
        counts.setdefault(row["category"], {})[row["class_id"]] = int(row["images"])
    return counts


def _register() -> dict[str, RealSet]:
    sets = [
        RealSet(
            "flowers", "flowers", ("flowers",), "https://www.kaggle.com/datasets/alxmamaev/flowers-recognition",
            "Download flowers-recognition from Kaggle and unpack it to flowers/<class>/",
            "not stated by the collector; the photographs (Flickr and others) are their authors'",
            _plain, {"daisy": 764, "dandelion": 1052, "rose": 784, "sunflower": 733, "tulip": 984},
        ),
        RealSet(
            "scene", "scene", ("scene",), "https://www.kaggle.com/datasets/nitishabharathi/scene-classification",
            "Download scene-classification from Kaggle and unpack it to scene/ (train.csv and train/, or one "
            "folder a class)",
            "not stated by the collector (images of Intel's scene challenge); research use",
            _scene, dict(zip(SCENE_CLASSES, (2628, 2745, 2957, 3037, 2784, 2883), strict=True)),
        ),
        RealSet(
            "utkface", "UTKFace", ("utkface", "UTKFace"), "https://www.kaggle.com/datasets/jangedoo/utkface-new",
            "Download utkface-new from Kaggle and unpack its UTKFace folder to utkface/*.jpg",
            "non-commercial research only; the faces are their owners'",
            _utkface, dict(zip(UTKFACE_CLASSES, (10078, 4526, 3434, 3975, 1692), strict=True)),
        ),
    ]  # fmt: skip
    for category in INAT_CATEGORIES:
        sets.append(
            RealSet(
                f"inat2019-{category.lower()}", category,
                (f"inat2019/2019/{category}", f"2019/{category}", f"inat2019/{category}"),
                "https://github.com/visipedia/inat_comp/tree/master/2019",
                "Run gmaug.datasets.real.download_inat2019('data/inat2019'), which asks torchvision for all "
                "82 GB, and put the competition's train2019.json beside it",
                "each photograph's own (mostly CC BY-NC); non-commercial research, education",
                _inat, _inat_counts().get(category, {}),
            )
        )  # fmt: skip
    return {entry.name: entry for entry in sets}


REAL: dict[str, RealSet] = _register()
"""The paper's eight data sets, by the name that opens them."""

TITLES = {entry.title: entry for entry in REAL.values()}
"""The same by the names that its tables use."""

OTHERS: dict[str, RealSet] = {
    entry.name: entry
    for entry in (
        RealSet(
            "cifar10", "CIFAR-10", ("cifar10/train", "cifar10"), "https://www.cs.toronto.edu/~kriz/cifar.html",
            "Download CIFAR-10 (torchvision.datasets.CIFAR10) and write it to cifar10/train/<class>/",
            "not stated by the collectors; research use", _plain,
        ),
        RealSet(
            "cifar10-test", "CIFAR-10, test", ("cifar10/test",), "https://www.cs.toronto.edu/~kriz/cifar.html",
            "Download CIFAR-10 through torchvision and write its test images to cifar10/test/<class>/",
            "not stated by the collectors; research use", _plain,
        ),
        RealSet(
            "ham10000", "HAM10000", ("ham10000",), "https://doi.org/10.7910/DVN/DBW86T",
            "Download HAM10000, put each image into ham10000/<diagnosis>/ and its table to "
            "ham10000/meta.csv; several images show one lesion, so split by lesion_id",
            "CC BY-NC 4.0; Tschandl, Rosendahl and Kittler, Scientific Data 5:180161 (2018)", _plain,
        ),
        RealSet(
            "fish", "Fish4Knowledge", ("fish",),
            "https://groups.inf.ed.ac.uk/vision/DATASETS/FISH4KNOWLEDGE/WEBSITE/GROUNDTRUTH/RECOG",
            "Download the fish recognition ground truth and unpack it to fish/<species>/; the frames of a "
            "track are near copies, so keep one of each or split by track",
            "any use with the publishers' notice; Boom et al., ICPR 2012", _plain,
        ),
        RealSet(
            "lfw", "LFW", ("lfw",), "https://vis-www.cs.umass.edu/lfw/",
            "Download Labeled Faces in the Wild and unpack it to lfw/<person>/; hold persons out to test "
            "recognition",
            "none stated; press photographs, for research measurement only, not to be passed on", _plain,
        ),
    )
}  # fmt: skip
"""Data sets that the paper does not use: class folders, each class its own super-class."""

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "rocket",
)  # fmt: skip
"""Single photographs that come with scikit-image: natural scenes, textures and instruments' images.

They are no data set and stand for none of the paper's; drawings and printed text are left out.
"""


def photographs(names: Sequence[str] = PHOTOGRAPHS) -> dict[str, Image.Image]:
    """Some of :data:`PHOTOGRAPHS` by name, as stored: 8 bits, grey or RGB."""
    from skimage import data

    unknown = sorted(set(names) - set(PHOTOGRAPHS))
    if unknown:
        raise ValueError(f"photograph {unknown[0]!r} is unknown; there are {', '.join(PHOTOGRAPHS)}")
    return {name: Image.fromarray(getattr(data, name)()) for name in names}


def photograph(name: str) -> Image.Image:
    """One of :data:`PHOTOGRAPHS`."""
    return photographs([name])[name]
