"""MACs of single layers, found without computing."""

from __future__ import annotations

import pytest
import torch
from fusion_cases import tiny_cnn
from torch import nn

from backbone.cost.counts import layer_macs


def test_counting_leaves_the_cnn_as_it_was():
    cnn = tiny_cnn("basic").train()
    before = {name: value.clone() for name, value in cnn.state_dict().items()}
    layer_macs(cnn, lambda ghost: ghost(torch.empty(1, 3, 16, 16, device="meta")))
    assert cnn.training
    assert all(torch.equal(value, before[name]) for name, value in cnn.state_dict().items())
    assert not any(module._forward_hooks for module in cnn.modules())


def test_a_layer_that_runs_twice_is_counted_twice():
    layer = nn.Linear(3, 5)
    assert layer_macs(nn.Sequential(layer), lambda net: (net(torch.empty(1, 3, device="meta")),) * 2) == {"0": 15}
    twice = layer_macs(nn.Sequential(layer), lambda net: [net(torch.empty(1, 3, device="meta")) for _ in range(2)])
    assert twice == {"0": 30}


def test_grouped_convolutions_are_counted_by_their_weights():
    conv = nn.Conv2d(8, 16, 3, padding=1, groups=4)
    macs = layer_macs(nn.Sequential(conv), lambda net: net(torch.empty(1, 8, 5, 5, device="meta")))
    assert macs == {"0": 25 * 16 * (8 // 4) * 9}


@pytest.mark.parametrize("layer", [nn.Conv3d(3, 4, 1), nn.ConvTranspose2d(3, 4, 1), nn.LSTM(3, 4), nn.PReLU()])
def test_a_kind_of_layer_without_a_rule_is_refused(layer):
    with pytest.raises(ValueError, match=rf"got {type(layer).__name__} at '0': add its cost"):
        layer_macs(nn.Sequential(layer), lambda net: None)
