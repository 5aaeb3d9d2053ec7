"""GM-augCls: balance an image set with generated images that a classifier stands by (section 3.4, Fig. 5).

:class:`GMAugCls` is the loop of Fig. 5 in imbalanced-learn's manner; :func:`collect` is one draw of
candidates and what is kept of them; :func:`by_alpha`, :func:`by_quantile` and :func:`by_band` are the
rules that decide.

References
----------
Menon et al.: *Long-tail learning via logit adjustment*, ICLR 2021 (how the selector is trained). Shao et
al.: *DiffuLT: diffusion for long-tail recognition without external knowledge*, NeurIPS 2024 (images that
are approximately in distribution).
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from gmaug.classifiers import make_classifier, settings_class, settings_for
from gmaug.classifiers.losses import Loss, balancing_weights
from gmaug.datasets.base import ImageSet, labelled

if TYPE_CHECKING:
    from gmaug.generators.base import Generator

SCORES = ("softmax", "logit")
THRESHOLDS = ("alpha", "quantile", "band")
SHORTFALLS = ("best", "leave")
BALANCES = ("logit-adjustment", "sampling", "none")
AT_ONCE = 1024  # candidates drawn at a time: bounds the generator's memory
LEAST_RATE = 0.05  # a class whose candidates nearly all fail is not asked for more than 20 per image at once


class QuotaNotMet(UserWarning):
    """The budget was spent before every class had its images."""


# Rules


def by_alpha(scores: np.ndarray, features: Any, label: int, originals: Any, *, alpha: float) -> np.ndarray:
    """The paper's rule: the top class is the wanted one, and its score is at least `alpha`.

    Parameters
    ----------
    scores : ndarray, shape (n, C)
        The classifier's, of candidates for one class.
    features : ndarray, shape (n, d), or None
        What the classifier's last layer sees of them; not used here.
    label : int
        Column of the class asked for.
    originals : ndarray, shape (m, d), or None
        The same of the class's training images; not used here.
    alpha : float

    Returns
    -------
    ndarray of bool, shape (n,)
    """
    return (scores.argmax(axis=1) == label) & (scores[:, label] >= alpha)


def by_quantile(
    scores: np.ndarray, features: Any, label: int, originals: Any, *, quantile: float
) -> np.ndarray:
    """The best-scored share ``1 - quantile`` of a class's candidates, by the score of the class asked for.

    A rule that no class can fail as a whole, whatever the classifier thinks of it. Parameters as
    :func:`by_alpha` has them.
    """
    return scores[:, label] >= np.quantile(scores[:, label], quantile)


def by_band(
    scores: Any, features: np.ndarray, label: int, originals: np.ndarray, *, band: tuple[float, float]
) -> np.ndarray:
    """Candidates whose distance from the originals is within a band of all candidates' distances.

    The distance is Euclidean, in the features, to the nearest training image of the class. The least
    distant candidates repeat what is there and the most distant ones are something else; between them
    are those that DiffuLT calls approximately in distribution. `band` holds two quantiles of the
    distances; the other parameters are as :func:`by_alpha` has them.
    """
    from scipy.spatial.distance import cdist

    distance = cdist(features, originals).min(axis=1)
    low, high = np.quantile(distance, band)
    return (distance >= low) & (distance <= high)


# What is kept of a round


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
        The candidates added to the set, by class; of a class, those that passed come first.
    quota, drawn, passed, filled : ndarray of int64, shape (C,)
        Images wanted, candidates drawn, candidates that passed, and candidates added although they
        did not pass, by class.
    wanted, predicted, score : ndarray, shape (n,)
        Every candidate, in the order drawn: its class's index, the index of the top class (-1
        without selection) and that class's score (NaN without selection).
    kept, refused : Examples
        The first few of each class that passed, and that did not.
    added_score : ndarray of float, shape (k,)
        The score that each added candidate got for the class asked for (NaN without selection).
    """

    images: np.ndarray
    labels: np.ndarray
    quota: np.ndarray
    drawn: np.ndarray
    passed: np.ndarray
    filled: np.ndarray
    wanted: np.ndarray = field(repr=False)
    predicted: np.ndarray = field(repr=False)
    score: np.ndarray = field(repr=False)
    kept: Examples = field(repr=False)
    refused: Examples = field(repr=False)
    added_score: np.ndarray = field(default_factory=lambda: np.empty(0), repr=False)

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
    """What one step of Fig. 5 did.

    Attributes
    ----------
    number : int
        1, 2, ...
    pool : Pool
        Its candidates.
    before, after : float
        Balanced validation accuracy of the classifier that selected (NaN without selection) and
        of the one trained on originals and added images; NaN without validation images.
    recall : ndarray of float, shape (C,)
        Recall of the classifier that selected, on the validation images of each class; NaN where
        there is none.
    steps : int or None
        Gradient steps of the latter's training, if it tells.
    """

    number: int
    pool: Pool = field(repr=False)
    before: float
    after: float
    recall: np.ndarray
    steps: int | None

    def to_dict(self) -> dict[str, Any]:
        """The record as JSON holds it; counts in the order of the classes."""

        def plain(value: float) -> float | None:
            return None if np.isnan(value) else float(value)

        names = ("quota", "drawn", "passed", "filled", "missing")
        return {
            "round": self.number,
            **{name: getattr(self.pool, name).tolist() for name in names},
            "before": plain(self.before),
            "after": plain(self.after),
            "recall": [plain(value) for value in self.recall],
            "steps": self.steps,
        }


def collect(
    generator: Generator,
    quota: np.ndarray,
    *,
    names: np.ndarray,
    score: Callable[[np.ndarray], np.ndarray] | None = None,
    judge: Callable[[np.ndarray, np.ndarray, int], np.ndarray] | None = None,
    absolute: bool = False,
    budget: float = 5.0,
    shortfall: str = "best",
    examples: int = 4,
    seed: tuple[int, ...] = (0,),
) -> Pool:
    """Draw candidates of each class, and keep as many of those that pass as are wanted.

    The candidates of a class are alike in distribution, so taking the first that pass drops the
    surplus at random. They are drawn in chunks; those of one class are in memory at a time.

    Parameters
    ----------
    generator : object
        With ``sample(labels, *, seed)``, which gives uint8 images (n, h, w, 3), one of each label.
    quota : ndarray of int64, shape (C,)
        Images wanted of each class.
    names : ndarray, shape (C,)
        What the generator calls the classes.
    score : callable, optional
        From images to the classifier's scores, shape (n, C). Without it every candidate passes.
    judge : callable, optional
        From images, their scores and their class's index to a mask of those that pass.
    absolute : bool
        Whether each candidate is judged by itself: then drawing stops when a class has its quota.
        Otherwise the whole budget is drawn first.
    budget, shortfall, examples
        As :class:`GMAugCls` has them.
    seed : tuple of int
        The draws' seeds are derived from it, and from the class.

    Raises
    ------
    ValueError
        If the generator gives no uint8 images, one of each label.
    """
    quota = np.asarray(quota, dtype=np.int64)
    selects = score is not None
    if not selects:
        score, absolute = lambda images: np.full((len(images), len(quota)), np.nan), True
        judge = lambda images, scores, c: np.ones(len(images), dtype=bool)  # noqa: E731
    limit = np.ceil(quota * budget).astype(np.int64)
    drawn, passed, filled = (np.zeros_like(quota) for _ in range(3))
    nothing = np.empty((0, 1, 1, 3), np.uint8), np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    added, seen, kept, refused = [(*nothing[:2], nothing[3])], [nothing[1:]], [nothing], [nothing]
    for c in map(int, np.flatnonzero(quota)):
        parts: list[tuple[np.ndarray, ...]] = []
        while drawn[c] < limit[c] and passed[c] < quota[c]:
            ask = limit[c] - drawn[c]
            if absolute:
                rate = max((passed[c] + 1) / (drawn[c] + 1), LEAST_RATE)
                ask = min(ask, int(np.ceil((quota[c] - passed[c]) / rate)))
            images = _drawn(generator, names[c], int(min(ask, AT_ONCE)), (*seed, c, len(parts)))
            scores = score(images)
            mask = judge(images, scores, c) if absolute else np.zeros(len(images), dtype=bool)
            parts.append((images, scores, mask))
            drawn[c], passed[c] = drawn[c] + len(images), passed[c] + mask.sum()
        images, scores, passes = _joined(parts)
        if not absolute:
            passes = judge(images, scores, c)
            passed[c] = passes.sum()
        chosen = np.flatnonzero(passes)[: quota[c]]
        if shortfall == "best":
            rest = np.flatnonzero(~passes)
            rest = rest[np.argsort(-scores[rest, c], kind="stable")][: quota[c] - len(chosen)]
            filled[c], chosen = len(rest), np.concatenate([chosen, rest])
        top = scores.argmax(axis=1) if selects else np.full(len(images), -1)
        columns = images, np.full(len(images), c), top, scores[np.arange(len(top)), top]
        added.append((images[chosen], columns[1][chosen], scores[chosen, c]))
        seen.append(columns[1:])
        for shown, verdict in ((kept, True), (refused, False)):
            few = np.flatnonzero(passes == verdict)[:examples]
            shown.append(tuple(column[few] for column in columns))
    images, labels, added_score = _joined(added)
    return Pool(
        images, labels, quota, drawn, passed, filled, *_joined(seen),
        kept=Examples(*_joined(kept)), refused=Examples(*_joined(refused)), added_score=added_score,
    )  # fmt: skip


def _drawn(generator: Generator, name: Any, count: int, seed: tuple[int, ...]) -> np.ndarray:
    state = np.random.SeedSequence(seed).generate_state(1)
    images = generator.sample(np.repeat(name, count), seed=int(state[0] >> 1))
    if images.shape[:1] != (count,) or images.dtype != np.uint8:
        found = f"{images.dtype} of shape {images.shape}"
        raise ValueError(f"generator gave {found} for {count} labels; it must give uint8, one each")
    return images


def _joined(parts: Sequence[tuple[np.ndarray, ...]]) -> list[np.ndarray]:
    """Columns of the parts, one after the other; empty ones say only the type, where there are others."""
    parts = [part for part in parts if len(part[0])] or list(parts)[:1]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


# The pipeline


class GMAugCls(BaseEstimator):
    """Fill the small classes of an image set with generated images, in imbalanced-learn's manner.

    A classifier C trained on the originals judges candidates; those that pass join the originals; C'
    is trained on the whole and judges a *new* pool, from which the set is rebuilt; and so on, until
    balanced validation accuracy gains no more than `epsilon` or `rounds` are done. The best round is
    returned, its set and its classifier, also where a later one is worse, and also where none is
    better than the originals alone (`improved_` says so): the set is balanced either way.

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
        ``predict_proba``, and ``features`` for a rule that needs them.
    sampling_strategy : str, dict, int or callable
        ``"not majority"``, ``"minority"``, ``"all"``, ... and ``{class: count afterwards}`` as
        in imbalanced-learn; an integer is the count every class is filled to, as the paper
        does. Originals are never dropped.
    select : bool
        False keeps every candidate: the paper's cGAN-aug.
    score : {"softmax", "logit"}
        What is compared: the probability, or the raw logit (the authors' code: 10 to 30 for ResNet18, 2 to 3
        for MAE).
    threshold : {"alpha", "quantile", "band"} or callable
        Which candidates pass: those whose top class is the one asked for with a score of at least
        `alpha` (the paper); of each class, the best-scored ones above the `quantile` of their
        scores (:func:`by_quantile`); those in a `band` of feature distances (:func:`by_band`). The
        last two, and a callable with :func:`by_band`'s four positional parameters, compare a class's
        candidates with each other: its whole budget is drawn first.
    alpha : float, optional
        0.5 by default for a probability, to be given for ``"logit"``.
    quantile : float
        In [0, 1).
    band : (float, float)
        Quantiles of the distance, in [0, 1].
    shortfall : {"best", "leave"}
        A class still short after its budget is filled with the best-scored of its refused
        candidates, so that the set is balanced; or left short. `filled_up_` and `n_missing_` say
        for which classes, and a warning does.
    balance : {"logit-adjustment", "sampling", "none"}
        How C learns the originals, so that it recognises the small classes and does not refuse
        whatever is drawn for them: logit adjustment, every class drawn equally often, or neither.
        Of a classifier whose ``fit`` takes ``loss`` or ``sampling_weights``. C' learns the filled set
        as it is.
    epsilon : float
        Gain in balanced validation accuracy, in [0, 1], below or at which no further round is made.
    rounds : int
        At most so many; the paper makes two.
    budget : float
        Candidates of a class that may be drawn in a round per image wanted.
    prefit : bool, optional
        Whether the generator is trained already. By default its state tells: trained are those
        with nothing to ``fit``, and those that hold what scikit-learn's do after it, attributes
        with a trailing underscore. To be given for an object with other manners.
    steps : int, optional
        Gradient steps of each retraining; the classifier's own length by default. C takes its own
        length, which for the settings by name is where accuracy no longer grows.
    validation_fraction : float
        Share of each class held out to choose weights and rounds when no validation images are
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
    rounds_ : list of Round
        All of them, the best and the others.
    best_round_ : int
        Number of the returned one; the highest balanced validation accuracy, the last without
        validation images.
    improved_ : bool or None
        Whether its classifier is better than C, by that accuracy; None where it is not known.
    selector_recall_ : dict of class to float
        Recall of the classifier that selected the returned images, on validation images: near 0,
        it cannot have recognised what was drawn for the class.
    accepted_, filled_up_, rejected_, n_missing_ : dict of class to int
        Of the returned round: images added that passed, images added that did not, candidates
        refused, images still missing.
    acceptance_rate_ : dict of class to float
        Share of its candidates that passed; NaN where none was drawn.
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
        threshold: str | Callable[..., np.ndarray] = "alpha",
        alpha: float | None = None,
        quantile: float = 0.5,
        band: tuple[float, float] = (0.3, 0.7),
        shortfall: str = "best",
        balance: str = "logit-adjustment",
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
        self.threshold = threshold
        self.alpha = alpha
        self.quantile = quantile
        self.band = band
        self.shortfall = shortfall
        self.balance = balance
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
        """Originals, then the added images, and their labels.

        Parameters
        ----------
        X : ndarray of uint8, shape (n, h, w, 3), or ImageSet
        y : array, shape (n,), optional
            Labels of an array.
        validation : (images, labels) or ImageSet, optional
            Choose weights and rounds; held out of `X` by default, yet returned with the rest.
        first : object, optional
            C, if it is trained already.

        Raises
        ------
        ValueError
            If a parameter or an array does not fit.
        """
        self._check()
        images, labels = labelled(X, y, size=self.size, name="X")
        self.classes_ = np.unique(labels)
        quota = quotas(labels, self.sampling_strategy)
        self.sampling_strategy_ = self._by_class(quota)
        if validation is None:
            train = ~held_out(labels, self.validation_fraction, self.seed)
            held = (images[~train], labels[~train]) if not train.all() else None
        else:
            train, parts = np.ones(len(labels), dtype=bool), validation
            parts = parts if isinstance(parts, tuple) else (parts, None)
            held = labelled(*parts, size=self.size, name="validation")
        if held is not None and not np.isin(held[1], self.classes_).all():
            raise ValueError("validation holds classes that X lacks; leave them out")
        own = images[train], labels[train]
        names = self._take_generator(*own, held)
        selector = first
        if self.select and first is None:
            selector = self._trained(*own, held, selector=True)
        recall = self._recall(selector if self.select else None, held)
        self.rounds_: list[Round] = []
        best: tuple[Round, Any] | None = None
        for number in range(1, (self.rounds if self.select else 1) + 1):
            pool = collect(
                self.generator_, quota, names=names, score=self._score(selector),
                judge=self._judge(selector, own), absolute=self.threshold == "alpha", budget=self.budget,
                shortfall=self.shortfall, examples=self.examples, seed=(self.seed, number),
            )  # fmt: skip
            if len(pool.images) and pool.images.shape[1:] != images.shape[1:]:
                sizes = f"{pool.images.shape[1:3]}, the originals {images.shape[1:3]}"
                raise ValueError(f"generator draws images of {sizes}; resize either")
            selector = self._trained(*self._grown(own, pool), held, steps=self.steps)
            before, recall = recall, self._recall(selector, held)
            gone = Round(
                number, pool, _mean(before), _mean(recall), before, getattr(selector, "steps_", None)
            )
            self.rounds_.append(gone)
            if best is None or not gone.after <= best[0].after:  # the latest where it is not known
                best = gone, selector
            if held is not None and not gone.after - gone.before > self.epsilon:
                break
        self._conclude(*best)
        grown = self._grown((images, labels), best[0].pool)
        self.is_synthetic_ = np.arange(len(grown[1])) >= len(images)
        return grown

    def _grown(self, own: tuple[np.ndarray, np.ndarray], pool: Pool) -> tuple[np.ndarray, np.ndarray]:
        added = pool.images.reshape(-1, *own[0].shape[1:])
        return np.concatenate([own[0], added]), np.concatenate([own[1], self.classes_[pool.labels]])

    def _by_class(self, values: np.ndarray) -> dict[Any, Any]:
        return dict(zip(self.classes_.tolist(), values.tolist(), strict=True))

    def _recall(self, classifier: Any, held: tuple[np.ndarray, np.ndarray] | None) -> np.ndarray:
        """Recall of each class on the held-out images, shape (C,); NaN where there is nothing to tell."""
        recall = np.full(len(self.classes_), np.nan)
        if classifier is not None and held is not None:
            right = self.classes_[classifier.logits(held[0]).argmax(axis=1)] == held[1]
            for k, name in enumerate(self.classes_):
                mine = held[1] == name
                recall[k] = right[mine].mean() if mine.any() else np.nan
        return recall

    def _score(self, classifier: Any) -> Callable[[np.ndarray], np.ndarray] | None:
        """What the candidates are scored by; None without selection."""
        if not self.select:
            return None
        return classifier.logits if self.score == "logit" else classifier.predict_proba

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
            wanted = self.sampling_strategy_
            short = ", ".join(f"{name}: {n} of {wanted[name]}" for name, n in found.items() if n)
            if short:
                warnings.warn(
                    f"budget={self.budget} spent, {said} ({short}); raise budget or lower the threshold",
                    QuotaNotMet,
                    stacklevel=3,
                )

    def _trained(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        held: tuple[np.ndarray, np.ndarray] | None,
        *,
        steps: int | None = None,
        selector: bool = False,
    ) -> Any:
        if isinstance(self.classifier, str):
            settings = settings_for(self.classifier, shape=images.shape[1:3])
            classifier = make_classifier(self.classifier, settings)
        else:
            classifier = deepcopy(self.classifier)
        options: dict[str, Any] = {} if steps is None else {"steps": steps}
        if selector and self.balance == "logit-adjustment" and _takes(classifier.fit, "loss"):
            options["loss"] = Loss(tau=1.0)
        if selector and self.balance == "sampling" and _takes(classifier.fit, "sampling_weights"):
            options["sampling_weights"] = balancing_weights(labels)
        return classifier.fit(
            images, labels, validation=held, classes=self.classes_, seed=self.seed, **options
        )

    def _take_generator(
        self, images: np.ndarray, labels: np.ndarray, held: tuple[np.ndarray, np.ndarray] | None
    ) -> np.ndarray:
        """Set ``generator_``, trained; what it calls the classes, shape (C,)."""
        given, ranks = self.generator, np.arange(len(self.classes_))
        if isinstance(given, str):
            from gmaug.generators import make_generator

            if self.prefit:
                raise ValueError(f"generator={given!r} is trained here; prefit=True needs a trained object")
            model = make_generator(given, shape=images.shape[1:3], seed=self.seed)
            place = [np.searchsorted(self.classes_, y) for y in (labels, () if held is None else held[1])]
            watched = None if held is None else (held[0], place[1])
            self.generator_ = model.fit(images, place[0], validation=watched)
            return ranks
        names = self.classes_ if self.classes_.dtype.kind in "iu" else ranks
        fitted = is_fitted(given) if self.prefit is None else self.prefit
        if fitted:
            self.generator_ = given
        else:
            self.generator_ = deepcopy(given).fit(images, names[np.searchsorted(self.classes_, labels)])
        return names

    def _judge(
        self, classifier: Any, own: tuple[np.ndarray, np.ndarray]
    ) -> Callable[[np.ndarray, np.ndarray, int], np.ndarray]:
        """What candidates pass, as :func:`collect` asks for it."""
        near = self.select and (callable(self.threshold) or self.threshold == "band")
        rule = self.threshold
        if not callable(rule):
            rule = {
                "alpha": partial(by_alpha, alpha=0.5 if self.alpha is None else float(self.alpha)),
                "quantile": partial(by_quantile, quantile=self.quantile),
                "band": partial(by_band, band=self.band),
            }[rule]
        originals = [classifier.features(own[0][own[1] == name]) for name in self.classes_] if near else None

        def judge(images: np.ndarray, scores: np.ndarray, c: int) -> np.ndarray:
            features = (classifier.features(images), originals[c]) if near else (None, None)
            mask = np.asarray(rule(scores, features[0], c, features[1]))
            if mask.shape != (len(scores),) or mask.dtype != bool:
                found = f"{mask.dtype} of shape {mask.shape} for {len(scores)} candidates"
                raise ValueError(f"threshold= gave {found}; it must give one bool each")
            return mask

        return judge

    def _check(self) -> None:
        if not isinstance(self.generator, str) and not hasattr(self.generator, "sample"):
            raise ValueError(f"generator={self.generator!r}: give a name, or an object with sample")
        if isinstance(self.classifier, str):
            settings_class(self.classifier)  # before the generator is trained in vain
        elif not hasattr(self.classifier, "logits"):
            raise ValueError(f"classifier={self.classifier!r}: give a name, or an object with fit and logits")
        words = {"score": SCORES, "threshold": THRESHOLDS, "shortfall": SHORTFALLS, "balance": BALANCES}
        for name, known in words.items():
            value = getattr(self, name)
            if value not in known and not (name == "threshold" and callable(value)):
                raise ValueError(f"{name}={value!r} is unknown; use one of {', '.join(known)}")
        if self.rounds < 1 or self.budget < 1:
            raise ValueError(f"rounds={self.rounds}, budget={self.budget}: both are at least 1")
        for name in ("validation_fraction", "quantile"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"{name}={getattr(self, name)} is outside [0, 1)")
        if len(self.band) != 2 or not 0 <= self.band[0] < self.band[1] <= 1:
            raise ValueError(f"band={self.band}: give two rising quantiles in [0, 1]")
        if not self.select or self.threshold != "alpha":
            return
        if self.alpha is None and self.score == "logit":
            raise ValueError("score='logit' has no natural threshold: give alpha (the authors: 10 to 30)")
        if self.alpha is not None and self.score != "logit" and not 0 <= self.alpha <= 1:
            raise ValueError(f"alpha={self.alpha} is no probability; give [0, 1], or score='logit'")


def quotas(labels: np.ndarray, strategy: Any) -> np.ndarray:
    """Images to add to each class, int64, shape (C,), in the order of the sorted classes.

    Parameters
    ----------
    labels : array, shape (n,)
    strategy : str, dict, int or callable
        As :class:`GMAugCls` takes it.

    Raises
    ------
    ValueError
        If there are not two classes, imbalanced-learn does not know the strategy, or a wanted
        count is below a class's own.
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
    """Whether a model is trained, or has nothing to train.

    As scikit-learn has it: ``__sklearn_is_fitted__`` decides where there is one; otherwise
    attributes that end in an underscore and hold something.
    """
    if not hasattr(model, "fit"):
        return True
    if hasattr(model, "__sklearn_is_fitted__"):
        return bool(model.__sklearn_is_fitted__())
    state = getattr(model, "__dict__", {})
    return any(
        key.endswith("_") and not key.startswith("_") and not _empty(value) for key, value in state.items()
    )


def _empty(value: Any) -> bool:
    return value is None or (len(value) == 0 if hasattr(value, "__len__") else value is False or value == 0)


def _takes(function: Callable[..., Any], name: str) -> bool:
    found = inspect.signature(function).parameters.values()
    return any(one.name == name or one.kind is one.VAR_KEYWORD for one in found)


def _mean(recall: np.ndarray) -> float:
    """Balanced accuracy: the mean over the classes that there are images of."""
    return float("nan") if np.isnan(recall).all() else float(np.nanmean(recall))
