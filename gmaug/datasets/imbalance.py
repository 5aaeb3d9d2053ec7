"""Image sets made unequal or split (sections 3.2 and 4.1)."""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gmaug.datasets.base import ImageSet, printable


def exponential_counts(classes: int, *, largest: int, imbalance: float) -> list[int]:
    """Class sizes that fall geometrically, from `largest` to ``largest / imbalance``.

    The k-th of C classes has ``largest * imbalance ** (-k / (C - 1))`` images, rounded: the usual
    way in which a long tail is made (Cui et al. 2019).
    """
    if classes < 1 or largest < 1 or imbalance < 1:
        raise ValueError(f"classes={classes}, largest={largest}, imbalance={imbalance}; give each at least 1")
    return [round(largest * imbalance ** -(k / max(classes - 1, 1))) for k in range(classes)]


def split_rows(
    labels: Sequence[int], fractions: Sequence[float], *, groups: Sequence[Any] | None = None, seed: int = 0
) -> list[np.ndarray]:
    """Row numbers of parts, class by class in the same proportions.

    Parameters
    ----------
    labels : sequence of int, shape (n,)
    fractions : sequence of float
        Share of each part; their sum is 1. Without groups each part has its exact share of each class,
        rounded, and at least one image where the class has enough for all.
    groups : sequence, shape (n,), optional
        Whatever images must stay together share: a patient, a lesion, a video. Each group lies in
        one part, and proportions are kept as well as that allows.
    seed : int
    """
    labels, shares = np.asarray(labels), np.asarray(fractions, dtype=float)
    if shares.ndim != 1 or not (shares > 0).all() or not np.isclose(shares.sum(), 1):
        raise ValueError(f"fractions={list(fractions)}; give positive numbers that add up to 1")
    if groups is not None and len(groups) != len(labels):
        raise ValueError(f"groups holds {len(groups)} names for {len(labels)} images; give one each")
    rng, names = np.random.default_rng(seed), labels.tolist()
    wanted = {name: _quotas(n, shares, rng) for name, n in sorted(Counter(names).items())}
    together: dict[Any, list[int]] = {}
    for row in rng.permutation(len(labels)).tolist():
        together.setdefault(row if groups is None else groups[row], []).append(row)
    parts: list[list[int]] = [[] for _ in shares]
    # Large groups first: small ones even out what they leave. The order is random among equals.
    for rows in sorted(together.values(), key=len, reverse=True):
        held = Counter(names[row] for row in rows)
        # To where its classes are most wanting, each in proportion to how rare it is.
        need = sum(n * wanted[name] / max(wanted[name].clip(0).sum(), 1) for name, n in held.items())
        best = int(np.argmax(need))
        parts[best] += rows
        for name, n in held.items():
            wanted[name][best] -= n
    return [np.sort(np.array(part, dtype=np.int64)) for part in parts]


def split(images: ImageSet, fractions: Sequence[float], **options: Any) -> list[ImageSet]:
    """Parts of an image set, each in the order of `images`; see :func:`split_rows`."""
    return [images.subset(rows) for rows in split_rows(images.labels, fractions, **options)]


def _quotas(n: int, shares: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """`n` images in whole numbers by largest remainders, and at least one each where there are enough."""
    exact = n * shares / shares.sum()
    counts = np.floor(exact)
    order = np.lexsort((rng.random(len(shares)), -(exact - counts)))
    counts[order[: n - int(counts.sum())]] += 1
    while n >= len(shares) and (counts == 0).any():
        counts[np.argmax(counts)] -= 1
        counts[np.argmin(counts)] += 1
    return counts


def groups_from_csv(images: ImageSet, path: str | os.PathLike[str], *, column: str) -> np.ndarray:
    """The group of each image of a folder, for :func:`split_rows`, from a table.

    The CSV has the columns ``file``, a name alone or with the folders above it, and `column`, which
    names the group: ``"lesion_id"``, ``"patient"``. ``ValueError`` if it misses an image or names two groups.
    """
    paths = getattr(images, "paths", None)
    if paths is None:
        raise ValueError(f"{images.name} holds no files; give groups as a sequence, one an image")
    shown, found = printable(path), {}
    with Path(path).open(newline="", encoding="utf-8-sig", errors="surrogateescape") as file:
        reader = csv.DictReader(file)
        if missing := {column, "file"} - set(reader.fieldnames or ()):
            raise ValueError(f"{shown}: no column {', '.join(sorted(missing))}; add it or name another")
        for row in reader:
            parts = Path(row["file"] or "").parts
            if found.setdefault(parts, row[column]) != row[column]:
                raise ValueError(f"{shown}: {printable(row['file'])} stands in two groups; keep one")
    depths = sorted({len(parts) for parts in found}, reverse=True)
    groups = [next((g for d in depths if (g := found.get(one.parts[-d:]))), None) for one in paths]
    if None in groups:
        raise ValueError(f"{shown}: no {column} for {printable(paths[groups.index(None)].name)}; add a row")
    return np.array(groups)
