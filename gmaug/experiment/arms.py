"""Arms of the experiment: ways to train a classifier on one imbalanced set (section 4 and its controls).

The paper compares `original`, `cb-loss`, `cgan-aug` and `cgan-augcls`. Filling the classes brings
new images, balance and, at a fixed number of epochs, more gradient steps, all at once; the other
arms take these apart: `step-matched` has the steps alone, `oversample` the steps and the balance,
`more-real` has all three with real images, which is the most that generated ones could give.
Augmentation (`randaugment`, `mixup-cutmix`) takes the same steps as a filled set, to be compared
with `step-matched`: neither has an image more, and both train as long. A loss is tried at both
lengths where that is the question (`logit-adjusted`, `logit-adjusted-steps`).

A new arm is one function with :func:`arm` above it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gmaug.classifiers.losses import Loss
from gmaug.experiment.trial import CellSettings, Outcome, Trial

__all__ = ["ARMS", "Arm", "CellSettings", "Outcome", "Trial", "arm", "filled"]


@dataclass(frozen=True)
class Arm:
    """A named `function` from :class:`Trial` to :class:`Outcome`; the `generator` it needs, if any."""

    name: str
    function: Callable[[Trial], Outcome]
    generator: str | None = None


ARMS: dict[str, Arm] = {}


def arm(name: str, *, generator: str | None = None) -> Callable[..., Callable[[Trial], Outcome]]:
    """Register the function below as an arm."""

    def register(function: Callable[[Trial], Outcome]) -> Callable[[Trial], Outcome]:
        ARMS[name] = Arm(name, function, generator)
        return function

    return register


@arm("original")
def original(trial: Trial) -> Outcome:
    """The imbalanced set as it is."""
    return Outcome(trial.train(steps=trial.natural_steps))


@arm("cb-loss")
def class_balanced_loss(trial: Trial) -> Outcome:
    """The same with the class-balanced softmax loss (Table 4)."""
    return Outcome(trial.train(steps=trial.natural_steps, loss=Loss(beta=trial.settings.beta)))


@arm("focal")
def focal(trial: Trial) -> Outcome:
    """The same with the focal loss, unweighted."""
    return Outcome(trial.train(steps=trial.natural_steps, loss=Loss("focal", gamma=trial.settings.gamma)))


@arm("logit-adjusted")
def logit_adjusted(trial: Trial) -> Outcome:
    """The same with logit adjustment."""
    return Outcome(trial.train(steps=trial.natural_steps, loss=Loss(tau=trial.settings.tau)))


@arm("step-matched")
def step_matched(trial: Trial) -> Outcome:
    """The imbalanced set, for as many gradient steps as the filled set takes."""
    return Outcome(trial.train(steps=trial.matched_steps))


@arm("logit-adjusted-steps")
def logit_adjusted_steps(trial: Trial) -> Outcome:
    """Logit adjustment for as many steps."""
    return Outcome(trial.train(steps=trial.matched_steps, loss=Loss(tau=trial.settings.tau)))


@arm("randaugment")
def randaugment(trial: Trial) -> Outcome:
    """The imbalanced set under RandAugment, for as many steps."""
    return Outcome(trial.train(steps=trial.matched_steps, randaugment=trial.settings.randaugment))


@arm("mixup-cutmix")
def mixup_cutmix(trial: Trial) -> Outcome:
    """The imbalanced set with each batch mixed by MixUp or by CutMix, for as many steps."""
    s = trial.settings
    return Outcome(trial.train(steps=trial.matched_steps, mixup=s.mixup, cutmix=s.cutmix))


@arm("oversample")
def oversample(trial: Trial) -> Outcome:
    """Originals drawn again up to the target of their class, for as many steps as the filled set."""
    share = trial.planned / np.maximum(trial.counts, 1)
    return Outcome(trial.train(steps=trial.matched_steps, weights=share[trial.labels]))


@arm("smote")
def smote(trial: Trial) -> Outcome:
    """Filled with pixels between those of an image and of a neighbour of its class.

    A class of one image has no neighbour, and stays as it is.
    """
    from imblearn.over_sampling import SMOTE

    pixels = trial.images.reshape(len(trial.images), -1).astype(np.float32)
    images, labels = [trial.images[:0]], [trial.labels[:0]]
    for c in np.flatnonzero((trial.planned > trial.counts) & (trial.counts > 1)):
        sampler = SMOTE(
            sampling_strategy={int(c): int(trial.planned[c])}, random_state=trial.seed,
            k_neighbors=min(trial.settings.neighbours, int(trial.counts[c]) - 1),
        )  # fmt: skip
        made, of = (part[len(pixels) :] for part in sampler.fit_resample(pixels, trial.labels))
        images.append(made.round().clip(0, 255).astype(np.uint8).reshape(-1, *trial.images.shape[1:]))
        labels.append(of)
    added = np.concatenate(images), np.concatenate(labels)
    classifier = trial.train(steps=trial.matched_steps, added=added)
    return Outcome(classifier, np.bincount(added[1], minlength=trial.classes))


@arm("cgan-aug", generator="cgan")
def cgan_aug(trial: Trial) -> Outcome:
    """Filled with every image the cGAN draws."""
    return filled(trial, "cgan", select=False)


@arm("cgan-augcls", generator="cgan")
def cgan_augcls(trial: Trial) -> Outcome:
    """Filled with those the classifier stands by, in at most `rounds` rounds (section 3.4)."""
    return filled(trial, "cgan", select=True)


@arm("gd-aug", generator="gd")
def gd_aug(trial: Trial) -> Outcome:
    """Filled with every image that guided diffusion draws."""
    return filled(trial, "gd", select=False)


@arm("gd-augcls", generator="gd")
def gd_augcls(trial: Trial) -> Outcome:
    """Filled with those of them the classifier stands by."""
    return filled(trial, "gd", select=True)


@arm("more-real", generator="real")
def more_real(trial: Trial) -> Outcome:
    """Filled with real images that are in none of the sets: an upper bound."""
    return filled(trial, "real", select=False)


def filled(trial: Trial, generator: str, *, select: bool) -> Outcome:
    """The set filled by GM-augCls, with or without selection, and what came of it by class."""
    from gmaug.augcls import GMAugCls, QuotaNotMet

    s, steps = trial.settings, trial.matched_steps
    sampler = GMAugCls(
        trial.generators[generator], trial.untrained(steps=steps, count=int(trial.planned.sum())),
        sampling_strategy=s.target, select=select, score=s.score, alpha=s.alpha, epsilon=s.epsilon,
        rounds=s.rounds, budget=s.budget, prefit=True, steps=steps, seed=trial.seed,
    )  # fmt: skip
    first = trial.train(steps=trial.natural_steps) if select else None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuotaNotMet)  # the record holds what is missing
        sampler.fit_resample(trial.images, trial.labels, validation=trial.validation, first=first)
    places = range(trial.classes)
    counts = (sampler.accepted_, sampler.rejected_, sampler.n_missing_)
    details: dict[str, Any] = {
        name: [count.get(c, 0) for c in places]
        for name, count in zip(("accepted", "rejected", "missing"), counts, strict=True)
    }
    rate = sampler.acceptance_rate_
    details["acceptance_rate"] = [rate[c] if rate.get(c, np.nan) == rate.get(c) else None for c in places]
    details["rounds"] = [one.to_dict() for one in sampler.rounds_]
    return Outcome(sampler.classifier_, np.array(details["accepted"]), details)
