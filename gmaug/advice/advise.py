"""``python -m gmaug advise DIR``: will generated images help *these* images? With honest uncertainty."""

from __future__ import annotations

import argparse
import json
import os
import sys
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.advice import forecast, guidance
from gmaug.advice.forecast import Forecast
from gmaug.datasets.base import ImageSet
from gmaug.hierarchy import Hierarchy
from gmaug.similarity import Similarity, measure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 96  # columns of text: fits a terminal and a notebook


@dataclass(frozen=True)
class Advice:
    """What the evidence says about one image set.

    Attributes
    ----------
    similarity : Similarity
    class_counts : dict of str to int
    imbalance : float
        Largest class over smallest.
    target, to_generate : int
        Images a class is filled to, and how many would be generated in all.
    enlargement : float
        Training images after over before.
    forecasts : tuple of Forecast
    verdict : {"worth a trial", "little to expect", "the evidence does not say"}
    recommendation : str
        Plain words.
    warnings, next_steps : tuple of str
    """

    similarity: Similarity
    class_counts: Mapping[str, int]
    imbalance: float
    target: int
    to_generate: int
    enlargement: float
    forecasts: tuple[Forecast, ...]
    verdict: str
    recommendation: str
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
                    "interval_level": forecast.LEVEL,
                    "note": f.note,
                }
                for f in self.forecasts
            ],
            "verdict": self.verdict,
            "recommendation": self.recommendation,
            "warnings": list(self.warnings),
            "next_steps": list(self.next_steps),
        }

    def figure(self) -> Figure:
        """The advice as a picture."""
        from gmaug.plots.advice import advice

        return advice(self)

    def __str__(self) -> str:
        counts = self.class_counts
        least, most = min(counts, key=counts.get), max(counts, key=counts.get)
        lines = [
            str(self.similarity),
            "",
            f"Classes: {len(counts)}, from {counts[least]} images ({least}) to {counts[most]} ({most}): "
            f"imbalance {self.imbalance:.1f}",
            f"Filling every class to {self.target} means {self.to_generate} generated images, "
            f"a training set {self.enlargement:.2f} times as large",
            "",
            f"Expected gain, in percent of the original accuracy ({forecast.LEVEL:.0%} prediction interval)",
        ]
        width = max(len(f.model) for f in self.forecasts)
        for f in self.forecasts:
            note = f"   ({f.note})" if f.note else ""
            lines.append(f"  {f.model:{width}}  {f.expected:6.1f}   {f.low:6.1f} to {f.high:5.1f}{note}")
        lines += ["", _wrapped(f"Recommendation: {self.recommendation}", indent=2)]
        lines += [_wrapped(f"Warning: {warning}", indent=2) for warning in self.warnings]
        steps = (_wrapped(f"  {k}. {step}", indent=5) for k, step in enumerate(self.next_steps, 1))
        return "\n".join([*lines, "", "Next:", *steps])


def advise(
    images: ImageSet,
    *,
    hierarchy: Hierarchy | None = None,
    accuracy: float | None = None,
    target: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: bool = True,
) -> Advice:
    """Measure an image set and say what the published evidence predicts for it.

    Parameters
    ----------
    images : ImageSet
        The imbalanced training set.
    hierarchy : Hierarchy, optional
        Super-classes; the image set's own by default.
    accuracy : float, optional
        Accuracy of your classifier without augmentation, percent: adds a rival that needs it.
    target : int, optional
        Images that every class is to be filled to; the largest class by default.
    seed : int
        Of the metric's random pairs.
    jobs, progress
        As for :func:`gmaug.similarity.measure`.

    Raises
    ------
    ValueError
        If there is one class only, too few images to measure, `accuracy` is outside (0, 100), or
        `target` is below the largest class.
    """
    counts = {name: n for name, n in images.class_counts.items() if n}
    if len(counts) < 2:
        raise ValueError(
            f"{images.name}: {len(counts)} class; there is nothing to balance. Give a folder with two or "
            "more classes, DIR/class/* or DIR/super/sub/*"
        )
    if accuracy is not None and not 0 < accuracy < 100:
        raise ValueError(f"accuracy={accuracy}; give percent between 0 and 100")
    most, total = max(counts.values()), sum(counts.values())
    target = most if target is None else target
    if target < most:
        raise ValueError(f"target={target} is below the largest class ({most} images); give {most} or more")
    similarity = measure(images, hierarchy=hierarchy, seed=seed, jobs=jobs, progress=progress)
    enlargement = len(counts) * target / total
    metric = similarity.ssim_sup_sub_cls
    found = forecast.forecasts(
        metric, merge=similarity.ssim_merge_cls, enlargement=enlargement, original=accuracy
    )
    imbalance = most / min(counts.values())
    warnings, comparable = guidance.warnings(images, similarity, counts)
    verdict, why = forecast.verdict(metric, imbalance=imbalance, comparable=comparable)
    guesses = [f.expected for f in found]
    spread = f"The models' expectations run from {min(guesses):.0f} to {max(guesses):.0f} %."
    to_generate = len(counts) * target - total
    gain = next(f.expected for f in found if f.model == forecast.REFIT)
    return Advice(
        similarity=similarity,
        class_counts=counts,
        imbalance=imbalance,
        target=target,
        to_generate=to_generate,
        enlargement=enlargement,
        forecasts=tuple(found),
        verdict=verdict,
        recommendation=f"{verdict}: {why}. {spread}",
        warnings=tuple(warnings),
        next_steps=guidance.next_steps(
            verdict,
            images=total,
            to_generate=to_generate,
            enlargement=enlargement,
            gain=gain,
            accuracy=accuracy,
        ),
    )


def _wrapped(text: str, *, indent: int) -> str:
    return textwrap.fill(text, WIDTH, subsequent_indent=" " * indent)


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
    parser.add_argument("--figure", metavar="PATH", type=Path, help="write a picture (.png, .svg or .pdf)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the metric's pairs (default 0)")
    parser.add_argument("--jobs", type=int, default=None, help="threads (default: all cores)")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    from gmaug.datasets import open_images

    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: use 0 or more")
    if options.figure and options.figure.suffix not in (".png", ".svg", ".pdf"):
        raise ValueError(f"--figure {options.figure}: end it in .png, .svg or .pdf")
    result = advise(
        open_images(options.folder),
        accuracy=options.accuracy,
        target=options.target,
        seed=options.seed,
        jobs=options.jobs,
        progress=sys.stderr.isatty() or "GMAUG_PROGRESS" in os.environ,
    )
    if options.figure:
        result.figure().savefig(options.figure)
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    return 0
