"""Recorded generators by name, for processes that take part in the experiment."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gmaug.study.generation import recorded_generator

if TYPE_CHECKING:
    from gmaug.generators.trained import TrainedGenerator


@cache
def _loaded(name: str, kind: str, root: Path | None) -> TrainedGenerator:
    return recorded_generator(name, kind, root=root)[0]


@dataclass(frozen=True)
class Recorded:
    """A recorded generator by its name, read where it is used.

    A process that takes part in the experiment is sent this name and not the networks, whose
    modules it could not import unprepared (see :func:`gmaug.backend.torchvision`).
    """

    name: str
    kind: str
    root: Path | None = None

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """As the generator's own ``sample``."""
        return _loaded(self.name, self.kind, self.root).sample(labels, seed=seed)
