"""From rewards to advantages: what each step is to be credited with."""

from __future__ import annotations

import numpy as np


def returns_after(rewards: np.ndarray, own_cost: np.ndarray) -> np.ndarray:
    """Return of each step without the step's own cost: (S, N) rewards -> (S, N).

    The own cost's expectation is differentiated exactly, so it must not be estimated a second time. The cost of later
    steps stays in: it depends on this step's decisions too. Discount 1.

    :param rewards: (S, N) as the environment paid them, one episode a column
    :param own_cost: (S, N) weighted cost that the reward of the same step holds, as a positive number
    """
    return np.flip(np.cumsum(np.flip(rewards, 0), 0), 0) + own_cost


def leave_one_out(returns: np.ndarray, rollouts_per_clip: int) -> np.ndarray:
    """RLOO: each rollout against the mean of the clip's others (Kool et al., 2019). (S, B*K) -> (S, B*K).

    :raises ValueError: a single rollout has no others
    """
    k = rollouts_per_clip
    if k < 2:
        raise ValueError(f"expected at least 2 rollouts per clip for the leave-one-out baseline, got {k}: raise it")
    clips = returns.reshape(len(returns), -1, k)
    others = (clips.sum(-1, keepdims=True) - clips) / (k - 1)
    return (clips - others).reshape(returns.shape)
