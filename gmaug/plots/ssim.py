"""Figures of notebook 01: what SSIM sees of a pair of images (section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gmaug.plots import COLOURS, DOUBLE, new
from gmaug.plots.images import colour_bar, coloured, grid
from gmaug.ssim import components, ssim, ssim_map
from gmaug.ssim.distortions import Distorted

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


def equal_error(original: np.ndarray, spoilt: Sequence[Distorted], *, columns: int = 4) -> Figure:
    """An image and its distorted copies, with the MSE and the SSIM of each, best SSIM first."""
    scored = sorted(((ssim(original, one.image), one) for one in spoilt), key=lambda item: -item[0])
    cells = [(original, "original\nMSE 0 · SSIM 1")]
    cells += [(one.image, f"{one.kind}\nMSE {one.mse:.0f} · SSIM {value:.2f}") for value, one in scored]
    rows = [cells[k : k + columns] for k in range(0, len(cells), columns)]
    return grid([[c[0] for c in row] for row in rows], notes=[[c[1] for c in row] for row in rows])


def component_maps(original: np.ndarray, spoilt: Sequence[Distorted]) -> Figure:
    """For each distortion: the image, luminance, contrast and structure maps, and their product."""
    rows, notes = [], []
    for one in spoilt:
        parts = components(original, one.image)
        maps = (parts.luminance, parts.contrast, parts.structure, parts.ssim)
        rows.append([one.image[3:-3, 3:-3], *(coloured(values, low=0, high=1) for values in maps)])
        notes.append(["", *(f"mean {values.mean():.2f}" for values in maps)])
    figure = grid(
        rows,
        row_labels=[one.kind.replace(" ", "\n") for one in spoilt],
        column_labels=["image", "luminance", "contrast", "structure", "SSIM: their product"],
        notes=notes,
        right=0.6,
    )
    colour_bar(figure, low=0, high=1, label="similarity (negative values drawn as 0)")
    return figure


def falling(table: pd.DataFrame, *, at: float) -> Figure:
    """SSIM against the root of the mean squared error, a line per kind; one error marked.

    Parameters
    ----------
    table : DataFrame
        From :func:`gmaug.ssim.probes.strengthened`.
    at : float
        The mean squared error that the other figures hold fixed.
    """
    figure, axes = new(width=DOUBLE * 0.66, height=2.8)
    axes.axvline(at**0.5, color="0.6", lw=1, ls="--")
    looks = zip([*COLOURS.values()] * 2, "osD^vPX*<>", strict=False)
    for (kind, part), (colour, shape) in zip(table.groupby("kind", sort=False), looks, strict=False):
        axes.plot(part["mse"] ** 0.5, part["ssim"], marker=shape, ms=3.5, color=colour, label=kind)
    axes.set(xlabel="root of the mean squared error (grey levels)", ylabel="SSIM", ylim=(0, 1.03))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def windows_and_whole(verdicts: pd.DataFrame) -> Figure:
    """SSIM by windows and on the whole image, for distortions of equal MSE.

    Parameters
    ----------
    verdicts : DataFrame
        From :func:`gmaug.ssim.probes.verdicts_of`.
    """
    table = verdicts.sort_values("ssim")
    figure, axes = new(width=DOUBLE * 0.72, height=0.27 * len(table) + 0.75)
    y = np.arange(len(table))
    axes.hlines(y, table["ssim"], table["ssim_global"], color="0.8", lw=2, zorder=1)
    axes.plot(table["ssim"], y, "o", color=COLOURS["blue"], label="7×7 windows, averaged")
    axes.plot(table["ssim_global"], y, "D", color=COLOURS["orange"], label="one window: the whole image")
    axes.set_yticks(y, table["kind"])
    axes.set(
        xlabel="SSIM with the original (MSE is the same for all)", xlim=(min(0.4, table["ssim"].min()), 1.01)
    )
    axes.legend(loc="upper left")
    return figure


def scrambled_pair(pair: Sequence[np.ndarray], mixed: Sequence[np.ndarray]) -> Figure:
    """A pair of images, the same with their pixels shuffled alike, and what both readings say."""
    notes = []
    for x, y in (pair, mixed):
        values = [ssim(x, y, convention=name) for name in ("global", "paper")]
        notes += ["", f"whole image {values[0]:.3f}\n7×7 windows {values[1]:.3f}"]
    return grid(
        [[*pair, *mixed]], notes=[notes], column_labels=["x", "y", "x, shuffled", "y, shuffled alike"]
    )


def shift_curves(shifts: pd.DataFrame, *, unrelated: float) -> Figure:
    """SSIM of photographs with themselves, moved sideways; a line at what unrelated ones score."""
    figure, axes = new(width=DOUBLE * 0.62, height=2.5)
    colours = list(COLOURS.values())
    for k, (name, part) in enumerate(shifts.groupby("image", sort=False)):
        axes.plot(
            part["offset"], part["ssim"], marker="osD^v"[k % 5], ms=3.5, color=colours[k % len(colours)]
        )
        last = part.iloc[-1]
        axes.annotate(
            name, (last["offset"], last["ssim"]), (4, 0), textcoords="offset points", va="center", fontsize=7
        )
    axes.axhline(unrelated, color="0.4", lw=1, ls="--", label="unrelated photographs, on average")
    axes.legend(loc="upper right", fontsize=7)
    axes.set(xlabel="moved sideways by (pixels of 224)", ylabel="SSIM with itself", ylim=(0, 1.03))
    axes.set_xlim(-0.5, shifts["offset"].max() * 1.16)
    return figure


def conventions_slope(table: pd.DataFrame, *, mark: Mapping[tuple[str, str], str]) -> Figure:
    """Every pair of photographs as a line through the conventions; some of them marked by colour.

    Parameters
    ----------
    table : DataFrame
        From :func:`gmaug.ssim.probes.by_convention`.
    mark : mapping of (str, str) to str
        Pairs of names to a key of ``COLOURS``.
    """
    names = list(table.columns[2:])
    figure, axes = new(width=DOUBLE, height=2.9)
    x = np.arange(len(names))
    for row in table.itertuples(index=False):
        colour = mark.get((row[0], row[1]))
        if colour is None:
            axes.plot(x, row[2:], color="0.82", lw=0.7, zorder=1)
        else:
            label = f"{row[0]}, {row[1]}"
            axes.plot(x, row[2:], "o-", color=COLOURS[colour], lw=1.8, ms=4, zorder=3, label=label)
    axes.set_xticks(x, names)
    axes.set(xlabel="convention", ylabel="SSIM of the pair")
    axes.axhline(0, color="0.4", lw=0.6)
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.7))
    return figure


def range_curves(curves: Mapping[str, pd.DataFrame], *, right: float = 255.0) -> Figure:
    """SSIM as a function of the dynamic range that is assumed; the right one marked."""
    figure, axes = new(width=DOUBLE * 0.62, height=2.4)
    for (name, part), colour, shape in zip(curves.items(), COLOURS.values(), "osD^v", strict=False):
        axes.plot(part["range"] / right, part["ssim"], marker=shape, ms=3.5, color=colour, label=name)
    axes.axvline(1, color="0.4", lw=1, ls="--")
    axes.set_xscale("log", base=2)
    ticks = sorted(
        {2.0**k for k in range(-6, 5)} & {float(v) for p in curves.values() for v in p["range"] / right}
    )
    axes.set_xticks(ticks, [f"{t:g}" if t >= 1 else f"1/{1 / t:g}" for t in ticks])
    axes.set(xlabel="assumed range / right range", ylabel="SSIM", ylim=(-0.05, 1.03))
    axes.legend(loc="best")
    return figure


def scores_by_kind(scores: pd.DataFrame) -> Figure:
    """One point per pair, one row per kind of pair, the mean as a bar.

    Parameters
    ----------
    scores : DataFrame
        Columns ``kind`` and ``ssim``.
    """
    kinds = list(dict.fromkeys(scores["kind"]))
    figure, axes = new(width=DOUBLE * 0.8, height=0.42 * len(kinds) + 0.6)
    rng = np.random.default_rng(0)
    for k, kind in enumerate(reversed(kinds)):
        values = scores.loc[scores["kind"] == kind, "ssim"].to_numpy()
        spread = rng.uniform(-0.24, 0.24, len(values)) if len(values) > 1 else 0
        axes.plot(values, k + spread, "o", ms=2.6, alpha=0.45, color=COLOURS["blue"], mew=0)
        axes.plot([values.mean()] * 2, [k - 0.33, k + 0.33], color=COLOURS["orange"], lw=2.2)
        axes.text(
            1.015, k, f"{values.mean():.2f}", va="center", fontsize=7, transform=axes.get_yaxis_transform()
        )
    axes.set_yticks(range(len(kinds)), list(reversed(kinds)))
    axes.axvline(0, color="0.4", lw=0.6)
    axes.set(
        xlabel="SSIM of a pair; bar and number: their mean", xlim=(min(-0.06, scores["ssim"].min()), 1.02)
    )
    return figure


def plain_grounds(x: np.ndarray, y: np.ndarray, shares: Sequence[float]) -> Figure:
    """Two images with more and more of one plain ground, and where SSIM finds them alike."""
    from gmaug.ssim.probes import on_plain_ground

    rows, notes = [[], [], []], []
    for share in shares:
        a, b = on_plain_ground(x, share), on_plain_ground(y, share)
        rows[0].append(a[3:-3, 3:-3])
        rows[1].append(b[3:-3, 3:-3])
        rows[2].append(coloured(ssim_map(a, b), low=0, high=1))
        notes.append(f"SSIM {ssim(a, b):.2f}")
    figure = grid(
        rows,
        row_labels=["x", "y", "SSIM\nmap"],
        column_labels=[f"{share:.0%} plain" for share in shares],
        notes=[[""] * len(shares), [""] * len(shares), notes],
        right=0.6,
    )
    colour_bar(figure, low=0, high=1, label="SSIM")
    return figure


def grain_curve(table: pd.DataFrame) -> Figure:
    """SSIM of two flat images against the grain on them, with what Eq. 1 predicts."""
    figure, axes = new(width=DOUBLE * 0.62, height=2.4)
    axes.plot(table["grain"], table["expected"], color=COLOURS["orange"], label=r"$C_2 / (2\sigma^2 + C_2)$")
    axes.plot(table["grain"], table["ssim"], "o", ms=4, color=COLOURS["blue"], label="measured")
    axes.set(xlabel="standard deviation σ of the grain (grey levels of 255)", ylabel="SSIM", ylim=(0, 1.03))
    axes.legend()
    return figure
