"""The form of the notebooks: parameters, links, cells of a size to read, no errors."""

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from gmaug.reproduce import NOTEBOOKS, PARAMETERS
from gmaug.runs import PACKAGE

FOLDER = Path(__file__).parents[1] / "notebooks"
TAGS = {
    "parameters",
    "hide-input",
    "nbval-check-output",
    "nbval-ignore-output",
    "nbval-skip",
    "raises-exception",
}
MOST_LINES_IN_A_CELL = 25  # what a screen holds beside its output

every_notebook = pytest.mark.parametrize("name", NOTEBOOKS)


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code(book):
    return [cell for cell in book.cells if cell.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip() and not line.lstrip().startswith("#")]


@every_notebook
def test_it_is_valid_and_begins_with_its_title_section_and_cost(name):
    book = read(name)
    nbformat.validate(book)
    opening = "\n".join(cell.source for cell in book.cells[:3] if cell.cell_type == "markdown")
    assert opening.startswith("# ")
    assert "https://arxiv.org/abs/2303.04854" in opening
    assert "**Cost.**" in opening


@every_notebook
def test_it_says_where_the_reader_is_and_links_to_its_neighbours(name):
    opening = read(name).cells[0].source
    place, names = list(NOTEBOOKS).index(name), list(NOTEBOOKS)
    line = re.search(r"\*\*Where you are\.\*\*(.*?)\n\n", opening, re.DOTALL)
    assert line, "no line that begins with **Where you are.**"
    assert re.search(rf"\*\*{name[:2]} [^*]+\*\*", line[1]), "its own name should stand in bold"
    for other in {names[0], *names[max(place - 1, 0) : place + 2]} - {name}:
        assert f"]({other}.ipynb)" in line[1]


@every_notebook
def test_its_parameters_are_the_known_literals(name):
    tagged = [cell for cell in code(read(name)) if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    found = {}
    for statement in ast.parse(tagged[0].source).body:
        assert isinstance(statement, ast.Assign)
        found[statement.targets[0].id] = ast.literal_eval(statement.value)
    assert found == PARAMETERS


@every_notebook
def test_its_cells_fit_a_screen(name):
    assert max(len(lines(cell)) for cell in code(read(name))) <= MOST_LINES_IN_A_CELL


@every_notebook
def test_its_tags_are_known_and_something_is_compared(name):
    tags = [tag for cell in code(read(name)) for tag in cell.metadata.get("tags", [])]
    assert set(tags) <= TAGS
    assert "nbval-check-output" in tags


@every_notebook
def test_it_was_executed_without_errors_from_top_to_bottom(name):
    cells = [cell for cell in code(read(name)) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    assert not [o for cell in cells for o in cell.outputs if o.output_type == "error"]
    assert not [o for cell in cells for o in cell.outputs if o.get("name") == "stderr"]


@every_notebook
def test_it_ends_with_its_verdicts_and_its_provenance(name):
    sources = [cell.source for cell in code(read(name))]
    assert "nb.footer()" in sources[-1]
    assert any("nb.verdicts()" in source for source in sources) or name.startswith("00")


@every_notebook
def test_it_names_no_path_of_one_machine(name):
    text = (FOLDER / f"{name}.ipynb").read_text(encoding="utf-8")
    assert not re.search(r"(?<![\w.~])/(home|root|tmp|work|Users)/", text)


def test_a_changed_constant_makes_the_comparison_fail(tmp_path):
    """The check can fail: with another K1 the outputs of notebook 01 no longer agree."""
    package = tmp_path / "gmaug"
    shutil.copytree(PACKAGE, package, ignore=shutil.ignore_patterns("__pycache__"))
    changed = [p for p in package.rglob("*.py") if _replace(p, r"(\bk1: float = )0\.01\b", r"\g<1>0.05")]
    assert changed, "no module sets k1: float = 0.01 any more"
    (tmp_path / "notebooks").mkdir()
    book = read("01_ssim_background")
    kept = _until_first_checked(book)
    nbformat.write(kept, tmp_path / "notebooks" / "01_ssim_background.ipynb")
    assert compare(tmp_path, PACKAGE.parent) == 0
    assert compare(tmp_path, tmp_path) == 1


def compare(folder, package_parent):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--nbval-lax", "notebooks"]
    command += ["--nbval-current-env", "--nbval-kernel-startup-timeout=600", "--nbval-cell-timeout=1800"]
    environment = {
        **os.environ,
        "PYTHONPATH": str(package_parent),
        "GMAUG_PROFILE": "smoke",
        "GMAUG_RUNS": str(folder / "runs"),
    }
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True).returncode


def _until_first_checked(book):
    """The notebook down to its first compared cell: enough to see it fail, and quick."""
    checked = [
        k for k, cell in enumerate(book.cells) if "nbval-check-output" in cell.metadata.get("tags", [])
    ]
    book.cells = book.cells[: checked[0] + 1]
    return book


def _replace(path, pattern, replacement):
    text = path.read_text(encoding="utf-8")
    new = re.sub(pattern, replacement, text)
    path.write_text(new, encoding="utf-8")
    return new != text
