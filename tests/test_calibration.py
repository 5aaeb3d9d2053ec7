"""Calibration: a known temperature is found again, and it is scikit-learn's."""

import numpy as np
import pytest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from gmaug.classifiers import Loss, temperature
from gmaug.classifiers.losses import cooled


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
