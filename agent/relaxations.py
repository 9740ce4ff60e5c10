"""Differentiable stand-ins for sampling: (logits, temperature) -> one-hot decisions with a gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from agent.distribution import log_softmax

Relaxation = Callable[[Tensor, float], Tensor]


def gumbel_noise(like: Tensor) -> Tensor:
    """Standard Gumbel noise of the shape of ``like``."""
    exponential = torch.empty_like(like, requires_grad=False).exponential_()
    return -exponential.log()


def straight_through_gumbel(logits: Tensor, temperature: float) -> Tensor:
    """Exact samples forward, the gradient of softmax((logits + g) / temperature) backward (Jang et al., 2017).

    :param logits: (..., 3)
    :returns: (..., 3), one-hot in value
    """
    soft = log_softmax((logits + gumbel_noise(logits)) / temperature).exp()
    hard = F.one_hot(soft.argmax(-1), soft.shape[-1]).to(soft.dtype)
    return hard - soft.detach() + soft
