"""Looks at a generator in training: its distance to validation images, and whether a class collapsed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from gmaug.generators.base import check_training
from gmaug.generators.distance import class_spread, frechet, joint, pixels

if TYPE_CHECKING:
    from gmaug.generators.training import Training

PREFIX = "best."


class Watch:
    """Validation images, and the weights that came nearest to them.

    Parameters
    ----------
    validation : (images, labels) or None
        uint8 (n, side, side, 3) and (n,); None looks at nothing.
    extractor : callable, optional
        Images to features; 8 x 8 pixels by default.
    side : int

    Attributes
    ----------
    best : dict of str to Tensor
        Weights at the least distance so far, on the CPU.
    best_distance, best_kimg : float
    """

    def __init__(
        self,
        validation: tuple[np.ndarray, np.ndarray] | None,
        extractor: Callable[[np.ndarray], np.ndarray] | None,
        *,
        side: int,
    ) -> None:
        self.best: dict[str, Tensor] = {}
        self.best_distance, self.best_kimg = float("inf"), 0.0
        self.labels = None
        if validation is not None:
            images, self.labels = check_training(*validation, side=side)
            self.extractor = extractor or pixels(8)
            self.real = self.extractor(images)

    def look(self, model: Any, run: Training) -> dict[str, Any]:
        """Distance and diversity of samples now, for the history; empty without validation images."""
        if self.labels is None:
            return {}
        fake = self.extractor(model.sample(self.labels, seed=0))
        real_joint, fake_joint = joint(self.real, self.labels, fake, self.labels)
        distance = frechet(real_joint, fake_joint, name="", groups=0).value
        if run.ready and distance < self.best_distance:
            self.best_distance, self.best_kimg = distance, run.kimg
            self.best = {
                f"{name}.{key}": value.detach().cpu().clone()
                for name, net in run.drawn.items()
                for key, value in net.state_dict().items()
            }
        spreads = [one.ratio for one in class_spread(self.real, self.labels, fake, self.labels)]
        return {"distance": distance, "spread": min(spreads, default=float("nan")), "spreads": spreads}

    def waited(self, kimg: float, patience: float | None) -> bool:
        """Whether the distance has not fallen for `patience` kimg."""
        return bool(self.best) and patience is not None and kimg - self.best_kimg >= patience - 1e-9

    def tensors(self) -> dict[str, Tensor]:
        """The best weights, for a checkpoint."""
        return {PREFIX + key: value for key, value in self.best.items()}

    def about(self) -> dict[str, float]:
        """When they were the best, for a checkpoint."""
        return {"best_distance": self.best_distance, "best_kimg": self.best_kimg}

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.best = {k.removeprefix(PREFIX): v for k, v in tensors.items() if k.startswith(PREFIX)}
        self.best_distance, self.best_kimg = about["best_distance"], about["best_kimg"]
