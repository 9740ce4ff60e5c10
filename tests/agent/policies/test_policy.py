import numpy as np
import pytest
import torch
from agent_cases import build, play, played_rows, tiny_backbone, tiny_env

from agent import FusionPolicy, GateOptions
from backbone import Decision, Observation

ORDERS = ("site", "frame")


def model_and_observations(order: str = "site", group_size: int = 8, **kwargs):
    """A fresh model, and observations at every site (S * N, O)."""
    env = tiny_env(tiny_backbone(group_size=group_size), order=order)
    observations, *_ = play(env)
    return build("reinforce, leave_one_out", env, **kwargs), torch.from_numpy(observations).flatten(0, 1)


@pytest.mark.parametrize("order", ORDERS)
def test_rows_at_mixed_sites_are_decided_as_each_site_alone(order):
    model, observations = model_and_observations(order)
    shuffled = torch.randperm(len(observations), generator=torch.Generator().manual_seed(0))
    mixed = model.policy.get_distribution(observations[shuffled])
    sites = model.layout.unpack(observations[shuffled]).site
    assert sites.unique().tolist() == [0, 1, 2]
    for site in sites.unique():
        alone = model.policy.get_distribution(observations[shuffled][sites == site])
        torch.testing.assert_close(mixed.log_probs[sites == site], alone.log_probs)
        torch.testing.assert_close(mixed.mask[sites == site], alone.mask)


@pytest.mark.parametrize("order", ORDERS)
def test_logits_are_the_gates_own(order):
    model, observations = model_and_observations(order)
    rows, distribution = model.layout.unpack(observations), model.policy.get_distribution(observations)
    for site in model.layout.sites:
        here = rows.site == site.index
        v, v_previous = (part[here][..., : site.in_channels] for part in (rows.v, rows.v_previous))
        logits = model.policy.gates(site.index, v, v_previous)
        found = distribution.log_probs[here][distribution.mask[here]].view(-1, 3)
        torch.testing.assert_close(found, logits.log_softmax(-1).flatten(0, -2))


@pytest.mark.parametrize("group_size", [1, 5, 64])
@pytest.mark.parametrize("deterministic", [True, False])
def test_padding_is_never_decided(group_size, deterministic):
    model, observations = model_and_observations(group_size=group_size)
    actions, _ = model.predict(observations.numpy(), deterministic=deterministic)
    for row, site in enumerate(model.layout.unpack(observations).site.tolist()):
        allowed = model.layout.action_mask(site).reshape(-1, 3)
        assert allowed[np.arange(len(allowed)), actions[row]].all()


def test_greedy_predictions_repeat_exactly():
    model, observations = model_and_observations()
    first, second = (model.predict(observations.numpy(), deterministic=True)[0] for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_sampled_predictions_differ():
    model, observations = model_and_observations()
    first, second = (model.predict(observations.numpy(), deterministic=False)[0] for _ in range(2))
    assert (first != second).any()


def test_a_single_observation_is_decided_as_a_batch_of_one():
    model, observations = model_and_observations()
    batch = model.predict(observations.numpy(), deterministic=True)[0]
    for row in (0, len(observations) - 1):
        single = model.predict(observations[row].numpy(), deterministic=True)[0]
        np.testing.assert_array_equal(single, batch[row])


def test_greedy_rows_play_greedily_among_samples():
    model, observations = model_and_observations()
    greedy = torch.arange(len(observations)) % 3 == 0
    model.policy.greedy_rows = greedy
    torch.manual_seed(0)
    actions, _, _ = model.policy(observations)
    mode = model.policy.get_distribution(observations).mode()
    torch.testing.assert_close(actions[greedy], mode[greedy])
    assert (actions[~greedy] != mode[~greedy]).any()


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("training", [True, False])
def test_gates_read_running_statistics_in_training_too(norm, training):
    model, observations = model_and_observations(policy_kwargs={"gate": GateOptions(norm=norm)})
    policy = model.policy
    before = {name: value.clone() for name, value in policy.gates.named_buffers()}
    expected = policy.get_distribution(observations).log_probs  # of a policy in no mode yet
    policy.set_training_mode(training)
    torch.testing.assert_close(policy.get_distribution(observations).log_probs, expected)
    half = policy.get_distribution(observations[::2]).log_probs  # whatever else is in the batch
    torch.testing.assert_close(half, expected[::2])
    torch.testing.assert_close(dict(policy.gates.named_buffers()), before, rtol=0, atol=0)


def hidden_units(model, observations: torch.Tensor) -> list[torch.Tensor]:
    """Per site, what a BatchNorm is given: (rows * F, hidden)."""
    rows, given = model.layout.unpack(observations), []
    for site, gate in zip(model.layout.sites, model.policy.gates.gates):
        here = rows.site == site.index
        v, v_previous = (part[here][..., : site.in_channels] for part in (rows.v, rows.v_previous))
        given.append(gate.layers.hidden(torch.cat([v, v_previous], -1)).flatten(0, 1).detach())
    return given


@pytest.mark.parametrize("order", ORDERS)
def test_running_statistics_are_the_first_observations_then_move_by_a_tenth(order):
    model, observations = model_and_observations(order, policy_kwargs={"gate": GateOptions(norm="batch")})
    policy, norms = model.policy, [gate.norm for gate in model.policy.gates.gates]
    parameters = [parameter.clone() for parameter in policy.parameters()]
    first, half = hidden_units(model, observations), hidden_units(model, observations[::2])
    for _ in range(12):
        policy.update_statistics(model.layout.unpack(observations))
        for norm, units in zip(norms, first):
            torch.testing.assert_close(norm.running_mean, units.mean(0))
            torch.testing.assert_close(norm.running_var, units.var(0))
    policy.update_statistics(model.layout.unpack(observations[::2]))
    for norm, units, later in zip(norms, first, half):
        torch.testing.assert_close(norm.running_mean, 0.9 * units.mean(0) + 0.1 * later.mean(0))
        torch.testing.assert_close(norm.running_var, 0.9 * units.var(0) + 0.1 * later.var(0))
    for parameter, before in zip(policy.parameters(), parameters):
        assert torch.equal(parameter, before)
        assert parameter.grad is None


def test_the_backbones_observations_move_statistics_as_rows_do():
    one, observations = model_and_observations(policy_kwargs={"gate": GateOptions(norm="batch")})
    other, _ = model_and_observations(policy_kwargs={"gate": GateOptions(norm="batch")})
    rows, seen = one.layout.unpack(observations), []
    for site in one.layout.sites:
        here = rows.site == site.index
        v, v_previous = (part[here][..., : site.in_channels] for part in (rows.v, rows.v_previous))
        seen.append(Observation(site.index, v, v_previous, None))
    one.policy.update_statistics(rows)
    other.policy.update_statistics(seen)
    torch.testing.assert_close(dict(one.policy.gates.named_buffers()), dict(other.policy.gates.named_buffers()))


@pytest.mark.parametrize("options", [{}, {"static": True, "norm": "batch"}])
def test_without_a_batch_norm_there_are_no_statistics_to_move(options):
    model, observations = model_and_observations(policy_kwargs={"gate": GateOptions(**options)})
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    model.policy.update_statistics(model.layout.unpack(observations))
    torch.testing.assert_close(dict(model.policy.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("baseline", ["leave_one_out", "value"])
def test_forward_and_evaluate_actions_agree(baseline):
    env = tiny_env()
    observations = torch.from_numpy(play(env)[0]).flatten(0, 1)
    policy = build(f"reinforce, {baseline}", env).policy
    actions, values, log_prob = policy(observations)
    again_values, again_log_prob, entropy = policy.evaluate_actions(observations, actions)
    torch.testing.assert_close(again_values, values)
    torch.testing.assert_close(again_log_prob, log_prob)
    assert log_prob.shape == entropy.shape == actions.shape
    assert values.shape == (len(observations), 1)
    assert (values != 0).all() == (baseline == "value")


def test_decisions_do_not_depend_on_what_gates_may_not_see():
    model, _ = model_and_observations()
    rows = played_rows(model.env)
    blind = rows._replace(ready=1 - rows.ready, live_now=rows.live_now + 1, has_previous=1 - rows.has_previous)
    torch.testing.assert_close(model.policy.distribution(blind).probs, model.policy.distribution(rows).probs)


def test_a_policy_saved_alone_decides_the_same(tmp_path):
    gate = GateOptions(quota=70, norm="batch", shared=True)
    model, observations = model_and_observations(policy_kwargs={"gate": gate})
    model.policy.update_statistics(model.layout.unpack(observations))
    model.policy.save(tmp_path / "policy.pt")
    loaded = FusionPolicy.load(tmp_path / "policy.pt", device="cpu")
    torch.testing.assert_close(
        loaded.get_distribution(observations).probs, model.policy.get_distribution(observations).probs
    )


def test_an_untrained_policy_mostly_uses():
    model, observations = model_and_observations(group_size=1)
    distribution = model.policy.get_distribution(observations)
    assert (distribution.mode()[distribution.mask] == Decision.USE).float().mean() > 0.8
