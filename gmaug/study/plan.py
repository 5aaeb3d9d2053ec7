"""Which cells the study records: every arm on three gardens, a few on more of them, and variations on one.

``cells`` are all arms with the ResNet18; ``similarity`` the arms of the paper's comparison and its
control, on every garden; ``mae`` the same arms with the masked autoencoder;
``sweep`` fills one garden further and further, once with the epochs fixed, as
the paper did, so that larger sets take more gradient steps, and once with the steps fixed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from gmaug.datasets.garden import FIRST_GARDENS

if TYPE_CHECKING:
    from gmaug.experiment import Cell

STUDIED = ("garden-1", "garden-4", "garden-8")
GROUPS = {
    "epochs fixed": ("original", "cb-loss", "focal", "logit-adjusted"),
    "steps of the filled set": (
        "step-matched", "logit-adjusted-steps", "randaugment", "mixup-cutmix", "oversample",
    ),
    "filled": ("smote", "cgan-aug", "cgan-augcls", "gd-aug", "gd-augcls", "more-real"),
}  # fmt: skip
"""The arms by what they change; the last two groups take the same number of gradient steps."""

ARMS = tuple(arm for group in GROUPS.values() for arm in group)
SEEDS = (0, 1, 2)

COMPARED = ("original", "step-matched", "cgan-augcls")

MAE_STUDIED = ("garden-4",)

SWEPT = ("garden-4",)
SWEEP_ARMS = ("cgan-augcls",)
TARGETS = (200, 400, 800)  # images a class: 1, 2 and 4 times the largest; the paper's iNaturalist sets: 5.5
FIXED_AT = TARGETS[0]  # the steps of the fixed sweep are those the epochs take at this target

FAMILIES = {
    "cells": (STUDIED, ARMS),
    "similarity": (tuple(FIRST_GARDENS), COMPARED),
    "mae": (MAE_STUDIED, COMPARED),
    "sweep": (SWEPT, SWEEP_ARMS),
}
"""Default sets and arms of each kind of cell, by the name ``python -m gmaug record`` gives it."""


def cells(
    names: Iterable[str] | None = None,
    arms: Iterable[str] | None = None,
    seeds: Iterable[int] = SEEDS,
    *,
    family: str = "cells",
) -> list[Cell]:
    """The cells of a family, set by set.

    Parameters
    ----------
    names, arms : iterable of str, optional
        The family's own by default.
    seeds : iterable of int
    family : {"cells", "similarity", "mae", "sweep"}
    """
    from gmaug.experiment import Cell, CellSettings

    own = FAMILIES[family]
    names, arms, seeds = tuple(names or own[0]), tuple(arms or own[1]), tuple(seeds)
    if family == "sweep":
        return [cell for name in names for arm in arms for cell in _sweep(name, arm, seeds)]
    settings = CellSettings(classifier="mae") if family == "mae" else CellSettings()
    return [Cell(name, arm, seed, settings) for name in names for arm in arms for seed in seeds]


def _sweep(name: str, arm: str, seeds: tuple[int, ...]) -> list[Cell]:
    """Targets with the epochs fixed, then with the steps fixed; one that is both is listed once."""
    from gmaug.experiment import Cell, CellSettings
    from gmaug.study.sets import splits

    counts = np.bincount(splits(name).train.labels)

    def settings(target: int, *, fixed: bool) -> CellSettings:
        # one round: the sweep asks how many images, and a second round doubles what it costs
        base = CellSettings(target=target, rounds=1)
        if not fixed or target == FIXED_AT:
            return base
        steps = base.training.steps(int(counts.clip(min=FIXED_AT).sum()))
        return CellSettings(target=target, rounds=1, steps=steps)

    kinds = dict.fromkeys(settings(target, fixed=fixed) for fixed in (False, True) for target in TARGETS)
    return [Cell(name, arm, seed, kind) for kind in kinds for seed in seeds]
