"""How every figure of the companion looks; the figures themselves are in the modules beside this one.

Colours are Okabe and Ito's (2008), told apart with any colour vision; figures that need more than
colour use marker shapes and direct labels too. Widths are those of a two-column paper.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SINGLE, DOUBLE = 3.4, 7.0
"""Width of one column and of the page, in inches."""

COLOURS: Mapping[str, str] = MappingProxyType(
    {
        "blue": "#0072B2",
        "orange": "#D55E00",
        "green": "#009E73",
        "purple": "#CC79A7",
        "yellow": "#E69F00",
        "sky": "#56B4E9",
        "black": "#000000",
        "grey": "#7F7F7F",
    }
)
CYCLE = ("blue", "orange", "green", "purple", "yellow", "sky", "black")
"""Order in which lines take their colours."""

_STYLE: Mapping[str, Any] = {
    # DejaVu comes with matplotlib, so a figure looks the same on every machine.
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.grid": False,
    "grid.color": "#E5E5E5",
    "grid.linewidth": 0.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.minor.visible": False,
    "lines.linewidth": 1.3,
    "lines.markersize": 4.5,
    "patch.linewidth": 0.6,
    "hatch.linewidth": 0.5,
    "errorbar.capsize": 2,
    "figure.constrained_layout.use": True,
    "figure.dpi": 110,
    "savefig.dpi": 300,
    "svg.fonttype": "path",  # text as shapes: the same wherever it is opened
    "image.cmap": "cividis",
    "image.interpolation": "nearest",
}


def use_style() -> None:
    """Set matplotlib's defaults to this style, for the rest of the process."""
    import matplotlib
    from cycler import cycler

    matplotlib.rcParams.update(_STYLE)
    matplotlib.rcParams["axes.prop_cycle"] = cycler(color=[COLOURS[name] for name in CYCLE])


def new(
    rows: int = 1, columns: int = 1, *, width: float = SINGLE, height: float = 2.4, **options: Any
) -> tuple[Figure, Any]:
    """A figure in this style with its axes, known to no window system.

    Parameters
    ----------
    rows, columns : int
        Grid of axes.
    width, height : float
        Inches.
    **options
        Passed to :meth:`matplotlib.figure.Figure.subplots`.

    Returns
    -------
    (Figure, Axes or ndarray of Axes)
    """
    from matplotlib.figure import Figure

    use_style()
    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots(rows, columns, **options)


def not_run(axes: Axes) -> None:
    """Say in an empty panel that there is nothing to draw."""
    axes.text(0.5, 0.5, "not run", transform=axes.transAxes, ha="center", va="center", color="0.4")


def letter(axes: Axes, text: str, title: str = "") -> None:
    """Letter a panel, ``a``, ``b``, ..., with an optional title after it."""
    axes.set_title(f"{text}  {title}" if title else text)
