"""``python -m gmaug balance DIR OUT``: GM-augCls on a folder of images (section 3.4, Fig. 5).

OUT gets the originals, as hard links where the disk allows, and ``class/gm_000001.png``, ... beside them;
``manifest.csv`` says of each image where it comes from. torchvision's ``ImageFolder`` reads it.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import os
import re
import shlex
import shutil
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug import classifiers, runs, workspace
from gmaug.augcls import Examples, GMAugCls, QuotaNotMet, held_out, quotas
from gmaug.datasets.base import printable, square
from gmaug.datasets.folder import decoded
from gmaug.workspace import Photographs, Workspace, duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmaug.page import Section

HELD = 0.2  # of each class, to choose by
LEAST = 2  # images of a class: one is held out to choose by
WORK = ".work"  # what a run needs until its end; torchvision would take a folder for a class
READ = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
"""Endings that torchvision's ImageFolder reads; originals of others are written as PNG."""
COLUMNS = ("path", "class", "synthetic", "score", "round", "seed", "nearest_original", "distance")
SHOWN = 6  # generated images on the page
COPIED = 0.5  # nearer to an original than so many times the usual distance of two originals


@dataclass(frozen=True, eq=False)
class Balanced:
    """A balanced folder.

    Attributes
    ----------
    name : str
        Of the image set.
    folder : Path
    table : DataFrame
        One row a class: ``class``, ``originals``, ``wanted``, ``accepted`` (passed the selection),
        ``filled`` (the best-scored of those that did not), ``missing``, ``selector_recall`` and
        ``copied`` (share nearer to an original than half the usual distance of two originals).
    rounds : tuple of dict
        As :meth:`gmaug.augcls.Round.to_dict` has them.
    best_round : int
    improved : bool or None
        Whether the classifier trained on the balanced set is better on validation images than the one
        trained on the originals.
    warnings : tuple of str
    """

    name: str
    folder: Path
    table: pd.DataFrame = field(repr=False)
    rounds: tuple[Mapping[str, Any], ...] = field(repr=False)
    best_round: int
    improved: bool | None
    warnings: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; nothing in it depends on time."""
        return {
            "set": self.name,
            "folder": printable(self.folder),
            "classes": json.loads(self.table.to_json(orient="records", double_precision=6)),
            "rounds": list(self.rounds),
            "best_round": self.best_round,
            "improved": self.improved,
            "warnings": list(self.warnings),
        }

    def to_frame(self) -> pd.DataFrame:
        """`table`: one row a class."""
        return self.table.copy()

    def manifest(self) -> pd.DataFrame:
        """``manifest.csv``: one row an image of the folder; bytes that are no UTF-8 are escaped here."""
        return pd.read_csv(self.folder / "manifest.csv", encoding_errors="backslashreplace")

    def figure(self) -> Figure:
        """Images of each class, by where they come from."""
        return _figure(self)

    def __str__(self) -> str:
        total = self.table[["originals", "accepted", "filled"]].sum()
        made = total["accepted"] + total["filled"]
        lines = [
            f"{printable(self.folder)}: {total['originals']} originals and {made} generated images, "
            f"{total['accepted']} of which passed the selection",
            "",
            self.table.round(2).to_string(index=False),
            "",
            _judgement(self),
        ]
        return "\n".join([*lines, *(f"Warning: {one}" for one in self.warnings)])

    def _repr_html_(self) -> str:
        return self.table.round(2).to_html(index=False) + f"<p>{_judgement(self)}</p>"


def balance(
    images: Any,
    out: str | Path,
    *,
    labels: Any = None,
    target: int | str = "majority",
    select: bool = True,
    alpha: float = 0.5,
    size: int = 32,
    generator: str = "cgan",
    from_generator: str | Path | None = None,
    kimg: float | None = None,
    classifier: str = "resnet18",
    steps: int | None = None,
    rounds: int = 2,
    device: str = "auto",
    seed: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Balanced:
    """Fill the small classes of a folder with generated images, as GM-augCls does.

    Parameters
    ----------
    images, labels
        Whatever :func:`gmaug.open_images` takes.
    out : path
        New or empty, or the folder of the same command, which then goes on where it was.
    target : int or "majority"
        Images that every class is filled to; originals are never dropped.
    select, alpha, rounds
        As :class:`gmaug.augcls.GMAugCls` has them.
    size : int
        Side of the generated images in pixels, a power of two.
    generator : {"cgan", "diffusion"}
        Trained here, on the images that are not held out.
    from_generator : path, optional
        One that is trained: OUT of ``compare`` or ``balance``, or ``folder/class/*`` of other origin.
    kimg : float, optional
        Length of the generator's training, thousands of images.
    classifier : {"resnet18", "mae"}
    steps : int, optional
        Gradient steps of every training of the classifier; its own length by default.
    device : str
    seed : int
    command : str
        Shown on the page.
    say : callable
        Told what goes on.

    Raises
    ------
    ValueError
        In one line, if images, generator or `out` do not fit.
    OSError
        If OUT cannot be written; what is finished stays.
    """
    photos = workspace.photographs(images, labels, size=size, least=LEAST)
    strategy = "not majority" if target == "majority" else target
    if isinstance(strategy, bool) or (isinstance(strategy, str) and strategy != "not majority"):
        raise ValueError(f"target={target!r}: give a number, or majority")
    if rounds < 1 or seed < 0 or not 0 <= alpha <= 1 or (strategy != "not majority" and strategy < 1):
        raise ValueError(
            f"target={target}, rounds={rounds}, seed={seed}, alpha={alpha}: give at least 1, 1 and 0, and a "
            "probability"
        )
    folders = _folders(photos)
    model = untrained = None
    if from_generator is not None:
        model = workspace.given(from_generator, photos.classes, size=size)
    else:
        untrained = workspace.generator_named(
            generator, size=size, classes=len(photos.classes), seed=seed, kimg=kimg, device=device
        )
    training = classifiers.settings_for(classifier, shape=(size, size))
    if steps is not None:
        training = replace(training, steps=steps, epochs=None)
    key = {
        "images": runs.digest(photos.images, photos.labels), "classes": photos.classes,
        "files": _files(photos),
        "target": target, "select": select, "alpha": alpha, "rounds": rounds, "seed": seed,
        "classifier": classifier, "training": training,
        "generator": untrained.settings.to_dict() if model is None else workspace.model_digest(model),
    }  # fmt: skip
    space = Workspace(out, "balance", photos.source, key)
    result = space.folder / "balance.json"
    if space.about.get("finished"):
        say(f"{printable(space.folder)} is finished already")
        shutil.rmtree(space.folder / WORK, ignore_errors=True)
        return _read(space.folder, result)
    work = space.folder / WORK
    wanted = quotas(photos.labels, strategy)
    with workspace.computing_on(device):
        if "probed" not in space.about:
            found = workspace.probe(classifier, training, photos.images, photos.labels, untrained)
            trainings = 1 + rounds if select else 1
            took = trainings * training.steps_for(len(photos.labels) + int(wanted.sum())) * found.step
            took += 0 if untrained is None else found.kimg * untrained.settings.kimg
            took += 2 * int(wanted.sum()) * (found.drawn + found.judged) * (rounds if select else 1)
            disk = found.disk + wanted.sum() * size * size * 2.5 / workspace.MIB
            say(f"{wanted.sum()} images to generate, about {duration(took)} on this machine, busy as it is; "
                f"{found.memory:.0f} MiB of memory, {disk:.0f} MiB on disk")  # fmt: skip
            space.remember(probed=True)
        if model is None:
            held = held_out(photos.labels, HELD, seed)  # as GMAugCls will
            watched = photos.images[held], photos.labels[held]
            path = space.folder / "generator.safetensors"
            model = _Once(untrained, path, photos.classes, watched, work / "generator", say)
        chooser = _Kept(classifiers.make_classifier(classifier, training), work / "classifier")
        sampler = GMAugCls(
            model, chooser, sampling_strategy=strategy, select=select, alpha=alpha, rounds=rounds, seed=seed,
            prefit=not isinstance(model, _Once), validation_fraction=HELD, examples=SHOWN,
        )  # fmt: skip
        say("training the classifier and selecting")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QuotaNotMet)  # the table says it class by class
            sampler.fit_resample(photos.images, photos.labels)
    sampler.classifier_.model.save(space.folder / "classifier.safetensors")
    say("writing the images")
    pool = sampler.rounds_[sampler.best_round_ - 1].pool
    where = _write(space.folder, photos, folders, pool.images, pool.labels)
    near = _nearest(photos, pool)
    _manifest(space.folder, photos, folders, where, pool, near, best=sampler.best_round_, seed=seed)
    balanced = _concluded(photos, space.folder, sampler, near, target)
    _groups(space.folder, photos)
    runs.write_json(result, balanced.to_dict())
    _page(balanced, photos, pool, near, command)
    space.remember(finished=True)
    shutil.rmtree(work, ignore_errors=True)
    return balanced


# Training that is kept


class _Once:
    """A generator that is trained at most once, whatever happens in between, and read from its file."""

    def __init__(
        self, untrained: Any, path: Path, classes: Sequence[str], watched: tuple[np.ndarray, np.ndarray],
        work: Path, say: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.untrained, self.path, self.classes = untrained, path, classes
        self.watched, self.work, self.say = watched, work, say

    def __deepcopy__(self, memo: dict[int, Any]) -> _Once:
        return copy(self)

    def fit(self, images: np.ndarray, labels: np.ndarray) -> _Once:
        """Train, or read."""
        runs.write_json(self.path.with_suffix(".json"), {"classes": self.classes})
        self.model = workspace.trained(
            self.untrained, self.path, (images, labels), self.watched, work=self.work, say=self.say
        )
        return self

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """As the generator's own."""
        return self.model.sample(labels, seed=seed)


class _Kept:
    """A classifier whose trainings are kept in a folder, each under what it is trained on."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.model, self.folder = model, folder

    def fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> _Kept:
        """Train, or go on, or read."""
        loss = runs.plain(options.get("loss"))
        name = runs.digest(images, labels, options.get("seed"), options.get("steps"), loss)
        self.model.fit(images, labels, checkpoint=self.folder / name, **options)
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)


# Files


def _folders(photos: Photographs) -> list[str]:
    """The name of each class's folder: that of its own where there is one."""
    paths = getattr(photos.source, "paths", None)
    names = []
    for k, one in enumerate(photos.classes):
        if paths is not None and "/" not in one:
            homes = {paths[row].parent.name for row in photos.rows[photos.labels == k]}
            one = homes.pop() if len(homes) == 1 else one
        name = re.sub(r"[/\\\0]+", "__", one)
        names.append(name if name.strip(".") and name != WORK else f"class_{k}")
    if len({name.casefold() for name in names}) < len(names):
        raise ValueError(f"{photos.source.name}: two classes would have one folder; rename a class")
    return names


def _files(photos: Photographs) -> str:
    """Digest of the names of the originals."""
    paths = getattr(photos.source, "paths", None)
    return "" if paths is None else runs.digest(*(os.fsencode(paths[row]) for row in photos.rows))


def _names(photos: Photographs, folders: Sequence[str]) -> list[Path]:
    """Where each original goes, below OUT."""
    paths, taken, found = getattr(photos.source, "paths", None), set(), []
    for number, (row, label) in enumerate(zip(photos.rows, photos.labels, strict=True)):
        name = f"{number + 1:06d}.png" if paths is None else paths[row].name
        if Path(name).suffix.lower() not in READ:
            name = f"{name}.png"
        path = Path(folders[label], name)
        if path in taken:  # an image set may gather a class from several folders
            path = Path(folders[label], f"{number + 1:06d}_{name}")
        taken.add(path)
        found.append(path)
    return found


def _write(
    out: Path, photos: Photographs, folders: Sequence[str], images: np.ndarray, labels: np.ndarray
) -> list[Path]:
    """Originals and generated images, each whole or not at all; where the generated ones are, below OUT."""
    from PIL import Image

    paths, size = getattr(photos.source, "paths", None), photos.images.shape[1]
    names = _names(photos, folders)
    for folder in folders:
        (out / folder).mkdir(exist_ok=True)
    for row, name in zip(photos.rows, names, strict=True):
        if (out / name).exists():
            continue
        if paths is None:
            with photos.source.opened(int(row), size=size) as image:
                _save(square(image.convert("RGB"), size), out, name)
        elif paths[row].suffix.lower() in READ:
            _link(paths[row], out, name)
        else:
            with decoded(paths[row]) as image:
                _save(image, out, name)
    taken, where, number = set(names), [], dict.fromkeys(range(len(folders)), 0)
    for image, label in zip(images, labels.tolist(), strict=True):
        number[label] += 1
        while (path := Path(folders[label], f"gm_{number[label]:06d}.png")) in taken:
            number[label] += 1
        if not (out / path).exists():
            _save(Image.fromarray(image), out, path)
        where.append(path)
    return where


def _save(image: Any, out: Path, name: Path | str) -> None:
    buffer = io.BytesIO()
    image.save(buffer, format="png")
    _put(out, name, buffer.getvalue())


def _put(out: Path, name: Path | str, content: bytes) -> None:
    """Write a file below OUT, whole or not at all; a draft lies among the work, which goes in the end."""
    draft = out / WORK / "draft"
    draft.parent.mkdir(exist_ok=True)
    draft.write_bytes(content)
    os.replace(draft, out / name)


def _link(source: Path, out: Path, name: Path) -> None:
    """A hard link; a copy where the disk or its rules have none."""
    source = source.resolve()
    try:
        os.link(source, out / name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{printable(source)} is gone: it was there when the folder was read; run again"
        ) from None
    except OSError:
        _put(out, name, source.read_bytes())


def _manifest(
    out: Path, photos: Photographs, folders: Sequence[str], where: Sequence[Path], pool: Any,
    near: tuple[np.ndarray, np.ndarray], *, best: int, seed: int,
) -> None:  # fmt: skip
    names = _names(photos, folders)
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(COLUMNS)
    for name, label in zip(names, photos.labels.tolist(), strict=True):
        table.writerow([name.as_posix(), photos.classes[label], 0, "", "", "", "", ""])
    for name, label, score, row, distance in zip(
        where, pool.labels.tolist(), pool.added_score, *near, strict=True
    ):
        shown = "" if np.isnan(score) else f"{score:.6f}"
        table.writerow([name.as_posix(), photos.classes[label], 1, shown, best, seed,
                        names[row].as_posix(), f"{distance:.4f}"])  # fmt: skip
    _put(out, "manifest.csv", buffer.getvalue().encode("utf-8", "surrogateescape"))


def _groups(out: Path, photos: Photographs) -> None:
    """The super-classes, where there are some, so that the folder keeps them."""
    groups = photos.source.hierarchy.groups
    if all(len(members) == 1 for members in groups.values()):
        return
    buffer = io.StringIO(newline="")
    table = csv.writer(buffer, lineterminator="\n")
    table.writerow(["super_class", "sub_class"])
    table.writerows(
        [name, one] for name, members in groups.items() for one in members if one in photos.classes
    )
    _put(out, "groups.csv", buffer.getvalue().encode("utf-8", "surrogateescape"))


# What is found


def _nearest(photos: Photographs, pool: Any) -> tuple[np.ndarray, np.ndarray]:
    """Of each generated image the nearest original of its class: its number among them, and the distance."""
    row, distance = np.full(len(pool.labels), -1), np.full(len(pool.labels), np.nan)
    for c in range(len(photos.classes)):
        mine, known = np.flatnonzero(pool.labels == c), np.flatnonzero(photos.labels == c)
        if len(mine):
            best, distance[mine] = workspace.nearest(pool.images[mine], photos.images[known])
            row[mine] = known[best]
    return row, distance


def _concluded(
    photos: Photographs, out: Path, sampler: GMAugCls, near: tuple[np.ndarray, np.ndarray], target: Any
) -> Balanced:
    pool, rows = sampler.rounds_[sampler.best_round_ - 1].pool, []
    for c, name in enumerate(photos.classes):
        mine = photos.images[photos.labels == c]
        usual = np.nanmedian(workspace.nearest(mine, mine, itself=True)[1]) if len(mine) > 1 else np.nan
        away = near[1][pool.labels == c]
        rows.append({
            "class": name, "originals": len(mine), "wanted": int(pool.quota[c]),
            "accepted": int(pool.accepted[c]), "filled": int(pool.filled[c]), "missing": int(pool.missing[c]),
            "selector_recall": sampler.selector_recall_[c],
            "copied": float(np.mean(away < COPIED * usual)) if len(away) else np.nan,
        })  # fmt: skip
    table, said = pd.DataFrame(rows), list(photos.warnings)
    blind = table[(table["wanted"] > 0) & (table["selector_recall"] < 0.2)]["class"].tolist()
    if blind:
        said.append(
            f"the classifier that selected hardly recognises {_few(blind)}: what it passed or refused "
            "there is close to chance"
        )
    passed, made = table["accepted"].sum(), (table["accepted"] + table["filled"]).sum()
    if sampler.select and made and passed < made / 2:
        said.append(
            f"{passed} of {made} generated images passed the selection, the others are the best-scored of "
            "those refused: train the generator for longer (--kimg), or ask for fewer images (--target)"
        )
    copies = table[table["copied"] > 0.1]["class"].tolist()
    if copies:
        said.append(
            f"more than a tenth of the images of {_few(copies)} lie less than half as far from an original "
            "as originals usually lie from each other: look for copies"
        )
    if isinstance(target, int) and target < table["originals"].max():
        said.append(f"classes of more than {target} originals keep them all, so the set is not balanced")
    return Balanced(
        photos.source.name, out, table, tuple(one.to_dict() for one in sampler.rounds_), sampler.best_round_,
        sampler.improved_, tuple(said),
    )  # fmt: skip


def _few(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (", ..." if names[3:] else "")


def _read(folder: Path, path: Path) -> Balanced:
    about = json.loads(path.read_text(encoding="utf-8"))
    table = pd.DataFrame(about["classes"])
    for name in ("selector_recall", "copied"):
        table[name] = table[name].astype(float)
    return Balanced(
        about["set"], folder, table, tuple(about["rounds"]), about["best_round"], about["improved"],
        tuple(about["warnings"]),
    )  # fmt: skip


def _judgement(found: Balanced) -> str:
    last = found.rounds[found.best_round - 1]
    first = found.rounds[0]["before"]
    if first is None or last["after"] is None:
        return "Whether the balanced set helps was not measured; `compare` does."
    word = "better" if found.improved else "no better"
    return (
        f"On the images held out, a classifier trained on the balanced set is {word} than one trained on the "
        f"originals: balanced accuracy {100 * last['after']:.1f} % after {100 * first:.1f} %, one training "
        "each. `compare` says it with an interval."
    )


# Page, figure, command


def _page(
    found: Balanced, photos: Photographs, pool: Any, near: tuple[np.ndarray, np.ndarray], command: str
) -> None:
    from gmaug.page import write_page

    write_page(
        found.folder / "report.html", title=f"{found.name}, balanced", command=command,
        sections=_sections(found, photos, pool, near),
    )  # fmt: skip


def _sections(
    found: Balanced, photos: Photographs, pool: Any, near: tuple[np.ndarray, np.ndarray]
) -> list[Section]:
    from gmaug.page import Section

    beside: list[tuple[str, np.ndarray]] = []
    for k in np.argsort(near[1], kind="stable")[:SHOWN]:
        name = photos.classes[pool.labels[k]]
        beside.append((f"{name}, generated", pool.images[k]))
        beside.append((f"nearest original, {near[1][k]:.0f} grey levels away", photos.images[near[0][k]]))

    def looked(some: Examples) -> list[tuple[str, np.ndarray]]:
        few = [k for k in range(len(some.wanted)) if (some.wanted[:k] == some.wanted[k]).sum() < 2]
        names = photos.classes
        return [
            (f"{names[some.wanted[k]]}, taken for {names[some.predicted[k]]} ({some.score[k]:.2f})"
             if some.predicted[k] >= 0 else names[some.wanted[k]], some.images[k])
            for k in few
        ]  # fmt: skip

    return [
        Section("", [_judgement(found)], found.warnings),
        Section("Classes", table=found.table.round(3)),
        Section("Counts", figure=found.figure(), caption="Images of each class, by where they come from."),
        Section("Kept", pictures=looked(pool.kept)),
        Section("Refused", pictures=looked(pool.refused)),
        Section("Is it memorised?", ["The generated images that lie nearest to an original, each beside it."],
                pictures=beside),
    ]  # fmt: skip


def _figure(found: Balanced) -> Figure:
    from matplotlib.figure import Figure

    from gmaug.plots import COLOURS, use_style

    use_style()
    figure = Figure(figsize=(7.0, 2.8), layout="constrained")
    axes, bottom = figure.subplots(), np.zeros(len(found.table))
    for name, colour in (("originals", "blue"), ("accepted", "orange"), ("filled", "grey")):
        values = found.table[name].to_numpy(float)
        axes.bar(range(len(values)), values, bottom=bottom, color=COLOURS[colour], label=name)
        bottom = bottom + values
    names = [one.replace("$", r"\$")[:16] for one in found.table["class"]]
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right", rotation_mode="anchor")
    axes.set_ylabel("images")
    axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
    return figure


def add_parser(subparsers: Any) -> None:
    """Add ``balance`` to the command line."""
    parser = subparsers.add_parser(
        "balance", help="fill the small classes of a folder with generated images",
        description="Write a balanced copy of DIR/class/*: the originals, and generated images that a "
        "classifier stands by.",
    )  # fmt: skip
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, middle, ...")
    add("out", metavar="OUT", type=Path, help="new folder; a killed run goes on there")
    add(
        "--target",
        default="majority",
        help="images of every class, or majority (default): those of the largest",
    )
    add("--select", action=argparse.BooleanOptionalAction, default=True, help="--no-select keeps every image")
    add("--alpha", type=float, default=0.5, help="least probability of the wanted class (default 0.5)")
    add("--rounds", type=int, default=2, help="rounds of selection and retraining, at most (default 2)")
    add("--size", type=int, default=32, help="side in pixels, a power of two (default 32)")
    add("--generator", choices=("cgan", "diffusion"), default="cgan", help="trained here (default cgan)")
    add(
        "--from-generator",
        metavar="FOLDER",
        type=Path,
        help="a trained one: OUT of compare, or folder/class/*",
    )
    add("--kimg", type=float, help="length of the generator's training, thousands of images")
    add("--classifier", choices=("resnet18", "mae"), default="resnet18")
    add("--steps", type=int, help="gradient steps of every training of the classifier")
    add("--device", default="auto", help="cpu, cuda, mps (default: what is there)")
    add("--seed", type=int, default=0)
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    names = (
        "select", "alpha", "rounds", "size", "generator", "from_generator", "kimg", "classifier", "steps",
        "device", "seed",
    )  # fmt: skip
    target = options.target
    if target != "majority":
        try:
            target = int(target)
        except ValueError:
            raise ValueError(f"--target {target!r}: give a number, or majority") from None

    def work() -> int:
        found = balance(
            options.folder, options.out, target=target, command=_command(options),
            say=lambda line: print(line, file=sys.stderr, flush=True),
            **{name: getattr(options, name) for name in names},
        )  # fmt: skip
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False) if options.json else found)
        return 0

    return workspace.until_stopped(work, options.out)


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "gmaug", "balance", printable(options.folder), printable(options.out)]
    for name in ("target", "alpha", "rounds", "size", "generator", "from_generator", "kimg", "steps", "seed"):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join([*words, *([] if options.select else ["--no-select"])])


class _Callable(ModuleType):
    """This module as a function: ``gmaug.balance(folder, out)``, whether or not it is imported already."""

    def __call__(self, *given: Any, **options: Any) -> Balanced:
        return balance(*given, **options)


sys.modules[__name__].__class__ = _Callable
