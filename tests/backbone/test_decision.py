import pytest
import torch

from backbone import Decision, one_hot
from backbone.decision import per_channel


def test_numbers_are_those_of_the_papers_equation_2():
    assert [(decision.name, decision.value) for decision in Decision] == [("USE", 0), ("REUSE", 1), ("SKIP", 2)]


def test_one_hot_marks_exactly_the_decision_taken():
    decisions = torch.randint(3, (4, 5, 6))
    encoded = one_hot(decisions)
    assert encoded.shape == (4, 5, 6, 3)
    assert encoded.dtype == torch.float32
    torch.testing.assert_close(encoded.sum(-1), torch.ones(4, 5, 6))
    for decision in Decision:
        assert torch.equal(encoded[..., decision] == 1, decisions == decision)


def test_one_hot_comes_in_the_type_asked_for():
    assert one_hot(torch.tensor([Decision.SKIP]), torch.float64).dtype == torch.float64


@pytest.mark.parametrize(("group_size", "expected"), [(1, "abcde"), (2, "aabbc"), (4, "aaaab"), (9, "aaaaa")])
def test_groups_speak_for_their_channels(group_size, expected):
    decisions = -(-5 // group_size)
    found = per_channel(torch.arange(decisions).expand(2, -1), 5, group_size, dim=-1)
    assert found.tolist() == [["abcde".index(letter) for letter in expected]] * 2
    spread = per_channel(torch.arange(decisions).view(-1, 1).expand(-1, 3), 5, group_size, dim=-2)
    assert torch.equal(spread, found[:1].T.expand(-1, 3))


def test_another_number_of_decisions_is_refused():
    with pytest.raises(ValueError, match="expected 3 decisions on 5 channels, got 5"):
        per_channel(torch.zeros(5, 3), 5, 2, dim=-2)
