"""The command line: ``gmaug COMMAND`` or ``python -m gmaug COMMAND``."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gmaug import __version__

# Command -> module with `add_parser(subparsers)`, and a line of help. Only the module of the
# command that was asked for is imported, so a light command stays light.
COMMANDS: dict[str, tuple[str, str]] = {
    "similarity": ("gmaug.__main__", "SSIM-mergeCls and SSIM-supSubCls of a folder of images"),
    "advise": ("gmaug.advice", "what the evidence says about augmenting a folder of images"),
    "compare": ("gmaug.compare", "train the arms on a folder of images and say which helps"),
    "balance": ("gmaug.balance", "fill the small classes of a folder with generated images"),
    "record": ("gmaug.studies", "make the recorded runs again"),
    "reproduce": ("gmaug.reproduce", "run every notebook headless and regenerate figures/"),
    "audit": ("gmaug.audit", "run one cheap record of each kind again and compare"),
}


def add_parser(subparsers: Any) -> None:
    """Add ``similarity`` to the command line."""
    from gmaug.ssim import CONVENTIONS

    parser = subparsers.add_parser(
        "similarity",
        help=COMMANDS["similarity"][1],
        description="Measure how alike the images of a folder are: DIR/class/* or DIR/super/sub/*.",
    )
    parser.add_argument("folder", metavar="DIR", help="folder of images, or a name: flowers, garden-1, ...")
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("--html", metavar="FILE", type=Path, help="write one page to look at, offline")
    parser.add_argument("--strict", action="store_true", help="stop at the first file that cannot be used")
    parser.add_argument("--seed", type=int, default=0, help="seed of the pairs (default 0)")
    parser.add_argument(
        "--convention", default="paper", choices=list(CONVENTIONS), help="how SSIM is taken (default paper)"
    )
    parser.add_argument(
        "--pairs", default="2n", help="2n: the paper's random pairs (or 10n, ...); balanced; all (default 2n)"
    )
    parser.add_argument(
        "--target-se", type=float, default=None, help="draw pairs until the error is so small; says if it is"
    )
    parser.add_argument("--jobs", type=int, default=None, help="threads (default: all cores)")
    parser.set_defaults(function=_similarity)


def _similarity(options: argparse.Namespace) -> int:
    from gmaug.datasets import open_images
    from gmaug.page import page_path
    from gmaug.similarity import measure

    if options.seed < 0:
        raise ValueError(f"--seed {options.seed}: use 0 or more")
    if options.html:
        page_path(options.html)
    result = measure(
        open_images(options.folder),
        convention=options.convention,
        pairs=options.pairs,
        target_se=options.target_se,
        seed=options.seed,
        strict=options.strict,
        jobs=options.jobs,
        progress=sys.stderr.isatty() or "GMAUG_PROGRESS" in os.environ,
    )
    if options.html:
        _similarity_page(result, options)
    print(json.dumps(result.to_dict(), indent=1, allow_nan=False) if options.json else result)
    return 0


def _similarity_page(result: Any, options: argparse.Namespace) -> None:
    """Both metrics, every super-class with its interval, and what was left out, on one page."""
    from matplotlib.figure import Figure

    from gmaug.page import Section, repeat, write_page
    from gmaug.plots import use_style

    use_style()
    table = result.to_frame()
    figure = Figure(figsize=(7, 1 + 0.22 * len(table)), layout="constrained")
    axes = figure.subplots()
    reach = (table[["low", "high"]].sub(table["ssim"], axis=0)).abs().fillna(0).to_numpy().T
    axes.errorbar(table["ssim"], range(len(table)), xerr=reach, fmt="o")
    names = ("".join(c if c.isprintable() else "?" for c in name).replace("$", r"\$") for name in table.index)
    axes.set(xlabel="SSIM, with its 95 % interval", ylim=(len(table) - 0.5, -0.5))
    axes.set_yticks(range(len(table)), list(names))
    skipped = [f"{one.path} was left out: {one.reason}" for one in result.skipped]
    more = [f"{len(skipped) - 20} more files were left out"] if skipped[20:] else []
    given = ("convention", "pairs", "target_se", "seed")
    sections = [
        Section(text=[line.strip() for line in str(result).splitlines()[:4]], warnings=skipped[:20] + more),
        Section("How alike the images of each super-class are", table=table.reset_index(), figure=figure),
    ]
    command = repeat("similarity", options, given)
    write_page(options.html, title=f"Similarity of {result.name}", sections=sections, command=command)


def _typed() -> str:
    """The command as it was typed: ``gmaug``, or ``python -m gmaug``."""
    name = Path(sys.argv[0]).name
    return f"python -m {__package__}" if name == "__main__.py" else "gmaug"


def _parser(asked: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=_typed(), description="When do generated images help?")
    parser.add_argument("--version", action="version", version=f"gmaug {__version__}")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    command = next((word for word in asked if not word.startswith("-")), None)
    for name, (module, line) in COMMANDS.items():
        if name != command:
            subparsers.add_parser(name, help=line, add_help=False)
        elif module == "gmaug.__main__":
            add_parser(subparsers)
        else:
            importlib.import_module(module).add_parser(subparsers)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 on success; 2, after one line on standard error, on bad input.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    try:
        options = _parser(arguments).parse_args(arguments)
        return options.function(options)
    except BrokenPipeError:  # the reader of our output went away, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, OSError) as error:
        print(f"gmaug: {_one_line(str(error))}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("gmaug: interrupted", file=sys.stderr)
        return 130


def _one_line(text: str) -> str:
    """Text without line breaks and control characters, which a file's name can hold."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in " ".join(text.split()))


if __name__ == "__main__":
    sys.exit(main())
