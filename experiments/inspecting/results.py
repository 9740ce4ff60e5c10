"""What runs have reached, read from their folders: tables, front and learning curves, for the page of an inspection."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from envs.clips import ClipSource
from experiments.comparison.grids import Grid, policy_grid, volume_grid
from experiments.comparison.pictures import draw_learning, draw_pareto
from experiments.comparison.results import Arm, gather, row_method
from experiments.comparison.tables import Key, Row, Table, fronts, tables_of
from experiments.config import Train
from experiments.run import Fixed, Imported, Kind, Run, runs_in

AGENTS = (Kind.TRAINED, Kind.IMPORTED)


class Found(NamedTuple):
    """The runs in a folder.

    :param trained: that can be played, the folder's own or those in it
    :param fixed: judgements of fixed policies beside them
    :param unfinished: how many were left out, as they have no checkpoint
    """

    trained: list[Train | Imported]
    fixed: list[Fixed]
    unfinished: int


def find_runs(folder: Path) -> Found:
    """A training run's own folder, or the runs in a comparison's.

    :raises ValueError: neither, or no checkpoint
    """
    run = Run(folder)
    if run.exists:
        if run.kind not in AGENTS:
            raise ValueError(f"expected the folder of a training run or of a comparison, {folder} holds neither")
        if not run.checkpoint.is_file():
            raise ValueError(
                f"expected a {run.checkpoint.name} in {folder}, found none: the run has only begun; go on with it by "
                f"python -m experiments train --resume {folder}"
            )
        config = run.agent()
        fixed = [one for one in _fixed_in(folder.parent) if one.backbone == config.backbone]
        return Found([config], [one for one in fixed if one.group_size == config.group_size], 0)
    trained = [one for one in runs_in(folder) if one.kind in AGENTS]
    whole = [one.agent() for one in trained if one.checkpoint.is_file()]
    if not whole:
        raise ValueError(
            f"expected the folder of a training run or of a comparison, found no run with a checkpoint in {folder}: check "
            "the path"
        )
    return Found(whole, _fixed_in(folder), len(trained) - len(whole))


def _fixed_in(folder: Path) -> list[Fixed]:
    configs = [one.config() for one in runs_in(folder) if one.kind is Kind.FIXED]
    return [config for config in configs if isinstance(config, Fixed)]


def judged_tables(found: Found, open_test: Callable[[], ClipSource]) -> list[Table]:
    """The runs that a comparison has judged, as its report sets them side by side; none where there are none.

    Of an unfinished comparison only the seeds count that every row has.

    :param open_test: opens the clips that were judged on; called only if there are judgements
    """
    arms: dict[str, list[Train]] = {}
    for job in found.trained:
        run = Run(job.folder)
        if isinstance(job, Train) and run.judged and run.finished and run.curve.is_file():
            seconds = run.seconds
            title = f"{job.rollouts:,} rollouts each" if seconds is None else f"{seconds:g} seconds each"
            arms.setdefault(title, []).append(job)
    fixed = [job for job in found.fixed if Run(job.folder).judged]
    if not (arms and fixed):
        return []
    kept = [
        Arm(title, [job for group in {job.group_size for job in jobs} for job in _common(jobs, group)])
        for title, jobs in sorted(arms.items(), key=lambda arm: "seconds" in arm[0])
    ]
    tables = tables_of(gather(kept, fixed, open_test(), {}))
    return [table for table in tables if table.fixed]


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


def curves_table(job: Train | Imported) -> Table | None:
    """A run's learning curve as a table of that one row; None where it has none yet."""
    curve = Run(job.folder).read_curve()
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
