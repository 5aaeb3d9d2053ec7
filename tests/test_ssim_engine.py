"""Many pairs at once: threads and blocks change no value."""

import numpy as np
import pytest
from hard_images import SCIKIT, hard_images, scikit
from pictures import textures

from gmaug.ssim import CONVENTIONS, score_pairs, ssim_pairs


@pytest.mark.parametrize("count", [30, 1000, 5000])
@pytest.mark.parametrize("name", ["paper", "wang2004"])
def test_the_threads_and_the_order_of_pairs_do_not_change_a_value(monkeypatch, name, count):
    monkeypatch.setattr("gmaug.ssim.CHUNK_PIXELS", 24 * 24 * 10)  # so that there is work to divide
    images, rng = textures(300, 24), np.random.default_rng(0)
    pairs = rng.integers(0, 300, (count, 2))
    one = ssim_pairs(images, pairs, threads=1, convention=name)
    assert np.array_equal(one, ssim_pairs(images, pairs, threads=3, convention=name))
    order = rng.permutation(count)
    assert np.array_equal(one[order], ssim_pairs(images, pairs[order], convention=name))


@pytest.mark.parametrize("name", ["paper", "wang2004", "torchmetrics", "global", "rgb"])
def test_blocks_do_not_change_a_value(monkeypatch, name):
    images = textures(50, 24, channels=3 if name == "rgb" else None)
    planes = images[:, None] if images.ndim == 3 else np.ascontiguousarray(images.transpose(0, 3, 1, 2))
    planes = CONVENTIONS[name].mirrored(planes)
    pairs = np.random.default_rng(0).integers(0, 50, (200, 2))
    whole = ssim_pairs(images, pairs, convention=name)
    for share in (1, 40, 300):  # thousand bytes: from a block of one image to some of many
        monkeypatch.setattr("gmaug.ssim.HELD_BYTES", share * 1000)
        blocks = np.full(200, np.nan)
        for rows, part in score_pairs(planes.__getitem__, pairs, CONVENTIONS[name]):
            blocks[rows] = part
        assert np.array_equal(whole, blocks)


def test_a_function_of_images_is_read_a_bounded_number_at_a_time(monkeypatch):
    images, pairs = textures(50, 24)[:, None], np.random.default_rng(0).integers(0, 50, (200, 2))
    whole = ssim_pairs(images[:, 0], pairs)
    most = []

    def read(indices):
        most.append(len(indices))
        return images[indices]

    monkeypatch.setattr("gmaug.ssim.HELD_BYTES", 16 * 24 * 24)
    values = np.full(200, np.nan)
    for rows, part in score_pairs(read, pairs, CONVENTIONS["paper"]):
        values[rows] = part
    assert np.array_equal(values, whole)
    assert max(most) <= 16


@pytest.mark.parametrize("name", SCIKIT)
def test_ten_thousand_random_pairs(name):
    channels = 3 if name == "rgb" else None
    images = np.concatenate([hard_images(20, channels=channels), textures(40, 20, channels=channels)])
    pairs = np.random.default_rng(2).integers(0, len(images), (10_000, 2))
    ours = ssim_pairs(images, pairs, convention=name)
    distinct, which = np.unique(pairs, axis=0, return_inverse=True)
    theirs = np.array([scikit(images[i], images[j], **SCIKIT[name]) for i, j in distinct])
    assert np.abs(ours - theirs[which.ravel()]).max() < 1e-6


@pytest.mark.parametrize(
    "pairs", [np.zeros((3, 3), int), np.zeros((3, 2)), np.array([[0, 9]]), np.array([[-1, 0]])]
)
def test_bad_pairs(pairs):
    with pytest.raises(ValueError, match="pairs"):
        ssim_pairs(textures(4, 16), pairs)


def test_bad_threads():
    with pytest.raises(ValueError, match="0 threads"):
        ssim_pairs(textures(4, 16), np.array([[0, 1]]), threads=0)


def test_it_compiles_where_nothing_can_be_kept(monkeypatch):
    from numba.core import caching

    from gmaug.ssim_kernel import compiled

    def double(x):
        return 2 * x

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(double)(21) == 42
