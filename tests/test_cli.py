"""``python -m gmaug similarity``: the contract of its output and of its exit status."""

import json
import subprocess
import sys

import numpy as np
import pytest
from pictures import write_folder

import gmaug
from gmaug.__main__ import COMMANDS, main


def test_json_is_one_object_with_the_promised_keys(tmp_path, capsys):
    write_folder(tmp_path, {"bird/crow": 4, "bird/gull": 3, "cat/wild": 5, "dog/one": 1})
    (tmp_path / "cat" / "wild" / "x.png").write_text("no image")
    assert main(["similarity", str(tmp_path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    result = json.loads(out)
    assert result["images"] == 13
    (skipped,) = result["skipped"]
    assert "not an image" in skipped["reason"]
    for name in ("ssim_merge_cls", "ssim_sup_sub_cls"):
        low, high = result[name]["interval"]
        assert low < result[name]["value"] < high
        assert result[name]["se"] > 0
    assert result["ssim_sup_sub_cls"]["argmax"] in ("bird", "cat")
    assert set(result["super_classes"]) == {"bird", "cat", "dog"}
    assert set(result["super_classes"]["bird"]) == {"value", "se", "images", "pairs"}
    assert result["super_classes"]["dog"] == {"value": None, "se": None, "images": 1, "pairs": 0}


def test_plain_output_seed_and_convention(tmp_path, capsys):
    write_folder(tmp_path, {"a": 6, "b": 6})
    outputs = []
    for more in ([], ["--seed", "1"], ["--convention", "authors32"], []):
        assert main(["similarity", str(tmp_path), *more]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[3]
    assert len(set(outputs)) == 3
    assert "SSIM-supSubCls" in outputs[0]


def test_a_page_to_look_at_escapes_names_and_asks_for_nothing(tmp_path, capsys):
    write_folder(tmp_path / "set", {"<b>$x": 5, "plain": 4})
    (tmp_path / "set" / "plain" / "x.png").write_text("no image")
    page = tmp_path / "page.html"
    assert main(["similarity", str(tmp_path / "set"), "--html", str(page), "--seed", "2"]) == 0
    assert "SSIM-supSubCls" in capsys.readouterr().out
    text = page.read_text(encoding="utf-8")
    assert "&lt;b&gt;$x" in text
    assert "<b>$x" not in text
    assert "SSIM-mergeCls" in text
    assert "x.png was left out: not an image" in text
    assert "--seed 2" in text
    assert text.count("<img") == 1
    assert "http" not in text
    assert main(["similarity", str(tmp_path / "set"), "--html", str(tmp_path / "page.txt")]) == 2
    assert "ends in .html" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["nowhere"], "no such folder"),
        (["empty"], "no image"),
        (["one"], "usable images"),
        (["bad", "--strict"], "x.png: not an image"),
        (["good", "--seed", "-1"], "use 0 or more"),
        (["good", "--jobs", "0"], "use 1 or more"),
    ],
)
def test_bad_input_is_one_line_and_status_2(tmp_path, capsys, monkeypatch, more, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    write_folder(tmp_path, {"one/a": 1, "good/a": 3, "bad/a": 3})
    (tmp_path / "bad" / "a" / "x.png").write_text("x")
    assert main(["similarity", *more, "--json"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert message in err
    assert err.count("\n") == 1


def test_wrong_options_have_status_2_too():
    for wrong in (["similarity"], ["similarity", "x", "--convention", "papre"], ["simlarity"], []):
        run = subprocess.run(
            [sys.executable, "-m", "gmaug", *wrong], capture_output=True, text=True, check=False
        )
        assert run.returncode == 2
        assert run.stdout == ""


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_version_and_usage_say_the_command_that_was_typed():
    assert run_python("-m", "gmaug", "--version").stdout == f"gmaug {gmaug.__version__}\n"
    assert run_python("-m", "gmaug").stderr.startswith("usage: python -m gmaug ")
    script = "import sys; sys.argv = ['/usr/bin/gmaug']; from gmaug.__main__ import main; main()"
    assert run_python("-c", script).stderr.startswith("usage: gmaug ")


def test_control_characters_of_a_name_are_escaped(capsys):
    assert main(["similarity", "no\x1b[31mred\nfolder"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert r"\x1b[31mred" in err


def test_the_public_face_is_lazy_and_whole():
    code = (
        "import sys, gmaug\n"
        "assert not {'torch', 'pandas', 'skimage', 'matplotlib', 'numpy'} & set(sys.modules), 'not lazy'\n"
        "for name in gmaug.__all__: assert getattr(gmaug, name).__doc__, name\n"
        "assert set(gmaug.__all__) <= set(dir(gmaug))\n"
    )
    run = run_python("-c", code)
    assert run.returncode == 0, run.stderr
    image = np.arange(64, dtype=np.uint8).reshape(8, 8)
    assert gmaug.ssim(image, image) == gmaug.ssim.ssim(image, image) == 1.0
    with pytest.raises(AttributeError, match="it has open_images"):
        _ = gmaug.measurement


def test_help_lists_every_command_and_imports_nothing_heavy():
    code = (
        "import sys, gmaug.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
        "heavy = {'torch', 'numba', 'pandas', 'skimage', 'sklearn', 'matplotlib'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert all(name in run.stdout for name in COMMANDS)


def test_the_metric_does_not_import_torch(tmp_path):
    write_folder(tmp_path, {"a": 4})
    code = (
        "import sys; from gmaug.__main__ import main\n"
        f"assert main(['similarity', {str(tmp_path)!r}]) == 0\nassert 'torch' not in sys.modules"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
