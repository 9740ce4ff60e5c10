import pytest
import torch
from rank_cases import over_ranks
from torch import nn

from backbone.common import ranks
from backbone.weights.synchronise import synchronised


def passed(momentum):
    """Features, statistics and gradients of a BatchNorm that sees a batch twice, its part of it on each rank."""
    torch.manual_seed(0)
    norm, features = nn.BatchNorm2d(3, momentum=momentum), 5 + torch.randn(4, 3, 2, 2)
    pulls = torch.randn_like(features)
    own = ranks.own(features).clone().requires_grad_()
    with synchronised(norm):
        out = norm(norm(own))
    (out * ranks.own(pulls)).sum().backward()
    assert "forward" not in vars(norm)
    norm.eval()
    return {
        "out": out.detach(),
        "own": own.grad,
        "after": norm(ranks.own(features)).detach(),
        "weight": norm.weight.grad,
    }


@pytest.mark.slow
@pytest.mark.parametrize("momentum", [0.1, None])
def test_two_ranks_read_the_statistics_of_the_whole_batch(momentum):
    one, two = passed(momentum), over_ranks(2, passed, momentum)
    for name in ("out", "own", "after"):
        torch.testing.assert_close(torch.cat([part[name] for part in two]), one[name], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(two[0]["weight"] + two[1]["weight"], one["weight"], rtol=1e-4, atol=1e-5)


def test_alone_a_norm_is_left_as_it_is():
    norm = nn.BatchNorm2d(3)
    with synchronised(norm):
        assert "forward" not in vars(norm)
