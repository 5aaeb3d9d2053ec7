"""GM-augCls: balance an image set with generated images that a classifier stands by (section 3.4, Fig. 5)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from gmaug.datasets.base import ImageSet
from gmaug.selection import SCORES, Pool, collect, held_out, quotas


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


class QuotaNotMet(UserWarning):
    """The budget was spent before every class had its images."""


class GMAugCls(BaseEstimator):
    """Fill the small classes of an image set with generated images, in imbalanced-learn's manner.

    A classifier C trained on the originals judges candidates; those whose top class is the one
    asked for, with a score of at least `alpha`, join the originals; C' is trained on the whole
    and judges a *new* pool, from which the set is rebuilt; and so on, until validation accuracy
    gains no more than `epsilon` or `rounds` are done.

    Parameters
    ----------
    generator : object
        Has ``sample(labels, *, seed)``; and ``fit(images, labels)`` if `prefit` is False.
    classifier : object
        Untrained; copied for each round. Has ``fit(images, labels, *, validation, classes,
        seed)``, ``logits`` and ``predict_proba``. The garden's ResNet18 by default.
    sampling_strategy : str, dict, int or callable
        ``"not majority"``, ``"minority"``, ``"all"``, ... and ``{class: count afterwards}`` as
        in imbalanced-learn; an integer is the count every class is filled to, as the paper
        does. Originals are never dropped.
    select : bool
        False keeps every candidate: the paper's cGAN-aug.
    score : {"softmax", "logit"}
        What `alpha` is compared with: the top class's probability or its raw logit (the
        authors' code: 10 to 30 for ResNet18).
    alpha : float, optional
        Threshold; 0.5 by default for ``"softmax"``, to be given for ``"logit"``.
    epsilon : float
        Gain in validation accuracy, in [0, 1], below or at which no further round is made.
    rounds : int
        At most so many; the paper makes two.
    budget : float
        Candidates of a class that may be drawn in a round per image wanted.
    prefit : bool
        The generator is trained already (it is trained only once, Fig. 5); otherwise it is
        trained here on the originals.
    steps : int, optional
        Gradient steps of each retraining; as many as the classifier's epochs need by default.
    validation_fraction : float
        Share of each class held out to choose epochs and rounds when no validation images are
        given; a class of one image is not touched.
    size : int
        Side, in pixels, at which an ImageSet is read.
    examples : int
        Candidates of each class, kept and refused, to remember for looking at.
    seed : int
        Of the classifiers, the held-out images and the candidates.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
    classifier_ : object
        Trained on the returned set.
    generator_ : object
    accepted_, rejected_, n_missing_ : dict of class to int
        Images added, candidates refused in the last round, images that the budget did not give.
    acceptance_rate_ : dict of class to float
        Share of the last round's candidates that passed; NaN where none was drawn.
    rounds_ : list of Round
    is_synthetic_ : ndarray of bool, shape (n,)
        Of the returned set: originals come first, in their order.
    sampling_strategy_ : dict of class to int
        Images wanted of each class.
    """

    def __init__(
        self,
        generator: Any = None,
        classifier: Any = None,
        *,
        sampling_strategy: str | Mapping[Any, int] | int | Callable[..., Any] = "not majority",
        select: bool = True,
        score: str = "softmax",
        alpha: float | None = None,
        epsilon: float = 0.0,
        rounds: int = 2,
        budget: float = 5.0,
        prefit: bool = True,
        steps: int | None = None,
        validation_fraction: float = 0.2,
        size: int = 32,
        examples: int = 4,
        seed: int = 0,
    ) -> None:
        self.generator = generator
        self.classifier = classifier
        self.sampling_strategy = sampling_strategy
        self.select = select
        self.score = score
        self.alpha = alpha
        self.epsilon = epsilon
        self.rounds = rounds
        self.budget = budget
        self.prefit = prefit
        self.steps = steps
        self.validation_fraction = validation_fraction
        self.size = size
        self.examples = examples
        self.seed = seed

    def fit_resample(
        self,
        X: np.ndarray | ImageSet,
        y: np.ndarray | None = None,
        *,
        validation: tuple[np.ndarray, np.ndarray] | ImageSet | None = None,
        first: Any = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Originals, then the accepted images, and their labels.

        Parameters
        ----------
        X : ndarray of uint8, shape (n, h, w, 3), or ImageSet
        y : array, shape (n,), optional
            Labels of an array.
        validation : (images, labels) or ImageSet, optional
            Choose epochs and rounds; held out of `X` by default, yet returned with the rest.
        first : object, optional
            C, if it is trained already.

        Raises
        ------
        ValueError
            If a parameter or an array does not fit.
        """
        alpha = self._checked()
        images, labels = self._arrays(X, y, "X")
        self.classes_ = np.unique(labels)
        quota = quotas(labels, self.sampling_strategy)
        self.sampling_strategy_ = dict(zip(self.classes_.tolist(), quota.tolist(), strict=True))
        names = self.classes_ if self.classes_.dtype.kind in "iu" else np.arange(len(self.classes_))
        if validation is None:
            train = ~held_out(labels, self.validation_fraction, self.seed)
            held = (images[~train], labels[~train]) if not train.all() else None
        else:
            train, held = np.ones(len(labels), dtype=bool), self._arrays(validation, None, "validation")
        self.generator_ = self.generator if self.prefit else self._fitted(images, labels, names)
        judge = (first or self._trained(images[train], labels[train], held, None)) if self.select else None
        self.rounds_, merit = [], _merit(judge, held, self.classes_)
        for number in range(1, (self.rounds if self.select else 1) + 1):
            pool = collect(
                self.generator_, judge, quota,
                names=names, score=self.score, alpha=alpha, budget=self.budget, examples=self.examples,
                seed=(self.seed, number),
            )  # fmt: skip
            added = pool.images.reshape(-1, *images.shape[1:]), self.classes_[pool.labels]
            grown = np.concatenate([images[train], added[0]]), np.concatenate([labels[train], added[1]])
            judge = self._trained(*grown, held, self.steps)
            before, merit = merit, _merit(judge, held, self.classes_)
            self.rounds_.append(Round(number, pool, before, merit, getattr(judge, "steps_", None)))
            if held is not None and not merit - before > self.epsilon:
                break
        self.classifier_ = judge
        self._conclude(pool)
        self.is_synthetic_ = np.arange(len(images) + len(added[1])) >= len(images)
        return np.concatenate([images, added[0]]), np.concatenate([labels, added[1]])

    def _conclude(self, pool: Pool) -> None:
        def by_class(values: np.ndarray) -> dict[Any, Any]:
            return dict(zip(self.classes_.tolist(), values.tolist(), strict=True))

        self.accepted_ = by_class(np.minimum(pool.passed, pool.quota))
        self.rejected_ = by_class(pool.drawn - pool.passed)
        self.n_missing_ = by_class(pool.missing)
        with np.errstate(invalid="ignore"):
            self.acceptance_rate_ = by_class(pool.passed / pool.drawn)
        wanted = self.sampling_strategy_
        short = [f"{name}: {count} of {wanted[name]}" for name, count in self.n_missing_.items() if count]
        if short:
            listed = ", ".join(short)
            warnings.warn(
                f"budget={self.budget} spent, images still missing ({listed}); raise budget or lower alpha",
                QuotaNotMet,
                stacklevel=3,
            )

    def _trained(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        held: tuple[np.ndarray, np.ndarray] | None,
        steps: int | None,
    ) -> Any:
        classifier = deepcopy(self.classifier)
        if classifier is None:
            from gmaug.classifiers import GARDEN, ResNet18

            classifier = ResNet18(GARDEN)
        options = {} if steps is None else {"steps": steps}
        return classifier.fit(
            images, labels, validation=held, classes=self.classes_, seed=self.seed, **options
        )

    def _fitted(self, images: np.ndarray, labels: np.ndarray, names: np.ndarray) -> Any:
        place = np.searchsorted(self.classes_, labels)
        return deepcopy(self.generator).fit(images, names[place])

    def _arrays(self, X: Any, y: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
        if isinstance(X, ImageSet):
            if y is None:
                y = X.labels
            X = X.arrays(size=self.size)
        elif isinstance(X, tuple) and y is None:
            X, y = X
        if y is None:
            raise ValueError(f"{name} is an array without labels; give y, or an ImageSet")
        X, y = np.asarray(X), np.asarray(y)
        if X.dtype != np.uint8 or X.ndim != 4 or X.shape[3] != 3:
            found = f"{X.dtype} of shape {X.shape}"
            raise ValueError(f"{name} is {found}; give uint8 (n, height, width, 3)")
        if y.shape != (len(X),):
            raise ValueError(f"{name} has {len(X)} images but labels of shape {y.shape}; give one each")
        return X, y

    def _checked(self) -> float:
        if self.generator is None:
            raise ValueError("generator=None: give an object with sample(labels, *, seed)")
        if self.score not in SCORES:
            raise ValueError(f"score={self.score!r} is unknown; use one of {', '.join(SCORES)}")
        if self.rounds < 1 or self.budget < 1:
            raise ValueError(f"rounds={self.rounds}, budget={self.budget}: both are at least 1")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction={self.validation_fraction} is outside [0, 1)")
        if self.alpha is None and self.score == "logit" and self.select:
            raise ValueError("score='logit' has no natural threshold: give alpha (the authors: 10 to 30)")
        alpha = 0.5 if self.alpha is None else float(self.alpha)
        if self.score == "softmax" and not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha} is no probability; give [0, 1], or score='logit'")
        return alpha


def _merit(classifier: Any, held: tuple[np.ndarray, np.ndarray] | None, classes: np.ndarray) -> float:
    """Balanced accuracy on the held-out images; NaN without a classifier or images."""
    if classifier is None or held is None:
        return float("nan")
    right = classes[classifier.logits(held[0]).argmax(axis=1)] == held[1]
    return float(np.mean([right[held[1] == c].mean() for c in np.unique(held[1])]))
