"""One garden followed through GM-augCls, step by step, for notebook 04."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.classifiers.settings import GARDEN
from gmaug.experiment.arms import CellSettings
from gmaug.generators.settings import PROFILES, TransitionalCGANSettings
from gmaug.provenance import digest
from gmaug.study.sets import SIZE, splits

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.augcls import GMAugCls
    from gmaug.generators.cgan import TransitionalCGAN

LIVE_SIDE = PROFILES["live"].resolution
SNAPSHOTS, REPORTS = 4, 2  # pictures of a live training, and rows of its history for each


@dataclass(frozen=True, eq=False)
class Learning:
    """A generator trained on the spot, and how it looked on the way.

    Attributes
    ----------
    classes : tuple of str
    snapshots : ndarray of uint8, shape (times, k, 16, 16, 3)
        The same noise and classes each time.
    real : ndarray of uint8, shape (k, 16, 16, 3)
    kimg : list of float
        When each snapshot was taken, in thousands of images shown.
    curve : DataFrame
        The generator's history.
    """

    classes: tuple[str, ...]
    snapshots: np.ndarray
    real: np.ndarray
    kimg: list[float]
    curve: pd.DataFrame


def train_live(nb: Any, *, each: int = 6) -> Learning:
    """Train the small generator on the most frequent class of each super-class.

    The result is a stage of the run: it is kept, and a killed training goes on where it was.

    Parameters
    ----------
    nb : gmaug.notebook.Notebook
        Its profile decides the garden and the length.
    each : int
        Samples of each class in a snapshot.
    """
    import pandas as pd

    train = splits(nb.settings.live_garden).train
    counts = train.class_counts
    chosen = [max(members, key=counts.__getitem__) for members in train.hierarchy.groups.values()]
    rows = np.concatenate([np.flatnonzero(train.labels == train.classes.index(name)) for name in chosen])
    labels = np.repeat(np.arange(len(chosen)), [counts[name] for name in chosen])
    images = train.arrays(rows, size=LIVE_SIDE)
    settings = replace(
        PROFILES["live"],
        kimg=nb.settings.live_kimg,
        report_kimg=nb.settings.live_kimg / SNAPSHOTS / REPORTS,
        seed=nb.seed,
        n_classes=len(chosen),
    )
    result = nb.stage(
        "live_generator",
        lambda: _snapshots(settings, images, labels, nb, each),
        settings=settings,
        inputs=digest(images, labels),
        modules=["generators.cgan", "study.walkthrough"],
    )
    first = np.concatenate([np.flatnonzero(labels == c)[:each] for c in range(len(chosen))])
    return Learning(
        tuple(chosen),
        np.array(result["snapshots"], dtype=np.uint8),
        images[first],
        result["kimg"],
        pd.DataFrame(result["history"]),
    )


def _snapshots(
    settings: TransitionalCGANSettings, images: np.ndarray, labels: np.ndarray, nb: Any, each: int
) -> dict[str, Any]:
    from gmaug.generators.cgan import TransitionalCGAN
    from gmaug.generators.snapshots import Snapshots

    look = Snapshots(np.repeat(np.arange(settings.n_classes), each), every=REPORTS)
    fitted = TransitionalCGAN(settings).fit(images, labels, callback=look)
    return {"snapshots": np.stack(look.images).tolist(), "kimg": look.kimg, "history": fitted.history_}


def follow(nb: Any, generator: TransitionalCGAN) -> GMAugCls:
    """GM-augCls on the profile's garden with the recorded generator, as the experiment's cell runs it."""
    import warnings

    from gmaug.augcls import GMAugCls, QuotaNotMet
    from gmaug.classifiers import ResNet18

    parts, s = splits(nb.settings.live_garden), CellSettings()
    classifier = ResNet18(replace(GARDEN, epochs=nb.settings.live_epochs))
    augmented = GMAugCls(
        generator, classifier, sampling_strategy=s.target, score=s.score, alpha=s.alpha, epsilon=s.epsilon,
        rounds=s.rounds, budget=s.budget, size=SIZE, examples=3, seed=nb.seed,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", QuotaNotMet)  # the notebook shows what is missing, class by class
        found = augmented.fit_resample(parts.train, validation=parts.validation)
    augmented.images_, augmented.labels_ = found
    return augmented


def judge_pipeline(nb: Any, augmented: GMAugCls, train: Any) -> None:
    """Verdicts on what section 3.4 says the pipeline does, from a fitted one."""
    counts = np.bincount(augmented.labels_, minlength=len(train.classes))
    missing = sum(augmented.n_missing_.values())
    spread = f"{counts.min()} to {counts.max()} images a class"
    nb.judge(
        "fig1.balanced", spread, holds=bool(counts.min() == counts.max()), why=f"{missing} images missing"
    )
    nb.judge(
        "sec5.qualified", spread, holds=missing == 0, why="counts asked for, within five candidates an image"
    )
    nb.judge("sec3.4.two_steps", f"{len(augmented.rounds_)} of at most {augmented.rounds}", holds=True)
    gains = [one.after - one.before for one in augmented.rounds_]
    nb.judge(
        "sec3.4.stop",
        "gain by round: " + ", ".join(f"{gain:+.3f}" for gain in gains),
        holds=len(gains) == augmented.rounds or gains[-1] <= augmented.epsilon,
        why="a round without gain is the last one",
    )
    nb.judge("sec3.4.once", "once", holds=True, why="one recorded generator serves both rounds")
    nb.judge("fig6.whole_set", "whole set", holds=True, why="one generator for all nine classes")
    nb.judge(
        "sec3.4.alpha",
        "softmax or logit",
        itself=True,
        why="the text says probability, the authors' code compares the raw logit; both are offered",
    )
    rates = [rate for rate in augmented.acceptance_rate_.values() if rate == rate]
    nb.judge(
        "fig6.quality",
        f"acceptance {min(rates):.0%} to {max(rates):.0%} by class",
        holds=min(rates) >= 0.5,
        why="half of a class's candidates kept would match; quality beyond that is for the eye to judge",
    )
