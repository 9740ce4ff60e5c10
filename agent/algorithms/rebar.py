"""REBAR, site by site: an unbiased score-function gradient with the CNN's own derivative as control variate."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from agent.algorithms.whole_clips import WholeClips
from agent.estimators.cost import check_cost_gradient, site_cost
from agent.estimators.relaxations import gumbel_noise, hardened
from agent.policies.distribution import log_softmax
from backbone import FusionState, Observation
from envs.reward import correctness


class _Decided(NamedTuple):
    """One site of the hard pass: where it stood, what was drawn there, and the graph of the gates' logits."""

    state: FusionState
    observation: Observation
    logits: Tensor  # (B, T, D, 3)
    noise: Tensor
    decisions: Tensor  # one-hot


class REBAR(WholeClips):
    """REBAR (Tucker et al., 2017) for decisions of which the later depend on the earlier ones.

    One REBAR over all sites would be biased: its relaxed later decisions would not follow from the hard earlier ones.
    So each site l has its own. With b the decisions drawn, R the return after the site, z = log p + Gumbel noise and
    z~ such noise given that b is its argmax, the gradient with respect to the site's logits is

        (R - f(z~)) grad log p(b) + grad f(z) - grad f(z~),

    f being the return when sites before l keep their hard decisions, l takes softmax(z / temperature), and the later
    ones are relaxed too, on the features that follow, with the very noise that drew the hard pass. f is any function of
    z and of noise independent of it, so the estimate is unbiased at every temperature; the closer f comes to R, the
    smaller its variance, but the larger that of f's derivative. The coefficient of the control variate is 1.

    The return holds the expected cost of later sites, and each site's own expected cost is differentiated exactly.

    It has a limit beside its time: heavy tails at trained gates, where coordinates have a kurtosis of about 1,000.
    Where decisions are nearly certain, the other ones are drawn rarely, and f has next to no derivative but for the rare
    z near a tie, where it is of the order of 1 / temperature. There a few estimates say little of their mean, and less of
    its error: a reference needs many, and some of REINFORCE's beside them. In training, an update now and then is
    the work of a single clip; the limit on the gradient's norm holds against it.

    Gates read their BatchNorms' running statistics, if they have BatchNorms, as in a policy gradient (AdaFuse reads
    the batch's): else a clip's probabilities would depend on the clips beside it, and the estimate would be biased.
    They move after the update.


    A clip counts as one episode; it costs a hard pass, and at each site two relaxed ones of the sites from there on,
    forward and backward.

    :param temperature: of the site whose gradient is estimated
    :param later_temperature: of the sites behind it
    :param cost_gradient: "sampled" leaves a site's own cost in the return, as sampled, and in f, as relaxed
    :param entropy_coef: weight of the entropy bonus, per decision in nats
    :param env, kwargs: as in WholeClips
    """

    def __init__(
        self,
        env: GymEnv,
        *,
        temperature: float = 0.1,
        later_temperature: float = 0.03,
        cost_gradient: str = "exact",
        entropy_coef: float = 0.0,
        **kwargs: Any,
    ) -> None:
        if min(temperature, later_temperature) <= 0:
            raise ValueError(f"expected temperatures above 0, got {temperature} and {later_temperature}")
        self.temperature, self.later_temperature = temperature, later_temperature
        self.cost_gradient, self.entropy_coef = check_cost_gradient(cost_gradient), entropy_coef
        self.seen: list[Observation] = []  # of the latest hard pass, site by site
        super().__init__(env, **kwargs)

    def loss(self, frames: Tensor, labels: Tensor) -> Tensor:
        passed, scores, macs = self._hard_pass(frames)
        self.seen = [site.observation for site in passed]
        outcome = self.reward.of_outcome(scores, labels)
        exact_cost = self.cost_gradient == "exact"
        own_costs = [self._cost(site.observation, log_softmax(site.logits).exp()) for site in passed]
        paid = own_costs if exact_cost else [self._cost(site.observation, site.decisions) for site in passed]
        terms = []
        for index, site in enumerate(passed):
            first_paid = index + 1 if exact_cost else index
            later = sum((cost.detach() for cost in paid[first_paid:]), torch.zeros_like(outcome))
            relaxed, direction = self._control_variate(index, passed, labels)
            log_probs = log_softmax(site.logits)
            score = (log_probs * site.decisions).flatten(1).sum(1)
            pathwise = (direction * site.logits).flatten(1).sum(1)
            terms.append((self.reward(outcome, later) - relaxed) * score + pathwise)
            if exact_cost:
                terms.append(-self.reward.penalty(own_costs[index]))
            if self.entropy_coef:
                terms.append(-self.entropy_coef * (log_probs.exp() * log_probs).flatten(1).sum(1))
        self._log(passed, outcome, macs, correctness(scores, labels))
        return -torch.stack(terms).sum(0).mean()

    def step(self, loss: Tensor) -> None:
        super().step(loss)
        self.policy.update_statistics(self.seen)

    def _hard_pass(self, frames: Tensor) -> tuple[list[_Decided], Tensor, Tensor]:
        """Sample decisions site by site: the sites, class scores (B, classes) and MACs (B,).

        Features carry no gradient; the logits do, to the gates.
        """
        backbone, passed = self.backbone, []
        with torch.no_grad():
            state = backbone.begin(frames, last=True)
        while state.site < len(backbone.sites):
            with torch.no_grad():
                observation = backbone.observe(state)
            logits = self._logits(observation)
            noise = gumbel_noise(logits)
            decisions = hardened(logits.detach() + noise)
            passed.append(_Decided(state, observation, logits, noise, decisions))
            with torch.no_grad():
                state = self._advance(state, observation, decisions)
        with torch.no_grad():
            return passed, backbone.consensus(backbone.logits(state)), state.macs.sum(1)

    def _control_variate(self, index: int, passed: list[_Decided], labels: Tensor) -> tuple[Tensor, Tensor]:
        """f(z~), (B,), and the derivative of f(z) - f(z~) with respect to the site's logits, (B, T, D, 3)."""
        backbone, site, exact_cost = self.backbone, passed[index], self.cost_gradient == "exact"
        logits = site.logits.detach().requires_grad_()
        log_probs = log_softmax(logits)
        given = conditional_gumbel(log_probs, site.decisions)
        # two rows a clip, z and z~: all that runs before the site's decisions is shared by them
        decisions = torch.stack([log_probs + site.noise, given], 1).flatten(0, 1)
        decisions = log_softmax(decisions / self.temperature).exp()
        reward: Tensor | float = 0.0
        if not exact_cost:
            reward = -self.reward.penalty(self._cost(site.observation, decisions))
        state = self._advance(site.state, site.observation, decisions)
        for later in passed[index + 1 :]:
            observation = backbone.observe(state)
            log_probs = log_softmax(self._logits(observation))
            noise = later.noise.repeat_interleave(2, 0)
            decisions = log_softmax((log_probs + noise) / self.later_temperature).exp()
            charged = log_probs.exp() if exact_cost else decisions
            reward = reward - self.reward.penalty(self._cost(observation, charged))
            state = self._advance(state, observation, decisions)
        outcome = self.reward.of_outcome(backbone.consensus(backbone.logits(state)), labels.repeat_interleave(2))
        free, given = (reward + outcome).unflatten(0, (-1, 2)).unbind(1)
        (direction,) = torch.autograd.grad((free - given).sum(), logits)
        return given.detach(), direction

    def _logits(self, observation: Observation) -> Tensor:
        return self.policy.gates(observation.site, observation.v, observation.v_previous)

    def _advance(self, state: FusionState, observation: Observation, decisions: Tensor) -> FusionState:
        own = self.episodes.agent_macs[observation.site]
        return self.backbone.advance(state, decisions, agent_macs=own, observation=observation)

    def _cost(self, observation: Observation, decisions: Tensor) -> Tensor:
        """Of the site that is observed, (R,) as a share of the clip's dense MACs."""
        return site_cost(self.ledger, self.backbone.sites[observation.site], observation, decisions).float()

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "seen"]

    def _log(self, passed: list[_Decided], outcome: Tensor, macs: Tensor, correct: Tensor) -> None:
        macs_ratio = (macs / self.episodes.clip_dense_macs).to(outcome.dtype)
        log_probs = [log_softmax(site.logits.detach()) for site in passed]
        self.log_rollouts(
            reward=self.reward(outcome, macs_ratio).cpu().numpy(),
            correct=correct.cpu().numpy(),
            macs_ratio=macs_ratio.cpu().numpy(),
            entropy=float(torch.cat([-(part.exp() * part).sum(-1).flatten() for part in log_probs]).mean()),
            shares=[site.decisions.mean((0, 1, 2)).cpu().numpy() for site in passed],
        )


def conditional_gumbel(log_probs: Tensor, decisions: Tensor) -> Tensor:
    """Gumbel noise around log-probabilities, given its argmax (Maddison et al., 2014; Tucker et al., 2017, appendix C).

    The largest is a standard Gumbel, the others are cut off below it.

    :param log_probs: (..., 3), normalised
    :param decisions: (..., 3) one-hot, where the largest must stand
    """
    top = gumbel_noise(log_probs[..., :1])
    others = -torch.logaddexp(-top, -gumbel_noise(log_probs) - log_probs)
    return torch.where(decisions.bool(), top, others)
