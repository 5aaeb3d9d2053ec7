"""Generated images in the eyes of a net that had no part in making or selecting them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.study.generation import extractor
from gmaug.study.sets import SIZE, splits

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.generators.cgan import TransitionalCGAN


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
    test = splits(name).test
    judge = extractor(name)
    supers = np.array([test.hierarchy.super_of(c) for c in test.classes])

    def shares(images: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
        seen = judge.logits(images).argmax(axis=1)
        right, body = seen == wanted, supers[seen] == supers[wanted]
        return float(right.mean()), float((~right & body).mean()), float((~body).mean())

    wanted = np.repeat(np.arange(len(test.classes)), each)
    return Mistakes(
        *shares(generator.sample(wanted, seed=4), wanted),
        real=shares(test.arrays(size=SIZE), test.labels),
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

    wanted = np.repeat(np.arange(len(splits(name).test.classes)), each)
    images = generator.sample(wanted, seed=5)
    seen = extractor(name).logits(images).argmax(axis=1) == wanted
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


def judge(nb: Any, seen: Mistakes) -> None:
    """Verdicts on where generated images fall (sections 3.3 and 3.4)."""
    nb.judge(
        "sec3.4.wrong_class",
        f"{1 - seen.right:.0%} fall elsewhere, of real images {1 - seen.real[0]:.0%}",
        holds=seen.right < seen.real[0],
        why="an independent net on 900 generated images",
    )
    nb.judge(
        "sec3.3.subtle",
        f"{seen.wrong_mark:.0%} wrong mark, {seen.wrong_body:.0%} wrong body",
        holds=seen.wrong_mark > seen.wrong_body,
        why="which mistake is the more frequent; one garden, one generator",
    )
