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
