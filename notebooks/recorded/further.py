"""Recorded runs of the two further systems: generated against real (07) and mixed classes (08)."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from study import DATA, KINDS

from gmaug import equivalence, experiment, mixing, recognition, runs
from gmaug.datasets import open_images
from gmaug.datasets.garden import ALL_GARDENS, GARDENS, individuals, more, plant
from gmaug.equivalence import Task, interleaved
from gmaug.experiment import CellSettings, Material
from gmaug.experiment.cells import Arrays, measured
from gmaug.generators import make_generator, quality
from gmaug.recognition import Identities


class Growing:
    """A record that is written after each of its parts, so that a run that was broken off goes on with it.

    `content` is what is there already. ValueError if that was made with other settings.
    """

    def __init__(self, kind: str, title: str, *, settings: Any, folder: Path | None) -> None:
        self.about = {"kind": kind, "name": title, "settings": runs.plain(settings), "folder": folder}
        self.content, self.begun, self.data = {}, time.perf_counter(), {}
        if title not in runs.record_names(kind, folder=folder):
            return
        kept = runs.read_record(kind, title, folder=folder)
        changed = runs.difference(kept["settings"], self.about["settings"])
        if changed is not None:
            raise ValueError(f"{title} was recorded otherwise ({changed}); delete it, or name another folder")
        self.content, self.begun = kept["content"], self.begun - kept["made"]["seconds"]

    def keep(self) -> Path:
        """Write it as it is now."""
        seconds = time.perf_counter() - self.begun
        return runs.write_record(content=self.content, data=self.data, seconds=seconds, **self.about)


# Generated against further real images (notebook 07)


def open_task(
    name: str, *, base: int, seed: int, most: float = 4.0, size: int = 32, root: Path = DATA,
    open_set: bool = False,
) -> Task:  # fmt: skip
    """`base` images of a garden or of photographs, and at most `most` times as many further ones.

    Photographs are ``cifar10``; ``cifar10-five``, its classes 0 to 4, so that the others are left for the
    open set; and ``ham10000``, of which a fifth is the test set. The test images are the same for every seed.
    In the open set the generator is given the other gardens, or the other classes of CIFAR-10.
    """
    extra = None
    if name in ("cifar10", "cifar10-five", "ham10000"):
        pool, test, extra = _photographs(name, root, size)
    else:
        settings = ALL_GARDENS[name]
        each = -(-base // len(settings.hierarchy.sub_classes))
        counts = dict.fromkeys(settings.hierarchy.sub_classes, int(np.ceil(each * (1 + most))))
        parts = more(settings, counts, seed=1000 + seed), plant(settings).test
        pool, test = ((part.arrays(size=size), part.labels) for part in parts)
        if open_set:
            each_of, shift = dict.fromkeys(counts, each), len(counts)
            others = [more(GARDENS[g], each_of, seed=1000 + seed) for g in GARDENS if g != name]
            labels = [other.labels + shift * k for k, other in enumerate(others, 1)]
            extra = np.concatenate([other.arrays(size=size) for other in others]), np.concatenate(labels)
    if open_set and extra is None:
        raise ValueError(f"{name} has no further images for an open set; use cifar10-five or a garden")
    if not 1 <= base < len(pool[1]):
        raise ValueError(f"base={base}: {name} has {len(pool[1])} images to choose it from")
    order = interleaved(pool[1], np.random.default_rng((7, seed)))[: int(base * (1 + most))]
    first, rest = ((pool[0][rows], pool[1][rows]) for rows in (order[:base], order[base:]))
    return Task(first, rest, test, extra if open_set else None)


def _photographs(name: str, root: Path, size: int) -> tuple[Arrays, Arrays, Arrays | None]:
    def read(*folders: str) -> Arrays:
        found = open_images(root.joinpath(*folders))
        return found.arrays(size=size), found.labels

    if name == "ham10000":
        x, y = read("ham10000")
        order = interleaved(y, np.random.default_rng(0))
        test, pool = order[: len(y) // 5], order[len(y) // 5 :]
        return (x[pool], y[pool]), (x[test], y[test]), None
    pool, test = read("cifar10", "train"), read("cifar10", "test")
    if name == "cifar10":
        return pool, test, None
    (ours, held), others = ([(x[y < 5], y[y < 5]) for x, y in (pool, test)], pool[1] >= 5)
    return ours, held, (pool[0][others], pool[1][others])


def resnet_score(
    images: np.ndarray, labels: np.ndarray, test: Arrays, *, steps: int, seed: int
) -> dict[str, float]:
    """``accuracy``, ``balanced_accuracy`` and ``auroc``, in [0, 1], of a ResNet18 trained from scratch."""
    classes = tuple(map(str, np.unique(test[1])))
    settings = CellSettings(images.shape[1], steps=steps)
    trial = experiment.Trial(images, labels, None, len(classes), settings, seed)
    material = Material("", classes, (images, labels), None, test)
    found = measured(experiment.Outcome(trial.train()), trial, material)
    return {"accuracy": found["top1"], **{name: found[name] for name in ("balanced_accuracy", "auroc")}}


def fitted(task: Task, generator: str, *, kimg: float, seed: int, checkpoint: Path | None = None) -> Any:
    """A generator trained on the base of a task, and its extra images if there are any.

    No other real image is used, to choose its best moment neither: the set is closed.
    """
    parts = [task.base] if task.extra is None else [task.base, task.extra]
    images, labels = (np.concatenate(side) for side in zip(*parts, strict=True))
    options = {"seed": seed, "kimg": kimg, "n_classes": int(labels.max()) + 1, "threads": 1}
    model = make_generator(generator, shape=images.shape[1:3], **options)
    return model.fit(images, labels, checkpoint=checkpoint)


def differences(task: Task, fake: np.ndarray, *, seed: int) -> dict[str, Any]:
    """How generated images differ from further real ones: told apart by pixels and by features, the Fréchet
    distance (``frechet_floor``: real against real), precision and its kin, memorisation."""
    judge = quality.train_extractor(*task.test, seed=seed, threads=1)
    n = min(len(fake), len(task.further[0]), len(task.base[0]))
    real, base, made = (judge(images[:n]) for images in (task.further[0], task.base[0], fake))
    found, known = quality.manifold(real, made), equivalence.memorisation(base, real, made, seed=seed)
    return {
        "images": n,
        "told_apart": equivalence.told_apart(task.further[0][:n], fake[:n], seed=seed)["accuracy"],
        "told_apart_features": equivalence.told_apart(real, made, seed=seed)["accuracy"],
        "frechet": quality.frechet(real, made),
        "frechet_floor": quality.frechet(real, base),
        **{key: found[key] for key in ("precision", "recall", "density", "coverage")},
        "memorisation": {key: value for key, value in known.items() if key != "nearest"},
    }


def record_equivalence(
    name: str, base: int, generator: str, seed: int, *, kimg: float = 100.0, steps: int = 400,
    amounts: Mapping[str, Sequence[float]] = equivalence.AMOUNTS, open_set: bool = False, size: int = 32,
    root: Path = DATA, folder: Path | None = None,
) -> Path:  # fmt: skip
    """Train a generator for `kimg` thousand images of one base, run its cells, compare its images."""
    settings = {
        "name": name, "base": base, "seed": seed, "generator": generator, "kimg": kimg, "steps": steps,
        "amounts": amounts, "open_set": open_set, "size": size,
    }  # fmt: skip
    title = f"{name}_{base}_{generator}_{'open' if open_set else 'closed'}_{seed}"
    record = Growing("equivalence", title, settings=settings, folder=folder)
    if "differences" in record.content:
        return runs.record_path("equivalence", title, folder=folder)
    most, rows = max(map(max, amounts.values())), record.content.setdefault("cells", [])
    task = open_task(name, base=base, seed=seed, most=most, size=size, root=root, open_set=open_set)
    record.data = {"name": name, "images": base, "hash": runs.digest(*task.base)}
    checkpoint = runs.root() / "runs" / "equivalence" / title
    model = fitted(task, generator, kimg=kimg, seed=seed, checkpoint=checkpoint)
    done = {(row["kind"], row["amount"], row["schedule"]) for row in rows}
    about = {"seed": seed, "steps": steps, "amounts": amounts, "done": done}
    for row in equivalence.cells(task, model, resnet_score, **about):
        rows.append(row)
        record.keep()
    fake = model.sample(np.resize(task.base[1], min(base, 1000)), seed=seed + 1)
    record.content["differences"] = differences(task, fake, seed=seed)
    return record.keep()


# Mixed classes in recognition (notebook 08)

FARS = (1e-2, 1e-3)
IDENTITIES = {"individuals": {"persons": 60}, "lfw": {"persons": 100, "images": 40}}


def open_identities(
    name: str, *, seed: int, persons: int = 60, images: int = 20, size: int = 32, root: Path = DATA
) -> Identities:
    """The garden's individuals, or the faces of ``<root>/lfw/<person>/*``.

    Of these the same 58 persons always verify. `persons` are trained on, with at most so many `images` of
    each, and ten of those that verify.
    """
    if name == "individuals":
        return recognition.open_individuals(seed=seed, persons=persons, images=images, size=size)
    if name != "lfw":
        raise ValueError(f"{name}: unknown; there are individuals and lfw")
    found = open_images(root / "lfw")
    order = np.random.default_rng(0).permutation(len(found.classes))
    if not 2 <= persons <= len(order) - 58:
        raise ValueError(f"persons={persons}: {len(order) - 58} are left beside those held out")

    def taken(who: np.ndarray, most: int, rng: np.random.Generator) -> Arrays:
        rows = [rng.permutation(np.flatnonzero(found.labels == c))[:most] for c in who]
        labels = np.repeat(np.arange(len(who)), [len(mine) for mine in rows])
        return found.subset(np.concatenate(rows)).arrays(size=size), labels

    rng = np.random.default_rng((1, seed))
    trained = rng.permutation(order[58:])[:persons]
    return Identities(name, taken(trained, images, rng), taken(order[:58], 10, np.random.default_rng(2)))


def record_recognition(
    name: str, *, seed: int = 0, persons: int = 60, images: int = 20, size: int = 32, kimg: float = 300.0,
    steps: int = 1500, arms: Sequence[str] | None = None, profile: str = "default", root: Path = DATA,
    checkpoints: Path, folder: Path | None = None,
) -> Path:  # fmt: skip
    """Train generators and recognisers of one seed, and record what each arm verifies.

    The record's content is the ``search`` (its table, its best row with both weights from 0.5, and the points
    level with the highest of all) and of each arm ``tar`` (by FAR) and ``added`` images.
    """
    settings = {
        "name": name, "seed": seed, "persons": persons, "images": images, "size": size, "kimg": kimg,
        "steps": steps, "profile": profile,
    }  # fmt: skip
    title = f"{name}_{seed}"
    record = Growing("mixing", title, settings=settings, folder=folder)
    of = open_identities(name, seed=seed, persons=persons, images=images, size=size, root=root)
    content = record.content or {"identities": of.classes, "held": len(set(of.held[1].tolist())), "arms": {}}
    record.content = content
    record.data = {"name": name, "images": len(of.train[1]), "hash": runs.digest(*of.train, *of.held)}
    arms = arms or [arm for arm in recognition.ARMS if arm != "more" or of.more is not None]
    todo, generators = [arm for arm in arms if arm not in content["arms"]], {}
    if not todo:
        return runs.record_path("mixing", title, folder=folder)
    for kind in KINDS if "scoremix" in todo else KINDS[:1]:
        print(f"{title}: {kind}, {kimg:g} kimg", flush=True)
        options = {"profile": profile, "seed": seed, "kimg": kimg, "n_classes": of.classes, "threads": 1}
        model = make_generator(kind, shape=(size, size), **options)
        generators[kind] = model.fit(*of.train, checkpoint=checkpoints / f"{title}-{kind}")
    recogniser = recognition.train_recogniser(of.train, None, steps=steps, seed=seed)
    if "search" not in content:
        pairs = mixing.choose_pairs(min(24, of.classes), classes=of.classes, seed=seed)
        found = mixing.search(generators["cgan"], recogniser, pairs, classes=of.classes, seed=seed)
        level, table = found.level[["alpha", "beta"]].to_dict("list"), found.table.to_dict("list")
        content["search"] = {"table": table, "level": level, "best": found.among(0.5).best}
        record.keep()
    about = {key: content["search"]["best"][key] for key in ("alpha", "beta")} | {"seed": seed}
    for arm in todo:
        print(f"{title}: {arm}", flush=True)
        added = recognition.additions(arm, of, generators=generators, recogniser=recogniser, **about)
        model = recogniser
        if added is not None:
            model = recognition.train_recogniser(of.train, added, steps=steps, seed=seed)
        held = recognition.Verification(model.features(of.held[0]), of.held[1])
        tars = [held.tar(far) for far in FARS]
        content["arms"][arm] = {
            "added": 0 if added is None else len(added[1]),
            "tar": [{"far": t.far, "value": t.value, "draws": t.draws.round(4)} for t in tars],
        }
        record.keep()
    return record.keep()


def record_live_generator(
    *, persons: int = 24, each: int = 20, kimg: float = 45.0, profile: str = "live", checkpoints: Path,
    folder: Path | None = None,
) -> Path:  # fmt: skip
    """Record the cGAN that notebook 08 mixes with; six further images of each choose its best moment."""
    found = individuals(persons, per_identity=each + 6, seed=0)
    x, y, first = found.arrays(size=16), found.labels, np.arange(len(found)) % (each + 6) < each
    about = {"seed": 0, "n_classes": persons, "threads": 1, "kimg": kimg, "report_kimg": 6.0}
    model = make_generator("cgan", shape=(16, 16), profile=profile, **about)
    model.fit(x[first], y[first], validation=(x[~first], y[~first]), checkpoint=checkpoints / "individuals")
    weights = runs.record_path("individuals", "cgan", ".safetensors", folder=folder)
    model.save(weights)
    data = {"name": "individuals", "images": int(first.sum()), "hash": runs.digest(x[first], y[first])}
    return runs.write_record(
        "individuals", "cgan", {"history": model.history_, "kept_kimg": model.kimg_},
        settings=model.settings.to_dict(), data=data, seconds=model.history_[-1]["seconds"],
        files=[weights.name], folder=folder,
    )  # fmt: skip
