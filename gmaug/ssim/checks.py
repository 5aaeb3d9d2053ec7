"""SSIM against itself: between conventions, against its own laws, against scikit-image (section 3.1)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

import numpy as np
import pandas as pd
from PIL import Image

from gmaug.ssim import ssim, ssim_map
from gmaug.ssim.conventions import CONVENTIONS, Convention, convention_named


def by_convention(
    images: Mapping[str, Image.Image], conventions: Sequence[str | Convention] = tuple(CONVENTIONS)
) -> pd.DataFrame:
    """SSIM of every pair of images under several conventions.

    Returns
    -------
    DataFrame
        ``first``, ``second``, and a column per convention.
    """
    table = pd.DataFrame(list(combinations(images, 2)), columns=["first", "second"])
    for convention in map(convention_named, conventions):
        made = {name: convention.prepare(image) for name, image in images.items()}
        table[convention.name] = [
            ssim(made[a], made[b], convention=convention)
            for a, b in zip(table["first"], table["second"], strict=True)
        ]
    return table


def agreement(table: pd.DataFrame, *, reference: str = "paper") -> pd.DataFrame:
    """How conventions order the pairs of :func:`by_convention`, against one of them.

    Returns
    -------
    DataFrame
        ``convention``, ``mean`` and ``largest`` SSIM, and ``swapped``: the share of couples of
        pairs that it puts in the other order than `reference` does.
    """
    from scipy.stats import kendalltau

    rows = []
    for name in table.columns[2:]:
        tau = kendalltau(table[reference], table[name]).statistic
        rows.append(
            {
                "convention": name,
                "mean": table[name].mean(),
                "largest": table[name].max(),
                "swapped": (1 - tau) / 2,
            }
        )
    return pd.DataFrame(rows)


def identities(images: Sequence[np.ndarray], *, convention: str | Convention = "paper") -> dict[str, float]:
    """How far SSIM is from what it should be on every pair of images.

    Returns
    -------
    dict
        ``identity``: largest \\|SSIM(x, x) - 1\\|; ``symmetry``: largest
        \\|SSIM(x, y) - SSIM(y, x)\\|; ``lowest``, ``highest``: of all window positions of all pairs.
    """
    there = [ssim_map(a, b, convention=convention) for a, b in combinations(images, 2)]
    back = [ssim_map(b, a, convention=convention) for a, b in combinations(images, 2)]
    return {
        "identity": max(abs(ssim(a, a, convention=convention) - 1) for a in images),
        "symmetry": max(abs(p.mean() - q.mean()) for p, q in zip(there, back, strict=True)),
        "lowest": min(float(one.min()) for one in there),
        "highest": max(float(one.max()) for one in there),
    }


def against_skimage(images: Mapping[str, Image.Image], *, noise: int = 0, seed: int = 0) -> pd.DataFrame:
    """Largest deviation from scikit-image in float64, per convention that it offers.

    Parameters
    ----------
    images : mapping of str to PIL image
        Every pair of them is scored.
    noise : int
        Images of noise of various strengths to add.

    Returns
    -------
    DataFrame
        ``convention``, ``pairs``, and the largest deviations ``ssim_deviation`` of
        :func:`gmaug.ssim.ssim` and ``ssim_pairs_deviation`` of the fast engine.
    """
    from skimage.metrics import structural_similarity

    from gmaug.ssim.engine import ssim_pairs

    rng = np.random.default_rng(seed)
    options = {
        "paper": {},
        "authors32": {},
        "rgb": {"channel_axis": 2},
        "wang2004": {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False},
        "11x11 uniform": {"win_size": 11, "use_sample_covariance": False},
    }
    wide = replace(CONVENTIONS["paper"], name="11x11 uniform", win_size=11, covariance="population")
    rows = []
    for name, chosen in options.items():
        convention = wide if name == wide.name else CONVENTIONS[name]
        made = [convention.prepare(image) for image in images.values()]
        for _ in range(noise):
            field = 128 + rng.uniform(1, 80) * rng.standard_normal(made[0].shape)
            made.append(np.clip(field, 0, 255).astype(np.uint8))
        pairs = np.array(list(combinations(range(len(made)), 2)))
        fast = ssim_pairs(np.stack(made), pairs, convention=convention)
        slow = [
            structural_similarity(*(made[k].astype(float) for k in p), data_range=255, **chosen)
            for p in pairs
        ]
        plain = [ssim(made[i], made[j], convention=convention) for i, j in pairs]
        rows.append(
            {
                "convention": name,
                "pairs": len(pairs),
                "ssim_deviation": float(np.abs(np.subtract(plain, slow)).max()),
                "ssim_pairs_deviation": float(np.abs(fast - slow).max()),
            }
        )
    return pd.DataFrame(rows)
