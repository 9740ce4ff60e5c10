"""Fronts of accuracy against cost: the concave hull of policies, and what is read off it.

Arrays are (..., P): the P policies of one seed of a method, in any order. Accuracy is a share in [0, 1], larger is
better; cost is a share of the dense CNN's MACs, smaller is better.

There is one definition of a front, for every method and every figure: the best that mixtures of its policies reach.
Playing one policy with probability p and another otherwise has the mean of their accuracies and costs, so that every
point on a line between two policies is a policy, too, which anybody can play. A front without mixtures (a staircase)
can be beaten by tossing a coin between two of its own steps; and it is the lower the fewer cost weights were trained,
so that their spacing decides where methods should.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

DENSE = 1.0  # cost of the reference point, beyond which nothing counts


class Hull(NamedTuple):
    """Vertices of fronts, (..., P), from the cheapest policy to the most accurate one, which is repeated at the end.

    :param dearest: (...) cost of the dearest policy, on the front or below it: what was trained ends there
    """

    accuracy: np.ndarray
    cost: np.ndarray
    dearest: np.ndarray


class Reading(NamedTuple):
    """What is read off fronts, (...).

    :param value: nan where there is none
    :param bound: where the policies that were trained end, so that the value is no more than a bound
    """

    value: np.ndarray
    bound: np.ndarray


def hull(accuracy: np.ndarray, cost: np.ndarray) -> Hull:
    """The concave hull above policies: from the cheapest, always the steepest way up.

    What follows the cheapest policy (the most accurate of equally cheap ones) is dearer wherever it is more accurate,
    and the steepest way passes nothing on its left: no slope is infinite.
    """
    cheapest = np.where(cost == cost.min(-1, keepdims=True), accuracy, -np.inf).argmax(-1)
    vertices = [_take(accuracy, cost, cheapest)]
    for _ in range(accuracy.shape[-1] - 1):
        up, right = accuracy - vertices[-1][0][..., None], cost - vertices[-1][1][..., None]
        slope = np.divide(up, right, out=np.full(up.shape, -np.inf), where=(up > 0) & (right > 0))
        steepest = slope.argmax(-1)
        further = slope.max(-1) > 0
        (new_accuracy, new_cost), (old_accuracy, old_cost) = _take(accuracy, cost, steepest), vertices[-1]
        vertices.append((np.where(further, new_accuracy, old_accuracy), np.where(further, new_cost, old_cost)))
    accuracies, costs = zip(*vertices)
    return Hull(np.stack(accuracies, -1), np.stack(costs, -1), cost.max(-1))


def _take(accuracy: np.ndarray, cost: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    accuracy, cost = (np.take_along_axis(values, place[..., None], -1)[..., 0] for values in (accuracy, cost))
    return accuracy, cost


def hypervolume(front: Hull, floor: float) -> np.ndarray:
    """Area under the front, above ``floor``, from the cheapest policy to cost 1: (..., P) -> (...).

    In units of accuracy times cost, at most 1 - floor. It is the mean, over budgets drawn uniformly from [0, 1], of how
    far the best mixture within the budget is above the floor, and zero where no policy is that cheap (Zitzler and
    Thiele 1998, with mixtures).
    """
    left, right = front.cost[..., :-1], front.cost[..., 1:]
    low, high = front.accuracy[..., :-1] - floor, front.accuracy[..., 1:] - floor
    width = np.maximum(np.minimum(right, DENSE) - np.minimum(left, DENSE), 0)
    share = np.divide(width, right - left, out=np.zeros_like(width), where=right > left)  # of the piece, within cost 1
    high = low + share * (high - low)
    # the part of a rising line above zero: a triangle, or a trapezium as the difference of two
    area = np.maximum(high, 0) ** 2 - np.maximum(low, 0) ** 2
    rising = np.divide(area, 2 * (high - low), out=np.maximum(low, 0), where=high > low)
    flat = np.maximum(front.accuracy[..., -1] - floor, 0) * np.maximum(DENSE - front.cost[..., -1], 0)
    return (rising * width).sum(-1) + flat


def cost_at(front: Hull, accuracy: float) -> Reading:
    """The least cost of a mixture that reaches an accuracy: (..., P) -> (...).

    Nothing is extrapolated. No value where no policy is that accurate; where even the cheapest policy is more accurate,
    its cost is an upper bound: a larger cost weight might have been cheaper still.
    """
    value = _along(front.accuracy, front.cost, accuracy)
    return Reading(np.where(front.accuracy[..., -1] >= accuracy, value, np.nan), front.accuracy[..., 0] > accuracy)


def accuracy_at(front: Hull, budget: float | np.ndarray) -> Reading:
    """The accuracy of the best mixture of that cost, one for all fronts or (...) one of each: (..., P) -> (...).

    No value where no policy is that cheap. Between the most accurate policy and a dearer one that was trained too, it is
    the former's accuracy; beyond the dearest policy that is a lower bound: a smaller cost weight might have been more
    accurate still.
    """
    value = _along(front.cost, front.accuracy, budget)
    return Reading(np.where(front.cost[..., 0] <= budget, value, np.nan), front.dearest < budget)


def _along(x: np.ndarray, y: np.ndarray, at: float | np.ndarray) -> np.ndarray:
    """Rising pieces (..., P), read at one x, or at one of each; the first or last y outside of them."""
    at = np.asarray(at)[..., None]
    width = np.diff(x, axis=-1)
    share = np.clip(np.divide(at - x[..., :-1], width, out=np.zeros_like(width), where=width > 0), 0, 1)
    return y[..., 0] + (share * np.diff(y, axis=-1)).sum(-1)
