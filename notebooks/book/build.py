"""Build the book: ``python notebooks/book/build.py [--out FOLDER]``, or ``make book``.

The site is made from what is committed, and runs nothing: the notebooks with their outputs, ``figures/``, the
README, the list of claims and the docstrings. Pages are written to ``runs/book-source``, and Sphinx makes
``runs/book`` of them.
"""

from __future__ import annotations

import argparse
import html
import json
import re
import shutil
import sys
from pathlib import Path

import nbformat
from nbformat.v4 import new_markdown_cell

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from gmaug import published, report  # noqa: E402

HERE, NOTEBOOKS, FIGURES = Path(__file__).parent, ROOT / "notebooks", ROOT / "figures"
SOURCE = ROOT / "runs" / "book-source"
NAMED = re.compile(r"""nb\.(?:figure|table)\(.*?["']((?:fig|table)[0-9a-z_]+)["']""", re.DOTALL)
LINK = re.compile(r"\[([^\[\]]+)\]\((\d\d_\w+)\.ipynb[^)]*\)")
CLASSES = {report.ITSELF: "itself", report.NOT_RUN: "not-run", report.CONSTRUCTION: "construction"}


class Book:
    """What the pages need to know of each other: where figures are drawn, and what the verdicts are."""

    def __init__(self) -> None:
        self.claims = published.claims().to_dict("records")
        self.by_text = {f"{row['claim']} ({row['section']})": row["id"] for row in self.claims}
        self.verdicts = {row["id"]: row for row in report.committed_verdicts(NOTEBOOKS)}
        self.drawn: dict[str, str] = {}
        paths = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb"))
        self.books = {path.stem: nbformat.read(path, as_version=4) for path in paths}
        self.titles = {name: self._title(book) for name, book in self.books.items()}

    @staticmethod
    def _title(book: nbformat.NotebookNode) -> str:
        return book.cells[0].source.splitlines()[0].lstrip("# ")

    def notebook(self, name: str) -> nbformat.NotebookNode:
        """A notebook for the book: anchors at figures, vector pictures, links from verdicts to claims."""
        book, cells = self.books[name], []
        for cell in book.cells:
            if cell.cell_type == "markdown":
                cell.source = LINK.sub(self._link, cell.source)
                cells.append(cell)
                continue
            names = [n for n in dict.fromkeys(NAMED.findall(cell.source)) if (FIGURES / f"{n}.csv").exists()]
            if names:
                anchors = "".join(f'<span id="cell-{n}"></span>' for n in names)
                cells.append(new_markdown_cell(anchors))
            self._pictures(cell, [n for n in names if n.startswith("fig")])
            for data in (output.get("data", {}) for output in cell.outputs):
                if "text/markdown" in data:
                    data["text/markdown"] = LINK.sub(self._link, data["text/markdown"])
            if "nb.verdicts()" in cell.source:
                cells.append(new_markdown_cell('<span id="verdicts"></span>'))
                self._link_claims(cell)
            cells.append(cell)
            for n in names:
                self.drawn[n] = name
                page = "figures" if n.startswith("fig") else "tables"
                place = f'<a href="{page}.html#{n}">in the list of {page}</a>'
                cells.append(new_markdown_cell(f'<p class="origin">{n}: {files(n)} · {place}</p>'))
        book.cells = cells
        return book

    def _link(self, link: re.Match[str]) -> str:
        """A link to another notebook; its text alone where that is not written yet."""
        return link[0] if link[2] in self.books else link[1]

    @staticmethod
    def _pictures(cell: nbformat.NotebookNode, names: list[str]) -> None:
        """Put the vector picture where the cell shows one named figure and nothing else."""
        shown = [o for o in cell.outputs if "image/png" in o.get("data", {})]
        if len(shown) == len(names) == 1:
            data = shown[0]["data"]
            del data["image/png"]
            data["image/svg+xml"] = (FIGURES / f"{names[0]}.svg").read_text("utf-8")

    def _link_claims(self, cell: nbformat.NotebookNode) -> None:
        """Link each claim of a closing table to its place in the list."""
        for output in cell.outputs:
            lines = output.get("data", {}).get("text/markdown", "").splitlines()
            for k, line in enumerate(lines[2:], 2):
                key = self.by_text.get(report.table_row(line)[0])
                if key:
                    lines[k] = line.replace("| ", f'| <a href="claims.html#{key}">¶</a> ', 1)
            if lines:
                output["data"]["text/markdown"] = "\n".join(lines)

    def claims_page(self) -> str:
        """The list of claims: an anchor, a verdict and the evidence for each."""
        frame = report.table(self.verdicts.values())
        kinds = [*report.VERDICTS, report.CONSTRUCTION]
        counts = frame["verdict"].value_counts()
        button = '<button type="button" data-kind="{}" aria-pressed="false">{}: {}</button>'
        buttons = "".join(button.format(css(kind), kind, counts[kind]) for kind in kinds if kind in counts)
        parts = [
            "# Claims\n",
            "What the papers say, and what was found.\n",
            f"{report.tally(frame)}. *Not run* means that the data, a GPU or the hours were not at hand; it "
            "is no verdict. *Inconclusive* means that the interval holds both answers. Each verdict is taken "
            "from the closing table of a notebook as committed.\n",
            f'<div class="filter" role="group" aria-label="Show one verdict">{buttons}</div>\n',
        ]
        for section in dict.fromkeys(frame["section"]):
            parts.append(f"## {heading(section)}\n")
            parts += [self._claim(row) for row in frame[frame["section"] == section].to_dict("records")]
        return "\n".join([*parts, f"<script>{FILTER}</script>\n"])

    def _claim(self, row: dict[str, object]) -> str:
        said = {name: html.escape(str(row[name])) for name in ("claim", "ours", "verdict", "why", "test")}
        name = self.verdicts.get(row["id"], {}).get("notebook")
        evidence = "" if name is None else (
            f' · <a href="{name}.html#verdicts">evidence: {html.escape(self.titles[name])}</a>'
        )  # fmt: skip
        paper = html.escape(f"{row['paper']} {row['unit']}".strip())
        ours = f" · found: {said['ours']}" if row["ours"] else ""
        why = "" if row["why"] == row["test"] else f'<p class="detail">{said["why"]}</p>\n'
        return (
            f'<div class="claim {css(row["verdict"])}" id="{row["id"]}">\n<p>{said["claim"]}</p>\n'
            f'<p class="detail"><span class="verdict">{said["verdict"]}</span> · paper: {paper}{ours}</p>\n'
            f"{why}"
            f'<p class="detail">Tested by: {said["test"]}{evidence}</p>\n'
            f'<a class="self" href="#{row["id"]}">{row["id"]}</a>\n</div>\n'
        )

    def pictures_page(self) -> str:
        """Every figure with its caption, the cell that drew it, and its data."""
        parts = [
            "# Figures\n",
            "Numbers are the paper's; S1 and S2 are the two further systems. Every figure names the cell "
            "that drew it and the data that it shows.\n",
        ]
        for about in sidecars("fig"):
            name = about["name"]
            image = (
                f'<img src="figures/{name}.svg" alt="{html.escape(str(about["caption"]))}" loading="lazy">'
            )
            parts += [
                f'<span id="{name}"></span>\n',
                f"## {number(name)}\n",
                f'<figure class="drawn">{image}</figure>\n',
                f"{about['caption']}\n",
                self._origin(name),
            ]
        return "\n".join(parts)

    def tables_page(self) -> str:
        """Every table of the paper beside ours."""
        parts = ["# Tables\n", "The paper's tables, beside what was found here.\n"]
        for about in sidecars("table"):
            text = (FIGURES / f"{about['name']}.md").read_text("utf-8")
            parts += [f'<span id="{about["name"]}"></span>\n', f"## {number(about['name'])}\n", text,
                      self._origin(about["name"])]  # fmt: skip
        return "\n".join(parts)

    def _origin(self, name: str) -> str:
        if name not in self.drawn:
            raise SystemExit(f"no notebook makes {name}; run make notebooks, or take it out of figures/")
        where = self.drawn[name]
        title = html.escape(self.titles[where])
        cell = f'<a href="{where}.html#cell-{name}">made by this cell of {title}</a>'
        return f'<p class="origin">{cell} · {files(name)}</p>\n'


FILTER = """
document.querySelectorAll('.filter button').forEach(button => button.addEventListener('click', () => {
  const on = button.getAttribute('aria-pressed') !== 'true';
  document.querySelectorAll('.filter button').forEach(
    b => b.setAttribute('aria-pressed', b === button && on));
  document.querySelectorAll('.claim').forEach(claim => {
    claim.hidden = on && !claim.classList.contains(button.dataset.kind); });
}));
"""


def css(verdict: str) -> str:
    """The verdict as the name of a style."""
    return CLASSES.get(verdict, verdict)


def heading(section: str) -> str:
    """``3.1, Eq. 1`` as a heading."""
    return f"Section {section}" if section[:1].isdigit() else section


def number(name: str) -> str:
    """``fig7_decay`` as ``Figure 7: decay``."""
    kind, place, rest = re.fullmatch(r"(fig|table)(\d+|_s\d+)_(.*)", name).groups()
    title = rest.replace("_", " ")
    return f"{'Figure' if kind == 'fig' else 'Table'} {place.strip('_').upper()}: {title}"


def files(name: str) -> str:
    """Links to the files of a figure or table."""
    kinds = {"csv": "data (CSV)", "svg": "vector (SVG)", "png": "PNG", "md": "Markdown", "json": "provenance"}
    return " · ".join(
        f'<a href="figures/{name}.{kind}">{text}</a>'
        for kind, text in kinds.items()
        if (FIGURES / f"{name}.{kind}").exists()
    )


def sidecars(kind: str) -> list[dict[str, object]]:
    """What is known of each figure or table in ``figures/``; the paper's first."""
    return [json.loads(path.read_text("utf-8")) for path in sorted(FIGURES.glob(f"{kind}*.json"),
            key=lambda path: ("_s1_" in path.stem or "_s2_" in path.stem, path.stem))]  # fmt: skip


def index_page() -> str:
    """The README as start page."""
    text = (ROOT / "README.md").read_text("utf-8")
    text = (
        text.replace("](notebooks/book/", "](")
        .replace("](notebooks/", "](")
        .replace(".png)", ".svg)")
        .replace("](figures)", "](figures.md)")
    )
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
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts[1] in ("__init__", "__main__") or "__pycache__" in parts:
            continue
        rooms.setdefault(parts[1], []).append(".".join(parts).removesuffix(".__init__"))
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
    book = Book()
    for name in book.books:
        nbformat.write(book.notebook(name), SOURCE / f"{name}.ipynb")
    api = api_pages()
    pages = {
        "index": index_page(),
        "notebooks": list_page("The notebooks", "They tell the story in this order; each can be read alone.",
                               list(book.books)),
        "figures": book.pictures_page(),
        "tables": book.tables_page(),
        "claims": book.claims_page(),
        "api": list_page("The module", "From its docstrings, a page for each room.", list(api)),
        **api,
    }  # fmt: skip
    for path in HERE.glob("*.md"):
        shutil.copy(path, SOURCE / path.name)
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
