"""``python -m gmaug compare DIR --out OUT``: which way to treat the imbalance helps *these* images?

The arms of the experiment (:mod:`gmaug.experiment`) are trained on one part of a folder over several seeds
and judged on another, with the same number of gradient steps each. Cells are records in OUT, so a killed run
goes on; differences are paired by seed and have their intervals.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from gmaug import CallableModule, runs, workspace
from gmaug.datasets.base import printable
from gmaug.datasets.imbalance import groups_from_csv, split_rows
from gmaug.experiment import Cell, CellSettings, CellsFailed, Material, Trial, find, frame, run_cells
from gmaug.experiment.contrasts import contrasts, summary
from gmaug.statistics import signed
from gmaug.workspace import Photographs, duration, some

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ARMS = ("original", "oversample", "logit-adjusted", "randaugment", "cgan-augcls")
BASES = ("oversample", "original")
PARTS = {"train": 0.6, "validation": 0.2, "test": 0.2}  # trained on; what is chosen is chosen on; judged on
SCORES = {"balanced_accuracy": "balanced accuracy", "top1": "top-1", "tail": "tail", "auroc": "AUROC"}
SCORE = "balanced_accuracy"  # that gains are of
NAME = "images"  # of the cells' folder: a folder's own name may be anything
TRIES = 50  # to find a split of groups that leaves no part without a class
LEAST = 3  # images of a class: one for each part
ROUGH = 10  # test images of a class, below which its recall is a guess
FEW = 6  # classes whose generated images are shown
# Trainings of the classifier that a use of generated images takes, where it is not one
TRAININGS = {"augcls": 3, "confident": 2, "band": 2, "vtss": 4}


@dataclass(frozen=True, eq=False)
class Comparison(workspace.Result):
    """What ``compare`` found; scores are in percent, gains in points of balanced accuracy."""

    name: str  # of the image set
    counts: pd.DataFrame = field(repr=False)  # one row a class: its images in each part
    seeds: int
    steps: int
    size: int
    cells: pd.DataFrame = field(repr=False)  # one row a training, as gmaug.experiment.frame gives it
    table: pd.DataFrame = field(repr=False)  # one row an arm: scores, gains with their intervals, verdict
    recall: pd.DataFrame = field(repr=False)  # one row a class, one column an arm: mean over seeds
    recommendation: str  # the cheapest arm that no other beats
    why: str
    to_settle: Mapping[str, int | None]  # seeds, of arms left open with a known spread; None: over a thousand
    warnings: Sequence[str]

    def to_dict(self) -> dict[str, Any]:
        """What ``--json`` prints; nothing in it depends on time."""
        classes, arms = self.counts["class"].tolist(), []
        for row in self.table.to_dict("records"):
            about = {"arm": row["arm"], **{name: _number(row[name]) for name in SCORES}}
            for gain in (f"gain_over_{base}" for base in BASES):
                value, *interval = (_number(row[gain + end]) for end in ("", "_low", "_high"))
                about[gain] = {"value": value, "interval": interval}
            recall = dict(zip(classes, map(_number, self.recall[row["arm"]]), strict=True))
            arms.append(about | {"verdict": row["verdict"], "recall": recall})
        images = self.counts[[*PARTS]].to_dict("list")
        about = {"set": self.name, "classes": classes, "images": images, "size": self.size}
        names = ("recommendation", "why", "to_settle", "warnings")
        about |= {"seeds": self.seeds, "steps": self.steps, "arms": arms}
        return runs.plain(about | {name: getattr(self, name) for name in names})

    def opening(self) -> str:
        """What was trained on what."""
        train, validation, test = self.counts[[*PARTS]].sum()
        parts = f"{train} images to train on, {validation} to choose by, {test} to judge by"
        length = f"{self.seeds} seeds, {self.steps} gradient steps of every training, {self.size} px"
        return f"{self.name}: {parts}, {len(self.counts)} classes; {length}"

    def judgement(self) -> str:
        """The arm to take, and why."""
        return f"Recommendation: {self.recommendation}. {self.why}"

    def rounded(self) -> pd.DataFrame:
        """The table for a reader, an interval beside its value."""
        shown = self.table[["arm", *SCORES]].round(1).rename(columns=SCORES)
        for base in BASES:
            gain = self.table.filter(regex=f"^gain_over_{base}")
            shown[f"gain over {base}"] = [signed(*row) for row in gain.itertuples(index=False)]
        return shown.assign(verdict=self.table["verdict"])

    def figure(self) -> Figure:
        """Gains over oversample with their intervals."""
        from matplotlib.figure import Figure

        from gmaug.plots import COLOURS, use_style

        use_style()
        rows = self.table[self.table["arm"] != "oversample"][::-1]
        gain, place = "gain_over_oversample", np.arange(len(rows))
        figure = Figure(figsize=(7.0, 1 + 0.3 * len(rows)), layout="constrained")
        axes = figure.subplots()
        axes.hlines(place, rows[f"{gain}_low"], rows[f"{gain}_high"], color=COLOURS["blue"], lw=1.4)
        axes.plot(rows[gain], place, "o", color=COLOURS["blue"])
        axes.axvline(0, color=COLOURS["black"], lw=0.6)
        axes.set_yticks(place, rows["arm"])
        axes.set_xlabel("gain over oversample (points of balanced accuracy)")
        return figure


def _number(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)


def compare(
    images: Any, out: str | Path, *, labels: Any = None, arms: Sequence[str] | None = None, seeds: int = 3,
    size: int = 32, steps: int | None = None, classifier: str = "resnet18",
    groups: str | Path | Sequence[Any] | None = None, generator: str | Path = "cgan",
    kimg: float | None = None, budget: float | None = None, device: str = "auto", jobs: int = 1,
    scheduler: str | None = None, seed: int = 0, command: str = "",
    say: Callable[[str], None] = lambda line: None,
) -> Comparison:  # fmt: skip
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
        Repetitions, 3 or more for an interval.
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
    device, jobs, scheduler
        Where to compute: in so many processes, or by a Dask scheduler at this address.
    seed : int
        Of the split and the generator.
    command, say
        Shown on the page; called with what goes on.

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
    parts = [(photos.images[rows], photos.labels[rows]) for rows in _split(photos, together, seed)]
    settings = CellSettings(size=size, classifier=classifier)
    settings = replace(settings, steps=steps or settings.steps)
    mine = generator not in workspace.NAMED
    arms, models = _arms(arms, "mine" if mine else str(generator)), {}
    for kind in _generators(arms):
        if (kind == "mine") != mine:
            raise ValueError(f"arms need the generator {kind!r}; --generator gives {generator}")
        which, about = generator if mine else kind, {"seed": seed, "kimg": kimg, "device": device}
        models[kind] = workspace.generator(which, photos.classes, size=size, **about)
    key = {
        "images": runs.digest(*(array for part in parts for array in part)), "classes": photos.classes,
        "settings": settings, "seed": seed, "kimg": kimg, "generator": "mine" if mine else None,
    }  # fmt: skip
    space = workspace.Workspace(out, "compare", photos.source, key)
    asked = runs.plain({"arms": arms, "seeds": seeds, "budget": budget})
    plan = space.about.get("plan", {})
    with workspace.computing_on(device):
        if plan.get("asked") != asked:
            first = next(iter(models.values()), None)
            found = workspace.probe(classifier, settings.training, *parts[0], first)
            about = {"models": models, "settings": settings, "counts": np.bincount(parts[0][1])}
            cost = partial(_cost, found=found, jobs=jobs, **about)
            plan = {"asked": asked} | _planned(arms, seeds, budget, cost)
            arms, seeds = plan["arms"], plan["seeds"]
            disk = found.disk + 0.01 * len(arms) * seeds
            for line in plan["dropped"]:
                say(line)
            say(f"{len(arms)} arms, {seeds} seeds: about {duration(cost(arms, seeds))} on this machine, busy "
                f"as it is; {found.memory:.0f} MiB of memory a process, {disk:.0f} MiB on disk")  # fmt: skip
            space.remember(plan=plan)
        arms, seeds, generators = plan["arms"], plan["seeds"], {}
        for kind in _generators(arms):
            path = space.folder / "generator" / f"{kind}.safetensors"
            model = workspace.trained(models[kind], path, photos.classes, *parts[:2], say=say)
            generators[kind] = model, workspace.identity(model)
        material = Material(NAME, photos.classes, *parts, generators)
        cells = [Cell(NAME, arm, number, settings) for number in range(seeds) for arm in arms]
        records = run_cells(
            cells, {NAME: material}, folder=space.folder, jobs=jobs, scheduler=scheduler,
            say=lambda line: say(line.removeprefix(f"{NAME} ")),
        )  # fmt: skip
        warned = [*photos.warnings, *said, *plan["dropped"], *_warnings(photos, parts[2][1], seeds)]
        result = _concluded(photos, parts, settings, records, warned, seeds, arms)
        _keep_classifier(space.folder, result.recommendation, material, settings, say)
        pictures = _pictures(material)
    table = result.cells.drop(columns=["seconds", "commit"])
    runs.write_text(space.folder / "results.csv", table.to_csv(index=False))
    runs.write_json(space.folder / "results.json", result.to_dict())
    _page(result, space.folder / "report.html", pictures, command)
    return result


# What is compared


def _groups(groups: Any, photos: Photographs) -> tuple[np.ndarray | None, list[str]]:
    """The group of each image, and what is odd about them."""
    if groups is None:
        return None, []
    if not isinstance(groups, (str, Path)):
        if len(groups) != (n := len(photos.source)):
            raise ValueError(f"groups holds {len(groups)} names for {n} images; give one each")
        return np.asarray(groups)[photos.rows], []
    path, options = Path(groups), {"encoding": "utf-8-sig", "encoding_errors": "backslashreplace"}
    table = pd.read_csv(path, dtype=str, keep_default_na=False, **options)
    others = [name for name in table.columns if name != "file"]
    column = "group" if "group" in others else "".join(others[:1])
    if "file" not in table or column not in table or (column != "group" and len(others) > 1):
        raise ValueError(f"{printable(path)}: give two columns, file and group; it has {', '.join(table)}")
    found = groups_from_csv(photos.source.subset(photos.rows), path, column=column)
    there = {printable(one.name) for one in photos.source.paths}
    lost = [name for name in table["file"] if Path(name).name not in there]
    said = f"{printable(path.name)} names {len(lost)} files that are not among the images"
    return found, [f"{said} (first {printable(lost[0])})"] if lost else []


def _split(photos: Photographs, groups: np.ndarray | None, seed: int) -> list[np.ndarray]:
    """Rows of the three parts, each of which has every class; with few groups it may take some tries."""
    every, shares = set(range(len(photos.classes))), [*PARTS.values()]
    for attempt in range(TRIES if groups is not None else 1):
        if groups is None:
            parts = split_rows(photos.labels, shares, seed=seed)
        else:  # the first of equally wanting parts gets a group: let that be a small one
            order = {"groups": groups, "seed": seed + attempt * 10_007}
            parts = split_rows(photos.labels, shares[::-1], **order)[::-1]
        lost = set().union(*(every - set(photos.labels[rows].tolist()) for rows in parts))
        if not lost:
            return parts
    raise ValueError(
        f"{photos.source.name}: class {photos.classes[min(lost)]!r} does not reach all of training, "
        "validation and test: its images are of too few groups; add some, or move the class out"
    )


def _arms(asked: Sequence[str] | None, kind: str) -> list[str]:
    """The arms asked for, each once; the two that all are compared with come first."""
    arms = ARMS if asked is None else asked
    if asked is None or kind == "mine":  # the generator that is there takes the place of the cGAN
        arms = [f"{kind}-{arm.partition('-')[2]}" if arm.startswith("cgan-") else arm for arm in arms]
    if any(find(arm).reserve for arm in arms):
        raise ValueError("arm 'more-real' needs further real images; a folder has none in reserve")
    return list(dict.fromkeys(["original", "oversample", *arms]))


def _generators(arms: Sequence[str]) -> list[str]:
    return sorted({find(arm).generator for arm in arms} - {None})


def _trainings(arm: str) -> int:
    return TRAININGS.get(arm.rpartition("-")[2], 1) if find(arm).generator else 1


def _costly(arm: str) -> tuple[bool, int]:
    """To order arms by: a generator costs most, then trainings."""
    return find(arm).generator is not None, _trainings(arm)


def _cost(
    arms: Sequence[str], seeds: int, *, found: workspace.Probe, models: Mapping[str, Any],
    settings: CellSettings, counts: np.ndarray, jobs: int,
) -> float:  # fmt: skip
    """Seconds that the arms take on this machine, with their generators and `counts` images to train on."""
    untrained = [models[k] for k in _generators(arms) if not workspace.is_trained(models[k])]
    total = sum(found.seconds(kimg=model.settings.kimg) for model in untrained)
    lacking = int((counts.max() - counts).sum())
    for arm in arms:
        again = settings.rounds if "augcls" in arm else 1
        draws = 2 * lacking * again if find(arm).generator else 0
        total += found.seconds(steps=_trainings(arm) * settings.steps, candidates=draws) * seeds / jobs
    return total


def _planned(
    arms: Sequence[str], seeds: int, budget: float | None, cost: Callable[[Sequence[str], int], float]
) -> dict[str, Any]:
    """The arms and seeds whose cost, in seconds, fits the budget, and what was left out for it."""
    most, before, dropped = np.inf if budget is None else budget, seeds, []
    while cost(arms, seeds) > most and len(arms) > 2:
        worst = max(arms[2:], key=_costly)
        arms = [arm for arm in arms if arm != worst]
        dropped.append(f"the arm {worst} was left out, to keep to {duration(most)}")
    while cost(arms, seeds) > most and seeds > 2:
        seeds -= 1
    if seeds < before:
        dropped.append(f"{seeds} seeds instead of {before}, to keep to {duration(most)}")
    if cost(arms, seeds) > most:
        dropped.append(f"even so it takes about {duration(cost(arms, seeds))}: lower steps")
    return {"arms": arms, "seeds": seeds, "dropped": dropped}


# What is found


def _concluded(
    photos: Photographs, parts: Sequence[workspace.Arrays], settings: CellSettings,
    records: Sequence[Mapping[str, Any]], warned: Sequence[str], seeds: int, arms: Sequence[str],
) -> Comparison:  # fmt: skip
    cells = frame(records)
    gains = {base: _gains(cells, base) for base in arms}
    table = summary(cells, scores=[*SCORES]).set_index("arm").loc[arms, [*SCORES, f"{SCORE}_se"]]
    for base in BASES:
        for end, name in (("", "difference"), ("_low", "low"), ("_high", "high")):
            table[f"gain_over_{base}{end}"] = gains[base][name].astype(float)
    table["verdict"] = gains["oversample"]["verdict"]
    table = table.fillna({"verdict": "the base"}).reset_index()
    recall = pd.DataFrame({"class": photos.classes})
    for arm in arms:
        found = [one["content"]["recall"] for one in records if one["settings"]["arm"] == arm]
        recall[arm] = 100 * np.mean(np.array(found, dtype=float), axis=0)
    unsure = gains["oversample"].query("verdict == 'inconclusive'")["to_settle"].dropna()
    settle = {arm: int(n) if np.isfinite(n) else None for arm, n in unsure.items()}
    counts = {name: np.bincount(y) for name, (_, y) in zip(PARTS, parts, strict=True)}
    return Comparison(
        photos.source.name, pd.DataFrame({"class": photos.classes, **counts}), seeds, settings.steps,
        settings.size, cells, table, recall, *_recommended(arms, gains, table), settle, warned,
    )  # fmt: skip


def _gains(cells: pd.DataFrame, base: str) -> pd.DataFrame:
    """Differences from an arm. Seeds that all differ by the same amount, as small test sets let happen, tell
    nothing of their spread: there is no interval then."""
    table = contrasts(cells, base=base, scores=[SCORE]).set_index("arm")
    same = ~(table["se"] > 1e-9)
    table.loc[same, ["low", "high", "to_settle"]] = np.nan
    table.loc[same, "verdict"] = "inconclusive"
    return table


def _recommended(
    arms: Sequence[str], gains: Mapping[str, pd.DataFrame], table: pd.DataFrame
) -> tuple[str, str]:
    """The cheapest arm that none beats, and why."""
    beaten = {arm: set(gains[arm].index[gains[arm]["low"] > 0]) for arm in arms}
    best = table.loc[table[SCORE].idxmax(), "arm"]
    chosen = min([arm for arm in arms if not beaten[arm]] or [best], key=_costly)
    lost = [arm for arm in arms if chosen in beaten[arm]]
    why = "It is the cheapest arm that no other beats (95 % intervals of balanced accuracy, paired by seed)"
    why += f"; it beats {', '.join(lost)}." if lost else ", and it beats none: these seeds leave it open."
    if best != chosen:
        low, high, ahead = gains[chosen].loc[best, ["low", "high", "difference"]]
        why += f" {best} has the highest mean, {ahead:+.1f} points ({low:+.1f} to {high:+.1f}) from it."
    return chosen, why


def _warnings(photos: Photographs, truth: np.ndarray, seeds: int) -> list[str]:
    counts, said = np.bincount(truth), []
    few = [f"{photos.classes[k]} {counts[k]}" for k in np.argsort(counts, kind="stable") if counts[k] < ROUGH]
    if few:
        said.append(
            f"{len(few)} of {len(counts)} classes have under {ROUGH} test images ({some(few)}): their "
            "recall, and balanced accuracy with it, moves in large steps"
        )
    if seeds < 3:
        said.append("fewer than three seeds give no interval: take --seeds 3")
    said.append(
        "intervals hold the chance of training on this split; another split, or other photographs, would "
        "move all arms further"
    )
    return said


def _keep_classifier(
    folder: Path, arm: str, material: Material, settings: CellSettings, say: Callable[[str], None]
) -> None:
    """The weights of an arm's first seed: trained once more, since cells keep scores alone."""
    path = folder / f"classifier-{arm}.safetensors"
    if not path.is_file():
        say(f"training {arm} once more, for its weights")
        models = {kind: model for kind, (model, _) in material.generators.items()}
        trial = Trial(*material.train, material.validation, len(material.classes), settings, 0, models)
        find(arm).function(trial).classifier.save(path)
    for other in set(folder.glob("classifier-*.safetensors")) - {path}:
        other.unlink()


def _pictures(material: Material) -> list[tuple[str, np.ndarray]]:
    """Of the smallest classes, one generated image and the training image nearest to it."""
    shown, few = [], np.sort(np.argsort(material.counts, kind="stable")[:FEW])
    for kind, (model, _) in material.generators.items():
        images = model.sample(few, seed=0)
        names = [f"{material.classes[k]}, by {kind}" for k in few]
        near = workspace.nearest(images, few, material.train)
        shown += workspace.beside(images, names, material.train[0], near)
    return shown


def _page(result: Comparison, path: Path, pictures: Sequence[tuple[str, np.ndarray]], command: str) -> None:
    from gmaug.page import Section, write_page

    settle = [
        f"{arm}: {n or 'more than a thousand'} seeds would show a gain of two points over oversample"
        for arm, n in result.to_settle.items()
    ]
    scale = "Scores in percent, gains in points of balanced accuracy, 95 % intervals."
    drawn = "Gain over oversample in balanced accuracy with its 95 % interval."
    beside = "Generated images, each beside the training image nearest to it."
    sections = [
        Section("", [result.judgement(), result.opening()], result.warnings),
        Section("The arms", [scale], table=result.rounded()),
        Section("Left open by these seeds", settle),
        Section("Gains", figure=result.figure(), caption=drawn),
        Section("Recall of each class", table=result.recall.round(1).merge(result.counts, on="class")),
        Section("Is it memorised?", [beside] if pictures else [], pictures=pictures),
    ]
    write_page(path, title=f"Arms compared on {result.name}", sections=sections, command=command)


# The command


def seconds_of(text: str) -> float:
    """Seconds of ``90s``, ``30m``, ``2h`` or ``1d``; a number alone is minutes."""
    units = {"s": 1, "m": 60, "": 60, "h": 3600, "d": 86400}
    found = re.fullmatch(r"(\d+\.?\d*) *([smhd]?)", text.strip().lower())
    if not found or not float(found[1]):
        raise ValueError(f"--budget {text!r}: give a time such as 30m or 2h")
    return float(found[1]) * units[found[2]]


def configure(parser: argparse.ArgumentParser) -> None:
    """The command line of ``compare``."""
    parser.description = (
        "Train several ways to treat imbalance on DIR/class/* and say which helps, by how much."
    )
    add = parser.add_argument
    add("folder", metavar="DIR", help="folder of images, or a name: flowers, middle, ...")
    add("--out", metavar="OUT", type=Path, required=True, help="new folder; a killed run goes on there")
    add("--arms", help=f"comma-separated (default {','.join(ARMS)})")
    add("--seeds", type=int, default=3, help="repetitions (default 3)")
    add("--groups", metavar="CSV", type=Path, help="columns file and group: what stays on one side")
    add("--generator", default="cgan", help="cgan, diffusion, or a folder that holds one (default cgan)")
    add("--budget", metavar="TIME", help="such as 30m or 2h: leaves out arms, then seeds, and says which")
    add("--jobs", type=int, default=1, help="processes (default 1)")
    add("--scheduler", metavar="ADDRESS", help="of a Dask cluster, such as tcp://10.0.0.1:8786")
    workspace.add_options(add)
    parser.set_defaults(function=_main)


def _main(options: argparse.Namespace) -> int:
    arms = options.arms and [arm.strip() for arm in options.arms.split(",")]
    budget = options.budget and seconds_of(options.budget)
    try:
        return workspace.run(compare, options, arms=arms, budget=budget)
    except (CellsFailed, ImportError) as error:
        raise ValueError(str(error)) from None


sys.modules[__name__].__class__ = CallableModule
