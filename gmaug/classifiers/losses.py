"""Losses for long-tailed sets: class-balanced (softmax, sigmoid, focal) and logit-adjusted; calibration.

References
----------
Cui, Jia, Lin, Song, Belongie: *Class-balanced loss based on effective number of samples*, CVPR
2019 (the paper's reference 8, its Table 4). Lin et al.: *Focal loss for dense object detection*,
ICCV 2017. Menon et al.: *Long-tail learning via logit adjustment*, ICLR 2021. Guo, Pleiss, Sun,
Weinberger: *On calibration of modern neural networks*, ICML 2017 (temperature scaling).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

KINDS = ("softmax", "sigmoid", "focal")
TEMPERATURES = (1 / 50, 50.0)  # a classifier that makes no error on the images would go to 0


def class_balanced_weights(counts: np.ndarray, *, beta: float) -> np.ndarray:
    """Weights of the classes by the inverse of their effective number of images.

    ``w_c`` is proportional to ``(1 - beta) / (1 - beta**n_c)`` and the weights sum to the number
    of classes. ``beta = 0`` weighs all alike; as `beta` nears 1 a class weighs ``1 / n_c``.

    Parameters
    ----------
    counts : array of int, shape (C,)
        Training images of each class, at least one each.
    beta : float
        In [0, 1); Cui et al. try 0.9, 0.99, 0.999 and 0.9999.

    Returns
    -------
    ndarray of float64, shape (C,)

    Raises
    ------
    ValueError
        If `beta` is outside [0, 1) or a class has no image.
    """
    counts = np.asarray(counts, dtype=np.float64)
    if not 0 <= beta < 1:
        raise ValueError(f"beta={beta} is outside [0, 1); Cui et al. use 0.9 to 0.9999")
    if counts.ndim != 1 or not len(counts) or counts.min() < 1:
        raise ValueError(f"counts={counts.tolist()}: a class needs at least one training image to be weighed")
    weights = (1 - beta) / -np.expm1(counts * np.log(beta)) if beta else np.ones(len(counts))
    return weights * len(counts) / weights.sum()


def balancing_weights(labels: np.ndarray) -> np.ndarray:
    """Sampling weights, shape (n,), that draw every class equally often."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1.0 / counts[inverse]


@dataclass(frozen=True)
class Loss:
    """A loss, before it knows the class counts.

    Parameters
    ----------
    kind : {"softmax", "sigmoid", "focal"}
        Cross-entropy over the classes; the sum of one binary cross-entropy per class; the same
        sum with the focal factor.
    beta : float, optional
        Weigh an image by its class's :func:`class_balanced_weights`; unweighted if None.
    gamma : float
        Exponent of the focal factor; only ``"focal"`` uses it.
    tau : float
        Logit adjustment: ``tau * log(prior)`` is added to the logits in training alone. 1 is
        the consistent choice (and equals the balanced softmax); 0 is none. Softmax only.
    smoothing : float, optional
        Label smoothing, in [0, 1): the share of the target spread evenly over all classes. Softmax
        only. By default that of the classifier's settings.
    margin : float
        Subtracted from the true class's logit in training alone; 0 is none. On the cosines of a
        recogniser's head it is CosFace's (:mod:`gmaug.recognition`). Softmax only.

    Raises
    ------
    ValueError
        If a value is unknown, out of range, or has no meaning for `kind`.
    """

    kind: str = "softmax"
    beta: float | None = None
    gamma: float = 2.0  # the value Lin et al. found best
    tau: float = 0.0
    smoothing: float | None = None
    margin: float = 0.0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"loss kind={self.kind!r} is unknown; use one of {', '.join(KINDS)}")
        if self.beta is not None and not 0 <= self.beta < 1:
            raise ValueError(f"loss beta={self.beta} is outside [0, 1); Cui et al. use 0.9 to 0.9999")
        if self.gamma < 0:
            raise ValueError(f"loss gamma={self.gamma} is negative; focal loss needs 0 or more")
        if self.smoothing is not None and not 0 <= self.smoothing < 1:
            raise ValueError(f"loss smoothing={self.smoothing} is outside [0, 1)")
        if self.kind != "softmax" and (self.tau or self.smoothing or self.margin):
            raise ValueError(
                f"logit adjustment (tau={self.tau}), label smoothing ({self.smoothing}) and a margin "
                f"({self.margin}) need kind='softmax', not {self.kind!r}"
            )

    def with_smoothing(self, smoothing: float) -> Loss:
        """This loss, with the settings' label smoothing where it is a softmax and states none."""
        if self.smoothing is not None:
            return self
        return replace(self, smoothing=smoothing if self.kind == "softmax" else 0.0)

    def value(
        self,
        logits: torch.Tensor,
        labels: torch.Tensor,
        *,
        counts: np.ndarray,
        shares: torch.Tensor | None = None,
        weights: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Mean loss of a batch: the weighted losses over the *number* of images.

        ``torch.nn.functional.cross_entropy(weight=w)`` divides by the summed weights instead,
        which would undo the weights of a batch whose images are all of one class.

        Parameters
        ----------
        logits : float tensor, shape (n, C)
        labels : int tensor, shape (n,), or (n, k) with `shares`
        counts : array of int, shape (C,)
            Training images of each class.
        shares : float tensor, shape (n, k), optional
            Of an image mixed from k others: its loss is the sum, by share, of the losses of its
            k labels, each with the weight of its own class.
        weights : float tensor, shape (n,), optional
            Of the images, besides those of their classes.

        Returns
        -------
        float tensor, shape ()
        """
        if shares is None:
            losses = self._weighted(logits, labels, counts)
        else:
            pairs = zip(labels.T, shares.T, strict=True)
            losses = sum(share * self._weighted(logits, label, counts) for label, share in pairs)
        return (losses if weights is None else losses * weights).mean()

    def _weighted(self, logits: torch.Tensor, labels: torch.Tensor, counts: np.ndarray) -> torch.Tensor:
        losses = self.each(logits, labels, counts=counts)
        if self.beta is not None:
            weights = class_balanced_weights(counts, beta=self.beta)
            losses = losses * logits.new_tensor(weights)[labels]
        return losses

    def each(self, logits: torch.Tensor, labels: torch.Tensor, *, counts: np.ndarray) -> torch.Tensor:
        """Loss of each image before its class's weight, shape (n,); `labels` of shape (n,)."""
        import torch.nn.functional as F

        if self.kind == "softmax":
            if self.tau:
                prior = np.asarray(counts, dtype=np.float64) / np.sum(counts)
                if prior.min() <= 0:
                    raise ValueError("logit adjustment needs at least one training image in every class")
                logits = logits + self.tau * logits.new_tensor(np.log(prior))
            if self.margin:
                logits = logits - self.margin * F.one_hot(labels, logits.shape[1])
            return F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing or 0.0)
        truth = F.one_hot(labels, logits.shape[1]).to(logits.dtype)
        signed = (2 * truth - 1) * logits
        losses = -F.logsigmoid(signed)  # -log p_t
        if self.kind == "focal":
            # (1 - p_t)**gamma by its logarithm: the power itself has no slope where p_t rounds to 1
            losses = losses * (self.gamma * F.logsigmoid(-signed)).exp()
        return losses.sum(dim=1)

    def start_bias(self, classes: int) -> float:
        """Bias to start the last layer at: for the binary losses, each class begins at 1 in `classes`.

        Cui et al. (their section 4.2): at one half each, the many negatives swamp the first steps.
        """
        return 0.0 if self.kind == "softmax" else -float(np.log(max(classes - 1, 1)))

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """Class probabilities that the loss gives the logits, shape (n, C), rows summing to 1.

        Softmax for ``"softmax"``; for the binary losses the sigmoids, scaled to sum to 1.
        """
        logits = np.asarray(logits, dtype=np.float64)
        if self.kind == "softmax":
            odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        else:
            odds = np.exp(-np.logaddexp(0, -logits))
        return odds / odds.sum(axis=1, keepdims=True)


def temperature(probabilities: np.ndarray, labels: np.ndarray) -> float:
    """What to divide the logarithms of probabilities by, so that the labels are the most likely.

    As scikit-learn's ``CalibratedClassifierCV(method="temperature")``, for labels of any kind and
    classes of few images.

    Parameters
    ----------
    probabilities : array of float, shape (n, C)
        Of images that the classifier was not trained on.
    labels : array of int, shape (n,)
        True columns.

    Returns
    -------
    float
        In [1/50, 50]; above 1 where the classifier is too sure of itself. Near the lower bound
        where it makes no error, which says that there are too few images to fit it on.
    """
    from scipy.optimize import minimize_scalar

    def surprise(log_t: float) -> float:
        chances = cooled(probabilities, float(np.exp(log_t)))
        return -float(np.log(np.maximum(chances[np.arange(len(labels)), labels], 1e-300)).mean())

    found = minimize_scalar(surprise, bounds=np.log(TEMPERATURES), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def cooled(probabilities: np.ndarray, temperature: float) -> np.ndarray:
    """Probabilities, shape (n, C), with their logarithms divided by a temperature and rows summing to 1."""
    log = np.log(np.maximum(probabilities, 1e-300)) / temperature
    odds = np.exp(log - log.max(axis=1, keepdims=True))
    return odds / odds.sum(axis=1, keepdims=True)
