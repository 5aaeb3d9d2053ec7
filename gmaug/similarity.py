"""SSIM-mergeCls and SSIM-supSubCls of an image set (section 3.3, Eq. 2 and 3).

SSIM_set(X) is the mean SSIM of two different images drawn from X (Eq. 2). SSIM-mergeCls is that
of the whole set; SSIM-supSubCls is the largest among the super-classes (Eq. 3).
"""

from __future__ import annotations

import html
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.datasets.base import ImageSet
from gmaug.datasets.decode import Skipped
from gmaug.estimates import Estimate, estimate
from gmaug.hierarchy import Hierarchy
from gmaug.pixels import PixelStore, prepared
from gmaug.progress import bar
from gmaug.ssim_conventions import Convention, convention_named
from gmaug.ssim_engine import BLOCK_BYTES, bytes_per_image, score_pairs

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Similarity:
    """The metric of one image set.

    Attributes
    ----------
    name : str
        The image set's.
    ssim_merge_cls : Estimate
        Mean over pairs of the whole set (Eq. 2).
    ssim_sup_sub_cls : Estimate
        The largest super-class's (Eq. 3).
    argmax : str
        Which super-class that is.
    super_classes : dict of str to Estimate
        Every super-class; one with fewer than two images has the value NaN.
    skipped : tuple of Skipped
        Files left out, with the reason.
    convention : Convention
    """

    name: str
    ssim_merge_cls: Estimate
    ssim_sup_sub_cls: Estimate
    argmax: str
    super_classes: dict[str, Estimate]
    skipped: tuple[Skipped, ...]
    convention: Convention
    hierarchy: Hierarchy = field(repr=False)

    @property
    def images(self) -> int:
        """Images that were used."""
        return self.ssim_merge_cls.images

    def to_frame(self) -> pd.DataFrame:
        """One row per super-class, largest first, and one for the whole set."""
        import pandas as pd

        table = [_row(name, len(self.hierarchy.groups[name]), e) for name, e in self._ranked()]
        every = len(self.hierarchy.sub_classes)
        table.append(_row("all classes (SSIM-mergeCls)", every, self.ssim_merge_cls))
        return pd.DataFrame(table).set_index("super_class")

    def to_dict(self) -> dict[str, Any]:
        """What ``python -m gmaug similarity --json`` prints; NaN becomes None."""
        return {
            "images": self.images,
            "skipped": [{"path": s.path, "reason": s.reason} for s in self.skipped],
            "ssim_merge_cls": _summary(self.ssim_merge_cls),
            "ssim_sup_sub_cls": {**_summary(self.ssim_sup_sub_cls), "argmax": self.argmax},
            "super_classes": {
                name: {"value": _number(e.value), "se": _number(e.se), "images": e.images, "pairs": e.pairs}
                for name, e in self.super_classes.items()
            },
            "convention": self.convention.name,
        }

    def _ranked(self) -> list[tuple[str, Estimate]]:
        """Super-classes, the most alike first, those without a value last."""
        return sorted(self.super_classes.items(), key=lambda item: -np.nan_to_num(item[1].value, nan=-2))

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {self.images} images, {len(self.super_classes)} super-classes, "
            f"convention {self.convention.name!r}",
            f"  SSIM-mergeCls  {_interval(self.ssim_merge_cls)}",
            f"  SSIM-supSubCls {_interval(self.ssim_sup_sub_cls)}, the largest: {self.argmax}",
        ]
        width = max(len(name) for name in self.super_classes)
        for name, e in self._ranked():
            lines.append(f"    {name:{width}}  {e!s:17}  {e.images} images, {e.pairs} pairs")
        lines += [f"  skipped: {s.path}: {s.reason}" for s in self.skipped[:20]]
        if len(self.skipped) > 20:
            lines.append(f"  skipped: {len(self.skipped) - 20} more")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head, *_ = str(self).splitlines()
        note = f"<br>{len(self.skipped)} files skipped" if self.skipped else ""
        return (
            f"<p>{html.escape(head)}<br>SSIM-mergeCls <b>{_interval(self.ssim_merge_cls)}</b>, "
            f"SSIM-supSubCls <b>{_interval(self.ssim_sup_sub_cls)}</b>, the largest: "
            f"{html.escape(self.argmax)}{note}</p>" + self.to_frame().to_html(float_format="{:.4f}".format)
        )


def _row(name: str, subs: int, e: Estimate) -> dict[str, Any]:
    return {
        "super_class": name, "sub_classes": subs, "images": e.images, "pairs": e.pairs,
        "ssim": e.value, "se": e.se, "low": e.low, "high": e.high,
    }  # fmt: skip


def _interval(e: Estimate) -> str:
    return str(e) if math.isnan(e.low) else f"{e} (95 %: {e.low:.4f} to {e.high:.4f})"


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _summary(e: Estimate) -> dict[str, Any]:
    return {"value": _number(e.value), "se": _number(e.se), "interval": [_number(e.low), _number(e.high)]}


def random_pairs(n: int, m: int, rng: np.random.Generator) -> np.ndarray:
    """`m` pairs of different images out of `n`, each drawn anew: Eq. 2's expectation, int64, shape (m, 2)."""
    first = rng.integers(0, n, m)
    second = rng.integers(0, n - 1, m)
    return np.stack([first, second + (second >= first)], axis=1)


def measure(
    images: ImageSet,
    *,
    hierarchy: Hierarchy | None = None,
    convention: str | Convention = "paper",
    pairs: str = "2n",
    seed: int = 0,
    strict: bool = False,
    jobs: int | None = None,
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
    pairs : {"2n"}
        The paper's: twice as many random pairs as there are images, in each set.
    seed : int
        Of the pairs. The same seed gives the same result, whatever `jobs`.
    strict : bool
        Stop at the first image that cannot be used, instead of listing it in ``skipped``.
    jobs : int, optional
        Threads; all cores by default.
    progress : bool
        Show bars.

    Raises
    ------
    UnreadableImage
        With `strict`, at the first image that cannot be used.
    ValueError
        If fewer than two usable images are left, or no super-class has two.

    Notes
    -----
    Each image is decoded once. Prepared pixels beyond 0.5 GiB go to a scratch file, so peak
    memory stays near 1 GiB whatever the number of images.
    """
    convention = convention_named(convention)
    hierarchy = hierarchy or images.hierarchy
    if pairs != "2n":
        raise ValueError(f"pairs={pairs!r} is unknown; use '2n'")
    skipped = list(getattr(images, "skipped", ()))
    if strict and skipped:
        raise ValueError(f"{skipped[0].path}: {skipped[0].reason}; mend it, or do without strict")
    with PixelStore(len(images)) as store:
        good = []
        for index, result in prepared(
            images, range(len(images)), convention, jobs=jobs, strict=strict, progress=progress
        ):
            if isinstance(result, Skipped):
                skipped.append(result)
            else:
                store.add(result, name=f"{images.name}[{index}]")
                good.append(index)
        if len(good) < 2:
            raise ValueError(f"{images.name}: {len(good)} usable images; a pair takes two")
        groups = _groups(images, hierarchy, np.array(good))
        drawn = _draw(groups, seed)
        values = _score(store, drawn, convention, jobs, progress)
    found = {
        name: estimate(np.searchsorted(members, drawn[name]), values[name], len(members))
        for name, members in groups.items()
    }
    merged = found.pop("")
    usable = {name: e for name, e in found.items() if not math.isnan(e.value)}
    if not usable:
        raise ValueError(f"{images.name}: no super-class has two usable images; add images")
    argmax = max(usable, key=lambda name: usable[name].value)
    return Similarity(
        images.name, merged, found[argmax], argmax, found, tuple(skipped), convention, hierarchy
    )


def _groups(images: ImageSet, hierarchy: Hierarchy, good: np.ndarray) -> dict[str, np.ndarray]:
    """Numbers of the images in each set: "" is all of them."""
    return {"": np.arange(len(good)), **hierarchy.members(images.labels[good], images.classes)}


def _draw(groups: dict[str, np.ndarray], seed: int) -> dict[str, np.ndarray]:
    streams = np.random.SeedSequence(seed).spawn(len(groups))
    drawn = {}
    for (name, members), stream in zip(groups.items(), streams, strict=True):
        n = len(members)
        count = 2 * n if n > 1 else 0
        drawn[name] = members[random_pairs(n, count, np.random.default_rng(stream))] if count else _no_pairs()
    return drawn


def _no_pairs() -> np.ndarray:
    return np.empty((0, 2), np.int64)


def _score(store, drawn, convention, jobs, progress) -> dict[str, np.ndarray]:
    every = np.concatenate(list(drawn.values()))
    values = np.empty(len(every))
    block = max(2, BLOCK_BYTES // bytes_per_image(convention, store.shape))
    shown = bar(desc="comparing", total=len(every), unit="pair") if progress else None
    for rows, part in score_pairs(store.load, every, convention, block=block, threads=jobs):
        values[rows] = part
        if shown is not None:
            shown.update(len(rows))
    if shown is not None:
        shown.close()
    ends = np.cumsum([len(p) for p in drawn.values()])
    return dict(zip(drawn, np.split(values, ends[:-1]), strict=True))
