"""Pages: whole or not at all, readable offline, every name escaped."""

import numpy as np
import pandas as pd
import pytest

from gmaug.page import Section, write_page


def test_a_page_holds_what_it_is_given(tmp_path):
    table = pd.DataFrame({"class": ["a<b", "c"], "gain": [1.5, np.nan]})
    section = Section(
        "Heading & more",
        ["A paragraph."],
        ["A warning."],
        ["One", "Two"],
        table=table,
        pictures=[("a\x07b", np.zeros((4, 4, 3), np.uint8))],
    )
    path = write_page(tmp_path / "page.html", title="T", sections=[section], command="gmaug x 'a b'")
    text = path.read_text(encoding="utf-8")
    for part in ("Heading &amp; more", "A paragraph.", "A warning.", "<li>Two</li>", "a&lt;b", "<td", "1.5"):
        assert part in text
    assert "nan" not in text
    assert "\x07" not in text
    assert "data:image/png;base64," in text
    assert "http" not in text
    assert "gmaug x &#39;a b&#39;" in text


def test_a_page_that_fails_leaves_what_was_there(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")
    broken = Section(pictures=[("x", np.zeros((2, 2, 7), np.uint8))])
    with pytest.raises(Exception, match=r"."):
        write_page(path, title="T", sections=[broken], command="")
    assert path.read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == ["page.html"]


def test_where_a_page_cannot_go(tmp_path):
    with pytest.raises(ValueError, match="html"):
        write_page(tmp_path / "page.txt", title="T", sections=[], command="")
    with pytest.raises(FileNotFoundError, match="no such folder"):
        write_page(tmp_path / "missing" / "page.html", title="T", sections=[], command="")
