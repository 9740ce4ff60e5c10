"""A traced backbone: what is fused, and who reads and writes which site."""

import pytest
from fusion_cases import tiny_backbone

from backbone import FusionBackbone, create_cnn
from backbone.sparse.lower import lower
from backbone.sparse.program import Conv, Decide


@pytest.mark.parametrize("name", ["resnet_small", "mobilenet_v2", "bn_inception"])
def test_every_layer_is_there_and_knows_its_sites(name: str) -> None:
    backbone = FusionBackbone(create_cnn(name, num_classes=3, size=32).eval())
    convs = {op.name: op for op in lower(backbone).ops if isinstance(op, Conv)}
    layers = {layer.name: layer for layer in backbone.ledger.layers if not layer.linear}
    assert convs.keys() == layers.keys()
    for layer, op in convs.items():
        assert (op.reads, op.writes) == (layers[layer].reads, layers[layer].writes)


def test_a_residual_block_is_two_operations_behind_its_decisions() -> None:
    ops = lower(tiny_backbone("basic")).ops
    start = next(place for place, op in enumerate(ops) if isinstance(op, Decide))
    first, second = ops[start + 1 : start + 3]
    assert (first.name, first.activation, first.residual) == ("layer1.0.conv1", "relu", None)
    assert (second.name, second.activation, second.residual) == ("layer1.0.conv2", "relu", ops[start].source)
