"""One cell of the experiment: data set x arm x seed -> a record; many cells, resumable and in parallel."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import progress, runs
from gmaug.datasets.base import Splits
from gmaug.experiment import workers
from gmaug.experiment.arms import Arm, Arrays, CellSettings, Outcome, Trial, find

if TYPE_CHECKING:
    import pandas as pd

GROUPS = ("head", "middle", "tail")
RETIRED = {
    "gamma": 2.0, "tau": 1.0, "mixup": 0.2, "cutmix": 1.0, "neighbours": 5, "score": "softmax",
    "epsilon": 0.0,
}  # fmt: skip
"""Settings that older records hold, each with the only value it had: constants today, or of no meaning."""


@dataclass(frozen=True)
class Cell:
    """One training to judge; ``ValueError`` if there is no such arm."""

    dataset: str  # name of its material
    arm: str  # as `find` knows it
    seed: int  # of the classifier's weights and order and of the candidates; which repetition it is
    settings: CellSettings = field(default_factory=CellSettings)
    variant: str = ""  # tells its record from others of the same arm and seed, such as "steps400"

    def __post_init__(self) -> None:
        find(self.arm)

    @property
    def name(self) -> str:
        """Of its record: the arm, the variant and the seed."""
        return f"{self.arm}{self.variant and f'-{self.variant}'}_{self.seed}"

    def __str__(self) -> str:
        return f"{self.dataset} {self.arm} {self.variant + ' ' if self.variant else ''}seed {self.seed}"


@dataclass(frozen=True, eq=False)
class Material:
    """A data set as arrays, and the generators trained on its training images."""

    name: str
    classes: tuple[str, ...]
    train: Arrays
    validation: Arrays
    test: Arrays
    generators: Mapping[str, tuple[Any, str]] = field(default_factory=dict)  # a trained one and its digest
    reserve: Callable[[np.ndarray, int], Arrays] | None = field(default=None, repr=False)
    """From counts (C,) and a seed to further real images, at most so many of each class."""

    @classmethod
    def of(cls, splits: Splits, *, size: int, name: str | None = None, **others: Any) -> Material:
        """Read image sets at `size` pixels."""
        parts = (splits.train, splits.validation, splits.test)
        arrays = [(part.arrays(size=size), part.labels) for part in parts]
        return cls(name or splits.train.name, splits.train.classes, *arrays, **others)

    @cached_property
    def counts(self) -> np.ndarray:
        """Training images of each class, int64, shape (C,)."""
        return np.bincount(self.train[1], minlength=len(self.classes))

    @cached_property
    def data_hash(self) -> str:
        """Digest of all images and labels."""
        return runs.digest(*self.train, *self.validation, *self.test, list(self.classes))

    def about(self, arm: Arm) -> dict[str, Any]:
        """Name, count and digest of what an arm is given; ``ValueError`` if it needs more than there is."""
        if arm.generator and arm.generator not in self.generators:
            needed = f"arm {arm.name!r} needs the generator {arm.generator!r}"
            raise ValueError(f"{self.name}: {needed}; there is {', '.join(self.generators) or 'none'}")
        if arm.reserve and self.reserve is None:
            raise ValueError(f"{self.name}: arm {arm.name!r} needs real images in reserve; there are none")
        about = {"name": self.name, "images": len(self.train[1]), "hash": self.data_hash}
        return about | ({"generator": self.generators[arm.generator][1]} if arm.generator else {})


Materials = Mapping[str, Material] | Callable[[str, int], Material]
"""From the name of a data set, or from its name and a cell's seed, to its images and generators."""


class CellsFailed(RuntimeError):
    """Some cells failed; the others are done and kept. `failures` holds (cell, reason) pairs."""

    def __init__(self, failures: Sequence[tuple[Cell, str]], total: int, folder: Path) -> None:
        self.failures = tuple(failures)
        cell, reason = self.failures[0]
        failed = f"{len(failures)} of {total} cells failed, first {cell}: {reason}"
        super().__init__(f"{failed}. The others are kept in {folder}; mend the cause and run again")


def run_cell(cell: Cell, material: Material, *, arm: Arm | None = None) -> dict[str, Any]:
    """Train, choose on validation, judge on test: JSON values, with scores in [0, 1], counts by class, and
    what the `arm` (that of the cell's name by default) tells of itself."""
    arm, size = arm or find(cell.arm), material.train[0].shape[1]
    if size != cell.settings.size:
        raise ValueError(f"{material.name} is read at {size} pixels, the cell wants {cell.settings.size}")
    material.about(arm)
    models = {name: generator for name, (generator, _) in material.generators.items()}
    trial = Trial(
        *material.train, material.validation, len(material.classes), cell.settings, cell.seed, models,
        material.reserve,
    )  # fmt: skip
    return runs.plain(measured(arm.function(trial), trial, material))


def measured(outcome: Outcome, trial: Trial, material: Material) -> dict[str, Any]:
    """Scores of an outcome on the test images."""
    from sklearn.metrics import balanced_accuracy_score, confusion_matrix, f1_score, roc_auc_score

    classifier, (images, truth) = outcome.classifier, material.test
    chance = classifier.predict_proba(images)
    guess, present = chance.argmax(axis=1), np.unique(truth)
    table = confusion_matrix(truth, guess, labels=np.arange(trial.classes))
    with np.errstate(invalid="ignore"):
        recall = np.diag(table) / table.sum(axis=1)
    thirds = np.array_split(np.argsort(-trial.counts, kind="stable"), len(GROUPS))
    by_size = {name: third for name, third in zip(GROUPS, thirds, strict=True) if len(third)}
    best = classifier.history_[classifier.best_epoch_ - 1]
    return {
        "top1": float(np.mean(guess == truth)),
        "balanced_accuracy": float(balanced_accuracy_score(truth, guess)),
        "macro_f1": float(f1_score(truth, guess, average="macro", labels=present)),
        "auroc": float(np.mean([roc_auc_score(truth == c, chance[:, c]) for c in present])),
        **{name: float(np.nanmean(recall[third])) for name, third in by_size.items()},
        "validation_accuracy": best.get("validation_accuracy"),
        "best_epoch": classifier.best_epoch_,
        "steps": classifier.steps_,
        "classes": list(material.classes),
        "recall": [None if np.isnan(r) else round(float(r), 6) for r in recall],
        "confusion": table,
        "counts_before": trial.counts,
        "counts_after": trial.counts + (0 if outcome.added is None else outcome.added),
        "groups": {name: [material.classes[i] for i in third] for name, third in by_size.items()},
        **outcome.details,
    }


def run_cells(
    cells: Iterable[Cell], materials: Materials, *, folder: Path | None = None, jobs: int = 1,
    threads: int | None = None, scheduler: str | None = None, again: bool = False,
    say: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:  # fmt: skip
    """Run the cells that have no record yet, read the others; the records, in the order of `cells`.

    Each record is written whole as soon as its cell is done, and a cell that another process is running is
    left to it.

    Parameters
    ----------
    cells : iterable of Cell
    materials : dict or callable
        As :data:`Materials` has it; a function is called where the cell runs.
    folder : Path, optional
        Records go to ``<folder>/cells/<dataset>/<arm>_<seed>.json``; ``notebooks/recorded`` by default.
    jobs, threads : int, int or None
        Processes of this machine and torch threads of each: by default the cores shared out among several,
        torch's own choice for one. Results are the same bytes only for the same number of threads.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``tcp://10.0.0.1:8786``; needs ``gmaug[dask]`` here and gmaug on
        its workers. They need no shared disk: images travel to them, records are written here.
    again : bool
        Run cells that have a record, too.
    say : callable, optional
        Told of each cell as it ends.

    Raises
    ------
    CellsFailed
        At the end, if some failed.
    OSError, ImportError, TimeoutError
        At once, if a record cannot be written, Dask is not installed, or its scheduler does not answer.
    ValueError
        Before anything is run: if a data set is missing, or a record has other settings than its cell.
    """
    cells, folder, failures = list(dict.fromkeys(cells)), folder or runs.RECORDED, []
    if not callable(materials):
        for cell in cells:
            if cell.dataset not in materials:
                there = ", ".join(materials) or "nothing"
                raise ValueError(f"{cell}: materials hold no {cell.dataset!r}, only {there}")
            materials[cell.dataset].about(find(cell.arm))
    waiting = [cell for cell in cells if again or not recorded(cell, materials, folder=folder)]
    with progress.bar(desc="cells", total=len(cells), initial=len(cells) - len(waiting), unit="cell") as bar:
        tasks = [workers.Task(cell, find(cell.arm), materials, folder, again) for cell in waiting]
        for cell, reason in workers.run(tasks, jobs=jobs, threads=threads, scheduler=scheduler):
            if reason is not None:
                failures.append((cell, reason))
            say(f"{cell}: {reason or 'done'}")
            bar.set_postfix_str(str(cell))
            bar.update()
    if failures:
        raise CellsFailed(failures, len(cells), folder)
    return [runs.read_record(f"cells/{cell.dataset}", cell.name, folder=folder) for cell in cells]


def recorded(cell: Cell, materials: Materials | None = None, *, folder: Path | None = None) -> bool:
    """Whether the cell has a record; ``ValueError`` if it is one of other settings, or of other images than
    `materials` (where it is a dict) holds: two experiments would be mixed."""
    place = f"cells/{cell.dataset}", cell.name
    try:
        record = runs.read_record(*place, folder=folder)
    except runs.NotRecorded:
        return False
    reason = None
    try:
        if cell_of(record) != cell:
            reason = runs.difference(record["settings"]["settings"], runs.plain(cell.settings))
    except (KeyError, TypeError, ValueError) as error:
        reason = str(error)
    if reason is None and isinstance(materials, Mapping):
        reason = runs.difference(record["data"], materials[cell.dataset].about(find(cell.arm)))
    if reason is not None:
        found = f"{runs.record_path(*place, folder=folder)} is a record of another experiment ({reason})"
        raise ValueError(f"{found}; move it away, or run it again")
    return True


def cell_of(record: Mapping[str, Any]) -> Cell:
    """The cell a record belongs to."""
    about = dict(record["settings"])
    settings = {k: v for k, v in about["settings"].items() if k not in RETIRED or v != RETIRED[k]}
    return Cell(**{**about, "settings": CellSettings(**settings)})


def load_cells(*, folder: Path | None = None, datasets: Iterable[str] | None = None) -> list[dict[str, Any]]:
    """Records of cells of these data sets, or of all, by data set and name."""
    folder = folder or runs.RECORDED
    if datasets is None:
        datasets = sorted(path.name for path in folder.glob("cells/*") if path.is_dir())
    kinds = [f"cells/{name}" for name in datasets]
    return [runs.read_record(k, n, folder=folder) for k in kinds for n in runs.record_names(k, folder=folder)]


def frame(records: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """One row a record: ``dataset``, ``arm``, ``variant``, ``seed``, ``classifier``, ``target``, every result
    that is one number (scores in [0, 1]), ``worst``: the least recall of a class, ``seconds``, ``commit``."""
    import pandas as pd

    rows = []
    for record in records:
        about = {name: record["settings"][name] for name in ("dataset", "arm", "variant", "seed")}
        settings, content = record["settings"]["settings"], record["content"]
        about |= {"classifier": settings["classifier"], "target": str(settings["target"])}
        single = {k: v for k, v in content.items() if not isinstance(v, (list, dict))}
        worst = min((r for r in content.get("recall", []) if r is not None), default=None)
        made = {name: record["made"][name] for name in ("seconds", "commit")}
        rows.append(about | single | {"worst": worst} | made)
    columns = ["dataset", "arm", "variant", "seed", "classifier", "target", "steps", "seconds", "commit"]
    return pd.DataFrame(rows, columns=None if rows else columns)
