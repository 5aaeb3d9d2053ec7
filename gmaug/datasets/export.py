"""A name that has moved to :mod:`gmaug.datasets.folder`."""

from gmaug.datasets.folder import export

__all__ = ["export"]
