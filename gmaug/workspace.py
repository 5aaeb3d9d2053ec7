"""The folder that ``compare`` and ``balance`` work in, and what both do there.

A folder given as OUT is theirs alone: it is new or empty, or a marker file in it says that the same command
began there with the same images and settings; then the command goes on where it was. What is finished is
written whole, so a killed run, a full disk or Ctrl-C lose nothing that was.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import backend, runs
from gmaug.datasets import open_images
from gmaug.datasets.base import ImageSet, Skipped, printable

if TYPE_CHECKING:
    from gmaug.classifiers.settings import TrainingSettings

Arrays = tuple[np.ndarray, np.ndarray]
MIB = 2**20
PROBE_STEPS = 6  # of each network, after one that warms it up
PROBE_IMAGES = 64


@dataclass(frozen=True, eq=False)
class Photographs:
    """A folder's images that can be used, read at one size.

    Attributes
    ----------
    source : ImageSet
    images : ndarray of uint8, shape (n, size, size, 3)
    labels : ndarray of int64, shape (n,)
        Indices into `classes`.
    rows : ndarray of int64, shape (n,)
        Which images of `source` these are.
    classes : tuple of str
        Those with an image.
    skipped : tuple of Skipped
        Files left out, and why.
    warnings : tuple of str
    """

    source: ImageSet
    images: np.ndarray
    labels: np.ndarray
    rows: np.ndarray
    classes: tuple[str, ...]
    skipped: tuple[Skipped, ...]
    warnings: tuple[str, ...]

    @property
    def counts(self) -> dict[str, int]:
        """Images of each class."""
        found = np.bincount(self.labels, minlength=len(self.classes))
        return dict(zip(self.classes, found.tolist(), strict=True))


def photographs(source: Any, labels: Any = None, *, size: int, least: int) -> Photographs:
    """Open and read images, whatever holds them (:func:`gmaug.datasets.open_images`).

    Parameters
    ----------
    source, labels
        As :func:`gmaug.datasets.open_images` takes them.
    size : int
        Side in pixels, a power of two from 8 (a generator draws such).
    least : int
        Images that each class must have.

    Raises
    ------
    ValueError
        If there is one class only, or a class has fewer images than `least`.
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"size={size}: give a power of two from 8, such as 32 or 64")
    opened = open_images(source, labels)
    images, rows, unread = opened.read(size=size)
    skipped = (*opened.skipped, *unread)
    found, place = np.unique(opened.labels[rows], return_inverse=True)
    classes = tuple(opened.classes[k] for k in found)
    if len(classes) < 2:
        raise ValueError(f"{opened.name}: {len(classes)} class with images; give a folder with two or more")
    counts = np.bincount(place)
    if counts.min() < least:
        few = int(counts.argmin())
        raise ValueError(
            f"{opened.name}: class {classes[few]!r} has {counts[few]} images that can be used; "
            f"{least} are needed of each class: add some, or move the class out"
        )
    said = []
    bad = [one for one in skipped if not one.harmless]
    if bad:
        more = f" and {len(bad) - 1} more" if bad[1:] else ""
        said.append(f"left out {bad[0].path} ({bad[0].reason}){more}")
    small = _smaller(opened, rows, size)
    if small:
        said.append(f"{small:.0%} of the images looked at are smaller than {size} px and were enlarged")
    return Photographs(opened, images, place.astype(np.int64), rows, classes, skipped, tuple(said))


def _smaller(images: ImageSet, rows: np.ndarray, size: int) -> float:
    """Share of some images whose short side is below `size`."""
    few = rows[np.linspace(0, len(rows) - 1, min(len(rows), 25)).astype(int)]
    sides = []
    for row in few:
        try:
            with images.opened(int(row), size=size) as image:
                sides.append(min(image.size))
        except ValueError:  # it was there a moment ago
            continue
    return float(np.mean(np.array(sides) < size)) if sides else 0.0


# The folder


class Workspace:
    """OUT: opened for one command, one set of images and one choice of settings.

    Parameters
    ----------
    folder : path
    command : str
        ``"compare"`` or ``"balance"``.
    source : ImageSet
        `folder` must not lie among its files.
    key : mapping
        Whatever decides the results; JSON values.

    Raises
    ------
    ValueError
        If the folder holds something else, or was begun with another key; nothing is touched.
    OSError
        If it cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str], command: str, source: ImageSet, key: Mapping[str, Any]
    ) -> None:
        self.folder, self.command = Path(os.fsdecode(folder)), command
        self.marker = self.folder / f".gmaug-{command}.json"
        shown, key = printable(self.folder), runs.plain(dict(key))
        if self.folder.exists() and not self.folder.is_dir():
            raise NotADirectoryError(f"{shown}: not a folder; name a new one")
        _apart(self.folder, source)
        there = os.listdir(self.folder) if self.folder.is_dir() else []
        names = [name for name in there if not name.startswith(f".{self.marker.name}")]  # half a marker
        if self.marker.is_file():
            try:
                self.about = json.loads(self.marker.read_text(encoding="utf-8"))
                begun = self.about["key"]
            except (ValueError, KeyError, TypeError):
                raise ValueError(f"{printable(self.marker)} is damaged; name a new folder") from None
            reason = runs.difference(begun, key)
            if reason is not None:
                raise ValueError(
                    f"{shown} was begun with other images or settings ({reason}); give those again, or "
                    "another folder"
                )
        elif names:
            raise ValueError(
                f"{shown} holds something else ({printable(sorted(names)[0])}); name a new or empty folder"
            )
        else:
            self.about = {"key": key}
            runs.write_json(self.marker, self.about)

    def remember(self, **values: Any) -> None:
        """Keep values in the marker, for the next time."""
        self.about |= runs.plain(values)
        runs.write_json(self.marker, self.about)


def _apart(folder: Path, source: ImageSet) -> None:
    """Refuse an OUT inside the folder of the images."""
    homes = {path.absolute().parent for path in getattr(source, "paths", ())}
    if homes:
        home = Path(os.path.commonpath(homes)).resolve()
        if folder.resolve().is_relative_to(home):
            raise ValueError(
                f"{printable(folder)} lies inside {printable(home)}, where the images are; name a folder "
                "outside of it"
            )


def model_digest(model: Any) -> str:
    """Digest of a generator's weights or images, without the times that its history holds."""
    if not hasattr(model, "nets_"):
        return runs.digest(model.images, model.labels)
    nets = [net.state_dict() for _, net in sorted(model.nets_.items())]
    return runs.digest(*(value.cpu().numpy() for net in nets for _, value in sorted(net.items())))


# The generator


def generator_named(name: str, *, size: int, classes: int, seed: int, kimg: float | None, device: str) -> Any:
    """An untrained generator for a folder's images; `kimg` shortens or lengthens its whole schedule."""
    from gmaug.generators import make_generator

    base = make_generator(name, shape=(size, size), seed=seed, n_classes=classes, device=device)
    if kimg is not None:
        if not kimg > 0:
            raise ValueError(f"kimg={kimg}: give a positive number of thousand images")
        share = min(1.0, kimg / base.settings.kimg)
        report = base.settings.report_kimg
        changes = {"kimg": kimg, "report_kimg": max(share * report, kimg / 50),
                   "checkpoint_kimg": kimg / 10}  # fmt: skip
        base = type(base)(replace(base.settings, **changes))
    return base


def trained(
    untrained: Any,
    path: Path,
    train: Arrays,
    validation: Arrays | None,
    *,
    work: Path,
    say: Callable[[str], None],
) -> Any:
    """The generator of `path`; trained on these images and kept there if it is not.

    It is read from its file in any case, so that a run that was interrupted draws the same images as
    one that was not. `work` holds the training's state until its end.
    """
    from gmaug.generators import load_generator

    if not path.is_file():
        s = untrained.settings
        say(f"training the generator: {s.kimg:g} thousand images of {s.resolution} px")
        untrained.fit(*train, validation=validation, checkpoint=work)
        untrained.save(path)
    _forget(work)
    return load_generator(path, device=untrained.settings.device, threads=untrained.settings.threads)


def given(folder: str | os.PathLike[str], classes: Sequence[str], *, size: int, device: str = "cpu") -> Any:
    """A generator that a folder or file holds: trained by this package, or a bank of images by class.

    Parameters
    ----------
    folder : path
        OUT of ``compare`` or ``balance``, a file that they or ``save`` wrote, or ``folder/class/*`` with
        images that something else made.
    classes : sequence of str
        What the generator is asked for, in order.
    size : int

    Raises
    ------
    FileNotFoundError, ValueError
        If there is no generator, or it draws other classes or sizes.
    """
    from gmaug.generators import BankGenerator, load_generator

    path, shown = Path(os.fsdecode(folder)), printable(folder)
    if not path.exists():
        raise FileNotFoundError(
            f"{shown}: no such generator; give cgan, diffusion, or a folder that holds one"
        )
    if path.is_dir():
        found = sorted(path.glob("*.safetensors")) + sorted(path.glob("generator/*.safetensors"))
        found = [one for one in found if one.name.split(".")[0] != "classifier"]
        if not found:
            return BankGenerator.from_folder(path, classes=classes, size=size)
        path = found[0]
    model = load_generator(path, device=device)
    beside = next((one for one in (path.with_suffix(".json"),) if one.is_file()), None)
    known = json.loads(beside.read_text(encoding="utf-8"))["classes"] if beside else None
    if model.n_classes_ != len(classes) or (known is not None and known != list(classes)):
        names = f" ({', '.join(known)})" if known else ""
        raise ValueError(
            f"{shown}: its generator draws {model.n_classes_} classes{names}, these images have "
            f"{len(classes)} ({', '.join(classes)})"
        )
    if model.settings.resolution != size:
        raise ValueError(f"{shown}: its generator draws {model.settings.resolution} px; give that as size")
    return model


def _forget(work: Path) -> None:
    import shutil

    shutil.rmtree(work, ignore_errors=True)


# What a run will take


@dataclass(frozen=True)
class Probe:
    """This machine, measured for some seconds.

    Attributes
    ----------
    step : float
        Seconds of one training step of the classifier.
    judged : float
        Seconds to score one image.
    kimg : float
        Seconds of a thousand training images of the generator; 0 without one to train.
    drawn : float
        Seconds to draw one image.
    memory : float
        MiB that this process holds.
    disk : float
        MiB that the generator's state takes.
    """

    step: float
    judged: float
    kimg: float = 0.0
    drawn: float = 0.0
    memory: float = 0.0
    disk: float = 0.0


def probe(
    classifier: str, training: TrainingSettings, images: np.ndarray, labels: np.ndarray, generator: Any | None
) -> Probe:
    """Time a few steps of the classifier and of the generator to be trained (None: none is)."""
    from gmaug.classifiers import make_classifier

    training = replace(training, validations=1)
    if hasattr(training, "pretraining_epochs"):
        training = replace(training, pretraining_epochs=0)
    few = np.linspace(0, len(labels) - 1, min(len(labels), 4 * training.batch)).astype(int)
    with _silent():
        model = make_classifier(classifier, training)

        def train(steps: int) -> None:
            model.fit(images[few], labels[few], steps=steps)

        step = _each(train)
        judged = _timed(lambda: model.logits(images[few[:PROBE_IMAGES]])) / min(len(few), PROBE_IMAGES)
        kimg = drawn = disk = 0.0
        if generator is not None:
            s = generator.settings

            def draw(steps: int) -> Any:
                short = replace(s, kimg=steps * s.batch / 1000, report_kimg=1e6, checkpoint_kimg=1e6)
                return type(generator)(short).fit(images[few], labels[few])

            kimg = _each(draw) / s.batch * 1000
            short = draw(1)
            drawn = _timed(lambda: short.sample(labels[few[:1]].repeat(PROBE_IMAGES), seed=0)) / PROBE_IMAGES
            weights = sum(p.numel() for net in short.nets_.values() for p in net.parameters())
            disk = 4 * weights * 8 / MIB  # networks, averages and two moments of each, and the best so far
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Probe(step, judged, kimg, drawn, memory, disk)


def _each(train: Callable[[int], Any]) -> float:
    """Seconds of one training step, without what a training costs at its start."""
    train(1)  # modules are loaded, memory is taken
    short, long = (_timed(lambda steps=steps: train(steps)) for steps in (1, 1 + PROBE_STEPS))
    return max(long - short, long / 4) / PROBE_STEPS  # another program may have slowed the short one


def _timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


@contextmanager
def _silent() -> Iterator[None]:
    from gmaug import progress

    before = os.environ.get(progress.FILE_VARIABLE)
    os.environ[progress.FILE_VARIABLE] = os.devnull
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        if before is None:
            del os.environ[progress.FILE_VARIABLE]
        else:
            os.environ[progress.FILE_VARIABLE] = before


def duration(seconds: float) -> str:
    """A time in words: ``45 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h`` or ``1d``; a number alone is minutes."""
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400}
    text = text.strip().lower()
    number, unit = (text[:-1], units[text[-1]]) if text[-1:] in units else (text, 60)
    try:
        value = float(number) * unit
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise ValueError(f"--budget {text!r}: give a time such as 30m or 2h")
    return value


# Where it computes, and how it is stopped


@contextmanager
def computing_on(device: str) -> Iterator[None]:
    """What ``"auto"`` means for a while, here and in the processes started meanwhile."""
    backend.device(device)  # says so if it is not there
    before = os.environ.get(backend.DEVICE_VARIABLE)
    if device != "auto":
        os.environ[backend.DEVICE_VARIABLE] = device
    try:
        yield
    finally:
        if device != "auto":
            os.environ.pop(backend.DEVICE_VARIABLE)
            if before is not None:
                os.environ[backend.DEVICE_VARIABLE] = before


def until_stopped(work: Callable[[], int], folder: str | os.PathLike[str]) -> int:
    """Run a command; at Ctrl-C, or when it is asked to end, say how it goes on.

    Returns
    -------
    int
        What `work` returns; 130 if it was stopped.
    """

    def stop(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        return work()
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not spoil the words
        print(
            f"\ngmaug: stopped. What is done is kept in {printable(folder)}; the same command goes on there",
            file=sys.stderr,
        )
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)


# Samples beside what they might be copies of


def nearest(images: np.ndarray, known: np.ndarray, *, itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of the `known` images to each image, and its distance.

    Parameters
    ----------
    images, known : ndarray of uint8, shapes (n, h, w, 3) and (m, h, w, 3)
    itself : bool
        Whether `images` are `known`: then no image is its own neighbour.

    Returns
    -------
    (ndarray of int64, ndarray of float), shape (n,)
        Row of `known` (-1 where there is none), and the root mean square difference in grey levels.
    """
    row, distance = np.full(len(images), -1), np.full(len(images), np.nan)
    if len(known) <= itself:
        return row, distance
    flat = known.reshape(len(known), -1).astype(np.float32)
    squares = np.einsum("ij,ij->i", flat, flat, dtype=np.float64)
    for start in range(0, len(images), 256):
        part = images[start : start + 256].reshape(-1, flat.shape[1]).astype(np.float32)
        away = np.einsum("ij,ij->i", part, part, dtype=np.float64)[:, None] + squares - 2.0 * (part @ flat.T)
        if itself:
            away[np.arange(len(part)), np.arange(start, start + len(part))] = np.inf
        best = away.argmin(axis=1)
        row[start : start + len(part)] = best
        exact = part - flat[best]  # the product above loses digits where both are alike
        distance[start : start + len(part)] = np.sqrt(np.einsum("ij,ij->i", exact, exact) / flat.shape[1])
    return row, distance
