"""Build the book: ``python notebooks/book/build.py [--out FOLDER]``, or ``make book``.

The site is made from what is committed, and runs nothing: the notebooks with their outputs, ``figures/``, the
README, the list of claims and the docstrings. Pages are written to ``runs/book-source``, and Sphinx makes
``runs/book`` of them.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import nbformat
from jinja2 import Environment
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gmaug import report  # noqa: E402

HERE, NOTEBOOKS, FIGURES = Path(__file__).parent, ROOT / "notebooks", ROOT / "figures"
SOURCE = ROOT / "runs" / "book-source"
NAMED = re.compile(r"""nb\.(?:figure|table)\(.*?["']((?:fig|table)[0-9a-z_]+)["']""", re.DOTALL)
CLASSES = {report.ITSELF: "itself", report.NOT_RUN: "not-run", report.CONSTRUCTION: "construction"}
KINDS = {"csv": "data (CSV)", "svg": "vector (SVG)", "png": "PNG", "md": "Markdown", "json": "provenance"}

GALLERY = """\
# {{ "Figures" if kind == "fig" else "Tables" }}

{% if kind == "fig" %}
Numbers are the paper's; S1, S5 and S8 are the companion's own, of notebooks 07, 05 and 08. Every figure names
the cell that drew it and the data that it shows.
{% else %}
The paper's tables, beside what was found here.
{% endif %}

{% for item in items %}
<span id="{{ item.name }}"></span>

## {{ item.name | number }}

{% if kind == "fig" %}
<figure class="drawn"><img src="figures/{{ item.name }}.svg" alt="{{ item.caption }}" loading="lazy"></figure>

{{ item.caption | safe }}
{% else %}
{{ item.text | safe }}
{% endif %}

<p class="origin"><a href="{{ drawn[item.name] }}.html#cell-{{ item.name }}">made by this cell of \
{{ titles[drawn[item.name]] }}</a> · {{ item.name | files }}</p>

{% endfor %}
"""

CLAIMS = """\
# Claims

What the papers say, and what was found.

{{ tally }}. *Not run* means that the data, a GPU or the hours were not at hand; it is no verdict.
*Inconclusive* means that the interval holds both answers. Each verdict is taken from the closing table of a
notebook as committed.

<div class="filter" role="group" aria-label="Show one verdict">
{% for kind, count in counts.items() %}
<button type="button" data-kind="{{ kind | css }}" aria-pressed="false">{{ kind }}: {{ count }}</button>
{% endfor %}
</div>

{% for row in rows %}
{% if loop.changed(row.section) %}
## {{ "Section " if row.section[0] in "0123456789" }}{{ row.section }}

{% endif %}
<div class="claim {{ row.verdict | css }}" id="{{ row.id }}">
<p>{{ row.claim }}</p>
<p class="detail"><span class="verdict">{{ row.verdict }}</span> · paper: {{ row.paper }} {{ row.unit }}
{% if row.ours %} · found: {{ row.ours }}{% endif %}</p>
{% if row.why != row.test %}
<p class="detail">{{ row.why }}</p>
{% endif %}
<p class="detail">Tested by: {{ row.test }}{% if row.id in evidence %} ·
<a href="{{ evidence[row.id] }}.html#verdicts">evidence: {{ titles[evidence[row.id]] }}</a>{% endif %}</p>
<a class="self" href="#{{ row.id }}">{{ row.id }}</a>
</div>

{% endfor %}
<script>
document.querySelectorAll('.filter button').forEach(button => button.addEventListener('click', () => {
  const on = button.getAttribute('aria-pressed') !== 'true';
  document.querySelectorAll('.filter button').forEach(
    b => b.setAttribute('aria-pressed', b === button && on));
  document.querySelectorAll('.claim').forEach(claim => {
    claim.hidden = on && !claim.classList.contains(button.dataset.kind); });
}));
</script>
"""


def number(name: str) -> str:
    """``fig7_decay`` as ``Figure 7: decay``."""
    kind, place, rest = re.fullmatch(r"(fig|table)(\d+|_s\d+)_(.*)", name).groups()
    title = rest.replace("_", " ")
    return f"{'Figure' if kind == 'fig' else 'Table'} {place.strip('_').upper()}: {title}"


def files(name: str) -> str:
    """Links to the files of a figure or table."""
    there = [(kind, text) for kind, text in KINDS.items() if (FIGURES / f"{name}.{kind}").exists()]
    return " · ".join(f'<a href="figures/{name}.{kind}">{text}</a>' for kind, text in there)


def render(template: str, **values: Any) -> str:
    """A page of one of the templates above; values are escaped but where they are said to be safe."""
    environment = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters |= {"number": number, "css": lambda verdict: CLASSES.get(verdict, verdict)}
    environment.filters["files"] = lambda name: environment.filters["safe"](files(name))
    return environment.from_string(template).render(values)


def prepare(book: nbformat.NotebookNode, claims: dict[str, str]) -> list[str]:
    """Give a notebook anchors at its figures, vector pictures, and links from verdicts to claims.

    `claims` are the ids by the text of the closing tables; returns the names of its figures and tables.
    """
    cells, made = [], []
    for cell in book.cells:
        if cell.cell_type == "markdown":
            cells.append(cell)
            continue
        names = [n for n in dict.fromkeys(NAMED.findall(cell.source)) if (FIGURES / f"{n}.csv").exists()]
        if names:
            cells.append(new_markdown_cell("".join(f'<span id="cell-{n}"></span>' for n in names)))
        figures = [name for name in names if name.startswith("fig")]
        shown = [output for output in cell.outputs if "image/png" in output.get("data", {})]
        if len(shown) == len(figures) == 1:  # where it shows one named figure and nothing else
            del shown[0]["data"]["image/png"]
            shown[0]["data"]["image/svg+xml"] = (FIGURES / f"{figures[0]}.svg").read_text("utf-8")
        if "nb.verdicts()" in cell.source:
            cells.append(new_markdown_cell('<span id="verdicts"></span>'))
            link_claims(cell, claims)
        cells.append(cell)
        for name in names:
            page = "figures" if name.startswith("fig") else "tables"
            place = f'<a href="{page}.html#{name}">in the list of {page}</a>'
            cells.append(new_markdown_cell(f'<p class="origin">{name}: {files(name)} · {place}</p>'))
        made += names
    book.cells = cells
    return made


def link_claims(cell: nbformat.NotebookNode, claims: dict[str, str]) -> None:
    """Link each claim of a closing table to its place in the list."""
    for output in cell.outputs:
        lines = output.get("data", {}).get("text/markdown", "").splitlines()
        for k, line in enumerate(lines):
            if key := claims.get(next(iter(report.table_row(line)), "")):
                lines[k] = line.replace("| ", f'| <a href="claims.html#{key}">¶</a> ', 1)
        if lines:
            output["data"]["text/markdown"] = "\n".join(lines)


def gallery(kind: str, drawn: dict[str, str], titles: dict[str, str]) -> str:
    """Every figure (``fig``) or ``table``, the paper's first, with the cell that made it, and its data."""
    items = []
    for path in sorted(FIGURES.glob(f"{kind}*.json")):  # digits stand before the underscore of fig_s1_
        if path.stem not in drawn:
            raise SystemExit(f"no notebook makes {path.stem}; run make notebooks, or take it out of figures/")
        text = path.with_suffix(".md").read_text("utf-8") if kind == "table" else ""
        items.append({**json.loads(path.read_text("utf-8")), "text": text})
    return render(GALLERY, kind=kind, items=items, drawn=drawn, titles=titles)


def index_page() -> str:
    """The README as start page."""
    text = (ROOT / "README.md").read_text("utf-8").replace(".png)", ".svg)")
    text = re.sub(r"\]\(notebooks/(book/)?", "](", text).replace("](figures)", "](figures.md)")
    text = re.sub(r"\]\((CITATION\.cff|LICENSE)\)", r"](extra/\1)", text)
    pages = ["notebooks", "your_folder", "figures", "tables", "claims", "api"]
    return "\n".join([text, "```{toctree}", ":hidden:", "", *pages, "```", ""])


def list_page(title: str, text: str, pages: list[str]) -> str:
    """A page that lists others."""
    return "\n".join([f"# {title}", "", text, "", "```{toctree}", ":maxdepth: 1", "", *pages, "```", ""])


def api_pages() -> dict[str, str]:
    """A page for each room of the module, from its docstrings."""
    rooms: dict[str, list[str]] = {}
    for path in sorted((ROOT / "gmaug").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        if module not in ("gmaug", "gmaug.__main__"):
            rooms.setdefault(module.split(".")[1], []).append(module)
    pages = {}
    for room, modules in rooms.items():
        lines = [f"# gmaug.{room}", ""]
        for module in sorted(modules):
            lines += [f"## {module}"] if module != f"gmaug.{room}" else []
            lines += ["```{eval-rst}", f".. automodule:: {module}", "```", ""]
        pages[f"api/{room}"] = "\n".join(lines)
    return pages


def write_source() -> None:
    """Write every page that Sphinx reads."""
    shutil.rmtree(SOURCE, ignore_errors=True)
    (SOURCE / "api").mkdir(parents=True)
    shutil.copytree(FIGURES, SOURCE / "extra" / "figures")
    for name in ("CITATION.cff", "LICENSE"):
        shutil.copy(ROOT / name, SOURCE / "extra" / name)
    shutil.copytree(FIGURES, SOURCE / "figures", ignore=shutil.ignore_patterns("*.md"))
    for path in HERE.glob("*.md"):
        shutil.copy(path, SOURCE / path.name)
    verdicts = report.committed_verdicts(NOTEBOOKS)
    claims = report.table(verdicts)
    ids = dict(zip(claims["claim"] + " (" + claims["section"] + ")", claims["id"], strict=True))
    titles, drawn = {}, {}
    for path in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        book = nbformat.read(path, as_version=4)
        titles[path.stem] = book.cells[0].source.splitlines()[0].lstrip("# ")
        drawn |= dict.fromkeys(prepare(book, ids), path.stem)
        nbformat.write(book, SOURCE / path.name)
    counts = claims["verdict"].value_counts()
    counts = {kind: counts[kind] for kind in (*report.VERDICTS, report.CONSTRUCTION) if kind in counts}
    order = dict.fromkeys(claims["section"])
    api, story = api_pages(), "They tell the story in this order; each can be read alone."
    pages = {
        "index": index_page(),
        "notebooks": list_page("The notebooks", story, list(titles)),
        "figures": gallery("fig", drawn, titles),
        "tables": gallery("table", drawn, titles),
        "claims": render(
            CLAIMS, tally=report.tally(claims), counts=counts, titles=titles,
            rows=[row for one in order for row in claims[claims["section"] == one].to_dict("records")],
            evidence={row["id"]: row["notebook"] for row in verdicts},
        ),
        "api": list_page("The module", "From its docstrings, a page for each room.", list(api)),
        **api,
    }  # fmt: skip
    for name, text in pages.items():
        (SOURCE / f"{name}.md").write_text(text, encoding="utf-8")


def main() -> int:
    """Write the pages and have Sphinx build them; its exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "runs" / "book")
    options = parser.parse_args()
    from sphinx.cmd.build import build_main

    write_source()
    status = build_main(["-q", "-c", str(HERE), str(SOURCE), str(options.out)])
    if not status:
        print(options.out / "index.html")
    return status


if __name__ == "__main__":
    raise SystemExit(main())
