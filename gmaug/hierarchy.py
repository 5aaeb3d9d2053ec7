"""Sub-classes grouped in super-classes (section 3.2, Fig. 4, Table 1).

A *sub-class* is a class of the data set; a *super-class* is a group of sub-classes that look
alike. The paper groups by hand; its groupings for iNaturalist-2019 (supplement S2) are not
public, so whoever makes a :class:`Hierarchy` says where it comes from in ``source``.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Hierarchy:
    """A two-level grouping of classes.

    Parameters
    ----------
    groups : mapping of str to tuple of str
        Super-class name to the names of its sub-classes, in order. Every super-class holds
        at least one sub-class and every sub-class belongs to exactly one super-class.
    source : str
        Who made the grouping, in a few words; printed wherever the grouping is used.

    Raises
    ------
    ValueError
        If a super-class is empty or a sub-class stands in two of them.
    """

    groups: Mapping[str, tuple[str, ...]]
    source: str

    def __post_init__(self) -> None:
        groups = {str(name): tuple(map(str, members)) for name, members in self.groups.items()}
        seen: dict[str, str] = {}
        for name, members in groups.items():
            if not members:
                raise ValueError(f"super-class {name!r} has no sub-class; name one or drop it")
            for member in members:
                if member in seen:
                    raise ValueError(
                        f"sub-class {member!r} stands in {seen[member]!r} and in {name!r}; "
                        "keep it in one super-class"
                    )
                seen[member] = name
        object.__setattr__(self, "groups", groups)

    @classmethod
    def flat(cls, classes: Iterable[str], *, source: str = "one super-class per class") -> Hierarchy:
        """Each class its own super-class, as the paper has it for flowers, scene and UTKFace."""
        return cls({name: (name,) for name in classes}, source)

    @classmethod
    def from_csv(cls, path: str | Path) -> Hierarchy:
        """Read a CSV with the columns ``super_class`` and ``sub_class``, one row a sub-class.

        Raises
        ------
        ValueError
            If a column is missing; the message names the file.
        """
        path = Path(path)
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = {"super_class", "sub_class"} - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{path}: no column {', '.join(sorted(missing))}; add it to the header")
            groups: dict[str, list[str]] = {}
            for row in reader:
                groups.setdefault(row["super_class"], []).append(row["sub_class"])
        return cls({name: tuple(members) for name, members in groups.items()}, f"{path.name}")

    @property
    def super_classes(self) -> tuple[str, ...]:
        """Names of the super-classes, in order."""
        return tuple(self.groups)

    @property
    def sub_classes(self) -> tuple[str, ...]:
        """Names of all sub-classes, super-class by super-class."""
        return tuple(member for members in self.groups.values() for member in members)

    def super_of(self, sub_class: str) -> str:
        """Name of the super-class that holds `sub_class`; ``KeyError`` if none does."""
        for name, members in self.groups.items():
            if sub_class in members:
                return name
        raise KeyError(
            f"no super-class holds {sub_class!r}; the hierarchy ({self.source}) lists {self.sub_classes}"
        )

    def members(self, labels: np.ndarray, classes: Sequence[str]) -> dict[str, np.ndarray]:
        """Indices of the images of each super-class.

        Parameters
        ----------
        labels : ndarray of int, shape (n,)
            Class of each image, an index into `classes`.
        classes : sequence of str
            Names of the sub-classes.

        Returns
        -------
        dict of str to ndarray of int64
            Super-class name to ascending image indices; super-classes without any of
            `classes` are left out.
        """
        supers = np.array([self.super_of(name) for name in classes])
        of_image = supers[np.asarray(labels)] if len(labels) else np.empty(0, dtype=str)
        return {name: np.flatnonzero(of_image == name) for name in self.super_classes if name in set(supers)}
