"""Smaller claims of section 4.3 that the paper's own tables decide (notebook 06)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import published
from gmaug.law import curve, significance


def mae_columns() -> pd.DataFrame:
    """What the pipeline does for the MAE classifier, by Table 3.

    Returns
    -------
    DataFrame
        ``dataset``, ``ssim_sup_sub_cls``, ``original``, ``augmented`` (percent), ``gain`` (relative,
        percent), ``images``, and ``p``: Fisher's exact test on the counts, two-sided.
    """
    table = published.load("table3").merge(published.load("table5"), on="dataset")
    points = pd.DataFrame(
        {
            "dataset": table["dataset"],
            "model": "MAE",
            "ssim_sup_sub_cls": table["ssim_sup_sub_cls"],
            "original": table["original_mae"],
            "augmented": table["cgan_augcls_mae"],
        }
    )
    sizes = published.training_sets()[["dataset", "validation_images"]]
    points = points.merge(sizes, on="dataset")
    points["gain"] = curve.gains(points["original"], points["augmented"])
    points["p"] = significance.accuracy_tests(points)["p"]
    return points.drop(columns="model").rename(columns={"validation_images": "images"})


def selection() -> pd.DataFrame:
    """Selected against all images, ResNet18, Table 3: ``dataset``, ``all``, ``selected``, ``difference``."""
    table = published.load("table3")
    every, kept = table["cgan_aug_resnet18"], table["cgan_augcls_resnet18"]
    return pd.DataFrame(
        {"dataset": table["dataset"], "all": every, "selected": kept, "difference": kept - every}
    )


def class_balanced_loss() -> pd.DataFrame:
    """Table 4 beside Table 3: accuracy of ResNet18 as it is, with the balanced loss, with the pipeline."""
    table = published.load("table4").merge(published.load("table3"), on="dataset")
    return table[["dataset", "original_resnet18", "cb_loss_acc", "cgan_augcls_resnet18"]].rename(
        columns={
            "original_resnet18": "original",
            "cb_loss_acc": "balanced_loss",
            "cgan_augcls_resnet18": "pipeline",
        }
    )


def threshold_rule(points: pd.DataFrame, *, worth: float = 10.0) -> pd.DataFrame:
    """ "It works below a threshold", with the threshold found again without each data set.

    Parameters
    ----------
    points : DataFrame
        ``dataset``, ``ssim_sup_sub_cls`` and ``gain`` (percent).
    worth : float
        From which gain on it counts as working. Any value between 4.6 and 24.7 splits the paper's
        eight alike.

    Returns
    -------
    DataFrame
        ``dataset``, ``works``, ``threshold`` (midway between the others' two groups), ``predicted``,
        ``right``.
    """
    rows = []
    for k, row in enumerate(points.itertuples(index=False)):
        others = points.drop(index=points.index[k])
        good = others["gain"] >= worth
        threshold = (
            others.loc[good, "ssim_sup_sub_cls"].max() + others.loc[~good, "ssim_sup_sub_cls"].min()
        ) / 2
        works, predicted = row.gain >= worth, row.ssim_sup_sub_cls < threshold
        rows.append(
            {
                "dataset": row.dataset,
                "works": bool(works),
                "threshold": threshold,
                "predicted": bool(predicted),
                "right": bool(works == predicted),
            }
        )
    return pd.DataFrame(rows)


def whole_inaturalist() -> pd.DataFrame:
    """Table 7 with its binomial error on iNaturalist-2019's 3,030 validation images.

    Returns
    -------
    DataFrame
        ``comparison``, ``difference`` (percentage points), ``se`` and ``p`` (two-sided Fisher).
    """
    seven, n = published.load("table7").iloc[0], 3030  # 1,010 classes with 3 each
    pairs = {
        "ResNet18: pipeline - original": ("cgan_augcls_resnet18", "original_resnet18"),
        "MAE: pipeline - original": ("cgan_augcls_mae", "original_mae"),
        "MAE at 128 px: pipeline - state of the art": ("cgan_augcls_mae", "sota"),
    }
    rows = []
    for name, (new, old) in pairs.items():
        a, b = float(seven[new]), float(seven[old])
        right = [round(n * a / 100), round(n * b / 100)]
        rows.append(
            {
                "comparison": name,
                "difference": a - b,
                "se": float(np.sqrt((a * (100 - a) + b * (100 - b)) / n)),
                "p": stats.fisher_exact([[r, n - r] for r in right]).pvalue,
            }
        )
    return pd.DataFrame(rows)
