"""Experiments on the metric itself (notebook 03, section 3.3): its error, its bias, what moves it.

Each gives back plain numbers or a table; nothing is drawn here.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from gmaug.datasets.base import ImageSet
from gmaug.datasets.garden import FIRST_GARDENS, plant
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import Similarity, measure
from gmaug.similarity.estimates import Sample, estimate
from gmaug.similarity.maximum import bias_of_maximum
from gmaug.ssim.conventions import CONVENTIONS, Convention
from gmaug.ssim.engine import ssim_pairs


def some(images: ImageSet, count: int | None, *, seed: int = 0) -> ImageSet:
    """At most `count` of the images, chosen at random and left in order; all of them if None."""
    if count is None or count >= len(images):
        return images
    return images.subset(np.sort(np.random.default_rng(seed).choice(len(images), count, replace=False)))


def at(size: int, *, convention: str = "paper") -> Convention:
    """A convention at another size."""
    return replace(CONVENTIONS[convention], name=f"{convention} at {size} px", size=size)


def row(found: Similarity) -> dict[str, Any]:
    """A measurement in one line.

    Returns
    -------
    dict
        ``images``; ``merge``, ``merge_se``; ``sup_sub`` with ``sup_sub_se``, ``low``, ``high``
        (simultaneous, 95 %); ``argmax`` and its probability ``p_argmax``; ``split_half``;
        ``across``: the largest mean over pairs of different sub-classes alone, NaN without any.
    """
    across = [e.value for e in found.cross_sub_class.values() if e.pairs]
    return {
        "images": found.images,
        "merge": found.ssim_merge_cls.value,
        "merge_se": found.ssim_merge_cls.se,
        "sup_sub": found.ssim_sup_sub_cls.value,
        "sup_sub_se": found.ssim_sup_sub_cls.se,
        "low": found.ssim_sup_sub_cls.low,
        "high": found.ssim_sup_sub_cls.high,
        "argmax": found.argmax,
        "p_argmax": found.argmax_probability.get(found.argmax),
        "split_half": found.split_half,
        "across": max(across) if across else None,
    }


def measured(
    images: ImageSet, conventions: Iterable[str | Convention], *, seed: int = 0, jobs: int | None = None
) -> list[dict[str, Any]]:
    """:func:`row` of one image set under several conventions, named in ``convention``."""
    rows = []
    for convention in conventions:
        found = measure(images, convention=convention, seed=seed, jobs=jobs)
        rows.append({"convention": found.convention.name, "size": found.convention.size, **row(found)})
    return rows


def gardens(
    names: Sequence[str], *, sizes: Sequence[int] = (224, 32), images: int | None = None, seed: int = 0
) -> list[dict[str, Any]]:
    """The metric of several gardens' training images, drawn at several sizes."""
    rows = []
    for name in names:
        chosen = some(plant(FIRST_GARDENS[name], seed=seed).train, images, seed=seed)
        knob = FIRST_GARDENS[name].shared
        rows += [{"garden": name, "knob": knob, **one} for one in measured(chosen, map(at, sizes), seed=seed)]
    return rows


def resampled(
    name: str, *, repeats: int, super_class: str, size: int = 32, first: int = 100
) -> list[dict[str, Any]]:
    """SSIM_set of one super-class in gardens planted anew: how far an estimate really scatters.

    Parameters
    ----------
    name : str
        A garden.
    repeats : int
        Gardens to plant, each with images of its own.
    super_class : str
    size : int
        Pixels; small ones are quick to draw.
    first : int
        First seed; far from those that are used elsewhere.

    Returns
    -------
    list of dict
        ``seed``; ``design``: all pairs, or 2N random ones out of them; ``value``, ``se`` (over
        images) and ``se_pairs`` (as if pairs were independent).
    """
    rows = []
    for seed in range(first, first + repeats):
        train = plant(FIRST_GARDENS[name], seed=seed).train
        members = train.hierarchy.members(train.labels, train.classes)[super_class]
        found = measure(train.subset(members), convention=at(size), pairs="all", seed=seed, progress=False)
        sample = found.samples[super_class]
        few = np.random.default_rng(seed).integers(0, len(sample.pairs), 2 * sample.images)
        scores = np.asarray(sample.values)
        for design, chosen in (("2N random pairs", few), ("all pairs", slice(None))):
            one = estimate(sample.pairs[chosen], scores[chosen], sample.images)
            naive = float(scores[chosen].std(ddof=1) / np.sqrt(one.pairs))
            rows.append({"seed": seed, "design": design, "value": one.value, "se": one.se, "se_pairs": naive})
    return rows


def coverage(rows: pd.DataFrame) -> pd.DataFrame:
    """How often a 95 % interval around each of :func:`resampled`'s values holds their common mean.

    Returns
    -------
    DataFrame
        ``design``; ``unit``: pairs or images; ``stated``: the mean standard error; ``actual``: the
        standard deviation of the values; ``ratio``: actual / stated; ``covered``: share of the
        intervals.
    """
    table = []
    for design, part in rows.groupby("design"):
        actual, centre = part["value"].std(ddof=1), part["value"].mean()
        for unit, column in (("pairs", "se_pairs"), ("images", "se")):
            inside = (part["value"] - centre).abs() <= 1.96 * part[column]
            stated = part[column].mean()
            table.append(
                {
                    "design": design,
                    "unit": unit,
                    "stated": stated,
                    "actual": actual,
                    "ratio": actual / stated,
                    "covered": inside.mean(),
                }
            )
    return pd.DataFrame(table)


def optimism(counts: Sequence[int], leads: Sequence[float], *, seed: int = 0) -> pd.DataFrame:
    """By how much a maximum of noisy means exceeds the largest true one, in standard errors.

    Parameters
    ----------
    counts : sequence of int
        Numbers of means.
    leads : sequence of float
        How far the largest true mean is above the others, which are equal, in standard errors.

    Returns
    -------
    DataFrame
        ``k``, ``lead``, ``bias``.
    """
    rows = [
        (k, lead, bias_of_maximum(np.array([lead] + [0.0] * (k - 1)), np.ones(k), seed=seed))
        for k in counts
        for lead in leads
    ]
    return pd.DataFrame(rows, columns=["k", "lead", "bias"])


def class_matrix(sample: Sample, classes: Sequence[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Mean SSIM between every two classes, and the number of pairs behind it.

    Parameters
    ----------
    sample : Sample
        Scored pairs; all pairs of a set are best.
    classes : sequence of str
        Names that ``sample.labels`` index into.
    """
    k = len(classes)
    a, b = np.sort(sample.labels[sample.pairs], axis=1).T
    counts = np.bincount(a * k + b, minlength=k * k).reshape(k, k).astype(float)
    sums = np.bincount(a * k + b, sample.values, minlength=k * k).reshape(k, k)
    counts, sums = (m + m.T - np.diag(np.diag(m)) for m in (counts, sums))
    means = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    return tuple(pd.DataFrame(m, index=list(classes), columns=list(classes)) for m in (means, counts))


def under(hierarchy: Hierarchy, means: pd.DataFrame, counts: pd.DataFrame) -> float:
    """SSIM-supSubCls of any grouping of the classes, from :func:`class_matrix`."""
    found = []
    for members in hierarchy.groups.values():
        block = list(members)
        once = np.triu(np.ones((len(block), len(block)), dtype=bool))
        weight, value = (m.loc[block, block].to_numpy()[once] for m in (counts, means))
        if weight.sum():
            found.append(float(np.average(np.nan_to_num(value), weights=weight)))
    return max(found)


def regrouped(
    hierarchy: Hierarchy, means: pd.DataFrame, counts: pd.DataFrame, *, draws: int, seed: int = 0
) -> np.ndarray:
    """SSIM-supSubCls where classes are dealt to super-classes at random, sizes kept, shape (draws,)."""
    rng = np.random.default_rng(seed)
    sizes = np.cumsum([len(members) for members in hierarchy.groups.values()])[:-1]
    found = []
    for _ in range(draws):
        parts = np.split(rng.permutation(hierarchy.sub_classes), sizes)
        dealt = Hierarchy({str(k): tuple(part) for k, part in enumerate(parts)}, "dealt at random")
        found.append(under(dealt, means, counts))
    return np.array(found)


def extremes(images: ImageSet, sample: Sample, *, each: int = 3, size: int = 112) -> list[tuple]:
    """The least, the middling and the most alike pairs of a sample.

    Returns
    -------
    list of (ndarray, ndarray, float)
        ``3 * each`` pairs of images, uint8 (size, size, 3), and their SSIM, ascending.
    """
    order = np.argsort(sample.values, kind="stable")
    middle = len(order) // 2
    chosen = [*order[:each], *order[middle - each // 2 :][:each], *order[-each:]]
    scores = np.asarray(sample.values)
    found = []
    for k in chosen:
        x, y = images.arrays(sample.pairs[k], size=size)
        found.append((x, y, float(scores[k])))
    return found


def rate(*, size: int = 224, images: int = 100, pairs: int = 1500, seed: int = 0) -> float:
    """Pairs per second of the engine on this machine, all cores, statistics of images included."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (images, size, size), dtype=np.uint8)
    drawn = rng.integers(0, images, (pairs, 2))
    ssim_pairs(pixels[:2], drawn[:1] % 2)  # compiles what has to be compiled
    start = time.perf_counter()
    ssim_pairs(pixels, drawn)
    return pairs / (time.perf_counter() - start)


def all_pairs_cost(images: dict[str, int], pairs_per_second: float) -> pd.DataFrame:
    """What all pairs of a set would take, and what the paper's 2N take.

    Returns
    -------
    DataFrame
        ``data set``, ``images``, ``all pairs``, ``hours for all``, ``2N pairs``, ``seconds for 2N``.
    """
    rows = []
    for name, n in images.items():
        every = n * (n - 1) // 2
        rows.append(
            {
                "data set": name,
                "images": n,
                "all pairs": every,
                "hours for all": every / pairs_per_second / 3600,
                "2N pairs": 2 * n,
                "seconds for 2N": 2 * n / pairs_per_second,
            }
        )
    return pd.DataFrame(rows)
