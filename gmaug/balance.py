"""``python -m gmaug balance DIR OUT``: GM-augCls on a folder of images (section 3.4, Fig. 5).

OUT gets the originals, as hard links where the disk allows, and ``class/gm_000001.png``, ... beside them;
``manifest.csv`` says of each image where it comes from. torchvision's ``ImageFolder`` reads it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from gmaug import CallableModule, classifiers, runs, workspace
from gmaug.augcls import Examples, GMAugCls, Pool, QuotaNotMet, held_out, quotas
from gmaug.datasets.base import printable
from gmaug.datasets.folder import decoded
from gmaug.workspace import Photographs, duration, some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HELD = 0.2  # of each class, to choose by
LEAST = 2  # images of a class: one is held out to choose by
WORK = ".work"  # what a run needs until its end; torchvision would take a folder for a class
# Endings that torchvision's ImageFolder reads; originals of others are written as PNG.
READ = frozenset({".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp"})
SHOWN = 6  # generated images on the page
COPIED = 0.5  # nearer to an original than so many times the usual distance of two originals
KEPT = ("rounds", "best_round", "improved", "warnings")  # of balance.json, as they are


@dataclass(frozen=True, eq=False)
class Balanced(workspace.Result):
    """A balanced folder.

    `table` has one row a class: ``class``, ``originals``, ``wanted``, ``accepted`` (passed the selection),
    ``filled`` (the best-scored of those that did not), ``missing``, ``selector_recall`` and ``copied``
    (share nearer to an original than half the usual distance of two originals).
    """

    name: str  # of the image set
    folder: Path
    table: pd.DataFrame = field(repr=False)
    rounds: Sequence[Mapping[str, Any]] = field(repr=False)  # as gmaug.augcls.Round.to_dict has them
    best_round: int
    improved: bool | None  # whether the balanced set gives a better classifier than the originals
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; nothing in it depends on time."""
        classes = json.loads(self.table.to_json(orient="records", double_precision=6))
        about = {"set": self.name, "folder": printable(self.folder), "classes": classes}
        return runs.plain(about | {name: getattr(self, name) for name in KEPT})

    def manifest(self) -> pd.DataFrame:
        """``manifest.csv``: one row an image of the folder; bytes that are no UTF-8 are escaped here."""
        return pd.read_csv(self.folder / "manifest.csv", encoding_errors="backslashreplace")

    def figure(self) -> Figure:
        """Images of each class, by where they come from."""
        from matplotlib.figure import Figure

        from gmaug.plots import COLOURS, label, use_style

        use_style()
        axes = Figure(figsize=(7.0, 2.8), layout="constrained").subplots()
        place, bottom = np.arange(len(self.table)), np.zeros(len(self.table))
        for name, colour in (("originals", "blue"), ("accepted", "orange"), ("filled", "grey")):
            axes.bar(place, self.table[name], bottom=bottom, color=COLOURS[colour], label=name)
            bottom = bottom + self.table[name].to_numpy()
        names = [label(one, 16) for one in self.table["class"]]
        axes.set_xticks(place, names, rotation=25, ha="right", rotation_mode="anchor")
        axes.set_ylabel("images")
        axes.legend(ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
        return axes.figure

    def opening(self) -> str:
        """What lies in the folder."""
        originals, accepted, filled = self.table[["originals", "accepted", "filled"]].sum()
        made = f"{accepted + filled} generated images, {accepted} of which passed the selection"
        return f"{printable(self.folder)}: {originals} originals and {made}"

    def judgement(self) -> str:
        """Whether the balanced set helped."""
        first, last = self.rounds[0]["before"], self.rounds[self.best_round - 1]["after"]
        if first is None or last is None:
            return "Whether the balanced set helps was not measured; `compare` does."
        word = "better" if self.improved else "no better"
        return (
            f"On the images held out, a classifier trained on the balanced set is {word} than one trained on "
            f"the originals: balanced accuracy {100 * last:.1f} % after {100 * first:.1f} %, one training "
            "each. `compare` says it with an interval."
        )


def balance(
    images: Any, out: str | Path, *, labels: Any = None, target: int | str = "majority", select: bool = True,
    alpha: float = 0.5, rounds: int = 2, size: int = 32, generator: str = "cgan",
    from_generator: str | Path | None = None, kimg: float | None = None, classifier: str = "resnet18",
    steps: int | None = None, device: str = "auto", seed: int = 0, command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Balanced:  # fmt: skip
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
        Trained here, on the images that are not held out, with `kimg` thousand images.
    from_generator : path, optional
        One that is trained: OUT of ``compare`` or ``balance``, or ``folder/class/*`` of other origin.
    classifier : {"resnet18", "mae"}
        Trained for so many gradient `steps` each time, its own length by default.
    device, seed
        Where to compute; of the held-out images, the generator and the draws.
    command, say
        Shown on the page; called with what goes on.

    Raises
    ------
    ValueError
        In one line, if images, generator or `out` do not fit.
    OSError
        If OUT cannot be written; what is finished stays.
    """
    whole = isinstance(target, int) and not isinstance(target, bool) and target >= 1
    if target != "majority" and not whole:
        raise ValueError(f"target={target!r}: give a number from 1, or majority")
    if rounds < 1 or seed < 0 or not 0 <= alpha <= 1:
        given = f"rounds={rounds}, seed={seed}, alpha={alpha}"
        raise ValueError(f"{given}: give at least 1, at least 0, and a probability")
    photos = workspace.photographs(images, labels, size=size, least=LEAST)
    names = _names(photos)
    which = generator if from_generator is None else Path(from_generator)
    about = {"size": size, "seed": seed, "kimg": kimg, "device": device}
    model = workspace.generator(which, photos.classes, **about)
    training = classifiers.settings_for(classifier, shape=(size, size))
    if steps is not None:
        training = replace(training, steps=steps, epochs=None)
    key = {
        "images": runs.digest(photos.images, photos.labels), "classes": photos.classes,
        "files": runs.digest(*map(os.fsencode, photos.paths)) if photos.paths else "",
        "target": target, "select": select, "alpha": alpha, "rounds": rounds, "seed": seed,
        "classifier": classifier, "training": training, "generator": workspace.identity(model),
    }  # fmt: skip
    space = workspace.Workspace(out, "balance", photos.source, key)
    folder, work = space.folder, space.folder / WORK
    if space.about.get("finished"):
        say(f"{printable(folder)} is finished already")
        shutil.rmtree(work, ignore_errors=True)
        return _read(folder)
    strategy = "not majority" if target == "majority" else target
    with workspace.computing_on(device):
        if "probed" not in space.about:
            wanted, again = int(quotas(photos.labels, strategy).sum()), rounds if select else 0
            found = workspace.probe(classifier, training, photos.images, photos.labels, model)
            took = found.seconds(
                steps=(1 + again) * training.steps_for(len(photos.labels) + wanted),
                kimg=0 if workspace.is_trained(model) else model.settings.kimg,
                candidates=2 * wanted * max(again, 1),
            )
            disk = found.disk + wanted * size * size * 2.5 / workspace.MIB
            say(f"{wanted} images to generate, about {duration(took)} on this machine, busy as it is; "
                f"{found.memory:.0f} MiB of memory, {disk:.0f} MiB on disk")  # fmt: skip
            space.remember(probed=True)
        held = held_out(photos.labels, HELD, seed)  # as GMAugCls will
        parts = [(photos.images[rows], photos.labels[rows]) for rows in (~held, held)]
        path = folder / "generator.safetensors"
        sampler = GMAugCls(
            workspace.trained(model, path, photos.classes, *parts, say=say),
            _Kept(classifiers.make_classifier(classifier, training), work / "classifier"),
            sampling_strategy=strategy, select=select, alpha=alpha, rounds=rounds, seed=seed,
            prefit=True, validation_fraction=HELD,
        )  # fmt: skip
        say("training the classifier and selecting")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", QuotaNotMet)  # the table says it class by class
            sampler.fit_resample(photos.images, photos.labels)
    sampler.classifier_.save(folder / "classifier.safetensors")
    say("writing the images")
    pool = sampler.rounds_[sampler.best_round_ - 1].pool
    near = workspace.nearest(pool.images, pool.labels, (photos.images, photos.labels))
    made = _write(folder, photos, names, pool)
    _manifest(folder, photos, names, made, pool, near, best=sampler.best_round_, seed=seed)
    balanced = _concluded(photos, folder, sampler, near[1], target)
    runs.write_json(folder / "balance.json", balanced.to_dict())
    _page(balanced, photos, pool, near, command)
    space.remember(finished=True)
    shutil.rmtree(work, ignore_errors=True)
    return balanced


class _Kept:
    """A classifier whose trainings are kept in a folder when they are done, each under its data."""

    def __init__(self, model: Any, folder: Path) -> None:
        self.model, self.folder = model, folder

    def fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> _Kept:
        loss = runs.plain(options.get("loss"))
        name = runs.digest(images, labels, options.get("seed"), options.get("steps"), loss)
        path = self.folder / f"{name}.safetensors"
        if path.is_file():
            self.model = type(self.model).load(path)
        else:
            self.model.fit(images, labels, **options).save(path)
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name == "model":
            raise AttributeError(name)
        return getattr(self.model, name)


# Files


def _names(photos: Photographs) -> list[Path]:
    """Where each original goes, below OUT: into its own class's folder's name where there is one."""
    folders, paths = [], photos.paths
    for k, one in enumerate(photos.classes):
        if paths is not None and "/" not in one:
            homes = {paths[row].parent.name for row in np.flatnonzero(photos.labels == k)}
            one = homes.pop() if len(homes) == 1 else one
        name = re.sub(r"[/\\\0]+", "__", one)
        folders.append(name if name.strip(".") and name != WORK else f"class_{k}")
    if len({name.casefold() for name in folders}) < len(folders):
        raise ValueError(f"{photos.source.name}: two classes would have one folder; rename a class")
    found: dict[Path, None] = {}
    for number, label in enumerate(photos.labels, 1):
        name = f"{number:06d}.png" if paths is None else paths[number - 1].name
        if Path(name).suffix.lower() not in READ:
            name = f"{name}.png"
        path = Path(folders[label], name)
        if path in found:  # an image set may gather a class from several folders
            path = Path(folders[label], f"{number:06d}_{name}")
        found[path] = None
    return list(found)


def _write(out: Path, photos: Photographs, names: Sequence[Path], pool: Pool) -> list[Path]:
    """Originals and generated images, each whole or not at all; where the generated ones are, below OUT."""
    paths = photos.paths or [None] * len(names)
    for image, path, name in zip(photos.images, paths, names, strict=True):
        (out / name).parent.mkdir(exist_ok=True)
        if (out / name).exists():
            continue
        if path is None:
            _save(Image.fromarray(image), out, name)
        elif path.suffix.lower() in READ:
            _link(path.resolve(), out, name)
        else:
            with decoded(path) as whole:
                _save(whole, out, name)
    folders = {label: name.parent for label, name in zip(photos.labels.tolist(), names, strict=True)}
    taken, made, number = set(names), [], dict.fromkeys(folders, 0)
    for image, label in zip(pool.images, pool.labels.tolist(), strict=True):
        number[label] += 1
        while (path := folders[label] / f"gm_{number[label]:06d}.png") in taken:
            number[label] += 1
        if not (out / path).exists():
            _save(Image.fromarray(image), out, path)
        made.append(path)
    return made


def _save(image: Image.Image, out: Path, name: Path) -> None:
    _put(out / name, lambda draft: image.save(draft, format="png"), out)


def _link(source: Path, out: Path, name: Path) -> None:
    """A hard link; a copy where the disk or its rules have none."""
    try:
        os.link(source, out / name)
    except FileNotFoundError:
        raise FileNotFoundError(
            f"{printable(source)} is gone: it was there when the folder was read; put it back and run again"
        ) from None
    except OSError:
        _put(out / name, lambda draft: shutil.copyfile(source, draft), out)


def _put(path: Path, write: Callable[[Path], Any], out: Path) -> None:
    """A file, whole or not at all; its draft lies among the work, which goes in the end."""
    draft = out / WORK / "draft"
    draft.parent.mkdir(exist_ok=True)
    write(draft)
    os.replace(draft, path)


def _manifest(
    out: Path, photos: Photographs, names: Sequence[Path], made: Sequence[Path], pool: Pool,
    near: workspace.Arrays, *, best: int, seed: int,
) -> None:  # fmt: skip
    classes = np.array(photos.classes, dtype=object)
    originals = pd.DataFrame({"path": names, "class": classes[photos.labels], "synthetic": 0})
    generated = pd.DataFrame({
        "path": made, "class": classes[pool.labels], "synthetic": 1,
        "score": ["" if np.isnan(score) else f"{score:.6f}" for score in pool.added_score],
        "round": str(best), "seed": str(seed), "nearest_original": [names[row] for row in near[0]],
        "distance": [f"{distance:.4f}" for distance in near[1]],
    })  # fmt: skip
    _table(out, "manifest.csv", pd.concat([originals, generated]))
    groups = photos.source.hierarchy.groups
    if any(len(members) > 1 for members in groups.values()):  # so that the folder keeps its super-classes
        rows = [(name, one) for name, members in groups.items() for one in members if one in photos.classes]
        _table(out, "groups.csv", pd.DataFrame(rows, columns=["super_class", "sub_class"]))


def _table(out: Path, name: str, table: pd.DataFrame) -> None:
    how = {"index": False, "lineterminator": "\n", "errors": "surrogateescape"}  # names may hold any bytes
    _put(out / name, lambda draft: table.to_csv(draft, **how), out)


# What is found


def _concluded(
    photos: Photographs, out: Path, sampler: GMAugCls, distance: np.ndarray, target: int | str
) -> Balanced:
    pool = sampler.rounds_[sampler.best_round_ - 1].pool
    usual, copied = workspace.nearest(photos.images, photos.labels)[1], []
    for c in range(len(photos.classes)):
        made, bound = distance[pool.labels == c], COPIED * np.median(usual[photos.labels == c])
        copied.append(np.mean(made < bound) if len(made) else np.nan)
    table = pd.DataFrame({
        "class": photos.classes, "originals": np.bincount(photos.labels), "wanted": pool.quota,
        "accepted": pool.accepted, "filled": pool.filled, "missing": pool.missing,
        "selector_recall": list(sampler.selector_recall_.values()), "copied": copied,
    })  # fmt: skip

    def those(where: pd.Series) -> str:
        return some(table.loc[where, "class"].tolist())

    said, passed, total = list(photos.warnings), table["accepted"].sum(), len(pool.labels)
    if blind := those((table["wanted"] > 0) & (table["selector_recall"] < 0.2)):
        said.append(
            f"the classifier that selected hardly recognises {blind}: what it passed or refused there is "
            "close to chance"
        )
    if sampler.select and passed < total / 2:
        said.append(
            f"{passed} of {total} generated images passed the selection, the others are the best-scored of "
            "those refused: train the generator for longer (--kimg), or ask for fewer images (--target)"
        )
    if copies := those(table["copied"] > 0.1):
        said.append(
            f"more than a tenth of the images of {copies} lie less than half as far from an original as "
            "originals usually lie from each other: look for copies"
        )
    if target != "majority" and target < table["originals"].max():
        said.append(f"classes of more than {target} originals keep them all, so the set is not balanced")
    rounds = [one.to_dict() for one in sampler.rounds_]
    best = sampler.best_round_, sampler.improved_
    return Balanced(photos.source.name, out, table, rounds, *best, said)


def _read(folder: Path) -> Balanced:
    about = json.loads((folder / "balance.json").read_text(encoding="utf-8"))
    table = pd.DataFrame(about["classes"]).astype({"selector_recall": float, "copied": float})
    return Balanced(about["set"], folder, table, *(about[name] for name in KEPT))


def _page(found: Balanced, photos: Photographs, pool: Pool, near: workspace.Arrays, command: str) -> None:
    from gmaug.page import Section, write_page

    names, closest = photos.classes, np.argsort(near[1], kind="stable")[:SHOWN]
    captions = [f"{names[label]}, generated" for label in pool.labels[closest]]
    beside = workspace.beside(
        pool.images[closest], captions, photos.images, (near[0][closest], near[1][closest])
    )

    def looked(some: Examples) -> Iterable[tuple[str, np.ndarray]]:
        for image, wanted, predicted, score in zip(*some, strict=True):
            seen = f", taken for {names[predicted]} ({score:.2f})"
            yield names[wanted] + (seen if predicted >= 0 else ""), image

    counts = "Images of each class, by where they come from."
    nearest = "The generated images that lie nearest to an original, each beside it."
    sections = [
        Section("", [found.judgement()], found.warnings),
        Section("Classes", table=found.table.round(3)),
        Section("Counts", figure=found.figure(), caption=counts),
        Section("Kept", pictures=list(looked(pool.kept))),
        Section("Refused", pictures=list(looked(pool.refused))),
        Section("Is it memorised?", [nearest] if beside else [], pictures=beside),
    ]
    path = found.folder / "report.html"
    write_page(path, title=f"{found.name}, balanced", command=command, sections=sections)


def configure(parser: argparse.ArgumentParser) -> None:
    """The command line of ``balance``."""
    parser.description = (
        "Write DIR/class/* balanced: the originals, and generated images that a classifier stands by."
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, middle, ...")
    add("out", metavar="OUT", type=Path, help="new folder; a killed run goes on there")
    add("--target", type=_target, default="majority", help="images of every class (default: of the largest)")
    add("--select", action=argparse.BooleanOptionalAction, default=True, help="--no-select keeps every image")
    add("--alpha", type=float, default=0.5, help="least probability of the wanted class (default 0.5)")
    add("--rounds", type=int, default=2, help="rounds of selection and retraining, at most (default 2)")
    add("--generator", choices=workspace.NAMED, default="cgan", help="trained here (default cgan)")
    add("--from-generator", metavar="FOLDER", type=Path, help="a trained one: OUT of compare, or images")
    workspace.add_options(add)
    parser.set_defaults(function=lambda options: workspace.run(balance, options))


def _target(text: str) -> int | str:
    return int(text) if text.isdecimal() else text


sys.modules[__name__].__class__ = CallableModule
