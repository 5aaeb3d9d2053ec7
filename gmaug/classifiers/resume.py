"""The kept state of a training in progress, so that a killed one goes on where it was."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError

from gmaug.backend import read_tensors, write_tensors

FULL = (errno.ENOSPC, errno.EDQUOT)


class Checkpoint:
    """One file, replaced as a whole, that belongs to one training.

    Parameters
    ----------
    path : Path
        A safetensors file; its folder is made when first needed.
    run : dict
        JSON values that tell this training from others: its kind, settings, seed, data.
    """

    def __init__(self, path: Path, run: dict[str, Any]) -> None:
        self.path, self.run = path, run

    def read(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]] | None:
        """The kept tensors and values; None if there are none yet.

        Raises
        ------
        ValueError
            If the file is damaged, or another training's.
        """
        if not self.path.is_file():
            return None
        tensors, about = read_tensors(self.path)
        kept = about.get("run", {})
        differ = [name for name in self.run if kept.get(name) != self.run[name]]
        if differ:
            raise ValueError(
                f"checkpoint {self.path} is of another training (its {', '.join(differ)} differ); "
                "give another folder, or delete the file to start afresh"
            )
        return tensors, about

    def write(self, tensors: dict[str, torch.Tensor], about: dict[str, Any]) -> None:
        """Replace the file.

        Raises
        ------
        OSError
            If the disk is full, and says what to do; what was kept before is still there.
        """
        try:
            write_tensors(self.path, tensors, {**about, "run": self.run})
        except (OSError, SafetensorError) as error:
            if not _full(error):
                raise
            for draft in self.path.parent.glob(f"{self.path.name}.*.part"):
                draft.unlink(missing_ok=True)  # half a file would keep the disk full
            raise OSError(
                errno.ENOSPC,
                "the disk is full; free some space and run the same again: it goes on from the last "
                "validation that was kept, or name a folder on another disk in checkpoint=",
                str(self.path),
            ) from error


def _full(error: OSError | SafetensorError) -> bool:
    if isinstance(error, OSError):
        return error.errno in FULL
    return any(f"(os error {code})" in str(error) for code in FULL)  # how safetensors tells it


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, torch.Tensor]:
    """What an optimiser remembers of each weight, as ``index.name``."""
    return {
        f"{index}.{name}": value
        for index, memory in optimizer.state_dict()["state"].items()
        for name, value in memory.items()
        if value is not None
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, torch.Tensor]) -> None:
    """Give an optimiser the memory that :func:`optimizer_tensors` took."""
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key, value in tensors.items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})


def under(tensors: dict[str, torch.Tensor], name: str) -> dict[str, torch.Tensor]:
    """The tensors whose keys start with ``name.``, without it."""
    return {key.removeprefix(f"{name}."): v for key, v in tensors.items() if key.startswith(f"{name}.")}
