"""One garden followed through GM-augCls, step by step, for notebook 04."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import studies
from gmaug.arms import CellSettings
from gmaug.classifiers.settings import GARDEN
from gmaug.generators.settings import TransitionalCGANSettings

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.augcls import GMAugCls
    from gmaug.generators.cgan import TransitionalCGAN

LIVE_SIDE = 16  # pixels: a quarter of the work of 32, and a body is still told from another
SNAPSHOTS = 4


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

    train = studies.splits(nb.settings.live_garden).train
    counts = train.class_counts
    chosen = [max(members, key=counts.__getitem__) for members in train.hierarchy.groups.values()]
    rows = np.concatenate([np.flatnonzero(train.labels == train.classes.index(name)) for name in chosen])
    labels = np.repeat(np.arange(len(chosen)), [counts[name] for name in chosen])
    images = train.arrays(rows, size=LIVE_SIDE)
    settings = TransitionalCGANSettings(
        resolution=LIVE_SIDE,
        channels=studies.LIVE_CHANNELS,
        kimg=nb.settings.live_kimg,
        report_kimg=nb.settings.live_kimg / SNAPSHOTS / 2,
        seed=nb.seed,
        n_classes=len(chosen),
    )
    result = nb.stage(
        "live_generator",
        lambda: _snapshots(settings, images, labels, nb, each),
        settings=settings,
        inputs=studies.digest_of(images, labels),
        modules=["generators.cgan", "walkthrough"],
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

    wanted = np.repeat(np.arange(settings.n_classes), each)
    taken: list[np.ndarray] = []
    times: list[float] = []

    def look(generator: TransitionalCGAN, row: Mapping[str, float]) -> None:
        if row["kimg"] >= settings.kimg * (len(taken) + 1) / SNAPSHOTS - 1e-6:
            taken.append(generator.sample(wanted, seed=0))
            times.append(row["kimg"])

    fitted = TransitionalCGAN(settings).fit(images, labels, callback=look)
    return {"snapshots": np.stack(taken).tolist(), "kimg": times, "history": fitted.history_}


def follow(nb: Any, generator: TransitionalCGAN) -> GMAugCls:
    """GM-augCls on the profile's garden with the recorded generator, as the experiment's cell runs it."""
    from dataclasses import replace

    from gmaug.augcls import GMAugCls
    from gmaug.classifiers import ResNet18

    parts, s = studies.splits(nb.settings.live_garden), CellSettings()
    classifier = ResNet18(replace(GARDEN, epochs=nb.settings.live_epochs))
    augmented = GMAugCls(
        generator, classifier, sampling_strategy=s.target, score=s.score, alpha=s.alpha, epsilon=s.epsilon,
        rounds=s.rounds, budget=s.budget, size=studies.SIZE, examples=3, seed=nb.seed,
    )  # fmt: skip
    augmented.images_, augmented.labels_ = augmented.fit_resample(parts.train, validation=parts.validation)
    return augmented


@dataclass(frozen=True)
class Mistakes:
    """Where generated images fall, in the eyes of an independent classifier; shares of all.

    Attributes
    ----------
    right, wrong_mark, wrong_body : float
        In the class asked for; in another of its super-class; in another super-class.
    real : tuple of float
        The same three shares for real test images.
    """

    right: float
    wrong_mark: float
    wrong_body: float
    real: tuple[float, float, float]

    def __str__(self) -> str:
        rows = [("generated", (self.right, self.wrong_mark, self.wrong_body)), ("real", self.real)]
        head = f"{'':10s} {'right class':>12s} {'wrong mark':>11s} {'wrong body':>11s}"
        return "\n".join([head, *(f"{n:10s} {a:12.1%} {b:11.1%} {c:11.1%}" for n, (a, b, c) in rows)])


def mistakes(name: str, generator: TransitionalCGAN, *, each: int = 100) -> Mistakes:
    """Ask the independent extractor of a garden what `each` generated images of every class show."""
    test = studies.splits(name).test
    judge = studies.extractor(name)
    supers = np.array([test.hierarchy.super_of(c) for c in test.classes])

    def shares(images: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
        seen = judge.logits(images).argmax(axis=1)
        right, body = seen == wanted, supers[seen] == supers[wanted]
        return float(right.mean()), float((~right & body).mean()), float((~body).mean())

    wanted = np.repeat(np.arange(len(test.classes)), each)
    return Mistakes(
        *shares(generator.sample(wanted, seed=4), wanted),
        real=shares(test.arrays(size=studies.SIZE), test.labels),
    )


def threshold_sweep(
    name: str, generator: TransitionalCGAN, selector: Any, *, each: int = 100
) -> pd.DataFrame:
    """What a threshold keeps, and how much of it the independent extractor recognises.

    Parameters
    ----------
    name : str
        The garden.
    generator : TransitionalCGAN
    selector : object
        The classifier that selects (``predict_proba``).
    each : int
        Candidates of every class.

    Returns
    -------
    DataFrame
        ``alpha``, ``kept`` (share of candidates), ``recognised`` (share of the kept) with its
        binomial standard error ``se``, and ``candidates``.
    """
    import pandas as pd

    wanted = np.repeat(np.arange(len(studies.splits(name).test.classes)), each)
    images = generator.sample(wanted, seed=5)
    seen = studies.extractor(name).logits(images).argmax(axis=1) == wanted
    scores = selector.predict_proba(images)
    top = scores.argmax(axis=1) == wanted
    best = scores.max(axis=1)
    rows = []
    for alpha in (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99):
        kept = top & (best >= alpha)
        share = float(seen[kept].mean()) if kept.any() else float("nan")
        error = float(np.sqrt(share * (1 - share) / kept.sum())) if kept.any() else float("nan")
        rows.append((alpha, float(kept.mean()), share, error, len(wanted)))
    return pd.DataFrame(rows, columns=["alpha", "kept", "recognised", "se", "candidates"])


def quality_table(record: Mapping[str, Any]) -> pd.DataFrame:
    """The distances of a generator's record beside what real images score."""
    import pandas as pd

    d = record["content"]["distances"]
    count = f"N = {d['frechet']['n_real']} + {d['frechet']['n_fake']}, d = {d['frechet']['dimension']}"
    mean = {key: float(np.mean(d[key])) for key in ("recognised", "recognised_real", "spread")}
    worst = {key: float(np.min(d[key])) for key in ("recognised", "recognised_real", "spread")}
    rows = [
        ("Fréchet distance", *_pair(d["frechet"]), *_pair(d["frechet_floor"]), count),
        ("KID", *_pair(d["kid"]), *_pair(d["kid_floor"]), count),
        (
            "recognised as its class",
            mean["recognised"],
            None,
            mean["recognised_real"],
            None,
            "mean of classes",
        ),
        ("the same, worst class", worst["recognised"], None, worst["recognised_real"], None, ""),
        ("diversity, real = 1", mean["spread"], None, 1.0, None, "mean of classes"),
        ("the same, worst class", worst["spread"], None, 1.0, None, ""),
    ]
    columns = ["measure", "generated", "± se", "real", "± se (real)", "note"]
    return pd.DataFrame(rows, columns=columns)


def _pair(distance: Mapping[str, Any]) -> tuple[float, float]:
    return distance["value"], distance["se"]


def converged(curve: pd.DataFrame) -> dict[str, Any]:
    """Verdict on "trained until the FID converges": the last quarter of the run against the one before.

    Converged means that the mean distance of the last quarter is within two standard errors of
    that of the third, the errors taken from the scatter of the reports.
    """
    quarter = np.minimum((curve["kimg"] / curve["kimg"].iloc[-1] * 4).to_numpy(), 3.999).astype(int)
    third, last = (curve["distance"].to_numpy()[quarter == q] for q in (2, 3))
    change = float(last.mean() - third.mean())
    error = float(np.hypot(*(x.std(ddof=1) / np.sqrt(len(x)) for x in (third, last))))
    return {
        "ours": f"last quarter {last.mean():.2f}, the one before {third.mean():.2f}, error {error:.2f}",
        "holds": abs(change) <= 2 * error,
        "why": "the recorded generator's budget is time on two cores, not convergence",
    }


def high_quality(record: Mapping[str, Any]) -> dict[str, Any]:
    """Verdict on "high quality": generated images are recognised as often as real ones, or nearly.

    Nearly means a share of at least nine tenths of the real images' share.
    """
    d = record["content"]["distances"]
    made, real = float(np.mean(d["recognised"])), float(np.mean(d["recognised_real"]))
    return {
        "ours": f"{made:.0%} recognised, real images {real:.0%}",
        "holds": made >= 0.9 * real,
        "why": "an independent net, before selection; nine tenths of the real share would match",
    }


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
    for claim in ("sec2.transition", "sec3.5.collapse"):
        nb.judge(claim, None, why="the ablation without the transition takes three more trainings")
