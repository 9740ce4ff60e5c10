"""The runs of a comparison as tables: rows of runs, differences of rows, fronts of methods, each with its interval."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from experiments.comparison.fronts import best_within, cost_at, hypervolume
from experiments.config import Train
from experiments.statistics import Interval, Resampling, interval, iqm, over_seeds

RELAXATION = "gumbel"
STATIC = "static"
JOINT = "-joint"  # ends the name of a row whose CNN learns too
RUNS = {
    "accuracy": ("correct", 100.0),
    "cost": ("macs_ratio", 1.0),
    "sampled_accuracy": ("sampled_correct", 100.0),
    "sampled_cost": ("sampled_macs_ratio", 1.0),
}
"""What is bootstrapped over seeds and clips: the array of clips.npz that it comes from, and its unit."""


class Key(NamedTuple):
    """A row of a table: all seeds of one method at one cost weight and reward."""

    method: str
    cost_weight: float
    reward: str

    @property
    def title(self) -> str:
        return self.method if self.reward == "log_prob" else f"{self.method} ({self.reward} reward)"


def row_method(job: Train) -> str:
    """The name of a run's row: its method, and that of the CNN's regime where it learns too."""
    return job.method if job.regime == "frozen" else f"{job.method}{JOINT}"


class Row(NamedTuple):
    """What is reported of a Key.

    :param runs: name in RUNS -> (R + 1, S), a mean over clips of each seed's run: of the sample, then of each resample
    :param others: figures of which there is one number a run
    :param pairs: accuracy per pair of mutually reversed classes
    :param curves: of each seed, on validation clips
    :param clips: seen in training, rounded as the method does
    """

    runs: dict[str, np.ndarray]
    others: dict[str, Interval]
    pairs: dict[str, Interval]
    curves: list[list[dict[str, float]]]
    clips: int

    def figure(self, name: str) -> Interval | None:
        """The mean over seeds, with its interval; None for what was not measured."""
        return interval(self.runs[name].mean(-1)) if name in self.runs else self.others.get(name)


class Table(NamedTuple):
    """All that can be compared with each other: one budget, one group size.

    :param arm: the budget, "24,000 clips each"
    :param floor: accuracy of guessing, a share, from which hypervolume counts
    """

    arm: str
    group_size: int
    rows: dict[Key, Row]
    fixed: dict[str, Row]
    floor: float

    @property
    def title(self) -> str:
        return f"{self.arm}, {'per channel' if self.group_size == 1 else f'groups of {self.group_size} channels'}"


def collect(arm: str, jobs: Sequence[Train], fixed: Sequence[Train], *, cluster: int, floor: float) -> list[Table]:
    """A table for each group size among the runs of one budget."""
    tables = []
    for group in dict.fromkeys(job.group_size for job in jobs):
        groups: dict[Key, list[Path]] = defaultdict(list)
        for job in sorted(jobs, key=lambda job: job.seed):
            if job.group_size == group:
                groups[Key(row_method(job), job.cost_weight, job.reward)].append(job.run)
        rows = {key: _row(folders, cluster) for key, folders in groups.items()}
        fixed_rows = _fixed_rows([job.run for job in fixed if job.group_size == group], cluster)
        tables.append(Table(arm, group, rows, fixed_rows, floor))
    return tables


def _row(folders: list[Path], cluster: int) -> Row:
    judged = [_read(folder / "evaluation.json") for folder in folders]
    results = [_read(folder / "result.json") for folder in folders]
    stored = [dict(np.load(folder / "clips.npz")) for folder in folders]
    return Row(
        runs=runs_of(stored, cluster),
        others={"seconds": over_seeds([result["seconds"] for result in results]), **_swap(judged)},
        pairs=_pairs(judged),
        curves=[_read(folder / "learning.json") for folder in folders],
        clips=results[0]["clips"],
    )


def _fixed_rows(folders: list[Path], cluster: int) -> dict[str, Row]:
    """One row for each fixed policy; the backbones stand where seeds do."""
    judged = [_read(folder / "evaluation.json") for folder in folders]
    stored = [dict(np.load(folder / "clips.npz")) for folder in folders]
    rows = {}
    for name in judged[0]:
        arrays = [
            {key.removeprefix(f"{name}/"): part for key, part in one.items() if key.startswith(f"{name}/")}
            for one in stored
        ]
        mine = [one[name] for one in judged]
        rows[name] = Row(runs_of(arrays, cluster), _swap(mine), _pairs(mine), [], 0)
    return rows


def runs_of(stored: Sequence[dict[str, np.ndarray]], cluster: int) -> dict[str, np.ndarray]:
    """Of each seed the arrays (N,) of clips.npz -> name in RUNS -> (R + 1, S).

    Rows of as many seeds and clips have the same draws, so that whatever is subtracted is paired.
    """
    draws = Resampling(len(stored), len(stored[0]["correct"]), cluster=cluster)
    return {name: draws.means(unit * np.stack([one[array] for one in stored])) for name, (array, unit) in RUNS.items()}


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


def _swap(judged: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    swaps = [figures.get("swap") for figures in judged]
    if any(swap is None for swap in swaps):
        return {}
    names = [name for name in ("accuracy", "follows") if all(name in swap for swap in swaps)]
    return {f"swap_{name}": over_seeds([swap[name] for swap in swaps]) for name in names}


def _pairs(judged: Sequence[dict[str, Any]]) -> dict[str, Interval]:
    return {name: over_seeds([figures["pairs"][name] for figures in judged]) for name in judged[0].get("pairs") or {}}


class Difference(NamedTuple):
    """A row minus another at the same cost weight, clip by clip and seed by seed."""

    key: Key
    accuracy: Interval
    cost: Interval


def differences(table: Table, other: str = RELAXATION) -> list[Difference]:
    """Each row against the row of another method at the same cost weight."""
    found = []
    for key, row in table.rows.items():
        against = table.rows.get(Key(other, key.cost_weight, "log_prob"))
        if against is None or against is row or against.runs["cost"].shape != row.runs["cost"].shape:
            continue
        parts = (interval((row.runs[name] - against.runs[name]).mean(-1)) for name in ("accuracy", "cost"))
        found.append(Difference(key, *parts))
    return found


class Front(NamedTuple):
    """The runs of a method at all W cost weights: accuracy (a share) and cost, (R + 1, S, W)."""

    accuracy: np.ndarray
    cost: np.ndarray
    floor: float

    def volume(self) -> np.ndarray:
        """(R + 1, S): hypervolume of each seed's front."""
        return hypervolume(self.accuracy, self.cost, self.floor)

    def cost_at(self, accuracy: float) -> np.ndarray:
        """(R + 1, S): the cost at which each seed's front reaches an accuracy (a share); infinite where it does not."""
        return cost_at(self.accuracy, self.cost, accuracy)

    def best_within(self, budgets: np.ndarray) -> np.ndarray:
        """(G,) costs -> (R + 1, S, G): the best accuracy of each seed at that cost."""
        return best_within(self.accuracy, self.cost, budgets, self.floor)

    def iqm(self) -> tuple[Interval, Interval]:
        """Interquartile means of accuracy (a share) and of cost over all runs, cost weights and seeds pooled."""
        return interval(iqm(self.accuracy)), interval(iqm(self.cost))


def fronts(table: Table) -> dict[str, Front]:
    """The front of each method that was trained at every cost weight of the table."""
    weights: dict[str, list[float]] = defaultdict(list)
    for key in table.rows:
        if key.reward == "log_prob":
            weights[key.method].append(key.cost_weight)
    wanted = max(weights.values(), key=len)
    found = {}
    for method, own in weights.items():
        if set(own) == set(wanted):
            rows = [table.rows[Key(method, weight, "log_prob")] for weight in wanted]
            accuracy, cost = (np.stack([row.runs[name] for row in rows], -1) for name in ("accuracy", "cost"))
            found[method] = Front(accuracy / 100, cost, table.floor)
    return found


class Gap(NamedTuple):
    """A difference over seeds, and in how many of them it has the sign of the mean."""

    difference: Interval
    agreeing: int
    seeds: int

    def __format__(self, spec: str) -> str:
        return f"{self.difference:{spec}}, {self.agreeing} of {self.seeds} seeds"


def gap(first: np.ndarray, second: np.ndarray) -> Gap | None:
    """(R + 1, S) minus (R + 1, S), seed by seed; None where a seed of the sample is infinite."""
    if first.shape != second.shape or not (np.isfinite(first[0]).all() and np.isfinite(second[0]).all()):
        return None
    with np.errstate(invalid="ignore"):  # of two that a resample does not reach; ``interval`` knows what to do
        apart = first - second
        found = interval(apart.mean(-1))
    return Gap(found, int((np.sign(apart[0]) == np.sign(found.mean)).sum()), apart.shape[1])
