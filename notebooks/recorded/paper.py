"""The paper's own experiment at its own sizes (section 4.1): what it would take, and the run of it.

``python notebooks/recorded/paper.py`` prints the plan, and with ``SET --data D --out OUT`` runs it: metric,
both generators, and a cell for each arm and classifier of Tables 3 and 4. Every part resumes.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import published
from gmaug.__main__ import status_of
from gmaug.classifiers.settings import PAPER, PAPER_MAE, MAESettings, ResNet18Settings
from gmaug.generators.settings import PROFILES, GuidedDiffusionSettings, TransitionalCGANSettings
from gmaug.progress import bar

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from gmaug.datasets.base import ImageSet

GENERATORS = ("cgan", "diffusion")
ARMS = {  # columns of Tables 3 and 4
    "resnet18": ("original", "cb-loss", "cgan-aug", "cgan-augcls", "diffusion-augcls"),
    "mae": ("original", "cgan-aug", "cgan-augcls"),
}
RESNET18 = replace(PAPER, mixed_precision=True)
VIT = replace(PAPER_MAE, mixed_precision=True)  # to be given `weights`, the folder of the published ViT-H/14
SUSTAINED = 60.0  # TFLOP/s: an assumption, a fifth of an A100's peak in bfloat16
CLASSES = 12  # of the networks whose work is counted; more change little
GIB = 2**30
ONLY_ON_A_GPU = (  # what no test on a CPU reaches
    "bfloat16 autocast of generators and classifiers: a CPU runs the same code in float32",
    "channels-last layout of the networks on CUDA",
    "CUDA's fused Adam: a CPU has a fused Adam of its own",
    "random numbers of CUDA's generator: other images than a CPU draws, of the same distribution",
    "training images and their augmentations held in the memory of the device",
    "several GPUs through accelerate and NCCL: tested with two CPU processes through gloo",
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What decides the cost of the run; the defaults are the paper's, a test shrinks budgets alone."""

    cgan: TransitionalCGANSettings = PROFILES["cgan"]["paper"]
    diffusion: GuidedDiffusionSettings = PROFILES["diffusion"]["paper"]
    resnet18: ResNet18Settings = RESNET18
    mae: MAESettings = VIT
    size: int = 256  # side of the classifiers' images, of which they see 224 pixels
    rounds: int = 2  # of GM-augCls
    budget: float = 5.0  # candidates that may be drawn per image wanted and round


# The run


@dataclass(frozen=True)
class Enlarged:
    """A generator whose images are resized to the side that the classifiers take."""

    generator: Any
    size: int

    def sample(self, labels: np.ndarray, *, seed: int) -> np.ndarray:
        """Images, uint8 (n, size, size, 3), resized as the real ones are."""
        from gmaug.datasets.base import ArrayImages

        return ArrayImages(self.generator.sample(labels, seed=seed), labels).arrays(size=self.size)


def run(
    images: ImageSet, out: str | Path, *, target: int, sizes: Sizes = Sizes(), seed: int = 0,
    device: str = "auto", say: Callable[[str], None] = lambda line: None,
) -> pd.DataFrame:  # fmt: skip
    """Every stage of the paper's experiment on one image set.

    Parameters
    ----------
    images : ImageSet
        Split here: eight tenths to train on, one to choose epochs and rounds, one to judge.
    out : path
        Keeps the metric, the generators and a record a cell; a run that was broken off goes on there.
    target : int
        Images that each class is filled to (:func:`gmaug.published.training_sets` has the paper's).
    sizes : Sizes
    seed : int
        Of the split, the networks and the samples.
    device : str
        As :func:`gmaug.backend.device` takes it.
    say : callable
        Told of each stage.

    Returns
    -------
    DataFrame
        A row a cell, as :func:`gmaug.experiment.frame` gives it.
    """
    from gmaug import runs, workspace
    from gmaug.datasets.base import Splits
    from gmaug.datasets.imbalance import split
    from gmaug.experiment import Cell, CellSettings, Material, frame, run_cells
    from gmaug.generators import generator_class
    from gmaug.similarity import measure

    out = Path(out)
    parts = Splits(*split(images, (0.8, 0.1, 0.1), seed=seed))
    if not (out / "metric.json").exists():
        say("metric")
        runs.write_json(out / "metric.json", measure(parts.train, seed=seed).to_dict())
    trained = {}
    for kind in GENERATORS:
        about = {"seed": seed, "device": device, "n_classes": len(parts.train.classes)}
        model = generator_class(kind)(replace(getattr(sizes, kind), **about))
        side, path = model.settings.resolution, out / f"{kind}.safetensors"
        arrays = [(part.arrays(size=side), part.labels) for part in (parts.train, parts.validation)]
        model = workspace.trained(model, path, parts.train.classes, *arrays, say=say)
        trained[kind] = Enlarged(model, sizes.size), runs.digest(path.read_bytes())
    say("classifiers")
    material, cells = Material.of(parts, size=sizes.size, name=images.name, generators=trained), []
    for classifier, arms in ARMS.items():
        settings = CellSettings(  # lengths in epochs, as the paper has them
            size=sizes.size, classifier=classifier, training=getattr(sizes, classifier), steps=None,
            target=target, rounds=sizes.rounds, budget=sizes.budget,
        )  # fmt: skip
        variant = "" if classifier == "resnet18" else classifier
        cells += [Cell(images.name, arm, seed, settings, variant) for arm in arms]
    return frame(run_cells(cells, {images.name: material}, folder=out, say=say))


# The plan


@dataclass(frozen=True)
class Work:
    """What a network's training takes: `flop` an image shown, memory of its state and of an image, bytes."""

    flop: float
    state: float
    image: float


def work(sizes: Sizes) -> dict[str, Work]:
    """Counted, not estimated: one step of each trainer, one pass of the classifiers' networks.

    ``sampling`` of the diffusion model is per image and noise level. Memory of an image is what the backward
    pass keeps in float32, an upper bound: kept tensors of two passes of a step are added.
    """
    found = {}
    for kind in bar(GENERATORS, desc="one step of each", unit="network"):
        found |= _generator_work(kind, getattr(sizes, kind))
    return found | _classifier_work(sizes)


def _generator_work(kind: str, settings: Any) -> dict[str, Work]:
    import torch

    from gmaug.generators import generator_class

    batch, side = getattr(settings, "minibatch_std", 1), settings.resolution
    training = generator_class(kind).training_class(
        replace(settings, batch=batch, device="cpu"), np.zeros((8, side, side, 3), np.uint8),
        np.arange(8), n_classes=CLASSES, device=torch.device("cpu"),
    )  # fmt: skip
    training.step_count = 1  # the R1 penalty comes every sixteenth step
    flop, kept = counted(training.step)
    state = sum(tensor.nbytes for tensor in training.state().values())
    gradients = sum(w.nbytes for o in training.optimisers.values() for w in o.param_groups[0]["params"])
    found = {kind: Work(flop / batch, state + gradients, kept / batch)}
    if kind == "diffusion":
        x, level = torch.zeros(1, 3, side, side), torch.zeros(1, dtype=torch.int64)
        with torch.no_grad():
            denoising, _ = counted(lambda: training.live["unet"](x, level, level))
        guiding, kept = counted(lambda: training.live["classifier"](x, level).sum().backward())
        found["sampling"] = Work(denoising + guiding, state / 4, kept)
    return found


def _classifier_work(sizes: Sizes) -> dict[str, Work]:
    import torch

    from gmaug.classifiers.mae import vit_classifier
    from gmaug.classifiers.resnet import resnet18

    found, sides = {}, {name: getattr(sizes, name).crop_size or sizes.size for name in ARMS}
    with torch.device("meta"):  # shapes without numbers
        nets = {
            "resnet18": resnet18(CLASSES, sizes.resnet18),
            "mae": vit_classifier(sizes.mae, side=sides["mae"], classes=CLASSES),
        }
        pixels = {name: torch.zeros(2, 3, side, side) for name, side in sides.items()}
    for name, net in nets.items():
        flop, kept = counted(lambda net=net, name=name: net(pixels[name]).sum().backward())
        copies = 3 if name == "resnet18" else 4  # weights, gradients, and the moments of SGD or AdamW
        found[name] = Work(flop / 2, copies * sum(w.nbytes for w in net.parameters()), kept / 2)
    return found


def counted(step: Callable[[], Any]) -> tuple[float, float]:
    """Floating-point operations of a step, and bytes that its backward passes keep."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    kept: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor)
    with FlopCounterMode(display=False) as counter, hooks:
        step()
    return float(counter.get_total_flops()), float(sum(kept.values()))


def plan(
    sets: Sequence[str] = published.DATASETS, *, sizes: Sizes = Sizes(), sustained: float = SUSTAINED
) -> pd.DataFrame:
    """What every stage takes, at most.

    Parameters
    ----------
    sets : sequence of str
        Of the paper's (:data:`gmaug.published.DATASETS`): its training images and target counts.
    sustained : float
        TFLOP/s that the GPU sustains; everything in the column ``gpu_hours`` stands on it.

    Returns
    -------
    DataFrame
        ``set``, ``stage``, ``images`` (millions shown to a network, or drawn), ``pflop``, ``gpu_hours``,
        ``gpu_gib``, ``host_gib``, ``disk_gib``: one seed.
    """
    import pandas as pd

    facts = published.training_sets().set_index("dataset")
    if unknown := [name for name in sets if name not in facts.index]:
        raise ValueError(f"{unknown[0]!r} is no set of the paper's; it has {', '.join(facts.index)}")
    found, rows = work(sizes), []

    def add(stage: str, kind: str, shown: float, settings: Any, *, host: float, disk: float) -> None:
        one, batch = found[kind], 32 if kind == "sampling" else settings.batch
        memory = one.state + batch * one.image / (2 if settings.mixed_precision else 1)
        rows.append({
            "set": name, "stage": stage, "images": shown / 1e6, "pflop": shown * one.flop / 1e15,
            "gpu_hours": shown * one.flop / (sustained * 1e12) / 3600, "gpu_gib": memory / GIB,
            "host_gib": host / GIB, "disk_gib": disk / GIB,
        })  # fmt: skip

    for name in sets:
        classes, real, target = (int(facts.loc[name, c]) for c in ("classes", "images", "target_per_class"))
        filled = max(classes * target, real)
        drawn = (filled - real) * sizes.budget * sizes.rounds
        for kind in GENERATORS:
            s, state = getattr(sizes, kind), found[kind].state
            disk = state + state / 8  # the checkpoint, and the average in half precision
            add(f"{kind}, training", kind, 1000 * s.kimg, s, host=real * 3 * s.resolution**2, disk=disk)
        s = sizes.diffusion
        add("diffusion, candidates", "sampling", s.sampling_steps * drawn, s, host=0, disk=0)
        for classifier, arms in ARMS.items():
            s, disk = getattr(sizes, classifier), found[classifier].state / 3
            for arm in arms:
                size = seen = filled if "-aug" in arm else real
                if arm.endswith("-augcls"):  # the selector on the originals, then a training a round
                    seen = real + sizes.rounds * filled
                host = size * 3 * sizes.size**2
                add(f"{classifier}, {arm}", classifier, s.epochs * seen, s, host=host, disk=disk)
    return pd.DataFrame(rows)


# The command


def parser() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser()
    parser.description = (
        "Without SET, print what the paper's experiment takes; with SET, run it (a GPU, weeks)."
    )
    add = parser.add_argument
    add("set", metavar="SET", nargs="?", help="flowers, scene, utkface, inat2019-fungi, ...")
    add("--data", type=Path, help="folder that holds the set")
    add("--out", type=Path, help="where the run keeps everything")
    add("--weights", type=Path, help="folder of the published ViT-H/14 (save_pretrained's)")
    add("--seed", type=int, default=0, help="of split, networks and samples (default 0)")
    add("--device", default="auto", help="auto, cpu, cuda, ... (default auto)")
    add("--tflops", type=float, default=SUSTAINED, help=f"that the GPU sustains (default {SUSTAINED:g})")
    add("--json", action="store_true", help="print the plan as one JSON object")
    return parser


def _paper(options: argparse.Namespace) -> int:
    from gmaug.datasets import open_images
    from gmaug.datasets.real import REAL

    if options.tflops <= 0:
        raise ValueError(f"--tflops {options.tflops}: give a number above 0")
    if options.set is None:
        return _print_plan(plan(sustained=options.tflops), options)
    if options.set not in REAL:
        raise ValueError(f"{options.set}: no set of the paper's; use one of {', '.join(REAL)}")
    if options.out is None:
        raise ValueError("a run needs --out OUT, the folder that keeps it")
    title = REAL[options.set].title
    images = open_images(options.set, root=options.data)
    if not options.json:
        _print_plan(plan([title], sustained=options.tflops), options)
    target = int(published.training_sets().set_index("dataset").loc[title, "target_per_class"])
    weights = None if options.weights is None else str(options.weights)
    sizes = Sizes(mae=replace(VIT, weights=weights))
    about = {"seed": options.seed, "device": options.device, "say": print}
    table = run(images, options.out, target=target, sizes=sizes, **about)
    table.to_csv(options.out / "results.csv", index=False)
    print(table[["arm", "classifier", "top1", "balanced_accuracy", "tail", "auroc"]].round(3).to_string())
    return 0


def _print_plan(table: pd.DataFrame, options: argparse.Namespace) -> int:
    if options.json:
        about = {"tflops": options.tflops, "sizes": asdict(Sizes()), "only_on_a_gpu": ONLY_ON_A_GPU}
        print(json.dumps({"stages": table.to_dict("records")} | about, indent=1, default=str))
        return 0
    sets, most = table["set"].unique(), ("gpu_gib", "host_gib")  # of memory the largest, sums of the others
    how = {name: "max" if name in most else "sum" for name in table.columns.drop(["set", "stage"])}
    print(f"The paper's experiment on {', '.join(sets)}: one seed, every stage at its most.\n")
    print(table.groupby("stage", sort=False).agg(how).round(1).to_string())
    if len(sets) > 1:
        print("\n" + table.groupby("set", sort=False).agg(how).round(1).to_string())
    total = table["gpu_hours"].sum()
    print(
        f"\n{total:,.0f} GPU-hours at {options.tflops:g} TFLOP/s sustained (--tflops; assumed, unmeasured).\n"
        "images: millions shown to a network, or noise levels of drawn images; gpu_gib: with activations in "
        "half precision where the settings say so; the metric takes minutes of a CPU.\n"
        "Not tested without a GPU:\n  " + "\n  ".join(ONLY_ON_A_GPU)
    )
    return 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command: 0 on success, 2 after one line on bad input."""
    options = parser().parse_args(arguments)
    return status_of(lambda: _paper(options), name="paper")


if __name__ == "__main__":
    sys.exit(main())
