"""The command line: ``gmaug COMMAND`` or ``python -m gmaug COMMAND``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gmaug import __version__

# Command -> module with `configure(parser)`, and a line of help. Only the module of the command that was
# asked for is imported, so a light command stays light.
COMMANDS: dict[str, tuple[str, str]] = {
    "similarity": ("gmaug.__main__", "SSIM-mergeCls and SSIM-supSubCls of a folder of images"),
    "advise": ("gmaug.advice", "what the evidence says about augmenting a folder of images"),
    "compare": ("gmaug.compare", "train the arms on a folder of images and say which helps"),
    "balance": ("gmaug.balance", "fill the small classes of a folder with generated images"),
    "reproduce": ("gmaug.reproduce", "run every notebook headless and regenerate figures/"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, that of the process by default.

    Returns
    -------
    int
        0 on success; 2, after one line on standard error, on bad input.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)

    def run() -> int:
        options = _parser(arguments).parse_args(arguments)
        options.typed = shlex.join(["python", "-m", "gmaug", *arguments])  # for pages: how to repeat them
        return options.function(options)

    return status_of(run)


def status_of(run: Callable[[], int], *, name: str = "gmaug") -> int:
    """Exit status of a command: what `run` returns, or that of its failure, told in a line after `name`."""
    try:
        return run()
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        from gmaug.datasets.base import printable

        print(f"{name}: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{name}: interrupted", file=sys.stderr)
        return 130


def _parser(asked: Sequence[str]) -> argparse.ArgumentParser:
    prog = f"python -m {__package__}" if Path(sys.argv[0]).name == "__main__.py" else "gmaug"
    parser = argparse.ArgumentParser(prog=prog, description="When do generated images help?")
    parser.add_argument("--version", action="version", version=f"gmaug {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = next((word for word in asked if not word.startswith("-")), None)
    for name, (module, line) in COMMANDS.items():
        one = subparsers.add_parser(name, help=line)
        if name == command:
            importlib.import_module(module).configure(one)
    return parser


def configure(parser: argparse.ArgumentParser) -> None:
    """The command line of ``similarity``."""
    from gmaug.ssim import CONVENTIONS

    parser.description = "Measure how alike the images of a folder are: DIR/class/* or DIR/super/sub/*."
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, garden-1, ...")
    add("--json", action="store_true", help="print one JSON object and nothing else")
    add("--html", metavar="FILE", type=Path, help="write one page to look at, offline")
    add("--strict", action="store_true", help="stop at the first file that cannot be used")
    add("--seed", type=int, default=0, help="seed of the pairs (default 0)")
    add("--convention", default="paper", choices=list(CONVENTIONS), help="how SSIM is taken (default paper)")
    add("--pairs", default="2n", help="2n, the paper's random pairs (or 10n, ...); balanced; all")
    add("--target-se", type=float, help="draw pairs until the error is so small; says if it is")
    add("--jobs", type=int, help="threads (default: all cores)")
    parser.set_defaults(function=_similarity)


def _similarity(options: argparse.Namespace) -> int:
    from gmaug.datasets import open_images
    from gmaug.page import writable
    from gmaug.similarity import measure

    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: use 0 or more")
    if options.html:
        writable(options.html)
    names = ("convention", "pairs", "target_se", "seed", "strict", "jobs")
    chosen = {name: getattr(options, name) for name in names}
    shows = sys.stderr.isatty() or "GMAUG_PROGRESS" in os.environ
    result = measure(open_images(options.folder), **chosen, progress=shows)
    if options.html:
        _similarity_page(result, options)
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    return 0


def _similarity_page(result: Any, options: argparse.Namespace) -> None:
    """Both metrics, every super-class with its interval, and what was left out, on one page."""
    from matplotlib.figure import Figure

    from gmaug.page import Section, write_page
    from gmaug.plots import label, use_style

    use_style()
    table = result.to_frame()
    figure = Figure(figsize=(7, 1 + 0.22 * len(table)), layout="constrained")
    axes = figure.subplots()
    reach = table[["low", "high"]].sub(table["ssim"], axis=0).abs().fillna(0).to_numpy().T
    axes.errorbar(table["ssim"], range(len(table)), xerr=reach, fmt="o")
    axes.set(xlabel="SSIM, with its 95 % interval", ylim=(len(table) - 0.5, -0.5))
    axes.set_yticks(range(len(table)), [label(name) for name in table.index])
    skipped = [f"{one.path} was left out: {one.reason}" for one in result.skipped]
    more = [f"{len(skipped) - 20} more files were left out"] if skipped[20:] else []
    summary = [line.strip() for line in str(result).splitlines()[:4]]
    sections = [
        Section(text=summary, warnings=skipped[:20] + more),
        Section("How alike the images of each super-class are", table=table.reset_index(), figure=figure),
    ]
    write_page(options.html, title=f"Similarity of {result.name}", sections=sections, command=options.typed)


if __name__ == "__main__":
    sys.exit(main())
