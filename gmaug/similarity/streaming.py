"""The balanced design: every image decoded once, scored against its neighbours, and let go."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gmaug.datasets.base import ImageSet, Skipped
from gmaug.similarity.designs import Ring
from gmaug.similarity.estimates import Sample
from gmaug.similarity.pixels import CHUNK
from gmaug.ssim.conventions import Convention
from gmaug.ssim.parts import cross, describe, keeps


class RingScorer:
    """Scores a ring over the whole set and one in each super-class, all in one pass.

    Parameters
    ----------
    groups : int
        Super-classes.
    per_image : int
        As in :func:`gmaug.similarity.designs.ring_pairs`.
    convention : Convention
    jobs : int, optional
    device : str
        As in :func:`gmaug.similarity.measure`.

    Notes
    -----
    In memory are at most two chunks of images and ``2 * per_image`` of each ring.
    """

    def __init__(
        self, groups: int, per_image: int, convention: Convention, *, jobs: int | None, device: str = "cpu"
    ) -> None:
        self.rings = [Ring(per_image) for _ in range(groups + 1)]
        self.labels: list[list[int]] = [[] for _ in self.rings]
        self._pairs: list[list[np.ndarray]] = [[] for _ in self.rings]
        self._values: list[list[np.ndarray]] = [[] for _ in self.rings]
        self._pixels: dict[int, np.ndarray] = {}
        self._waiting: list[tuple[int, int, int, int, int]] = []
        self._convention, self._jobs, self._device = convention, jobs, device
        self._count = 0
        self._fresh = 0

    def add(self, planes: np.ndarray, *, label: int, group: int) -> None:
        """Take one image of sub-class `label` in super-class number `group`."""
        number = self._count
        self._count += 1
        self._pixels[number] = planes
        self._fresh += 1
        for ring in (0, group + 1):
            self._waiting += [(ring, *pair) for pair in self.rings[ring].arrive(number)]
            self.labels[ring].append(label)
        if self._fresh >= max(CHUNK, len(self._pixels) // 2):
            self._flush()

    def finish(self) -> list[Sample]:
        """Close the rings; a sample for the whole set, then one for each super-class."""
        for k, ring in enumerate(self.rings):
            self._waiting += [(k, *pair) for pair in ring.close()]
        self._flush()
        return [
            Sample(_joined(p, (0, 2), np.int64), _joined(v, (0,), np.float64), np.array(labels, np.int64))
            for p, v, labels in zip(self._pairs, self._values, self.labels, strict=True)
        ]

    def _flush(self) -> None:
        if self._waiting:
            numbers = np.array(sorted(self._pixels))
            table = np.array(self._waiting, dtype=np.int64)
            described = describe(
                np.stack([self._pixels[n] for n in numbers]),
                self._convention,
                threads=self._jobs,
                device=self._device,
                keep=keeps(self._convention, pairs=len(table), images=len(numbers), device=self._device),
            )
            local = np.searchsorted(numbers, table[:, 3:])
            values = cross(described, described, local, self._convention, threads=self._jobs)
            for ring in np.unique(table[:, 0]):
                mine = table[:, 0] == ring
                self._pairs[ring].append(table[mine, 1:3])
                self._values[ring].append(values[mine])
        self._waiting = []
        self._fresh = 0
        kept = {number for ring in self.rings for number in ring.kept}
        self._pixels = {number: planes for number, planes in self._pixels.items() if number in kept}


def _joined(parts: Sequence[np.ndarray], shape: tuple[int, ...], dtype: type) -> np.ndarray:
    return np.concatenate(parts) if parts else np.empty(shape, dtype)


def score_rings(
    images: ImageSet,
    decoded: Iterable[tuple[int, np.ndarray | Skipped]],
    group_of_class: np.ndarray,
    *,
    groups: int,
    per_image: int,
    convention: Convention,
    jobs: int | None,
    device: str = "cpu",
) -> tuple[list[Sample], list[Skipped]]:
    """Run a :class:`RingScorer` over decoded images, which come in random order."""
    scorer = RingScorer(groups, per_image, convention, jobs=jobs, device=device)
    skipped = []
    for index, result in decoded:
        if isinstance(result, Skipped):
            skipped.append(result)
        else:
            label = int(images.labels[index])
            scorer.add(result, label=label, group=int(group_of_class[label]))
    return scorer.finish(), skipped
