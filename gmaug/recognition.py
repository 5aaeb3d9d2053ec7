"""Recognition: features trained with a margin, and verification of identities that were held out.

Two images are taken for the same identity where the cosine of their features is above a threshold. The
threshold is set by the false accept rate (FAR), the share of pairs of different identities above it; the
true accept rate (TAR) is the share of pairs of one identity above it. That is how face recognition is
measured, and AugGen (arXiv 2503.11544) with it. AugGen's recogniser is far larger and its margin AdaFace's,
as summaries of it say; here it is CosFace's. The arms of its experiment stand below, and what records them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gmaug import runs
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.resnet import ResNet18
from gmaug.classifiers.settings import GARDEN, ResNet18Settings
from gmaug.mixing import Arrays, centres, choose_pairs, draw, pixel_mixes, search, unit

if TYPE_CHECKING:
    import pandas as pd

# The recogniser


SMALL = replace(GARDEN, width=16, stem_stride=2, padding=1)
"""For images of 16 px, of which the classifiers' own padding of 4 px would be a quarter. On 24 individuals,
one seed, 200 steps, 40 others to verify: TAR .40 at a FAR of 1e-2; at full resolution, half as wide, .30."""


class CosineHead(nn.Module):
    """Last layer of a recogniser: `scale` times the cosine of the features with each class's direction."""

    def __init__(self, width: int, classes: int, scale: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(classes, width)))
        self.register_buffer("scale", torch.tensor(float(scale)))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


class Recogniser(ResNet18):
    """ResNet18 with a linear embedding and a cosine head, trained with CosFace's margin.

    Wang et al., *CosFace: Large Margin Cosine Loss for Deep Face Recognition* (CVPR 2018): in training the
    cosine of the true class has to win by `margin`.

    Parameters
    ----------
    settings : ResNet18Settings
    margin : float
        In cosine, in [0, 1).
    scale : float
        Of the cosines before the softmax. The method's 64 is for thousands of classes; 16 suits tens of them.
    device : str
        As :func:`gmaug.backend.device` takes it.
    """

    def __init__(
        self,
        settings: ResNet18Settings = SMALL,
        *,
        margin: float = 0.2,
        scale: float = 16.0,
        device: str = "auto",
    ) -> None:
        super().__init__(settings, device=device)
        if not 0 <= margin < 1 or not scale > 0:
            raise ValueError(f"margin={margin}, scale={scale}: give a margin in [0, 1) and a scale above 0")
        self.margin, self.scale = margin, scale

    def _network(self, classes: int) -> nn.Module:
        net = super()._network(classes)
        width = net.fc.in_features
        embedding = nn.Linear(width, width, bias=False), nn.BatchNorm1d(width)
        net.avgpool = nn.Sequential(net.avgpool, nn.Flatten(), *embedding)
        net.fc = CosineHead(width, classes, self.scale)
        return net

    def fit(self, images: np.ndarray, labels: np.ndarray, **options: Any) -> Recogniser:
        """As :meth:`gmaug.classifiers.ResNet18.fit`, with the margin."""
        options.setdefault("loss", Loss(margin=self.margin * self.scale, smoothing=0.0))
        return super().fit(images, labels, **options)


# Verification


@dataclass(frozen=True, eq=False)
class Tar:
    """A true accept rate at a false accept rate: its `value` in [0, 1], and `draws` of its bootstrap."""

    far: float
    value: float
    draws: np.ndarray

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Percentile interval; it says how far identities scatter, not trainings."""
        low, high = np.quantile(self.draws, [(1 - level) / 2, (1 + level) / 2])
        return float(low), float(high)


class Verification:
    """All pairs of held-out images, by the cosine of their features.

    Parameters
    ----------
    features : ndarray, shape (n, d)
    identities : ndarray of int, shape (n,)

    Attributes
    ----------
    genuine, impostor : ndarray of float64
        Cosines of the pairs of one identity, and of two; the latter fall.

    Raises
    ------
    ValueError
        If there are fewer than two identities, or no identity has two images.
    """

    def __init__(self, features: np.ndarray, identities: np.ndarray) -> None:
        _, who = np.unique(identities, return_inverse=True)
        one, other = np.triu_indices(len(who), k=1)
        cosines = (unit(features) @ unit(features).T)[one, other]
        same = who[one] == who[other]
        if same.all() or not same.any():
            raise ValueError(
                f"{len(who)} images of {len(set(who.tolist()))} identities make no pair of one identity, or "
                "none of two; give two images of at least two identities"
            )
        order = np.argsort(-cosines[~same], kind="stable")
        self.count = int(who.max()) + 1
        self.genuine, self.impostor = cosines[same], cosines[~same][order]
        self._genuine_of = who[one[same]]
        self._impostor_of = who[one[~same][order]], who[other[~same][order]]

    def threshold(self, far: float) -> float:
        """The least threshold above which at most a share `far` of the impostor pairs lie."""
        self._check(far)
        return self._threshold(far, np.ones(len(self.impostor)))

    def rate(self, far: float) -> float:
        """TAR, in [0, 1], at a FAR.

        Raises
        ------
        ValueError
            If `far` is not in (0, 1], or below one impostor pair.
        """
        return float(np.mean(self.genuine > self.threshold(far)))

    def tar(self, far: float, *, seed: int = 0, draws: int = 200) -> Tar:
        """The same with its bootstrap: identities are drawn with replacement, and all their pairs with them.

        Draws of the same seed and number of identities are the same identities, so those of two recognisers
        are paired (:func:`gain`).
        """
        value = self.rate(far)
        drawn = np.random.default_rng(seed).multinomial(self.count, [1 / self.count] * self.count, size=draws)
        found = []
        for times in drawn.astype(np.float64):
            weight = times[self._genuine_of]
            limit = self._threshold(far, times[self._impostor_of[0]] * times[self._impostor_of[1]])
            found.append(weight @ (self.genuine > limit) / max(weight.sum(), 1))
        return Tar(far, value, np.array(found))

    def roc(self, points: int = 200) -> tuple[np.ndarray, np.ndarray]:
        """FAR, rising evenly in its logarithm from one impostor pair to all, and TAR."""
        far = np.geomspace(1 / len(self.impostor), 1, points)
        allowed = np.floor(far * len(self.impostor) + 1e-9).astype(int)
        limits = np.append(self.impostor, -np.inf)[allowed]
        above = len(self.genuine) - np.searchsorted(np.sort(self.genuine), limits, side="right")
        return far, above / len(self.genuine)

    def _threshold(self, far: float, weights: np.ndarray) -> float:
        passed = np.cumsum(weights)
        allowed = int(np.searchsorted(passed, far * passed[-1] + 1e-9, side="right"))
        return float(self.impostor[allowed]) if allowed < len(passed) else -np.inf

    def _check(self, far: float) -> None:
        if not 1 / len(self.impostor) <= far <= 1:
            raise ValueError(f"far={far}: {len(self.impostor)} pairs of two identities allow "
                             f"{1 / len(self.impostor):.1e} to 1; hold out more identities")  # fmt: skip


def gain(
    ours: Sequence[Tar], theirs: Sequence[Tar], *, seed: int = 0, level: float = 0.95
) -> dict[str, float]:
    """What one way of training gains over another, in TAR, with its interval.

    Parameters
    ----------
    ours, theirs : sequence of Tar
        One a seed of training, paired; all of the same held-out identities and bootstrap seed.
    seed : int
        Of the drawing of training seeds.
    level : float

    Returns
    -------
    dict
        ``gain`` (a difference in [-1, 1]), ``low`` and ``high``, ``seeds``. Identities and, where there are
        several, training seeds are drawn anew; few seeds leave the interval too narrow, and one leaves the
        scatter of training out.

    Raises
    ------
    ValueError
        If the two sides have not as many seeds or draws.
    """
    if not len(ours) or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} trainings: give the same seeds of both, in order")
    if len({(tar.far, len(tar.draws)) for tar in (*ours, *theirs)}) > 1:
        raise ValueError("the rates are of different FAR or draws; give the same to all")
    apart = np.array([a.draws - b.draws for a, b in zip(ours, theirs, strict=True)])
    rows = np.random.default_rng(seed).integers(len(ours), size=(apart.shape[1], len(ours)))
    drawn = apart[rows, np.arange(apart.shape[1])[:, None]].mean(axis=1)
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2])
    value = np.mean([a.value - b.value for a, b in zip(ours, theirs, strict=True)])
    return {"gain": float(value), "low": float(low), "high": float(high), "seeds": len(ours)}


# The experiment: recognition of identities that were held out

ARMS = ("real", "same", "pixels", "random", "near", "distant", "scoremix", "more")
"""``real``: the training images alone. All others add as many images again. ``same``: generated images of the
identities there are, under their own labels. ``pixels``: :func:`gmaug.mixing.pixel_mixes` of random pairs.
``random``, ``near`` and ``distant``: mixed conditions of so chosen pairs, at the best (alpha, beta).
``scoremix``: mixed scores of distant pairs, one to one. ``more``: real images of as many further identities,
which a garden has."""

FARS = (1e-2, 1e-3)
LEAST = 0.5  # alpha and beta of the mixes, at least (:meth:`gmaug.mixing.Search.among`)
HELD_SEED = 10_000  # of the garden's individuals for verification; the seeds below are for training


@dataclass(frozen=True, eq=False)
class Identities:
    """Images to train on, of persons or individual flowers and birds, and of others to verify; `more`:
    images of as many further identities, where there are such."""

    name: str
    train: Arrays
    held: Arrays
    more: Arrays | None = None

    @property
    def classes(self) -> int:
        """C of the training images."""
        return int(self.train[1].max()) + 1


def open_identities(
    name: str, *, seed: int, persons: int = 60, images: int = 20, size: int = 32, root: Any = "data"
) -> Identities:
    """The garden's individuals, or the faces of a folder ``<root>/lfw/<person>/*``.

    Parameters
    ----------
    name : {"individuals", "lfw"}
    seed : int
        Which identities are trained on; those held out are the same for every seed.
    persons : int
        Identities to train on. As many individuals are held out to verify, 40 at least; of faces always 58.
    images : int
        Of each to train on, at most; ten to verify.
    size : int
        Side in pixels.
    root : path

    Raises
    ------
    ValueError, FileNotFoundError
        If the set is unknown, too small, or not there.
    """
    if name == "individuals":
        from gmaug.datasets.garden import individuals

        def read(count: int, each: int, seed: int) -> Arrays:
            found = individuals(count, per_identity=each, seed=seed)
            return found.arrays(size=size), found.labels

        train, more = (read(persons, images, 2 * seed + k) for k in range(2))
        return Identities(name, train, read(max(persons, 40), 10, HELD_SEED), more)
    if name != "lfw":
        raise ValueError(f"{name}: unknown; there are individuals and lfw")
    from gmaug.datasets import open_images

    found = open_images(Path(root) / "lfw")
    order = np.random.default_rng(0).permutation(len(found.classes))
    held = order[:58]
    if not 2 <= persons <= len(order) - len(held):
        raise ValueError(f"persons={persons}: {len(order) - len(held)} are left beside those held out")

    def taken(who: np.ndarray, most: int, rng: np.random.Generator) -> Arrays:
        rows = [rng.permutation(np.flatnonzero(found.labels == c))[:most] for c in who]
        labels = np.repeat(np.arange(len(who)), [len(mine) for mine in rows])
        return found.subset(np.concatenate(rows)).arrays(size=size), labels

    rng = np.random.default_rng((1, seed))
    trained = rng.permutation(order[58:])[:persons]
    return Identities(name, taken(trained, images, rng), taken(held, 10, np.random.default_rng(2)))


def additions(
    arm: str,
    of: Identities,
    *,
    generators: Mapping[str, Any],
    recogniser: Any,
    alpha: float,
    beta: float,
    seed: int,
    mixes: int | None = None,
) -> Arrays | None:
    """What an arm adds to the training images: as many images as there are, of as many mixes as identities.

    Parameters
    ----------
    arm : str
        One of :data:`ARMS`.
    of : Identities
    generators : dict of str to generator
        ``"cgan"`` for conditions, ``"diffusion"`` for scores, trained on ``of.train``.
    recogniser : object with ``features``
        Trained on the same; it says which pairs are near.
    alpha, beta : float
        Of mixed conditions.
    seed : int
    mixes : int, optional
        As many as identities by default.

    Raises
    ------
    ValueError
        If the arm is unknown, or there are no further identities.
    """
    if arm not in ARMS:
        raise ValueError(f"arm={arm!r} is unknown; use one of {', '.join(ARMS)}")
    (x, y), classes = of.train, of.classes
    if arm == "real":
        return None
    if arm == "same":
        return generators["cgan"].sample(y, seed=seed), y
    if arm == "more":
        if of.more is None:
            raise ValueError(f"{of.name} has no further identities; leave out the arm 'more'")
        return of.more[0], of.more[1] + classes
    mixes = classes if mixes is None else mixes
    each = max(1, round(len(y) / mixes))
    how = {"pixels": "random", "scoremix": "distant"}.get(arm, arm)
    embedding = centres(recogniser.features(x), y, classes=classes)
    pairs = choose_pairs(mixes, how=how, embedding=embedding, seed=seed)
    if arm == "pixels":
        return pixel_mixes(x, y, pairs, count=each, seed=seed)
    about = {"images": each, "classes": classes, "seed": seed}
    if arm == "scoremix":
        return draw(generators["diffusion"], pairs, 0.5, 0.5, scores=True, **about)
    return draw(generators["cgan"], pairs, alpha, beta, **about)


def train_recogniser(train: Arrays, added: Arrays | None, *, steps: int, seed: int, **options: Any) -> Any:
    """A recogniser of the training identities and of what is added, in `steps` gradient steps.

    `options` are of :class:`Recogniser`; its settings move images by a sixteenth of their side by default.
    """
    options.setdefault("settings", replace(SMALL, padding=max(1, train[0].shape[1] // 16)))
    parts = [train] if added is None else [train, added]
    images, labels = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Recogniser(**options).fit(images, labels, steps=steps, seed=seed)


LIVE = {"persons": 24, "images": 20, "size": 16}
"""Individuals of notebook 08, which trains on them in seconds."""


def record_live_generator(
    *, kimg: float = 45.0, profile: str = "live", checkpoints: Path, folder: Path | None = None
) -> Path:
    """Record the cGAN that notebook 08 mixes classes with; it is trained on the individuals of :data:`LIVE`.

    Six further images of each choose its best moment.
    """
    from gmaug.datasets.garden import individuals
    from gmaug.generators import make_generator

    count, each, side = LIVE["persons"], LIVE["images"], LIVE["size"]
    drawn = individuals(count, per_identity=each + 6, seed=0)
    x, y, first = drawn.arrays(size=side), drawn.labels, np.arange(len(drawn)) % (each + 6) < each
    about = {"seed": 0, "n_classes": count, "threads": 1, "kimg": kimg, "report_kimg": 6.0}
    model = make_generator("cgan", shape=(side, side), profile=profile, **about)
    model.fit(x[first], y[first], validation=(x[~first], y[~first]), checkpoint=checkpoints / "individuals")
    weights = runs.record_path("individuals", "cgan", ".safetensors", folder=folder)
    model.save(weights)
    data = {"name": "individuals", "images": int(first.sum()), "hash": runs.digest(x[first], y[first])}
    return runs.write_record(
        "individuals", "cgan", {"history": model.history_, "kept_kimg": model.kimg_},
        settings=model.settings.to_dict(), data=data, seconds=model.history_[-1]["seconds"],
        files=[weights.name], folder=folder,
    )  # fmt: skip


def record_recognition(
    name: str,
    *,
    seed: int = 0,
    persons: int = 60,
    images: int = 20,
    size: int = 32,
    kimg: float = 300.0,
    steps: int = 1500,
    arms: Sequence[str] | None = None,
    profile: str = "default",
    root: Any = "data",
    checkpoints: Path = Path("runs/generators"),
    folder: Path | None = None,
    say: Callable[[str], None] = print,
) -> Path:
    """Train generators and recognisers of one seed and record what each arm verifies; resumable.

    Parameters
    ----------
    name, seed, persons, images, size, root
        As :func:`open_identities` has them.
    kimg : float
        Thousands of images that each generator is trained for.
    steps : int
        Gradient steps of every recogniser.
    arms : sequence of str, optional
        All that the set allows by default.
    profile : str
        Of the generators' settings.
    checkpoints, folder : Path
        Of the generators in training, and of the records.
    say : callable

    Returns
    -------
    Path
        The record, of kind ``mixing``: the ``search`` (a table, its best row of weights from 0.5, and the
        points level with the highest of all),
        and of each arm ``tar`` (by FAR: ``value`` and ``draws`` of the bootstrap) and ``added`` images.
    """
    from gmaug.generators import make_generator

    title, begun, spent = f"{name}_{seed}", time.perf_counter(), 0.0
    keys = ("name", "seed", "persons", "images", "size", "kimg", "steps", "profile")
    given = locals()
    settings = runs.plain({key: given[key] for key in keys})
    of = open_identities(name, seed=seed, persons=persons, images=images, size=size, root=root)
    arms = tuple(arms or (arm for arm in ARMS if arm != "more" or of.more is not None))
    content: dict[str, Any] = {"identities": of.classes, "held": len(set(of.held[1].tolist())), "arms": {}}
    try:
        kept = runs.read_record("mixing", title, folder=folder)
    except runs.NotRecorded:
        kept = None
    if kept is not None:
        difference = runs.difference(kept["settings"], settings)
        if difference is not None:
            raise ValueError(f"{title} was recorded otherwise ({difference}); delete it, or name a folder")
        content, spent = kept["content"], kept["made"]["seconds"]
    todo = [arm for arm in arms if arm not in content["arms"]]
    data = {"name": name, "images": len(of.train[1]), "hash": runs.digest(*of.train, *of.held)}

    def keep() -> Path:
        seconds = spent + time.perf_counter() - begun
        return runs.write_record(
            "mixing", title, content, settings=settings, data=data, seconds=seconds, folder=folder
        )

    if not todo:
        return runs.record_path("mixing", title, folder=folder)
    generators = {}
    for kind in ("cgan", "diffusion") if "scoremix" in todo else ("cgan",):
        say(f"{title}: {kind}, {kimg:g} kimg")
        options = {"profile": profile, "seed": seed, "kimg": kimg, "n_classes": of.classes, "threads": 1}
        model = make_generator(kind, shape=(size, size), **options)
        generators[kind] = model.fit(*of.train, checkpoint=Path(checkpoints) / f"{title}-{kind}")
    recogniser = train_recogniser(of.train, None, steps=steps, seed=seed)
    if "search" not in content:
        pairs = choose_pairs(min(24, of.classes), classes=of.classes, seed=seed)
        found = search(generators["cgan"], recogniser, pairs, classes=of.classes, seed=seed)
        level = found.level[["alpha", "beta"]].to_dict("list")
        content["search"] = {"table": found.table.to_dict("list"), "level": level}
        content["search"]["best"] = found.among(LEAST).best
        keep()
    best = content["search"]["best"]
    for arm in todo:
        say(f"{title}: {arm}")
        added = additions(
            arm, of, generators=generators, recogniser=recogniser, alpha=best["alpha"], beta=best["beta"],
            seed=seed,
        )  # fmt: skip
        model = recogniser if arm == "real" else train_recogniser(of.train, added, steps=steps, seed=seed)
        held = Verification(model.features(of.held[0]), of.held[1])
        rates: list[Tar] = [held.tar(far) for far in FARS]
        content["arms"][arm] = {
            "added": 0 if added is None else len(added[1]),
            "tar": [{"far": t.far, "value": t.value, "draws": t.draws.round(4)} for t in rates],
        }
        keep()
    return keep()


def recorded_recognition(name: str, *, folder: Path | None = None) -> pd.DataFrame:
    """Recorded rates of a set: a row an arm, a FAR and a seed, with the ``tar`` as
    :class:`Tar`; empty if there are none."""
    import pandas as pd

    rows = []
    for title in runs.record_names("mixing", folder=folder):
        record = runs.read_record("mixing", title, folder=folder)
        for arm, told in record["content"]["arms"].items() if record["settings"]["name"] == name else ():
            for one in told["tar"]:
                tar = Tar(one["far"], one["value"], np.array(one["draws"]))
                rows.append({"arm": arm, "far": tar.far, "seed": record["settings"]["seed"], "tar": tar})
    return pd.DataFrame(rows, columns=["arm", "far", "seed", "tar"])
