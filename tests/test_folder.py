"""Folders of images: their shape, their order, and every kind of file that is not a plain picture."""

import os
import struct
import warnings
import zlib

import numpy as np
import pytest
from pictures import textures, write_folder
from PIL import Image

from gmaug.datasets import open_images
from gmaug.datasets.decode import UnreadableImage, decode
from gmaug.datasets.folder import natural, open_folder
from gmaug.similarity import measure
from gmaug.ssim import Convention

SMALL = Convention(name="small", size=16)


def test_flat_folders_are_their_own_super_classes(tmp_path):
    images = open_folder(write_folder(tmp_path, {"b": 3, "a": 2}))
    assert images.classes == ("a", "b")
    assert images.class_counts == {"a": 2, "b": 3}
    assert images.hierarchy.groups == {"a": ("a",), "b": ("b",)}
    assert images.image(0, size=224).size == (16, 16)
    assert images.arrays(size=8).shape == (5, 8, 8, 3)


def test_two_levels(tmp_path):
    images = open_folder(write_folder(tmp_path, {"bird/crow": 2, "bird/gull": 1, "cat/wild": 3}))
    assert images.hierarchy.groups == {"bird": ("crow", "gull"), "cat": ("wild",)}
    assert images.labels.tolist() == [0, 0, 1, 2, 2, 2]


def test_both_shapes_side_by_side(tmp_path):
    images = open_folder(write_folder(tmp_path, {"bird/crow": 2, "cat": 3}))
    assert images.hierarchy.groups == {"bird": ("crow",), "cat": ("cat",)}


def test_sub_classes_of_one_name_keep_their_super_class(tmp_path):
    images = open_folder(write_folder(tmp_path, {"bird/wild": 2, "cat/wild": 2, "cat/tame": 1}))
    assert images.classes == ("bird/wild", "tame", "cat/wild")


def test_natural_order(tmp_path):
    names = ["img10.png", "img9.png", "IMG1.png", "img1.png", "ä.png", "a\u0308.png", "b.png"]
    expected = sorted(names, key=natural)
    names.reverse()
    assert sorted(names, key=natural) == expected
    assert sorted(["x10", "x9", "x09", "X1"], key=natural) == ["X1", "x09", "x9", "x10"]
    write_folder(tmp_path, {"c": 12})
    assert [p.stem for p in open_folder(tmp_path).paths] == [str(i) for i in range(12)]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda root: None, "no image"),
        (lambda root: (root / "empty").mkdir(), "no image"),
        (lambda root: write_folder(root, {"": 3}), "no class folder"),
        (lambda root: write_folder(root, {"a": 2, "a/b": 2}), "images and folders of images"),
        (lambda root: write_folder(root, {"train/a": 2, "test/a": 2}), "splits"),
    ],
)
def test_folders_of_another_shape_are_errors(tmp_path, make, message):
    make(tmp_path)
    with pytest.raises(ValueError, match=message):
        open_folder(tmp_path)


def test_missing_folders_and_names(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        open_images(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(NotADirectoryError):
        open_images(tmp_path / "file")
    with pytest.raises(FileNotFoundError, match="kaggle"):
        open_images("flowers", root=tmp_path)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def spoil(root):
    """One of each: name -> words of its reason. Bad files and odd names go beside good ones."""
    a, pixels = root / "a", textures(3, 64)
    reasons = {}

    def bad(name, words):
        reasons[os.fspath(a / name)] = words
        return a / name

    Image.fromarray(pixels[0]).save(a / "whole.jpg")
    data = (a / "whole.jpg").read_bytes()
    bad("truncated.jpg", "truncated").write_bytes(data[: len(data) // 2])
    Image.fromarray(pixels[1]).save(a / "whole.png")
    data = (a / "whole.png").read_bytes()
    bad("truncated.png", "cannot be decoded").write_bytes(data[: len(data) // 2])
    (a / "whole.jpg").unlink()
    (a / "whole.png").unlink()
    bad("zero.jpg", "empty file").write_bytes(b"")
    bad("notes.txt", "not an image").write_text("hello")
    bad("lies.jpg", "not an image").write_bytes(b"\x00" * 100)
    bad("broken.png", "cannot be decoded").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 0))
        + chunk(b"IDAT", b"x")
    )
    header = struct.pack(">IIBBBBB", 60000, 60000, 8, 0, 0, 0, 0)
    bad("bomb.png", "decompression bomb").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    header = struct.pack(">IIBBBBB", 10000, 10000, 8, 0, 0, 0, 0)
    bad("large.png", "decompression bomb: 100000000 pixels").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )
    Image.fromarray(pixels[0][:5]).save(bad("tiny.png", "smaller than the 7x7 window"))
    frames = [Image.fromarray(p) for p in pixels]
    frames[0].save(bad("film.gif", "animation"), save_all=True, append_images=frames[1:])
    frames[0].save(bad("film.png", "animation"), save_all=True, append_images=frames[1:])
    frames[0].save(bad("stack.tif", "animation"), save_all=True, append_images=frames[1:])
    Image.fromarray(pixels[0].astype(np.float32)).save(bad("float.tif", "range is unknown"))
    Image.fromarray(pixels[0].astype(np.int32)).save(bad("int32.tif", "range is unknown"))
    bad("loop.png", "symlink loop").symlink_to(a / "loop.png")
    bad("dangling.png", "cannot be read").symlink_to(a / "gone.png")
    bad("again.png", "the same file").symlink_to(a / "0.png")
    os.mkfifo(bad("pipe.png", "not a regular file"))
    (a / "up").symlink_to(root, target_is_directory=True)
    reasons[os.fspath(a / "up")] = "symlink loop"
    (root / "empty").mkdir()
    reasons[os.fspath(root / "empty")] = "empty folder"
    (a / "deeper").mkdir()
    reasons[os.fspath(a / "deeper")] = "inside a class folder"
    (root / "list.csv").write_text("x")
    reasons[os.fspath(root / "list.csv")] = "beside the class folders"
    return reasons


def test_one_of_each_bad_file_and_the_right_number_for_the_good_ones(tmp_path):
    write_folder(tmp_path, {"a": 8, "b": 6, "single": 1})
    clean = measure(open_folder(tmp_path), convention=SMALL, progress=False)
    reasons = spoil(tmp_path)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = measure(open_folder(tmp_path), convention=SMALL, progress=False)
    found = {s.path: s.reason for s in result.skipped}
    assert set(found) == set(reasons)
    assert {path: words for path, words in reasons.items() if words not in found[path]} == {}
    kept, expected = result.to_dict(), clean.to_dict()
    kept.pop("skipped")
    expected.pop("skipped")
    assert kept == expected


def test_strict_stops_at_the_first(tmp_path):
    write_folder(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "zero.png").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"zero\.png: empty file; remove"):
        measure(open_folder(tmp_path), convention=SMALL, strict=True, progress=False)
    (tmp_path / "a" / "zero.png").unlink()
    (tmp_path / "c").mkdir()
    with pytest.raises(ValueError, match="empty folder"):
        measure(open_folder(tmp_path), convention=SMALL, strict=True, progress=False)


def test_training_on_a_bad_file_names_it(tmp_path):
    write_folder(tmp_path, {"a": 2})
    (tmp_path / "a" / "x.png").write_text("no")
    with pytest.raises(UnreadableImage, match=r"x\.png: not an image"):
        open_folder(tmp_path).arrays(size=8)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_without_permission(tmp_path):
    write_folder(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "1.png").chmod(0)
    (tmp_path / "b").chmod(0)
    result = measure(open_folder(tmp_path), convention=SMALL, progress=False)
    (tmp_path / "b").chmod(0o700)
    assert ["no permission" in s.reason or "cannot be listed" in s.reason for s in result.skipped] == [
        True,
        True,
    ]


def test_every_mode_comes_out_as_the_picture_it_shows(tmp_path):
    grey = textures(1, 32)[0]
    colour = np.stack([grey, 255 - grey, grey // 2], axis=2)

    def saved(image, name, **options):
        image.save(tmp_path / name, **options)
        return np.asarray(decode(tmp_path / name)).astype(int)

    assert np.array_equal(saved(Image.fromarray(grey), "grey.png"), grey)
    assert np.array_equal(saved(Image.fromarray(colour), "rgb.png"), colour)
    deep = saved(Image.fromarray(grey.astype(np.uint16) * 257), "deep.png")
    assert np.array_equal(deep, grey), "16 bits are scaled, not clipped"
    assert np.array_equal(saved(Image.fromarray(grey.astype(np.uint16) * 257), "deep.tif"), grey)
    palette = Image.fromarray(grey).convert("P")
    assert np.abs(saved(palette, "palette.png") - grey[..., None]).max() <= 1
    inks = Image.fromarray(colour).convert("CMYK")
    assert np.abs(saved(inks, "inks.tif") - colour).max() <= 1
    assert np.abs(saved(inks, "inks.jpg", quality=100, subsampling=0) - colour).mean() < 3
    bits = Image.fromarray(grey > 99)
    assert np.array_equal(saved(bits, "bits.png"), np.where(grey > 99, 255, 0))


def test_transparency_is_laid_on_white_whatever_colour_hides_below(tmp_path):
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[:4] = (10, 20, 30, 255)
    layers[4:] = (99, 0, 0, 0)
    Image.fromarray(layers).save(tmp_path / "clear.png")
    pixels = np.asarray(decode(tmp_path / "clear.png"))
    assert (pixels[:4] == (10, 20, 30)).all()
    assert (pixels[4:] == 255).all()
    Image.fromarray(layers).convert("LA").save(tmp_path / "la.png")
    assert (np.asarray(decode(tmp_path / "la.png"))[4:] == 255).all()


def test_exif_orientation_is_honoured(tmp_path):
    pixels = textures(1, 32)[0][:20]
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show it rotated by 270 degrees
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    assert np.array_equal(np.asarray(decode(tmp_path / "turned.png")), np.rot90(pixels, -1))


def test_odd_names(tmp_path):
    names = ["żółw", "a\u0308", "ä", "🦉", "two words", "-rf", "x\ny"]
    write_folder(tmp_path, dict.fromkeys(names, 2))
    broken = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(broken)
    Image.fromarray(textures(1, 16)[0]).save(tmp_path / "ä" / "2.png")
    os.rename(os.fsencode(tmp_path / "ä" / "2.png"), broken + b"/0\xff.png")
    images = open_folder(tmp_path)
    assert len(images.classes) == 8
    result = measure(images, convention=SMALL, progress=False)
    assert result.images == 15
    str(result).encode()
    result._repr_html_().encode()
