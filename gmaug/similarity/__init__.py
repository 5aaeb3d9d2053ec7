"""SSIM-mergeCls and SSIM-supSubCls of an image set (section 3.3, Eq. 2 and 3).

SSIM_set(X) is the mean SSIM of two different images drawn from X (Eq. 2). SSIM-mergeCls is that
of the whole set; SSIM-supSubCls is the largest among the super-classes (Eq. 3).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace

import numpy as np

from gmaug.datasets.base import ImageSet, Skipped
from gmaug.hierarchy import Hierarchy
from gmaug.progress import bar
from gmaug.similarity.designs import Design, all_pairs, random_pairs
from gmaug.similarity.estimates import Estimate, Sample
from gmaug.similarity.maximum import measured, simultaneous_interval
from gmaug.similarity.pixels import PixelStore, prepared
from gmaug.similarity.result import Similarity
from gmaug.similarity.streaming import score_rings
from gmaug.ssim.conventions import Convention, convention_named
from gmaug.ssim.engine import score_pairs

__all__ = ["Estimate", "Similarity", "measure"]

# More pairs cannot help once drawing them is this small a part of the standard error (its square
# is 4 % of the variance); the rest is how few images there are.
NEGLIGIBLE = 0.2
MOST_ROUNDS = 200  # of drawing towards a target


def measure(
    images: ImageSet,
    *,
    hierarchy: Hierarchy | None = None,
    convention: str | Convention = "paper",
    pairs: str = "2n",
    target_se: float | None = None,
    seed: int = 0,
    strict: bool = False,
    jobs: int | None = None,
    device: str = "cpu",
    progress: bool = True,
) -> Similarity:
    """Measure SSIM-mergeCls and SSIM-supSubCls.

    Parameters
    ----------
    images : ImageSet
    hierarchy : Hierarchy, optional
        Super-classes; the image set's own by default.
    convention : str or Convention
        How SSIM is taken; only numbers of one convention compare.
    pairs : str
        ``"2n"``: twice as many random pairs as there are images in each set, as in the paper; any
        other whole number likewise. ``"balanced"`` (or ``"balanced-4n"``): as many, laid so that
        each image is in equally many pairs; it is decoded once and let go, nothing is stored, and
        the error is a little smaller. ``"all"``: every pair, for small sets.
    target_se : float, optional
        Go on drawing random pairs, so many at a time, until the standard error of a set is no
        larger, or until it is due to the number of images alone (see ``stopped``).
    seed : int
        Of the pairs. The same seed gives the same result, whatever `jobs`.
    strict : bool
        Stop at the first image that cannot be used, instead of listing it in ``skipped``.
    jobs : int, optional
        Threads; all cores by default.
    device : str
        ``"cuda"`` scores pairs there, through torch; decoding stays on the CPU.
    progress : bool
        Show bars.

    Raises
    ------
    UnreadableImage
        With `strict`, at the first image that cannot be used.
    ValueError
        If fewer than two usable images are left, no super-class has two, or a setting is wrong.

    Notes
    -----
    Peak memory does not grow with the number of images, but for the lists of pairs (40 bytes a
    pair): about 1 GiB with stored pixels, of which those beyond 0.5 GiB go to a scratch file, and
    about 0.4 GiB with ``pairs="balanced"``.
    """
    convention, design = convention_named(convention), Design.named(pairs)
    hierarchy = hierarchy or images.hierarchy
    if target_se is not None and (design.kind != "random" or not target_se > 0):
        raise ValueError(
            f"target_se={target_se} with pairs={pairs!r}; it takes a positive number and random pairs"
        )
    if seed < 0:
        raise ValueError(f"seed={seed}; use 0 or more")
    skipped = list(getattr(images, "skipped", ()))
    serious = [one for one in skipped if not one.harmless]
    if strict and serious:
        raise ValueError(f"{serious[0].path}: {serious[0].reason}; mend it, or do without strict")
    names, group_of_class = _groups(images, hierarchy)
    order = np.arange(len(images))
    if design.kind == "balanced":
        order = np.random.default_rng(seed).permutation(len(images))
    decoded = prepared(images, order, convention, jobs=jobs, strict=strict, progress=progress)
    stopped: dict[str, str] = {}
    if design.kind == "balanced":
        found, bad = score_rings(
            images, decoded, group_of_class, groups=len(names), per_image=design.per_image,
            convention=convention, jobs=jobs, device=device,
        )  # fmt: skip
    else:
        with PixelStore(len(images)) as store:
            good, bad = _fill(store, images, decoded)
            score = _scorer(store, convention, jobs, device, progress)
            found, stopped = _drawn(
                images.labels[good], group_of_class, names, design, seed, target_se, score
            )
    samples = dict(zip(("", *names), found, strict=True))
    if samples[""].images < 2:
        raise ValueError(f"{images.name}: {samples[''].images} usable images; a pair takes two")
    estimates = {name: sample.estimate() for name, sample in samples.items()}
    merged = estimates.pop("")
    usable = measured(estimates)
    if not usable:
        raise ValueError(f"{images.name}: no super-class has two usable images; add images")
    argmax = max(usable, key=lambda name: usable[name].value)
    low, high = simultaneous_interval(usable)
    return Similarity(
        name=images.name,
        ssim_merge_cls=merged,
        ssim_sup_sub_cls=replace(usable[argmax], low=low, high=high),
        argmax=argmax,
        super_classes=estimates,
        skipped=(*skipped, *sorted(bad, key=lambda s: s.path)),
        convention=convention,
        hierarchy=hierarchy,
        design=pairs,
        seed=seed,
        samples=samples,
        stopped=stopped,
    )


def _groups(images: ImageSet, hierarchy: Hierarchy) -> tuple[list[str], np.ndarray]:
    """Names of the super-classes, and the number of each class's."""
    by_class = hierarchy.members(np.arange(len(images.classes)), images.classes)
    group_of_class = np.empty(len(images.classes), np.int64)
    for number, classes in enumerate(by_class.values()):
        group_of_class[classes] = number
    return list(by_class), group_of_class


def _fill(store: PixelStore, images: ImageSet, decoded) -> tuple[np.ndarray, list[Skipped]]:
    good, bad = [], []
    for index, result in decoded:
        if isinstance(result, Skipped):
            bad.append(result)
        else:
            store.add(result, name=f"{images.name}[{index}]")
            good.append(index)
    return np.array(good, np.int64), bad


Scorer = Callable[[list[np.ndarray]], list[np.ndarray]]


def _scorer(
    store: PixelStore, convention: Convention, jobs: int | None, device: str, progress: bool
) -> Scorer:
    """Function that scores several lists of pairs in one walk over the store's blocks."""

    def score(lists: list[np.ndarray]) -> list[np.ndarray]:
        every = np.concatenate(lists)
        values = np.empty(len(every))
        if len(every):
            with bar(desc="comparing", total=len(every), unit="pair") if progress else nullcontext() as shown:
                for rows, part in score_pairs(
                    store.source, every, convention, shape=store.shape, threads=jobs, device=device
                ):
                    values[rows] = part
                    if shown is not None:
                        shown.update(len(rows))
        return np.split(values, np.cumsum([len(pairs) for pairs in lists])[:-1])

    return score


def _drawn(
    labels: np.ndarray,
    group_of_class: np.ndarray,
    names: list[str],
    design: Design,
    seed: int,
    target_se: float | None,
    score: Scorer,
) -> tuple[list[Sample], dict[str, str]]:
    """Draw and score pairs of the whole set and of each super-class; why drawing stopped."""
    of_image = group_of_class[labels]
    members = [np.arange(len(labels)), *(np.flatnonzero(of_image == k) for k in range(len(names)))]
    # A stream for each set: what one draws does not depend on how much another does.
    streams = [np.random.default_rng(s) for s in np.random.SeedSequence(seed).spawn(len(members))]

    def draw(k: int) -> np.ndarray:
        n = len(members[k])
        return all_pairs(n) if design.kind == "all" else random_pairs(n, design.per_image * n, streams[k])

    pairs = [draw(k) for k in range(len(members))]
    values = score([members[k][p] for k, p in enumerate(pairs)])
    stopped: dict[str, str] = {}
    for _ in range(MOST_ROUNDS if target_se is not None else 0):
        going = []
        for k, name in enumerate(["", *names]):
            e = Sample(pairs[k], values[k], labels[members[k]]).estimate()
            if e.se <= target_se:
                stopped[name] = "target"
            elif not e.se_pairs > NEGLIGIBLE * e.se:
                stopped[name] = "images"
            else:
                stopped[name] = "rounds"
                going.append(k)
        if not going:
            break
        more = [draw(k) for k in going]
        for k, p, v in zip(
            going, more, score([members[k][p] for k, p in zip(going, more, strict=True)]), strict=True
        ):
            pairs[k], values[k] = np.concatenate([pairs[k], p]), np.concatenate([values[k], v])
    return [Sample(p, v, labels[m]) for p, v, m in zip(pairs, values, members, strict=True)], stopped
