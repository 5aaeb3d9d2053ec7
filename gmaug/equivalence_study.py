"""The experiment behind :mod:`gmaug.equivalence`, and how real and generated images differ.

A generator is trained on a base set alone (closed set) or on further images too (open set). Classifiers
are trained on the base, on the base with further real images and on the base with generated ones, for
equally many steps and for equally many epochs. ``python -m gmaug.equivalence_study SET`` records it.

By our reading of the abstract of arXiv 2508.09550, whose full text was not at hand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmaug.equivalence import Curve, equivalents

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
    base : int
        Images of the base.
    seed : int
        Which base and further images; the test images are the same for every seed.
    most : float
        At most so many times the base are kept as further images; photographs may hold fewer.
    size : int
        Side in pixels.
    root : path
        Folder that holds ``cifar10/{train,test}/class/*`` or ``ham10000/class/*``.
    open_set : bool
        Add images for the generator alone: the other gardens' (as many as the base holds of each), or the
        other classes of CIFAR-10.

    Raises
    ------
    ValueError
        If the base is larger than the set, or the set has no images for the open set.
    FileNotFoundError
        If the photographs are not there.
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
    """Train a ResNet18 from scratch, as it is set for images of this size, and measure it.

    Returns
    -------
    dict
        ``accuracy``, ``balanced_accuracy`` (the mean over classes) and ``auroc`` (one class against the
        rest, the mean over classes), in [0, 1].
    """
    from sklearn.metrics import balanced_accuracy_score, roc_auc_score

    from gmaug.classifiers import ResNet18, settings_for

    model = ResNet18(settings_for("resnet18", shape=images.shape[1:3]))
    model.fit(images, labels, classes=np.unique(test[1]), seed=seed, steps=steps)
    chances = model.predict_proba(test[0])
    found = model.classes_[chances.argmax(axis=1)]
    return {
        "accuracy": float((found == test[1]).mean()),
        "balanced_accuracy": float(balanced_accuracy_score(test[1], found)),
        "auroc": float(roc_auc_score(np.eye(len(model.classes_))[test[1]], chances)),
    }


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
        about = {
            "base": n,
            "kind": kind,
            "amount": amount,
            "schedule": schedule,
            "steps": length,
            "seed": seed,
        }
        yield about | found


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
    folder: Any = None,
) -> Any:
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
    folder : path, optional
        Of the records; ``notebooks/recorded`` by default.

    Returns
    -------
    Path
        The record, of kind ``equivalence``: ``cells`` (written after each) and ``differences``
        (:func:`differences` of the generated images).
    """
    import time

    from gmaug import runs

    keys = ("name", "base", "seed", "generator", "kimg", "steps", "amounts", "open_set", "size")
    given = locals()
    settings = runs.plain({key: given[key] for key in keys})
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
    task = open_task(
        name,
        base=base,
        seed=seed,
        most=max(map(max, amounts.values())),
        size=size,
        root=root,
        open_set=open_set,
    )
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

    Parameters
    ----------
    cells : DataFrame
        Columns ``base``, ``kind`` (``"base"``, ``"real"`` or ``"synthetic"``), ``amount``, ``schedule``,
        ``seed`` and `score`; of one set and one generator.
    base : int
    schedule : {"steps", "epochs"}
    score : str
        Which column is the accuracy.

    Returns
    -------
    (Curve, Curve)
        Of real and of generated images, over the seeds that have every cell of both.

    Raises
    ------
    ValueError
        If no seed is complete.
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
    from gmaug import runs

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

    Parameters
    ----------
    cells : DataFrame
        As :func:`recorded_cells` gives it.
    seed, **options
        As :func:`equivalents` has them.

    Returns
    -------
    (DataFrame, list of str)
        Rows of :func:`equivalents` with ``name``, ``generator``, ``open_set`` and ``schedule``; and why
        others are missing.
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
    """How generated images differ from the further real ones of a task, in numbers.

    Parameters
    ----------
    task : Task
        Its test images train the classifier whose features are used: it sees neither side.
    fake : ndarray of uint8, shape (n, h, w, 3)
    seed : int

    Returns
    -------
    dict
        ``told_apart`` (accuracy of a net on pixels), ``told_apart_features`` (of a linear classifier on
        features of a classifier of the real classes), ``frechet`` and ``frechet_floor`` (real against
        real), ``precision``, ``recall``, ``density``, ``coverage`` and ``memorisation``.
    """
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


def main(arguments: Sequence[str] | None = None) -> int:
    """``python -m gmaug.equivalence_study SET``: run and record the experiment's cells of a set."""
    import argparse

    from gmaug.progress import track

    parser = argparse.ArgumentParser(prog="python -m gmaug.equivalence_study", description=main.__doc__)
    parser.add_argument("set", help="a garden (middle, ...), cifar10, cifar10-five or ham10000")
    parser.add_argument("--bases", type=int, nargs="+", default=[225, 450, 900])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--generator", default="cgan", choices=["cgan", "diffusion"])
    parser.add_argument("--kimg", type=float, default=100.0, help="length of its training (default 100)")
    parser.add_argument("--steps", type=int, default=400, help="gradient steps on the base (default 400)")
    for schedule, multiples in AMOUNTS.items():
        said = f"multiples of the base added with {schedule} fixed (default {' '.join(map(str, multiples))})"
        parser.add_argument(f"--{schedule}-fixed", type=float, nargs="*", default=multiples, help=said)
    parser.add_argument("--open", dest="open_set", action="store_true", help="train the generator on more")
    parser.add_argument("--size", type=int, default=32, help="pixels (default 32)")
    parser.add_argument("--data", dest="root", default="data", help="folder of the photographs")
    parser.add_argument("--out", dest="folder", default=None, help="folder of the records")
    options = vars(parser.parse_args(arguments))
    name, bases, seeds = (options.pop(key) for key in ("set", "bases", "seeds"))
    multiples = {schedule: options.pop(f"{schedule}_fixed") for schedule in AMOUNTS}
    options["amounts"] = {schedule: tuple(found) for schedule, found in multiples.items() if found}
    if not options["amounts"]:
        parser.error("no amounts: give --steps-fixed or --epochs-fixed one number or more")
    if options["folder"] is not None:
        options["folder"] = Path(options["folder"])
    for seed, base in track([(s, b) for s in seeds for b in bases], desc=f"equivalence, {name}"):
        print(equivalence_cells(name, base=base, seed=seed, **options), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
