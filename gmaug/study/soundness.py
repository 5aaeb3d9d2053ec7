"""Are the classifiers sound? Full balanced sets, and a plain PyTorch loop beside our own.

``python -m gmaug.study.soundness garden cifar10 --data FOLDER`` measures and records. `garden`: what
ResNet18 and the masked autoencoder reach on a garden with as many images of every class as one
likes. `cifar10`: our ResNet18 against :func:`plain_resnet18`, a loop that shares with it the
network and the numbers of the recipe and nothing else.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from gmaug import runs
from gmaug.classifiers.settings import GARDEN, GARDEN_MAE, MAESettings, ResNet18Settings
from gmaug.runs import digest
from gmaug.study.sets import SIZE, Arrays, study_set

if TYPE_CHECKING:
    from gmaug.classifiers.training import TorchClassifier

KIND = "soundness"
TRAINING_SEED = 10  # of `more`; 2, 3 and 4 are drawn elsewhere
BALANCED = replace(GARDEN, epochs=20, steps=None)  # fewer than for the long-tailed garden, over more images
BALANCED_MAE = replace(GARDEN_MAE, epochs=80, pretraining_epochs=40)  # a transformer learns slowly
CIFAR10 = replace(
    GARDEN, epochs=8, steps=None, lr=0.1, schedule="step", warmup=0.0, decay_every=0.5, nesterov=False,
    weight_decay=1e-4, decay_all=True, smoothing=0.0,
)  # fmt: skip


@dataclass(frozen=True)
class SoundnessSettings:
    """Sizes that fit both runs into half an hour of one core.

    Parameters
    ----------
    garden : str
    each : int
        Training images of every class; the smallest has 10 in the long-tailed set.
    resnet18, mae : ResNet18Settings, MAESettings
        Of the balanced garden.
    seed : int
    cifar10 : ResNet18Settings
        Narrow as the garden's; the plain loop has the same.
    seeds : tuple of int
        Runs of either loop on CIFAR-10.
    """

    garden: str = "garden-4"
    each: int = 300
    resnet18: ResNet18Settings = BALANCED
    mae: MAESettings = BALANCED_MAE
    seed: int = 0
    cifar10: ResNet18Settings = CIFAR10
    seeds: tuple[int, ...] = (0, 1, 2, 3)


RECORDED = SoundnessSettings()


def balanced_garden(settings: SoundnessSettings = RECORDED) -> dict[str, Any]:
    """Both classifiers on a garden whose classes are all full.

    Returns
    -------
    dict
        ``images``, ``classes``, ``chance``; and for ``resnet18`` and ``mae`` the balanced test
        ``accuracy`` with its binomial ``se``, ``by_class``, ``train_accuracy`` and ``seconds``.
    """
    from gmaug.classifiers.mae import MAE
    from gmaug.classifiers.resnet import ResNet18

    source = study_set(settings.garden)
    train = source.fresh(settings.each, TRAINING_SEED)
    classes = len(source.classes)
    found: dict[str, Any] = {"images": len(train[0]), "classes": source.classes, "chance": 1 / classes}
    for name, model in (("resnet18", ResNet18(settings.resnet18)), ("mae", MAE(settings.mae))):
        start = time.perf_counter()
        model.fit(*train, validation=source.validation, seed=settings.seed, desc=name)
        right = model.predict(source.test[0]) == source.test[1]
        share = [float(right[source.test[1] == c].mean()) for c in range(classes)]
        counts = np.bincount(source.test[1], minlength=classes)
        variance = sum(p * (1 - p) / n for p, n in zip(share, counts, strict=True)) / classes**2
        found[name] = {
            "accuracy": float(np.mean(share)),
            "se": float(np.sqrt(variance)),
            "by_class": share,
            "train_accuracy": model.history_[-1]["train_accuracy"],
            "seconds": round(time.perf_counter() - start, 1),
        }
    return found


def against_plain(train: Arrays, test: Arrays, settings: SoundnessSettings = RECORDED) -> dict[str, Any]:
    """Our training and the plain loop, on the same images for as many steps.

    Parameters
    ----------
    train, test : Arrays
        uint8 (n, h, w, 3) and int64 (n,).

    Returns
    -------
    dict
        ``ours`` and ``plain``: test accuracy of each seed, of the last weights (nothing is chosen
        on validation). ``difference``: of the means, ours less plain; ``se``: from the spread
        between seeds, so that luck of the start and of the order is in it.
    """
    from gmaug.classifiers.resnet import ResNet18

    scores: dict[str, list[float]] = {"ours": [], "plain": []}
    classes = int(train[1].max()) + 1
    for seed in settings.seeds:
        model: TorchClassifier = ResNet18(settings.cifar10, device="cpu")
        model.fit(*train, seed=seed, desc=f"ours, seed {seed}")
        guesses = {
            "ours": model.predict(test[0]),
            "plain": plain_resnet18(train, test[0], settings.cifar10, classes=classes, seed=seed),
        }
        for name, guess in guesses.items():
            scores[name].append(float(np.mean(guess == test[1])))
    spread = [np.var(values, ddof=1) / len(values) for values in scores.values()]
    return {
        **scores,
        "images": [len(train[0]), len(test[0])],
        "steps": settings.cifar10.steps_for(len(train[0])),
        "difference": float(np.mean(scores["ours"]) - np.mean(scores["plain"])),
        "se": float(np.sqrt(sum(spread))),
    }


def plain_resnet18(
    train: Arrays, images: np.ndarray, settings: ResNet18Settings, *, classes: int, seed: int
) -> np.ndarray:
    """The recipe as anyone would write it in PyTorch: DataLoader, transforms, SGD, MultiStepLR.

    Parameters
    ----------
    train : Arrays
        As many images as fill whole batches; others are dropped in each epoch.
    images : ndarray of uint8, shape (n, h, w, 3)
        To be labelled after the last epoch.
    settings : ResNet18Settings
        With ``crop="padded"`` and none of the other augmentations.
    classes, seed : int

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    from gmaug import backend
    from gmaug.classifiers.resnet import resnet18

    backend.torchvision()
    from torchvision import transforms

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        pixels = torch.from_numpy(train[0]).permute(0, 3, 1, 2) / 255
        normalise = transforms.Normalize(pixels.mean(dim=(0, 2, 3)), pixels.std(dim=(0, 2, 3)))
        view = transforms.Compose([
            transforms.RandomCrop(pixels.shape[2:], padding=settings.padding, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            normalise,
        ])  # fmt: skip
        data = TensorDataset(pixels, torch.from_numpy(train[1]))
        loader = DataLoader(data, batch_size=settings.batch, shuffle=True, drop_last=True)
        net = resnet18(classes, settings)
        optimizer = torch.optim.SGD(
            net.parameters(), lr=settings.lr, momentum=settings.momentum, weight_decay=settings.weight_decay
        )
        falls = [round(settings.epochs * settings.decay_every * k) for k in range(1, 10)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, falls, gamma=settings.decay)
        for _ in range(settings.epochs):
            for batch, labels in loader:
                batch = torch.stack([view(image) for image in batch])
                optimizer.zero_grad()
                torch.nn.functional.cross_entropy(net(batch), labels).backward()
                optimizer.step()
            schedule.step()
        net.eval()
        with torch.no_grad():
            shown = normalise(torch.from_numpy(images).permute(0, 3, 1, 2) / 255)
            return torch.cat([net(part).argmax(dim=1) for part in shown.split(settings.batch)]).numpy()


def cifar10(root: Path) -> tuple[Arrays, Arrays]:
    """Training and test images of the folder's CIFAR-10, all of them.

    Raises
    ------
    FileNotFoundError
        If they are not there.
    """
    from gmaug.datasets import open_images

    if not (Path(root) / "cifar10" / "train").is_dir():
        raise FileNotFoundError(f"{root}: holds no cifar10/train/<class>/; name the folder above with --data")
    found = [open_images(Path(root) / "cifar10" / part) for part in ("train", "test")]
    train, test = ((one.arrays(size=SIZE), np.asarray(one.labels)) for one in found)
    return train, test


def record(name: str, *, root: Path | None = None, settings: SoundnessSettings = RECORDED) -> Path:
    """Measure ``"garden"`` or ``"cifar10"`` and record it.

    Raises
    ------
    ValueError
        If the name is unknown.
    FileNotFoundError
        If CIFAR-10 is asked for and is not there.
    """
    import torch

    start = time.perf_counter()
    if name == "garden":
        source = study_set(settings.garden)
        train, test = source.fresh(settings.each, TRAINING_SEED), source.test
        content = balanced_garden(settings)
    elif name == "cifar10":
        train, test = cifar10(root or Path("data"))
        content = against_plain(train, test, settings)
    else:
        raise ValueError(f"{name!r} is unknown; there are garden and cifar10")
    return runs.write_record(
        KIND, name, content,
        settings=settings,
        data={"name": name, "images": len(train[0]) + len(test[0]), "hash": digest(*train, *test)},
        seconds=time.perf_counter() - start,
        device=f"cpu, {torch.get_num_threads()} threads",
    )  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Record from the command line."""
    parser = argparse.ArgumentParser(prog="python -m gmaug.study.soundness", description=__doc__)
    parser.add_argument("what", nargs="+", choices=("garden", "cifar10"))
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder that holds cifar10/")
    options = parser.parse_args(arguments)
    for name in options.what:
        print(record(name, root=options.data), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
