"""Long work done well: the best weights kept, patience, several processes, options of StyleGAN2."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from small_generators import TINY, flat_classes, tiny, two_processes, weights

from gmaug.generators import TransitionalCGAN
from gmaug.generators.cgan_training import CGANTraining, make_generator
from gmaug.generators.distance import frechet, joint
from gmaug.generators.losses import path_length_penalty
from gmaug.generators.snapshots import Snapshots
from gmaug.generators.watch import Watch


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray]:
    return flat_classes([40, 16, 8])


# ---- the least distance -------------------------------------------------------------------


def test_the_weights_of_the_least_distance_are_kept(data):
    taken = {}
    model = TransitionalCGAN(TINY).fit(
        *data, validation=data, callback=lambda m, row: taken.update({row["kimg"]: weights(m)}) and None
    )
    distances = {row["kimg"]: row["distance"] for row in model.history_ if row["lambda"] == 1}
    assert len(distances) == 3
    best = min(distances, key=distances.__getitem__)
    assert model.kimg_ == best
    assert weights(model) == taken[best]
    last = TransitionalCGAN(tiny(keep_best=False)).fit(*data, validation=data)
    assert last.kimg_ == 0.32
    assert weights(last) == taken[0.32]


def test_resumed_run_keeps_the_same_best(data, tmp_path):
    whole = TransitionalCGAN(TINY).fit(*data, validation=data)

    class Killed(Exception):
        pass

    def kill(model, row):
        if row["kimg"] > 0.2:
            raise Killed

    with pytest.raises(Killed):
        TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path, callback=kill)
    resumed = TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path)
    assert resumed.kimg_ == whole.kimg_
    assert weights(resumed) == weights(whole)
    finished = TransitionalCGAN(TINY).fit(*data, validation=data, checkpoint=tmp_path)  # nothing left to do
    assert weights(finished) == weights(whole)


def test_patience_stops_a_run_that_no_longer_improves(data, monkeypatch):
    falling = iter([5.0, 3.0, 4.0, 4.0])
    monkeypatch.setattr(
        "gmaug.generators.watch.frechet", lambda *a, **k: type("D", (), {"value": next(falling)})
    )
    model = TransitionalCGAN(tiny(patience_kimg=0.08)).fit(*data, validation=data)
    assert [row["distance"] for row in model.history_] == [5.0, 3.0, 4.0]
    assert model.kimg_ == 0.16


def test_joint_distance_sees_a_swapped_class():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    one, other = (rng.normal(size=(400, 4)) + 3 * labels[:, None] for _ in range(2))
    right = frechet(*joint(one, labels, other, labels), name="", groups=0).value
    swapped = frechet(*joint(one, labels, other, 1 - labels), name="", groups=0).value
    blind = frechet(one, other, name="", groups=0).value
    assert swapped > 10 * right
    assert blind == pytest.approx(right, abs=0.2)


def test_watch_needs_images_of_the_right_size(data):
    with pytest.raises(ValueError, match="resolution"):
        Watch(data, None, side=16)


# ---- options of StyleGAN2 -----------------------------------------------------------------


def test_style_mixing_changes_late_layers_only():
    net = make_generator(tiny(), 3)
    z, other = torch.randn(2, 50, 8, generator=torch.Generator().manual_seed(0))
    labels = torch.zeros(50, dtype=torch.int64)
    plain = net.styles(z, labels, 1.0)
    mixed = net.styles(z, labels, 1.0, other=other, mixing=1.0, generator=torch.Generator().manual_seed(1))
    assert mixed.shape == (50, 3, 8)
    assert torch.equal(mixed[:, 0], plain)  # the first layer keeps its own style
    assert torch.equal(mixed[:, -1], net.styles(other, labels, 1.0))  # the last one follows the other
    changes = (mixed != plain[:, None]).any(dim=2).int()
    assert (changes.diff(dim=1) >= 0).all()  # once changed, changed to the end
    none = net.styles(z, labels, 1.0, other=other, mixing=1e-9, generator=torch.Generator().manual_seed(1))
    random = [torch.Generator().manual_seed(2) for _ in range(2)]
    assert torch.equal(net.synthesis(none, random[0]), net.synthesis(plain, random[1]))


def test_path_length_of_a_linear_map():
    """For images A w the expected squared length is |A|^2 in Frobenius norm, per pixel."""
    torch.manual_seed(0)
    a = torch.randn(3 * 4 * 4, 5)
    w = torch.randn(4000, 5, requires_grad=True)
    images = (w @ a.T).reshape(-1, 3, 4, 4)
    random = torch.Generator().manual_seed(0)
    penalty, mean = path_length_penalty(images, w, torch.zeros(()), generator=random)
    squares = a.square().sum().item() / 16  # E |A' y|^2 with y ~ N(0, 1) / sqrt(16)
    # the mean has moved by a hundredth of the mean length; E (l - m)^2 = E l^2 - 2 m E l + m^2
    length = 100 * mean.item()
    expected = squares - 2 * mean.item() * length + mean.item() ** 2
    assert penalty.item() == pytest.approx(expected, rel=0.05)
    assert length**2 < squares


def test_options_train_and_resume(data, tmp_path):
    s = tiny(style_mixing=0.9, path_length=2.0)
    whole = TransitionalCGAN(s).fit(*data)
    assert weights(whole) != weights(TransitionalCGAN(TINY).fit(*data))
    assert whole.generator_.path_mean > 0
    half = TransitionalCGAN(s)
    half.fit(*data, checkpoint=tmp_path, callback=lambda m, row: row["kimg"] > 0.1)
    assert weights(TransitionalCGAN(s).fit(*data, checkpoint=tmp_path)) == weights(whole)


# ---- several processes --------------------------------------------------------------------

def test_two_processes_hold_the_same_weights(data, tmp_path):
    first, second = two_processes(
        tmp_path,
        data,
        imports="from gmaug.generators import TransitionalCGAN, TransitionalCGANSettings",
        model=f"TransitionalCGAN(TransitionalCGANSettings.from_dict({tiny(kimg=0.08).to_dict()!r}))",
    )
    assert np.array_equal(first, second)
    start = make_generator(TINY, 3).state_dict().values()
    assert not np.allclose(first, torch.cat([t.flatten() for t in start]).numpy())


def test_a_batch_must_divide(data):
    team = type("Team", (), {"size": 3, "rank": 0, "first": True})()
    with pytest.raises(ValueError, match="3 processes"):
        CGANTraining(TINY, *data, n_classes=3, device=torch.device("cpu"), team=team)


# ---- looking on ---------------------------------------------------------------------------


def test_snapshots_are_the_samples_of_each_report(data, tmp_path):
    look = Snapshots([0, 0, 2], folder=tmp_path, every=2)
    model = TransitionalCGAN(tiny(keep_best=False)).fit(*data, callback=look)
    assert look.kimg == [0.16, 0.32]
    assert np.array_equal(look.images[-1], model.sample([0, 0, 2], seed=0))
    picture = np.asarray(Image.open(tmp_path / "0000.3-kimg.png"))
    assert picture.shape == (16, 16, 3)  # two classes, two columns
    assert np.array_equal(picture[:8, 8:], look.images[-1][1])
    assert (picture[8:, 8:] == 255).all()
