"""What grows in the garden: three body plans, each with three marks.

Every function paints one body on a canvas that already holds its background. `pose` is where and
how it stands, partly shared within the super-class; `rng` gives what is always the image's own:
colours, the number of petals, the jitter of each spot, the tint, size and strength of the mark.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from gmaug.datasets.garden_drawing import Canvas

Rgb = tuple[float, float, float]


@dataclass(frozen=True)
class Pose:
    """Where a body stands: centre and size in canvas units, lean in radians, which way it faces."""

    x: float
    y: float
    scale: float
    lean: float
    facing: int  # 1 right, -1 left


def colour(hue: float, saturation: float, value: float) -> Rgb:
    """HSV to RGB; the hue wraps, the others are clipped to [0, 1]."""
    return colorsys.hsv_to_rgb(hue % 1.0, min(max(saturation, 0.0), 1.0), min(max(value, 0.0), 1.0))


def _times(rgb: Rgb, factor: float) -> Rgb:
    return (rgb[0] * factor, rgb[1] * factor, rgb[2] * factor)


def _blend(first: Rgb, second: Rgb, share: float) -> Rgb:
    return tuple(a + (b - a) * share for a, b in zip(first, second, strict=True))  # type: ignore[return-value]


def _strength(rng: np.random.Generator, present: bool, contrast: float) -> float:
    """How strongly a mark shows, 0 to `contrast`. Every body carries a trace of every mark; one is clear.

    The ranges of a mark that is there and of one that is not never meet, so that classes of the
    least contrast can still be told apart without error, by who sees marks well enough.
    """
    return contrast * (rng.uniform(0.5, 1.0) if present else rng.uniform(0.0, 0.32))


def _deep(rng: np.random.Generator) -> Rgb:
    """A dark mark's colour: any hue, so that a mark is known by its place and not by its tint."""
    return colour(rng.random(), rng.uniform(0.2, 0.8), rng.uniform(0.08, 0.22))


def _light(rng: np.random.Generator) -> Rgb:
    """A pale mark's colour."""
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
    canvas.ellipse(
        cx - 0.10 * canvas.light[0], cy + 0.10, r, 0.9 * r, (0.02, 0.04, 0.03), soft=0.5 * r, opacity=0.55
    )
    half = 1.02 * r * math.sin(math.pi / petals)
    squash = 0.90 + 0.06 * math.cos(3 * pose.lean)
    for layer, tone in ((0.5, 0.62), (0.0, 1.0)):  # a darker row behind shows between the petals
        for k in range(petals):
            angle = 2 * math.pi * (k + layer + turn) / petals + pose.lean
            reach = 0.60 * r * (1 + 0.06 * math.sin(5 * k + 7 * turn))
            px, py = reach * math.cos(angle), reach * math.sin(angle) * squash
            side = math.cos(angle) * canvas.light[0] + math.sin(angle) * canvas.light[1]
            lit = _times(petal, tone * (0.94 + 0.10 * side))
            canvas.ellipse(
                cx + px,
                cy + py,
                0.44 * r,
                half * 0.72,
                lit,
                angle=math.atan2(py, px),
                round_=0.25,
                base=0.58,
                taper=0.6,
            )
    ring, darkness = (_strength(rng, mark == name, contrast) for name in ("gazania", "anemone"))
    canvas.ellipse(cx, cy, wide * r, wide * r * squash, dark, soft=0.10 * r, opacity=0.9 * ring)
    eye = _blend(gold, dark, darkness)
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
    dark, tint, big = _deep(rng), _light(rng), rng.uniform(0.82, 1.15)
    moss = colour(rng.uniform(0.20, 0.36), 0.55, rng.uniform(0.25, 0.40))
    jitter = rng.uniform(-1, 1, (8, 2))
    width, tall, tufts = rng.uniform(0.9, 1.12), rng.uniform(0.88, 1.12), rng.uniform(-1, 1, (9, 2))

    s, lean = pose.scale, 0.6 * pose.lean
    cx, cy = pose.x, pose.y - 0.06
    a, b = 0.64 * s * width, 0.54 * s * tall
    foot = (cx - 0.8 * math.sin(lean) * s, cy + 0.80 * s)
    canvas.ellipse(
        foot[0] - 0.25 * canvas.light[0],
        foot[1] + 0.03,
        0.5 * s,
        0.13 * s,
        (0.02, 0.03, 0.02),
        soft=0.25,
        opacity=0.65,
    )
    canvas.stroke(
        (cx, cy + 0.02),
        foot,
        0.105 * s,
        _times(pale, 0.88),
        flare=0.05 * s,
        bend=0.03 * pose.facing,
        round_=0.55,
    )
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
    canvas.ellipse(
        cx,
        cy,
        0.985 * a,
        0.985 * b,
        tint,
        angle=lean,
        round_=0.25,
        above=0.16,
        below=0.16 - 0.26 * big,
        soft=0.03,
        opacity=0.9 * rim,
    )
    canvas.ellipse(
        *on_cap(0, -0.66),
        0.40 * a * big,
        0.27 * b * big,
        dark,
        angle=lean,
        round_=0.5,
        soft=0.08 * s,
        opacity=0.85 * crown,
    )
    spots = (
        (-0.62, -0.28),
        (-0.22, -0.42),
        (0.25, -0.36),
        (0.64, -0.22),
        (-0.38, -0.02),
        (0.05, -0.04),
        (0.42, 0.0),
        (0.04, -0.78),
    )
    for (u, v), (du, dv) in zip(spots, jitter, strict=True):
        u, v = u + 0.07 * du, v + 0.07 * dv
        x, y = on_cap(u, v)
        canvas.ellipse(
            x,
            y,
            0.085 * s * big * (1 - 0.45 * u * u),
            0.068 * s * big,
            tint,
            angle=lean,
            round_=0.3,
            opacity=spotted,
        )
    hx, hy = on_cap(0.38 * canvas.light[0], -0.45)
    canvas.ellipse(hx, hy, 0.20 * a, 0.14 * b, (1.0, 0.98, 0.92), angle=lean, soft=0.2 * s, opacity=0.22)
    for dx, dy in tufts:  # moss in front of the foot
        canvas.ellipse(
            foot[0] + 0.36 * dx * s,
            foot[1] + 0.07 + 0.05 * dy,
            0.11 * s,
            0.07 * s,
            _times(moss, 1 + 0.3 * dy),
            round_=0.4,
        )


def bird(canvas: Canvas, pose: Pose, mark: str, contrast: float, rng: np.random.Generator) -> None:
    """A perching bird. Marks: a crest, a pale bar on the wing, a dark bib."""
    kind = rng.random()
    low, high = (0.52, 0.64) if kind < 0.4 else (0.02, 0.16) if kind < 0.8 else (0.90, 1.0)
    hue = rng.uniform(low, high)
    back = colour(hue, rng.uniform(0.35, 0.65), rng.uniform(0.55, 0.78))
    belly = colour(rng.uniform(0.05, 0.15), rng.uniform(0.15, 0.55), rng.uniform(0.84, 0.98))
    wing = _times(back, 0.62)
    dark, tint, big = _deep(rng), _light(rng), rng.uniform(0.82, 1.15)
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
    canvas.stroke(
        (-1.2, branch + 0.04 + slope), (1.2, branch + 0.04 - slope), 0.055, bark, bend=0.07, round_=0.6
    )
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
