"""Decisions against difficulty: what an agent spends on which clips, and on which of their frames."""

from __future__ import annotations

from typing import Any

import numpy as np

from backbone import Decision
from envs.clips.generated.motions import ClipFacts
from experiments.analysis.statistics import ClipDraws, Interval, percentiles

RANKS_AT_ONCE = 1 << 20  # 8 MiB an array
PHASES = ("before", "inside", "after")


def ratio(draws: ClipDraws, numerator: np.ndarray, denominator: np.ndarray) -> Interval | None:
    """Sum of (N,) over sum of (N,); None where there is nothing to divide by."""
    if not np.sum(denominator):
        return None
    above, below = draws.means(np.stack([numerator, denominator])).T
    with np.errstate(invalid="ignore"):
        found = above / below
    return _interval(found)


def rank_correlation(draws: ClipDraws, x: np.ndarray, y: np.ndarray) -> Interval | None:
    """Spearman's, of (N,) and (N,), equal values sharing their mean rank; None where one does not vary."""
    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    counts = np.concatenate([np.ones((1, draws.units)), np.rint(draws.weights * draws.units)])  # whole: sums are exact
    found = []
    for part in np.array_split(counts, -(-len(counts) * len(draws.unit_of) // RANKS_AT_ONCE)):
        weights = part[:, draws.unit_of]
        first, second = (_centred_ranks(values, weights) for values in (x, y))
        covariance, *variances = ((weights * p * q).sum(1) for p, q in ((first, second), (first,) * 2, (second,) * 2))
        with np.errstate(invalid="ignore"):
            found.append(covariance / np.sqrt(variances[0] * variances[1]))
    return _interval(np.concatenate(found))


def _interval(found: np.ndarray) -> Interval:
    """(R + 1,) a figure of the clips and of each draw; what no draw changes, but for rounding, is exact."""
    estimate = float(found[0])
    if np.nanmax(np.abs(found - estimate)) <= 1e-12 * abs(estimate):
        return Interval(estimate, estimate, estimate)
    return percentiles(found[1:], estimate)


def _centred_ranks(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ranks of (N,) where each stands as often as (R, N) says, less their mean: (R, N)."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    mass = np.add.reduceat(weights[:, order], starts, axis=1)
    return (mass.cumsum(1) - mass / 2)[:, group] - mass.sum(1, keepdims=True) / 2


def phases(facts: ClipFacts, num_frames: int) -> dict[str, np.ndarray]:
    """Which frames lie before, inside and after the window in which the object is seen: bool (N, T) each."""
    frames = np.arange(num_frames)
    start = np.asarray(facts.start)[:, None]
    end = start + np.asarray(facts.length)[:, None]
    return dict(zip(PHASES, (frames < start, (start <= frames) & (frames < end), frames >= end)))


def against_difficulty(
    facts: ClipFacts, *, shares: np.ndarray, costs: np.ndarray, correct: np.ndarray, draws: ClipDraws
) -> dict[str, Any]:
    """Each figure with its interval, by percentiles over the clips drawn.

    :param facts: of the clips, arrays (N,)
    :param shares: of use, reuse and skip in each frame, (N, T, 3)
    :param costs: of each frame as a share of a dense one, (N, T)
    :param correct: (N,) bool
    """
    cost = costs.mean(1)
    usual = costs - costs.mean(0)  # what the position of a frame in its clip explains is taken out

    def over_frames(values: np.ndarray, chosen: np.ndarray) -> Interval | None:
        return ratio(draws, (values * chosen).sum(1), chosen.sum(1))

    def over_clips(chosen: np.ndarray) -> dict[str, Any]:
        return {
            "clips": int(chosen.sum()),
            "accuracy": ratio(draws, 100 * correct * chosen, chosen),
            "cost": ratio(draws, cost * chosen, chosen),
        }

    edges = np.quantile(facts.noise, (0, 1 / 3, 2 / 3, 1))
    tertile = np.searchsorted(edges[1:3], facts.noise)
    return {
        "phases": {
            phase: {
                "frames": int(chosen.sum()),
                **{d.name.lower(): over_frames(shares[:, :, d], chosen) for d in Decision},
                "cost": over_frames(costs, chosen),
                "cost_above_position": over_frames(usual, chosen),
            }
            for phase, chosen in phases(facts, costs.shape[1]).items()
        },
        "noise": [{"from": float(edges[k]), "to": float(edges[k + 1]), **over_clips(tertile == k)} for k in range(3)],
        "length": [{"length": int(n), **over_clips(facts.length == n)} for n in np.unique(facts.length)],
        "rank_correlation_of_cost": {
            name: rank_correlation(draws, cost, getattr(facts, name))
            for name in ("noise", "contrast", "length", "speed")
        },
    }
