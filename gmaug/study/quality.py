"""How good the study's generators are, in the eyes of a net that had no part in making or selecting."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gmaug.generators.distance import class_spread, frechet, kid
from gmaug.generators.manifold import manifold
from gmaug.provenance import plain
from gmaug.study.sets import StudySet


def quality(source: StudySet, generator: Any, judge: Callable[[np.ndarray], np.ndarray]) -> dict[str, Any]:
    """Distances, recognition and diversity of generated images against test images.

    Half of the test images are the reference; the other half, as many and as real, shows what a
    perfect generator would score (the floor).

    Returns
    -------
    dict
        ``frechet``, ``frechet_floor``, ``kid``, ``kid_floor`` (as
        :class:`gmaug.generators.distance.Distance`); ``manifold`` and ``manifold_floor``
        (precision, recall, density, coverage); by class ``recognised`` and ``recognised_real``
        (shares in [0, 1] that the judge puts in the class asked for), ``spread`` (diversity
        relative to real images), ``frechet_by_class`` and ``frechet_by_class_floor``.
    """
    images, labels = source.test
    place = np.zeros(len(labels), dtype=np.int64)  # number of an image within its class
    for c in np.unique(labels):
        place[labels == c] = np.arange((labels == c).sum())
    even = place % 2 == 0
    wanted = labels[even]
    shown = {"real": images[even], "floor": images[~even], "made": generator.sample(wanted, seed=1)}
    classes = {"real": wanted, "floor": labels[~even], "made": wanted}
    features = {key: judge(x) for key, x in shown.items()}
    title = getattr(judge, "name", "features")
    seen = {key: judge.logits(x).argmax(axis=1) for key, x in shown.items()}

    def shares(key: str) -> list[float]:
        return [float((seen[key][classes[key] == c] == c).mean()) for c in range(len(source.classes))]

    def by_class(key: str) -> list[float]:
        return [
            frechet(features["real"][wanted == c], features[key][classes[key] == c], name="", groups=0).value
            for c in range(len(source.classes))
        ]

    found: dict[str, Any] = {}
    for key, suffix in (("made", ""), ("floor", "_floor")):
        found[f"frechet{suffix}"] = frechet(features["real"], features[key], name=title)
        found[f"kid{suffix}"] = kid(features["real"], features[key], name=title)
        found[f"manifold{suffix}"] = manifold(features["real"], features[key])
        found[f"frechet_by_class{suffix}"] = by_class(key)
    spreads = class_spread(features["real"], wanted, features["made"], wanted)
    return plain(
        found
        | {
            "recognised": shares("made"),
            "recognised_real": shares("real"),
            "spread": [spread.ratio for spread in spreads],
        }
    )
