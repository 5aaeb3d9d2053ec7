"""Photographs that come with scikit-image: real pixels to look at with nothing downloaded.

They serve notebook 01 and tests. They are single pictures, not a labelled data set, and stand for
none of the paper's.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

PHOTOGRAPHS = (
    "astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel",
    "hubble_deep_field", "immunohistochemistry", "moon", "rocket",
)  # fmt: skip
"""Natural scenes, textures and instruments' images; drawings and printed text are left out."""


def photograph(name: str) -> Image.Image:
    """One of :data:`PHOTOGRAPHS`, as stored: 8 bits, grey or RGB.

    Raises
    ------
    ValueError
        If there is none of that name.
    """
    from skimage import data

    if name not in PHOTOGRAPHS:
        raise ValueError(f"photograph {name!r} is unknown; there are {', '.join(PHOTOGRAPHS)}")
    return Image.fromarray(getattr(data, name)())


def photographs(names: Sequence[str] = PHOTOGRAPHS) -> dict[str, Image.Image]:
    """Several of them by name."""
    return {name: photograph(name) for name in names}
