"""Image arrays and image sets, whatever they come from: one validator, one door."""

import numpy as np
import pytest

from gmaug.datasets.base import ArrayImages, as_images, labelled

PIXELS = np.arange(2 * 8 * 8 * 3, dtype=np.uint8).reshape(2, 8, 8, 3)


def test_lists_and_whole_numbers_become_uint8_and_bytes_stay():
    assert as_images(PIXELS) is not None
    assert np.shares_memory(as_images(PIXELS), PIXELS)
    for given in (PIXELS.astype(int), PIXELS.tolist(), list(PIXELS)):
        found = as_images(given)
        assert found.dtype == np.uint8
        assert np.array_equal(found, PIXELS)
    assert as_images(PIXELS[:, ::2]).flags.c_contiguous
    assert as_images(PIXELS[:0]).shape == (0, 8, 8, 3)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (PIXELS / 255, r"faces: float64, 0 to 1; give uint8, 0 to 255: .*255 \* faces"),
        (PIXELS.astype(int) - 1, "int64, -1 to 254"),
        (PIXELS[0], r"uint8 of shape \(8, 8, 3\); give uint8 \(n, height, width, 3\)"),
        ([PIXELS[0], PIXELS[0][:4]], "different sizes; resize"),
        (PIXELS > 3, "bool"),
    ],
)
def test_what_is_no_image_array_is_refused_in_one_line_with_the_remedy(given, says):
    with pytest.raises(ValueError, match=says) as error:
        as_images(given, name="faces")
    assert "\n" not in str(error.value)


def test_labelled_takes_an_array_with_labels_or_an_image_set():
    pixels, labels = labelled(PIXELS, [4, 7])
    assert np.array_equal(pixels, PIXELS)
    assert labels.tolist() == [4, 7]
    pixels, labels = labelled(ArrayImages(PIXELS, [1, 0]), size=4)
    assert pixels.shape == (2, 4, 4, 3)
    assert labels.tolist() == [1, 0]
    for given, y, says in (
        (PIXELS, None, "without labels"),
        (PIXELS, [1], "one each"),
        (PIXELS[:0], [], "no image"),
    ):
        with pytest.raises(ValueError, match=says):
            labelled(given, y, name="X")
