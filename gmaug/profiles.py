"""How large a run is: ``smoke`` for tests, ``default`` for two CPU cores, ``paper`` for a GPU."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """Sizes of a run.

    Attributes
    ----------
    name : str
        ``smoke``, ``default`` or ``paper``.
    """

    name: str


PROFILES = {name: Profile(name) for name in ("smoke", "default", "paper")}


def profile_named(name: str) -> Profile:
    """The profile called `name`; ``ValueError`` with the known ones if there is none."""
    if name not in PROFILES:
        raise ValueError(f"PROFILE={name}: unknown; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
