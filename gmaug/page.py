"""One HTML page that stands alone: paragraphs, tables, figures and pictures, readable without a network.

``similarity``, ``advise``, ``compare`` and ``balance`` write their pages with :func:`write_page`. Every text
is escaped, so a folder or a class may have any name.
"""

from __future__ import annotations

import base64
import io
import os
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

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
    """One part of a page; what is not given is left out.

    Parameters
    ----------
    heading : str
    text : sequence of str
        Paragraphs.
    warnings : sequence of str
        Paragraphs that are marked as such.
    steps : sequence of str
        A numbered list.
    table : DataFrame
        Shown without its index; floats with four digits, missing values as empty cells.
    figure : Figure or Path
        Drawn into the page, or a PNG that is copied into it.
    caption : str
        Of the figure.
    pictures : sequence of (str, ndarray of uint8, shape (height, width[, 3]))
        Small images with a caption each.
    """

    heading: str = ""
    text: Sequence[str] = ()
    warnings: Sequence[str] = ()
    steps: Sequence[str] = ()
    table: pd.DataFrame | None = None
    figure: Figure | Path | None = None
    caption: str = ""
    pictures: Sequence[tuple[str, np.ndarray]] = ()


def write_page(
    path: str | os.PathLike[str], *, title: str, sections: Iterable[Section], command: str
) -> Path:
    """Write a page, whole or not at all.

    Parameters
    ----------
    path : path
        Of the page; it ends in ``.html``.
    title : str
    sections : iterable of Section
    command : str
        The command line that repeats what is shown.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ValueError
        If `path` does not end in ``.html`` or ``.htm``.
    OSError
        If it cannot be written; a page that was there is then as it was.
    """
    from jinja2 import Environment

    from gmaug import __version__

    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"{path.name!r}: a page ends in .html")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path.parent}: no such folder to write a page in")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    parts = [_plain(section) for section in sections]
    page = template.render(title=_text(title), sections=parts, command=_text(command), version=__version__)
    handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:100]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(page)
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
    except BaseException:
        Path(scratch).unlink(missing_ok=True)
        raise
    return path


def _plain(section: Section) -> dict[str, Any]:
    """What the template shows of a section: texts, and pictures as ``data:`` addresses."""
    import pandas as pd

    table = section.table
    return {
        "heading": _text(section.heading),
        "caption": _text(section.caption),
        **{name: [_text(line) for line in getattr(section, name)] for name in ("text", "warnings", "steps")},
        "columns": [] if table is None else [_text(name) for name in table.columns],
        "numeric": [] if table is None else [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes],
        "rows": None
        if table is None
        else [[_cell(value) for value in row] for row in table.itertuples(index=False)],
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
