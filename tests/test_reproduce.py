"""The run: what is kept, what is rerun and why, and what a failure or a kill leaves behind."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest

from gmaug import reproduce as runner

SLEEPY = """\
import time
from pathlib import Path
while not Path("../wake").exists():
    time.sleep(0.1)
"""


def write(folder: Path, name: str, *cells: str) -> None:
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[0].metadata["tags"] = ["parameters"]
    book.metadata["kernelspec"] = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nbformat.write(book, folder / f"{name}.ipynb")


@pytest.fixture
def run(tmp_path):
    (tmp_path / "notebooks").mkdir()
    return runner.Run("smoke", tmp_path / "run", tmp_path / "notebooks")


PARAMETERS = 'PROFILE = "default"\nSEED = 0\nDATA = None'


def test_only_what_changed_is_rerun_and_parameters_reach_the_cells(run, capsys):
    for name in ("a", "b"):
        write(run.notebooks, name, PARAMETERS, "print(PROFILE, SEED)")
    assert runner.reproduce(run, notebooks=["a", "b"]) == 0
    executed = nbformat.read(run.executed("a"), as_version=4)
    assert executed.cells[-1].outputs[0].text == "smoke 0\n"
    assert capsys.readouterr().out.count("not computed yet") == 2

    write(run.notebooks, "b", PARAMETERS, "print(PROFILE, SEED, 'again')")
    assert run.reason("a") is None
    assert run.reason("b") == "notebook changed"
    run.executed("a").unlink()
    assert run.reason("a") == "its executed copy is gone"


def test_the_start_page_runs_again_when_a_notebook_that_it_reads_did(run, capsys):
    start, other = runner.NOTEBOOKS[0], "01_other"
    verdict = 'from pathlib import Path\nPath("../run/verdicts").mkdir(exist_ok=True)'
    write(run.notebooks, start, PARAMETERS, "fine = 1")
    write(run.notebooks, other, PARAMETERS, f'{verdict}\nPath("../run/verdicts/01.json").write_text("[]")')
    assert runner.reproduce(run, notebooks=[start, other]) == 0
    assert run.reason(start) is None
    write(run.notebooks, other, PARAMETERS, f'{verdict}\nPath("../run/verdicts/01.json").write_text("[ ]")')
    capsys.readouterr()
    assert runner.reproduce(run, notebooks=[start, other]) == 0
    assert f"{start}: notebooks that it reads are run" in capsys.readouterr().out
    (run.folder / "verdicts" / "01.json").write_text("[]")
    assert run.reason(start) == "inputs changed: other notebooks"


def test_the_first_runs_last_and_a_failing_notebook_is_named_and_leaves_its_copy(run, capsys):
    write(run.notebooks, "first", PARAMETERS, "fine = 1")
    write(run.notebooks, "a", PARAMETERS, "fine = 1")
    write(run.notebooks, "b", PARAMETERS, "1 / 0")
    assert runner.reproduce(run, notebooks=["first", "a", "b"], jobs=2) == 1
    assert re.search(r"gmaug: b: cell \d: ZeroDivisionError: division by zero; see ", capsys.readouterr().err)
    copy = nbformat.read(run.executed("b"), as_version=4)
    assert any(o.output_type == "error" for cell in copy.cells for o in cell.get("outputs", []))
    assert not run.executed("first").exists()
    assert run.reason("a") is None


def test_a_killed_run_keeps_finished_notebooks(run, capsys):
    write(run.notebooks, "a", PARAMETERS, "fine = 1")
    write(run.notebooks, "b", PARAMETERS, SLEEPY)
    script = (
        "from pathlib import Path; from gmaug import reproduce as r\n"
        "if __name__ == '__main__':\n"
        f"    run = r.Run('smoke', Path({str(run.folder)!r}), Path({str(run.notebooks)!r}))\n"
        "    r.reproduce(run, notebooks=['b', 'a'])\n"
    )
    path = run.folder.parent / "start.py"
    path.write_text(script)
    process = subprocess.Popen([sys.executable, path], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: run.stage("a").exists() and run.executed("b").exists())
    os.kill(process.pid, signal.SIGKILL)
    process.wait()

    (run.folder.parent / "wake").touch()
    assert runner.reproduce(run, notebooks=["b", "a"]) == 0
    said = capsys.readouterr().out
    assert "kept  a" in said
    assert "run   b" in said


def wait_for(condition, seconds=600.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the run did not get that far"
        time.sleep(0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--profile", "large"], "choose one of smoke, default, paper"),
        (["--jobs", "0"], "at least 1"),
        (["--data", "nowhere"], "no such folder"),
        (["--write-back", "--profile", "smoke"], "only a run with the default parameters"),
    ],
)
def test_a_wrong_parameter_is_one_line_before_anything_runs(
    arguments, message, capsys, monkeypatch, tmp_path
):
    from gmaug.__main__ import main

    monkeypatch.setenv("GMAUG_RUNS", str(tmp_path / "runs"))
    assert main(["reproduce", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert len(error.strip().splitlines()) == 1
    assert not (tmp_path / "runs").exists()


def test_make_refuses_an_unknown_parameter():
    root = Path(__file__).parents[1]
    done = subprocess.run(["make", "-C", root, "reproduce", "PROFIL=smoke"], capture_output=True, text=True)
    assert done.returncode == 2
    assert "unknown parameter: PROFIL" in done.stderr
