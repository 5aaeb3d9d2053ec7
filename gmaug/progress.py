"""Progress bars that keep executed notebooks clean.

In a terminal or in JupyterLab a bar goes to standard error. In a headless run the runner sets
``GMAUG_PROGRESS`` to a file, and the bars go there: the runner shows the last line, and no
frozen bar is saved in the notebook.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

FILE_VARIABLE = "GMAUG_PROGRESS"


def track(iterable: Iterable[Item], *, desc: str, total: int | None = None, **options: Any) -> Iterator[Item]:
    """Iterate with a bar that shows the count, the rate and the time left."""
    with bar(desc=desc, total=total if total is not None else _length(iterable), **options) as shown:
        for item in iterable:
            yield item
            shown.update()


def bar(*, desc: str, total: int | None = None, **options: Any) -> tqdm:
    """A bar to update by hand (``update``, ``set_postfix``); a context manager."""
    path = os.environ.get(FILE_VARIABLE)
    file = open(path, "a", encoding="utf-8", buffering=1) if path else sys.stderr  # noqa: SIM115
    return tqdm(
        desc=desc, total=total, file=file, leave=False, mininterval=0.5, dynamic_ncols=True, **options
    )


def _length(iterable: Iterable[Any]) -> int | None:
    return len(iterable) if hasattr(iterable, "__len__") else None


def last_line(path: Path) -> str:
    """What the newest bar in a progress file says; empty if there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.replace("\n", "\r").split("\r")]
    return next((line for line in reversed(lines) if line), "")
