"""``python -m gmaug advise DIR``: will generated images help *these* images? With honest uncertainty.

Three kinds of evidence are joined: the paper's eight points and the curves through them, its rivals, and
what our own recorded experiments measured. Every forecast has an interval that eight points can
justify (:func:`gmaug.law.jackknife_plus`): nominal 80 %, guaranteed 60 %; 95 % cannot be had.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug import law, published
from gmaug.datasets import open_images
from gmaug.page import Section, writable, write_page
from gmaug.plots import COLOURS, use_style
from gmaug.similarity import Estimate, Similarity, measure
from gmaug.statistics import signed
from gmaug.workspace import short_sides

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.8
GUARANTEED = 1 - 2 * (1 - LEVEL)  # what the jackknife+ promises without assumptions, at that level
INTERVAL = f"jackknife+ interval, nominal {LEVEL:.0%}, guaranteed {GUARANTEED:.0%}"
BALANCED = 1.2  # largest over smallest class: below it, re-balancing adds a fifth to a class at the most
SMALL = 0.6  # of the convention's side: an image enlarged more than this gains smoothness, not detail
NEAREST = 2  # recorded sets that are quoted
PICTURES = (".png", ".svg", ".pdf")

TRY = "worth a trial"
LITTLE = "little to expect"
UNKNOWN = "the evidence does not say"

PRINTED = "Eq. 4 as printed"
REFIT = "Eq. 4 refitted to Table 5"


@dataclass(frozen=True)
class Advice:
    """What the evidence says about one image set."""

    similarity: Similarity
    class_counts: Mapping[str, int]  # images of each class that could be read
    imbalance: float  # largest class over smallest
    target: int  # images that each class is filled to
    to_generate: int  # in all
    enlargement: float  # training images after over before
    most_gain: float  # percent of the original accuracy: all images right
    forecasts: pd.DataFrame = field(repr=False)  # as :func:`forecasts` gives them
    recorded: pd.DataFrame = field(repr=False)  # our own experiments on the sets nearest in similarity
    verdict: str  # "worth a trial", "little to expect" or "the evidence does not say"
    words: Mapping[str, list[str]] = field(repr=False)  # paragraphs of each section of ``advice.j2``

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: the keys of ``similarity`` and those of the advice."""
        predictions = [
            {
                "model": f.model, "expected_gain_percent": f.expected, "interval": [f.low, f.high],
                "interval_level": LEVEL, "interval_guaranteed": round(GUARANTEED, 3),
                "interval_method": "jackknife+", "note": f.note,
            }
            for f in self.forecasts.itertuples()
        ]  # fmt: skip
        return self.similarity.to_dict() | {
            "class_counts": dict(self.class_counts), "imbalance": self.imbalance,
            "plan": {
                "target_per_class": self.target, "images_to_generate": self.to_generate,
                "enlargement": self.enlargement,
            },
            "predictions": predictions, "most_gain_percent": self.most_gain,
            "recorded": json.loads(self.recorded.to_json(orient="records")),  # NaN becomes None
            "verdict": self.verdict, "recommendation": self.words["recommendation"][0],
            "warnings": self.words["warnings"], "next_steps": self.words["next_steps"],
        }  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """The forecasts, one row each, in percent of the original accuracy."""
        return self.forecasts

    def figure(self) -> Figure:
        """Where the set stands on Fig. 7."""
        from matplotlib.figure import Figure

        use_style()
        figure = Figure(figsize=(4.6, 3), layout="constrained")
        axes, points, metric = figure.subplots(), published.load("table5"), self.similarity.ssim_sup_sub_cls
        at = np.linspace(min(0.06, metric.value - 0.01), max(0.42, metric.value + 0.05), 200)
        axes.plot(at, law.refit()(at), color=COLOURS["blue"], label="refit")
        axes.plot(at, published.EQ4(at), color=COLOURS["orange"], ls=(0, (4, 2)), label=PRINTED)
        x, y = points["ssim_sup_sub_cls"], points["cgan_augcls_improvement"]
        axes.plot(x, y, "o", color=COLOURS["black"], label="the paper's data sets")
        axes.axvline(metric.value, color=COLOURS["purple"], lw=1.4, label="this set")
        if not np.isnan(metric.low):
            axes.axvspan(metric.low, metric.high, color=COLOURS["purple"], alpha=0.25, lw=0)
        axes.set(ylim=(-4, 110), xlabel="SSIM-supSubCls", ylabel="relative gain in accuracy (%)")
        axes.legend(loc="upper right", frameon=True, framealpha=0.9, edgecolor="none")
        return figure

    def __str__(self) -> str:
        def wrapped(line: str, indent: int = 2) -> str:
            return textwrap.fill(line, 96, subsequent_indent=" " * indent)

        words, most = self.words, f"at most {self.most_gain:.3g} ({INTERVAL})"
        lines = [str(self.similarity), "", *words["counts"], ""]
        lines.append(f"Expected gain, in percent of the original accuracy, {most}")
        width = self.forecasts["model"].str.len().max()
        for f in self.forecasts.itertuples():
            note = f"   ({f.note})" if f.note else ""
            lines.append(f"  {f.model:{width}}  {f.expected:6.1f}   {f.low:6.1f} to {f.high:5.1f}{note}")
        lines += ["", *map(wrapped, words["measured"])]
        lines += ["", wrapped(f"Recommendation: {words['recommendation'][0]}")]
        lines += [wrapped(f"Warning: {warning}") for warning in words["warnings"]]
        steps = (wrapped(f"  {k}. {step}", 5) for k, step in enumerate(words["next_steps"], 1))
        return "\n".join([*lines, "", "Next:", *steps])


def advise(
    images: Any, labels: Sequence[int] | None = None, *, hierarchy: Any = None, accuracy: float | None = None,
    target: int | None = None, seed: int = 0, jobs: int | None = None, progress: bool = True,
) -> Advice:  # fmt: skip
    """Measure an image set and say what the evidence predicts for it.

    Parameters
    ----------
    images, labels, hierarchy
        The imbalanced training set, as :func:`gmaug.datasets.open_images` takes it: a folder, a name, an
        array with labels, ...
    accuracy : float, optional
        Accuracy of your classifier without augmentation, percent: adds a rival that needs it.
    target : int, optional
        Images that every class is to be filled to; the largest class by default.
    seed : int
        Of the metric's random pairs.
    jobs, progress
        As for :func:`gmaug.similarity.measure`.
    """
    images = open_images(images, labels, hierarchy=hierarchy)
    if accuracy is not None and not 1 < accuracy < 100:
        fraction = f"; is it {100 * accuracy:g} %?" if 0 < accuracy <= 1 else ""
        raise ValueError(f"accuracy={accuracy:g}; give percent between 1 and 100{fraction}")
    _require_two(images.name, images.class_counts)
    similarity = measure(images, seed=seed, jobs=jobs, progress=progress)
    used = np.bincount(similarity.samples[""].labels, minlength=len(images.classes))  # files that are images
    counts = {name: n for name, n in zip(images.classes, used.tolist(), strict=True) if n}
    _require_two(images.name, counts)
    largest, total, metric = max(counts.values()), sum(counts.values()), similarity.ssim_sup_sub_cls
    target = largest if target is None else target
    if target < largest:
        raise ValueError(
            f"target={target} is below the largest class ({largest} images); give {largest} or more"
        )
    imbalance, enlargement = largest / min(counts.values()), len(counts) * target / total
    start = accuracy or 100 / len(counts)  # at the least that of guessing
    ceiling = 100 * (100 - start) / start  # all images right
    expected = forecasts(
        metric, merge=similarity.ssim_merge_cls, enlargement=enlargement, original=accuracy, ceiling=ceiling
    )
    gain = float(expected.loc[expected["model"] == REFIT, "expected"].iloc[0])
    sides, size = short_sides(images, similarity.convention.size), similarity.convention.size
    side = float(np.median(sides)) if len(sides) else np.nan
    comparable, sought = not side < SMALL * size, min(max(gain, 1.0), ceiling)
    verdict, why = judge(metric, imbalance=imbalance, comparable=comparable)
    recorded = nearest_recorded(metric.value)
    about = {
        "imbalance": imbalance, "target": target, "to_generate": len(counts) * target - total,
        "enlargement": enlargement, "most_gain": ceiling, "forecasts": expected, "recorded": recorded,
        "verdict": verdict,
    }  # fmt: skip
    words = _words(
        similarity=similarity, classes=counts, images=total, side=side, size=size, comparable=comparable,
        accuracy=accuracy, gain=gain, sought=sought, need=images_to_see(accuracy or 50.0, sought),
        why=why, generated=generated_arms(recorded), **about,
    )  # fmt: skip
    return Advice(similarity, counts, **about, words=words)


def _require_two(name: str, counts: Mapping[str, int]) -> None:
    if (found := sum(n > 0 for n in counts.values())) < 2:
        raise ValueError(
            f"{name}: {found} class; there is nothing to balance. Give a folder with two or more classes, "
            "DIR/class/* or DIR/super/sub/*"
        )


def _words(**facts: Any) -> dict[str, list[str]]:
    """The paragraphs of each section of ``advice.j2``."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    folder, about = FileSystemLoader(Path(__file__).parent), {"undefined": StrictUndefined}
    environment = Environment(loader=folder, trim_blocks=True, lstrip_blocks=True, **about)
    environment.filters["f"], environment.globals["signed"] = format, signed
    sections = environment.get_template("advice.j2").make_module(facts)
    return {
        name: [" ".join(one.split()) for one in str(getattr(sections, name)()).split("\n\n") if one.strip()]
        for name in ("counts", "recommendation", "warnings", "next_steps", "measured")
    }


# Forecasts


def forecasts(
    metric: Estimate, *, merge: Estimate, enlargement: float, original: float | None = None,
    ceiling: float = np.inf,
) -> pd.DataFrame:  # fmt: skip
    """Forecasts on SSIM-supSubCls by several shapes, then the rivals, each with the shape that suits it best.

    Parameters
    ----------
    metric, merge : Estimate
        SSIM-supSubCls and SSIM-mergeCls of the new set, in the paper's convention. Their own 95 %
        interval is carried through: a forecast's interval is the widest over it.
    enlargement : float
        Training images after augmentation over those before, 1 or more.
    original : float, optional
        Accuracy without augmentation, percent; one rival needs it.
    ceiling : float
        No forecast promises more than this gain, percent.

    Returns
    -------
    DataFrame
        ``model``; ``expected``, ``low`` and ``high``, relative gain in percent of the original accuracy; and
        ``note``, what to hold against it. The interval is the jackknife+'s.
    """
    frame = law.paper_predictors()
    table = law.prediction_table(frame)
    models: dict[str, tuple[str, law.Model, Any]] = {
        # its interval comes from its own errors
        PRINTED: ("ssim_sup_sub_cls", lambda x, y: law.Fit({}, published.EQ4), metric),
        REFIT: ("ssim_sup_sub_cls", "exponential", metric),
        "exponential, fitted to logarithms": ("ssim_sup_sub_cls", "log_linear", metric),
        "two levels at 0.1652": ("ssim_sup_sub_cls", law.published_step, metric),
        "any falling curve": ("ssim_sup_sub_cls", "isotonic", metric),
    }
    for predictor, at in {"ssim_merge_cls": merge, "enlargement": enlargement, "original": original}.items():
        if at is not None:
            best = table[table["predictor"] == predictor].iloc[0]
            name = f"rival: {best['label']} ({best['model'].replace('_', '-')})"
            models[name] = predictor, best["model"], at
    y, found = frame["gain"].to_numpy(float), []
    for name, (predictor, model, at) in models.items():
        x, logarithm = law.values(frame, predictor), predictor in law.LOGARITHMIC
        ends = [at.value, at.low, at.high] if isinstance(at, Estimate) else [at]
        ends = [np.log2(v) if logarithm else float(v) for v in ends if not np.isnan(v)]
        expected = float(law.fit(x, y, model=model)(ends[0]))
        intervals = [law.jackknife_plus(x, y, v, model=model, level=LEVEL, floor=-100.0) for v in ends]
        low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
        notes = []
        if not x.min() <= ends[0] <= x.max():
            shown = [2**v if logarithm else v for v in (x.min(), x.max())]
            notes.append(f"outside the published range, {shown[0]:.3g} to {shown[1]:.3g}")
        if expected > ceiling:
            notes.append(f"its {expected:.0f} % are cut to what is possible")
        found.append((name, *(float(min(v, ceiling)) for v in (expected, low, high)), "; ".join(notes)))
    return pd.DataFrame(found, columns=["model", "expected", "low", "high", "note"])


def judge(metric: Estimate, *, imbalance: float = np.inf, comparable: bool = True) -> tuple[str, str]:
    """The verdict that the published points nearest in similarity support, and why, in words.

    On the four data sets at or below 0.1652 the published gain is 25 % or more, on the four at or above
    0.2625 below 5 %; no point lies between. A set whose interval reaches one side only is told what was
    found there. `metric` is in the paper's convention; `comparable` says whether the images are large enough
    for it.
    """
    if imbalance < BALANCED:
        why = f"the classes are balanced (largest over smallest {imbalance:.2f}), and the paper's are not"
        return UNKNOWN, why
    if not comparable:
        return UNKNOWN, "its images are too small to compare the metric with the paper's"
    points, threshold = law.paper_predictors(), published.THRESHOLDS["ssim_sup_sub_cls"]
    x = points["ssim_sup_sub_cls"]
    below, above, gap = points[x <= threshold], points[x > threshold], x[x > threshold].min()
    low, high = (metric.value, metric.value) if np.isnan(metric.low) else (metric.low, metric.high)
    its = f"its SSIM-supSubCls, {metric.value:.3f},"
    if high < x.min() or low > x.max():
        side = "below" if high < x.min() else "above"
        return UNKNOWN, f"{its} lies {side} all published sets ({x.min():.3f} to {x.max():.3f})"
    if low <= threshold and high >= gap:
        return UNKNOWN, f"{its} is too uncertain ({low:.3f} to {high:.3f}) to say on which side it is"
    if threshold < low and high < gap:
        return UNKNOWN, f"{its} lies between {threshold} and {gap}, where no data set was published"
    near = below if low <= threshold else above
    gain, start = near["gain"], near["original"]
    its += f" is among those of the {len(near)} published sets ({', '.join(near['dataset'])}) that gained"
    if near is above:
        return LITTLE, f"{its} {gain.max():.1f} % at the most, none of them beyond chance"
    return TRY, (
        f"{its} {gain.min():.0f} to {gain.max():.0f} %. Of these only flowers' gain is beyond chance once "
        f"all are tested, and their accuracies began at {start.min():.0f} to {start.max():.0f} %"
    )


def images_to_see(original: float, gain: float) -> int:
    """Validation images needed to tell a gain from none: two-sided 5 %, power 80 %, two proportions.

    `original` is the accuracy before, `gain` relative to it, both in percent.
    """
    if gain <= 0:
        raise ValueError(f"gain={gain}; only a gain above 0 can be looked for")
    before = original / 100
    after = min(before * (1 + gain / 100), 1.0)
    z = 1.959964 + 0.841621  # normal quantiles of 0.975 and 0.8
    return int(np.ceil(z**2 * (before * (1 - before) + after * (1 - after)) / (after - before) ** 2))


# What we measured


def nearest_recorded(metric: float) -> pd.DataFrame:
    """Our recorded experiments on the sets nearest in SSIM-supSubCls, nearest first, best arm first."""
    table = published.experiments()
    away = (table["ssim_sup_sub_cls"].astype(float) - metric).abs()
    order = list(dict.fromkeys(table.loc[away.sort_values(kind="stable").index, "set"]))[:NEAREST]
    table = table[table["set"].isin(order)].sort_values("gain_over_oversample", ascending=False)
    return table.sort_values("set", key=lambda sets: sets.map(order.index), kind="stable", ignore_index=True)


def generated_arms(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose arm trains on generated images."""
    return table[table["arm"].astype(str).str.contains("cgan|diffusion")]


# The command


def configure(parser: argparse.ArgumentParser) -> None:
    """The command line of ``advise``."""
    parser.description = "Will generated images help a classifier trained on DIR/class/* or DIR/super/sub/*?"
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, garden-1, ...")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--accuracy", type=float, help="your accuracy without augmentation, percent")
    add("--target", type=int, help="images to fill every class to (default: the largest class)")
    add("--hierarchy", metavar="CSV", type=Path, help="super-classes: columns super_class and sub_class")
    add("--html", metavar="FILE", type=Path, help="write one page to look at, offline")
    add("--figure", metavar="PATH", type=Path, help="write a picture (.png, .svg or .pdf)")
    add("--seed", type=int, default=0, help="seed of the metric's pairs (default 0)")
    add("--jobs", type=int, help="threads (default: all cores)")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: use 0 or more")
    if options.figure:
        writable(options.figure, PICTURES)
    if options.html:
        writable(options.html)
    given = {name: getattr(options, name) for name in ("hierarchy", "accuracy", "target", "seed", "jobs")}
    shown = sys.stderr.isatty() or "GMAUG_PROGRESS" in os.environ
    result = advise(options.folder, progress=shown, **given)
    if options.figure:
        result.figure().savefig(options.figure)
    if options.html:
        words, metric = result.words, result.similarity.to_frame().reset_index().round(4)
        advice = [f"Recommendation: {words['recommendation'][0]}", *words["counts"]]
        place = "The set among the paper's data sets."
        sections = [
            Section(text=advice, warnings=words["warnings"]),
            Section("What to do next", steps=words["next_steps"]),
            Section("The set among the paper's", figure=result.figure(), caption=place),
            Section("How alike the images are", table=metric),
            Section(f"Expected gain ({INTERVAL})", table=result.forecasts.round(1)),
            Section("What we measured", words["measured"]),
        ]
        title = f"Advice on {result.similarity.name}"
        write_page(options.html, title=title, sections=sections, command=options.typed)
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    return 0
