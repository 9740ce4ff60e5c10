"""The reward's parts, and outcomes of one's own; its sum over an episode is tested in test_episodes.py."""

import numpy as np
import pytest
import torch
from fusion_cases import play, random_decisions, tiny_backbone

from backbone.common.registry import Registry
from envs.episodes import Episodes
from envs.reward import OUTCOMES, Reward, correctness, find_outcome, log_probability, register_outcome

LOGITS = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 2.0], [5.0, 4.0, 4.5]])
LABELS = torch.tensor([0, 1, 0])


def test_correctness_is_one_exactly_where_the_label_scores_highest():
    assert correctness(LOGITS, LABELS).tolist() == [1, 0, 1]


def test_log_probability_is_that_of_the_label():
    expected = LOGITS.softmax(-1)[torch.arange(3), LABELS].log()
    torch.testing.assert_close(log_probability(LOGITS, LABELS), expected)


def test_log_probability_of_a_hopeless_label_is_finite():
    assert log_probability(torch.tensor([[0.0, 1e4]]), torch.tensor([0])).isfinite().all()


@pytest.mark.parametrize("outcome", OUTCOMES.values())
def test_an_outcome_is_one_number_a_clip_and_ignores_a_common_offset(outcome):
    assert outcome(LOGITS, LABELS).shape == (3,)
    torch.testing.assert_close(outcome(LOGITS + 7, LABELS), outcome(LOGITS, LABELS))


def test_cost_is_the_weighted_share_of_the_dense_macs():
    macs = torch.tensor([0.0, 50.0, 200.0], dtype=torch.float64)
    assert Reward(cost_weight=0.5).of_step(macs, clip_dense_macs=200).tolist() == [0, -0.125, -0.5]


def test_an_episode_is_its_outcome_minus_its_steps_costs():
    reward, macs = Reward("correctness", 2.0), torch.tensor([[10.0, 30.0], [50.0, 0.0]])
    outcome = reward.of_outcome(LOGITS[:2], LABELS[:2])
    whole = reward(outcome, macs.sum(0) / 200)
    torch.testing.assert_close(whole, outcome + reward.of_step(macs, 200).sum(0))
    torch.testing.assert_close(reward.outcome_of(whole, macs.sum(0) / 200), outcome)
    assert reward.penalty(np.array([0.25])).tolist() == [0.5]


def test_an_outcome_has_a_derivative_where_a_small_change_of_the_scores_tells():
    assert Reward("log_prob").has_derivative(num_classes=3)
    assert not Reward("correctness").has_derivative(num_classes=3)


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_are_found_by_name(name):
    assert find_outcome(name) is OUTCOMES[name]


def test_an_unknown_outcome_is_named_beside_the_known():
    with pytest.raises(ValueError, match="correctness, log_prob, got 'f1'"):
        find_outcome("f1")


def test_an_outcome_of_ones_own_is_registered_once_and_paid_by_the_environment(clips, monkeypatch):
    own = Registry("reward")
    own.update(OUTCOMES)
    monkeypatch.setattr("envs.reward.OUTCOMES", own)

    @register_outcome
    def halved(logits, labels):
        return correctness(logits, labels) / 2

    with pytest.raises(ValueError, match="a reward named halved is registered already"):
        register_outcome(halved)
    episodes = Episodes(tiny_backbone(), clips, reward="halved", cost_weight=0.0)
    outcome, rewards, _ = play(episodes, random_decisions(episodes.backbone))
    np.testing.assert_allclose(rewards.sum(0), outcome.correct / 2)
    with pytest.raises(ValueError, match=r"halved, log_prob, got 'half'.*did you mean 'halved'"):
        Reward("half")
