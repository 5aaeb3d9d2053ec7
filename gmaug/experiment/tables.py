"""Tables of notebook 05: the paper's beside ours, and the differences of the arms in words."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import records
from gmaug.experiment.comparison import paired, summary, text_of
from gmaug.study import plan, soundness
from gmaug.study.generation import KINDS, generator_record


def accuracy_intervals(table: pd.DataFrame, images: pd.Series, *, level: float = 0.95) -> pd.DataFrame:
    """Wilson intervals of printed accuracies, from the number of validation images behind them.

    Parameters
    ----------
    table : DataFrame
        Accuracies in percent, one row a data set.
    images : Series
        Validation images of each row.
    """
    z = stats.norm.ppf((1 + level) / 2)
    out = {}
    for column in table:
        p, n = table[column] / 100, images.to_numpy()
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        out[f"{column}_low"], out[f"{column}_high"] = 100 * (centre - half), 100 * (centre + half)
    return pd.DataFrame(out, index=table.index)


def by_group(*differences: pd.DataFrame) -> pd.DataFrame:
    """Differences of head, middle and tail in words, a row an arm and garden, a column a base and group.

    Parameters
    ----------
    *differences : DataFrame
        As :func:`paired` gives them, of the scores ``head``, ``middle`` and ``tail``.
    """
    rows: dict[tuple[str, str], dict[str, Any]] = {}
    for table in differences:
        for row in table[table["score"].isin(("head", "middle", "tail"))].itertuples():
            about = rows.setdefault((row.arm, row.dataset), {"arm": row.arm, "dataset": row.dataset})
            error = f" ± {row.se:.1f}" if row.se == row.se else ""
            about[f"{row.score} over {row.base}"] = f"{row.difference:+.1f}{error}"
    return pd.DataFrame(rows.values()).fillna("") if rows else pd.DataFrame(columns=["arm", "dataset"])


def classifiers(resnet18: pd.DataFrame, mae: pd.DataFrame) -> pd.DataFrame:
    """Both classifiers on the arms and gardens that the masked autoencoder was run on.

    Parameters
    ----------
    resnet18, mae : DataFrame
        ``recorded_cells("cells")`` and ``recorded_cells("mae")``.

    Returns
    -------
    DataFrame
        ``classifier``, ``dataset``, ``arm``, ``seeds``, ``steps``, ``top1``, ``tail`` and the gain
        over ``original``, in words; empty if the autoencoder was not run.
    """
    shared = set(zip(mae["dataset"], mae["arm"], strict=True))
    rows = []
    for name, cells in (("resnet18", resnet18), ("mae", mae)):
        both = [pair in shared for pair in zip(cells["dataset"], cells["arm"], strict=True)]
        chosen = cells[np.array(both, dtype=bool)]
        gains = paired(chosen, base="original", scores=("top1",)).set_index(["dataset", "arm"])
        for row in summary(chosen).to_dict("records"):
            key = (row["dataset"], row["arm"])
            gain = text_of(gains.loc[[key]].reset_index()) if key in gains.index else ""
            about = {"classifier": name} | {k: row[k] for k in ("dataset", "arm", "seeds", "steps")}
            about |= {k: f"{row[k]:.1f} ± {row[f'{k}_se']:.1f}" for k in ("top1", "tail")}
            rows.append(about | {"gain": gain.removeprefix(f"{row['dataset']} ")})
    return pd.DataFrame(
        rows, columns=["classifier", "dataset", "arm", "seeds", "steps", "top1", "tail", "gain"]
    )


def generators_table(names: Iterable[str] = plan.STUDIED) -> pd.DataFrame:
    """Distances of the recorded generators, a row a garden and kind; the floor is what real images score."""
    rows = []
    for name, kind in ((name, kind) for name in names for kind in KINDS):
        about = {"garden": name, "generator": kind}
        try:
            record = generator_record(name, kind)
        except records.Refused as reason:
            rows.append({**about, "note": f"not run: {reason}"})
            continue
        d = record["content"]["distances"]
        for score in ("frechet", "kid"):
            about |= {score: d[score]["value"], f"{score}_se": d[score]["se"]}
            about[f"{score}_floor"] = d[f"{score}_floor"]["value"]
        about |= {part: float(np.mean(d[part])) for part in ("recognised", "recognised_real")}
        images, dimension = d["frechet"]["n_fake"], d["frechet"]["dimension"]
        rows.append({**about, "images": images, "dimension": dimension, "note": ""})
    return pd.DataFrame(rows)


def soundness_table() -> pd.DataFrame:
    """What the classifiers reach where nothing is imbalanced, a row a set and training.

    Returns
    -------
    DataFrame
        ``set``, ``images`` (of training), ``training``, ``seeds``, ``accuracy`` (test, percent, with its
        standard error: of the test images where there is one seed, else between seeds), ``note``.
    """
    rows: list[dict[str, Any]] = []
    for name, told in (("garden", _balanced_rows), ("cifar10", _cifar10_rows)):
        try:
            read = records.read(records.path_of(soundness.KIND, name), settings=soundness.RECORDED)
        except records.Refused as reason:
            rows.append({"set": name, "note": f"not run: {reason}"})
        else:
            rows += told(read["content"])
    return pd.DataFrame(rows, columns=["set", "images", "training", "seeds", "accuracy", "note"]).fillna("")


def _balanced_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    about = {"set": f"{soundness.RECORDED.garden}, balanced", "images": found["images"], "seeds": 1}
    return [
        about | {
            "training": name,
            "accuracy": _share(found[name]["accuracy"], found[name]["se"]),
            "note": f"{100 * found[name]['train_accuracy']:.1f} on the training images",
        }
        for name in ("resnet18", "mae")
    ]  # fmt: skip


def _cifar10_rows(found: dict[str, Any]) -> list[dict[str, Any]]:
    about = {"set": "CIFAR-10, subset", "images": found["images"][0], "seeds": len(found["ours"])}
    gap = f"resnet18 less this: {100 * found['difference']:+.1f} ± {100 * found['se']:.1f} points"
    return [
        about | {
            "training": training,
            "accuracy": _share(float(np.mean(found[name])), float(stats.sem(found[name]))),
            "note": note,
        }
        for training, name, note in (("resnet18", "ours", ""), ("plain PyTorch loop", "plain", gap))
    ]  # fmt: skip


def _share(value: float, error: float) -> str:
    return f"{100 * value:.1f} ± {100 * error:.1f}"


def table2(paper: pd.DataFrame, made: pd.DataFrame) -> pd.DataFrame:
    """Table 2 as printed, then our generators' distances in columns of their own."""
    ours = made.rename(columns={"garden": "dataset"}).assign(source="recorded")
    both = pd.concat([paper.assign(source="paper"), ours], ignore_index=True)
    return both[["source", *[column for column in both if column != "source"]]].round(4)


def table3(paper: pd.DataFrame, means: pd.DataFrame, mae: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 3 as printed with our recorded gardens below it; percent, ``source`` says which is which.

    `means` and `mae` are summaries of the cells of the ResNet18 and of the masked autoencoder.
    """
    arms = {
        "original": "original",
        "cgan_aug": "cgan-aug",
        "cgan_augcls": "cgan-augcls",
        "gd_augcls": "gd-augcls",
    }
    rows = [{"source": "paper", **row} for row in paper.astype(object).to_dict("records")]
    for dataset, group in means.groupby("dataset"):
        row: dict[str, Any] = {"source": "recorded", "dataset": dataset}
        mine = {"resnet18": group, "mae": group[:0] if mae is None else mae[mae["dataset"] == dataset]}
        for classifier, part in mine.items():
            found = part.set_index("arm")
            row |= {f"{column}_{classifier}": _percent(found, arm) for column, arm in arms.items()}
        rows.append({column: value for column, value in row.items() if column in {"source", *paper.columns}})
    return pd.DataFrame(rows)


def table4(paper: pd.DataFrame, printed: pd.DataFrame, means: pd.DataFrame) -> pd.DataFrame:
    """Table 4 beside Table 3, with our recorded gardens below; percent."""
    joined = paper.merge(printed[["dataset", "original_resnet18", "cgan_augcls_resnet18"]], on="dataset")
    joined.columns = ["dataset", "cb_loss", "original", "cgan_augcls"]
    rows = [{"source": "paper", **row} for row in joined.astype(object).to_dict("records")]
    for dataset, group in means.groupby("dataset"):
        arms = group.set_index("arm")
        found = {arm.replace("-", "_"): _percent(arms, arm) for arm in ("cb-loss", "original", "cgan-augcls")}
        rows.append({"source": "recorded", "dataset": dataset, **found})
    return pd.DataFrame(rows)


def _percent(arms: pd.DataFrame, arm: str) -> str:
    if arm not in arms.index:
        return "not run"
    mean, se = arms.loc[arm, "top1"], arms.loc[arm, "top1_se"]
    return f"{mean:.1f} ± {se:.1f}" if se == se else f"{mean:.1f}"
