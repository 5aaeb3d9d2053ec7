"""The study's generators: trained once per set, their weights part of their record (Fig. 5)."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import records
from gmaug.generators.settings import PROFILES, RunSettings
from gmaug.study.sets import CIFAR10, CIFAR10_CLASSES, SIZE, data_of, study_set

if TYPE_CHECKING:
    from gmaug.generators.extractor import Extractor
    from gmaug.generators.trained import TrainedGenerator

KINDS = {"cgan": "generators.cgan", "gd": "generators.diffusion"}
"""The paper's two generators, and the module that decides what each computes."""


LONGER: dict[tuple[str, str], dict[str, Any]] = {
    # photographs: after the gardens' eight minutes nobody could name their classes
    (CIFAR10, "gd"): {
        "channels": (48, 72, 96),
        "classifier_channels": (32, 48, 64),
        "kimg": 360.0,
        "report_kimg": 18.0,
        "checkpoint_kimg": 18.0,
        "sampling_steps": 25,
    },
}
"""What a set's recorded run has other than the profile ``default``."""


def settings_of(name: str, kind: str, classes: int) -> RunSettings:
    """Settings of the recorded run of a kind on a set: one core, and the same for every garden."""
    own: dict[str, Any] = LONGER.get((name, kind), {}) | {"n_classes": classes, "threads": 1}
    if kind == "gd":
        from gmaug.generators.diffusion_settings import PROFILES as DIFFUSION

        return replace(DIFFUSION["default"], **own)
    return replace(PROFILES["default"], **own)


def weights_path(name: str, kind: str) -> Path:
    """Where the weights of a set's recorded generator lie."""
    return records.path_of("generators", f"{name}-{kind}").with_suffix(".safetensors")


def class_of(kind: str) -> type[TrainedGenerator]:
    """The class of a kind; ``ValueError`` with the known ones if there is none."""
    from gmaug import generators

    names = {"cgan": "TransitionalCGAN", "gd": "GuidedDiffusion"}
    if kind not in names:
        raise ValueError(f"{kind}: unknown generator; there are {', '.join(names)}")
    return getattr(generators, names[kind])


def generator_record(name: str, kind: str = "cgan", *, root: Path | None = None) -> dict[str, Any]:
    """The record of a set's generator.

    A garden's images are made again and compared with the record's; CIFAR-10's only where `root`
    says where they are.

    Raises
    ------
    gmaug.records.Refused
        If there is none, or its settings, images, source or weights differ from today's.
    """
    known = name != CIFAR10 or root is not None
    source = study_set(name, root) if known else None
    settings = settings_of(name, kind, len(source.classes) if source else CIFAR10_CLASSES)
    data_hash = data_of(source)["hash"] if source else None
    path = records.path_of("generators", f"{name}-{kind}")
    return records.read(path, settings=settings, data_hash=data_hash)


def recorded_generator(
    name: str, kind: str = "cgan", *, root: Path | None = None
) -> tuple[TrainedGenerator, dict[str, Any]]:
    """The generator of a set from its record, and the record; :func:`generator_record` says when."""
    record = generator_record(name, kind, root=root)
    return class_of(kind).load(weights_path(name, kind), threads=1), record


def recorded_generators(name: str) -> tuple[dict[str, TrainedGenerator], dict[str, dict[str, Any]]]:
    """All recorded generators of a set that hold, and their records, by kind."""
    generators, found = {}, {}
    for kind in KINDS:
        try:
            generators[kind], found[kind] = recorded_generator(name, kind)
        except records.Refused:
            continue
    return generators, found


def record_generator(name: str, kind: str = "cgan", *, checkpoints: Path, root: Path | None = None) -> Path:
    """Train the generator of a set and record its weights, curve and distances.

    Parameters
    ----------
    name : str
        Of the set.
    kind : {"cgan", "gd"}
    checkpoints : Path
        Where the run is kept while it goes on; a killed one resumes there.
    root : Path, optional
        As :func:`gmaug.study.sets.study_set` takes it.
    """
    from gmaug.study.quality import quality

    source, title = study_set(name, root), f"{name}-{kind}"
    settings = settings_of(name, kind, len(source.classes))
    generator = class_of(kind)(settings).fit(
        *source.train,
        validation=source.validation,
        checkpoint=checkpoints / title,
        extractor=watching(name, root),
    )
    weights = weights_path(name, kind)
    weights.parent.mkdir(parents=True, exist_ok=True)
    generator.save(weights)
    # What is measured is what a reader loads: half-precision weights, not those in memory.
    loaded = class_of(kind).load(weights, threads=1)
    content = {
        "history": generator.history_,
        "kept_kimg": generator.kimg_,
        "distances": quality(source, loaded, extractor(name, root)),
    }
    return records.write(
        "generators",
        title,
        content,
        settings=settings,
        data=data_of(source),
        modules=(KINDS[kind], "generators.extractor"),
        seconds=generator.history_[-1]["seconds"],
        device=f"cpu, {settings.threads} thread",
        files=[weights.name],
    )


@cache
def extractor(name: str, root: Path | None = None, *, size: int = SIZE) -> Extractor:
    """A net trained on real images that no generator has seen, where there are such: the judge."""
    from gmaug.generators.extractor import train_extractor

    return train_extractor(*study_set(name, root, size=size).judges(), seed=0, threads=1)


@cache
def watching(name: str, root: Path | None = None, *, size: int = SIZE) -> Extractor:
    """A net to watch a training by: its images are neither the generator's nor the judge's.

    One trained on the training images themselves would know them by heart and take a good
    generator's images, which resemble them, for something else than the validation images.
    """
    from gmaug.generators.extractor import train_extractor

    return train_extractor(*study_set(name, root, size=size).watchers(), seed=1, threads=1)
