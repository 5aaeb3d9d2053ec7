"""Several processes that train one model together, through ``accelerate``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from accelerate import Accelerator


class Team:
    """The processes of one training; a team of one by default.

    Every process draws the same batch from the same random stream and works on its own part of
    it; gradients are averaged before each step, so all hold the same weights throughout.

    Parameters
    ----------
    accelerator : accelerate.Accelerator, optional
        Of the process, as ``accelerate launch`` starts it.
    """

    def __init__(self, accelerator: Accelerator | None = None) -> None:
        self.accelerator = accelerator
        self.size = accelerator.num_processes if accelerator else 1
        self.rank = accelerator.process_index if accelerator else 0

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and shows progress."""
        return self.rank == 0

    def part(self, batch: Tensor) -> Tensor:
        """This process's rows of a batch that all processes hold."""
        return batch.chunk(self.size)[self.rank] if self.size > 1 else batch

    def average_gradients(self, parameters: Iterable[nn.Parameter]) -> None:
        """Give every process the mean of all processes' gradients."""
        if self.size == 1:
            return
        gradients = [p.grad for p in parameters if p.grad is not None]
        together = self.accelerator.reduce(torch.cat([g.flatten() for g in gradients]), reduction="mean")
        for gradient, mean in zip(gradients, together.split([g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))

    def agreed(self, decision: bool) -> bool:
        """The first process's decision, known to all."""
        if self.size == 1:
            return decision
        from accelerate.utils import broadcast_object_list

        return broadcast_object_list([decision], from_process=0)[0]
