"""How good generated images are: distances, coverage, diversity, recognition (Table 2).

FID is the Fréchet distance of Inception-V3's features. With other features the same formula is another
quantity, never called FID here and not comparable across extractors or counts: :func:`quality` gives what
real images score beside each. Features are matrices (n, d) of float, of real and of generated images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from scipy.spatial.distance import pdist
from torch import nn

from gmaug.generators.base import check_training, threads as using
from gmaug.progress import bar

NEIGHBOURS = 5  # of :func:`manifold`


def frechet(real: np.ndarray, fake: np.ndarray) -> float:
    """Fréchet distance between Gaussians fitted to two sets of features.

    ``|m1 - m2|^2 + tr(S1 + S2 - 2 (S1 S2)^(1/2))``, with sample covariances. Biased upwards at
    finite N; with fewer images than dimensions the covariances are rank-deficient: give KID too.
    """
    real, fake = _features(real, fake)
    a = (real - real.mean(axis=0)) / np.sqrt(len(real) - 1)
    b = (fake - fake.mean(axis=0)) / np.sqrt(len(fake) - 1)
    traces = (a * a).sum() + (b * b).sum()
    # tr (S1 S2)^(1/2) with S1 = a'a, S2 = b'b is the sum of the singular values of a b': no
    # matrix square root, nothing complex. Triangular factors first, where they are the smaller.
    a, b = (np.linalg.qr(x, mode="r") if len(x) > x.shape[1] else x for x in (a, b))
    cross = np.linalg.svd(a @ b.T, compute_uv=False).sum()
    return float(np.square(real.mean(axis=0) - fake.mean(axis=0)).sum() + traces - 2 * cross)


def frechet_error(real: np.ndarray, fake: np.ndarray, *, groups: int = 10) -> float:
    """Standard error of :func:`frechet` over images: a jackknife that leaves out a group of either side.

    nan where a side has fewer than two images a group.
    """
    if min(len(real), len(fake)) < 2 * groups:
        return float("nan")
    rng, total = np.random.default_rng(0), 0.0
    for one, distance in ((real, lambda x: frechet(x, fake)), (fake, lambda x: frechet(real, x))):
        dealt = rng.permutation(len(one)) % groups
        values = np.array([distance(one[dealt != g]) for g in range(groups)])
        total += (groups - 1) / groups * np.square(values - values.mean()).sum()
    return float(np.sqrt(total))


def joint(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Features (n, d + C) and (m, d + C), with the class beside them: an image of the wrong one is far away.

    The Fréchet distance of these is the joint distance of DeVries et al., *On the evaluation of
    conditional GANs* (2019): the class (of a generated image the one asked for) is one-hot, scaled to
    the mean length of the real features.
    """
    classes = np.union1d(real_labels, fake_labels)
    length = np.linalg.norm(np.asarray(real, dtype=np.float64), axis=1).mean()
    hot = [length * (np.asarray(labels)[:, None] == classes) for labels in (real_labels, fake_labels)]
    return np.hstack([real, hot[0]]), np.hstack([fake, hot[1]])


def kid(real: np.ndarray, fake: np.ndarray) -> tuple[float, float]:
    """Kernel distance, the unbiased squared MMD with the kernel ``(x.y / d + 1)^3``, and its standard error.

    Bińkowski et al., *Demystifying MMD GANs* (ICLR 2018). Zero in expectation for two sets of one
    distribution, at any N; may come out negative. The standard error is a jackknife over images.
    """
    real, fake = _features(real, fake)
    n, m, d = len(real), len(fake), real.shape[1]
    if min(n, m) < 3:
        raise ValueError(f"{n} real and {m} generated images; the jackknife needs 3 a side")
    rr, ff, rf = ((x @ y.T / d + 1) ** 3 for x, y in ((real, real), (fake, fake), (real, fake)))
    np.fill_diagonal(rr, 0)
    np.fill_diagonal(ff, 0)
    value = rr.sum() / (n * (n - 1)) + ff.sum() / (m * (m - 1)) - 2 * rf.mean()
    # leaving out one image takes its row out of each sum
    within_r = (rr.sum() - 2 * rr.sum(axis=1)) / ((n - 1) * (n - 2))
    within_f = (ff.sum() - 2 * ff.sum(axis=1)) / ((m - 1) * (m - 2))
    less_r = within_r - 2 * (rf.sum() - rf.sum(axis=1)) / ((n - 1) * m)
    less_f = within_f - 2 * (rf.sum() - rf.sum(axis=0)) / (n * (m - 1))
    variance = (n - 1) / n * np.square(less_r - less_r.mean()).sum()
    variance += (m - 1) / m * np.square(less_f - less_f.mean()).sum()
    return float(value), float(np.sqrt(variance))


def _features(real: np.ndarray, fake: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    real, fake = np.asarray(real, dtype=np.float64), np.asarray(fake, dtype=np.float64)
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1] or min(len(real), len(fake)) < 2:
        raise ValueError(f"features are {real.shape} and {fake.shape}; give (n, d) and (m, d), n, m > 1")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("features hold nan or infinity; check the extractor and the images")
    return real, fake


def manifold(real: np.ndarray, fake: np.ndarray) -> dict[str, float]:
    """Precision, recall, density and coverage of features.

    Each set is taken for the union of balls around its points, as wide as the distance to the fifth
    neighbour. Kynkäänniemi et al., *Improved precision and recall metric for assessing generative
    models* (NeurIPS 2019); Naeem et al., *Reliable fidelity and diversity metrics for generative
    models* (ICML 2020).

    ``precision`` and ``recall`` are the shares, in [0, 1], of generated images inside the real manifold
    and of real ones inside the generated; ``density`` is the number of real balls that a generated image
    lies in, over five (1 where both sets are alike; less swayed by one outlier's wide ball); ``coverage``
    the share, in [0, 1], of real images in whose ball a generated one lies.
    """
    from sklearn.metrics import pairwise_distances

    real, fake = _features(real, fake)
    if min(len(real), len(fake)) <= NEIGHBOURS:
        found = f"{len(real)} real and {len(fake)} generated images"
        raise ValueError(f"{found}; k={NEIGHBOURS} neighbours need more on each side")
    across = pairwise_distances(real, fake)
    # the nearest of all is the point itself
    r_real, r_fake = (np.sort(pairwise_distances(x), axis=1)[:, NEIGHBOURS] for x in (real, fake))
    in_real, in_fake = across <= r_real[:, None], across <= r_fake
    return {
        "precision": float(in_real.any(axis=0).mean()),
        "recall": float(in_fake.any(axis=1).mean()),
        "density": float(in_real.sum(axis=0).mean() / NEIGHBOURS),
        "coverage": float(in_real.any(axis=1).mean()),
    }


def diversity(
    real: np.ndarray, real_labels: np.ndarray, fake: np.ndarray, fake_labels: np.ndarray
) -> dict[int, float]:
    """Mode-collapse monitor: mean pairwise distance of a class's generated images over that of its real.

    Features or images, of which rows are flattened. A value for each class with at least two images on
    both sides: near 1 as diverse as real images, near 0 collapsed to one picture.
    """
    found = {}
    for c in np.intersect1d(real_labels, fake_labels).tolist():
        mine = [np.asarray(x)[np.asarray(y) == c] for x, y in ((real, real_labels), (fake, fake_labels))]
        if min(map(len, mine)) > 1:
            one, other = (float(pdist(x.reshape(len(x), -1)).mean()) for x in mine)
            found[c] = other / one if one > 0 else float("nan")
    return found


# ---- extractors ---------------------------------------------------------------------------


def pixels(images: np.ndarray, side: int = 8) -> np.ndarray:
    """Features that need no training: the images' means over a `side` x `side` grid, 0 to 1.

    See colours and coarse shapes only. `side` must divide the images' side.
    """
    n, height, width, channels = images.shape
    cells = images.reshape(n, side, height // side, side, width // side, channels)
    return cells.mean(axis=(2, 4)).reshape(n, -1) / 255


class Extractor:
    """Images, uint8 (n, h, w, 3), to features, float32 (n, d): the last layer before the class logits.

    Made by :func:`train_extractor`; `name` is for the name of a distance.
    """

    def __init__(self, net: nn.Sequential, *, name: str, threads: int | None) -> None:
        self.net, self.name, self.threads = net.eval(), name, threads

    def __call__(self, images: np.ndarray) -> np.ndarray:
        return self._run(self.net[:-1], images)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Class scores, float32 (n, n_classes): is a generated image of its class?"""
        return self._run(self.net, images)

    def _run(self, net: nn.Module, images: np.ndarray) -> np.ndarray:
        with torch.inference_mode(), using(self.threads):
            parts = (images[start : start + 256] for start in range(0, len(images), 256))
            return np.concatenate([net(_tensor(part)).numpy() for part in parts])


def train_extractor(
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    *,
    seed: int,
    dimension: int = 64,
    epochs: int = 20,
    threads: int | None = None,
) -> Extractor:
    """Train a small in-domain extractor to tell the classes of real images apart.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, side, side, 3)
        Real images, at best balanced and none of those that a generator is judged against.
    labels : sequence of int, shape (n,)
    dimension : int
        Of the features. A Fréchet distance wants many more images than dimensions.
    """
    images, labels = check_training(images, labels)
    classes, steps = int(labels.max()) + 1, max(1, len(images) // 64)
    with torch.random.fork_rng(devices=[]), using(threads):
        torch.manual_seed(seed)
        layers: list[nn.Module] = []
        for n_in, n_out, stride in ((3, 16, 1), (16, 32, 2), (32, 64, 2), (64, dimension, 2)):
            layers += [nn.Conv2d(n_in, n_out, 3, stride=stride, padding=1, bias=False)]
            layers += [nn.BatchNorm2d(n_out), nn.ReLU()]
        layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(dimension, classes)]
        net = nn.Sequential(*layers).to(memory_format=torch.channels_last)
        optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3, weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=2e-3, total_steps=epochs * steps)
        wanted = torch.from_numpy(labels)
        for _ in bar(range(epochs), desc="extractor"):
            order = torch.randperm(len(images))
            for start in range(0, steps * 64, 64):
                rows = order[start : start + 64]
                batch = _tensor(images[rows.numpy()])
                if torch.rand(()) < 0.5:
                    batch = batch.flip(3)
                loss = F.cross_entropy(net(batch), wanted[rows], label_smoothing=0.1)
                optimiser.zero_grad(set_to_none=True)
                loss.backward()
                optimiser.step()
                schedule.step()
    name = f"{dimension}-d net trained on {len(images)} real images of {classes} classes"
    return Extractor(net, name=name, threads=threads)


def _tensor(images: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(images).permute(0, 3, 1, 2).to(torch.float32).div(127.5).sub(1)


# ---- all of it ----------------------------------------------------------------------------


def quality(
    images: np.ndarray, labels: np.ndarray, generator: Any, judge: Extractor, *, seed: int = 1
) -> dict[str, Any]:
    """Distances, recognition and diversity of a generator's images against real test images.

    Half of the test images are the reference; the other half, as many and as real, shows what a
    perfect generator would score (the floor).

    Parameters
    ----------
    images, labels : ndarray of uint8 (n, h, w, 3) and of int (n,)
        Real test images: at least four of each class, which count from 0.
    generator : object with ``sample(labels, seed=)``
    judge : Extractor
        Or what is called alike and has ``name`` and ``logits``; not the classifier that selects images.

    Returns
    -------
    dict
        ``frechet``, ``frechet_floor``, ``kid``, ``kid_floor``: dicts of ``name``, ``value``, its standard
        error ``se``, ``n_real``, ``n_fake`` and the features' ``dimension``; ``manifold`` and
        ``manifold_floor`` (:func:`manifold`); by class ``recognised`` and ``recognised_real``
        (shares in [0, 1] that the judge puts in the class asked for), ``spread`` (diversity
        relative to real images), ``frechet_by_class`` and ``frechet_by_class_floor``.
    """
    place = np.zeros(len(labels), dtype=np.int64)  # number of an image within its class
    for c in np.unique(labels):
        place[labels == c] = np.arange((labels == c).sum())
    even = place % 2 == 0
    wanted, classes = labels[even], range(int(labels.max()) + 1)
    made = generator.sample(wanted, seed=seed)
    real, fake = judge(images[even]), judge(made)
    found: dict[str, Any] = {}
    for key, other, asked in (("", fake, wanted), ("_floor", judge(images[~even]), labels[~even])):
        about = {"n_real": len(real), "n_fake": len(other), "dimension": real.shape[1]}
        value, se = frechet(real, other), frechet_error(real, other)
        name = f"Fréchet distance, {judge.name}"
        found[f"frechet{key}"] = {"name": name, "value": value, "se": se, **about}
        value, se = kid(real, other)
        found[f"kid{key}"] = {"name": f"KID, {judge.name}", "value": value, "se": se, **about}
        found[f"manifold{key}"] = manifold(real, other)
        by_class = [frechet(real[wanted == c], other[asked == c]) for c in classes]
        found[f"frechet_by_class{key}"] = by_class
    for key, pictures in (("recognised", made), ("recognised_real", images[even])):
        right = judge.logits(pictures).argmax(axis=1) == wanted
        found[key] = [float(right[wanted == c].mean()) for c in classes]
    return found | {"spread": list(diversity(real, wanted, fake, wanted).values())}
