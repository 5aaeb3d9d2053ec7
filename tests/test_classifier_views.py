"""Classical augmentation: what it does to the images, to the labels and to the random state."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from blobs import SMALL, blobs

from gmaug.classifiers import Loss, ResNet18
from gmaug.classifiers.views import Mixer, Views, lent

TRAIN = blobs([20, 15, 5], seed=0)
TEST = blobs([10, 10, 10], seed=2)
PLAIN = replace(SMALL, padding=0, flip=False)
BATCH = torch.randn(32, 3, 16, 16, generator=torch.Generator().manual_seed(0))
LABELS = torch.arange(32) % 3


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_randaugment_treats_each_image_by_itself():
    same = torch.from_numpy(TRAIN[0][:1]).expand(60, -1, -1, -1)
    drawn = Views(same, replace(PLAIN, randaugment=(2, 9))).draw(torch.arange(60), seeded())
    assert drawn.shape == (60, 3, 16, 16)
    assert 0 <= drawn.min() <= drawn.max() <= 255
    assert len({image.numpy().tobytes() for image in drawn}) > 30  # 14 x 14 pairs of operations


def test_randaugment_of_no_magnitude_is_milder():
    images, index = torch.from_numpy(TRAIN[0]), torch.arange(40)
    original = Views(images, PLAIN).draw(index, seeded())

    def change(magnitude):
        drawn = Views(images, replace(PLAIN, randaugment=(2, magnitude))).draw(index, seeded())
        return float((drawn - original).abs().mean())

    assert change(3) < change(15) < change(30)


def test_erasing_replaces_boxes_of_the_asked_share():
    batch = torch.zeros(400, 3, 16, 16)
    erased, labels, shares = Mixer(replace(PLAIN, erasing=0.25), 3)(batch, torch.zeros(400), seeded())
    assert shares is None
    assert labels.shape == (400,)
    touched = (erased != 0).flatten(1).any(dim=1).float().mean()
    assert float(touched) == pytest.approx(0.25, abs=0.065)  # three standard errors


@pytest.mark.parametrize("way", ["mixup", "cutmix"])
def test_mixed_images_are_what_the_labels_and_shares_say(way):
    # an image is its label all over, so that its mean after mixing is the mean of its labels
    flat = LABELS.float()[:, None, None, None].expand(32, 3, 16, 16).contiguous()
    for seed in range(5):
        mixed, labels, shares = Mixer(replace(PLAIN, **{way: 1.0}), 3)(flat, LABELS, seeded(seed))
        assert labels.shape == shares.shape == (32, 2)
        assert shares.sum(dim=1).numpy() == pytest.approx(np.ones(32), abs=1e-6)
        assert (shares[:, 0] >= shares[:, 1]).all()
        mean = (labels * shares).sum(dim=1)
        assert mixed.mean(dim=(1, 2, 3)).numpy() == pytest.approx(mean.numpy(), abs=1e-5)
        values = len(mixed.unique())
        assert values <= 3 if way == "cutmix" else values > 3


def test_with_both_each_batch_has_one_of_them():
    flat = LABELS.float()[:, None, None, None].expand(32, 3, 16, 16).contiguous()
    mixer, random = Mixer(replace(PLAIN, mixup=1.0, cutmix=1.0), 3), seeded()
    cut = [len(mixer(flat, LABELS, random)[0].unique()) <= 3 for _ in range(60)]
    assert np.mean(cut) == pytest.approx(0.5, abs=0.2)  # three standard errors


def test_one_class_can_be_mixed():
    mixed, labels, shares = Mixer(replace(PLAIN, mixup=1.0), 1)(BATCH, torch.zeros(32).long(), seeded())
    assert labels.shape == (32, 1)
    assert shares.numpy() == pytest.approx(np.ones((32, 1)))
    assert mixed.shape == BATCH.shape


@pytest.mark.parametrize("loss", [Loss(), Loss(beta=0.9), Loss(tau=1.0)])
def test_a_mixed_image_has_the_losses_of_its_labels_by_share(loss):
    counts = np.array([100, 10, 1])
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0]])
    labels, shares = torch.tensor([[0, 2], [1, 1]]), torch.tensor([[0.7, 0.3], [0.6, 0.4]])

    def alone(row, label):
        return float(loss.value(logits[row : row + 1], torch.tensor([label]), counts=counts))

    expected = (0.7 * alone(0, 0) + 0.3 * alone(0, 2) + alone(1, 1)) / 2
    value = loss.value(logits, labels, counts=counts, shares=shares)
    assert float(value) == pytest.approx(expected, rel=1e-5)


def test_mixed_softmax_is_torchs_cross_entropy_with_soft_labels():
    mixed, labels, shares = Mixer(replace(PLAIN, mixup=1.0), 3)(BATCH, LABELS, seeded())
    logits = mixed.mean(dim=(2, 3))
    soft = torch.zeros(32, 3).scatter_add_(1, labels, shares)
    value = Loss().value(logits, labels, counts=np.ones(3), shares=shares)
    assert float(value) == pytest.approx(float(torch.nn.functional.cross_entropy(logits, soft)), rel=1e-5)


@pytest.mark.parametrize(
    "options", [{"randaugment": (2, 9)}, {"mixup": 0.4}, {"cutmix": 1.0}, {"erasing": 0.5}]
)
def test_same_seed_same_bytes_and_the_caller_is_left_alone(options):
    settings = replace(SMALL, epochs=2, **options)
    plain = ResNet18(replace(SMALL, epochs=2), device="cpu").fit(*TRAIN, seed=1).logits(TEST[0])
    found = []
    for start in (5, 6):  # whatever the caller's own state
        torch.manual_seed(start)
        state = torch.get_rng_state()
        found.append(ResNet18(settings, device="cpu").fit(*TRAIN, seed=1).logits(TEST[0]))
        assert torch.equal(torch.get_rng_state(), state)
    assert found[0].tobytes() == found[1].tobytes()
    assert not np.allclose(found[0], plain)


def test_lent_state_is_put_back_after_an_error():
    state = torch.get_rng_state()
    with pytest.raises(RuntimeError), lent(seeded()):
        torch.rand(3).multinomial(9)  # more than there are
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    "wrong",
    [
        {"randaugment": 9},
        {"randaugment": (2,)},
        {"randaugment": (0, 9)},
        {"randaugment": (2, 31)},
        {"randaugment": (2.0, 9.0)},
        {"mixup": -1.0},
        {"cutmix": float("nan")},
        {"erasing": 1.5},
        {"crop_size": 0},
    ],
)
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        replace(SMALL, **wrong)


def test_a_crop_larger_than_the_images_is_refused():
    with pytest.raises(ValueError, match="crop_size=224"):
        ResNet18(replace(SMALL, crop_size=224), device="cpu").fit(*TRAIN)
