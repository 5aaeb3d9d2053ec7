"""A cGAN and images small enough to train in a second, and ways to look at what was trained."""

import subprocess
import sys
import textwrap

import numpy as np
import pytest

from gmaug.generators import TransitionalCGANSettings

TINY = TransitionalCGANSettings(
    resolution=8,
    channels=(8, 8),
    z_dim=8,
    w_dim=8,
    batch=8,
    kimg=0.32,  # 40 steps
    report_kimg=0.08,
    checkpoint_kimg=0.08,
    r1_every=4,
    threads=1,
)


def tiny(**changes: object) -> TransitionalCGANSettings:
    return TransitionalCGANSettings.from_dict(TINY.to_dict() | changes)


def weights(model) -> bytes:
    states = [net.state_dict() for net in model.nets_.values()]
    return b"".join(value.contiguous().numpy().tobytes() for state in states for value in state.values())


def flat_classes(counts: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Noise of 8 x 8 pixels around means of 39, 100, 159, ..., so many of each class."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(len(counts)), counts)
    images = rng.integers(0, 80, (len(labels), 8, 8, 3)) + 60 * labels[:, None, None, None]
    return images.astype(np.uint8), labels


SCRIPT = """
import sys
import numpy as np, torch
from accelerate import Accelerator
{imports}

def main(out):
    accelerator = Accelerator(cpu=True)
    assert accelerator.num_processes == 2
    data = np.load(out + "/data.npz")
    model = {model}.fit(data["images"], data["labels"], accelerator=accelerator)
    tensors = [t for net in model.nets_.values() for t in net.state_dict().values()]
    vector = torch.cat([t.flatten().float() for t in tensors])
    np.save(out + "/weights" + str(accelerator.process_index) + ".npy", vector.numpy())

if __name__ == "__main__":
    main(sys.argv[1])
"""


def two_processes(folder, data, *, imports: str, model: str) -> list[np.ndarray]:
    pytest.importorskip("accelerate")
    np.savez(folder / "data.npz", images=data[0], labels=data[1])
    script = folder / "train.py"
    script.write_text(textwrap.dedent(SCRIPT).format(imports=imports, model=model))
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    launch += [str(script), str(folder)]
    done = subprocess.run(launch, capture_output=True, text=True, timeout=1800, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return [np.load(folder / f"weights{rank}.npy") for rank in range(2)]
