"""Intervals: Student's t over seeds and clips at once, and what many claims together cost.

A figure of S seeds is computed on an array (R + 1, S): row 0 holds each seed's figure on the test clips themselves, the
other rows the same on R resamples of the clips. Whatever is computed row by row and seed by seed, such as a difference
of two methods or the area under a front, is paired by construction, and ``interval`` reads its mean and its error off.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special, stats

RESAMPLES = 1000
LEVEL = 0.95
SEEDS_AND_CLIPS, SEEDS, CLIPS, EXACT = "seeds and clips", "seeds", "clips", "exact"
MARKS = {SEEDS_AND_CLIPS: "ˢᶜ", SEEDS: "ˢ", CLIPS: "ᶜ", EXACT: ""}

Cluster = int | Sequence[int] | np.ndarray
"""Clips that belong together, and are drawn together: so many consecutive ones (2: a clip and its reversal), or those that
have equal numbers in (N,), as clips of one source have. Together they are one piece of evidence, a unit."""


@dataclass(frozen=True)
class Interval:
    """An estimate, the ends of its 95% interval, and what the interval is over.

    :param kind: SEEDS_AND_CLIPS, SEEDS, CLIPS, or EXACT for what does not vary
    :param p: two-sided, of a true value of zero
    """

    mean: float
    low: float
    high: float
    kind: str = EXACT
    p: float = 1.0

    def __post_init__(self) -> None:
        if not (self.low <= self.mean <= self.high):
            raise ValueError(f"expected an interval around its estimate, got {self.mean} [{self.low}, {self.high}]")

    def __format__(self, spec: str) -> str:
        if self.kind == EXACT:
            return f"{self.mean:{spec}}"
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]{MARKS[self.kind]}"

    def to_json(self) -> list[float]:
        """[mean, low, high]."""
        return [self.mean, self.low, self.high]


def units_of(clips: int, cluster: Cluster) -> np.ndarray:
    """Which unit each of N clips is of, (N,) from 0.

    :raises ValueError: clips that do not come in such clusters
    """
    if not isinstance(cluster, int):
        numbers = np.asarray(cluster)
        if numbers.shape != (clips,):
            raise ValueError(f"expected the group of each of {clips} clips, got {numbers.size}")
        return np.unique(numbers, return_inverse=True)[1]
    if clips % cluster:
        raise ValueError(f"expected a number of clips divisible by {cluster}, got {clips}")
    return np.arange(clips) // cluster


class ClipDraws:
    """Test clips drawn anew, with replacement; seeds stay as they are. One draw for all figures of a comparison.

    All runs are judged on the same clips, so that clips are drawn once for all seeds and methods.

    :param clips: N
    :param seed: of the draws; the same numbers give the same draws, so that separate figures stay paired

    ``unit_of`` has the unit of each clip, (N,); there are U ``units``.
    """

    def __init__(self, clips: int, *, cluster: Cluster = 1, seed: int = 0, resamples: int = RESAMPLES) -> None:
        self.unit_of = units_of(clips, cluster)
        self.sizes = np.bincount(self.unit_of)  # (U,) clips of each
        self.cluster, self.units = cluster, len(self.sizes)
        rng = np.random.default_rng(seed)
        places = rng.integers(self.units, size=(resamples, self.units)) + self.units * np.arange(resamples)[:, None]
        counts = np.bincount(places.ravel(), minlength=resamples * self.units).reshape(resamples, self.units)
        self.weights = counts / self.units  # (R, U)

    def means(self, values: np.ndarray) -> np.ndarray:
        """(S, N) values of each seed's run on each clip -> (R + 1, S) means, over the clips and over each resample."""
        values = np.asarray(values, np.float64)
        if isinstance(self.cluster, int):
            units = values.reshape(len(values), -1, self.cluster).mean(-1)  # (S, U)
            return np.concatenate([units.mean(-1)[None], self.weights @ units.T])
        sums = np.stack([np.bincount(self.unit_of, row) for row in values])  # (S, U)
        drawn = (self.weights @ sums.T) / (self.weights @ self.sizes)[:, None]  # units of many clips weigh more
        return np.concatenate([values.mean(-1)[None], drawn])


def interval(values: np.ndarray, *, units: int, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """(R + 1, S) a figure of each seed, on the clips and on each resample of them -> its mean over seeds.

    Seeds and clips are crossed (every seed is judged on the same clips), so the variance of the mean is that of seeds
    plus that of clips: s^2 / S of the seeds' figures, and the variance over resamples of their mean. What is both, a
    seed's own luck with a clip, is in both, so that the sum errs on the wide side. Each part reaches as far as its own
    Student's t, and they are added as squares (Howe, 1974; MOVER, Zou and Donner, 2008). Simulated, with three or five
    seeds, this covers 95 to 98% (``tests/test_statistics``); the usual degrees of freedom of Welch and Satterthwaite
    only 93% where seeds decide, and a percentile bootstrap over seeds 83% with five, 75% with three. A single seed says
    nothing of how seeds differ: its interval is over clips alone.

    :param units: clips, or clusters of them, that were drawn
    :param bounds: what the figure cannot leave (0 and 100 for a percentage)
    """
    seeds = values.shape[1]
    mean, drawn = float(values[0].mean()), values[1:].mean(1)
    drawn = drawn[np.isfinite(drawn)]  # an accuracy that a resample does not reach has no cost there
    of_clips = float(drawn.var()) if len(drawn) > 1 else 0.0
    of_seeds = float(values[0].var(ddof=1)) / seeds if seeds > 1 else 0.0
    parts = [(of_seeds, seeds - 1, SEEDS), (of_clips, units - 1, CLIPS)]
    parts = [part for part in parts if part[0] > (1e-12 * abs(mean)) ** 2]
    if not parts:
        return Interval(mean, mean, mean, EXACT, 1.0 if mean == 0 else 0.0)
    if len(parts) == 1:
        ((variance, degrees, kind),) = parts
        return student(mean, variance**0.5, degrees, kind, bounds)

    def reach(p: float) -> float:
        """Half the width of an interval that leaves out p."""
        return math.hypot(*(special.stdtrit(max(count, 1), p / 2) * part**0.5 for part, count, _ in parts))

    least, half = 1e-15, reach(1 - LEVEL)
    apart = reach(least) < abs(mean)
    p = least if apart else math.exp(optimize.brentq(lambda log: reach(math.exp(log)) - abs(mean), math.log(least), 0))
    return _around(mean, half, SEEDS_AND_CLIPS, min(p, 1.0), bounds)


def student(
    mean: float, error: float, degrees: float, kind: str, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """Student's t interval of an estimate with this standard error."""
    reach = float(stats.t.ppf((1 + LEVEL) / 2, degrees)) * error
    p = float(2 * stats.t.sf(abs(mean) / error, degrees))
    return _around(mean, reach, kind, p, bounds)


def _around(mean: float, reach: float, kind: str, p: float, bounds: tuple[float, float]) -> Interval:
    return Interval(mean, min(max(mean - reach, bounds[0]), mean), max(min(mean + reach, bounds[1]), mean), kind, p)


def over_clips(
    values: np.ndarray, *, cluster: Cluster = 1, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The mean of one run's (N,) values, over clips alone: Student's t on clusters of clips."""
    values = np.asarray(values, np.float64)
    if isinstance(cluster, int):
        return _over(values.reshape(-1, cluster).mean(-1), CLIPS, bounds)
    return _over_units((values - values.mean()) / len(values), float(values.mean()), cluster, bounds)


def over_classes(
    values: np.ndarray, labels: np.ndarray, *, cluster: Cluster = 1, bounds: tuple[float, float] = (-math.inf, math.inf)
) -> Interval:
    """The mean over classes of one run's mean in each, which counts every class alike, over clips alone.

    :param values: (N,)
    :param labels: (N,); classes without a clip are left out
    """
    values, (_, of_class) = np.asarray(values, np.float64), np.unique(labels, return_inverse=True)
    counts = np.bincount(of_class)
    means = np.bincount(of_class, values) / counts
    units = np.bincount(np.unique([of_class, units_of(len(values), cluster)], axis=1)[0])  # of each class
    spread = np.sqrt(units / np.maximum(units - 1, 1))  # each class has a mean of its own
    influence = (values - means[of_class]) * (spread / counts / len(counts))[of_class]
    return _over_units(influence, float(means.mean()), cluster, bounds)


def share_over_clips(correct: np.ndarray, *, cluster: Cluster = 1) -> Interval:
    """Percent of (N,) booleans that are true, over clips alone, also of few clips or few clusters, all alike perhaps.

    Clopper and Pearson's interval at the number of independent clips that would vary as much as these clusters do, with
    their degrees of freedom (Korn and Graubard, 1998). Where all are alike, each cluster counts as one clip. Simulated, with
    6 to 30 clusters of unequal sizes, it covers 94 to 96%, where Student's t on clusters covers 85 to 95%, and one that
    takes clips for independent 61 to 89% (``tests/test_statistics`` repeats some of it).
    """
    share, clips = float(np.mean(correct)), len(correct)
    units = int(units_of(clips, cluster).max()) + 1
    effective = float(units)
    if units > 1 and 0 < share < 1:
        error = _error(np.asarray(correct) / clips - share / clips, cluster)
        wide = float(special.stdtrit(units - 1, (1 + LEVEL) / 2) / special.stdtrit(clips - 1, (1 + LEVEL) / 2))
        effective = min(share * (1 - share) / max(error * wide, 1e-9) ** 2, clips)
    true = share * effective
    low = 0.0 if share == 0 else float(special.betaincinv(true, effective - true + 1, (1 - LEVEL) / 2))
    high = 1.0 if share == 1 else float(special.betaincinv(true + 1, effective - true, (1 + LEVEL) / 2))
    return Interval(100 * share, 100 * min(low, share), 100 * max(high, share), CLIPS)


def _error(influence: np.ndarray, cluster: Cluster) -> float:
    """The standard error of an estimate, of U units.

    :param influence: (N,) what each clip moves it by; they sum to zero
    """
    moved = np.bincount(units_of(len(influence), cluster), influence)
    return float(np.sqrt(np.sum(moved**2) * len(moved) / max(len(moved) - 1, 1)))


def _over_units(influence: np.ndarray, mean: float, cluster: Cluster, bounds: tuple[float, float]) -> Interval:
    """Student's t on clusters of clips, whose sizes may differ: a ratio of sums, linearised."""
    error, units = _error(influence, cluster), int(units_of(len(influence), cluster).max()) + 1
    if units == 1 or error <= 1e-12 * abs(mean):
        return Interval(mean, mean, mean, EXACT, 1.0 if mean == 0 else 0.0)
    return student(mean, error, units - 1, CLIPS, bounds)


def over_seeds(values: Sequence[float], *, bounds: tuple[float, float] = (-math.inf, math.inf)) -> Interval:
    """The mean of one number of each seed, over seeds alone: Student's t."""
    return _over(np.asarray(values, np.float64), SEEDS, bounds)


def _over(units: np.ndarray, kind: str, bounds: tuple[float, float]) -> Interval:
    mean, count = float(units.mean()), len(units)
    error = float(units.std(ddof=1)) / count**0.5 if count > 1 else 0.0
    if error <= 1e-12 * abs(mean):
        return Interval(mean, mean, mean, EXACT, 1.0 if mean == 0 else 0.0)
    return student(mean, error, count - 1, kind, bounds)


def percentiles(draws: np.ndarray, estimate: float, kind: str = CLIPS) -> Interval:
    """A percentile bootstrap, for figures that are no means; draws in which the figure does not exist are nan.

    The interval is stretched to hold its own estimate.
    """
    low, high = np.nanquantile(np.asarray(draws, np.float64), ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(estimate, min(float(low), estimate), max(float(high), estimate), kind)


def holm(ps: Sequence[float]) -> list[float]:
    """p-values of m claims -> the same corrected for being m (Holm, 1979): at most 5% of reports word a wrong one."""
    order, adjusted, worst = np.argsort(ps, kind="stable"), [0.0] * len(ps), 0.0
    for rank, place in enumerate(order):
        worst = max(worst, min((len(ps) - rank) * ps[place], 1.0))
        adjusted[place] = worst
    return adjusted
