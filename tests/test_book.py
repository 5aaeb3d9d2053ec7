"""The book builds without the network, and a browser that opens it finds nothing missing."""

import shutil
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urldefrag, urlsplit

import pytest
from bs4 import BeautifulSoup

ROOT = Path(__file__).parents[1]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE = 600_000  # milliseconds
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def book(tmp_path_factory):
    pytest.importorskip("myst_nb")
    out = tmp_path_factory.mktemp("book")
    command = [sys.executable, "notebooks/book/build.py", "--out", str(out)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr
    return out


@pytest.fixture(scope="module")
def pages(book):
    paths = [path for path in sorted(book.rglob("*.html")) if "_static" not in path.parts]
    return {path: BeautifulSoup(path.read_text("utf-8"), "html.parser") for path in paths}


@pytest.fixture
def page():
    """A phone's browser, in which nothing is late on a busy machine."""
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip("no chromium on this machine")
    api = pytest.importorskip("playwright.sync_api")
    with api.sync_playwright() as playwright:
        options = {"args": ["--no-sandbox"], "timeout": PATIENCE}
        browser = playwright.chromium.launch(executable_path=found, **options)
        page = browser.new_page(viewport=PHONE)
        page.set_default_timeout(PATIENCE)
        yield page
        browser.close()


def test_every_internal_link_leads_somewhere(pages):
    anchors = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    dead = []
    for path, page in pages.items():
        for tag in page.find_all(["a", "img", "script", "link"]):
            target = tag.get("href") or tag.get("src")
            if not target or urlsplit(target).scheme:
                continue
            place, anchor = urldefrag(target)
            place = urlsplit(place).path
            file = (path.parent / unquote(place)).resolve() if place else path
            if not file.is_file() or (anchor and file in anchors and unquote(anchor) not in anchors[file]):
                dead.append(f"{path.name}: {target}")
    assert not dead


def test_it_holds_every_notebook_figure_and_claim(book, pages):
    from gmaug import published

    for notebook in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
        assert book / f"{notebook.stem}.html" in pages
    ids = {tag["id"] for tag in pages[book / "claims.html"].find_all(class_="claim")}
    assert ids == set(published.claims()["id"])
    for page, kind in (("figures", "fig*.svg"), ("tables", "table*.md")):
        listed = {tag["id"] for tag in pages[book / f"{page}.html"].find_all(id=True)}
        assert {path.stem for path in (ROOT / "figures").glob(kind)} <= listed


def test_formulas_are_drawn_without_a_script(book, pages):
    text = pages[book / "01_ssim_background.html"]
    assert text.find("math") is not None
    assert not text.find_all("merror")


def test_tables_in_outputs_are_tables(book, pages):
    assert "claim" in pages[book / "06_curve_fit.html"].find(id="verdicts").find_next("th").text
    assert not [path for path, page in pages.items() if "| --- |" in page.text]


def test_a_browser_finds_no_error_asks_no_network_and_every_page_fits_a_phone(book, pages, page):
    problems = []
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: request.url.startswith("http") and problems.append(request.url))
    for path in pages:
        page.goto(path.as_uri())
        width = page.evaluate("document.documentElement.scrollWidth")
        if width > PHONE["width"]:
            problems.append(f"{path.name}: {width} px wide")
    page.goto((book / "search.html").as_uri() + "?q=jackknife")
    page.wait_for_selector("#search-results li")
    assert not problems
