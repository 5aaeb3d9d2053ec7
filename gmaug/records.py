"""The former name of the records of :mod:`gmaug.runs`; goes when nothing imports it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gmaug import runs
from gmaug.runs import NotRecorded as Refused, record_names as names, record_path as path_of

__all__ = ["FOLDER", "Refused", "names", "path_of", "read", "write"]
FOLDER = runs.RECORDED


def write(kind: str, name: str, content: Any, *, modules: Any = (), **about: Any) -> Path:
    """:func:`gmaug.runs.write_record`."""
    return runs.write_record(kind, name, content, **about)


def read(path: Path, *, settings: Any = None, data_hash: str | None = None) -> dict[str, Any]:
    """:func:`gmaug.runs.read_record` by path; a record is no longer compared with anything."""
    return runs.read_record(path.parent.name, path.stem, folder=path.parent.parent)
