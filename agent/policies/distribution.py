"""Thousands of independent three-way decisions as one batched distribution.

stable-baselines3's own MultiCategorical keeps a list of distributions, one a decision, which is some 20 times slower.
"""

from __future__ import annotations

from typing import Any

import torch
from stable_baselines3.common.distributions import Distribution
from torch import Tensor, nn

from backbone import Decision


def log_softmax(logits: Tensor) -> Tensor:
    """Log-softmax over the last axis of (..., 3), some 9 times faster on a CPU than the plain call on so short an axis."""
    return logits.movedim(-1, 0).contiguous().log_softmax(0).movedim(0, -1)


def softmax(logits: Tensor) -> Tensor:
    """Softmax over the last axis of (..., 3), for the same reason."""
    return logits.movedim(-1, 0).contiguous().softmax(0).movedim(0, -1)


def _ranks(values: Tensor) -> Tensor:
    """Place of each value along the last axis, 0 for the largest; equal ones in their own order."""
    order = values.argsort(dim=-1, descending=True, stable=True)
    return torch.empty_like(order).scatter_(-1, order, torch.arange(values.shape[-1]).expand_as(order).to(order.device))


class FactoredCategorical(Distribution):
    """Independent categoricals over the M decisions of R rows; padding always chooses USE, with log-probability 0.

    ``log_prob`` and ``entropy`` are per decision, (R, M), unlike stable-baselines3's joint ones: a ratio over
    thousands of decisions leaves any clip range, a ratio per decision does not.
    """

    def proba_distribution_net(self, *args: Any, **kwargs: Any) -> nn.Module:
        raise NotImplementedError("expected logits from a GateNetwork: this distribution has no network of its own")

    def proba_distribution(self, logits: Tensor, mask: Tensor) -> FactoredCategorical:
        """Set the parameters.

        :param logits: (R, M, 3)
        :param mask: (R, M) bool, False at padding
        """
        self.log_probs = log_softmax(logits)
        self.mask = mask
        return self

    @property
    def probs(self) -> Tensor:
        """(R, M, 3)."""
        return self.log_probs.exp()

    def log_prob(self, actions: Tensor) -> Tensor:
        """(R, M) integers, or whole floats -> (R, M), 0 at padding."""
        chosen = self.log_probs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)
        return torch.where(self.mask, chosen, 0.0)

    def entropy(self) -> Tensor:
        """(R, M) in nats, 0 at padding."""
        return torch.where(self.mask, -(self.probs * self.log_probs).sum(-1), 0.0)

    def sample(self) -> Tensor:
        """(R, M) integers, by the inverse of the cumulative distribution: one uniform number a decision."""
        probs = self.probs
        uniform = torch.rand(probs.shape[:-1], device=probs.device)
        actions = (uniform > probs[..., 0]).long() + (uniform > probs[..., 0] + probs[..., 1]).long()
        return torch.where(self.mask, actions, Decision.USE)

    def mode(self) -> Tensor:
        return torch.where(self.mask, self.log_probs.argmax(-1), Decision.USE)

    def top_k(self, columns: int) -> Tensor:
        """(R, M) integers: the sampled policy's shares, without its dice.

        In each block of ``columns`` decisions (those of one frame), as many use, reuse and skip as their probabilities
        sum to, rounded by the largest remainders; use goes to the decisions where it is the likeliest, then reuse to
        those where it is likelier than skip by the most. ``mode`` rounds a share below one half to nothing.
        """
        probs = torch.where(self.mask.unsqueeze(-1), self.probs, 0.0).unflatten(1, (-1, columns))  # (R, F, columns, 3)
        mask = self.mask.unflatten(1, (-1, columns))
        shares = probs.sum(2)  # (R, F, 3)
        counts = shares.floor()
        missing = (mask.sum(-1) - counts.sum(-1)).round()  # 0, 1 or 2 seats for the largest remainders
        counts += _ranks(shares - counts) < missing.unsqueeze(-1)
        use, reuse, skip = probs.unbind(-1)
        used = mask & (_ranks(torch.where(mask, use, -1.0)) < counts[..., Decision.USE, None])
        rest = mask & ~used
        reused = rest & (_ranks(torch.where(rest, reuse - skip, -2.0)) < counts[..., Decision.REUSE, None])
        actions = torch.full_like(mask, Decision.USE, dtype=torch.long)
        actions[rest] = int(Decision.SKIP)
        actions[reused] = int(Decision.REUSE)
        return actions.flatten(1)

    def actions_from_params(self, logits: Tensor, mask: Tensor, deterministic: bool = False) -> Tensor:
        return self.proba_distribution(logits, mask).get_actions(deterministic=deterministic)

    def log_prob_from_params(self, logits: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        actions = self.actions_from_params(logits, mask)
        return actions, self.log_prob(actions)
