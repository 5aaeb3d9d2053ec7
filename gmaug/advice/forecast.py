"""What the published evidence predicts for an image set that it has not seen.

Every forecast comes with an interval that eight points can justify, at 80 %: with eight points and
no assumption about the errors, 95 % cannot be had (:func:`gmaug.law.uncertainty.prediction_interval`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import curve, rivals, uncertainty
from gmaug.similarity.estimates import Estimate

LEVEL = 0.8
BALANCED = 1.2  # largest over smallest class: below it, re-balancing adds a fifth to a class at the most

TRY = "worth a trial"
LITTLE = "little to expect"
UNKNOWN = "the evidence does not say"

REFIT = "Eq. 4 refitted to Table 5"
"""Name of the corrected curve's forecast."""


@dataclass(frozen=True)
class Forecast:
    """Expected relative gain in percent, by one model.

    Attributes
    ----------
    model : str
        What predicts.
    expected, low, high : float
        Percent of the original accuracy; the interval aims at 80 %.
    note : str
        What to hold against it; empty if nothing.
    """

    model: str
    expected: float
    low: float
    high: float
    note: str = ""


def forecasts(
    metric: Estimate,
    *,
    merge: Estimate,
    enlargement: float,
    original: float | None = None,
) -> list[Forecast]:
    """Forecasts of the printed curve, the corrected one, other shapes, and the rivals.

    Parameters
    ----------
    metric, merge : Estimate
        SSIM-supSubCls and SSIM-mergeCls of the new set, in the paper's convention. Their own 95 %
        interval is carried through: a forecast's interval is the widest over it.
    enlargement : float
        Training images after augmentation over those before, 1 or more.
    original : float, optional
        Accuracy without augmentation, percent; one rival needs it, and no forecast then promises
        more than 100 % right.

    Returns
    -------
    list of Forecast
        Those on SSIM-supSubCls first, then the rivals, each with the shape that predicts best for it.
    """
    frame = rivals.paper_predictors()
    ceiling = np.inf if original is None else 100 * (100 - original) / original
    named = {
        "Eq. 4 as printed": _printed,
        REFIT: "exponential",
        "exponential, fitted to logarithms": "log_linear",
        "two levels at 0.1652": curve.published_step,
        "any falling curve": "isotonic",
    }
    found = [
        _forecast(name, frame, "ssim_sup_sub_cls", _ends(metric), model, ceiling)
        for name, model in named.items()
    ]
    table = rivals.prediction_table(frame)
    rest = {"ssim_merge_cls": _ends(merge), "enlargement": (enlargement,)}
    if original is not None:
        rest["original"] = (original,)
    for predictor, values in rest.items():
        best = table[table["predictor"] == predictor].iloc[0]
        name = f"rival: {best['label'].removesuffix(', %')} ({best['model'].replace('_', '-')})"
        found.append(_forecast(name, frame, predictor, values, best["model"], ceiling))
    return found


def neighbours(metric: Estimate) -> tuple[str, str]:
    """The verdict that the published points nearest in similarity support, and why, in words.

    On the four data sets at or below 0.1652 the published gain is 25 % or more; on the four at or above
    0.2625 it is below 5 %. There is no point between. A set whose interval reaches one
    side only is told what was found there.
    """
    points = rivals.paper_predictors()
    threshold = published.THRESHOLDS["ssim_sup_sub_cls"]
    below = points[points["ssim_sup_sub_cls"] <= threshold]
    above = points[points["ssim_sup_sub_cls"] > threshold]
    low, high = (metric.value, metric.value) if np.isnan(metric.low) else (metric.low, metric.high)
    reaches_low = low <= threshold
    reaches_high = high >= above["ssim_sup_sub_cls"].min()
    if reaches_low and not reaches_high:
        why = (
            f"its SSIM-supSubCls, {metric.value:.3f}, is among those of the {len(below)} published sets "
            f"({', '.join(below['dataset'])}) that gained {below['gain'].min():.0f} to "
            f"{below['gain'].max():.0f} %. Of these only flowers' gain is beyond chance once all are tested, "
            f"and their accuracies began at {below['original'].min():.0f} to {below['original'].max():.0f} %"
        )
        return TRY, why
    if reaches_high and not reaches_low:
        why = (
            f"its SSIM-supSubCls, {metric.value:.3f}, is among those of the {len(above)} published sets "
            f"({', '.join(above['dataset'])}) that gained {above['gain'].max():.1f} % at the most, "
            "none of them beyond chance"
        )
        return LITTLE, why
    gap = f"between {threshold} and {above['ssim_sup_sub_cls'].min()}"
    if not reaches_low and not reaches_high:
        return UNKNOWN, f"its SSIM-supSubCls, {metric.value:.3f}, lies {gap}, where no data set was published"
    return (
        UNKNOWN,
        f"its SSIM-supSubCls is too uncertain ({low:.3f} to {high:.3f}) to say on which side it is",
    )


def verdict(metric: Estimate, *, imbalance: float, comparable: bool = True) -> tuple[str, str]:
    """:func:`neighbours`, unless the set is balanced or its metric cannot be compared with the paper's.

    Parameters
    ----------
    metric : Estimate
        SSIM-supSubCls in the paper's convention.
    imbalance : float
        Largest class over smallest.
    comparable : bool
        Whether the images are large enough for the convention.
    """
    if imbalance < BALANCED:
        why = (
            f"the classes are balanced (largest over smallest {imbalance:.2f}), and the paper's sets are not"
        )
        return UNKNOWN, why
    if not comparable:
        return UNKNOWN, "its images are too small to compare the metric with the paper's"
    return neighbours(metric)


def of_measured(sets: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Forecasts for sets whose metric is on record, one row a set.

    Parameters
    ----------
    sets : mapping of str to mapping
        Name to what :meth:`gmaug.similarity.Similarity.to_dict` gives, one super-class per class.

    Returns
    -------
    DataFrame
        ``set``, ``images``, ``imbalance``, ``ssim_sup_sub_cls`` with its 95 % interval, ``eq4`` and
        ``refit`` (expected gain, percent, with 80 % interval) and ``verdict``.
    """
    rows = []
    for name, found in sets.items():
        counts = [one["images"] for one in found["super_classes"].values()]
        metric, merge = (_estimate(found[key]) for key in ("ssim_sup_sub_cls", "ssim_merge_cls"))
        all_of_it = len(counts) * max(counts) / sum(counts)
        by_model = {f.model: f for f in forecasts(metric, merge=merge, enlargement=all_of_it)}
        imbalance = max(counts) / min(counts)
        printed, fitted = by_model["Eq. 4 as printed"], by_model[REFIT]
        rows.append(
            {
                "set": name,
                "images": sum(counts),
                "imbalance": round(imbalance, 2),
                "ssim_sup_sub_cls": f"{metric.value:.4f} ({metric.low:.4f} to {metric.high:.4f})",
                "eq4": f"{printed.expected:.0f} ({printed.low:.0f} to {printed.high:.0f})",
                "refit": f"{fitted.expected:.0f} ({fitted.low:.0f} to {fitted.high:.0f})",
                "verdict": verdict(metric, imbalance=imbalance)[0],
            }
        )
    columns = ["set", "images", "imbalance", "ssim_sup_sub_cls", "eq4", "refit", "verdict"]
    return pd.DataFrame(rows, columns=columns)


def images_to_see(original: float, gain: float) -> int:
    """Validation images needed to tell a gain from none: two-sided 5 %, power 80 %, two proportions.

    Parameters
    ----------
    original : float
        Accuracy before, percent.
    gain : float
        Relative gain, percent, above 0.

    Raises
    ------
    ValueError
        If the gain is not positive.
    """
    if gain <= 0:
        raise ValueError(f"gain={gain}; only a gain above 0 can be looked for")
    before = original / 100
    after = min(before * (1 + gain / 100), 0.999)
    z = 1.959964 + 0.841621  # normal quantiles of 0.975 and 0.8
    spread = before * (1 - before) + after * (1 - after)
    return int(np.ceil(z**2 * spread / (after - before) ** 2))


def _forecast(name, frame, predictor, at, model, ceiling) -> Forecast:
    x, y = rivals.values(frame, predictor), frame["gain"].to_numpy(float)
    logarithm = rivals.PREDICTORS[predictor].logarithm
    at = np.log2(at) if logarithm else np.asarray(at, dtype=float)
    fitted = curve.fit(x, y, model=model)
    intervals = [uncertainty.prediction_interval(x, y, v, model=model, level=LEVEL, floor=-100.0) for v in at]
    low, high = min(low for low, _ in intervals), max(high for _, high in intervals)
    outside = at[0] < x.min() or at[0] > x.max()
    shown = [2**v if logarithm else v for v in (x.min(), x.max())]
    note = f"outside the published range, {shown[0]:.3g} to {shown[1]:.3g}" if outside else ""
    expected, low, high = (float(min(v, ceiling)) for v in (fitted(at[0]), low, high))
    return Forecast(name, expected, low, high, note)


def _estimate(found: Mapping[str, Any]) -> Estimate:
    """An estimate as ``to_dict`` writes it; None stands for NaN."""
    numbers = (found["value"], found["se"], *found["interval"])
    return Estimate(*(np.nan if number is None else float(number) for number in numbers), 0, 0)


def _printed(x: np.ndarray, y: np.ndarray) -> curve.Fit:
    """Eq. 4 as it stands, whatever the points: its interval then comes from its own errors on them."""
    return curve.Fit("printed", {}, published.EQ4)


def _ends(estimate: Estimate) -> tuple[float, ...]:
    """The value, and the ends of its interval where it has one."""
    return tuple(v for v in (estimate.value, estimate.low, estimate.high) if not np.isnan(v))
