"""The best blind policy: what can be had at an agent's cost without looking at the clip."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.analysis.fronts import Reading, accuracy_at, hull
from experiments.analysis.statistics import ClipDraws, Cluster, interval
from experiments.comparison.measures import REACHED
from experiments.config import Train
from experiments.run import Imported


class Peers(NamedTuple):
    """What an agent shares with the blind policies that it may be set against: they are trained from the same, and as long.

    :param backbone: the CNN itself, or in the joint regime where each run's own began
    :param start: the run that training started from, whose CNN may be its own
    """

    backbone: str
    start: str
    seed: int
    group_size: int
    regime: str
    reuse: bool
    rollouts: int


def peers(config: Train | Imported) -> Peers:
    """Those of a run."""
    paths = str(config.backbone), str(config.start)
    return Peers(*paths, config.seed, config.group_size, config.regime, config.reuse, config.rollouts)


class Outcome(NamedTuple):
    """What a policy did with each of N clips: an ``Evaluation`` without what it takes most memory for.

    :param correct: (N,) bool
    :param macs_ratio: (N,) cost as a share of dense
    """

    correct: np.ndarray
    macs_ratio: np.ndarray


class Against(NamedTuple):
    """An agent against blind policies, on the clips and on each resample of them.

    :param best: (R + 1,) accuracy in percent of the best mixture of blind policies at the agent's own cost
    :param lead: (R + 1,) the agent's accuracy minus that
    :param end: cost of the dearest blind policy
    """

    best: Reading
    lead: np.ndarray
    end: float


def best_blind(played: Outcome, policies: Sequence[Outcome], draws: ClipDraws) -> Against:
    """The hull of blind policies, and their mixtures, at an agent's own cost.

    Clips are drawn anew for the agent and the hull together, so that the hull, too, is that of each draw. The hull takes
    the best of what it finds on these very clips, which errs in its favour.
    """
    accuracy = 100 * draws.means(np.stack([policy.correct for policy in policies]))  # (R + 1, P)
    cost = draws.means(np.stack([policy.macs_ratio for policy in policies]))
    own_accuracy, own_cost = draws.means(np.stack([100 * played.correct, played.macs_ratio])).T  # (R + 1,) each
    front = hull(accuracy, cost)
    best = accuracy_at(front, own_cost)
    return Against(best, own_accuracy - best.value, float(front.dearest[0]))


def against_blind(played: Outcome, policies: Sequence[Outcome], *, cluster: Cluster) -> dict[str, Any]:
    """How far an agent is above the best of blind policies and their mixtures at its own cost.

    Where the agent costs more than the dearest blind policy, all that is known is that a blind policy at this cost
    is no worse than that one: its accuracy is a bound, "reached" is "bound" and there is no lead. Where no blind policy
    is as cheap, "reached" is "none". Either must hold on nearly every draw, as in a comparison's fronts.

    :param cluster: as in ``ClipDraws``
    """
    draws = ClipDraws(len(played.correct), cluster=cluster)
    (best, bound), lead, end = best_blind(played, policies, draws)
    found: dict[str, Any] = {"policies": len(policies), "end": end, "accuracy": None, "lead": None}
    known, held = np.isfinite(best), ~bound
    if not (known[0] and known[1:].mean() >= REACHED):
        return {**found, "reached": "none"}
    found["accuracy"] = interval(best[:, None], units=draws.units, bounds=(0, 100))
    if not (held[0] and held[1:].mean() >= REACHED):
        return {**found, "reached": "bound"}
    return {**found, "reached": "cost", "lead": interval(lead[:, None], units=draws.units)}
