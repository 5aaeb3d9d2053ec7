"""Progress bars that keep executed notebooks clean.

In a terminal or in JupyterLab a bar goes to standard error. In a headless run the runner sets
``GMAUG_PROGRESS`` to a file: it shows the last line, and no frozen bar is saved in the notebook.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tqdm import tqdm

FILE_VARIABLE = "GMAUG_PROGRESS"


def bar(iterable: Iterable[Any] | None = None, *, desc: str, **options: Any) -> tqdm:
    """A bar around an iterable, or to update by hand (``total=``); `options` are tqdm's."""
    path = os.environ.get(FILE_VARIABLE)
    file = open(path, "a", encoding="utf-8", buffering=1) if path else sys.stderr  # noqa: SIM115
    return tqdm(iterable, desc=desc, file=file, leave=False, mininterval=0.5, dynamic_ncols=True, **options)


def last_line(path: Path) -> str:
    """What the newest bar in a progress file says; empty if there is none."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in text.replace("\n", "\r").split("\r")]
    return next((line for line in reversed(lines) if line), "")
