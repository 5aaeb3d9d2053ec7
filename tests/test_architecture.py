"""The rooms of the house import one way."""

import pytest

from gmaug import sources
from gmaug.provenance import PACKAGE

# Each room may import those before it; a package's files belong to one room.
ORDER = (
    ("provenance", "progress", "backend", "sources", "stages", "hierarchy", "published"),
    ("claims", "profiles", "records", "report"),
    ("datasets",),
    ("ssim",),
    ("similarity",),
    ("generators",),
    ("classifiers",),
    ("named",),
    ("selection", "resampling", "augcls"),
    ("study", "experiment"),  # the study lists the experiment's cells, which draw from its generators
    ("law",),
    ("advice", "plots"),
    ("notebook", "execution", "readme", "html_report", "reproduce", "bench"),
    ("__main__",),
)


def room(module):
    return module.split(".")[0]


def modules():
    paths = (p.relative_to(PACKAGE).with_suffix("") for p in PACKAGE.rglob("*.py"))
    return sorted({".".join(p.parts).removesuffix(".__init__") for p in paths} - {"__init__"})


LEVEL = {name: level for level, names in enumerate(ORDER) for name in names}


@pytest.mark.parametrize("module", modules())
def test_a_room_imports_only_from_those_before_it(module):
    assert room(module) in LEVEL, f"gmaug/{module}: say in this test where the room stands"
    later = {name for name in sources.imported(module) if LEVEL[room(name)] > LEVEL[room(module)]}
    if module == "__main__":
        return
    assert not later, f"gmaug/{module} imports {', '.join(sorted(later))}, which come after it"


@pytest.mark.parametrize("module", modules())
def test_a_file_is_no_longer_than_a_room(module):
    path = PACKAGE.joinpath(*module.split("."))
    path = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 300, "over 300 lines is two rooms"
