import torch

from backbone import Decision, one_hot


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
