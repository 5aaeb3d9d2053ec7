"""The rooms of the house import one way: no room imports one below it, so there is no cycle."""

import ast

import pytest

from gmaug.runs import PACKAGE

# Each room may import those in the lines above it and those in its own line.
ORDER = (
    ("runs", "progress", "backend", "published", "statistics"),
    ("hierarchy",),
    ("datasets",),
    ("ssim", "ssim_kernel"),
    ("similarity",),
    ("classifiers", "generators"),
    ("augcls", "mixing", "recognition"),
    ("experiment",),
    ("equivalence",),
    ("law",),
    ("plots", "page"),
    ("workspace",),
    ("advice", "balance", "compare"),
    ("report", "notebook", "reproduce"),
    ("__main__",),
)
LEVEL = {room: level for level, rooms in enumerate(ORDER) for room in rooms}


def modules():
    paths = (path.relative_to(PACKAGE).with_suffix("") for path in PACKAGE.rglob("*.py"))
    return sorted({".".join(path.parts).removesuffix(".__init__") for path in paths} - {"__init__"})


def imported(module):
    """Rooms that a module imports anywhere in its code, lazily too."""
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if (path / "__init__.py").is_file() else path.with_suffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        for name in names:
            parts = name.split(".")
            if parts[0] == "gmaug" and len(parts) > 1 and parts[1] in LEVEL:
                yield parts[1]


@pytest.mark.parametrize("module", modules())
def test_a_room_imports_only_from_those_above_it(module):
    room = module.split(".")[0]
    assert room in LEVEL, f"gmaug/{module}: say in this test where the room stands"
    below = {name for name in imported(module) if LEVEL[name] > LEVEL[room]}
    assert not below, f"gmaug/{module} imports {', '.join(sorted(below))}, which come below it"
