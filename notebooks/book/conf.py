"""How Sphinx builds the book; ``build.py`` writes the pages that this reads."""

import re
import sys
import unicodedata
from pathlib import Path

import latex2mathml.converter
from docutils import nodes

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))  # for the docstrings of this checkout

project = "gmaug"
html_title = "gmaug: a paper, rerun"
copyright = "the gmaug authors, MIT licence"
root_doc = "index"
extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["extra"]

nb_execution_mode = "off"  # the outputs are those of the committed notebooks
nb_merge_streams = True
nb_render_markdown_format = "myst"  # so that tables in outputs are tables
nb_ipywidgets_js = {}  # what it would load comes from the network
myst_enable_extensions = ["dollarmath", "amsmath", "deflist"]
myst_heading_anchors = 3
myst_links_external_new_tab = False

autodoc_default_options = {"members": True, "member-order": "bysource", "ignore-module-all": True}
autodoc_typehints = "none"  # the docstrings say them, with shapes and units
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
add_module_names = False
toc_object_entries_show_parents = "hide"
suppress_warnings = ["ref.python"]  # a name that two classes have

html_theme = "pydata_sphinx_theme"
html_static_path = ["static"]
html_css_files = ["book.css"]
html_extra_path = [str(ROOT / "runs" / "book-source" / "extra")]
html_show_sourcelink = False
html_show_search_summary = False  # it fetches pages, which browsers refuse where these are files
html_copy_source = False
html_sidebars = {"index": [], "your_folder": [], "figures": [], "tables": [], "claims": []}
html_theme_options = {
    "logo": {"text": "gmaug"},
    "show_nav_level": 2,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "back_to_top_button": True,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_context = {"default_mode": "auto"}  # without it the theme complains in the browser's console


ALPHABETS = ("double-struck", "script", "bold")


def letter(match):
    """A letter of an alphabet of its own, as browsers draw none by the attribute that names it."""
    alphabet, drawn = match.groups()
    name = f"{alphabet.upper()} {'CAPITAL' if drawn.isupper() else 'SMALL'} {drawn.upper()}"
    try:
        return f"<mi>{unicodedata.lookup(f'MATHEMATICAL {name}')}</mi>"
    except KeyError:  # a few were there before the others
        return f"<mi>{unicodedata.lookup(name)}</mi>"


def formula(translator, node):
    """Write a formula as MathML, which browsers draw without any script, and its number beside it."""
    block = isinstance(node, nodes.math_block)
    text, number = node.astext(), re.search(r"\\tag\{(\w+)\}", node.astext())
    text = text.replace(number[0], "") if number else text
    body = latex2mathml.converter.convert(text, display="block" if block else "inline")
    body = re.sub(rf'<mi mathvariant="({"|".join(ALPHABETS)})">([A-Za-z])</mi>', letter, body)
    body += f'<span class="number">({number[1]})</span>' if number else ""
    tag = "div" if block else "span"
    translator.body.append(f'<{tag} class="math">{body}</{tag}>')
    raise nodes.SkipNode


def borrowed(app, what, name, object, skip, options):
    """Leave out the methods that scikit-learn makes for every estimator."""
    return True if re.fullmatch(r"set_\w+_request", name) else skip


def setup(app):
    """Make MathML a way to write formulas."""
    app.connect("autodoc-skip-member", borrowed)
    app.add_html_math_renderer("mathml", inline_renderers=(formula, None), block_renderers=(formula, None))


html_math_renderer = "mathml"
