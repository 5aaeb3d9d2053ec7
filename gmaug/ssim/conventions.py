"""What Eq. 1 leaves open, settled: the conventions of SSIM by name.

Over which pixels means and variances are taken, how an image is brought to size, and whether
covariances divide by N or N - 1: each choice moves the value, some of them threefold.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image

from gmaug.datasets.base import square


@dataclass(frozen=True)
class Convention:
    """What is left open by Eq. 1, settled.

    Parameters
    ----------
    name : str
        Name to print beside a number.
    size : int or None
        Side in pixels to which :meth:`prepare` brings an image; None leaves its size alone.
    fit : {"crop", "stretch"}
        Short side to `size` and the centre square cut out, or both sides to `size`.
    resample : {"antialias", "plain"}
        Bilinear with as wide a support as the reduction asks for, as Pillow does it, or between
        the four nearest pixels whatever the reduction, as OpenCV does it. Plain keeps aliased
        detail, which no two photographs share: at 32 px it nearly halves the value.
    colour : {"grey", "rgb"}
        Luma (ITU-R 601, rounded to 8 bits), or the mean over the three channels' SSIM.
    window : {"uniform", "gaussian", "global"}
        Where means and variances are taken: in a square around each pixel, plain or weighted, or
        over the whole image at once.
    win_size : int
        Side of the window, odd; ``"global"`` does not use it.
    sigma : float
        Standard deviation of the Gaussian window, in pixels.
    border : {"valid", "reflect"}
        Leave out the windows that reach over the border, or mirror the image there.
    covariance : {"sample", "population"}
        Divide variances and covariances by N - 1 or by N; a Gaussian window has the latter only.
    data_range : float
        L of Eq. 1, for 8-bit images.
    k1, k2 : float
        K1 and K2 of Eq. 1.

    Raises
    ------
    ValueError
        If a setting is unknown, a window is even, or a number is out of range.
    """

    name: str = "custom"
    size: int | None = 224
    fit: Literal["crop", "stretch"] = "crop"
    resample: Literal["antialias", "plain"] = "antialias"
    colour: Literal["grey", "rgb"] = "grey"
    window: Literal["uniform", "gaussian", "global"] = "uniform"
    win_size: int = 7
    sigma: float = 1.5
    border: Literal["valid", "reflect"] = "valid"
    covariance: Literal["sample", "population"] = "sample"
    data_range: float = 255.0
    k1: float = 0.01
    k2: float = 0.03

    def __post_init__(self) -> None:
        for field, known in (
            ("fit", ("crop", "stretch")),
            ("resample", ("antialias", "plain")),
            ("colour", ("grey", "rgb")),
            ("window", ("uniform", "gaussian", "global")),
            ("border", ("valid", "reflect")),
            ("covariance", ("sample", "population")),
        ):
            if getattr(self, field) not in known:
                value = getattr(self, field)
                raise ValueError(f"{field}={value!r} is unknown; use one of {', '.join(known)}")
        if self.win_size < 3 or self.win_size % 2 == 0:
            raise ValueError(f"win_size={self.win_size}: a window has an odd side of 3 or more")
        if self.window == "gaussian" and self.covariance == "sample":
            raise ValueError("a Gaussian window has no sample covariance; set covariance='population'")
        if min(self.sigma, self.data_range, self.k1, self.k2) <= 0:
            raise ValueError("sigma, data_range, k1 and k2 are positive")
        if self.size is not None and self.size < self.side:
            raise ValueError(f"size={self.size} is smaller than the window, {self.win_size}; raise it")

    def prepare(self, image: Image.Image) -> np.ndarray:
        """Bring an image to this convention's colour and size.

        Parameters
        ----------
        image : PIL image in a mode that converts to grey ("L") or "RGB"

        Returns
        -------
        ndarray of uint8, shape (size, size) or (size, size, 3), range 0-255
        """
        image = image.convert("L" if self.colour == "grey" else "RGB")
        if self.size is None or image.size == (self.size, self.size):
            return np.asarray(image)
        if self.fit == "crop" and (self.resample == "plain" or max(image.size) > 4 * min(image.size)):
            # Cut first where that gives the same picture: a long strip would grow large in between.
            side = min(image.size)
            left, top = (image.width - side) // 2, (image.height - side) // 2
            image = image.crop((left, top, left + side, top + side))
        if self.resample == "plain":
            steps = (image.width / self.size, 0, 0, 0, image.height / self.size, 0)
            image = image.transform(
                (self.size, self.size), Image.Transform.AFFINE, steps, Image.Resampling.BILINEAR
            )
        elif self.fit == "crop":
            image = square(image, self.size)
        else:
            image = image.resize((self.size, self.size), Image.Resampling.BILINEAR)
        return np.asarray(image)

    def weights(self) -> np.ndarray:
        """The window along one axis, float64, sum 1; the window is its outer product with itself."""
        if self.window == "gaussian":
            offset = np.arange(self.win_size) - self.win_size // 2
            weights = np.exp(-0.5 * (offset / self.sigma) ** 2)
            return weights / weights.sum()
        return np.full(self.win_size, 1.0 / self.win_size)

    @property
    def side(self) -> int:
        """Smallest side in pixels of an image that can be compared."""
        return 1 if self.window == "global" else self.win_size

    @property
    def margin(self) -> int:
        """Pixels by which images are mirrored outwards before they are compared."""
        return self.win_size // 2 if self.border == "reflect" and self.window != "global" else 0

    def constants(self, data_range: float | None = None) -> tuple[float, float]:
        """C1 and C2 of Eq. 1."""
        data_range = self.data_range if data_range is None else data_range
        return (self.k1 * data_range) ** 2, (self.k2 * data_range) ** 2


CONVENTIONS: dict[str, Convention] = {
    convention.name: convention
    for convention in (
        # The one that gives Table 5 on the original photographs; scikit-image's defaults at 224 px.
        Convention(name="paper"),
        # Wang et al. 2004: Gaussian window of 11 taps; scikit-image's recipe for it, pytorch-msssim, piq.
        Convention(name="wang2004", window="gaussian", win_size=11, covariance="population"),
        # The size of the script that the authors released in 2024, after the paper; it orders data
        # sets otherwise. How it resizes was inferred from the values: stretched, not antialiased.
        Convention(name="authors32", size=32, fit="stretch", resample="plain"),
        # torchmetrics: as wang2004, but the image is mirrored at its border.
        Convention(
            name="torchmetrics", window="gaussian", win_size=11, border="reflect", covariance="population"
        ),
        # Eq. 1 read literally: one mean, one variance, one covariance for the whole image.
        Convention(name="global", window="global", covariance="population"),
        # "paper" on the three colour channels.
        Convention(name="rgb", colour="rgb"),
    )
}


def convention_named(convention: str | Convention) -> Convention:
    """The convention of that name; a :class:`Convention` is returned as it is."""
    if isinstance(convention, Convention):
        return convention
    if convention not in CONVENTIONS:
        raise ValueError(f"convention={convention!r} is unknown; use one of {', '.join(CONVENTIONS)}")
    return CONVENTIONS[convention]
