"""Generated images in the eyes of a net that had no part in making or selecting them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug.study.generation import extractor
from gmaug.study.sets import SIZE, Arrays, splits, study_set

if TYPE_CHECKING:
    import pandas as pd

    from gmaug.generators.cgan import TransitionalCGAN
    from gmaug.generators.diffusion import GuidedDiffusion


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


def quality_table(made: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """The distances of generators' records beside what real images score.

    Parameters
    ----------
    made : mapping of str to record
        By the generator's name.

    Returns
    -------
    DataFrame
        ``measure``, a column for each generator and ``real images``, as text with ``± se``.
    """
    import pandas as pd

    columns = {name: record["content"]["distances"] for name, record in made.items()}
    first = next(iter(columns.values()))
    d = first["frechet"]
    count = f"d = {d['dimension']}, N = {d['n_real']} + {d['n_fake']}"

    def row(title: str, key: str, floor: Any, show: Any) -> dict[str, str]:
        return {"measure": title} | {n: show(q[key]) for n, q in columns.items()} | {"real images": floor}

    def error(found: Mapping[str, Any]) -> str:
        return f"{found['value']:.3g} ± {found['se']:.1g}"

    rows = [
        row(f"{title} ({count})", key, error(first[f"{key}_floor"]), error)
        for title, key in (("Fréchet distance", "frechet"), ("KID", "kid"))
    ]
    for part in ("precision", "recall", "coverage"):
        text = f"{first['manifold_floor'][part]:.2f}"
        rows.append(row(part, "manifold", text, lambda found, part=part: f"{found[part]:.2f}"))
    for title, key, real in (
        ("recognised as its class", "recognised", first["recognised_real"]),
        ("diversity, real = 1", "spread", [1.0]),
    ):
        rows.append(row(f"{title}, mean", key, f"{np.mean(real):.2f}", lambda v: f"{np.mean(v):.2f}"))
        rows.append(row(f"{title}, worst class", key, f"{np.min(real):.2f}", lambda v: f"{np.min(v):.2f}"))
    return pd.DataFrame(rows)


def tail_table(name: str, made: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Recognised share of each class's generated and real images beside its training images.

    Returns
    -------
    DataFrame
        ``class``, ``images`` (trained on), ``kind`` (a key of `made`, or ``"real"``),
        ``recognised`` in [0, 1].
    """
    import pandas as pd

    source = study_set(name)
    shares = {kind: record["content"]["distances"]["recognised"] for kind, record in made.items()}
    shares["real"] = next(iter(made.values()))["content"]["distances"]["recognised_real"]
    rows = [
        (c, int(n), kind, share)
        for kind, found in shares.items()
        for c, n, share in zip(source.classes, source.counts, found, strict=True)
    ]
    return pd.DataFrame(rows, columns=["class", "images", "kind", "recognised"])


def trajectory(
    name: str, generator: GuidedDiffusion, *, columns: int = 7
) -> tuple[np.ndarray, list[float], list[str]]:
    """One image of each super-class's largest class on its way from noise.

    Returns
    -------
    frames : ndarray of uint8, shape (super-classes, columns, 32, 32, 3)
    levels : list of float
        Share of noise left, ``sqrt(1 - alpha-bar)``, in each column.
    names : list of str
    """
    from gmaug.generators.diffusion_training import make_scheduler

    source = study_set(name)
    groups = splits(name).train.hierarchy.groups
    names = [max(m, key=lambda c: source.counts[source.classes.index(c)]) for m in groups.values()]
    seen: list[tuple[int, np.ndarray]] = []
    labels = [source.classes.index(c) for c in names]
    generator.sample(labels, seed=6, callback=lambda t, x: seen.append((t, x[: len(labels)].cpu().numpy())))
    bars = make_scheduler("DDIM", generator.settings).alphas_cumprod.numpy()
    ends = [t for t, _ in seen[1:]] + [None]  # what a step at t leaves is as noisy as the next level
    noise = [float(np.sqrt(1 - bars[t])) if t is not None else 0.0 for t in ends]
    chosen = np.unique(np.linspace(0, len(seen) - 1, columns).round().astype(int))
    frames = np.stack([seen[k][1] for k in chosen], axis=1).transpose(0, 1, 3, 4, 2)
    pixels = np.clip((frames + 1) * 127.5, 0, 255).round().astype(np.uint8)
    return pixels, [noise[k] for k in chosen], names


def guidance_sweep(
    name: str, generator: GuidedDiffusion, *, each: int = 16, scales: Sequence[float] = (0, 0.5, 1, 2, 4, 8)
) -> pd.DataFrame:
    """What the guidance scale trades: recognition, diversity and distance to test images.

    Parameters
    ----------
    name : str
        The garden.
    each : int
        Images of every class and scale.

    Returns
    -------
    DataFrame
        ``scale``, ``recognised`` (an independent net) with its binomial ``se``, ``spread`` (mean
        over classes, real = 1), ``frechet`` and ``frechet_se``.
    """
    import pandas as pd

    from gmaug.generators.distance import class_spread, frechet

    source, judge = study_set(name), extractor(name)
    images, labels = source.test
    real, wanted = judge(images), np.repeat(np.arange(len(source.classes)), each)
    rows = []
    for scale in scales:
        made = generator.sample(wanted, seed=7, guidance=scale)
        features = judge(made)
        share = float((judge.logits(made).argmax(axis=1) == wanted).mean())
        spread = float(np.mean([one.ratio for one in class_spread(real, labels, features, wanted)]))
        far = frechet(real, features, name=judge.name)
        error = float(np.sqrt(share * (1 - share) / len(wanted)))
        rows.append((scale, share, error, spread, far.value, far.se))
    return pd.DataFrame(rows, columns=["scale", "recognised", "se", "spread", "frechet", "frechet_se"])


def samples(
    makers: Mapping[str, Any], classes: int, *, each: int = 6, real: Arrays | None = None
) -> dict[str, np.ndarray]:
    """The first samples of generators, one row a class, after real images where there are some.

    Returns
    -------
    dict of str to ndarray of uint8, shape (classes, each, side, side, 3)
        ``"real"``, if given, then the keys of `makers`.
    """
    wanted = np.repeat(np.arange(classes), each)
    shown = {kind: maker.sample(wanted, seed=8) for kind, maker in makers.items()}
    if real is not None:
        rows = np.concatenate([np.flatnonzero(real[1] == c)[:each] for c in range(classes)])
        shown = {"real": real[0][rows]} | shown
    return {kind: x.reshape(classes, each, *x.shape[1:]) for kind, x in shown.items()}


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
