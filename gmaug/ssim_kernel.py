"""The inner loops of SSIM, compiled by numba, over pairs of 8-bit images.

Nothing of an image is kept from one pair to the next: with the few pairs for each image that the metric
draws, writing its statistics down and reading them again costs more. Windows come as tuples, whose length is
known when a loop is compiled, so that loops over taps are unrolled.
"""

from __future__ import annotations

import numpy as np
from numba import njit

LARGEST_EXACT_WINDOW = 11

_i32, _f32, _f64 = np.int32, np.float32, np.float64


def compiled(function):
    """Compile on first use, and keep the result for the next process where there is a place for it."""
    # error_model: a test for division by zero would stop the loops; the divisor is at least C1 * C2.
    options = {"nogil": True, "fastmath": True, "error_model": "numpy"}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # neither the package's folder nor the user's cache can be written
        return njit(**options)(function)


# Plain windows. Sums run down the image, a row in and a row out. Every sum is a whole number, and
# N sum(xy) - sum(x) sum(y) is exact in 32 bits up to a side of 11 (2 N^2 255^2 < 2^31), so only the quotient
# is rounded; float32 sums would lose 5e-5 to cancellation. Each step is cast to 32 bits, since numba widens
# int32 products to 64 and the loops would no longer fill the vector units.


@compiled
def _slide(columns, a, b, c, d):
    """Of each column the sums over a window: the rows a of x and b of y come in, c and d go out.

    The sums of x and y share a number: a window's is below 2^15 up to a side of 11.
    """
    both, squares, products = columns[0], columns[1], columns[2]
    for j in range(a.shape[0]):
        x, y, u, v = _i32(a[j]), _i32(b[j]), _i32(c[j]), _i32(d[j])
        both[j] += _i32(_i32(x - u) + _i32(_i32(y - v) << 16))
        squares[j] += _i32(_i32(_i32(x * x) + _i32(y * y)) - _i32(_i32(u * u) + _i32(v * v)))
        products[j] += _i32(x * y) - _i32(u * v)


@compiled
def _across(columns, window, out):
    """Sums of as many neighbours as the window is wide."""
    for j in range(out.shape[0]):
        total = columns[j]
        for k in range(1, len(window)):
            total += columns[j + k]
        out[j] = total


@compiled
def _box_row(both, squares, products, n, c1, c2):
    """Sum of Eq. 1 over the windows of a row, everything times N^2."""
    total = _f32(0)
    for j in range(both.shape[0]):
        a, b = _i32(both[j] & 0xFFFF), _i32(both[j] >> 16)
        m = _i32(a * b)
        square = _i32(_i32(a * a) + _i32(b * b))
        total += ((_f32(2) * _f32(m) + c1) * (_f32(2) * _f32(_i32(_i32(n * products[j]) - m)) + c2)) / (
            (_f32(square) + c1) * (_f32(_i32(_i32(n * squares[j]) - square)) + c2)
        )
    return total


@compiled
def _box_plane(x, y, window, n, nothing, columns, sums, c1, c2):
    """Mean of Eq. 1 over the windows of one plane. (A function of its own: inlined it is slower.)"""
    side = len(window)
    both, squares, products = sums[0], sums[1], sums[2]
    columns[:] = 0
    total = 0.0
    for r in range(x.shape[0]):
        if r < side:
            _slide(columns, x[r], y[r], nothing, nothing)
        else:
            _slide(columns, x[r], y[r], x[r - side], y[r - side])
        if r >= side - 1:
            _across(columns[0], window, both)
            _across(columns[1], window, squares)
            _across(columns[2], window, products)
            total += _f64(_box_row(both, squares, products, n, c1, c2))
    return total / (both.shape[0] * (x.shape[0] - side + 1))


@compiled
def box_pairs(pixels, pairs, window, c1, c2):
    """Mean SSIM of pairs of images by a plain window.

    `pixels` is uint8 (n, planes, h, w), `pairs` int64 (m, 2). Of `window`, a tuple of int, the length alone
    counts. `c1` is C1 * N^2, `c2` C2 * N^2, or for sample covariance C2 * N * (N - 1); both float32.
    """
    planes, width = pixels.shape[1], pixels.shape[3]
    side = len(window)
    nothing = np.zeros(width, np.uint8)
    columns, sums = np.empty((3, width), _i32), np.empty((3, width - side + 1), _i32)
    out = np.empty(pairs.shape[0])
    for k in range(pairs.shape[0]):
        total = 0.0
        for p in range(planes):
            x, y = pixels[pairs[k, 0], p], pixels[pairs[k, 1], p]
            total += _box_plane(x, y, window, _i32(side * side), nothing, columns, sums, c1, c2)
        out[k] = total / planes
    return out


# Any other separable, symmetric window: weighted sums of whole-number products down the columns, then across.


@compiled
def _down(x, y, top, weights, sums):
    """Weighted sums down each column, from row `top` on, of x, y, x^2 + y^2 and x y."""
    means_x, means_y, squares, products = sums[0], sums[1], sums[2], sums[3]
    half, last = len(weights) // 2, top + len(weights) - 1
    for j in range(x.shape[1]):
        a, b = _i32(x[top + half, j]), _i32(y[top + half, j])
        w = weights[half]
        mx, my = w * _f64(a), w * _f64(b)
        q, p = w * _f64(_i32(a * a) + _i32(b * b)), w * _f64(_i32(a * b))
        for k in range(half):  # two rows share a weight: their whole numbers are added first
            w = weights[k]
            a, b, c, d = _i32(x[top + k, j]), _i32(y[top + k, j]), _i32(x[last - k, j]), _i32(y[last - k, j])
            mx += w * _f64(_i32(a + c))
            my += w * _f64(_i32(b + d))
            q += w * _f64(_i32(_i32(_i32(a * a) + _i32(b * b)) + _i32(_i32(c * c) + _i32(d * d))))
            p += w * _f64(_i32(_i32(a * b) + _i32(c * d)))
        means_x[j], means_y[j], squares[j], products[j] = mx, my, q, p


@compiled
def _weighted_row(sums, weights, count, bessel, c1, c2):
    """Weighted sums across, and the sum of Eq. 1 over the windows of a row."""
    means_x, means_y, squares, products = sums[0], sums[1], sums[2], sums[3]
    half = len(weights) // 2
    total = 0.0
    for j in range(count):
        w, i = weights[half], j + half
        a, b, q, p = w * means_x[i], w * means_y[i], w * squares[i], w * products[i]
        for k in range(half):
            w, i, o = weights[k], j + k, j + len(weights) - 1 - k
            a += w * (means_x[i] + means_x[o])
            b += w * (means_y[i] + means_y[o])
            q += w * (squares[i] + squares[o])
            p += w * (products[i] + products[o])
        m, square = a * b, a * a + b * b
        above = (2.0 * m + c1) * (2.0 * bessel * (p - m) + c2)
        total += above / ((square + c1) * (bessel * (q - square) + c2))
    return total


@compiled
def weighted_pairs(pixels, pairs, weights, bessel, c1, c2):
    """As :func:`box_pairs`; `weights` along one axis, a tuple of sum 1, `bessel` N / (N - 1) or 1."""
    planes, height, width = pixels.shape[1:]
    rows, count = height - len(weights) + 1, width - len(weights) + 1
    sums = np.empty((4, (width + 7) // 8 * 8))  # each row begins on a cache line's multiple
    out = np.empty(pairs.shape[0])
    for k in range(pairs.shape[0]):
        total = 0.0
        for p in range(planes):
            x, y = pixels[pairs[k, 0], p], pixels[pairs[k, 1], p]
            for top in range(rows):
                _down(x, y, top, weights, sums)
                total += _weighted_row(sums, weights, count, bessel, c1, c2)
        out[k] = total / (planes * rows * count)
    return out
