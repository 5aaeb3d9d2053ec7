"""What a measurement of similarity says, and how it is printed."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.datasets.base import Skipped
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import maximum
from gmaug.similarity.estimates import Estimate, Sample
from gmaug.ssim.conventions import Convention

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 20  # skipped files listed in text; all of them are in `skipped` and in JSON


@dataclass(frozen=True)
class Similarity:
    """The metric of one image set.

    Attributes
    ----------
    name : str
        The image set's.
    ssim_merge_cls : Estimate
        Mean over pairs of the whole set (Eq. 2).
    ssim_sup_sub_cls : Estimate
        The largest super-class's (Eq. 3), with its standard error. Its interval is that of the
        maximum: simultaneous over super-classes, since the largest was picked after the fact.
    argmax : str
        Which super-class that is.
    super_classes : dict of str to Estimate
        Every super-class; one with fewer than two images has the value NaN.
    skipped : tuple of Skipped
        Files left out, with the reason.
    convention : Convention
    hierarchy : Hierarchy
    design : str
        How pairs were chosen, as given to ``measure``.
    seed : int
    samples : mapping of str to Sample
        The pairs behind each number; ``""`` is the whole set.
    stopped : mapping of str to str
        Where a target was given: why drawing ended in each set, "target" or "images".
    """

    name: str
    ssim_merge_cls: Estimate
    ssim_sup_sub_cls: Estimate
    argmax: str
    super_classes: dict[str, Estimate]
    skipped: tuple[Skipped, ...]
    convention: Convention
    hierarchy: Hierarchy = field(repr=False)
    design: str = "2n"
    seed: int = 0
    samples: Mapping[str, Sample] = field(default_factory=dict, repr=False)
    stopped: Mapping[str, str] = field(default_factory=dict)

    @property
    def images(self) -> int:
        """Images that were used."""
        return self.ssim_merge_cls.images

    @cached_property
    def argmax_probability(self) -> dict[str, float]:
        """Probability of each super-class to be the most alike one."""
        return maximum.argmax_probability(self.super_classes)

    @cached_property
    def split_half(self) -> float:
        """SSIM-supSubCls without the optimism of a maximum, from halves of the images."""
        parts = {name: self.samples[name] for name in self.super_classes}
        return maximum.split_half(parts, seed=self.seed)

    @cached_property
    def cross_sub_class(self) -> dict[str, Estimate]:
        """Second reading: pairs of different sub-classes alone, for super-classes that hold several.

        Two images of one sub-class may be alike for a reason that has nothing to do with telling
        sub-classes apart.
        """
        several = [name for name in self.super_classes if len(np.unique(self.samples[name].labels)) > 1]
        return {name: self.samples[name].across() for name in several}

    def trace(self, super_class: str = "", *, points: int = 60) -> pd.DataFrame:
        """Running mean over pairs of the whole set, or of one super-class."""
        if super_class not in self.samples:
            raise ValueError(f"{super_class!r} is no super-class; there are {', '.join(self.super_classes)}")
        return self.samples[super_class].trace(points=points)

    def to_frame(self) -> pd.DataFrame:
        """One row per super-class, the most alike first, and one for the whole set."""
        import pandas as pd

        rows = {name: (len(self.hierarchy.groups[name]), e) for name, e in self._ranked()}
        rows["all classes (SSIM-mergeCls)"] = (len(self.hierarchy.sub_classes), self.ssim_merge_cls)
        table = pd.DataFrame(
            [
                {
                    "sub_classes": subs, "images": e.images, "pairs": e.pairs,
                    "ssim": e.value, "se": e.se, "low": e.low, "high": e.high,
                }
                for subs, e in rows.values()
            ],
            index=pd.Index(rows, name="super_class"),
        )  # fmt: skip
        table["p_largest"] = pd.Series(self.argmax_probability)
        table["cross_sub_class"] = pd.Series(
            {name: e.value for name, e in self.cross_sub_class.items()}, dtype=float
        )
        return table

    def to_dict(self) -> dict[str, Any]:
        """What ``python -m gmaug similarity --json`` prints; NaN becomes None."""
        return {
            "images": self.images,
            "skipped": [{"path": s.path, "reason": s.reason} for s in self.skipped],
            "ssim_merge_cls": _summary(self.ssim_merge_cls),
            "ssim_sup_sub_cls": {
                **_summary(self.ssim_sup_sub_cls),
                "argmax": self.argmax,
                "argmax_probability": self.argmax_probability,
                "split_half": _number(self.split_half),
            },
            "super_classes": {name: _row(e) for name, e in self.super_classes.items()},
            "cross_sub_class": {name: _row(e) for name, e in self.cross_sub_class.items()},
            "convention": self.convention.name,
            "design": self.design,
            "seed": self.seed,
        }

    def _ranked(self) -> list[tuple[str, Estimate]]:
        """Super-classes, the most alike first, those without a value last."""
        return sorted(self.super_classes.items(), key=lambda item: -np.nan_to_num(item[1].value, nan=-2))

    def _head(self) -> str:
        return (
            f"{self.name}: {self.images} images in {len(self.super_classes)} super-classes "
            f"({self.hierarchy.source}), convention {self.convention.name!r}, pairs {self.design!r}"
        )

    def __str__(self) -> str:
        sure = self.argmax_probability.get(self.argmax, math.nan)
        lines = [
            self._head(),
            f"  SSIM-mergeCls  {_interval(self.ssim_merge_cls)}",
            f"  SSIM-supSubCls {_interval(self.ssim_sup_sub_cls)}",
            f"    the largest: {self.argmax}" + ("" if math.isnan(sure) else f" (probability {sure:.2f})"),
        ]
        if not math.isnan(self.split_half):
            lines[-1] += f"; without the optimism of a maximum (split halves) {self.split_half:.4f}"
        width = max(len(name) for name in self.super_classes)
        for name, e in self._ranked():
            across = self.cross_sub_class.get(name)
            more = f", across sub-classes {across}" if across and across.pairs else ""
            lines.append(f"    {name:{width}}  {e!s:17}  {e.images} images, {e.pairs} pairs{more}")
        lines += [f"  skipped: {s.path}: {s.reason}" for s in self.skipped[:SHOWN]]
        if len(self.skipped) > SHOWN:
            lines.append(f"  skipped: {len(self.skipped) - SHOWN} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        note = f"<br>{len(self.skipped)} files skipped" if self.skipped else ""
        return (
            f"<p>{html.escape(self._head())}<br>SSIM-mergeCls <b>{_interval(self.ssim_merge_cls)}</b>, "
            f"SSIM-supSubCls <b>{_interval(self.ssim_sup_sub_cls)}</b>, the largest: "
            f"{html.escape(self.argmax)}{note}</p>"
            + self.to_frame().to_html(float_format="{:.4f}".format, na_rep="")
        )


def _interval(e: Estimate) -> str:
    return str(e) if math.isnan(e.low) else f"{e} (95 %: {e.low:.4f} to {e.high:.4f})"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _summary(e: Estimate) -> dict[str, Any]:
    return {"value": _number(e.value), "se": _number(e.se), "interval": [_number(e.low), _number(e.high)]}


def _row(e: Estimate) -> dict[str, Any]:
    return {"value": _number(e.value), "se": _number(e.se), "images": e.images, "pairs": e.pairs}
