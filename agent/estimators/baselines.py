"""Baselines of REINFORCE: what a rollout's return is held against. One registered class each.

Each is unbiased where what it subtracts does not depend on the step's own decisions.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import numpy as np

from backbone.common import ranks
from backbone.common.registry import Registry

MOVING_AVERAGE = 0.95


class Baseline(ABC):
    """From returns to advantages.

    :param rollouts_per_clip: K; row i of a batch plays clip i // K
    """

    name: str  # under which it is registered
    needs_others = False  # at least two rollouts of each clip
    plays_greedily = False  # the first of each clip's rollouts is greedy, and gives no gradient of its own
    learns_value = False  # a critic is trained

    def __init__(self, rollouts_per_clip: int) -> None:
        self.rollouts_per_clip = rollouts_per_clip
        if self.needs_others and rollouts_per_clip < 2:
            raise ValueError(
                f"expected rollouts_per_clip of at least 2 for baseline {self.name!r}, got {rollouts_per_clip}"
            )

    @abstractmethod
    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        """(S, N) returns after each step and values of a critic (zero without one) -> (S, N)."""

    def state_dict(self) -> dict[str, Any]:
        """JSON facts that a checkpoint must hold."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take back what ``state_dict`` gave."""
        return


BASELINES: Registry[type[Baseline]] = Registry("baseline")


def register_baseline(name: str) -> Callable[[type[Baseline]], type[Baseline]]:
    """Record a Baseline under a name."""

    def record(kind: type[Baseline]) -> type[Baseline]:
        BASELINES.register(kind, name)
        kind.name = name
        return kind

    return record


def find_baseline(name: str) -> type[Baseline]:
    """:raises ValueError: an unknown name; the message lists the known ones"""
    return BASELINES.find(name)


def returns_after(rewards: np.ndarray, own_cost: np.ndarray) -> np.ndarray:
    """Return of each step without the step's own cost: (S, N) rewards -> (S, N). Discount 1.

    For where the own cost's expectation is differentiated exactly, so that it must not be estimated a second time.
    The cost of later steps stays in: it depends on this step's decisions too.

    :param rewards: (S, N) as the environment paid them, one episode a column
    :param own_cost: (S, N) weighted cost that the reward of the same step holds, as a positive number; zero keeps it
    """
    return np.flip(np.cumsum(np.flip(rewards, 0), 0), 0) + own_cost


def leave_one_out(returns: np.ndarray, rollouts_per_clip: int) -> np.ndarray:
    """Each rollout against the mean of the clip's others: (S, B*K) -> (S, B*K).

    :raises ValueError: a single rollout has no others
    """
    k = rollouts_per_clip
    if k < 2:
        raise ValueError(f"expected at least 2 rollouts per clip for the leave-one-out baseline, got {k}: raise it")
    clips = returns.reshape(len(returns), -1, k)
    others = (clips.sum(-1, keepdims=True) - clips) / (k - 1)
    return (clips - others).reshape(returns.shape)


@register_baseline("leave_one_out")
class LeaveOneOut(Baseline):
    """The mean of the clip's other rollouts: RLOO (Kool et al., 2019; Ahmadian et al., 2024)."""

    needs_others = True

    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        return leave_one_out(returns, self.rollouts_per_clip)


@register_baseline("none")
class NoBaseline(Baseline):
    """The return itself (Williams, 1992)."""

    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        return returns


@register_baseline("moving_average")
class MovingAverage(Baseline):
    """A running mean of each step's return over the batches before (Williams, 1992; reinforcement comparison)."""

    average: np.ndarray | None = None

    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        batch = returns.mean(1)
        if ranks.dividing() > 1:
            batch = np.asarray(ranks.mean(batch.tolist()), returns.dtype)
        before = batch if self.average is None else self.average
        self.average = MOVING_AVERAGE * before + (1 - MOVING_AVERAGE) * batch
        return returns - before[:, None]

    def state_dict(self) -> dict[str, Any]:
        return {"average": None if self.average is None else [float(value) for value in self.average]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.average = None if state["average"] is None else np.array(state["average"], np.float32)


@register_baseline("self_critical")
class SelfCritical(Baseline):
    """The greedy rollout of the same clip (Rennie et al., 2017), for which the first of each clip's is spent."""

    needs_others = True
    plays_greedily = True

    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        clips = returns.reshape(len(returns), -1, self.rollouts_per_clip)
        return (clips - clips[..., :1]).reshape(returns.shape)


@register_baseline("value")
class Value(Baseline):
    """A learned state value, trained beside the policy on the same returns (Sutton and Barto, 2018, section 13.4)."""

    learns_value = True

    def advantages(self, returns: np.ndarray, values: np.ndarray) -> np.ndarray:
        return returns - values
