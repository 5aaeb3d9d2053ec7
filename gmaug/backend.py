"""PyTorch as this package uses it: where to compute, torchvision on a CPU-only torch, tensors in files."""

from __future__ import annotations

import errno
import importlib
import json
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

DEVICE_VARIABLE = "GMAUG_DEVICE"
"""What ``"auto"`` means, where it is set."""

_declared: list[object] = []  # keeps the operator library alive


def torchvision() -> ModuleType:
    """Import torchvision, whichever torch it was built for.

    The index's wheel is built for the CUDA torch. On a CPU-only torch the import stops at a missing
    ``torchvision::nms``: then the two missing schemas are declared and it is tried again; all but box
    operators works. Call this before importing transformers, torchmetrics or diffusers, which import it.
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


def autocast(device: torch.device, wanted: bool) -> torch.autocast:
    """bfloat16 on CUDA where it is wanted; a context that changes nothing elsewhere."""
    import torch

    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=wanted and device.type == "cuda")


def placed(net: torch.nn.Module, device: torch.device) -> torch.nn.Module:
    """The network on the device; channels last on CUDA, which gains nothing for a classifier on a CPU."""
    import torch

    if device.type == "cuda":
        return net.to(device, memory_format=torch.channels_last)
    return net.to(device)


def device(name: str = "auto") -> torch.device:
    """The device of a name that torch knows; ``ValueError`` if it asks for CUDA or MPS and there is none.

    ``"auto"`` takes what the variable ``GMAUG_DEVICE`` says, or CUDA, then MPS, then the CPU.
    """
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        there = [kind for kind, is_there in available.items() if is_there]
        name = os.environ.get(DEVICE_VARIABLE) or (*there, "cpu")[0]
    if not available.get(name.split(":")[0], True):
        raise ValueError(f"device={name!r} is not available here; use device='cpu' or 'auto'")
    return torch.device(name)


def write_tensors(path: str | Path, tensors: Mapping[str, torch.Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors as safetensors, with `about` (JSON) as metadata: whole, or not at all."""
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        plain = {key: value.detach().cpu().contiguous() for key, value in tensors.items()}
        save_file(plain, draft, metadata={"about": json.dumps(about, sort_keys=True)})
        os.replace(draft, path)
    except SafetensorError as error:  # it tells the system's number in its text alone
        found = re.search(r"os error (\d+)", str(error))
        number = int(found[1]) if found else errno.EIO
        raise OSError(number, os.strerror(number), str(path)) from error
    finally:
        draft.unlink(missing_ok=True)


def read_tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """The tensors and values of `write_tensors`; ``FileNotFoundError``, or ``ValueError`` if it is damaged or
    another program's."""
    from safetensors import SafetensorError, safe_open

    if not Path(path).is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            about = json.loads((file.metadata() or {})["about"])
            return {key: file.get_tensor(key) for key in file.keys()}, about  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError) as error:
        raise ValueError(f"{path}: not written by gmaug, or damaged ({error}); make it again") from None
