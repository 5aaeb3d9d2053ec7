"""The loss against values worked out by hand and torch's own."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st

from gmaug.classifiers import Loss, class_balanced_weights

COUNTS = np.array([100, 10, 1])
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [0.0, 0.0, 0.0], [1.0, -2.0, 3.0]])
LABELS = torch.tensor([0, 2, 1, 2])


def test_weights_by_hand():
    # beta = 0.5: (1 - 1/2) / (1 - 1/2**n) = 1/2, 0.5 / 0.75 = 2/3, 1 for n = many, 2, 1; sum 13/6
    expected = np.array([1 / 2, 2 / 3, 1]) * 3 / (13 / 6)
    assert class_balanced_weights(np.array([60, 2, 1]), beta=0.5) == pytest.approx(expected, rel=1e-12)
    assert class_balanced_weights(COUNTS, beta=0.0) == pytest.approx([1, 1, 1])
    inverse = (1 / COUNTS) * 3 / (1 / COUNTS).sum()
    assert class_balanced_weights(COUNTS, beta=1 - 1e-9) == pytest.approx(inverse, rel=1e-6)


@given(
    counts=st.lists(st.integers(1, 5000), min_size=1, max_size=20),
    beta=st.floats(0, 0.9999, allow_subnormal=False),
)
def test_weights_sum_to_the_classes_and_favour_the_small(counts, beta):
    weights = class_balanced_weights(np.array(counts), beta=beta)
    assert weights.sum() == pytest.approx(len(counts))
    assert (np.diff(weights[np.argsort(counts)]) <= 1e-9).all()


@pytest.mark.parametrize(("counts", "beta"), [([5, 0], 0.9), ([5, 5], 1.0), ([5, 5], -0.1), ([], 0.5)])
def test_weights_refuse(counts, beta):
    with pytest.raises(ValueError, match=r"beta=|counts="):
        class_balanced_weights(np.array(counts), beta=beta)


def test_softmax_by_hand():
    # image 1: log(e2 + 1 + e-1) - 2; the third image has three equal logits: log 3
    first = np.log(np.exp(2) + 1 + np.exp(-1)) - 2
    each = Loss().each(LOGITS, LABELS, counts=COUNTS).numpy()
    assert each[[0, 2]] == pytest.approx([first, np.log(3)], rel=1e-6)
    assert float(Loss().value(LOGITS, LABELS, counts=COUNTS)) == pytest.approx(each.mean())


def test_class_balanced_softmax_divides_by_the_images_not_by_their_weights():
    weights = torch.tensor(class_balanced_weights(COUNTS, beta=0.9), dtype=torch.float32)
    value = float(Loss(beta=0.9).value(LOGITS, LABELS, counts=COUNTS))
    assert value == pytest.approx(
        float(F.cross_entropy(LOGITS, LABELS, weight=weights, reduction="sum")) / 4, rel=1e-6
    )
    assert value != pytest.approx(float(F.cross_entropy(LOGITS, LABELS, weight=weights)), rel=0.05)


def test_logit_adjustment_is_the_balanced_softmax():
    # -log( n_y e^z_y / sum n_c e^z_c )
    odds = COUNTS * np.exp(LOGITS.numpy().astype(float))
    expected = -np.log(odds[np.arange(4), LABELS] / odds.sum(axis=1))
    each = Loss(tau=1.0).each(LOGITS, LABELS, counts=COUNTS).numpy()
    assert each == pytest.approx(expected, rel=1e-5)
    with pytest.raises(ValueError, match="every class"):
        Loss(tau=1.0).value(LOGITS, LABELS, counts=np.array([5, 0, 5]))


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_smoothing_is_torchs(tau):
    prior = torch.tensor(np.log(COUNTS / COUNTS.sum()), dtype=torch.float32)
    expected = F.cross_entropy(LOGITS + tau * prior, LABELS, label_smoothing=0.1)
    value = Loss(tau=tau, smoothing=0.1).value(LOGITS, LABELS, counts=COUNTS)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_image_weights_over_the_number_of_images():
    weights = torch.tensor([1.0, 0.3, 0.0, 2.0])
    each = Loss(beta=0.9).each(LOGITS, LABELS, counts=COUNTS).numpy()
    value = Loss(beta=0.9).value(LOGITS, LABELS, counts=COUNTS, weights=weights)
    assert float(value) == pytest.approx((each * weights.numpy()).mean(), rel=1e-6)


@pytest.mark.parametrize("wrong", [{"beta": 1.0}, {"smoothing": 1.0}, {"smoothing": -0.1}])
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match="loss"):
        Loss(**wrong)
