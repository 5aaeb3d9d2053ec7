"""The training loop of every classifier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import WeightedRandomSampler

from gmaug import progress
from gmaug.classifiers.augment import Mixer, Views, lent
from gmaug.classifiers.resume import Checkpoint, optimizer_tensors, restore_optimizer, under

if TYPE_CHECKING:
    from gmaug.classifiers.base import TorchClassifier


def train(
    model: TorchClassifier,
    images: np.ndarray,
    truth: np.ndarray,
    *,
    total: int,
    weights: np.ndarray | None = None,
    checkpoint: Checkpoint | None = None,
    desc: str = "classifier",
) -> None:
    """Take `total` steps, then go back to the best weights seen at a validation.

    Sets ``history_`` and ``best_epoch_`` of the model.

    Parameters
    ----------
    model : TorchClassifier
        With its network built and its colours, counts and loss set.
    images : ndarray of uint8, shape (n, h, w, 3)
    truth : ndarray of int64, shape (n,)
        Columns of the scores.
    total : int
        Gradient steps; the run is validated after each of `epochs` equal parts.
    weights : array of float, shape (n,), optional
        Sampling weights.
    checkpoint : Checkpoint, optional
        Where the run is kept at each validation, and gone on from.
    desc : str
        Name of the progress bar.

    Raises
    ------
    ValueError
        If the loss stops being a number.
    OSError
        If the checkpoint's disk is full.
    """
    settings, net = model.settings, model.net_
    device = next(net.parameters()).device
    random = torch.Generator().manual_seed(model.seed_)
    batches = Batches(len(images), min(settings.batch, len(images)), weights=weights, random=random)
    views = Views(torch.tensor(images).to(device), settings)
    mixer = Mixer(settings, len(model.classes_))
    target = torch.from_numpy(truth).to(device)

    def loss_of(index: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        pixels = model.normalised(views.draw(index, random))
        pixels, goal, shares = mixer(pixels, target[index.to(device)], random)
        if model.stochastic:
            with lent(random, device):
                logits = net(pixels)
        else:
            logits = net(pixels)
        main = goal if shares is None else goal[:, 0]  # of a mixed image, the larger share's label
        right = (logits.argmax(1) == main).sum()
        return model.loss_.value(logits, goal, counts=model.counts_, shares=shares), right

    run = descend(
        Run(net, model._optimizer(net), batches), loss_of,
        total=total, parts=min(settings.epochs, total), rate=settings.rate, validate=model.validated,
        checkpoint=checkpoint, desc=desc,
    )  # fmt: skip
    model.history_, model.best_epoch_ = run.history, run.best_epoch


@dataclass(eq=False)
class Run:
    """All that a step of a training changes or depends on.

    Parameters
    ----------
    net, optimizer, batches
    step : int
        Steps taken.
    history : list of dict
        One entry a validation.
    best_epoch : int
    merit : tuple, optional
        Of the best epoch: balanced validation accuracy, then the validation loss, negative.
    kept : dict, optional
        Its weights; None without validation images.
    """

    net: nn.Module
    optimizer: torch.optim.Optimizer
    batches: Batches
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    merit: tuple[float, float] | None = None
    kept: dict[str, torch.Tensor] | None = None

    def judged(self, entry: dict[str, Any]) -> None:
        """Enter a validation, and keep the weights if it is the best so far."""
        self.history.append(entry)
        # without validation images the latest is taken for the best
        merit = (entry.get("validation_accuracy", self.step), -entry.get("validation_loss", 0.0))
        if self.merit is None or merit > self.merit:
            self.merit, self.best_epoch = merit, entry["epoch"]
            self.kept = deepcopy(self.net.state_dict()) if "validation_accuracy" in entry else None

    def write(self, checkpoint: Checkpoint) -> None:
        """Keep all of it."""
        groups = {
            "net": self.net.state_dict(),
            "optimizer": optimizer_tensors(self.optimizer),
            "best": self.kept or {},
            "order": {"random": self.batches.random.get_state(), "left": self.batches.left.clone()},
        }
        tensors = {f"{name}.{key}": v for name, group in groups.items() for key, v in group.items()}
        plain = {"step": self.step, "best_epoch": self.best_epoch, "merit": self.merit}
        checkpoint.write(tensors, {**plain, "history": self.history})

    def read(self, checkpoint: Checkpoint) -> None:
        """Go on from what was kept, if anything was."""
        found = checkpoint.read()
        if found is None:
            return
        tensors, about = found
        device = next(self.net.parameters()).device
        self.net.load_state_dict(under(tensors, "net"))
        restore_optimizer(self.optimizer, under(tensors, "optimizer"))
        self.kept = {key: value.to(device) for key, value in under(tensors, "best").items()} or None
        self.batches.random.set_state(tensors["order.random"])
        self.batches.left = tensors["order.left"]
        self.step, self.best_epoch, self.history = (about[k] for k in ("step", "best_epoch", "history"))
        self.merit = tuple(about["merit"])


def descend(
    run: Run,
    loss_of: Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor | None]],
    *,
    total: int,
    parts: int,
    rate: Callable[[float], float],
    validate: Callable[[], dict[str, float]] = dict,
    checkpoint: Checkpoint | None = None,
    desc: str,
) -> Run:
    """Gradient steps on whatever `loss_of` measures; supervised training and pre-training alike.

    Parameters
    ----------
    run : Run
        New; or, with a checkpoint, set to what it holds.
    loss_of : callable
        From a batch of indices to its mean loss and, if it has such, its count of right answers.
    total : int
        Steps.
    parts : int
        The run is validated, and kept, at the end of each of so many equal parts.
    rate : callable
        Learning rate at a share of the run in [0, 1); a group of the optimiser that holds
        ``lr_scale`` takes that multiple of it.
    validate : callable
        Entries of the history besides the training's own.
    checkpoint : Checkpoint, optional
    desc : str

    Returns
    -------
    Run
        At the weights of the best epoch.
    """
    net, optimizer = run.net, run.optimizer
    if checkpoint is not None:
        run.read(checkpoint)
    device = next(net.parameters()).device
    ends = {-(-total * (k + 1) // parts) for k in range(parts)}
    summed, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    with progress.bar(desc=desc, total=total, unit="step", initial=run.step) as bar:
        for step in range(run.step, total):
            now = rate(step / total)
            for group in optimizer.param_groups:
                group["lr"] = now * group.get("lr_scale", 1.0)
            index = next(run.batches)
            net.train()
            value, correct = loss_of(index)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            summed += value.detach() * len(index)
            if correct is not None:
                right += correct
            seen += len(index)
            run.step = step + 1
            bar.update()
            if run.step not in ends:
                continue
            entry = {"epoch": len(run.history) + 1, "step": run.step, "rate": now}
            entry["train_loss"] = float(summed) / seen
            if correct is not None:
                entry["train_accuracy"] = float(right) / seen
            if not np.isfinite(entry["train_loss"]):
                raise ValueError(f"training diverged by step {run.step}: its loss is no number; lower lr")
            summed, right, seen = summed * 0, right * 0, 0
            run.judged({**entry, **validate()})
            if checkpoint is not None:
                run.write(checkpoint)
            shown = "validation_accuracy" if "validation_accuracy" in run.history[-1] else "train_loss"
            bar.set_postfix_str(f"{shown.replace('_', ' ')} {run.history[-1][shown]:.3f}")
    if run.kept is not None:
        net.load_state_dict(run.kept)
    net.eval()
    return run


class Batches:
    """Batches of exactly `batch` indices without end: shuffled passes strung together, or weighted draws.

    Parameters
    ----------
    count, batch : int
        Images, and indices of each batch.
    weights : array of float, shape (count,), optional
        Draw with replacement, each image in proportion to its weight.
    random : torch.Generator

    Attributes
    ----------
    left : int64 tensor
        Indices drawn and not yet given.
    """

    def __init__(
        self, count: int, batch: int, *, weights: np.ndarray | None = None, random: torch.Generator
    ) -> None:
        if weights is not None:
            weights = np.asarray(weights, dtype=np.float64)
            if weights.shape != (count,) or not weights.min() >= 0 or not 0 < weights.sum() < np.inf:
                raise ValueError(f"sampling_weights: give {count} numbers >= 0, not all 0")
        self.count, self.batch, self.weights, self.random = count, batch, weights, random
        self.left = torch.empty(0, dtype=torch.int64)

    def __iter__(self) -> Iterator[torch.Tensor]:
        return self

    def __next__(self) -> torch.Tensor:
        while len(self.left) < self.batch:
            self.left = torch.cat([self.left, self._more()])
        drawn, self.left = self.left[: self.batch], self.left[self.batch :]
        return drawn

    def _more(self) -> torch.Tensor:
        if self.weights is None:
            return torch.randperm(self.count, generator=self.random)
        sampler = WeightedRandomSampler(self.weights.tolist(), self.count, generator=self.random)
        return torch.tensor(list(sampler))


def balancing_weights(labels: np.ndarray) -> np.ndarray:
    """Sampling weights, shape (n,), that draw every class equally often."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1.0 / counts[inverse]
