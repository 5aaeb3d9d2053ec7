"""One HTML page that stands alone: paragraphs, tables, figures and pictures, readable without a network.

``similarity``, ``advise``, ``compare`` and ``balance`` write their pages with :func:`write_page`. Every text
is escaped, so a folder or a class may have any name.
"""

from __future__ import annotations

import base64
import io
import os
import shlex
from argparse import Namespace
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
{% macro kind(part, k) %}{% if part.numeric[k] %} class="number"{% endif %}{% endmacro %}
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
{% for part in sections %}
<section>
{% if part.heading %}<h2>{{ part.heading }}</h2>{% endif %}
{% for line in part.text %}<p>{{ line }}</p>{% endfor %}
{% for line in part.warnings %}<p class="warning"><b>Warning:</b> {{ line }}</p>{% endfor %}
{% if part.steps %}<ol>{% for line in part.steps %}<li>{{ line }}</li>{% endfor %}</ol>{% endif %}
{% if part.rows is not none %}<div class="wide"><table>
<tr>{% for name in part.columns %}<th{{ kind(part, loop.index0) }}>{{ name }}</th>{% endfor %}</tr>
{% for row in part.rows %}
<tr>{% for cell in row %}<td{{ kind(part, loop.index0) }}>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</table></div>{% endif %}
{% if part.figure %}
<figure class="chart"><img alt="{{ part.caption or part.heading }}" src="{{ part.figure }}">
<figcaption>{{ part.caption }}</figcaption></figure>
{% endif %}
{% if part.pictures %}<div class="pictures">
{% for caption, source in part.pictures %}
<figure><img alt="{{ caption }}" src="{{ source }}"><figcaption>{{ caption }}</figcaption></figure>
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
    """One part of a page; what is not given is left out."""

    heading: str = ""
    text: Sequence[str] = ()  # paragraphs
    warnings: Sequence[str] = ()  # paragraphs that are marked as such
    steps: Sequence[str] = ()  # a numbered list
    table: pd.DataFrame | None = None  # shown without its index; floats with four digits
    figure: Figure | Path | None = None  # drawn into the page, or a PNG that is copied into it
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
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    parts = [_plain(section) for section in sections]
    page = template.render(title=_text(title), sections=parts, command=_text(command), version=__version__)
    write_text(path, page)
    return path


def page_path(path: str | os.PathLike[str]) -> Path:
    """The path of a page, refused if no page can go there: ask before the work, not after it."""
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path}: a page ends in .html")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write {path.name} in")
    return path


def repeat(command: str, options: Namespace, names: Iterable[str]) -> str:
    """The command line that repeats a page: its folder, the page, and the options `names` that were set."""
    words = ["python", "-m", "gmaug", command, str(options.folder), "--html", str(options.html)]
    for name in names:
        value = getattr(options, name)
        words += [] if value in (None, 0) else [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _plain(section: Section) -> dict[str, Any]:
    """What the template shows of a section: texts, and pictures as ``data:`` addresses."""
    table: dict[str, Any] = {"rows": None}
    if section.table is not None:
        table["columns"] = [_text(name) for name in section.table.columns]
        table["numeric"] = [kind.kind in "iufb" for kind in section.table.dtypes]
        table["rows"] = [[_cell(value) for value in row] for row in section.table.itertuples(index=False)]
    return {
        "heading": _text(section.heading),
        "caption": _text(section.caption),
        **{name: [_text(line) for line in getattr(section, name)] for name in ("text", "warnings", "steps")},
        **table,
        "figure": None if section.figure is None else _drawn(section.figure),
        "pictures": [(_text(caption), _picture(array)) for caption, array in section.pictures],
    }


def _text(value: Any) -> str:
    """Text without control characters or halves of characters, which a file's name may hold."""
    text = str(value).encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() or c in "\n\t" else f"\\x{ord(c):02x}" for c in text)


def _cell(value: Any) -> str:
    if value is None or value != value:  # None, NaN, NaT
        return ""
    return f"{value:,.4g}" if isinstance(value, float) else _text(value)


def _drawn(figure: Figure | Path) -> str:
    if isinstance(figure, Path):
        return _address(io.BytesIO(figure.read_bytes()))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=150, metadata={"Software": None})
    return _address(buffer)


def _picture(array: np.ndarray) -> str:
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="png")
    return _address(buffer)


def _address(buffer: io.BytesIO) -> str:
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")
