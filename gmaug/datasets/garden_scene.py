"""One image of the garden: its scene (pose, background, light), then its body, at any size.

What the knob `shared` (s) moves is here and nowhere else. A scene is a row of normal numbers and
a 1/f field. The super-class has one of each, and so has every image; an image is drawn with
``sqrt(s)`` of the first and ``sqrt(1 - s)`` of the second, which leaves the variance of everything
as it is. Colours of the body, its small variations and its mark do not depend on the knob.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from gmaug.datasets.garden_drawing import Canvas
from gmaug.datasets.garden_plants import BODY_PLANS, Pose, Rgb, colour
from gmaug.datasets.garden_texture import Field, grow

_NUMBERS = 28  # normal numbers of a scene
_BOUND = 2.2  # standard deviations; keeps bodies within the frame and colours within their names


def draw(
    parent: int, mark: int, key: tuple[int, ...], *, shared: float, contrast: float, scene: int, size: int
) -> np.ndarray:
    """Draw one image.

    Parameters
    ----------
    parent, mark : int
        Body plan and mark, indices into `BODY_PLANS`.
    key : tuple of int
        Seed of the image's own random streams.
    shared, contrast : float
        The knobs, 0 to 1.
    scene : int
        Which scenes the super-classes have.
    size : int
        Pixels a side.

    Returns
    -------
    ndarray of uint8, shape (size, size, 3), range 0-255
    """
    # Small drawings are made at twice the size and averaged, as a camera's pixel would.
    side = 2 * size if size <= 96 else size
    # Three streams, because the grain takes as many numbers as the size needs.
    scene_rng, grain_rng, body_rng = (_stream(*key, part) for part in range(3))
    common, common_field = _shared(scene, parent, side)
    own = scene_rng.standard_normal(_NUMBERS)
    mixed = shared**0.5 * common + (1 - shared) ** 0.5 * own
    numbers = np.minimum(np.maximum(mixed, -_BOUND), _BOUND).tolist()
    field = common_field.mixed(grow(grain_rng, side), shared)

    angle = -math.pi / 2 + 0.6 * numbers[5]
    canvas = Canvas(side, light=(math.cos(angle), math.sin(angle)))
    _background(canvas, field, numbers)
    pose = Pose(
        x=0.17 * numbers[0],
        y=0.11 * numbers[1],
        scale=0.94 + 0.13 * numbers[2],
        lean=0.26 * numbers[3],
        facing=1 if numbers[4] > 0 else -1,
    )
    plan, marks = list(BODY_PLANS.values())[parent]
    plan(canvas, pose, marks[mark], contrast, body_rng)
    _light(canvas, field, numbers)
    return canvas.pixels(size)


def _stream(*key: int) -> np.random.Generator:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))


@lru_cache(maxsize=16)
def _shared(scene: int, parent: int, side: int) -> tuple[np.ndarray, Field]:
    """The scene and the field that a super-class has in common."""
    return _stream(scene, parent, 0).standard_normal(_NUMBERS), grow(_stream(scene, parent, 1), side)


def _background(canvas: Canvas, field: Field, numbers: list[float]) -> None:
    """Foliage out of focus: two tints that change slowly, lit from one side, with discs of light."""
    lx, ly = canvas.light
    tone = field.broad * np.float32(0.11) + field.fine * np.float32(0.048)
    tone += np.float32(0.46 + 0.05 * numbers[6])
    tone += np.float32(0.10 * lx) * canvas.x + np.float32(0.12 * ly) * canvas.y
    np.minimum(np.maximum(tone, np.float32(0.0), out=tone), np.float32(1.1), out=tone)
    blend = field.hue * np.float32(0.28) + np.float32(0.5)
    np.minimum(np.maximum(blend, np.float32(0.0), out=blend), np.float32(1.0), out=blend)
    hue = 0.29 + 0.075 * numbers[7]
    near, far = colour(hue, 0.55, 0.98), colour(hue + 0.10 * numbers[8], 0.40, 0.98)
    deep = colour(hue + 0.08, 0.55, 0.13)
    for channel, a, b, c in zip(canvas.rgb, near, far, deep, strict=True):
        np.multiply(blend, np.float32(b - a), out=channel)
        channel += np.float32(a - c)
        channel *= tone
        channel += np.float32(c)
    for k in range(4):
        x, y, size, glow = numbers[9 + 4 * k : 13 + 4 * k]
        radius, opacity = 0.13 + 0.03 * size, 0.16 + 0.05 * glow
        canvas.ellipse(0.55 * x, 0.55 * y - 0.1, radius, radius, _bright(near), soft=0.10, opacity=opacity)


def _bright(rgb: Rgb) -> Rgb:
    return (0.5 + 0.5 * rgb[0], 0.5 + 0.5 * rgb[1], 0.5 + 0.5 * rgb[2])


def _light(canvas: Canvas, field: Field, numbers: list[float]) -> None:
    """Dappled light and grain over everything, body included, then exposure and warmth."""
    gain = field.broad * np.float32(0.05) + field.fine * np.float32(0.08)
    gain += np.float32(1.06 + 0.07 * numbers[25])
    lift = field.fine * np.float32(0.02)
    warm = 0.04 * numbers[26]
    for channel, tint in zip(canvas.rgb, (1 + warm, 1.0, 1 - warm), strict=True):
        channel *= gain
        channel += lift
        channel *= np.float32(tint)
