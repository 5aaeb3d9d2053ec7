"""The inner loops of SSIM, compiled by numba.

Only the mean of x*y in each window belongs to a pair; means and variances belong to an image and
are handed in. Window sums run down the image (a row comes in, a row goes out), so a window of any
size costs the same.

With 8-bit pixels and a plain window every sum is a whole number: N * sum(xy) - sum(x) * sum(y) is
exact in 32 bits up to a side of 11 (2 N^2 * 255^2 < 2^31), and only the final quotient is rounded.
float32 would lose 5e-5 here to cancellation. Other windows are computed in float64.

Arithmetic is cast to 32 bits at every step: numba widens int32 products to 64 bits, and the
loop would no longer fill the vector units. ``error_model="numpy"`` likewise: a test for division
by zero in the loop would stop them, and the divisor is at least C1 * C2.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST_EXACT_WINDOW = 11
MEAN_STEPS = 2.0**23  # 255 of them fit 31 bits

_i32, _f32, _f64 = np.int32, np.float32, np.float64


def _compiled(function):
    """Compile on first use, and keep the result for the next process where there is a place for it."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**options)(function)


@_compiled
def _add(columns, a, b):
    for j in range(columns.shape[0]):
        columns[j] += _i32(a[j]) * _i32(b[j])


@_compiled
def _roll(columns, a, b, c, d):
    """Products of the rows a and b come in, those of c and d go out."""
    for j in range(columns.shape[0]):
        columns[j] += _i32(a[j]) * _i32(b[j]) - _i32(c[j]) * _i32(d[j])


@_compiled
def _across(columns, side, out):
    """Sums of `side` neighbours."""
    if side == 7:
        for j in range(out.shape[0]):
            out[j] = (
                columns[j] + columns[j + 1] + columns[j + 2] + columns[j + 3]
                + columns[j + 4] + columns[j + 5] + columns[j + 6]
            )  # fmt: skip
    else:
        for j in range(out.shape[0]):
            out[j] = columns[j]
        for k in range(1, side):
            for j in range(out.shape[0]):
                out[j] += columns[j + k]


@_compiled
def box_statistics(image, side, sums, spreads):
    """Window sums of one plane, and N * sum(xx) - sum(x)^2.

    `sums` (uint16) and `spreads` (int32), each of shape (h - side + 1, w - side + 1), are written.
    """
    height, width = image.shape
    n = _i32(side * side)
    ones = np.ones(width, np.uint8)
    first, second = np.zeros(width, _i32), np.zeros(width, _i32)
    s, q = np.zeros(width - side + 1, _i32), np.zeros(width - side + 1, _i32)
    for r in range(height):
        if r < side:
            _add(first, image[r], ones)
            _add(second, image[r], image[r])
        else:
            _roll(first, image[r], ones, image[r - side], ones)
            _roll(second, image[r], image[r], image[r - side], image[r - side])
        if r >= side - 1:
            _across(first, side, s)
            _across(second, side, q)
            top = r - side + 1
            for j in range(s.shape[0]):
                sums[top, j] = np.uint16(s[j])
                spreads[top, j] = _i32(_i32(n * q[j]) - _i32(s[j] * s[j]))


@_compiled
def _box_row(q, sx, sy, vx, vy, n, c1, c2):
    total = _f32(0)
    for j in range(q.shape[0]):
        a, b = _i32(sx[j]), _i32(sy[j])
        m = _i32(a * b)
        square = _i32(_i32(a * a) + _i32(b * b))
        total += ((_f32(2) * _f32(m) + c1) * (_f32(2) * _f32(_i32(_i32(n * q[j]) - m)) + c2)) / (
            (_f32(square) + c1) * (_f32(_i32(vx[j] + vy[j])) + c2)
        )
    return total


@_compiled
def _box_plane(x, y, sx, sy, vx, vy, side, c1, c2, columns, q):
    height = x.shape[0]
    columns[:] = 0
    total = 0.0
    for r in range(height):
        if r < side:
            _add(columns, x[r], y[r])
        else:
            _roll(columns, x[r], y[r], x[r - side], y[r - side])
        if r >= side - 1:
            top = r - side + 1
            _across(columns, side, q)
            total += _f64(_box_row(q, sx[top], sy[top], vx[top], vy[top], _i32(side * side), c1, c2))
    return total / (sx.shape[0] * sx.shape[1])


@_compiled
def box_pairs(pixels_a, sums_a, spreads_a, pixels_b, sums_b, spreads_b, pairs, side, c1, c2, out):
    """Mean SSIM of pairs (i of a, j of b) of images with planes, plain window.

    Parameters
    ----------
    pixels : uint8, shape (n, planes, h, w)
    sums, spreads : from :func:`box_statistics`, per image and plane
    pairs : int64, shape (m, 2)
    side : int32
    c1, c2 : float32
        C1 * N^2, and C2 * N^2 (population) or C2 * N * (N - 1) (sample covariance).
    out : float64, shape (m,), written
    """
    planes, width = pixels_a.shape[1], pixels_a.shape[3]
    columns, q = np.empty(width, _i32), np.empty(width - side + 1, _i32)
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        total = 0.0
        for p in range(planes):
            total += _box_plane(
                pixels_a[i, p], pixels_b[j, p], sums_a[i, p], sums_b[j, p], spreads_a[i, p], spreads_b[j, p],
                side, c1, c2, columns, q,
            )  # fmt: skip
        out[k] = total / planes


@_compiled
def _weigh(row, weights, out):
    """Weighted sums of neighbours; the usual 11 taps in one pass, one half folded on the other."""
    if weights.shape[0] == 11:
        w0, w1, w2, w3, w4, w5 = weights[0], weights[1], weights[2], weights[3], weights[4], weights[5]
        for j in range(out.shape[0]):
            out[j] = (
                w0 * (row[j] + row[j + 10]) + w1 * (row[j + 1] + row[j + 9]) + w2 * (row[j + 2] + row[j + 8])
                + w3 * (row[j + 3] + row[j + 7]) + w4 * (row[j + 4] + row[j + 6]) + w5 * row[j + 5]
            )  # fmt: skip
        return
    for j in range(out.shape[0]):
        out[j] = weights[0] * row[j]
    for k in range(1, weights.shape[0]):
        for j in range(out.shape[0]):
            out[j] += weights[k] * row[j + k]


@_compiled
def _fold_inner(d, e, f, g, h, w3, w4, w5, out):
    for j in range(out.shape[0]):
        out[j] = w5 * f[j] + w4 * (e[j] + g[j]) + w3 * (d[j] + h[j])


@_compiled
def _fold_outer(a, b, c, i, k, last, w0, w1, w2, out):
    for j in range(out.shape[0]):
        out[j] += w2 * (c[j] + i[j]) + w1 * (b[j] + k[j]) + w0 * (a[j] + last[j])


@_compiled
def _gather(rows, r, weights, out):
    """Weighted sum of the last rows of a ring that ends with row r.

    The usual 11 go in two passes: of more rows at once the compiler would not rule out overlaps.
    """
    side = weights.shape[0]
    if side == 11:
        s = r + 1
        _fold_inner(
            rows[(s + 3) % 11], rows[(s + 4) % 11], rows[(s + 5) % 11], rows[(s + 6) % 11],
            rows[(s + 7) % 11], weights[3], weights[4], weights[5], out,
        )  # fmt: skip
        _fold_outer(
            rows[s % 11], rows[(s + 1) % 11], rows[(s + 2) % 11], rows[(s + 8) % 11], rows[(s + 9) % 11],
            rows[(s + 10) % 11], weights[0], weights[1], weights[2], out,
        )  # fmt: skip
        return
    for j in range(out.shape[0]):
        out[j] = 0.0
    for k in range(side):
        row = rows[(r + 1 + k) % side]
        for j in range(out.shape[0]):
            out[j] += weights[k] * row[j]


@_compiled
def _product(a, b, out):
    for j in range(out.shape[0]):
        out[j] = _f64(_i32(a[j]) * _i32(b[j]))


@_compiled
def weighted_statistics(image, weights, means, variances):
    """Weighted window means and variances (float32) of one plane.

    Means are whole multiples of 2^-23 (int32), so off by 2^-24 at most: E[xy] - E[x]E[y] needs it,
    and float32, no smaller, would be off by 2^-17.
    """
    height, width = image.shape
    side = weights.shape[0]
    ones = np.ones(width, np.uint8)
    row = np.empty(width, _f64)
    first, second = np.empty((side, width - side + 1), _f64), np.empty((side, width - side + 1), _f64)
    mean, square = np.empty(width - side + 1, _f64), np.empty(width - side + 1, _f64)
    for r in range(height):
        _product(image[r], ones, row)
        _weigh(row, weights, first[r % side])
        _product(image[r], image[r], row)
        _weigh(row, weights, second[r % side])
        if r >= side - 1:
            top = r - side + 1
            _gather(first, r, weights, mean)
            _gather(second, r, weights, square)
            for j in range(square.shape[0]):
                means[top, j] = _i32(np.rint(mean[j] * MEAN_STEPS))
                variances[top, j] = _f32(square[j] - mean[j] * mean[j])


@_compiled
def _weighted_row(e, ux, uy, vx, vy, bessel, c1, c2):
    total = 0.0
    for j in range(e.shape[0]):
        a, b = _f64(ux[j]) * (1.0 / MEAN_STEPS), _f64(uy[j]) * (1.0 / MEAN_STEPS)
        m = a * b
        total += ((2.0 * m + c1) * (2.0 * bessel * (e[j] - m) + c2)) / (
            (a * a + b * b + c1) * (bessel * (_f64(vx[j]) + _f64(vy[j])) + c2)
        )
    return total


@_compiled
def _weighted_plane(x, y, ux, uy, vx, vy, weights, bessel, c1, c2, row, ring, e):
    side = weights.shape[0]
    total = 0.0
    for r in range(x.shape[0]):
        _product(x[r], y[r], row)
        _weigh(row, weights, ring[r % side])
        if r >= side - 1:
            top = r - side + 1
            _gather(ring, r, weights, e)
            total += _weighted_row(e, ux[top], uy[top], vx[top], vy[top], bessel, c1, c2)
    return total


@_compiled
def weighted_pairs(
    pixels_a, means_a, variances_a, pixels_b, means_b, variances_b, pairs, weights, bessel, c1, c2, out
):
    """As :func:`box_pairs`, for any separable window; `bessel` is N / (N - 1) or 1."""
    planes, height, width = pixels_a.shape[1:]
    side = weights.shape[0]
    row, e = np.empty(width, _f64), np.empty(width - side + 1, _f64)
    ring = np.empty((side, width - side + 1), _f64)
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        total = 0.0
        for p in range(planes):
            total += _weighted_plane(
                pixels_a[i, p], pixels_b[j, p], means_a[i, p], means_b[j, p],
                variances_a[i, p], variances_b[j, p], weights, bessel, c1, c2, row, ring, e,
            )  # fmt: skip
        out[k] = total / (planes * (height - side + 1) * (width - side + 1))


@_compiled
def global_pairs(pixels_a, pixels_b, pairs, out):
    """Sum of x*y over each plane, int64, shape (m, planes): exact."""
    planes, height, width = pixels_a.shape[1:]
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        for p in range(planes):
            total = np.int64(0)
            for r in range(height):
                a, b = pixels_a[i, p, r], pixels_b[j, p, r]
                part = _i32(0)  # one row fits: 65025 * 33,000 pixels < 2^31
                for c in range(width):
                    part += _i32(a[c]) * _i32(b[c])
                total += np.int64(part)
            out[k, p] = total
