"""Names that moved to gmaug.generators and gmaug.classifiers, until their users have followed."""

from __future__ import annotations

from typing import Any

from gmaug.classifiers import make_classifier as classifier, settings_class, settings_for

__all__ = ["classifier", "generator", "is_fitted", "settings_class", "settings_for"]


def generator(name: str, *, shape: tuple[int, int], profile: str = "default", seed: int = 0) -> Any:
    """An untrained generator, as :func:`gmaug.generators.make_generator` gives it."""
    from gmaug.generators import make_generator

    return make_generator(name, shape=shape, profile=profile, seed=seed)


def is_fitted(model: Any) -> bool:
    """Whether a model is trained, or has nothing to train.

    As scikit-learn has it: ``__sklearn_is_fitted__`` decides where there is one; otherwise
    attributes that end in an underscore and hold something.
    """
    if not hasattr(model, "fit"):
        return True
    if hasattr(model, "__sklearn_is_fitted__"):
        return bool(model.__sklearn_is_fitted__())
    state = getattr(model, "__dict__", {})
    return any(
        key.endswith("_") and not key.startswith("_") and not _empty(value) for key, value in state.items()
    )


def _empty(value: Any) -> bool:
    return value is None or (len(value) == 0 if hasattr(value, "__len__") else value is False or value == 0)
