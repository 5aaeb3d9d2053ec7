"""One trainer for both generators: batches, averaged weights, reports, exact resume, patience."""

from __future__ import annotations

import hashlib
import json
import time
from abc import abstractmethod
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from gmaug.backend import autocast, device as choose_device, read_tensors, write_tensors
from gmaug.datasets.base import class_numbers
from gmaug.generators.base import check_training, threads
from gmaug.generators.quality import diversity, frechet, joint, pixels
from gmaug.generators.settings import RunSettings
from gmaug.progress import bar

if TYPE_CHECKING:
    from accelerate import Accelerator

WORST_LOSS = 1e4  # past it training is no longer a descent, and the next thing is a NaN


def seeded(seed: int, build: Callable[[], nn.Module]) -> nn.Module:
    """A network whose first weights are drawn from `seed`; torch's own random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()


def under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose keys start with ``name.``, without it."""
    return {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}


def named(nets: dict[str, nn.Module]) -> dict[str, Tensor]:
    """All tensors of networks, as ``name.key``."""
    return {f"{name}.{key}": v for name, net in nets.items() for key, v in net.state_dict().items()}


class Training:
    """Networks, optimisers, random state and data of a run; a subclass says what a step is.

    `modules` and `optimisers`, by name, are all that a step changes, `numbers` anything else that the
    run remembers; images are sampled from `drawn`. The processes of an `accelerator` draw the same
    batch from the same stream `random` and work on their own part of it; gradients are averaged before
    each step, so that all hold the same weights throughout.
    """

    modules: dict[str, nn.Module]
    drawn: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]
    ready = True  # whether the weights of this moment may be kept as the best

    def __init__(
        self,
        settings: RunSettings,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        n_classes: int,
        device: torch.device,
        accelerator: Accelerator | None = None,
    ) -> None:
        self.settings, self.n_classes, self.device = settings, n_classes, device
        self.accelerator, self.processes, self.rank = accelerator, 1, 0
        if accelerator is not None:
            self.processes, self.rank = accelerator.num_processes, accelerator.process_index
        if settings.batch % self.processes:
            raise ValueError(f"batch={settings.batch} is not a multiple of the {self.processes} processes")
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64)).to(device)
        self.random = torch.Generator(device=device).manual_seed(settings.seed)
        self.step_count, self.numbers = 0, {}
        self.held = np.empty((0, 0, 0, 3), np.uint8), np.empty(0, np.int64)  # validation images and labels
        self.best: dict[str, Tensor] = {}  # the weights that came nearest to them
        self.nearest = {"distance": float("inf"), "kimg": 0.0}
        self._build()

    @abstractmethod
    def _build(self) -> None:
        """Set `modules`, `drawn` and `optimisers`."""

    @abstractmethod
    def step(self) -> dict[str, Tensor]:
        """Train on one batch and count it; losses and whatever else is worth a column of the history."""

    @abstractmethod
    def examine(self) -> dict[str, float]:
        """What a report says besides the losses."""

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far."""
        return self.step_count * self.settings.batch / 1000

    @property
    def waited(self) -> bool:
        """Whether the watched distance has not fallen for as long as the settings' patience."""
        patience, since = self.settings.patience_kimg, self.kimg - self.nearest["kimg"]
        return bool(self.best) and patience is not None and since >= patience - 1e-9

    # a batch

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch that all processes hold."""
        return batch.chunk(self.processes)[self.rank] if self.processes > 1 else batch

    def own(self) -> torch.Generator:
        """This process's own stream, for what is drawn inside a network; `random` itself when alone."""
        if self.processes == 1:
            return self.random
        seed = np.random.SeedSequence([self.settings.seed, self.step_count, self.rank]).generate_state(1)
        return torch.Generator(device=self.device).manual_seed(int(seed[0]))

    def rows(self) -> Tensor:
        """A batch of training images, by their numbers."""
        size = (self.settings.batch,)
        return torch.randint(len(self.images), size, generator=self.random, device=self.device)

    def reals(self) -> tuple[Tensor, Tensor]:
        """A batch of real images, float (b, 3, side, side) from -1 to 1, and their labels."""
        rows = self.rows()
        # a batch of NHWC pixels seen as NCHW is channels-last already
        images = self.images[rows].to(torch.float32).div_(127.5).sub_(1).permute(0, 3, 1, 2)
        if self.settings.flip:
            mirrored = torch.rand(len(rows), 1, 1, 1, generator=self.random, device=self.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        return self.part(images), self.part(self.labels[rows])

    def descend(self, which: str, loss: Tensor, *, clip: float | None = None) -> None:
        """One step of an optimiser down the gradient of `loss`, of a norm of at most `clip`."""
        optimiser = self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        weights = optimiser.param_groups[0]["params"]
        if self.processes > 1:
            gradients = [p.grad for p in weights if p.grad is not None]
            mean = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
            for gradient, part in zip(gradients, mean.split([g.numel() for g in gradients]), strict=True):
                gradient.copy_(part.view(gradient.shape))
        if clip is not None:
            nn.utils.clip_grad_norm_(weights, clip)
        optimiser.step()

    @torch.no_grad()
    def average(self, pairs: Iterable[tuple[nn.Module, nn.Module]]) -> None:
        """Count the step, and let each average follow its network: ``a = decay a + (1 - decay) w``."""
        self.step_count += 1
        s = self.settings
        half_life = min(s.ema_kimg, self.kimg * s.ema_rampup)  # shorter early on, to follow quickly
        decay = 0.5 ** (s.batch / 1000 / max(half_life, 1e-8))
        for average, model in pairs:
            torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)

    # a report

    def agreed(self, decision: bool) -> bool:
        """The first process's decision, known to all."""
        if self.processes == 1:
            return decision
        decided = torch.tensor(float(decision and self.rank == 0), device=self.device)
        return bool(self.accelerator.reduce(decided))

    def watch(self, images: np.ndarray, labels: np.ndarray, extractor: Callable[..., np.ndarray]) -> None:
        """Watch validation images, at most ``settings.watched`` of them."""
        images, labels = check_training(images, labels, side=self.settings.resolution)
        rows = np.sort(np.random.default_rng(0).permutation(len(labels))[: self.settings.watched])
        self.held, self.extractor = (images[rows], labels[rows]), extractor
        self.real = extractor(self.held[0])

    def look(self, model: TrainedGenerator) -> dict[str, Any]:
        """Distance and diversity of samples now, for the history; the nearest weights are kept."""
        labels = self.held[1]
        if not len(labels):
            return {}
        fake = self.extractor(model.sample(labels, seed=0))
        distance = frechet(*joint(self.real, labels, fake, labels))
        if self.ready and distance < self.nearest["distance"]:
            self.nearest = {"distance": distance, "kimg": self.kimg}
            self.best = {key: value.detach().cpu().clone() for key, value in named(self.drawn).items()}
        spreads = list(diversity(self.real, labels, fake, labels).values())
        return {"distance": distance, "spread": min(spreads, default=float("nan")), "spreads": spreads}

    # a checkpoint

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on (weights, Adam's moments, random state), and the best weights."""
        tensors = {"random": self.random.get_state()} | named(self.modules)
        for name, optimiser in self.optimisers.items():
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{index}.{key}": value for key, value in moments.items()}
        return tensors | {f"best.{key}": value for key, value in self.best.items()}

    def restore(self, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
        """Go on from `state`, and what was written beside it."""
        self.step_count, self.numbers, self.nearest = about["step"], about["numbers"], about["best"]
        self.best = under(tensors, "best")
        self.random.set_state(tensors["random"])
        for name, module in self.modules.items():
            module.load_state_dict(under(tensors, name))
        for name, optimiser in self.optimisers.items():
            weights, state = optimiser.param_groups[0]["params"], defaultdict(dict)
            for key, value in under(tensors, f"adam.{name}").items():
                index, moment = key.split(".")
                if value.dim():  # fused Adam walks memory: moments must lie as their weights do
                    value = torch.empty_like(weights[int(index)]).copy_(value)
                state[int(index)][moment] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": dict(state)})


class TrainedGenerator:
    """Base of the generators that are trained here.

    Attributes
    ----------
    history_ : list of dict
        A row every ``report_kimg``: ``kimg``, ``seconds`` (of training), the means of the losses since
        the last row and, with validation images, ``distance``, ``spread``, ``spreads`` (see :meth:`fit`).
    n_classes_ : int
    kimg_ : float
        Thousands of images after which the weights in use were taken.
    nets_ : dict of str to torch module
        What samples are drawn from.
    """

    FORMAT: ClassVar[str]
    CHUNK: ClassVar[int] = 64  # images sampled at once; part of what a seed means, so not a setting
    settings_class: ClassVar[type[RunSettings]]
    training_class: ClassVar[type[Training]]
    networks: ClassVar[Callable[..., dict[str, nn.Module]]]  # new ones, of settings and a number of classes
    linear_conditions = True

    def __init__(self, settings: RunSettings | None = None) -> None:
        self.settings = settings or self.settings_class()
        self.history_: list[dict[str, Any]] = []
        self.kimg_ = 0.0

    @abstractmethod
    def _draw(self, wanted: Tensor, random: torch.Generator, **options: Any) -> Tensor:
        """Images, float (n, 3, side, side) from -1 to 1 or a little beyond; `wanted` as in `sample`."""

    def fit(
        self,
        images: np.ndarray,
        labels: Sequence[int] | np.ndarray,
        *,
        validation: tuple[np.ndarray, np.ndarray] | None = None,
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
            Real images that are not trained on. At each report as many are sampled, of the same classes:
            ``distance`` is the Fréchet distance of features and classes
            (:func:`gmaug.generators.quality.joint`), ``spreads`` the classes'
            :func:`~gmaug.generators.quality.diversity`, ``spread`` the least of these. The weights of the
            least distance are kept (of a cGAN: once the class counts in full).
        callback : callable, optional
            Called with this object and each new row of the history; a true return stops.
        checkpoint : path of a folder, optional
            A killed run goes on from the state that is kept there, and ends in the same weights, bit
            for bit, as one that was never stopped.
        extractor : callable, optional
            Images to features for `validation`; 8 x 8 pixels by default.
        accelerator : accelerate.Accelerator, optional
            Shares each batch out among the processes of ``accelerate launch``; its device is used.

        Raises
        ------
        ValueError
            If images or labels do not fit the settings, or the checkpoint is of another run.
        RuntimeError
            If a loss is no longer a number.
        """
        s = self.settings
        images, labels = check_training(images, labels, side=s.resolution)
        self.n_classes_ = s.n_classes or int(labels.max()) + 1
        class_numbers(labels, self.n_classes_)
        state = Path(checkpoint) / "state.safetensors" if checkpoint is not None else None
        data = json.dumps(images.shape).encode() + images.tobytes() + labels.tobytes()
        identity = {"format": self.FORMAT, "settings": s.to_dict(), "data": hashlib.sha256(data).hexdigest()}
        every = max(1, round(s.report_kimg * 1000 / s.batch))
        keep_every = max(1, round(s.checkpoint_kimg * 1000 / s.batch / every)) * every
        device = accelerator.device if accelerator else choose_device(s.device)
        with threads(s.threads):
            about = {"n_classes": self.n_classes_, "device": device, "accelerator": accelerator}
            run = self.training_class(s, images, labels, **about)
            if validation is not None:
                run.watch(*validation, extractor or pixels)
            self.nets_, self.history_, before = run.drawn, [], 0.0
            if state is not None and state.exists():
                tensors, found = read_tensors(state)
                found["settings"] = {k: v for k, v in found.get("settings", {}).items() if k not in s.RETIRED}
                if differ := ", ".join(part for part in identity if found.get(part) != identity[part]):
                    raise ValueError(f"{state}: a checkpoint of another run ({differ} differ); delete it")
                run.restore(tensors, found)
                self.history_ = found["history"]
                before = self.history_[-1]["seconds"]
            values, begun = defaultdict(list), time.perf_counter()
            ends = run.step_count >= s.steps or run.waited
            steps = {"total": s.steps, "initial": run.step_count, "unit": "step", "disable": run.rank > 0}
            with bar(desc=type(self).__name__, **steps) as shown:
                while not ends:
                    for key, value in run.step().items():  # numbers are read at a report: that would wait
                        values[key].append(value)
                    shown.update()
                    ends = run.step_count == s.steps
                    if not ends and run.step_count % every:
                        continue
                    self.kimg_ = run.kimg
                    row = {"kimg": run.kimg, "seconds": before + time.perf_counter() - begun}
                    row |= {key: float(sum(some)) / len(some) for key, some in values.items()}
                    values.clear()
                    losses = {key: value for key, value in row.items() if key.startswith("loss")}
                    if not all(value < WORST_LOSS for value in losses.values()):  # nor a NaN
                        at = f"{run.kimg:.2f} kimg ({losses})"
                        raise RuntimeError(f"training diverged at {at}: lower lr={s.lr:g}")
                    row |= run.examine() | run.look(self)
                    self.history_.append(row)
                    told = [key for key in ("loss", "loss_g", "distance") if key in row]
                    shown.set_postfix({key: f"{row[key]:.2f}" for key in told})
                    stops = callback is not None and bool(callback(self, row))
                    ends = run.agreed(stops) or ends or run.waited
                    if state is not None and run.rank == 0 and (ends or run.step_count % keep_every == 0):
                        about = {"step": run.step_count, "numbers": run.numbers, "best": run.nearest}
                        write_tensors(state, run.state(), identity | about | {"history": self.history_})
            self.nets_, self.kimg_ = {k: deepcopy(net).eval() for k, net in run.drawn.items()}, run.kimg
            if s.keep_best and run.best:
                self.kimg_ = run.nearest["kimg"]
                for name, net in self.nets_.items():
                    net.load_state_dict(under(run.best, name))
        return self

    def sample(
        self,
        labels: Sequence[int] | np.ndarray | None = None,
        *,
        conditions: np.ndarray | None = None,
        seed: int,
        **options: Any,
    ) -> np.ndarray:
        """Images of the wanted classes, or of mixed conditions.

        Parameters
        ----------
        labels : sequence of int, shape (n,)
        conditions : ndarray of float, shape (n, C), optional
            In place of labels: a weight for each class, linear before the embedding. One-hot rows
            give exactly what labels give.
        seed : int
            Image i depends on the seed, on i and on what is wanted of it.

        Returns
        -------
        ndarray of uint8, shape (n, resolution, resolution, 3), range 0-255
        """
        wanted, side = self._wanted(labels, conditions), self.settings.resolution
        where = next(next(iter(self.nets_.values())).parameters()).device
        random = torch.Generator(device=where).manual_seed(seed)
        out = np.empty((len(wanted), side, side, 3), dtype=np.uint8)
        with threads(self.settings.threads), autocast(where, self.settings.mixed_precision):
            for start in range(0, len(wanted), self.CHUNK):
                part = wanted[start : start + self.CHUNK]
                # always a full chunk, so that an image does not depend on how many follow it
                asked = np.zeros((self.CHUNK, *part.shape[1:]), dtype=part.dtype)
                asked[: len(part)] = part
                images = self._draw(torch.from_numpy(asked).to(where), random, **options)
                images = images.detach().float().add(1).mul(127.5).round_().clamp_(0, 255)
                images = images.to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
                out[start : start + len(part)] = images[: len(part)]
        return out

    def _wanted(self, labels: Any, conditions: Any) -> np.ndarray:
        """Labels as int64 (n,), or conditions as float32 (n, C); ``ValueError`` if they do not fit."""
        self._fitted()
        if (labels is None) == (conditions is None):
            raise ValueError("give labels= or conditions=, one of the two")
        if conditions is None:
            return class_numbers(labels, self.n_classes_)
        wanted, classes = np.asarray(conditions, dtype=np.float32), self.n_classes_
        if wanted.ndim != 2 or wanted.shape[1] != classes or not np.isfinite(wanted).all():
            raise ValueError(f"conditions of shape {wanted.shape}; give finite numbers, (n, {classes})")
        return wanted

    def save(self, path: str | Path) -> None:
        """Write what samples are drawn from, for :func:`gmaug.generators.load_generator`, as safetensors.

        In half precision: half the size, and samples that differ in the last grey levels.
        """
        self._fitted()
        tensors = {k: v.half() if v.is_floating_point() else v for k, v in named(self.nets_).items()}
        about = {"format": self.FORMAT, "settings": self.settings.to_dict(), "n_classes": self.n_classes_}
        write_tensors(path, tensors, about | {"kimg": self.kimg_, "history": self.history_})

    @classmethod
    def restored(
        cls, tensors: dict[str, Tensor], about: dict[str, Any], *, device: str, threads: int | None
    ) -> Self:
        """A generator of what `save` wrote."""
        settings = about["settings"] | {"device": device, "threads": threads}
        model = cls(cls.settings_class.from_dict(settings))
        model.n_classes_, model.kimg_, model.history_ = about["n_classes"], about["kimg"], about["history"]
        model.nets_ = cls.networks(model.settings, model.n_classes_)
        for name, net in model.nets_.items():
            known = net.state_dict().keys()  # older files hold a running mean that nothing uses
            net.load_state_dict({k: v.float() for k, v in under(tensors, name).items() if k in known})
            net.requires_grad_(False).eval()
            net.to(device=choose_device(device), memory_format=torch.channels_last)
        return model

    def _fitted(self) -> None:
        if not hasattr(self, "nets_"):
            raise ValueError(f"this {type(self).__name__} is not fitted; call fit, or load_generator")
