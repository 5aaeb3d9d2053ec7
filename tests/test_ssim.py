"""SSIM of pairs: equal to the libraries that define each convention, and to its own plain form."""

import numpy as np
import pytest
from hard_images import SCIKIT, hard_images, scikit
from hypothesis import given, settings, strategies as st
from pictures import textures
from PIL import Image

from gmaug.backend import torchvision
from gmaug.ssim import CONVENTIONS, Convention, ssim, ssim_pairs


@pytest.mark.parametrize("name", SCIKIT)
def test_equals_scikit_image_in_float64(name):
    images = hard_images(32, channels=3 if name == "rgb" else None)
    n = len(images)
    pairs = np.array([(i, j) for i in range(n) for j in range(n)])
    expected = [scikit(images[i], images[j], **SCIKIT[name]) for i, j in pairs]
    assert np.abs(ssim_pairs(images, pairs, convention=name) - expected).max() < 1e-6
    plain = [ssim(images[i], images[j], convention=name) for i, j in pairs]
    assert np.abs(np.array(plain) - expected).max() < 1e-9


@pytest.mark.parametrize("side", [3, 5, 9, 11, 13, 21])
@pytest.mark.parametrize("covariance", ["sample", "population"])
def test_other_windows_equal_scikit_image(side, covariance):
    images = hard_images(24)
    pairs = np.array([(i, (i * 5 + 1) % len(images)) for i in range(len(images))])
    convention = Convention(win_size=side, covariance=covariance)
    expected = [
        scikit(images[i], images[j], win_size=side, use_sample_covariance=covariance == "sample")
        for i, j in pairs
    ]
    assert np.abs(ssim_pairs(images, pairs, convention=convention) - expected).max() < 1e-6


def torch_pairs(images, pairs):
    """Float64 batches (m, 1, h, w) of the first and the second images."""
    import torch

    stack = torch.from_numpy(images[:, None].astype(np.float64))
    return stack[pairs[:, 0]], stack[pairs[:, 1]]


@pytest.mark.parametrize("size", [32, 48])
def test_wang2004_equals_pytorch_msssim(size):
    library = pytest.importorskip("pytorch_msssim")
    images = hard_images(size)
    pairs = np.array([(i, j) for i in range(len(images)) for j in range(len(images))])
    ours, batches = ssim_pairs(images, pairs, convention="wang2004"), torch_pairs(images, pairs)
    options = {"data_range": 255, "size_average": False}
    # It makes its window in float32, whose sum is not quite 1; on flat images that shows.
    assert np.abs(ours - library.ssim(*batches, **options).numpy()).max() < 5e-5
    window = batches[0].new_tensor(CONVENTIONS["wang2004"].weights())[None, None, None]
    assert np.abs(ours - library.ssim(*batches, win=window, **options).numpy()).max() < 1e-6


def test_wang2004_equals_piq_when_it_does_not_shrink_images():
    torchvision()  # before the libraries that import it themselves
    piq = pytest.importorskip("piq")
    images = hard_images(32)
    pairs = np.array([(i, j) for i in range(len(images)) for j in range(len(images))])
    options = {
        "kernel_size": 11,
        "kernel_sigma": 1.5,
        "data_range": 255,
        "reduction": "none",
        "downsample": False,
    }
    expected = piq.ssim(*torch_pairs(images, pairs), **options).numpy()
    assert np.abs(ssim_pairs(images, pairs, convention="wang2004") - expected).max() < 1e-6


@pytest.mark.parametrize(
    ("convention", "options"),
    [
        ("torchmetrics", {}),
        (Convention(border="reflect", covariance="population"), {"gaussian_kernel": False}),
    ],
)
def test_torchmetrics_convention_equals_torchmetrics(convention, options):
    torchvision()
    library = pytest.importorskip("torchmetrics.functional.image")
    images = hard_images(32)
    pairs = np.array([(i, j) for i in range(len(images)) for j in range(len(images))])
    expected = library.structural_similarity_index_measure(
        *torch_pairs(images, pairs), data_range=255.0, kernel_size=7, reduction="none", **options
    ).numpy()
    assert np.abs(ssim_pairs(images, pairs, convention=convention) - expected).max() < 1e-6
    plain = [ssim(images[i], images[j], convention=convention) for i, j in pairs]
    assert np.abs(np.array(plain) - expected).max() < 1e-9


def test_global_is_equation_1_on_the_whole_image():
    images = hard_images(16)
    for x, y in zip(images, images[::-1], strict=True):
        x_, y_ = x.astype(float), y.astype(float)
        (vx, vxy), (_, vy) = np.cov(x_.ravel(), y_.ravel(), bias=True)
        c1, c2 = 2.55**2, 7.65**2
        expected = (2 * x_.mean() * y_.mean() + c1) * (2 * vxy + c2)
        expected /= (x_.mean() ** 2 + y_.mean() ** 2 + c1) * (vx + vy + c2)
        assert ssim(x, y, convention="global") == pytest.approx(expected, abs=1e-12)
        assert ssim_pairs(np.stack([x, y]), np.array([[0, 1]]), convention="global")[0] == pytest.approx(
            expected
        )


def test_global_equals_scikit_image_with_one_window_as_large_as_the_image():
    images = hard_images(15)
    convention = Convention(window="global", covariance="sample")
    for x, y in zip(images, images[::-1], strict=True):
        assert ssim(x, y, convention=convention) == pytest.approx(scikit(x, y, win_size=15), abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    height=st.integers(11, 40),
    width=st.integers(11, 40),
    spread=st.sampled_from([0, 1, 10, 255]),
    name=st.sampled_from(sorted(CONVENTIONS)),
)
def test_laws(seed, height, width, spread, name):
    """Symmetric, 1 on identical images, within [-1, 1], the same alone, together and by the plain form."""
    rng = np.random.default_rng(seed)
    shape = (4, height, width, 3) if name == "rgb" else (4, height, width)
    images = (rng.integers(0, 256 - spread) + rng.integers(0, spread + 1, shape)).astype(np.uint8)
    pairs = np.array([(i, j) for i in range(4) for j in range(4)])
    values = ssim_pairs(images, pairs, convention=name).reshape(4, 4)
    assert np.abs(values - values.T).max() < 1e-7
    assert np.abs(np.diag(values) - 1).max() < 1e-6
    assert np.abs(values).max() < 1 + 1e-6
    assert ssim(images[0], images[1], convention=name) == pytest.approx(values[0, 1], abs=1e-6)
    assert ssim(images[2], images[2], convention=name) == pytest.approx(1, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([1 / 255, 1.0, 100.0]))
def test_scaling_pixels_and_range_together_changes_nothing(seed, scale):
    x, y = np.random.default_rng(seed).integers(0, 256, (2, 20, 20)).astype(np.float64)
    assert ssim(x * scale, y * scale, data_range=255 * scale) == pytest.approx(ssim(x, y, data_range=255))


def test_float_without_range_is_an_error_that_says_why():
    x = np.zeros((20, 20))
    with pytest.raises(ValueError, match=r"data_range \(1.0 for \[0, 1\], 255"):
        ssim(x, x)
    assert ssim(x, x, data_range=1.0) == 1
    with pytest.raises(ValueError, match="takes uint8"):
        ssim_pairs(np.zeros((2, 20, 20)), np.array([[0, 1]]))


def test_the_wrong_range_is_the_mistake_it_is_said_to_be():
    x, y = textures(2, 64) / 255
    assert ssim(x, y, data_range=2) > 1.3 * ssim(x, y, data_range=1)


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.zeros((9, 9), np.uint8), np.zeros((9, 8), np.uint8), "one shape"),
        (np.zeros((9, 9), np.uint8), np.zeros((9, 9)), "convert one image"),
        (np.zeros((6, 9), np.uint8), np.zeros((6, 9), np.uint8), "smaller than the window"),
    ],
)
def test_bad_arrays(x, y, message):
    with pytest.raises(ValueError, match=message):
        ssim(x, y, data_range=1)


@pytest.mark.parametrize(
    "wrong",
    [
        {"window": "round"}, {"win_size": 6}, {"win_size": 1}, {"k1": 0}, {"size": 5}, {"colour": "hsv"},
        {"window": "gaussian", "covariance": "sample"}, {"data_range": -1},
    ],
)  # fmt: skip
def test_wrong_settings_are_errors(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        Convention(**wrong)
    with pytest.raises(ValueError, match="paper"):
        ssim(np.zeros((9, 9), np.uint8), np.zeros((9, 9), np.uint8), convention="papre")


@pytest.mark.parametrize("name", CONVENTIONS)
@pytest.mark.parametrize("mode", ["L", "RGB", "P", "RGBA", "CMYK"])
def test_preparing_gives_the_size_whatever_the_shape(name, mode):
    convention = CONVENTIONS[name]
    for shape in ((300, 40), (20, 31), (convention.size, convention.size), (5000, 7)):
        pixels = convention.prepare(Image.new(mode, shape))
        expected = (convention.size, convention.size)
        assert pixels.shape == (expected if convention.colour == "grey" else (*expected, 3))
        assert pixels.dtype == np.uint8


def test_the_centre_is_what_is_kept():
    pixels = np.zeros((20, 100), np.uint8)
    pixels[:, 40:60] = 200
    assert Convention(size=20).prepare(Image.fromarray(pixels)).min() == 200
    assert Convention(size=10, resample="plain").prepare(Image.fromarray(pixels)).min() == 200
