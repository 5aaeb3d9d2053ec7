"""SSIM-mergeCls and SSIM-supSubCls of an image set (section 3.3, Eqs 2 and 3), each with its error.

Pairs share images, so the unit that is redrawn for an error is the image, not the pair. And a maximum of
noisy means is too large: with k equal means it lies 1.16 (k = 5) to 1.49 (k = 9) standard errors too high, so
its interval is simultaneous over super-classes, and a split-half value stands beside it.
"""

from __future__ import annotations

import html
import math
import re
import tempfile
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from scipy.special import ndtr, stdtrit

from gmaug.datasets import open_images
from gmaug.datasets.base import ImageSet, Skipped, UnreadableImage, counted, quiet_bombs
from gmaug.hierarchy import Hierarchy
from gmaug.progress import bar
from gmaug.ssim import Convention, convention_named, score_pairs, thread_count

if TYPE_CHECKING:
    import pandas as pd

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


def pair_sampling(name: str) -> Callable[[int, np.random.Generator], np.ndarray]:
    """The function of n and a random generator that draws pairs; `name` as :func:`measure` takes it."""
    if name == "all":
        return lambda n, rng: all_pairs(n)
    if name == "balanced":
        return lambda n, rng: ring_pairs(n)
    if not re.fullmatch(r"[1-9][0-9]{0,5}n", name):
        raise ValueError(f"pairs={name!r} is unknown; use '2n' (or '10n', ...), 'balanced' or 'all'")
    times = int(name[:-1])
    return lambda n, rng: all_pairs(n) if n - 1 <= 2 * times else random_pairs(n, times * n, rng)


def random_pairs(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """`m` pairs of different images out of `n`, each drawn anew, as section 3.2 does: int64, shape (m, 2)."""
    if n < 2:
        return np.empty((0, 2), np.int64)
    first = rng.integers(0, n, m)
    second = rng.integers(0, n - 1, m)
    return np.stack([first, second + (second >= first)], axis=1)


def all_pairs(n: int) -> np.ndarray:
    """Every pair of different images once, int64, shape (n (n - 1) / 2, 2); ValueError if too many."""
    count = n * (n - 1) // 2
    if count > MOST_PAIRS:
        raise ValueError(f"all pairs of {n} images are {count}; use pairs='2n' or 'balanced'")
    return np.stack(np.triu_indices(n, 1), axis=1).astype(np.int64)


def ring_pairs(n: int) -> np.ndarray:
    """Each image with the two before it on a ring, int64, shape (2 n, 2): each image is in four pairs.

    Laid on a random order, every pair of images is as likely as any other, and no image counts more than
    another: the mean's error is smaller than with as many random pairs. Up to five images give all pairs.
    """
    if n <= 5:
        return all_pairs(n)
    t = np.arange(n, dtype=np.int64)
    return np.concatenate([np.stack([t, (t - step) % n], axis=1) for step in (1, 2)])


# Eq. 2 and its error


@dataclass(frozen=True)
class Estimate:
    """A mean over pairs of images; NaN stands for what cannot be told."""

    value: float  # mean SSIM of the pairs
    se: float  # standard error over images, as a sample of those there might be; it takes three images
    low: float  # of the 95 % interval, Student's t with `freedom`
    high: float
    images: int
    pairs: int
    se_pairs: float = math.nan  # of drawing pairs: from the mean over *all* pairs of these very images
    freedom: float = math.nan  # images that count, less one: fewer if some are in many pairs, others in few

    def __str__(self) -> str:
        if math.isnan(self.se):
            return "not measured" if math.isnan(self.value) else f"{self.value:.4f}"
        return f"{self.value:.4f} ± {self.se:.4f} (95 %: {self.low:.4f} to {self.high:.4f})"

    def to_dict(self, *names: str) -> dict[str, Any]:
        """The numbers of these names, and ``interval``; NaN becomes None."""
        known = {name: None if math.isnan(number) else number for name, number in vars(self).items()}
        known["interval"] = [known["low"], known["high"]]
        return {name: known[name] for name in names}

    def reach(self, level: float = LEVEL) -> float:
        """Half the width of a two-sided interval of this level."""
        freedom = self.images - 1 if math.isnan(self.freedom) else self.freedom
        return float(stdtrit(max(freedom, 1), 0.5 + level / 2)) * self.se


def left_out(pairs: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """By how much the mean over pairs exceeds that without image i, shape (n,); not finite if i is in all."""
    deviation = values - values.mean()
    share = np.bincount(pairs.ravel(), np.repeat(deviation, 2), n)
    with np.errstate(divide="ignore", invalid="ignore"):
        return share / (len(pairs) - np.bincount(pairs.ravel(), minlength=n))


def standard_error(pairs: np.ndarray, values: np.ndarray, n: int) -> float:
    """Standard error of the mean over pairs when images are the unit.

    The jackknife, which leaves out one image at a time, is too large by itself: what belongs to a pair and to
    neither of its images goes out with either, and is counted twice. So the variance is taken apart. Any
    symmetric score of independent images is a mean, a part of each image and a part of the pair, all
    uncorrelated (Hoeffding, 1948). Given the pairs, the expectations of the jackknife's sum of squares and of
    the scores' own are known combinations of the two parts' variances: two equations give both, and with them
    the variance of the mean, without bias. A part that comes out negative is zero; three images cannot tell
    the parts apart, and the jackknife stands as it is, which errs upwards.

    Parameters
    ----------
    pairs : ndarray of int, shape (m, 2)
        Images 0 to `n` - 1; a pair may occur more than once.
    values : ndarray of float, shape (m,)

    Returns
    -------
    float
        NaN with fewer than three images or two different pairs, or if one image is in all pairs.
    """
    m = len(values)
    key, times = np.unique(_pair_numbers(pairs, n), return_counts=True)
    if n < 3 or len(key) < 2:
        return math.nan
    moved = left_out(pairs, values, n)
    if not np.isfinite(moved).all():
        return math.nan
    i, j = np.divmod(key, n)

    def over_images(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Sum over the pairs of each image: of x where it is the first of the pair, of y where the second."""
        return np.bincount(i, x, n) + np.bincount(j, y, n)

    degree, squares = over_images(times, times), over_images(times**2, times**2)
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
        of_image = (jackknife * scores_pairs - scores * jackknife_pairs) / determinant
        of_pair = (jackknife_images * scores - scores_images * jackknife) / determinant
        if of_image < 0:
            image, pair = 0.0, scores / scores_pairs
        elif of_pair >= 0:
            image, pair = of_image, of_pair
    return math.sqrt(image * of_images + pair * of_pairs)


def _pair_numbers(pairs: np.ndarray, n: int) -> np.ndarray:
    """One number for each pair, whichever of its images comes first."""
    return pairs.min(axis=1).astype(np.int64) * n + pairs.max(axis=1)


def estimate(pairs: np.ndarray, values: np.ndarray, n: int) -> Estimate:
    """Mean of `values` with its error; parameters as in :func:`standard_error`."""
    m, every = len(values), n * (n - 1) // 2
    if m == 0:
        return Estimate(math.nan, math.nan, math.nan, math.nan, n, 0)
    value = float(values.mean())
    complete = m == every and len(np.unique(_pair_numbers(pairs, n))) == every
    scatter = float(values.std(ddof=1)) / math.sqrt(m) if m > 1 else math.nan
    degree = np.bincount(pairs.ravel(), minlength=n)
    freedom = float(degree.sum() ** 2 / (degree**2).sum() - 1)
    se = standard_error(pairs, values, n)
    found = Estimate(value, se, 0, 0, n, m, 0.0 if complete else scatter, freedom)
    return replace(found, low=value - found.reach(), high=value + found.reach())


@dataclass(frozen=True)
class Sample:
    """The pairs that were scored in one set of images, in the order they were drawn."""

    pairs: np.ndarray  # int64, shape (m, 2), of the set's images, 0 to n - 1
    scores: np.ndarray  # float64, shape (m,), their SSIM
    labels: np.ndarray  # int64, shape (n,), sub-class of each image


# Eq. 3 and how far a maximum can be trusted. Super-classes share no image, so their errors are independent.


def argmax_probability(estimates: Mapping[str, Estimate]) -> dict[str, float]:
    """Probability that each super-class is the one with the largest true mean.

    Each true mean is taken as normal around its estimate, with its standard error, independent of the others.
    By quadrature, so there is no seed. Super-classes without a standard error are left out.
    """
    known = {name: e for name, e in estimates.items() if not math.isnan(e.se)}
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


def simultaneous_interval(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """Interval that holds the largest true mean with a probability of at least 95 %.

    Every mean gets an interval of level ``0.95 ** (1 / k)``, so that all k hold at once with 95 % (Šidák, for
    independent errors); the largest true mean then lies between the largest lower end and the largest
    upper end. (nan, nan) if a mean has no standard error.
    """
    known = list(estimates)
    if any(math.isnan(e.se) for e in known):
        return math.nan, math.nan
    each = LEVEL ** (1 / len(known))
    return max(e.value - e.reach(each) for e in known), max(e.value + e.reach(each) for e in known)


def split_half(samples: Mapping[str, Sample], *, seed: int, splits: int = SPLITS) -> float:
    """The maximum without its optimism: chosen on one half of the images, measured on the other.

    Images of every super-class are halved at random; the super-class with the largest mean over pairs within
    the one halves is chosen, and its mean over pairs within the other halves is taken; then the halves change
    places. The mean over `splits` halvings; NaN if none left pairs in both.
    """
    rng, found = np.random.default_rng(seed), []
    for _ in range(splits):
        first, second = {}, {}
        for name, sample in samples.items():
            side = rng.permutation(len(sample.labels)) < len(sample.labels) / 2
            a, b = side[sample.pairs].T
            if (a & b).any() and (~a & ~b).any():
                first[name] = np.mean(sample.scores[a & b])
                second[name] = np.mean(sample.scores[~a & ~b])
        if first:
            found += second[max(first, key=first.get)], first[max(second, key=second.get)]
    return float(np.mean(found)) if found else math.nan


# What is found, and how it is printed


@dataclass(frozen=True)
class Similarity:
    """The metric of one image set."""

    name: str
    ssim_merge_cls: Estimate  # over pairs of the whole set (Eq. 2)
    ssim_sup_sub_cls: Estimate  # the largest super-class's (Eq. 3); the interval is that of a maximum
    argmax: str  # which super-class that is, among those with at least three images
    super_classes: dict[str, Estimate]  # one with fewer than two images has the value NaN
    skipped: tuple[Skipped, ...]  # files left out, with the reason
    convention: Convention
    hierarchy: Hierarchy = field(repr=False)
    pairs: str  # as given to `measure`, like the next two
    seed: int
    target_se: float | None
    missed: dict[str, str]  # sets whose standard error is above the target, and what would lower it
    samples: Mapping[str, Sample] = field(repr=False)  # the pairs behind each number; "" is the whole set
    argmax_probability: dict[str, float]  # of each super-class to be the most alike one
    split_half: float  # SSIM-supSubCls without the optimism of a maximum, from halves of the images
    # Second reading: pairs of different sub-classes alone, for super-classes that hold several. Two images of
    # one sub-class may be alike for a reason that has nothing to do with telling sub-classes apart.
    cross_sub_class: dict[str, Estimate]

    @property
    def images(self) -> int:
        """Images that were used."""
        return self.ssim_merge_cls.images

    def to_row(self) -> dict[str, Any]:
        """One line: `merge` and `sup_sub` are the metrics, `across` the largest of ``cross_sub_class``."""
        merged, largest = self.ssim_merge_cls, self.ssim_sup_sub_cls
        across = [e.value for e in self.cross_sub_class.values() if e.pairs]
        return {
            "convention": self.convention.name, "size": self.convention.size, "images": self.images,
            "merge": merged.value, "merge_se": merged.se,
            "sup_sub": largest.value, "sup_sub_se": largest.se, "low": largest.low, "high": largest.high,
            "argmax": self.argmax, "p_argmax": self.argmax_probability.get(self.argmax),
            "split_half": self.split_half, "across": max(across, default=None),
        }  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """One row per super-class, the most alike first, and one for the whole set."""
        import pandas as pd

        listed = dict(self._ranked()) | {"all classes (SSIM-mergeCls)": self.ssim_merge_cls}
        table = pd.DataFrame([vars(e) for e in listed.values()], index=pd.Index(listed, name="super_class"))
        table = table.rename(columns={"value": "ssim"})[["images", "pairs", "ssim", "se", "low", "high"]]
        classes = self.hierarchy.sub_classes
        table.insert(0, "sub_classes", [len(self.hierarchy.groups.get(name, classes)) for name in listed])
        table["p_largest"] = pd.Series(self.argmax_probability)
        across = {name: e.value for name, e in self.cross_sub_class.items()}
        return table.assign(cross_sub_class=pd.Series(across, dtype=float))

    def to_dict(self) -> dict[str, Any]:
        """What ``python -m gmaug similarity --json`` prints; NaN becomes None."""

        def listed(estimates: Mapping[str, Estimate]) -> dict[str, Any]:
            return {name: e.to_dict("value", "se", "images", "pairs") for name, e in estimates.items()}

        found = {
            "images": self.images,
            "skipped": [{"path": s.path, "reason": s.reason} for s in self.skipped],
            "ssim_merge_cls": self.ssim_merge_cls.to_dict("value", "se", "interval"),
            "ssim_sup_sub_cls": {
                **self.ssim_sup_sub_cls.to_dict("value", "se", "interval"),
                "argmax": self.argmax,
                "argmax_probability": self.argmax_probability,
                "split_half": None if math.isnan(self.split_half) else self.split_half,
            },
            "super_classes": listed(self.super_classes),
            "cross_sub_class": listed(self.cross_sub_class),
            "convention": self.convention.name,
            "design": self.pairs,
            "seed": self.seed,
        }
        if self.target_se is not None:
            found["target_se"] = {"target": self.target_se, "met": not self.missed, "missed": self.missed}
        return found

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.images} images in {counted(len(self.super_classes), 'super-class')} "
            f"({self.hierarchy.source}), convention {self.convention.name!r}, pairs {self.pairs!r}",
            f"  SSIM-mergeCls  {self.ssim_merge_cls}",
            f"  SSIM-supSubCls {self.ssim_sup_sub_cls}",
            f"    the largest: {self.argmax}",
        ]
        if self.argmax in self.argmax_probability:
            lines[-1] += f" (probability {self.argmax_probability[self.argmax]:.2f})"
        if not math.isnan(self.split_half):
            lines[-1] += f"; without the optimism of a maximum (split halves) {self.split_half:.4f}"
        width = max(len(name) for name in self.super_classes)
        for name, e in self._ranked():
            lines.append(f"    {name:{width}}  {e!s:40}  {e.images} images, {e.pairs} pairs")
            across = self.cross_sub_class.get(name)
            if across is not None and across.pairs:
                lines[-1] += f", across sub-classes {across.value:.4f}"
        few = [f"{name} ({e.images})" for name, e in self.super_classes.items() if e.images < FEWEST]
        if few:
            lines.append(f"  too few images to be the largest (it takes {FEWEST}): {', '.join(few)}")
        if self.target_se is not None:
            missed = ", ".join(f"{name} ({why})" for name, why in self.missed.items())
            told = f"not met by {missed}" if missed else "met by every set"
            lines.append(f"  the standard error asked for, {self.target_se:g}: {told}")
        lines += [f"  skipped: {s.path}: {s.reason}" for s in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"  skipped: {len(self.skipped) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = html.escape("\n".join(str(self).splitlines()[:4]))
        return f"<pre>{head}</pre>" + self.to_frame().to_html(float_format="{:.4f}".format, na_rep="")

    def _ranked(self) -> list[tuple[str, Estimate]]:
        """Super-classes, the most alike first, those without a value last."""
        return sorted(self.super_classes.items(), key=lambda item: -np.nan_to_num(item[1].value, nan=-2))


# Measuring


def measure(
    images: Any,
    labels: Iterable[int] | None = None,
    *,
    hierarchy: Any = None,
    convention: str | Convention = "paper",
    pairs: str = "2n",
    target_se: float | None = None,
    seed: int = 0,
    strict: bool = False,
    jobs: int | None = None,
    progress: bool = True,
) -> Similarity:
    """Measure SSIM-mergeCls and SSIM-supSubCls (Eqs 2 and 3), each with its error and a 95 % interval.

    Parameters
    ----------
    images, labels, hierarchy
        A folder, a name, an array with labels, ..., as :func:`gmaug.datasets.open_images` takes them.
    convention : str or Convention
        How SSIM is taken; only numbers of one convention compare.
    pairs : str
        ``"2n"``: twice as many random pairs as there are images in each set, as in the paper, or any other
        number of times; a set with no more pairs than that gives all of them once. ``"balanced"``: as many
        as 2n, but each image in equally many, which makes the error a little smaller. ``"all"``: every pair.
    target_se : float, optional
        Go on drawing random pairs, so many at a time, until the standard error of a set is no larger, or
        until it is due to the number of images alone (see ``missed``).
    seed : int
        Of the pairs. The same seed gives the same result, whatever the number of threads, `jobs`.
    strict : bool
        Raise at the first image that cannot be used, instead of listing it in ``skipped``. A file beside
        the class folders that is no image, such as a README, is no reason to stop.

    Raises
    ------
    ValueError
        If no super-class has three usable images, or a setting is wrong.

    Notes
    -----
    Peak memory stays below 0.6 GiB, but for the lists of pairs (40 bytes a pair): prepared pixels beyond
    0.25 GiB go to a scratch file in the temporary folder.
    """
    images = open_images(images, labels, hierarchy=hierarchy)
    convention, sampling = convention_named(convention), pair_sampling(pairs)
    if target_se is not None and (pairs in ("all", "balanced") or not target_se > 0):
        given = f"target_se={target_se} with pairs={pairs!r}"
        raise ValueError(f"{given}; it takes a positive number and random pairs")
    if strict and (stop := next((one for one in images.skipped if not one.harmless), None)):
        raise ValueError(f"{stop.path}: {stop.reason}; mend it, or do without strict")
    order = np.arange(len(images))
    if pairs == "balanced":  # the ring is laid on a random order
        order = np.random.default_rng(seed).permutation(order)
    with tempfile.TemporaryFile(prefix="gmaug-pixels-") as scratch:
        pixels, kept, bad = _prepared(
            images, order, convention, scratch, strict=strict, jobs=jobs, progress=progress
        )

        def score(pairs: np.ndarray) -> np.ndarray:
            values = np.empty(len(pairs))
            with bar(desc="comparing", total=len(pairs), unit="pair", disable=not progress) as shown:
                for rows, part in score_pairs(pixels, pairs, convention, jobs):
                    values[rows] = part
                    shown.update(len(rows))
            return values

        labels, samples, missed = images.labels[kept], {}, {}
        members = {"": np.arange(len(labels)), **images.hierarchy.members(labels, images.classes)}
        # A stream for each set: what one draws does not depend on how much another does.
        streams = np.random.SeedSequence(seed).spawn(len(members))
        for (name, rows), stream in zip(members.items(), streams, strict=True):
            *drawn, why = _drawn(rows, sampling, np.random.default_rng(stream), target_se, score)
            samples[name] = Sample(*drawn, labels[rows])
            if why:
                missed[name or "all classes"] = why
    estimates = {name: estimate(s.pairs, s.scores, len(s.labels)) for name, s in samples.items()}
    merged = estimates.pop("")
    usable = {name: e for name, e in estimates.items() if e.images >= FEWEST}
    if not usable:
        raise ValueError(f"{images.name}: no super-class has three usable images; add images")
    argmax = max(usable, key=lambda name: usable[name].value)
    low, high = simultaneous_interval(usable.values())
    across = {}
    for name in estimates:
        s, (first, second) = samples[name], samples[name].labels[samples[name].pairs].T
        if len(np.unique(s.labels)) > 1:
            across[name] = estimate(s.pairs[first != second], s.scores[first != second], len(s.labels))
    return Similarity(
        name=images.name, convention=convention, hierarchy=images.hierarchy,
        ssim_merge_cls=merged, ssim_sup_sub_cls=replace(usable[argmax], low=low, high=high), argmax=argmax,
        super_classes=estimates, cross_sub_class=across, argmax_probability=argmax_probability(usable),
        split_half=split_half({name: samples[name] for name in usable}, seed=seed),
        pairs=pairs, seed=seed, target_se=target_se, missed=missed, samples=samples,
        skipped=(*images.skipped, *sorted(bad, key=lambda one: one.path)),
    )  # fmt: skip


def _drawn(
    rows: np.ndarray,
    sampling: Callable[[int, np.random.Generator], np.ndarray],
    rng: np.random.Generator,
    target_se: float | None,
    score: Callable[[np.ndarray], np.ndarray],
) -> tuple[np.ndarray, np.ndarray, str]:
    """Pairs of one set of images, their scores, and what would lower its error if that misses the target."""
    pairs = sampling(len(rows), rng)
    values = score(rows[pairs])
    if target_se is None:
        return pairs, values, ""
    for _ in range(MOST_ROUNDS):
        e = estimate(pairs, values, len(rows))
        if e.se <= target_se:
            return pairs, values, ""
        if not e.se_pairs > NEGLIGIBLE * e.se:
            return pairs, values, "only more images would lower it"
        more = sampling(len(rows), rng)
        pairs, values = np.concatenate([pairs, more]), np.concatenate([values, score(rows[more])])
    return pairs, values, "more pairs would lower it"


def _prepared(
    images: ImageSet, order: np.ndarray, convention: Convention, scratch: BinaryIO,
    *, strict: bool, jobs: int | None, progress: bool,
) -> tuple[np.ndarray | Callable[[np.ndarray], np.ndarray], np.ndarray, list[Skipped]]:  # fmt: skip
    """Images in this order as the convention wants them, which of them could be used, and the others.

    Pixels are uint8, (planes, h, w) an image: an array while they are few, else a function that reads some of
    them from the file `scratch`.
    """
    kept, bad, array, shape = [], [], None, ()
    side = convention.side

    def one(index: int) -> np.ndarray | UnreadableImage:
        try:
            with images.opened(index, size=convention.size or side) as image:
                if min(image.size) < side:
                    path = images.paths[index] if hasattr(images, "paths") else f"{images.name}[{index}]"
                    reason = f"{image.width}x{image.height} pixels, smaller than the {side}x{side} window"
                    raise UnreadableImage(path, reason)
                planes = np.atleast_3d(convention.prepare(image)).transpose(2, 0, 1)
        except UnreadableImage as error:
            return error
        return np.ascontiguousarray(convention.mirrored(planes))

    def read(indices: np.ndarray) -> np.ndarray:
        return np.array(np.memmap(scratch, np.uint8, "r", shape=(len(kept), *shape))[indices])

    shown = bar(desc=f"decoding {images.name}", total=len(order), unit="image", disable=not progress)
    with quiet_bombs(), ThreadPoolExecutor(thread_count(jobs)) as pool, shown:
        for part in np.split(order, range(CHUNK, len(order), CHUNK)):
            for index, planes in zip(part.tolist(), pool.map(one, part.tolist()), strict=True):
                if isinstance(planes, UnreadableImage):
                    if strict:
                        raise planes
                    bad.append(planes.skipped)
                    continue
                if not kept:
                    shape = planes.shape
                    if len(order) * planes.nbytes <= STORE_BYTES:
                        array = np.empty((len(order), *shape), np.uint8)
                if planes.shape != shape:
                    raise ValueError(
                        f"{images.name}[{index}]: {planes.shape[1:]} pixels where others have {shape[1:]}; "
                        "use a convention with a size"
                    )
                if array is None:
                    scratch.write(planes)
                else:
                    array[len(kept)] = planes
                kept.append(index)
            shown.update(len(part))
    if array is None:
        scratch.flush()
    return read if array is None else array, np.array(kept, np.int64), bad
