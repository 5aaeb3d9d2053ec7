"""Rivals of SSIM-supSubCls for the x axis: does anything simpler predict the gain as well?

Nothing here is in the paper. A predictor is a column of a frame with one row a data set, so the same
functions serve the paper's eight points, the gardens and whatever else has been measured.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import curve, significance


@dataclass(frozen=True)
class Predictor:
    """One candidate for the x axis."""

    label: str
    logarithm: bool = False  # for what spans a factor of ten or more: a curve in log2 of it
    on_paper: bool = True  # known for the paper's eight data sets


PREDICTORS: Mapping[str, Predictor] = {
    "ssim_sup_sub_cls": Predictor("SSIM-supSubCls"),
    "ssim_merge_cls": Predictor("SSIM-mergeCls"),
    "original": Predictor("original accuracy, %"),
    "enlargement": Predictor("enlargement of the training set", logarithm=True),
    "images_per_class": Predictor("training images per class", logarithm=True),
    "ssim_cross_sub_cls": Predictor("SSIM across sub-classes", on_paper=False),
    "feature_confusion": Predictor("confusion in feature space", on_paper=False),
}
MODELS = ("exponential", "log_linear", "line", "step", "isotonic")


def paper_predictors() -> pd.DataFrame:
    """The paper's eight data sets with every predictor that is known for them.

    Returns
    -------
    DataFrame
        ``dataset``; ``gain``, ``points`` and ``error_reduction`` (percent, cGAN with ResNet18, Table 3);
        ``augmented``, ``validation_images``, and the columns of :data:`PREDICTORS` known here.
    """
    points = curve.paper_points()
    frame = points[points["model"] == "cGAN"].drop(columns="model").reset_index(drop=True)
    for kind in ("points", "error_reduction"):
        frame[kind] = curve.gains(frame["original"], frame["augmented"], kind=kind)
    sizes = published.training_sets()[["dataset", "enlargement", "images_per_class"]]
    return frame.merge(sizes, on="dataset")


def available(frame: pd.DataFrame) -> tuple[str, ...]:
    """Predictors for which `frame` has a value in every row."""
    return tuple(name for name in PREDICTORS if name in frame and frame[name].notna().all())


def values(frame: pd.DataFrame, predictor: str) -> np.ndarray:
    """The x of a predictor, shape (n,), in log2 where :class:`Predictor` says so.

    Raises
    ------
    ValueError
        If the predictor is unknown or missing from `frame`.
    """
    if predictor not in PREDICTORS or predictor not in frame:
        have = ", ".join(available(frame))
        raise ValueError(f"no predictor {predictor!r} here; these have values: {have}")
    x = frame[predictor].to_numpy(float)
    return np.log2(x) if PREDICTORS[predictor].logarithm else x


def rank_table(
    frame: pd.DataFrame, *, gain: str = "gain", predictors: Sequence[str] | None = None, seed: int = 0
) -> pd.DataFrame:
    """Rank correlation of each predictor with the gain, exactly tested, best first.

    Returns
    -------
    DataFrame
        ``predictor``, ``label``, ``spearman``, ``p`` (two-sided, over all orders), and ``p_any``: how often,
        were the gains in random order, the *best* of the predictors tried would do as well. The
        second one pays for having looked at several.
    """
    predictors = available(frame) if predictors is None else predictors
    y = frame[gain].to_numpy(float)
    shuffled = y[significance.orders(len(y), seed=seed)]
    rows, everything = [], []
    for name in predictors:
        x = values(frame, name)
        rho, p = significance.rank_test(x, y, seed=seed)
        everything.append(np.abs(significance.correlations(shuffled, x)))
        rows.append({"predictor": name, "label": PREDICTORS[name].label, "spearman": rho, "p": p})
    best = np.max(everything, axis=0)
    table = pd.DataFrame(rows)
    table["p_any"] = [float(np.mean(best >= abs(rho) - 1e-12)) for rho in table["spearman"]]
    return table.sort_values("p", ignore_index=True)


def prediction_table(
    frame: pd.DataFrame,
    *,
    gain: str = "gain",
    predictors: Sequence[str] | None = None,
    models: Sequence[str] = MODELS,
) -> pd.DataFrame:
    """Leave-one-out error of every predictor with every model, best first.

    Returns
    -------
    DataFrame
        ``predictor``, ``label``, ``model``, ``loo_mae`` and ``loo_median`` (percentage points), and ``wins``:
        on how many data sets it comes closer than SSIM-supSubCls with the same model. A model
        that cannot be fitted (``log_linear`` with a gain at or below zero) is left out.
    """
    predictors = available(frame) if predictors is None else predictors
    y, errors = frame[gain].to_numpy(float), {}
    for name, model in product(predictors, models):
        if model == "log_linear" and np.any(y <= 0):
            continue
        errors[name, model] = np.abs(y - curve.leave_one_out(values(frame, name), y, model=model))
    rows = []
    for (name, model), error in errors.items():
        paper = errors.get(("ssim_sup_sub_cls", model))
        rows.append(
            {
                "predictor": name,
                "label": PREDICTORS[name].label,
                "model": model,
                "loo_mae": error.mean(),
                "loo_median": np.median(error),
                "wins": None if paper is None or name == "ssim_sup_sub_cls" else int(np.sum(error < paper)),
            }
        )
    return pd.DataFrame(rows).sort_values("loo_mae", ignore_index=True).astype({"wins": "Int64"})


def choose_within(frame: pd.DataFrame, *, gain: str = "gain", models: Sequence[str] = MODELS) -> pd.DataFrame:
    """What choosing the best predictor costs: the choice made anew without each data set.

    The best of many leave-one-out errors flatters itself. Here predictor and model are chosen by
    leave-one-out among the other data sets only, and then judged on the one left out.

    Returns
    -------
    DataFrame
        ``dataset``, ``predictor``, ``model`` (the choice), ``predicted``, ``actual``, ``error``.
    """
    rows = []
    for k in range(len(frame)):
        others, one = frame.drop(index=frame.index[k]), frame.iloc[[k]]
        best = prediction_table(others, gain=gain, models=models).iloc[0]
        x, y = values(others, best["predictor"]), others[gain].to_numpy(float)
        fitted = curve.fit(x, y, model=best["model"])
        predicted, actual = float(fitted(values(one, best["predictor"]))[0]), float(one[gain].iloc[0])
        rows.append(
            {
                "dataset": one["dataset"].iloc[0],
                "predictor": best["predictor"],
                "model": best["model"],
                "predicted": predicted,
                "actual": actual,
                "error": predicted - actual,
            }
        )
    return pd.DataFrame(rows)


def coupling(frame: pd.DataFrame) -> dict[str, float]:
    """How much of the original accuracy's correlation is arithmetic: the gain is divided by it.

    The gains in *points* are handed to the data sets in every order and divided by the original
    accuracies as before: whatever correlation remains on average owes nothing to the data.

    Returns
    -------
    dict
        ``observed``, ``by_arithmetic`` (mean over the orders), and ``p``: share of orders with a rank
        correlation as low as the one observed.

    Notes
    -----
    Some orders would lift an accuracy above 100 %; they are kept, since only ranks are used.
    """
    original, points = frame["original"].to_numpy(float), frame["points"].to_numpy(float)
    observed = significance.correlations((points / original)[None], original)[0]
    relative = points[significance.orders(len(points))] / original
    found = significance.correlations(relative, original)
    return {
        "observed": float(observed),
        "by_arithmetic": float(found.mean()),
        "p": float(np.mean(found <= observed + 1e-12)),
    }
