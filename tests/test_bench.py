"""The benchmark measures what it says, on a small scale."""

import numpy as np
import pandas as pd
import pytest

from gmaug import bench
from gmaug.bench import limits as bench_limits, peers as bench_peers, profile as bench_profile
from gmaug.ssim import engine, ssim_pairs


def test_speed_and_ratios_of_the_scikit_image_loop(monkeypatch):
    pytest.importorskip("torch")
    monkeypatch.setattr(bench_peers, "torch_peers", list)
    settings = bench.BenchSettings(
        sizes=(24,), pairs=(60,), most_images=40, peer_seconds=0.01, repeats=1, cores=1
    )
    table = bench.speed(settings, progress=False)
    assert set(table["contender"]) == {"ours, paper", "ours, wang2004", "scikit-image loop"}
    assert (table[["seconds", "us_per_pair", "cpu_us_per_pair"]] > 0).all(axis=None)
    assert (table["timed"] <= table["pairs"]).all()
    found = bench.ratios(table, settings)
    assert list(found["convention"]) == ["paper", "wang2004"]
    assert (found["ratio"] > 1).all(), "a loop in Python cannot be as fast as the compiled one"


def test_every_peer_computes_our_convention():
    images = bench.pictures(6, 32, seed=0)
    pairs = np.array([[0, 1], [2, 3], [4, 4]])
    peers = bench_peers.torch_peers()
    if not peers:
        pytest.skip("torchmetrics, pytorch-msssim and piq are not installed")
    for peer in peers:
        ours = ssim_pairs(images, pairs, convention=peer.convention)
        assert np.abs(peer.score(images, pairs) - ours).max() < 1e-4, peer.name  # theirs is float32
    loop = bench_peers.ScikitLoop(1)
    assert np.abs(loop(images, pairs) - ssim_pairs(images, pairs)).max() < 1e-6
    loop.close()


def test_deviation_from_scikit_image():
    assert max(bench_peers.agreement(pairs=200, size=24).values()) < 1e-6


def test_files_memory_and_limits():
    ways = bench_limits.from_files(images=10, cores=1, seed=0)
    assert ways[0]["ratio"] == 1
    assert all(row["seconds"] > 0 for row in ways)
    for row in bench_limits.memory((12,), cores=1):
        assert 30 < row["peak_mib"] < 1500
    columns = {"size": [32], "contender": ["ours, paper"], "us_per_pair": [3.0]}
    (row,) = bench_limits.limits((32,), pd.DataFrame(columns), cores=1)
    assert 0 < row["share_of_arithmetic"] < 1
    assert 0 < row["share_of_divisions"] < 1


@pytest.mark.parametrize("convention", ["paper", "wang2004"])
def test_the_profile_accounts_for_the_whole_time(convention, monkeypatch):
    monkeypatch.setattr("gmaug.ssim.engine.HELD_BYTES", 2**20)  # so that images are described again
    table = pd.DataFrame(
        {
            "contender": ["scikit-image loop"],
            "convention": [convention],
            "size": [48],
            "cpu_us_per_pair": [9e9],
        }
    )
    before = (engine.describe, engine.cross)
    (row,) = bench_profile.profile(table, (48,), images=300, conventions=(convention,))
    assert (engine.describe, engine.cross) == before
    assert row["statistics"] + row["pairs"] + row["rest"] == pytest.approx(1)
    # The plain window keeps nothing of an image in few pairs; the weighted one describes each, some twice.
    assert row["described_per_pair"] == 0 if convention == "paper" else row["described_per_pair"] > 0.5
    assert 0 < row["of_arithmetic"] < 1
    assert 0 < row["of_bandwidth"] < 1
    assert 1 < row["ratio"] < row["ratio_at_the_bound"]


@pytest.mark.parametrize("wrong", [{"cores": 0}, {"repeats": 0}, {"sizes": ()}, {"pairs": ()}])
def test_wrong_settings(wrong):
    with pytest.raises(ValueError, match="at least 1"):
        bench.BenchSettings(**wrong)
