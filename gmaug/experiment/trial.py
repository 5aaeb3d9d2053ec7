"""What an arm of the experiment is given, and what it gives back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from gmaug import named
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.settings import TrainingSettings


@dataclass(frozen=True)
class CellSettings:
    """What a cell does besides its arm.

    Parameters
    ----------
    size : int
        Side of the images, in pixels.
    classifier : {"resnet18", "mae"}
    training : ResNet18Settings or MAESettings, optional
        Of the classifier; the garden's by default.
    target : str or int
        Counts to fill the classes to, as :class:`gmaug.augcls.GMAugCls` takes them.
    steps : int, optional
        Gradient steps of an arm that fills the set, or is matched to one that does; by default as
        many as the classifier's epochs over the filled set. Other arms, and the classifier that
        selects first, take its epochs over the originals.
    beta : float
        Of the class-balanced loss; 0.999 suits classes of ten to some hundred images.
    gamma : float
        Of the focal loss.
    tau : float
        Of logit adjustment.
    randaugment : (int, int)
        Operations and magnitude; torchvision's own default.
    mixup, cutmix : float
        Parameters of their Beta distributions; those of torchvision's training recipe.
    neighbours : int
        Of SMOTE, its own default; a class of fewer images takes as many as there are.
    score, alpha, epsilon, rounds, budget
        Of the selection, as :class:`gmaug.augcls.GMAugCls` takes them.
    """

    size: int = 32
    classifier: str = "resnet18"
    training: TrainingSettings | None = None
    target: str | int = "not majority"
    steps: int | None = None
    beta: float = 0.999
    gamma: float = 2.0
    tau: float = 1.0
    randaugment: tuple[int, int] = (2, 9)
    mixup: float = 0.2
    cutmix: float = 1.0
    neighbours: int = 5
    score: str = "softmax"
    alpha: float = 0.5
    epsilon: float = 0.0
    rounds: int = 2
    budget: float = 5.0

    def __post_init__(self) -> None:
        kind = named.settings_class(self.classifier)
        training = named.garden_settings(self.classifier) if self.training is None else self.training
        if isinstance(training, dict):  # from JSON
            training = kind(**training)
        if not isinstance(training, kind):
            raise ValueError(
                f"training is {type(training).__name__}; classifier={self.classifier!r} needs {kind.__name__}"
            )
        object.__setattr__(self, "training", training)
        object.__setattr__(self, "randaugment", tuple(self.randaugment))


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
        from gmaug.resampling import quotas

        planned = self.counts.copy()
        planned[np.unique(self.labels)] += quotas(self.labels, self.settings.target)
        return planned

    @property
    def natural_steps(self) -> int:
        """Gradient steps over the originals."""
        return self.settings.training.steps(len(self.labels))

    @property
    def matched_steps(self) -> int:
        """Gradient steps over the filled set, met in full or not: all arms that fill take as many."""
        return self.settings.steps or self.settings.training.steps(int(self.planned.sum()))

    def train(
        self,
        *,
        steps: int,
        loss: Loss | None = None,
        weights: np.ndarray | None = None,
        added: tuple[np.ndarray, np.ndarray] | None = None,
        **views: Any,
    ) -> Any:
        """A classifier trained on the originals and the images and labels `added` to them.

        `weights` are the images' chances to be drawn; `views` change the training's settings.
        """
        images, labels = self.images, self.labels
        if added is not None:
            images, labels = np.concatenate([images, added[0]]), np.concatenate([labels, added[1]])
        return self.untrained(steps=steps, count=len(labels), **views).fit(
            images, labels, validation=self.validation, classes=np.arange(self.classes),
            seed=self.seed, steps=steps, loss=loss, sampling_weights=weights,
        )  # fmt: skip

    def untrained(self, *, steps: int, count: int, **views: Any) -> Any:
        """The arm's classifier before it is trained for so many `steps` on `count` images.

        Pre-training, where there is one, grows with the steps: otherwise an arm of the same
        steps on fewer images would be pre-trained less.
        """
        training = replace(self.settings.training, **views)
        if hasattr(training, "pretraining_epochs"):
            epochs = round(training.pretraining_epochs * steps / training.steps(count))
            training = replace(training, pretraining_epochs=epochs)
        return named.classifier(self.settings.classifier, training)


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an arm gives back: the trained `classifier`, images `added` to each class (C,), and
    whatever else belongs in the record (JSON values)."""

    classifier: Any
    added: np.ndarray | None = None
    details: dict[str, Any] = field(default_factory=dict)
