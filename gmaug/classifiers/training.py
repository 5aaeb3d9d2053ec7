"""The classifiers' base and the training loop of both: train, choose weights on validation, give scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from scipy.special import softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from gmaug import backend, progress
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.views import Mixer, Views, lent
from gmaug.datasets.base import as_images, labelled
from gmaug.runs import digest, plain

AT_ONCE = 256  # images scored at a time: bounds memory, and fixes the rounding
FITTED = ("classes", "counts", "mean", "std", "side", "seed", "steps", "best_epoch", "history")
"""What a file holds besides the weights and the settings."""
STATE = ("step", "best_epoch", "merit", "history")
"""What a checkpoint holds of a :class:`Run` besides tensors."""

Kept = tuple[Path, str]
"""A checkpoint's folder, and a digest that tells its training from others."""


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

    settings_class: ClassVar[type]
    stochastic: ClassVar[bool] = False  # whether the network draws random numbers in training

    # a subclass gives _network(classes), a new network, torch's generator seeded; _features(batch), the last
    # layer's input (b, d); and _optimizer(net)

    def _prepare(self, images: np.ndarray, kept: Kept | None) -> None:
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
        checkpoint: str | Path | None = None,
    ) -> TorchClassifier:
        """Train from scratch.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, h, w, 3)
        labels : array, shape (n,)
        validation : (images, labels), optional
            Choose the best weights; never trained on.
        classes : array, optional
            All labels, for a training set that may lack some; those that occur by default.
        seed : int
            Of the weights, the order and the views.
        steps : int, optional
            Gradient steps to take, whatever the size of the set; as many as the settings say by default. The
            run is validated as often either way.
        sampling_weights : array of float, shape (n,), optional
            Draw images with replacement, each in proportion to its weight (oversampling); every image once an
            epoch by default.
        image_weights : array of float, shape (n,), optional
            What each image's loss counts, such as 0.3 for generated images (DiffuLT); all 1 by default. Not
            together with MixUp or CutMix.
        loss : Loss, optional
            Softmax cross-entropy by default; with the settings' label smoothing if it states none.
        checkpoint : path, optional
            A folder where the run is kept at each validation. The same call goes on from there after an
            interruption, to the same weights bit for bit; after the end, it gives them at once.

        Raises
        ------
        ValueError
            If shapes, types or labels do not fit together, the loss stops being a number, or the checkpoint
            is of another run.
        OSError
            If the checkpoint cannot be written; what was kept before still serves.
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
        kept = None
        if checkpoint is not None:
            about = type(self).__name__, self.settings, self.loss_, seed, self.steps_, self.classes_.tolist()
            data = images, truth, sampling_weights, image_weights, *(self._watch or ())
            kept = Path(checkpoint), digest(*about, *data)
        self._build()
        self._prepare(images, kept)
        net, device = self.net_, self._device
        random = torch.Generator().manual_seed(seed)
        batch = min(self.settings.batch, len(images))
        batches = Batches(len(images), batch, weights=sampling_weights, random=random)
        views = Views(torch.tensor(images).to(device), self.settings)
        mixer = Mixer(self.settings, len(self.classes_))
        target = torch.from_numpy(truth).to(device)
        counting = None if image_weights is None else torch.from_numpy(image_weights).float().to(device)

        def loss_of(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            pixels = self._normalised(views.draw(index, random))
            index = index.to(device)
            pixels, goal, shares = mixer(pixels, target[index], random)
            lending = lent(random, device) if self.stochastic else nullcontext()
            with lending, backend.autocast(device, self.settings.mixed_precision):
                logits = net(pixels)
            logits = logits.float()
            main = goal if shares is None else goal[:, 0]  # of a mixed image, the larger share's label
            weights = None if counting is None else counting[index]
            value = self.loss_.value(logits, goal, counts=self.counts_, shares=shares, weights=weights)
            return value, (logits.argmax(1) == main).sum()

        run = Run(net, self._optimizer(net), batches, "training", kept)
        parts = self.settings.validations_of(self.steps_)
        run.descend(
            loss_of, self.steps_, parts, self.settings.rate, validate=self.validated, desc="classifier"
        )
        self.history_, self.best_epoch_ = run.history, run.best_epoch
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
        unknown = set(labels.tolist()) - place.keys()
        if unknown:
            first = sorted(unknown)[0]
            raise ValueError(f"{name} hold {first!r}, which is not among the classes; name it in classes=")
        return np.array([place[label] for label in labels.tolist()], dtype=np.int64)

    @torch.no_grad()
    def _forward(self, images: np.ndarray, layer: Callable[[torch.Tensor], torch.Tensor]) -> np.ndarray:
        if not hasattr(self, "net_"):
            raise NotFittedError(f"this {type(self).__name__} is not trained; call fit or load first")
        images = as_images(images)
        height, width = images.shape[1:3]
        if (height, width) != tuple(self.side_):
            raise ValueError(
                f"images are {(height, width)} pixels, training images were {self.side_}; resize them"
            )
        if side := self.settings.crop_size:
            top, left = (height - side) // 2, (width - side) // 2
            images = images[:, top : top + side, left : left + side]
        self.net_.eval()
        out = [np.empty((0, len(self.classes_)), np.float32)] if not len(images) else []
        for start in range(0, len(images), AT_ONCE):
            batch = torch.from_numpy(images[start : start + AT_ONCE]).to(self._device)
            out.append(layer(self._normalised(batch.permute(0, 3, 1, 2).float())).float().cpu().numpy())
        return np.concatenate(out)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Raw scores, float32, shape (n, C), of uint8 images of shape (n, h, w, 3)."""
        return self._forward(images, lambda batch: self.net_(batch))

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the last layer sees, float32, shape (n, d); for distances between image sets."""
        return self._forward(images, self._features)

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
        self = cls(cls.settings_class(**about["settings"]), device=device)
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


@dataclass(eq=False)
class Run:
    """All that a step of a training changes or depends on, and where it is kept."""

    net: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    stage: str  # name of the checkpoint's file
    kept: Kept | None  # the file is replaced as a whole at each validation
    step: int = 0  # steps taken
    history: list[dict[str, Any]] = field(default_factory=list)  # one entry a validation
    best_epoch: int = 0  # number of the best validation,
    merit: tuple[float, float] | None = None  # its balanced accuracy and its loss, negative,
    best: dict[str, torch.Tensor] | None = None  # and its weights; None without validation images

    def descend(
        self, loss_of: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]], total: int,
        parts: int, rate: Callable[[float], float], *, validate: Callable[[], dict[str, float]] = dict,
        desc: str,
    ) -> None:  # fmt: skip
        """Gradient steps on whatever `loss_of` measures; then back to the weights of the best validation.

        Parameters
        ----------
        loss_of : callable
            From a batch of indices to its mean loss and, if it has such, its count of right answers.
        total, parts : int
            Steps; the run is validated, and kept, at the end of each of so many equal parts.
        rate : callable
            Learning rate at a share of the run in [0, 1); a group of the optimiser that holds ``lr_scale``
            takes that multiple of it.
        validate : callable
            Entries of the history besides the training's own.
        desc : str
        """
        self._read()
        net, optimizer = self.net, self.optimizer
        device = next(net.parameters()).device
        ends = {-(-total * (k + 1) // parts) for k in range(parts)}
        summed, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
        with progress.bar(desc=desc, total=total, unit="step", initial=self.step) as bar:
            for step in range(self.step, total):
                now = rate(step / total)
                for group in optimizer.param_groups:
                    group["lr"] = now * group.get("lr_scale", 1.0)
                index = next(self.batches)
                net.train()
                value, correct = loss_of(index)
                optimizer.zero_grad(set_to_none=True)
                value.backward()
                optimizer.step()
                summed += value.detach() * len(index)
                right += 0 if correct is None else correct
                seen += len(index)
                self.step = step + 1
                bar.update()
                if self.step not in ends:
                    continue
                entry = {"epoch": len(self.history) + 1, "step": self.step, "rate": now}
                entry["train_loss"] = float(summed) / seen
                if correct is not None:
                    entry["train_accuracy"] = float(right) / seen
                if not np.isfinite(entry["train_loss"]):
                    raise ValueError(f"training diverged by step {step + 1}: its loss is no number; lower lr")
                summed, right, seen = summed * 0, right * 0, 0
                entry |= validate()
                self.history.append(entry)
                # without validation images the latest is taken for the best
                merit = (entry.get("validation_accuracy", self.step), -entry.get("validation_loss", 0.0))
                if self.merit is None or merit > self.merit:
                    self.merit, self.best_epoch = merit, entry["epoch"]
                    self.best = deepcopy(net.state_dict()) if "validation_accuracy" in entry else None
                self._write()
                shown = "validation_accuracy" if "validation_accuracy" in entry else "train_loss"
                bar.set_postfix_str(f"{shown.replace('_', ' ')} {entry[shown]:.3f}")
        if self.best is not None:
            net.load_state_dict(self.best)
        net.eval()

    def _path(self) -> Path:
        return self.kept[0] / f"{self.stage}.safetensors"

    def _write(self) -> None:
        if self.kept is None:
            return
        tensors = {f"net.{key}": value for key, value in self.net.state_dict().items()}
        tensors |= {f"best.{key}": value for key, value in (self.best or {}).items()}
        for k, memory in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{k}.{key}": v for key, v in memory.items() if v is not None}
        tensors |= {"random": self.batches.random.get_state(), "left": self.batches.left.clone()}
        state = {name: getattr(self, name) for name in STATE}
        backend.write_tensors(self._path(), tensors, {"run": self.kept[1], "state": state})

    def _read(self) -> None:
        """Go on from what was kept, if anything was; ``ValueError`` if it is another training's."""
        if self.kept is None or not self._path().is_file():
            return
        tensors, about = backend.read_tensors(self._path())
        if about.get("run") != self.kept[1]:
            raise ValueError(
                f"checkpoint {self._path()} is of another training: give another folder, or delete the file"
            )
        self.batches.random.set_state(tensors.pop("random"))
        self.batches.left = tensors.pop("left")
        weights: dict[str, dict[str, torch.Tensor]] = {"net": {}, "best": {}}
        memory: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            group, name = key.split(".", 1)
            if group == "optimizer":
                k, name = name.split(".", 1)
                memory.setdefault(int(k), {})[name] = value
            else:
                weights[group][name] = value.to(next(self.net.parameters()).device)
        self.net.load_state_dict(weights["net"])
        self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": memory})
        self.best = weights["best"] or None
        for name in STATE:
            setattr(self, name, about["state"][name])
        self.merit = tuple(self.merit)


class Batches:
    """Batches of exactly `batch` of `count` indices, without end: shuffled passes strung together, or draws
    in proportion to `weights`; ``left`` holds indices drawn and not yet given."""

    def __init__(
        self, count: int, batch: int, *, weights: np.ndarray | None = None, random: torch.Generator
    ) -> None:
        self.weights = None if weights is None else torch.from_numpy(weights)
        self.count, self.batch, self.random = count, batch, random
        self.left = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self

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
