"""What a resampler is given: images and labels, counts wanted, images to hold out."""

from __future__ import annotations

from typing import Any

import numpy as np

from gmaug.datasets.base import ImageSet


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


def labelled(X: Any, y: Any, *, size: int, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (n, h, w, 3), and labels (n,), of arrays, lists or an ImageSet.

    Parameters
    ----------
    X : array, list of arrays, or ImageSet
    y : array, shape (n,), or None
        None takes an ImageSet's own.
    size : int
        Side, in pixels, at which an ImageSet is read.
    name : str
        Of `X`, for the message.

    Raises
    ------
    ValueError
        If shapes, types or ranges do not fit.
    """
    if isinstance(X, ImageSet):
        y = X.labels if y is None else y
        X = X.arrays(size=size)
    if y is None:
        raise ValueError(f"{name} is an array without labels; give y, or an ImageSet")
    try:
        X, y = np.asarray(X), np.asarray(y)
    except ValueError:  # a list of arrays that do not stack
        raise ValueError(f"{name} holds images of different sizes; resize them to one") from None
    if X.ndim != 4 or X.shape[3] != 3 or not len(X):
        found = f"{X.dtype} of shape {X.shape}"
        raise ValueError(f"{name} is {found}; give uint8 (n, height, width, 3), n at least 1")
    if X.dtype.kind in "iu" and X.dtype != np.uint8 and X.min() >= 0 and X.max() <= 255:
        X = X.astype(np.uint8)  # lists of numbers come as int64
    if X.dtype != np.uint8:
        raise ValueError(
            f"{name} is {X.dtype}, {X.min():.4g} to {X.max():.4g}; give uint8, 0 to 255: for a range of "
            f"0 to 1, (255 * {name}).round().astype('uint8')"
        )
    if y.shape != (len(X),):
        raise ValueError(f"{name} has {len(X)} images but labels of shape {y.shape}; give one each")
    return X, y
