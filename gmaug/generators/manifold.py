"""Fidelity and diversity apart: precision, recall, density and coverage of generated images.

Each set of features is taken for the union of balls around its points, as wide as the distance to
the k-th neighbour. Kynkäänniemi et al., *Improved precision and recall metric for assessing
generative models* (NeurIPS 2019); Naeem et al., *Reliable fidelity and diversity metrics for
generative models* (ICML 2020).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Manifold:
    """Where generated images lie among real ones.

    Attributes
    ----------
    precision : float
        Share of generated images inside the real manifold, in [0, 1].
    recall : float
        Share of real images inside the generated manifold, in [0, 1].
    density : float
        Real balls that a generated image lies in, over `k`: 1 where both sets are alike; less
        swayed than precision by one outlier's wide ball.
    coverage : float
        Share of real images in whose ball a generated one lies, in [0, 1].
    k, n_real, n_fake : int
    """

    precision: float
    recall: float
    density: float
    coverage: float
    k: int
    n_real: int
    n_fake: int


def manifold(real: np.ndarray, fake: np.ndarray, *, k: int = 5) -> Manifold:
    """Precision, recall, density and coverage of features.

    Parameters
    ----------
    real, fake : ndarray, shapes (n, d) and (m, d)
    k : int
        Neighbours that set a ball's radius.

    Raises
    ------
    ValueError
        If a side has no more than `k` images.
    """
    from sklearn.metrics import pairwise_distances

    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if min(len(real), len(fake)) <= k:
        raise ValueError(f"{len(real)} real and {len(fake)} generated images; k={k} needs more on each side")

    def radii(x: np.ndarray) -> np.ndarray:
        return np.partition(pairwise_distances(x), k, axis=1)[:, k]  # the nearest is the point itself

    across = pairwise_distances(real, fake)
    in_real = across <= radii(real)[:, None]
    in_fake = across <= radii(fake)[None]
    return Manifold(
        precision=float(in_real.any(axis=0).mean()),
        recall=float(in_fake.any(axis=1).mean()),
        density=float(in_real.sum(axis=0).mean() / k),
        coverage=float(in_real.any(axis=1).mean()),
        k=k,
        n_real=len(real),
        n_fake=len(fake),
    )
