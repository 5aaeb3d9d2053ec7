"""How large a run is: ``smoke`` for tests, ``default`` for two CPU cores, ``paper`` for a GPU.

The profiles differ in size alone: the code that runs is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

EIGHT = tuple(f"garden-{k}" for k in range(1, 9))


@dataclass(frozen=True)
class Profile:
    """Sizes of a run.

    Attributes
    ----------
    name : str
        ``smoke``, ``default`` or ``paper``.
    metric_gardens : tuple of str
        Gardens whose similarity is measured.
    metric_images : int, optional
        Training images of a garden that the metric looks at; all of them if None.
    bootstrap : int
        Draws of a bootstrap or a simulation.
    live_kimg : float
        Thousands of images shown to the 16 px generator that is trained on the spot.
    live_garden : str
        The garden that notebook 04 follows.
    live_arms, live_seeds : tuple
        Cells of the experiment that are run on the spot in that garden.
    live_epochs : int
        Epochs of its classifiers.
    """

    name: str
    metric_gardens: tuple[str, ...]
    metric_images: int | None
    bootstrap: int
    live_kimg: float
    live_garden: str
    live_arms: tuple[str, ...]
    live_seeds: tuple[int, ...]
    live_epochs: int


_ARMS = ("original", "cb-loss", "step-matched", "cgan-aug", "cgan-augcls")

PROFILES = {
    profile.name: profile
    for profile in (
        Profile(
            name="smoke",
            metric_gardens=("garden-1", "garden-8"),
            metric_images=90,
            bootstrap=200,
            live_kimg=0.5,
            live_garden="garden-1",
            live_arms=("original", "cgan-augcls"),
            live_seeds=(0,),
            live_epochs=2,
        ),
        Profile(
            name="default",
            metric_gardens=EIGHT,
            metric_images=None,
            bootstrap=2000,
            live_kimg=24.0,
            live_garden="garden-1",
            live_arms=_ARMS,
            live_seeds=(0,),
            live_epochs=30,
        ),
        Profile(
            name="paper",
            metric_gardens=EIGHT,
            metric_images=None,
            bootstrap=10_000,
            live_kimg=400.0,
            live_garden="garden-1",
            live_arms=_ARMS,
            live_seeds=(0, 1, 2),
            live_epochs=100,  # as the paper trains ResNet18 (section 4.1)
        ),
    )
}


def profile_named(name: str) -> Profile:
    """The profile called `name`; ``ValueError`` with the known ones if there is none."""
    if name not in PROFILES:
        raise ValueError(f"PROFILE={name}: unknown; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]
