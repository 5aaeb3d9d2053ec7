"""The inner loops of SSIM with a plain window, compiled by numba; :mod:`gmaug.ssim.weighted` has others.

Only the mean of x*y in each window belongs to a pair; means and variances belong to an image and
are handed in, or, where an image is in few pairs, computed again with each. Window sums run down
the image (a row comes in, a row goes out), so a window of any size costs the same.

With 8-bit pixels and a plain window every sum is a whole number: N * sum(xy) - sum(x) * sum(y) is
exact in 32 bits up to a side of 11 (2 N^2 * 255^2 < 2^31), and only the final quotient is rounded.
float32 would lose 5e-5 here to cancellation.

Arithmetic is cast to 32 bits at every step: numba widens int32 products to 64 bits, and the
loop would no longer fill the vector units. ``error_model="numpy"`` likewise: a test for division
by zero in the loop would stop them, and the divisor is at least C1 * C2.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST_EXACT_WINDOW = 11

_i32, _f32, _f64 = np.int32, np.float32, np.float64


def compiled(function):
    """Compile on first use, and keep the result for the next process where there is a place for it."""
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**options)(function)


@compiled
def _add(columns, a, b):
    for j in range(columns.shape[0]):
        columns[j] += _i32(a[j]) * _i32(b[j])


@compiled
def _roll(columns, a, b, c, d):
    """Products of the rows a and b come in, those of c and d go out."""
    for j in range(columns.shape[0]):
        columns[j] += _i32(a[j]) * _i32(b[j]) - _i32(c[j]) * _i32(d[j])


@compiled
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


@compiled
def _box_plane_statistics(image, side, sums, spreads, ones, first, second, s, q):
    n = _i32(side * side)
    first[:], second[:] = 0, 0
    for r in range(image.shape[0]):
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


@compiled
def box_statistics(pixels, side, sums, spreads):
    """Window sums of each plane, and N * sum(xx) - sum(x)^2.

    Parameters
    ----------
    pixels : uint8, shape (n, planes, h, w)
    side : int32
    sums, spreads : uint16 and int32, shape (n, planes, h - side + 1, w - side + 1), written
    """
    width = pixels.shape[3]
    ones = np.ones(width, np.uint8)
    first, second = np.empty(width, _i32), np.empty(width, _i32)
    s, q = np.empty(width - side + 1, _i32), np.empty(width - side + 1, _i32)
    for i in range(pixels.shape[0]):
        for p in range(pixels.shape[1]):
            _box_plane_statistics(pixels[i, p], side, sums[i, p], spreads[i, p], ones, first, second, s, q)


@compiled
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


@compiled
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


@compiled
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


@compiled
def _add_own(both, squares, a, b):
    """What belongs to either image: its sums, two in one number, and the squares of both together.

    A window's sum is below 2^15 up to a side of 11, so the upper half is that of b.
    """
    for j in range(both.shape[0]):
        x, y = _i32(a[j]), _i32(b[j])
        both[j] += _i32(x + _i32(y << 16))
        squares[j] += _i32(_i32(x * x) + _i32(y * y))


@compiled
def _roll_own(both, squares, a, b, c, d):
    """The rows a and b come in, c and d go out."""
    for j in range(both.shape[0]):
        x, y, u, v = _i32(a[j]), _i32(b[j]), _i32(c[j]), _i32(d[j])
        both[j] += _i32(_i32(x - u) + _i32(_i32(y - v) << 16))
        squares[j] += _i32(_i32(_i32(x * x) + _i32(y * y)) - _i32(_i32(u * u) + _i32(v * v)))


@compiled
def _direct_row(s, v, q, n, c1, c2):
    total = _f32(0)
    for j in range(q.shape[0]):
        a, b = _i32(s[j] & 0xFFFF), _i32(s[j] >> 16)
        m = _i32(a * b)
        square = _i32(_i32(a * a) + _i32(b * b))
        total += ((_f32(2) * _f32(m) + c1) * (_f32(2) * _f32(_i32(_i32(n * q[j]) - m)) + c2)) / (
            (_f32(square) + c1) * (_f32(_i32(_i32(n * v[j]) - square)) + c2)
        )
    return total


@compiled
def _direct_plane(x, y, side, c1, c2, columns, windows):
    both, squares, products = columns[0], columns[1], columns[2]
    s, v, q = windows[0], windows[1], windows[2]
    columns[:] = 0
    total = 0.0
    for r in range(x.shape[0]):
        if r < side:
            _add_own(both, squares, x[r], y[r])
            _add(products, x[r], y[r])
        else:
            _roll_own(both, squares, x[r], y[r], x[r - side], y[r - side])
            _roll(products, x[r], y[r], x[r - side], y[r - side])
        if r >= side - 1:
            _across(both, side, s)
            _across(squares, side, v)
            _across(products, side, q)
            total += _f64(_direct_row(s, v, q, _i32(side * side), c1, c2))
    return total / (q.shape[0] * (x.shape[0] - side + 1))


@compiled
def direct_pairs(pixels_a, pixels_b, pairs, side, c1, c2, out):
    """As :func:`box_pairs`, with nothing known of an image beforehand.

    Twice the arithmetic of a pair, and no memory but the pixels: where an image is in few pairs
    that is less than computing its statistics, writing them down and reading them again.
    """
    planes, width = pixels_a.shape[1], pixels_a.shape[3]
    columns, windows = np.empty((3, width), _i32), np.empty((3, width - side + 1), _i32)
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        total = 0.0
        for p in range(planes):
            total += _direct_plane(pixels_a[i, p], pixels_b[j, p], side, c1, c2, columns, windows)
        out[k] = total / planes


@compiled
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
