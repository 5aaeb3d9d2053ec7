"""What a user brings as a generator: a function, images made elsewhere, a ``diffusers`` pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from gmaug.generators.base import check_labels, check_training, require_linear


class Brought:
    """What the adapters share: they are not trained, know labels alone and are kept by who brought them."""

    name = "generator"
    linear_conditions = False

    def fit(self, images: np.ndarray, labels: np.ndarray, **_: Any) -> Self:
        """Nothing: what was brought is what it is."""
        return self

    def sample(
        self, labels: Sequence[int] | np.ndarray | None = None, *, conditions: Any = None, seed: int
    ) -> np.ndarray:
        """One image, uint8 (n, h, w, 3), for each label; the same for the same seed.

        ``ValueError`` if conditions are given, or a label is not known.
        """
        if conditions is not None or labels is None:
            require_linear(self)
        return self._draw(check_labels(labels), seed)

    def save(self, path: str | Path) -> None:
        """Not possible, but of a bank."""
        raise ValueError(f"generator {self.name!r} was brought by you; keep it, there is nothing to save")

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Not possible, but of a bank."""
        raise ValueError(f"{path}: not loaded from files; make a {cls.__name__} of what you have")


class FunctionGenerator(Brought):
    """A user's function as a generator: ``function(labels, rng) -> uint8 (n, h, w, 3)``.

    What it returns is checked: ``ValueError`` if it is anything but uint8 RGB images, one a label.

    Parameters
    ----------
    function : callable
        Takes the labels (int64 array) and a ``numpy.random.Generator`` made from the seed.
    name : str, optional
        To print; the function's own by default.
    """

    def __init__(
        self, function: Callable[[np.ndarray, np.random.Generator], np.ndarray], *, name: str | None = None
    ) -> None:
        self.function, self.name = function, name or getattr(function, "__name__", "function")

    def _draw(self, labels: np.ndarray, seed: int) -> np.ndarray:
        images = np.asarray(self.function(labels, np.random.default_rng(seed)))
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != len(labels):
            raise ValueError(
                f"generator {self.name!r} gave {images.dtype} {images.shape} for {len(labels)} labels; "
                "return uint8 (n, height, width, 3)"
            )
        return images


class BankGenerator(Brought):
    """Images made elsewhere, handed out by class in random order: each once in a sample while they last.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, h, w, 3)
    labels : sequence of int, shape (n,)
    name : str
    """

    def __init__(self, images: np.ndarray, labels: Sequence[int] | np.ndarray, *, name: str = "bank") -> None:
        self.images, self.labels = check_training(images, labels)
        self.name = name

    @classmethod
    def from_folder(cls, folder: str | Path, *, classes: Sequence[str], size: int) -> Self:
        """The images of ``folder/class/...``, whatever made them.

        Parameters
        ----------
        folder : path
        classes : sequence of str
            Names of the sub-folders in the order of the labels; classes without one are left out.
        size : int
            Side in pixels to which they are cropped and resized.

        Raises
        ------
        ValueError
            If a sub-folder is not among `classes`, or the folder holds no images. Files that cannot
            be read are left out with a warning.
        """
        from gmaug.datasets import open_images
        from gmaug.datasets.base import labelled, printable

        found = open_images(folder)
        unknown = set(found.classes) - set(classes)
        if unknown:
            raise ValueError(f"{found.name}: {sorted(unknown)} are not among the classes {list(classes)}")
        place = np.array([list(classes).index(name) for name in found.classes])
        pixels, numbers = labelled(found, size=size, name=printable(folder))
        return cls(pixels, place[numbers], name=printable(folder))

    def _draw(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """In random order, again from the start when used up."""
        rng, rows = np.random.default_rng(seed), np.empty(len(labels), dtype=np.int64)
        for label in np.unique(labels):
            have, places = np.flatnonzero(self.labels == label), np.flatnonzero(labels == label)
            if not len(have):
                raise ValueError(f"generator {self.name!r} has no image of class {label}; add some")
            rounds = -(-len(places) // len(have))
            rows[places] = np.concatenate([rng.permutation(have) for _ in range(rounds)])[: len(places)]
        return self.images[rows]

    def save(self, path: str | Path) -> None:
        """Write the bank (npz), whole or not at all."""
        draft = Path(f"{path}.part")
        try:
            with open(draft, "wb") as file:
                np.savez_compressed(file, images=self.images, labels=self.labels, name=self.name)
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a bank that `save` wrote."""
        with np.load(path) as file:
            return cls(file["images"], file["labels"], name=str(file["name"]))


class PipelineGenerator(Brought):
    """A ``diffusers`` pipeline as a generator, whether it takes classes or prompts.

    Parameters
    ----------
    pipeline : diffusers.DiffusionPipeline
        Loaded and on its device.
    size : int
        Side in pixels to which its square images are resized.
    classes : mapping of int to int, optional
        From our labels to the pipeline's class numbers, for one that takes ``class_labels`` (such
        as ``DiTPipeline``).
    prompts : mapping of int to str, optional
        From our labels to prompts, for one that takes ``prompt``: this or `classes`.
    batch : int
        Images asked for at once.
    **options
        Passed on with each call, such as ``num_inference_steps``.
    """

    def __init__(
        self,
        pipeline: Any,
        *,
        size: int,
        classes: Mapping[int, int] | None = None,
        prompts: Mapping[int, str] | None = None,
        batch: int = 16,
        **options: Any,
    ) -> None:
        if (classes is None) == (prompts is None):
            raise ValueError("give classes= or prompts=, whichever the pipeline takes, and not both")
        self.pipeline, self.size, self.batch, self.options = pipeline, size, batch, options
        self.argument, self.names = ("class_labels", classes) if prompts is None else ("prompt", prompts)

    def _draw(self, labels: np.ndarray, seed: int) -> np.ndarray:
        """Each image with a random stream of its own."""
        import torch
        from PIL import Image

        made: list[np.ndarray] = []
        missing = set(labels.tolist()) - set(self.names)
        if missing:
            raise ValueError(f"{self.argument}: nothing given for the classes {sorted(missing)}")
        streams = np.random.SeedSequence(seed).generate_state(len(labels), dtype=np.uint64) >> 1
        for start in range(0, len(labels), self.batch):
            part = slice(start, start + self.batch)
            asked = {self.argument: [self.names[label] for label in labels[part].tolist()]}
            random = [torch.Generator().manual_seed(int(s)) for s in streams[part]]
            found = self.pipeline(**asked, generator=random, output_type="np", **self.options).images
            made += [(255 * np.clip(image, 0, 1)).round().astype(np.uint8) for image in found]
        resized = [Image.fromarray(x).resize((self.size, self.size), Image.Resampling.BICUBIC) for x in made]
        return np.array([np.asarray(x) for x in resized], np.uint8).reshape(-1, self.size, self.size, 3)
