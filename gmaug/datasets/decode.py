"""Names that have moved to :mod:`gmaug.datasets.base` and :mod:`gmaug.datasets.folder`."""

from gmaug.datasets.base import Skipped, UnreadableImage, printable, quiet_bombs
from gmaug.datasets.folder import decode

__all__ = ["Skipped", "UnreadableImage", "decode", "printable", "quiet_bombs"]
