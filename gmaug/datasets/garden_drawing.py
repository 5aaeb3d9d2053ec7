"""A small canvas: antialiased, softly lit shapes painted by signed distance.

Coordinates run from -1 (left, top) to 1 (right, bottom). A shape's edge is blended over one
pixel of the drawing, whatever the size, and only the shape's bounding box is touched.
Per-pixel arithmetic keeps to ``+ - * /``, ``sqrt`` and comparisons (see `garden_texture`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

Colour = Sequence[float]


class Canvas:
    """An RGB drawing, float32, 0 dark to 1 light.

    Parameters
    ----------
    side : int
        Pixels a side.
    light : (float, float)
        Where the light comes from, a unit vector; (0, -1) is straight above.
    """

    def __init__(self, side: int, *, light: tuple[float, float]) -> None:
        self.side = side
        self.pixel = 2.0 / side
        self.light = light
        self.rgb = np.zeros((3, side, side), dtype=np.float32)
        self.axis = ((np.arange(side) + 0.5) * self.pixel - 1.0).astype(np.float32)

    @property
    def x(self) -> np.ndarray:
        """Horizontal coordinate, shape (1, side)."""
        return self.axis[None, :]

    @property
    def y(self) -> np.ndarray:
        """Vertical coordinate, shape (side, 1)."""
        return self.axis[:, None]

    def cover(self, distance: np.ndarray, *, soft: float = 0.0) -> np.ndarray:
        """How much of each pixel lies inside: 1 where `distance` is below the edge, 0 above.

        `soft` widens the edge from one pixel to that width, for shadows and blur.
        """
        width = max(self.pixel, soft)
        inside = distance * np.float32(-1.0 / width)
        inside += np.float32(0.5)
        return np.minimum(np.maximum(inside, np.float32(0), out=inside), np.float32(1), out=inside)

    def paint(
        self,
        cover: np.ndarray,
        colour: Colour,
        *,
        shade: np.ndarray | float = 1.0,
        at: tuple[slice, slice] = (slice(None), slice(None)),
    ) -> None:
        """Lay `colour` times `shade` over the box `at`, as opaque as `cover`."""
        view = self.rgb[:, at[0], at[1]]
        for channel, value in zip(view, colour, strict=True):
            step = np.float32(value) * shade - channel
            step *= cover
            channel += step

    def box(self, cx: float, cy: float, reach: float) -> tuple[slice, slice] | None:
        """The pixels within `reach` of a point along both axes; None if there are none."""
        spans = []
        for centre in (cy, cx):
            low = max(0, math.floor((centre - reach + 1) / self.pixel) - 1)
            high = min(self.side, math.ceil((centre + reach + 1) / self.pixel) + 1)
            if low >= high:
                return None
            spans.append(slice(low, high))
        return spans[0], spans[1]

    def ellipse(
        self,
        cx: float,
        cy: float,
        a: float,
        b: float,
        colour: Colour,
        *,
        angle: float = 0.0,
        round_: float = 0.0,
        base: float = 1.0,
        taper: float = 0.0,
        soft: float = 0.0,
        opacity: float = 1.0,
        above: float | None = None,
        below: float | None = None,
    ) -> None:
        """An ellipse with half-axes `a` and `b`, the first turned by `angle` radians clockwise.

        Parameters
        ----------
        round_ : float
            Strength of the light on it as if it were a solid, 0 flat.
        base : float
            Brightness at the start of the first axis (1 at its end): a petal that darkens inwards.
        taper : float
            Narrows the start of the first axis, 0 to 1: a petal's or a leaf's shape.
        soft, opacity : float
            Width of a blurred edge, and how much of what lies beneath is hidden.
        above, below : float, optional
            Keep only what lies above (below) this offset along the second axis, in units of `b`.
        """
        reach = max(a, b) + soft
        at = self.box(cx, cy, reach)
        if at is None or opacity <= 0:
            return
        cos, sin = math.cos(angle), math.sin(angle)
        x, y = self.axis[None, at[1]] - np.float32(cx), self.axis[at[0], None] - np.float32(cy)
        u = x * np.float32(cos / a) + y * np.float32(sin / a)
        v = y * np.float32(cos / b) - x * np.float32(sin / b)
        wide = v
        if taper:
            wide = v / (1 - np.float32(taper) * np.maximum(np.float32(0.5) - np.float32(0.5) * u, 0) + 1e-3)
        square = u * u + wide * wide
        # First-order distance: f / |grad f|, exact at the edge, which is where it matters.
        slope = np.sqrt(u * u * np.float32(1 / a**2) + wide * wide * np.float32(1 / b**2))
        slope += np.float32(1e-3)
        distance = (square - 1) * np.float32(0.5) / slope
        if above is not None:
            distance = np.maximum(distance, (v - np.float32(above)) * np.float32(b))
        if below is not None:
            distance = np.maximum(distance, (np.float32(below) - v) * np.float32(b))
        cover = self.cover(distance, soft=soft)
        if opacity < 1:
            cover *= np.float32(opacity)
        shade: np.ndarray | float = 1.0
        if base != 1.0:
            shade = np.float32((1 + base) / 2) + np.float32((1 - base) / 2) * u
        if round_:
            lx, ly = self.light
            lu, lv = lx * cos + ly * sin, ly * cos - lx * sin
            lift = u * np.float32(lu * round_) + wide * np.float32(lv * round_)
            shade = shade * (1 + lift - np.float32(0.35 * round_) * square)
        self.paint(cover, colour, shade=shade, at=at)

    def polygon(self, corners: Sequence[tuple[float, float]], colour: Colour, *, shade: float = 1.0) -> None:
        """A convex polygon, corners given clockwise as seen."""
        xs, ys = [x for x, _ in corners], [y for _, y in corners]
        cx, cy = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        at = self.box(cx, cy, max(max(xs) - cx, max(ys) - cy))
        if at is None:
            return
        x, y = self.axis[None, at[1]], self.axis[at[0], None]
        distance = None
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            nx, ny = (y1 - y0) / length, -(x1 - x0) / length
            side = x * np.float32(nx) + y * np.float32(ny) - np.float32(x0 * nx + y0 * ny)
            distance = side if distance is None else np.maximum(distance, side)
        self.paint(self.cover(distance), colour, shade=shade, at=at)

    def stroke(
        self,
        start: tuple[float, float],
        end: tuple[float, float],
        width: float,
        colour: Colour,
        *,
        bend: float = 0.0,
        flare: float = 0.0,
        round_: float = 0.4,
        soft: float = 0.0,
        opacity: float = 1.0,
    ) -> None:
        """A stem of half-width `width`, bowed sideways by `bend` and wider by `flare` at its end."""
        (x0, y0), (x1, y1) = start, end
        length = math.hypot(x1 - x0, y1 - y0)
        at = self.box((x0 + x1) / 2, (y0 + y1) / 2, length / 2 + width + flare + abs(bend) + soft)
        if at is None:
            return
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        x, y = self.axis[None, at[1]] - np.float32(x0), self.axis[at[0], None] - np.float32(y0)
        along = x * np.float32(dx / length) + y * np.float32(dy / length)
        along = np.minimum(np.maximum(along, 0), 1)
        across = y * np.float32(dx) - x * np.float32(dy)
        if bend:
            across = across - np.float32(4 * bend) * along * (1 - along)
        overshoot_x = x - along * np.float32(length * dx)
        overshoot_y = y - along * np.float32(length * dy)
        past = overshoot_x * np.float32(dx) + overshoot_y * np.float32(dy)
        half = np.float32(width) + np.float32(flare) * along
        distance = np.sqrt(across * across + past * past) - half
        cover = self.cover(distance, soft=soft)
        if opacity < 1:
            cover *= np.float32(opacity)
        lit = self.light[1] * dx - self.light[0] * dy
        turn = np.minimum(np.maximum(across / half, -1), 1)
        self.paint(cover, colour, shade=1 + np.float32(round_ * lit) * turn, at=at)

    def pixels(self, size: int) -> np.ndarray:
        """The drawing as uint8, shape (size, size, 3), averaged over blocks where `side` is larger."""
        rgb, times = self.rgb, self.side // size
        if times == 2:
            rgb = rgb[:, 0::2] + rgb[:, 1::2]
            rgb = (rgb[:, :, 0::2] + rgb[:, :, 1::2]) * np.float32(0.25)
        levels = rgb * np.float32(255)
        levels += np.float32(0.5)
        np.minimum(np.maximum(levels, np.float32(0), out=levels), np.float32(255), out=levels)
        return levels.astype(np.uint8).transpose(1, 2, 0)
