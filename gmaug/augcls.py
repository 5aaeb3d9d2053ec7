"""GM-augCls: balance an image set with generated images that a classifier stands by (section 3.4, Fig. 5).

:class:`GMAugCls` is the loop of Fig. 5 in imbalanced-learn's manner, :func:`collect` one draw of candidates
and what is kept of them. The selector is trained with logit adjustment (Menon et al., ICLR 2021), so that it
knows the small classes.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from sklearn.base import BaseEstimator

from gmaug.classifiers import make_classifier, settings_class, settings_for
from gmaug.classifiers.losses import Loss
from gmaug.datasets.base import ImageSet, labelled

if TYPE_CHECKING:
    from gmaug.generators.base import Generator

AT_ONCE = 1024  # candidates drawn at a time: bounds the generator's memory
EXAMPLES = 2  # candidates of each class, kept and refused, to remember for looking at
LEAST_RATE = 0.05  # a class whose candidates nearly all fail is not asked for more than 20 per image at once

Arrays = tuple[np.ndarray, np.ndarray]
"""Images and labels."""


class QuotaNotMet(UserWarning):
    """The budget was spent before every class had its images."""


class Examples(NamedTuple):
    """A few candidates to look at, the arrays as :class:`Pool` has them."""

    images: np.ndarray
    wanted: np.ndarray
    predicted: np.ndarray
    score: np.ndarray


@dataclass(frozen=True, eq=False)
class Pool:
    """The candidates of one round: k that were added to the set, and all n that were drawn."""

    images: np.ndarray  # added ones, uint8 (k, h, w, 3), by class, those that passed first
    labels: np.ndarray  # their classes' indices, int64 (k,)
    added_score: np.ndarray  # the score of each for its class, (k,); NaN without selection
    quota: np.ndarray  # images wanted of each class, int64 (C,), as the next three are
    drawn: np.ndarray  # candidates
    passed: np.ndarray  # candidates that passed
    filled: np.ndarray  # candidates added although they did not pass
    wanted: np.ndarray  # of every candidate, in the order drawn, its class's index, (n,)
    predicted: np.ndarray  # index of its top class, (n,); -1 without selection
    score: np.ndarray  # that class's score, (n,); NaN without selection
    kept: Examples  # the first few of each class that passed,
    refused: Examples  # and that did not

    @property
    def accepted(self) -> np.ndarray:
        """Images added that passed, int64, shape (C,)."""
        return np.minimum(self.passed, self.quota)

    @property
    def missing(self) -> np.ndarray:
        """Images of each class that the set still lacks, int64, shape (C,)."""
        return self.quota - self.accepted - self.filled


@dataclass(frozen=True, eq=False)
class Round:
    """What one step of Fig. 5 did."""

    number: int  # 1, 2, ...
    pool: Pool = field(repr=False)
    before: float  # balanced validation accuracy of the classifier that selected; NaN if there is none,
    after: float  # and of the one trained on originals and added images
    recall: np.ndarray  # of the classifier that selected, on each class's validation images; may be NaN
    steps: int | None  # gradient steps of the latter's training, if it tells

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it; counts in the order of the classes."""

        def known(value: float) -> float | None:
            return None if np.isnan(value) else float(value)

        names = ("quota", "drawn", "passed", "filled", "missing")
        counts = {name: getattr(self.pool, name).tolist() for name in names}
        scores = {"before": known(self.before), "after": known(self.after)}
        recall = [known(value) for value in self.recall]
        return {"round": self.number, **counts, **scores, "recall": recall, "steps": self.steps}


def collect(
    generator: Generator, quota: np.ndarray, *, names: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray] | None = None, alpha: float = 0.5,
    quantile: float | None = None, budget: float = 5.0, shortfall: str = "best", seed: tuple[int, ...] = (0,),
) -> Pool:  # fmt: skip
    """Draw candidates of each class, and keep as many of those that pass as are wanted.

    The candidates of a class are alike in distribution, so taking the first that pass drops the surplus at
    random. They are drawn in chunks until enough pass; with `quantile` the whole budget is drawn first.

    `quota` (C,) holds the images wanted of each class, `names` (C,) what the generator calls the classes, and
    `score` gives the classifier's scores (n, C) of images: without it every candidate passes. The draws'
    seeds come from `seed` and the class; the rest is as :class:`GMAugCls` has it.
    """
    quota = np.asarray(quota, dtype=np.int64)
    limit = np.ceil(quota * budget).astype(np.int64)
    passed, filled, drawn = (np.zeros_like(quota) for _ in range(3))
    added, seen, kept, refused = [], [], [], []
    for c in map(int, np.flatnonzero(quota)):
        images, scores, passes = [], [], np.zeros(0, dtype=bool)
        while len(passes) < limit[c] and (quantile is not None or passes.sum() < quota[c]):
            ask = limit[c] - len(passes)
            if quantile is None:
                rate = max((passes.sum() + 1) / (len(passes) + 1), LEAST_RATE)
                ask = min(ask, int(np.ceil((quota[c] - passes.sum()) / rate)))
            images.append(_drawn(generator, names[c], int(min(ask, AT_ONCE)), (*seed, c, len(images))))
            blind = np.full((len(images[-1]), len(quota)), np.nan)
            scores.append(blind if score is None else score(images[-1]))
            p = np.concatenate(scores)
            if score is None:
                passes = np.ones(len(p), dtype=bool)
            elif quantile is None:
                passes = (p.argmax(axis=1) == c) & (p[:, c] >= alpha)
            else:
                passes = p[:, c] >= np.quantile(p[:, c], quantile)

        images, drawn[c], passed[c] = np.concatenate(images), len(passes), passes.sum()
        chosen = np.flatnonzero(passes)[: quota[c]]
        if shortfall == "best":
            rest = np.flatnonzero(~passes)
            rest = rest[np.argsort(-p[rest, c], kind="stable")][: quota[c] - len(chosen)]
            filled[c], chosen = len(rest), np.concatenate([chosen, rest])

        top = np.full(len(p), -1) if score is None else p.argmax(axis=1)
        columns = images, np.full(len(p), c), top, p[np.arange(len(p)), top]
        added.append((images[chosen], columns[1][chosen], p[chosen, c]))
        seen.append(columns[1:])
        for shown, verdict in ((kept, True), (refused, False)):
            few = np.flatnonzero(passes == verdict)[:EXAMPLES]
            shown.append(tuple(column[few] for column in columns))

    whole, real = np.empty(0, np.int64), np.empty(0)
    nothing = np.empty((0, 1, 1, 3), np.uint8), whole, whole, real  # where no class wants any
    return Pool(
        *_joined(added, (*nothing[:2], real)), quota, drawn, passed, filled, *_joined(seen, nothing[1:]),
        Examples(*_joined(kept, nothing)), Examples(*_joined(refused, nothing)),
    )  # fmt: skip


def _drawn(generator: Generator, name: Any, count: int, seed: tuple[int, ...]) -> np.ndarray:
    state = np.random.SeedSequence(seed).generate_state(1)
    images = generator.sample(np.repeat(name, count), seed=int(state[0] >> 1))
    if images.shape[:1] != (count,) or images.dtype != np.uint8:
        found = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"generator gave {found} for {count} labels; it must give uint8, one each")
    return images


def _joined(parts: list[tuple[np.ndarray, ...]], nothing: tuple[np.ndarray, ...]) -> list[np.ndarray]:
    return [np.concatenate(column) for column in zip(*(parts or [nothing]), strict=True)]


class GMAugCls(BaseEstimator):
    """Fill the small classes of an image set with generated images, in imbalanced-learn's manner.

    A classifier C trained on the originals judges candidates; those that pass join the originals; C' is
    trained on the whole and judges a *new* pool, from which the set is rebuilt; and so on, until balanced
    validation accuracy gains no more than `epsilon` or `rounds` are done. The best round is returned, its set
    and its classifier, also where none is better than the originals alone (`improved_` says so): the set is
    balanced either way.

    It works inside imbalanced-learn's ``Pipeline``; scikit-learn's takes no step that changes the number of
    images.

    Parameters
    ----------
    generator : {"cgan", "diffusion"} or object
        By name, one is made for images of this size and trained here. An object has
        ``sample(labels, *, seed)``, asked for the classes themselves if they are integers and for their ranks
        otherwise; and ``fit(images, labels)`` if it is yet to be trained: once (Fig. 5), on what is not held
        out.
    classifier : {"resnet18", "mae"} or object
        By name, with settings for images of this size. An object is untrained, copied for each round, and has
        ``fit(images, labels, *, validation, classes, seed)``, ``logits`` and ``predict_proba``. C is trained
        with logit adjustment where ``fit`` takes a ``loss``, so that it does not refuse whatever is drawn for
        small classes; C' learns the filled set as it is.
    sampling_strategy : str, dict, int or callable
        As in imbalanced-learn: ``"not majority"``, ``{class: count afterwards}``, ...; an integer is the
        count every class is filled to, as the paper does. Originals are never dropped.
    select : bool
        False keeps every candidate: the paper's cGAN-aug.
    score : {"softmax", "logit"}
        What is compared: the probability, or the raw logit (the authors' code).
    alpha : float, optional
        A candidate passes if its top class is the one asked for with a score of at least `alpha` (the paper);
        0.5 by default for a probability, to be given for ``"logit"``.
    quantile : float, optional
        In [0, 1). Instead, the best-scored share ``1 - quantile`` of a class's candidates passes, by the
        score of that class: a rule that no class can fail as a whole. The whole budget is drawn first.
    shortfall : {"best", "leave"}
        A class still short after its budget is filled with its best-scored refused candidates, or left short;
        `filled_up_`, `n_missing_` and a warning say which.
    epsilon : float
        Gain in balanced validation accuracy, in [0, 1], below or at which no further round is made.
    rounds : int
        At most so many; the paper makes two.
    budget : float
        Candidates of a class that may be drawn in a round per image wanted.
    prefit : bool, optional
        Whether the generator is trained already; by default as :func:`is_fitted` finds.
    steps : int, optional
        Gradient steps of each retraining; the classifier's own length by default, which C takes always.
    validation_fraction : float
        Share of each class held out to choose weights and rounds when no validation images are given.
    size : int
        Side, in pixels, at which an ImageSet is read.
    seed : int
        Of the classifiers, the held-out images and the candidates.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
    classifier_, generator_ : object
        The classifier is trained on the returned set.
    rounds_ : list of Round
        All of them.
    best_round_ : int
        Number of the returned one: the highest balanced validation accuracy; the last if there is none.
    improved_ : bool or None
        Whether its classifier is better than C, by that accuracy; None where it is not known.
    selector_recall_ : dict of class to float
        Recall of the classifier that selected, on validation images: near 0, it cannot have recognised what
        was drawn for the class.
    accepted_, filled_up_, rejected_, n_missing_ : dict of class to int
        Images added that passed, images added that did not, candidates refused, images still missing.
    acceptance_rate_ : dict of class to float
        Share of its candidates that passed; NaN where none was drawn.
    is_synthetic_ : ndarray of bool, shape (n,)
        Of the returned set: originals come first, in their order.
    sampling_strategy_ : dict of class to int
        Images wanted of each class.
    """

    def __init__(
        self, generator: Any = "cgan", classifier: Any = "resnet18", *,
        sampling_strategy: str | Mapping[Any, int] | int | Callable[..., Any] = "not majority",
        select: bool = True, score: str = "softmax", alpha: float | None = None,
        quantile: float | None = None, shortfall: str = "best", epsilon: float = 0.0, rounds: int = 2,
        budget: float = 5.0, prefit: bool | None = None, steps: int | None = None,
        validation_fraction: float = 0.2, size: int = 32, seed: int = 0,
    ) -> None:  # fmt: skip
        self.generator = generator
        self.classifier = classifier
        self.sampling_strategy = sampling_strategy
        self.select = select
        self.score = score
        self.alpha = alpha
        self.quantile = quantile
        self.shortfall = shortfall
        self.epsilon = epsilon
        self.rounds = rounds
        self.budget = budget
        self.prefit = prefit
        self.steps = steps
        self.validation_fraction = validation_fraction
        self.size = size
        self.seed = seed

    def fit_resample(
        self, X: np.ndarray | ImageSet, y: np.ndarray | None = None, *,
        validation: Arrays | ImageSet | None = None, first: Any = None,
    ) -> Arrays:  # fmt: skip
        """Originals, then the added images, and their labels; ``ValueError`` if something does not fit.

        Parameters
        ----------
        X : ndarray of uint8, shape (n, h, w, 3), or ImageSet
        y : array, shape (n,), optional
            Labels of an array.
        validation : (images, labels) or ImageSet, optional
            Choose weights and rounds; held out of `X` by default, yet returned with the rest.
        first : object, optional
            C, if it is trained already.
        """
        self._check()
        images, labels = labelled(X, y, size=self.size, name="X")
        self.classes_ = np.unique(labels)
        quota = quotas(labels, self.sampling_strategy)
        self.sampling_strategy_ = self._by_class(quota)
        fraction = self.validation_fraction if validation is None else 0.0
        train, held = ~held_out(labels, fraction, self.seed), None
        if validation is not None:
            parts = validation if isinstance(validation, tuple) else (validation, None)
            held = labelled(*parts, size=self.size, name="validation")
            if not np.isin(held[1], self.classes_).all():
                raise ValueError("validation holds classes that X lacks; leave them out")
        elif not train.all():
            held = images[~train], labels[~train]
        own = images[train], labels[train]
        names = self._take_generator(*own, held)
        selector, score = first, None
        if self.select and first is None:
            selector = self._trained(own, held, None, loss=Loss(tau=1.0))
        recall = self._recall(selector if self.select else None, held)
        self.rounds_: list[Round] = []
        best: tuple[Round, Any] | None = None
        for number in range(1, (self.rounds if self.select else 1) + 1):
            if self.select:
                score = selector.logits if self.score == "logit" else selector.predict_proba
            pool = collect(
                self.generator_, quota, names=names, score=score,
                alpha=0.5 if self.alpha is None else self.alpha, quantile=self.quantile, budget=self.budget,
                shortfall=self.shortfall, seed=(self.seed, number),
            )  # fmt: skip
            if len(pool.images) and pool.images.shape[1:] != images.shape[1:]:
                sizes = f"{pool.images.shape[1:3]}, the originals {images.shape[1:3]}"
                raise ValueError(f"generator draws images of {sizes}; resize either")
            selector = self._trained(self._grown(own, pool), held, self.steps)
            before, recall = recall, self._recall(selector, held)
            steps = getattr(selector, "steps_", None)
            gone = Round(number, pool, _mean(before), _mean(recall), before, steps)
            self.rounds_.append(gone)
            if best is None or not gone.after <= best[0].after:  # the latest where it is not known
                best = gone, selector
            if held is not None and not gone.after - gone.before > self.epsilon:
                break
        self._conclude(*best)
        grown = self._grown((images, labels), best[0].pool)
        self.is_synthetic_ = np.arange(len(grown[1])) >= len(images)
        return grown

    def _grown(self, own: Arrays, pool: Pool) -> Arrays:
        added = pool.images.reshape(-1, *own[0].shape[1:])
        return np.concatenate([own[0], added]), np.concatenate([own[1], self.classes_[pool.labels]])

    def _by_class(self, values: np.ndarray) -> dict[Any, Any]:
        return dict(zip(self.classes_.tolist(), values.tolist(), strict=True))

    def _recall(self, classifier: Any, held: Arrays | None) -> np.ndarray:
        """Recall of each class on the held-out images, shape (C,); NaN where there is nothing to tell."""
        recall = np.full(len(self.classes_), np.nan)
        if classifier is not None and held is not None:
            right = self.classes_[classifier.logits(held[0]).argmax(axis=1)] == held[1]
            for k, name in enumerate(self.classes_):
                mine = held[1] == name
                recall[k] = right[mine].mean() if mine.any() else np.nan
        return recall

    def _conclude(self, best: Round, classifier: Any) -> None:
        self.classifier_, self.best_round_, pool = classifier, best.number, best.pool
        start = self.rounds_[0].before
        self.improved_ = None if np.isnan(best.after - start) else bool(best.after > start)
        self.selector_recall_ = self._by_class(best.recall)
        self.accepted_ = self._by_class(pool.accepted)
        self.filled_up_ = self._by_class(pool.filled)
        self.rejected_ = self._by_class(pool.drawn - pool.passed)
        self.n_missing_ = self._by_class(pool.missing)
        with np.errstate(invalid="ignore"):
            self.acceptance_rate_ = self._by_class(pool.passed / pool.drawn)
        for found, said in (
            (self.n_missing_, "images still missing"),
            (self.filled_up_, "the best-scored of the refused candidates taken"),
        ):
            short = [f"{name}: {n} of {self.sampling_strategy_[name]}" for name, n in found.items() if n]
            if short:
                spent = f"budget={self.budget} spent, {said} ({', '.join(short)})"
                warnings.warn(f"{spent}; raise budget or lower the threshold", QuotaNotMet, stacklevel=3)

    def _trained(self, own: Arrays, held: Arrays | None, steps: int | None, loss: Loss | None = None) -> Any:
        classifier = deepcopy(self.classifier)
        if isinstance(classifier, str):
            classifier = make_classifier(classifier, settings_for(classifier, shape=own[0].shape[1:3]))
        taken = inspect.signature(classifier.fit).parameters.values()
        options: dict[str, Any] = {} if steps is None else {"steps": steps}
        if loss is not None and any(one.name == "loss" or one.kind is one.VAR_KEYWORD for one in taken):
            options["loss"] = loss
        return classifier.fit(*own, validation=held, classes=self.classes_, seed=self.seed, **options)

    def _take_generator(self, images: np.ndarray, labels: np.ndarray, held: Arrays | None) -> np.ndarray:
        """Set ``generator_``, trained; what it calls the classes, shape (C,)."""
        given, ranks = self.generator, np.arange(len(self.classes_))
        place = np.searchsorted(self.classes_, labels)
        if isinstance(given, str):
            from gmaug.generators import make_generator

            if self.prefit:
                raise ValueError(f"generator={given!r} is trained here; prefit=True needs a trained object")
            model = make_generator(given, shape=images.shape[1:3], seed=self.seed)
            watched = None if held is None else (held[0], np.searchsorted(self.classes_, held[1]))
            self.generator_ = model.fit(images, place, validation=watched)
            return ranks
        names = self.classes_ if self.classes_.dtype.kind in "iu" else ranks
        fitted = is_fitted(given) if self.prefit is None else self.prefit
        self.generator_ = given if fitted else deepcopy(given).fit(images, names[place])
        return names

    def _check(self) -> None:
        if not isinstance(self.generator, str) and not hasattr(self.generator, "sample"):
            raise ValueError(f"generator={self.generator!r}: give a name, or an object with sample")
        if isinstance(self.classifier, str):
            settings_class(self.classifier)  # before the generator is trained in vain
        elif not hasattr(self.classifier, "logits"):
            raise ValueError(f"classifier={self.classifier!r}: give a name, or an object with fit and logits")
        for name, known in (("score", ("softmax", "logit")), ("shortfall", ("best", "leave"))):
            if getattr(self, name) not in known:
                raise ValueError(f"{name}={getattr(self, name)!r} is unknown; use one of {', '.join(known)}")
        if self.rounds < 1 or self.budget < 1:
            raise ValueError(f"rounds={self.rounds}, budget={self.budget}: both are at least 1")
        for name in ("validation_fraction", "quantile"):
            if not 0 <= (getattr(self, name) or 0) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is outside [0, 1)")
        if self.alpha is not None and self.quantile is not None:
            raise ValueError(f"alpha={self.alpha}, quantile={self.quantile}: give one of the two")
        if not self.select or self.quantile is not None:
            return
        if self.alpha is None and self.score == "logit":
            raise ValueError("score='logit' has no natural threshold: give alpha (the authors: 10 to 30)")
        if self.alpha is not None and self.score != "logit" and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is no probability; give [0, 1], or score='logit'")


def quotas(labels: np.ndarray, strategy: Any) -> np.ndarray:
    """Images to add to each class, int64, shape (C,), in the order of the sorted classes.

    `strategy` is as :class:`GMAugCls` takes it; ``ValueError`` if it makes no sense for these classes.
    """
    from imblearn.utils import check_sampling_strategy

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"y names one class, {classes.tolist()}; give two or more, or there is no imbalance")
    if isinstance(strategy, (int, np.integer)) and not isinstance(strategy, bool):
        return np.maximum(int(strategy) - counts, 0)
    added = check_sampling_strategy(strategy, labels, "over-sampling")
    return np.array([int(added.get(c, 0)) for c in classes.tolist()], dtype=np.int64)


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mask of the images held out: `fraction` of each class, but at least one and not the last one."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=bool)
    for c in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == c))
        count = min(max(1, round(fraction * len(mine))), len(mine) - 1) if fraction else 0
        mask[mine[:count]] = True
    return mask


def is_fitted(model: Any) -> bool:
    """Whether a model is trained, or has nothing to ``fit``: as ``__sklearn_is_fitted__`` says, if there is
    one; otherwise whether some attribute that ends in an underscore holds something."""
    if not hasattr(model, "fit"):
        return True
    if hasattr(model, "__sklearn_is_fitted__"):
        return bool(model.__sklearn_is_fitted__())
    found = [value for key, value in vars(model).items() if key.endswith("_") and not key.startswith("_")]
    return any(v is not None and (len(v) if hasattr(v, "__len__") else v != 0) for v in found)


def _mean(recall: np.ndarray) -> float:
    """Balanced accuracy: the mean over the classes that there are images of."""
    return float("nan") if np.isnan(recall).all() else float(np.nanmean(recall))
