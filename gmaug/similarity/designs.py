"""Which pairs of a set are compared: the paper's random ones, all, or a balanced ring."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

MOST_PAIRS = 20_000_000  # of pairs="all": some minutes of work at 224 px on two cores, and 0.6 GiB of lists


@dataclass(frozen=True)
class Design:
    """How pairs are chosen.

    Attributes
    ----------
    kind : {"random", "balanced", "all"}
    per_image : int
        Pairs for each image of a set; not used by "all".
    """

    kind: Literal["random", "balanced", "all"]
    per_image: int = 2

    @classmethod
    def named(cls, name: str) -> Design:
        """From ``"2n"`` (or any number), ``"balanced"``, ``"balanced-4n"``, ``"all"``."""
        match = re.fullmatch(r"(?:(balanced)|(balanced-)?([1-9][0-9]{0,5})n|(all))", name)
        if not match:
            raise ValueError(f"pairs={name!r} is unknown; use '2n' (or '10n', ...), 'balanced' or 'all'")
        plain, dashed, count, every = match.groups()
        kind = "all" if every else "balanced" if plain or dashed else "random"
        return cls(kind, int(count or 2))


def random_pairs(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """`m` pairs of different images out of `n`, each drawn anew, as section 3.2 does for Eq. 2.

    Returns
    -------
    ndarray of int64, shape (m, 2)
    """
    if n < 2:
        return np.empty((0, 2), np.int64)
    first = rng.integers(0, n, m)
    second = rng.integers(0, n - 1, m)
    return np.stack([first, second + (second >= first)], axis=1)


def all_pairs(n: int) -> np.ndarray:
    """Every pair of different images once, int64, shape (n (n - 1) / 2, 2).

    Raises
    ------
    ValueError
        If they are too many to list.
    """
    count = n * (n - 1) // 2
    if count > MOST_PAIRS:
        raise ValueError(f"all pairs of {n} images are {count}; use pairs='2n' or 'balanced'")
    return np.stack(np.triu_indices(n, 1), axis=1).astype(np.int64)


def ring_pairs(n: int, per_image: int) -> np.ndarray:
    """Image t with the `per_image` images before it on a ring: each image is in 2 * `per_image` pairs.

    Laid on a random order, every pair of images is as likely as any other, and no image counts
    more than another: the mean's error is smaller than with as many pairs drawn at random. A set
    too small for the ring gives all its pairs.

    Returns
    -------
    ndarray of int64, shape (per_image * n, 2)
    """
    if n <= 2 * per_image + 1:
        return all_pairs(n)
    t = np.arange(n, dtype=np.int64)
    return np.concatenate([np.stack([t, (t - step) % n], axis=1) for step in range(1, per_image + 1)])


class Ring:
    """A ring laid as images arrive one by one, so that none is needed for long.

    Parameters
    ----------
    per_image : int
        As in :func:`ring_pairs`, whose pairs it makes in another order.

    Attributes
    ----------
    count : int
        Images that have arrived.
    """

    def __init__(self, per_image: int) -> None:
        self.per_image = per_image
        self.count = 0
        self._first: list[int] = []
        self._last: list[int] = []

    def arrive(self, image: int) -> Iterator[tuple[int, int, int, int]]:
        """Take the next image.

        Yields
        ------
        place, place, image, image
            Its pairs with those before it: their places in the ring, and their numbers.
        """
        for back, earlier in enumerate(reversed(self._last), start=1):
            yield self.count, self.count - back, image, earlier
        if self.count < self.per_image:
            self._first.append(image)
        self._last = [*self._last, image][-self.per_image :]
        self.count += 1

    def close(self) -> Iterator[tuple[int, int, int, int]]:
        """The pairs that join the end to the beginning; of a small ring, those that are still missing."""
        n, reach = self.count, self.per_image
        for place, image in enumerate(self._first):
            for back, earlier in enumerate(reversed(self._last), start=1):
                other = n - back
                # Step from `other` over the end to `place`; not one that was made on the way.
                if place + back <= reach and other - place > reach:
                    yield place, other, image, earlier

    @property
    def kept(self) -> list[int]:
        """Numbers of the images that later pairs may need."""
        return [*self._first, *self._last]
