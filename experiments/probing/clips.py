"""What a run did with each clip under each probe: kept in probes.npz, so that figures can be counted again from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from agent.evaluation import SELECTIONS, Evaluation
from agent.probes import SwapTest
from experiments.analysis.statistics import ClipDraws
from experiments.probing.blind import Outcome, best_blind

Clips = dict[str, np.ndarray]
"""PROBE/correct and PROBE/follows -> (N,) booleans, PROBE/cost -> (N,) shares of dense. A probe is a selection, greedy or
another; "swap"; or one of those without adaptivity."""

SWAP = "swap"


def clips_of(selected: Mapping[str, Evaluation], swap: SwapTest | None, others: Mapping[str, Evaluation]) -> Clips:
    """Of what was played; the swap test where every clip has a reversal."""
    found: Clips = {}
    for name, played in {**selected, **others}.items():
        found |= {f"{name}/correct": played.correct, f"{name}/cost": played.macs_ratio}
    if swap is not None and len(swap.correct) == len(selected["greedy"].correct):
        found |= {f"{SWAP}/correct": swap.correct, f"{SWAP}/follows": swap.followed}
    return found


def outcomes(clips: Clips) -> dict[str, Outcome]:
    """Of each probe that has a cost."""
    names = [name.removesuffix("/cost") for name in clips if name.endswith("/cost")]
    return {name: Outcome(clips[f"{name}/correct"], clips[f"{name}/cost"]) for name in names}


def policies_of(clips: Clips) -> list[Outcome]:
    """A run under each selection that was played."""
    return [played for name, played in outcomes(clips).items() if name in SELECTIONS]


def drawn_figures(clips: Clips, rivals: Sequence[Outcome], draws: ClipDraws) -> dict[tuple[str, ...], np.ndarray]:
    """Where a figure stands among those of a run -> (R + 1,), the figure on the clips and on each resample of them.

    :param rivals: blind policies, as ``against_blind`` takes them; none where there is no comparison
    """
    played = outcomes(clips)
    greedy = played["greedy"]
    values: dict[tuple[str, ...], np.ndarray] = {("accuracy",): 100 * greedy.correct, ("cost",): greedy.macs_ratio}
    for name, other in played.items():
        if name not in SELECTIONS:
            path = ("without_adaptivity", name)
            values |= {(*path, "accuracy"): 100 * other.correct, (*path, "cost"): other.macs_ratio}
            minus = (*path, "adaptive_minus_this")
            values[*minus, "accuracy"] = 100.0 * greedy.correct - 100.0 * other.correct
            values[*minus, "cost"] = greedy.macs_ratio - other.macs_ratio
    if f"{SWAP}/correct" in clips:
        values[SWAP, "accuracy"] = 100 * clips[f"{SWAP}/correct"]
        values[SWAP, "follows"] = 100 * clips[f"{SWAP}/follows"]
    found = dict(zip(values, draws.means(np.stack(list(values.values()))).T))
    if rivals:
        against = best_blind(greedy, rivals, draws)
        found["best_blind", "accuracy"], found["best_blind", "lead"] = against.best.value, against.lead
    return found
