"""Pages: whole or not at all, readable offline, every name escaped."""

import shutil
import subprocess

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


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.mark.skipif(BROWSER is None, reason="no chromium to open the page in")
def test_a_browser_shows_it_and_asks_for_nothing(tmp_path):
    table = pd.DataFrame({"class": ["<script>alert(1)</script>"], "images": [3]})
    path = write_page(
        tmp_path / "page.html", title="A & B", sections=[Section("T", table=table)], command="x"
    )
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--disable-sync",
               "--disable-background-networking", "--disable-component-update", "--no-first-run"]  # fmt: skip
    command = [BROWSER, *options, f"--user-data-dir={tmp_path / 'profile'}", "--dump-dom", path.as_uri()]
    shown = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    assert "<h1>A &amp; B</h1>" in shown.stdout
    assert "&lt;script&gt;" in shown.stdout
    assert "CONSOLE" not in shown.stderr
