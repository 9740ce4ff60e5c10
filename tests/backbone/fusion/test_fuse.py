"""Equation 2 by worked examples; whole walks are held against a loop in ``test_backbone``."""

import pytest
import torch

from backbone import Decision, one_hot
from backbone.fusion.fuse import fuse


@pytest.mark.parametrize(
    ("history", "decisions", "expected"),
    [
        ("raw", "URRU", [1, 1, 2, 4]),
        ("fused", "URRU", [1, 1, 1, 4]),
        ("raw", "RSRS", [0, 0, 2, 0]),
        ("fused", "USRR", [1, 0, 0, 0]),
        ("raw", "SRSR", [0, 1, 0, 3]),
    ],
)
def test_worked_examples(history, decisions, expected):
    named = {"U": Decision.USE, "R": Decision.REUSE, "S": Decision.SKIP}
    y = torch.tensor([1.0, 2, 3, 4]).view(1, 4, 1, 1, 1)
    chosen = one_hot(torch.tensor([named[letter] for letter in decisions])).view(1, 4, 1, 3)
    assert fuse(y, chosen, None, history).flatten().tolist() == expected


@pytest.mark.parametrize("history", ["raw", "fused"])
def test_rollouts_and_pasts_of_a_clip_are_broadcast(history):
    torch.manual_seed(0)
    y, past = torch.randn(2, 3, 4, 5, 5), torch.randn(2, 4, 5, 5)
    decisions = one_hot(torch.randint(3, (6, 3, 4)))
    repeated = fuse(y.repeat_interleave(3, 0), decisions, past.repeat_interleave(3, 0), history)
    torch.testing.assert_close(fuse(y, decisions, past, history), repeated)


@pytest.mark.parametrize("with_past", [True, False])
@pytest.mark.parametrize("history", ["raw", "fused"])
def test_gradients_are_those_of_the_equation(history, with_past):
    torch.manual_seed(0)
    y, past = (torch.randn(shape, dtype=torch.float64) for shape in ((2, 3, 4, 2, 2), (2, 4, 2, 2)))
    decisions = torch.rand(4, 3, 4, 3, dtype=torch.float64)  # relaxed, two rollouts of each clip
    inputs = [tensor.requires_grad_() for tensor in (y, decisions, past)[: 3 if with_past else 2]]

    def fused(y, decisions, past=None):
        return fuse(y, decisions, past, history)

    assert torch.autograd.gradcheck(fused, inputs)
    assert torch.autograd.gradgradcheck(fused, inputs)


@pytest.mark.parametrize("history", ["raw", "fused"])
def test_channels_last_stays_channels_last(history):
    y = torch.randn(6, 4, 5, 5).to(memory_format=torch.channels_last).unflatten(0, (2, 3))
    fused = fuse(y, one_hot(torch.randint(3, (4, 3, 4))), None, history)
    assert fused.flatten(0, 1).is_contiguous(memory_format=torch.channels_last)
