"""What every classifier does: train, choose the best epoch on validation, give scores."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.exceptions import NotFittedError
from torch import nn

from gmaug import backend
from gmaug.classifiers.augment import centre
from gmaug.classifiers.losses import Loss
from gmaug.classifiers.resume import Checkpoint
from gmaug.classifiers.training import train
from gmaug.datasets.base import as_images
from gmaug.provenance import digest, plain

AT_ONCE = 256  # images scored at a time: bounds memory, and fixes the rounding


class TorchClassifier(ClassifierMixin, BaseEstimator):
    """A network over uint8 images, with scikit-learn's manners.

    Attributes
    ----------
    classes_ : ndarray, shape (C,)
        Labels, in the order of the columns of the scores.
    history_ : list of dict
        One entry a validation: ``epoch``, ``step``, ``rate``, ``train_loss``,
        ``train_accuracy`` (of mixed images: on the larger share's label), and with validation
        images ``validation_loss``, ``validation_accuracy`` (balanced: the mean over classes) and
        ``validation_top1``.
    best_epoch_ : int
        The epoch whose weights were kept: the highest balanced validation accuracy, the lower
        validation loss among equals; the last without validation images.
    steps_ : int
        Gradient steps taken.
    """

    settings_class: ClassVar[type]
    stochastic: ClassVar[bool] = False  # whether the network draws random numbers in training

    @abstractmethod
    def _network(self, classes: int) -> nn.Module:
        """A new network; torch's global generator has been seeded."""

    @abstractmethod
    def _features(self, net: nn.Module, batch: torch.Tensor) -> torch.Tensor:
        """Input of the last layer, shape (b, d)."""

    @abstractmethod
    def _optimizer(self, net: nn.Module) -> torch.optim.Optimizer:
        """What takes the steps."""

    def _prepare(self, images: np.ndarray, keep: Callable[[str], Checkpoint | None], desc: str) -> None:
        """What is done to the new network before it is trained; nothing by default.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, h, w, 3)
            The training images.
        keep : callable
            The checkpoint of a stage, by name, or None.
        desc : str
        """

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
        loss: Loss | None = None,
        checkpoint: str | Path | None = None,
        desc: str = "classifier",
    ) -> TorchClassifier:
        """Train from scratch.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, h, w, 3)
        labels : array, shape (n,)
        validation : (images, labels), optional
            Choose the best epoch; never trained on.
        classes : array, optional
            All labels, for a training set that may lack some; those that occur by default.
        seed : int
            Of the weights, the order and the views.
        steps : int, optional
            Gradient steps to take, whatever the size of the set (step-matched training); as many
            as the settings' epochs need by default. The run is validated as often either way.
        sampling_weights : array of float, shape (n,), optional
            Draw images with replacement, each in proportion to its weight (oversampling);
            every image once an epoch by default.
        loss : Loss, optional
            Softmax cross-entropy by default.
        checkpoint : path, optional
            A folder where the run is kept at each validation. The same call goes on from there
            after an interruption, to the same weights bit for bit; after the end, it gives them
            at once. Delete the folder when it is of no more use.
        desc : str
            Name of the progress bar.

        Raises
        ------
        ValueError
            If shapes, types or labels do not fit together, or the checkpoint is of another run.
        OSError
            If the checkpoint's disk is full; what was kept before still serves.
        """
        loss = loss or Loss()
        images, labels = as_images(images), np.asarray(labels)
        if not len(images):
            raise ValueError("images: there are none; give at least one")
        self.classes_ = np.unique(labels) if classes is None else np.asarray(classes)
        if len(set(self.classes_.tolist())) < len(self.classes_):
            raise ValueError("classes= names one of them twice; name each once")
        truth = self._encode(labels, len(images), "labels")
        self._watch = None
        if validation is not None:
            held = as_images(validation[0], name="validation images")
            self._watch = held, self._encode(validation[1], len(held), "validation labels")
        self.loss_, self.seed_, self.side_ = loss, seed, tuple(images.shape[1:3])
        self.counts_ = np.bincount(truth, minlength=len(self.classes_))
        self.mean_ = images.mean(axis=(0, 1, 2), dtype=np.float64).astype(np.float32)
        self.std_ = np.maximum(images.std(axis=(0, 1, 2), dtype=np.float64), 1.0).astype(np.float32)
        total = self.settings.steps(len(images)) if steps is None else steps
        if total < 1:
            raise ValueError(f"steps={steps}: give 1 or more")
        run = None
        if checkpoint is not None:
            run = self._about_run(images, truth, total, sampling_weights)

        def keep(stage: str) -> Checkpoint | None:
            return None if run is None else Checkpoint(Path(checkpoint) / f"{stage}.safetensors", run)

        self._build(seed)
        self._prepare(images, keep, desc)
        train(
            self, images, truth, total=total, weights=sampling_weights, checkpoint=keep("training"), desc=desc
        )
        self.steps_ = total
        del self._watch
        return self

    def _about_run(
        self, images: np.ndarray, truth: np.ndarray, total: int, weights: np.ndarray | None
    ) -> dict[str, Any]:
        """What tells this training from others, for its checkpoint."""
        held = () if self._watch is None else self._watch
        return {
            "kind": type(self).__name__,
            "settings": plain(self.settings),
            "loss": plain(self.loss_),
            "seed": self.seed_,
            "steps": total,
            "classes": self.classes_.tolist(),
            "images": digest(images, truth),
            "validation": digest(*held),
            "sampling_weights": None if weights is None else digest(np.asarray(weights, dtype=np.float64)),
        }

    def _build(self, seed: int) -> None:
        self._device = backend.device(self.device)
        with torch.random.fork_rng(devices=[]):  # leave the caller's random state as it was
            torch.default_generator.manual_seed(seed)
            self.net_ = self._network(len(self.classes_)).to(self._device)

    def validated(self) -> dict[str, float]:
        """Scores on the validation images of the fit in progress; empty without them."""
        if self._watch is None:
            return {}
        images, truth = self._watch
        logits = self.logits(images)
        chance = self.loss_.probabilities(logits)[np.arange(len(truth)), truth]
        right = logits.argmax(axis=1) == truth
        return {
            "validation_loss": float(-np.log(np.maximum(chance, 1e-12)).mean()),
            "validation_accuracy": float(np.mean([right[truth == c].mean() for c in np.unique(truth)])),
            "validation_top1": float(right.mean()),
        }

    def normalised(self, batch: torch.Tensor) -> torch.Tensor:
        """Pixels 0-255 of a batch (b, 3, h, w) to mean 0 and deviation 1 by the training set's colours."""
        mean, std = (torch.from_numpy(v).to(batch.device)[:, None, None] for v in (self.mean_, self.std_))
        return (batch - mean) / std

    def _encode(self, labels: np.ndarray, count: int, name: str) -> np.ndarray:
        labels = np.asarray(labels)
        if labels.shape != (count,):
            raise ValueError(f"{name} have shape {labels.shape}; give one label to each of {count} images")
        place = {label: k for k, label in enumerate(self.classes_.tolist())}
        unknown = set(labels.tolist()) - place.keys()
        if unknown:
            first = sorted(unknown)[0]
            raise ValueError(f"{name} hold {first!r}, which is not among the classes; name it in classes=")
        return np.array([place[label] for label in labels.tolist()], dtype=np.int64)

    @torch.no_grad()
    def _forward(self, images: np.ndarray, layer: Any) -> np.ndarray:
        if not hasattr(self, "net_"):
            raise NotFittedError(f"this {type(self).__name__} is not trained; call fit or load first")
        images = as_images(images)
        if tuple(images.shape[1:3]) != tuple(self.side_):
            side = images.shape[1:3]
            raise ValueError(f"images are {side} pixels, training images were {self.side_}; resize them")
        self.net_.eval()
        out = []
        for start in range(0, len(images), AT_ONCE):
            batch = torch.from_numpy(images[start : start + AT_ONCE]).to(self._device)
            batch = centre(batch, self.settings.crop_size).permute(0, 3, 1, 2).float()
            out.append(layer(self.normalised(batch)).float().cpu().numpy())
        return np.concatenate(out) if out else np.empty((0, len(self.classes_)), np.float32)

    def logits(self, images: np.ndarray) -> np.ndarray:
        """Raw scores, float32, shape (n, C), of uint8 images of shape (n, h, w, 3)."""
        return self._forward(images, lambda batch: self.net_(batch))

    def features(self, images: np.ndarray) -> np.ndarray:
        """What the last layer sees, float32, shape (n, d); for distances between image sets."""
        return self._forward(images, lambda batch: self._features(self.net_, batch))

    def predict_proba(self, images: np.ndarray) -> np.ndarray:
        """Class probabilities, float64, shape (n, C), as the loss reads the logits."""
        logits = self.logits(images)  # first: it says so if nothing is trained
        return self.loss_.probabilities(logits)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """Label of each image, shape (n,)."""
        top = self.logits(images).argmax(axis=1)
        return self.classes_[top]

    def save(self, path: str | Path) -> None:
        """Write weights, settings and history to one safetensors file."""
        about = {
            "kind": type(self).__name__,
            "settings": asdict(self.settings),
            "loss": asdict(self.loss_),
            "classes": self.classes_.tolist(),
            "counts": self.counts_.tolist(),
            "mean": self.mean_.tolist(),
            "std": self.std_.tolist(),
            "side": list(self.side_),
            "seed": self.seed_,
            "steps": self.steps_,
            "best_epoch": self.best_epoch_,
            "history": self.history_,
        }
        tensors = {name: value.contiguous().cpu() for name, value in self.net_.state_dict().items()}
        save_file(tensors, str(path), metadata={"gmaug": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path, *, device: str = "auto") -> TorchClassifier:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ValueError
            If the file was not written by this class.
        """
        with safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("gmaug", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if about.get("kind") != cls.__name__:
            kind = about.get("kind", "file of something else")
            raise ValueError(f"{path}: holds a {kind}, not a {cls.__name__}; load it with its own class")
        self = cls(cls.settings_class(**about["settings"]), device=device)
        self.loss_, self.seed_, self.side_ = Loss(**about["loss"]), about["seed"], tuple(about["side"])
        self.classes_, self.counts_ = np.array(about["classes"]), np.array(about["counts"])
        self.mean_, self.std_ = (np.array(about[name], dtype=np.float32) for name in ("mean", "std"))
        self.steps_, self.best_epoch_, self.history_ = (about[k] for k in ("steps", "best_epoch", "history"))
        self._build(self.seed_)
        self.net_.load_state_dict(tensors)
        self.net_.eval()
        return self
