"""One HTML page that stands alone: paragraphs, tables, figures and pictures, readable without a network.

``similarity``, ``advise``, ``compare`` and ``balance`` write their pages with :func:`write_page`. Every text
is escaped, so a folder or a class may have any name.
"""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug.runs import write_text

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Section:
    """One part of a page; what is not given is left out, and a heading alone."""

    heading: str = ""
    text: Sequence[str] = ()  # paragraphs
    warnings: Sequence[str] = ()  # paragraphs that are marked as such
    steps: Sequence[str] = ()  # a numbered list
    table: pd.DataFrame | None = None  # shown without its index; floats with four digits
    figure: Figure | None = None
    caption: str = ""  # of the figure
    pictures: Sequence[tuple[str, np.ndarray]] = ()  # captions and uint8 images (height, width[, 3])


def write_page(
    path: str | os.PathLike[str], *, title: str, sections: Iterable[Section], command: str
) -> Path:
    """Write a page, whole or not at all, and return its path, which has to end in ``.html``.

    `command` is the command line that repeats what is shown.
    """
    from jinja2 import Environment, FileSystemLoader

    from gmaug import __version__

    path = writable(path)
    folder = FileSystemLoader(Path(__file__).parent)
    environment = Environment(
        loader=folder, autoescape=True, finalize=_shown, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["png"] = _png
    about = {"title": title, "sections": list(sections), "command": command, "version": __version__}
    write_text(path, environment.get_template("page.j2").render(about))
    return path


def writable(path: str | os.PathLike[str], endings: Sequence[str] = (".html", ".htm")) -> Path:
    """The path, refused if no such file can go there: to ask before the work, not after it."""
    path = Path(path)
    if path.suffix.lower() not in endings:
        raise ValueError(f"{path}: give a name that ends in {' or '.join(endings)}")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write {path.name} in")
    return path


def _shown(value: Any) -> str:
    """Text without control characters or halves of characters, which a file's name may hold."""
    if value is None or value != value:  # None, NaN, NaT
        return ""
    text = f"{value:,.4g}" if isinstance(value, float) else str(value)
    text = text.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _png(image: Figure | np.ndarray) -> str:
    """A picture as an address that holds all of it."""
    from PIL import Image

    buffer = io.BytesIO()
    if hasattr(image, "savefig"):
        image.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    else:
        Image.fromarray(image).save(buffer, format="png")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
