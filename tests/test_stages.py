"""Kept results: what makes one stale, and that half-written ones are never read."""

import json

import pytest

from gmaug import sources, stages
from gmaug.provenance import digest, meaning, meaning_of


def counted(results):
    calls = []

    def compute():
        calls.append(None)
        return results[len(calls) - 1]

    return compute, calls


def test_a_kept_result_is_not_computed_again(tmp_path):
    compute, calls = counted([{"a": 1}, {"a": 2}])
    key = stages.make_key(settings={"n": 3})
    kept = stages.Stages(tmp_path)
    assert kept.get("x", compute, key=key) == {"a": 1}
    assert stages.Stages(tmp_path).get("x", compute, key=key) == {"a": 1}
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("part", "value"), [("settings", {"n": 4}), ("inputs", "other"), ("source", {"ssim": "new"})]
)
def test_each_part_of_the_key_counts_and_is_named(tmp_path, part, value):
    said = []
    kept = stages.Stages(tmp_path, say=said.append)
    key = {"settings": {"n": 3}, "inputs": None, "source": {"ssim": "old"}}
    kept.get("x", lambda: 1, key=key)
    assert kept.get("x", lambda: 2, key={**key, part: value}) == 2
    assert part in said[-1]


def test_a_damaged_file_is_computed_again(tmp_path):
    kept = stages.Stages(tmp_path)
    key = stages.make_key()
    kept.get("x", lambda: 1, key=key)
    (tmp_path / "x.json").write_text('{"key": ')
    assert kept.reason("x", key) == "its file is damaged"
    assert kept.get("x", lambda: 2, key=key) == 2


def test_a_failing_computation_keeps_what_was_there(tmp_path):
    kept = stages.Stages(tmp_path)
    key = stages.make_key(settings=1)
    kept.get("x", lambda: 1, key=key)

    def fail():
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        kept.get("x", fail, key=stages.make_key(settings=2))
    assert kept.reason("x", key) is None


def test_meaning_is_the_same_for_every_python():
    # the digest that Python 3.11, 3.12 and 3.13 gave; their ast.dump and ast.unparse differ
    source = 'def f(x, *, y=1):\n    return f"{x} and " f"{y!r}" "."\n'
    assert meaning_of(source) == "942d2ffe631ee497"
    assert len({meaning_of(s) for s in ("x = 1", "x = '1'", "x = f'1'", "x = 1.0", "x = True")}) == 5


def test_comments_layout_and_docstrings_have_no_meaning(tmp_path):
    path = tmp_path / "m.py"
    path.write_text("def f(x):\n    return x + 1\n")
    plain = meaning(path)
    path.write_text('"""Module."""\n\ndef f( x ):\n    """Add."""\n    # why\n    return (x + 1)\n')
    assert meaning(path) == plain
    path.write_text("def f(x):\n    return x + 2\n")
    assert meaning(path) != plain


def test_the_closure_follows_lazy_imports_too():
    found = sources.closure(["notebook"])
    assert {"notebook", "report", "claims", "published"} <= set(found)


def test_code_cells_of_a_notebook_lose_their_magic(tmp_path):
    cells = [
        {"cell_type": "code", "source": ["%matplotlib inline\n", "from gmaug import sources"]},
        {"cell_type": "markdown", "source": ["import gmaug.stages"]},
    ]
    path = tmp_path / "n.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    assert sources.code_cells(path) == ["from gmaug import sources"]
    assert "stages" not in sources.of_notebook(path)


def test_digest_tells_shapes_types_and_order_apart():
    import numpy as np

    a = np.arange(6, dtype=np.uint8)
    values = [digest(a), digest(a.reshape(2, 3)), digest(a.astype(np.int16)), digest(a, 1), digest(1, a)]
    assert len(set(values)) == len(values)
    with pytest.raises(TypeError, match="cannot record"):
        digest(object())
