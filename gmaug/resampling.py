"""What a resampler is given: counts wanted, images to hold out."""

from __future__ import annotations

from typing import Any

import numpy as np


def quotas(labels: np.ndarray, strategy: Any) -> np.ndarray:
    """Images to add to each class, int64, shape (C,), in the order of the sorted classes.

    Parameters
    ----------
    labels : array, shape (n,)
    strategy : str, dict, int or callable
        As :class:`gmaug.augcls.GMAugCls` takes it.

    Raises
    ------
    ValueError
        If there are not two classes, imbalanced-learn does not know the strategy, or a wanted
        count is below a class's own.
    """
    from imblearn.utils import check_sampling_strategy

    classes, counts = np.unique(labels, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"y names one class, {classes.tolist()}; give two or more, or there is no imbalance")
    if isinstance(strategy, (int, np.integer)) and not isinstance(strategy, bool):
        return np.maximum(int(strategy) - counts, 0)
    added = check_sampling_strategy(strategy, labels, "over-sampling")
    return np.array([int(added.get(c, 0)) for c in classes.tolist()], dtype=np.int64)


def held_out(labels: np.ndarray, fraction: float, seed: int) -> np.ndarray:
    """Mask of the images held out: `fraction` of each class, but at least one and not the last one."""
    rng = np.random.default_rng(seed)
    mask = np.zeros(len(labels), dtype=bool)
    for c in np.unique(labels):
        mine = rng.permutation(np.flatnonzero(labels == c))
        count = min(max(1, round(fraction * len(mine))), len(mine) - 1) if fraction else 0
        mask[mine[:count]] = True
    return mask
