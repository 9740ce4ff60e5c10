import itertools

import numpy as np
import pytest
import torch
from agent_cases import ONE_DECISION, build, noise_clips, play, played_decisions, tiny_backbone, tiny_env

from agent.estimators.cost import decision_costs, own_cost_advantages, step_cost
from agent.policies.distribution import FactoredCategorical
from agent.policies.gate import gate_macs
from backbone import one_hot
from envs import FusionVecEnv

ORDERS = ("site", "frame")
HISTORIES = ("raw", "fused")
GROUP_SIZES = (1, 5, ONE_DECISION)  # 5 divides no site's channels


def env_of(order: str, history: str, group_size: int = ONE_DECISION, num_frames: int = 2, **kwargs) -> FusionVecEnv:
    backbone = tiny_backbone(group_size=group_size, history=history)
    return tiny_env(backbone, noise_clips(num_frames=num_frames), order=order, **kwargs)


def masks(env: FusionVecEnv) -> torch.Tensor:
    """Which columns of a whole batch's steps are decisions, (steps * N, M)."""
    mask = env.layout.decision_mask().repeat_interleave(env.num_envs, 0)
    return mask.repeat(env.layout.num_steps * env.num_envs // len(mask), 1)


def random_distribution(env: FusionVecEnv, requires_grad: bool = False) -> tuple[torch.Tensor, ...]:
    """Logits (steps * N, M, 3), their probabilities, and which are no padding."""
    mask = masks(env)
    logits = torch.randn(*mask.shape, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    logits.requires_grad_(requires_grad)
    return logits, logits.softmax(-1), mask


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_one_hot_decisions_cost_what_the_environment_charged(order, history, group_size):
    env = env_of(order, history, group_size, num_frames=3, cost_weight=1.0)
    _, actions, rewards, infos = play(env)
    taken = one_hot(torch.from_numpy(actions).flatten(0, 1))
    cost = step_cost(env.ledger, env.layout, taken, taken)
    cost = cost.reshape(rewards.shape).numpy()
    np.testing.assert_allclose(cost.sum(0), [info["clip"]["macs_ratio"] for info in infos], rtol=1e-12)
    rewards[-1] -= [info["clip"]["log_prob"] for info in infos]
    np.testing.assert_allclose(cost, -rewards, atol=1e-6)


@pytest.mark.parametrize("order", ORDERS)
def test_the_agents_own_macs_are_charged_by_the_environment_alone(order):
    own = gate_macs(tiny_backbone().sites)
    costs = {}
    for agent_macs in (None, own):
        env = env_of(order, "raw", agent_macs=agent_macs)
        _, actions, _, infos = play(env)
        taken = one_hot(torch.from_numpy(actions).flatten(0, 1))
        cost = step_cost(env.ledger, env.layout, taken, taken)
        costs[agent_macs is None] = cost.sum().item(), sum(info["clip"]["macs_ratio"] for info in infos)
    assert costs[True][0] == costs[False][0]
    expected = costs[True][1] + env.num_envs * sum(own) / env.ledger.dense_macs
    assert costs[False][1] == pytest.approx(expected)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("history", HISTORIES)
def test_probabilities_cost_the_mean_over_all_joint_decisions(order, history):
    env = env_of(order, history, num_frames=3)
    taken = played_decisions(env)
    _, probs, _ = random_distribution(env)
    mean = torch.zeros(len(taken), dtype=torch.float64)
    for joint in itertools.product(range(3), repeat=probs.shape[1]):
        decisions = one_hot(torch.tensor(joint), torch.float64).expand_as(probs)
        mean += (probs * decisions).sum(-1).prod(-1) * step_cost(env.ledger, env.layout, decisions, taken)
    expected = step_cost(env.ledger, env.layout, probs, taken)
    torch.testing.assert_close(expected, mean)
    assert expected.std() > 0


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("history", HISTORIES)
@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_decision_costs_give_the_exact_gradient_of_the_expected_cost(order, history, group_size):
    env = env_of(order, history, group_size)
    taken = played_decisions(env)
    logits, probs, mask = random_distribution(env, requires_grad=True)
    (expected,) = torch.autograd.grad(step_cost(env.ledger, env.layout, probs, taken).sum(), logits)
    costs = decision_costs(env.ledger, env.layout, probs.detach(), taken)
    log_probs = logits.log_softmax(-1)
    (gradient,) = torch.autograd.grad((log_probs * probs.detach() * costs).sum(), logits)
    torch.testing.assert_close(gradient, expected)
    assert (expected[~mask] == 0).all()
    assert (expected[mask].abs().amax(-1) > 0).any()


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("history", HISTORIES)
def test_a_decisions_cost_is_the_difference_it_makes_to_the_expectation(order, history):
    env = env_of(order, history, num_frames=3)
    taken = played_decisions(env)
    _, probs, _ = random_distribution(env)
    costs = decision_costs(env.ledger, env.layout, probs, taken)
    for column in range(probs.shape[1]):
        totals = []
        for decision in range(3):
            forced = probs.clone()
            forced[:, column] = one_hot(torch.tensor(decision))
            totals.append(step_cost(env.ledger, env.layout, forced, taken))
        totals = torch.stack(totals, -1)
        differences = costs[:, column] - costs[:, column, :1]
        torch.testing.assert_close(differences, totals - totals[:, :1])


def test_decision_costs_leave_no_graph_behind():
    env = env_of("site", "raw")
    taken = played_decisions(env)
    logits, probs, _ = random_distribution(env, requires_grad=True)
    with torch.no_grad():
        costs = decision_costs(env.ledger, env.layout, probs, taken)
    assert not costs.requires_grad
    assert logits.grad is None


@pytest.mark.parametrize("group_size", GROUP_SIZES)
def test_own_cost_advantages_have_zero_mean(group_size):
    env = env_of("site", "raw", group_size)
    taken = played_decisions(env)
    _, probs, _ = random_distribution(env)
    costs = decision_costs(env.ledger, env.layout, probs, taken)
    taken = [own_cost_advantages(costs, probs, torch.full(probs.shape[:2], decision)) for decision in range(3)]
    mean = (probs * torch.stack(taken, -1)).sum(-1)
    torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-12)


def test_the_cheaper_of_two_decisions_has_the_higher_advantage():
    costs = torch.tensor([[[0.5, 0.1, 0.0]]])
    probs = torch.tensor([[[0.2, 0.3, 0.5]]])
    mean = 0.2 * 0.5 + 0.3 * 0.1
    for decision, cost in enumerate((0.5, 0.1, 0.0)):
        found = own_cost_advantages(costs, probs, torch.tensor([[decision]]))
        torch.testing.assert_close(found, torch.tensor([[mean - cost]]))


def test_padding_costs_nothing_and_has_no_advantage():
    env = env_of("site", "raw", group_size=8)
    taken = played_decisions(env)
    policy_mask = masks(env)
    logits = torch.randn(*policy_mask.shape, 3, generator=torch.Generator().manual_seed(0))
    distribution = FactoredCategorical().proba_distribution(logits, policy_mask)
    costs = decision_costs(env.ledger, env.layout, distribution.probs, taken)
    advantages = own_cost_advantages(costs, distribution.probs, distribution.sample())
    assert (costs[~policy_mask] == 0).all()
    assert (advantages[~policy_mask] == 0).all()


@pytest.mark.parametrize("method", ["ppo", "reinforce, none", "gumbel", "rebar"])
def test_another_gradient_of_the_cost_is_refused(method):
    with pytest.raises(ValueError, match="exact, sampled, got 'exakt': did you mean 'exact'"):
        build(method, cost_gradient="exakt")
