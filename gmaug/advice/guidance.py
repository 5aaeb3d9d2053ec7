"""What to hold against a measurement, and what to do next, in plain words (for ``advise``)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from gmaug.advice import forecast
from gmaug.datasets.base import ImageSet
from gmaug.similarity import Similarity

SMALL = 0.6  # of the convention's side: an image enlarged more than this gains smoothness, not detail
ROUGH = 30  # images: below it the interval of a super-class is itself a guess
EPOCHS = 100  # as the paper trains ResNet18 (section 4.1)
CLASSIFIER_RATE = 250  # images/s, ResNet18 at 32 px on two CPU cores, measured
GAP = 1.2  # a step count that differs by less than a fifth explains little


def warnings(images: ImageSet, similarity: Similarity, counts: Mapping[str, int]) -> tuple[list[str], bool]:
    """What makes a metric less than comparable with the paper's, and whether it can be compared at all.

    Parameters
    ----------
    images : ImageSet
    similarity : Similarity
        Of `images`.
    counts : mapping of str to int
        Images of each class that has any.

    Returns
    -------
    (list of str, bool)
    """
    size, found, comparable = similarity.convention.size or 0, [], True
    rows = np.linspace(0, len(images) - 1, min(len(images), 25)).astype(int)
    # Files that cannot be read are in `similarity.skipped` already.
    sides = [side for side in (_short_side(images, int(row), size) for row in rows) if side]
    if sides and np.median(sides) < SMALL * size:
        comparable = False
        found.append(
            f"images are {np.median(sides):.0f} px on the short side; brought to {size} px they are "
            "smoother, and so more alike, than the paper's photographs"
        )
    few = similarity.super_classes[similarity.argmax].images
    if few < ROUGH:
        found.append(f"the largest super-class, {similarity.argmax}, has {few} images: a rough estimate")
    grouped = any(len(members) > 1 for members in images.hierarchy.groups.values())
    if not grouped and len(counts) > 10:
        found.append(
            f"{len(counts)} classes and no super-classes: the paper would group them (DIR/super/sub/*), "
            "and a maximum over many single classes is larger than one over a few groups"
        )
    return found, comparable


def next_steps(
    verdict: str,
    *,
    images: int,
    to_generate: int,
    enlargement: float,
    gain: float,
    accuracy: float | None,
) -> tuple[str, ...]:
    """What to try, the cheapest first, and what it costs.

    Parameters
    ----------
    verdict : str
        One of those of :mod:`gmaug.advice.forecast`.
    images, to_generate : int
        Training images there are, and would be added.
    enlargement : float
        Training images after over before.
    gain : float
        Relative gain that the corrected curve expects, percent.
    accuracy : float or None
        Without augmentation, percent.
    """
    gain = max(gain, 1.0)
    need = forecast.images_to_see(accuracy or 50.0, gain)
    guess = "" if accuracy else " (at an accuracy of 50 %; give yours with --accuracy)"
    one = _duration(EPOCHS * images / CLASSIFIER_RATE)
    steps = [
        f"Look at your validation set: a gain of {gain:.0f} %, as the corrected curve expects, takes "
        f"{need:,} images to tell from chance{guess}.",
        f"First arm: the classifier with logit adjustment or balanced sampling. No generator; one "
        f"training each, {EPOCHS} epochs of {images:,} images (about {one} for a ResNet18 at 32 px on two "
        "CPU cores, minutes on a GPU).",
    ]
    if to_generate == 0:
        last = "Nothing is missing to balance; whether more of every class helps is not this law's question."
        return steps[0], last
    if enlargement >= GAP:
        steps.append(
            f"Second arm: the same training made {enlargement:.1f} times as long. The augmented run takes "
            "that many more steps, and part of the published gain may be theirs."
        )
    if verdict == forecast.TRY:
        steps.append(
            f"If that leaves room: cGAN-augCls, {to_generate:,} images kept by the classifier. The authors "
            "show their generator 4 to 11 million images at 128 px (GPU-days); the classifier is then "
            f"trained twice more, each {enlargement:.1f} times as long."
        )
    elif verdict == forecast.LITTLE:
        steps.append("Leave the generator for later; more photographs of the small classes come first.")
    else:
        steps.append(
            "Then a pilot: the generator on two or three of the smallest classes, judged on those "
            "validation images, before anything is trained on the whole set."
        )
    return tuple(steps)


def _short_side(images: ImageSet, row: int, size: int) -> int | None:
    try:
        return min(images.image(row, size=size).size)
    except (OSError, ValueError):
        return None


def _duration(seconds: float) -> str:
    hours = seconds / 3600
    return f"{hours:.0f} h" if hours >= 1.5 else f"{max(1, round(60 * hours))} min"
