"""compare and balance on unfit folders: one clear line each, nothing lost, and the folder stays as it was."""

import os

import pytest
from own_folders import make_folder
from test_balance import read
from test_folder import spoil

import gmaug
from gmaug import balance as module, workspace
from gmaug.__main__ import main

QUICK = ["--size", "16", "--steps", "2"]


@pytest.fixture(scope="module")
def bank(tmp_path_factory):
    return make_folder(tmp_path_factory.mktemp("bank"), (4, 12, 12), names=["a", "b", "c"], seed=1)


@pytest.fixture
def folder(tmp_path):
    return make_folder(tmp_path / "photos", (10, 6, 4), names=["a", "b", "c"])


@pytest.fixture
def balanced(folder, bank, tmp_path):
    """The command that balances the folder, with images made elsewhere."""
    words = ["balance", str(folder), str(tmp_path / "out"), *QUICK, "--no-select"]
    return [*words, "--from-generator", str(bank)]


def compared(folder, out):
    return ["compare", str(folder), "--out", str(out), *QUICK, "--seeds", "1", "--arms", "original"]


def state(folder):
    """Names, sizes and times of all that lies in a folder."""
    every = [folder, *folder.rglob("*")]
    return {path: (path.lstat().st_size, path.lstat().st_mtime_ns, path.lstat().st_mode) for path in every}


def test_bad_files_of_every_kind_are_left_out_and_stay(folder, balanced, tmp_path, capsys):
    reasons = set(spoil(folder)) - {str(folder / "a" / "tiny.png")}  # small, and an image
    before = state(folder)
    assert main(compared(folder, tmp_path / "compared")) == 0
    assert "Warning: left out" in capsys.readouterr().out
    assert main(balanced) == 0
    out = capsys.readouterr().out
    assert f"and {len(reasons) - 2} more" in out  # of list.csv, beside the classes, nothing is said
    assert set(read(tmp_path / "out").values()) == {11}
    assert state(folder) == before


def test_images_smaller_than_the_size_are_enlarged_and_counted(folder):
    (warning,) = workspace.photographs(folder, size=32, least=2).warnings
    assert warning == "100% of the images looked at are smaller than 32 px and were enlarged"
    assert not workspace.photographs(folder, size=16, least=2).warnings


def test_a_file_that_goes_while_the_folder_is_read_is_left_out(folder, monkeypatch):
    def listed(*given):
        images = gmaug.open_images(*given)
        images.paths[0].unlink()
        return images

    monkeypatch.setattr(workspace, "open_images", listed)
    photos = workspace.photographs(folder, size=16, least=2)
    assert len(photos.images) == 19
    assert "is gone" in photos.warnings[0]


def test_a_file_that_goes_before_it_is_written_can_be_put_back(
    folder, balanced, tmp_path, capsys, monkeypatch
):
    lost, write = folder / "b" / "012.png", module._write
    content = lost.read_bytes()
    monkeypatch.setattr(module, "_write", lambda *given: (lost.unlink(), write(*given)))
    assert main(balanced) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "012.png is gone: it was there when the folder was read; put it back and run again" in line
    monkeypatch.undo()
    assert main(balanced) == 2
    assert "begun with other images" in capsys.readouterr().err.splitlines()[-1]
    lost.write_bytes(content)
    assert main(balanced) == 0
    assert set(read(tmp_path / "out").values()) == {10}


@pytest.mark.parametrize("links", [True, False])
def test_a_folder_that_cannot_be_written_to_will_do(folder, balanced, tmp_path, monkeypatch, links):
    for path in [*folder.rglob("*"), folder]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state(folder)

    def refused(*_):
        raise PermissionError(1, "Operation not permitted")

    if not links:  # as where files of others may not be linked to
        monkeypatch.setattr(os, "link", refused)
        assert main(compared(folder, tmp_path / "compared")) == 0
    assert main(balanced) == 0
    assert set(read(tmp_path / "out").values()) == {10}
    assert os.path.samefile(folder / "a" / "000.png", tmp_path / "out" / "a" / "000.png") == links
    assert state(folder) == before


def test_an_out_that_cannot_be_made_is_one_line(folder, tmp_path, capsys):
    (tmp_path / "file").write_text("mine")
    assert main(compared(folder, tmp_path / "file" / "out")) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "Not a directory" in line
    assert (tmp_path / "file").read_text() == "mine"
