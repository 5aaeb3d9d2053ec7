"""Arms of the experiment: ways to train a classifier on one imbalanced set (section 4 and its controls).

The paper compares `original`, `cb-loss`, `cgan-aug` and `cgan-augcls` at a fixed number of *epochs*, so that
a filled set also takes more gradient steps. Here all arms take the same *steps*, enough for a plateau; what
an arm has beyond `oversample` is then due to its images, or to its loss.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from imblearn.over_sampling import SMOTE
from scipy.spatial.distance import cdist

from gmaug import classifiers, mixing
from gmaug.augcls import GMAugCls, QuotaNotMet, quotas
from gmaug.classifiers.losses import Loss, balancing_weights
from gmaug.classifiers.settings import TrainingSettings

AT_ONCE = 1024  # candidates drawn at a time: bounds memory
NEIGHBOURS = 5  # of SMOTE, its own default; a class of fewer images takes as many as there are
MIX_GRID = (0.5, 0.7, 0.9, 1.1)  # of alpha and beta: weaker ones give every pair the same images

Arrays = tuple[np.ndarray, np.ndarray]
"""Images, uint8 (n, h, w, 3), and labels, int64 (n,)."""


@dataclass(frozen=True)
class CellSettings:
    """What a cell does besides its arm."""

    size: int = 32  # side of the images, in pixels
    classifier: str = "resnet18"  # or "mae"
    training: TrainingSettings | None = None  # None: what suits images of this size
    steps: int | None = 1500  # of every training of every arm; None: as `training` says, by its set's size
    target: str | int = "not majority"  # counts to fill classes to, as GMAugCls takes them
    beta: float = 0.999  # of the class-balanced loss; suits classes of fifty to some hundred images
    randaugment: tuple[int, int] = (2, 9)  # operations and magnitude; torchvision's own default
    image_weight: float = 0.3  # loss weight of a generated image in the `weighted` arms; DiffuLT's
    alpha: float = 0.5  # of GMAugCls, as the next two are
    rounds: int = 2
    budget: float = 5.0
    pool: float = 3.0  # candidates drawn per image wanted in the `band` and `confident` arms
    band: tuple[float, float] = (0.75, 1.5)  # distances for `band`; 1 is held-out images' median
    shares: tuple[float, ...] = (0.0, 0.25, 0.5, 1.0)  # of the planned filling, that `vtss` tries

    def __post_init__(self) -> None:
        kind = classifiers.settings_class(self.classifier)
        training = self.training or classifiers.settings_for(self.classifier, shape=(self.size, self.size))
        if isinstance(training, dict):  # from JSON
            training = kind(**training)
        if not isinstance(training, kind):
            needed = f"classifier={self.classifier!r} needs {kind.__name__}"
            raise ValueError(f"training is {type(training).__name__}; {needed}")
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps={self.steps}: give 1 or more, or None for the training's own length")
        object.__setattr__(self, "training", training)
        for name in ("randaugment", "band", "shares"):
            object.__setattr__(self, name, tuple(getattr(self, name)))


@dataclass(frozen=True, eq=False)
class Trial:
    """All that an arm may use: the training and validation images, never the test images."""

    images: np.ndarray  # uint8 (n, h, w, 3), the imbalanced training set
    labels: np.ndarray  # int64 (n,), 0 to C - 1
    validation: Arrays
    classes: int  # C
    settings: CellSettings
    seed: int
    generators: dict[str, Any] = field(default_factory=dict)  # trained ones, by the name an arm asks for
    reserve: Callable[[np.ndarray, int], Arrays] | None = None  # as `Material` has it

    @cached_property
    def counts(self) -> np.ndarray:
        """Training images of each class, int64, shape (C,)."""
        return np.bincount(self.labels, minlength=self.classes)

    @cached_property
    def wanted(self) -> np.ndarray:
        """Images that each class lacks to its target, int64, shape (C,)."""
        wanted = np.zeros(self.classes, dtype=np.int64)
        wanted[np.unique(self.labels)] = quotas(self.labels, self.settings.target)
        return wanted

    @cached_property
    def selector(self) -> Any:
        """A classifier of the originals that judges candidates; adjusted, so that it knows the tail."""
        return self.train(loss=Loss(tau=1.0))

    @cached_property
    def selector_recall(self) -> list[float | None]:
        """Its share of right answers on the validation images of each class."""
        images, truth = self.validation
        right = self.selector.predict(images) == truth
        return [float(right[truth == c].mean()) if (truth == c).any() else None for c in range(self.classes)]

    def steps(self, images: int) -> int:
        """Gradient steps of a training on so many images."""
        return self.settings.steps or self.settings.training.steps_for(images)

    def untrained(self, images: int, **views: Any) -> Any:
        """The arm's classifier before it is trained on so many images; its pre-training, if any, grows with
        the steps, or an arm of the same steps on fewer images would be pre-trained less."""
        training = replace(self.settings.training, **views)
        if hasattr(training, "pretraining_epochs"):
            epochs = round(training.pretraining_epochs * self.steps(images) / training.steps_for(images))
            training = replace(training, pretraining_epochs=max(1, epochs))
        return classifiers.make_classifier(self.settings.classifier, training)

    def train(
        self, *, added: Arrays | None = None, loss: Loss | None = None, balanced: bool = False,
        image_weights: np.ndarray | None = None, extra: int = 0, **views: Any,
    ) -> Any:  # fmt: skip
        """A classifier trained on the originals and the images and labels `added` to them.

        `balanced` draws every class equally often; `extra` classes among those added are learned and their
        outputs dropped; `views` change the training's settings.
        """
        images, labels = self.images, self.labels
        if added is not None:
            images, labels = np.concatenate([images, added[0]]), np.concatenate([labels, added[1]])
        model = self.untrained(len(labels), **views)
        if extra:
            model = mixing.dropped(model, self.classes)
        return model.fit(
            images, labels, validation=self.validation, classes=np.arange(self.classes + extra),
            seed=self.seed, steps=self.steps(len(labels)), loss=loss,
            sampling_weights=balancing_weights(labels) if balanced else None, image_weights=image_weights,
        )  # fmt: skip

    def uneven(self, labels: np.ndarray) -> bool:
        """Whether a set with these labels is to be drawn class by class: its classes are not of one size, and
        its size does not say how long it is trained on."""
        by_epochs = self.settings.steps is None and self.settings.training.steps is None
        return not by_epochs and len(set(np.bincount(labels).tolist()) - {0}) > 1

    def filled(self, added: Arrays, details: dict[str, Any] | None = None, **options: Any) -> Outcome:
        """The outcome of training on the set with these images in it."""
        balanced = self.uneven(np.concatenate([self.labels, added[1]]))
        counts = np.bincount(added[1], minlength=self.classes)
        return Outcome(self.train(added=added, balanced=balanced, **options), counts, details or {})

    def draw(self, generator: str, counts: np.ndarray) -> Arrays:
        """So many images of each class (C,) from a generator, and their labels, class by class."""
        labels = np.repeat(np.arange(self.classes), counts)
        model, parts = self.generators[generator], [self.images[:0]]
        for start in range(0, len(labels), AT_ONCE):
            state = np.random.SeedSequence((self.seed, start)).generate_state(1)
            parts.append(model.sample(labels[start : start + AT_ONCE], seed=int(state[0] >> 1)))
        return np.concatenate(parts), labels

    def candidates(self, generator: str) -> Arrays:
        """Some more images of each class than are wanted, to choose from."""
        return self.draw(generator, np.ceil(self.wanted * self.settings.pool).astype(np.int64))

    def filled_with_best(
        self, images: np.ndarray, labels: np.ndarray, cost: np.ndarray, **details: Any
    ) -> Outcome:
        """As :meth:`filled`, with those that cost least of each class; the first drawn among equals."""
        order = np.lexsort((np.arange(len(cost)), cost, labels))
        rank = np.arange(len(cost)) - np.searchsorted(labels[order], labels[order])
        kept = np.sort(order[rank < self.wanted[labels[order]]])
        return self.filled((images[kept], labels[kept]), {"selector_recall": self.selector_recall, **details})


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an arm gives back: the trained `classifier`, images `added` to each class (C,), and whatever else
    belongs in the record (JSON values)."""

    classifier: Any
    added: np.ndarray | None = None
    details: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Arm:
    """A named `function` from :class:`Trial` to :class:`Outcome`, the `generator` it needs, if any, and
    whether it needs images in `reserve`."""

    name: str
    function: Callable[[Trial], Outcome]
    generator: str | None = None
    reserve: bool = False


ARMS: dict[str, Arm] = {}
"""The arms that need no generator."""


def arm(name: str, *, reserve: bool = False) -> Callable[..., Callable[[Trial], Outcome]]:
    """Register the function below as an arm."""

    def register(function: Callable[[Trial], Outcome]) -> Callable[[Trial], Outcome]:
        ARMS[name] = Arm(name, function, reserve=reserve)
        return function

    return register


def find(name: str) -> Arm:
    """An arm by name, such as ``oversample``, or ``cgan-augcls``: a generator of the material's and a use of
    :data:`GENERATED`; ``ValueError`` if there is no such arm."""
    if name in ARMS:
        return ARMS[name]
    generator, _, use = name.rpartition("-")
    if generator and use in GENERATED:
        return Arm(name, partial(GENERATED[use], generator=generator), generator)
    uses = f"GENERATOR-USE with a use of {', '.join(GENERATED)}, such as cgan-augcls"
    raise ValueError(f"arm={name!r} is unknown; use one of {', '.join(ARMS)}, or {uses}")


@arm("original")
def original(trial: Trial) -> Outcome:
    """The imbalanced set as it is."""
    return Outcome(trial.train())


@arm("oversample")
def oversample(trial: Trial) -> Outcome:
    """The same, every class drawn equally often: what any generated image has to beat."""
    return Outcome(trial.train(balanced=True))


@arm("duplicates")
def duplicates(trial: Trial) -> Outcome:
    """Filled with copies of real images, each class's in turn and in random order: no image is new."""
    rng, rows = np.random.default_rng(trial.seed), []
    for c, count in enumerate(trial.wanted):
        mine = rng.permutation(np.flatnonzero(trial.labels == c))
        rows.append(np.resize(mine, count))
    chosen = np.concatenate(rows).astype(np.int64)
    return trial.filled((trial.images[chosen], trial.labels[chosen]))


@arm("logit-adjusted")
def logit_adjusted(trial: Trial) -> Outcome:
    """Logit adjustment (Menon et al., 2021)."""
    return Outcome(trial.train(loss=Loss(tau=1.0)))


@arm("cb-loss")
def class_balanced_loss(trial: Trial) -> Outcome:
    """The class-balanced softmax loss (Cui et al., 2019; Table 4)."""
    return Outcome(trial.train(loss=Loss(beta=trial.settings.beta)))


@arm("randaugment")
def randaugment(trial: Trial) -> Outcome:
    """The imbalanced set under RandAugment (Cubuk et al., 2020), every class drawn equally often."""
    return Outcome(trial.train(balanced=True, randaugment=trial.settings.randaugment))


@arm("smote")
def smote(trial: Trial) -> Outcome:
    """Filled with pixels between those of an image and of a neighbour of its class (Chawla et al., 2002);
    a class of one image stays as it is."""
    pixels = trial.images.reshape(len(trial.images), -1).astype(np.float32)
    images, labels = [trial.images[:0]], [trial.labels[:0]]
    for c in np.flatnonzero((trial.wanted > 0) & (trial.counts > 1)):
        sampler = SMOTE(
            sampling_strategy={int(c): int(trial.counts[c] + trial.wanted[c])}, random_state=trial.seed,
            k_neighbors=min(NEIGHBOURS, int(trial.counts[c]) - 1),
        )  # fmt: skip
        made, of = (part[len(pixels) :] for part in sampler.fit_resample(pixels, trial.labels))
        images.append(made.round().clip(0, 255).astype(np.uint8).reshape(-1, *trial.images.shape[1:]))
        labels.append(of)
    return trial.filled((np.concatenate(images), np.concatenate(labels)))


@arm("more-real", reserve=True)
def more_real(trial: Trial) -> Outcome:
    """Filled with real images that are in none of the sets, as far as there are any: an upper bound."""
    return trial.filled(trial.reserve(trial.wanted, trial.seed))


def every_image(trial: Trial, generator: str) -> Outcome:
    """Filled with every image the generator draws."""
    return trial.filled(trial.draw(generator, trial.wanted))


def weighted(trial: Trial, generator: str) -> Outcome:
    """The same, each generated image with a smaller weight in the loss (DiffuLT, 2024)."""
    added = trial.draw(generator, trial.wanted)
    weights = np.ones(len(trial.labels) + len(added[1]))
    weights[len(trial.labels) :] = trial.settings.image_weight
    return trial.filled(added, image_weights=weights)


def augcls(trial: Trial, generator: str) -> Outcome:
    """Filled with those the classifier stands by, in at most `rounds` rounds (section 3.4)."""
    s = trial.settings
    count = int((trial.counts + trial.wanted).sum())
    sampler = GMAugCls(
        trial.generators[generator], trial.untrained(count), sampling_strategy=s.target, alpha=s.alpha,
        rounds=s.rounds, budget=s.budget, prefit=True, steps=trial.steps(count), seed=trial.seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuotaNotMet)  # the record holds what was missing
        images, labels = sampler.fit_resample(
            trial.images, trial.labels, validation=trial.validation, first=trial.selector
        )
    counts = {
        "accepted": sampler.accepted_, "filled_up": sampler.filled_up_, "rejected": sampler.rejected_,
        "missing": sampler.n_missing_,
    }  # fmt: skip
    details: dict[str, Any] = {k: [v.get(c, 0) for c in range(trial.classes)] for k, v in counts.items()}
    details |= {"best_round": sampler.best_round_, "improved": sampler.improved_}
    details |= {"selector_recall": trial.selector_recall, "rounds": [r.to_dict() for r in sampler.rounds_]}
    if trial.uneven(labels):  # a target below the largest class
        return trial.filled((images[sampler.is_synthetic_], labels[sampler.is_synthetic_]), details)
    return Outcome(sampler.classifier_, np.bincount(labels, minlength=trial.classes) - trial.counts, details)


def most_confident(trial: Trial, generator: str) -> Outcome:
    """Of `pool` candidates for each image wanted, those whose class the selector is surest of."""
    images, labels = trial.candidates(generator)
    sure = trial.selector.predict_proba(images)[np.arange(len(labels)), labels]
    return trial.filled_with_best(images, labels, -sure)


def band(trial: Trial, generator: str) -> Outcome:
    """Of as many candidates, those about as far from the training images as real held-out ones are, by the
    selector's features and the nearest image of the class; then those that miss it least (DiffuLT, 2024)."""
    images, labels = trial.candidates(generator)
    parts = trial.images, trial.validation[0], images
    train, held, made = (trial.selector.features(part) for part in parts)
    low, high = trial.settings.band
    missed, inside = np.zeros(len(labels)), np.zeros(trial.classes)
    for c in np.unique(labels):
        mine, known, real = labels == c, train[trial.labels == c], held[trial.validation[1] == c]
        usual = np.median(cdist(real, known).min(axis=1)) if len(real) else np.nan
        ratio = cdist(made[mine], known).min(axis=1) / max(float(usual), 1e-12)
        missed[mine] = np.maximum(np.log(low / np.maximum(ratio, 1e-12)), np.log(ratio / high)).clip(0)
        inside[c] = float(np.mean(missed[mine] == 0))
    return trial.filled_with_best(images, labels, missed, inside_band=inside.tolist())


def validated_size(trial: Trial, generator: str) -> Outcome:
    """Every image, and as many of them as the balanced validation loss asks for (Ma and Zhang, 2026)."""
    images, labels = trial.draw(generator, trial.wanted)
    rank = np.concatenate([np.arange(count) for count in trial.wanted])
    held, truth = trial.validation
    tried, losses = [], []
    for share in trial.settings.shares:
        kept = rank < np.round(share * trial.wanted)[labels]
        tried.append(trial.filled((images[kept], labels[kept])))
        chance = tried[-1].classifier.predict_proba(held)[np.arange(len(truth)), truth]
        loss = -np.log(np.maximum(chance, 1e-12))
        losses.append(float(np.mean([loss[truth == c].mean() for c in np.unique(truth)])))
    best = int(np.argmin(losses))
    details = {"share": trial.settings.shares[best], "validation_losses": losses}
    return replace(tried[best], details=details)


@arm("pixel-mixed")
def pixel_mixed(trial: Trial) -> Outcome:
    """Means of an image of either class, for each of C pairs a new class that is dropped at test: as many as
    filling adds, every class drawn equally often. The control of the mixes below."""
    pairs, each = _pairs(trial)
    added = mixing.pixel_mixes(trial.images, trial.labels, pairs, count=each, seed=trial.seed)
    return _with_mixes(trial, pairs, added)


def mixed(trial: Trial, generator: str, how: str = "random") -> Outcome:
    """The same with images under mixed conditions, at the (alpha, beta) of the highest m_total in the
    selector's features (AugGen, 2025)."""
    model, about = trial.generators[generator], {"classes": trial.classes, "seed": trial.seed}
    pairs, each = _pairs(trial, how)
    tried = mixing.choose_pairs(min(12, trial.classes * (trial.classes - 1) // 2), **about)
    best = mixing.search(model, trial.selector, tried, grid=MIX_GRID, samples=4, **about).best
    images = mixing.draw(model, pairs, best["alpha"], best["beta"], images=each, **about)
    return _with_mixes(trial, pairs, images, **best)


def scoremix(trial: Trial, generator: str) -> Outcome:
    """The same with mixed scores of distant pairs, one to one (ScoreMix, 2025)."""
    pairs, each = _pairs(trial, "distant")
    about = {"images": each, "classes": trial.classes, "seed": trial.seed, "scores": True}
    return _with_mixes(trial, pairs, mixing.draw(trial.generators[generator], pairs, 0.5, 0.5, **about))


def _pairs(trial: Trial, how: str = "random") -> tuple[np.ndarray, int]:
    """C pairs to mix, or as many as there are, and the images of each."""
    classes, directions = trial.classes, None
    count = min(classes, classes * (classes - 1) // 2)
    if how != "random":
        directions = mixing.centres(trial.selector.features(trial.images), trial.labels, classes=classes)
    pairs = mixing.choose_pairs(count, how=how, classes=classes, embedding=directions, seed=trial.seed)
    return pairs, max(1, round(int(trial.wanted.sum()) / count))


def _with_mixes(trial: Trial, pairs: np.ndarray, added: Arrays, **details: Any) -> Outcome:
    model = trial.train(added=added, balanced=True, extra=len(pairs))
    return Outcome(model, details={"pairs": pairs, "mixed_images": len(added[1]), **details})


GENERATED: dict[str, Callable[..., Outcome]] = {
    "aug": every_image, "weighted": weighted, "augcls": augcls, "confident": most_confident, "band": band,
    "vtss": validated_size, "mixed": mixed, "mixnear": partial(mixed, how="near"),
    "mixdistant": partial(mixed, how="distant"), "scoremix": scoremix,
}  # fmt: skip
"""What is done with a generator's images, by the second half of an arm's name."""
