"""Results that are computed once and kept until something they depend on changes.

A stage is a JSON file that holds a result beside the *key* it was computed under: settings,
inputs and the meaning of the source. A stage whose key still matches is read; otherwise it is
computed, and the reason is said. Files are replaced whole, so a killed run repeats at most the
stage it was in.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock

from gmaug import sources
from gmaug.provenance import digest, plain, write_json


def make_key(*, settings: Any = None, inputs: Any = None, modules: Iterable[str] = ()) -> dict[str, Any]:
    """What a result depends on.

    Parameters
    ----------
    settings : JSON-able
        Parameters of the computation.
    inputs : JSON-able
        Digests of the data that goes in.
    modules : iterable of str
        Modules of the package that compute it; what they import is added.
    """
    return {
        "settings": plain(settings),
        "inputs": plain(inputs),
        "source": sources.closure(modules),
    }


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why a result kept under `old` does not serve for `new`, in one line; None if it does."""
    for part in new:
        if old.get(part) == new[part]:
            continue
        if isinstance(old.get(part), Mapping) and isinstance(new[part], Mapping):
            names = sorted(n for n in {*old[part], *new[part]} if old[part].get(n) != new[part].get(n))
            return f"{part} changed: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        return f"{part} changed"
    return None


class Stages:
    """A folder of kept results.

    Parameters
    ----------
    folder : Path
        Where they lie; made when first needed.
    say : callable, optional
        Told each reason to compute; silent by default.
    """

    def __init__(self, folder: Path, *, say: Callable[[str], None] = lambda line: None) -> None:
        self.folder = folder
        self.say = say

    def reason(self, name: str, key: Mapping[str, Any]) -> str | None:
        """Why `name` has to be computed; None if its kept result serves."""
        try:
            kept = json.loads(self._path(name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return "not computed yet"
        except (json.JSONDecodeError, UnicodeDecodeError):
            return "its file is damaged"
        return difference(kept.get("key", {}), key)

    def has(self, name: str) -> bool:
        """Whether a result of `name` is kept, whatever its key."""
        return self._path(name).is_file()

    def keep(self, name: str, key: Mapping[str, Any], result: Any, *, seconds: float) -> None:
        """Keep `result` under `key`."""
        write_json(self._path(name), {"key": key, "seconds": round(seconds, 3), "result": result})

    def read(self, name: str) -> dict[str, Any]:
        """The kept file: ``key``, ``seconds``, ``result``."""
        return json.loads(self._path(name).read_text(encoding="utf-8"))

    def get(self, name: str, compute: Callable[[], Any], *, key: Mapping[str, Any]) -> Any:
        """The kept result of `name`, or that of `compute`, which is then kept.

        Several processes may ask at once: one computes, the others wait and read.
        """
        path = self._path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_suffix(".lock")):
            reason = self.reason(name, key)
            if reason is not None:
                self.say(f"{name}: {reason}")
                start = time.perf_counter()
                self.keep(name, key, compute(), seconds=time.perf_counter() - start)
            return self.read(name)["result"]

    def _path(self, name: str) -> Path:
        return self.folder / f"{name}.json"


def file_key(path: Path) -> str | None:
    """Digest of a file's bytes; None if there is none."""
    return digest(path.read_bytes()) if path.is_file() else None
