"""Recorded runs: what took hours or needs data that is not embedded, with where it comes from.

A record is a JSON file under ``gmaug/recorded/<kind>/``: its key (settings, data, seed, meaning
of the source), how and when it was made, its content, and the digests of the files beside it.
A record that no longer matches is refused with the reason, never used in silence.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gmaug import stages
from gmaug.provenance import PACKAGE, environment, plain, write_json

FOLDER = PACKAGE / "recorded"


class Refused(ValueError):
    """A record does not match what is asked of it; the message says in what."""


def path_of(kind: str, name: str, *, folder: Path = FOLDER) -> Path:
    """Where the record `name` of `kind` lies."""
    return folder / kind / f"{name}.json"


def write(
    kind: str,
    name: str,
    content: Any,
    *,
    settings: Any,
    data: Mapping[str, Any],
    modules: Iterable[str],
    seconds: float,
    device: str,
    files: Iterable[str] = (),
    folder: Path = FOLDER,
) -> Path:
    """Record a run.

    Parameters
    ----------
    kind, name : str
        Folder and file name.
    content : JSON-able
        What was measured.
    settings : JSON-able
        All that was chosen, the seed among it.
    data : mapping
        ``name``, ``images`` and ``hash`` of what it was measured on.
    modules : iterable of str
        Modules of the package whose meaning decides the content.
    seconds : float
        Duration.
    device : str
        Such as ``"cpu, 2 threads"``.
    files : iterable of str
        Files beside the record that belong to it, such as weights.
    """
    path = path_of(kind, name, folder=folder)
    record = {
        "key": {**stages.make_key(settings=settings, modules=modules), "inputs": plain(data)},
        "made": {
            "date": datetime.date.today().isoformat(),
            "seconds": round(seconds, 1),
            "device": device,
            **environment(),
        },
        "files": {file: stages.file_key(path.parent / file) for file in files},
        "content": content,
    }
    write_json(path, record)
    return path


def read(path: Path, *, settings: Any = None, data_hash: str | None = None) -> dict[str, Any]:
    """A record, if it still holds.

    Parameters
    ----------
    path : Path
        Its JSON file.
    settings : JSON-able, optional
        What its settings have to be; not compared if left out.
    data_hash : str, optional
        What the hash of its data has to be; not compared if left out.

    Raises
    ------
    Refused
        If the source, the settings, the data or a file beside it differ, or it is missing.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Refused(f"{path.parent.name}/{path.stem}: not recorded") from None
    key = record["key"]
    current = stages.make_key(modules=key["source"])
    wanted = {
        "settings": key["settings"] if settings is None else plain(settings),
        "inputs": key["inputs"] if data_hash is None else {**key["inputs"], "hash": data_hash},
        "source": {module: current["source"][module] for module in key["source"]},
    }
    reason = stages.difference(key, wanted)
    for file, digest in record["files"].items():
        if stages.file_key(path.parent / file) != digest:
            reason = f"{file} is missing or changed"
    if reason:
        raise Refused(f"{path.parent.name}/{path.stem}: {reason}; record it again")
    return record


def names(kind: str, *, folder: Path = FOLDER) -> list[str]:
    """Names of the records of a kind, in order."""
    return sorted(path.stem for path in (folder / kind).glob("*.json"))
