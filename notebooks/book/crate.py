"""Write ``ro-crate-metadata.json``: what this repository holds, for archives and their search engines.

``make crate``. Titles of notebooks and captions of figures are read from their files.
"""

from __future__ import annotations

import json
from pathlib import Path

import nbformat
import yaml
from rocrate.model.person import Person
from rocrate.rocrate import ROCrate

ROOT = Path(__file__).resolve().parents[2]
PAPER = "https://arxiv.org/abs/2303.04854"


def main() -> None:
    """Write the file at the top of the checkout."""
    about = yaml.safe_load((ROOT / "CITATION.cff").read_text("utf-8"))
    crate = ROCrate()
    crate.name = about["title"]
    crate.description = "When do generated images help a classifier trained on an imbalanced image set?"
    crate.license = "https://spdx.org/licenses/MIT"
    crate.root_dataset["datePublished"] = "2026-11-24"  # of the layout described; not of the day this is run
    title = about["preferred-citation"]["title"]
    paper = crate.add_jsonld({"@id": PAPER, "@type": "ScholarlyArticle", "name": title})
    people = [
        crate.add(Person(crate, f"#{p['family-names']}", {"name": f"{p['given-names']} {p['family-names']}"}))
        for p in about["preferred-citation"]["authors"]
    ]
    paper["author"] = people
    crate.root_dataset["about"] = paper
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        title = nbformat.read(path, as_version=4).cells[0].source.splitlines()[0].lstrip("# ")
        kind = {"encodingFormat": "application/x-ipynb+json", "@type": ["File", "SoftwareSourceCode"]}
        add(crate, path, {"name": title, **kind})
    for sidecar in sorted((ROOT / "figures").glob("*.json")):
        note = json.loads(sidecar.read_text("utf-8"))
        for suffix, kind in ((".svg", "image/svg+xml"), (".csv", "text/csv")):
            if sidecar.with_suffix(suffix).exists():
                about = {"name": note["name"], "description": note["caption"], "encodingFormat": kind}
                add(crate, sidecar.with_suffix(suffix), about)
    folders = {"gmaug": "the Python module", "notebooks/recorded": "recorded runs: settings, data, results"}
    for name, text in folders.items():
        crate.add_dataset(dest_path=name, properties={"name": text})
    for name in ("README.md", "CITATION.cff", "LICENSE", "environment.yml", "Makefile"):
        add(crate, ROOT / name, {"name": name})
    entities = crate.metadata.generate()
    entities["@graph"].sort(key=lambda entity: (entity["@id"] != "ro-crate-metadata.json", entity["@id"]))
    text = json.dumps(entities, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    (ROOT / "ro-crate-metadata.json").write_text(text, encoding="utf-8")


def add(crate: ROCrate, path: Path, properties: dict[str, object]) -> None:
    """Describe a file of the checkout, by its place in it."""
    crate.add_file(dest_path=path.relative_to(ROOT).as_posix(), properties=properties)


if __name__ == "__main__":
    main()
