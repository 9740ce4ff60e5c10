"""What is read off fronts and compared: hypervolume, cost at an accuracy, accuracy at a cost; over seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from experiments.analysis.fronts import Reading
from experiments.analysis.statistics import Interval, interval
from experiments.comparison.tables import PERCENT, SHARE_OF_DENSE, Front

REACHED = 0.95  # share of resamples that must have a value too, where a seed is said to have one


@dataclass(frozen=True)
class Measure:
    """Something that a front has.

    :param more, less: words for a front that has more of it than another, or less
    :param spec: how its figures are printed
    :param bound: sign of a value that is no more than a bound
    """

    name: str
    read: Callable[[Front], Reading]
    more: str
    less: str
    spec: str
    bound: str
    bounds: tuple[float, float]


HYPERVOLUME = Measure("hypervolume", Front.hypervolume, "larger", "smaller", ".3f", "", (0.0, 1.0))


def cost_measure(accuracy: float) -> Measure:
    """:param accuracy: in percent"""
    name = f"cost at {accuracy:g}%"
    return Measure(name, lambda front: front.cost_at(accuracy), "dearer", "cheaper", ".3f", "≤", SHARE_OF_DENSE)


def accuracy_measure(budget: float) -> Measure:
    """:param budget: as a share of the dense CNN's MACs"""
    name = f"accuracy % at cost {budget:g}"
    return Measure(name, lambda front: front.accuracy_at(budget), "higher", "lower", ".1f", "≥", PERCENT)


class Figure(NamedTuple):
    """A measure of a front over seeds.

    :param value: where every seed has one
    :param bound: the mean where every seed has at least a bound
    :param reached: how many seeds have either
    """

    value: Interval | None
    bound: float | None
    reached: int
    seeds: int


def figure_of(front: Front, measure: Measure) -> Figure:
    """A front's own figure."""
    reading = measure.read(front)
    known, bound = _known(reading)
    value = bounded = None
    if known.all() and not bound.any():
        value = interval(reading.value, units=front.units, bounds=measure.bounds)
    elif known.all():
        bounded = float(reading.value[0].mean())
    return Figure(value, bounded, int(known.sum()), len(known))


def difference(first: Front, second: Front, measure: Measure) -> Interval | None:
    """The first front's figure minus the second's, paired by seed and clip.

    None unless both have a value in every seed: a bound is never subtracted, nor what only some seeds reach.
    """
    readings = [measure.read(front) for front in (first, second)]
    compared = first.seeds == second.seeds
    for known, bound in map(_known, readings):
        compared = compared and bool(known.all() and not bound.any())
    if not compared:
        return None
    return interval(readings[0].value - readings[1].value, units=first.units, bounds=(-math.inf, math.inf))


def _known(reading: Reading) -> tuple[np.ndarray, np.ndarray]:
    """(R + 1, S) -> (S,): whether a seed has a value or a bound, and whether it is no more than a bound.

    What fewer than 95% of a seed's resamples have hangs on the clips that happened to be drawn: it counts as not there.
    """
    known, value = np.isfinite(reading.value), ~reading.bound
    return (
        known[0] & (known[1:].mean(0) >= REACHED),
        ~(value[0] & (value[1:].mean(0) >= REACHED)),
    )


def measures_of(accuracies: Sequence[float], budgets: Sequence[float]) -> list[Measure]:
    """All that a report reads off its fronts."""
    return [HYPERVOLUME, *map(cost_measure, accuracies), *map(accuracy_measure, budgets)]
