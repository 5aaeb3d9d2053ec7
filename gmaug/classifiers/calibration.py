"""How far a classifier's scores are from being chances, and one number that brings them nearer.

GM-augCls keeps a candidate whose score passes a threshold (section 3.4); what the threshold means
depends on how well the scores are calibrated.

References
----------
Guo, Pleiss, Sun, Weinberger: *On calibration of modern neural networks*, ICML 2017 (temperature
scaling). Nguyen, O'Connor: *Posterior calibration and exploratory analysis for natural language
processing models*, EMNLP 2015 (bins of equal counts).
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import minimize_scalar
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError

from gmaug.classifiers.losses import Loss

BOUNDS = (1 / 50, 50.0)  # a classifier that makes no error on the images would go to 0


@dataclass(frozen=True)
class Bin:
    """Images of like confidence.

    Attributes
    ----------
    images : int
    low, high : float
        Least and greatest confidence among them.
    confidence, accuracy : float
        Mean confidence, and share of right answers; alike where the scores are calibrated.
    se : float
        Standard error of `accuracy` were each image right with the chance it claims.
    """

    images: int
    low: float
    high: float
    confidence: float
    accuracy: float
    se: float


@dataclass(frozen=True)
class Calibration:
    """How well calibrated some scores are.

    Attributes
    ----------
    error : float
        Expected calibration error, in [0, 1]: the mean over images of the distance between the
        confidence and the accuracy of their bin.
    floor : float
        What `error` would be on average, for as many images in the same bins, if the scores were
        perfectly calibrated: an error near it is no sign of anything.
    bins : tuple of Bin
    """

    error: float
    floor: float
    bins: tuple[Bin, ...]


def reliability(probabilities: np.ndarray, labels: np.ndarray, *, bins: int = 10) -> Calibration:
    """The confidence of the top class against how often it is right.

    Parameters
    ----------
    probabilities : array of float, shape (n, C)
        In [0, 1].
    labels : array of int, shape (n,)
        True columns.
    bins : int
        Bins of equal counts (to within one image), by rising confidence; no more than n.

    Returns
    -------
    Calibration

    Raises
    ------
    ValueError
        If shapes or values do not fit.
    """
    probabilities, labels = _pair(probabilities, labels, "probabilities")
    if probabilities.min() < 0 or probabilities.max() > 1 + 1e-9:
        raise ValueError("probabilities are outside [0, 1]; give predict_proba's, not logits")
    if bins < 1:
        raise ValueError(f"bins={bins}: give 1 or more")
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    table = []
    order = np.argsort(confidence, kind="stable")
    for part in np.array_split(order, min(bins, len(order))):
        claimed = confidence[part]
        se = np.sqrt((claimed * (1 - np.minimum(claimed, 1))).sum()) / len(part)
        table.append(
            Bin(
                images=len(part),
                low=float(claimed.min()),
                high=float(claimed.max()),
                confidence=float(claimed.mean()),
                accuracy=float(right[part].mean()),
                se=float(se),
            )
        )
    share = np.array([b.images for b in table]) / len(order)
    error = share @ [abs(b.accuracy - b.confidence) for b in table]
    # the mean distance of a normal variable from its mean is sqrt(2 / pi) of its deviation
    floor = np.sqrt(2 / np.pi) * (share @ [b.se for b in table])
    return Calibration(float(error), float(floor), tuple(table))


def temperature(logits: np.ndarray, labels: np.ndarray, *, loss: Loss | None = None) -> float:
    """What to divide logits by, so that the labels are the most likely (least mean negative log).

    Parameters
    ----------
    logits : array of float, shape (n, C)
        Of images that the classifier was not trained on.
    labels : array of int, shape (n,)
        True columns.
    loss : Loss, optional
        What reads the logits as chances; softmax by default.

    Returns
    -------
    float
        In [1/50, 50]; above 1 where the classifier is too sure of itself. Near the lower
        bound where it makes no error, which says that there are too few images to fit it on.

    Raises
    ------
    ValueError
        If shapes do not fit.
    """
    logits, labels = _pair(logits, labels, "logits")
    loss, rows = loss or Loss(), np.arange(len(labels))

    def surprise(log_t: float) -> float:
        chance = loss.probabilities(logits / np.exp(log_t))[rows, labels]
        return -float(np.log(np.maximum(chance, 1e-300)).mean())

    # convex in 1/T for softmax; for normed sigmoids it need not be, so look everywhere first
    grid = np.linspace(*np.log(BOUNDS), 41)
    best = int(np.argmin([surprise(point) for point in grid]))
    around = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    return float(np.exp(minimize_scalar(surprise, bounds=around, method="bounded").x))


class Calibrated(ClassifierMixin, BaseEstimator):
    """A classifier whose probabilities are read at a temperature fitted on validation images.

    Its answers are the classifier's own, and so are its logits; only `predict_proba` changes.
    The validation images that choose the epoch serve again: with one number to fit, the scores
    flatter themselves little.

    Parameters
    ----------
    classifier : object
        As :class:`gmaug.classifiers.TorchClassifier`.

    Attributes
    ----------
    classifier_ : object
        The trained one.
    temperature_ : float
    before_, after_ : Calibration
        Of the validation images, at temperature 1 and at `temperature_`.

    Examples
    --------
    >>> sampler = GMAugCls(generator, Calibrated(ResNet18(GARDEN)), alpha=0.8)
    """

    def __init__(self, classifier: Any) -> None:
        self.classifier = classifier

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        **options: Any,
    ) -> Calibrated:
        """Train a copy of the classifier, then fit the temperature.

        Parameters
        ----------
        images, labels, **options
            As the classifier's own ``fit`` takes them.
        validation : (images, labels)

        Raises
        ------
        ValueError
            If there are no validation images.
        """
        if validation is None:
            raise ValueError("validation=None: the temperature is fitted on validation images; give some")
        trained = deepcopy(self.classifier).fit(images, labels, validation=validation, **options)
        return self._fitted(trained, *validation)

    @classmethod
    def of(cls, trained: Any, images: np.ndarray, labels: np.ndarray) -> Calibrated:
        """The same for a classifier that is trained already, by images it was not trained on."""
        return cls(trained)._fitted(trained, images, labels)

    def _fitted(self, trained: Any, images: np.ndarray, labels: np.ndarray) -> Calibrated:
        logits, labels = trained.logits(images), np.asarray(labels)
        order = np.argsort(trained.classes_, kind="stable")
        place = np.searchsorted(trained.classes_, labels, sorter=order)
        truth = order[np.minimum(place, len(order) - 1)]
        if not np.array_equal(trained.classes_[truth], labels):
            raise ValueError("validation labels hold some that are not among the classes; leave them out")
        self.classifier_, self.classes_ = trained, trained.classes_
        self.temperature_ = temperature(logits, truth, loss=trained.loss_)
        self.before_ = reliability(trained.loss_.probabilities(logits), truth)
        self.after_ = reliability(trained.loss_.probabilities(logits / self.temperature_), truth)
        return self

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities at the fitted temperature, float64, shape (n, C)."""
        inner = self._trained()
        return inner.loss_.probabilities(inner.logits(images) / self.temperature_)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Raw scores of the classifier, shape (n, C); not divided by the temperature."""
        return self._trained().logits(images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the classifier's last layer sees, shape (n, d)."""
        return self._trained().features(images)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Label of each image, shape (n,)."""
        return self._trained().predict(images)

    @property
    def steps_(self) -> int:
        """Gradient steps the classifier took."""
        return self._trained().steps_

    def _trained(self) -> Any:
        if not hasattr(self, "classifier_"):
            raise NotFittedError("this Calibrated is not fitted; call fit, or Calibrated.of(trained, ...)")
        return self.classifier_


def _pair(scores: np.ndarray, labels: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"{name} have shape {scores.shape}; give (images, classes), at least one image")
    if labels.shape != (len(scores),) or labels.dtype.kind not in "iu":
        raise ValueError(f"labels: give one column number to each of {len(scores)} images")
    if labels.min() < 0 or labels.max() >= scores.shape[1]:
        raise ValueError(f"labels are columns of {name}: give 0 to {scores.shape[1] - 1}")
    return scores, labels
