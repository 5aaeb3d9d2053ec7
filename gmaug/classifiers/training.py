"""The classifiers' base and the training loop of both: train, choose weights on validation, give scores."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted
from torch import nn

from gmaug import backend, progress
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.views import Mixer, Views, lent
from gmaug.datasets.base import as_images, labelled
from gmaug.runs import plain

AT_ONCE = 256  # images scored at a time: bounds memory, and fixes the rounding
FITTED = ("classes", "counts", "mean", "std", "side", "seed", "steps", "best_epoch", "history")
"""What a file holds besides the weights and the settings."""


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """A network over uint8 images, with scikit-learn's manners.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
        Labels, in the order of the columns of the scores.
    history_ : list of dict
        One entry a validation: ``epoch`` (its number, from 1), ``step``, ``rate``, ``train_loss``,
        ``train_accuracy`` (of mixed images: on the larger share's label), and with validation images
        ``validation_loss``, ``validation_accuracy`` (balanced: the mean over classes), ``validation_top1``.
    best_epoch_ : int
        The validation whose weights were kept: the highest balanced accuracy, the lower loss among equals;
        the last without validation images.
    steps_ : int
        Gradient steps taken.
    """

    # a subclass gives _network(classes), a new network, torch's generator seeded; _features(batch), the last
    # layer's input (b, d); and _optimizer(net)

    def _prepare(self, images: np.ndarray) -> None:
        """What is done to the new network before it is trained on the images; nothing by default."""

    def fit(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        classes: np.ndarray | None = None,
        seed: int = 0,
        steps: int | None = None,
        sampling_weights: np.ndarray | None = None,
        image_weights: np.ndarray | None = None,
        loss: Loss | None = None,
    ) -> TorchClassifier:
        """Train from scratch.

        Parameters
        ----------
        images, labels : ndarray of uint8, shape (n, h, w, 3), and array, shape (n,)
        validation : (images, labels), optional
            Choose the best weights; never trained on.
        classes : array, optional
            All labels, for a training set that may lack some.
        seed : int
            Of the weights, the order and the views.
        steps : int, optional
            Gradient steps, whatever the set's size, validated as often as the settings' own number of them.
        sampling_weights : array of float, shape (n,), optional
            Draw images with replacement, each in proportion to its weight (oversampling).
        image_weights : array of float, shape (n,), optional
            What each image's loss counts, such as 0.3 for generated images (DiffuLT); not with mixed images.
        loss : Loss, optional
            Softmax cross-entropy by default; with the settings' label smoothing if it states none.

        Raises
        ------
        ValueError
            If shapes, types or labels do not fit together, or the loss stops being a number.
        """
        images, labels = labelled(images, labels, name="images")
        self.classes_ = np.unique(labels) if classes is None else np.asarray(classes)
        if len(set(self.classes_.tolist())) < len(self.classes_):
            raise ValueError("classes= names one of them twice; name each once")
        truth = self._encode(labels, "labels")
        self._watch = None
        if validation is not None:
            held, held_labels = labelled(*validation, name="validation images")
            self._watch = held, self._encode(held_labels, "validation labels")
        loss = Loss() if loss is None else loss
        self.loss_ = loss if loss.smoothing is not None else replace(loss, smoothing=self.settings.smoothing)
        self.seed_, self.side_ = seed, tuple(images.shape[1:3])
        self.counts_ = np.bincount(truth, minlength=len(self.classes_))
        self.mean_ = images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
        self.std_ = np.maximum(images.std(axis=(0, 1, 2), dtype=np.float64), 1.0).astype(np.float32)
        self.steps_ = self.settings.steps_for(len(images)) if steps is None else steps
        if self.steps_ < 1:
            raise ValueError(f"steps={steps}: give 1 or more")
        sampling_weights = _weights("sampling_weights", sampling_weights, len(images))
        image_weights = _weights("image_weights", image_weights, len(images))
        if image_weights is not None and (self.settings.mixup or self.settings.cutmix):
            raise ValueError("image_weights= say what one image counts; turn mixup and cutmix off")
        self._build()
        self._prepare(images)
        net, device = self.net_, self._device
        random = torch.Generator().manual_seed(seed)
        batch = min(self.settings.batch, len(images))
        batches = Batches(len(images), batch, weights=sampling_weights, random=random)
        views = Views(torch.tensor(images).to(device), self.settings)
        mixer = Mixer(self.settings, len(self.classes_))
        target = torch.from_numpy(truth).to(device)
        counting = None if image_weights is None else torch.from_numpy(image_weights).float().to(device)
        skips = getattr(self.settings, "drop_path", 0.0) > 0  # the network itself draws random numbers

        def loss_of(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pixels = self._normalised(views.draw(index, random))
            index = index.to(device)
            pixels, goal, shares = mixer(pixels, target[index], random)
            with (
                lent(random, device) if skips else nullcontext(),
                backend.autocast(device, self.settings.mixed_precision),
            ):
                logits = net(pixels)
            logits = logits.float()
            main = goal if shares is None else goal[:, 0]  # of a mixed image, the larger share's label
            weights = None if counting is None else counting[index]
            value = self.loss_.value(logits, goal, counts=self.counts_, shares=shares, weights=weights)
            return value, (logits.argmax(1) == main).sum()

        self.history_, self.best_epoch_ = descend(
            net, self._optimizer(net), batches, loss_of, steps=self.steps_,
            parts=self.settings.validations_of(self.steps_), rate=self.settings.rate,
            validate=self.validated, desc="classifier",
        )  # fmt: skip
        del self._watch
        return self

    def _build(self) -> None:
        self._device = backend.device(self.device)
        with torch.random.fork_rng(devices=[]):  # leave the caller's random state as it was
            torch.default_generator.manual_seed(self.seed_)
            self.net_ = backend.placed(self._network(len(self.classes_)), self._device)

    def validated(self) -> dict[str, float]:
        """Scores on the validation images of the fit in progress; empty without them."""
        if self._watch is None:
            return {}
        images, truth = self._watch
        logits = self.logits(images)
        chance = softmax(logits.astype(np.float64), axis=1)[np.arange(len(truth)), truth]
        right = logits.argmax(axis=1) == truth
        return {
            "validation_loss": float(-np.log(np.maximum(chance, 1e-12)).mean()),
            "validation_accuracy": float(np.mean([right[truth == c].mean() for c in np.unique(truth)])),
            "validation_top1": float(right.mean()),
        }

    def _normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """Pixels 0-255 of a batch (b, 3, h, w) to mean 0 and deviation 1 by the training set's colours."""
        mean, std = (torch.from_numpy(v).to(batch.device)[:, None, None] for v in (self.mean_, self.std_))
        return (batch - mean) / std

    def _encode(self, labels: np.ndarray, name: str) -> np.ndarray:
        place = {label: k for k, label in enumerate(self.classes_.tolist())}
        if unknown := set(labels.tolist()) - place.keys():
            first = min(unknown)
            raise ValueError(f"{name} hold {first!r}, which is not among the classes; name it in classes=")
        return np.array([place[label] for label in labels.tolist()], dtype=np.int64)

    @torch.no_grad()
    def _forward(self, images: np.ndarray, *, features: bool = False) -> np.ndarray:
        check_is_fitted(self, "net_")
        layer, images = self._features if features else self.net_, as_images(images)
        height, width = images.shape[1:3]
        if (height, width) != tuple(self.side_):
            found = f"images are {(height, width)} pixels, training images were {self.side_}"
            raise ValueError(f"{found}; resize them")
        if side := self.settings.crop_size:
            top, left = (height - side) // 2, (width - side) // 2
            images = images[:, top : top + side, left : left + side]
        self.net_.eval()
        out = [] if len(images) else [np.empty((0, len(self.classes_)), np.float32)]
        for start in range(0, len(images), AT_ONCE):
            batch = torch.from_numpy(images[start : start + AT_ONCE]).to(self._device)
            out.append(layer(self._normalised(batch.permute(0, 3, 1, 2).float())).float().cpu().numpy())
        return np.concatenate(out)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Raw scores, float32, shape (n, C), of uint8 images of shape (n, h, w, 3)."""
        return self._forward(images)

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the last layer sees, float32, shape (n, d); for distances between image sets."""
        return self._forward(images, features=True)

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float64, shape (n, C)."""
        return softmax(self.logits(images).astype(np.float64), axis=1)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Label of each image, shape (n,)."""
        top = self.logits(images).argmax(axis=1)
        return self.classes_[top]

    def save(self, path: str | Path) -> None:
        """Write weights, settings and history to one safetensors file, whole or not at all."""
        about = {"kind": type(self).__name__, "settings": plain(self.settings)}
        about |= {name: plain(getattr(self, f"{name}_")) for name in FITTED}
        backend.write_tensors(path, self.net_.state_dict(), about)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> TorchClassifier:
        """Read what :meth:`save` wrote; ``FileNotFoundError``, or ``ValueError`` if the file is damaged or
        was not written by this class."""
        tensors, about = backend.read_tensors(path)
        if about.get("kind") != cls.__name__:
            kind = about.get("kind", "file of something else")
            raise ValueError(f"{path}: holds a {kind}, not a {cls.__name__}; load it with its own class")
        self = cls(device=device)
        self.settings = type(self.settings)(**about["settings"])
        for name in FITTED:
            setattr(self, f"{name}_", about[name])
        self.classes_, self.counts_ = np.array(self.classes_), np.array(self.counts_)
        self.mean_, self.std_ = np.float32(self.mean_), np.float32(self.std_)
        self.side_ = tuple(self.side_)
        self._build()
        self.net_.load_state_dict(tensors)
        self.net_.eval()
        return self


def decay_groups(net: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Groups of an optimiser: matrices and filters are decayed towards 0, biases and norms are not."""
    weights = [w for w in net.parameters() if w.requires_grad]
    return [
        {"params": [w for w in weights if w.ndim > 1], "weight_decay": weight_decay},
        {"params": [w for w in weights if w.ndim <= 1], "weight_decay": 0.0},
    ]


def descend(
    net: nn.Module, optimizer: torch.optim.Optimizer, batches: Batches,
    loss_of: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]], *, steps: int, parts: int,
    rate: Callable[[float], float], validate: Callable[[], dict[str, float]] = dict, desc: str,
) -> tuple[list[dict[str, Any]], int]:  # fmt: skip
    """Gradient steps, and back to the weights of the best validation; the history, and that one's number.

    `loss_of` gives the mean loss of a batch of indices and, if it has such, its count of right answers. At
    the end of each of `parts` equal parts the net is validated: `validate` gives entries of the history
    besides the training's own. `rate` is the learning rate at a share of the run in [0, 1), of which a group
    of the optimiser that holds ``lr_scale`` takes that multiple.
    """
    history, best, device = [], None, next(net.parameters()).device
    ends = {-(-steps * (k + 1) // parts) for k in range(parts)}
    summed, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    with progress.bar(range(1, steps + 1), desc=desc, unit="step") as bar:
        for step in bar:
            now = rate((step - 1) / steps)
            for group in optimizer.param_groups:
                group["lr"] = now * group.get("lr_scale", 1.0)
            index = next(batches)
            net.train()
            value, correct = loss_of(index)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            summed += value.detach() * len(index)
            right += 0 if correct is None else correct
            seen += len(index)
            if step not in ends:
                continue
            entry = {"epoch": len(history) + 1, "step": step, "rate": now, "train_loss": float(summed) / seen}
            if correct is not None:
                entry["train_accuracy"] = float(right) / seen
            if not np.isfinite(entry["train_loss"]):
                raise ValueError(f"training diverged by step {step}: its loss is no number; lower lr")
            summed, right, seen = summed * 0, right * 0, 0
            entry |= validate()
            history.append(entry)
            judged = "validation_accuracy" in entry  # otherwise the latest is taken for the best
            merit = (entry["validation_accuracy"], -entry["validation_loss"]) if judged else (step,)
            if best is None or merit > best[0]:
                best = merit, entry["epoch"], deepcopy(net.state_dict()) if judged else None
            shown = "validation_accuracy" if judged else "train_loss"
            bar.set_postfix_str(f"{shown.replace('_', ' ')} {entry[shown]:.3f}")
    _, epoch, weights = best
    if weights is not None:
        net.load_state_dict(weights)
    net.eval()
    return history, epoch


class Batches:
    """Batches of exactly `batch` of `count` indices, without end: shuffled passes strung together, or draws
    in proportion to `weights`; ``left`` holds indices drawn and not yet given."""

    def __init__(
        self, count: int, batch: int, *, weights: np.ndarray | None = None, random: torch.Generator
    ) -> None:
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.count, self.batch, self.random = count, batch, random
        self.left = torch.empty(0, dtype=torch.int64)

    def __next__(self) -> torch.Tensor:
        while len(self.left) < self.batch:
            if self.weights is None:
                more = torch.randperm(self.count, generator=self.random)
            else:
                more = torch.multinomial(self.weights, self.count, replacement=True, generator=self.random)
            self.left = torch.cat([self.left, more])
        drawn, self.left = self.left[: self.batch], self.left[self.batch :]
        return drawn


def _weights(name: str, values: np.ndarray | None, count: int) -> np.ndarray | None:
    if values is None:
        return None
    values = np.array(values, dtype=np.float64)
    if values.shape != (count,) or not values.min() >= 0 or not 0 < values.sum() < np.inf:
        raise ValueError(f"{name}: give {count} numbers >= 0, not all 0")
    return values
