from functools import partial

import numpy as np
import pytest
import torch
from agent_cases import (
    Recorder,
    bias_in_standard_errors,
    build,
    learn,
    tiny_env,
    weights,
)
from stable_baselines3 import PPO

from agent import FusionPPO, GateOptions
from agent.algorithms import rollouts
from agent.estimators.baselines import leave_one_out
from agent.estimators.cost import decision_costs, own_cost_advantages
from backbone import one_hot

BOUND = 4.2  # standard errors, as for REINFORCE


def collected(**kwargs) -> FusionPPO:
    """A model with one batch of rollouts in its buffer, about to train on all of it at once."""
    model = build("ppo", tiny_env(cost_weight=3.0), n_epochs=1, num_minibatches=1, **kwargs)
    train, model.train = model.train, lambda: None
    learn(model, 1)
    model.train = train
    return model


def test_the_update_is_stable_baselines3s_own():
    ours, theirs = collected(), collected()
    for model, train in ((ours, ours.train), (theirs, partial(PPO.train, theirs))):
        model.set_random_seed(0)  # of the order of rows
        train()
    torch.testing.assert_close(ours.policy.state_dict(), theirs.policy.state_dict(), rtol=0, atol=0)
    assert super(FusionPPO, ours).train.__func__ is PPO.train


@pytest.mark.parametrize("order", ["site", "frame"])
def test_the_first_epochs_gradient_is_unbiased(order):
    assert bias_in_standard_errors("ppo", order).abs().max() < BOUND


def test_leaving_out_the_cost_of_later_steps_is_seen_as_bias(monkeypatch):
    def without_later_cost(rewards, own_cost):
        return np.flip(np.cumsum(np.flip(rewards + own_cost, 0), 0), 0)

    monkeypatch.setattr(rollouts, "returns_after", without_later_cost)
    assert bias_in_standard_errors("ppo", "frame").abs().max() > 2 * BOUND


def test_log_probabilities_are_kept_per_decision():
    model = collected()
    buffer = model.rollout_buffer
    assert buffer.log_probs.shape == (3, 8, model.action_space.shape[0])
    observations, actions = (part.flatten(0, 1) for part in (buffer.observations, buffer.actions))
    _, log_prob, _ = model.policy.evaluate_actions(observations, actions)
    torch.testing.assert_close(buffer.log_probs.flatten(0, 1), log_prob)


def test_advantages_are_the_leave_one_out_return_less_a_decisions_own_cost():
    model = collected()
    rows, actions = model.all_rows()
    with torch.no_grad():
        probs = model.policy.distribution(rows).probs
    costs = decision_costs(model.ledger, model.layout, probs, one_hot(actions))
    own = own_cost_advantages(costs, probs, actions)
    shared = leave_one_out(model.rollout_buffer.returns, 4)[..., None]
    expected = (shared + 3.0 * own.reshape(3, 8, -1).numpy()) * model.loss_scale
    np.testing.assert_allclose(model.rollout_buffer.advantages, expected, rtol=1e-4, atol=1e-5)


def surrogate_gradient(model: FusionPPO, joint: bool = False) -> torch.Tensor:
    """Of the clipped surrogate (Schulman et al., 2017, equation 7), a ratio per decision or one for all of a row."""
    buffer = model.rollout_buffer
    rows, actions = model.all_rows()
    log_prob = model.policy.distribution(rows).log_prob(actions)
    old, advantages = (part.flatten(0, 1) for part in (buffer.log_probs, buffer.advantages))
    difference = log_prob - old
    ratio = (difference.sum(1, keepdim=True) if joint else difference).exp()
    surrogate = torch.minimum(advantages * ratio, advantages * ratio.clamp(0.8, 1.2)).mean()
    gradients = torch.autograd.grad(-surrogate, list(model.policy.gates.parameters()))
    return torch.cat([gradient.flatten() for gradient in gradients]).double()


def test_ratios_are_clipped_per_decision():
    model = collected(learning_rate=0.0)
    with torch.no_grad():
        for gate in model.policy.gates.gates:  # away from the policy that collected: some ratios leave the range
            gate.layers.out.bias += 0.3 * torch.randn(
                gate.layers.out.bias.shape, generator=torch.Generator().manual_seed(0)
            )
    expected, joint = surrogate_gradient(model), surrogate_gradient(model, joint=True)
    recorder = Recorder()
    recorder.init_callback(model)
    recorder.on_training_start({}, {})
    model.train()
    (gradient,) = recorder.gradients
    assert 0 < model.logger.name_to_value["train/clip_fraction"] < 1
    torch.testing.assert_close(gradient, expected, rtol=1e-3, atol=1e-5)
    assert (gradient - joint).norm() > 0.1 * gradient.norm()


def test_gradients_are_on_the_scale_of_reinforces():
    """Else Adam's epsilon eats them: means over thousands of decisions are thousands of times smaller."""
    norms = []
    for method, kwargs in (("reinforce, leave_one_out", {}), ("ppo", {"n_epochs": 1, "num_minibatches": 1})):
        model = build(method, tiny_env(cost_weight=3.0), learning_rate=0.0, **kwargs)
        learn(model, 20)
        norms.append(np.mean(model.gradient_watch.norms))
    assert 0.5 < norms[0] / norms[1] < 2


def test_the_entropy_bonus_weighs_as_in_reinforce():
    gradients = []
    for method, kwargs in (("reinforce, leave_one_out", {}), ("ppo", {"n_epochs": 1, "num_minibatches": 1})):
        recorder = Recorder()
        learn(build(method, tiny_env(), learning_rate=0.0, entropy_coef=1e4, **kwargs), 1, recorder)
        assert recorder.gradients[0].norm() > 1e4  # the bonus rules
        gradients.append(recorder.gradients[0] / 1e4)
    torch.testing.assert_close(*gradients, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(("n_epochs", "num_minibatches"), [(1, 1), (3, 2), (1, 24)])
def test_updates_are_epochs_times_minibatches(n_epochs, num_minibatches):
    model = build("ppo", tiny_env(), n_epochs=n_epochs, num_minibatches=num_minibatches)
    learn(model, 1)
    assert len(model.gradient_watch.norms) == n_epochs * num_minibatches


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_ratios_of_the_first_update_are_one(norm):
    model = build("ppo", tiny_env(), n_epochs=1, num_minibatches=1, policy_kwargs={"gate": GateOptions(norm=norm)})
    learn(model, 2)
    assert model.logger.name_to_value["train/clip_fraction"] == 0
    assert model.logger.name_to_value["train/approx_kl"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_the_update_starts_from_the_probabilities_that_were_played(norm):
    model = collected(policy_kwargs={"gate": GateOptions(norm=norm)})
    for _ in range(3):  # so that the statistics are no longer those of a fresh BatchNorm
        model.train()
        train, model.train = model.train, lambda: None
        learn(model, 1)
        model.train = train
    buffer = model.rollout_buffer
    model.policy.set_training_mode(True)
    for step in zip(buffer.observations, buffer.actions, buffer.log_probs):
        assert torch.equal(model.policy.evaluate_actions(*step[:2])[1], step[2])  # in the rows that were played
    learned = {name: value.clone() for name, value in model.policy.gates.named_buffers()}
    PPO.train(model)
    torch.testing.assert_close(dict(model.policy.gates.named_buffers()), learned, rtol=0, atol=0)


def test_a_single_rollout_per_clip_is_refused():
    with pytest.raises(ValueError, match="at least 2 rollouts per clip"):
        learn(build("ppo", tiny_env(rollouts_per_clip=1)), 1)


def test_padding_has_no_gradient():
    model = collected()
    mask = model.policy.decision_mask[model.all_rows()[0].site]
    log_probs = model.rollout_buffer.log_probs.flatten(0, 1)
    assert (log_probs[~mask] == 0).all()
    before = weights(model)
    model.rollout_buffer.advantages.reshape(-1, mask.shape[1])[~mask] = 1e6
    model.train()
    model_plain = collected()
    model_plain.train()
    torch.testing.assert_close(weights(model), weights(model_plain))
    assert not torch.equal(weights(model), before)
