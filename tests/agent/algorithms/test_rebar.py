import math

import numpy as np
import pytest
import torch
from agent_cases import ONE_DECISION, build, exact_gradient, learn, noise_clips, tiny_backbone, tiny_env

from agent import REBAR, GateOptions
from agent.algorithms.rebar import conditional_gumbel
from backbone import one_hot
from envs.clips import ArrayClips

LOG_PROBS = torch.tensor([2.0, 0.5, -1.0], dtype=torch.float64).log_softmax(-1)


def gradients(model, count: int) -> torch.Tensor:
    """Estimates of independent batches, (count, parameters)."""
    parameters = list(model.policy.gates.parameters())
    estimates = (torch.autograd.grad(model.sample_loss(), parameters) for _ in range(count))
    return torch.stack([torch.cat([part.flatten() for part in estimate]) for estimate in estimates]).double()


def static_rebar(copies: int, **kwargs):
    """On as many copies of one clip, with gates that ignore their input; the clip alone is in ``clips``."""
    clips = noise_clips(num_clips=1)
    frames = np.repeat(clips._pool.reshape(1, 2, 8, 8, 3), copies, 0)
    source = ArrayClips(frames, np.zeros(copies, int), clips.classes, num_frames=2)
    backbone = tiny_backbone(group_size=ONE_DECISION)
    env = tiny_env(backbone, source, num_clips=copies, rollouts_per_clip=1, cost_weight=3.0)
    model = build("rebar", env, policy_kwargs={"gate": GateOptions(static=True)}, **kwargs)
    model.prepare_sampling()
    with torch.no_grad():
        for site, gate in enumerate(model.policy.gates.gates):
            gate.logits.copy_(torch.tensor([[0.2, 0.5 - 0.3 * site, 0.0]]))
    return model, clips


@pytest.mark.parametrize("chosen", [0, 1, 2])
def test_conditional_noise_has_its_argmax_where_it_is_told(chosen):
    torch.manual_seed(0)
    given = conditional_gumbel(LOG_PROBS.expand(1000, 3), one_hot(torch.full((1000,), chosen)))
    assert (given.argmax(-1) == chosen).all()


def test_conditional_noise_over_the_decisions_drawn_is_plain_noise():
    torch.manual_seed(0)
    draws, probs = 200_000, LOG_PROBS.exp()
    decisions = one_hot(torch.multinomial(probs, draws, replacement=True)).double()
    noise = conditional_gumbel(LOG_PROBS.expand(draws, 3), decisions) - LOG_PROBS
    deviation = math.pi / math.sqrt(6)
    assert ((noise.mean(0) - 0.5772157).abs() < 4.5 * deviation / math.sqrt(draws)).all()
    assert ((noise.std(0) / deviation - 1).abs() < 0.02).all()
    assert (torch.corrcoef(noise.T) - torch.eye(3)).abs().max() < 0.02


def test_conditional_noise_bears_a_decision_that_cannot_be():
    log_probs = torch.tensor([0.0, -1e4, -1.0]).log_softmax(-1).requires_grad_()
    given = conditional_gumbel(log_probs, torch.tensor([1.0, 0.0, 0.0]))
    (gradient,) = torch.autograd.grad(given.sum(), log_probs)
    assert torch.isfinite(given).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("cost_gradient", ["exact", "sampled"])
@pytest.mark.parametrize("temperatures", [(0.1, 0.03), (1.0, 0.5)])
def test_the_gradient_is_unbiased(cost_gradient, temperatures):
    own, later = temperatures
    model, clips = static_rebar(256, cost_gradient=cost_gradient, temperature=own, later_temperature=later)
    estimates = gradients(model, 30)
    model.env.episodes.clips = clips
    errors = (estimates.mean(0) - exact_gradient(model)) / (estimates.std(0) / 30**0.5)
    assert errors.abs().max() < 4.2


def test_without_its_control_variates_derivative_it_is_biased(monkeypatch):
    model, clips = static_rebar(256, temperature=1.0, later_temperature=0.5)
    control_variates = model._control_variates

    def without(*args):
        relaxed, directions = control_variates(*args)
        return relaxed, [torch.zeros_like(direction) for direction in directions]

    monkeypatch.setattr(model, "_control_variates", without)
    estimates = gradients(model, 30)
    model.env.episodes.clips = clips
    errors = (estimates.mean(0) - exact_gradient(model)) / (estimates.std(0) / 30**0.5)
    assert errors.abs().max() > 10


def test_the_control_variate_follows_the_reward_as_temperatures_fall():
    residuals = []
    for temperature in (1.0, 0.1, 0.01):
        model, _ = static_rebar(64, temperature=temperature, later_temperature=temperature)
        torch.manual_seed(0)
        frames, labels = model.take_clips()
        with torch.no_grad():
            passed, scores = model._hard_pass(frames)
        outcome = scores.log_softmax(-1)[torch.arange(64), labels]
        last = [model._control_variates(passed, labels)[0][2] for _ in range(4)]
        residuals.append(float(torch.stack([outcome - relaxed for relaxed in last]).square().mean()))
    assert residuals[0] > 4 * residuals[1] > 4 * residuals[2]


def test_the_entropy_bonus_leans_towards_even_decisions():
    plain, _ = static_rebar(8)
    bonus, _ = static_rebar(8, entropy_coef=1.0)
    difference = []
    for model in (plain, bonus):
        torch.manual_seed(0)
        difference.append(gradients(model, 1)[0])
    gates = plain.policy.gates
    entropy = 0.0
    for gate in gates.gates:
        log_probs = gate.logits.log_softmax(-1)
        entropy = entropy - 2 * (log_probs.exp() * log_probs).sum()  # two frames
    expected = torch.cat([part.flatten() for part in torch.autograd.grad(-entropy, list(gates.parameters()))])
    torch.testing.assert_close(difference[1] - difference[0], expected.double(), atol=1e-5, rtol=1e-4)


def batch_norms(count: int):
    """REBAR whose gates have BatchNorms with running statistics of their own."""
    env = tiny_env(num_clips=count, rollouts_per_clip=1)
    model = build("rebar", env, policy_kwargs={"gate": GateOptions(norm="batch")})
    for gate in model.policy.gates.gates:
        gate.norm.running_mean.normal_()
        gate.norm.running_var.uniform_(0.2, 2)
    model.prepare_sampling()
    return model


def test_with_batch_norms_a_clips_logits_do_not_depend_on_its_batch():
    model = batch_norms(4)
    gates = model.policy.gates
    passed, _ = model._hard_pass(model.take_clips()[0])
    for index, site in enumerate(passed):
        alone = gates(index, site.observation.v[:1], site.observation.v_previous[:1])
        torch.testing.assert_close(site.logits[:1], alone)
    gates.train()  # control: batch statistics
    assert (
        gates(0, passed[0].observation.v, passed[0].observation.v_previous)[:1] - passed[0].logits[:1]
    ).abs().max() > 0.01


def test_estimates_leave_batch_norms_alone_and_updates_move_them():
    model = batch_norms(4)
    norms = [gate.norm for gate in model.policy.gates.gates]
    before = [norm.running_mean.clone() for norm in norms]
    model.sample_loss()
    for norm, mean in zip(norms, before):
        torch.testing.assert_close(norm.running_mean, mean, rtol=0, atol=0)
    learn(model, 1)
    for gate, site in zip(model.policy.gates.gates, model.seen):
        units = gate.layers.hidden(torch.cat([site.v, site.v_previous], -1)).flatten(0, 1)
        torch.testing.assert_close(gate.norm.running_mean, units.mean(0))  # the first batch's, with the new weights


def test_temperatures_must_be_above_zero():
    with pytest.raises(ValueError, match="expected temperatures above 0, got 0 and"):
        build("rebar", temperature=0)


@pytest.mark.parametrize("cost_gradient", ["exact", "sampled"])
@pytest.mark.parametrize("history", ["raw", "fused"])
def test_sites_that_are_replayed_in_one_batch_give_what_each_gives_alone(cost_gradient, history, monkeypatch):
    found = []
    for at_once in (1, 2, 3):
        monkeypatch.setattr(REBAR, "_sites_at_once", lambda *_, at_once=at_once: at_once)
        env = tiny_env(tiny_backbone(history=history), rollouts_per_clip=1, cost_weight=3.0)
        model = build("rebar", env, cost_gradient=cost_gradient)
        model.prepare_sampling()
        torch.manual_seed(0)
        found.append(gradients(model, 2))
    torch.testing.assert_close(found[1:], [found[0]] * 2, rtol=1e-4, atol=1e-6)
    assert found[0].abs().max() > 1e-3
