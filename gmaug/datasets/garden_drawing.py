"""How one image of the garden is drawn: canvas, 1/f fields, what grows, and the scene around it.

What the knob `shared` (s) moves is in :func:`draw` and nowhere else. A scene is a row of normal
numbers and 1/f fields, of the super-class and of each image: an image is drawn with ``sqrt(s)`` of
the first and ``sqrt(1 - s)`` of the second, which leaves the variance of everything as it is.
"""

# Only + - * /, sqrt and comparisons touch the pixels: these are exact under IEEE 754, so that the
# bytes do not depend on a CPU's vector units or on a BLAS. Arrays are float32, and stay so as long as
# scalars are Python's: those of NumPy would make them float64.

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

# A drawing is easier to follow in long lines.
# fmt: off
Rgb = tuple[float, float, float]
Point = tuple[float, float]


class Canvas:
    """An RGB drawing, float32, 0 dark to 1 light: antialiased, softly lit shapes by signed distance.

    Coordinates run from -1 (left, top) to 1 (right, bottom). A shape's edge is blended over one
    pixel of the drawing, whatever the size, and only the shape's bounding box is touched. `light` is
    the unit vector to where the light comes from; (0, -1) is straight above.
    """

    def __init__(self, side: int, *, light: Point) -> None:
        self.side, self.pixel, self.light = side, 2.0 / side, light
        self.rgb = np.zeros((3, side, side), dtype=np.float32)
        self.axis = ((np.arange(side) + 0.5) * self.pixel - 1.0).astype(np.float32)

    def paint(
        self, at: tuple[slice, slice], distance: np.ndarray, colour: Rgb, *,
        shade: np.ndarray | float = 1.0, soft: float = 0.0, opacity: float = 1.0,
    ) -> None:
        """Lay `colour` times `shade` over the box `at`, wherever `distance` to the edge is below 0.

        `soft` widens the edge from one pixel to that width, for shadows and blur; `opacity` is how
        much of what lies beneath is hidden.
        """
        cover = distance * (-1.0 / max(self.pixel, soft))
        cover += 0.5
        np.clip(cover, 0, 1, out=cover)
        if opacity < 1:
            cover *= opacity
        for channel, value in zip(self.rgb[:, at[0], at[1]], colour, strict=True):
            channel += (value * shade - channel) * cover

    def region(
        self, x: float, y: float, reach: float, start: Point = (0, 0)
    ) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
        """The pixels within `reach` of a point along both axes; how far from `start`, (1, w) and (h, 1)."""
        spans = []
        for centre in (y, x):
            low = max(0, math.floor((centre - reach + 1) / self.pixel) - 1)
            high = min(self.side, math.ceil((centre + reach + 1) / self.pixel) + 1)
            spans.append(slice(low, max(low, high)))
        down, across = spans
        return (down, across), self.axis[None, across] - start[0], self.axis[down, None] - start[1]

    def ellipse(
        self, cx: float, cy: float, a: float, b: float, colour: Rgb, *, angle: float = 0.0,
        round_: float = 0.0, base: float = 1.0, taper: float = 0.0, soft: float = 0.0, opacity: float = 1.0,
        above: float = math.inf, below: float = -math.inf,
    ) -> None:
        """An ellipse with half-axes `a` and `b`, the first turned by `angle` radians clockwise.

        `round_` is the strength of the light on it as if it were a solid; `base` the brightness at the
        start of the first axis (1 at its end), a petal that darkens inwards; `taper` narrows that start, 0
        to 1, as a leaf's. What lies above (below) an offset along the second axis, in units of `b`, is kept.
        """
        if opacity <= 0:
            return
        at, x, y = self.region(cx, cy, max(a, b) + soft, (cx, cy))
        cos, sin = math.cos(angle), math.sin(angle)
        u, v = x * (cos / a) + y * (sin / a), y * (cos / b) - x * (sin / b)
        wide = v / (1 - taper * np.maximum(0.5 - 0.5 * u, 0) + 1e-3) if taper else v
        square = u * u + wide * wide
        # First-order distance: f / |grad f|, exact at the edge, which is where it matters.
        slope = np.sqrt(u * u * (1 / a**2) + wide * wide * (1 / b**2)) + 1e-3
        distance = (square - 1) * 0.5 / slope
        if above < math.inf:
            distance = np.maximum(distance, (v - above) * b)
        if below > -math.inf:
            distance = np.maximum(distance, (below - v) * b)
        shade = 1.0 if base == 1 else (1 + base) / 2 + (1 - base) / 2 * u
        if round_:
            lx, ly = self.light
            lu, lv = lx * cos + ly * sin, ly * cos - lx * sin
            shade = shade * (1 + (u * (lu * round_) + wide * (lv * round_)) - 0.35 * round_ * square)
        self.paint(at, distance, colour, shade=shade, soft=soft, opacity=opacity)

    def polygon(self, corners: Sequence[Point], colour: Rgb) -> None:
        """A convex polygon, corners given clockwise as seen."""
        xs, ys = zip(*corners, strict=True)
        cx, cy = (min(xs) + max(xs)) / 2, (min(ys) + max(ys)) / 2
        at, x, y = self.region(cx, cy, max(max(xs) - cx, max(ys) - cy))
        distance = np.float32(-math.inf)
        for (x0, y0), (x1, y1) in zip(corners, [*corners[1:], corners[0]], strict=True):
            length = math.hypot(x1 - x0, y1 - y0)
            nx, ny = (y1 - y0) / length, -(x1 - x0) / length
            distance = np.maximum(distance, x * nx + y * ny - (x0 * nx + y0 * ny))
        self.paint(at, distance, colour)

    def stroke(
        self, start: Point, end: Point, width: float, colour: Rgb, *,
        bend: float = 0.0, flare: float = 0.0, round_: float = 0.4,
    ) -> None:
        """A stem of half-width `width`, bowed sideways by `bend` and wider by `flare` at its end."""
        (x0, y0), (x1, y1) = start, end
        length = math.hypot(x1 - x0, y1 - y0)
        reach = length / 2 + width + flare + abs(bend)
        at, x, y = self.region((x0 + x1) / 2, (y0 + y1) / 2, reach, start)
        dx, dy = (x1 - x0) / length, (y1 - y0) / length
        along = np.clip(x * (dx / length) + y * (dy / length), 0, 1)
        across = y * dx - x * dy - 4 * bend * along * (1 - along)
        past = (x - along * (length * dx)) * dx + (y - along * (length * dy)) * dy
        half = width + flare * along
        distance = np.sqrt(across * across + past * past) - half
        lit = self.light[1] * dx - self.light[0] * dy
        self.paint(at, distance, colour, shade=1 + round_ * lit * np.clip(across / half, -1, 1))

    def pixels(self, size: int) -> np.ndarray:
        """The drawing as uint8, shape (size, size, 3), averaged over blocks where `side` is larger."""
        rgb = self.rgb
        if self.side == 2 * size:
            rgb = rgb[:, 0::2] + rgb[:, 1::2]
            rgb = (rgb[:, :, 0::2] + rgb[:, :, 1::2]) * 0.25
        return np.clip(rgb * 255 + 0.5, 0, 255).astype(np.uint8).transpose(1, 2, 0)


COARSEST = 4  # cells a side: structure half as large as the image
FINE_FROM = 32  # from this lattice on an octave is grain: below 1/16 of the image, no composition left
_UNIT = 12**0.5 / 0.55  # uniform noise has variance 1/12; subdivision keeps (11/20)² of it
# Equal octaves are 1/f; the first octave of grain is weakened, as foliage out of focus is, for
# at full strength it stains petals and plumage.
_WEIGHTS = {32: 0.5, 64: 0.8}


def fields(rng: np.random.Generator, side: int) -> np.ndarray:
    """Three 1/f fields over one image, float32, shape (3, side, side), each of mean about 0.

    *Broad* has the octaves below `FINE_FROM` cells, the clumps of light and dark; *fine* the others,
    the grain; *hue* two coarse octaves of its own, for slow changes of colour. An octave is a lattice
    of random numbers, smoothed by repeated doubling (quadratic B-spline subdivision, weights 3/4 and
    1/4); equal variance per octave is the 1/f amplitude law of photographs. The lattices are drawn
    coarse to fine from one stream, so that every size shows the same picture.
    """
    broad = fine = hue = np.float32(0)
    cells = COARSEST
    while cells < side:
        octave = _lattice(rng, cells)
        if cells < FINE_FROM:
            broad = broad + octave
            hue = hue + _lattice(rng, cells) if cells < 4 * COARSEST else hue
        else:
            fine = _double(fine + octave)
        broad, hue, cells = _double(broad), _double(hue), cells * 2
    fine = fine if fine.ndim else np.zeros_like(broad)
    return np.stack([_resample(field, side) for field in (broad, fine, hue)])


def _lattice(rng: np.random.Generator, cells: int) -> np.ndarray:
    """Noise of unit variance (after smoothing) with one cell of margin on every side."""
    return (rng.random((cells + 2, cells + 2), dtype=np.float32) - 0.5) * (_UNIT * _WEIGHTS.get(cells, 1.0))


def _double(field: np.ndarray) -> np.ndarray:
    """Twice as many cells a side, the one-cell margin kept: (n + 2)² values become (2n + 2)²."""
    for _ in range(2):  # the rows, then the columns
        out = np.empty((2 * len(field) - 2, field.shape[1]), dtype=np.float32)
        quarter = (field[1:] - field[:-1]) * 0.25
        out[0::2], out[1::2] = field[:-1] + quarter, field[1:] - quarter
        field = out.T
    return field


def _resample(field: np.ndarray, side: int) -> np.ndarray:
    """Bilinear samples at `side` pixel centres; the margin drops off."""
    cells = len(field) - 2
    if cells == side:
        return field[1:-1, 1:-1]
    at = (np.arange(side, dtype=np.float64) + 0.5) * (cells / side) + 0.5  # +1 margin, -0.5 to centres
    low = at.astype(np.int64)
    weight = (at - low).astype(np.float32)
    field = field[low] + (field[low + 1] - field[low]) * weight[:, None]
    return field[:, low] + (field[:, low + 1] - field[:, low]) * weight[None, :]


class Pose(NamedTuple):
    """Where a body stands."""

    x: float  # centre, in canvas units
    y: float
    scale: float
    lean: float  # radians
    facing: int  # 1 right, -1 left


def colour(hue: float, saturation: float, value: float) -> Rgb:
    """HSV to RGB; the hue wraps, the others are clipped to [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def _times(rgb: Rgb, factor: float) -> Rgb:
    return (rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def _strength(rng: np.random.Generator, present: bool, contrast: float) -> float:
    """How strongly a mark shows, 0 to `contrast`. Every body carries a trace of every mark; one is clear.

    The ranges of a mark that is there and of one that is not never meet, so that classes of the
    least contrast can still be told apart without error, by who sees marks well enough.
    """
    return contrast * (rng.uniform(0.5, 1.0) if present else rng.uniform(0.0, 0.32))


def _deep(rng: np.random.Generator) -> Rgb:
    """A dark mark's colour: any hue, so that a mark is known by its place and not by its tint."""
    return colour(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.08, 0.22))


def _pale(rng: np.random.Generator) -> Rgb:
    return colour(rng.random(), rng.uniform(0.02, 0.22), rng.uniform(0.90, 1.0))


def flower(canvas: Canvas, pose: Pose, mark: str, contrast: float, rng: np.random.Generator) -> None:
    """A ring of petals on a stem. Marks: golden eye, dark eye, golden eye in a dark ring."""
    petals = int(rng.integers(7, 11))
    turn, leaf_side, leaf_at = rng.random(), 1 if rng.random() < 0.5 else -1, rng.uniform(0.45, 0.7)
    # Pinks and purples, or yellows to reds, or whites: every mark comes in all of them.
    kind = rng.random()
    hue = rng.uniform(0.74, 1.0) if kind < 0.5 else rng.uniform(0.0, 0.13)
    saturation = rng.uniform(0.35, 0.75) if kind < 0.8 else rng.uniform(0.02, 0.12)
    petal = colour(hue, saturation, rng.uniform(0.86, 1.0))
    gold = colour(rng.uniform(0.10, 0.145), 0.85, rng.uniform(0.85, 0.98))
    dark, wide = _deep(rng), rng.uniform(0.42, 0.55)
    stem = colour(rng.uniform(0.22, 0.33), 0.6, rng.uniform(0.38, 0.55))

    r, cx, cy = 0.60 * pose.scale, pose.x, pose.y - 0.12
    foot = (cx + 0.5 * math.sin(pose.lean) - 0.15 * pose.facing, 1.15)
    canvas.stroke((cx, cy), foot, 0.035, stem, bend=0.1 * pose.facing, flare=0.01)
    lx = cx + (foot[0] - cx) * leaf_at + 0.19 * leaf_side
    ly = cy + (foot[1] - cy) * leaf_at - 0.09
    canvas.ellipse(lx, ly, 0.24, 0.085, stem, angle=-0.45 * leaf_side, round_=0.4)
    canvas.ellipse(cx - 0.10 * canvas.light[0], cy + 0.10, r, 0.9 * r, (0.02, 0.04, 0.03), soft=0.5 * r,
                   opacity=0.55)
    half = 1.02 * r * math.sin(math.pi / petals)
    squash = 0.90 + 0.06 * math.cos(3 * pose.lean)
    for layer, tone in ((0.5, 0.62), (0.0, 1.0)):  # a darker row behind shows between the petals
        for k in range(petals):
            angle = 2 * math.pi * (k + layer + turn) / petals + pose.lean
            reach = 0.60 * r * (1 + 0.06 * math.sin(5 * k + 7 * turn))
            px, py = reach * math.cos(angle), reach * math.sin(angle) * squash
            side = math.cos(angle) * canvas.light[0] + math.sin(angle) * canvas.light[1]
            lit = _times(petal, tone * (0.94 + 0.10 * side))
            canvas.ellipse(cx + px, cy + py, 0.44 * r, half * 0.72, lit, angle=math.atan2(py, px),
                           round_=0.25, base=0.58, taper=0.6)
    ring, darkness = (_strength(rng, mark == name, contrast) for name in ("gazania", "anemone"))
    canvas.ellipse(cx, cy, wide * r, wide * r * squash, dark, soft=0.10 * r, opacity=0.9 * ring)
    eye = tuple(a + (b - a) * darkness for a, b in zip(gold, dark, strict=True))
    canvas.ellipse(cx, cy, 0.28 * r, 0.28 * r * squash, _times(eye, 0.8), soft=0.05 * r)
    canvas.ellipse(cx, cy, 0.25 * r, 0.25 * r * squash, eye, round_=0.5)
    for k in range(9):  # stamens
        angle, reach = 2 * math.pi * k / 9 + turn, 0.17 * r
        px, py = reach * math.cos(angle), reach * math.sin(angle) * squash
        canvas.ellipse(cx + px, cy + py, 0.032 * r, 0.032 * r, _times(eye, 1.22 if k % 2 else 0.72))


def mushroom(canvas: Canvas, pose: Pose, mark: str, contrast: float, rng: np.random.Generator) -> None:
    """A cap on a stem. Marks: pale spots, a dark crown, a pale rim."""
    kind = rng.random()
    hue = rng.uniform(0.97, 1.11) if kind < 0.75 else rng.uniform(0.68, 0.84)
    saturation = rng.uniform(0.5, 0.85) if kind < 0.75 else rng.uniform(0.25, 0.45)
    cap = colour(hue, saturation, rng.uniform(0.58, 0.86))
    pale = colour(rng.uniform(0.09, 0.14), rng.uniform(0.05, 0.22), rng.uniform(0.90, 1.0))
    dark, tint, big = _deep(rng), _pale(rng), rng.uniform(0.82, 1.15)
    moss = colour(rng.uniform(0.20, 0.36), 0.55, rng.uniform(0.25, 0.40))
    jitter = rng.uniform(-1, 1, (8, 2)).tolist()
    width, tall, tufts = rng.uniform(0.9, 1.12), rng.uniform(0.88, 1.12), rng.uniform(-1, 1, (9, 2)).tolist()

    s, lean = pose.scale, 0.6 * pose.lean
    cx, cy = pose.x, pose.y - 0.06
    a, b = 0.64 * s * width, 0.54 * s * tall
    foot = (cx - 0.8 * math.sin(lean) * s, cy + 0.80 * s)
    canvas.ellipse(foot[0] - 0.25 * canvas.light[0], foot[1] + 0.03, 0.5 * s, 0.13 * s, (0.02, 0.03, 0.02),
                   soft=0.25, opacity=0.65)
    canvas.stroke((cx, cy + 0.02), foot, 0.105 * s, _times(pale, 0.88), flare=0.05 * s,
                  bend=0.03 * pose.facing, round_=0.55)
    canvas.ellipse(cx, cy + 0.20 * s, 0.17 * s, 0.10 * s, (0.05, 0.04, 0.03), soft=0.14 * s, opacity=0.5)
    canvas.ellipse(cx, cy + 0.34 * s, 0.19 * s, 0.055 * s, _times(pale, 0.97), angle=lean, round_=0.3)
    cos, sin = math.cos(lean), math.sin(lean)

    def on_cap(u: float, v: float) -> tuple[float, float]:
        return cx + cos * u * a - sin * v * b, cy + sin * u * a + cos * v * b

    canvas.ellipse(*on_cap(0, 0.13), 0.95 * a, 0.22 * b, _times(pale, 0.62), angle=lean, round_=0.25)  # gills
    canvas.ellipse(*on_cap(0, 0.16), 0.62 * a, 0.12 * b, _times(pale, 0.45), angle=lean, soft=0.08)
    canvas.ellipse(cx, cy, a, b, cap, angle=lean, round_=0.55, above=0.16)
    marks = ("webcap", "parasol", "fly-agaric")
    rim, crown, spotted = (_strength(rng, mark == name, contrast) for name in marks)
    canvas.ellipse(cx, cy, 0.985 * a, 0.985 * b, tint, angle=lean, round_=0.25, above=0.16,
                   below=0.16 - 0.26 * big, soft=0.03, opacity=0.9 * rim)
    canvas.ellipse(*on_cap(0, -0.66), 0.40 * a * big, 0.27 * b * big, dark, angle=lean, round_=0.5,
                   soft=0.08 * s, opacity=0.85 * crown)
    spots = ((-0.62, -0.28), (-0.22, -0.42), (0.25, -0.36), (0.64, -0.22), (-0.38, -0.02), (0.05, -0.04),
             (0.42, 0.0), (0.04, -0.78))
    for (u, v), (du, dv) in zip(spots, jitter, strict=True):
        u, v = u + 0.07 * du, v + 0.07 * dv
        x, y = on_cap(u, v)
        canvas.ellipse(x, y, 0.085 * s * big * (1 - 0.45 * u * u), 0.068 * s * big, tint, angle=lean,
                       round_=0.3, opacity=spotted)
    hx, hy = on_cap(0.38 * canvas.light[0], -0.45)
    canvas.ellipse(hx, hy, 0.20 * a, 0.14 * b, (1.0, 0.98, 0.92), angle=lean, soft=0.2 * s, opacity=0.22)
    for dx, dy in tufts:  # moss in front of the foot
        canvas.ellipse(foot[0] + 0.36 * dx * s, foot[1] + 0.07 + 0.05 * dy, 0.11 * s, 0.07 * s,
                       _times(moss, 1 + 0.3 * dy), round_=0.4)


def bird(canvas: Canvas, pose: Pose, mark: str, contrast: float, rng: np.random.Generator) -> None:
    """A perching bird. Marks: a crest, a pale bar on the wing, a dark bib."""
    kind = rng.random()
    low, high = (0.52, 0.64) if kind < 0.4 else (0.02, 0.16) if kind < 0.8 else (0.90, 1.0)
    hue = rng.uniform(low, high)
    back = colour(hue, rng.uniform(0.35, 0.65), rng.uniform(0.55, 0.78))
    belly = colour(rng.uniform(0.05, 0.15), rng.uniform(0.15, 0.55), rng.uniform(0.84, 0.98))
    wing = _times(back, 0.62)
    dark, tint, big = _deep(rng), _pale(rng), rng.uniform(0.82, 1.15)
    ink = colour(0.65, 0.3, 0.07)
    beak = colour(rng.uniform(0.07, 0.12), 0.65, rng.uniform(0.55, 0.85))
    bark = colour(rng.uniform(0.05, 0.09), 0.45, rng.uniform(0.24, 0.36))
    plump, tilt = rng.uniform(0.94, 1.08), rng.uniform(-0.08, 0.08)

    s, face = 1.02 * pose.scale, pose.facing
    lean = 0.5 * pose.lean + tilt

    def place(u: float, v: float) -> tuple[float, float]:
        """A point of a bird that faces right and stands upright, in canvas coordinates."""
        x, y = u * math.cos(lean) - v * math.sin(lean), u * math.sin(lean) + v * math.cos(lean)
        return pose.x + face * s * x, pose.y + s * y

    def part(u: float, v: float, a: float, b: float, paint: Rgb, *, turn: float = 0.0, **look: float) -> None:
        canvas.ellipse(*place(u, v), a * s, b * s, paint, angle=face * (turn + lean), **look)

    def corners(*points: tuple[float, float]) -> list[tuple[float, float]]:
        found = [place(u, v) for u, v in points]
        return found if face > 0 else found[::-1]

    branch = pose.y + 0.56 * s
    slope = 0.08 - 0.2 * pose.lean
    canvas.stroke((-1.2, branch + 0.04 + slope), (1.2, branch + 0.04 - slope), 0.055, bark, bend=0.07,
                  round_=0.6)
    canvas.stroke((pose.x - 0.5 * face, branch + 0.08), (pose.x - 1.05 * face, branch - 0.35), 0.022, bark)
    part(0.02, 0.14, 0.52, 0.40, (0.02, 0.03, 0.03), soft=0.3 * s, opacity=0.5)
    canvas.polygon(corners((-0.30, 0.12), (-0.14, 0.30), (-0.78, 0.62), (-0.86, 0.46)), wing)
    for u in (-0.02, 0.12):
        canvas.stroke(place(u, 0.36), place(u + 0.03, 0.57), 0.018 * s, _times(beak, 0.7))
    part(0.00, 0.08, 0.47, 0.33 * plump, belly, turn=-0.62, round_=0.45)
    part(-0.10, 0.02, 0.40, 0.24, back, turn=-0.62 + math.pi, round_=0.30, soft=0.05)
    crest, bar, bib = (_strength(rng, mark == name, contrast) for name in ("waxwing", "chaffinch", "bunting"))
    tip = (0.12 - 0.26 * crest, -0.56 - 0.24 * crest)
    canvas.polygon(corners(tip, (0.26, -0.61), (0.10, -0.42), (0.03, -0.45)), _times(back, 0.9))
    part(0.24, -0.40, 0.24, 0.225, back, turn=0.2, round_=0.40)
    part(0.33, -0.33, 0.13, 0.11, belly, turn=0.5, soft=0.08, round_=0.2)
    part(0.31, -0.15, 0.135 * big, 0.17 * big, dark, turn=0.2, soft=0.04, opacity=0.95 * bib)
    canvas.polygon(corners((0.43, -0.47), (0.65, -0.37), (0.43, -0.33)), beak)
    part(0.30, -0.44, 0.052, 0.052, ink)
    part(0.315, -0.455, 0.017, 0.017, (1.0, 1.0, 1.0))
    part(-0.16, 0.12, 0.36, 0.165, wing, turn=-0.75 + math.pi, round_=0.45)
    part(-0.22, 0.20, 0.30, 0.085, _times(wing, 0.72), turn=-0.75 + math.pi, soft=0.05, round_=0.2)
    part(-0.10, 0.05, 0.165 * big, 0.055 * big, tint, turn=0.62, soft=0.03, opacity=0.95 * bar)


Plan = Callable[[Canvas, Pose, str, float, np.random.Generator], None]

BODY_PLANS: dict[str, tuple[Plan, Sequence[str]]] = {
    "flower": (flower, ("daisy", "anemone", "gazania")),
    "mushroom": (mushroom, ("fly-agaric", "parasol", "webcap")),
    "bird": (bird, ("waxwing", "chaffinch", "bunting")),
}
"""Super-class to its drawing function and the sub-classes' names, which are the marks."""


_NUMBERS = 28  # normal numbers of a scene
_BOUND = 2.2  # standard deviations; keeps bodies within the frame and colours within their names


def draw(
    parent: int, mark: int, key: tuple[int, ...], *, shared: float, contrast: float, size: int,
    body: tuple[int, ...] | None = None,
) -> np.ndarray:
    """Draw one image, uint8, shape (size, size, 3), range 0-255.

    `parent` and `mark` are indices into `BODY_PLANS`; `key` seeds the image's own random streams, `body`
    that of the body where several images show one individual.
    """
    shared, contrast = float(shared), float(contrast)
    # Small drawings are made at twice the size and averaged, as a camera's pixel would.
    side = 2 * size if size <= 96 else size
    # Three streams, because the grain takes as many numbers as the size needs.
    common, common_fields = _shared(parent, side)
    own = _stream(*key, 0).standard_normal(_NUMBERS)
    one, other = shared**0.5, (1 - shared) ** 0.5
    numbers = np.clip(one * common + other * own, -_BOUND, _BOUND).tolist()
    mixed = common_fields * one + fields(_stream(*key, 1), side) * other

    angle = -math.pi / 2 + 0.6 * numbers[5]
    canvas = Canvas(side, light=(math.cos(angle), math.sin(angle)))
    _background(canvas, mixed, numbers)
    x, y, size_, lean, facing = numbers[:5]
    pose = Pose(0.17 * x, 0.11 * y, 0.94 + 0.13 * size_, 0.26 * lean, 1 if facing > 0 else -1)
    plan, marks = list(BODY_PLANS.values())[parent]
    plan(canvas, pose, marks[mark], contrast, _stream(*(key if body is None else body), 2))
    _light(canvas, mixed, numbers)
    return canvas.pixels(size)


def _stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@lru_cache(maxsize=16)
def _shared(parent: int, side: int) -> tuple[np.ndarray, np.ndarray]:
    """The scene and the fields that a super-class has in common."""
    return _stream(0, parent, 0).standard_normal(_NUMBERS), fields(_stream(0, parent, 1), side)


def _background(canvas: Canvas, mixed: np.ndarray, numbers: list[float]) -> None:
    """Foliage out of focus: two tints that change slowly, lit from one side, with discs of light."""
    (broad, fine, slow), (lx, ly), (_, x, y) = mixed, canvas.light, canvas.region(0, 0, 1)
    tone = broad * 0.11 + fine * 0.048 + (0.46 + 0.05 * numbers[6])
    tone = np.clip(tone + (0.10 * lx * x + 0.12 * ly * y), 0, 1.1)
    blend = np.clip(slow * 0.28 + 0.5, 0, 1)
    hue = 0.29 + 0.075 * numbers[7]
    near, far = colour(hue, 0.55, 0.98), colour(hue + 0.10 * numbers[8], 0.40, 0.98)
    deep = colour(hue + 0.08, 0.55, 0.13)
    for channel, a, b, c in zip(canvas.rgb, near, far, deep, strict=True):
        channel[:] = (blend * (b - a) + (a - c)) * tone + c
    bright = tuple(0.5 + 0.5 * value for value in near)
    for k in range(4):
        x, y, size, glow = numbers[9 + 4 * k : 13 + 4 * k]
        radius, opacity = 0.13 + 0.03 * size, 0.16 + 0.05 * glow
        canvas.ellipse(0.55 * x, 0.55 * y - 0.1, radius, radius, bright, soft=0.10, opacity=opacity)


def _light(canvas: Canvas, mixed: np.ndarray, numbers: list[float]) -> None:
    """Dappled light and grain over everything, body included, then exposure and warmth."""
    broad, fine, _ = mixed
    gain, warm = broad * 0.05 + fine * 0.08 + (1.06 + 0.07 * numbers[25]), 0.04 * numbers[26]
    for channel, tint in zip(canvas.rgb, (1 + warm, 1.0, 1 - warm), strict=True):
        channel[:] = (channel * gain + fine * 0.02) * tint
