"""Recognition: features trained with a margin, and verification of identities that were held out.

Two images are taken for the same identity where the cosine of their features is above a threshold. The false
accept rate (FAR) is the share of pairs of different identities above it, the true accept rate (TAR) that of
pairs of one identity. AugGen (arXiv 2503.11544) is measured so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from gmaug.classifiers.losses import Loss
from gmaug.classifiers.resnet import ResNet18
from gmaug.classifiers.settings import GARDEN
from gmaug.mixing import Arrays, centres, choose_pairs, draw, pixel_mixes, unit

# The recogniser

SMALL = replace(GARDEN, width=16, stem_stride=2)
"""For images of 16 px. On 24 individuals, one seed, 200 steps, 40 others to verify: TAR .40 at a FAR of 1e-2;
at full resolution, half as wide, .30."""


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
    cosine of the true class has to win by a margin. AugGen's own recogniser is far larger and its margin
    AdaFace's, as summaries of it say.
    """

    margin: ClassVar[float] = 0.2  # in cosine
    scale: ClassVar[float] = 16.0  # of the cosines; the method's 64 is for thousands of classes

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

    def interval(self) -> tuple[float, float]:
        """95 % percentile interval; it says how far identities scatter, not trainings."""
        low, high = np.quantile(self.draws, TAILS)
        return float(low), float(high)


TAILS = (1 - 0.95) / 2, (1 + 0.95) / 2


class Verification:
    """All pairs of held-out images, by the cosine of their features (n, d); `identities` has shape (n,).

    `genuine` and `impostor` are the cosines of the pairs of one identity, and of two; the latter fall.
    ValueError if there are fewer than two identities, or no identity has two images.
    """

    def __init__(self, features: np.ndarray, identities: np.ndarray) -> None:
        _, who = np.unique(identities, return_inverse=True)
        one, other = np.triu_indices(len(who), k=1)
        cosines = (unit(features) @ unit(features).T)[one, other]
        same = who[one] == who[other]
        if same.all() or not same.any():
            found = f"{len(who)} images of {len(set(who.tolist()))} identities"
            raise ValueError(f"{found} make no two kinds of pair; give two images of at least two identities")
        order = np.argsort(-cosines[~same], kind="stable")
        self.count = int(who.max()) + 1
        self.genuine, self.impostor = cosines[same], cosines[~same][order]
        self._genuine_of = who[one[same]]
        self._impostor_of = who[one[~same][order]], who[other[~same][order]]

    def threshold(self, far: float, weights: np.ndarray | None = None) -> float:
        """The least threshold above which at most a share `far` of the impostor pairs lie.

        `weights` (impostors,) say how often each pair counts. ValueError if `far` is not in (0, 1], or below
        one pair.
        """
        count = len(self.impostor)
        if not 1 / count <= far <= 1:
            allow = f"{count} pairs of two identities allow {1 / count:.1e} to 1"
            raise ValueError(f"far={far}: {allow}; hold out more identities")
        passed = np.cumsum(np.ones(count) if weights is None else weights)
        allowed = int(np.searchsorted(passed, far * passed[-1] + 1e-9, side="right"))
        return float(self.impostor[allowed]) if allowed < count else -np.inf

    def tar(self, far: float, *, seed: int = 0, draws: int = 200) -> Tar:
        """TAR at a FAR with its bootstrap: identities are drawn anew, and all their pairs with them.

        Draws of the same seed and number of identities are the same identities, so those of two recognisers
        are paired (:func:`gain`).
        """
        value = float(np.mean(self.genuine > self.threshold(far)))
        drawn = np.random.default_rng(seed).multinomial(self.count, [1 / self.count] * self.count, size=draws)
        found = []
        for times in drawn.astype(np.float64):
            weight = times[self._genuine_of]
            limit = self.threshold(far, times[self._impostor_of[0]] * times[self._impostor_of[1]])
            found.append(weight @ (self.genuine > limit) / max(weight.sum(), 1))
        return Tar(far, value, np.array(found))

    def roc(self, points: int) -> tuple[np.ndarray, np.ndarray]:
        """FAR, rising evenly in its logarithm from one impostor pair to all, and TAR."""
        far = np.geomspace(1 / len(self.impostor), 1, points)
        allowed = np.floor(far * len(self.impostor) + 1e-9).astype(int)
        limits = np.append(self.impostor, -np.inf)[allowed]
        above = len(self.genuine) - np.searchsorted(np.sort(self.genuine), limits, side="right")
        return far, above / len(self.genuine)


def gain(ours: Sequence[Tar], theirs: Sequence[Tar]) -> dict[str, float]:
    """What one way of training gains over another, in TAR, with its 95 % interval.

    `ours` and `theirs` are one a seed of training, paired, all of the same held-out identities and bootstrap
    seed. The result holds ``gain`` (a difference in [-1, 1]), ``low``, ``high`` and ``seeds``. Identities
    and, where there are several, training seeds are drawn anew; few seeds leave the interval too narrow, and
    one leaves the scatter of training out.
    """
    if not len(ours) or len(ours) != len(theirs):
        raise ValueError(f"{len(ours)} and {len(theirs)} trainings: give the same seeds of both, in order")
    if len({(tar.far, len(tar.draws)) for tar in (*ours, *theirs)}) > 1:
        raise ValueError("the rates are of different FAR or draws; give the same to all")
    apart = np.array([a.draws - b.draws for a, b in zip(ours, theirs, strict=True)])
    rows = np.random.default_rng(0).integers(len(ours), size=(apart.shape[1], len(ours)))
    drawn = apart[rows, np.arange(apart.shape[1])[:, None]].mean(axis=1)
    low, high = np.quantile(drawn, TAILS)
    value = np.mean([a.value - b.value for a, b in zip(ours, theirs, strict=True)])
    return {"gain": float(value), "low": float(low), "high": float(high), "seeds": len(ours)}


# The experiment: recognition of identities that were held out

ARMS = ("real", "same", "pixels", "random", "near", "distant", "scoremix", "more")


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


def open_individuals(*, seed: int, persons: int, images: int, size: int) -> Identities:
    """The garden's individuals at `size` pixels.

    `persons` individuals are trained on, with so many `images` of each, and as many others are in reserve; as
    many, at least 40, are held out to verify, with ten images of each, the same for every seed.
    """
    from gmaug.datasets.garden import individuals

    def read(count: int, each: int, seed: int) -> Arrays:
        found = individuals(count, per_identity=each, seed=seed)
        return found.arrays(size=size), found.labels

    train, more = (read(persons, images, 2 * seed + k) for k in range(2))
    return Identities("individuals", train, read(max(persons, 40), 10, 10_000), more)


def additions(
    arm: str, of: Identities, *,
    generators: Mapping[str, Any], recogniser: Any, alpha: float, beta: float, seed: int,
) -> Arrays | None:  # fmt: skip
    """What an arm adds to the training images: as many images as there are, of as many mixes as identities.

    Parameters
    ----------
    arm : str
        ``real``: nothing. ``same``: generated images of the identities there are, under their own labels.
        ``pixels``: :func:`gmaug.mixing.pixel_mixes` of random pairs. ``random``, ``near`` and ``distant``:
        conditions of so chosen pairs, mixed by alpha and beta. ``scoremix``: mixed scores of distant pairs,
        one to one. ``more``: real images of as many further identities, which a garden has.
    generators : dict of str to generator
        ``"cgan"`` for conditions, ``"diffusion"`` for scores, trained on ``of.train``.
    recogniser : object with ``features``
        Trained on the same; it says which pairs are near.
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
    each = max(1, round(len(y) / classes))
    how = {"pixels": "random", "scoremix": "distant"}.get(arm, arm)
    embedding = centres(recogniser.features(x), y, classes=classes)
    pairs = choose_pairs(classes, how=how, embedding=embedding, seed=seed)
    if arm == "pixels":
        return pixel_mixes(x, y, pairs, count=each, seed=seed)
    about = {"images": each, "classes": classes, "seed": seed}
    if arm == "scoremix":
        return draw(generators["diffusion"], pairs, 0.5, 0.5, scores=True, **about)
    return draw(generators["cgan"], pairs, alpha, beta, **about)


def train_recogniser(train: Arrays, added: Arrays | None, *, steps: int, seed: int) -> Recogniser:
    """A recogniser of the training identities and of what is added, in `steps` gradient steps.

    Its views move images by a sixteenth of their side: the classifiers' 4 px are a quarter of 16.
    """
    settings = replace(SMALL, padding=max(1, train[0].shape[1] // 16))
    parts = [train] if added is None else [train, added]
    images, labels = (np.concatenate(side) for side in zip(*parts, strict=True))
    return Recogniser(settings).fit(images, labels, steps=steps, seed=seed)
