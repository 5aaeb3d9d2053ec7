"""Images per second of the generators beside their peers at equal size, in one run, as ratios.

- the cGAN against ``stylegan2_pytorch``, whose training step and networks are taken as they are
  (it asks for CUDA at import; on a CPU its calls to ``.cuda()`` are made to do nothing);
- guided diffusion against the training loop of ``diffusers``' own tutorial, written here in its
  plainest form around the same UNet, and against its DDIM pipeline for sampling.

A peer that is not installed is left out, and the table says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from gmaug import records
from gmaug.generators.diffusion_training import make_classifier, make_denoiser
from gmaug.progress import track
from gmaug.study.generation import class_of, settings_of
from gmaug.study.sets import data_of, study_set
from gmaug.study.speed_peers import (
    SET,
    parameters,
    peer_gan,
    peer_gan_sampling,
    peer_gan_training,
    peer_nets,
    plain_ddim,
    plain_diffusion,
    stylegan2_pytorch,
)

if TYPE_CHECKING:
    import pandas as pd

OURS = ("gmaug", "gmaug, unguided")  # what a peer of the same task is compared with
ROUNDS = 5  # each contestant in turn, so that a busy moment hits them alike
MODULES = ("generators.cgan", "generators.diffusion", "study.speed", "study.speed_peers")


def images_per_second(work: Callable[[], int], *, clock: Callable[[], float] = time.process_time) -> float:
    """How many images a call of `work` handles per second of processor time; it returns their number."""
    start = clock()
    count = work()
    return count / (clock() - start)


def _ours_training(kind: str, steps: int) -> Callable[[], int]:
    """Steps of a recorded generator's own training loop."""
    source = study_set(SET)
    settings = settings_of(SET, kind, len(source.classes))
    run = class_of(kind).training_class(
        settings, *source.train, n_classes=len(source.classes), device=torch.device("cpu")
    )

    def work() -> int:
        for _ in range(steps):
            run.step()
        return steps * settings.batch

    return work


def _ours_sampling(kind: str, count: int, **options: Any) -> Callable[[], int]:
    source = study_set(SET)
    settings = replace(settings_of(SET, kind, len(source.classes)), kimg=0.064)
    model = class_of(kind)(settings).fit(*source.train)
    labels = np.arange(count) % len(source.classes)

    def work() -> int:
        model.sample(labels, seed=0, **options)
        return count

    return work


def contests(steps: int = 12, count: int = 128) -> list[tuple[str, str, str, Callable[[], int], int]]:
    """(generator, task, contestant, work, parameters), ours first in each task."""
    settings = settings_of(SET, "cgan", len(study_set(SET).classes))
    training = class_of("cgan").training_class(
        settings, *study_set(SET).train, n_classes=settings.n_classes, device=torch.device("cpu")
    )
    gan = parameters(training.generator, training.discriminator)
    found = [
        ("cGAN", "training", "gmaug", _ours_training("cgan", steps), gan),
        ("cGAN", "sampling", "gmaug", _ours_sampling("cgan", 8 * count), parameters(training.generator)),
    ]
    if (module := stylegan2_pytorch()) is not None:
        for task, like in (("training", gan), ("sampling", parameters(training.generator))):
            model = peer_gan(module, like, sampling=task == "sampling")
            work = (
                peer_gan_training(module, model, steps, settings.batch)
                if task == "training"
                else peer_gan_sampling(module, model, 8 * count)
            )
            size = parameters(*peer_nets(model, sampling=task == "sampling"))
            found.append(("cGAN", task, "stylegan2_pytorch", work, size))
    diffusion = settings_of(SET, "gd", settings.n_classes)
    unet, classifier = (
        parameters(make(diffusion, settings.n_classes)) for make in (make_denoiser, make_classifier)
    )
    name = "diffusers loop"
    return [
        *found,
        ("diffusion", "training", "gmaug", _ours_training("gd", steps), unet + classifier),
        ("diffusion", "training", name, plain_diffusion(steps, classifier=True), unet + classifier),
        ("diffusion", "training", f"{name}, UNet alone", plain_diffusion(steps, classifier=False), unet),
        ("diffusion", "sampling", "gmaug, unguided", _ours_sampling("gd", count, guidance=0.0), unet),
        ("diffusion", "sampling", name, plain_ddim(count), unet),
        ("diffusion", "sampling", "gmaug, guided", _ours_sampling("gd", count), unet + classifier),
    ]


def measure(*, rounds: int = ROUNDS, **sizes: int) -> list[dict[str, Any]]:
    """Images a second of every contestant, round after round, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        entered = contests(**sizes)
        speeds: list[list[float]] = [[] for _ in entered]
        for turn in track(range(rounds + 1), desc="speed"):
            for place, (*_, work, _) in enumerate(entered):
                speed = images_per_second(work)
                if turn:  # the first round warms up
                    speeds[place].append(speed)
    finally:
        torch.set_num_threads(before)
    return [
        {"generator": g, "task": t, "contestant": c, "parameters": p, "images_per_second": found}
        for (g, t, c, _, p), found in zip(entered, speeds, strict=True)
    ]


def record() -> Path:
    """Measure and record."""
    start, rows = time.perf_counter(), measure()
    return records.write(
        "speed", "generators", {"rows": rows}, settings={"rounds": ROUNDS, "set": SET},
        data=data_of(study_set(SET)), modules=MODULES, seconds=time.perf_counter() - start,
        device="cpu, 1 thread",
    )  # fmt: skip


def frame() -> pd.DataFrame:
    """Median images per second of processor time and ours over each peer's, round by round.

    Returns
    -------
    DataFrame
        ``generator``, ``task``, ``contestant``, ``parameters``, ``images_per_second``, ``ratio``
        (ours over it; medians over rounds, NaN for ours) with ``low`` and ``high``, the least and
        greatest of the rounds. Empty if there is no record that holds.
    """
    import pandas as pd

    columns = [
        "generator", "task", "contestant", "parameters", "images_per_second", "ratio", "low", "high"
    ]  # fmt: skip
    try:
        rows = records.read(records.path_of("speed", "generators"))["content"]["rows"]
    except records.Refused:
        return pd.DataFrame(columns=columns)
    ours = {
        (row["generator"], row["task"]): np.array(row["images_per_second"])
        for row in rows
        if row["contestant"] in OURS
    }
    out = []
    for row in rows:
        speeds = np.array(row["images_per_second"])
        ratios = ours[row["generator"], row["task"]] / speeds
        if row["contestant"] in OURS:
            ratios = np.full(len(speeds), np.nan)
        own = [row[name] for name in columns[:4]]
        out.append((*own, np.median(speeds), np.median(ratios), ratios.min(), ratios.max()))
    return pd.DataFrame(out, columns=columns)
