"""One image file, turned into 8-bit grey or RGB, or refused with the reason.

What is put right: EXIF orientation, palettes, CMYK, transparency (laid on white, as a page shows
it), 16-bit grey. What is refused, since a guess would be a wrong number in silence: truncated and
foreign files, animations, pixels whose range is unknown, decompression bombs.
"""

from __future__ import annotations

import os
import stat
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageOps


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was left out, and why."""

    path: str
    reason: str


class UnreadableImage(ValueError):
    """An image file that cannot be used; ``skipped`` holds its path and the reason."""

    def __init__(self, path: str | os.PathLike[str], reason: str) -> None:
        self.skipped = Skipped(printable(path), reason)
        super().__init__(f"{self.skipped.path}: {reason}; remove the file or mend it")


def printable(path: str | os.PathLike[str]) -> str:
    """A path as text that can be printed and written as JSON, whatever bytes it holds."""
    return os.fsencode(path).decode("utf-8", "replace")


@contextmanager
def quiet_bombs() -> Iterator[None]:
    """No warning on large images, which :func:`decode` refuses itself.

    It holds for the whole process: enter it once, around all threads that decode.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def decode(path: str | os.PathLike[str]) -> Image.Image:
    """Read an image file.

    Parameters
    ----------
    path : path
        Any still image that Pillow reads.

    Returns
    -------
    PIL image, mode "L" or "RGB", upright

    Raises
    ------
    UnreadableImage
        With the reason, for any file that cannot be used.
    """
    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):
            raise UnreadableImage(path, "not a regular file")  # a pipe would wait for ever
        if status.st_size == 0:
            raise UnreadableImage(path, "empty file")
        with Image.open(path) as image:
            _check(path, image)
            image.load()
            return _eight_bits(path, _upright(image))
    except UnreadableImage:
        raise
    except Image.DecompressionBombError:
        reason = "decompression bomb: far more pixels than PIL.Image.MAX_IMAGE_PIXELS"
        raise UnreadableImage(path, reason) from None
    except Image.UnidentifiedImageError:
        raise UnreadableImage(path, "not an image that Pillow reads") from None
    except PermissionError:
        raise UnreadableImage(path, "no permission to read it") from None
    except Exception as error:  # decoders raise OSError, SyntaxError, ValueError, struct.error, ...
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UnreadableImage(path, f"cannot be decoded ({reason})") from None


def _check(path: str | os.PathLike[str], image: Image.Image) -> None:
    """Refuse by what the header says, before any pixel is decoded."""
    pixels = image.width * image.height
    limit = Image.MAX_IMAGE_PIXELS
    if limit is not None and pixels > limit:
        reason = f"decompression bomb: {pixels} pixels, over PIL.Image.MAX_IMAGE_PIXELS ({limit})"
        raise UnreadableImage(path, reason)
    if pixels == 0:
        raise UnreadableImage(path, "has no pixel")
    # The second picture of an MPO file, which telephones write, is another view or a preview.
    frames = getattr(image, "n_frames", 1) if image.format != "MPO" else 1
    if frames > 1:
        raise UnreadableImage(path, f"animation or stack of {frames} frames; export the one to use")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # a damaged EXIF block names no orientation; the pixels are sound
        return image


def _eight_bits(path: str | os.PathLike[str], image: Image.Image) -> Image.Image:
    if image.mode in ("L", "RGB"):
        if "transparency" not in image.info:
            return image
    elif image.mode.startswith("I;16"):
        return Image.fromarray(np.round(np.asarray(image).astype(np.float64) / 257).astype(np.uint8))
    elif image.mode == "I" and image.format in ("PNG", "PPM"):
        # These formats hold no more than 16 bits; Pillow widens them to 32.
        top = int(np.asarray(image).max())
        if top > 65535:
            raise UnreadableImage(path, f"grey values up to {top}: their range is unknown")
        return Image.fromarray(np.round(np.asarray(image) / 257).astype(np.uint8))
    elif image.mode in ("I", "F"):
        raise UnreadableImage(path, f"pixels of mode {image.mode}: their range is unknown")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return image.convert("L" if image.mode == "1" else "RGB")
