"""``python -m gmaug compare DIR --out OUT``: which way to treat the imbalance helps *these* images?

The arms of the experiment (:mod:`gmaug.experiment`) are trained on one part of a folder over several seeds
and judged on another, with the same number of gradient steps each. Cells are records in OUT, so a killed run
goes on; differences are paired by seed and have their intervals.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug import runs, workspace
from gmaug.datasets.base import printable
from gmaug.datasets.imbalance import groups_from_csv, split_rows
from gmaug.experiment import (
    Cell,
    CellSettings,
    CellsFailed,
    Material,
    contrasts,
    find,
    frame,
    run_cells,
    summary,
    to_settle,
)
from gmaug.experiment.arms import Trial
from gmaug.workspace import Photographs, Probe, Workspace, duration

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from gmaug.page import Section

ARMS = ("original", "oversample", "logit-adjusted", "randaugment", "{generator}-augcls")
FRACTIONS = (0.6, 0.2, 0.2)  # trained on; weights, rounds and generators chosen on; judged on
SCORES = ("balanced_accuracy", "top1", "tail", "auroc")
SCORE = "balanced_accuracy"
NAME = "images"  # of the cells' folder: a folder's own name may be anything
TRIES = 50  # to find a split of groups that leaves no part without a class
LEAST = 3  # images of a class: one for each part
ROUGH = 10  # test images of a class, below which its recall is a guess
FEW = 6  # classes whose generated images are shown
# Trainings of the classifier that an arm takes, where it is not one
TRAININGS = {"augcls": 3, "confident": 2, "band": 2, "vtss": 4}


@dataclass(frozen=True, eq=False)
class Comparison:
    """What ``compare`` found.

    Attributes
    ----------
    name : str
        Of the image set.
    classes : tuple of str
    counts : dict of str to tuple of int
        Images of each class, by part: ``train``, ``validation``, ``test``.
    seeds, steps, size : int
    cells : DataFrame
        One row a training, as :func:`gmaug.experiment.frame` gives it.
    table : DataFrame
        One row an arm, scores in percent, gains in points of balanced accuracy with 95 % intervals.
    recall : DataFrame
        Recall of each class in percent, the mean over seeds, one column an arm.
    recommendation : str
        The cheapest arm that no other beats.
    why : str
    to_settle : dict of str to int or None
        Seeds that would show a gain of two points over `oversample`, for each arm of which these do not
        tell; None: more than a thousand.
    warnings : tuple of str
    pictures : tuple of (str, ndarray)
        Generated images and the training image nearest to each.
    """

    name: str
    classes: tuple[str, ...]
    counts: Mapping[str, Sequence[int]]
    seeds: int
    steps: int
    size: int
    cells: pd.DataFrame = field(repr=False)
    table: pd.DataFrame = field(repr=False)
    recall: pd.DataFrame = field(repr=False)
    recommendation: str
    why: str
    to_settle: Mapping[str, int | None]
    warnings: tuple[str, ...] = ()
    pictures: tuple[tuple[str, np.ndarray], ...] = field(default=(), repr=False)

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; scores in percent, gains in points; nothing in it depends on time."""
        arms = []
        for row in self.table.to_dict("records"):
            gains = {
                f"gain_over_{base}": {
                    "value": row[f"gain_over_{base}"],
                    "interval": [row[f"gain_over_{base}_low"], row[f"gain_over_{base}_high"]],
                }
                for base in ("oversample", "original")
            }
            scores = {name: row[name] for name in ("arm", *SCORES)}
            per_class = dict(zip(self.recall["class"], self.recall[row["arm"]], strict=True))
            arms.append({**scores, **gains, "verdict": row["verdict"], "recall": per_class})
        return _without_nan({
            "set": self.name, "classes": list(self.classes),
            "images": {part: list(map(int, n)) for part, n in self.counts.items()},
            "size": self.size, "seeds": self.seeds, "steps": self.steps, "arms": arms,
            "recommendation": self.recommendation, "why": self.why, "to_settle": dict(self.to_settle),
            "warnings": list(self.warnings),
        })  # fmt: skip

    def to_frame(self) -> pd.DataFrame:
        """`table`: one row an arm."""
        return self.table.copy()

    def figure(self) -> Figure:
        """Gains with their intervals, and the recall of each class."""
        return _figure(self)

    def write_html(self, path: str | Path, *, command: str = "") -> Path:
        """Write it as one page (see :func:`gmaug.page.write_page`)."""
        from gmaug.page import write_page

        return write_page(
            path, title=f"Arms compared on {self.name}", sections=_sections(self), command=command
        )

    def __str__(self) -> str:
        lines = [
            f"{self.name}: {_parts(self)}; {self.seeds} seeds, {self.steps} steps each, {self.size} px",
            "",
            f"  {'arm':16} {'bal. acc.':>9} {'top-1':>6} {'tail':>6} {'AUROC':>6}   "
            f"{'gain over oversample':24}  over original",
        ]
        for row in self.table.to_dict("records"):
            lines.append(
                f"  {row['arm']:16} {row[SCORE]:9.1f} {row['top1']:6.1f} {row['tail']:6.1f} "
                f"{row['auroc']:6.1f}   {_gain(row, 'oversample'):24}  {_gain(row, 'original'):22} "
                f"{row['verdict']}"
            )
        lines += ["", f"Recommendation: {self.recommendation}. {self.why}"]
        return "\n".join([*lines, *(f"Warning: {one}" for one in self.warnings)])

    def _repr_html_(self) -> str:
        shown = self.table.rename(columns=lambda name: name.replace("_", " ")).round(1)
        return shown.to_html(index=False) + f"<p><b>{self.recommendation}</b>: {self.why}</p>"


def compare(
    images: Any,
    out: str | Path,
    *,
    labels: Any = None,
    arms: Sequence[str] | None = None,
    seeds: int = 3,
    size: int = 32,
    steps: int | None = None,
    classifier: str = "resnet18",
    groups: str | Path | Sequence[Any] | None = None,
    generator: str | Path = "cgan",
    kimg: float | None = None,
    budget: float | None = None,
    device: str = "auto",
    jobs: int = 1,
    scheduler: str | None = None,
    seed: int = 0,
    command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:
    """Train the arms of the experiment on a folder's images, and say which helps, by how much.

    Parameters
    ----------
    images, labels
        Whatever :func:`gmaug.open_images` takes: a folder, arrays with labels, torchvision's ImageFolder.
    out : path
        Folder for cells, results, page and weights; new, empty, or of the same comparison, which then
        goes on. More seeds and arms may be asked of it later.
    arms : sequence of str, optional
        As :func:`gmaug.experiment.find` knows them; `oversample` and `original` are always among them.
    seeds : int
        Repetitions, 2 or more for an interval.
    size : int
        Side of the images in pixels, a power of two.
    steps : int, optional
        Gradient steps of every training; the experiment's own number by default, its plateau at 32 px.
    classifier : {"resnet18", "mae"}
    groups : path of a CSV, or sequence of shape (n,), optional
        What stays on one side of the split: a patient, a lesion. A CSV has a column ``file`` and one other.
    generator : {"cgan", "diffusion"} or path
        What the arms ``cgan-...`` are given: trained here on the training part, or one that a folder
        holds, whose arms are then named ``mine-...``.
    kimg : float, optional
        Length of the generator's training in thousands of images.
    budget : float, optional
        Seconds that all may take: arms are dropped for it, the most costly first, then seeds.
    device : str
    jobs : int
        Processes on this machine.
    scheduler : str, optional
        Address of a Dask scheduler, as :func:`gmaug.experiment.run_cells` has it.
    seed : int
        Of the split and the generator.
    command : str
        Shown on the page.
    say : callable
        Told what goes on.

    Raises
    ------
    ValueError
        In one line, if images, groups, arms or `out` do not fit.
    CellsFailed
        If a training failed; the others are kept.
    """
    if seeds < 1 or jobs < 1 or seed < 0:
        raise ValueError(f"seeds={seeds}, jobs={jobs}, seed={seed}: give at least 1, 1 and 0")
    photos = workspace.photographs(images, labels, size=size, least=LEAST)
    together, said = _groups(groups, photos)
    parts = _split(photos, together, seed)
    mine = str(generator) not in ("cgan", "diffusion")
    arms = _arms(arms, "mine" if mine else str(generator))
    settings = CellSettings(size=size, classifier=classifier)
    settings = replace(settings, steps=steps or settings.steps)
    train, validation, test = ((photos.images[rows], photos.labels[rows]) for rows in parts)
    needed = {find(arm).generator for arm in arms} - {None}
    if unknown := needed - ({"mine"} if mine else {"cgan", "diffusion"}):
        raise ValueError(f"arms need the generator {sorted(unknown)[0]!r}; --generator gives {generator}")
    model = workspace.given(generator, photos.classes, size=size) if mine and needed else None
    untrained = {
        kind: workspace.generator_named(
            kind, size=size, classes=len(photos.classes), seed=seed, kimg=kimg, device=device
        )
        for kind in sorted(needed - {"mine"})
    }
    key = {
        "images": runs.digest(train[0], train[1], *validation, *test), "classes": photos.classes,
        "settings": settings, "seed": seed, "kimg": kimg, "generator": "mine" if mine else None,
    }  # fmt: skip
    space = Workspace(out, "compare", photos.source, key)
    cost = partial(_seconds, settings=settings, counts=np.bincount(train[1]), untrained=untrained, jobs=jobs)
    with workspace.computing_on(device):
        arms, kept, dropped = _planned(
            space, arms, seeds, budget, cost, say,
            lambda: workspace.probe(
                classifier, settings.training, *train, next(iter(untrained.values()), None)
            ),
        )  # fmt: skip
        needed = {find(arm).generator for arm in arms} - {None}
        generators = {"mine": (model, workspace.model_digest(model))} if "mine" in needed else {}
        for kind, one in untrained.items():
            if kind in needed:
                path = space.folder / "generator" / f"{kind}.safetensors"
                runs.write_json(path.with_suffix(".json"), {"classes": photos.classes})
                one = workspace.trained(
                    one, path, train, validation, work=path.with_suffix(".state"), say=say
                )
                generators[kind] = one, workspace.model_digest(one)
        material = Material(NAME, photos.classes, train, validation, test, generators)
        cells = [Cell(NAME, arm, number, settings) for number in range(kept) for arm in arms]
        records = run_cells(
            cells, {NAME: material}, folder=space.folder, jobs=jobs, scheduler=scheduler,
            say=lambda line: say(line.removeprefix(f"{NAME} ")),
        )  # fmt: skip
        warned = (*photos.warnings, *said, *dropped, *_warnings(photos, test[1], kept))
        result = _concluded(photos, material, settings, records, warned, kept, arms)
        _keep_classifier(space, result.recommendation, material, settings, say)
    frame(records).drop(columns=["seconds", "commit"]).to_csv(space.folder / ".results.csv", index=False)
    (space.folder / ".results.csv").replace(space.folder / "results.csv")
    runs.write_json(space.folder / "results.json", result.to_dict())
    result.write_html(space.folder / "report.html", command=command)
    return result


# What is compared


def _groups(groups: Any, photos: Photographs) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The group of each image, and what is odd about them."""
    if groups is None:
        return None, ()
    if not isinstance(groups, (str, Path)):
        if len(groups) != len(photos.source):
            raise ValueError(
                f"groups holds {len(groups)} names for {len(photos.source)} images; give one each"
            )
        return np.asarray(groups)[photos.rows], ()
    path = Path(groups)
    table = pd.read_csv(
        path, dtype=str, keep_default_na=False, encoding="utf-8-sig", encoding_errors="backslashreplace"
    )
    others = [name for name in table.columns if name != "file"]
    if "file" not in table or not others or ("group" not in others and len(others) > 1):
        raise ValueError(f"{printable(path)}: give two columns, file and group; it has {', '.join(table)}")
    column = "group" if "group" in others else others[0]
    found = groups_from_csv(photos.source.subset(photos.rows), path, column=column)
    there = {printable(one.name) for one in photos.source.paths}
    lost = [name for name in table["file"] if Path(name).name not in there]
    if lost:
        return found, (f"{printable(path.name)} names {len(lost)} files that are not among the images "
                       f"(first {printable(lost[0])})",)  # fmt: skip
    return found, ()


def _split(photos: Photographs, groups: np.ndarray | None, seed: int) -> list[np.ndarray]:
    """Rows of the three parts, each of which has every class; with few groups it may take some tries."""
    every = set(range(len(photos.classes)))
    for attempt in range(TRIES if groups is not None else 1):
        if groups is None:
            parts = split_rows(photos.labels, FRACTIONS, seed=seed)
        else:  # the first of equally wanting parts gets a group: let that be a small one
            order = {"groups": groups, "seed": seed + attempt * 10_007}
            parts = split_rows(photos.labels, FRACTIONS[::-1], **order)[::-1]
        lost = [every - set(photos.labels[rows].tolist()) for rows in parts]
        if not any(lost):
            return parts
    name = photos.classes[min(set().union(*lost))]
    raise ValueError(
        f"{photos.source.name}: class {name!r} does not reach all of training, validation and test: its "
        "images are of too few groups; add some, or move the class out"
    )


def _arms(arms: Sequence[str] | None, generator: str) -> tuple[str, ...]:
    """The arms asked for, each once; the two that all are compared with come first."""
    given = [arm.format(generator=generator) for arm in ARMS] if arms is None else list(arms)
    if generator == "mine":  # a generator of one's own takes the place of the cGAN
        given = [f"mine-{arm.partition('-')[2]}" if arm.startswith("cgan-") else arm for arm in given]
    for arm in given:
        find(arm)
        if arm == "more-real":
            raise ValueError("arm 'more-real' needs further real images; a folder has none in reserve")
    return tuple(dict.fromkeys(["original", "oversample", *given]))


def _seconds(
    arms: Sequence[str], seeds: int, found: Probe, *, settings: CellSettings, counts: np.ndarray,
    untrained: Mapping[str, Any], jobs: int,
) -> float:  # fmt: skip
    """What so many arms and seeds will take, by a probe of this machine."""
    kinds = {find(arm).generator for arm in arms}
    total = sum(found.kimg * one.settings.kimg for kind, one in untrained.items() if kind in kinds)
    wanted = int((counts.max() - counts).sum())
    for arm in arms:
        one = _trainings(arm) * settings.steps * found.step
        if find(arm).generator:
            one += 2 * wanted * (found.drawn + found.judged) * (settings.rounds if "augcls" in arm else 1)
        total += seeds * one / jobs
    return total


def _trainings(arm: str) -> int:
    return TRAININGS.get(arm.rpartition("-")[2], 1) if find(arm).generator else 1


def _costly(arm: str) -> tuple[int, int]:
    """To order arms by: a generator costs most, then trainings."""
    return int(find(arm).generator is not None), _trainings(arm)


def _planned(
    space: Workspace, arms: tuple[str, ...], seeds: int, budget: float | None, cost: Callable[..., float],
    say: Callable[[str], None], measured: Callable[[], Probe],
) -> tuple[tuple[str, ...], int, tuple[str, ...]]:  # fmt: skip
    """The arms and seeds that fit the budget, and what was left out; remembered, so that a second call does
    the same."""
    asked = runs.plain({"arms": arms, "seeds": seeds, "budget": budget})
    done = space.about.get("plan", {})
    if done.get("asked") == asked:
        return tuple(done["arms"]), done["seeds"], tuple(done["dropped"])
    found = measured()
    said: list[str] = []
    if budget is not None:
        while cost(arms, seeds, found) > budget and len(arms) > 2:
            worst = max(arms[2:], key=_costly)
            arms = tuple(arm for arm in arms if arm != worst)
            said.append(f"the arm {worst} was left out, to keep to {duration(budget)}")
        before = seeds
        while cost(arms, seeds, found) > budget and seeds > 2:
            seeds -= 1
        if seeds < before:
            said.append(f"{seeds} seeds instead of {before}, to keep to {duration(budget)}")
        if cost(arms, seeds, found) > budget:
            said.append(f"even so it takes about {duration(cost(arms, seeds, found))}: lower steps")
    for line in said:
        say(line)
    cells = len(arms) * seeds
    say(
        f"{len(arms)} arms, {seeds} seeds: about {duration(cost(arms, seeds, found))} on this machine, busy "
        f"as it is; {found.memory:.0f} MiB of memory a process, {found.disk + 0.01 * cells:.0f} MiB on disk"
    )
    space.remember(plan={"asked": asked, "arms": arms, "seeds": seeds, "dropped": said})
    return arms, seeds, tuple(said)


# What is found


def _concluded(
    photos: Photographs, material: Material, settings: CellSettings, records: Sequence[Mapping[str, Any]],
    warned: tuple[str, ...], seeds: int, arms: Sequence[str],
) -> Comparison:  # fmt: skip
    cells = frame(records)
    means = summary(cells, scores=SCORES).set_index("arm")
    gains = {base: _gains(cells, base) for base in arms}
    rows = []
    for arm in arms:
        row: dict[str, Any] = {"arm": arm, **{name: float(means.loc[arm, name]) for name in SCORES}}
        row[f"{SCORE}_se"] = float(means.loc[arm, f"{SCORE}_se"])
        for base in ("oversample", "original"):
            found = gains[base].loc[arm] if arm != base else None
            row |= {
                f"gain_over_{base}{end}": None if found is None else float(found[name])
                for end, name in (("", "difference"), ("_low", "low"), ("_high", "high"))
            }
        row["verdict"] = "the base" if arm == "oversample" else str(gains["oversample"].loc[arm, "verdict"])
        rows.append(row)
    table = pd.DataFrame(rows)
    recall = pd.DataFrame({"class": photos.classes})
    for arm in arms:
        found = [r["content"]["recall"] for r in records if r["settings"]["arm"] == arm]
        recall[arm] = 100 * np.mean(np.array(found, dtype=float), axis=0)
    chosen, why = _recommended(arms, gains, table)
    sets = zip(
        ("train", "validation", "test"), (material.train, material.validation, material.test), strict=True
    )
    counts = {name: np.bincount(y, minlength=len(photos.classes)).tolist() for name, (_, y) in sets}
    return Comparison(
        photos.source.name, photos.classes, counts, seeds, settings.steps, settings.size, cells, table,
        recall,
        chosen, why, _to_settle(cells, table), warned, tuple(_pictures(material, settings)),
    )  # fmt: skip


def _gains(cells: pd.DataFrame, base: str) -> pd.DataFrame:
    """Differences from an arm. Seeds that all differ by the same amount, as small test sets let happen, tell
    nothing of their spread: there is no interval then."""
    table = contrasts(cells, base=base, scores=[SCORE]).set_index("arm")
    same = ~(table["se"] > 1e-9)
    table.loc[same, ["low", "high"]] = np.nan
    table.loc[same, "verdict"] = "inconclusive"
    return table


def _recommended(
    arms: Sequence[str], gains: Mapping[str, pd.DataFrame], table: pd.DataFrame
) -> tuple[str, str]:
    """The cheapest arm that none beats, and why."""
    beaten = {
        arm: [other for other in arms if other != arm and gains[arm].loc[other, "low"] > 0] for arm in arms
    }
    free = [arm for arm in arms if not beaten[arm]] or [table.loc[table[SCORE].idxmax(), "arm"]]
    chosen = min(free, key=_costly)
    best = table.loc[table[SCORE].idxmax(), "arm"]
    lost = [arm for arm in arms if chosen in beaten[arm]]
    why = "It is the cheapest arm that no other beats (95 % intervals of balanced accuracy, paired by seed)"
    why += f"; it beats {', '.join(lost)}." if lost else ", and it beats none: these seeds leave it open."
    if best != chosen:
        low, high = (gains[chosen].loc[best, name] for name in ("low", "high"))
        ahead = gains[chosen].loc[best, "difference"]
        why += f" {best} has the highest mean, {ahead:+.1f} points ({low:+.1f} to {high:+.1f}) from it."
    return chosen, why


def _to_settle(cells: pd.DataFrame, table: pd.DataFrame) -> dict[str, int | None]:
    wide = 100 * cells.pivot_table(index="seed", columns="arm", values=SCORE)
    found = {}
    for arm in table.loc[table["verdict"] == "inconclusive", "arm"]:
        n = to_settle((wide[arm] - wide["oversample"]).dropna().to_numpy())
        found[arm] = int(n) if np.isfinite(n) else None
    return found


def _warnings(photos: Photographs, truth: np.ndarray, seeds: int) -> list[str]:
    counts = np.bincount(truth, minlength=len(photos.classes))
    said = []
    few = [f"{photos.classes[k]} {counts[k]}" for k in np.argsort(counts, kind="stable") if counts[k] < ROUGH]
    if few:
        shown = ", ".join(few[:3]) + (", ..." if few[3:] else "")
        said.append(
            f"{len(few)} of {len(counts)} classes have under {ROUGH} test images ({shown}): their recall, "
            "and balanced accuracy with it, moves in large steps"
        )
    if seeds < 2:
        said.append("one seed gives no interval: take --seeds 3")
    said.append(
        "intervals hold the chance of training on this split; another split, or other photographs, would "
        "move all arms further"
    )
    return said


def _pictures(material: Material, settings: CellSettings) -> list[tuple[str, np.ndarray]]:
    """Of the smallest classes, one generated image and the training image nearest to it."""
    found = []
    for kind, (model, _) in material.generators.items():
        few = np.sort(np.argsort(material.counts, kind="stable")[:FEW])
        for image, label in zip(model.sample(few, seed=0), few, strict=True):
            known = material.train[0][material.train[1] == label]
            row, distance = workspace.nearest(image[None], known)
            found.append((f"{material.classes[label]}, by {kind}", image))
            found.append((f"nearest original, {distance[0]:.0f} grey levels away", known[row[0]]))
    return found


def _keep_classifier(
    space: Workspace, arm: str, material: Material, settings: CellSettings, say: Callable[[str], None]
) -> None:
    """The weights of an arm's first seed: trained once more, since cells keep scores alone."""
    path = space.folder / f"classifier-{arm}.safetensors"
    if not path.is_file():
        say(f"training {arm} once more, for its weights")
        models = {name: one for name, (one, _) in material.generators.items()}
        trial = Trial(*material.train, material.validation, len(material.classes), settings, 0, models)
        find(arm).function(trial).classifier.save(path)
    for other in space.folder.glob("classifier-*.safetensors"):
        if other != path:
            other.unlink()


# Words and pictures


def _without_nan(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    if isinstance(value, list):
        return [_without_nan(one) for one in value]
    if isinstance(value, float):
        return round(value, 4) if np.isfinite(value) else None
    return value


def _gain(row: Mapping[str, Any], base: str) -> str:
    value, low, high = (row[f"gain_over_{base}{end}"] for end in ("", "_low", "_high"))
    if value is None or value != value:
        return "-"
    return f"{value:+.1f}" + ("" if low is None or low != low else f" ({low:+.1f} to {high:+.1f})")


def _parts(found: Comparison) -> str:
    sums = [sum(found.counts[name]) for name in ("train", "validation", "test")]
    parts = f"{sums[0]} images to train on, {sums[1]} to choose by, {sums[2]} to judge by"
    return f"{parts}, {len(found.classes)} classes"


def _sections(found: Comparison) -> list[Section]:
    from gmaug.page import Section

    shown = [
        {
            "arm": row["arm"], "balanced accuracy": round(row[SCORE], 1), "top-1": round(row["top1"], 1),
            "tail": round(row["tail"], 1), "AUROC": round(row["auroc"], 1),
            "gain over oversample": _gain(row, "oversample"), "gain over original": _gain(row, "original"),
            "verdict": row["verdict"],
        }
        for row in found.table.to_dict("records")
    ]  # fmt: skip
    settle = [
        f"{arm}: {n or 'more than a thousand'} seeds would show a gain of two points over oversample"
        for arm, n in found.to_settle.items()
    ]
    counts = pd.DataFrame({"class": found.classes, **{k: list(v) for k, v in found.counts.items()}})
    sections = [
        Section(
            "", [f"Recommendation: {found.recommendation}. {found.why}",
                 f"{_parts(found)}; {found.seeds} seeds, "
                 f"{found.steps} gradient steps of every training, {found.size} px."], found.warnings,
        ),
        Section("The arms", ["Scores in percent, gains in points of balanced accuracy, 95 % intervals."],
                table=pd.DataFrame(shown)),
        Section("Left open by these seeds", settle) if settle else None,
        Section("Gains and classes", figure=found.figure(), caption="Gain over oversample in balanced "
                "accuracy with its 95 % interval, and the recall of each class."),
        Section("Recall of each class", table=found.recall.round(1).merge(counts, on="class")),
        Section("Is it memorised?", ["Generated images, each beside the training image nearest to it."],
                pictures=found.pictures) if found.pictures else None,
    ]  # fmt: skip
    return [one for one in sections if one is not None]


def _figure(found: Comparison) -> Figure:
    from matplotlib.figure import Figure

    from gmaug.plots import COLOURS, use_style

    use_style()
    figure = Figure(figsize=(7.0, 3.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = found.table[found.table["arm"] != "oversample"].to_dict("records")[::-1]
    for k, row in enumerate(rows):
        ends = [row["gain_over_oversample_low"], row["gain_over_oversample_high"]]
        if None not in ends:
            left.plot(ends, [k, k], color=COLOURS["blue"], lw=1.4)
        left.plot(row["gain_over_oversample"], k, "o", color=COLOURS["blue"])
    left.axvline(0, color=COLOURS["black"], lw=0.6)
    left.set_yticks(range(len(rows)), [row["arm"] for row in rows])
    left.set_xlabel("gain over oversample (points)")
    values = found.recall.drop(columns="class").to_numpy().T
    shown = right.imshow(values, vmin=0, vmax=100, cmap="viridis", aspect="auto")
    names = [one.replace("$", r"\$")[:12] for one in found.classes]
    right.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor")
    right.set_yticks(range(len(values)), found.recall.columns[1:])
    figure.colorbar(shown, ax=right, label="recall (%)")
    return figure


# The command


def add_parser(subparsers: Any) -> None:
    """Add ``compare`` to the command line."""
    parser = subparsers.add_parser(
        "compare", help="train the arms on a folder of images and say which helps",
        description="Train several ways to treat imbalance on DIR/class/* and say which helps, by how much.",
    )  # fmt: skip
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, middle, ...")
    add(
        "--out",
        metavar="OUT",
        type=Path,
        required=True,
        help="new folder for results; a killed run goes on there",
    )
    add("--arms", help="comma-separated, such as original,oversample,logit-adjusted,cgan-augcls")
    add("--seeds", type=int, default=3, help="repetitions (default 3)")
    add("--size", type=int, default=32, help="side in pixels, a power of two (default 32)")
    add("--steps", type=int, default=None, help="gradient steps of every training (default: the plateau's)")
    add("--classifier", choices=("resnet18", "mae"), default="resnet18")
    add(
        "--groups",
        metavar="CSV",
        type=Path,
        help="columns file and group: what stays on one side of the split",
    )
    add("--generator", default="cgan", help="cgan, diffusion, or a folder that holds one (default cgan)")
    add("--kimg", type=float, help="length of the generator's training, thousands of images")
    add("--budget", metavar="TIME", help="such as 30m or 2h: leaves out arms, then seeds, and says which")
    add("--device", default="auto", help="cpu, cuda, mps (default: what is there)")
    add("--jobs", type=int, default=1, help="processes (default 1)")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786")
    add("--seed", type=int, default=0, help="of the split and the generator (default 0)")
    add("--json", action="store_true", help="print one JSON object and nothing else on standard output")
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    def work() -> int:
        found = compare(
            options.folder, options.out,
            arms=options.arms and [arm.strip() for arm in options.arms.split(",")],
            seeds=options.seeds, size=options.size, steps=options.steps, classifier=options.classifier,
            groups=options.groups, generator=options.generator, kimg=options.kimg,
            budget=options.budget and workspace.seconds_of(options.budget), device=options.device,
            jobs=options.jobs, scheduler=options.scheduler, seed=options.seed,
            command=_command(options), say=lambda line: print(line, file=sys.stderr, flush=True),
        )  # fmt: skip
        print(json.dumps(found.to_dict(), indent=1, allow_nan=False) if options.json else found)
        if not options.json:
            print(f"\nA page to look at: {printable(options.out / 'report.html')}")
        return 0

    try:
        return workspace.until_stopped(work, options.out)
    except (CellsFailed, ImportError) as error:
        raise ValueError(str(error)) from None


def _command(options: argparse.Namespace) -> str:
    words = ["python", "-m", "gmaug", "compare", printable(options.folder), "--out", printable(options.out)]
    for name in (
        "arms",
        "seeds",
        "size",
        "steps",
        "classifier",
        "groups",
        "generator",
        "kimg",
        "budget",
        "seed",
    ):
        value = getattr(options, name)
        words += [] if value is None else [f"--{name}", str(value)]
    return shlex.join(words)


class _Callable(ModuleType):
    """This module as a function: ``gmaug.compare(folder, out)``, whether or not it is imported already."""

    def __call__(self, *given: Any, **options: Any) -> Comparison:
        return compare(*given, **options)


sys.modules[__name__].__class__ = _Callable
