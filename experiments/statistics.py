"""Means with intervals: a bootstrap over seeds and over clips at once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

RESAMPLES = 2000
LEVEL = 0.95


class Interval(NamedTuple):
    """A mean and the ends of its 95% bootstrap interval."""

    mean: float
    low: float
    high: float

    def __format__(self, spec: str) -> str:
        return f"{self.mean:{spec}} [{self.low:{spec}}, {self.high:{spec}}]"

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def bootstrap(values: np.ndarray, *, cluster: int = 1, seed: int = 0) -> Interval:
    """Percentile bootstrap of the mean of (seeds, clips); both seeds and clips are drawn anew, with replacement.

    A single seed says nothing of how seeds differ: its interval is that of the clips alone.

    :param cluster: consecutive clips that belong together and are drawn together (2: a clip and its reversal)
    """
    values = np.atleast_2d(np.asarray(values, np.float64))
    seeds, clips = values.shape
    if clips % cluster:
        raise ValueError(f"expected a number of clips divisible by {cluster}, got {clips}")
    units = values.reshape(seeds, -1, cluster).mean(-1)
    rng = np.random.default_rng(seed)
    means = np.empty(RESAMPLES)
    for resample in range(RESAMPLES):
        rows = rng.integers(seeds, size=seeds)
        columns = rng.integers(units.shape[1], size=units.shape[1])
        weights = np.bincount(rows, minlength=seeds) / seeds
        means[resample] = (weights @ units)[columns].mean()
    low, high = np.quantile(means, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
    return Interval(float(values.mean()), float(low), float(high))


def over_seeds(values: list[float]) -> Interval:
    """Mean over seeds of one number each, with a bootstrap interval over the seeds (crude for three of them)."""
    return bootstrap(np.asarray(values)[:, None])
