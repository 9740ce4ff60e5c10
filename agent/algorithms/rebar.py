"""REBAR, site by site: an unbiased score-function gradient with the CNN's own derivative as control variate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor

from agent.algorithms.whole_clips import WholeClips
from agent.estimators.cost import check_cost_gradient, site_costs
from agent.estimators.relaxations import gumbel_noise, hardened
from agent.policies.distribution import log_softmax, softmax
from backbone import FusionState, Observation
from backbone.common.rows import repeat_rows
from envs.reward import correctness

PIXELS_AT_ONCE = 2**23  # of a pass with gradients through the relaxed rows: 167 frames of 224 x 224 pixels


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
    forward and backward. On a GPU as many sites' as fit into PIXELS_AT_ONCE walk as rows of one batch.

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
        passed, scores = self._hard_pass(frames)
        self.seen = [site.observation for site in passed]
        outcome = self.reward.of_outcome(scores, labels)
        exact_cost = self.cost_gradient == "exact"
        decisions, log_probs = [site.decisions for site in passed], [log_softmax(site.logits) for site in passed]
        own_costs = site_costs(self.ledger, [part.exp() for part in log_probs], decisions).to(outcome.dtype)
        paid = site_costs(self.ledger, decisions, decisions).to(outcome.dtype)
        later = _from_there_on((own_costs.detach() if exact_cost else paid), own=not exact_cost)
        relaxed, directions = self._control_variates(passed, labels)
        terms = []
        for index, site in enumerate(passed):
            score = (log_probs[index] * site.decisions).flatten(1).sum(1)
            pathwise = (directions[index] * site.logits).flatten(1).sum(1)
            terms.append((self.reward(outcome, later[:, index]) - relaxed[index]) * score + pathwise)
            if exact_cost:
                terms.append(-self.reward.penalty(own_costs[:, index]))
            if self.entropy_coef:
                terms.append(-self.entropy_coef * (log_probs[index].exp() * log_probs[index]).flatten(1).sum(1))
        self._log(passed, outcome, paid.sum(1), correctness(scores, labels))
        return -torch.stack(terms).sum(0).mean()

    def step(self, loss: Tensor) -> None:
        super().step(loss)
        self.policy.update_statistics(self.seen)

    @torch.no_grad()
    def _hard_pass(self, frames: Tensor) -> tuple[list[_Decided], Tensor]:
        """Sample decisions site by site: the sites, and class scores (B, classes).

        Features carry no gradient; the logits do, to the gates.
        """
        backbone, passed = self.backbone, []
        state = backbone.begin(frames, last=True, counted=False)
        while state.site < len(backbone.sites):
            observation = backbone.observe(state)
            with torch.enable_grad():
                logits = self._logits(observation)
            noise = gumbel_noise(logits)
            decisions = hardened(logits + noise)
            passed.append(_Decided(state, observation, logits, noise, decisions))
            state = backbone.advance(state, decisions)
        return passed, backbone.consensus(backbone.logits(state))

    def _control_variates(self, passed: list[_Decided], labels: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Of each site, f(z~), (B,), and the derivative of f(z) - f(z~) with respect to its logits, (B, T, D, 3)."""
        given: list[Tensor] = []
        directions: list[Tensor] = []
        at_once = self._sites_at_once(len(labels))
        for start in range(0, len(passed), at_once):
            replayed = self._replay(range(start, min(start + at_once, len(passed))), passed, labels)
            for found, part in zip((given, directions), replayed, strict=True):
                found.extend(part)
        return given, directions

    def _sites_at_once(self, clips: int) -> int:
        """How many sites are replayed in one batch: on a GPU many, on a CPU, whose caches are small, one after the other."""
        pixels = 2 * clips * self.layout.num_frames * self.backbone.cnn.size**2
        return 1 if self.backbone.device.type == "cpu" else max(PIXELS_AT_ONCE // pixels, 1)

    def _replay(self, own: range, passed: list[_Decided], labels: Tensor) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        """The same of some sites that follow each other, in one pass: each joins it where its own decisions are relaxed.

        Rows are those of the sites one after the other; two a clip, z and z~.
        """
        backbone, exact_cost, clips = self.backbone, self.cost_gradient == "exact", len(labels)
        leaves = [passed[index].logits.detach().requires_grad_() for index in own]
        decided = [repeat_rows(site.decisions, 2 * clips).repeat(len(own), 1, 1, 1) for site in passed]
        charged = list(decided)
        state: FusionState | None = None
        for index in range(own.start, len(passed)):
            site = passed[index]
            relaxed: list[Tensor] = []  # decisions of the rows that walk already, and of those that join them
            expected: list[Tensor] = []  # probabilities of the same
            if state is not None:
                log_probs = log_softmax(self._logits(backbone.observe(state)))
                noise = repeat_rows(site.noise, 2 * clips).repeat(len(log_probs) // (2 * clips), 1, 1, 1)
                relaxed.append(softmax((log_probs + noise) / self.later_temperature))
                expected.append(log_probs.exp())
            if index in own:
                log_probs = log_softmax(leaves[index - own.start])
                both = torch.stack([log_probs + site.noise, conditional_gumbel(log_probs, site.decisions)], 1)
                relaxed.append(softmax(both.flatten(0, 1) / self.temperature))
                expected.append(relaxed[-1])
                state = site.state if state is None else _joined(state, site.state, 2 * clips)
            assert state is not None
            now = torch.cat(relaxed)
            still_hard = decided[index][len(now) :]
            decided[index] = torch.cat([now, still_hard])
            charged[index] = torch.cat([*expected, still_hard]) if exact_cost else decided[index]
            state = backbone.advance(state, now)
        assert state is not None
        outcome = self.reward.of_outcome(
            backbone.consensus(backbone.logits(state)), labels.repeat_interleave(2).repeat(len(own))
        )
        costs = _from_there_on(site_costs(self.ledger, charged, decided), own=not exact_cost)
        costs = costs.unflatten(0, (len(own), -1))[range(len(own)), :, own].flatten().to(outcome.dtype)
        free, given = self.reward(outcome, costs).view(len(own), clips, 2).unbind(2)
        directions = torch.autograd.grad((free - given).sum(), leaves)
        return given.detach().unbind(0), directions

    def _logits(self, observation: Observation) -> Tensor:
        return self.policy.gates(observation.site, observation.v, observation.v_previous)

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), "seen"]

    def _log(self, passed: list[_Decided], outcome: Tensor, cost: Tensor, correct: Tensor) -> None:
        """:param cost: (B,) of the CNN; the agent's own is added"""
        macs_ratio = cost + sum(self.episodes.agent_macs) / self.ledger.dense_macs
        log_probs = [log_softmax(site.logits.detach()) for site in passed]
        self.log_rollouts(
            reward=self.reward(outcome, macs_ratio),
            correct=correct,
            macs_ratio=macs_ratio,
            entropy=torch.cat([-(part.exp() * part).sum(-1).flatten() for part in log_probs]).mean(),
            shares=torch.stack([site.decisions.mean((0, 1, 2)) for site in passed]),
        )


def _from_there_on(costs: Tensor, *, own: bool) -> Tensor:
    """Costs of each site (R, S) -> of it and all later ones, or of the later ones alone."""
    whole = costs.flip(1).cumsum(1).flip(1)
    return whole if own else whole - costs


def _joined(state: FusionState, other: FusionState, rows: int) -> FusionState:
    """The rows of one walk, then those of another at the same site, repeated so that there are ``rows`` of them."""
    x = torch.cat([state.x, repeat_rows(other.x, rows)])
    if state.carry is None or other.carry is None:
        return replace(state, x=x)
    return replace(state, x=x, carry=torch.cat([state.carry, repeat_rows(other.carry, rows)]))


def conditional_gumbel(log_probs: Tensor, decisions: Tensor) -> Tensor:
    """Gumbel noise around log-probabilities, given its argmax (Maddison et al., 2014; Tucker et al., 2017, appendix C).

    The largest is a standard Gumbel, the others are cut off below it.

    :param log_probs: (..., 3), normalised
    :param decisions: (..., 3) one-hot, where the largest must stand
    """
    top = gumbel_noise(log_probs[..., :1])
    others = -torch.logaddexp(-top, -gumbel_noise(log_probs) - log_probs)
    return torch.where(decisions.bool(), top, others)
