"""PyTorch as this package uses it: where to compute, and torchvision on a CPU-only torch."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_declared: list[object] = []  # keeps the operator library alive


def torchvision() -> ModuleType:
    """Import torchvision, whichever torch it was built for.

    The index's torchvision wheel is built for the CUDA torch. On a CPU-only torch its compiled
    operators do not load and the import stops at a missing ``torchvision::nms``. On that error
    alone the two missing schemas are declared and the import is tried again; models, transforms
    and data sets then work, box operators do not. Call this before importing timm, transformers,
    torchmetrics or diffusers, which import torchvision themselves.
    """
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise
    import torch

    for name in [n for n in sys.modules if n == "torchvision" or n.startswith("torchvision.")]:
        del sys.modules[name]
    library = torch.library.Library("torchvision", "FRAGMENT")
    for operator in ("nms", "qnms"):
        library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _declared.append(library)
    return importlib.import_module("torchvision")


def device(name: str = "auto") -> torch.device:
    """The device to compute on.

    Parameters
    ----------
    name : {"auto", "cpu", "cuda", "mps"} or any torch device string
        ``"auto"`` takes CUDA, then MPS, then the CPU.

    Raises
    ------
    ValueError
        If `name` asks for CUDA or MPS and this machine has none.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        name = next((kind for kind, there in available.items() if there), "cpu")
    kind = name.split(":")[0]
    if not available.get(kind, True):
        raise ValueError(f"device={name!r} is not available here; use device='cpu' or 'auto'")
    return torch.device(name)
