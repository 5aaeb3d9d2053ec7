"""Runs and what is kept of them: digests, the environment, records made beforehand, stages of a run.

A *record* is data with a date and a commit, shown as what it was, whatever the code is today. A *stage* is a
result of the run at hand, so that a killed run goes on and a changed package computes again.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import os
import platform
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = Path(__file__).parent
DISTRIBUTIONS = (
    "numpy", "scipy", "pandas", "scikit-image", "scikit-learn", "torch", "torchvision", "numba", "matplotlib",
)  # fmt: skip


def root() -> Path:
    """The checkout that holds ``notebooks/``, or the current folder."""
    return PACKAGE.parent if (PACKAGE.parent / "notebooks").is_dir() else Path.cwd()


RECORDED = root() / "notebooks" / "recorded"
_LEAVES = re.compile(r"\[\n\s*([^\[\]{}]*?)\n\s*\]")  # a break inside a text would be written as \\n

# Digests and files


def digest(*parts: Any) -> str:
    """SHA-256 (first 16 hexadecimal digits) of arrays, bytes, text, dataclasses and JSON values."""
    state = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            state.update(f"{part.dtype.str}{part.shape}".encode())
            state.update(np.ascontiguousarray(part).tobytes())
        elif isinstance(part, bytes):
            state.update(part)
        else:
            state.update(json.dumps(plain(part), sort_keys=True, ensure_ascii=True).encode())
        state.update(b"\0")
    return state.hexdigest()[:16]


def files_hash(paths: Iterable[Path]) -> str:
    """Digest of the bytes of files, in the order given."""
    return digest(*(path.read_bytes() for path in paths))


@cache
def package_hash() -> str:
    """Digest of the package's source and of the paper's tables, as they were when first asked for."""
    files = sorted(path for ending in ("py", "csv") for path in PACKAGE.rglob(f"*.{ending}"))
    return digest(*(part for path in files for part in (str(path.relative_to(PACKAGE)), path.read_bytes())))


def plain(value: Any) -> Any:
    """`value` as JSON would hold it: dataclasses as dicts, tuples as lists, NumPy scalars as numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"cannot record a {type(value).__name__}: {value!r}")


def write_text(path: Path, text: str) -> None:
    """Write text so that a reader finds the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name[:100]}.{os.getpid()}")
    try:
        scratch.write_text(text, encoding="utf-8", newline="\n")
        os.replace(scratch, path)
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write JSON, whole or not at all; a list of numbers or words stands on one line."""
    text = json.dumps(plain(value), indent=1, ensure_ascii=False)
    write_text(path, _LEAVES.sub(lambda found: "[" + re.sub(r"\n\s*", " ", found[1]) + "]", text) + "\n")


# Where a number comes from


def environment() -> dict[str, Any]:
    """Versions, machine, device and commit of this process."""
    torch = sys.modules.get("torch")  # asked only where it is in use
    device = f"cpu ({platform.processor() or platform.machine()})"
    if torch is not None and torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "device": device,
        "commit": commit(),
        "versions": {name: metadata.version(name) for name in DISTRIBUTIONS},
    }


def commit() -> str | None:
    """The checkout's commit, with ``+`` appended if tracked files differ; None outside a checkout."""
    if not (PACKAGE.parent / ".git").exists():
        return None
    about = {"cwd": PACKAGE.parent, "stderr": subprocess.DEVNULL, "text": True}
    try:
        short = subprocess.check_output(["git", "rev-parse", "--short", "HEAD"], **about)
        changed = subprocess.check_output(
            ["git", "status", "--porcelain", "-uno", "gmaug", "notebooks"], **about
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return short.strip() + ("+" if changed else "")


# Records: ``notebooks/recorded/<kind>/<name>.json``, and files such as weights beside it


class NotRecorded(ValueError):
    """There is no such record, or a file of it is missing or damaged; the message says which."""


def record_path(kind: str, name: str, suffix: str = ".json", *, folder: Path | None = None) -> Path:
    """Where the record `name` of `kind`, or a file beside it, lies."""
    return (folder or RECORDED) / kind / f"{name}{suffix}"


def record_names(kind: str, *, folder: Path | None = None) -> list[str]:
    """Names of the records of a kind, in order."""
    return sorted(path.stem for path in ((folder or RECORDED) / kind).glob("*.json"))


def write_record(
    kind: str, name: str, content: Any, *, settings: Any, data: Mapping[str, Any], seconds: float,
    device: str | None = None, files: Iterable[str] = (), folder: Path | None = None,
) -> Path:  # fmt: skip
    """Record a run; return the record's path.

    `settings` is all that was chosen, the seed among it; `data` has ``name``, ``images`` and ``hash`` of what
    it was measured on; `files` names files beside the record that belong to it, such as weights. `device` is
    found out if left out.
    """
    path = record_path(kind, name, folder=folder)
    made = {"date": datetime.date.today().isoformat(), "seconds": round(seconds, 1), **environment()}
    made["device"] = device or made["device"]
    digests = {file: digest((path.parent / file).read_bytes()) for file in files}
    write_json(path, {"settings": settings, "data": data, "made": made, "files": digests, "content": content})
    return path


def read_record(kind: str, name: str, *, folder: Path | None = None) -> dict[str, Any]:
    """A record: ``settings``, ``data``, ``made``, ``files``, ``content``.

    NotRecorded if it is not there, or a file that belongs to it is missing or has other bytes.
    """
    path = record_path(kind, name, folder=folder)
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise NotRecorded(f"{kind}/{name}: not recorded") from None
    except ValueError:
        raise NotRecorded(f"{kind}/{name}: its file is damaged") from None
    for file, wanted in record["files"].items():
        beside = path.parent / file
        if not beside.is_file() or digest(beside.read_bytes()) != wanted:
            raise NotRecorded(f"{kind}/{name}: {file} is missing or changed; record it again")
    return record


def origin(record: Mapping[str, Any]) -> str:
    """When and by which commit a record was made, in a line for the reader."""
    made = record["made"]
    parts = [f"{record['data']['name']}, {made['date']}, commit {made['commit'] or 'unknown'}"]
    return "; ".join(parts + [made[name] for name in ("device", "note") if made.get(name)])


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str | None:
    """Why a result kept under `old` does not serve for `new`, in one line; None if it does."""
    for part, now in new.items():
        before = old.get(part)
        if before == now:
            continue
        if isinstance(before, Mapping) and isinstance(now, Mapping):
            names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
            return f"{part} changed: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"
        return f"{part} changed"
    return None


# Stages


def stale(path: Path, key: Mapping[str, Any]) -> str | None:
    """Why the result of a stage has to be computed; None if what is kept in `path` serves."""
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return "not computed yet"
    except ValueError:
        return "its file is damaged"
    return difference(kept["key"], _full(key))


def stage(path: Path, compute: Callable[[], Any], *, key: Mapping[str, Any]) -> Any:
    """The result kept in `path`, or what `compute` returns (JSON values), which is then kept.

    `key` holds parameters and digests of inputs; the package's source is added.
    """
    if stale(path, key) is not None:
        result = compute()
        write_json(path, {"key": _full(key), "result": result})
    return json.loads(path.read_text(encoding="utf-8"))["result"]


def _full(key: Mapping[str, Any]) -> dict[str, Any]:
    return {**plain(key), "package": package_hash()}
