"""The paper's printed numbers: Tables 1 to 7, the constants of its text, and its claims.

The CSV files hold the figures exactly as they are printed, trailing zeros included. Further files hold
facts about the data that the paper does not print; a column ``known_by`` says how each is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent
TABLES = tuple(f"table{k}" for k in range(1, 8))
FACTS = ("inat2019_class_counts", "training_sets")

DATASETS = ("UTKFace", "Birds", "Insects", "scene", "flowers", "Fungi", "Reptiles", "Amphibians")
"""The eight data sets in the order of Tables 2, 3 and 5."""


@dataclass(frozen=True)
class Exponential:
    """Eq. 4 as it is printed: ``base ** (slope * x + offset)``, percent of gain at SSIM-supSubCls ``x``.

    The same curve is ``amplitude * exp(-rate * x)``.
    """

    base: float = 0.94
    slope: float = 202.74
    offset: float = -79.92

    def __call__(self, x: np.ndarray | float) -> np.ndarray:
        return self.base ** (self.slope * np.asarray(x, dtype=float) + self.offset)

    @property
    def amplitude(self) -> float:
        return float(self.base**self.offset)

    @property
    def rate(self) -> float:
        return float(-self.slope * np.log(self.base))


EQ4 = Exponential()
"""Section 4.3, Eq. 4."""

THRESHOLDS = {"ssim_merge_cls": 0.1319, "ssim_sup_sub_cls": 0.1652}
"""Caption of Table 5: the augmentation "only works" below these; both are flowers' own values."""


def load(name: str, *, printed: bool = False) -> pd.DataFrame:
    """A fresh copy of a table, ``"table1"`` to ``"table7"``, or of one of the :data:`FACTS`.

    Accuracies, improvements and errors are in percent; a dash in the paper is a missing cell. With `printed`
    cells are text, with the digits that are printed.
    """
    if name not in (*TABLES, *FACTS):
        raise ValueError(f"no published table {name!r}; known: {', '.join((*TABLES, *FACTS))}")
    if printed:
        return pd.read_csv(FOLDER / f"{name}.csv", dtype=str, keep_default_na=False)
    options = {"true_values": ["yes"], "false_values": ["no"]} if name == "table5" else {}
    return pd.read_csv(FOLDER / f"{name}.csv", **options)


def training_sets() -> pd.DataFrame:
    """Size of each training set before and after augmentation, one row a data set.

    None of this is in the paper. ``target_per_class``, the images of every class after augmentation, was read
    in the authors' public repository; ``enlargement`` is images after over images before.
    """
    frame = load("training_sets")
    frame["enlargement"] = frame["classes"] * frame["target_per_class"] / frame["images"]
    frame["images_per_class"] = frame["images"] / frame["classes"]
    return frame


EXPERIMENT_COLUMNS = (
    "set", "images", "classes", "imbalance", "ssim_sup_sub_cls", "arm",
    "gain_over_oversample", "low", "high", "seeds", "recorded",
)  # fmt: skip


def experiments() -> pd.DataFrame:
    """What our own recorded experiments measured (:data:`EXPERIMENT_COLUMNS`), one row a set and arm.

    ``images`` are those of the training part, ``imbalance`` is largest class over smallest.
    ``gain_over_oversample`` is in points of balanced accuracy on test images, paired over ``seeds``, with its
    95 % interval (NaN with one seed). ``notebooks/recorded/record.py summary`` writes it from the records,
    so that an installed package has it without them.
    """
    return pd.read_csv(FOLDER / "experiments.csv")


def claims() -> pd.DataFrame:
    """Every number and claim of the paper, one row each (see :mod:`gmaug.report`)."""
    text = pd.read_csv(FOLDER / "claims.csv", dtype=str, keep_default_na=False)
    text["tolerance"] = pd.to_numeric(text["tolerance"].replace("", np.nan))
    return text
