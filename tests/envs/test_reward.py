"""The reward's three parts; their sum over an episode is tested in test_episodes.py."""

import pytest
import torch

from envs.reward import OUTCOMES, correctness, cost_reward, find_outcome, log_probability

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
    assert cost_reward(macs, clip_dense_macs=200, cost_weight=0.5).tolist() == [0, -0.125, -0.5]


@pytest.mark.parametrize("name", OUTCOMES)
def test_outcomes_are_found_by_name(name):
    assert find_outcome(name) is OUTCOMES[name]


def test_an_unknown_outcome_is_named_beside_the_known():
    with pytest.raises(ValueError, match="correctness, log_prob; got 'f1'"):
        find_outcome("f1")
