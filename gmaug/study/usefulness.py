"""Classification accuracy score: train on generated images alone, test on real ones.

Ravuri and Vinyals, *Classification accuracy score for conditional generative models* (NeurIPS
2019). Beside each generator stand as many real images that no generator has seen, and a baseline
that any generator must beat: the mean image of a class with noise.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import records
from gmaug.classifiers.settings import GARDEN as CLASSIFIER
from gmaug.study.generation import KINDS, recorded_generator, weights_path
from gmaug.study.sets import CIFAR10, StudySet, data_of, study_set

if TYPE_CHECKING:
    import pandas as pd

EACH = 100  # images of each class to train on
SEEDS = (0, 1, 2)
MODULES = ("classifiers.resnet", "study.usefulness", "study.sets")
SETS = ("garden-1", CIFAR10)  # whose scores are recorded
KINDS_SHOWN = ("real", *KINDS, "mean and noise")


def mean_and_noise(source: StudySet, labels: np.ndarray, *, seed: int) -> np.ndarray:
    """For each label its class's mean training image with independent normal noise.

    Parameters
    ----------
    source : StudySet
    labels : ndarray of int, shape (n,)
    seed : int

    Returns
    -------
    ndarray of uint8, shape (n, side, side, 3)
        Each pixel has the mean and, but for clipping, the deviation that it has in its class.
    """
    images, truth = source.train
    rng = np.random.default_rng(seed)
    out = np.empty((len(labels), *images.shape[1:]), dtype=np.uint8)
    for c in np.unique(labels):
        mine, rows = images[truth == c].astype(np.float64), labels == c
        noise = rng.standard_normal((int(rows.sum()), *images.shape[1:]))
        out[rows] = np.clip(mine.mean(axis=0) + mine.std(axis=0) * noise, 0, 255).round().astype(np.uint8)
    return out


def accuracy_score(source: StudySet, images: np.ndarray, labels: np.ndarray, *, seed: int) -> dict[str, Any]:
    """Train a ResNet18 on these images alone; its accuracy on the real test images.

    The epoch is chosen on the set's real validation images.

    Returns
    -------
    dict
        ``accuracy`` in [0, 1] and ``by_class``.
    """
    from gmaug.classifiers import ResNet18

    classes = np.arange(len(source.classes))
    model = ResNet18(CLASSIFIER).fit(images, labels, validation=source.validation, classes=classes, seed=seed)
    right = model.predict(source.test[0]) == source.test[1]
    by_class = [float(right[source.test[1] == c].mean()) for c in classes]
    return {"accuracy": float(right.mean()), "by_class": by_class}


def record(name: str, *, root: Path | None = None) -> Path:
    """Scores of a set's recorded generators, of real images and of the baseline, over `SEEDS`.

    A generator without a record is left out.
    """
    import time

    import torch

    torch.set_num_threads(1)
    source, begun = study_set(name, root), time.perf_counter()
    wanted = np.repeat(np.arange(len(source.classes)), EACH)
    makers: dict[str, Callable[[int], np.ndarray]] = {
        "real": lambda seed: source.fresh(EACH, 100 + seed)[0],
        "mean and noise": lambda seed: mean_and_noise(source, wanted, seed=seed),
    }
    for kind in KINDS:
        try:
            generator, _ = recorded_generator(name, kind, root=root)
        except records.Refused:
            continue
        makers[kind] = lambda seed, generator=generator: generator.sample(wanted, seed=100 + seed)
    rows = [
        {"images": kind, "seed": seed, **accuracy_score(source, make(seed), wanted, seed=seed)}
        for kind, make in makers.items()
        for seed in SEEDS
    ]
    return records.write(
        "usefulness",
        name,
        {"rows": rows, "classes": list(source.classes), "counts": source.counts},
        settings={"each": EACH, "seeds": SEEDS, "classifier": CLASSIFIER, "generators": _weights(name)},
        data=data_of(source),
        modules=MODULES,
        seconds=time.perf_counter() - begun,
        device="cpu, 1 thread",
    )


def _weights(name: str) -> dict[str, str]:
    """Digests of the recorded generators' weights."""
    from gmaug.provenance import files_hash

    paths = {kind: weights_path(name, kind) for kind in KINDS}
    return {kind: files_hash([path]) for kind, path in paths.items() if path.is_file()}


def frame(name: str) -> pd.DataFrame:
    """Mean and standard error over seeds, in percent; empty if there is no record that holds.

    Returns
    -------
    DataFrame
        ``set``, ``images`` (what was trained on), ``accuracy``, ``se``, ``seeds``, ``each``.
    """
    import pandas as pd

    columns = ["set", "images", "accuracy", "se", "seeds", "each"]
    settings = {"each": EACH, "seeds": SEEDS, "classifier": CLASSIFIER, "generators": _weights(name)}
    try:
        content = records.read(records.path_of("usefulness", name), settings=settings)["content"]
    except records.Refused:
        return pd.DataFrame(columns=columns)
    table = pd.DataFrame(content["rows"]).groupby("images")["accuracy"]
    rows = [
        (name, kind, 100 * table.mean()[kind], 100 * table.sem()[kind], int(table.count()[kind]), EACH)
        for kind in KINDS_SHOWN
        if kind in table.groups
    ]
    return pd.DataFrame(rows, columns=columns)


def classes_of(name: str) -> list[str]:
    """Classes of a set, from its record: the set itself need not be there."""
    return records.read(records.path_of("usefulness", name))["content"]["classes"]
