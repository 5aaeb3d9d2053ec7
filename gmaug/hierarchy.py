"""Sub-classes grouped in super-classes (section 3.2, Fig. 4, Table 1).

A *sub-class* is a class of the data set; a *super-class* is a group of sub-classes that look alike. The paper
groups by hand, and its groupings for iNaturalist-2019 (supplement S2) are not public.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Hierarchy:
    """A two-level grouping of classes: each super-class with its sub-classes, each of those in one alone."""

    groups: Mapping[str, tuple[str, ...]]  # super-class to its sub-classes, in order
    source: str  # who made the grouping, in a few words; printed wherever it is used

    def __post_init__(self) -> None:
        groups = {str(name): tuple(map(str, members)) for name, members in self.groups.items()}
        parent: dict[str, str] = {}
        for name, members in groups.items():
            if not members:
                raise ValueError(f"super-class {name!r} has no sub-class; name one or drop it")
            for member in members:
                if member in parent:
                    both = f"stands in {parent[member]!r} and in {name!r}"
                    raise ValueError(f"sub-class {member!r} {both}; keep it in one super-class")
                parent[member] = name
        object.__setattr__(self, "groups", groups)

    @classmethod
    def flat(cls, classes: Iterable[str]) -> Hierarchy:
        """Each class its own super-class, as the paper has it for flowers, scene and UTKFace."""
        return cls({name: (name,) for name in classes}, "one super-class per class")

    @classmethod
    def of(cls, given: Hierarchy | Mapping[str, Iterable[str]] | str | os.PathLike[str]) -> Hierarchy:
        """A hierarchy from a mapping of super-class to sub-classes, or from one that is made already.

        Or from a CSV with the columns ``super_class`` and ``sub_class``, one row a sub-class.
        """
        if isinstance(given, Hierarchy):
            return given
        if isinstance(given, Mapping):
            return cls(given, "given as a mapping")
        return cls(_read(Path(given)), _shown(Path(given).name))

    @property
    def super_classes(self) -> tuple[str, ...]:
        """Names of the super-classes, in order."""
        return tuple(self.groups)

    @property
    def sub_classes(self) -> tuple[str, ...]:
        """Names of all sub-classes, super-class by super-class."""
        return tuple(member for members in self.groups.values() for member in members)

    def super_of(self, sub_class: str) -> str:
        """Name of the super-class that holds `sub_class`; KeyError if none does."""
        return {member: name for name, members in self.groups.items() for member in members}[sub_class]

    def check(self, classes: Iterable[str]) -> None:
        """Raise ValueError unless each of `classes` is one of the sub-classes."""
        missing = sorted(set(classes) - set(self.sub_classes))
        if missing:
            more = f" and {len(missing) - 5} more" if missing[5:] else ""
            shown = ", ".join(map(repr, missing[:5])) + more
            raise ValueError(f"the hierarchy ({self.source}) does not name {shown}; give each a super-class")

    def members(self, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Ascending indices of the images of each super-class that has any of `classes`.

        `labels` (n,) are the classes of the images, as indices into `classes`, the names of the sub-classes.
        """
        number = {member: k for k, members in enumerate(self.groups.values()) for member in members}
        of_class = np.array([number[name] for name in classes], dtype=np.int64)
        of_image = of_class[np.asarray(labels, dtype=np.int64)]
        return {name: np.flatnonzero(of_image == k) for k, name in enumerate(self.groups) if k in of_class}


def _read(path: Path) -> dict[str, list[str]]:
    shown, groups = _shown(str(path)), {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"super_class", "sub_class"} - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{shown}: no column {', '.join(sorted(missing))}; add it to the header")
            for row in reader:
                if not row["super_class"] or not row["sub_class"]:
                    raise ValueError(f"{shown}, line {reader.line_num}: a name is missing; give both")
                groups.setdefault(row["super_class"], []).append(row["sub_class"])
    except UnicodeDecodeError:
        raise ValueError(f"{shown}: not UTF-8 text; save it as such") from None
    except csv.Error as error:
        raise ValueError(f"{shown}: not a CSV ({error}); give two names in each line") from None
    return groups


def _shown(name: str) -> str:
    """A name with control characters as escapes."""
    return name if name.isprintable() else ascii(name)
