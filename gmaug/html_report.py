"""One page with everything a run made: figures, tables, verdicts, timings, environment.

The page carries its pictures and its style, so it reads the same with no network and can be sent
to a reviewer as one file.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from gmaug import claims
from gmaug.provenance import environment

COLOURS = {
    claims.MATCHES: "#009E73",
    claims.DIFFERS: "#D55E00",
    claims.ITSELF: "#CC79A7",
    claims.NOT_RUN: "#7F7F7F",
}

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; }
h1, h2 { line-height: 1.2; } h2 { margin-top: 2.5rem; border-bottom: 1px solid #ddd; }
figure { margin: 1.5rem 0; } img { max-width: 100%; } figcaption, caption { font-style: italic; color: #444; }
div.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; }
caption { caption-side: bottom; text-align: left; padding-top: .4rem; }
th, td { text-align: left; vertical-align: top; padding: .25rem .6rem; border-bottom: 1px solid #eee; }
th { border-bottom: 2px solid #ccc; } .verdict { font-weight: 600; white-space: nowrap; }
"""


def write(folder: Path, *, seconds: Mapping[str, float], parameters: Mapping[str, Any]) -> Path:
    """Write ``report.html`` into the folder of a run.

    Parameters
    ----------
    folder : Path
        Of the run; its ``figures`` and ``verdicts`` are read.
    seconds : mapping of str to float
        How long each notebook took when it ran.
    parameters : mapping
        Profile, seed, data.

    Returns
    -------
    Path
        The page.
    """
    parts = [
        "<h1>gmaug: a paper, rerun</h1>",
        "<p>Companion to Guo, Benitez-Quiroz, Feng and Martinez, <i>Structural Similarity: When to Use Deep "
        "Generative Models on Imbalanced Image Dataset Augmentation</i>, arXiv 2303.04854.</p>",
        f"<p>{escape(', '.join(f'{name} {value}' for name, value in parameters.items()))}</p>",
        "<h2>Verdicts</h2>",
        _verdicts(claims.table(claims.read(folder / "verdicts"))),
        "<h2>Figures</h2>",
        *(_figure(path) for path in sorted((folder / "figures").glob("fig*.json"))),
        "<h2>Tables</h2>",
        *(_table(path) for path in sorted((folder / "figures").glob("table*.json"))),
        "<h2>Time and environment</h2>",
        _rows({f"{name}": f"{value:.0f} s" for name, value in seconds.items()}),
        _rows(_flat(environment())),
    ]
    page = folder / "report.html"
    body = "\n".join(parts)
    page.write_text(
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>gmaug report</title>"
        f"<style>{STYLE}</style></head><body>\n{body}\n</body></html>\n",
        encoding="utf-8",
    )
    return page


def _verdicts(frame: pd.DataFrame) -> str:
    rows = []
    for row in frame.to_dict("records"):
        cells = [row["section"], row["claim"], row["paper"], row["ours"]]
        verdict = f"<span class='verdict' style='color:{COLOURS[row['verdict']]}'>{row['verdict']}</span>"
        rows.append("".join(f"<td>{escape(str(cell))}</td>" for cell in cells) + f"<td>{verdict}</td>")
        rows[-1] += f"<td>{escape(str(row['why']))}</td>"
    body = "\n".join(f"<tr>{row}</tr>" for row in rows)
    names = ("section", "claim", "paper", "ours", "verdict", "why")
    titles = "".join(f"<th>{name}</th>" for name in names)
    table = f"<div class='wide'><table><tr>{titles}</tr>{body}</table></div>"
    return f"<p>{claims.tally(frame)}.</p>{table}"


def _figure(sidecar: Path) -> str:
    about = json.loads(sidecar.read_text(encoding="utf-8"))
    picture = base64.b64encode(sidecar.with_suffix(".png").read_bytes()).decode()
    text = escape(about["caption"])
    return (
        f"<figure><img alt='{text}' src='data:image/png;base64,{picture}'>"
        f"<figcaption><b>{escape(about['name'])}</b> {text}</figcaption></figure>"
    )


def _table(sidecar: Path) -> str:
    about = json.loads(sidecar.read_text(encoding="utf-8"))
    frame = pd.read_csv(sidecar.with_suffix(".csv"), dtype=str, keep_default_na=False)
    caption = f"<caption><b>{escape(about['name'])}</b> {escape(about['caption'])}</caption>"
    html = frame.to_html(index=False, border=0)
    return f"<div class='wide'>{html.replace('<thead>', caption + '<thead>', 1)}</div>"


def _rows(values: Mapping[str, Any]) -> str:
    rows = (f"<tr><td>{escape(str(k))}</td><td>{escape(str(v))}</td></tr>" for k, v in values.items())
    return f"<table>{''.join(rows)}</table>"


def _flat(values: Mapping[str, Any]) -> dict[str, Any]:
    versions = values.get("versions", {})
    rest = {name: value for name, value in values.items() if name != "versions"}
    return rest | {name: version for name, version in versions.items() if version}
