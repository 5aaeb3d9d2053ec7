"""How good generated images are: closed forms, laws, brute force, and peers as oracles."""

from __future__ import annotations

import numpy as np
import pytest
import record as study
from small_generators import tiny

from gmaug import backend, runs
from gmaug.generators import TransitionalCGAN, load_generator
from gmaug.generators.quality import (
    diversity,
    frechet,
    frechet_error,
    joint,
    kid,
    manifold,
    pixels,
    quality,
    train_extractor,
)


def test_frechet_of_a_set_with_itself_is_zero():
    x = np.random.default_rng(0).normal(size=(50, 8))
    assert frechet(x, x) == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("n", [5, 40])  # fewer and more images than dimensions
def test_frechet_against_the_matrix_square_root(n):
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 7)), rng.normal(size=(n + 3, 7)) @ rng.normal(size=(7, 7)) + 0.3
    s1, s2 = np.cov(x.T), np.cov(y.T)
    root = np.trace(sqrtm(s1 @ s2).real)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s1 + s2) - 2 * root
    assert frechet(x, y) == pytest.approx(expected, rel=1e-5)


def test_frechet_of_gaussians_in_closed_form():
    """Diagonal covariances: sum (m1 - m2)^2 + (s1 - s2)^2."""
    rng = np.random.default_rng(2)
    s1, s2, shift = np.array([1.0, 2.0, 0.5]), np.array([1.5, 1.0, 0.5]), np.array([0.0, 1.0, -2.0])
    x = rng.normal(size=(40000, 3)) * s1
    y = rng.normal(size=(40000, 3)) * s2 + shift
    expected = (shift**2).sum() + ((s1 - s2) ** 2).sum()
    error = frechet_error(x, y)
    assert abs(frechet(x, y) - expected) < 4 * error
    assert 0 < error < 0.1
    assert np.isnan(frechet_error(x[:19], y))


def test_kid_against_brute_force_and_its_jackknife():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(7, 4)) + 0.5

    def brute(a, b):
        k = lambda p, q: (p @ q / 4 + 1) ** 3  # noqa: E731
        aa = [k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j]
        bb = [k(b[i], b[j]) for i in range(len(b)) for j in range(len(b)) if i != j]
        return np.mean(aa) + np.mean(bb) - 2 * np.mean([k(p, q) for p in a for q in b])

    value, error = kid(x, y)
    assert value == pytest.approx(brute(x, y))
    left_x = np.array([brute(np.delete(x, i, 0), y) for i in range(9)])
    left_y = np.array([brute(x, np.delete(y, i, 0)) for i in range(7)])
    variance = (
        8 / 9 * np.square(left_x - left_x.mean()).sum() + 6 / 7 * np.square(left_y - left_y.mean()).sum()
    )
    assert error == pytest.approx(np.sqrt(variance))


def test_kid_is_unbiased_and_its_error_honest():
    """Equal distributions at N = 20: mean zero, and the error agrees with the scatter."""
    rng = np.random.default_rng(4)
    found = [kid(rng.normal(size=(20, 5)), rng.normal(size=(25, 5))) for _ in range(400)]
    values, errors = np.transpose(found)
    assert abs(values.mean()) < 4 * values.std() / 20
    assert 0.7 < np.median(errors) / values.std() < 1.6


def test_class_spread_sees_a_collapsed_class():
    rng = np.random.default_rng(6)
    real, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    fake = rng.normal(size=(60, 5))
    fake[labels == 1] = fake[1] + 0.01 * fake[labels == 1]
    ratios = diversity(real, labels, fake, labels)
    assert ratios[1] < 0.02
    assert 0.8 < ratios[0] < 1.25
    assert diversity(real, labels, real, labels) == {0: 1, 1: 1, 2: 1}
    ours, theirs = real[labels == 0], fake[labels == 0]
    pairs = [
        np.mean([np.linalg.norm(a - b) for i, a in enumerate(x) for b in x[i + 1 :]]) for x in (ours, theirs)
    ]
    assert ratios[0] == pytest.approx(pairs[1] / pairs[0])
    assert diversity(real, labels, fake[:1], labels[:1]) == {}


def test_bad_features():
    good = np.zeros((4, 3))
    for bad in (np.zeros((4, 2)), np.zeros(4), np.zeros((1, 3)), np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match="features"):
            frechet(good, bad)


def test_extractors():
    rng = np.random.default_rng(7)
    labels = np.arange(192) % 2
    images = rng.integers(0, 200, (192, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 55
    cells = pixels(images, 4)
    np.testing.assert_allclose(cells[0].reshape(4, 4, 3)[1, 2], images[0, 4:8, 8:12].mean((0, 1)) / 255)
    learned = train_extractor(images[:128], labels[:128], seed=0, dimension=16, epochs=8, threads=1)
    assert learned(images).shape == (192, 16)
    assert (learned.logits(images[128:]).argmax(1) == labels[128:]).mean() > 0.9
    again = train_extractor(images[:128], labels[:128], seed=0, dimension=16, epochs=8, threads=1)
    assert np.array_equal(learned(images), again(images))


def test_joint_distance_sees_a_swapped_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    one, other = (rng.normal(size=(400, 4)) + 3 * labels[:, None] for _ in range(2))
    right = frechet(*joint(one, labels, other, labels))
    swapped = frechet(*joint(one, labels, other, 1 - labels))
    blind = frechet(one, other)
    assert swapped > 10 * right
    assert blind == pytest.approx(right, abs=0.2)


# ---- peers --------------------------------------------------------------------------------


def test_against_torchmetrics():
    backend.torchvision()  # before torchmetrics, which imports it
    pytest.importorskip("torchmetrics")
    import torch
    from torchmetrics.image.fid import _compute_fid
    from torchmetrics.image.kid import poly_mmd

    rng = np.random.default_rng(8)
    x, y = rng.normal(size=(80, 6)), rng.normal(size=(80, 6)) @ rng.normal(size=(6, 6)) + 0.3
    moments = [torch.tensor(m) for z in (x, y) for m in (z.mean(axis=0), np.cov(z.T))]
    assert frechet(x, y) == pytest.approx(float(_compute_fid(*moments)), rel=1e-6)
    theirs = poly_mmd(torch.tensor(x), torch.tensor(y))  # degree 3, gamma 1 / d, coefficient 1
    assert kid(x, y)[0] == pytest.approx(float(theirs), rel=1e-6)


def test_against_prdc():
    prdc = pytest.importorskip("prdc")
    rng = np.random.default_rng(9)
    x, y = rng.normal(size=(90, 4)), 0.8 * rng.normal(size=(70, 4)) + 0.2
    assert manifold(x, y) == pytest.approx(prdc.compute_prdc(x, y, nearest_k=5))


# ---- fidelity and diversity, all of it -----------------------------------------------------


class Judge:
    """Mean colour as features; the class is the brightest channel."""

    name = "mean colour"

    def __call__(self, images):
        return images.mean(axis=(1, 2)) / 255

    def logits(self, images):
        return self(images)


def coloured(labels, rng):
    """Images of noise whose channel `label` is the brightest."""
    images = rng.integers(0, 100, (len(labels), 4, 4, 3))
    images[np.arange(len(labels)), :, :, labels] += 100
    return images.astype(np.uint8)


def labelled_images(each, seed):
    labels = np.repeat(np.arange(3), each)
    return coloured(labels, np.random.default_rng(seed)), labels


def test_manifold_of_alike_shifted_and_collapsed_sets():
    rng = np.random.default_rng(0)
    real, alike = rng.normal(size=(2, 600, 4))
    found = manifold(real, alike)
    assert min(found["precision"], found["recall"], found["coverage"]) > 0.85
    assert found["density"] == pytest.approx(1, abs=0.1)
    far = manifold(real, alike + 50)
    assert (far["precision"], far["recall"], far["coverage"]) == (0, 0, 0)
    collapsed = manifold(real, 1e-3 * alike)
    assert collapsed["precision"] == 1
    assert collapsed["recall"] < 0.01
    assert collapsed["coverage"] < 0.2
    with pytest.raises(ValueError, match="k=5"):
        manifold(real[:5], alike)


class Painter:
    """A generator of coloured images, whose labels may be moved on; a collapsed one has one image."""

    def __init__(self, shift=0, collapsed=False):
        self.shift, self.collapsed = shift, collapsed

    def sample(self, labels, *, seed):
        images = coloured((labels + self.shift) % 3, np.random.default_rng(seed))
        return images[[0] * len(labels)] if self.collapsed else images


def test_quality_tells_good_generators_from_bad():
    test = labelled_images(60, 2)
    good, wrong, same = (
        quality(*test, one, Judge()) for one in (Painter(), Painter(shift=1), Painter(collapsed=True))
    )
    assert good["recognised"] == [1, 1, 1] == good["recognised_real"]
    assert wrong["recognised"] == [0, 0, 0]
    assert good["frechet"]["value"] < 5 * good["frechet_floor"]["value"]
    # as a whole the colours are the same, class by class they are not
    assert min(wrong["frechet_by_class"]) > 20 * max(good["frechet_by_class"])
    assert max(same["spread"]) == 0
    assert good["frechet"]["n_real"] == 90


def test_a_generator_is_recorded_with_its_snapshots(tmp_path):
    """Trained, saved, loaded again and measured; what is recorded is what a reader loads."""
    labels = np.repeat(np.arange(3), 16)
    images = np.random.default_rng(0).integers(0, 80, (48, 8, 8, 3)) + 60 * labels[:, None, None, None]
    data = images.astype(np.uint8), labels
    parts = dict.fromkeys(("train", "validation", "test", "judges", "watchers"), data)
    model = TransitionalCGAN(tiny(kimg=0.16))
    written = study.trained_and_judged(
        "toy-cgan", model, **parts, checkpoints=tmp_path / "runs", snapshots=[0.08], folder=tmp_path
    )
    assert [path.stem for path in written] == ["toy-cgan@0.08", "toy-cgan"]
    record = runs.read_record("generators", "toy-cgan", folder=tmp_path)
    loaded = load_generator(written[1].with_suffix(".safetensors"), threads=1)
    assert record["content"]["kept_kimg"] == loaded.kimg_
    assert record["content"]["distances"]["frechet"]["n_fake"] == 24
    assert record["data"]["name"] == "toy"
    assert len(record["content"]["history"]) == 2
    again = study.trained_and_judged(
        "toy-cgan", model, **parts, checkpoints=tmp_path / "runs", folder=tmp_path
    )
    assert runs.read_record("generators", "toy-cgan", folder=tmp_path)["content"] == record["content"]
    assert len(again) == 1
