"""The StyleGAN2 conditional GAN with transitional training (section 3.5).

Training starts unconditional and lets the class in gradually: on few images per class a conditional
GAN collapses to one picture a class when it is conditional from the start. Shahbazi, Danelljan,
Paudel and Van Gool, *Collapse by Conditioning* (ICLR 2022).
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gmaug.backend import device as choose_device
from gmaug.generators.base import Budget, check_labels, check_training
from gmaug.generators.checkpoint import read_tensors, write_tensors
from gmaug.generators.settings import TransitionalCGANSettings
from gmaug.generators.training import LOSSES, Training, make_generator, threads
from gmaug.progress import bar

FORMAT = "gmaug transitional cgan 1"
CHUNK = 64  # images sampled at once; part of what a seed means, so not a setting


class Diverged(RuntimeError):
    """Training has left the numbers; the message says what to change."""


class TransitionalCGAN:
    """Generator of images of a wanted class.

    Parameters
    ----------
    settings : TransitionalCGANSettings, optional

    Attributes
    ----------
    history_ : list of dict
        A row every ``report_kimg``: ``kimg``, ``lambda``, ``seconds`` (of training), the means of
        ``loss_g``, ``loss_d``, ``r1`` and of the four logits since the last row and, with
        validation images, ``distance`` and ``spread`` (see :meth:`fit`).
    n_classes_ : int
    kimg_ : float
        Thousands of images trained on.
    generator_ : torch module
        The averaged generator (EMA), from which samples are drawn.
    """

    def __init__(self, settings: TransitionalCGANSettings | None = None) -> None:
        self.settings = settings or TransitionalCGANSettings()
        self.history_: list[dict[str, float]] = []
        self.kimg_ = 0.0

    def fit(
        self,
        images: np.ndarray,
        labels: Sequence[int] | np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
        budget: Budget | None = None,
        callback: Callable[[TransitionalCGAN, dict[str, float]], bool | None] | None = None,
        checkpoint: str | Path | None = None,
        extractor: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> TransitionalCGAN:
        """Train, or go on from `checkpoint`.

        Parameters
        ----------
        images : ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255
        labels : sequence of int, shape (n,)
        validation : (images, labels), optional
            Real images that are not trained on. At each report as many are sampled, of the same
            classes: ``distance`` is the Fréchet distance of their features, ``spread`` the least
            of the per-class diversities relative to the real ones (1: as diverse; near 0: that
            class has collapsed).
        budget : Budget, optional
            Stop early, after so many seconds of this call or at so many kimg. The transition
            follows ``settings.kimg`` whatever the budget.
        callback : callable, optional
            Called with this object and each new row of the history; a true return stops.
        checkpoint : path of a folder, optional
            The run's state is kept there and found again: a killed run goes on from the last state
            and ends in the same weights, bit for bit, as one that was never stopped.
        extractor : callable, optional
            Images to features for `validation`; 8 x 8 pixels by default.

        Raises
        ------
        ValueError
            If images or labels do not fit the settings, or the checkpoint is of another run.
        Diverged
            If a loss is no longer a number.
        """
        s = self.settings
        images, labels = check_training(images, labels, side=s.resolution)
        self.n_classes_ = s.n_classes or int(labels.max()) + 1
        check_labels(labels, self.n_classes_)
        with threads(s.threads):
            run = Training(s, images, labels, n_classes=self.n_classes_, device=choose_device(s.device))
            self.generator_ = run.average
            self.history_ = []
            state = Path(checkpoint) / "state.safetensors" if checkpoint is not None else None
            identity = {"format": FORMAT, "settings": s.to_dict(), "data": fingerprint(images, labels)}
            if state is not None and state.exists():
                self._resume(run, state, identity)
            self._train(run, validation, budget or Budget(), callback, state, identity, extractor)
        return self

    def _train(self, run, validation, budget, callback, state, identity, extractor) -> None:
        s, begun = self.settings, time.perf_counter()
        before = self.history_[-1]["seconds"] if self.history_ else 0.0
        every = max(1, round(s.report_kimg * 1000 / s.batch))
        keep_every = max(1, round(s.checkpoint_kimg * 1000 / s.batch / every)) * every
        last = s.steps if budget.kimg is None else min(s.steps, round(budget.kimg * 1000 / s.batch))
        sums, counted = torch.zeros(len(LOSSES), device=run.device), 0
        with bar(desc="cGAN", total=last, initial=run.step_count, unit="step") as shown:
            while run.step_count < last:
                sums += run.step()
                counted += 1
                shown.update()
                late = budget.seconds is not None and time.perf_counter() - begun >= budget.seconds
                ends = late or run.step_count == last
                if not ends and run.step_count % every:
                    continue
                row = self._row(run, (sums / counted).tolist(), before + time.perf_counter() - begun)
                sums.zero_()
                counted = 0
                if validation is not None:
                    row |= self._against(validation, extractor)
                self.history_.append(row)
                shown.set_postfix(loss_g=f"{row['loss_g']:.2f}", loss_d=f"{row['loss_d']:.2f}")
                ends = bool(callback is not None and callback(self, row)) or ends
                if state is not None and (ends or run.step_count % keep_every == 0):
                    more = {"step": run.step_count, "history": self.history_}
                    write_tensors(state, run.state(), identity | more)
                if ends:
                    break

    def _row(self, run: Training, losses: list[float], seconds: float) -> dict[str, float]:
        self.kimg_ = run.kimg
        row = {"kimg": run.kimg, "lambda": self.settings.lambda_at(run.kimg), "seconds": seconds}
        row |= dict(zip(LOSSES, losses, strict=True))
        row["r1"] *= self.settings.r1_every  # it was computed on so few of the steps
        # past 1e4 a softplus of logits is no longer a game, and the next thing is a NaN
        if not all(np.isfinite(losses)) or max(row["loss_g"], row["loss_d"]) > 1e4:
            raise Diverged(
                f"training diverged at {run.kimg:.2f} kimg (loss_g {row['loss_g']:.3g}, loss_d "
                f"{row['loss_d']:.3g}): lower lr (now {self.settings.lr:g}) or raise r1_gamma "
                f"(now {self.settings.gamma:g})"
            )
        return row

    def _against(self, validation: tuple[np.ndarray, np.ndarray], extractor: Any) -> dict[str, float]:
        from gmaug.generators.distance import class_spread, frechet, pixels

        images, labels = check_training(*validation, side=self.settings.resolution)
        extractor = extractor or pixels(8)
        fakes = self.sample(labels, seed=0)
        real, fake = extractor(images), extractor(fakes)
        spreads = class_spread(real, labels, fake, labels)
        return {
            "distance": frechet(real, fake, name="", groups=0).value,
            "spread": min((one.ratio for one in spreads), default=float("nan")),
        }

    def _resume(self, run: Training, state: Path, identity: dict[str, Any]) -> None:
        tensors, found = read_tensors(state)
        for part in ("format", "settings", "data"):
            if found.get(part) != identity[part]:
                raise ValueError(
                    f"{state}: a checkpoint of another run ({part} differ); delete it or take another folder"
                )
        run.restore(tensors, found["step"])
        self.history_, self.kimg_ = found["history"], run.kimg

    def sample(self, labels: Sequence[int] | np.ndarray, *, seed: int, psi: float = 1.0) -> np.ndarray:
        """Images of the wanted classes.

        Parameters
        ----------
        labels : sequence of int, shape (n,)
        seed : int
            Image i depends on the seed, on i and on ``labels[i]``.
        psi : float
            Truncation: below 1, w is drawn towards the mean w of its class (0: the mean itself).

        Returns
        -------
        ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255

        Raises
        ------
        ValueError
            If the generator is not fitted or does not know a class.
        """
        if not hasattr(self, "generator_"):
            raise ValueError("this TransitionalCGAN is not fitted; call fit or TransitionalCGAN.load first")
        labels = check_labels(labels, self.n_classes_)
        s, net = self.settings, self.generator_
        where, weight = net.constant.device, s.lambda_at(self.kimg_)
        random = torch.Generator(device=where).manual_seed(seed)
        out = np.empty((len(labels), s.resolution, s.resolution, 3), dtype=np.uint8)
        with torch.inference_mode(), threads(s.threads):
            centres = self._centres(weight) if psi != 1 else None
            for start in range(0, len(labels), CHUNK):
                part = labels[start : start + CHUNK]
                # always a full chunk, so that an image does not depend on how many follow it
                wanted = torch.zeros(CHUNK, dtype=torch.int64)
                wanted[: len(part)] = torch.from_numpy(part)
                z = torch.randn(CHUNK, s.z_dim, generator=random, device=where)
                w = net.mapping(z, wanted.to(where), weight)
                if centres is not None:
                    w = torch.lerp(centres[wanted.to(where)], w, psi)
                images = net.synthesis(w, random).add_(1).mul_(127.5).round_().clamp_(0, 255)
                pixels = images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
                out[start : start + len(part)] = pixels[: len(part)]
        return out

    def _centres(self, weight: float) -> torch.Tensor:
        """Mean w of each class over 1,000 fixed draws of z."""
        net = self.generator_
        random = torch.Generator().manual_seed(0)
        z = torch.randn(1000, self.settings.z_dim, generator=random).to(net.constant)
        classes = torch.arange(self.n_classes_, device=z.device)
        return torch.stack([net.mapping(z, k.expand(len(z)), weight).mean(dim=0) for k in classes])

    def save(self, path: str | Path, *, half: bool = True) -> None:
        """Write the averaged generator (safetensors), with its settings and history as metadata.

        Parameters
        ----------
        path : path
        half : bool
            Half precision: half the size, and samples that differ in the last grey level.
        """
        if not hasattr(self, "generator_"):
            raise ValueError("this TransitionalCGAN is not fitted; there is nothing to save")
        dtype = torch.float16 if half else torch.float32
        tensors = {key: value.to(dtype) for key, value in self.generator_.state_dict().items()}
        about = {
            "format": FORMAT,
            "settings": self.settings.to_dict(),
            "n_classes": self.n_classes_,
            "kimg": self.kimg_,
            "history": self.history_,
        }
        write_tensors(Path(path), tensors, about)

    @classmethod
    def load(cls, path: str | Path, *, device: str = "cpu", threads: int | None = None) -> TransitionalCGAN:
        """Read what `save` wrote; sampled on this `device` by this many `threads`.

        Raises
        ------
        FileNotFoundError, ValueError
            If the file is missing, or is no generator of this kind.
        """
        tensors, about = read_tensors(Path(path))
        if about.get("format") != FORMAT:
            raise ValueError(f"{path}: not a {FORMAT!r} file; save one with TransitionalCGAN.save")
        settings = about["settings"] | {"device": device, "threads": threads}
        model = cls(TransitionalCGANSettings.from_dict(settings))
        model.n_classes_, model.kimg_, model.history_ = about["n_classes"], about["kimg"], about["history"]
        net = make_generator(model.settings, model.n_classes_).requires_grad_(False)
        net.load_state_dict({key: value.float() for key, value in tensors.items()})
        model.generator_ = net.to(device=choose_device(device), memory_format=torch.channels_last)
        return model


def fingerprint(images: np.ndarray, labels: np.ndarray) -> str:
    """SHA-256 of the training data."""
    digest = hashlib.sha256(json.dumps(images.shape).encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    digest.update(np.ascontiguousarray(labels).tobytes())
    return digest.hexdigest()
