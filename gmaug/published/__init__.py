"""The paper's printed numbers: Tables 1 to 7, the constants of its text, and its claims.

The CSV files beside this one hold the figures exactly as they are printed, trailing zeros
included, so that a check of the last digit can know how many digits there were. A dash in the
paper is an empty cell. Two further files hold facts about the data that the paper does not print
(class counts, training-set sizes); their column ``known_by`` says how each is known.
``experiments.csv`` is ours: a summary of the recorded experiments (:func:`experiments`).
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources

import numpy as np
import pandas as pd

TABLES = tuple(f"table{k}" for k in range(1, 8))
FACTS = ("inat2019_class_counts", "training_sets")

DATASETS = ("UTKFace", "Birds", "Insects", "scene", "flowers", "Fungi", "Reptiles", "Amphibians")
"""The eight data sets in the order of Tables 2, 3 and 5."""


@dataclass(frozen=True)
class Exponential:
    """Eq. 4 as it is printed: ``base ** (slope * x + offset)``, percent at SSIM-supSubCls ``x``."""

    base: float = 0.94
    slope: float = 202.74
    offset: float = -79.92

    def __call__(self, x: np.ndarray | float) -> np.ndarray:
        """Expected relative accuracy improvement in percent at `x`."""
        return self.base ** (self.slope * np.asarray(x, dtype=float) + self.offset)

    @property
    def amplitude(self) -> float:
        """A of ``A * exp(-k * x)``, the same curve, in percent."""
        return float(self.base**self.offset)

    @property
    def rate(self) -> float:
        """k of ``A * exp(-k * x)``, the same curve, per unit of SSIM."""
        return float(-self.slope * np.log(self.base))


EQ4 = Exponential()
"""Section 4.3, Eq. 4."""

THRESHOLDS = {"ssim_merge_cls": 0.1319, "ssim_sup_sub_cls": 0.1652}
"""Caption of Table 5: the augmentation "only works" below these; both are flowers' own values."""


def load(name: str, *, printed: bool = False) -> pd.DataFrame:
    """One printed table, or one file of facts, as a DataFrame.

    Parameters
    ----------
    name : str
        ``"table1"`` to ``"table7"``, ``"training_sets"`` or ``"inat2019_class_counts"``.
        Accuracies, improvements and errors are in percent, as printed.
    printed : bool
        Keep the cells as text, with the digits that are printed.

    Returns
    -------
    DataFrame
        A fresh copy; ``dataset`` is text, ``cgan_augcls_works`` bool, a missing cell NaN.
    """
    if name not in (*TABLES, *FACTS):
        raise ValueError(f"no published table {name!r}; known: {', '.join((*TABLES, *FACTS))}")
    with _file(f"{name}.csv").open(encoding="utf-8") as file:
        if printed:
            return pd.read_csv(file, dtype=str, keep_default_na=False)
        options = {"true_values": ["yes"], "false_values": ["no"]} if name == "table5" else {}
        return pd.read_csv(file, **options)


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
    """What our own recorded experiments measured, one row a set and arm; no row if nothing is recorded.

    Returns
    -------
    DataFrame
        ``set`` (the image set's name), ``images`` and ``classes`` of its training part, ``imbalance``
        (largest class over smallest), ``ssim_sup_sub_cls`` (paper's convention), ``arm``,
        ``gain_over_oversample`` (percentage points of balanced accuracy on test images, mean over seeds,
        paired) with its 95 % interval ``low`` and ``high`` (NaN where one seed was run), ``seeds``, and
        ``recorded`` (the date).

    Notes
    -----
    ``python -m gmaug record summary`` writes the file from the records, so that an installed package has it
    without them; notebook 05 shows it.
    """
    try:
        with _file("experiments.csv").open(encoding="utf-8") as file:
            frame = pd.read_csv(file)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame(columns=list(EXPERIMENT_COLUMNS))
    missing = [name for name in EXPERIMENT_COLUMNS if name not in frame]
    if missing:
        raise ValueError(
            f"published/experiments.csv lacks {', '.join(missing)}; write it: python -m gmaug record summary"
        )
    return frame[list(EXPERIMENT_COLUMNS)]


def claims() -> pd.DataFrame:
    """Every number and claim of the paper, one row each (see :mod:`gmaug.report`)."""
    with _file("claims.csv").open(encoding="utf-8") as file:
        text = pd.read_csv(file, dtype=str, keep_default_na=False)
    text["tolerance"] = pd.to_numeric(text["tolerance"].replace("", np.nan))
    return text


def _file(name: str) -> resources.abc.Traversable:
    return resources.files(__name__).joinpath(name)
