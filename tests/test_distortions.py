"""Distortions of equal mean squared error."""

import numpy as np
import pytest

from gmaug.datasets.real import PHOTOGRAPHS, photograph, photographs
from gmaug.ssim import CONVENTIONS
from gmaug.ssim.distortions import CLOSE, KINDS, distort, mean_squared_error, psnr

TARGET = 144.0


@pytest.fixture(scope="module")
def cat():
    return CONVENTIONS["paper"].prepare(photograph("chelsea"))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_meets_the_error_that_was_asked_for(cat, kind):
    made = distort(cat, kind, mse=TARGET)
    assert made.image.dtype == np.uint8
    assert made.image.shape == cat.shape
    assert mean_squared_error(cat, made.image) == made.mse
    assert abs(made.mse - TARGET) <= CLOSE * TARGET


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_the_same_for_the_same_seed_and_stronger_for_a_larger_error(cat, kind):
    weak, strong = (distort(cat, kind, mse=mse, seed=3) for mse in (64, 196))
    assert weak.strength < strong.strength
    assert np.array_equal(weak.image, distort(cat, kind, mse=64, seed=3).image)


def test_a_seed_moves_only_the_random_kinds(cat):
    moved = {
        kind
        for kind in KINDS
        if not np.array_equal(*(distort(cat, kind, mse=TARGET, seed=s).image for s in (0, 1)))
    }
    assert moved == {"noise", "impulses"}


def test_psnr_is_the_error_on_another_scale():
    assert psnr(255.0**2) == 0
    assert psnr(1.0) - psnr(10.0) == pytest.approx(10)


@pytest.mark.parametrize(
    ("image", "kind", "mse", "says"),
    [
        (np.zeros((9, 9)), "blur", 1, "uint8"),
        (np.zeros((9, 9), np.uint8), "fog", 1, "unknown"),
        (np.zeros((9, 9), np.uint8), "noise", 0, "positive"),
        (np.zeros((9, 9), np.uint8), "blur", 100, "ask for less"),  # a flat image cannot be blurred
        (np.zeros((9, 9), np.uint8), "mean shift", 2, "whole number"),
    ],
)
def test_what_cannot_be_done_is_said(image, kind, mse, says):
    with pytest.raises(ValueError, match=says):
        distort(image, kind, mse=mse)


def test_the_photographs_are_there_without_a_network():
    found = photographs()
    assert tuple(found) == PHOTOGRAPHS
    assert {image.mode for image in found.values()} <= {"L", "RGB"}
    with pytest.raises(ValueError, match="chelsea"):
        photograph("mona lisa")
