"""A rival of the metric that needs the images: how far a small classifier confuses the classes.

It is not in the paper, and it is cheap: no network is trained.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gmaug.datasets.base import ImageSet


@dataclass(frozen=True)
class Confusion:
    """Cross-validated errors of a small classifier, 0 to 1.

    Attributes
    ----------
    error : float
        Mean over classes of the share of their images that are put elsewhere.
    se : float
        Standard error of `error` (binomial, images as the unit).
    within : float
        Of the wrong ones, the share that stays in the right super-class; NaN where nothing is wrong.
    matrix : ndarray, shape (C, C)
        Row: true class; column: where its images go. Rows sum to one.
    images : int
        How many were used.
    """

    error: float
    se: float
    within: float
    matrix: np.ndarray
    images: int


def feature_confusion(
    images: ImageSet,
    *,
    size: int = 32,
    components: int = 64,
    folds: int = 5,
    most: int = 4000,
    seed: int = 0,
) -> Confusion:
    """How often classes are confused by linear discriminants on principal components of the pixels.

    Parameters
    ----------
    images : ImageSet
    size : int
        Side to which images are brought, pixels.
    components : int
        Principal components kept, at most.
    folds : int
        Cross-validation folds, drawn class by class.
    most : int
        With more images than this, a random part of each class is used, for time.
    seed : int
        Of the folds and of that part.

    Raises
    ------
    ValueError
        If there is one class only, or a class has fewer than two images.
    """
    from sklearn.decomposition import PCA
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline

    counts = {name: n for name, n in images.class_counts.items() if n}
    if len(counts) < 2:
        raise ValueError(f"{images.name}: one class cannot be confused with another; give two or more")
    few = min(counts, key=counts.get)
    if counts[few] < 2:
        raise ValueError(f"{images.name}: class {few!r} has {counts[few]} image; give each class two or more")
    chosen = _part(images.labels, most, np.random.default_rng(seed))
    y = images.labels[chosen]
    x = images.arrays(chosen, size=size).reshape(len(chosen), -1).astype(np.float32) / 255
    folds = min(folds, int(np.bincount(y)[np.unique(y)].min()))
    kept = min(components, (len(y) * (folds - 1)) // folds - 1, x.shape[1])
    present = np.unique(y)
    model = make_pipeline(
        PCA(kept, svd_solver="randomized", random_state=seed),
        # Equal priors: otherwise a long tail would be lost to the head without any confusion.
        LinearDiscriminantAnalysis(
            solver="lsqr", shrinkage="auto", priors=np.full(len(present), 1 / len(present))
        ),
    )
    guess = cross_val_predict(model, x, y, cv=StratifiedKFold(folds, shuffle=True, random_state=seed))
    matrix = np.zeros((len(images.classes),) * 2)
    np.add.at(matrix, (y, guess), 1.0)
    n = matrix.sum(axis=1)
    share = np.divide(matrix, n[:, None], out=np.zeros_like(matrix), where=n[:, None] > 0)
    wrong = 1 - np.diag(share)[present]
    supers = np.array([images.hierarchy.super_of(name) for name in images.classes])
    missed = y != guess
    within = float(np.mean(supers[y[missed]] == supers[guess[missed]])) if missed.any() else float("nan")
    se = float(np.sqrt(np.sum(wrong * (1 - wrong) / n[present])) / len(present))
    return Confusion(float(wrong.mean()), se, within, share, len(y))


def _part(labels: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Indices of at most about `most` images, the same share of every class but two at the least."""
    if len(labels) <= most:
        return np.arange(len(labels))
    kept = []
    for label in np.unique(labels):
        own = rng.permutation(np.flatnonzero(labels == label))
        kept.append(own[: max(2, round(len(own) * most / len(labels)))])
    return np.sort(np.concatenate(kept))
