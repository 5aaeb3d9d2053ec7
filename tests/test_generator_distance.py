"""Distances between image sets: closed forms, laws and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from gmaug.generators.distance import class_spread, floor, frechet, kid, pixels
from gmaug.generators.extractor import train_extractor


def test_frechet_of_a_set_with_itself_is_zero():
    x = np.random.default_rng(0).normal(size=(50, 8))
    assert frechet(x, x, name="x").value == pytest.approx(0, abs=1e-10)


@pytest.mark.parametrize("n", [5, 40])  # fewer and more images than dimensions
def test_frechet_against_the_matrix_square_root(n):
    from scipy.linalg import sqrtm

    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 7)), rng.normal(size=(n + 3, 7)) @ rng.normal(size=(7, 7)) + 0.3
    s1, s2 = np.cov(x.T), np.cov(y.T)
    root = np.trace(sqrtm(s1 @ s2).real)
    expected = np.square(x.mean(0) - y.mean(0)).sum() + np.trace(s1 + s2) - 2 * root
    assert frechet(x, y, name="x").value == pytest.approx(expected, rel=1e-5)


def test_frechet_of_gaussians_in_closed_form():
    """Diagonal covariances: sum (m1 - m2)^2 + (s1 - s2)^2."""
    rng = np.random.default_rng(2)
    s1, s2, shift = np.array([1.0, 2.0, 0.5]), np.array([1.5, 1.0, 0.5]), np.array([0.0, 1.0, -2.0])
    x = rng.normal(size=(40000, 3)) * s1
    y = rng.normal(size=(40000, 3)) * s2 + shift
    expected = (shift**2).sum() + ((s1 - s2) ** 2).sum()
    found = frechet(x, y, name="x")
    assert abs(found.value - expected) < 4 * found.se
    assert 0 < found.se < 0.1
    assert (found.n_real, found.n_fake, found.dimension) == (40000, 40000, 3)


def test_kid_against_brute_force_and_its_jackknife():
    rng = np.random.default_rng(3)
    x, y = rng.normal(size=(9, 4)), rng.normal(size=(7, 4)) + 0.5

    def brute(a, b):
        k = lambda p, q: (p @ q / 4 + 1) ** 3  # noqa: E731
        aa = [k(a[i], a[j]) for i in range(len(a)) for j in range(len(a)) if i != j]
        bb = [k(b[i], b[j]) for i in range(len(b)) for j in range(len(b)) if i != j]
        return np.mean(aa) + np.mean(bb) - 2 * np.mean([k(p, q) for p in a for q in b])

    found = kid(x, y, name="x")
    assert found.value == pytest.approx(brute(x, y))
    left_x = np.array([brute(np.delete(x, i, 0), y) for i in range(9)])
    left_y = np.array([brute(x, np.delete(y, i, 0)) for i in range(7)])
    variance = (
        8 / 9 * np.square(left_x - left_x.mean()).sum() + 6 / 7 * np.square(left_y - left_y.mean()).sum()
    )
    assert found.se == pytest.approx(np.sqrt(variance))


def test_kid_is_unbiased_and_its_error_honest():
    """Equal distributions at N = 20: mean zero, and the error agrees with the scatter."""
    rng = np.random.default_rng(4)
    found = [kid(rng.normal(size=(20, 5)), rng.normal(size=(25, 5)), name="x") for _ in range(400)]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 4 * values.std() / 20
    assert 0.7 < np.median([one.se for one in found]) / values.std() < 1.6


def test_floor():
    rng = np.random.default_rng(5)
    real = rng.normal(size=(300, 6))
    lowest = floor(frechet, real, n_real=100, n_fake=80, name="x")
    assert lowest.value < frechet(real[:100], rng.normal(size=(80, 6)) + 1, name="x").value
    assert lowest.name == "Fréchet distance, x, real against real"
    assert abs(floor(kid, real, n_real=100, n_fake=80, name="x").value) < 0.1
    with pytest.raises(ValueError, match="as many"):
        floor(kid, real, n_real=200, n_fake=101, name="x")


def test_class_spread_sees_a_collapsed_class():
    rng = np.random.default_rng(6)
    real, labels = rng.normal(size=(60, 5)), np.arange(60) % 3
    fake = rng.normal(size=(60, 5))
    fake[labels == 1] = fake[1] + 0.01 * fake[labels == 1]
    ratios = {one.label: one.ratio for one in class_spread(real, labels, fake, labels)}
    assert ratios[1] < 0.02
    assert 0.8 < ratios[0] < 1.25
    first = class_spread(real, labels, real, labels)[0]
    ours = real[labels == 0]
    pairs = [np.linalg.norm(a - b) for i, a in enumerate(ours) for b in ours[i + 1 :]]
    assert first.real == first.fake == pytest.approx(np.mean(pairs))


def test_bad_features():
    good = np.zeros((4, 3))
    for bad in (np.zeros((4, 2)), np.zeros(4), np.zeros((1, 3)), np.full((4, 3), np.nan)):
        with pytest.raises(ValueError, match="features"):
            frechet(good, bad, name="x")


def test_extractors():
    rng = np.random.default_rng(7)
    labels = np.arange(192) % 2
    images = rng.integers(0, 200, (192, 16, 16, 3), dtype=np.uint8)
    images[labels == 1, 4:12, 4:12] += 55
    cells = pixels(4)(images)
    np.testing.assert_allclose(cells[0].reshape(4, 4, 3)[1, 2], images[0, 4:8, 8:12].mean((0, 1)) / 255)
    with pytest.raises(ValueError, match="divide"):
        pixels(5)(images)
    learned = train_extractor(images[:128], labels[:128], seed=0, dimension=16, epochs=8, threads=1)
    assert learned(images).shape == (192, 16)
    assert (learned.logits(images[128:]).argmax(1) == labels[128:]).mean() > 0.9
    again = train_extractor(images[:128], labels[:128], seed=0, dimension=16, epochs=8, threads=1)
    assert np.array_equal(learned(images), again(images))
