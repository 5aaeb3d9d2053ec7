"""Calibration: a known temperature is found again, and calibrated scores show no error."""

import numpy as np
import pytest
from blobs import SMALL, blobs
from sklearn.base import clone

from gmaug.classifiers import Calibrated, Loss, ResNet18, reliability, temperature

TRAIN = blobs([40, 20, 10], seed=0)
HELD = blobs([30, 30, 30], seed=1)
TEST = blobs([20, 20, 20], seed=2)


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
    assert np.log(temperature(logits * true, labels)) == pytest.approx(np.log(true), abs=0.04)


def test_the_temperature_is_where_the_slope_is_zero():
    logits, labels = drawn(500, seed=1)
    found = temperature(3 * logits, labels)

    def surprise(t):
        return -np.log(Loss().probabilities(3 * logits / t)[np.arange(500), labels]).mean()

    assert surprise(found) < min(surprise(found * 1.02), surprise(found / 1.02))


@pytest.mark.parametrize("kind", ["sigmoid", "focal"])
def test_binary_losses_have_one_too(kind):
    logits, labels = drawn(2000, seed=2)
    loss = Loss(kind=kind)
    rows = np.arange(len(labels))

    def surprise(t):
        return -np.log(loss.probabilities(logits / t)[rows, labels]).mean()

    found = temperature(logits, labels, loss=loss)
    assert surprise(found) <= min(surprise(t) for t in np.geomspace(0.05, 20, 60)) + 1e-9


def test_no_error_means_a_temperature_near_the_lower_bound():
    # at 4 / T = 37 and above the chance of the right class rounds to 1
    assert 1 / 50 <= temperature(np.eye(3) * 4, np.arange(3)) < 4 / 37


@pytest.mark.parametrize("seed", range(3))
def test_calibrated_scores_are_at_the_floor(seed):
    logits, labels = drawn(5000, seed=seed)
    found = reliability(Loss().probabilities(logits), labels)
    assert found.floor == pytest.approx(np.sqrt(2 / np.pi) * 0.45 / np.sqrt(500), rel=0.15)
    assert found.error < 2.2 * found.floor  # ten bins: its own deviation is a fourth of the floor
    assert all(abs(b.accuracy - b.confidence) < 4 * b.se for b in found.bins)


def test_overconfidence_is_seen():
    logits, labels = drawn(5000, seed=4)
    found = reliability(Loss().probabilities(3 * logits), labels)
    assert found.error > 5 * found.floor
    assert found.bins[-1].confidence > found.bins[-1].accuracy


def test_reliability_by_hand():
    chances = np.array([[0.9, 0.1], [0.8, 0.2], [0.4, 0.6], [0.3, 0.7]])
    found = reliability(chances, np.array([0, 1, 1, 0]), bins=2)
    low, high = found.bins
    assert (low.images, low.low, low.high, low.accuracy) == (2, 0.6, 0.7, 0.5)
    assert (high.low, high.high, high.accuracy) == (0.8, 0.9, 0.5)
    assert found.error == pytest.approx((abs(0.65 - 0.5) + abs(0.85 - 0.5)) / 2)
    assert low.se == pytest.approx(np.sqrt(0.6 * 0.4 + 0.7 * 0.3) / 2)


def test_bins_hold_equal_counts():
    logits, labels = drawn(103, seed=0)
    found = reliability(Loss().probabilities(logits), labels, bins=10)
    assert sorted({b.images for b in found.bins}) == [10, 11]
    assert sum(b.images for b in found.bins) == 103
    assert [b.low for b in found.bins] == sorted(b.low for b in found.bins)
    assert len(reliability(Loss().probabilities(logits[:4]), labels[:4]).bins) == 4


@pytest.fixture(scope="module")
def calibrated():
    return Calibrated(ResNet18(SMALL, device="cpu")).fit(*TRAIN, validation=HELD, seed=0)


def test_the_wrapper_changes_the_scores_alone(calibrated):
    inner = calibrated.classifier_
    assert calibrated.predict(TEST[0]).tolist() == inner.predict(TEST[0]).tolist()
    assert calibrated.logits(TEST[0]).tobytes() == inner.logits(TEST[0]).tobytes()
    chances = calibrated.predict_proba(TEST[0])
    assert chances.argmax(axis=1).tolist() == inner.predict_proba(TEST[0]).argmax(axis=1).tolist()
    assert chances == pytest.approx(Loss().probabilities(inner.logits(TEST[0]) / calibrated.temperature_))
    assert calibrated.temperature_ != pytest.approx(1, abs=0.01)
    assert not np.allclose(chances, inner.predict_proba(TEST[0]))
    assert calibrated.score(*TEST) == inner.score(*TEST)


def test_the_wrapper_lowers_the_validation_loss(calibrated):
    rows = np.arange(len(HELD[1]))

    def surprise(model):
        return -np.log(model.predict_proba(HELD[0])[rows, HELD[1]]).mean()

    assert surprise(calibrated) < surprise(calibrated.classifier_)
    assert len(calibrated.before_.bins) == len(calibrated.after_.bins) == 10


def test_a_trained_classifier_can_be_wrapped(calibrated):
    other = Calibrated.of(calibrated.classifier_, *HELD)
    assert other.temperature_ == calibrated.temperature_
    assert other.steps_ == calibrated.classifier_.steps_


def test_labels_need_not_be_columns():
    names = np.array(["oak", "ash", "elm"])
    model = ResNet18(SMALL, device="cpu").fit(TRAIN[0], names[TRAIN[1]], classes=names, steps=5)
    assert Calibrated.of(model, HELD[0], names[HELD[1]]).temperature_ == temperature(
        model.logits(HELD[0]), HELD[1]
    )
    with pytest.raises(ValueError, match="not among the classes"):
        Calibrated.of(model, HELD[0], np.full(len(HELD[0]), "yew"))


def test_the_wrapped_classifier_is_left_untrained(calibrated):
    copy = clone(calibrated)
    assert not hasattr(copy, "temperature_")
    assert not hasattr(calibrated.classifier, "net_")
    with pytest.raises(ValueError, match="not fitted"):
        copy.predict_proba(TEST[0])
    with pytest.raises(ValueError, match="validation=None"):
        copy.fit(*TRAIN)


@pytest.mark.parametrize(
    ("scores", "labels", "says"),
    [
        (np.zeros((3, 2)), [0, 1, 2], "0 to 1"),
        (np.zeros((3, 2)), [0, 1], "one column"),
        (np.zeros((3, 2)), [0.0, 1.0, 1.0], "one column"),
        (np.zeros(3), [0, 1, 1], "shape"),
        (np.zeros((0, 2)), [], "at least one"),
    ],
)
def test_bad_input(scores, labels, says):
    for function in (temperature, reliability):
        with pytest.raises(ValueError, match=says):
            function(scores, np.array(labels))


def test_logits_are_no_probabilities():
    with pytest.raises(ValueError, match="predict_proba"):
        reliability(np.array([[3.0, -1.0]]), np.array([0]))
    with pytest.raises(ValueError, match="bins=0"):
        reliability(np.array([[0.5, 0.5]]), np.array([0]), bins=0)
