"""What every trained generator does: train long and safely, watch distances, sample, save, load."""

from __future__ import annotations

import hashlib
import json
import time
from abc import abstractmethod
from collections.abc import Callable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from gmaug.backend import device as choose_device
from gmaug.generators.base import Budget, check_labels, check_training
from gmaug.generators.checkpoint import read_tensors, write_tensors
from gmaug.generators.parallel import Team
from gmaug.generators.settings import RunSettings
from gmaug.generators.training import Training, threads, under
from gmaug.generators.watch import Watch
from gmaug.progress import bar

if TYPE_CHECKING:
    from accelerate import Accelerator

WORST_LOSS = 1e4  # past it training is no longer a descent, and the next thing is a NaN


class Diverged(RuntimeError):
    """Training has left the numbers; the message says what to change."""


class TrainedGenerator:
    """Base of the generators that are trained here.

    Parameters
    ----------
    settings : RunSettings, optional

    Attributes
    ----------
    history_ : list of dict
        A row every ``report_kimg``: ``kimg``, ``seconds`` (of training), the means of the losses
        since the last row and, with validation images, ``distance``, ``spread`` and ``spreads``
        (see :meth:`fit`).
    n_classes_ : int
    kimg_ : float
        Thousands of images after which the weights in use were taken.
    nets_ : dict of str to torch module
        What samples are drawn from.
    """

    FORMAT: ClassVar[str]
    CHUNK: ClassVar[int] = 64  # images sampled at once; part of what a seed means, so not a setting
    ADVICE: ClassVar[str] = "lower lr"
    settings_class: ClassVar[type[RunSettings]]
    training_class: ClassVar[type[Training]]

    def __init__(self, settings: RunSettings | None = None) -> None:
        self.settings = settings or self.settings_class()
        self.history_: list[dict[str, Any]] = []
        self.kimg_ = 0.0

    @abstractmethod
    def _networks(self) -> dict[str, nn.Module]:
        """New networks to load weights into."""

    @abstractmethod
    def _draw(self, wanted: Tensor, random: torch.Generator, **options: Any) -> Tensor:
        """Images, float (n, 3, side, side) from -1 to 1 or a little beyond, of classes `wanted`."""

    def fit(
        self,
        images: np.ndarray,
        labels: Sequence[int] | np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        budget: Budget | None = None,
        callback: Callable[[Any, dict[str, Any]], bool | None] | None = None,
        checkpoint: str | Path | None = None,
        extractor: Callable[[np.ndarray], np.ndarray] | None = None,
        accelerator: Accelerator | None = None,
    ) -> Self:
        """Train, or go on from `checkpoint`.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255
        labels : sequence of int, shape (n,)
        validation : (images, labels), optional
            Real images that are not trained on. At each report as many are sampled, of the same
            classes: ``distance`` is the Fréchet distance of their features and classes jointly
            (:func:`gmaug.generators.distance.joint`), ``spreads`` the diversity of each class
            relative to the real one (1: as diverse; near 0: collapsed), ``spread`` the least of
            these. With ``settings.keep_best`` the weights of the least distance are kept (of a
            cGAN: once the class counts in full).
        budget : Budget, optional
            Stop early, after so many seconds of this call or at so many kimg. Schedules follow
            ``settings.kimg`` whatever the budget.
        callback : callable, optional
            Called with this object and each new row of the history; a true return stops.
        checkpoint : path of a folder, optional
            The run's state is kept there and found again: a killed run goes on from the last state
            and ends in the same weights, bit for bit, as one that was never stopped.
        extractor : callable, optional
            Images to features for `validation`; 8 x 8 pixels by default.
        accelerator : accelerate.Accelerator, optional
            Share each batch out among the processes of ``accelerate launch``; its device is used.

        Raises
        ------
        ValueError
            If images or labels do not fit the settings, or the checkpoint is of another run.
        Diverged
            If a loss is no longer a number.
        OSError
            If the checkpoint cannot be written; the one before is whole.
        """
        s, team = self.settings, Team(accelerator)
        images, labels = check_training(images, labels, side=s.resolution)
        self.n_classes_ = s.n_classes or int(labels.max()) + 1
        check_labels(labels, self.n_classes_)
        watch = Watch(validation, extractor, side=s.resolution)
        state = Path(checkpoint) / "state.safetensors" if checkpoint is not None else None
        identity = {"format": self.FORMAT, "settings": s.to_dict(), "data": fingerprint(images, labels)}
        with threads(s.threads):
            device = accelerator.device if accelerator else choose_device(s.device)
            run = self.training_class(s, images, labels, n_classes=self.n_classes_, device=device, team=team)
            self.nets_, self.history_ = run.drawn, []
            if state is not None and state.exists():
                self._resume(run, watch, state, identity)
            self._train(run, watch, budget or Budget(), callback, state, identity)
            self.nets_, self.kimg_ = {k: deepcopy(net).eval() for k, net in run.drawn.items()}, run.kimg
            if s.keep_best and watch.best:
                self.kimg_ = watch.best_kimg
                for name, net in self.nets_.items():
                    net.load_state_dict(under(watch.best, name))
        return self

    def _train(
        self,
        run: Training,
        watch: Watch,
        budget: Budget,
        callback: Callable[[Any, dict[str, Any]], bool | None] | None,
        state: Path | None,
        identity: dict[str, Any],
    ) -> None:
        s, team, begun = self.settings, run.team, time.perf_counter()
        before = self.history_[-1]["seconds"] if self.history_ else 0.0
        every = max(1, round(s.report_kimg * 1000 / s.batch))
        keep_every = max(1, round(s.checkpoint_kimg * 1000 / s.batch / every)) * every
        last = s.steps if budget.kimg is None else min(s.steps, round(budget.kimg * 1000 / s.batch))
        if run.step_count >= last or watch.waited(run.kimg, s.patience_kimg):
            return
        sums, counted = torch.zeros(len(run.LOSSES), device=run.device), 0
        shape = {"total": last, "initial": run.step_count, "unit": "step", "disable": not team.first}
        with bar(desc=type(self).__name__, **shape) as shown:
            while run.step_count < last:
                sums += run.step()
                counted += 1
                shown.update()
                late = budget.seconds is not None and time.perf_counter() - begun >= budget.seconds
                ends = run.step_count == last or team.agreed(late)
                if not ends and run.step_count % every:
                    continue
                self.kimg_ = run.kimg
                row = {"kimg": run.kimg, "seconds": before + time.perf_counter() - begun} | run.about()
                row |= dict(zip(run.LOSSES, (sums / counted).tolist(), strict=True))
                self._check(row)
                sums.zero_()
                counted = 0
                row |= watch.look(self, run)
                self.history_.append(row)
                shown.set_postfix({k: f"{row[k]:.2f}" for k in (*run.LOSSES[:2], "distance") if k in row})
                stops = bool(callback is not None and callback(self, row))
                ends = ends or team.agreed(stops) or watch.waited(run.kimg, s.patience_kimg)
                if state is not None and team.first and (ends or run.step_count % keep_every == 0):
                    about = {"step": run.step_count, "history": self.history_} | watch.about()
                    write_tensors(state, run.state() | watch.tensors(), identity | about)
                if ends:
                    break

    def _check(self, row: dict[str, Any]) -> None:
        losses = {key: value for key, value in row.items() if key.startswith("loss")}
        if not all(np.isfinite(v) and v < WORST_LOSS for v in losses.values()):
            found = ", ".join(f"{key} {value:.3g}" for key, value in losses.items())
            raise Diverged(
                f"training diverged at {row['kimg']:.2f} kimg ({found}): {self.ADVICE} "
                f"(lr is {self.settings.lr:g})"
            )

    def _resume(self, run: Training, watch: Watch, state: Path, identity: dict[str, Any]) -> None:
        tensors, found = read_tensors(state)
        for part in ("format", "settings", "data"):
            if found.get(part) != identity[part]:
                raise ValueError(
                    f"{state}: a checkpoint of another run ({part} differ); delete it or take another folder"
                )
        run.restore(tensors, found["step"])
        watch.restore(tensors, found)
        self.history_, self.kimg_ = found["history"], run.kimg

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int, **options: Any) -> np.ndarray:
        """Images of the wanted classes.

        Parameters
        ----------
        labels : sequence of int, shape (n,)
        seed : int
            Image i depends on the seed, on i and on ``labels[i]``.
        **options
            Of the kind of generator.

        Returns
        -------
        ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255

        Raises
        ------
        ValueError
            If the generator is not fitted or does not know a class.
        """
        self._fitted("call fit or load first")
        labels, side = check_labels(labels, self.n_classes_), self.settings.resolution
        where = next(next(iter(self.nets_.values())).parameters()).device
        random = torch.Generator(device=where).manual_seed(seed)
        out = np.empty((len(labels), side, side, 3), dtype=np.uint8)
        with threads(self.settings.threads):
            for start in range(0, len(labels), self.CHUNK):
                part = labels[start : start + self.CHUNK]
                # always a full chunk, so that an image does not depend on how many follow it
                wanted = torch.zeros(self.CHUNK, dtype=torch.int64)
                wanted[: len(part)] = torch.from_numpy(part)
                images = self._draw(wanted.to(where), random, **options)
                images = images.detach().float().add(1).mul(127.5).round_().clamp_(0, 255)
                pixels = images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
                out[start : start + len(part)] = pixels[: len(part)]
        return out

    def save(self, path: str | Path, *, half: bool = True) -> None:
        """Write what samples are drawn from (safetensors), with settings and history as metadata.

        Parameters
        ----------
        path : path
        half : bool
            Half precision: half the size, and samples that differ in the last grey level.
        """
        self._fitted("there is nothing to save")
        dtype = torch.float16 if half else torch.float32
        tensors = {
            f"{name}.{key}": value.to(dtype) if value.is_floating_point() else value
            for name, net in self.nets_.items()
            for key, value in net.state_dict().items()
        }
        about = {
            "format": self.FORMAT,
            "settings": self.settings.to_dict(),
            "n_classes": self.n_classes_,
            "kimg": self.kimg_,
            "history": self.history_,
        }
        write_tensors(Path(path), tensors, about)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu", threads: int | None = None) -> Self:
        """Read what `save` wrote, to sample on this `device` by this many `threads`.

        FileNotFoundError or ValueError if it is missing or no generator of this kind.
        """
        tensors, about = read_tensors(Path(path))
        if about.get("format") != cls.FORMAT:
            raise ValueError(f"{path}: not a {cls.FORMAT!r} file; save one with {cls.__name__}.save")
        settings = about["settings"] | {"device": device, "threads": threads}
        model = cls(cls.settings_class.from_dict(settings))
        model.n_classes_, model.kimg_, model.history_ = about["n_classes"], about["kimg"], about["history"]
        model.nets_ = model._networks()
        for name, net in model.nets_.items():
            net.load_state_dict({k: v.float() for k, v in under(tensors, name).items()})
            net.requires_grad_(False).eval()
            net.to(device=choose_device(device), memory_format=torch.channels_last)
        return model

    def _fitted(self, remedy: str) -> None:
        if not hasattr(self, "nets_"):
            raise ValueError(f"this {type(self).__name__} is not fitted; {remedy}")


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of the training data."""
    digest = hashlib.sha256(json.dumps(images.shape).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
