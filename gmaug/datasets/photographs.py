"""Names that have moved to :mod:`gmaug.datasets.real`."""

from gmaug.datasets.real import PHOTOGRAPHS, photograph, photographs

__all__ = ["PHOTOGRAPHS", "photograph", "photographs"]
