"""Differentiable stand-ins for sampling: (logits, temperature) -> decisions with a gradient. One function each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor

from agent.algorithms.schedules import Linear
from agent.policies.distribution import softmax
from backbone import one_hot
from backbone.common.registry import Registry

RelaxationFunction = Callable[[Tensor, float], Tensor]
"""(logits (..., 3), temperature) -> (..., 3), decisions with a gradient."""


@dataclass(frozen=True)
class Relaxation:
    """A registered relaxation.

    :param temperature: that suits it: a number or a schedule
    """

    function: RelaxationFunction
    temperature: float | Schedule

    def __call__(self, logits: Tensor, temperature: float) -> Tensor:
        return self.function(logits, temperature)


RELAXATIONS: Registry[Relaxation] = Registry("relaxation")


def register_relaxation(*, temperature: float | Schedule = 1.0) -> Callable[[RelaxationFunction], RelaxationFunction]:
    """Record a function of (logits, temperature) under its name, with the temperature that suits it."""

    def record(function: RelaxationFunction) -> RelaxationFunction:
        RELAXATIONS.register(Relaxation(function, temperature), function.__name__)
        return function

    return record


def find_relaxation(name: str) -> Relaxation:
    """:raises ValueError: an unknown name; the message lists the known ones"""
    return RELAXATIONS.find(name)


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise of the shape of ``like``."""
    return -_exponential(like).log()


def perturbed(logits: Tensor) -> Tensor:
    """Logits with Gumbel noise: the largest is distributed as softmax(logits)."""
    return logits - _exponential(logits).log()


def hardened(soft: Tensor) -> Tensor:
    """One-hot of the largest entry, (..., 3), without a gradient."""
    return one_hot(soft.argmax(-1), soft.dtype)


def _exponential(like: Tensor) -> Tensor:
    return torch.empty_like(like, requires_grad=False).exponential_()


class _StraightThrough(torch.autograd.Function):
    """Hard decisions forward, exactly; backward as if they were the soft ones."""

    @staticmethod
    def forward(ctx: Any, hard: Tensor, soft: Tensor) -> Tensor:
        return hard.view_as(hard)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, Tensor]:
        return None, gradient


@register_relaxation(temperature=Linear(1.0, 0.5))
def straight_through_gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Exact samples forward, the gradient of softmax((logits + g) / temperature) backward (Jang et al., 2017)."""
    soft = gumbel_softmax(logits, temperature)
    return _StraightThrough.apply(hardened(soft), soft)


@register_relaxation(temperature=Linear(1.0, 0.5))
def gumbel_softmax(logits: Tensor, temperature: float) -> Tensor:
    """softmax((logits + g) / temperature), not one-hot (Jang et al., 2017; Maddison et al., 2017).

    The CNN runs on mixtures of use, reuse and skip that it will not meet when it is judged.
    """
    return softmax(perturbed(logits) / temperature)


@register_relaxation()
def straight_through(logits: Tensor, temperature: float) -> Tensor:
    """Exact samples forward, the gradient of softmax(logits / temperature) backward (Bengio et al., 2013)."""
    return _StraightThrough.apply(hardened(perturbed(logits)), softmax(logits / temperature))


@register_relaxation()
def reinmax(logits: Tensor, temperature: float) -> Tensor:
    """ReinMax (Liu et al., 2023, algorithm 2): straight-through, accurate to the second order.

    Exact for a reward that is quadratic in one decision, at temperature 1.

    :raises ValueError: a temperature below 1
    """
    if temperature < 1:
        raise ValueError(
            f"expected a temperature of at least 1 for reinmax, got {temperature}: it is accurate to the second order at "
            "1, above 1 it trades bias for variance, below 1 it has more of both"
        )
    return _ReinMax.apply(logits, temperature)


class _ReinMax(torch.autograd.Function):
    """Backward: 2 J(pi_1) g - J(pi_0) g / 2, with J(pi) = diag(pi) - pi pi^T and pi_1 = (sample + pi_tau) / 2."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, temperature: float) -> Tensor:
        sample = hardened(perturbed(logits))
        ctx.save_for_backward(sample, logits)
        ctx.temperature = temperature
        return sample

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        sample, logits = ctx.saved_tensors
        middle = (sample + softmax(logits / ctx.temperature)) / 2
        at_middle, at_probs = (
            gradient * probs - probs * (gradient * probs).sum(-1, keepdim=True) for probs in (middle, softmax(logits))
        )
        return 2 * at_middle - at_probs / 2, None
