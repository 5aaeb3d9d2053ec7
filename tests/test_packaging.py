"""The three lists of packages agree, and the layout is the one that the README promises."""

import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"torch": "pytorch", "matplotlib": "matplotlib-base"}


def project_requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + project["optional-dependencies"]["dev"]
    return {r.name: r for r in map(Requirement, lines)}


def conda_requirements() -> dict[str, Requirement]:
    lines = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    (pip,) = (line["pip"] for line in lines if isinstance(line, dict))  # what conda-forge does not have
    texts = [line for line in lines if isinstance(line, str)] + [line for line in pip if line != "-e ."]
    return {r.name: r for r in map(Requirement, texts)}


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    requirements = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {r.name.lower(): Version(next(iter(r.specifier)).version) for r in requirements}


def test_conda_lists_the_same_packages_and_bounds():
    conda = conda_requirements()
    python = conda.pop("python")
    conda.pop("pip")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert str(python.specifier) == project["requires-python"]
    wanted = {CONDA_NAMES.get(name, name): r.specifier for name, r in project_requirements().items()}
    assert {name: r.specifier for name, r in conda.items()} == wanted


@pytest.mark.parametrize("requirement", project_requirements().values(), ids=str)
def test_the_constraints_pin_every_requirement_inside_its_bounds(requirement):
    pinned = constraints()
    assert requirement.name in pinned
    assert pinned[requirement.name] in requirement.specifier


def test_torch_and_torchvision_are_pinned_together_and_to_no_local_build():
    pinned = constraints()
    assert (pinned["torch"].minor, pinned["torchvision"].minor) == (13, 28)
    assert all(version.local is None for version in pinned.values())


def test_make_has_the_commands_that_are_promised_and_lists_them():
    shown = subprocess.run(["make", "-C", ROOT, "help"], capture_output=True, text=True, check=True).stdout
    for command in ("venv", "reproduce", "notebooks", "test", "lab", "book", "crate", "bench", "audit"):
        assert f"  make {command} " in shown


@pytest.mark.parametrize("command", ["reproduce", "notebooks"])
def test_make_hands_its_parameters_on(command):
    given = ["PROFILE=smoke", "SEED=3", "JOBS=2", "DATA=photos"]
    make = ["make", "-n", "-C", ROOT, command, *given]
    said = subprocess.run(make, capture_output=True, text=True, check=True).stdout
    assert '--profile "smoke" --seed "3" --jobs "2" --data "photos"' in said
