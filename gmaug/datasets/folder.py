"""Any folder of images: ``DIR/class/*``, or ``DIR/super/sub/*``.

Images are decoded when they are asked for. The order of classes and images is that of their
names, numbers within them counted, so it is the same on every file system.
"""

from __future__ import annotations

import errno
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from gmaug.datasets.base import ImageSet
from gmaug.datasets.decode import Skipped, decode, printable
from gmaug.hierarchy import Hierarchy

# Folders of these names are parts of one data set, not classes.
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
SHAPE = "a folder holds DIR/class/* or DIR/super/sub/*"


class Folder(ImageSet):
    """Image files on disk, decoded one at a time.

    Attributes
    ----------
    paths : tuple of Path
        File of each image.
    skipped : tuple of Skipped
        What was left out when the folder was listed: files outside a class, empty folders, loops.
        A file that turns out to be no image is found only when it is decoded.
    """

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        labels: Sequence[int],
        hierarchy: Hierarchy,
        *,
        paths: Sequence[Path],
        skipped: Sequence[Skipped] = (),
    ) -> None:
        super().__init__(name, classes, labels, hierarchy)
        self.paths = tuple(paths)
        self.skipped = tuple(skipped)

    def image(self, index: int, *, size: int | None = None) -> Image.Image:
        """One image, upright, 8 bits, grey or RGB, in its own size.

        Raises
        ------
        UnreadableImage
            If the file cannot be used; the message names it and the reason.
        """
        return decode(self.paths[index])

    def subset(self, indices: Sequence[int]) -> Folder:
        indices = [int(i) for i in indices]
        return Folder(
            self.name,
            self.classes,
            self.labels[indices],
            self.hierarchy,
            paths=[self.paths[i] for i in indices],
            skipped=self.skipped,
        )


def natural(name: str) -> tuple:
    """Sort key: 2 before 10, case and composition of letters only where nothing else differs."""
    folded = unicodedata.normalize("NFC", name).casefold()
    parts = re.split(r"(\d+)", folded, flags=re.ASCII)
    return tuple(int(part) if k % 2 else part for k, part in enumerate(parts)), name


@dataclass
class _Listing:
    """Sub-folders and files of a folder, in natural order."""

    folders: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    @property
    def images(self) -> bool:
        return any(path.suffix.lower() in Image.registered_extensions() for path in self.files)


def _list(folder: Path, ancestors: frozenset[tuple[int, int]], skipped: list[Skipped]) -> _Listing:
    listing = _Listing()
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: natural(entry.name))
    except OSError as error:
        skipped.append(Skipped(printable(folder), f"cannot be listed ({error.strerror})"))
        return listing
    for entry in entries:
        if entry.name.startswith("."):
            continue  # hidden: thumbnails, version control, the shadows that macOS leaves
        path = folder / entry.name
        try:
            status = entry.stat()
        except OSError as error:
            looped = entry.is_symlink() and error.errno == errno.ELOOP
            skipped.append(
                Skipped(printable(path), "symlink loop" if looped else f"cannot be read ({error.strerror})")
            )
            continue
        if not entry.is_dir():
            listing.files.append(path)
        elif (status.st_dev, status.st_ino) in ancestors:
            skipped.append(Skipped(printable(path), "symlink loop"))
        else:
            listing.folders.append(path)
    return listing


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def open_folder(
    path: str | os.PathLike[str], *, hierarchy: Hierarchy | None = None, name: str | None = None
) -> Folder:
    """List a folder of images; nothing is decoded yet.

    Parameters
    ----------
    path : path
        ``DIR/class/*``: each class is its own super-class, as the paper has it for flowers. Or
        ``DIR/super/sub/*``. Both may stand side by side. Hidden files are not looked at.
    hierarchy : Hierarchy, optional
        Other super-classes for the classes found.
    name : str, optional
        Name of the set; the folder's by default.

    Raises
    ------
    FileNotFoundError, NotADirectoryError
        If there is no such folder.
    ValueError
        If no image is found, the folder's shape is unclear, or it holds splits rather than classes.
    """
    root = Path(path)
    if not root.exists():
        raise FileNotFoundError(f"{printable(root)}: no such folder; {SHAPE}")
    if not root.is_dir():
        raise NotADirectoryError(f"{printable(root)}: not a folder; {SHAPE}")
    skipped: list[Skipped] = []
    classes, groups = _classes(root, skipped)
    seen: dict[tuple[int, int], Path] = {}
    names, labels, paths = [], [], []
    for class_name, files in classes.items():
        kept = []
        for file in files:
            first = seen.setdefault(_identity(file), file)
            if first is file:
                kept.append(file)
            else:
                skipped.append(Skipped(printable(file), f"the same file as {printable(first)}"))
        if kept:
            labels += [len(names)] * len(kept)
            names.append(class_name)
            paths += kept
    if not paths:
        raise ValueError(f"{printable(root)}: no image in it; {SHAPE}")
    groups = {key: tuple(m for m in members if m in names) for key, members in groups.items()}
    own = Hierarchy({key: members for key, members in groups.items() if members}, "the folders' names")
    label = name or printable(root.resolve().name)
    return Folder(label, names, labels, hierarchy or own, paths=paths, skipped=skipped)


def _classes(root: Path, skipped: list[Skipped]) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Files of each class and classes of each super-class."""
    above = frozenset({_identity(root)})
    top = _list(root, above, skipped)
    if not top.folders and top.images:
        raise ValueError(f"{printable(root)}: images but no class folder; {SHAPE}")
    skipped += [Skipped(printable(file), "beside the class folders, in no class") for file in top.files]
    found: dict[tuple[str, ...], list[Path]] = {}
    for folder in top.folders:
        listing = _list(folder, above | {_identity(folder)}, skipped)
        if listing.images and any(_holds_images(sub) for sub in listing.folders):
            raise ValueError(
                f"{printable(folder)}: holds images and folders of images; move the ones or the others out"
            )
        subs = {} if listing.images else {
            sub: _list(sub, above | {_identity(folder), _identity(sub)}, skipped) for sub in listing.folders
        }  # fmt: skip
        if any(inner.files for inner in subs.values()):
            stray = "beside the sub-class folders, in none"
            skipped += [Skipped(printable(file), stray) for file in listing.files]
            for sub, inner in subs.items():
                _add(found, (printable(folder.name), printable(sub.name)), sub, inner, skipped)
        else:
            _add(found, (printable(folder.name),), folder, listing, skipped)
    tops = [key[0].casefold() for key in found]
    if len(tops) > 1 and all(len(key) == 2 for key in found) and set(tops) <= SPLITS:
        splits = ", ".join(dict.fromkeys(tops))
        raise ValueError(f"{printable(root)}: holds splits ({splits}); name one of them")
    return _named(found)


def _holds_images(folder: Path) -> bool:
    return _list(folder, frozenset(), []).images


def _add(found, key, folder: Path, listing: _Listing, skipped: list[Skipped]) -> None:
    deeper = "folder inside a class folder; its files are not read"
    skipped += [Skipped(printable(inner), deeper) for inner in listing.folders]
    if listing.files:
        found[key] = listing.files
    elif not listing.folders:
        skipped.append(Skipped(printable(folder), "empty folder"))


def _named(found: dict[tuple[str, ...], list[Path]]) -> tuple[dict[str, list[Path]], dict[str, list[str]]]:
    """Name a class after its folder, and after its super-class too where two folders share the name."""
    last = [key[-1] for key in found]
    names = {key: key[-1] if last.count(key[-1]) == 1 else "/".join(key) for key in found}
    groups: dict[str, list[str]] = {}
    for key, name in names.items():
        groups.setdefault(key[0], []).append(name)
    return {names[key]: files for key, files in found.items()}, groups
