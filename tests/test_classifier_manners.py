"""scikit-learn's checks of an estimator, for classifiers of images: its own feed flat tables of floats."""

import copy
import pickle
from dataclasses import replace

import numpy as np
import pytest
from blobs import SMALL, blobs
from sklearn.base import clone, is_classifier
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from gmaug.classifiers import GARDEN_MAE, MAE, ResNet18

X, Y = blobs([12, 8, 4], seed=0)
HELD = blobs([3, 3, 3], seed=1)
MADE = {
    "resnet18": lambda: ResNet18(replace(SMALL, epochs=1), device="cpu"),
    "mae": lambda: MAE(
        replace(GARDEN_MAE, width=16, depth=1, heads=2, decoder_width=16, decoder_heads=2, padding=2,
                batch=16, epochs=1, pretraining_epochs=1),
        device="cpu",
    ),
}  # fmt: skip


@pytest.fixture(params=list(MADE))
def model(request):
    return MADE[request.param]()


@pytest.fixture(scope="module", params=list(MADE))
def fitted(request):
    return MADE[request.param]().fit(X, Y)


def test_the_constructor_does_nothing_but_store_and_can_be_cloned(model):
    assert set(vars(model)) == set(model.get_params()) == {"settings", "device"}
    assert clone(model).get_params() == model.get_params()
    assert is_classifier(model)


def test_nothing_is_given_before_fit(model):
    for method in (model.logits, model.features, model.predict, model.predict_proba):
        with pytest.raises(NotFittedError, match="not fitted"):
            method(X)
    with pytest.raises(NotFittedError):
        check_is_fitted(model)


def test_fit_gives_itself_and_leaves_parameters_and_inputs_alone(model):
    images, labels, held = X.copy(), Y.copy(), (HELD[0].copy(), HELD[1].copy())
    before = copy.deepcopy(model.get_params())
    for array in (images, labels, *held):
        array.flags.writeable = False
    assert model.fit(images, labels, validation=held) is model
    check_is_fitted(model)
    assert model.get_params() == before
    assert images.tobytes() == X.tobytes()
    assert labels.tobytes() == Y.tobytes()
    model.predict(images)


def test_fit_again_forgets_the_first(model):
    first = model.fit(X, Y).logits(X)
    model.fit(X[:, ::-1], (Y + 1) % 2, seed=3)
    assert model.classes_.tolist() == [0, 1]
    assert model.fit(X, Y).logits(X).tobytes() == first.tobytes()


@pytest.mark.parametrize("names", [["oak", "ash", "elm"], [7, -3, 1000], [True, False, True]])
def test_labels_of_any_kind_are_given_back(model, names):
    labels = np.array(names)[Y]
    model.fit(X, labels)
    assert model.classes_.tolist() == sorted(set(names))
    guess = model.predict(X)
    assert guess.dtype == labels.dtype
    assert set(guess) <= set(labels)
    assert guess.tolist() == model.classes_[model.logits(X).argmax(axis=1)].tolist()
    assert model.predict_proba(X).shape == (len(X), len(model.classes_))


def test_classes_given_keep_their_order(model):
    model.fit(X, Y, classes=[2, 0, 1, 9])
    assert model.classes_.tolist() == [2, 0, 1, 9]
    assert model.counts_.tolist() == [4, 12, 8, 0]
    assert model.predict_proba(X).shape == (len(X), 4)
    with pytest.raises(ValueError, match="twice"):
        model.fit(X, Y, classes=[0, 1, 2, 2])


def test_lists_and_other_layouts_in_memory_do_as_well(model):
    array = model.fit(X, Y).logits(X)
    listed = model.fit(list(X), Y.tolist()).logits(list(X))
    assert array.tobytes() == listed.tobytes()
    strided = np.repeat(X, 2, axis=0)[::2]
    assert model.fit(np.asfortranarray(X), Y).logits(strided).tobytes() == array.tobytes()


def test_one_class_is_enough(model):
    model.fit(X[:5], Y[:5], validation=(X[:2], Y[:2]))
    assert model.predict(X).tolist() == [0] * len(X)
    assert model.predict_proba(X) == pytest.approx(np.ones((len(X), 1)))


def test_one_image_is_judged_as_among_others(fitted):
    together = fitted.logits(X)
    alone = np.concatenate([fitted.logits(image[None]) for image in X])
    assert alone == pytest.approx(together, abs=1e-4)
    assert fitted.predict(X[:0]).shape == (0,)


def test_score_is_the_share_of_right_answers(fitted):
    assert fitted.score(X, Y) == (fitted.predict(X) == Y).mean()
    assert fitted.predict_proba(X).sum(axis=1) == pytest.approx(np.ones(len(X)))


def test_a_pickle_judges_alike(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again.logits(X).tobytes() == fitted.logits(X).tobytes()


@pytest.mark.parametrize(
    ("images", "labels", "says"),
    [
        (X[:0], Y[:0], "at least one"),
        (X[0], Y[:1], "height, width, 3"),
        (X.astype(np.float32) / 255, Y, "uint8"),
        (X[..., :1], Y, "height, width, 3"),
        (X.reshape(len(X), -1), Y, "height, width, 3"),
        ([X[0], X[1][:8]], Y[:2], "different sizes"),
        (X, Y[:-1], "one each"),
        (X, Y[:, None], "one each"),
    ],
)
def test_what_cannot_be_trained_on_is_refused_in_one_line(model, images, labels, says):
    with pytest.raises(ValueError, match=says) as error:
        model.fit(images, labels)
    assert "\n" not in str(error.value)
