"""Any folder of images: ``DIR/class/*``, or ``DIR/super/sub/*``; and one image file, decoded safely.

Put right in an image: EXIF orientation, palettes, CMYK, transparency (laid on white, as a page shows it),
16-bit grey. Refused, since a guess would be a wrong number in silence: truncated files, animations, pixels
of unknown range, decompression bombs, and every format but `FORMATS`, whatever the file's name says.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import threading
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import ExifTags, Image, ImageOps

from gmaug.datasets.base import SUFFIXES, ImageSet, Skipped, UnreadableImage, printable
from gmaug.hierarchy import Hierarchy

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "TIFF", "WEBP", "PPM")  # Pillow would run PostScript; JPEG opens MPO
NO_IMAGE = "not an image of a format that is read (JPEG, PNG, BMP, GIF, TIFF, WebP, PPM)"
PIXELS_IN_FLIGHT = 2**26
"""Most pixels that threads hold decoded at once, unless a single image has more (89 million at most).

A pixel takes 4 bytes, and up to 16 while transparency is laid on white: 256 MiB, and 1 GiB at worst.
"""
# Folders of these names are parts of one data set, not classes.
SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
SHAPE = "a folder holds DIR/class/* or DIR/super/sub/*"
GROUPS = "groups.csv"

# ---- one image file -----------------------------------------------------------------------


class _Flight:
    """Lets images be decoded while those held at once have few enough pixels."""

    def __init__(self, most: int) -> None:
        self.most, self.held = most, 0
        self._free, self._mine = threading.Condition(), threading.local()

    @contextmanager
    def __call__(self, pixels: int) -> Iterator[None]:
        depth = getattr(self._mine, "depth", 0)
        with self._free:
            # A thread that holds an image already must not wait for itself.
            self._free.wait_for(lambda: depth or not self.held or self.held + pixels <= self.most)
            self.held += pixels
        self._mine.depth = depth + 1
        try:
            yield
        finally:
            self._mine.depth = depth
            with self._free:
                self.held -= pixels
                self._free.notify_all()


in_flight = _Flight(PIXELS_IN_FLIGHT)


@contextmanager
def decoded(source: str | os.PathLike[str] | bytes, *, name: str | None = None) -> Iterator[Image.Image]:
    """One image file or its bytes, read (mode "L" or "RGB", upright), for as long as the block lasts.

    `name` is what messages call it. Until the block ends its pixels count as in flight. Any file that
    cannot be used is an UnreadableImage with the reason.
    """
    stored = isinstance(source, bytes)
    name = name or ("bytes" if stored else os.fspath(source))
    with ExitStack() as held:
        with _refusing(name):
            if not stored:
                status = os.stat(source)
                if not stat.S_ISREG(status.st_mode):
                    raise UnreadableImage(name, "not a regular file")  # a pipe would wait for ever
                if status.st_size == 0:
                    raise UnreadableImage(name, "empty file")
            file = held.enter_context(Image.open(io.BytesIO(source) if stored else source, formats=FORMATS))
            _check(name, file)
            held.enter_context(in_flight(file.width * file.height))
            file.load()
            image = _eight_bits(name, _upright(file))
            if image is not file:
                file.close()  # and with it the pixels as they were stored
        yield image


@contextmanager
def _refusing(name: str) -> Iterator[None]:
    """Turn whatever a decoder raises into an UnreadableImage with one line."""
    try:
        yield
    except UnreadableImage:
        raise
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
            limit = f"PIL.Image.MAX_IMAGE_PIXELS ({Image.MAX_IMAGE_PIXELS})"
            reason = f"decompression bomb: more pixels than {limit}"
        elif isinstance(error, Image.UnidentifiedImageError):
            reason = NO_IMAGE
        elif isinstance(error, FileNotFoundError):
            reason = "is gone: it was there when the folder was listed"
        elif isinstance(error, PermissionError):
            reason = "no permission to read it"
        else:
            reason = f"cannot be decoded ({' '.join(str(error).split()) or type(error).__name__})"
        raise UnreadableImage(name, reason) from None


def _check(name: str, image: Image.Image) -> None:
    """Refuse by what the header says, before any pixel is decoded."""
    pixels, limit = image.width * image.height, Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        reason = f"decompression bomb: {pixels} pixels, over PIL.Image.MAX_IMAGE_PIXELS ({limit})"
        raise UnreadableImage(name, reason)
    if pixels == 0:
        raise UnreadableImage(name, "has no pixel")
    # The second picture of an MPO file, which telephones write, is another view or a preview.
    if image.format != "MPO" and getattr(image, "is_animated", False):
        raise UnreadableImage(name, "animation or stack of frames; export the one to use")


def _upright(image: Image.Image) -> Image.Image:
    try:
        turned = image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        return ImageOps.exif_transpose(image) if turned else image
    except Exception:  # a damaged EXIF block names no orientation; the pixels are sound
        return image


def _eight_bits(name: str, image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
    elif image.mode.startswith("I;16") or (image.mode == "I" and image.format in ("PNG", "PPM")):
        # These formats hold no more than 16 bits, which Pillow may have widened to 32.
        levels = np.asarray(image).astype(np.uint32)
        if levels.max() > 65535:
            raise UnreadableImage(name, f"grey values up to {levels.max()}: their range is unknown")
        levels += 128  # x / 257, rounded: 257 is odd, so that no value lies half way
        levels //= 257
        return Image.fromarray(levels.astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImage(name, f"pixels of mode {image.mode}: their range is unknown")
    if image.has_transparency_data:
        image = image if image.mode == "RGBA" else image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")


# ---- sets of files ------------------------------------------------------------------------


class Folder(ImageSet):
    """Image files on disk, one of `paths` an image.

    ``skipped`` is what was left out when the folder was listed: files outside a class, files that are no
    image, empty folders, loops. A damaged image is found only when it is decoded.
    """

    stored = "paths"

    def __init__(
        self,
        name: str,
        classes: Sequence[str],
        labels: Sequence[int],
        hierarchy: Hierarchy,
        *,
        paths: Sequence[str | os.PathLike[str]],
        skipped: Sequence[Skipped] = (),
    ) -> None:
        super().__init__(name, classes, labels, hierarchy)
        self.paths, self.skipped = list(map(Path, paths)), tuple(skipped)

    def opened(self, index: int, *, size: int) -> AbstractContextManager[Image.Image]:
        return decoded(self.paths[index])


class HuggingFace(ImageSet):
    """One split of a data set of Hugging Face's ``datasets``, with a column of images and one of labels.

    Images are decoded here, with the checks that files get. Labels are the one column of class labels, or
    else the column ``label``, of any values.
    """

    stored = "at"  # rows of `rows`

    def __init__(self, rows: Any, *, name: str) -> None:
        import datasets

        def only(kind: type, otherwise: str) -> str:
            found = [column for column, feature in rows.features.items() if isinstance(feature, kind)]
            if not found and otherwise in rows.features:
                return otherwise
            if len(found) != 1:
                there = ", ".join(map(printable, found)) or "none"
                what = f"one {kind.__name__} column is needed, there is {there}"
                raise ValueError(f"{name}: {what}; see select_columns")
            return found[0]

        self.column, label = only(datasets.Image, "image"), only(datasets.ClassLabel, "label")
        plain = rows.with_format(None)
        values, feature = plain[label][:], rows.features[label]
        if not isinstance(feature, datasets.ClassLabel):
            known = sorted(set(values), key=lambda value: natural(str(value)))
            feature, values = datasets.ClassLabel(names=[str(one) for one in known]), map(known.index, values)
        classes = [printable(one) for one in feature.names]
        super().__init__(name, classes, values, Hierarchy.flat(classes))
        self.rows, self.at = (
            plain.cast_column(self.column, datasets.Image(decode=False)),
            np.arange(len(plain)),
        )

    def opened(self, index: int, *, size: int) -> AbstractContextManager[Image.Image]:
        kept = self.rows[int(self.at[index])][self.column] or {}
        source = kept.get("path") if kept.get("bytes") is None else kept["bytes"]
        if source is None:
            raise UnreadableImage(f"{self.name}[{index}]", "holds no image")
        return decoded(source, name=f"{self.name}[{index}]")


# ---- listing a folder ---------------------------------------------------------------------

Files = dict[Path, tuple[int, int]]  # with the device and number of each: two names may lead to one file
Key = tuple[str, ...]  # names of the folders that lead to a class


def open_folder(path: str | os.PathLike[str], *, name: str | None = None) -> Folder:
    """List a folder of images; nothing is decoded yet. Hidden files are not looked at.

    ``DIR/class/*``: each class is its own super-class, as the paper has it for flowers. Or
    ``DIR/super/sub/*``. Both may stand side by side. Other super-classes are read from ``groups.csv`` in
    the folder, with the columns ``super_class`` and ``sub_class``, where there is one. `name` is the
    folder's by default. Order is that of the names, numbers within them counted, on every file system.

    Raises
    ------
    FileNotFoundError, NotADirectoryError, ValueError
        If there is no such folder, no image in it, or its shape is unclear.
    """
    root = Path(os.fsdecode(path))
    shown, table = printable(root), root / GROUPS
    if not root.exists():
        raise FileNotFoundError(f"{shown}: no such folder; {SHAPE}")
    if not root.is_dir():
        raise NotADirectoryError(f"{shown}: not a folder; {SHAPE}")
    skipped: dict[Path, str] = {}
    seen: dict[tuple[int, int], Path] = {}
    keys: list[Key] = []
    for key, files in _classes(root, skipped).items():
        for file, identity in files.items():
            if seen.setdefault(identity, file) is file:
                keys.append(key)
            else:
                skipped[file] = f"the same file as {printable(seen[identity])}"
    if not keys:
        raise ValueError(f"{shown}: no image in it; {SHAPE}")
    names = _names(root, list(dict.fromkeys(keys)))
    if table.is_file():
        hierarchy = Hierarchy.of(table)
        skipped.pop(table, None)
    else:
        groups: dict[str, list[str]] = {}
        for key, one in names.items():
            groups.setdefault(printable(key[0]), []).append(one)
        hierarchy = Hierarchy(groups, "the folders' names")
    number = {key: k for k, key in enumerate(names)}
    left_out = [Skipped(printable(file), reason) for file, reason in skipped.items()]
    return Folder(
        name or printable(root.resolve().name), list(names.values()), [number[key] for key in keys],
        hierarchy, paths=list(seen.values()), skipped=left_out,
    )  # fmt: skip


def _classes(root: Path, skipped: dict[Path, str]) -> dict[Key, Files]:
    """Images of each class; of everything else, the reason goes to `skipped`."""
    folders, images, others = _list(root, skipped)
    if images and not folders:
        raise ValueError(f"{printable(root)}: images but no class folder; {SHAPE}")
    skipped |= dict.fromkeys([*images, *others], "beside the class folders, in no class")
    found: dict[Key, Files] = {}
    for folder in folders:
        below: dict[Path, str] = {}
        subs, images, others = _list(folder, skipped)
        classes = {sub: _list(sub, below) for sub in subs}
        if not any(inner for _, inner, _ in classes.values()):
            classes = {folder: (subs, images, others)}
        elif images:
            reason = "holds images and folders of images; move the ones or the others out"
            raise ValueError(f"{printable(folder)}: {reason}")
        else:
            skipped |= below | dict.fromkeys(others, "beside the sub-class folders, in none")
        for place, (inside, files, rest) in classes.items():
            skipped |= dict.fromkeys(inside, "folder inside a class folder; its files are not read")
            skipped |= dict.fromkeys(rest, NO_IMAGE)
            if files:
                found[place.relative_to(root).parts] = files
            elif not inside and not rest:
                skipped.setdefault(place, "empty folder")
    tops = dict.fromkeys(key[0].casefold() for key in found)
    if len(tops) > 1 and all(len(key) == 2 for key in found) and set(tops) <= SPLITS:
        raise ValueError(f"{printable(root)}: holds splits ({', '.join(tops)}); name one of them")
    return found


def _list(folder: Path, skipped: dict[Path, str]) -> tuple[list[Path], Files, list[Path]]:
    """Sub-folders, images and other files of a folder, in natural order."""
    folders, images, others, here = [], {}, [], folder.resolve()
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: natural(entry.name))
    except OSError as error:
        skipped[folder] = f"cannot be listed ({error.strerror})"
        return folders, images, others
    for entry in entries:
        if entry.name.startswith("."):
            continue  # hidden: thumbnails, version control, the shadows that macOS leaves
        path = folder / entry.name
        try:
            status = entry.stat()
        except OSError as error:
            looped = entry.is_symlink() and error.errno == errno.ELOOP
            skipped[path] = "symlink loop" if looped else f"cannot be read ({error.strerror})"
            continue
        if stat.S_ISDIR(status.st_mode):
            if here.is_relative_to(path.resolve()):
                skipped[path] = "symlink loop"
            else:
                folders.append(path)
        elif path.suffix.lower() in SUFFIXES or (stat.S_ISREG(status.st_mode) and _looks_like_one(path)):
            images[path] = status.st_dev, status.st_ino
        else:
            others.append(path)
    return folders, images, others


def _looks_like_one(path: Path) -> bool:
    """Whether a file without an image's ending starts as an image does."""
    try:
        with Image.open(path, formats=FORMATS):
            return True
    except Image.UnidentifiedImageError:
        return False
    except Exception:
        return True  # it cannot be opened now: whoever decodes it says why


def natural(name: str) -> tuple:
    """Sort key: 2 before 10, case and composition of letters only where nothing else differs."""
    folded = unicodedata.normalize("NFC", name).casefold()
    parts = re.split(r"(\d+)", folded, flags=re.ASCII)
    return tuple(int(part) if k % 2 else part for k, part in enumerate(parts)), name


def _names(root: Path, keys: list[Key]) -> dict[Key, str]:
    """Name a class after its folder, and after its super-class too where two folders share the name."""
    times = Counter(printable(key[-1]) for key in keys)
    names = {key: printable(key[-1] if times[printable(key[-1])] == 1 else "/".join(key)) for key in keys}
    twice, count = Counter(names.values()).most_common(1)[0]
    if count > 1:
        raise ValueError(f"{printable(root)}: two folders are both written {twice}; rename one")
    return names
