"""The experiment behind :mod:`gmaug.equivalence`, and how real and generated images differ.

A generator is trained on a base set alone (closed set) or on further images too (open set). Classifiers
are trained on the base, on the base with further real images and on the base with generated ones, for
equally many steps and for equally many epochs. ``python -m gmaug record equivalence --sets SET`` records it.

By our reading of the abstract of arXiv 2508.09550, whose full text was not at hand.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmaug import runs
from gmaug.equivalence import Curve, equivalents
from gmaug.experiment import CellSettings, Outcome, Trial

# The sets


@dataclass(frozen=True)
class Task:
    """A base set, what can be added to it, and what is measured on; each is (images, labels).

    Parameters
    ----------
    base, further, test : (ndarray of uint8 (n, h, w, 3), ndarray of int (n,))
        No image stands in two of them. `further` comes in an order whose every beginning holds the
        classes in about the shares of the whole.
    extra : (images, labels), optional
        Images for the generator alone (open set); their labels count on after those of the base.
    """

    name: str
    base: tuple[np.ndarray, np.ndarray]
    further: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    extra: tuple[np.ndarray, np.ndarray] | None = None


def interleaved(labels: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random order in which every beginning holds the classes in about their shares of the whole."""
    place = np.empty(len(labels))
    for c in np.unique(labels):
        rows = np.flatnonzero(labels == c)
        place[rows] = (rng.permutation(len(rows)) + rng.random()) / len(rows)
    return np.argsort(place)


def open_task(
    name: str,
    *,
    base: int,
    seed: int,
    most: float = 4.0,
    size: int = 32,
    root: Any = "data",
    open_set: bool = False,
) -> Task:
    """One of the experiment's sets: a garden, or photographs below `root`.

    Parameters
    ----------
    name : str
        A garden, which can draw as many further images as are wanted; ``"cifar10"``; ``"cifar10-five"``,
        its classes 0 to 4 alone, so that the others are left for the open set; or ``"ham10000"``, of
        which a fifth is the test set.
    base, seed : int
        Images of the base, and which ones; the test images are the same for every seed.
    most : float
        At most so many times the base are kept as further images; photographs may hold fewer.
    size : int
        Side in pixels.
    root : path
        Folder that holds ``cifar10/{train,test}/class/*`` or ``ham10000/class/*``.
    open_set : bool
        Add images for the generator alone: the other gardens' (as many as the base holds of each), or the
        other classes of CIFAR-10.
    """
    rng, extra = np.random.default_rng((7, seed)), None
    if name in ("cifar10", "cifar10-five", "ham10000"):
        pool, test, extra = _photographs(name, root, size)
    else:
        from gmaug.datasets.garden import GARDENS, garden_named, more, plant

        settings = garden_named(name)
        each = -(-base // len(settings.hierarchy.sub_classes))
        counts = dict.fromkeys(settings.hierarchy.sub_classes, int(np.ceil(each * (1 + most))))
        drawn, held = more(settings, counts, seed=1000 + seed), plant(settings).test
        pool, test = (drawn.arrays(size=size), drawn.labels), (held.arrays(size=size), held.labels)
        if open_set:
            each_of = dict.fromkeys(counts, each)
            others = [more(GARDENS[g], each_of, seed=1000 + seed) for g in GARDENS if g != name]
            shift = len(counts) * np.arange(1, len(others) + 1)
            extra = (
                np.concatenate([other.arrays(size=size) for other in others]),
                np.concatenate([other.labels + s for other, s in zip(others, shift, strict=True)]),
            )
    if open_set and extra is None:
        raise ValueError(f"{name} has no further images for an open set; use cifar10-five or a garden")
    if not 1 <= base < len(pool[1]):
        raise ValueError(f"base={base}: {name} has {len(pool[1])} images to choose it from")
    order = interleaved(pool[1], rng)[: int(base * (1 + most))]
    first, rest = ((pool[0][rows], pool[1][rows]) for rows in (order[:base], order[base:]))
    return Task(name, first, rest, test, extra if open_set else None)


def _photographs(name: str, root: Any, size: int) -> tuple[Any, Any, Any]:
    from gmaug.datasets import open_images

    def read(*folders: str) -> tuple[np.ndarray, np.ndarray]:
        found = open_images(Path(root).joinpath(*folders))
        return found.arrays(size=size), found.labels

    if name == "ham10000":
        x, y = read("ham10000")
        order = interleaved(y, np.random.default_rng(0))  # the same test images for every seed
        test, pool = order[: len(y) // 5], order[len(y) // 5 :]
        return (x[pool], y[pool]), (x[test], y[test]), None
    pool, test = read("cifar10", "train"), read("cifar10", "test")
    if name == "cifar10":
        return pool, test, None
    (ours, held), others = ([(x[y < 5], y[y < 5]) for x, y in (pool, test)], pool[1] >= 5)
    return ours, held, (pool[0][others], pool[1][others])


# The cells

AMOUNTS = {"steps": (0.5, 1, 2, 4), "epochs": (1, 4)}
"""Multiples of the base that are added under each schedule; epochs cost up to five times the steps."""

Score = Callable[..., dict[str, float]]


def resnet_score(
    images: np.ndarray, labels: np.ndarray, test: tuple[np.ndarray, np.ndarray], *, steps: int, seed: int
) -> dict[str, float]:
    """``accuracy``, ``balanced_accuracy`` and ``auroc``, in [0, 1], of a ResNet18 trained from scratch."""
    from gmaug.experiment.cells import Material, measured

    classes = tuple(map(str, np.unique(test[1])))
    trial = Trial(images, labels, None, len(classes), CellSettings(images.shape[1], steps=steps), seed)
    material = Material("", classes, (images, labels), None, test)
    found = measured(Outcome(trial.train()), trial, material)
    return {"accuracy": found["top1"], **{name: found[name] for name in ("balanced_accuracy", "auroc")}}


def cells(
    task: Task,
    generator: Any,
    score: Score = resnet_score,
    *,
    seed: int,
    steps: int,
    amounts: Mapping[str, Sequence[float]] = AMOUNTS,
    done: Collection[tuple[str, int, str]] = (),
) -> Iterator[dict[str, Any]]:
    """The cells of one base and one seed, one after the other.

    Parameters
    ----------
    task : Task
    generator : object with ``sample(labels, seed=)``
        Fitted on the base of `task` alone, or (open set) with its extra images.
    score : callable
        ``score(images, labels, test, steps=, seed=)`` trains a classifier and gives a dict with
        ``accuracy``.
    seed : int
        Of the samples and the classifiers.
    steps : int
        Gradient steps on the base alone.
    amounts : mapping of {"steps", "epochs"} to sequence of float
        Images to add under each schedule, as multiples of the base; of real ones at most what the task
        has. ``"steps"``: every cell trains for `steps`. ``"epochs"``: every image is seen as often, so that a
        set twice as large trains twice as long. A gain under the second may be a gain of training.
    done : collection of (kind, amount, schedule)
        Cells that are not run again.

    Yields
    ------
    dict
        ``base``, ``kind``, ``amount`` (images), ``schedule``, ``steps``, ``seed`` and the score.
    """
    x, y = task.base
    n = len(y)
    if set(amounts) - {"steps", "epochs"}:
        raise ValueError(f"amounts={dict(amounts)}: name them by 'steps' and 'epochs'")
    # generated images have the labels of the base, over and over, so its shares of the classes
    wanted = np.resize(y, round(n * max(map(max, amounts.values()))))
    made = generator.sample(wanted, seed=seed), wanted
    todo = [("base", 0, "both")]
    for schedule, multiples in amounts.items():
        added = sorted({round(n * a) for a in multiples})
        todo += [("real", m, schedule) for m in sorted({min(m, len(task.further[1])) for m in added})]
        todo += [("synthetic", m, schedule) for m in added]
    for kind, amount, schedule in todo:
        if (kind, amount, schedule) in done:
            continue
        more = task.further if kind == "real" else made
        images, labels = (np.concatenate([a, b[:amount]]) for a, b in zip((x, y), more, strict=True))
        length = round(steps * len(labels) / n) if schedule == "epochs" else steps
        found = score(images, labels, task.test, steps=length, seed=seed)
        about = {"base": n, "kind": kind, "amount": amount, "schedule": schedule}
        yield about | {"steps": length, "seed": seed} | found


def equivalence_cells(
    name: str,
    *,
    base: int,
    seed: int,
    generator: str = "cgan",
    kimg: float = 100.0,
    steps: int = 400,
    amounts: Mapping[str, Sequence[float]] = AMOUNTS,
    open_set: bool = False,
    size: int = 32,
    root: Any = "data",
    score: Score = resnet_score,
    folder: Path | None = None,
) -> Path:
    """Train a generator on one base, run its cells and record them; go on where a killed run stopped.

    Parameters
    ----------
    name, base, seed, size, root, open_set
        As :func:`open_task` has them.
    generator : {"cgan", "diffusion"}
    kimg : float
        Thousands of images that it is trained for. No real image but the base is used, to choose its
        best moment neither: the set is closed.
    steps, amounts, score
        As :func:`cells` has them.

    Returns
    -------
    Path
        The record, of kind ``equivalence``: ``cells`` (written after each) and ``differences``
        (:func:`differences` of the generated images).
    """
    given = {
        "name": name, "base": base, "seed": seed, "generator": generator, "kimg": kimg, "steps": steps,
        "amounts": amounts, "open_set": open_set, "size": size,
    }  # fmt: skip
    settings = runs.plain(given)
    title = f"{name}_{base}_{generator}_{'open' if open_set else 'closed'}_{seed}"
    rows, spent, start = [], 0.0, time.perf_counter()
    try:
        kept = runs.read_record("equivalence", title, folder=folder)
    except runs.NotRecorded:
        kept = None
    if kept is not None:
        if kept["settings"] != settings:
            raise ValueError(
                f"{title} was recorded with other settings; delete it, or give it another folder"
            )
        rows, spent = kept["content"]["cells"], kept["made"]["seconds"]
        if "differences" in kept["content"]:
            return runs.record_path("equivalence", title, folder=folder)
    most = max(map(max, amounts.values()))
    task = open_task(name, base=base, seed=seed, most=most, size=size, root=root, open_set=open_set)
    data = {"name": name, "images": base, "hash": runs.digest(*task.base)}

    def keep(**content: Any) -> Any:
        about = {"settings": settings, "data": data, "seconds": spent + time.perf_counter() - start}
        return runs.write_record("equivalence", title, {"cells": rows, **content}, **about, folder=folder)

    model = fitted(
        task, generator, kimg=kimg, seed=seed, checkpoint=runs.root() / "runs" / "equivalence" / title
    )
    done = {(row["kind"], row["amount"], row["schedule"]) for row in rows}
    for row in cells(task, model, score, seed=seed, steps=steps, amounts=amounts, done=done):
        rows.append(row)
        keep()
    fake = model.sample(np.resize(task.base[1], min(base, 1000)), seed=seed + 1)
    return keep(differences=differences(task, fake, seed=seed))


def fitted(task: Task, generator: str, *, kimg: float, seed: int, checkpoint: Any = None) -> Any:
    """A generator trained on the base of a task, and its extra images if there are any."""
    from gmaug.generators import make_generator

    images, labels = task.base
    if task.extra is not None:
        images, labels = (np.concatenate(pair) for pair in zip(task.base, task.extra, strict=True))
    options = {"seed": seed, "kimg": kimg, "n_classes": int(labels.max()) + 1, "threads": 1}
    model = make_generator(generator, shape=images.shape[1:3], **options)
    return model.fit(images, labels, checkpoint=checkpoint)


def curves(cells: pd.DataFrame, *, base: int, schedule: str, score: str = "accuracy") -> tuple[Curve, Curve]:
    """The two curves of a table of cells, as :func:`cells` gives them.

    `cells` are of one set and one generator; `score` is the column that is the accuracy. The curves, of real
    and of generated images, are over the seeds that have every cell of both; ValueError if there is none.
    """
    rows = cells[(cells["base"] == base) & ((cells["schedule"] == schedule) | (cells["kind"] == "base"))]
    wide = rows.pivot_table(index="seed", columns=["kind", "amount"], values=score).dropna()
    if not len(wide) or {"base", "real", "synthetic"} != set(wide.columns.get_level_values("kind")):
        raise ValueError(f"base {base}, {schedule} fixed: no seed has all its cells")
    sides = [wide[kind].sort_index(axis=1) for kind in ("real", "synthetic")]
    start = wide["base"].to_numpy()
    one, other = (Curve(base, [0, *side], np.hstack([start, side])) for side in sides)
    return one, other


def recorded_cells(*, folder: Path | None = None) -> pd.DataFrame:
    """All recorded cells, with ``name``, ``generator`` and ``open_set`` of each; empty if there are none."""
    rows = []
    for title in runs.record_names("equivalence", folder=folder):
        record = runs.read_record("equivalence", title, folder=folder)
        about = {key: record["settings"][key] for key in ("name", "generator", "open_set")}
        rows += [about | row for row in record["content"]["cells"]]
    return pd.DataFrame(rows)


def rates(
    cells: pd.DataFrame, *, seed: int, score: str = "accuracy", **options: Any
) -> tuple[pd.DataFrame, list[str]]:
    """Equivalent numbers of every set, generator, base and schedule of a table of cells.

    Returns
    -------
    (DataFrame, list of str)
        Rows of :func:`gmaug.equivalence.equivalents`, which takes the `options`, with ``name``,
        ``generator``, ``open_set`` and ``schedule``; and why others are missing.
    """
    found, missing = [], []
    keys = ["name", "generator", "open_set", "base"]
    for about, part in cells.groupby(keys) if len(cells) else ():
        for schedule in sorted(set(part["schedule"]) - {"both"}):
            try:
                pair = curves(part, base=about[-1], schedule=schedule, score=score)
                table = equivalents(*pair, seed=seed, **options)
            except ValueError as error:
                missing.append(f"{about[0]}, {about[1]}, base {about[-1]}, {schedule} fixed: {error}")
                continue
            found.append(table.assign(**dict(zip(keys, about, strict=True)), schedule=schedule))
    return pd.concat(found, ignore_index=True) if found else pd.DataFrame(), missing


# How real and generated images differ


def told_apart(real: np.ndarray, fake: np.ndarray, *, seed: int, steps: int = 120) -> dict[str, Any]:
    """How well a classifier tells real from generated, on images that it was not trained on.

    Parameters
    ----------
    real, fake : ndarray
        Images, uint8 (n, h, w, 3): a small convolutional net in two folds. Or features, (n, d): a linear
        classifier in five folds. The larger side is cut to the other's number.
    seed : int
        Of the cut, the folds and the net.
    steps : int
        Gradient steps of the net, about.

    Returns
    -------
    dict
        ``accuracy`` (0.5: they cannot be told apart; 1: every one), its binomial ``se``, and ``scores``,
        shape (2, n): how generated each real and each generated image looks (a difference of logits).
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng, n = np.random.default_rng(seed), min(len(real), len(fake))
    x = np.concatenate([side[rng.permutation(len(side))[:n]] for side in (real, fake)])
    y = np.repeat([0, 1], n)
    if x.ndim == 2:
        linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=500))
        folds = StratifiedKFold(5, shuffle=True, random_state=seed)
        scores = cross_val_predict(linear, x, y, cv=folds, method="decision_function")
    else:
        from gmaug.generators.quality import train_extractor

        scores, epochs = np.empty(2 * n), -(-steps // max(1, n // 64))
        for train, test in StratifiedKFold(2, shuffle=True, random_state=seed).split(x, y):
            net = train_extractor(x[train], y[train], seed=seed, dimension=32, epochs=epochs, threads=1)
            scores[test] = np.diff(net.logits(x[test]), axis=1)[:, 0]
    accuracy = float(((scores > 0) == y).mean())
    return {
        "accuracy": accuracy,
        "se": float(np.sqrt(accuracy * (1 - accuracy) / (2 * n))),
        "scores": scores.reshape(2, n),
    }


def memorisation(
    train: np.ndarray, held_out: np.ndarray, fake: np.ndarray, *, seed: int, draws: int = 200
) -> dict[str, Any]:
    """Whether generated images lie nearer to the training images than to real ones never seen.

    Parameters
    ----------
    train, held_out, fake : ndarray, shapes (n, ...), (k, ...) and (m, ...)
        Features or images; rows are flattened. `train` and `held_out`, of one distribution, are cut to
        equal number.
    seed : int
        Of the cut and the draws.
    draws : int
        Random divisions of the two real sets, for what chance gives.

    Returns
    -------
    dict
        ``nearer``: share of generated images whose nearest neighbour among all real ones is a training
        image; ``chance``: the range that holds 95 % of random divisions, about 0.5; ``ratio``: the median,
        over generated images, of the distance to the nearest training image over that to the nearest
        held-out one: below 1 they are nearer to the training images; ``copies``: share with a ratio
        below 1/3; ``nearest``: row of the nearest training image of each, in `train`.
    """
    from sklearn.metrics import pairwise_distances

    rng, n = np.random.default_rng(seed), min(len(train), len(held_out))
    mine, others = (rng.permutation(len(side))[:n] for side in (train, held_out))
    pool = np.concatenate([train[mine], held_out[others]]).reshape(2 * n, -1).astype(float)
    apart = pairwise_distances(np.asarray(fake, dtype=float).reshape(len(fake), -1), pool)
    first = apart.argmin(axis=1)
    shares = [(rng.permutation(2 * n) < n)[first].mean() for _ in range(draws)]
    ratio = apart[:, :n].min(axis=1) / np.maximum(apart[:, n:].min(axis=1), 1e-12)
    return {
        "nearer": float((first < n).mean()),
        "chance": np.quantile(shares, [0.025, 0.975]).tolist(),
        "ratio": float(np.median(ratio)),
        "copies": float((ratio < 1 / 3).mean()),
        "nearest": mine[apart[:, :n].argmin(axis=1)],
    }


def differences(task: Task, fake: np.ndarray, *, seed: int) -> dict[str, Any]:
    """How generated images differ from the further real ones of a task, in numbers: :func:`told_apart` by
    pixels and by features, the Fréchet distance (``frechet_floor``: real against real), precision and its
    kin, and :func:`memorisation`. The test images train the classifier whose features are used."""
    from gmaug.generators.quality import frechet, manifold, train_extractor

    judge = train_extractor(*task.test, seed=seed, threads=1)
    n = min(len(fake), len(task.further[0]), len(task.base[0]))
    real, base, made = (judge(images[:n]) for images in (task.further[0], task.base[0], fake))
    apart = told_apart(task.further[0][:n], fake[:n], seed=seed), told_apart(real, made, seed=seed)
    found = manifold(real, made)
    known = memorisation(base, real, made, seed=seed)
    return {
        "images": n,
        "told_apart": apart[0]["accuracy"],
        "told_apart_features": apart[1]["accuracy"],
        "frechet": frechet(real, made, name=judge.name, groups=0).value,
        "frechet_floor": frechet(real, base, name=judge.name, groups=0).value,
        **{key: found[key] for key in ("precision", "recall", "density", "coverage")},
        "memorisation": {key: value for key, value in known.items() if key != "nearest"},
    }


# The command


def add_options(parser: Any) -> None:
    """Add to ``python -m gmaug record`` what only ``equivalence`` takes."""
    group = parser.add_argument_group(
        "of equivalence", "sets: a garden, cifar10, cifar10-five or ham10000; --steps: on the base (400)"
    )
    group.add_argument("--bases", type=int, nargs="+", default=[225, 450, 900], metavar="N")
    group.add_argument("--kimg", type=float, default=100.0, help="length of the generator's training (100)")
    for schedule, multiples in AMOUNTS.items():
        said = f"multiples of the base added with {schedule} fixed (default {' '.join(map(str, multiples))})"
        group.add_argument(
            f"--{schedule}-fixed", type=float, nargs="*", default=multiples, metavar="X", help=said
        )
    group.add_argument("--open", dest="open_set", action="store_true", help="train the generator on more")
    group.add_argument("--size", type=int, default=32, help="pixels (default 32)")


def record(options: Any) -> None:
    """Run and record the experiment's cells of some sets, as the command line asks."""
    given = {schedule: getattr(options, f"{schedule}_fixed") for schedule in AMOUNTS}
    amounts = {schedule: tuple(found) for schedule, found in given.items() if found}
    if not amounts:
        raise ValueError("no amounts: give --steps-fixed or --epochs-fixed one number or more")
    about = {"kimg": options.kimg, "steps": options.steps or 400, "open_set": options.open_set}
    about |= {"size": options.size, "root": options.data or "data", "folder": options.folder}
    wanted = product(options.sets or ("middle",), options.generators or ("cgan",), options.seeds or range(3))
    for (name, generator, seed), base in product(wanted, options.bases):
        if options.list:
            print(f"equivalence: {name} base {base} {generator} seed {seed}")
            continue
        options_of = {"base": base, "seed": seed, "generator": generator, "amounts": amounts}
        print(equivalence_cells(name, **options_of, **about), flush=True)
