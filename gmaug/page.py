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

TEMPLATE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark; --line: #8884; --soft: #8882; --warn: #c2410c; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h1, p, li, pre { overflow-wrap: anywhere; } h2 { margin-top: 2.2rem; }
table { border-collapse: collapse; font-size: .88rem; } div.wide { overflow-x: auto; }
th, td { text-align: left; vertical-align: top; padding: .25rem .7rem .25rem 0; }
td, th { border-bottom: 1px solid var(--line); } td.number, th.number { text-align: right; }
figure { margin: 1rem 0; } figure.chart img { width: 100%; background: #fff; }
figcaption { font-size: .88rem; opacity: .8; }
div.pictures { display: flex; flex-wrap: wrap; gap: .8rem; } div.pictures figure { margin: 0; width: 6rem; }
div.pictures img { width: 100%; image-rendering: pixelated; } div.pictures figcaption { font-size: .72rem; }
p.warning { border-left: 4px solid var(--warn); padding-left: .8rem; }
pre { background: var(--soft); padding: .8rem; white-space: pre-wrap; }
footer { margin-top: 3rem; font-size: .8rem; opacity: .7; }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for part in sections if part.text or part.warnings or part.steps or part.figure or part.pictures
   or part.table is not none %}
<section>
{% if part.heading %}<h2>{{ part.heading }}</h2>{% endif %}
{% for line in part.text %}<p>{{ line }}</p>{% endfor %}
{% for line in part.warnings %}<p class="warning"><b>Warning:</b> {{ line }}</p>{% endfor %}
{% if part.steps %}<ol>{% for line in part.steps %}<li>{{ line }}</li>{% endfor %}</ol>{% endif %}
{% if part.table is not none %}
{% set kinds = part.table.dtypes.tolist() %}
<div class="wide"><table>
<tr>
{% for name in part.table.columns %}
<th{% if kinds[loop.index0].kind in "iufb" %} class="number"{% endif %}>{{ name }}</th>
{% endfor %}
</tr>
{% for row in part.table.itertuples(index=False) %}
<tr>
{% for cell in row %}
<td{% if kinds[loop.index0].kind in "iufb" %} class="number"{% endif %}>{{ cell }}</td>
{% endfor %}
</tr>
{% endfor %}
</table></div>{% endif %}
{% if part.figure %}
<figure class="chart"><img alt="{{ part.caption or part.heading }}" src="{{ part.figure|drawn }}">
<figcaption>{{ part.caption }}</figcaption></figure>
{% endif %}
{% if part.pictures %}<div class="pictures">
{% for caption, image in part.pictures %}
<figure><img alt="{{ caption }}" src="{{ image|picture }}"><figcaption>{{ caption }}</figcaption></figure>
{% endfor %}
</div>{% endif %}
</section>
{% endfor %}
<h2>To repeat this</h2>
<pre>{{ command }}</pre>
<footer>gmaug {{ version }}</footer>
</body>
</html>
"""


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
    from jinja2 import Environment

    from gmaug import __version__

    path = page_path(path)
    environment = Environment(autoescape=True, finalize=_shown, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"drawn": _drawn, "picture": _picture}
    about = {"title": title, "sections": list(sections), "command": command, "version": __version__}
    write_text(path, environment.from_string(TEMPLATE).render(about))
    return path


def page_path(path: str | os.PathLike[str]) -> Path:
    """The path of a page, refused if no page can go there: ask before the work, not after it."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: a page ends in .html")
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


def _drawn(figure: Figure) -> str:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return _address(buffer.getvalue())


def _picture(array: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png")
    return _address(buffer.getvalue())


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
