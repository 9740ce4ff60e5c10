import itertools

import numpy as np
import pytest
import torch
from agent_cases import ONE_DECISION, build, enumerated, noise_clips, tiny_backbone, tiny_env
from torch import nn

from agent import GateNetwork, GateOptions
from agent.estimators.exact import enumerate_decisions, exact_gradient
from backbone import Decision
from envs.reward import Reward


def spread(gates: nn.Module, by: float = 0.5) -> nn.Module:
    with torch.no_grad():
        for parameter in gates.parameters():
            parameter.add_(by * torch.randn_like(parameter))
    return gates


def model_of(order: str = "site", **gate):
    """On two clips, one decision a site and frame."""
    env = tiny_env(tiny_backbone(group_size=ONE_DECISION), noise_clips(2), order=order, cost_weight=3.0)
    model = build("reinforce, leave_one_out", env, policy_kwargs={"gate": GateOptions(**gate)})
    spread(model.policy.gates)
    return model


def in_doubles():
    """Backbone, gates that look at their input, frames and labels, all in float64."""
    backbone = tiny_backbone(group_size=ONE_DECISION).double()
    clips = noise_clips(2)
    frames = backbone.preprocess(torch.from_numpy(clips.frames(range(2)))).double()
    gates = spread(GateNetwork(backbone.sites, GateOptions(hidden=2)).double())
    return backbone, gates, frames, torch.from_numpy(clips.labels)


def played(model, joint: np.ndarray) -> np.ndarray:
    """Rewards (B, J) that the environment pays for joint decisions (J, T, S)."""
    ours, order = model.env.get_attr("episodes")[0], model.layout.order
    env = tiny_env(ours.backbone, ours.clips, rollouts_per_clip=len(joint), order=order, cost_weight=ours.reward.cost_weight,
                   train=False)  # fmt: skip
    env.reset()
    total, sites = np.zeros(env.num_envs), joint.shape[2]
    for step in range(env.layout.num_steps):
        site = step % sites
        chosen = joint[:, :, site] if order == "site" else joint[:, [step // sites], site]
        total += env.step(np.tile(chosen, (2, 1)))[1]
    return total.reshape(2, -1)


@pytest.mark.parametrize("order", ["site", "frame"])
def test_rewards_are_those_that_the_environment_pays(order):
    model = model_of(order)
    every = enumerated(model)
    np.testing.assert_allclose(every.rewards, played(model, every.joint.numpy()), atol=1e-4)


def test_every_joint_decision_stands_once_and_probabilities_sum_to_one():
    every = enumerated(model_of())
    assert sorted(map(tuple, every.joint.flatten(1).tolist())) == list(itertools.product(range(3), repeat=6))
    torch.testing.assert_close(every.log_probs.exp().sum(1), torch.ones(2))


def test_with_gates_that_ignore_their_input_it_is_the_product_of_their_probabilities():
    model = model_of(static=True)
    every, gates = enumerated(model), model.policy.gates
    log_probs = torch.stack([gate.logits[0].log_softmax(-1) for gate in gates.gates])
    probability = log_probs[torch.arange(3), every.joint].sum((1, 2)).exp()
    expected = (probability * torch.from_numpy(played(model, every.joint.numpy()))).sum(1).mean()
    gradients = torch.autograd.grad(-expected, list(gates.parameters()))
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    torch.testing.assert_close(exact_gradient(every, gates), flat, rtol=1e-4, atol=1e-5)


def test_probabilities_are_those_that_a_rollout_meets():
    """Later sites' logits depend on earlier decisions: the same decisions, taken in the environment, say how."""
    model = model_of()
    every = enumerated(model)
    model.prepare_sampling()
    model.sample_loss()
    buffer = model.rollout_buffer
    actions = np.asarray(buffer.actions).reshape(3, 8, 2, -1)[..., 0].transpose(1, 2, 0)  # rollouts, frames, sites
    index = np.ravel_multi_index(actions.reshape(8, -1).T.astype(int), (3,) * 6)
    clips = np.array([info["clip"]["clip"] for info in model.last_infos])
    found = every.log_probs.detach().numpy()[clips, index]
    np.testing.assert_allclose(buffer.log_probs.sum((0, 2)), found, atol=1e-4)


def test_it_is_the_slope_of_the_expected_reward():
    backbone, gates, frames, labels = in_doubles()

    def expected() -> float:
        with torch.no_grad():
            return enumerate_decisions(
                backbone, gates, frames, labels, reward=Reward(cost_weight=2.0)
            ).expected_reward.item()

    gradient = exact_gradient(
        enumerate_decisions(backbone, gates, frames, labels, reward=Reward(cost_weight=2.0)), gates
    )
    start = nn.utils.parameters_to_vector(gates.parameters()).detach()
    for direction in torch.randn(2, len(start), dtype=torch.float64):
        slopes = []
        for sign in (1, -1):
            nn.utils.vector_to_parameters(start + sign * 1e-5 * direction, gates.parameters())
            slopes.append(expected())
        slope = (slopes[0] - slopes[1]) / 2e-5
        assert slope == pytest.approx(-float(gradient @ direction), rel=1e-5)


def test_a_reward_that_is_the_cost_of_use_alone_is_nearly_additive_and_one_of_products_is_not():
    every = enumerated(model_of())
    used = (every.joint == Decision.USE).double().flatten(1)
    linear = type(every)(every.joint, every.log_probs, used.sum(1).expand(2, -1))
    torch.testing.assert_close(linear.additive_r2(), torch.ones(2, dtype=torch.float64))
    products = type(every)(every.joint, every.log_probs, used.prod(1).expand(2, -1))
    assert (products.additive_r2() < 0.2).all()


def test_too_many_decisions_are_refused():
    model = build("reinforce, leave_one_out", tiny_env(tiny_backbone(group_size=8)))
    with pytest.raises(ValueError, match="expected at most 8 decisions a clip to enumerate, got 2 frames of 14"):
        enumerated(model)


def test_in_bf16_it_has_the_same_direction():
    backbone, clips = tiny_backbone(group_size=ONE_DECISION), noise_clips(2)
    frames, labels = backbone.preprocess(torch.from_numpy(clips.frames(range(2)))), torch.from_numpy(clips.labels)
    gates = spread(GateNetwork(backbone.sites, GateOptions(hidden=4)))
    reward, found = Reward(cost_weight=1.0), []
    for precision in ("fp32", "bf16"):
        every = enumerate_decisions(backbone.set_precision(precision), gates, frames, labels, reward=reward)
        found.append(exact_gradient(every, gates))
    assert not torch.equal(*found)
    assert torch.cosine_similarity(*found, dim=0) > 0.999


@pytest.mark.parametrize("method", ["reinforce, leave_one_out", "gumbel", "rebar"])
def test_in_bf16_estimates_have_the_same_direction(method):
    found = []
    for precision in ("fp32", "bf16"):
        backbone = tiny_backbone(group_size=ONE_DECISION).set_precision(precision)
        model = build(method, tiny_env(backbone, num_clips=6, rollouts_per_clip=4 if "," in method else 1))
        model.prepare_sampling()
        torch.manual_seed(0)  # the same draws
        gradients = torch.autograd.grad(model.sample_loss(), list(model.policy.gates.parameters()))
        found.append(torch.cat([part.flatten() for part in gradients]))
    assert torch.cosine_similarity(*found, dim=0) > 0.95
