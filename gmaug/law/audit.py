"""What Eq. 4 and Table 6 are: a search over the definitions that the authors may have used.

Nothing here is told the answer. :func:`search` evaluates every plausible curve, target and statistic
on the paper's own tables; :func:`recipes` asks which single choice prints Table 6.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pandas as pd
from scipy import stats

from gmaug import published
from gmaug.law import curve

DIGITS = 4  # Table 6 prints four decimals
ROWS = {"cGAN": "cGAN-augCls", "GD": "GD-augCls"}
PREDICTORS = ("ssim_sup_sub_cls", "ssim_merge_cls")


def _r2(y: np.ndarray, f: np.ndarray, *, constants: int = 0) -> float:
    left = len(y) - 1 - constants
    share = np.sum((y - f) ** 2) / np.sum((y - y.mean()) ** 2)
    return float(1 - share * (len(y) - 1) / left) if left > 0 else np.nan


def _pearson(y: np.ndarray, f: np.ndarray) -> float:
    return float(np.corrcoef(y, f)[0, 1]) if np.ptp(f) > 0 else np.nan


def _log_r2(y: np.ndarray, f: np.ndarray) -> float:
    return _r2(np.log(y), np.log(f)) if (f > 0).all() and (y > 0).all() else np.nan


GOODNESS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "coefficient of determination": _r2,
    "adjusted, two constants": lambda y, f: _r2(y, f, constants=1),
    "adjusted, three constants": lambda y, f: _r2(y, f, constants=2),
    "about zero": lambda y, f: float(1 - np.sum((y - f) ** 2) / np.sum(y**2)),
    "explained variance": lambda y, f: float(1 - np.var(y - f) / np.var(y)),
    "of logarithms": _log_r2,
    "Pearson correlation": _pearson,
    "squared Pearson correlation": lambda y, f: _pearson(y, f) ** 2,
    "squared rank correlation": lambda y, f: float(stats.spearmanr(y, f).statistic) ** 2,
}
"""What "R²" may mean."""

ERRORS: Mapping[str, Callable[[np.ndarray, np.ndarray], float]] = {
    "mean absolute error": lambda y, f: float(np.mean(np.abs(y - f))),
    "median absolute error": lambda y, f: float(np.median(np.abs(y - f))),
    "root mean square error": lambda y, f: float(np.sqrt(np.mean((y - f) ** 2))),
    "residual standard deviation": lambda y, f: float(np.std(y - f, ddof=1)),
    "residual standard error": lambda y, f: _standard_error(y, f),
    "mean relative error": lambda y, f: float(100 * np.mean(np.abs(y - f) / y)),
    "median relative error": lambda y, f: float(100 * np.median(np.abs(y - f) / y)),
    "mean without the largest": lambda y, f: float(np.sort(np.abs(y - f))[:-1].mean()),
    "geometric mean error": lambda y, f: float(np.exp(np.mean(np.log(np.abs(y - f) + 1e-12)))),
    "largest error": lambda y, f: float(np.max(np.abs(y - f))),
}
"""What "MAE" may mean; percent."""


def _standard_error(y: np.ndarray, f: np.ndarray) -> float:
    return float(np.sqrt(np.sum((y - f) ** 2) / (len(y) - 2))) if len(y) > 2 else np.nan


def search() -> pd.DataFrame:
    """Every candidate for each of Table 6's four numbers.

    Returns
    -------
    DataFrame
        One row a candidate: ``row`` (``cGAN`` or ``GD``), ``number`` (``r2`` or ``mae``),
        ``predictor``, ``gain``, ``curve``, ``fitted_to``, ``statistic``, ``value``, ``printed``, and
        ``matches``: whether `value` rounds to what is printed.
    """
    table6 = published.load("table6").set_index("model")
    rows = []
    for gain, points in _targets():
        for predictor in PREDICTORS:
            for name, fitted_to, predict in _curves(points, predictor):
                for row, label in ROWS.items():
                    own = points[points["model"] == row]
                    y = own["gain"].to_numpy()
                    f = predict(row)(own[predictor].to_numpy())
                    for number, statistics in (("r2", GOODNESS), ("mae", ERRORS)):
                        printed = float(table6.loc[label, number])
                        for statistic, measure in statistics.items():
                            rows.append(
                                {
                                    "row": row,
                                    "number": number,
                                    "predictor": predictor,
                                    "gain": gain,
                                    "curve": name,
                                    "fitted_to": fitted_to,
                                    "statistic": statistic,
                                    "value": measure(y, f),
                                    "printed": printed,
                                }
                            )
    found = pd.DataFrame(rows).dropna(subset=["value"]).reset_index(drop=True)
    found["matches"] = found["value"].round(DIGITS) == found["printed"]
    return found


def recipes(found: pd.DataFrame) -> pd.DataFrame:
    """Whole recipes, each one choice of everything for both rows of Table 6, best first.

    Returns
    -------
    DataFrame
        ``predictor``, ``gain``, ``curve``, ``fitted_to``, ``r2_means``, ``mae_means``; the four
        values (``r2_cgan``, ``mae_cgan``, ``r2_gd``, ``mae_gd``); ``matched`` of the four; ``misses_by``:
        the largest relative deviation from what is printed.
    """
    choice = ["predictor", "gain", "curve", "fitted_to"]
    wide = {}
    for number in ("r2", "mae"):
        part = found[found["number"] == number].assign(off=lambda f: (f["value"] / f["printed"] - 1).abs())
        grouped = part.groupby([*choice, "statistic"], sort=False)
        value = part.pivot_table(index=[*choice, "statistic"], columns="row", values="value", sort=False)
        wide[number] = value.rename(columns={row: f"{number}_{row.lower()}" for row in ROWS})
        wide[number][f"{number}_hits"] = grouped["matches"].sum()
        wide[number][f"{number}_off"] = grouped["off"].max()
        wide[number] = wide[number].reset_index().rename(columns={"statistic": f"{number}_means"})
    both = wide["r2"].merge(wide["mae"], on=choice)
    both["matched"] = both["r2_hits"] + both["mae_hits"]
    both["misses_by"] = both[["r2_off", "mae_off"]].max(axis=1)
    ours = ["r2_cgan", "mae_cgan", "r2_gd", "mae_gd"]
    columns = [*choice, "r2_means", "mae_means", *ours, "matched", "misses_by"]
    return both.sort_values(["matched", "misses_by"], ascending=[False, True], ignore_index=True)[columns]


def chance(found: pd.DataFrame) -> pd.DataFrame:
    """How many hits pure luck would give, from how densely candidates lie around each printed number.

    Returns
    -------
    DataFrame
        ``row``, ``number``, ``printed``, ``candidates`` (different values tried), ``hits``, and
        ``expected``: candidates per printed unit within 100 units of it, the hits themselves left out.
    """
    unit, rows = 10.0**-DIGITS, []
    for (row, number), part in found.groupby(["row", "number"], sort=False):
        values, printed = np.unique(part["value"].round(DIGITS + 2)), float(part["printed"].iloc[0])
        near = np.abs(values - printed) <= 100 * unit
        hits = np.round(values, DIGITS) == printed
        rows.append(
            {
                "row": row,
                "number": number,
                "printed": printed,
                "candidates": len(values),
                "hits": int(hits.sum()),
                "expected": (near & ~hits).sum() / 200,
            }
        )
    return pd.DataFrame(rows)


def refit() -> curve.Fit:
    """Least-squares exponential through Table 5 as printed: the curve the search finds."""
    five = published.load("table5")
    return curve.fit(five["ssim_sup_sub_cls"], five["cgan_augcls_improvement"])


def compare_curves() -> pd.DataFrame:
    """Table 6 beside what the printed curve and the refit give on Table 3's gains.

    Returns
    -------
    DataFrame
        ``curve``, ``amplitude`` (percent) and ``rate``, and for each of ``cgan`` and ``gd``: ``r2``
        (coefficient of determination), ``r2_pearson`` (squared correlation), ``mae`` (mean
        absolute error) and ``median_ae``, percent.
    """
    (_, points), fitted = next(_targets()), refit()
    rows = []
    for name, predict, amplitude, rate in (
        ("Eq. 4 as printed", published.EQ4, published.EQ4.amplitude, published.EQ4.rate),
        ("least squares on Table 5", fitted, *fitted.parameters.values()),
    ):
        row = {"curve": name, "amplitude": amplitude, "rate": rate}
        for model in ROWS:
            own = points[points["model"] == model]
            y, f = own["gain"].to_numpy(), predict(own["ssim_sup_sub_cls"].to_numpy())
            row |= {
                f"{model.lower()}_r2": _r2(y, f),
                f"{model.lower()}_r2_pearson": _pearson(y, f) ** 2,
                f"{model.lower()}_mae": ERRORS["mean absolute error"](y, f),
                f"{model.lower()}_median_ae": ERRORS["median absolute error"](y, f),
            }
        rows.append(row)
    return pd.DataFrame(rows)


def table6(curves: pd.DataFrame) -> pd.DataFrame:
    """Table 6 beside :func:`compare_curves`, as text with the four decimals that the paper prints."""
    printed = published.load("table6", printed=True)
    eq4, fitted = (curves.iloc[k] for k in (0, 1))
    columns = {
        "R² printed": list(printed["r2"]),
        "R² of Eq. 4": [f"{eq4[f'{row.lower()}_r2']:.4f}" for row in ROWS],
        "R² of the refit": [f"{fitted[f'{row.lower()}_r2']:.4f}" for row in ROWS],
        "correlation² of the refit": [f"{fitted[f'{row.lower()}_r2_pearson']:.4f}" for row in ROWS],
        "MAE printed": list(printed["mae"]),
        "mean error of Eq. 4": [f"{eq4[f'{row.lower()}_mae']:.4f}" for row in ROWS],
        "mean error of the refit": [f"{fitted[f'{row.lower()}_mae']:.4f}" for row in ROWS],
        "median error of the refit": [f"{fitted[f'{row.lower()}_median_ae']:.4f}" for row in ROWS],
    }
    return pd.DataFrame({"model": list(printed["model"]), **columns})


def _targets() -> Iterator[tuple[str, pd.DataFrame]]:
    """What "accuracy improvement" may mean, as points of both models."""
    points = curve.paper_points()
    yield "relative, rounded as in Table 5", points.assign(gain=points["gain"].round(2))
    yield "relative, from Table 3", points
    n = points["validation_images"]
    counts = {c: np.rint(points[c] * n / 100) for c in ("original", "augmented")}
    yield "relative, whole images", points.assign(gain=100 * (counts["augmented"] / counts["original"] - 1))
    yield "points", curve.paper_points(kind="points")
    yield "error reduction", curve.paper_points(kind="error_reduction")


def _curves(
    points: pd.DataFrame, predictor: str
) -> Iterator[tuple[str, str, Callable[[str], Callable[[np.ndarray], np.ndarray]]]]:
    """Name, what it was fitted to, and a function from the row of Table 6 to the curve."""
    yield "Eq. 4 as printed", "-", lambda row: published.EQ4
    own = {row: points[points["model"] == row] for row in ROWS}
    fitters = {
        "exponential, least squares": curve.exponential,
        "exponential, least squares of logarithms": curve.log_linear,
        "exponential over a floor": exponential_with_floor,
        "straight line": curve.line,
    }
    for name, fitter in fitters.items():
        fits = {}
        for row, part in {**own, "both": points}.items():
            if len(part) > (3 if fitter is exponential_with_floor else 2):
                fits[row] = fitter(part[predictor].to_numpy(), part["gain"].to_numpy())
        yield name, "cGAN", lambda row, f=fits["cGAN"]: f
        yield name, "cGAN and GD", lambda row, f=fits["both"]: f
        if "GD" in fits:
            yield name, "each its own", lambda row, f=fits: f[row]


def exponential_with_floor(x: np.ndarray, y: np.ndarray) -> curve.Fit:
    """Least squares of ``A * exp(-k * x) + floor``: three constants that *can* be told apart."""
    rates = np.linspace(0.5, 200.0, 400)
    solved = [_floor_at(rate, x, y) for rate in rates]
    start = rates[int(np.argmin([lost for lost, *_ in solved]))]
    fine = np.linspace(max(start - 0.5, 1e-3), start + 0.5, 2001)
    _, amplitude, floor, rate = min((*_floor_at(r, x, y), r) for r in fine)
    parameters = {"amplitude": amplitude, "rate": rate, "floor": floor}
    return curve.Fit("exponential_with_floor", parameters, lambda at: amplitude * np.exp(-rate * at) + floor)


def _floor_at(rate: float, x: np.ndarray, y: np.ndarray) -> tuple[float, float, float]:
    basis = np.column_stack([np.exp(-rate * x), np.ones_like(x)])
    solution = np.linalg.lstsq(basis, y, rcond=None)[0]
    return float(np.sum((y - basis @ solution) ** 2)), float(solution[0]), float(solution[1])
