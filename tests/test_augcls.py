"""GM-augCls with generators that are right, wrong in part, and wrong."""

import warnings

import numpy as np
import pytest
from blobs import SMALL, Generator, blobs
from sklearn.base import clone

from gmaug.augcls import GMAugCls, QuotaNotMet
from gmaug.classifiers import ResNet18
from gmaug.datasets.base import ArrayImages
from gmaug.resampling import held_out, quotas
from gmaug.selection import collect, judge

TRAIN = blobs([60, 30, 10], seed=0)
HELD = blobs([15, 15, 15], seed=1)
NAMES = np.arange(3)


@pytest.fixture(scope="module")
def first():
    return ResNet18(SMALL, device="cpu").fit(*TRAIN, validation=HELD, seed=0)


@pytest.fixture(scope="module")
def balanced(first):
    sampler = GMAugCls(Generator(wrong=0.3), ResNet18(SMALL, device="cpu"), rounds=2, epsilon=-1.0)
    return sampler, sampler.fit_resample(*TRAIN, validation=HELD, first=first)


def draw(generator, classifier, quota, **options):
    settings = {"score": "softmax", "alpha": 0.5, "budget": 4.0, "examples": 2, "seed": (0, 1)}
    return collect(generator, classifier, np.array(quota), names=NAMES, **(settings | options))


def test_the_result_is_balanced_and_originals_come_first(balanced):
    sampler, (images, labels) = balanced
    assert np.bincount(labels).tolist() == [60, 60, 60]
    assert np.array_equal(images[:100], TRAIN[0])
    assert np.array_equal(labels[:100], TRAIN[1])
    assert sampler.is_synthetic_.tolist() == [False] * 100 + [True] * 80
    assert sampler.accepted_ == {0: 0, 1: 30, 2: 50}
    assert sampler.sampling_strategy_ == {0: 0, 1: 30, 2: 50}
    assert sum(sampler.n_missing_.values()) == 0


def test_the_second_round_draws_anew_with_the_new_classifier(balanced, first):
    sampler, (images, _) = balanced
    one, two = sampler.rounds_
    assert np.array_equal(images[100:], two.pool.images)
    seen = {image.tobytes() for image in one.pool.images}
    assert not any(image.tobytes() in seen for image in two.pool.images)
    assert two.before == one.after
    again = draw(Generator(wrong=0.3), first, [0, 30, 50], budget=5.0, seed=(0, 1))
    assert np.array_equal(again.images, one.pool.images), "round 1 is not C's choice"
    assert one.steps == two.steps == SMALL.steps_for(180)


def test_rounds_stop_when_validation_gains_too_little(first):
    sampler = GMAugCls(Generator(), ResNet18(SMALL, device="cpu"), rounds=2, epsilon=1.0)
    sampler.fit_resample(*TRAIN, validation=HELD, first=first)
    assert len(sampler.rounds_) == 1


def test_only_what_passes_is_kept(first):
    for alpha in (0.0, 0.6, 0.9):
        pool = draw(Generator(wrong=0.4), first, [10, 10, 10], alpha=alpha)
        top, score = judge(first, pool.images, score="softmax")
        assert (top == pool.labels).all()
        assert (score >= alpha).all()
        passes = (pool.predicted == pool.wanted) & (pool.score >= alpha)
        assert np.bincount(pool.wanted[passes], minlength=3).tolist() == pool.passed.tolist()
        assert np.bincount(pool.wanted, minlength=3).tolist() == pool.drawn.tolist()
        refused = pool.refused
        assert ((refused.predicted != refused.wanted) | (refused.score < alpha)).all()
        assert np.bincount(refused.wanted, minlength=3).max() <= 2
        assert ((pool.kept.predicted == pool.kept.wanted) & (pool.kept.score >= alpha)).all()


@pytest.mark.parametrize("score", ["softmax", "logit"])
def test_a_higher_threshold_keeps_fewer(first, score):
    everything = draw(Generator(), first, [40, 40, 40], score=score, alpha=-np.inf, budget=1.0)
    values = judge(first, everything.images, score=score)[1]
    assert everything.score.max() <= 1 if score == "softmax" else everything.score.max() > 1
    for share in (0.3, 0.8):
        alpha = np.quantile(values, share)
        pool = draw(Generator(), first, [40, 40, 40], score=score, alpha=alpha, budget=1.0)
        assert pool.passed.sum() == (values >= alpha).sum()
        assert (judge(first, pool.images, score=score)[1] >= alpha).all()


def test_a_generator_of_wrong_classes_is_refused_and_what_is_missing_is_said(first):
    sampler = GMAugCls(Generator(wrong=1.0), ResNet18(SMALL, device="cpu"), budget=2.0, alpha=0.8)
    with pytest.warns(QuotaNotMet, match=r"still missing .*2: \d+ of 50"):
        _, labels = sampler.fit_resample(*TRAIN, validation=HELD, first=first)
    # some of the wrong images fool the classifier, by no means most
    assert sampler.n_missing_[2] > 35
    assert sampler.n_missing_[2] + sampler.accepted_[2] == 50
    assert np.bincount(labels)[2] == 10 + sampler.accepted_[2]
    drawn = sampler.rounds_[-1].pool.drawn
    assert drawn.tolist() == [0, 60, 100], "the budget is two candidates per image"
    assert sampler.acceptance_rate_[2] == sampler.accepted_[2] / 100
    assert np.isnan(sampler.acceptance_rate_[0])


def test_without_selection_all_is_kept():
    generator = Generator(wrong=1.0)
    sampler = GMAugCls(generator, ResNet18(SMALL, device="cpu"), select=False)
    _, labels = sampler.fit_resample(*TRAIN, validation=HELD)
    assert np.bincount(labels).tolist() == [60, 60, 60]
    assert sampler.rejected_ == {0: 0, 1: 0, 2: 0}
    assert len(sampler.rounds_) == 1
    assert np.isnan(sampler.rounds_[0].before)


def test_same_seed_same_bytes(first):
    def run(seed):
        classifier = ResNet18(SMALL, device="cpu")
        sampler = GMAugCls(Generator(wrong=0.3), classifier, rounds=1, steps=2, seed=seed)
        return sampler.fit_resample(*TRAIN, validation=HELD, first=first)[0].tobytes()

    assert run(1) == run(1) != run(2)


def test_held_out_images_are_returned_but_not_trained_on():
    sampler = GMAugCls(Generator(), ResNet18(SMALL, device="cpu"), rounds=1)
    images, labels = sampler.fit_resample(*TRAIN)
    assert np.bincount(labels).tolist() == [60, 60, 60]
    assert np.array_equal(images[:100], TRAIN[0])
    # 12, 6 and 2 of the originals are held out
    assert sampler.classifier_.counts_.tolist() == [48, 54, 58]
    mask = held_out(TRAIN[1], 0.2, 0)
    assert np.bincount(TRAIN[1][mask]).tolist() == [12, 6, 2]
    assert held_out(np.array([0, 0, 1]), 0.2, 0)[2] == False  # noqa: E712


def test_image_sets_names_and_a_generator_trained_here():
    names = np.array(["ash", "elm", "oak"])  # sorted: the generator is asked for ranks
    classifier = ResNet18(SMALL, device="cpu")
    sampler = GMAugCls(Generator(), classifier, rounds=1, prefit=False, steps=5, size=16)
    _, labels = sampler.fit_resample(TRAIN[0], names[TRAIN[1]])
    assert dict(zip(*np.unique(labels, return_counts=True), strict=True)) == {"oak": 60, "ash": 60, "elm": 60}
    assert sampler.generator_.fitted == (80, [0, 1, 2]), "trained on what is held out, too"
    assert sampler.generator.fitted is None, "the caller's generator was trained"
    assert sampler.rounds_[0].steps == 5
    _, labels = sampler.fit_resample(ArrayImages(*TRAIN), validation=ArrayImages(*HELD))
    assert np.bincount(labels).tolist() == [60, 60, 60]


def test_any_classifier_with_scores_will_do():
    class Nearest:
        """The class whose mean image is nearest."""

        def fit(self, images, labels, *, validation, classes, seed):
            self.means = np.stack([images[labels == c].mean(axis=0) for c in classes])
            return self

        def logits(self, images):
            return -((images[:, None] - self.means) ** 2).mean(axis=(2, 3, 4)) / 1000

        def predict_proba(self, images):
            odds = np.exp(self.logits(images))
            return odds / odds.sum(axis=1, keepdims=True)

    sampler = GMAugCls(Generator(), Nearest(), alpha=0.3)
    _, labels = sampler.fit_resample(*TRAIN, validation=HELD)
    assert np.bincount(labels).tolist() == [60, 60, 60]
    assert sampler.rounds_[0].steps is None
    assert sampler.rounds_[0].before > 0.9  # blobs are easy for it,
    assert len(sampler.rounds_) == 1  # so that there is nothing to gain


@pytest.mark.parametrize(
    ("strategy", "added"),
    [
        ("not majority", [0, 30, 50]),
        ("auto", [0, 30, 50]),
        ("minority", [0, 0, 50]),
        ("all", [0, 30, 50]),
        (80, [20, 50, 70]),
        (40, [0, 10, 30]),
        ({2: 25}, [0, 0, 15]),
        (lambda y: {1: 33}, [0, 3, 0]),
    ],
)
def test_sampling_strategies(strategy, added):
    assert quotas(TRAIN[1], strategy).tolist() == added


def test_strategies_that_make_no_sense():
    with pytest.raises(ValueError, match="sampling_strategy"):
        quotas(TRAIN[1], "everything")
    with pytest.raises(ValueError, match="greater or equal"):
        quotas(TRAIN[1], {0: 5})


def test_sklearn_manners():
    generator = Generator()
    sampler = GMAugCls(generator, ResNet18(SMALL), alpha=0.7, score="logit")
    copy = clone(sampler)
    assert copy.get_params(deep=False)["alpha"] == 0.7
    assert copy.set_params(alpha=0.2, classifier__device="cpu").classifier.device == "cpu"


def test_in_a_pipeline():
    from imblearn.pipeline import make_pipeline

    pipe = make_pipeline(
        GMAugCls(Generator(), ResNet18(SMALL, device="cpu"), rounds=1), ResNet18(SMALL, device="cpu")
    ).fit(*TRAIN)
    assert pipe[-1].counts_.tolist() == [60, 60, 60]
    assert pipe.score(*HELD) > 0.6


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"generator": None}, "generator"),
        ({"score": "margin"}, "score="),
        ({"score": "logit"}, "give alpha"),
        ({"alpha": 10.0}, "no probability"),
        ({"rounds": 0}, "rounds=0"),
        ({"budget": 0.5}, "budget=0.5"),
        ({"validation_fraction": 1.0}, "validation_fraction"),
    ],
)
def test_bad_settings(options, says):
    with pytest.raises(ValueError, match=says):
        GMAugCls(**({"generator": Generator()} | options)).fit_resample(*TRAIN)


def test_bad_input():
    sampler = GMAugCls(Generator(), ResNet18(SMALL))
    with pytest.raises(ValueError, match="uint8"):
        sampler.fit_resample(TRAIN[0].reshape(100, -1), TRAIN[1])
    with pytest.raises(ValueError, match="labels"):
        sampler.fit_resample(TRAIN[0])
    with pytest.raises(ValueError, match="one each"):
        sampler.fit_resample(TRAIN[0], TRAIN[1][:5])

    class Floats(Generator):
        def sample(self, labels, *, seed):
            return super().sample(labels, seed=seed) / 255

    with pytest.raises(ValueError, match="generator gave float"), warnings.catch_warnings():
        GMAugCls(Floats(), ResNet18(SMALL), select=False).fit_resample(*TRAIN)
