"""The runs of a comparison set side by side: rows over seeds, tables of one budget and group size, fronts of methods.

Figures are (R + 1, S): of each of S seeds, on the test clips and on each of R resamples of them; the same draws for all
figures of a comparison, so that whatever is subtracted is paired by seed and clip.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from experiments.analysis.confusion import Confusion, together
from experiments.analysis.fronts import Hull, Reading, accuracy_at, cost_at, hull, hypervolume
from experiments.analysis.statistics import ClipDraws, Interval, interval, over_seeds
from experiments.comparison.results import ComparedRun, JudgedClips, Results

SELECTIONS = {"greedy": "", "sampled": "sampled_", "top-k": "top_k_"}
"""Ways to play an agent, and how names of their figures and arrays begin."""
FIGURES = {f"{start}accuracy": (f"{start}correct", 100.0) for start in SELECTIONS.values()}
FIGURES |= {f"{start}cost": (f"{start}macs_ratio", 1.0) for start in SELECTIONS.values()}
FIGURES |= {"swap_right": ("swap_correct", 100.0), "swap_follows": ("swap_follows", 100.0)}
"""Figures over seeds and clips: the array that each is the mean of, and its unit (100 for percent)."""
PERCENT, SHARE_OF_DENSE = (0.0, 100.0), (0.0, math.inf)


class Key(NamedTuple):
    """A row of a table: all seeds of one method at one cost weight and reward."""

    method: str
    cost_weight: float
    reward: str

    @property
    def title(self) -> str:
        return self.method if self.reward == "log_prob" else f"{self.method} ({self.reward} reward)"


class Row(NamedTuple):
    """What is known of a Key.

    :param seeds: S of them; of a fixed policy those of the backbones
    :param figures: name in FIGURES -> (R + 1, S), as far as it was measured
    :param pairs: the same of accuracy, per pair of mutually reversed classes
    :param training: how each seed's run was trained
    :param curves: of each seed, on validation clips
    :param units: of clips, that are drawn
    :param classes: as ``pairs``, per class; empty where classes are many, or older results lack the confusion matrix
    :param confusion: what the greedy policies of all seeds took clips of each class for
    """

    seeds: tuple[int, ...]
    figures: dict[str, np.ndarray]
    pairs: dict[str, np.ndarray]
    training: list[dict[str, float]]
    curves: list[list[dict[str, float]]]
    units: int
    classes: Mapping[str, np.ndarray] = MappingProxyType({})
    confusion: Confusion | None = None

    def figure(self, name: str) -> Interval | None:
        """The mean over seeds, with its interval; None for what was not measured."""
        if name not in self.figures:
            return None
        bounds = SHARE_OF_DENSE if name.endswith("cost") else PERCENT
        return interval(self.figures[name], units=self.units, bounds=bounds)

    def mean(self, name: str) -> float:
        """The same mean alone, of what was measured."""
        return float(self.figures[name][0].mean())

    def pair(self, name: str) -> Interval:
        """Accuracy in percent on the clips of a pair of classes."""
        return interval(self.pairs[name], units=self.units, bounds=PERCENT)

    def of_class(self, name: str) -> Interval:
        """Accuracy in percent on the clips of a class."""
        return interval(self.classes[name], units=self.units, bounds=PERCENT)

    def trained(self, name: str) -> Interval | None:
        """A number of each seed's training: its mean, over seeds."""
        values = [value for one in self.training if (value := one.get(name)) is not None]
        whole = values and len(values) == len(self.training)
        return over_seeds(values, bounds=(0.0, math.inf)) if whole else None


class Table(NamedTuple):
    """All that can be compared with each other: one budget, one group size.

    :param arm: the budget, "24,000 rollouts each"
    :param floor: accuracy from which hypervolume counts, a share
    """

    arm: str
    group_size: int
    rows: dict[Key, Row]
    fixed: dict[str, Row]
    floor: float

    @property
    def title(self) -> str:
        return f"{self.arm}, {'per channel' if self.group_size == 1 else f'groups of {self.group_size} channels'}"


def tables_of(results: Results) -> list[Table]:
    """A table for each budget and each group size."""
    draws, test = ClipDraws(len(results.test), cluster=results.test.together), results.test
    groups: dict[tuple[str, int], dict[Key, list[ComparedRun]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(results.runs, key=lambda run: run.seed):
        groups[run.arm, run.group_size][Key(run.method, run.cost_weight, run.reward)].append(run)
    fixed: dict[int, dict[str, list[ComparedRun]]] = defaultdict(lambda: defaultdict(list))
    for run in sorted(results.fixed, key=lambda run: run.seed):
        fixed[run.group_size][run.method].append(run)
    order = list(dict.fromkeys((run.arm, run.group_size) for run in results.runs))
    return [
        Table(
            arm,
            group,
            {key: row_of(runs, draws, test) for key, runs in _in_order(groups[arm, group], results.runs).items()},
            {name: row_of(runs, draws, test) for name, runs in fixed[group].items()},
            results.test.floor,
        )
        for arm, group in order
    ]


def _in_order(rows: dict[Key, list[ComparedRun]], runs: Sequence[ComparedRun]) -> dict[Key, list[ComparedRun]]:
    """Rows in the order in which a comparison lists its runs, whatever their seeds."""
    keys = dict.fromkeys(Key(run.method, run.cost_weight, run.reward) for run in runs)
    return {key: rows[key] for key in keys if key in rows}


def row_of(runs: Sequence[ComparedRun], draws: ClipDraws, test: JudgedClips) -> Row:
    """One row of the runs of all its seeds."""

    def stack(array: str) -> np.ndarray:
        return np.stack([run.clips[array] for run in runs])  # (S, N)

    known = set.intersection(*(set(run.clips) for run in runs))
    figures = {name: unit * draws.means(stack(array)) for name, (array, unit) in FIGURES.items() if array in known}

    def accuracies(parts: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        with np.errstate(invalid="ignore"):  # a resample without a clip of the part says nothing
            return {
                name: 100 * draws.means(stack("correct") & part) / draws.means(part[None])
                for name, part in parts.items()
            }

    confusion = together(run.confusion for run in runs) if all(run.confusion for run in runs) else None
    of_classes = accuracies(test.by_class()) if confusion else {}
    if of_classes:
        figures["class_accuracy"] = np.nanmean(np.stack(list(of_classes.values())), 0)
    trained = [run.training for run in runs if run.training]
    curves = [run.curve for run in runs if run.curve]
    seeds = tuple(run.seed for run in runs)
    return Row(seeds, figures, accuracies(test.pairs()), trained, curves, draws.units, of_classes, confusion)


class Front(NamedTuple):
    """A method's front: the hull of all its policies, every cost weight under every selection, of each seed's own runs.

    :param hull: (R + 1, S, P), accuracy as a share
    """

    method: str
    hull: Hull
    seeds: tuple[int, ...]
    floor: float
    units: int

    def hypervolume(self) -> Reading:
        """(R + 1, S)."""
        value = hypervolume(self.hull, self.floor)
        return Reading(value, np.zeros(value.shape, bool))

    def cost_at(self, accuracy: float) -> Reading:
        """(R + 1, S): the cost at which each seed's front reaches an accuracy (percent)."""
        return cost_at(self.hull, accuracy / 100)

    def accuracy_at(self, budget: float) -> Reading:
        """(R + 1, S): the accuracy in percent that each seed's front has at a cost."""
        value, bound = accuracy_at(self.hull, budget)
        return Reading(100 * value, bound)


def fronts(table: Table) -> dict[str, Front]:
    """The front of each method that was trained at every cost weight of the table."""
    weights: dict[str, set[float]] = defaultdict(set)
    for key in table.rows:
        if key.reward == "log_prob":
            weights[key.method].add(key.cost_weight)
    wanted = max(weights.values(), key=len, default=set())
    return {method: _front(table, method) for method, own in weights.items() if own == wanted}


def _front(table: Table, method: str) -> Front:
    rows = [row for key, row in table.rows.items() if (key.method, key.reward) == (method, "log_prob")]
    names = [start for start in SELECTIONS.values() if all(f"{start}cost" in row.figures for row in rows)]

    def policies(figure: str) -> np.ndarray:
        return np.stack([row.figures[start + figure] for row in rows for start in names], -1)  # (R + 1, S, P)

    found = hull(policies("accuracy") / 100, policies("cost"))
    return Front(method, found, rows[0].seeds, table.floor, rows[0].units)
