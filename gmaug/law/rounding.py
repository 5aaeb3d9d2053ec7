"""What the printed digits can and cannot say: Eq. 4's constants, Table 6's inputs, Table 3's counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import audit, curve


def recovered_base(fitted: curve.Fit) -> dict[str, float]:
    """The base that Eq. 4 must have had for its other two constants to belong to `fitted`.

    ``base ** (slope x + offset) = A exp(-k x)`` gives the base twice over, from k and slope and from A
    and offset; that both agree shows the printed slope and offset are this fit's.

    Returns
    -------
    dict
        ``from_rate``, ``from_amplitude``.
    """
    amplitude, rate = fitted.parameters["amplitude"], fitted.parameters["rate"]
    return {
        "from_rate": float(np.exp(-rate / published.EQ4.slope)),
        "from_amplitude": float(np.exp(np.log(amplitude) / published.EQ4.offset)),
    }


def printed_digits(fitted: curve.Fit, *, digits: Sequence[int] = (2, 3, 4, 5, 6)) -> pd.DataFrame:
    """Eq. 4 with its base rounded to more and more digits, slope and offset as printed.

    Returns
    -------
    DataFrame
        ``digits``, ``base``, ``amplitude`` (percent), ``rate``, ``at_reptiles`` and ``at_flowers``
        (the curve, percent, at 0.0793 and 0.1652), ``furthest`` (largest distance from `fitted` at
        the eight data sets) and ``r2``.
    """
    five, base = published.load("table5"), recovered_base(fitted)["from_rate"]
    x, y = five["ssim_sup_sub_cls"].to_numpy(), five["cgan_augcls_improvement"].to_numpy()
    rows = []
    for count in digits:
        eq4 = published.Exponential(base=round(base, count))
        at = dict(zip(five["dataset"], eq4(x), strict=True))
        rows.append(
            {
                "digits": count,
                "base": eq4.base,
                "amplitude": eq4.amplitude,
                "rate": eq4.rate,
                "at_reptiles": at["Reptiles"],
                "at_flowers": at["flowers"],
                "furthest": float(np.max(np.abs(eq4(x) - fitted(x)))),
                "r2": audit.GOODNESS["coefficient of determination"](y, eq4(x)),
            }
        )
    return pd.DataFrame(rows)


def printed_box(x: np.ndarray) -> pd.DataFrame:
    """All curves that round to the printed Eq. 4: the lowest and highest at each `x`, percent.

    The exponent is linear in the constants and the base enters by its logarithm, so the extremes lie
    at the corners of the rounding box.
    """
    x, half = np.asarray(x, dtype=float), 0.005
    eq4 = published.EQ4
    corners = [
        published.Exponential(eq4.base + i * half, eq4.slope + j * half, eq4.offset + k * half)(x)
        for i in (-1, 1)
        for j in (-1, 1)
        for k in (-1, 1)
    ]
    low, high = np.min(corners, axis=0), np.max(corners, axis=0)
    return pd.DataFrame({"x": x, "low": low, "printed": eq4(x), "high": high})


def reach_of_rounding(*, seed: int, draws: int = 2000) -> pd.DataFrame:
    """How far Table 6's four numbers could move with the digits that Tables 3 and 5 do not print.

    SSIM values and accuracies are drawn evenly from what rounds to the printed ones, the exponential is
    fitted again, and the found definitions (squared correlation, median absolute error) are
    evaluated.

    Returns
    -------
    DataFrame
        ``row``, ``number``, ``printed``, ``low``, ``high`` (over the draws) and ``within``.
    """
    rng = np.random.default_rng(seed)
    points = curve.paper_points()
    cgan = (points["model"] == "cGAN").to_numpy()
    goodness, error = audit.GOODNESS["squared Pearson correlation"], audit.ERRORS["median absolute error"]
    values = {"r2": goodness, "mae": error}
    drawn: dict[tuple[str, str], list[float]] = {(row, name): [] for row in audit.ROWS for name in values}
    names, inverse = np.unique(points["dataset"], return_inverse=True)
    for _ in range(draws):
        # A data set has one similarity and one original accuracy, whichever model augments it.
        x = points["ssim_sup_sub_cls"] + rng.uniform(-5e-5, 5e-5, len(names))[inverse]
        before = points["original"] + rng.uniform(-5e-3, 5e-3, len(names))[inverse]
        after = points["augmented"] + rng.uniform(-5e-3, 5e-3, len(points))
        gain = curve.gains(before, after)
        fitted = curve.fit(x[cgan], gain[cgan])
        for row, own in zip(audit.ROWS, (cgan, ~cgan), strict=True):
            for number, value in values.items():
                drawn[row, number].append(value(gain[own], fitted(x[own])))
    table6 = published.load("table6").set_index("model")
    rows = []
    for (row, number), found in drawn.items():
        printed, low, high = float(table6.loc[audit.ROWS[row], number]), min(found), max(found)
        within = low - 5e-5 <= printed <= high + 5e-5
        rows.append(
            {"row": row, "number": number, "printed": printed, "low": low, "high": high, "within": within}
        )
    return pd.DataFrame(rows)


def whole_images() -> pd.DataFrame:
    """Which printed accuracies no whole number of right images can give.

    An accuracy on n images is a multiple of 1/n; each cell of Tables 3 and 4 is compared with the
    nearest one, to the two decimals that are printed.

    Returns
    -------
    DataFrame
        ``dataset``, ``table``, ``column``, ``printed`` (percent), ``images``, ``right`` (nearest whole
        number), ``nearest`` (percent) and ``possible``.

    Notes
    -----
    iNaturalist-2019 has 3 validation images a class, which is public. The sizes for flowers, scene
    and UTKFace were inferred from these same percentages, so for them the test is no news.
    """
    sizes = published.training_sets().set_index("dataset")["validation_images"]
    rows = []
    for table in ("table3", "table4"):
        cells = published.load(table).melt("dataset", var_name="column", value_name="printed").dropna()
        for cell in cells.itertuples(index=False):
            n = int(sizes[cell.dataset])
            right = round(cell.printed * n / 100)
            nearest = round(100 * right / n, 2)
            rows.append(
                {
                    "dataset": cell.dataset,
                    "table": table,
                    "column": cell.column,
                    "printed": cell.printed,
                    "images": n,
                    "right": right,
                    "nearest": nearest,
                    "possible": abs(nearest - cell.printed) < 0.0101,  # truncated or rounded: both pass
                }
            )
    return pd.DataFrame(rows)
