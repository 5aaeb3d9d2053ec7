"""Our own points for Fig. 7: gains of recorded experiment cells against the metric of their data set."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import curve

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
        As for :func:`gmaug.curve.gains`.
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


def recorded_cells() -> pd.DataFrame:
    """The recorded cells of the experiment that still hold, one row each; empty if there are none."""
    from gmaug import experiment, records

    folder = records.FOLDER / "experiment"
    if not folder.is_dir():
        return pd.DataFrame()
    return experiment.frame(experiment.load_records(folder, on_stale="skip"))


def _interval(values: np.ndarray, level: float) -> tuple[float, float]:
    values = np.asarray(values, dtype=float)
    if len(values) < 2:
        return np.nan, np.nan
    half = stats.t.ppf(0.5 + level / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean() - half), float(values.mean() + half)
