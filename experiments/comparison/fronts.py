"""Fronts of accuracy against cost: hypervolume, staircase, cost at matched accuracy.

Arrays are (..., W): the W policies of one seed, one a cost weight, in any order. Accuracy is a share in [0, 1], larger
is better; cost is a share of the dense CNN's MACs, smaller is better.
"""

from __future__ import annotations

import numpy as np

DENSE = 1.0  # cost of the reference point, beyond which nothing counts


def hypervolume(accuracy: np.ndarray, cost: np.ndarray, floor: float) -> np.ndarray:
    """Area between the front and the reference point (cost 1, accuracy ``floor``), in its natural units: (..., W) -> (...).

    At most 1 - floor. It is the mean, over budgets drawn uniformly from [0, 1], of how far the best policy within the
    budget is above the floor (Zitzler and Thiele 1998).
    """
    order = np.argsort(cost, -1, kind="stable")
    sorted_cost = np.minimum(np.take_along_axis(cost, order, -1), DENSE)
    best = np.maximum.accumulate(np.take_along_axis(accuracy, order, -1), -1)
    widths = np.diff(sorted_cost, axis=-1, append=DENSE)
    return (np.maximum(best - floor, 0) * widths).sum(-1)


def best_within(accuracy: np.ndarray, cost: np.ndarray, budgets: np.ndarray, floor: float) -> np.ndarray:
    """The front as a staircase: the best accuracy at a cost of at most each budget, (..., W), (G,) -> (..., G).

    ``floor`` where no policy is that cheap, so that the area above it up to cost 1 is the hypervolume.
    """
    affordable = cost[..., None, :] <= budgets[:, None]
    return np.where(affordable, np.maximum(accuracy, floor)[..., None, :], floor).max(-1)


def cost_at(accuracy: np.ndarray, cost: np.ndarray, target: float) -> np.ndarray:
    """The least cost at which a front reaches an accuracy, (..., W) -> (...); infinite where it does not.

    Policies may be mixed: playing one with probability p and another otherwise has the mean of their accuracies and
    costs, so that every point on a line between two policies is a policy, too. The answer is the cheapest policy that
    is accurate enough, or the cheapest such mixture with a less accurate one. Nothing is extrapolated: where even the
    least accurate policy is better than asked for, the cheapest policy's own cost is the answer, an upper bound.
    """
    enough = accuracy >= target
    alone = np.where(enough, cost, np.inf).min(-1)
    rise = accuracy[..., :, None] - accuracy[..., None, :]  # from policy j, too inaccurate, to policy i
    share = (target - accuracy[..., None, :]) / np.where(rise > 0, rise, 1)
    mixed = cost[..., None, :] + share * (cost[..., :, None] - cost[..., None, :])
    mixed = np.where(enough[..., :, None] & ~enough[..., None, :], mixed, np.inf).min((-2, -1))
    return np.minimum(alone, mixed)
