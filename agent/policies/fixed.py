"""Policies that do not learn: the yardsticks of every comparison."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from backbone import Decision
from backbone.common.registry import Registry
from envs.spaces import StepLayout

Rule = Callable[[int, np.random.Generator], np.ndarray]
"""(D, generator) -> integer decisions (D,) of one site at one frame."""


class FixedPolicy:
    """Chooses without looking at features; answers ``predict`` as stable-baselines3's models do.

    :param layout: of the environment
    :param choose: its generator is seeded from torch's, so that ``evaluate`` repeats itself
    """

    def __init__(self, layout: StepLayout, choose: Rule) -> None:
        self.layout, self.choose = layout, choose
        self.agent_macs = [0] * len(layout.sites)

    def predict(
        self, observation: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """(R, O) or (O,) -> actions (R, F * D) or (F * D,)."""
        rows = np.atleast_2d(observation)
        rng = np.random.default_rng(int(torch.randint(2**31, ())))
        actions = np.zeros((len(rows), self.layout.step_frames, self.layout.decisions), np.int64)
        for row, site in enumerate(self.layout.unpack(torch.from_numpy(rows)).site.tolist()):
            decisions = self.layout.sites[site].decisions
            for frame in range(self.layout.step_frames):
                actions[row, frame, :decisions] = self.choose(decisions, rng)
        return actions.reshape(*observation.shape[:-1], -1), state


def blocks(reuse: float, skip: float) -> Rule:
    """The first share of channels reuses (a temporal shift by one frame), the next skips, the rest is used."""

    def choose(decisions: int, rng: np.random.Generator) -> np.ndarray:
        chosen = np.full(decisions, Decision.USE, np.int64)
        first, second = round(decisions * reuse), round(decisions * (reuse + skip))
        chosen[:first], chosen[first:second] = Decision.REUSE, Decision.SKIP
        return chosen

    return choose


def mix(use: float, reuse: float, skip: float) -> Rule:
    """Each decision drawn independently with these probabilities."""

    def choose(decisions: int, rng: np.random.Generator) -> np.ndarray:
        return rng.choice(len(Decision), size=decisions, p=(use, reuse, skip))

    return choose


FIXED: Registry[Rule] = Registry("fixed policy")
FIXED |= {
    "all use": blocks(0, 0),
    "shift 1/4": blocks(1 / 4, 0),
    "shift 1/4, skip 1/4": blocks(1 / 4, 1 / 4),
    "shift 1/4, skip 1/2": blocks(1 / 4, 1 / 2),
    "random 1/2 use, 1/4 reuse, 1/4 skip": mix(1 / 2, 1 / 4, 1 / 4),
    "random thirds": mix(1 / 3, 1 / 3, 1 / 3),
}


def register_fixed(rule: Rule, name: str | None = None) -> Rule:
    """Record a rule, under its function's name unless another is given; a decorator. Every comparison plays it.

    :raises ValueError: the name is taken
    """
    return FIXED.register(rule, name)


def fixed_policy(name: str, layout: StepLayout) -> FixedPolicy:
    """A fixed policy by name.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    return FixedPolicy(layout, FIXED.find(name))
