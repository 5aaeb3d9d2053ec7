"""The paper's own experiment: its plan, and every stage of it on a CPU with budgets of a step or two."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import paper
import pytest
from paper import Sizes, Work, main

from gmaug import published
from gmaug.datasets import open_images

WORK = {name: Work(flop=1e12, state=1e9, image=1e8) for name in (*paper.GENERATORS, "sampling", *paper.ARMS)}


@pytest.fixture
def known_work(monkeypatch):
    monkeypatch.setattr(paper, "work", lambda sizes: WORK)


def test_a_step_is_counted_as_its_products():
    import torch

    a, b = torch.ones(8, 16, requires_grad=True), torch.ones(16, 4)
    flop, kept = paper.counted(lambda: (a @ b).sum().backward())
    # a product of (8, 16) and (16, 4) forwards, one for the gradient of `a`; `b` is what it needs
    assert flop == 2 * (2 * 8 * 16 * 4)
    assert kept == b.nbytes


def test_the_plan_counts_every_stage_of_every_set(known_work):
    table = paper.plan(sustained=50.0)
    stages = 3 + sum(map(len, paper.ARMS.values()))
    assert list(table["set"].unique()) == list(published.DATASETS)
    assert (table.groupby("set").size() == stages).all()
    flowers = table[table["set"] == "flowers"].set_index("stage")
    sizes, facts = Sizes(), published.training_sets().set_index("dataset").loc["flowers"]
    assert flowers.loc["cgan, training", "images"] == pytest.approx(sizes.cgan.kimg / 1000)
    real, filled = facts["images"], facts["classes"] * facts["target_per_class"]
    assert flowers.loc["resnet18, original", "images"] == pytest.approx(100 * real / 1e6)
    assert flowers.loc["resnet18, cgan-aug", "images"] == pytest.approx(100 * filled / 1e6)
    # the selector on the originals, then a training a round
    assert flowers.loc["resnet18, cgan-augcls", "images"] == pytest.approx(100 * (real + 2 * filled) / 1e6)
    hours = table["pflop"] * 1e15 / 50e12 / 3600
    assert np.allclose(table["gpu_hours"], hours)


def test_half_the_speed_takes_twice_the_hours(known_work):
    slow, fast = (paper.plan(["scene"], sustained=s)["gpu_hours"].sum() for s in (20.0, 40.0))
    assert slow == pytest.approx(2 * fast)


def test_the_command_prints_the_plan(known_work, capsys):
    assert main([]) == 0
    out = capsys.readouterr().out
    assert "GPU-hours at 60 TFLOP/s" in out
    assert "Not tested without a GPU" in out
    assert main(["--json", "--tflops", "120"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["tflops"] == 120
    assert len(found["stages"]) == 11 * 8


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--tflops", "0"], "--tflops 0.0: give a number above 0"),
        (["tulips"], "tulips: no set of the paper's; use one of"),
        (["flowers"], "a run needs --out OUT"),
        (["flowers", "--out", "x", "--data", "nowhere"], "nowhere"),
    ],
)
def test_bad_input_gets_one_line(asked, says, capsys, known_work):
    assert main(asked) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1


def test_a_set_the_paper_does_not_have(known_work):
    with pytest.raises(ValueError, match="'tulips' is no set of the paper's"):
        paper.plan(["tulips"])


def test_every_stage_runs_with_the_papers_networks(tmp_path, monkeypatch):
    """128 px StyleGAN2, an ADM-like UNet, ResNet18 and a masked autoencoder at 224 px, all as in the paper's
    profile but for their budgets; and the transformer has two layers of 32, with weights drawn here."""
    from gmaug.generators import generator_class

    for kind in paper.GENERATORS:
        monkeypatch.setattr(generator_class(kind), "CHUNK", 2)
    full, about = Sizes(), {"report_kimg": 1.0, "checkpoint_kimg": 1.0, "watched": 2}
    sizes = Sizes(
        cgan=replace(full.cgan, kimg=0.004, batch=4, **about),
        diffusion=replace(full.diffusion, kimg=0.001, batch=1, sampling_steps=2, **about),
        resnet18=replace(full.resnet18, epochs=1, batch=8),
        mae=replace(full.mae, depth=2, decoder_depth=1, pretraining_epochs=1, pretraining_batch=8, epochs=1,
                    batch=8),
        rounds=1, budget=1.0,
    )  # fmt: skip
    random = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [5, 4, 3])
    images = open_images(random.integers(0, 256, (12, 128, 128, 3), np.uint8), labels)

    said = []
    table = paper.run(images, tmp_path, target=5, sizes=sizes, device="cpu", say=said.append)
    assert sorted(zip(table["classifier"], table["arm"], strict=True)) == sorted(
        (classifier, arm) for classifier, arms in paper.ARMS.items() for arm in arms
    )
    assert table["top1"].between(0, 1).all()
    assert {path.name for path in tmp_path.glob("*.safetensors")} == {
        "cgan.safetensors",
        "diffusion.safetensors",
    }
    measured = json.loads((tmp_path / "metric.json").read_text())
    assert measured["images"] == 6  # of 12, without those held out

    again = []
    second = paper.run(images, tmp_path, target=5, sizes=sizes, device="cpu", say=again.append)
    assert again == ["classifiers"]
    assert second["top1"].tolist() == table["top1"].tolist()
