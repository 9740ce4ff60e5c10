"""What runs have reached, read from their folders: tables, front and learning curves, for the page of an inspection."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from agent.callbacks.evaluations import read_curve
from envs.clips import ClipSource
from experiments.comparison.compare import FIXED_JOB, Arm
from experiments.comparison.grids import Grid, policy_grid, volume_grid
from experiments.comparison.pictures import draw_learning, draw_pareto
from experiments.comparison.results import gather, row_method
from experiments.comparison.tables import Key, Row, Table, fronts, tables_of
from experiments.config import Train, from_json
from experiments.runs import read_config

TIMED = re.compile(r"-([\d.]+)seconds$")  # how a comparison names runs of equal time


class Found(NamedTuple):
    """The runs in a folder.

    :param trained: that can be played, the folder's own or those in it
    :param fixed: judgements of fixed policies beside them
    :param unfinished: how many were left out, as they have no checkpoint
    """

    trained: list[Train]
    fixed: list[Train]
    unfinished: int


def find_runs(folder: Path) -> Found:
    """A training run's own folder, or the runs in a comparison's.

    :raises ValueError: neither, or no checkpoint
    """
    if (folder / "config.json").is_file():
        config = _read(folder)
        if config is None or config.method == FIXED_JOB:
            raise ValueError(f"expected the folder of a training run or of a comparison, {folder} holds neither")
        if not (folder / "checkpoint.pt").is_file():
            raise ValueError(
                f"expected a checkpoint.pt in {folder}, found none: the run has only begun; go on with it by "
                f"python -m experiments train --resume {folder}"
            )
        beside = _read_all(folder.parent)
        fixed = [one for one in beside if one.method == FIXED_JOB and one.backbone == config.backbone]
        return Found([config], [one for one in fixed if one.group_size == config.group_size], 0)
    inside = _read_all(folder) if folder.is_dir() else []
    trained = [one for one in inside if one.method != FIXED_JOB]
    whole = [one for one in trained if (one.run / "checkpoint.pt").is_file()]
    if not whole:
        raise ValueError(
            f"expected the folder of a training run or of a comparison, found no run with a checkpoint in {folder}: check "
            "the path"
        )
    return Found(whole, [one for one in inside if one.method == FIXED_JOB], len(trained) - len(whole))


def _read_all(folder: Path) -> list[Train]:
    found = (_read(path.parent) for path in sorted(folder.glob("*/config.json")))
    return [one for one in found if one is not None]


def _read(folder: Path) -> Train | None:
    """The configuration of a training run, its folder the one where it lies now; None of anything else."""
    content = read_config(folder)
    if "method" not in content:
        return None
    return replace(from_json(Train, content), run=folder)


def judged_tables(found: Found, open_test: Callable[[], ClipSource]) -> list[Table]:
    """The runs that a comparison has judged, as its report sets them side by side; none where there are none.

    Of an unfinished comparison only the seeds count that every row has.

    :param open_test: opens the clips that were judged on; called only if there are judgements
    """
    arms: dict[str, list[Train]] = {}
    for job in found.trained:
        if _is_judged(job):
            timed = TIMED.search(job.run.name)
            title = f"{timed[1]} seconds each" if timed else f"{job.rollouts:,} rollouts each"
            arms.setdefault(title, []).append(job)
    fixed = [job for job in found.fixed if _is_judged(job)]
    if not (arms and fixed):
        return []
    kept = [
        Arm(title, [job for group in {job.group_size for job in jobs} for job in _common(jobs, group)])
        for title, jobs in sorted(arms.items(), key=lambda arm: "seconds" in arm[0])
    ]
    tables = tables_of(gather(kept, fixed, open_test(), {}))
    return [table for table in tables if table.fixed]


def _is_judged(job: Train) -> bool:
    learned = job.method == FIXED_JOB or all((job.run / name).is_file() for name in ("result.json", "learning.json"))
    return learned and all((job.run / name).is_file() for name in ("evaluation.json", "clips.npz"))


def _common(jobs: Sequence[Train], group: int) -> list[Train]:
    """The runs of a group size whose seeds every row has."""
    seeds: dict[Key, set[int]] = {}
    for job in jobs:
        if job.group_size == group:
            seeds.setdefault(Key(row_method(job), job.cost_weight, job.reward), set()).add(job.seed)
    shared = set.intersection(*seeds.values()) or set.intersection(*[max(seeds.values(), key=len)])
    rows = [key for key, own in seeds.items() if shared <= own]
    return [
        job
        for job in jobs
        if job.group_size == group and job.seed in shared and Key(row_method(job), job.cost_weight, job.reward) in rows
    ]


def curves_table(job: Train) -> Table | None:
    """A run's learning curve as a table of that one row; None where it has none yet."""
    path = job.run / "learning.json"
    curve = read_curve(path) if path.is_file() else []
    if not curve:
        return None
    # whatever it was rewarded by: there is no other to tell it from
    key = Key(row_method(job), job.cost_weight, "log_prob")
    row = Row((job.seed,), {}, {}, [], [curve], 0)
    return Table(f"{job.rollouts:,} rollouts each", job.group_size, {key: row}, {}, 0.0)


def grids_of(tables: Sequence[Table]) -> dict[str, Grid]:
    """Tables by their titles: fronts, where there are several cost weights, and policies."""
    grids: dict[str, Grid] = {}
    for table in tables:
        if len({key.cost_weight for key in table.rows}) > 1:
            grids[f"Fronts, {table.title}"] = volume_grid(table)
        grids[f"Policies, {table.title}"] = policy_grid(table)
    return grids


def front_picture(tables: Sequence[Table]) -> bytes | None:
    """Accuracy against cost as PNG; None without judged runs."""
    return _picture(draw_pareto, tables) if tables and all(fronts(table) for table in tables) else None


def learning_picture(tables: Sequence[Table]) -> bytes | None:
    """The learning curves as PNG; None without any."""
    return _picture(draw_learning, tables) if tables else None


def _picture(draw: Callable[[Sequence[Table], Path], None], tables: Sequence[Table]) -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "picture.png"
        draw(tables, path)
        return path.read_bytes()
