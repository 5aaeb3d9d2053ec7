"""How far generated images are from real ones, and whether a class has collapsed (Table 2).

FID is the Fréchet distance of Inception-V3's features. With other features the same formula is
another quantity, so here a distance carries the extractor's name, its dimension and the two counts,
and is never called FID. Neither distance is comparable across extractors or counts: give the
real-against-real floor (:func:`floor`) beside it. Do not use the classifier that selected the
images as the extractor.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Distance:
    """A distance between two sets of images.

    Parameters
    ----------
    name : str
        Which distance, of which features.
    value, se : float
        The estimate and its standard error over images (nan where it was not asked for).
    n_real, n_fake, dimension : int
        Images on each side, and features of each.
    """

    name: str
    value: float
    se: float
    n_real: int
    n_fake: int
    dimension: int

    def __str__(self) -> str:
        return (
            f"{self.name}, d = {self.dimension}, N = {self.n_real} real, {self.n_fake} generated: "
            f"{self.value:.4g} +- {self.se:.2g}"
        )


@dataclass(frozen=True)
class Spread:
    """Diversity within one class: mean pairwise distance of its real and of its generated images."""

    label: int
    real: float
    fake: float
    n_real: int
    n_fake: int

    @property
    def ratio(self) -> float:
        """Generated over real: near 1 as diverse, near 0 collapsed to one picture."""
        return self.fake / self.real if self.real > 0 else float("nan")


def frechet(real: np.ndarray, fake: np.ndarray, *, name: str, groups: int = 10, seed: int = 0) -> Distance:
    """Fréchet distance between Gaussians fitted to two sets of features.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, with sample covariances. Biased upwards at
    finite N; with fewer images than dimensions the covariances are rank-deficient: give KID too.

    Parameters
    ----------
    real, fake : ndarray of float, shapes (n_real, d) and (n_fake, d)
    name : str
        The extractor's, for the result.
    groups : int
        The standard error is a delete-a-group jackknife with so many groups a side; 0 skips it.
    seed : int
        Deals the images to groups.

    Raises
    ------
    ValueError
        If the features are not two finite matrices with equal columns and at least 2 rows each.
    """
    real, fake = _features(real, fake)
    value = _frechet(real, fake)
    se = _group_jackknife(_frechet, real, fake, groups=groups, seed=seed)
    return Distance(f"Fréchet distance, {name}", value, se, len(real), len(fake), real.shape[1])


def _frechet(real: np.ndarray, fake: np.ndarray) -> float:
    a = (real - real.mean(axis=0)) / np.sqrt(len(real) - 1)
    b = (fake - fake.mean(axis=0)) / np.sqrt(len(fake) - 1)
    traces = (a * a).sum() + (b * b).sum()
    # tr (S1 S2)^(1/2) with S1 = a'a, S2 = b'b is the sum of the singular values of a b': no
    # matrix square root, nothing complex. Triangular factors first, where they are the smaller.
    if len(a) > a.shape[1]:
        a = np.linalg.qr(a, mode="r")
    if len(b) > b.shape[1]:
        b = np.linalg.qr(b, mode="r")
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(np.square(real.mean(axis=0) - fake.mean(axis=0)).sum() + traces - 2 * cross)


def joint(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features with the class beside them, so that an image of the wrong class counts as far away.

    The Fréchet distance of these is the joint distance of DeVries et al., *On the evaluation of
    conditional GANs* (2019): the class is one-hot, scaled to the mean length of the real features.

    Parameters
    ----------
    real, fake : ndarray, shapes (n, d) and (m, d)
    real_labels, fake_labels : ndarray of int, shapes (n,) and (m,)
        For a generated image the class that was asked for.

    Returns
    -------
    (ndarray, ndarray), shapes (n, d + C) and (m, d + C)
    """
    classes = np.union1d(real_labels, fake_labels)
    length = np.linalg.norm(np.asarray(real, dtype=np.float64), axis=1).mean()

    def beside(features: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return np.hstack([features, length * (np.asarray(labels)[:, None] == classes)])

    return beside(real, real_labels), beside(fake, fake_labels)


def kid(real: np.ndarray, fake: np.ndarray, *, name: str) -> Distance:
    """Kernel distance: the unbiased squared MMD with the kernel ``(x.y / d + 1)^3``.

    Bińkowski et al., *Demystifying MMD GANs* (ICLR 2018). Zero in expectation for two sets of one
    distribution, at any N; may come out negative. The standard error is a jackknife over images.

    Parameters
    ----------
    real, fake : ndarray of float, shapes (n_real, d) and (n_fake, d)
    name : str
        The extractor's, for the result.
    """
    real, fake = _features(real, fake)
    n, m, d = len(real), len(fake), real.shape[1]
    if min(n, m) < 3:
        raise ValueError(f"{n} real and {m} generated images; the jackknife needs 3 a side")
    rr, ff, rf = ((x @ y.T / d + 1) ** 3 for x, y in ((real, real), (fake, fake), (real, fake)))
    np.fill_diagonal(rr, 0)
    np.fill_diagonal(ff, 0)
    within_r, within_f, across = rr.sum() / (n * (n - 1)), ff.sum() / (m * (m - 1)), rf.mean()
    value = within_r + within_f - 2 * across
    # leaving out one image takes its row out of each sum
    less_r = (rr.sum() - 2 * rr.sum(axis=1)) / ((n - 1) * (n - 2)) - 2 * (rf.sum() - rf.sum(axis=1)) / (
        (n - 1) * m
    )
    less_f = (ff.sum() - 2 * ff.sum(axis=1)) / ((m - 1) * (m - 2)) - 2 * (rf.sum() - rf.sum(axis=0)) / (
        n * (m - 1)
    )
    variance = (n - 1) / n * np.square(less_r - less_r.mean()).sum()
    variance += (m - 1) / m * np.square(less_f - less_f.mean()).sum()
    return Distance(f"KID, {name}", float(value), float(np.sqrt(variance)), n, m, d)


def floor(
    measure: Callable[..., Distance],
    real: np.ndarray,
    *,
    n_real: int,
    n_fake: int,
    name: str,
    repeats: int = 10,
    seed: int = 0,
) -> Distance:
    """What `measure` gives between real and real at these counts: the best a generator could do.

    Parameters
    ----------
    measure : callable
        :func:`frechet` or :func:`kid`.
    real : ndarray, shape (n, d)
        Features of real images, ``n >= n_real + n_fake``.
    n_real, n_fake : int
        The counts of the distance to compare with.
    name : str
        The extractor's.
    repeats : int
        Random splits into disjoint sets; value and standard error are their mean and standard
        deviation (that of one such distance, not of the mean).

    Raises
    ------
    ValueError
        If there are fewer real images than both sides need.
    """
    if len(real) < n_real + n_fake:
        raise ValueError(f"a floor at {n_real} + {n_fake} images needs as many real ones, not {len(real)}")
    rng = np.random.default_rng(seed)
    values = []
    for _ in range(repeats):
        order = rng.permutation(len(real))
        one, other = real[order[:n_real]], real[order[n_real : n_real + n_fake]]
        found = measure(one, other, name=name, **({"groups": 0} if measure is frechet else {}))
        values.append(found.value)
    spread = float(np.std(values, ddof=1)) if repeats > 1 else float("nan")
    title = f"{found.name}, real against real"
    return Distance(title, float(np.mean(values)), spread, n_real, n_fake, real.shape[1])


def class_spread(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> list[Spread]:
    """Mode-collapse monitor: for each class, mean pairwise distance of generated and of real images.

    Parameters
    ----------
    real, fake : ndarray, shapes (n, ...) and (m, ...)
        Features or images; each row is flattened, distances are Euclidean.
    real_labels, fake_labels : ndarray of int, shapes (n,) and (m,)

    Returns
    -------
    list of Spread
        One for each class with at least two images on both sides.
    """
    real = np.asarray(real, dtype=np.float64).reshape(len(real), -1)
    fake = np.asarray(fake, dtype=np.float64).reshape(len(fake), -1)
    found = []
    for label in np.intersect1d(real_labels, fake_labels):
        ours, theirs = real[np.asarray(real_labels) == label], fake[np.asarray(fake_labels) == label]
        if min(len(ours), len(theirs)) > 1:
            found.append(Spread(int(label), _pairwise(ours), _pairwise(theirs), len(ours), len(theirs)))
    return found


def pixels(side: int = 8) -> Callable[[np.ndarray], np.ndarray]:
    """An extractor that needs no training: the image's means over a `side` x `side` grid, 0 to 1.

    Sees colours and coarse shapes only. `side` must divide the images' side.
    """

    def extract(images: np.ndarray) -> np.ndarray:
        n, height, width, channels = images.shape
        if height % side or width % side:
            raise ValueError(f"images of {height} x {width} px do not divide into {side} x {side} cells")
        cells = images.reshape(n, side, height // side, side, width // side, channels)
        return cells.mean(axis=(2, 4)).reshape(n, -1) / 255

    extract.name = f"pixels {side}x{side}"
    return extract


def _pairwise(x: np.ndarray) -> float:
    """Mean Euclidean distance over all pairs of rows."""
    from scipy.spatial.distance import pdist

    return float(pdist(x).mean())


def _features(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 2:
        raise ValueError(f"features are {real.shape} and {fake.shape}; give (n, d) and (m, d), n, m > 1")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("features hold nan or infinity; check the extractor and the images")
    return real, fake


def _group_jackknife(
    measure: Callable[[np.ndarray, np.ndarray], float],
    real: np.ndarray,
    fake: np.ndarray,
    *,
    groups: int,
    seed: int,
) -> float:
    """Standard error of `measure` by leaving out one group at a time, each side on its own."""
    if groups < 2 or min(len(real), len(fake)) < 2 * groups:
        return float("nan")
    rng, variance = np.random.default_rng(seed), 0.0
    for side in (0, 1):
        dealt = rng.permutation(len((real, fake)[side])) % groups
        sets = ((real[dealt != g], fake) if side == 0 else (real, fake[dealt != g]) for g in range(groups))
        values = np.array([measure(*pair) for pair in sets])
        variance += (groups - 1) / groups * np.square(values - values.mean()).sum()
    return float(np.sqrt(variance))
