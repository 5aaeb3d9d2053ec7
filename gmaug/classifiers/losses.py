"""The softmax loss for long-tailed sets: class-balanced weights, logit adjustment, a margin.

References: Cui et al., *Class-balanced loss based on effective number of samples*, CVPR 2019 (the paper's
Table 4); Menon et al., *Long-tail learning via logit adjustment*, ICLR 2021.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


def class_balanced_weights(counts: np.ndarray, *, beta: float) -> np.ndarray:
    """Weights of the classes, float64 (C,), by the inverse of their effective number of images.

    ``w_c`` is proportional to ``(1 - beta) / (1 - beta**n_c)`` and the weights sum to the number of classes.

    Parameters
    ----------
    counts : array of int, shape (C,)
        Training images of each class, at least one each.
    beta : float
        In [0, 1): 0 weighs all alike; near 1 a class weighs ``1 / n_c``. Cui et al. try 0.9 to 0.9999.

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


@dataclass(frozen=True, kw_only=True)
class Loss:
    """A softmax cross-entropy, before it knows the class counts. Raises ``ValueError`` for wrong values."""

    beta: float | None = None  # weigh an image by its class's `class_balanced_weights`; None: all alike
    tau: float = 0.0  # add tau * log(prior) to the logits in training; 1 is consistent, and balanced softmax
    smoothing: float | None = None  # share of the target spread over all classes; None: as the settings say
    margin: float = 0.0  # taken from the true class's logit in training; CosFace's, where logits are cosines

    def __post_init__(self) -> None:
        for name in ("beta", "smoothing"):
            value = getattr(self, name)
            if value is not None and not 0 <= value < 1:
                raise ValueError(f"loss {name}={value} is outside [0, 1)")

    def value(
        self, logits: torch.Tensor, labels: torch.Tensor, *, counts: np.ndarray,
        shares: torch.Tensor | None = None, weights: torch.Tensor | None = None,
    ) -> torch.Tensor:  # fmt: skip
        """Mean loss of a batch: the weighted losses over the *number* of images.

        torch's ``cross_entropy(weight=w)`` divides by the summed weights instead, which would undo the
        weights of a batch whose images are all of one class.

        Parameters
        ----------
        logits : float tensor, shape (n, C)
        labels : int tensor, shape (n,), or (n, k) with `shares`
        counts : array of int, shape (C,)
            Training images of each class.
        shares : float tensor, shape (n, k), optional
            Of an image mixed from k others, whose k losses are summed by share.
        weights : float tensor, shape (n,), optional
            Of the images, besides those of their classes.
        """
        if shares is None:
            losses = self.each(logits, labels, counts=counts)
        else:
            pairs = zip(labels.T, shares.T, strict=True)
            losses = sum(share * self.each(logits, label, counts=counts) for label, share in pairs)
        return (losses if weights is None else losses * weights).mean()

    def each(self, logits: torch.Tensor, labels: torch.Tensor, *, counts: np.ndarray) -> torch.Tensor:
        """Loss of each image with its class's weight, shape (n,); `labels` of shape (n,)."""
        import torch.nn.functional as F

        if self.tau:
            prior = np.asarray(counts, dtype=np.float64) / np.sum(counts)
            if prior.min() <= 0:
                raise ValueError("logit adjustment needs at least one training image in every class")
            logits = logits + self.tau * logits.new_tensor(np.log(prior))
        if self.margin:
            logits = logits - self.margin * F.one_hot(labels, logits.shape[1])
        losses = F.cross_entropy(logits, labels, reduction="none", label_smoothing=self.smoothing or 0.0)
        if self.beta is not None:
            losses = losses * logits.new_tensor(class_balanced_weights(counts, beta=self.beta))[labels]
        return losses
