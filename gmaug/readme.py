"""The verdicts in README.md, written by the run whose outputs are committed."""

from __future__ import annotations

import re
from pathlib import Path

from gmaug import claims, report

BEGIN, END = "<!-- verdicts -->", "<!-- /verdicts -->"
SHOWN = (
    "table5.flowers.ssim_sup_sub_cls",
    "table5.scene.ssim_sup_sub_cls",
    "sec3.2.converges",
    "eq4.curve",
    "table6.mae.cgan",
    "table6.mae.cgan.definition",
    "abstract.related",
    "abstract.decay",
    "sec1.predict",
    "sec4.3.enhanced",
    "sec4.3.mae_same",
    "sec1.high_quality",
    "sec2.imbalance",
    "sec3.3.less_benefit",
    "sec4.1.same_hyperparameters",
    "table3.cgan_augcls_resnet18",
)
"""The claims that a reader asks about first; the whole list ends every run."""


def render(verdicts: Path, readme: Path) -> bool:
    """Replace what stands between the markers of `readme`; return whether it changed.

    Parameters
    ----------
    verdicts : Path
        Folder of the JSON lists that the notebooks of a run have left.
    readme : Path

    Raises
    ------
    ValueError
        If the markers are missing.
    """
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise ValueError(f"{readme.name}: no {BEGIN} ... {END} to write the verdicts between; put them back")
    frame = claims.table(claims.read(verdicts))
    shown = frame.set_index("id").loc[list(SHOWN), ["claim", "paper", "ours", "verdict", "why"]]
    intro = f"{claims.tally(frame)}. Some of them:"
    body = f"{BEGIN}\n{intro}\n\n{report.markdown(shown)}\n{END}"
    new = re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: body, text, flags=re.DOTALL)
    if new != text:
        readme.write_text(new, encoding="utf-8")
    return new != text
