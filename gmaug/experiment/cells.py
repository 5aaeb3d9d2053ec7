"""One cell of the experiment: data set x arm x seed -> a record, and whether a record still stands."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from gmaug.datasets.base import Splits
from gmaug.experiment.arms import ARMS, CellSettings, Outcome, Trial
from gmaug.runs import difference, digest, environment, package_hash, plain

GROUPS = ("head", "middle", "tail")


@dataclass(frozen=True)
class Cell:
    """One training to judge.

    Parameters
    ----------
    dataset : str
        Name of its :class:`Material`.
    arm : str
        One of ``gmaug.experiment.arms.ARMS``.
    seed : int
        Of the classifier's weights and order and of the candidates. The images, and the
        generator, which is trained once per data set, do not depend on it.
    settings : CellSettings
    """

    dataset: str
    arm: str
    seed: int
    settings: CellSettings = field(default_factory=CellSettings)

    def __post_init__(self) -> None:
        if self.arm not in ARMS:
            raise ValueError(f"arm={self.arm!r} is unknown; use one of {', '.join(ARMS)}")

    def __str__(self) -> str:
        kind = self.settings.classifier
        return f"{self.dataset} {self.arm}{'' if kind == 'resnet18' else f' {kind}'} seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Material:
    """A data set as arrays, and the generators trained on its training images.

    Parameters
    ----------
    name : str
    classes : tuple of str
    train, validation, test : (images, labels)
        uint8 (n, h, w, 3) and int64 (n,).
    generators : dict of str to (object, str)
        A trained generator and the digest of what it is, by the name an arm asks for: ``"cgan"``,
        ``"gd"`` (guided diffusion), and ``"real"``, which gives real images of no other set.
    """

    name: str
    classes: tuple[str, ...]
    train: tuple[np.ndarray, np.ndarray]
    validation: tuple[np.ndarray, np.ndarray]
    test: tuple[np.ndarray, np.ndarray]
    generators: Mapping[str, tuple[Any, str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        splits: Splits,
        *,
        size: int,
        name: str | None = None,
        generators: Mapping[str, tuple[Any, str]] | None = None,
    ) -> Material:
        """Read image sets at `size` pixels."""
        parts = (splits.train, splits.validation, splits.test)
        arrays = [(part.arrays(size=size), part.labels) for part in parts]
        return cls(name or splits.train.name, splits.train.classes, *arrays, generators or {})

    @cached_property
    def data_hash(self) -> str:
        """Digest of all images and labels."""
        return digest(*self.train, *self.validation, *self.test, list(self.classes))

    def inputs(self, arm: str) -> dict[str, Any]:
        """Digests of what the arm gets.

        Raises
        ------
        ValueError
            If the arm needs a generator that is not there.
        """
        kind = ARMS[arm].generator
        if kind and kind not in self.generators:
            raise ValueError(f"{self.name}: arm {arm!r} needs generators={{{kind!r}: (trained, its digest)}}")
        return {"data": self.data_hash, "generator": self.generators[kind][1] if kind else None}


def run_cell(cell: Cell, material: Material) -> dict[str, Any]:
    """Train, choose on validation, judge on test.

    Returns
    -------
    dict
        JSON values: ``cell``, ``inputs``, ``source`` (what it depends on), ``result`` (scores in
        [0, 1], counts by class) and ``run`` (seconds, device, threads, versions).
    """
    import torch

    size = material.train[0].shape[1]
    if size != cell.settings.size:
        raise ValueError(f"{material.name} is read at {size} pixels, the cell wants {cell.settings.size}")
    inputs, start = material.inputs(cell.arm), time.perf_counter()
    trial = Trial(
        *material.train, material.validation, len(material.classes), cell.settings, cell.seed,
        {name: generator for name, (generator, _) in material.generators.items()},
    )  # fmt: skip
    outcome = ARMS[cell.arm].function(trial)
    result = measured(outcome, trial, material)
    return {
        "cell": plain(cell),
        "inputs": inputs,
        "source": source(),
        "result": plain(result),
        "run": {
            "seconds": round(time.perf_counter() - start, 2),
            "device": next(outcome.classifier.net_.parameters()).device.type,
            "threads": torch.get_num_threads(),
            **environment(),
        },
    }


def measured(outcome: Outcome, trial: Trial, material: Material) -> dict[str, Any]:
    """Scores of an outcome on the test images."""
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score

    classifier, (images, truth) = outcome.classifier, material.test
    guess = classifier.predict(images)
    table = confusion_matrix(truth, guess, labels=np.arange(trial.classes))
    with np.errstate(invalid="ignore"):
        recall = np.diag(table) / table.sum(axis=1)
    thirds = np.array_split(np.argsort(-trial.counts, kind="stable"), len(GROUPS))
    by_size = {name: third for name, third in zip(GROUPS, thirds, strict=True) if len(third)}
    best = classifier.history_[classifier.best_epoch_ - 1]
    return {
        "top1": float(np.mean(guess == truth)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess)),
        "macro_f1": float(f1_score(truth, guess, average="macro", labels=np.unique(truth))),
        **{name: float(np.nanmean(recall[third])) for name, third in by_size.items()},
        "validation_accuracy": best.get("validation_accuracy"),
        "best_epoch": classifier.best_epoch_,
        "steps": classifier.steps_,
        "classes": list(material.classes),
        "accuracy": [None if np.isnan(r) else float(r) for r in recall],
        "confusion": table,
        "counts_before": trial.counts,
        "counts_after": trial.counts + (0 if outcome.added is None else outcome.added),
        "groups": {name: [material.classes[i] for i in third] for name, third in by_size.items()},
        **outcome.details,
    }


def source(*_: str) -> dict[str, str]:
    """Digest of the code that a cell is run with: a changed package runs a live cell again."""
    return {"package": package_hash()}


def stale(record: Mapping[str, Any], *, material: Material | None = None) -> str | None:
    """Why a record no longer stands for what this code would compute; None if it does.

    Parameters
    ----------
    record : dict
        As :func:`run_cell` gives it.
    material : Material, optional
        Compare its images and generator with the record's as well.
    """
    try:
        cell = cell_of(record)
    except (KeyError, TypeError, ValueError) as error:
        return f"its settings are not those of this version ({error})"
    if plain(cell) != record["cell"]:
        return "its settings are not those of this version"
    now = {"source": source()}
    if (reason := difference({"source": record.get("source")}, now)) is not None:
        return reason
    if material is not None:
        return difference({"inputs": record.get("inputs")}, {"inputs": material.inputs(cell.arm)})
    return None


def cell_of(record: Mapping[str, Any]) -> Cell:
    """The cell a record belongs to."""
    about = dict(record["cell"])
    return Cell(**{**about, "settings": CellSettings(**about["settings"])})
