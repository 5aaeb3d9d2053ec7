"""Figures of notebook 02: hierarchies as trees (Fig. 4), classes and their counts (Figs. 2, 3, S3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.plots import COLOURS, CYCLE, DOUBLE, new, use_style
from gmaug.plots.images import grid, mosaic

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from gmaug.datasets.base import ImageSet
    from gmaug.hierarchy import Hierarchy

BEND = 0.68  # where a branch turns, between one level (0) and the next (1): its name stands before that
Tree = Mapping[str, "Tree | int | str"]

PAPER_BIRDS: dict[str, Any] = {
    "species": {"1 oriole": "", "2 crow": "", "3 sparrow": "", "4 seagull": "", "5 eagle": ""},
    "habitat": {
        "forest": {"6": "", "7": ""},
        "water": {"8 large": "", "9 small": ""},
    },
}
"""How section 3.2 groups the 126 Birds classes, as far as its text and Fig. 3 say."""


def of_hierarchy(hierarchy: Hierarchy, counts: Mapping[str, int] | None = None) -> Tree:
    """A hierarchy as nested dicts, its leaves the class counts."""
    return {
        name: {member: "" if counts is None else counts[member] for member in members}
        for name, members in hierarchy.groups.items()
    }


def trees(named: Mapping[str, Tree], *, notes: Sequence[str] = ()) -> Figure:
    """Hierarchies side by side, root on the left (Fig. 4).

    Parameters
    ----------
    named : mapping of str to tree
        Root's name to nested dicts; a leaf is a number of images, or a text.
    notes : sequence of str, optional
        A line under each.
    """
    most = max(_leaves(tree) for tree in named.values())
    figure, axes = new(1, len(named), width=DOUBLE, height=0.26 * most + 0.55, squeeze=False)
    for k, (one, (name, tree)) in enumerate(zip(axes[0], named.items(), strict=True)):
        _draw(one, name, tree)
        if notes:
            one.set_title(notes[k], fontsize=7, fontweight="normal", color="0.35", y=-0.09)
    return figure


def _leaves(tree: Tree | int | str) -> int:
    return sum(_leaves(branch) for branch in tree.values()) if isinstance(tree, Mapping) and tree else 1


def _depth(tree: Tree | int | str) -> int:
    return 1 + max(map(_depth, tree.values())) if isinstance(tree, Mapping) and tree else 0


def _draw(axes: Axes, root: str, tree: Tree) -> None:
    deepest, rows = _depth(tree), _leaves(tree)
    text = {"va": "center", "fontsize": 7.5}

    def place(branch: Tree | int | str, name: str, level: int, top: int, colour: str) -> tuple[float, int]:
        if isinstance(branch, Mapping) and branch:
            heights, start = [], top
            for k, (child, below) in enumerate(branch.items()):
                tone = COLOURS[CYCLE[k % 6]] if level == 0 else colour
                height, top = place(below, child, level + 1, top, tone)
                heights.append((height, tone, bool(isinstance(below, Mapping))))
            y = (heights[0][0] + heights[-1][0]) / 2 if heights else start
            for height, tone, inner in heights:
                x = level + 1 if inner else deepest
                axes.plot([level + BEND, level + BEND, x - 0.02], [y, height, height], color=tone, lw=1.1)
            axes.plot([level + 0.02, level + BEND], [y, y], color="0.35" if level == 0 else colour, lw=1.1)
        else:
            y, top = float(top), top + 1
        leaf = not isinstance(branch, Mapping)
        shown = f"{name}  ({branch})" if leaf and branch != "" else name
        x = deepest + 0.03 if leaf else level
        weight = "normal" if leaf else "bold"
        axes.text(
            x, y - (0 if leaf else 0.12), shown, color="0.1" if leaf else colour, fontweight=weight,
            **{**text, "va": "center" if leaf else "bottom"},
        )  # fmt: skip
        return y, top

    place(tree, root, 0, 0, "0.1")
    axes.set(xlim=(-0.02, deepest + 0.9), ylim=(rows - 0.4, -0.9))
    axes.axis("off")


def similar_classes(
    sets: Mapping[str, ImageSet], classes: tuple[str, str], *, columns: int = 7, size: int = 112
) -> Figure:
    """Images of the same two classes in several sets, a row each (Fig. 2).

    Parameters
    ----------
    sets : mapping of str to ImageSet
        Name to print, and the images.
    classes : (str, str)
        Two sub-classes of one super-class.
    """
    rows, labels = [], []
    for title, images in sets.items():
        for name in classes:
            chosen = np.flatnonzero(images.labels == images.classes.index(name))[:columns]
            rows.append([mosaic(images.arrays(chosen, size=size), columns=columns, gap=3)])
            labels.append(f"{title}\n{name}")
    return grid(rows, row_labels=labels, gap=0.05)


def classes_and_counts(
    images: ImageSet, *, columns: int = 12, size: int = 64, target: int | None = None
) -> Figure:
    """Sample images by super-class above, and the class counts below (Fig. 3).

    Parameters
    ----------
    images : ImageSet
    columns : int
        Images of each super-class, its sub-classes in turn.
    target : int, optional
        Images a class would have in the balanced set; the largest class by default.
    """
    from matplotlib.figure import Figure

    use_style()
    members = images.hierarchy.members(images.labels, images.classes)
    figure = Figure(figsize=(DOUBLE, 4.6))
    upper, axes = figure.subplots(2, 1, height_ratios=[1.15, 1])
    rows = [images.arrays(_turns(images, m, columns), size=size) for m in members.values()]
    upper.imshow(mosaic(np.concatenate(rows), columns=columns), interpolation="none", aspect="equal")
    upper.set_yticks([(size + 2) * (k + 0.5) for k in range(len(rows))], list(members))
    upper.set_xticks([])
    upper.tick_params(length=0)
    upper.spines[:].set_visible(False)
    counts = images.class_counts
    order = sorted(counts, key=lambda name: -counts[name])
    tones = {name: COLOURS[CYCLE[k % 6]] for k, name in enumerate(images.hierarchy.super_classes)}
    target = target or max(counts.values())
    x = np.arange(len(order))
    axes.bar(x, [target] * len(x), color="none", edgecolor="0.55", ls="--", width=0.8)
    heights = [counts[name] for name in order]
    colours = [tones[images.hierarchy.super_of(name)] for name in order]
    bars = axes.bar(x, heights, color=colours, width=0.8)
    axes.bar_label(bars, fontsize=7, padding=1)
    axes.set_xticks(x, order, rotation=20, ha="right")
    axes.set(ylabel="training images")
    for name, tone in tones.items():
        axes.bar(0, 0, color=tone, label=name)
    axes.bar(0, 0, color="none", edgecolor="0.55", ls="--", label=f"balanced: {target} each")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.95), facecolor="white", framealpha=1, frameon=True)
    return figure


def _turns(images: ImageSet, members: np.ndarray, columns: int) -> list[int]:
    """Indices of `columns` images of a super-class, its sub-classes in turn."""
    by_class = [list(members[images.labels[members] == c]) for c in np.unique(images.labels[members])]
    found: list[int] = []
    while len(found) < columns and any(by_class):
        found += [int(queue.pop(0)) for queue in by_class if queue]
    return found[:columns]


def long_tails(sets: Mapping[str, Mapping[str, int]], *, targets: Mapping[str, int] | None = None) -> Figure:
    """Class counts of several sets, largest class first, a panel each (Fig. S3).

    Parameters
    ----------
    targets : mapping of str to int, optional
        Images of every class after augmentation, drawn as a dashed line.
    """
    columns = 4
    count = -(-len(sets) // columns)
    figure, axes = new(count, columns, width=DOUBLE, height=1.55 * count, sharey=True, squeeze=False)
    for one in axes.flat[len(sets) :]:
        one.axis("off")
    for one, (name, counts) in zip(axes.flat, sets.items(), strict=False):
        heights = sorted(counts.values(), reverse=True)
        few = len(heights) <= 20
        one.plot(np.arange(1, len(heights) + 1), heights, "o" if few else "-", drawstyle="steps-mid")
        if targets and name in targets:
            one.axhline(targets[name], color=COLOURS["orange"], ls="--", lw=1)
        one.set(yscale="log", title=name, ylim=(20, 20_000))
        one.set_xticks([1, len(heights)])
        one.margins(x=0.12)
    for one in axes[:, 0]:
        one.set_ylabel("images")
    for one in axes[-1]:
        one.set_xlabel("class, largest first")
    return figure
