"""The cost of a step from what an agent has seen, exact in expectation: no sampling where a formula will do."""

from __future__ import annotations

import torch
from torch import Tensor

from backbone import Ledger, Observation, Site
from backbone.common.naming import did_you_mean
from backbone.cost.ledger import Live, SiteContext
from envs.spaces import Rows, StepLayout

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


def step_cost(ledger: Ledger, layout: StepLayout, rows: Rows, decisions: Tensor) -> Tensor:
    """CNN's MACs of each row's step as a share of its clip's dense MACs, differentiable: (R,) float64.

    :param rows: observations, which may stand at different sites
    :param decisions: (R, F * D, 3); one-hot gives the cost that was paid, probabilities give its exact expectation
        (decisions of different frames are independent given the observation; AdaFuse, equation 6)
    """
    decisions = decisions.unflatten(1, (layout.step_frames, layout.decisions))
    cost = decisions.new_zeros(len(rows.site)).double()
    for site in layout.sites:
        here = (rows.site == site.index).nonzero().squeeze(1)
        if len(here):
            live = Live(rows.live_now[here], rows.live_before[here])
            context = SiteContext(rows.ready[here, : site.decisions], rows.has_previous[here], live)
            chosen = decisions[here][:, :, : site.decisions]
            cost[here] = ledger.site_macs(site.index, chosen, context).sum(1)
    return cost / (ledger.dense_macs * layout.num_frames)


def site_cost(ledger: Ledger, site: Site, observation: Observation, decisions: Tensor) -> Tensor:
    """The same for one site and whole clips, from the backbone's own observation: (R,) float64.

    :param decisions: (R, T, D, 3), R = B or B*K
    """
    rows, frames = decisions.shape[:2]
    macs = ledger.site_macs(site.index, decisions, observation.context.repeated(rows))
    return macs.sum(1) / (ledger.dense_macs * frames)


def decision_costs(ledger: Ledger, layout: StepLayout, rows: Rows, probs: Tensor) -> Tensor:
    """What each decision costs, the others at their probabilities: (R, F * D, 3), d E[cost] / d probs.

    E[cost] is multilinear, so sum_d grad log p(d) p(d) costs(d) is its exact gradient.
    """
    with torch.enable_grad():
        probs = probs.detach().requires_grad_()
        (costs,) = torch.autograd.grad(step_cost(ledger, layout, rows, probs).sum(), probs)
    return costs


def own_cost_advantages(costs: Tensor, probs: Tensor, actions: Tensor) -> Tensor:
    """(R, F * D): minus the cost of each decision taken, above its expectation: -(c(d) - E_p[c])."""
    taken = costs.gather(-1, actions.long().unsqueeze(-1)).squeeze(-1)
    return (costs * probs).sum(-1) - taken
