"""Real images by name: the paper's data sets (section 4.1) and some others.

Nothing is downloaded by itself. A set that is not here says how to obtain it. Licences are the
sources' own; none of these images is part of this project.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path

from gmaug.datasets.base import Skipped, printable
from gmaug.datasets.folder import Folder, natural, open_folder
from gmaug.hierarchy import Hierarchy


@dataclass(frozen=True)
class RealSet:
    """A published data set: a row of ``published/datasets.csv``."""

    name: str  # to open it by
    title: str  # to print
    in_paper: bool
    folders: tuple[str, ...]  # where it may lie below the root; the first that exists is taken
    url: str
    obtain: str  # how to put it in place
    licence: str
    counts: Mapping[str, int] = field(repr=False)  # published images of each class; of the paper's sets only


def _rows(name: str) -> list[dict[str, str]]:
    table = resources.files("gmaug") / "published" / f"{name}.csv"
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))


def _real_sets() -> Iterable[RealSet]:
    counts: dict[str, dict[str, int]] = {}
    for row in _rows("class_counts"):
        counts.setdefault(row["dataset"], {})[row["class"]] = int(row["images"])
    for row in _rows("inat2019_class_counts"):
        counts.setdefault(row["category"], {})[row["class_id"]] = int(row["images"])
    for row in _rows("datasets"):
        about = {"in_paper": row["in_paper"] == "yes", "folders": tuple(row["folders"].split())}
        yield RealSet(**row | about, counts=counts.get(row["title"], {}))


SETS: dict[str, RealSet] = {entry.name: entry for entry in _real_sets()}
"""All data sets that can be opened by name: the paper's eight, then others, class folders each."""

REAL = {name: entry for name, entry in SETS.items() if entry.in_paper}
"""The paper's eight."""

TITLES = {entry.title: entry for entry in REAL.values()}
"""The same by the names that its tables use."""


def open_real(name: str, *, root: str | os.PathLike[str] = "data") -> Folder:
    """Open a real data set that lies below `root`; FileNotFoundError says how to obtain one that does not."""
    entry = SETS[name]
    path = next((path for one in entry.folders if (path := Path(root) / one).is_dir()), None)
    images = _open(entry, path) if path else ()
    if not len(images):
        place = printable(Path(root) / entry.folders[0])
        raise FileNotFoundError(
            f"{name}: not in {place}. {entry.obtain} ({entry.url}). Licence: {entry.licence}. Set "
            "GMAUG_DATA where it lies elsewhere"
        )
    return images


def _open(entry: RealSet, path: Path) -> Folder:
    if entry.name == "scene":
        return _scene(path, entry)
    if entry.name == "utkface":
        return _utkface(path, entry)
    if entry.name.startswith("inat2019"):
        return _inat(path, entry)
    inner = path / path.name  # Kaggle's archive has held the folder twice, one in the other
    return open_folder(inner if inner.is_dir() else path, name=entry.title)


def _scene(path: Path, entry: RealSet) -> Folder:
    """``scene/class/*``, or as Kaggle packs it: ``train.csv`` beside ``train/*.jpg``."""
    tables = [path / "train.csv", path / "train-scene classification" / "train.csv"]
    table = next((t for t in tables if t.is_file()), None)
    if table is None:
        return open_folder(path, name=entry.title)
    with table.open(newline="", encoding="utf-8") as file:
        rows = sorted(csv.DictReader(file), key=lambda row: natural(row["image_name"]))
    return _numbered(entry, [(table.parent / "train" / row["image_name"], int(row["label"])) for row in rows])


def _utkface(path: Path, entry: RealSet) -> Folder:
    """``age_gender_race_time.jpg``: the third number is the class."""
    files, skipped = [], []
    for file in sorted(path.iterdir(), key=lambda file: natural(file.name)):
        parts = file.name.split(".")[0].split("_")
        if len(parts) == 4 and parts[2].isdigit() and int(parts[2]) < len(entry.counts):
            files.append((file, int(parts[2])))
        elif not file.name.startswith("."):
            skipped.append(Skipped(printable(file), "its name is not age_gender_race_time"))
    return _numbered(entry, files, skipped)


def _numbered(entry: RealSet, files: list[tuple[Path, int]], skipped: Sequence[Skipped] = ()) -> Folder:
    """Files with the numbers of their classes, which stand in that order in the table of counts."""
    files = sorted(files, key=lambda item: item[1])  # class by class; stable, so natural order within
    paths, labels = [path for path, _ in files], [label for _, label in files]
    hierarchy = Hierarchy.flat(entry.counts)
    return Folder(entry.title, list(entry.counts), labels, hierarchy, paths=paths, skipped=skipped)


def _inat(path: Path, entry: RealSet) -> Folder:
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
            return images.subset([k for k, p in enumerate(images.paths) if "/".join(p.parts[-3:]) in wanted])
    return images
