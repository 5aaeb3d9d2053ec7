"""Where a number comes from: hashes of data and source, versions, machine, date."""

from __future__ import annotations

import ast
import hashlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

PACKAGE = Path(__file__).parent
DISTRIBUTIONS = (
    "numpy", "scipy", "pandas", "scikit-image", "scikit-learn", "torch", "torchvision", "numba", "matplotlib",
)  # fmt: skip


def digest(*parts: Any) -> str:
    """SHA-256 (first 16 hexadecimal digits) of arrays, bytes, text, dataclasses and JSON values.

    Raises
    ------
    TypeError
        If a part is none of these.
    """
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


def plain(value: Any) -> Any:
    """`value` as JSON would hold it: dataclasses as dicts, tuples as lists, NumPy scalars as numbers."""
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value))
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Path):
        return value.as_posix()
    if value is None or isinstance(value, (str, int, float, bool)):
        return value
    raise TypeError(f"cannot record a {type(value).__name__}: {value!r}")


def meaning(path: Path) -> str:
    """Digest of what a Python file does: comments, layout and docstrings do not count."""
    return meaning_of(path.read_text(encoding="utf-8"))


def meaning_of(source: str) -> str:
    """The same of Python source."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        documented = isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        if documented and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:] or [ast.Pass()]
    return digest(_skeleton(tree))


def _skeleton(node: Any) -> Any:
    """A syntax tree as lists. `ast.dump` would tell Python versions apart: they add empty fields,
    and cut the text of f-strings in different places."""
    if isinstance(node, ast.JoinedStr):
        parts: list[Any] = []
        for value in map(_skeleton, node.values):
            if value[0] == "str" and parts and parts[-1][0] == "str":
                value = ["str", parts.pop()[1] + value[1]]
            parts.append(value)
        return ["JoinedStr", [part for part in parts if part != ["str", ""]]]
    if isinstance(node, ast.Constant):
        return [type(node.value).__name__, node.value if isinstance(node.value, str) else repr(node.value)]
    if isinstance(node, ast.AST):
        fields = ((name, value) for name, value in ast.iter_fields(node) if value is not None and value != [])
        return [type(node).__name__, *([name, _skeleton(value)] for name, value in fields)]
    if isinstance(node, list):
        return [_skeleton(item) for item in node]
    return repr(node)


def module_file(module: str) -> Path:
    """The file of a module of the package, named as in ``"generators.cgan"``; it need not exist."""
    stem = PACKAGE.joinpath(*module.split(".")) if module else PACKAGE
    return stem / "__init__.py" if stem.is_dir() else stem.with_suffix(".py")


def source_hash(*modules: str) -> str:
    """Digest of the meaning of modules of the package, named as in ``"generators.cgan"``."""
    return digest(*(meaning(module_file(module)) for module in modules))


def environment() -> dict[str, Any]:
    """Versions, machine and commit of this process."""
    versions = {}
    for name in DISTRIBUTIONS:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
    return {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "device": _device(),
        "commit": commit(),
        "versions": versions,
    }


def _device() -> str:
    """What this process computes on; torch is asked only where it is in use."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"cpu ({platform.processor() or platform.machine()})"


def commit() -> str | None:
    """The checkout's commit, with ``+`` appended if tracked files differ; None outside a checkout."""

    def git(*arguments: str) -> str:
        run = subprocess.run(["git", *arguments], cwd=PACKAGE, capture_output=True, text=True, check=True)
        return run.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != PACKAGE.parent.resolve():
            return None
        dirty = git("status", "--porcelain", "--untracked-files=no", "--", "gmaug", "notebooks")
        return git("rev-parse", "--short", "HEAD") + ("+" if dirty else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def write_json(path: Path, value: Any) -> None:
    """Write JSON so that a reader finds the old file or the new one, never half of one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    scratch.write_text(json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(scratch, path)


def files_hash(paths: Iterable[Path]) -> str:
    """Digest of the bytes of files, in the order given."""
    return digest(*(path.read_bytes() for path in paths))
