"""One step of Fig. 5: draw candidates, keep those the classifier stands by (section 3.4)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

SCORES = ("softmax", "logit")
AT_ONCE = 1024  # candidates drawn at a time: bounds memory
LEAST_RATE = 0.05  # a class whose candidates nearly all fail is not asked for more than 20 per image at once


class Sampler(Protocol):
    """What selection needs of a generator."""

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """Images, uint8 (n, h, w, 3), one of each label."""


@dataclass(frozen=True, eq=False)
class Examples:
    """A few candidates to look at: `images` uint8 (k, h, w, 3), and of each what was `wanted`,
    what the classifier `predicted` and the `score` it gave its prediction."""

    images: np.ndarray
    wanted: np.ndarray
    predicted: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of one round.

    Attributes
    ----------
    images, labels : ndarray of uint8 (k, h, w, 3), ndarray (k,)
        The candidates added to the set.
    quota, drawn, passed : ndarray of int64, shape (C,)
        Images wanted, candidates drawn and candidates that passed, by class.
    wanted, predicted, score : ndarray, shape (n,)
        Every candidate, in the order drawn: its class's index, the index of the top class (-1
        without selection) and that class's score (NaN without selection).
    kept, refused : Examples
        The first few of each class that passed, and that did not.
    """

    images: np.ndarray
    labels: np.ndarray
    quota: np.ndarray
    drawn: np.ndarray
    passed: np.ndarray
    wanted: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    score: np.ndarray = field(repr=False)
    kept: Examples = field(repr=False)
    refused: Examples = field(repr=False)

    @property
    def missing(self) -> np.ndarray:
        """Images of each class still missing after the budget, int64, shape (C,)."""
        return np.maximum(self.quota - self.passed, 0)


@dataclass(frozen=True, eq=False)
class Round:
    """What one step of Fig. 5 did.

    Attributes
    ----------
    number : int
        1, 2, ...
    pool : Pool
        Its candidates.
    before, after : float
        Balanced validation accuracy of the classifier that selected (NaN without selection) and
        of the one trained on originals and accepted images; NaN without validation images.
    steps : int or None
        Gradient steps of the latter's training, if it tells.
    """

    number: int
    pool: Pool = field(repr=False)
    before: float
    after: float
    steps: int | None

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it; counts in the order of the classes."""
        pool = self.pool
        counts = {name: getattr(pool, name).tolist() for name in ("quota", "drawn", "passed", "missing")}
        numbers = {k: None if np.isnan(v) else v for k, v in (("before", self.before), ("after", self.after))}
        return {"round": self.number, **counts, **numbers, "steps": self.steps}


def judge(classifier: Any, images: np.ndarray, *, score: str) -> tuple[np.ndarray, np.ndarray]:
    """The classifier's top class of each image, an index, and its score.

    Parameters
    ----------
    classifier : object with ``logits`` and ``predict_proba``
    images : ndarray of uint8, shape (n, h, w, 3)
    score : {"softmax", "logit"}
        The probability of the top class, in [0, 1], or its raw logit, which is what the
        authors' code compares with its threshold (10 to 30 for ResNet18).
    """
    values = classifier.logits(images) if score == "logit" else classifier.predict_proba(images)
    top = values.argmax(axis=1)
    return top, values[np.arange(len(top)), top]


def collect(
    generator: Sampler,
    classifier: Any | None,
    quota: np.ndarray,
    *,
    names: np.ndarray,
    score: str,
    alpha: float,
    budget: float,
    examples: int,
    seed: tuple[int, ...],
) -> Pool:
    """Draw candidates until every class has its quota or has spent its budget.

    A candidate passes if the classifier's top class is the wanted one *and* its score is at
    least `alpha`. The candidates of a class are alike in distribution, so taking the first that
    pass drops the surplus at random.

    Parameters
    ----------
    generator : Sampler
    classifier : object or None
        Without one every candidate passes.
    quota : ndarray of int64, shape (C,)
        Images wanted of each class.
    names : ndarray, shape (C,)
        What the generator calls the classes.
    score, alpha
        See :func:`judge`.
    budget : float
        Candidates of a class that may be drawn per image wanted, at least 1.
    examples : int
        Candidates of each class to keep for looking at, passed and refused.
    seed : tuple of int
        The draws' seeds are derived from it.
    """
    quota = np.asarray(quota, dtype=np.int64)
    limit = np.ceil(quota * budget).astype(np.int64)
    drawn, passed = np.zeros_like(quota), np.zeros_like(quota)
    parts: list[tuple[np.ndarray, ...]] = []
    added: list[tuple[np.ndarray, np.ndarray]] = []
    shown: dict[bool, list[tuple[Any, ...]]] = {True: [], False: []}
    while ((passed < quota) & (drawn < limit)).any():
        rate = np.maximum((passed + 1) / (drawn + 1), LEAST_RATE)
        ask = np.minimum(np.ceil((quota - passed).clip(0) / rate).astype(np.int64), limit - drawn)
        wanted = np.repeat(np.arange(len(quota)), ask)[:AT_ONCE]
        state = np.random.SeedSequence((*seed, len(parts))).generate_state(1)
        images = generator.sample(names[wanted], seed=int(state[0] >> 1))
        if images.shape[:1] != wanted.shape or images.dtype != np.uint8:
            found = f"{images.dtype} of shape {images.shape}"
            raise ValueError(f"generator gave {found} for {len(wanted)} labels; it must give uint8, one each")
        if classifier is None:
            predicted, value = np.full(len(wanted), -1), np.full(len(wanted), np.nan)
            passes = np.ones(len(wanted), dtype=bool)
        else:
            predicted, value = judge(classifier, images, score=score)
            passes = (predicted == wanted) & (value >= alpha)
        for verdict, kept in shown.items():
            found = np.flatnonzero(passes == verdict)
            _remember(kept, examples, found, images, wanted, predicted, value)
        room = quota - passed
        rank = np.zeros(len(wanted), dtype=np.int64)  # among those of its class that pass
        for c in np.unique(wanted):
            mine = (wanted == c) & passes
            rank[mine] = np.arange(mine.sum())
        take = passes & (rank < room[wanted])
        added.append((images[take], wanted[take]))
        drawn += np.bincount(wanted, minlength=len(quota))
        passed += np.bincount(wanted[passes], minlength=len(quota))
        parts.append((wanted, predicted, value))
    empty = [np.empty(0, int), np.empty(0, int), np.empty(0)]
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)] if parts else empty
    images = np.concatenate([a[0] for a in added]) if added else np.empty((0, 1, 1, 3), np.uint8)
    labels = np.concatenate([a[1] for a in added]) if added else np.empty(0, np.int64)
    order = np.argsort(labels, kind="stable")
    kept, refused = _examples(shown[True]), _examples(shown[False])
    return Pool(images[order], labels[order], quota, drawn, passed, *columns, kept, refused)


def _remember(
    kept: list[tuple[Any, ...]], most: int, indices: np.ndarray, images: np.ndarray, *columns: np.ndarray
) -> None:
    have = np.bincount([entry[1] for entry in kept] or [0], minlength=1 + max(columns[0], default=0))
    have[0] -= not kept
    for i in indices:
        c = columns[0][i]
        if have[c] < most:
            have[c] += 1
            kept.append((images[i], *(column[i] for column in columns)))


def _examples(entries: list[tuple[Any, ...]]) -> Examples:
    entries = sorted(entries, key=lambda entry: entry[1])
    images = np.stack([e[0] for e in entries]) if entries else np.empty((0, 1, 1, 3), np.uint8)
    wanted, predicted, score = (np.array([e[k] for e in entries]) for k in (1, 2, 3))
    return Examples(images, wanted, predicted, score)
