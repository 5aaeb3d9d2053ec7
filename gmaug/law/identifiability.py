"""Eq. 4 has three constants for two that data can tell apart: the ridge they lie on.

``a ** (b x + c) = exp(c ln a + b ln a x)``: only ``A = a ** c`` and ``k = -b ln a`` matter, so for any
base there is a slope and an offset that give the very same curve.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from gmaug import published
from gmaug.law import curve


def ridge(fitted: curve.Fit, bases: np.ndarray) -> pd.DataFrame:
    """Slope and offset that give the curve `fitted` at each base.

    Parameters
    ----------
    fitted : Fit
        An exponential.
    bases : array_like, shape (m,)
        Between 0 and 1, both excluded.

    Returns
    -------
    DataFrame
        ``base``, ``slope``, ``offset``.

    Raises
    ------
    ValueError
        If a base is not between 0 and 1.
    """
    bases = np.asarray(bases, dtype=float)
    if np.any((bases <= 0) | (bases >= 1)):
        raise ValueError("a base outside (0, 1) gives no falling curve here; give bases between 0 and 1")
    amplitude, rate = fitted.parameters["amplitude"], fitted.parameters["rate"]
    return pd.DataFrame(
        {"base": bases, "slope": -rate / np.log(bases), "offset": np.log(amplitude) / np.log(bases)}
    )


def singular_values(eq4: published.Exponential, x: np.ndarray) -> np.ndarray:
    """Singular values of the curve's derivatives by (base, slope, offset), each in relative steps.

    Returns
    -------
    ndarray, shape (3,)
        Largest first, divided by it. A value of 0 is a direction in which the constants can move
        without moving the curve.
    """
    x = np.asarray(x, dtype=float)
    value, exponent = eq4(x), eq4.slope * x + eq4.offset
    derivatives = np.column_stack([exponent * value, eq4.slope * x, np.full_like(x, eq4.offset)])
    derivatives[:, 1:] *= (np.log(eq4.base) * value)[:, None]
    found = np.linalg.svd(derivatives, compute_uv=False)
    return found / found[0]


def lost_by_base_and_slope(bases: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """Root mean square error on Table 5 over (base, slope), the offset at its best for each.

    Returns
    -------
    ndarray, shape (len(slopes), len(bases))
        Percentage points of gain. The valley along ``slope * ln(base) = -k`` is flat.
    """
    five = published.load("table5")
    x, y = five["ssim_sup_sub_cls"].to_numpy(), five["cgan_augcls_improvement"].to_numpy()
    rate = -np.outer(slopes, np.log(bases))
    shape = np.exp(-rate[..., None] * x)
    best = (shape @ y) / np.sum(shape**2, axis=-1)
    return np.sqrt(np.mean((y - best[..., None] * shape) ** 2, axis=-1))


def lost_by_amplitude_and_rate(amplitudes: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Root mean square error on Table 5 over the two constants that *can* be told apart.

    Returns
    -------
    ndarray, shape (len(amplitudes), len(rates))
        Percentage points of gain.
    """
    five = published.load("table5")
    x, y = five["ssim_sup_sub_cls"].to_numpy(), five["cgan_augcls_improvement"].to_numpy()
    curves = np.asarray(amplitudes)[:, None, None] * np.exp(-np.asarray(rates)[None, :, None] * x)
    return np.sqrt(np.mean((y - curves) ** 2, axis=-1))
