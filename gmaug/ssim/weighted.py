"""The inner loops of SSIM with a weighted window, or a plain one too large for whole numbers.

As in :mod:`gmaug.ssim.kernel`, means and variances are handed in; sums are in float64.

Working rows begin on a cache line and are padded to a whole number of them: a vector that
straddles two lines takes twice as long to load, and loading is what these loops wait for. What is
computed beyond a row's end comes from zeros or an earlier row, and is not used.
"""

from __future__ import annotations

import numpy as np

from gmaug.ssim.kernel import compiled

LINE = 8  # float64 in a cache line of 64 bytes
MEAN_STEPS = 2.0**23  # 255 of them fit 31 bits

_i32, _f32, _f64 = np.int32, np.float32, np.float64


@compiled
def _rows(count, width):
    """Zeros, shape (count, width rounded up to whole cache lines), on cache lines."""
    pitch = (width + LINE - 1) // LINE * LINE
    room = np.zeros(count * pitch + LINE, _f64)
    skip = (-room.ctypes.data % (8 * LINE)) // 8
    return room[skip : skip + count * pitch].reshape(count, pitch)


@compiled
def _across(row, weights, out):
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


@compiled
def _fold(a, b, c, d, e, f, g, h, i, k, m, w0, w1, w2, w3, w4, w5, out):
    for j in range(out.shape[0]):
        out[j] = (
            w0 * (a[j] + m[j]) + w1 * (b[j] + k[j]) + w2 * (c[j] + i[j])
            + w3 * (d[j] + h[j]) + w4 * (e[j] + g[j]) + w5 * f[j]
        )  # fmt: skip


@compiled
def _down(ring, r, weights, out):
    """Weighted sum of the last rows of a ring that ends with row r."""
    side = weights.shape[0]
    s = r + 1
    if side == 11:
        _fold(
            ring[s % 11], ring[(s + 1) % 11], ring[(s + 2) % 11], ring[(s + 3) % 11], ring[(s + 4) % 11],
            ring[(s + 5) % 11], ring[(s + 6) % 11], ring[(s + 7) % 11], ring[(s + 8) % 11],
            ring[(s + 9) % 11], ring[(s + 10) % 11],
            weights[0], weights[1], weights[2], weights[3], weights[4], weights[5], out,
        )  # fmt: skip
        return
    out[:] = 0.0
    for k in range(side):
        row = ring[(s + k) % side]
        for j in range(out.shape[0]):
            out[j] += weights[k] * row[j]


@compiled
def _product(a, b, out):
    for j in range(a.shape[0]):
        out[j] = _f64(_i32(a[j]) * _i32(b[j]))


@compiled
def _keep(mean, square, means, variances):
    for j in range(means.shape[0]):
        means[j] = _i32(np.rint(mean[j] * MEAN_STEPS))
        variances[j] = _f32(square[j] - mean[j] * mean[j])


@compiled
def _means(x, y, weights, row, ring, out):
    """Weighted window means of x * y, one plane."""
    side = weights.shape[0]
    for r in range(x.shape[0]):
        _product(x[r], y[r], row)
        _across(row, weights, ring[r % side])
        if r >= side - 1:
            _down(ring, r, weights, out[r - side + 1])


@compiled
def weighted_statistics(pixels, weights, means, variances):
    """Weighted window means and variances of each plane.

    Means are whole multiples of 2^-23, so off by 2^-24 at most: E[xy] - E[x]E[y] needs it, and
    float32, no smaller, would be off by 2^-17.

    Parameters
    ----------
    pixels : uint8, shape (n, planes, h, w)
    weights : float64, shape (side,)
    means, variances : int32 and float32, shape (n, planes, h - side + 1, w - side + 1), written
    """
    side = weights.shape[0]
    height, width = pixels.shape[2:]
    ones = np.ones((height, width), np.uint8)
    row, ring = _rows(1, width + LINE)[0], _rows(side, width - side + 1)
    mean, square = _rows(height - side + 1, width - side + 1), _rows(height - side + 1, width - side + 1)
    for i in range(pixels.shape[0]):
        for p in range(pixels.shape[1]):
            # One sum at a time: the rows that either is waiting for fit the first cache, not both.
            _means(pixels[i, p], ones, weights, row, ring, mean)
            _means(pixels[i, p], pixels[i, p], weights, row, ring, square)
            for r in range(height - side + 1):
                _keep(mean[r], square[r], means[i, p, r], variances[i, p, r])


@compiled
def _quotients(e, ux, uy, vx, vy, bessel, c1, c2):
    total = 0.0
    for j in range(ux.shape[0]):
        a, b = _f64(ux[j]) * (1.0 / MEAN_STEPS), _f64(uy[j]) * (1.0 / MEAN_STEPS)
        m = a * b
        above = (2.0 * m + c1) * (2.0 * bessel * (e[j] - m) + c2)
        below = (a * a + b * b + c1) * (bessel * (_f64(vx[j]) + _f64(vy[j])) + c2)
        total += above / below
    return total


@compiled
def _plane(x, y, ux, uy, vx, vy, weights, bessel, c1, c2, row, ring, e):
    side = weights.shape[0]
    total = 0.0
    for r in range(x.shape[0]):
        _product(x[r], y[r], row)
        _across(row, weights, ring[r % side])
        if r >= side - 1:
            top = r - side + 1
            _down(ring, r, weights, e)
            total += _quotients(e, ux[top], uy[top], vx[top], vy[top], bessel, c1, c2)
    return total


@compiled
def weighted_pairs(
    pixels_a, means_a, variances_a, pixels_b, means_b, variances_b, pairs, weights, bessel, c1, c2, out
):
    """As :func:`gmaug.ssim.kernel.box_pairs`, for any separable window; `bessel` is N / (N - 1) or 1."""
    planes, height, width = pixels_a.shape[1:]
    side = weights.shape[0]
    row, e = _rows(1, width + LINE)[0], _rows(1, width - side + 1)[0]
    ring = _rows(side, width - side + 1)
    for k in range(pairs.shape[0]):
        i, j = pairs[k, 0], pairs[k, 1]
        total = 0.0
        for p in range(planes):
            total += _plane(
                pixels_a[i, p], pixels_b[j, p], means_a[i, p], means_b[j, p],
                variances_a[i, p], variances_b[j, p], weights, bessel, c1, c2, row, ring, e,
            )  # fmt: skip
        out[k] = total / (planes * (height - side + 1) * (width - side + 1))
