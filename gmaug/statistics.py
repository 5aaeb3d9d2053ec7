"""Statistics that several rooms use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def holm(p: Sequence[float]) -> np.ndarray:
    """Holm's step-down correction: p-values that bound the chance of even one false finding among them.

    NaN, a test that was not made, stays NaN and is not counted.
    """
    p = np.asarray(p, dtype=float)
    order, known = np.argsort(p), np.isfinite(p).sum()
    raised = p[order] * np.maximum(known - np.arange(len(p)), 1)
    out = np.empty(len(p))
    out[order] = np.minimum(np.maximum.accumulate(raised), 1)  # NaN sorts last
    return out


def signed(value: float, low: float, high: float) -> str:
    """A difference and its interval, ``+1.2 (-0.3 to +2.7)``; a dash where the value is NaN, and no interval
    where its ends are."""
    if np.isnan(value):
        return "-"
    return f"{value:+.1f}" + ("" if np.isnan(low) else f" ({low:+.1f} to {high:+.1f})")
