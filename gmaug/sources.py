"""Which modules of the package a module or a notebook depends on, and what they mean.

A stage is rerun, a record refused and a committed notebook called stale when one of these
meanings changed. Comments, layout and docstrings have no meaning here.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from gmaug.provenance import meaning, module_file

# They say how a run is shown, kept and named, and decide no number of it.
BOOKKEEPING = frozenset({"progress", "provenance", "sources", "stages"})


@cache
def imported(module: str) -> frozenset[str]:
    """Modules of the package that `module` imports anywhere in its code.

    Parameters
    ----------
    module : str
        Dotted name inside the package, such as ``"datasets.garden"``.
    """
    return _imports(ast.parse(module_file(module).read_text(encoding="utf-8")))


def closure(modules: Iterable[str]) -> dict[str, str]:
    """Each of `modules` and all they import, directly or not, with a digest of its meaning.

    Modules that keep books and decide no number are left out; one that is gone has the digest
    ``"gone"``.
    """
    found: dict[str, str] = {}
    waiting = list(modules)
    while waiting:
        module = waiting.pop()
        if not module_file(module).is_file():
            found[module] = "gone"
        elif module not in found and module not in BOOKKEEPING:
            found[module] = meaning(module_file(module))
            waiting.extend(imported(module))
    return dict(sorted(found.items()))


def of_notebook(path: Path) -> dict[str, str]:
    """The closure of what a notebook's code cells import."""
    imports: set[str] = set()
    for source in code_cells(path):
        imports |= _imports(ast.parse(source))
    return closure(imports)


def code_cells(path: Path) -> list[str]:
    """Source of the code cells of a notebook, without lines of magic."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    return ["\n".join(s for s in source.splitlines() if not s.startswith(("%", "!"))) for source in sources]


def _imports(tree: ast.AST) -> frozenset[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    inside = {name.removeprefix("gmaug").lstrip(".") for name in names if name.split(".")[0] == "gmaug"}
    parents = {name.rpartition(".")[0] for name in inside}
    return frozenset(name for name in inside | parents if name and module_file(name).is_file())
