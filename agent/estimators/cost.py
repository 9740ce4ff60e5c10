"""The cost of a step from what was decided before it, exact in expectation: no sampling where a formula will do."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from backbone import Ledger, walk_macs
from backbone.common.naming import did_you_mean
from envs.spaces import StepLayout

COST_GRADIENTS = ("exact", "sampled")


def check_cost_gradient(name: str) -> str:
    """The name itself: "exact" differentiates a step's own expected cost, "sampled" leaves it to the decisions drawn.

    :raises ValueError: neither
    """
    if name not in COST_GRADIENTS:
        raise ValueError(
            f"expected cost_gradient to be one of {', '.join(COST_GRADIENTS)}, got {name!r}"
            f"{did_you_mean(name, COST_GRADIENTS)}"
        )
    return name


def step_cost(ledger: Ledger, layout: StepLayout, decisions: Tensor, taken: Tensor) -> Tensor:
    """CNN's MACs of each step of N whole episodes as a share of the clip's dense MACs, differentiable: (steps * N,) float64.

    :param decisions: (steps * N, F * D, 3) in time order; one-hot gives the cost that was paid, probabilities give its exact
        expectation given the steps before (decisions of a step are independent given its observation; AdaFuse, equation 6)
    :param taken: one-hot, the decisions that were taken
    """
    here, given = layout.by_site(decisions), layout.by_site(taken)
    macs = walk_macs(ledger, here, inputs=given, before=given if layout.order == "frame" else None)
    return layout.by_step(macs).flatten() / (ledger.dense_macs * layout.num_frames)


def site_costs(ledger: Ledger, decisions: Sequence[Tensor], taken: Sequence[Tensor]) -> Tensor:
    """The same of each site's step in site order, for whoever walks through the backbone: (R, S) float64.

    :param decisions: per site, (R, T, D, 3), R = B or B*K
    :param taken: per site, those that the walk followed
    """
    macs = walk_macs(ledger, decisions, inputs=taken)
    return macs.sum(1) / (ledger.dense_macs * macs.shape[1])


def decision_costs(ledger: Ledger, layout: StepLayout, probs: Tensor, taken: Tensor) -> Tensor:
    """What each decision costs, the step's others at their probabilities: (steps * N, F * D, 3), d E[cost] / d probs.

    E[cost] is multilinear, so sum_d grad log p(d) p(d) costs(d) is its exact gradient.

    :param probs, taken: as ``step_cost`` takes them
    """
    with torch.enable_grad():
        probs = probs.detach().requires_grad_()
        (costs,) = torch.autograd.grad(step_cost(ledger, layout, probs, taken).sum(), probs)
    return costs


def own_cost_advantages(costs: Tensor, probs: Tensor, actions: Tensor) -> Tensor:
    """(R, F * D): minus the cost of each decision taken, above its expectation: -(c(d) - E_p[c])."""
    taken = costs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)
    return (costs * probs).sum(-1) - taken
