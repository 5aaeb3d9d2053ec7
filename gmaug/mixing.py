"""Mixed classes: new classes between two that a generator knows, as augmentation (AugGen, ScoreMix).

AugGen (arXiv 2503.11544) asks a generator, whose conditions enter linearly, for ``alpha c_i + beta c_j``, and
trains the recogniser again with each mix as a new class. ScoreMix (arXiv 2506.10226) mixes the two classes'
scores along a diffusion model's sampling. By our reading of abstracts and summaries, full texts not at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.generators.base import require_linear

if TYPE_CHECKING:
    import pandas as pd

LOW, HIGH = 0.1, 1.1
GRID = tuple(round(0.1 * k, 1) for k in range(1, 12))
"""alpha and beta from 0.1 to 1.1, the published range; the step is ours."""

CHOICES = ("random", "near", "distant")

Arrays = tuple[np.ndarray, np.ndarray]


def unit(features: np.ndarray) -> np.ndarray:
    """Rows (..., d) of length one, float64; a row of zeros stays."""
    features = np.asarray(features, dtype=np.float64)
    return features / np.maximum(np.linalg.norm(features, axis=-1, keepdims=True), 1e-12)


def conditions(pairs: Any, alpha: float, beta: float, *, classes: int) -> np.ndarray:
    """The rows ``alpha c_i + beta c_j``, float32, shape (n, C).

    `pairs`, shape (n, 2), hold two different classes each, from 0 to ``classes - 1``; `alpha` and `beta` are
    from 0.1 to 1.1, or 0, which leaves the class out. ValueError for anything else.
    """
    pairs = np.asarray(pairs)
    if pairs.ndim != 2 or pairs.shape[1] != 2 or not np.issubdtype(pairs.dtype, np.integer):
        raise ValueError(f"pairs are {pairs.dtype} of shape {pairs.shape}; give integers of shape (n, 2)")
    if pairs.size and not 0 <= pairs.min() <= pairs.max() < classes:
        raise ValueError(f"pairs hold {pairs.min()} to {pairs.max()}; classes are 0 to {classes - 1}")
    for one, other in pairs.tolist():
        if one == other:
            raise ValueError(f"pair ({one}, {one}) mixes a class with itself; give two different classes")
    for name, value in (("alpha", alpha), ("beta", beta)):
        if value != 0 and not LOW <= value <= HIGH:
            raise ValueError(f"{name}={value}: give {LOW} to {HIGH}, or 0 to leave the class out")
    rows, mixed = np.arange(len(pairs)), np.zeros((len(pairs), classes), dtype=np.float32)
    mixed[rows, pairs[:, 0]], mixed[rows, pairs[:, 1]] = alpha, beta
    return mixed


# The search


@dataclass(frozen=True, eq=False)
class Search:
    """The map of ``m_total``, separation plus consistency, over (alpha, beta).

    By our reading of the abstract both are cosine measures of samples in the recogniser's features.

    Attributes
    ----------
    grid : tuple of float
        Of alpha and of beta.
    separations : ndarray, shape (g, g, pairs, 2), in [0, 2]
        By alpha, beta, pair and source: 1 less the mean cosine of a sample of the mix with one of the source.
    consistency : ndarray, shape (g, g, pairs), in [-1, 1]
        Mean cosine of two samples of the mix.
    nearer : bool
        Whether the separation that counts is that from the nearer source, or the mean over both. The text
        at hand says "from both" and leaves it open. The mean has a flaw: an image of one source alone is far
        from the other, and scores as high as a mix.
    """

    grid: tuple[float, ...]
    separations: np.ndarray
    consistency: np.ndarray
    nearer: bool = True

    @property
    def separation(self) -> np.ndarray:
        """Shape (g, g, pairs)."""
        return self.separations.min(axis=3) if self.nearer else self.separations.mean(axis=3)

    @property
    def table(self) -> pd.DataFrame:
        """A row a point: ``alpha``, ``beta``, the means over pairs of ``separation``, ``consistency`` and
        ``m_total`` with its standard error ``se``, and how far it is ``behind`` the highest, with the
        standard error of that difference, ``behind_se``: pairs and noise are the same everywhere."""
        import pandas as pd

        total = self.separation + self.consistency
        highest = np.unravel_index(int(total.mean(axis=2).argmax()), total.shape[:2])
        behind, root = total[highest] - total, np.sqrt(total.shape[2])
        alpha, beta = np.meshgrid(self.grid, self.grid, indexing="ij")
        columns = {
            "alpha": alpha, "beta": beta, "separation": self.separation.mean(axis=2),
            "consistency": self.consistency.mean(axis=2), "m_total": total.mean(axis=2),
            "se": total.std(axis=2, ddof=1) / root, "behind": behind.mean(axis=2),
            "behind_se": behind.std(axis=2, ddof=1) / root,
        }  # fmt: skip
        return pd.DataFrame({name: values.ravel() for name, values in columns.items()})

    @property
    def best(self) -> dict[str, float]:
        """The highest point, a row of the table."""
        table = self.table
        return table.loc[table["m_total"].idxmax()].to_dict()

    @property
    def level(self) -> pd.DataFrame:
        """Points that these samples do not tell from the highest: behind by at most two standard errors."""
        table = self.table
        return table[table["behind"] <= 2 * table["behind_se"]]

    def among(self, least: float) -> Search:
        """The part of the map with alpha and beta of at least `least`.

        With weak conditions the images are of nobody in particular, for every pair alike: far from both
        sources and consistent, they may score highest, and as many labels would be given to one class.
        ``m_total`` does not ask whether different pairs give different mixes.
        """
        rows = [k for k, value in enumerate(self.grid) if value >= least]
        if not rows:
            raise ValueError(f"least={least}: the grid ends at {self.grid[-1]}")
        grid, part = tuple(self.grid[k] for k in rows), np.ix_(rows, rows)
        return Search(grid, self.separations[part], self.consistency[part], self.nearer)


def search(
    generator: Any, recogniser: Any, pairs: Any, *,
    classes: int, seed: int, grid: Sequence[float] = GRID, samples: int = 6,
) -> Search:  # fmt: skip
    """Try every alpha with every beta on the same pairs and the same noise.

    Parameters
    ----------
    generator : object with linear conditions
        ``sample(conditions=, seed=)``, of `classes` classes.
    recogniser : object with ``features(images) -> (n, d)``
    pairs : array of int, shape (n, 2)
        At least two: their scatter gives the standard error.
    grid : sequence of float
        Rising, from 0.1 to 1.1.
    samples : int
        Images of each mix and of each source, at least two.
    """
    require_linear(generator)
    pairs, grid, k = np.asarray(pairs), tuple(float(value) for value in grid), samples
    if not grid or not LOW <= min(grid) <= max(grid) <= HIGH or list(grid) != sorted(set(grid)):
        raise ValueError(f"grid={list(grid)}: give rising numbers from {LOW} to {HIGH}")
    if len(pairs) < 2 or k < 2:
        raise ValueError(f"{len(pairs)} pairs of {k} samples show no scatter; give two or more of each")
    repeated = np.repeat(pairs, k, axis=0)

    def centres_at(alpha: float, beta: float) -> np.ndarray:
        """Mean of the k unit features of each pair's samples, shape (pairs, d)."""
        wanted = conditions(repeated, alpha, beta, classes=classes)
        features = recogniser.features(generator.sample(conditions=wanted, seed=seed))
        return unit(features).reshape(len(pairs), k, -1).mean(axis=1)

    sources = np.stack([centres_at(1, 0), centres_at(0, 1)], axis=1)
    mixes = np.array([[centres_at(alpha, beta) for beta in grid] for alpha in grid])
    separations = 1 - (mixes[..., None, :] * sources).sum(axis=-1)
    # of all k * k products of two samples, less the k of a sample with itself
    consistency = (k**2 * (mixes**2).sum(axis=-1) - k) / (k * (k - 1))
    return Search(grid, separations, consistency)


# Pairs and the augmentation set


def centres(features: np.ndarray, labels: np.ndarray, *, classes: int) -> np.ndarray:
    """Mean direction of each class in a recogniser's features, shape (C, d), of length one."""
    return unit(np.stack([unit(features[labels == c]).mean(axis=0) for c in range(classes)]))


def choose_pairs(
    count: int, *, how: str = "random", classes: int | None = None, embedding: Any = None, seed: int
) -> np.ndarray:
    """Pairs of classes to mix, each once: int64, shape (count, 2).

    Parameters
    ----------
    how : {"random", "near", "distant"}
        Near and distant ones are drawn from the nearest and the most distant quarter of all pairs (more where
        `count` is more): the extremes alone would be the same few classes again and again. Of ScoreMix it is
        told that distant pairs gain more.
    classes : int, optional
        C; needed without `embedding`.
    embedding : ndarray, shape (C, d), optional
        A direction of each class, as :func:`centres` gives it; near and distant ones need it.
    """
    if how not in CHOICES:
        raise ValueError(f"how={how!r} is unknown; use one of {', '.join(CHOICES)}")
    if embedding is None and (how != "random" or classes is None):
        raise ValueError(f"how={how!r} needs embedding=, a direction of each class; random needs classes=")
    classes = classes if embedding is None else len(embedding)
    pool = np.column_stack(np.triu_indices(classes, k=1))
    if not 1 <= count <= len(pool):
        raise ValueError(f"count={count}: {classes} classes make {len(pool)} pairs")
    if how != "random":
        one, other = unit(embedding)[pool.T]
        closeness = (one * other).sum(axis=1)
        order = np.argsort(-closeness if how == "near" else closeness, kind="stable")
        pool = pool[order[: max(count, -(-len(pool) // 4))]]
    return pool[np.random.default_rng(seed).permutation(len(pool))[:count]]


def draw(
    generator: Any, pairs: Any, alpha: float, beta: float, *,
    images: int, classes: int, seed: int, scores: bool = False,
) -> Arrays:  # fmt: skip
    """An augmentation set, uint8 (n, h, w, 3), of `images` of each mix, and its labels (n,).

    Each mix is a new class: labels count from `classes` on, in the order of the pairs. Other arguments are as
    :func:`conditions` has them. With `scores` a diffusion model mixes scores along sampling (ScoreMix), with
    weights alpha and beta over their sum.
    """
    require_linear(generator)
    wanted = np.repeat(conditions(pairs, alpha, beta, classes=classes), images, axis=0)
    labels = classes + np.repeat(np.arange(len(pairs)), images)
    if not scores:
        return generator.sample(conditions=wanted, seed=seed), labels
    if not getattr(generator, "mixes_scores", False):
        raise ValueError("mixing scores needs a diffusion model; this generator mixes conditions alone")
    return generator.sample(scores=wanted / wanted.sum(axis=1, keepdims=True), seed=seed), labels


def pixel_mixes(images: np.ndarray, labels: np.ndarray, pairs: Any, *, count: int, seed: int) -> Arrays:
    """The control: `count` images of each pair, each the mean of an image of either class, as new classes.

    Labels count on after the highest of `labels`.
    """
    rng, made = np.random.default_rng(seed), []
    for pair in pairs:
        one, other = (images[rng.choice(np.flatnonzero(labels == c), count)].astype(np.uint16) for c in pair)
        made.append(((one + other + 1) // 2).astype(np.uint8))
    return np.concatenate(made), int(labels.max()) + 1 + np.repeat(np.arange(len(made)), count)


def dropped(model: Any, classes: int) -> Any:
    """`model` as a classifier of the first `classes` alone: the mixes' outputs are dropped wherever it
    scores, in the validations of its training as well."""
    every = model.logits
    model.logits = lambda images: every(images)[:, :classes]
    return model
