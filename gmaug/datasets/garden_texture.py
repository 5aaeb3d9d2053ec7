"""The garden's 1/f fields: noise that is the same picture at every drawing size.

A field is a sum of octaves. Each octave is a lattice of random numbers, smoothed by repeated
doubling (quadratic B-spline subdivision, weights 3/4 and 1/4); equal variance per octave is the
1/f amplitude law of photographs. The lattices are drawn coarse to fine from one stream, so a
larger drawing continues the smaller one's octaves instead of replacing them.

Only additions, multiplications and comparisons touch the pixels: these are exact under IEEE 754,
so that the bytes do not depend on a CPU's vector units or on a BLAS.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

COARSEST = 4  # cells a side: structure half as large as the image
FINE_FROM = 32  # from this lattice on an octave is grain: below 1/16 of the image, no composition left
_UNIT = 12**0.5 / 0.55  # uniform noise has variance 1/12; subdivision keeps (11/20)² of it
# Equal octaves are 1/f; the first octave of grain is weakened, as foliage out of focus is, for
# at full strength it stains petals and plumage.
_WEIGHTS = {32: 0.5, 64: 0.8}


@dataclass(frozen=True)
class Field:
    """Three fields over one image, each of mean about 0.

    Attributes
    ----------
    broad : ndarray of float32, shape (side, side)
        Octaves below `FINE_FROM` cells: the clumps of light and dark.
    fine : ndarray of float32, shape (side, side)
        The remaining octaves: grain.
    hue : ndarray of float32, shape (side, side)
        An independent field of the two coarsest octaves, for slow changes of colour.
    """

    broad: np.ndarray
    fine: np.ndarray
    hue: np.ndarray

    def mixed(self, own: Field, shared: float) -> Field:
        """This field and `own`, ``sqrt(s)`` to ``sqrt(1 - s)``, so that the contrast stays."""
        ours, theirs = shared**0.5, (1 - shared) ** 0.5
        return Field(
            ours * self.broad + theirs * own.broad,
            ours * self.fine + theirs * own.fine,
            ours * self.hue + theirs * own.hue,
        )


def grow(rng: np.random.Generator, side: int) -> Field:
    """Draw the fields of one image.

    Parameters
    ----------
    rng : numpy.random.Generator
        A stream of its own for this image; what it gives does not depend on `side` for the
        octaves that two sides have in common.
    side : int
        Pixels a side.

    Returns
    -------
    Field
    """
    grid = COARSEST * 2
    while grid < side:
        grid *= 2
    broad = hue = fine = None
    cells = COARSEST
    while cells < grid:
        octave = _lattice(rng, cells)
        if cells < FINE_FROM:
            broad = octave if broad is None else broad + octave
            if cells < 4 * COARSEST:
                colour = _lattice(rng, cells)
                hue = colour if hue is None else hue + colour
        else:
            fine = octave if fine is None else fine + octave
            fine = _double(fine)
        broad, hue, cells = _double(broad), _double(hue), cells * 2
    if fine is None:
        fine = np.zeros_like(broad)
    return Field(*(_resample(field, side) for field in (broad, fine, hue)))


def _lattice(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Noise of unit variance (after smoothing) with one cell of margin on every side."""
    noise = rng.random((cells + 2, cells + 2), dtype=np.float32)
    noise -= np.float32(0.5)
    noise *= np.float32(_UNIT * _WEIGHTS.get(cells, 1.0))
    return noise


def _double(field: np.ndarray) -> np.ndarray:
    """Twice as many cells a side, the one-cell margin kept: (n + 2)² values become (2n + 2)²."""
    rows = np.empty((2 * field.shape[0] - 2, field.shape[1]), dtype=np.float32)
    _blend(field[:-1], field[1:], rows[0::2], rows[1::2])
    out = np.empty((rows.shape[0], 2 * field.shape[1] - 2), dtype=np.float32)
    _blend(rows[:, :-1], rows[:, 1:], out[:, 0::2], out[:, 1::2])
    return out


def _blend(first: np.ndarray, second: np.ndarray, near: np.ndarray, far: np.ndarray) -> None:
    quarter = (second - first) * np.float32(0.25)
    np.add(first, quarter, out=near)
    np.subtract(second, quarter, out=far)


def _resample(field: np.ndarray, side: int) -> np.ndarray:
    """Bilinear samples at `side` pixel centres; the margin drops off."""
    cells = field.shape[0] - 2
    if cells == side:
        return field[1:-1, 1:-1]
    at = (np.arange(side, dtype=np.float64) + 0.5) * (cells / side) + 0.5  # +1 margin, -0.5 to centres
    low = at.astype(np.int64)
    weight = (at - low).astype(np.float32)
    field = field[low] + (field[low + 1] - field[low]) * weight[:, None]
    return field[:, low] + (field[:, low + 1] - field[:, low]) * weight[None, :]
