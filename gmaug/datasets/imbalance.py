"""How unequal the classes of a set are, and what pairs of images a super-class holds (section 3.2)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.datasets.real import REAL
from gmaug.hierarchy import Hierarchy

TITLES = {entry.title: entry for entry in REAL.values()}
"""The paper's data sets by the names that its tables use."""


def describe(counts: Mapping[str, int]) -> dict[str, float]:
    """Class counts in a few numbers.

    Parameters
    ----------
    counts : mapping of str to int
        Images of each class, all positive.

    Returns
    -------
    dict
        ``classes``, ``images``, ``smallest``, ``median``, ``largest``; ``ratio`` of largest to
        smallest; ``at_largest``: classes as large as the largest; ``effective``: the exponential
        of the entropy of the class shares, equal to ``classes`` where all are alike; ``head``: the
        share of all images that the largest fifth of the classes holds (0.2 in a balanced set).

    Raises
    ------
    ValueError
        If a class is empty or there is none.
    """
    n = np.sort(np.array(list(counts.values()), dtype=float))[::-1]
    if len(n) == 0 or n[-1] <= 0:
        raise ValueError("counts holds no class, or an empty one; give a positive number for each")
    share = n / n.sum()
    return {
        "classes": len(n),
        "images": int(n.sum()),
        "smallest": int(n[-1]),
        "median": float(np.median(n)),
        "largest": int(n[0]),
        "ratio": float(n[0] / n[-1]),
        "at_largest": int((n == n[0]).sum()),
        "effective": float(np.exp(-(share * np.log(share)).sum())),
        "head": float(share[: max(1, round(len(n) / 5))].sum()),
    }


def published_sets() -> dict[str, dict[str, int]]:
    """Published images of each class, by the paper's names, in the order of its Table 1."""
    return {name: dict(TITLES[name].counts) for name in published.load("table1")["dataset"]}


def class_table(root: Path | None = None) -> pd.DataFrame:
    """Table 1 beside what can be counted.

    Parameters
    ----------
    root : path, optional
        A folder that holds real data sets; those found there are counted too.

    Returns
    -------
    DataFrame
        ``data set``; ``super-classes, paper`` and ``sub-classes, paper``; ``sub-classes,
        published``: classes of the public set; ``sub-classes, here``: those found under `root`,
        missing where the set is not there; ``super-classes, here``: ``not run`` where the paper's
        grouping is not public; ``images``, ``smallest``, ``largest``: published counts.
    """
    from gmaug.datasets import open_images

    rows = []
    for row in published.load("table1").itertuples(index=False):
        entry = TITLES[row.dataset]
        numbers = describe(entry.counts)
        here = None
        if root is not None:
            try:
                here = len(open_images(entry.name, root=root).classes)
            except FileNotFoundError:
                here = None
        flat = row.super_classes == row.sub_classes  # section 3.2: each super-class holds one sub-class
        rows.append(
            {
                "data set": row.dataset,
                "super-classes, paper": row.super_classes,
                "super-classes, here": numbers["classes"] if flat else "not run",
                "sub-classes, paper": row.sub_classes,
                "sub-classes, published": numbers["classes"],
                "sub-classes, here": here,
                **{key: numbers[key] for key in ("images", "smallest", "largest")},
            }
        )
    # Whole numbers beside None: a float column would print 5.0.
    return pd.DataFrame(rows).astype({"sub-classes, here": object})


def pair_shares(hierarchy: Hierarchy, counts: Mapping[str, int]) -> pd.DataFrame:
    """Which pairs a super-class holds: of one sub-class, or of two.

    Parameters
    ----------
    hierarchy : Hierarchy
    counts : mapping of str to int
        Images of each sub-class.

    Returns
    -------
    DataFrame
        A row per super-class: ``super_class``, ``sub_classes``, ``images``, ``pairs``: how many
        different ones there are; ``across``: the share of them that joins two sub-classes.
    """
    rows = []
    for name, members in hierarchy.groups.items():
        n = np.array([counts[member] for member in members], dtype=float)
        pairs, inside = n.sum() * (n.sum() - 1) / 2, (n * (n - 1) / 2).sum()
        rows.append(
            {
                "super_class": name,
                "sub_classes": len(n),
                "images": int(n.sum()),
                "pairs": int(pairs),
                "across": float(1 - inside / pairs) if pairs else np.nan,
            }
        )
    return pd.DataFrame(rows)
