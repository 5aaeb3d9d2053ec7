"""How the autoencoder's settings were chosen, in miniature."""

from dataclasses import asdict, replace

import pytest

from gmaug import runs
from gmaug.classifiers import GARDEN_MAE
from gmaug.study import choice

TINY = {"width": 16, "heads": 2, "depth": 1, "epochs": 1, "pretraining_epochs": 0}


def test_each_candidate_differs_in_one_thing_and_one_is_chosen():
    found = choice.candidates()
    assert found[choice.CHOSEN] == GARDEN_MAE
    start = asdict(choice.START)
    for name, change in choice.CHANGES.items():
        assert {key for key, value in asdict(found[name]).items() if value != start[key]} == set(change)


def test_the_record_tells_the_best_on_validation(tmp_path, monkeypatch):
    rates = {"slow": 1e-6, "fast": 2e-2}
    tiny = {name: replace(GARDEN_MAE, **TINY, base_lr=rate) for name, rate in rates.items()}
    monkeypatch.setattr(choice, "candidates", lambda: tiny)
    monkeypatch.setattr(choice, "SEEDS", (0,))
    monkeypatch.setattr(runs, "RECORDED", tmp_path)
    assert choice.table()["settings"][0] == "not run: choice/garden-4-mae: not recorded"
    choice.record(checkpoints=tmp_path / "checkpoints")
    table = choice.table()
    assert table["settings"].tolist() == ["fast", "slow"]
    assert table["validation_accuracy"].tolist() == pytest.approx(table["most"])
