"""The fast engine: every way it can take gives scikit-image's numbers."""

import numpy as np
import pytest
from hard_images import SCIKIT, hard_images, scikit
from pictures import textures

from gmaug.ssim import CONVENTIONS, Convention, ssim, ssim_pairs

KEPT, DIRECT = 0, 10**9  # for PAIRS_TO_KEEP: window sums kept of every image, or of none
TORCH = "cpu:0"  # the CPU by the name that only torch has for it


def every_pair(images):
    n = len(images)
    return np.array([(i, j) for i in range(n) for j in range(n)])


@pytest.mark.parametrize("way", [KEPT, DIRECT])
@pytest.mark.parametrize("side", [3, 5, 7, 9, 11, 13])
@pytest.mark.parametrize("covariance", ["sample", "population"])
def test_window_sums_kept_or_not_equal_scikit_image(monkeypatch, way, side, covariance):
    monkeypatch.setattr("gmaug.ssim.parts.PAIRS_TO_KEEP", way)
    images = hard_images(24)
    pairs = every_pair(images)[::7]
    convention = Convention(win_size=side, covariance=covariance)
    options = {"win_size": side, "use_sample_covariance": covariance == "sample"}
    expected = [scikit(images[i], images[j], **options) for i, j in pairs]
    assert np.abs(ssim_pairs(images, pairs, convention=convention) - expected).max() < 1e-6


@pytest.mark.parametrize("name", CONVENTIONS)
def test_window_sums_kept_or_not_are_the_same(monkeypatch, name):
    images = hard_images(27, channels=3 if name == "rgb" else None)
    pairs, found = every_pair(images), []
    for way in (KEPT, DIRECT):
        monkeypatch.setattr("gmaug.ssim.parts.PAIRS_TO_KEEP", way)
        found.append(ssim_pairs(images, pairs, convention=name))
    # Whole numbers up to the quotient: only the order in which quotients are added may differ.
    assert np.abs(found[0] - found[1]).max() < 1e-7


def test_few_pairs_keep_nothing_and_many_keep_the_sums(monkeypatch):
    from gmaug.ssim import engine

    seen, plain = [], engine.describe
    monkeypatch.setattr(engine, "describe", lambda *a, **k: seen.append(k["keep"]) or plain(*a, **k))
    images, rng = textures(20, 24), np.random.default_rng(0)
    ssim_pairs(images, rng.integers(0, 20, (40, 2)))
    assert seen == []  # nothing but the pixels, as they lie
    ssim_pairs(images, rng.integers(0, 20, (400, 2)))
    assert seen == [True]


@pytest.mark.parametrize("count", [30, 1000, 5000])
@pytest.mark.parametrize("name", ["paper", "wang2004"])
def test_the_threads_and_the_order_of_pairs_do_not_change_a_value(monkeypatch, name, count):
    monkeypatch.setattr("gmaug.ssim.parts.CHUNK_PIXELS", 24 * 24 * 10)  # so that there is work to divide
    images, rng = textures(300, 24), np.random.default_rng(0)
    pairs = rng.integers(0, 300, (count, 2))
    one = ssim_pairs(images, pairs, threads=1, convention=name)
    assert np.array_equal(one, ssim_pairs(images, pairs, threads=3, convention=name))
    order = rng.permutation(count)
    assert np.array_equal(one[order], ssim_pairs(images, pairs[order], convention=name))


@pytest.mark.parametrize("device", ["cpu", TORCH])
@pytest.mark.parametrize("way", [KEPT, DIRECT])
@pytest.mark.parametrize("name", ["paper", "wang2004", "torchmetrics", "global", "rgb"])
def test_blocks_do_not_change_a_value(monkeypatch, name, way, device):
    if device == TORCH:
        pytest.importorskip("torch")
    monkeypatch.setattr("gmaug.ssim.parts.PAIRS_TO_KEEP", way)
    images = textures(50, 24, channels=3 if name == "rgb" else None)
    pairs = np.random.default_rng(0).integers(0, 50, (200, 2))
    whole = ssim_pairs(images, pairs, convention=name, device=device)
    for share in (1, 40, 300):  # thousand bytes: from a block of a few images to some of many
        monkeypatch.setattr("gmaug.ssim.engine.HELD_BYTES", share * 1000)
        blocks = ssim_pairs(images, pairs, convention=name, device=device)
        # On torch the batches differ too, and with them the order of sums.
        assert np.abs(whole - blocks).max() <= (0 if device == "cpu" else 1e-12)


def test_a_function_of_images_is_read_a_bounded_number_at_a_time(monkeypatch):
    from gmaug.ssim.engine import score_pairs

    images, pairs = textures(50, 24)[:, None], np.random.default_rng(0).integers(0, 50, (200, 2))
    whole = ssim_pairs(images[:, 0], pairs)
    most = []

    def read(indices, out):
        most.append(len(indices))
        out[:] = images[indices]

    monkeypatch.setattr("gmaug.ssim.engine.HELD_BYTES", 16 * 24 * 24)
    values = np.full(200, np.nan)
    for rows, part in score_pairs(read, pairs, CONVENTIONS["paper"], shape=(1, 24, 24)):
        values[rows] = part
    assert np.array_equal(values, whole)
    assert max(most) <= 14


@pytest.mark.parametrize("name", CONVENTIONS)
def test_the_engine_on_torch_equals_scikit_image(name):
    """The code that a GPU would run, on the CPU; no GPU is needed."""
    pytest.importorskip("torch")
    convention = CONVENTIONS[name]
    images = hard_images(24, channels=3 if convention.colour == "rgb" else None)
    pairs = every_pair(images)
    values = ssim_pairs(images, pairs, convention=name, device=TORCH)
    if name in SCIKIT:
        expected = [scikit(images[i], images[j], **SCIKIT[name]) for i, j in pairs]
    else:  # the plain form, which is compared with torchmetrics and with Eq. 1 in test_ssim.py
        expected = [ssim(images[i], images[j], convention=name) for i, j in pairs]
    assert np.abs(values - expected).max() < 1e-6
    assert np.abs(values - ssim_pairs(images, pairs, convention=name)).max() < 1e-6


def test_batches_on_torch_do_not_change_a_value(monkeypatch):
    pytest.importorskip("torch")
    images, pairs = textures(20, 24), np.random.default_rng(0).integers(0, 20, (50, 2))
    whole = ssim_pairs(images, pairs, device=TORCH)
    monkeypatch.setattr("gmaug.ssim.on_torch.BATCH_PIXELS", 3 * 24 * 24)
    assert np.abs(whole - ssim_pairs(images, pairs, device=TORCH)).max() < 1e-12


def test_cuda_is_the_same_or_says_that_it_is_not_there():
    torch = pytest.importorskip("torch")
    images, pairs = textures(20, 32), np.random.default_rng(0).integers(0, 20, (50, 2))
    if not torch.cuda.is_available():
        with pytest.raises(ValueError, match="not available here"):
            ssim_pairs(images, pairs, device="cuda")
        return
    assert np.abs(ssim_pairs(images, pairs, device="cuda") - ssim_pairs(images, pairs)).max() < 1e-6


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
    with pytest.raises(ValueError, match="threads=0"):
        ssim_pairs(textures(4, 16), np.array([[0, 1]]), threads=0)


def test_it_compiles_where_nothing_can_be_kept(monkeypatch):
    from numba.core import caching

    from gmaug.ssim.kernel import compiled

    def double(x):
        return 2 * x

    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiled(double)(21) == 42
