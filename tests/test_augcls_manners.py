"""GMAugCls as a scikit-learn citizen: by name, in pipelines, with every kind of input."""

import pickle
from dataclasses import replace

import numpy as np
import pytest
from blobs import SIDE, SMALL, Generator, blobs
from sklearn.base import clone

from gmaug import augcls, generators
from gmaug.augcls import GMAugCls, is_fitted
from gmaug.classifiers import GARDEN, ResNet18, settings_for
from gmaug.classifiers.settings import GARDEN_MAE

TRAIN = blobs([12, 7, 4], seed=0)


class Nearest:
    """The class whose mean image is nearest: trained in no time."""

    def fit(self, images, labels, *, validation, classes, seed):
        self.classes_ = classes
        self.means_ = np.stack([images[labels == c].mean(axis=0) for c in classes])
        return self

    def logits(self, images):
        return -((images[:, None] - self.means_) ** 2).mean(axis=(2, 3, 4)) / 500

    def predict_proba(self, images):
        odds = np.exp(self.logits(images))
        return odds / odds.sum(axis=1, keepdims=True)


def sampler(**options):
    return GMAugCls(Generator(), Nearest(), **({"alpha": 0.0, "budget": 20.0} | options))


def counts(labels):
    return dict(zip(*(part.tolist() for part in np.unique(labels, return_counts=True)), strict=True))


# scikit-learn's checks, adapted to images


def test_parameters_are_kept_as_given_and_cloned():
    one = sampler(alpha=0.7, sampling_strategy={2: 9})
    copy = clone(one)
    assert copy is not one
    shown = {k: v for k, v in copy.get_params(deep=False).items() if k not in ("generator", "classifier")}
    assert shown == {k: v for k, v in one.get_params(deep=False).items() if k in shown}
    assert copy.set_params(alpha=0.2).alpha == 0.2
    assert not [name for name in vars(one) if name.endswith("_")], "the constructor does more than keep"
    with pytest.raises(ValueError, match="alhpa"):
        copy.set_params(alhpa=0.2)


def test_fitting_changes_neither_parameters_nor_inputs():
    one, (images, labels) = sampler(), (TRAIN[0].copy(), TRAIN[1].copy())
    before = one.get_params(deep=False)
    found, _ = one.fit_resample(images, labels)
    assert one.get_params(deep=False) == before
    assert np.array_equal(images, TRAIN[0])
    assert np.array_equal(labels, TRAIN[1])
    found[:] = 0
    assert np.array_equal(images, TRAIN[0]), "what is returned is a view of what was given"


def test_fitting_twice_gives_the_same():
    one = sampler()
    first = one.fit_resample(*TRAIN)
    second = one.fit_resample(*TRAIN)
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert not np.array_equal(sampler(seed=5).fit_resample(*TRAIN)[0], first[0])


def test_a_fitted_one_can_be_pickled():
    one = sampler()
    one.fit_resample(*TRAIN)
    again = pickle.loads(pickle.dumps(one))
    assert again.accepted_ == one.accepted_


def test_lists_strings_and_wider_integers():
    expected, labels = sampler().fit_resample(*TRAIN)
    assert counts(labels) == {0: 12, 1: 12, 2: 12}
    for images in (list(TRAIN[0]), TRAIN[0].tolist(), TRAIN[0].astype(np.int32)):
        found, _ = sampler().fit_resample(images, TRAIN[1].tolist())
        assert found.dtype == np.uint8
        assert np.array_equal(found, expected)
    names = np.array(["ash", "elm", "oak"])[TRAIN[1]]
    assert counts(sampler().fit_resample(TRAIN[0], names)[1]) == {"ash": 12, "elm": 12, "oak": 12}
    assert counts(sampler().fit_resample(TRAIN[0], names.astype(object))[1]) == {
        "ash": 12,
        "elm": 12,
        "oak": 12,
    }


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (TRAIN[0] / 255.0, TRAIN[1], r"float64, 0 to 1.*uint8"),
        (TRAIN[0].astype(np.int64) * 2, TRAIN[1], "int64, 0 to 510"),
        (TRAIN[0][..., 0], TRAIN[1], "n, height, width, 3"),
        (TRAIN[0][:0], TRAIN[1][:0], "at least one"),
        ([TRAIN[0][0], TRAIN[0][0][:8]], [0, 1], "different sizes"),
        (TRAIN[0], TRAIN[1][:, None], "one each"),
        (TRAIN[0], np.zeros(len(TRAIN[1])), r"one class, \[0\.0\]"),
    ],
)
def test_wrong_input_is_named_with_its_remedy(images, labels, says):
    with pytest.raises(ValueError, match=says) as error:
        sampler().fit_resample(images, labels)
    assert "\n" not in str(error.value)


def test_a_class_of_one_image():
    images, labels = blobs([8, 5, 1], seed=0)
    one = sampler(validation_fraction=0.5, select=False)
    assert counts(one.fit_resample(images, labels)[1]) == {0: 8, 1: 8, 2: 8}
    assert one.classifier_.means_.shape[0] == 3


def test_a_large_fraction_leaves_something_to_train_on():
    images, labels = blobs([8, 2, 2], seed=0)
    assert counts(sampler(validation_fraction=0.9).fit_resample(images, labels)[1]) == {0: 8, 1: 8, 2: 8}


def test_in_imbalanced_learns_pipeline_but_not_in_scikit_learns():
    from imblearn.pipeline import make_pipeline
    from sklearn.pipeline import make_pipeline as plain_pipeline

    last = ResNet18(replace(SMALL, epochs=1), device="cpu")
    pipe = make_pipeline(sampler(), last).fit(*TRAIN)
    assert pipe[-1].counts_.tolist() == [12, 12, 12]
    assert pipe.predict(TRAIN[0][:2]).shape == (2,)  # nothing is resampled to predict
    with pytest.raises(TypeError, match="GMAugCls"):
        plain_pipeline(sampler(), last).fit(*TRAIN)


# generators and classifiers by name


class Learner(Generator):
    """Holds what it learnt under names that end in an underscore, as scikit-learn's do."""

    def fit(self, images, labels):
        self.seen_ = len(images)
        return super().fit(images, labels)


def test_an_untrained_generator_is_trained_and_a_trained_one_is_used():
    fresh, trained = Learner(), Learner().fit(*TRAIN)
    one = GMAugCls(fresh, Nearest(), alpha=0.0)
    one.fit_resample(*TRAIN)
    assert not hasattr(fresh, "seen_"), "the caller's own was trained"
    assert one.generator_.seen_ == len(TRAIN[0]) - 4  # 2, 1 and 1 are held out
    one = GMAugCls(trained, Nearest(), alpha=0.0)
    one.fit_resample(*TRAIN)
    assert one.generator_ is trained
    one = GMAugCls(trained, Nearest(), alpha=0.0, prefit=False)
    one.fit_resample(*TRAIN)
    assert one.generator_ is not trained


def test_what_counts_as_trained():
    from gmaug.generators import TransitionalCGAN
    from gmaug.generators.settings import PROFILES

    class Says:
        def __init__(self, answer):
            self.answer, self.noise_ = answer, 1

        def fit(self):
            """Learn."""

        def __sklearn_is_fitted__(self):
            return self.answer

    assert is_fitted(Says(True))
    assert not is_fitted(Says(False))
    assert is_fitted(object()), "there is nothing to train"
    assert not is_fitted(TransitionalCGAN(PROFILES["cgan"]["smoke"]))
    assert not is_fitted(Learner())
    assert is_fitted(Learner().fit(*TRAIN))


def test_nothing_but_images_need_be_given(monkeypatch):
    kept = generators.make_generator

    def quick(name, *, shape, seed):
        model = kept(name, shape=shape, profile="smoke", seed=seed)
        model.settings = replace(model.settings, kimg=0.1, report_kimg=0.1)
        return model

    monkeypatch.setattr(generators, "make_generator", quick)
    monkeypatch.setattr(augcls, "settings_for", lambda name, *, shape: replace(SMALL, epochs=1))
    one = GMAugCls(rounds=1, budget=2.0, alpha=0.0, validation_fraction=0.3)
    assert GMAugCls().get_params()["generator"] == "cgan"
    with pytest.warns(UserWarning, match="refused candidates taken"):
        images, labels = one.fit_resample(TRAIN[0], np.array(["ash", "elm", "oak"])[TRAIN[1]])
    assert images.shape[1:] == (SIDE, SIDE, 3)
    assert type(one.generator_).__name__ == "TransitionalCGAN"
    assert one.generator_.n_classes_ == 3
    assert "distance" in one.generator_.history_[-1], "what is held out does not watch the training"
    assert type(one.classifier_).__name__ == "ResNet18"
    assert set(labels) == {"ash", "elm", "oak"}


def test_settings_follow_the_images_size():
    for name in ("cgan", "diffusion"):
        for side in (8, 16, 32, 64, 128):
            assert generators.make_generator(name, shape=(side, side)).settings.resolution == side
    assert generators.make_generator("cgan", shape=(32, 32), seed=7).settings.seed == 7
    assert settings_for("resnet18", shape=(32, 32)) == GARDEN
    assert settings_for("resnet18", shape=(64, 80)).stem_stride == 2
    assert settings_for("resnet18", shape=(224, 224)).stem == "imagenet"
    assert settings_for("mae", shape=(32, 32)) == GARDEN_MAE
    for side in (8, 16, 28, 64, 96):
        assert side % settings_for("mae", shape=(side, side)).patch == 0


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"generator": "gan"}, r"generator='gan' is unknown; use 'cgan' or 'diffusion'"),
        ({"classifier": "vgg"}, r"classifier='vgg' is unknown; use 'resnet18' or 'mae'"),
        ({"generator": "cgan", "prefit": True}, "prefit=True"),
        ({"generator": None}, "give a name"),
        ({"classifier": None}, "give a name"),
    ],
)
def test_unknown_names(options, says):
    with pytest.raises(ValueError, match=says):
        sampler(**{k: v for k, v in options.items() if k == "prefit"}).set_params(**options).fit_resample(
            *TRAIN
        )


def test_images_that_a_named_generator_cannot_draw():
    odd = TRAIN[0][:, :12, :12]
    with pytest.raises(ValueError, match="12 x 12: resize them"):
        GMAugCls("cgan", Nearest()).fit_resample(odd, TRAIN[1])
    with pytest.raises(ValueError, match=r"generator draws images of \(16, 16\), the originals \(12, 12\)"):
        GMAugCls(Generator(), Nearest(), select=False).fit_resample(odd, TRAIN[1])
