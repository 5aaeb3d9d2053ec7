"""A toy set for the tests: coloured squares on noise, told apart by a small network in seconds."""

import numpy as np

from gmaug.classifiers import ResNet18Settings

COLOURS = np.array([[200, 60, 60], [60, 200, 60], [60, 60, 200], [200, 200, 60]])
SIDE = 16
SMALL = ResNet18Settings(
    width=8, stem="small", crop="padded", crop_size=None, padding=2, batch=16, epochs=8, lr=0.05
)


def draw(labels, *, seed):
    """One image of each label, uint8 (n, 16, 16, 3)."""
    rng = np.random.default_rng(seed)
    images = rng.normal(110, 50, (len(labels), SIDE, SIDE, 3))
    for image, label in zip(images, labels, strict=True):
        row, column = rng.integers(2, SIDE - 8, 2)
        image[row : row + 6, column : column + 6] = COLOURS[label] + rng.normal(0, 25, (6, 6, 3))
    return np.clip(images, 0, 255).astype(np.uint8)


def blobs(counts, *, seed):
    """Images and labels, `counts` of each class."""
    labels = np.repeat(np.arange(len(counts)), counts)
    return draw(labels, seed=seed), labels


class Generator:
    """Draws from the truth, except that a share `wrong` of its images show the next class."""

    def __init__(self, *, wrong=0.0, classes=3):
        self.wrong, self.classes, self.fitted, self.calls = wrong, classes, None, 0

    def fit(self, images, labels):
        self.fitted = (len(images), sorted(set(labels.tolist())))
        return self

    linear_conditions = mixes_scores = True

    def sample(self, labels=None, *, seed, conditions=None, scores=None):
        if labels is None:  # of a mixed condition the class that weighs most
            labels = np.asarray(scores if conditions is None else conditions).argmax(axis=1)
        self.calls += 1
        rng = np.random.default_rng([seed, 1])
        shown = np.where(rng.random(len(labels)) < self.wrong, (labels + 1) % self.classes, labels)
        return draw(shown, seed=seed)
