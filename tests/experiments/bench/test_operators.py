import torch

from experiments.bench.operators import operator_ratios, operators


def test_views_are_not_counted_and_what_is_made_once_is_not():
    x, made = torch.ones(2, 3), []

    def run():
        made.append(torch.zeros(1)) if not made else None
        return (x.T[0].unsqueeze(0) + 1).mul_(2)

    assert operators(run) == 2


def test_walks_stay_below_their_limits():
    found = operator_ratios()
    assert len(found) == 3
    for ratio in found:
        assert ratio.met, ratio
        assert ratio.ratio > 1
