import numpy as np
import pytest
import torch
from stable_baselines3.common.distributions import MultiCategoricalDistribution

from agent.policies.distribution import FactoredCategorical, log_softmax
from backbone import Decision

EVERY_DECISION = list(Decision)


def random_logits(*shape: int, scale: float = 2.0, seed: int = 0) -> torch.Tensor:
    return scale * torch.randn(*shape, len(Decision), generator=torch.Generator().manual_seed(seed))


def factored(logits: torch.Tensor, mask: torch.Tensor | None = None) -> FactoredCategorical:
    everywhere = torch.ones(logits.shape[:-1], dtype=torch.bool)
    return FactoredCategorical().proba_distribution(logits, everywhere if mask is None else mask)


def theirs(logits: torch.Tensor) -> MultiCategoricalDistribution:
    return MultiCategoricalDistribution([len(Decision)] * logits.shape[1]).proba_distribution(logits.flatten(1))


@pytest.mark.parametrize("scale", [0.1, 1.0, 10.0])
def test_entropy_is_minus_the_expected_log_probability(scale):
    distribution = factored(random_logits(5, 7, scale=scale))
    terms = []
    for decision in EVERY_DECISION:
        log_prob = distribution.log_prob(torch.full((5, 7), decision))
        terms.append(-log_prob.exp() * log_prob)
    torch.testing.assert_close(distribution.entropy(), sum(terms))


def test_probabilities_of_all_decisions_sum_to_one():
    distribution = factored(random_logits(5, 7, scale=20.0))
    total = sum(distribution.log_prob(torch.full((5, 7), decision)).exp() for decision in EVERY_DECISION)
    torch.testing.assert_close(total, torch.ones(5, 7))


def test_samples_come_as_often_as_their_probabilities_say():
    torch.manual_seed(0)
    draws = 40_000
    distribution = factored(random_logits(1, 6).expand(draws, 6, 3))
    frequencies = torch.nn.functional.one_hot(distribution.sample(), 3).double().mean(0)
    probs = distribution.probs[0].double()
    deviations = (frequencies - probs) / (probs * (1 - probs) / draws).sqrt()
    assert deviations.abs().max() < 4.5
    shifted = (frequencies - probs.roll(1, -1)) / (probs * (1 - probs) / draws).sqrt()
    assert shifted.abs().max() > 4.5  # the same test tells a wrong order of decisions


@pytest.mark.parametrize("scale", [0.1, 1.0, 5.0])
def test_the_top_k_keep_the_shares_that_the_mode_loses(scale):
    distribution = factored(random_logits(6, 4 * 50, scale=scale))
    shares = distribution.probs.unflatten(1, (4, 50)).sum(2)
    counts = torch.nn.functional.one_hot(distribution.top_k(50), 3).unflatten(1, (4, 50)).sum(2)
    assert (counts - shares).abs().max() < 1
    if scale < 1:  # the mode does not
        assert (
            torch.nn.functional.one_hot(distribution.mode(), 3).unflatten(1, (4, 50)).sum(2) - shares
        ).abs().max() > 3


def test_the_top_k_are_the_likeliest():
    probs = torch.tensor([[[0.9, 0.1, 0.0], [0.6, 0.3, 0.1], [0.4, 0.1, 0.5], [0.1, 0.6, 0.3]]])  # 2.0, 1.1, 0.9
    chosen = factored(probs.log()).top_k(4)
    assert chosen.tolist() == [[Decision.USE, Decision.USE, Decision.SKIP, Decision.REUSE]]


def test_the_top_k_of_what_is_certain_is_the_mode_and_padding_is_used():
    distribution = factored(random_logits(3, 8, scale=1e4), torch.arange(8).expand(3, 8) % 4 < 3)
    assert torch.equal(distribution.top_k(4), distribution.mode())


def test_samples_of_different_decisions_are_independent():
    torch.manual_seed(0)
    used = (factored(torch.zeros(40_000, 5, 3)).sample() == Decision.USE).double()
    correlation = np.corrcoef(used.numpy().T) - np.eye(5)
    assert np.abs(correlation).max() < 4.5 / 200


@pytest.mark.parametrize("certain", EVERY_DECISION)
def test_a_decision_without_probability_is_never_drawn(certain):
    logits = torch.full((20_000, 1, 3), -1e9)
    logits[..., certain] = 0.0
    assert (factored(logits).sample() == certain).all()


@pytest.mark.parametrize("deterministic", [True, False])
def test_padding_always_chooses_use_without_probability_or_entropy(deterministic):
    torch.manual_seed(0)
    logits, mask = random_logits(50, 8), torch.rand(50, 8) < 0.5
    logits[..., Decision.USE] = -1e4  # padding chooses it all the same
    distribution = factored(logits, mask)
    actions = distribution.get_actions(deterministic=deterministic)
    assert (actions[~mask] == Decision.USE).all()
    assert (actions[mask] != Decision.USE).all()
    for value in (distribution.log_prob(actions), distribution.entropy()):
        assert (value[~mask] == 0).all()
        assert (value[mask] != 0).all()


def test_padding_gives_its_logits_no_gradient():
    logits, mask = random_logits(4, 8).requires_grad_(), torch.arange(8) < torch.tensor([[1], [3], [8], [0]])
    distribution = factored(logits, mask)
    (distribution.log_prob(torch.ones(4, 8)) + distribution.entropy()).sum().backward()
    assert (logits.grad[~mask] == 0).all()
    assert (logits.grad[mask] != 0).any(-1).all()


def test_log_probabilities_sum_to_the_joint_of_stable_baselines3():
    logits = random_logits(20, 9)
    actions = torch.randint(0, 3, (20, 9), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(factored(logits).log_prob(actions).sum(1), theirs(logits).log_prob(actions))


def test_entropies_sum_to_the_joint_of_stable_baselines3():
    logits = random_logits(20, 9)
    torch.testing.assert_close(factored(logits).entropy().sum(1), theirs(logits).entropy())


def test_modes_are_those_of_stable_baselines3():
    logits = random_logits(20, 9)
    torch.testing.assert_close(factored(logits).mode(), theirs(logits).mode())


def test_actions_may_come_as_whole_floats_from_a_buffer():
    distribution = factored(random_logits(6, 4))
    actions = distribution.sample()
    torch.testing.assert_close(distribution.log_prob(actions.float()), distribution.log_prob(actions))


def test_the_interface_of_stable_baselines3_agrees_with_itself():
    logits, mask = random_logits(6, 4), torch.ones(6, 4, dtype=torch.bool)
    actions, log_prob = FactoredCategorical().log_prob_from_params(logits, mask)
    torch.testing.assert_close(log_prob, factored(logits).log_prob(actions))
    greedy = FactoredCategorical().actions_from_params(logits, mask, deterministic=True)
    torch.testing.assert_close(greedy, factored(logits).mode())


def test_it_has_no_network_of_its_own():
    with pytest.raises(NotImplementedError, match="GateNetwork"):
        FactoredCategorical().proba_distribution_net()


@pytest.mark.parametrize("shape", [(3,), (4, 3), (2, 5, 7, 3)])
@pytest.mark.parametrize("scale", [1.0, 1000.0])
def test_log_softmax_and_its_gradient_equal_those_of_torch(shape, scale):
    ours = random_logits(*shape[:-1], scale=scale).double().requires_grad_()
    plain = ours.detach().clone().requires_grad_()
    weight = torch.randn(shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(log_softmax(ours), plain.log_softmax(-1))
    (log_softmax(ours) * weight).sum().backward()
    (plain.log_softmax(-1) * weight).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)
