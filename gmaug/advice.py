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
from gmaug.datasets.base import ImageSet
from gmaug.page import Section, page_path, write_page
from gmaug.plots import COLOURS, use_style
from gmaug.similarity import Estimate, Similarity, measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LEVEL = 0.8
GUARANTEED = 1 - 2 * (1 - LEVEL)  # what the jackknife+ promises without assumptions, at that level
INTERVAL = f"jackknife+ interval, nominal {LEVEL:.0%}, guaranteed {GUARANTEED:.0%}"
BALANCED = 1.2  # largest over smallest class: below it, re-balancing adds a fifth to a class at the most
SMALL = 0.6  # of the convention's side: an image enlarged more than this gains smoothness, not detail
ROUGH = 30  # images: below it the interval of a super-class is itself a guess
HARM = 50  # images a class: below it generated images have been reported to do harm
EPOCHS = 100  # as the paper trains ResNet18 (section 4.1)
CLASSIFIER_RATE = 250  # images/s, ResNet18 at 32 px on two CPU cores, measured
GAP = 1.2  # a step count that differs by less than a fifth explains little
NEAREST = 2  # recorded sets that are quoted
WIDTH = 96  # columns of text: fits a terminal and a notebook
MOST = 14  # bars that can be labelled in the figure; beyond it the ends are shown

TRY = "worth a trial"
LITTLE = "little to expect"
UNKNOWN = "the evidence does not say"

PRINTED = "Eq. 4 as printed"
REFIT = "Eq. 4 refitted to Table 5"
FREE = "oversampling, logit adjustment, and longer training"


@dataclass(frozen=True)
class Forecast:
    """Expected relative gain, in percent of the original accuracy, by one model.

    The interval is of the jackknife+, nominal 80 % and guaranteed 60 %, widened over the interval of the
    metric, and cut where all images would be right.
    """

    model: str
    expected: float
    low: float
    high: float
    note: str = ""  # what to hold against it


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
    forecasts: tuple[Forecast, ...]
    recorded: pd.DataFrame = field(repr=False)  # our own experiments on the sets nearest in similarity
    verdict: str  # "worth a trial", "little to expect" or "the evidence does not say"
    recommendation: str  # in plain words
    warnings: tuple[str, ...]
    next_steps: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints: the keys of ``similarity`` and those of the advice."""
        return {
            **self.similarity.to_dict(),
            "class_counts": dict(self.class_counts),
            "imbalance": self.imbalance,
            "plan": {
                "target_per_class": self.target,
                "images_to_generate": self.to_generate,
                "enlargement": self.enlargement,
            },
            "predictions": [
                {
                    "model": f.model,
                    "expected_gain_percent": f.expected,
                    "interval": [f.low, f.high],
                    "interval_level": LEVEL,
                    "interval_guaranteed": round(GUARANTEED, 3),
                    "interval_method": "jackknife+",
                    "note": f.note,
                }
                for f in self.forecasts
            ],
            "most_gain_percent": self.most_gain,
            "recorded": json.loads(self.recorded.to_json(orient="records")),  # NaN becomes None
            "verdict": self.verdict,
            "recommendation": self.recommendation,
            "warnings": list(self.warnings),
            "next_steps": list(self.next_steps),
        }

    def to_frame(self) -> pd.DataFrame:
        """The forecasts, one row each, in percent of the original accuracy."""
        columns = ["model", "expected", "low", "high", "note"]
        return pd.DataFrame([[getattr(f, c) for c in columns] for f in self.forecasts], columns=columns)

    def figure(self) -> Figure:
        """Where the set stands on Fig. 7, what each model expects, and its class counts."""
        return _figure(self)

    def write_html(self, path: str | os.PathLike[str], *, command: str = "") -> Path:
        """Write the advice as one page (see :func:`gmaug.page.write_page`)."""
        metric = self.similarity.to_frame().reset_index().round(4)
        forecasts = self.to_frame().round(1)
        caption = (
            "a: the set among the paper's data sets. b: what each model expects; hollow: outside the "
            "published range. c: images of each class, and what is missing to balance them."
        )
        sections = [
            Section("", [f"Recommendation: {self.recommendation}", *_counts_lines(self)], self.warnings),
            Section("What to do next", steps=self.next_steps),
            Section("The set among the paper's", figure=self.figure(), caption=caption),
            Section("How alike the images are", table=metric),
            Section("Expected gain", [f"{_gain_head(self)}."], table=forecasts),
            Section("What we measured", _recorded_lines(self.recorded)),
        ]
        title = f"Advice on {self.similarity.name}"
        return write_page(path, title=title, sections=sections, command=command)

    def __str__(self) -> str:
        lines = [str(self.similarity), "", *_counts_lines(self), "", _gain_head(self)]
        width = max(len(f.model) for f in self.forecasts)
        for f in self.forecasts:
            note = f"   ({f.note})" if f.note else ""
            lines.append(f"  {f.model:{width}}  {f.expected:6.1f}   {f.low:6.1f} to {f.high:5.1f}{note}")
        lines += ["", *(_wrapped(line, indent=2) for line in _recorded_lines(self.recorded))]
        lines += ["", _wrapped(f"Recommendation: {self.recommendation}", indent=2)]
        lines += [_wrapped(f"Warning: {warning}", indent=2) for warning in self.warnings]
        steps = (_wrapped(f"  {k}. {step}", indent=5) for k, step in enumerate(self.next_steps, 1))
        return "\n".join([*lines, "", "Next:", *steps])


def advise(
    images: Any,
    labels: Sequence[int] | None = None,
    *,
    hierarchy: Any = None,
    accuracy: float | None = None,
    target: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> Advice:
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
    _two_classes(images.name, images.class_counts)
    similarity = measure(images, seed=seed, jobs=jobs, progress=progress)
    used = np.bincount(similarity.samples[""].labels, minlength=len(images.classes))  # files that are images
    counts = _two_classes(images.name, dict(zip(images.classes, map(int, used), strict=True)))
    largest, total = max(counts.values()), sum(counts.values())
    target = largest if target is None else target
    if target < largest:
        raise ValueError(
            f"target={target} is below the largest class ({largest} images); give {largest} or more"
        )
    imbalance, enlargement = largest / min(counts.values()), len(counts) * target / total
    to_generate, metric = len(counts) * target - total, similarity.ssim_sup_sub_cls
    start = accuracy or 100 / len(counts)  # at the least that of guessing
    ceiling = 100 * (100 - start) / start  # all images right
    found = forecasts(
        metric, merge=similarity.ssim_merge_cls, enlargement=enlargement, original=accuracy, ceiling=ceiling
    )
    warned, comparable = _warnings(images, similarity, counts)
    verdict, why = judge(metric, imbalance=imbalance, comparable=comparable)
    recorded = nearest_recorded(metric.value)
    gain = next(f.expected for f in found if f.model == REFIT)
    if accuracy is not None and gain >= ceiling:
        warned.append(
            f"at an accuracy of {accuracy:g} % no more than {ceiling:.2g} % can be gained, less than the "
            "curves expect: they come from sets with more room"
        )
    return Advice(
        similarity=similarity,
        class_counts=counts,
        imbalance=imbalance,
        target=target,
        to_generate=to_generate,
        enlargement=enlargement,
        most_gain=ceiling,
        forecasts=tuple(found),
        recorded=recorded,
        verdict=verdict,
        recommendation=_recommendation(verdict, why, [f.expected for f in found], recorded),
        warnings=tuple(warned),
        next_steps=_next_steps(
            verdict,
            images=total,
            to_generate=to_generate,
            enlargement=enlargement,
            gain=min(max(gain, 1.0), ceiling),
            accuracy=accuracy,
        ),
    )


# --- forecasts -------------------------------------------------------------------------------------


def forecasts(
    metric: Estimate,
    *,
    merge: Estimate,
    enlargement: float,
    original: float | None = None,
    ceiling: float = np.inf,
) -> list[Forecast]:
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
    """
    frame = law.paper_predictors()
    shapes: dict[str, law.Model] = {
        PRINTED: lambda x, y: law.Fit("printed", {}, published.EQ4),  # its interval: from its own errors
        REFIT: "exponential",
        "exponential, fitted to logarithms": "log_linear",
        "two levels at 0.1652": law.published_step,
        "any falling curve": "isotonic",
    }
    found = [
        _forecast(name, frame, "ssim_sup_sub_cls", _ends(metric), model, ceiling)
        for name, model in shapes.items()
    ]
    table = law.prediction_table(frame)
    rest = {"ssim_merge_cls": _ends(merge), "enlargement": (enlargement,)}
    if original is not None:
        rest["original"] = (original,)
    for predictor, at in rest.items():
        best = table[table["predictor"] == predictor].iloc[0]
        name = f"rival: {best['label']} ({best['model'].replace('_', '-')})"
        found.append(_forecast(name, frame, predictor, at, best["model"], ceiling))
    return found


def _forecast(
    name: str, frame: pd.DataFrame, predictor: str, at: Sequence[float], model: law.Model, ceiling: float
) -> Forecast:
    x, y = law.values(frame, predictor), frame["gain"].to_numpy(float)
    logarithm = predictor in law.LOGARITHMIC
    at = np.log2(at) if logarithm else np.asarray(at, dtype=float)
    intervals = [law.jackknife_plus(x, y, v, model=model, level=LEVEL, floor=-100.0) for v in at]
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    shown = [2**v if logarithm else v for v in (x.min(), x.max())]
    outside = at[0] < x.min() or at[0] > x.max()
    expected = float(law.fit(x, y, model=model)(at[0]))
    notes = [f"outside the published range, {shown[0]:.3g} to {shown[1]:.3g}"] if outside else []
    notes += [f"its {expected:.0f} % are cut to what is possible"] if expected > ceiling else []
    return Forecast(name, *(float(min(v, ceiling)) for v in (expected, low, high)), "; ".join(notes))


def _ends(estimate: Estimate) -> tuple[float, ...]:
    """The value, and the ends of its interval where it has one."""
    return tuple(v for v in (estimate.value, estimate.low, estimate.high) if not np.isnan(v))


def judge(metric: Estimate, *, imbalance: float = np.inf, comparable: bool = True) -> tuple[str, str]:
    """The verdict that the published points nearest in similarity support, and why, in words.

    On the four data sets at or below 0.1652 the published gain is 25 % or more; on the four at or above
    0.2625 it is below 5 %. There is no point between, below 0.0792 or above 0.3834. A set whose interval
    reaches one side only is told what was found there. `metric` is in the paper's convention, and
    `comparable` says whether the images are large enough for it.
    """
    if imbalance < BALANCED:
        why = f"the classes are balanced (largest over smallest {imbalance:.2f}), and the paper's are not"
        return UNKNOWN, why
    if not comparable:
        return UNKNOWN, "its images are too small to compare the metric with the paper's"
    points = law.paper_predictors()
    x, threshold = points["ssim_sup_sub_cls"], published.THRESHOLDS["ssim_sup_sub_cls"]
    below, above = points[x <= threshold], points[x > threshold]
    low, high = (metric.value, metric.value) if np.isnan(metric.low) else (metric.low, metric.high)
    gap = above["ssim_sup_sub_cls"].min()
    its = f"its SSIM-supSubCls, {metric.value:.3f},"
    if high < x.min() or low > x.max():
        side = "below" if high < x.min() else "above"
        return UNKNOWN, f"{its} lies {side} all published sets ({x.min():.3f} to {x.max():.3f})"
    if low <= threshold and high >= gap:
        return UNKNOWN, f"{its} is too uncertain ({low:.3f} to {high:.3f}) to say on which side it is"
    if low <= threshold:
        why = (
            f"{its} is among those of the {len(below)} published sets ({', '.join(below['dataset'])}) that "
            f"gained {below['gain'].min():.0f} to {below['gain'].max():.0f} %. Of these only flowers' gain "
            "is beyond chance once all are tested, and their accuracies began at "
            f"{below['original'].min():.0f} to {below['original'].max():.0f} %"
        )
        return TRY, why
    if high >= gap:
        why = (
            f"{its} is among those of the {len(above)} published sets ({', '.join(above['dataset'])}) that "
            f"gained {above['gain'].max():.1f} % at the most, none of them beyond chance"
        )
        return LITTLE, why
    return UNKNOWN, f"{its} lies between {threshold} and {gap}, where no data set was published"


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


# --- what we measured, and words -------------------------------------------------------------------


def nearest_recorded(metric: float, *, sets: int = NEAREST) -> pd.DataFrame:
    """Our recorded experiments on the sets nearest in SSIM-supSubCls, nearest first, best arm first."""
    table = published.experiments()
    away = (table["ssim_sup_sub_cls"].astype(float) - metric).abs()
    order = list(dict.fromkeys(table.loc[away.sort_values(kind="stable").index, "set"]))[:sets]
    parts = [
        table[table["set"] == name].sort_values("gain_over_oversample", ascending=False) for name in order
    ]
    return pd.concat(parts, ignore_index=True) if parts else table


def generated_arms(table: pd.DataFrame) -> pd.DataFrame:
    """The rows whose arm trains on generated images."""
    return table[table["arm"].astype(str).str.contains("cgan|diffusion|mixed")]


def _recorded_lines(table: pd.DataFrame) -> list[str]:
    """The recorded experiments in words, a line a set."""
    if table.empty:
        return ["Our own experiments: nothing is recorded."]
    lines = ["Our own experiments on the sets nearest in similarity, gain over oversampling in points:"]
    for name, part in table.groupby("set", sort=False):
        one = part.iloc[0]
        arms = [
            f"{row.arm} {row.gain_over_oversample:+.1f}"
            + (f" ({row.low:+.1f} to {row.high:+.1f})" if row.low == row.low else "")
            for row in part.itertuples(index=False)
        ]
        lines.append(
            f"{name} (SSIM-supSubCls {one['ssim_sup_sub_cls']:.3f}, {one['classes']} classes, imbalance "
            f"{one['imbalance']:.0f}, {part['seeds'].min()} seeds or more, recorded {one['recorded']}; "
            "95 % intervals): " + "; ".join(arms)
        )
    return lines


def _recommendation(verdict: str, why: str, guesses: Sequence[float], recorded: pd.DataFrame) -> str:
    text = (
        f"try first what costs nothing, {FREE}. Generated images: {verdict}: {why}. "
        f"The models' expectations run from {min(guesses):.2g} to {max(guesses):.2g} %."
    )
    own = generated_arms(recorded)
    if len(own):
        sure = int((own["low"] > 0).sum())
        gain = own["gain_over_oversample"]
        text += (
            " In our own experiments nearest to it, generated images changed the accuracy by "
            f"{gain.min():+.1f} to {gain.max():+.1f} points against oversampling; {sure} of {len(own)} "
            "intervals lie above 0."
        )
    return text


def _warnings(images: ImageSet, similarity: Similarity, counts: Mapping[str, int]) -> tuple[list[str], bool]:
    """What makes a metric less than comparable with the paper's, and whether it can be compared at all."""
    size, found, comparable = similarity.convention.size or 0, [], True
    few = sorted((name for name in counts if counts[name] < HARM), key=counts.get)
    if few:
        names = ", ".join(f"{name} {counts[name]}" for name in few[:3]) + (", ..." if few[3:] else "")
        found.append(
            f"{len(few)} of {len(counts)} classes have under {HARM} images ({names}): "
            "generated images have been reported to harm such classes, the boundary lying between 20 and 50 "
            "images (Gupta & Brown, arXiv 2603.16134)"
        )
    rows = np.linspace(0, len(images) - 1, min(len(images), 25)).astype(int)
    # Files that cannot be read are in `similarity.skipped` already.
    sides = [side for side in (_short_side(images, int(row), size) for row in rows) if side]
    if sides and np.median(sides) < SMALL * size:
        comparable = False
        found.append(
            f"images are {np.median(sides):.0f} px on the short side; brought to {size} px they are "
            "smoother, and so more alike, than the paper's photographs"
        )
    in_largest = similarity.super_classes[similarity.argmax].images
    if in_largest < ROUGH:
        found.append(
            f"the largest super-class, {similarity.argmax}, has {in_largest} images: a rough estimate"
        )
    if len(counts) > 10 and all(len(members) == 1 for members in similarity.hierarchy.groups.values()):
        found.append(
            f"{len(counts)} classes and no super-classes: the paper would group them (DIR/super/sub/*, or "
            "--hierarchy), and a maximum over many single classes is larger than one over a few groups"
        )
    return found, comparable


def _next_steps(
    verdict: str, *, images: int, to_generate: int, enlargement: float, gain: float, accuracy: float | None
) -> tuple[str, ...]:
    """What to try, the cheapest first, and what it costs; `gain` in percent, above 0."""
    need = images_to_see(accuracy or 50.0, gain)
    guess = "" if accuracy else " (at an accuracy of 50 %; give yours with --accuracy)"
    one = _duration(EPOCHS * images / CLASSIFIER_RATE)
    first = (
        f"Look at your validation set: a gain of {gain:.2g} %, as the corrected curve expects, takes "
        f"{need:,} images to tell from chance{guess}."
    )
    if to_generate == 0:
        last = "Nothing is missing to balance; whether more of every class helps is not this law's question."
        return first, last
    longer = f", and the same made {enlargement:.1f} times as long" if enlargement >= GAP else ""
    steps = [
        first,
        f"What costs nothing: oversampling, logit adjustment{longer}. No generator; one training each, "
        f"{EPOCHS} epochs of {images:,} images (about {one} for a ResNet18 at 32 px on two CPU cores, "
        "minutes on a GPU). An augmented run takes more steps, and part of the published gain may be theirs.",
        "Try `python -m gmaug compare DIR --out OUT` before anything else is built: it trains these arms "
        "on your own images over several seeds, and says which helps, by how much.",
    ]
    if verdict == TRY:
        steps.append(
            f"If that leaves room: cGAN-augCls, {to_generate:,} images kept by the classifier. The authors "
            "show their generator 4 to 11 million images at 128 px (GPU-days); the classifier is then "
            f"trained twice more, each {enlargement:.1f} times as long."
        )
    elif verdict == LITTLE:
        steps.append("Leave the generator for later; more photographs of the small classes come first.")
    else:
        steps.append(
            "Then a pilot: the generator on two or three of the smallest classes, judged on those "
            "validation images, before anything is trained on the whole set."
        )
    return tuple(steps)


def _counts_lines(given: Advice) -> tuple[str, str]:
    counts = given.class_counts
    least, most = min(counts, key=counts.get), max(counts, key=counts.get)
    return (
        f"Classes: {len(counts)}, from {counts[least]} images ({least}) to {counts[most]} ({most}): "
        f"imbalance {given.imbalance:.1f}",
        f"Filling every class to {given.target} means {given.to_generate} generated images, "
        f"a training set {given.enlargement:.2f} times as large",
    )


def _gain_head(given: Advice) -> str:
    return f"Expected gain, in percent of the original accuracy, at most {given.most_gain:.3g} ({INTERVAL})"


def _two_classes(name: str, counts: Mapping[str, int]) -> dict[str, int]:
    counts = {one: n for one, n in counts.items() if n}
    if len(counts) < 2:
        raise ValueError(
            f"{name}: {len(counts)} class; there is nothing to balance. Give a folder with two or "
            "more classes, DIR/class/* or DIR/super/sub/*"
        )
    return counts


def _short_side(images: ImageSet, row: int, size: int) -> int | None:
    try:
        return min(images.image(row, size=size).size)
    except (OSError, ValueError):
        return None


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours >= 1.5 else f"{max(1, round(60 * hours))} min"


def _wrapped(text: str, *, indent: int) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)


# --- figure ----------------------------------------------------------------------------------------


def _figure(given: Advice) -> Figure:
    from matplotlib.figure import Figure

    use_style()
    figure = Figure(figsize=(7.0, 4.6), layout="constrained")
    axes = figure.subplot_mosaic("ab;cc", height_ratios=[1.3, 1])
    for letter, draw in zip("abc", (_place, _expected, _counts), strict=True):
        draw(axes[letter], given)
        axes[letter].set_title(letter)
    return figure


def _place(axes: Any, given: Advice) -> None:
    points, metric = published.load("table5"), given.similarity.ssim_sup_sub_cls
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


def _expected(axes: Any, given: Advice) -> None:
    shown = given.forecasts[::-1]
    for k, one in enumerate(shown):
        colour = COLOURS["grey" if one.note else "blue"]
        axes.plot([one.low, one.high], [k, k], color=colour, lw=1.2, solid_capstyle="butt")
        axes.plot(one.expected, k, "o", color=colour, mfc="white" if one.note else colour)
    axes.axvline(0, color=COLOURS["black"], lw=0.6)
    names = [f.model.split(" (")[0].replace(", ", ",\n").replace(" of the ", "\nof the ") for f in shown]
    axes.set_yticks(range(len(shown)), names, fontsize=6.5)
    low, high = min(f.low for f in shown), max(f.high for f in shown)
    axes.set_xlim(max(low, -100) - 5, min(high, 160) + 5)
    axes.set_xlabel(f"expected gain (%), nominal {LEVEL:.0%} interval")


def _counts(axes: Any, given: Advice) -> None:
    ordered = sorted(given.class_counts.items(), key=lambda item: -item[1])
    names, numbers = [_short(name) for name, _ in ordered], np.array([n for _, n in ordered])
    place = np.arange(len(numbers))
    axes.bar(place, numbers, color=COLOURS["blue"], width=0.8, label="images")
    if given.to_generate:
        look = {"color": "white", "edgecolor": COLOURS["orange"], "hatch": "////", "width": 0.8}
        axes.bar(place, given.target - numbers, bottom=numbers, label="to generate", **look)
        axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2)
    shown = place if len(names) <= MOST else place[[0, -1]]
    axes.set_xticks(shown, [names[k] for k in shown], rotation=25, ha="right", rotation_mode="anchor")
    axes.set_ylabel("images")


def _short(name: str) -> str:
    """A class's name as an axis can bear it: no formula, no line break, 20 letters."""
    text = "".join(c if c.isprintable() else "?" for c in name)
    return (text if len(text) <= 20 else f"{text[:19]}…").replace("$", r"\$")


# --- the command -----------------------------------------------------------------------------------


def add_parser(subparsers: Any) -> None:
    """Add ``advise`` to the command line."""
    parser = subparsers.add_parser(
        "advise",
        help="what the evidence says about augmenting a folder of images",
        description="Will generated images help a classifier trained on DIR/class/* or DIR/super/sub/*?",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of images, or a name: flowers, garden-1, ...")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--accuracy", type=float, help="your accuracy without augmentation, percent")
    parser.add_argument(
        "--target", type=int, help="images to fill every class to (default: the largest class)"
    )
    parser.add_argument(
        "--hierarchy", metavar="CSV", type=Path, help="super-classes: columns super_class and sub_class"
    )
    parser.add_argument("--html", metavar="FILE", type=Path, help="write one page to look at, offline")
    parser.add_argument("--figure", metavar="PATH", type=Path, help="write a picture (.png, .svg or .pdf)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the metric's pairs (default 0)")
    parser.add_argument("--jobs", type=int, default=None, help="threads (default: all cores)")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: use 0 or more")
    if options.figure and options.figure.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--figure {options.figure}: end it in .png, .svg or .pdf")
    if options.figure and not options.figure.parent.is_dir():
        raise FileNotFoundError(f"{options.figure.parent}: no such folder to write {options.figure.name} in")
    if options.html:
        page_path(options.html)
    result = advise(
        options.folder,
        hierarchy=options.hierarchy,
        accuracy=options.accuracy,
        target=options.target,
        seed=options.seed,
        jobs=options.jobs,
        progress=sys.stderr.isatty() or "GMAUG_PROGRESS" in os.environ,
    )
    if options.figure:
        result.figure().savefig(options.figure)
    if options.html:
        result.write_html(options.html, command=options.typed)
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    return 0
