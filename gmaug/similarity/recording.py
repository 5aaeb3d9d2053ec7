"""The metric of real photographs, measured once where they are at hand, and recorded.

``python -m gmaug.similarity.recording flowers scene --root data`` measures and records; notebook 03 shows
the records beside the paper's numbers and beside what it measures itself where ``DATA`` is given.
The photographs are not part of this project; numbers measured on them are.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gmaug import published, records
from gmaug.datasets import open_images
from gmaug.datasets.base import ImageSet
from gmaug.datasets.folder import Folder
from gmaug.provenance import files_hash
from gmaug.similarity import measure
from gmaug.similarity.probes import at, row
from gmaug.ssim.conventions import CONVENTIONS
from gmaug.ssim.parts import cores

KIND = "metric"
REAL = ("flowers", "scene")
SIZES = (32, 64, 128, 224)
MODULES = ("similarity", "datasets.real")
SETTINGS: dict[str, Any] = {
    "pairs": "2n",  # the paper's
    "seed": 0,
    "sizes": SIZES,
    "conventions": ("wang2004", "authors32", "global", "rgb"),
    "smooth_images": 200,  # of each class; the share of smooth windows is a mean over them
}


def smooth_share(images: ImageSet, *, each: int, seed: int = 0) -> dict[str, float]:
    """Share of 7x7 windows whose standard deviation is below sqrt(C2) = 7.65, by super-class.

    There the constant C2 weighs more than the image, and Eq. 1 tends to one whatever is shown.

    Parameters
    ----------
    each : int
        Images looked at in each super-class.
    """
    from scipy.ndimage import uniform_filter

    paper, rng = CONVENTIONS["paper"], np.random.default_rng(seed)
    c2 = paper.constants()[1]
    shares = {}
    for name, members in images.hierarchy.members(images.labels, images.classes).items():
        chosen = rng.choice(members, min(each, len(members)), replace=False)
        found = []
        for index in chosen:
            x = paper.prepare(images.image(int(index), size=paper.size)).astype(float)
            variance = uniform_filter(x * x, paper.win_size) - uniform_filter(x, paper.win_size) ** 2
            found.append(float((variance[3:-3, 3:-3] < c2).mean()))
        shares[name] = float(np.mean(found))
    return shares


def content(images: Folder) -> dict[str, Any]:
    """All that a record holds of an image set."""
    seed = SETTINGS["seed"]
    paper = measure(images, pairs=SETTINGS["pairs"], seed=seed)
    chosen = [at(size) for size in SIZES if size != paper.convention.size]
    chosen += [CONVENTIONS[name] for name in SETTINGS["conventions"]]
    others = [measure(images, convention=one, pairs=SETTINGS["pairs"], seed=seed) for one in chosen]
    every = [paper, *others]
    return {
        "similarity": paper.to_dict(),
        "by_convention": [
            {"convention": one.convention.name, "size": one.convention.size, **row(one)} for one in every
        ],
        "trace": {name: paper.trace(name).to_dict("list") for name in ("", paper.argmax)},
        "smooth": smooth_share(images, each=SETTINGS["smooth_images"], seed=seed),
    }


def data_of(images: Folder, name: str) -> dict[str, Any]:
    """Name, count and digest of what is measured."""
    return {"name": name, "images": len(images), "hash": files_hash(images.paths)}


def record(name: str, *, root: str | Path) -> Path:
    """Measure one of :data:`REAL` below `root` and record it.

    Raises
    ------
    FileNotFoundError
        If it is not there; the message says how to obtain it.
    """
    images = open_images(name, root=root)
    start = time.perf_counter()
    found = content(images)
    return records.write(
        KIND,
        name,
        found,
        settings=SETTINGS,
        data=data_of(images, name),
        modules=MODULES,
        seconds=time.perf_counter() - start,
        device=f"cpu, {cores()} threads",
    )


def recorded() -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Records that still hold, and for the others why they do not.

    Returns
    -------
    (dict of name to record, dict of name to reason)
    """
    found, refused = {}, {}
    for name in REAL:
        try:
            found[name] = records.read(records.path_of(KIND, name), settings=SETTINGS)
        except records.Refused as reason:
            refused[name] = str(reason)
    return found, refused


def benchmark(part: str = "ratios") -> tuple[pd.DataFrame | None, str]:
    """One table of the recorded benchmark; None, and why, if there is no record.

    Parameters
    ----------
    part : {"ratios", "profile", "speed", "files", "memory", "limits"}
        ``ratios``: a row per peer and size. ``profile``: a row per convention and size, where the
        time goes and the two bounds.

    Returns
    -------
    (DataFrame or None, str)
        Columns as :mod:`gmaug.bench` writes them, and a line on where they come from.
    """
    try:
        record = records.read(records.path_of("bench", "metric"))
    except records.Refused as reason:
        return None, f"{reason} (make bench times it on your machine)"
    made = record["made"]
    return pd.DataFrame(record["content"][part]), f"recorded {made['date']} on {made['device']}"


def live(root: Path | None) -> dict[str, ImageSet]:
    """Those of the paper's data sets that lie below `root`."""
    from gmaug.datasets.real import REAL as KNOWN

    found = {}
    for name in KNOWN if root is not None else ():
        try:
            found[name] = open_images(name, root=root)
        except FileNotFoundError:
            continue
    return found


def measured_live(root: Path, *, seed: int = 0) -> dict[str, dict[str, Any]]:
    """:func:`gmaug.similarity.probes.row` of each of the paper's sets below `root`, by its name."""
    return {name: row(measure(images, pairs="2n", seed=seed)) for name, images in live(root).items()}


def compared(found: dict[str, dict[str, Any]], now: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Table 5's metric columns: paper, recorded, this run.

    Parameters
    ----------
    found : dict
        Records, from :func:`recorded`.
    now : dict
        From :func:`measured_live`.

    Returns
    -------
    DataFrame
        A row per data set and metric: ``data set``, ``metric``, ``paper``, ``recorded``,
        ``recorded se``, ``this run``, ``this run se``; missing where nothing was measured.
    """
    from gmaug.datasets.real import TITLES

    rows = []
    for line in published.load("table5").itertuples(index=False):
        name = TITLES[line.dataset].name
        kept = found[name]["content"]["by_convention"][0] if name in found else {}
        this = now.get(name, {})
        for column, short in (("ssim_merge_cls", "merge"), ("ssim_sup_sub_cls", "sup_sub")):
            rows.append(
                {
                    "data set": line.dataset,
                    "metric": {"merge": "mergeCls", "sup_sub": "supSubCls"}[short],
                    "paper": getattr(line, column),
                    "recorded": kept.get(short, np.nan),
                    "recorded se": kept.get(f"{short}_se", np.nan),
                    "this run": this.get(short, np.nan),
                    "this run se": this.get(f"{short}_se", np.nan),
                }
            )
    return pd.DataFrame(rows)


def verdicts(table: pd.DataFrame) -> list[tuple[str, float | None, float | None, str]]:
    """What to judge Table 5's metric columns by: claim, value, error and where it comes from.

    This run goes before the record; a set that neither has is not run.
    """
    rows = published.claims().set_index("id")
    found = []
    for line in table.to_dict("records"):
        column = {"mergeCls": "ssim_merge_cls", "supSubCls": "ssim_sup_sub_cls"}[line["metric"]]
        claim = f"table5.{line['data set'].lower()}.{column}"
        kind = next((k for k in ("this run", "recorded") if not np.isnan(line[k])), None)
        if kind is None:
            found.append((claim, None, None, "needs the photographs"))
        else:
            limit = f"within {rows.loc[claim, 'tolerance']:g} matches: {rows.loc[claim, 'reason']}"
            found.append((claim, line[kind], line[f"{kind} se"], f"{kind}; {limit}"))
    return found


def smoothness_table(found: dict[str, dict[str, Any]]) -> pd.DataFrame:
    """Recorded share of smooth windows and mean SSIM of each super-class.

    Returns
    -------
    DataFrame
        ``data set``, ``super_class``, ``smooth``, ``ssim``.
    """
    rows = [
        (name, one, share, record["content"]["similarity"]["super_classes"][one]["value"])
        for name, record in found.items()
        for one, share in record["content"]["smooth"].items()
    ]
    return pd.DataFrame(rows, columns=["data set", "super_class", "smooth", "ssim"])


def main(arguments: list[str] | None = None) -> int:
    """Record some of :data:`REAL`."""
    parser = argparse.ArgumentParser(prog="python -m gmaug.similarity.recording", description=__doc__)
    parser.add_argument("names", nargs="*", default=list(REAL), help=f"of {', '.join(REAL)} (default: all)")
    parser.add_argument("--root", default="data", help="folder that holds them (default: data)")
    options = parser.parse_args(arguments)
    try:
        for name in options.names:
            print(record(name, root=options.root))
    except (ValueError, FileNotFoundError) as error:
        print(f"gmaug: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
