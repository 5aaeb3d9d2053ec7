"""Figures of the generators and of what the selection does with their images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug.plots import COLOURS, DOUBLE, SINGLE
from gmaug.plots.pipeline import tiles

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def learning(
    snapshots: np.ndarray, real: np.ndarray, kimg: Sequence[float], classes: Sequence[str]
) -> Figure:
    """Samples of a generator as it learns, one row a time, real images below.

    Parameters
    ----------
    snapshots : ndarray of uint8, shape (times, k, h, w, 3)
    real : ndarray of uint8, shape (k, h, w, 3)
    kimg : sequence of float
        Thousands of images shown at each time.
    classes : sequence of str
        Their samples stand side by side, as many of each.
    """
    from matplotlib import pyplot as plt

    rows = np.concatenate([snapshots, real[None]])
    figure, axes = plt.subplots(figsize=(DOUBLE, DOUBLE * len(rows) / rows.shape[1] + 0.35))
    tiles(axes, rows, names=[*(f"{k:.0f} kimg" for k in kimg), "real"], gap=1)
    each, width = rows.shape[1] // len(classes), rows.shape[3] + 1
    axes.set_xticks([(c + 0.5) * each * width for c in range(len(classes))], classes)
    axes.tick_params(axis="x", length=0, labeltop=True, labelbottom=False)
    return figure


def learning_curve(record: Mapping[str, Any]) -> tuple[Figure, pd.DataFrame]:
    """Distance and diversity of a recorded generator while it trained, and the data drawn.

    The shaded part is the transition, in which the class is let in.
    """
    from matplotlib import pyplot as plt

    curve = pd.DataFrame(record["content"]["history"])
    settings = record["key"]["settings"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(DOUBLE, 2.1), sharex=True)
    for axes, column, title in (
        (left, "distance", "Fréchet distance, class beside the features"),
        (right, "spread", "diversity of the least diverse class"),
    ):
        if settings["transitional"]:
            begin, end = settings["ts"] * settings["kimg"], settings["te"] * settings["kimg"]
            axes.axvspan(begin, end, color=COLOURS["orange"], alpha=0.12, lw=0)
        axes.plot(curve["kimg"], curve[column], color=COLOURS["blue"], lw=1.2)
        axes.set_title(title)
        axes.set_xlabel("thousands of images shown")
    left.set_yscale("log")
    left.yaxis.set_major_formatter("{x:g}")
    left.yaxis.set_minor_formatter("")
    kept = record["content"]["kept_kimg"]
    left.axvline(kept, color="0.6", lw=0.8, ls="--")
    left.annotate("kept", (kept, curve["distance"].max()), ha="right", va="top", fontsize=7, color="0.4")
    right.set_ylim(bottom=0)
    right.axhline(1, color="0.6", lw=0.8, ls="--")
    right.annotate(
        "real images", (curve["kimg"].iloc[-1], 1), ha="right", va="bottom", fontsize=7, color="0.4"
    )
    return figure, curve


def sweep(table: pd.DataFrame) -> Figure:
    """Share of candidates kept, and of the kept that are recognised, against the threshold.

    Parameters
    ----------
    table : DataFrame
        As :func:`gmaug.study.walkthrough.threshold_sweep` gives it.
    """
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(SINGLE, 2.3))
    axes.plot(table["alpha"], table["kept"], "s-", color=COLOURS["orange"], ms=3, lw=1)
    axes.errorbar(
        table["alpha"], table["recognised"], yerr=table["se"], fmt="o-", color=COLOURS["blue"], ms=3, lw=1
    )
    first = table.iloc[0]
    for column, text, colour in (
        ("kept", "kept, of all candidates", "orange"),
        ("recognised", "recognised by the independent net, of the kept", "blue"),
    ):
        axes.annotate(
            text,
            (0, first[column]),
            xytext=(0, 5),
            textcoords="offset points",
            color=COLOURS[colour],
            fontsize=7,
        )
    axes.set(
        xlabel=r"threshold $\alpha$ on the probability", ylabel="share", ylim=(0, 1.05), xlim=(-0.02, 1.02)
    )
    return figure


def numbers_of(augmented: Any, originals: int) -> dict[str, str]:
    """Texts for :func:`gmaug.plots.pipeline.schematic` from a fitted GMAugCls."""
    texts = {"original": f"{originals} images"}
    for place in (1, 2):
        if place <= len(augmented.rounds_):
            pool = augmented.rounds_[place - 1].pool
            texts[f"candidates_{place}"] = f"{pool.drawn.sum()}"
            texts[f"kept_{place}"] = f"{pool.passed.sum()} kept"
            texts[f"set_{place}"] = f"{originals + len(pool.labels)} images"
        else:  # the first round did not improve validation accuracy
            texts |= {
                f"candidates_{place}": "none drawn",
                f"kept_{place}": "not run",
                f"set_{place}": "as before",
            }
    return texts


def scores(examples: Any, names: Sequence[str]) -> pd.DataFrame:
    """Candidates as a table: class asked for, class seen, score."""
    columns = {"wanted": examples.wanted, "predicted": examples.predicted}
    table = pd.DataFrame({key: [names[i] for i in value] for key, value in columns.items()})
    return table.assign(score=examples.score)


def counts_table(augmented: Any, train: Any) -> pd.DataFrame:
    """Images of each class before and what was added: ``class``, ``original``, ``added``, ``missing``."""
    return pd.DataFrame(
        {
            "class": train.classes,
            "original": list(train.class_counts.values()),
            "added": [augmented.accepted_[c] for c in range(len(train.classes))],
            "missing": [augmented.n_missing_[c] for c in range(len(train.classes))],
        }
    )


def by_class(
    augmented: Any, train: Any, each: int, *, classes: int | None = None
) -> tuple[np.ndarray, np.ndarray, list[str], list[int]]:
    """`each` real and as many kept images of every class, most frequent class first.

    A class that had fewer of either shows white tiles in their place.

    Parameters
    ----------
    augmented : GMAugCls
        As :func:`gmaug.study.walkthrough.follow` gives it.
    train : ImageSet
    each : int
    classes : int, optional
        So many of the classes that got images, evenly spaced from the most to the least frequent;
        all classes by default.

    Returns
    -------
    real, made : ndarray of uint8, shape (classes, each, h, w, 3)
    names : list of str
    counts : list of int
    """
    counts = np.array(list(train.class_counts.values()))
    order = np.argsort(-counts, kind="stable")
    if classes is not None:
        filled = order[[augmented.accepted_[c] > 0 for c in order]]
        order = filled[np.linspace(0, len(filled) - 1, min(classes, len(filled))).round().astype(int)]
    images, labels = augmented.images_, augmented.labels_

    def some(of_class: int, synthetic: bool) -> np.ndarray:
        rows = np.flatnonzero((labels == of_class) & (augmented.is_synthetic_ == synthetic))[:each]
        blank = np.full((each - len(rows), *images.shape[1:]), 255, dtype=np.uint8)
        return np.concatenate([images[rows], blank])

    real, made = (np.stack([some(c, synthetic) for c in order]) for synthetic in (False, True))
    return real, made, [train.classes[c] for c in order], counts[order].tolist()
