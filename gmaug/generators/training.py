"""The state of a training run, step by step, and how it is kept for an exact resume."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from gmaug.generators.parallel import Team
from gmaug.generators.settings import RunSettings


@contextmanager
def threads(count: int | None) -> Iterator[None]:
    """Let torch compute on `count` threads (None: as many as it does already) for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class Training:
    """Networks, optimisers, random state and data of a run.

    Parameters
    ----------
    settings : RunSettings
    images : ndarray of uint8, shape (n, side, side, 3)
    labels : ndarray of int, shape (n,)
    n_classes : int
    device : torch.device
    team : Team, optional

    Attributes
    ----------
    modules, optimisers : dict
        By name: all that a step changes.
    drawn : dict of str to Module
        Those of `modules` that images are sampled from.
    random : torch.Generator
        The stream that every process of the team draws from alike.
    step_count : int
    """

    LOSSES: ClassVar[tuple[str, ...]]
    modules: dict[str, nn.Module]
    drawn: dict[str, nn.Module]
    optimisers: dict[str, torch.optim.Optimizer]

    def __init__(
        self,
        settings: RunSettings,
        images: np.ndarray,
        labels: np.ndarray,
        *,
        n_classes: int,
        device: torch.device,
        team: Team | None = None,
    ) -> None:
        self.settings, self.n_classes, self.device, self.team = settings, n_classes, device, team or Team()
        if settings.batch % self.team.size:
            raise ValueError(f"batch={settings.batch} is not a multiple of the {self.team.size} processes")
        self.images = torch.from_numpy(np.array(images)).to(device)
        self.labels = torch.from_numpy(np.array(labels, dtype=np.int64)).to(device)
        self.random = torch.Generator(device=device).manual_seed(settings.seed)
        self.step_count = 0
        self._build()

    @abstractmethod
    def _build(self) -> None:
        """Set `modules`, `drawn` and `optimisers`."""

    @abstractmethod
    def step(self) -> Tensor:
        """Train on one batch and count it; the values named in `LOSSES`, as one tensor."""

    def about(self) -> dict[str, float]:
        """What a row of the history says of the run besides its losses."""
        return {}

    @property
    def ready(self) -> bool:
        """Whether the weights of this moment may be kept as the best."""
        return True

    @property
    def kimg(self) -> float:
        """Thousands of real images shown so far."""
        return self.step_count * self.settings.batch / 1000

    @property
    def own(self) -> torch.Generator:
        """This process's own stream, for what is drawn inside a network; `random` itself when alone."""
        if self.team.size == 1:
            return self.random
        seed = [self.settings.seed, self.step_count, self.team.rank]
        state = int(np.random.SeedSequence(seed).generate_state(1)[0])
        return torch.Generator(device=self.device).manual_seed(state)

    def _rows(self) -> Tensor:
        size = (self.settings.batch,)
        return torch.randint(len(self.images), size, generator=self.random, device=self.device)

    def _reals(self) -> tuple[Tensor, Tensor]:
        """A batch of real images, float (b, 3, side, side) from -1 to 1, and their labels."""
        rows = self._rows()
        # a batch of NHWC pixels seen as NCHW is channels-last already
        images = self.images[rows].to(torch.float32).div_(127.5).sub_(1).permute(0, 3, 1, 2)
        if self.settings.flip:
            mirrored = torch.rand(len(rows), 1, 1, 1, generator=self.random, device=self.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        return self.team.part(images), self.team.part(self.labels[rows])

    def _autocast(self, *, enabled: bool = True) -> torch.autocast:
        """bfloat16 on CUDA where the settings ask for it."""
        mixed = self.settings.mixed_precision and self.device.type == "cuda" and enabled
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=mixed)

    def _descend(self, which: str, loss: Tensor, *, clip: float | None = None) -> None:
        optimiser = self.optimisers[which]
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        weights = optimiser.param_groups[0]["params"]
        self.team.average_gradients(weights)
        if clip is not None:
            nn.utils.clip_grad_norm_(weights, clip)
        optimiser.step()

    def state(self) -> dict[str, Tensor]:
        """Weights, Adam's moments and the random state: all that the next step depends on."""
        tensors = {"random": self.random.get_state()}
        for name, module in self.modules.items():
            tensors |= {f"{name}.{key}": value for key, value in module.state_dict().items()}
        for name, optimiser in self.optimisers.items():
            for index, moments in optimiser.state_dict()["state"].items():
                tensors |= {f"adam.{name}.{index}.{key}": value for key, value in moments.items()}
        return {key: value.detach().cpu().contiguous() for key, value in tensors.items()}

    def restore(self, tensors: dict[str, Tensor], step_count: int) -> None:
        """Go on from `state`'s tensors."""
        self.step_count = step_count
        self.random.set_state(tensors["random"])
        for name, module in self.modules.items():
            module.load_state_dict(under(tensors, name))
        for name, optimiser in self.optimisers.items():
            weights = optimiser.param_groups[0]["params"]
            moments: dict[int, dict[str, Any]] = {}
            for key, value in under(tensors, f"adam.{name}").items():
                index, moment = key.split(".")
                if value.dim():  # fused Adam walks memory: moments must lie as their weights do
                    value = torch.empty_like(weights[int(index)]).copy_(value)
                moments.setdefault(int(index), {})[moment] = value
            optimiser.load_state_dict(optimiser.state_dict() | {"state": moments})


def under(tensors: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """The tensors whose keys start with ``name.``, without it."""
    return {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}


def seeded(seed: int, build: Any) -> nn.Module:
    """A network whose first weights are drawn from `seed`; torch's own random state is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build()
