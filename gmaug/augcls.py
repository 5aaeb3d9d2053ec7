"""GM-augCls: balance an image set with generated images that a classifier stands by (section 3.4, Fig. 5)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

from gmaug import named
from gmaug.datasets.base import ImageSet, labelled
from gmaug.resampling import held_out, quotas
from gmaug.selection import SCORES, Pool, Round, collect


class QuotaNotMet(UserWarning):
    """The budget was spent before every class had its images."""


class GMAugCls(BaseEstimator):
    """Fill the small classes of an image set with generated images, in imbalanced-learn's manner.

    A classifier C trained on the originals judges candidates; those whose top class is the one
    asked for, with a score of at least `alpha`, join the originals; C' is trained on the whole
    and judges a *new* pool, from which the set is rebuilt; and so on, until validation accuracy
    gains no more than `epsilon` or `rounds` are done.

    It works inside imbalanced-learn's ``Pipeline``; scikit-learn's takes no step that changes the
    number of images.

    Parameters
    ----------
    generator : {"cgan", "diffusion"} or object
        By name, one is made for images of this size and trained here, which takes its time. An
        object has ``sample(labels, *, seed)``, asked for the classes themselves if they are
        integers and for their ranks otherwise; and ``fit(images, labels)`` if it is yet to be
        trained. It is trained only once (Fig. 5), on images that are not held out.
    classifier : {"resnet18", "mae"} or object
        By name, with settings for images of this size. An object is untrained, copied for each
        round, and has ``fit(images, labels, *, validation, classes, seed)``, ``logits`` and
        ``predict_proba``.
    sampling_strategy : str, dict, int or callable
        ``"not majority"``, ``"minority"``, ``"all"``, ... and ``{class: count afterwards}`` as
        in imbalanced-learn; an integer is the count every class is filled to, as the paper
        does. Originals are never dropped.
    select : bool
        False keeps every candidate: the paper's cGAN-aug.
    score : {"softmax", "logit"}
        What `alpha` is compared with: the top class's probability, which
        :class:`gmaug.classifiers.Calibrated` around the classifier brings nearer to how often it
        is right; or its raw logit (the authors' code: 10 to 30 for ResNet18).
    alpha : float, optional
        Threshold; 0.5 by default for a probability, to be given for ``"logit"``.
    epsilon : float
        Gain in validation accuracy, in [0, 1], below or at which no further round is made.
    rounds : int
        At most so many; the paper makes two.
    budget : float
        Candidates of a class that may be drawn in a round per image wanted.
    prefit : bool, optional
        Whether the generator is trained already. By default its state tells: trained are those
        with nothing to ``fit``, and those that hold what scikit-learn's do after it, attributes
        with a trailing underscore. To be given for an object with other manners.
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
        generator: Any = "cgan",
        classifier: Any = "resnet18",
        *,
        sampling_strategy: str | Mapping[Any, int] | int | Callable[..., Any] = "not majority",
        select: bool = True,
        score: str = "softmax",
        alpha: float | None = None,
        epsilon: float = 0.0,
        rounds: int = 2,
        budget: float = 5.0,
        prefit: bool | None = None,
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
        images, labels = labelled(X, y, size=self.size, name="X")
        self.classes_ = np.unique(labels)
        quota = quotas(labels, self.sampling_strategy)
        self.sampling_strategy_ = dict(zip(self.classes_.tolist(), quota.tolist(), strict=True))
        if validation is None:
            train = ~held_out(labels, self.validation_fraction, self.seed)
            held = (images[~train], labels[~train]) if not train.all() else None
        else:
            train, parts = np.ones(len(labels), dtype=bool), validation
            parts = parts if isinstance(parts, tuple) else (parts, None)
            held = labelled(*parts, size=self.size, name="validation")
        if held is not None and not np.isin(held[1], self.classes_).all():
            raise ValueError("validation holds classes that X lacks; leave them out")
        names = self._take_generator(images[train], labels[train], held)
        judge = (first or self._trained(images[train], labels[train], held, None)) if self.select else None
        self.rounds_, merit = [], _merit(judge, held, self.classes_)
        for number in range(1, (self.rounds if self.select else 1) + 1):
            pool = collect(
                self.generator_, judge, quota,
                names=names, score=self.score, alpha=alpha, budget=self.budget, examples=self.examples,
                seed=(self.seed, number),
            )  # fmt: skip
            if len(pool.images) and pool.images.shape[1:] != images.shape[1:]:
                sizes = f"{pool.images.shape[1:3]}, the originals {images.shape[1:3]}"
                raise ValueError(f"generator draws images of {sizes}; resize either")
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
        if isinstance(self.classifier, str):
            settings = named.settings_for(self.classifier, shape=images.shape[1:3])
            classifier = named.classifier(self.classifier, settings)
        else:
            classifier = deepcopy(self.classifier)
        options = {} if steps is None else {"steps": steps}
        return classifier.fit(
            images, labels, validation=held, classes=self.classes_, seed=self.seed, **options
        )

    def _take_generator(
        self, images: np.ndarray, labels: np.ndarray, held: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """Set ``generator_``, trained; what it calls the classes, shape (C,)."""
        given, ranks = self.generator, np.arange(len(self.classes_))
        if isinstance(given, str):
            if self.prefit:
                raise ValueError(f"generator={given!r} is trained here; prefit=True needs a trained object")
            model = named.generator(given, shape=images.shape[1:3], seed=self.seed)
            place = [np.searchsorted(self.classes_, y) for y in (labels, () if held is None else held[1])]
            watched = None if held is None else (held[0], place[1])
            self.generator_ = model.fit(images, place[0], validation=watched)
            return ranks
        names = self.classes_ if self.classes_.dtype.kind in "iu" else ranks
        fitted = named.is_fitted(given) if self.prefit is None else self.prefit
        if fitted:
            self.generator_ = given
        else:
            self.generator_ = deepcopy(given).fit(images, names[np.searchsorted(self.classes_, labels)])
        return names

    def _checked(self) -> float:
        if not isinstance(self.generator, str) and not hasattr(self.generator, "sample"):
            raise ValueError(f"generator={self.generator!r}: give a name, or an object with sample")
        if isinstance(self.classifier, str):
            named.settings_class(self.classifier)  # before the generator is trained in vain
        elif not hasattr(self.classifier, "logits"):
            raise ValueError(f"classifier={self.classifier!r}: give a name, or an object with fit and logits")
        if self.score not in SCORES:
            raise ValueError(f"score={self.score!r} is unknown; use one of {', '.join(SCORES)}")
        if self.rounds < 1 or self.budget < 1:
            raise ValueError(f"rounds={self.rounds}, budget={self.budget}: both are at least 1")
        if not 0 <= self.validation_fraction < 1:
            raise ValueError(f"validation_fraction={self.validation_fraction} is outside [0, 1)")
        if self.alpha is None and self.score == "logit" and self.select:
            raise ValueError("score='logit' has no natural threshold: give alpha (the authors: 10 to 30)")
        alpha = 0.5 if self.alpha is None else float(self.alpha)
        if self.score != "logit" and not 0 <= alpha <= 1:
            raise ValueError(f"alpha={alpha} is no probability; give [0, 1], or score='logit'")
        return alpha


def _merit(classifier: Any, held: tuple[np.ndarray, np.ndarray] | None, classes: np.ndarray) -> float:
    """Balanced accuracy on the held-out images; NaN without a classifier or images."""
    if classifier is None or held is None:
        return float("nan")
    right = classes[classifier.logits(held[0]).argmax(axis=1)] == held[1]
    return float(np.mean([right[held[1] == c].mean() for c in np.unique(held[1])]))
