"""Folders of images: their shape, their order, and every kind of file that is not a plain picture."""

import json
import os
import struct
import threading
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, strategies as st
from pictures import decode, textures, write_folder
from PIL import Image, PngImagePlugin

from gmaug.datasets import folder, open_images
from gmaug.datasets.base import UnreadableImage, labelled, printable
from gmaug.datasets.folder import _Flight, natural, open_folder
from gmaug.generators import BankGenerator
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
    write_folder(tmp_path, dict.fromkeys(names, 3))
    broken = os.fsencode(tmp_path) + b"/\xff\xfe"
    os.mkdir(broken)
    Image.fromarray(textures(1, 16)[0]).save(tmp_path / "ä" / "3.png")
    os.rename(os.fsencode(tmp_path / "ä" / "3.png"), broken + b"/0\xff.png")
    images = open_folder(tmp_path)
    assert len(images.classes) == 8
    result = measure(images, convention=SMALL, progress=False)
    assert result.images == 22
    str(result).encode()
    result._repr_html_().encode()


EPS = b"""%!PS-Adobe-3.0 EPSF-3.0
%%BoundingBox: 0 0 32 32
newpath 0 0 moveto 32 32 lineto stroke
%%EOF
"""


def test_postscript_under_another_name_is_not_interpreted(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *_, **__: pytest.fail("PostScript was run"))
    (tmp_path / "x.jpg").write_bytes(EPS)
    with pytest.raises(UnreadableImage, match="not an image of a format that is read"):
        decode(tmp_path / "x.jpg")
    with pytest.raises(UnreadableImage, match=r"row 3: not an image"):
        decode(EPS, name="row 3")


def test_names_are_printed_in_one_line_without_control_characters(tmp_path):
    name = "a\x1b[2J\n\u202egpj\x85b,\u2028ü🦉\u200d.png"
    (tmp_path / name).write_text("no")
    with pytest.raises(UnreadableImage) as error:
        decode(tmp_path / name)
    said = str(error.value)
    assert r"a\x1b[2J\n\u202egpj\x85b,\u2028ü🦉" in said
    assert len(said.splitlines()) == 1
    assert printable(b"\xff\xfe.png") == r"\xff\xfe.png"


@given(st.binary(max_size=20) | st.text(max_size=20))
def test_whatever_a_name_holds_it_prints_in_one_line_as_utf8_and_json(name):
    shown = printable(name)
    assert len(f"<{shown}>".splitlines()) == 1
    assert json.loads(json.dumps(shown).encode("utf-8")) == shown
    assert printable(shown) == shown


def test_classes_whose_bytes_differ_are_not_merged(tmp_path):
    for raw in (b"\xff", b"\xfe", b"a,b", b"a\nb"):
        folder = os.fsencode(tmp_path) + b"/" + raw
        os.mkdir(folder)
        Image.fromarray(textures(1, 16)[0]).save(tmp_path / "x.png")
        os.rename(tmp_path / "x.png", folder + b"/0.png")
    assert set(open_folder(tmp_path).classes) == {r"\xff", r"\xfe", "a,b", r"a\nb"}
    write_folder(tmp_path, {r"a\nb": 1})
    with pytest.raises(ValueError, match=r"two folders are both written a\\nb; rename one"):
        open_folder(tmp_path)


def test_pixels_in_flight_are_bounded_and_one_large_image_still_comes_through():
    flight, most, inside, lock = _Flight(100), 0, [], threading.Lock()

    def work(pixels):
        nonlocal most
        with flight(pixels):
            with lock:
                inside.append(pixels)
                most = max(most, sum(inside) if len(inside) > 1 else 0)
            time.sleep(0.002)
            with flight(7):  # one in the other, as a comparison of two images does
                pass
            with lock:
                inside.remove(pixels)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [60, 30, 50, 40, 250, 10, 90, 99] * 4))
    assert 0 < most <= 100
    assert flight.held == 0


def test_threads_hold_few_decoded_pixels_at_once(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a": 12}, size=64)
    monkeypatch.setattr(folder, "in_flight", _Flight(2 * 64 * 64))
    images, most = open_folder(tmp_path), []
    load = PngImagePlugin.PngImageFile.load

    def watched(image):
        most.append(folder.in_flight.held)
        time.sleep(0.002)
        return load(image)

    monkeypatch.setattr(PngImagePlugin.PngImageFile, "load", watched)
    assert len(images.read(size=8)[0]) == 12
    assert max(most) <= 2 * 64 * 64


def test_a_readme_beside_the_classes_is_listed_and_strict_passes_over_it(tmp_path):
    write_folder(tmp_path, {"a": 4, "b/c": 4})
    for name in ("README.md", "meta.csv", "LICENSE", "b/notes.txt"):
        (tmp_path / name).write_text("words")
    result = measure(open_folder(tmp_path), convention=SMALL, strict=True, progress=False)
    assert len(result.skipped) == 4
    assert all("beside the" in one.reason for one in result.skipped)
    Image.fromarray(textures(1, 16)[0]).save(tmp_path / "stray.png")
    with pytest.raises(ValueError, match=r"stray\.png: beside the class folders, in no class"):
        measure(open_folder(tmp_path), convention=SMALL, strict=True, progress=False)


def test_files_that_are_no_images_are_not_counted(tmp_path):
    write_folder(tmp_path, {"a": 2, "b": 1})
    (tmp_path / "a" / "labels.txt").write_text("0 1 2")
    os.rename(tmp_path / "b" / "0.png", tmp_path / "b" / "without-ending")
    images = open_folder(tmp_path)
    assert images.class_counts == {"a": 2, "b": 1}
    assert images.arrays(size=8).shape == (3, 8, 8, 3)
    assert [os.path.basename(one.path) for one in images.skipped] == ["labels.txt"]


def test_read_leaves_out_and_lists_what_measure_leaves_out(tmp_path):
    write_folder(tmp_path, {"a": 3, "b": 3})
    (tmp_path / "a" / "0.png").write_bytes(b"")
    images = open_folder(tmp_path)
    pixels, kept, skipped = images.read(size=8)
    assert kept.tolist() == [1, 2, 3, 4, 5]
    assert np.array_equal(pixels, images.arrays(kept, size=8))
    assert skipped == measure(images, convention=SMALL, progress=False).skipped
    with pytest.raises(UnreadableImage, match=r"0\.png: empty file"):
        images.read(size=8, strict=True)
    with pytest.warns(UserWarning, match=r"left out .*0\.png \(empty file\)"):
        pixels, labels = labelled(images, size=8)
    assert labels.tolist() == [0, 0, 1, 1, 1]
    assert len(pixels) == 5
    with pytest.warns(UserWarning, match=r"left out .*0\.png"):
        bank = BankGenerator.from_folder(tmp_path, classes=["b", "a"], size=8)
    assert bank.sample([0, 1], seed=0).shape == (2, 8, 8, 3)


def test_a_folder_that_changes_while_it_is_read(tmp_path, monkeypatch):
    write_folder(tmp_path, {"a": 3, "b": 3})
    images = open_folder(tmp_path)
    (tmp_path / "a" / "1.png").unlink()
    (tmp_path / "b" / "new.png").write_bytes(b"")
    (tmp_path / "b" / "2.png").write_text("another file now")
    skipped = images.read(size=8)[2]
    assert [one.reason.split(":")[0] for one in skipped] == ["is gone", folder.NO_IMAGE]
    scandir = os.scandir

    def vanishing(path):
        found = list(scandir(path))
        if os.path.basename(path) == "b":
            os.unlink(tmp_path / "b" / "0.png")
        return found

    monkeypatch.setattr(os, "scandir", vanishing)
    again = open_folder(tmp_path)
    monkeypatch.undo()
    assert len(again.read(size=8)[1]) + len(again.read(size=8)[2]) == len(again)


def test_groups_csv_beside_the_classes(tmp_path):
    write_folder(tmp_path, {"crow": 2, "gull": 1, "cat, wild": 3})
    (tmp_path / "groups.csv").write_text(
        '\ufeffsuper_class,sub_class\nbird,crow\nbird,gull\nbeast,"cat, wild"\n', encoding="utf-8"
    )
    images = open_folder(tmp_path)
    assert images.hierarchy.groups == {"bird": ("crow", "gull"), "beast": ("cat, wild",)}
    assert (images.hierarchy.source, images.skipped) == ("groups.csv", ())
    alone = {"all": images.classes}
    assert open_images(tmp_path, hierarchy=alone).hierarchy.groups == alone
    for text, says in (
        ("super_class,sub_class\nbird,crow\n", r"\(groups\.csv\) does not name 'cat, wild', 'gull'"),
        ("super,sub\nbird,crow\n", "groups.csv: no column sub_class, super_class"),
        ("super_class,sub_class\nbird\n", "groups.csv, line 2: a name is missing"),
        ("super_class,sub_class\nbird,crow\ncat,crow\n", "'crow' stands in 'bird' and in 'cat'"),
    ):
        (tmp_path / "groups.csv").write_text(text)
        with pytest.raises(ValueError, match=says) as error:
            open_folder(tmp_path)
        assert "\n" not in str(error.value)
    (tmp_path / "groups.csv").write_bytes(b"super_class,sub_class\nb\xff,crow\n")
    with pytest.raises(ValueError, match="not UTF-8"):
        open_folder(tmp_path)
