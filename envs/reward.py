"""The reward, once: minus the weighted share of the dense MACs at each step, plus the outcome on the last."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor
from torch.nn import functional as F

from backbone.common.naming import did_you_mean


def correctness(logits: Tensor, labels: Tensor) -> Tensor:
    """1 where the highest of the clip's logits (N, classes) is the label's, else 0: (N,)."""
    return (logits.argmax(-1) == labels).to(logits.dtype)


def log_probability(logits: Tensor, labels: Tensor) -> Tensor:
    """Log-probability of the true class, (N,): smoother than correctness, and the cross-entropy's own measure."""
    return -F.cross_entropy(logits, labels, reduction="none")


OUTCOMES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"correctness": correctness, "log_prob": log_probability}


def find_outcome(name: str) -> Callable[[Tensor, Tensor], Tensor]:
    """An outcome by its name.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    if name not in OUTCOMES:
        raise ValueError(f"expected a reward among {', '.join(OUTCOMES)}; got {name!r}{did_you_mean(name, OUTCOMES)}")
    return OUTCOMES[name]


def cost_reward(step_macs: Tensor, clip_dense_macs: float, cost_weight: float) -> Tensor:
    """What a step's MACs (N,) take from the reward: minus cost_weight times their share of the dense clip's MACs."""
    return -cost_weight * step_macs / clip_dense_macs
