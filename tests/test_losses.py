"""The losses against values worked out by hand and torch's own; calibration against scikit-learn's."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from gmaug.classifiers import Loss, class_balanced_weights, temperature
from gmaug.classifiers.losses import cooled

COUNTS = np.array([100, 10, 1])
LOGITS = torch.tensor([[2.0, 0.0, -1.0], [0.5, 1.5, 0.0], [0.0, 0.0, 0.0], [1.0, -2.0, 3.0]])
LABELS = torch.tensor([0, 2, 1, 2])


def test_weights_by_hand():
    # beta = 0.5: (1 - 1/2) / (1 - 1/2**n) = 1/2, 0.5 / 0.75 = 2/3, 1 for n = many, 2, 1; sum 13/6
    expected = np.array([1 / 2, 2 / 3, 1]) * 3 / (13 / 6)
    assert class_balanced_weights(np.array([60, 2, 1]), beta=0.5) == pytest.approx(expected, rel=1e-12)


def test_weights_at_the_ends():
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
    weights = class_balanced_weights(COUNTS, beta=0.9)
    value = float(Loss(beta=0.9).value(LOGITS, LABELS, counts=COUNTS))
    tensor = torch.tensor(weights, dtype=torch.float32)
    torch_sum = float(F.cross_entropy(LOGITS, LABELS, weight=tensor, reduction="sum"))
    torch_mean = float(F.cross_entropy(LOGITS, LABELS, weight=tensor))
    assert value == pytest.approx(torch_sum / 4, rel=1e-6)
    assert value == pytest.approx(torch_mean * weights[LABELS].sum() / 4, rel=1e-6)
    assert value != pytest.approx(torch_mean, rel=0.05)


def test_a_batch_of_one_class_keeps_its_weight():
    labels = torch.tensor([2, 2, 2, 2])
    plain = float(Loss().value(LOGITS, labels, counts=COUNTS))
    weighted = float(Loss(beta=0.9).value(LOGITS, labels, counts=COUNTS))
    assert weighted / plain == pytest.approx(class_balanced_weights(COUNTS, beta=0.9)[2], rel=1e-6)


def test_sigmoid_by_hand():
    # three zero logits: -log(1/2) for each of three classes
    each = Loss(kind="sigmoid").each(LOGITS, LABELS, counts=COUNTS).numpy()
    assert each[2] == pytest.approx(3 * np.log(2), rel=1e-6)
    first = np.log1p(np.exp(-2.0)) + np.log(2) + np.log1p(np.exp(-1.0))
    assert each[0] == pytest.approx(first, rel=1e-6)


@pytest.mark.parametrize("gamma", [0.0, 1.0, 2.0])
def test_focal_by_hand(gamma):
    each = Loss(kind="focal", gamma=gamma).each(LOGITS, LABELS, counts=COUNTS).numpy()
    assert each[2] == pytest.approx(3 * 0.5**gamma * np.log(2), rel=1e-6)
    p = 1 / (1 + np.exp(-LOGITS[0].numpy().astype(float)))
    right = np.array([p[0], 1 - p[1], 1 - p[2]])
    assert each[0] == pytest.approx((-((1 - right) ** gamma) * np.log(right)).sum(), rel=1e-5)


def test_focal_without_focus_is_sigmoid():
    focal = Loss(kind="focal", gamma=0.0, beta=0.99).value(LOGITS, LABELS, counts=COUNTS)
    sigmoid = Loss(kind="sigmoid", beta=0.99).value(LOGITS, LABELS, counts=COUNTS)
    assert float(focal) == pytest.approx(float(sigmoid))


def test_logit_adjustment_is_the_balanced_softmax():
    # -log( n_y e^z_y / sum n_c e^z_c )
    odds = COUNTS * np.exp(LOGITS.numpy().astype(float))
    expected = -np.log(odds[np.arange(4), LABELS] / odds.sum(axis=1))
    each = Loss(tau=1.0).each(LOGITS, LABELS, counts=COUNTS).numpy()
    assert each == pytest.approx(expected, rel=1e-5)


def test_gradients_flow():
    for loss in (Loss(beta=0.9), Loss(kind="sigmoid"), Loss(kind="focal"), Loss(tau=1.0)):
        logits = LOGITS.clone().requires_grad_()
        loss.value(logits, LABELS, counts=COUNTS).backward()
        assert torch.isfinite(logits.grad).all()
        assert logits.grad.abs().sum() > 0


@pytest.mark.parametrize("gamma", [0.0, 0.3, 0.5, 1.0, 2.0])
def test_gradients_of_the_focal_loss_are_numbers_where_an_answer_is_certain(gamma):
    logits = torch.tensor([[200.0, -200.0, 0.0], [-200.0, 200.0, 40.0]], requires_grad=True)
    Loss("focal", gamma=gamma).value(logits, torch.tensor([0, 2]), counts=COUNTS).backward()
    assert torch.isfinite(logits.grad).all()


@pytest.mark.parametrize("tau", [0.0, 1.0])
def test_smoothing_is_torchs(tau):
    prior = torch.tensor(np.log(COUNTS / COUNTS.sum()), dtype=torch.float32)
    expected = F.cross_entropy(LOGITS + tau * prior, LABELS, label_smoothing=0.1)
    value = Loss(tau=tau, smoothing=0.1).value(LOGITS, LABELS, counts=COUNTS)
    assert float(value) == pytest.approx(float(expected), rel=1e-6)


def test_image_weights_over_the_number_of_images():
    weights = torch.tensor([1.0, 0.3, 0.0, 2.0])
    each = Loss(beta=0.9).each(LOGITS, LABELS, counts=COUNTS).numpy()
    each = each * class_balanced_weights(COUNTS, beta=0.9)[LABELS]
    value = Loss(beta=0.9).value(LOGITS, LABELS, counts=COUNTS, weights=weights)
    assert float(value) == pytest.approx((each * weights.numpy()).mean(), rel=1e-6)


def test_probabilities():
    sharp = np.array([[1000.0, 0.0, -1000.0], [0.0, 0.0, 0.0]])
    for kind in ("softmax", "sigmoid", "focal"):
        p = Loss(kind=kind).probabilities(sharp)
        assert p.sum(axis=1) == pytest.approx([1, 1])
        assert p[1] == pytest.approx([1 / 3] * 3)
        assert p[0].argmax() == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "hinge"},
        {"beta": 1.0},
        {"gamma": -1.0},
        {"kind": "focal", "tau": 1.0},
        {"smoothing": 1.0},
        {"kind": "sigmoid", "smoothing": 0.1},
    ],
)
def test_settings_refuse(wrong):
    with pytest.raises(ValueError, match=r"loss|logit adjustment"):
        Loss(**wrong)


def test_an_absent_class_cannot_be_adjusted_for():
    with pytest.raises(ValueError, match="every class"):
        Loss(tau=1.0).value(LOGITS, LABELS, counts=np.array([5, 0, 5]))


# Calibration


def drawn(count, *, seed, classes=5):
    """Logits, and labels drawn with just the chances they claim."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (count, classes))
    chances = Loss().probabilities(logits)
    labels = (chances.cumsum(axis=1) < rng.random((count, 1))).sum(axis=1)
    return logits, np.minimum(labels, classes - 1)


@pytest.mark.parametrize("true", [0.3, 1.0, 4.0])
def test_a_known_temperature_is_found_again(true):
    logits, labels = drawn(20_000, seed=0)
    # one standard error of log T is about 0.01 here: the information of 20,000 such images
    found = temperature(Loss().probabilities(logits * true), labels)
    assert np.log(found) == pytest.approx(np.log(true), abs=0.04)


class Given(ClassifierMixin, BaseEstimator):
    """Gives its input as its probabilities."""

    def fit(self, X, y):
        self.classes_ = np.unique(y)
        return self

    def predict_proba(self, X):
        return X

    def predict(self, X):
        return X.argmax(axis=1)


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_it_is_scikit_learns(kind):
    logits, labels = drawn(500, seed=1)
    chances = Loss(kind).probabilities(3 * logits)
    given = FrozenEstimator(Given().fit(chances, labels))
    theirs = CalibratedClassifierCV(given, method="temperature").fit(chances, labels)
    ours = cooled(chances, temperature(chances, labels))
    assert ours == pytest.approx(theirs.predict_proba(chances), abs=1e-4)
    assert ours.sum(axis=1) == pytest.approx(np.ones(500))


def test_no_error_means_a_temperature_near_the_lower_bound():
    # at 4 / T = 37 and above the chance of the right class rounds to 1
    assert 1 / 50 <= temperature(Loss().probabilities(np.eye(3) * 4), np.arange(3)) < 4 / 37


def test_a_cooler_classifier_is_surer():
    chances = np.array([[0.6, 0.3, 0.1]])
    assert cooled(chances, 1.0) == pytest.approx(chances)
    assert cooled(chances, 0.5) == pytest.approx(chances**2 / (chances**2).sum())
