"""The maximum over super-classes: checked against simulation."""

import math

import numpy as np
import pytest

from gmaug.similarity import (
    Estimate,
    Sample,
    argmax_probability,
    random_pairs,
    simultaneous_interval,
    split_half,
)


def estimates(values, errors, images=10_000):
    return {
        str(k): Estimate(v, s, v - 2 * s, v + 2 * s, images, 2 * images)
        for k, (v, s) in enumerate(zip(values, errors, strict=True))
    }


def test_probability_of_each_argmax_agrees_with_draws():
    values, errors = np.array([0.2, 0.21, 0.1, 0.19]), np.array([0.01, 0.02, 0.01, 0.03])
    found = argmax_probability(estimates(values, errors))
    draws = values + errors * np.random.default_rng(0).standard_normal((400_000, 4))
    shares = np.bincount(draws.argmax(axis=1), minlength=4) / 400_000
    assert list(found.values()) == pytest.approx(shares, abs=0.004)
    assert sum(found.values()) == pytest.approx(1)


def test_two_equal_means_are_even_and_far_ones_certain():
    assert argmax_probability(estimates([0.1, 0.1], [0.02, 0.001]))["1"] == pytest.approx(0.5, abs=1e-3)
    assert argmax_probability(estimates([0.1, 0.9], [0.01, 0.01]))["1"] == pytest.approx(1)
    assert argmax_probability({"x": Estimate(math.nan, math.nan, math.nan, math.nan, 1, 0)}) == {}


def test_the_simultaneous_interval_covers_the_largest_true_mean():
    rng = np.random.default_rng(0)
    truth, errors = np.array([0.2, 0.2, 0.19, 0.15, 0.2]), np.array([0.01, 0.02, 0.01, 0.02, 0.005])
    covered = 0
    for _ in range(1000):
        low, high = simultaneous_interval(estimates(truth + errors * rng.standard_normal(5), errors).values())
        covered += low <= truth.max() <= high
    assert covered >= 935
    alone = simultaneous_interval(estimates([0.2], [0.01]).values())
    assert alone == pytest.approx((0.2 - 0.0196, 0.2 + 0.0196), abs=1e-4)
    assert math.isnan(simultaneous_interval(estimates([0.2, 0.1], [0.01, math.nan]).values())[0])


def test_split_halves_take_the_optimism_away():
    rng = np.random.default_rng(0)
    n, plain, halves = 60, [], []
    for _ in range(120):
        samples = {}
        for name in "abcde":  # equal true means: 0
            pairs = random_pairs(n, 4 * n, rng)
            values = rng.normal(0, 1, n)[pairs].sum(axis=1)
            samples[name] = Sample(pairs, values, np.zeros(n, int))
        plain.append(max(s.scores.mean() for s in samples.values()))
        halves.append(split_half(samples, seed=0, splits=20))
    error = np.std(halves) / math.sqrt(len(halves))
    assert np.mean(plain) > 0.2
    assert abs(np.mean(halves)) < 3.5 * error


def test_split_halves_of_one_super_class_are_its_mean():
    rng = np.random.default_rng(0)
    pairs = random_pairs(200, 2000, rng)
    sample = Sample(pairs, rng.normal(0.2, 0.05, 2000), np.zeros(200, int))
    assert split_half({"a": sample}, seed=0) == pytest.approx(sample.scores.mean(), abs=0.002)
    assert math.isnan(split_half({"a": Sample(pairs[:0], np.empty(0), np.zeros(2, int))}, seed=0))
