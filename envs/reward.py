"""The reward, once: minus the weighted share of the dense MACs at each step, plus the clip's outcome on the last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.common.registry import Registry

OutcomeFunction = Callable[[Tensor, Tensor], Tensor]
"""A clip's logits (N, classes) and labels (N,) -> (N,), what it is worth to have classified it so."""

Number = TypeVar("Number", float, np.ndarray, Tensor)

OUTCOMES: Registry[OutcomeFunction] = Registry("reward")


def register_outcome(outcome: OutcomeFunction, name: str | None = None) -> OutcomeFunction:
    """Record an outcome, under its function's name unless another is given; a decorator.

    :raises ValueError: the name is taken
    """
    return OUTCOMES.register(outcome, name)


def find_outcome(name: str) -> OutcomeFunction:
    """An outcome by its name.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    return OUTCOMES.find(name)


@register_outcome
def correctness(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the highest of the clip's logits (N, classes) is the label's, else 0: (N,)."""
    return (logits.argmax(-1) == labels).to(logits.dtype)


def log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of the true class, (N,): smoother than correctness, and the cross-entropy's own measure."""
    return -F.cross_entropy(logits, labels, reduction="none")


register_outcome(log_probability, "log_prob")


@dataclass(frozen=True)
class Reward:
    """What an episode is worth: its outcome, minus what it cost.

    A cost is a share of the clip's dense MACs. Every number may be a float, an array or a tensor.

    :param outcome: a registered outcome by its name
    :param cost_weight: reward that a densely computed clip costs
    :raises ValueError: an unknown outcome; the message lists the known ones
    """

    outcome: str = "log_prob"
    cost_weight: float = 1.0

    def __post_init__(self) -> None:
        find_outcome(self.outcome)

    def __call__(self, outcome: Number, cost: Number) -> Number:
        """The whole of an episode, or of what is left of one."""
        return outcome - self.penalty(cost)

    def penalty(self, cost: Number) -> Number:
        """What a cost takes from the reward, as a positive number."""
        return self.cost_weight * cost

    def of_step(self, macs: Number, clip_dense_macs: float) -> Number:
        """Of a step that runs so many MACs, but for the outcome that comes with the last."""
        return -self.penalty(macs) / clip_dense_macs

    def of_outcome(self, logits: Tensor, labels: Tensor) -> Tensor:
        """What the last step adds: of the clip's logits (N, classes) and labels (N,), (N,)."""
        return find_outcome(self.outcome)(logits, labels)

    def has_derivative(self, num_classes: int) -> bool:
        """Whether the outcome's derivative leads back to the scores of so many classes, as a relaxation needs it."""
        logits = torch.zeros(1, num_classes, requires_grad=True)
        return self.of_outcome(logits, torch.zeros(1, dtype=torch.long)).requires_grad

    def outcome_of(self, total: Number, cost: Number) -> Number:
        """The outcome that a whole episode's reward holds beside its cost."""
        return total + self.penalty(cost)
