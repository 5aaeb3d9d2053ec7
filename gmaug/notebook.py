"""What a notebook of the companion needs: its parameters, and a place for what it makes.

``nb = begin(name, profile=PROFILE, seed=SEED, data=DATA)`` starts it, ``nb.verdicts()`` and ``nb.footer()``
end it. All that it makes lies under ``runs/<profile>/``.
"""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gmaug import report, runs
from gmaug.runs import digest, environment, plain, root, write_json

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

PROFILE_VARIABLE = "GMAUG_PROFILE"
RUNS_VARIABLE = "GMAUG_RUNS"
LIVE_VARIABLE = "JPY_SESSION_NAME"  # set by Jupyter's server where someone has the notebook open
SCREEN_DPI = 110  # sharp in JupyterLab, and small enough to commit


@dataclass(frozen=True)
class Profile:
    """Sizes of a run; the code that runs is the same in all."""

    name: str = "default"
    metric_images: int | None = None  # training images of a garden that the metric looks at; None: all
    bootstrap: int = 2000  # draws of a bootstrap or a simulation
    live_kimg: float = 24.0  # thousands of images shown to the 16 px generator that is trained on the spot
    live_garden: str = "garden-1"  # the garden that notebook 04 follows


PROFILES = {
    "smoke": Profile("smoke", metric_images=90, bootstrap=200, live_kimg=0.5),  # for tests
    "default": Profile(),  # for two CPU cores
    "paper": Profile("paper", bootstrap=10_000, live_kimg=400.0),  # for a GPU
}


def profile_named(name: str) -> Profile:
    """The profile called `name`; ``ValueError`` with the known ones if there is none."""
    if name not in PROFILES:
        raise ValueError(f"PROFILE={name}: unknown; choose one of {', '.join(PROFILES)}")
    return PROFILES[name]


def run_folder(profile: str, *, seed: int = 0) -> Path:
    """Where a run keeps everything: ``runs/<profile>``, with the seed in its name unless it is 0."""
    base = Path(os.environ.get(RUNS_VARIABLE) or root() / "runs")
    return base / (profile if seed == 0 else f"{profile}-seed{seed}")


def data_folder(data: str) -> Path:
    """The folder named by DATA, from here or from the top of the checkout."""
    for folder in (Path(data).expanduser(), root() / data):
        if folder.is_dir():
            return folder.resolve()
    raise FileNotFoundError(f"DATA={data}: no such folder; name one that holds flowers/, scene/, ...")


def begin(name: str, *, profile: str = "default", seed: int = 0, data: str | None = None) -> Notebook:
    """Start a notebook.

    Parameters
    ----------
    name : str
        File name of the notebook without its ending.
    profile : {"smoke", "default", "paper"}
        How large a run; the environment variable ``GMAUG_PROFILE``, which tests set, wins over it.
    seed : int
        Seed of everything random.
    data : str, optional
        A folder that holds real image sets (``flowers``, ``scene``, ...).
    """
    from gmaug.plots import use_style

    warnings.filterwarnings("ignore", message="IProgress not found")  # tqdm.auto, which diffusers imports
    use_style()
    settings = profile_named(os.environ.get(PROFILE_VARIABLE) or profile)
    return Notebook(name, settings, seed, None if data is None else data_folder(data))


class Notebook:
    """One notebook in one run; made by :func:`begin`. `settings` are the sizes of the run."""

    def __init__(self, name: str, settings: Profile, seed: int, data: Path | None) -> None:
        self.name, self.settings, self.seed, self.data = name, settings, seed, data
        self.folder = run_folder(settings.name, seed=seed)
        self.started = time.perf_counter()
        self._inputs: dict[str, Any] = {}
        self._verdicts: dict[str, dict[str, str]] = {}

    def stage(
        self, name: str, compute: Callable[[], Any], *, settings: Any = None, inputs: Any = None
    ) -> Any:
        """The result of `compute` (JSON values), kept until its settings, its inputs or the package change.

        `settings` and `inputs` are all that it depends on beside the seed, as JSON values.
        """
        key = {"settings": {"seed": self.seed, "given": plain(settings)}, "inputs": plain(inputs)}
        if inputs is not None:
            self._inputs[name] = plain(inputs)
        return runs.stage(self.folder / "stages" / f"{name}.json", compute, key=key)

    def figure(self, figure: Figure, name: str, *, data: pd.DataFrame, caption: str) -> None:
        """Show a figure with its caption and write it, its data and its provenance."""
        report.save_figure(
            figure,
            name,
            data=data,
            caption=caption,
            folder=self.folder / "figures",
            provenance=self.provenance(),
        )
        _show(figure)
        _say(f"*{caption}*")

    def table(self, table: pd.DataFrame, name: str, *, caption: str) -> None:
        """Show a table with its caption and write it with its provenance."""
        report.save_table(
            table, name, caption=caption, folder=self.folder / "figures", provenance=self.provenance()
        )
        _say(f"{report.markdown(table)}\n\n*{caption}*")

    def interact(self, draw: Callable[..., Figure], **controls: Any) -> None:
        """Let a reader move the arguments of `draw`, in JupyterLab; elsewhere show it at their defaults.

        `controls` are what :func:`ipywidgets.interact` takes: lists of choices, or ``(low, high, step)``.
        """

        @wraps(draw)  # ipywidgets reads the defaults
        def show(**values: Any) -> None:
            _show(draw(**values))

        if LIVE_VARIABLE not in os.environ:  # a run without a reader, which keeps a picture
            return show()
        import ipywidgets

        ipywidgets.interact(show, **controls)

    def recorded(self, kind: str, name: str) -> dict[str, Any]:
        """A recorded run; a line says of what it is, when and by which commit it was made."""
        record = runs.read_record(kind, name)
        print(f"recorded: {kind} of {runs.origin(record)}")
        return record

    def judge(self, claim: str, ours: Any, **options: Any) -> None:
        """Record the verdict on a claim of the paper (see :func:`gmaug.report.judge`)."""
        self._verdicts[claim] = report.judge(claim, ours, **options)

    def verdicts(self) -> None:
        """Show the closing table, *paper | ours | verdict | why*, and keep it for the end of the run."""
        verdicts = list(self._verdicts.values())
        write_json(self.folder / "verdicts" / f"{self.name}.json", verdicts)
        _say(report.closing_text(verdicts))

    def provenance(self) -> dict[str, Any]:
        """Settings, seed, data, versions and machine: nothing that changes from one run to the next."""
        about = environment()
        return {
            "notebook": self.name,
            "profile": plain(self.settings),
            "seed": self.seed,
            "data": {"folder": self.data and self.data.name, "hash": digest(self._inputs)},
            **{name: about[name] for name in ("python", "machine", "versions")},
        }

    def footer(self) -> None:
        """Show where this notebook's numbers come from, and how long they took."""
        origin = self.provenance() | environment()
        versions = ", ".join(f"{name} {version}" for name, version in origin["versions"].items())
        data = f"{origin['data']['folder'] or 'embedded'} (`{origin['data']['hash']}`)"
        lines = [
            f"**Provenance.** Profile `{self.settings.name}`, seed {self.seed}, data {data}, "
            f"commit `{origin['commit']}`.",
            f"{origin['machine']}, {origin['cores']} cores; Python {origin['python']}; {versions}.",
            f"This notebook took {time.perf_counter() - self.started:.0f} s, kept stages included.",
        ]
        _say("  \n".join(lines))


def _show(figure: Figure) -> None:
    import matplotlib.pyplot as plt
    from IPython.display import Image, display

    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=SCREEN_DPI, metadata={"Software": None})
    plt.close(figure)
    display(Image(buffer.getvalue(), width=round(figure.get_size_inches()[0] * SCREEN_DPI)))


def _say(markdown: str) -> None:
    from IPython.display import Markdown, display

    display(Markdown(markdown))
