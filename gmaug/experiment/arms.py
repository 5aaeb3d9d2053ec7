"""Arms of the experiment: ways to train a classifier on one imbalanced set (section 4 and its controls).

The paper compares `original`, `cb-loss`, `cgan-aug` and `cgan-augcls`. Filling the classes brings
new images, balance and, at a fixed number of epochs, more gradient steps, all at once; the other
arms take these apart: `step-matched` has the steps alone, `oversample` the steps and the balance.

A new arm is one function with :func:`arm` above it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gmaug.classifiers.losses import Loss
from gmaug.classifiers.settings import GARDEN, ResNet18Settings


@dataclass(frozen=True)
class CellSettings:
    """What a cell does besides its arm.

    Parameters
    ----------
    size : int
        Side of the images, in pixels.
    classifier : ResNet18Settings
    target : str or int
        Counts to fill the classes to, as :class:`gmaug.augcls.GMAugCls` takes them.
    steps : int, optional
        Gradient steps of every training, whatever the arm; by default the classifier's epochs
        decide: over the originals for an arm that leaves the set as it is, over the filled set
        for the others.
    beta : float
        Of the class-balanced loss; 0.999 suits classes of ten to some hundred images.
    tau : float
        Of logit adjustment.
    score, alpha, epsilon, rounds, budget
        Of the selection, as :class:`gmaug.augcls.GMAugCls` takes them.
    """

    size: int = 32
    classifier: ResNet18Settings = GARDEN
    target: str | int = "not majority"
    steps: int | None = None
    beta: float = 0.999
    tau: float = 1.0
    score: str = "softmax"
    alpha: float = 0.5
    epsilon: float = 0.0
    rounds: int = 2
    budget: float = 5.0


@dataclass(frozen=True, eq=False)
class Trial:
    """All that an arm may use: the training and validation images, never the test images.

    Parameters
    ----------
    images, labels : ndarray of uint8 (n, h, w, 3), ndarray of int64 (n,)
        The imbalanced training set.
    validation : (images, labels)
    classes : int
        C; labels are 0 to C - 1.
    settings : CellSettings
    seed : int
    generators : dict of str to object
        Trained ones, by the name an arm asks for.
    """

    images: np.ndarray
    labels: np.ndarray
    validation: tuple[np.ndarray, np.ndarray]
    classes: int
    settings: CellSettings
    seed: int
    generators: dict[str, Any] = field(default_factory=dict)

    @cached_property
    def counts(self) -> np.ndarray:
        """Training images of each class, int64, shape (C,)."""
        return np.bincount(self.labels, minlength=self.classes)

    @cached_property
    def planned(self) -> np.ndarray:
        """The same after the set is filled to its target."""
        from gmaug.selection import quotas

        planned = self.counts.copy()
        planned[np.unique(self.labels)] += quotas(self.labels, self.settings.target)
        return planned

    @property
    def natural_steps(self) -> int:
        """Gradient steps over the originals."""
        return self.settings.steps or self.settings.classifier.steps(int(self.counts.sum()))

    @property
    def matched_steps(self) -> int:
        """Gradient steps over the filled set, met in full or not: all arms that fill take as many."""
        return self.settings.steps or self.settings.classifier.steps(int(self.planned.sum()))

    def train(self, *, steps: int, loss: Loss | None = None, weights: np.ndarray | None = None) -> Any:
        """A ResNet18 trained on the originals."""
        return self.untrained().fit(
            self.images, self.labels, validation=self.validation, classes=np.arange(self.classes),
            seed=self.seed, steps=steps, loss=loss, sampling_weights=weights,
        )  # fmt: skip

    def untrained(self) -> Any:
        """The arm's classifier before training."""
        from gmaug.classifiers.resnet import ResNet18

        return ResNet18(self.settings.classifier)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an arm gives back: the trained `classifier`, images `added` to each class (C,), and
    whatever else belongs in the record (JSON values)."""

    classifier: Any
    added: np.ndarray | None = None
    details: dict[str, Any] = field(default_factory=dict)


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


@arm("logit-adjusted")
def logit_adjusted(trial: Trial) -> Outcome:
    """The same with logit adjustment."""
    return Outcome(trial.train(steps=trial.natural_steps, loss=Loss(tau=trial.settings.tau)))


@arm("step-matched")
def step_matched(trial: Trial) -> Outcome:
    """The imbalanced set, for as many gradient steps as the filled set takes."""
    return Outcome(trial.train(steps=trial.matched_steps))


@arm("oversample")
def oversample(trial: Trial) -> Outcome:
    """Originals drawn again up to the target of their class, for as many steps as the filled set."""
    share = trial.planned / np.maximum(trial.counts, 1)
    return Outcome(trial.train(steps=trial.matched_steps, weights=share[trial.labels]))


@arm("cgan-aug", generator="cgan")
def cgan_aug(trial: Trial) -> Outcome:
    """Filled with every image the cGAN draws."""
    return filled(trial, "cgan", select=False)


@arm("cgan-augcls", generator="cgan")
def cgan_augcls(trial: Trial) -> Outcome:
    """Filled with those the classifier stands by, in at most `rounds` rounds (section 3.4)."""
    return filled(trial, "cgan", select=True)


def filled(trial: Trial, generator: str, *, select: bool) -> Outcome:
    """The set filled by GM-augCls, with or without selection, and what came of it by class."""
    from gmaug.augcls import GMAugCls, QuotaNotMet

    s = trial.settings
    sampler = GMAugCls(
        trial.generators[generator], trial.untrained(), sampling_strategy=s.target, select=select,
        score=s.score, alpha=s.alpha, epsilon=s.epsilon, rounds=s.rounds, budget=s.budget,
        steps=trial.matched_steps, seed=trial.seed,
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
