"""The training loop of every classifier."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.utils.data import WeightedRandomSampler

from gmaug import progress
from gmaug.classifiers.augment import Views

if TYPE_CHECKING:
    from gmaug.classifiers.base import TorchClassifier


def train(
    model: TorchClassifier,
    images: np.ndarray,
    truth: np.ndarray,
    *,
    total: int,
    weights: np.ndarray | None = None,
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
    desc : str
        Name of the progress bar.

    Raises
    ------
    ValueError
        If the loss stops being a number.
    """
    settings, net = model.settings, model.net_
    device = next(net.parameters()).device
    random = torch.Generator().manual_seed(model.seed_)
    batch = min(settings.batch, len(images))
    batches = endless(len(images), batch, weights=weights, random=random)
    views = Views(torch.from_numpy(images).to(device), settings)
    target = torch.from_numpy(truth).to(device)
    optimizer = model._optimizer(net)
    parts = min(settings.epochs, total)
    ends = {-(-total * (k + 1) // parts) for k in range(parts)}
    model.history_, best, kept = [], None, None
    summed, right, seen = torch.zeros((), device=device), torch.zeros((), device=device), 0
    with progress.bar(desc=desc, total=total, unit="step") as bar:
        for step in range(total):
            rate = settings.rate(step / total)
            for group in optimizer.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            index = next(batches)
            net.train()
            goal = target[index.to(device)]
            logits = net(model.normalised(views.draw(index, random)))
            value = model.loss_.value(logits, goal, counts=model.counts_)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            optimizer.step()
            summed += value.detach() * batch
            right += (logits.argmax(1) == goal).sum()
            seen += batch
            bar.update()
            if step + 1 not in ends:
                continue
            entry = {
                "epoch": len(model.history_) + 1,
                "step": step + 1,
                "rate": rate,
                "train_loss": float(summed) / seen,
                "train_accuracy": float(right) / seen,
                **model.validated(),
            }
            if not np.isfinite(entry["train_loss"]):
                raise ValueError(f"training diverged by step {step + 1}: its loss is no number; lower lr")
            summed, right, seen = summed * 0, right * 0, 0
            model.history_.append(entry)
            # without validation images the latest is taken for the best
            merit = (entry.get("validation_accuracy", step), -entry.get("validation_loss", 0.0))
            if best is None or merit > best:
                best, model.best_epoch_ = merit, entry["epoch"]
                kept = deepcopy(net.state_dict()) if "validation_accuracy" in entry else None
            bar.set_postfix_str(f"validation {entry.get('validation_accuracy', float('nan')):.3f}")
    if kept is not None:
        net.load_state_dict(kept)
    net.eval()


def endless(
    count: int, batch: int, *, weights: np.ndarray | None = None, random: torch.Generator
) -> Iterator[torch.Tensor]:
    """Batches of exactly `batch` indices without end: shuffled passes strung together, or weighted draws."""
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (count,) or weights.min() < 0 or not weights.sum() > 0:
            raise ValueError(f"sampling_weights: give {count} numbers >= 0, not all 0")
    left = torch.empty(0, dtype=torch.int64)
    while True:
        while len(left) < batch:
            if weights is None:
                more = torch.randperm(count, generator=random)
            else:
                more = torch.tensor(list(WeightedRandomSampler(weights.tolist(), count, generator=random)))
            left = torch.cat([left, more])
        yield left[:batch]
        left = left[batch:]


def balancing_weights(labels: np.ndarray) -> np.ndarray:
    """Sampling weights, shape (n,), that draw every class equally often."""
    _, inverse, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return 1.0 / counts[inverse]
