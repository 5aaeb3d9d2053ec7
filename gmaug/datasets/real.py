"""Real images by name: the paper's data sets (section 4.1) and some others.

Nothing is downloaded by itself. A set that is not here says how to obtain it. Licences are the
sources' own; none of these images is part of this project.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from gmaug.datasets.base import Skipped, printable
from gmaug.datasets.folder import Folder, natural, open_folder
from gmaug.hierarchy import Hierarchy

UTKFACE_CLASSES = ("White", "Black", "Asian", "Indian", "Others")  # codes 0 to 4 in the file names
SCENE_CLASSES = ("buildings", "forest", "glacier", "mountain", "sea", "street")  # labels 0 to 5 of train.csv


def _plain(path: Path, title: str) -> Folder:
    inner = path / path.name  # Kaggle's archive has held the folder twice, one in the other
    return open_folder(inner if inner.is_dir() else path, name=title)


def _scene(path: Path, title: str) -> Folder:
    """``scene/class/*``, or as Kaggle packs it: ``train.csv`` beside ``train/*.jpg``."""
    tables = [path / "train.csv", path / "train-scene classification" / "train.csv"]
    table = next((t for t in tables if t.is_file()), None)
    if table is None:
        return open_folder(path, name=title)
    with table.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: natural(row["image_name"]))
    files = [(table.parent / "train" / row["image_name"], int(row["label"])) for row in rows]
    return _labelled(title, SCENE_CLASSES, files, [])


def _utkface(path: Path, title: str) -> Folder:
    """``age_gender_race_time.jpg``: the third number is the class."""
    files, skipped = [], []
    for file in sorted(path.iterdir(), key=lambda file: natural(file.name)):
        parts = file.name.split(".")[0].split("_")
        if len(parts) == 4 and parts[2].isdigit() and int(parts[2]) < len(UTKFACE_CLASSES):
            files.append((file, int(parts[2])))
        elif not file.name.startswith("."):
            skipped.append(Skipped(printable(file), "its name is not age_gender_race_time"))
    return _labelled(title, UTKFACE_CLASSES, files, skipped)


def _labelled(
    title: str, classes: Sequence[str], files: list[tuple[Path, int]], skipped: list[Skipped]
) -> Folder:
    files = sorted(files, key=lambda item: item[1])  # class by class; stable, so natural order within
    paths, labels = [path for path, _ in files], [label for _, label in files]
    return Folder(title, classes, labels, Hierarchy.flat(classes), paths=paths, skipped=skipped)


def _inat(path: Path, title: str) -> Folder:
    """torchvision's layout, ``2019/Birds/202/*.jpg``: one category, its classes flat.

    The archive holds training and validation images together; where the competition's
    ``train2019.json`` lies beside it, the training images alone are taken, as in the paper.
    The paper's super-classes (supplement S2) are not public: give a hierarchy of your own.
    """
    images = open_folder(path, name=title)
    for listing in (path.parent / "train2019.json", path.parent.parent / "train2019.json"):
        if listing.is_file():
            entries = json.loads(listing.read_text(encoding="utf-8"))["images"]
            wanted = {"/".join(item["file_name"].split("/")[-3:]) for item in entries}
            return images.subset([k for k, p in enumerate(images.paths) if "/".join(p.parts[-3:]) in wanted])
    return images


@dataclass(frozen=True)
class RealSet:
    """A published data set."""

    name: str  # to open it by
    title: str  # to print
    folders: tuple[str, ...]  # where it may lie below the root; the first that exists is taken
    url: str
    obtain: str  # how to put it in place
    licence: str
    read: Callable[[Path, str], Folder] = field(default=_plain, repr=False)
    counts: Mapping[str, int] = field(default_factory=dict, repr=False)  # published images of each class


def open_real(name: str, *, root: str | os.PathLike[str] = "data") -> Folder:
    """Open a real data set that lies below `root`; FileNotFoundError says how to obtain one that does not."""
    entry = (REAL | OTHERS)[name]
    path = next((path for one in entry.folders if (path := Path(root) / one).is_dir()), None)
    images = entry.read(path, entry.title) if path else ()
    if not len(images):
        place = printable(Path(root) / entry.folders[0])
        raise FileNotFoundError(
            f"{name}: not in {place}. {entry.obtain} ({entry.url}). Licence: {entry.licence}. Set "
            "GMAUG_DATA where it lies elsewhere"
        )
    return images


def _inat_set(category: str) -> RealSet:
    table = resources.files("gmaug") / "published" / "inat2019_class_counts.csv"
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    return RealSet(
        f"inat2019-{category.lower()}", category,
        (f"inat2019/2019/{category}", f"2019/{category}", f"inat2019/{category}"),
        "https://github.com/visipedia/inat_comp/tree/master/2019",
        "Run torchvision.datasets.INaturalist('data/inat2019', version='2019', download=True), which fetches "
        "all 82 GB, and put the competition's train2019.json beside its folder 2019",
        "each photograph's own (mostly CC BY-NC); non-commercial research, education",
        _inat, {row["class_id"]: int(row["images"]) for row in rows if row["category"] == category},
    )  # fmt: skip


_REAL = (
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
    *map(_inat_set, ("Birds", "Insects", "Fungi", "Reptiles", "Amphibians")),
)  # fmt: skip
REAL: dict[str, RealSet] = {entry.name: entry for entry in _REAL}
"""The paper's eight data sets, by the name that opens them."""

TITLES = {entry.title: entry for entry in _REAL}
"""The same by the names that its tables use."""

_OTHERS = (
    RealSet(
        "cifar10", "CIFAR-10", ("cifar10/train", "cifar10"), "https://www.cs.toronto.edu/~kriz/cifar.html",
        "Download CIFAR-10 (torchvision.datasets.CIFAR10) and write it to cifar10/train/<class>/",
        "not stated by the collectors; research use",
    ),
    RealSet(
        "cifar10-test", "CIFAR-10, test", ("cifar10/test",), "https://www.cs.toronto.edu/~kriz/cifar.html",
        "Download CIFAR-10 through torchvision and write its test images to cifar10/test/<class>/",
        "not stated by the collectors; research use",
    ),
    RealSet(
        "ham10000", "HAM10000", ("ham10000",), "https://doi.org/10.7910/DVN/DBW86T",
        "Download HAM10000, put each image into ham10000/<diagnosis>/ and its table to "
        "ham10000/meta.csv; several images show one lesion, so split by lesion_id",
        "CC BY-NC 4.0; Tschandl, Rosendahl and Kittler, Scientific Data 5:180161 (2018)",
    ),
    RealSet(
        "fish", "Fish4Knowledge", ("fish",),
        "https://groups.inf.ed.ac.uk/vision/DATASETS/FISH4KNOWLEDGE/WEBSITE/GROUNDTRUTH/RECOG",
        "Download the fish recognition ground truth and unpack it to fish/<species>/; the frames of a "
        "track are near copies, so keep one of each or split by track",
        "any use with the publishers' notice; Boom et al., ICPR 2012",
    ),
    RealSet(
        "lfw", "LFW", ("lfw",), "https://vis-www.cs.umass.edu/lfw/",
        "Download Labeled Faces in the Wild and unpack it to lfw/<person>/; hold persons out to test "
        "recognition",
        "none stated; press photographs, for research measurement only, not to be passed on",
    ),
)  # fmt: skip
OTHERS: dict[str, RealSet] = {entry.name: entry for entry in _OTHERS}
"""Data sets that the paper does not use: class folders, each class its own super-class."""
