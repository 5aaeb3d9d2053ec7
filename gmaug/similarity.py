"""SSIM-mergeCls and SSIM-supSubCls of an image set (section 3.3, Eqs 2 and 3), each with its error.

SSIM_set(X) is the mean SSIM of two different images drawn from X (Eq. 2). SSIM-mergeCls is that
of the whole set; SSIM-supSubCls is the largest among the super-classes (Eq. 3).

Two things make the error of these means other than it seems. Pairs share images, so the unit that is
redrawn is the image, not the pair (:func:`standard_error`). And a maximum of noisy means is too large:
with k equal means it lies 1.16 (k = 5) to 1.49 (k = 9) standard errors too high, so its interval is
simultaneous over super-classes, and a split-half value stands beside it.
"""

from __future__ import annotations

import html
import math
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

import numpy as np

from gmaug.datasets import open_images
from gmaug.datasets.base import ArrayImages, ImageSet, Skipped, UnreadableImage, counted, quiet_bombs
from gmaug.hierarchy import Hierarchy
from gmaug.progress import bar
from gmaug.ssim import Convention, convention_named, score_pairs, thread_count

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Estimate", "Sample", "Similarity", "all_pairs", "measure", "random_pairs", "ring_pairs"]

LEVEL = 0.95  # of every interval
FEWEST = 3  # images that a super-class needs to be the largest: two have one pair, and no error
MOST_PAIRS = 20_000_000  # of pairs="all": some minutes of work at 224 px on two cores, and 0.6 GiB of lists
CHUNK = 256  # images decoded between two visits of the main thread
STORE_BYTES = 256 * 2**20  # prepared pixels kept in memory; more than that goes to a scratch file
# More pairs cannot help once drawing them is this small a part of the standard error (its square
# is 4 % of the variance); the rest is how few images there are.
NEGLIGIBLE = 0.2
MOST_ROUNDS = 200  # of drawing towards a target
SPLITS = 50  # random halvings: the split-half value then moves by a tenth of its standard error or less
SHOWN = 20  # skipped files listed in text; all of them are in `skipped` and in JSON


# Which pairs of a set are compared


def pair_sampling(name: str) -> tuple[Literal["random", "balanced", "all"], int]:
    """Kind, and pairs an image, of ``"2n"`` (any number), ``"balanced"``, ``"balanced-4n"`` or ``"all"``."""
    match = re.fullmatch(r"(?:(balanced)|(balanced-)?([1-9][0-9]{0,5})n|(all))", name)
    if not match:
        raise ValueError(f"pairs={name!r} is unknown; use '2n' (or '10n', ...), 'balanced' or 'all'")
    plain, dashed, count, every = match.groups()
    return "all" if every else "balanced" if plain or dashed else "random", int(count or 2)


def random_pairs(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """`m` pairs of different images out of `n`, each drawn anew, as section 3.2 does for Eq. 2.

    Returns
    -------
    ndarray of int64, shape (m, 2)
    """
    if n < 2:
        return np.empty((0, 2), np.int64)
    first = rng.integers(0, n, m)
    second = rng.integers(0, n - 1, m)
    return np.stack([first, second + (second >= first)], axis=1)


def all_pairs(n: int) -> np.ndarray:
    """Every pair of different images once, int64, shape (n (n - 1) / 2, 2).

    Raises
    ------
    ValueError
        If they are too many to list.
    """
    count = n * (n - 1) // 2
    if count > MOST_PAIRS:
        raise ValueError(f"all pairs of {n} images are {count}; use pairs='2n' or 'balanced'")
    return np.stack(np.triu_indices(n, 1), axis=1).astype(np.int64)


def ring_pairs(n: int, per_image: int) -> np.ndarray:
    """Image t with the `per_image` images before it on a ring: each image is in 2 * `per_image` pairs.

    Laid on a random order, every pair of images is as likely as any other, and no image counts
    more than another: the mean's error is smaller than with as many pairs drawn at random. A set
    too small for the ring gives all its pairs.

    Returns
    -------
    ndarray of int64, shape (per_image * n, 2)
    """
    if n <= 2 * per_image + 1:
        return all_pairs(n)
    t = np.arange(n, dtype=np.int64)
    return np.concatenate([np.stack([t, (t - step) % n], axis=1) for step in range(1, per_image + 1)])


# Eq. 2 and its error


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs of images.

    Attributes
    ----------
    value : float
        Mean SSIM of the pairs; NaN if there is no pair.
    se : float
        Standard error over images, as a sample of the images there might be; NaN if it cannot be
        told (fewer than three images).
    low, high : float
        95 % interval, Student's t with `freedom`.
    images, pairs : int
        How many went in.
    se_pairs : float
        Error of drawing pairs alone: how far the value may be from the mean over *all* pairs of
        these very images. 0 if all pairs were taken.
    freedom : float
        Images that count, less one: fewer than there are where some are in many pairs and others in few.
    """

    value: float
    se: float
    low: float
    high: float
    images: int
    pairs: int
    se_pairs: float = math.nan
    freedom: float = math.nan

    def __str__(self) -> str:
        if math.isnan(self.value):
            return "not measured"
        return f"{self.value:.4f}" + ("" if math.isnan(self.se) else f" ± {self.se:.4f}")

    def reach(self, level: float = LEVEL) -> float:
        """Half the width of a two-sided interval of this level."""
        from scipy.special import stdtrit

        freedom = self.images - 1 if math.isnan(self.freedom) else self.freedom
        return float(stdtrit(max(freedom, 1), 0.5 + level / 2)) * self.se


def left_out(pairs: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """By how much the mean over pairs exceeds that without image i, for each image.

    Returns
    -------
    ndarray of float64, shape (n,)
        Infinite or NaN for an image that is in all pairs.
    """
    deviation = values - values.mean()
    share = np.bincount(pairs.ravel(), np.repeat(deviation, 2), n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return share / (len(pairs) - np.bincount(pairs.ravel(), minlength=n))


def standard_error(pairs: np.ndarray, values: np.ndarray, n: int) -> float:
    """Standard error of the mean over pairs when images are the unit.

    The jackknife leaves one image out at a time, exactly. By itself it is too large: what belongs to a
    pair and to neither of its images goes out with either of them, and is counted twice. So the variance
    is taken apart. Any symmetric score of independent images is a mean, a part of each image and a part
    of the pair, all uncorrelated (Hoeffding, 1948). The expectations of the jackknife's sum of squares
    and of the scores' own sum of squares are known combinations of the two parts' variances, given which
    pairs were drawn; two equations give both, and from them the variance of the mean, without bias for
    any choice of pairs. Where a part comes out negative it is zero; three images cannot tell
    the parts apart, and the jackknife stands as it is, which errs upwards.

    Parameters
    ----------
    pairs : ndarray of int, shape (m, 2)
        Images 0 to n - 1; a pair may occur more than once.
    values : ndarray of float, shape (m,)
    n : int
        Images.

    Returns
    -------
    float
        NaN with fewer than three images or two different pairs, or if one image is in all pairs.
    """
    m = len(values)
    moved = left_out(pairs, values, n) if n >= 3 and m >= 2 else np.array([math.nan])
    if not np.isfinite(moved).all():
        return math.nan
    low, high = pairs.min(axis=1), pairs.max(axis=1)
    key, times = np.unique(low.astype(np.int64) * n + high, return_counts=True)
    if len(key) < 2:
        return math.nan
    i, j = np.divmod(key, n)

    def over_images(x: np.ndarray, y: np.ndarray | None = None) -> np.ndarray:
        """Sum of x over the pairs of each image; of y where the image is the second of the pair."""
        return np.bincount(i, x, n) + np.bincount(j, x if y is None else y, n)

    degree, squares = over_images(times), over_images(times**2)
    # Without image i the mean gives its own pairs the weight 0 and the others 1 / rest: the difference
    # from the mean gives image k the weight  b C_ik + a degree_k  (C_ik pairs join i and k).
    rest = m - degree
    a, b = -degree / (m * rest), 1 / rest
    joined = over_images(times * degree[j], times * degree[i])
    of_images, of_pairs = (degree**2).sum() / m**2, (times**2).sum() / m**2  # of the mean's variance
    jackknife_images = (
        a**2 * ((degree**2).sum() - degree**2) + 2 * a * b * joined + b**2 * squares + (degree / m) ** 2
    ).sum()
    jackknife_pairs = (a**2 * ((times**2).sum() - squares) + squares / m**2).sum()
    scores_images, scores_pairs = 2 * m - m * of_images, m - m * of_pairs
    jackknife, scores = (moved**2).sum(), ((values - values.mean()) ** 2).sum()
    determinant = jackknife_images * scores_pairs - scores_images * jackknife_pairs
    image, pair = jackknife / jackknife_images, 0.0
    if abs(determinant) > 1e-9 * jackknife_images * scores_pairs:
        both = (
            jackknife * scores_pairs - scores * jackknife_pairs,
            jackknife_images * scores - scores_images * jackknife,
        )
        if min(part / determinant for part in both) >= 0:
            image, pair = (part / determinant for part in both)
        elif both[0] / determinant < 0:
            image, pair = 0.0, scores / scores_pairs
    return math.sqrt(image * of_images + pair * of_pairs)


def estimate(pairs: np.ndarray, values: np.ndarray, n: int) -> Estimate:
    """Mean of `values` with its error; parameters as in :func:`standard_error`."""
    if len(values) == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, 0)
    value, se, every = float(values.mean()), standard_error(pairs, values, n), n * (n - 1) // 2
    scatter = float(values.std(ddof=1)) / math.sqrt(len(values)) if len(values) > 1 else math.nan
    complete = len(values) == every and len(np.unique(pairs.min(axis=1) * n + pairs.max(axis=1))) == every
    degree = np.bincount(pairs.ravel(), minlength=n)
    found = Estimate(
        value, se, math.nan, math.nan, n, len(values), 0.0 if complete else scatter,
        freedom=float(degree.sum() ** 2 / (degree**2).sum() - 1),
    )  # fmt: skip
    return replace(found, low=value - found.reach(), high=value + found.reach())


@dataclass(frozen=True)
class Sample:
    """The pairs that were scored in one set, in the order they were drawn.

    Attributes
    ----------
    pairs : ndarray of int64, shape (m, 2)
        Images of the set, 0 to n - 1.
    values : ndarray of float64, shape (m,)
        Their SSIM.
    labels : ndarray of int64, shape (n,)
        Sub-class of each image.
    """

    pairs: np.ndarray
    values: np.ndarray
    labels: np.ndarray

    @property
    def images(self) -> int:
        """n, the images of the set."""
        return len(self.labels)

    @property
    def different(self) -> np.ndarray:
        """Whether the two images of a pair are of different sub-classes, bool, shape (m,)."""
        return self.labels[self.pairs[:, 0]] != self.labels[self.pairs[:, 1]]

    def estimate(self, chosen: np.ndarray | slice = slice(None)) -> Estimate:
        """Mean over all pairs, or over those that are chosen."""
        return estimate(self.pairs[chosen], self.values[chosen], self.images)

    def trace(self, *, points: int = 60) -> pd.DataFrame:
        """Running mean as pairs come in, at numbers of pairs that grow by a constant factor.

        Returns
        -------
        DataFrame
            ``pairs``, ``mean``, ``se`` (over images) and ``se_pairs`` (of drawing pairs alone).
        """
        import pandas as pd

        m = len(self.values)
        rows = []
        for k in np.unique(np.geomspace(min(10, m), m, points).astype(int)) if m else []:
            seen = np.unique(self.pairs[:k])
            e = estimate(np.searchsorted(seen, self.pairs[:k]), self.values[:k], len(seen))
            rows.append({"pairs": int(k), "mean": e.value, "se": e.se, "se_pairs": e.se_pairs})
        return pd.DataFrame(rows, columns=["pairs", "mean", "se", "se_pairs"])


# Eq. 3 and how far a maximum can be trusted. Super-classes share no image, so their errors are independent.


def candidates(estimates: Mapping[str, Estimate]) -> dict[str, Estimate]:
    """Super-classes that can be the largest: those with a value and at least three images."""
    return {name: e for name, e in estimates.items() if e.images >= FEWEST and not math.isnan(e.value)}


def argmax_probability(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Probability that each super-class is the one with the largest true mean.

    Each true mean is taken as normal around its estimate, with its standard error, independent of
    the others. By quadrature, so there is no seed. Super-classes without a standard error are
    left out.
    """
    from scipy.special import ndtr

    known = {name: e for name, e in candidates(estimates).items() if not math.isnan(e.se)}
    if not known:
        return {}
    value = np.array([e.value for e in known.values()])
    se = np.array([max(e.se, 1e-9) for e in known.values()])  # 0 where all images are the same
    grid = np.unique(value + se * np.linspace(-8, 8, 801)[:, None])
    z = (grid[:, None] - value) / se
    below, density = ndtr(z), np.exp(-0.5 * z**2) / (se * math.sqrt(2 * math.pi))
    shares = [
        np.trapezoid(density[:, k] * np.prod(np.delete(below, k, axis=1), axis=1), grid)
        for k in range(len(value))
    ]
    return {name: float(share / sum(shares)) for name, share in zip(known, shares, strict=True)}


def simultaneous_interval(estimates: Mapping[str, Estimate], *, level: float = LEVEL) -> tuple[float, float]:
    """Interval that holds the largest true mean with at least this probability.

    Every mean gets an interval of level ``level ** (1 / k)``, so that all k hold at once with
    probability `level` (Šidák, for independent errors); the largest true mean then lies between
    the largest lower end and the largest upper end. (nan, nan) if a mean has no standard error.
    """
    known = candidates(estimates).values()
    if not known or any(math.isnan(e.se) for e in known):
        return math.nan, math.nan
    each = level ** (1 / len(known))
    return max(e.value - e.reach(each) for e in known), max(e.value + e.reach(each) for e in known)


def split_half(samples: Mapping[str, Sample], *, seed: int, splits: int = SPLITS) -> float:
    """The maximum without its optimism: chosen on one half of the images, measured on the other.

    Images of every super-class are halved at random; the super-class with the largest mean over
    pairs within the one halves is chosen, and its mean over pairs within the other halves is
    taken; then the halves change places. The mean over `splits` halvings.

    Returns
    -------
    float
        NaN if no halving left pairs in both halves.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(splits):
        first, second = {}, {}
        for name, sample in samples.items():
            side = rng.permutation(sample.images) < sample.images / 2
            a, b = side[sample.pairs[:, 0]], side[sample.pairs[:, 1]]
            if (a & b).any() and (~a & ~b).any():
                first[name] = np.mean(sample.values[a & b])  # noqa: PD011
                second[name] = np.mean(sample.values[~a & ~b])  # noqa: PD011
        if first:
            found.append(second[max(first, key=first.get)])
            found.append(first[max(second, key=second.get)])
    return float(np.mean(found)) if found else math.nan


# What is found, and how it is printed


@dataclass(frozen=True)
class Similarity:
    """The metric of one image set.

    Attributes
    ----------
    name : str
        The image set's.
    ssim_merge_cls : Estimate
        Mean over pairs of the whole set (Eq. 2).
    ssim_sup_sub_cls : Estimate
        The largest super-class's (Eq. 3), with its standard error. Its interval is that of the
        maximum: simultaneous over super-classes, since the largest was picked after the fact.
    argmax : str
        Which super-class that is, among those with at least three images.
    super_classes : dict of str to Estimate
        Every super-class; one with fewer than two images has the value NaN.
    skipped : tuple of Skipped
        Files left out, with the reason.
    convention : Convention
    hierarchy : Hierarchy
    pairs : str
        How pairs were chosen, as given to :func:`measure`.
    seed : int
    samples : mapping of str to Sample
        The pairs behind each number; ``""`` is the whole set.
    target_se : float or None
    stopped : mapping of str to str
        Where a target was given, why drawing ended in each set: "target" (met), "images" (only more
        images would help) or "rounds".
    """

    name: str
    ssim_merge_cls: Estimate
    ssim_sup_sub_cls: Estimate
    argmax: str
    super_classes: dict[str, Estimate]
    skipped: tuple[Skipped, ...]
    convention: Convention
    hierarchy: Hierarchy = field(repr=False)
    pairs: str = "2n"
    seed: int = 0
    samples: Mapping[str, Sample] = field(default_factory=dict, repr=False)
    target_se: float | None = None
    stopped: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images that were used."""
        return self.ssim_merge_cls.images

    @cached_property
    def argmax_probability(self) -> dict[str, float]:
        """Probability of each super-class to be the most alike one."""
        return argmax_probability(self.super_classes)

    @cached_property
    def split_half(self) -> float:
        """SSIM-supSubCls without the optimism of a maximum, from halves of the images."""
        return split_half(
            {name: self.samples[name] for name in candidates(self.super_classes)}, seed=self.seed
        )

    @cached_property
    def cross_sub_class(self) -> dict[str, Estimate]:
        """Second reading: pairs of different sub-classes alone, for super-classes that hold several.

        Two images of one sub-class may be alike for a reason that has nothing to do with telling
        sub-classes apart.
        """
        samples = {name: self.samples[name] for name in self.super_classes}
        several = {name: s for name, s in samples.items() if len(np.unique(s.labels)) > 1}
        return {name: sample.estimate(sample.different) for name, sample in several.items()}

    @property
    def too_few(self) -> dict[str, int]:
        """Super-classes with fewer than three images, which cannot be the largest, and their images."""
        return {name: e.images for name, e in self.super_classes.items() if e.images < FEWEST}

    def trace(self, super_class: str = "", *, points: int = 60) -> pd.DataFrame:
        """Running mean over pairs of the whole set, or of one super-class."""
        if super_class not in self.samples:
            raise ValueError(f"{super_class!r} is no super-class; there are {', '.join(self.super_classes)}")
        return self.samples[super_class].trace(points=points)

    def to_row(self) -> dict[str, Any]:
        """The measurement in one line.

        Returns
        -------
        dict
            ``convention``, ``size``, ``images``; ``merge``, ``merge_se``; ``sup_sub`` with ``sup_sub_se``,
            ``low``, ``high`` (simultaneous, 95 %); ``argmax`` and its probability ``p_argmax``;
            ``split_half``; ``across``: the largest mean over pairs of different sub-classes alone,
            None without any.
        """
        merged, largest = self.ssim_merge_cls, self.ssim_sup_sub_cls
        across = [e.value for e in self.cross_sub_class.values() if e.pairs]
        return {
            "convention": self.convention.name, "size": self.convention.size, "images": self.images,
            "merge": merged.value, "merge_se": merged.se,
            "sup_sub": largest.value, "sup_sub_se": largest.se, "low": largest.low, "high": largest.high,
            "argmax": self.argmax, "p_argmax": self.argmax_probability.get(self.argmax),
            "split_half": self.split_half, "across": max(across) if across else None,
        }  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row per super-class, the most alike first, and one for the whole set."""
        import pandas as pd

        rows = {name: (len(self.hierarchy.groups[name]), e) for name, e in self._ranked()}
        rows["all classes (SSIM-mergeCls)"] = (len(self.hierarchy.sub_classes), self.ssim_merge_cls)
        table = pd.DataFrame(
            [
                {
                    "sub_classes": subs, "images": e.images, "pairs": e.pairs,
                    "ssim": e.value, "se": e.se, "low": e.low, "high": e.high,
                }
                for subs, e in rows.values()
            ],
            index=pd.Index(rows, name="super_class"),
        )  # fmt: skip
        table["p_largest"] = pd.Series(self.argmax_probability)
        table["cross_sub_class"] = pd.Series(
            {name: e.value for name, e in self.cross_sub_class.items()}, dtype=float
        )
        return table

    def to_dict(self) -> dict[str, Any]:
        """What ``python -m gmaug similarity --json`` prints; NaN becomes None."""
        found = {
            "images": self.images,
            "skipped": [{"path": s.path, "reason": s.reason} for s in self.skipped],
            "ssim_merge_cls": _summary(self.ssim_merge_cls),
            "ssim_sup_sub_cls": {
                **_summary(self.ssim_sup_sub_cls),
                "argmax": self.argmax,
                "argmax_probability": self.argmax_probability,
                "split_half": _number(self.split_half),
            },
            "super_classes": {name: _row(e) for name, e in self.super_classes.items()},
            "cross_sub_class": {name: _row(e) for name, e in self.cross_sub_class.items()},
            "convention": self.convention.name,
            "design": self.pairs,
            "seed": self.seed,
        }
        if self.target_se is not None:
            missed = self._missed()
            found["target_se"] = {"target": self.target_se, "met": not missed, "missed": missed}
        return found

    def _missed(self) -> dict[str, str]:
        """Sets that did not meet the target, and what it would take."""
        advice = {"images": "only more images would lower it", "rounds": "more pairs would lower it"}
        names = {name: name or "all classes" for name in self.stopped}
        return {names[name]: advice[why] for name, why in self.stopped.items() if why != "target"}

    def _ranked(self) -> list[tuple[str, Estimate]]:
        """Super-classes, the most alike first, those without a value last."""
        return sorted(self.super_classes.items(), key=lambda item: -np.nan_to_num(item[1].value, nan=-2))

    def _head(self) -> str:
        return (
            f"{self.name}: {self.images} images in {counted(len(self.super_classes), 'super-class')} "
            f"({self.hierarchy.source}), convention {self.convention.name!r}, pairs {self.pairs!r}"
        )

    def _notes(self) -> list[str]:
        """What a reader has to know beside the numbers."""
        notes = []
        if self.too_few:
            names = ", ".join(f"{name} ({count})" for name, count in self.too_few.items())
            notes.append(f"too few images to be the largest (it takes {FEWEST}): {names}")
        if self.target_se is not None:
            missed = [f"{name} ({why})" for name, why in self._missed().items()]
            notes.append(
                f"the standard error asked for, {self.target_se:g}: "
                + (f"not met by {', '.join(missed)}" if missed else "met by every set")
            )
        return notes

    def __str__(self) -> str:
        sure = self.argmax_probability.get(self.argmax, math.nan)
        lines = [
            self._head(),
            f"  SSIM-mergeCls  {_interval(self.ssim_merge_cls)}",
            f"  SSIM-supSubCls {_interval(self.ssim_sup_sub_cls)}",
            f"    the largest: {self.argmax}" + ("" if math.isnan(sure) else f" (probability {sure:.2f})"),
        ]
        if not math.isnan(self.split_half):
            lines[-1] += f"; without the optimism of a maximum (split halves) {self.split_half:.4f}"
        width = max(len(name) for name in self.super_classes)
        for name, e in self._ranked():
            across = self.cross_sub_class.get(name)
            more = f", across sub-classes {across}" if across and across.pairs else ""
            lines.append(f"    {name:{width}}  {e!s:17}  {e.images} images, {e.pairs} pairs{more}")
        lines += [f"  {note}" for note in self._notes()]
        lines += [f"  skipped: {s.path}: {s.reason}" for s in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"  skipped: {len(self.skipped) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        notes = [*self._notes(), *([f"{len(self.skipped)} files skipped"] if self.skipped else [])]
        return (
            f"<p>{html.escape(self._head())}<br>SSIM-mergeCls <b>{_interval(self.ssim_merge_cls)}</b>, "
            f"SSIM-supSubCls <b>{_interval(self.ssim_sup_sub_cls)}</b>, the largest: "
            f"{html.escape(self.argmax)}{''.join(f'<br>{html.escape(note)}' for note in notes)}</p>"
            + self.to_frame().to_html(float_format="{:.4f}".format, na_rep="")
        )


def _interval(e: Estimate) -> str:
    return str(e) if math.isnan(e.low) else f"{e} (95 %: {e.low:.4f} to {e.high:.4f})"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _summary(e: Estimate) -> dict[str, Any]:
    return {"value": _number(e.value), "se": _number(e.se), "interval": [_number(e.low), _number(e.high)]}


def _row(e: Estimate) -> dict[str, Any]:
    return {"value": _number(e.value), "se": _number(e.se), "images": e.images, "pairs": e.pairs}


# Measuring


def measure(
    images: ImageSet | np.ndarray | str | os.PathLike[str],
    labels: Iterable[int] | None = None,
    *,
    hierarchy: Hierarchy | None = None,
    convention: str | Convention = "paper",
    pairs: str = "2n",
    target_se: float | None = None,
    seed: int = 0,
    strict: bool = False,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Similarity:
    """Measure SSIM-mergeCls and SSIM-supSubCls (Eqs 2 and 3).

    Parameters
    ----------
    images : ImageSet, path, name or array
        A folder or a name as :func:`gmaug.datasets.open_images` takes them, or uint8 of shape
        (n, h, w[, 3]) with `labels`.
    labels : sequence of int, shape (n,), optional
        Sub-class of each image of an array.
    hierarchy : Hierarchy, optional
        Super-classes; the image set's own by default.
    convention : str or Convention
        How SSIM is taken; only numbers of one convention compare.
    pairs : str
        ``"2n"``: twice as many random pairs as there are images in each set, as in the paper; any
        other whole number likewise. A set with no more than so many pairs gives all of them once.
        ``"balanced"`` (or ``"balanced-4n"``): as many, laid so that each image is in equally many
        pairs, which makes the error a little smaller.
        ``"all"``: every pair, for small sets.
    target_se : float, optional
        Go on drawing random pairs, so many at a time, until the standard error of a set is no
        larger, or until it is due to the number of images alone (see ``stopped``).
    seed : int
        Of the pairs. The same seed gives the same result, whatever `jobs`.
    strict : bool
        Stop at the first image that cannot be used, instead of listing it in ``skipped``. A file beside
        the class folders that is no image, such as a README, is no reason to stop.
    jobs : int, optional
        Threads; all cores by default.
    device : str
        ``"cuda"`` scores pairs there, through torch; decoding stays on the CPU.
    progress : bool
        Show bars.

    Returns
    -------
    Similarity
        Values in [-1, 1], each with its standard error over images and a 95 % interval.

    Raises
    ------
    UnreadableImage
        With `strict`, at the first image that cannot be used.
    ValueError
        If no super-class has three usable images, or a setting is wrong.

    Notes
    -----
    Peak memory does not grow with the number of images, but for the lists of pairs (40 bytes a pair): it
    stays below 0.6 GiB, since prepared pixels beyond 0.25 GiB go to a scratch file in the temporary folder.
    """
    images = _image_set(images, labels)
    convention, (kind, per_image) = convention_named(convention), pair_sampling(pairs)
    hierarchy = hierarchy or images.hierarchy
    if target_se is not None and (kind != "random" or not target_se > 0):
        raise ValueError(
            f"target_se={target_se} with pairs={pairs!r}; it takes a positive number and random pairs"
        )
    if seed < 0:
        raise ValueError(f"seed={seed}; use 0 or more")
    if strict and (stop := next((one for one in images.skipped if not one.harmless), None)):
        raise ValueError(f"{stop.path}: {stop.reason}; mend it, or do without strict")
    order = np.arange(len(images))
    if kind == "balanced":  # the ring is laid on a random order
        order = np.random.default_rng(seed).permutation(len(images))
    decoded = _decoded(images, order, convention, jobs=jobs, progress=progress)
    options = {"threads": jobs, "device": device}
    with tempfile.TemporaryFile(prefix="gmaug-pixels-") as scratch:
        stored = _store(images, decoded, scratch, strict=strict)
        labels = images.labels[stored.good]
        groups = hierarchy.members(labels, images.classes)
        names, members = list(groups), [np.arange(len(labels)), *groups.values()]
        found, stopped = _draw(
            members, labels, ["", *names], (kind, per_image), seed, target_se,
            lambda lists: _score(stored, lists, convention, options, progress),
        )  # fmt: skip
    samples = dict(zip(("", *names), found, strict=True))
    estimates = {name: sample.estimate() for name, sample in samples.items()}
    merged = estimates.pop("")
    if not (usable := candidates(estimates)):
        raise ValueError(f"{images.name}: no super-class has three usable images; add images")
    argmax = max(usable, key=lambda name: usable[name].value)
    low, high = simultaneous_interval(usable)
    return Similarity(
        name=images.name,
        ssim_merge_cls=merged,
        ssim_sup_sub_cls=replace(usable[argmax], low=low, high=high),
        argmax=argmax,
        super_classes=estimates,
        skipped=(*images.skipped, *sorted(stored.bad, key=lambda s: s.path)),
        convention=convention,
        hierarchy=hierarchy,
        pairs=pairs,
        seed=seed,
        samples=samples,
        target_se=target_se,
        stopped=stopped,
    )


def _image_set(
    images: ImageSet | np.ndarray | str | os.PathLike[str], labels: Iterable[int] | None
) -> ImageSet:
    if isinstance(images, (str, os.PathLike)):
        images = open_images(images)
    if isinstance(images, ImageSet):
        if labels is not None:
            raise ValueError(f"{images.name} has labels of its own; give labels with an array alone")
        return images
    if labels is None:
        raise ValueError("images are an array without labels; give labels=, one for each image")
    return ArrayImages(np.asarray(images), labels)


def _draw(
    members: list[np.ndarray],
    labels: np.ndarray,
    names: list[str],
    sampling: tuple[str, int],
    seed: int,
    target_se: float | None,
    score: Callable[[list[np.ndarray]], list[np.ndarray]],
) -> tuple[list[Sample], dict[str, str]]:
    """Draw and score pairs of each set of images; why drawing stopped."""
    kind, per_image = sampling
    # A stream for each set: what one draws does not depend on how much another does.
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(members))]

    def draw(k: int) -> np.ndarray:
        n = len(members[k])
        if kind == "balanced":
            return ring_pairs(n, per_image)
        if kind == "all" or n - 1 <= 2 * per_image:
            return all_pairs(n)
        return random_pairs(n, per_image * n, streams[k])

    pairs = [draw(k) for k in range(len(members))]
    values = score([members[k][p] for k, p in enumerate(pairs)])
    stopped: dict[str, str] = {}
    going = list(range(len(members))) if target_se is not None else []
    for _ in range(MOST_ROUNDS):
        for k in list(going):
            e = estimate(pairs[k], values[k], len(members[k]))
            met, hopeless = e.se <= target_se, not e.se_pairs > NEGLIGIBLE * e.se
            stopped[names[k]] = "target" if met else "images" if hopeless else "rounds"
            if met or hopeless:
                going.remove(k)
        if not going:
            break
        more = [draw(k) for k in going]
        scored = score([members[k][p] for k, p in zip(going, more, strict=True)])
        for k, p, v in zip(going, more, scored, strict=True):
            pairs[k], values[k] = np.concatenate([pairs[k], p]), np.concatenate([values[k], v])
    return [Sample(p, v, labels[m]) for p, v, m in zip(pairs, values, members, strict=True)], stopped


# Decoding, and where prepared pixels are kept


def _decoded(
    images: ImageSet, indices: np.ndarray, convention: Convention, *, jobs: int | None, progress: bool
) -> Iterator[tuple[int, np.ndarray | UnreadableImage]]:
    """Images in the order asked for, uint8, shape (planes, h, w), brought to the convention's size."""
    jobs = thread_count(jobs)
    shown = bar(desc=f"decoding {images.name}", total=len(indices), unit="image", disable=not progress)
    with quiet_bombs(), ThreadPoolExecutor(jobs) as pool, shown:
        for start in range(0, len(indices), CHUNK):
            part = indices[start : start + CHUNK].tolist()
            yield from zip(part, pool.map(lambda i: _one(images, i, convention), part), strict=True)
            shown.update(len(part))


def _one(images: ImageSet, index: int, convention: Convention) -> np.ndarray | UnreadableImage:
    side = convention.side
    try:
        with images.opened(index, size=convention.size or side) as image:  # bounds the pixels held at once
            width, height = image.size
            if min(image.size) < side:
                paths = getattr(images, "paths", None)
                name = str(paths[index]) if paths else f"{images.name}[{index}]"
                reason = f"{width}x{height} pixels, smaller than the {side}x{side} window"
                return UnreadableImage(name, reason)
            pixels = convention.prepare(image)
    except UnreadableImage as error:
        return error
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


@dataclass(frozen=True)
class _Stored:
    """Prepared images: their numbers, pixels (an array, or a function that reads some), and one's shape."""

    good: np.ndarray
    pixels: np.ndarray | Callable[[np.ndarray], np.ndarray]
    shape: tuple[int, ...]
    bad: list[Skipped]


def _store(
    images: ImageSet,
    decoded: Iterable[tuple[int, np.ndarray | UnreadableImage]],
    scratch: BinaryIO,
    *,
    strict: bool,
) -> _Stored:
    """Keep prepared images in memory while they are few, in the file `scratch` when they are many."""
    good, bad, array, shape = [], [], None, ()
    for index, planes in decoded:
        if isinstance(planes, UnreadableImage):
            if strict:
                raise planes
            bad.append(planes.skipped)
            continue
        if not good:
            shape = planes.shape
            if len(images) * planes.nbytes <= STORE_BYTES:
                array = np.empty((len(images), *shape), np.uint8)
        if planes.shape != shape:
            raise ValueError(
                f"{images.name}[{index}]: {planes.shape[1:]} pixels where others have {shape[1:]}; "
                "use a convention with a size"
            )
        if array is not None:
            array[len(good)] = planes
        else:
            try:
                scratch.write(planes.tobytes())
            except OSError as error:
                raise OSError(
                    f"no room for prepared pixels in the temporary folder ({error.strerror}); set TMPDIR "
                    "to another, or measure a part of the images"
                ) from None
        good.append(index)

    def read(indices: np.ndarray) -> np.ndarray:
        out = np.empty((len(indices), *shape), np.uint8)
        for row, index in zip(out, indices, strict=True):
            scratch.seek(int(index) * row.nbytes)
            scratch.readinto(memoryview(row).cast("B"))
        return out

    return _Stored(np.array(good, np.int64), read if array is None else array, shape, bad)


def _score(
    stored: _Stored, lists: list[np.ndarray], convention: Convention, options: dict, progress: bool
) -> list[np.ndarray]:
    """SSIM of several lists of pairs of stored images."""
    every = np.concatenate(lists)
    values = np.empty(len(every))
    with bar(desc="comparing", total=len(every), unit="pair", disable=not progress) as shown:
        for rows, part in score_pairs(stored.pixels, every, convention, **options):
            values[rows] = part
            shown.update(len(rows))
    return np.split(values, np.cumsum([len(pairs) for pairs in lists])[:-1])
