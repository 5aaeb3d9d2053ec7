"""Figures of notebook 03: the metric, its error, its bias, and what moves it (section 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from gmaug.plots import COLOURS, CYCLE, DOUBLE, letter, new
from gmaug.plots.images import grid

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from gmaug.similarity.estimates import Sample


def pairs_of_images(chosen: Sequence[tuple[np.ndarray, np.ndarray, float]]) -> Figure:
    """Pairs of images one above the other, with the SSIM of each pair."""
    rows = [[pair[k] for pair in chosen] for k in (0, 1)]
    return grid(rows, notes=[[""] * len(chosen), [f"SSIM {value:.2f}" for *_, value in chosen]], gap=0.04)


def scores(sample: Sample) -> Figure:
    """Histogram of a sample's pairs, split by whether their sub-classes differ, with the mean."""
    values = np.asarray(sample.values)
    differ = sample.labels[sample.pairs[:, 0]] != sample.labels[sample.pairs[:, 1]]
    figure, axes = new(width=DOUBLE * 0.6, height=2.2)
    edges = np.histogram_bin_edges(values, bins="auto")
    parts = [values[differ], values[~differ]]
    labels = ["two sub-classes", "one sub-class"]
    axes.hist(parts, edges, stacked=True, color=[COLOURS["blue"], COLOURS["sky"]], label=labels)
    axes.axvline(values.mean(), color=COLOURS["orange"], lw=2, label=f"mean {values.mean():.4f}")
    axes.set(xlabel="SSIM of a pair", ylabel="pairs")
    axes.legend()
    return figure


def convergence(traces: Mapping[str, pd.DataFrame], *, targets: Mapping[str, float] | None = None) -> Figure:
    """Running means as pairs come in: ± one error of drawing pairs (dark) and over images (light).

    Parameters
    ----------
    traces : mapping of str to DataFrame
        From :meth:`gmaug.similarity.estimates.Sample.trace`.
    targets : mapping of str to float, optional
        The mean over all pairs, as a dashed line.
    """
    figure, row = new(1, len(traces), width=DOUBLE, height=2.4, squeeze=False)
    for k, (axes, (name, trace)) in enumerate(zip(row[0], traces.items(), strict=True)):
        x, mean, colour = trace["pairs"], trace["mean"], COLOURS[CYCLE[k]]
        for error, alpha, label in (("se", 0.18, "± error over images"), ("se_pairs", 0.4, "± over pairs")):
            low, high = mean - trace[error], mean + trace[error]
            axes.fill_between(x, low, high, color=colour, alpha=alpha, lw=0, label=label)
        axes.plot(x, mean, color=colour, label="running mean")
        if targets and name in targets:
            axes.axhline(targets[name], color="0.3", ls="--", lw=1, label="all pairs")
        axes.set(xscale="log", xlabel="pairs")
        letter(axes, "abc"[k], name)
    row[0][0].set_ylabel("mean SSIM")
    handles = row[0][0].get_legend_handles_labels()
    figure.legend(*handles, loc="outside lower center", ncols=len(handles[1]))
    return figure


def intervals(rows: pd.DataFrame) -> Figure:
    """Estimates from gardens planted anew with 95 % intervals over pairs and over images.

    Parameters
    ----------
    rows : DataFrame
        From :func:`gmaug.similarity.probes.resampled`.
    """
    designs = list(dict.fromkeys(rows["design"]))
    figure, panels = new(2, len(designs), width=DOUBLE, height=3.4, sharey=True, sharex=True, squeeze=False)
    units = (("se_pairs", "error over pairs", "blue"), ("se", "error over images", "green"))
    for c, design in enumerate(designs):
        part = rows[rows["design"] == design].sort_values("value").reset_index(drop=True)
        centre = part["value"].mean()
        for r, (column, label, colour) in enumerate(units):
            axes = panels[r, c]
            miss = (part["value"] - centre).abs() > 1.96 * part[column]
            for chosen, tone in ((~miss, COLOURS[colour]), (miss, COLOURS["orange"])):
                one = part[chosen]
                axes.errorbar(
                    one.index,
                    one["value"],
                    1.96 * one[column],
                    fmt="o",
                    ms=2.2,
                    lw=0.9,
                    capsize=0,
                    color=tone,
                )
            axes.axhline(centre, color="0.4", lw=0.8, ls="--")
            share = 1 - miss.mean()
            letter(axes, "abcd"[2 * c + r], f"{design}, {label}: {share:.0%} cover")
            axes.set_xticks([])
    for axes in panels[-1]:
        axes.set_xlabel("gardens planted anew, sorted")
    for axes in panels[:, 0]:
        axes.set_ylabel("mean SSIM")
    return figure


def maximum_bias(by_count: pd.DataFrame, by_lead: pd.DataFrame) -> Figure:
    """Optimism of a maximum, in standard errors: by the number of means, and by how far the top one leads.

    Parameters
    ----------
    by_count, by_lead : DataFrame
        From :func:`gmaug.similarity.probes.optimism`: equal means, and one that leads.
    """
    figure, (left, right) = new(1, 2, width=DOUBLE, height=2.3)
    left.plot(by_count["k"], by_count["bias"], "o-", color=COLOURS["blue"])
    left.set(xlabel="super-classes of equal true mean", ylabel="bias (standard errors)", ylim=(0, None))
    letter(left, "a")
    for (k, part), colour, shape in zip(by_lead.groupby("k"), CYCLE, "osD^", strict=False):
        right.plot(
            part["lead"], part["bias"], shape + "-", ms=3.5, color=COLOURS[colour], label=f"{k} super-classes"
        )
    right.set(xlabel="lead of the largest (standard errors)", ylim=(0, None))
    right.legend()
    letter(right, "b")
    return figure


def matrix(means: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> Figure:
    """Mean SSIM between every two classes, super-classes framed."""
    from matplotlib.patches import Rectangle

    figure, axes = new(width=DOUBLE * 0.62, height=3.5)
    order = [name for members in groups.values() for name in members]
    values = means.loc[order, order].to_numpy()
    shown = axes.imshow(values, vmin=0)
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            light = value > np.nanmax(values) * 0.55
            axes.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=6, color="k" if light else "w")
    start = 0
    for members in groups.values():
        n = len(members)
        frame = Rectangle(
            (start - 0.5, start - 0.5), n, n, fill=False, ec=COLOURS["orange"], lw=2, clip_on=False
        )
        axes.add_patch(frame)
        start += n
    axes.set_xticks(range(len(order)), order, rotation=45, ha="right")
    axes.set_yticks(range(len(order)), order)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes, shrink=0.85, label="mean SSIM of a pair").outline.set_visible(False)
    return figure


def groupings(dealt: np.ndarray, marks: Mapping[str, float]) -> Figure:
    """SSIM-supSubCls of classes dealt to super-classes at random; other groupings as lines."""
    figure, axes = new(width=DOUBLE * 0.66, height=2.1)
    axes.hist(dealt, bins=24, color="0.75", label="dealt at random")
    for (name, value), colour, style in zip(marks.items(), CYCLE, ("-", "--", "-.", ":"), strict=False):
        axes.axvline(value, color=COLOURS[colour], ls=style, lw=1.8, label=f"{name}: {value:.3f}")
    axes.set(xlabel="SSIM-supSubCls of the same images", ylabel="groupings")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def by_size(curves: Mapping[str, pd.DataFrame], *, column: str = "sup_sub") -> Figure:
    """The metric against the size images are brought to, a line per set, both axes logarithmic."""
    figure, axes = new(width=DOUBLE * 0.66, height=2.6)
    for (name, part), colour, shape in zip(curves.items(), CYCLE, "osD^vPX", strict=False):
        part = part.sort_values("size")
        look = {"fmt": shape + "-", "ms": 4, "color": COLOURS[colour], "label": name}
        axes.errorbar(part["size"], part[column], part.get(f"{column}_se"), **look)
    sizes = sorted({int(s) for part in curves.values() for s in part["size"]})
    axes.set_xscale("log", base=2)
    axes.set_xticks(sizes, [str(s) for s in sizes])
    axes.axvline(224, color="0.7", lw=0.8, ls=":")
    axes.set(xlabel="short side (pixels)", ylabel="SSIM-supSubCls", ylim=(0, None))
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure


def knob(table: pd.DataFrame, *, paper: pd.DataFrame) -> Figure:
    """The metric of the gardens against their knob, and the paper's values as ticks on the right.

    Parameters
    ----------
    table : DataFrame
        From :func:`gmaug.similarity.probes.gardens`.
    paper : DataFrame
        Table 5.
    """
    figure, (axes, ruler) = new(1, 2, width=DOUBLE * 0.86, height=3.0, sharey=True, width_ratios=[3, 1])
    largest = table["size"].max()
    for size, part in table.groupby("size"):
        tone = COLOURS["blue" if size == largest else "orange"]
        for column, shape, label in (("sup_sub", "o-", "SSIM-supSubCls"), ("merge", "s:", "SSIM-mergeCls")):
            axes.errorbar(
                part["knob"], part[column], 1.96 * part[f"{column}_se"], fmt=shape, ms=4, color=tone,
                label=f"{label}, {size} px",
            )  # fmt: skip
    axes.set(xlabel="knob: share of pose, background and light in common", ylabel="mean SSIM", ylim=(0, None))
    axes.legend(loc="upper left")
    letter(axes, "a", "gardens (this run)")
    ruler.plot([0] * len(paper), paper["ssim_sup_sub_cls"], "_", ms=14, color="0.2")
    height, last = np.inf, paper.sort_values("ssim_sup_sub_cls", ascending=False)
    for row in last.itertuples():  # names are pushed apart where values nearly agree
        height = min(row.ssim_sup_sub_cls, height - 0.017)
        ruler.text(0.35, height, row.dataset, va="center", fontsize=7)
    ruler.set(xlim=(-0.3, 2), xticks=[])
    ruler.spines["bottom"].set_visible(False)
    letter(ruler, "b", "the paper, Table 5")
    return figure


def side_by_side(table: pd.DataFrame) -> Figure:
    """Paper, recorded and this run, a row per set and metric.

    Parameters
    ----------
    table : DataFrame
        ``data set``, ``metric``, ``paper``, and where there are any ``recorded``, ``recorded se``,
        ``this run``, ``this run se``.
    """
    figure, axes = new(width=DOUBLE * 0.8, height=0.24 * len(table) + 0.8)
    y = np.arange(len(table))[::-1]
    axes.plot(table["paper"].astype(float), y, "|", ms=14, mew=2, color="0.25", label="paper")
    for name, colour, shape, lift in (("recorded", "blue", "o", 0.13), ("this run", "orange", "D", -0.13)):
        value = table[name].astype(float)
        if value.notna().any():
            error = 1.96 * table[f"{name} se"].astype(float)
            axes.errorbar(value, y + lift, xerr=error, fmt=shape, ms=4, color=COLOURS[colour], label=name)
    axes.set_yticks(y, table["data set"] + ", " + table["metric"])
    axes.set(xlabel="mean SSIM (bars: 95 % interval over images)", xlim=(0, None))
    axes.legend(loc="lower right")
    return figure


def smoothness(table: pd.DataFrame) -> Figure:
    """Mean SSIM of each super-class against its share of smooth windows, a panel per set.

    Parameters
    ----------
    table : DataFrame
        From :func:`gmaug.similarity.recording.smoothness_table`.
    """
    parts = list(table.groupby("data set", sort=False))
    figure, row = new(1, len(parts), width=DOUBLE, height=2.5, squeeze=False)
    for k, (axes, (name, part)) in enumerate(zip(row[0], parts, strict=True)):
        axes.plot(part["smooth"], part["ssim"], "o", color=COLOURS[CYCLE[k]])
        for one in part.itertuples():
            axes.annotate(
                one.super_class, (one.smooth, one.ssim), (4, 2), textcoords="offset points", fontsize=7
            )
        axes.set(xlabel="share of windows with σ < 7.65")
        axes.margins(x=0.2, y=0.15)
        letter(axes, "abc"[k], name)
    row[0][0].set_ylabel("mean SSIM within the class")
    return figure


def speedups(ratios: pd.DataFrame) -> Figure:
    """How many times faster the engine is than each peer, by image size (logarithmic).

    Parameters
    ----------
    ratios : DataFrame
        ``peer``, ``convention``, ``size``, ``ratio``.
    """
    ratios = ratios.assign(peer=ratios["peer"] + ",\n" + ratios["convention"])
    peers = list(dict.fromkeys(ratios["peer"]))
    figure, axes = new(width=DOUBLE * 0.72, height=0.5 * len(peers) + 0.7)
    sizes = sorted(ratios["size"].unique())
    for k, size in enumerate(sizes):
        part = ratios[ratios["size"] == size].set_index("peer").reindex(peers)
        y = np.arange(len(peers))[::-1] + 0.22 * (k - (len(sizes) - 1) / 2)
        axes.plot(part["ratio"], y, "osD^"[k % 4], color=COLOURS[CYCLE[k]], label=f"{size} px")
        for x, height in zip(part["ratio"], y, strict=True):
            if np.isfinite(x):
                axes.annotate(
                    f"{x:.0f}", (x, height), (5, 0), textcoords="offset points", va="center", fontsize=6.5
                )
    axes.axvline(1, color="0.4", lw=0.8)
    axes.set_yticks(np.arange(len(peers))[::-1], peers)
    axes.set(xscale="log", xlabel="times as long as this engine for the same pair, same convention")
    axes.legend(loc="center left", bbox_to_anchor=(1.01, 0.5))
    return figure
