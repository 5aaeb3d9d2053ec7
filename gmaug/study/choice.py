"""How the masked autoencoder's settings for the garden were chosen: by its validation images alone.

``python -m gmaug.study.choice`` trains a first guess and settings that differ from it in one thing each, and
records their validation accuracy. The best of them is ``GARDEN_MAE``. Test images are not looked at.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import runs
from gmaug.classifiers.settings import GARDEN_MAE, MAESettings
from gmaug.study.sets import data_of, study_set

if TYPE_CHECKING:
    import pandas as pd

KIND, GARDEN = "choice", "garden-4"
SEEDS = (0, 1)
START = replace(GARDEN_MAE, pretraining_epochs=60, epochs=40)
CHOSEN = "half as long again"
CHANGES: dict[str, dict[str, Any]] = {
    "first guess": {},
    "half the rate": {"base_lr": START.base_lr / 2},
    "twice the rate": {"base_lr": START.base_lr * 2},
    "rates that fall by a quarter a layer": {"layer_decay": 0.75},
    "no pre-training": {"pretraining_epochs": 0},
    CHOSEN: {"pretraining_epochs": 90, "epochs": 60},  # longer yet was not tried, for what it costs
}


def candidates() -> dict[str, MAESettings]:
    """The settings compared, by what they change."""
    return {name: replace(START, **change) for name, change in CHANGES.items()}


def record(*, checkpoints: Path) -> Path:
    """Train every candidate with every seed and record how they did.

    Parameters
    ----------
    checkpoints : Path
        Where trainings are kept; a killed run goes on there.
    """
    import torch

    from gmaug.classifiers.mae import MAE

    source, start = study_set(GARDEN), time.perf_counter()
    rows = []
    for name, settings in candidates().items():
        for seed in SEEDS:
            kept = checkpoints / f"{name.replace(' ', '-')}-{seed}"
            model = MAE(settings).fit(
                *source.train, validation=source.validation, seed=seed, checkpoint=kept, desc=f"{name} {seed}"
            )
            best = model.history_[model.best_epoch_ - 1]
            rows.append(
                {
                    "settings": name,
                    "seed": seed,
                    "validation_accuracy": best["validation_accuracy"],
                    "best_epoch": model.best_epoch_,
                    "train_accuracy": model.history_[-1]["train_accuracy"],
                }
            )
    return runs.write_record(
        KIND, f"{GARDEN}-mae", rows,
        settings=candidates(),
        data=data_of(source),
        seconds=time.perf_counter() - start,
        device=f"cpu, {torch.get_num_threads()} threads",
    )  # fmt: skip


def table() -> pd.DataFrame:
    """What was recorded, a row for each candidate, the best first.

    Returns
    -------
    DataFrame
        ``settings``, ``validation_accuracy`` (percent, mean over seeds), ``least`` and ``most`` (of a
        seed), ``train_accuracy``; or one row that says why there is nothing.
    """
    import pandas as pd

    try:
        read = runs.read_record(KIND, f"{GARDEN}-mae")
    except runs.NotRecorded as reason:
        return pd.DataFrame({"settings": [f"not run: {reason}"]})
    rows = pd.DataFrame(read["content"])
    rows[["validation_accuracy", "train_accuracy"]] *= 100
    by = rows.groupby("settings", sort=False)
    found = by["validation_accuracy"].agg(validation_accuracy="mean", least="min", most="max")
    found["train_accuracy"] = by["train_accuracy"].mean()
    return found.sort_values("validation_accuracy", ascending=False).reset_index()


if __name__ == "__main__":
    print(record(checkpoints=Path("runs/choice")))
    sys.exit(0)
