"""What ``compare`` and ``balance`` share: images, OUT, the generator, the probe, results, the command.

A folder given as OUT is theirs alone: new or empty, or begun by the same command with the same images and
settings, which then goes on where it was. What is finished is written whole, so a killed run, a full disk
or Ctrl-C lose nothing that was.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import backend, progress, runs
from gmaug.datasets import open_images
from gmaug.datasets.base import ImageSet, printable

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.classifiers.settings import TrainingSettings

Arrays = tuple[np.ndarray, np.ndarray]
NAMED = ("cgan", "diffusion")  # generators that are trained here
LOOKED = 25  # images whose size is looked at
PROBE_STEPS = 6  # of each network, after one that warms it up
PROBE_IMAGES = 64
MIB = 2**20

# The images


@dataclass(frozen=True, eq=False)
class Photographs:
    """Those of a folder's images that can be used, read at one size."""

    source: ImageSet
    images: np.ndarray  # uint8, (n, size, size, 3)
    labels: np.ndarray  # int64, (n,): indices into `classes`
    rows: np.ndarray  # int64, (n,): which images of `source` these are
    classes: tuple[str, ...]  # those with an image
    warnings: Sequence[str]
    paths: tuple[Path, ...] | None  # the file of each image, where they are files


def photographs(source: Any, labels: Any = None, *, size: int, least: int) -> Photographs:
    """Open and read images, whatever holds them (:func:`gmaug.open_images`), at `size` pixels a side.

    ValueError if `size` is no power of two from 8 (a generator draws such), if there is one class only, or
    a class has fewer images than `least`.
    """
    if size < 8 or size & (size - 1):
        raise ValueError(f"size={size}: give a power of two from 8, such as 32 or 64")
    opened = open_images(source, labels)
    images, rows, unread = opened.read(size=size)
    found, place, counts = np.unique(opened.labels[rows], return_inverse=True, return_counts=True)
    classes = tuple(opened.classes[k] for k in found)
    if len(classes) < 2:
        raise ValueError(f"{opened.name}: {len(classes)} class with images; give a folder with two or more")
    if counts.min() < least:
        few = int(counts.argmin())
        raise ValueError(
            f"{opened.name}: class {classes[few]!r} has {counts[few]} images that can be used; "
            f"{least} are needed of each class: add some, or move the class out"
        )
    said = []
    if bad := [one for one in (*opened.skipped, *unread) if not one.harmless]:
        more = f" and {len(bad) - 1} more" if bad[1:] else ""
        said.append(f"left out {bad[0].path} ({bad[0].reason}){more}")
    there = opened.subset(rows)
    sides = short_sides(there, size)
    if small := int((sides < size).sum()):
        share = f"{small / len(sides):.0%} of the images looked at"
        said.append(f"{share} are smaller than {size} px and were enlarged")
    return Photographs(opened, images, place, rows, classes, said, getattr(there, "paths", None))


def short_sides(images: ImageSet, size: int) -> np.ndarray:
    """The short side in pixels of 25 images of a set, as they are stored, or of those that can be read."""
    sides = []
    for row in np.linspace(0, len(images) - 1, min(len(images), LOOKED)).astype(int).tolist():
        with suppress(OSError, ValueError), images.opened(row, size=size) as image:
            sides.append(min(image.size))
    return np.array(sides)


def nearest(images: np.ndarray, labels: np.ndarray, known: Arrays | None = None) -> Arrays:
    """Of each image the row of the nearest known one of its class, and the distance: root mean square, grey
    levels. Without `known` (images, labels) the images are compared with each other."""
    from sklearn.neighbors import NearestNeighbors

    row, distance = np.full(len(labels), -1), np.full(len(labels), np.nan)
    others, their = (images, labels) if known is None else known
    for c in np.unique(labels):
        mine, there = np.flatnonzero(labels == c), np.flatnonzero(their == c)
        x, y = (part.reshape(len(part), -1).astype(np.float32) for part in (images[mine], others[there]))
        search = NearestNeighbors(n_neighbors=1, algorithm="brute").fit(y)
        best = search.kneighbors(None if known is None else x, return_distance=False)[:, 0]
        apart = x - y[best]
        row[mine], distance[mine] = there[best], np.sqrt(np.einsum("ij,ij->i", apart, apart) / apart.shape[1])
    return row, distance


def beside(
    images: np.ndarray, captions: Sequence[str], known: np.ndarray, near: Arrays
) -> list[tuple[str, np.ndarray]]:
    """Pictures for a page: each image with its caption, then the known one that is `near` it."""
    shown = []
    for image, caption, row, distance in zip(images, captions, *near, strict=True):
        shown += [(caption, image), (f"nearest original, {distance:.0f} grey levels away", known[row])]
    return shown


# The folder


class Workspace:
    """OUT: opened for one command, one image set `source` and one `key`, all that decides the results.

    ValueError if the folder holds something else, was begun with another key, or lies among the images;
    nothing is touched then. OSError if it cannot be written.
    """

    def __init__(
        self, folder: str | os.PathLike[str], command: str, source: ImageSet, key: Mapping[str, Any]
    ) -> None:
        self.folder = Path(os.fsdecode(folder))
        self.marker = self.folder / f".gmaug-{command}.json"
        shown, key = printable(self.folder), runs.plain(key)
        if homes := {path.absolute().parent for path in getattr(source, "paths", ())}:
            home = Path(os.path.commonpath(homes)).resolve()
            if self.folder.resolve().is_relative_to(home):
                raise ValueError(
                    f"{shown} lies inside {printable(home)}, where the images are; name another place"
                )
        if not self.marker.is_file():
            there = sorted(os.listdir(self.folder)) if self.folder.exists() else []
            half = f".{self.marker.name}"  # a marker whose writing was cut off
            if others := [name for name in there if not name.startswith(half)]:
                raise ValueError(
                    f"{shown} holds something else ({printable(others[0])}); name a new or empty folder"
                )
            self.about: dict[str, Any] = {"key": key}
            return runs.write_json(self.marker, self.about)
        try:
            self.about = json.loads(self.marker.read_text(encoding="utf-8"))
            reason = runs.difference(self.about["key"], key)
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{printable(self.marker)} is damaged; name a new folder") from None
        if reason is not None:
            raise ValueError(
                f"{shown} was begun with other images or settings ({reason}); give those again, or another "
                "folder"
            )

    def remember(self, **values: Any) -> None:
        """Keep values in the marker, for the next time."""
        self.about |= runs.plain(values)
        runs.write_json(self.marker, self.about)


# The generator


def generator(
    which: str | Path, classes: Sequence[str], *, size: int, seed: int, kimg: float | None, device: str
) -> Any:
    """A generator of these classes, in order, for images of this size.

    `which` is ``"cgan"`` or ``"diffusion"``, yet to be trained, whose whole schedule `kimg` shortens or
    lengthens. Or a path of one that is trained: OUT of ``compare`` or ``balance``, a file that they or
    ``save`` wrote, or ``folder/class/*`` with images that something else made. FileNotFoundError or
    ValueError if there is none, or it draws other classes or sizes.
    """
    from gmaug.generators import BankGenerator, load_generator, make_generator

    if which in NAMED:
        model = make_generator(which, shape=(size, size), seed=seed, n_classes=len(classes), device=device)
        if kimg is None:
            return model
        report = max(min(1.0, kimg / model.settings.kimg) * model.settings.report_kimg, kimg / 50)
        return type(model)(replace(model.settings, kimg=kimg, report_kimg=report, checkpoint_kimg=kimg / 10))
    path, shown = Path(os.fsdecode(which)), printable(which)
    if not path.exists():
        raise FileNotFoundError(
            f"{shown}: no such generator; give {', '.join(NAMED)}, or a folder that holds one"
        )
    if path.is_dir():
        found = sorted(path.glob("*.safetensors")) + sorted(path.glob("generator/*.safetensors"))
        found = [one for one in found if not one.name.startswith("classifier")]
        if not found:
            return BankGenerator.from_folder(path, classes=classes, size=size)
        path = found[0]
    model, beside = load_generator(path), path.with_suffix(".json")
    known = json.loads(beside.read_text(encoding="utf-8"))["classes"] if beside.is_file() else None
    if model.n_classes_ != len(classes) or known not in (None, list(classes)):
        names = f" ({', '.join(known)})" if known else ""
        raise ValueError(
            f"{shown}: its generator draws {model.n_classes_} classes{names}, these images have "
            f"{len(classes)} ({', '.join(classes)})"
        )
    if model.settings.resolution != size:
        raise ValueError(f"{shown}: its generator draws {model.settings.resolution} px; give that as size")
    return model


def is_trained(model: Any) -> bool:
    """Whether a generator has its weights, or is a bank of images."""
    return hasattr(model, "nets_") or not hasattr(model, "settings")


def identity(model: Any) -> Any:
    """What tells a generator from others: its settings while it is untrained, then a digest of its weights
    or images, without the times that its history holds."""
    if not is_trained(model):
        return model.settings.to_dict()
    if not hasattr(model, "nets_"):
        return runs.digest(model.images, model.labels)
    nets = [net.state_dict() for _, net in sorted(model.nets_.items())]
    return runs.digest(*(value.cpu().numpy() for net in nets for _, value in sorted(net.items())))


def trained(
    model: Any, path: Path, classes: Sequence[str], train: Arrays, validation: Arrays, *,
    say: Callable[[str], None],
) -> Any:  # fmt: skip
    """A generator trained on these images and kept at `path`, unless it is there or `model` is trained.

    It is read from its file in any case, so that a run that was interrupted draws the same images as
    one that was not. The training's state lies in ``path.state`` until its end.
    """
    from gmaug.generators import load_generator

    if is_trained(model):
        return model
    settings, state = model.settings, path.with_suffix(".state")
    if not path.is_file():
        runs.write_json(path.with_suffix(".json"), {"classes": classes})
        say(f"training the generator: {settings.kimg:g} thousand images of {settings.resolution} px")
        model.fit(*train, validation=validation, checkpoint=state).save(path)
    shutil.rmtree(state, ignore_errors=True)
    return load_generator(path, device=settings.device, threads=settings.threads)


# What a run will take


@dataclass(frozen=True)
class Probe:
    """This machine, measured for some seconds."""

    step: float  # seconds of one training step of the classifier
    candidate: float  # seconds to draw and score one image
    kimg: float  # seconds of a thousand training images of the generator; 0 without one to train
    memory: float  # MiB that this process holds
    disk: float  # MiB that the generator's state takes

    def seconds(self, *, steps: float = 0, kimg: float = 0, candidates: float = 0) -> float:
        """Seconds of so many steps of the classifier, images of the generator's training, candidates."""
        return steps * self.step + kimg * self.kimg + candidates * self.candidate


def probe(
    classifier: str, training: TrainingSettings, images: np.ndarray, labels: np.ndarray, generator: Any
) -> Probe:
    """Time a few steps of the classifier, and of the generator if it is yet to be trained."""
    from gmaug.classifiers import make_classifier

    short = {"validations": 1}
    if hasattr(training, "pretraining_epochs"):
        short["pretraining_epochs"] = 0
    few = np.linspace(0, len(labels) - 1, min(len(labels), 4 * training.batch)).astype(int)
    images, labels, kimg, disk = images[few], labels[few], 0.0, 0.0
    with variable(progress.FILE_VARIABLE, os.devnull), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = make_classifier(classifier, replace(training, **short))
        step = _each(lambda steps: model.fit(images, labels, steps=steps))
        seen = images[:PROBE_IMAGES]
        candidate = _timed(lambda: model.logits(seen)) / len(seen)
        if generator is not None and not is_trained(generator):
            s = generator.settings

            def fitted(steps: int) -> Any:
                settings = replace(s, kimg=steps * s.batch / 1000, report_kimg=1e6, checkpoint_kimg=1e6)
                return type(generator)(settings).fit(images, labels)

            kimg, trial = _each(fitted) / s.batch * 1000, fitted(1)
            wanted = labels[:1].repeat(PROBE_IMAGES)
            candidate += _timed(lambda: trial.sample(wanted, seed=0)) / PROBE_IMAGES
            weights = sum(p.numel() for net in trial.nets_.values() for p in net.parameters())
            disk = 4 * weights * 8 / MIB  # networks, averages and two moments of each, and the best so far
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return Probe(step, candidate, kimg, memory, disk)


def _each(train: Callable[[int], Any]) -> float:
    """Seconds of one training step, without what a training costs at its start."""
    train(1)  # modules are loaded, memory is taken
    short, long = _timed(lambda: train(1)), _timed(lambda: train(1 + PROBE_STEPS))
    return max(long - short, long / 4) / PROBE_STEPS  # another program may have slowed the short one


def _timed(call: Callable[[], Any]) -> float:
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def duration(seconds: float) -> str:
    """A time in words: ``45 s``, ``12 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


@contextmanager
def variable(name: str, value: str) -> Iterator[None]:
    """An environment variable for a while, here and in the processes started meanwhile."""
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if before is not None:
            os.environ[name] = before


def computing_on(device: str) -> AbstractContextManager[None]:
    """What ``"auto"`` means for a while; ValueError if there is no such device."""
    return variable(backend.DEVICE_VARIABLE, str(backend.device(device)))


# Results and the command


def some(names: Sequence[str]) -> str:
    """The first three names."""
    return ", ".join(names[:3]) + (", ..." if names[3:] else "")


class Result:
    """What a command found: one `table` as a frame, as text and in a notebook.

    It has `warnings`, too, ``to_dict()`` for ``--json``, and in words ``opening()`` and ``judgement()``.
    """

    def to_frame(self) -> pd.DataFrame:
        """The table, to change at will."""
        return self.table.copy()

    def rounded(self) -> pd.DataFrame:
        """The table for a reader."""
        return self.table.round(2)

    def __str__(self) -> str:
        parts = [self.opening(), "", self.rounded().to_string(index=False), "", self.judgement()]
        return "\n".join([*parts, *(f"Warning: {one}" for one in self.warnings)])

    def _repr_html_(self) -> str:
        return f"{self.rounded().to_html(index=False)}<p>{self.judgement()}</p>"


def add_options(add: Callable[..., Any]) -> None:
    """The options that both commands have; `add` is a parser's ``add_argument``."""
    add("--size", type=int, default=32, help="side in pixels, a power of two (default 32)")
    add("--classifier", choices=("resnet18", "mae"), default="resnet18")
    add("--steps", type=int, help="gradient steps of every training of the classifier")
    add("--kimg", type=float, help="length of the generator's training, thousands of images")
    add("--device", default="auto", help="cpu, cuda, mps (default: what is there)")
    add("--seed", type=int, default=0, help="of the split and the generator (default 0)")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")


def run(work: Callable[..., Result], options: argparse.Namespace, **more: Any) -> int:
    """Run ``work(folder, out, **options)``, as Ctrl-C or a request to end allow it, and print its result.

    Returns
    -------
    int
        0, or 130 if it was stopped: then it says how it goes on.
    """
    apart = {"folder", "out", "json", "command", "typed", "function"}
    chosen = {name: value for name, value in vars(options).items() if name not in apart} | more
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        say = partial(print, file=sys.stderr, flush=True)
        found = work(options.folder, options.out, **chosen, command=options.typed, say=say)
        if options.json:
            print(json.dumps(found.to_dict(), indent=1, allow_nan=False))
        else:
            print(f"{found}\n\nA page to look at: {printable(options.out / 'report.html')}")
        return 0
    except KeyboardInterrupt:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second one must not spoil the words
        kept = f"What is done is kept in {printable(options.out)}; the same command goes on there"
        print(f"\ngmaug: stopped. {kept}", file=sys.stderr)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
        signal.signal(signal.SIGINT, signal.default_int_handler)
