"""The probes of several runs over seeds: figures in probes.json, what each did with each clip in probes.npz, tables in
probes.md."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from backbone.common.files import write_arrays, write_whole
from experiments.analysis.statistics import ClipDraws, Cluster, Interval, interval, over_seeds, units_of
from experiments.analysis.tables import as_markdown
from experiments.comparison.claims import BLIND
from experiments.comparison.results import pack, row_method, unpack
from experiments.config import Train
from experiments.probing.blind import peers
from experiments.probing.clips import Clips, drawn_figures, policies_of
from experiments.run import Imported

DIGITS = 6  # significant ones, in JSON
Drawn = dict[tuple[str, ...], np.ndarray]  # as ``drawn_figures`` gives it
ROW = {"method": "method", "group_size": "groups of", "cost_weight": "cost weight", "rollouts": "rollouts"}
"""What the runs of a row, which differ by their seed, have in common, and how tables call it."""

HOW = (
    "Greedy policies on {clips} clips of {split}. Intervals are 95%, Student's t, of one figure at a time: ˢᶜ over seeds and "
    "clips at once; ᶜ over clips alone, of a single seed or where seeds agree; ˢ over seeds alone, where clips agree or where "
    "what happened to each is not kept (of a single seed there is none then). Cost is MACs as a share of the dense CNN's, the "
    "agent's own included."
)


class Column(NamedTuple):
    """A figure of each run.

    :param path: where it stands among the figures of a run
    :param factor: to the unit of the title
    :param bounds: what it cannot leave
    """

    title: str
    path: tuple[str, ...]
    spec: str
    factor: float = 1.0
    bounds: tuple[float, float] = (-inf, inf)


PERCENT: dict[str, Any] = {"spec": ".1f", "bounds": (0.0, 100.0)}
SHARE: dict[str, Any] = {**PERCENT, "factor": 100.0}


def _worth(title: str, name: str) -> tuple[Column, Column]:
    path = ("without_adaptivity", name, "adaptive_minus_this")
    return Column(title, (*path, "accuracy"), "+.1f"), Column("dearer by", (*path, "cost"), "+.3f")


TABLES: dict[str, tuple[str, tuple[Column, ...]]] = {
    "What adaptivity is worth": (
        "*Best blind*: the hull, with mixtures, of the static runs of an agent's seed, backbone, groups and number of "
        "rollouts, judged greedily, sampled and by the top k, read off at the agent's own cost; ≥ where the hull ends below "
        "this cost in some seed, so that nothing is subtracted. An agent that learned jointly with its CNN is set against "
        "static runs that did so too, each with a CNN of its own, so that what the CNNs have learned is in the difference. "
        "The other columns replay an agent's decisions: on another clip of the class, on "
        "any other clip, or with each decision redrawn for itself from the agent's shares at that site, frame and channel "
        "(blind, and at nearly its cost). *Commonest*: the same shares rounded to one decision for all clips, which is "
        "mostly cheaper. *Dearer by*: the agent's cost minus that of the column before.",
        (
            Column("accuracy %", ("accuracy",), **PERCENT),
            Column("cost", ("cost",), ".3f", bounds=(0.0, inf)),
            Column("best blind at this cost %", ("best_blind", "accuracy"), **PERCENT),
            Column("minus best blind", ("best_blind", "lead"), "+.1f"),
            _worth("minus another of the class", "same class")[0],
            _worth("minus any other", "any class")[0],
            *_worth("minus shares", "shares"),
            *_worth("minus commonest", "most common"),
        ),
    ),
    "What decisions tell, and how they vary": (
        "*Swap*: each clip with the decisions made on its own reversal; *right* is the share still given its own label, "
        "*follows* the share given the label of the clip that the decisions came from. *Variance* of decisions between "
        "clips, between frames, and of a clip's own course.",
        (
            Column("swap: right %", ("swap", "accuracy"), **PERCENT),
            Column("follows %", ("swap", "follows"), **PERCENT),
            Column("variance: clips %", ("adaptivity", "all", "between_clips"), **SHARE),
            Column("frames %", ("adaptivity", "all", "between_frames"), **SHARE),
            Column("rest %", ("adaptivity", "all", "rest"), **SHARE),
        ),
    ),
    "What is spent on which clips and frames": (
        "*Use*: share of channels computed in frames before, inside and after the window in which the object is seen.",
        (
            Column(
                "rank correlation of cost and noise",
                ("difficulty", "rank_correlation_of_cost", "noise"),
                "+.2f",
                bounds=(-1.0, 1.0),
            ),
            *(
                Column(f"use {phase} %", ("difficulty", "phases", phase, "use"), **SHARE)
                for phase in ("before", "inside", "after")
            ),
        ),
    ),
}


def check_seeds(runs: Mapping[Path, Train | Imported]) -> None:
    """Each seed may count once.

    :raises ValueError: two runs of one row and seed
    """
    seen: dict[tuple[Any, ...], Path] = {}
    for run, config in runs.items():
        row = (*_row(config).values(), config.seed)
        if row in seen:
            raise ValueError(
                f"expected one run a seed for --out, got {seen[row]} and {run}, both of {row[0]} and seed {row[-1]}: "
                "probe one of them in a call of its own"
            )
        seen[row] = run


def _row(config: Train | Imported) -> dict[str, Any]:
    """By the names in ROW."""
    marks = [f"{config.reward} reward"] * (config.reward != "log_prob") + ["no reuse"] * (not config.reuse)
    return {
        "method": row_method(config) + (f" ({', '.join(marks)})" if marks else ""),
        "group_size": config.group_size,
        "cost_weight": config.cost_weight,
        "rollouts": config.rollouts,
    }


def summarise(folder: Path, runs: Sequence[tuple[Train | Imported, dict[str, Any], Clips]], *, cluster: Cluster) -> str:
    """Write probes.npz, probes.json and probes.md of runs, their figures and what they did with each clip; return the last.

    :param cluster: as in ``ClipDraws``
    """
    kept = [
        to_json(
            {
                **figures,
                **_row(config),
                "seed": config.seed,
                "cluster": np.asarray(cluster).tolist(),
                "kept": list(clips),  # in probes.npz
                "rivals": [place for place, (other, *_) in enumerate(runs) if _is_rival(other, config)],
            }
        )
        for config, figures, clips in runs
    ]
    write_arrays(folder / "probes.npz", pack([clips for *_, clips in runs]))
    lines = ",\n".join(json.dumps(run, ensure_ascii=False) for run in kept)  # a run a line
    write_whole(folder / "probes.json", lambda file: file.write(f"[\n{lines}\n]\n".encode()))
    return rebuild(folder, folder)


def _is_rival(other: Train | Imported, config: Train | Imported) -> bool:
    return other.method == BLIND and config.method != BLIND and peers(other) == peers(config)


def rebuild(folder: Path, out: Path) -> str:
    """Write ``out``/probes.md from ``folder``/probes.json and probes.npz, which older ones lack, and return it."""
    runs = json.loads((folder / "probes.json").read_text())
    text = markdown(runs, load_clips(folder, runs))
    write_whole(out / "probes.md", lambda file: file.write(text.encode()))
    return text


def load_clips(folder: Path, runs: Sequence[dict[str, Any]]) -> list[Clips]:
    """What each run of probes.json did with each clip, costs rounded; nothing where that was not kept."""
    if not (folder / "probes.npz").is_file():
        return [{} for _ in runs]
    with np.load(folder / "probes.npz") as stored:
        return unpack(stored, [run["kept"] for run in runs], runs[0]["clips"])


def _draw(runs: Sequence[dict[str, Any]], clips: Sequence[Clips]) -> list[Drawn]:
    """The figures of each run that can be counted from its clips."""
    if not any(clips):
        return [{} for _ in runs]
    draws = ClipDraws(runs[0]["clips"], cluster=runs[0]["cluster"])
    return [
        drawn_figures(own, [policy for place in run["rivals"] for policy in policies_of(clips[place])], draws)
        for run, own in zip(runs, clips)
    ]


def markdown(runs: Sequence[dict[str, Any]], clips: Sequence[Clips]) -> str:
    """The tables of the figures of runs, over seeds, and over clips where it is known what each did with them.

    :param clips: of each run, as ``load_clips`` gives them
    """
    rows = defaultdict(list)
    for run, drawn in zip(runs, _draw(runs, clips), strict=True):
        rows[tuple(run[name] for name in ROW)].append((run, drawn))
    lines = ["# Probes", "", HOW.format(clips=runs[0]["clips"], split=runs[0]["split"])]
    for title, (how, columns) in TABLES.items():
        head = [*ROW.values(), "seeds", *(column.title for column in columns)]
        cells = [
            [
                method,
                str(group),
                f"{weight:g}",
                f"{rollouts:,}",
                str(len(of_row)),
                *(_cell(column, of_row) for column in columns),
            ]
            for (method, group, weight, rollouts), of_row in rows.items()
        ]
        lines += ["", f"## {title}", "", how, "", as_markdown(head, cells, aligned=True)]
    return "\n".join(lines) + "\n"


def _cell(column: Column, of_row: Sequence[tuple[dict[str, Any], Drawn]]) -> str:
    """Over seeds; no figure of some seeds alone, for which ones lack it is no accident."""
    runs, drawn = zip(*of_row)
    values = [_look_up(run, column.path) for run in runs]
    known = [column.factor * value for value in values if value is not None]
    if len(known) < len(values):
        return f"- ({len(known)} of {len(values)})" if known else "-"
    bound = column.path == ("best_blind", "accuracy") and any(run["best_blind"]["reached"] == "bound" for run in runs)
    if all(column.path in one and np.isfinite(one[column.path][0]) for one in drawn):
        figure = column.factor * np.stack([one[column.path] for one in drawn], -1)  # (R + 1, S)
        units = int(units_of(runs[0]["clips"], runs[0]["cluster"]).max()) + 1
        found = interval(figure, units=units, bounds=column.bounds)
    else:
        found = over_seeds(known, bounds=column.bounds)
    return ("≥ " if bound else "") + format(found, column.spec)


def _look_up(figures: Any, path: tuple[str, ...]) -> float | None:
    """A figure's estimate, None where a run has none."""
    for name in path:
        if figures is None:
            return None
        figures = figures[name]
    return figures[0] if isinstance(figures, list) else figures


def to_json(figures: Any) -> Any:
    """Intervals as [estimate, low, high], numbers rounded."""
    if isinstance(figures, Interval):
        return to_json(figures.to_json())
    if isinstance(figures, dict):
        return {name: to_json(value) for name, value in figures.items()}
    if isinstance(figures, list):
        return [to_json(value) for value in figures]
    return float(f"{figures:.{DIGITS}g}") if isinstance(figures, float) else figures
