"""Our own points for Fig. 7: gains of recorded experiment cells against the metric of their data set."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import published
from gmaug.law import curve

COLUMNS = ("dataset", "series", "ssim_sup_sub_cls", "original", "gain", "low", "high", "seeds")


def points(
    cells: pd.DataFrame,
    metric: Mapping[str, float],
    *,
    arm: str = "cgan-augcls",
    against: str = "original",
    kind: str = "relative",
    score: str = "top1",
    series: str | None = None,
    level: float = 0.95,
) -> pd.DataFrame:
    """Gain of one arm over another, data set by data set, paired by seed.

    Parameters
    ----------
    cells : DataFrame
        As :func:`gmaug.experiment.frame` gives it: ``dataset``, ``arm``, ``seed`` and `score` (0 to 1).
    metric : mapping of str to float
        SSIM-supSubCls of each data set; those without one are left out.
    arm, against : str
        The arm whose gain is wanted, and the one it is compared with.
    kind : str
        As for :func:`gmaug.law.curve.gains`.
    score : str
        Column that is compared, measured on test images.
    series : str, optional
        Name for the legend.
    level : float
        Of the interval over seeds.

    Returns
    -------
    DataFrame
        ``dataset``, ``series``, ``ssim_sup_sub_cls``, ``original`` (percent), ``gain`` (mean over seeds,
        percent), ``low`` and ``high`` (Student's t over seeds; NaN with one seed), ``seeds``. No row
        where nothing has been run.
    """
    rows = []
    if len(cells):
        table = cells[cells["arm"].isin([arm, against])].pivot_table(
            index=["dataset", "seed"], columns="arm", values=score
        )
        if {arm, against} <= set(table.columns):
            for name, part in table.dropna().groupby(level="dataset"):
                if name in metric:
                    gain = curve.gains(100 * part[against], 100 * part[arm], kind=kind)
                    low, high = _interval(gain, level)
                    title = series or f"gardens: {arm} over {against}"
                    start = 100 * float(part[against].mean())
                    rows.append(
                        (name, title, metric[name], start, float(np.mean(gain)), low, high, len(part))
                    )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def garden_metric(names: Iterable[str], *, seed: int = 0) -> dict[str, float]:
    """SSIM-supSubCls of gardens, by the paper's convention, each on all its training images.

    Parameters
    ----------
    names : iterable of str
        Keys of :data:`gmaug.datasets.garden.FIRST_GARDENS`.
    seed : int
        Of the pairs.
    """
    from gmaug.datasets import open_images
    from gmaug.similarity import measure

    return {
        name: measure(open_images(name), seed=seed, progress=False).ssim_sup_sub_cls.value for name in names
    }


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)


def table5(own: pd.DataFrame | None = None) -> pd.DataFrame:
    """Table 5 as printed, recomputed and predicted, with our own points below it.

    Returns
    -------
    DataFrame
        ``dataset``, ``source`` (``paper``, or the series of our own points), ``ssim_merge_cls``,
        ``ssim_sup_sub_cls``, ``printed`` and ``recomputed`` gain (percent; the latter is the measured one
        where the point is ours), ``eq4`` (as printed),
        ``refit`` (least squares on Table 5), and ``unseen`` (the same without the data set itself; for
        our own points this is `refit`).
    """
    frame = published.load("table5")
    frame = frame.rename(columns={"cgan_augcls_improvement": "printed"}).drop(columns="cgan_augcls_works")
    frame.insert(1, "source", "paper")
    three = published.load("table3")
    frame["from_table3"] = curve.gains(three["original_resnet18"], three["cgan_augcls_resnet18"])
    frame["unseen"] = curve.leave_one_out(frame["ssim_sup_sub_cls"], frame["printed"])
    fitted = curve.fit(frame["ssim_sup_sub_cls"], frame["printed"])
    if own is not None and len(own):
        more = own[["dataset", "series", "ssim_sup_sub_cls", "gain"]]
        more = more.rename(columns={"series": "source", "gain": "from_table3"})
        more["unseen"] = fitted(more["ssim_sup_sub_cls"])
        frame = pd.concat([frame, more], ignore_index=True)
    frame["eq4"] = published.EQ4(frame["ssim_sup_sub_cls"])
    frame["refit"] = fitted(frame["ssim_sup_sub_cls"])
    metrics = ["ssim_merge_cls", "ssim_sup_sub_cls"]
    gains = ["printed", "from_table3", "eq4", "refit", "unseen"]
    return frame[["dataset", "source", *metrics, *gains]].rename(columns={"from_table3": "recomputed"})


def of_recorded_cells(nb: Any) -> pd.DataFrame:
    """Points of the recorded cells of cGAN-augCls, against the original and against equally long training.

    Parameters
    ----------
    nb : gmaug.notebook.Notebook
        Keeps the gardens' metric as a stage of its run; its seed draws the pairs.
    """
    from gmaug.experiment import comparison

    cells = comparison.recorded_cells("similarity")
    gardens = sorted(set(cells["dataset"]))
    metric = nb.stage(
        "fig7_garden_metric",
        lambda: garden_metric(gardens, seed=nb.seed),
        inputs=gardens,
        modules=["law.own_points"],
    )
    return pd.concat([points(cells, metric, against=arm) for arm in ("original", "step-matched")])
