"""Names of other programs, one by one; whole checkpoints are in test_weights.py and test_adafuse.py."""

from pathlib import Path

import pytest
import torch

from backbone.weights.checkpoints import registered_names
from backbone.weights.foreign import ADAFUSE, PLAIN, TSM, TSN, ForeignWeights, translate

FILE = Path("x.pth")
NAMES = registered_names()


def translated(data: object) -> ForeignWeights:
    return translate(data, FILE, NAMES)


def names(*keys: str) -> set[str]:
    state = {**{key: torch.ones(1) for key in keys}, "fc.weight": torch.ones(4, 2)}
    return set(translated(state).tensors) - {"classifier.weight"}


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("layer1.0.conv1.weight", "layer1.0.conv1.weight"),
        ("module.conv1.weight", "conv1.weight"),
        ("module.base_model.layer2.1.conv1.net.weight", "layer2.1.conv1.weight"),
        ("module.base_model.layer1.0.downsample0.weight", "layer1.0.downsample.0.weight"),
        ("module.base_model.layer1.0.downsample1.running_mean", "layer1.0.downsample.1.running_mean"),
        ("inception_3a_1x1.weight", "inception_3a.1x1.weight"),
        ("module.base_model.inception_4e_double_3x3_reduce_bn.bias", "inception_4e.double_3x3_reduce_bn.bias"),
        ("conv1_7x7_s2_bn.weight", "conv1_7x7_s2_bn.weight"),
        ("features.2.conv.0.0.weight", "features.2.conv.0.0.weight"),
        ("features.0.1.bias", "features.0.1.bias"),
    ],
)
def test_one_name(theirs, ours):
    assert names(theirs) == {ours}


def test_flat_blocks_of_mobilenet_v2_are_nested_by_their_expansion():
    flat = [f"features.2.conv.{position}.weight" for position in (0, 1, 3, 4, 6, 7)]
    nested = [f"features.2.conv.{inner}.weight" for inner in ("0.0", "0.1", "1.0", "1.1", "2", "3")]
    assert names(*flat) == set(nested)
    flat = [f"features.1.conv.{position}.weight" for position in (0, 1, 3, 4)]
    nested = [f"features.1.conv.{inner}.weight" for inner in ("0.0", "0.1", "1", "2")]
    assert names(*flat) == set(nested)


def test_torchvisions_blocks_of_mobilenet_v2_stay_as_they_are():
    torchvisions = [f"features.2.conv.{inner}.weight" for inner in ("0.0", "0.1", "1.0", "1.1", "2", "3")]
    assert names(*torchvisions) == set(torchvisions)


def test_efficientnet_has_the_names_of_its_blocks_layers():
    blocks = ("_blocks.0", "_blocks.1")
    layers = ("_expand_conv", "_bn0", "_depthwise_conv", "_bn1", "_project_conv", "_bn2")
    theirs = [f"{block}.{layer}.weight" for block in blocks for layer in layers]
    found = names(*theirs[2:], "_conv_stem.weight", "_bn0.running_var", "_conv_head.weight", "_bn1.bias")
    without_expansion = [f"features.1.conv.{inner}.weight" for inner in ("0.0", "0.1", "1", "2")]
    with_expansion = [f"features.2.conv.{inner}.weight" for inner in ("0.0", "0.1", "1.0", "1.1", "2", "3")]
    ends = ["features.0.0.weight", "features.0.1.running_var", "features.3.0.weight", "features.3.1.bias"]
    assert found == {*without_expansion, *with_expansion, *ends}


def test_squeeze_and_excitation_keeps_its_name_and_so_is_unknown():
    assert "_blocks.0._se_reduce.weight" in names("_conv_stem.weight", "_blocks.0._se_reduce.weight")


@pytest.mark.parametrize("name", ["fc", "_fc", "classifier", "classifier.1", "module.new_fc", "module.base_model.fc"])
def test_the_classifier_is_found_whatever_its_name(name):
    weights = translated({f"{name}.weight": torch.ones(4, 2), f"{name}.bias": torch.ones(4)})
    assert set(weights.tensors) == {"classifier.weight", "classifier.bias"}
    assert weights.num_classes == 4


@pytest.mark.parametrize(
    ("key", "layout"),
    [
        ("conv1.weight", PLAIN),
        ("module.base_model.conv1.weight", TSN),
        ("module.base_model.layer1.0.conv1.net.weight", TSM),
        ("module.base_model.layer1.0.policy_net.gate_bn.weight", ADAFUSE),
        ("module.base_model.gate_fc0s.8_12.weight", ADAFUSE),
        ("module.base_model.policy_net_3a.gate_fc0.weight", ADAFUSE),
    ],
)
def test_the_layout_is_told_by_the_keys(key, layout):
    weights = translated({"state_dict": {key: torch.ones(1), "module.new_fc.weight": torch.ones(4, 2)}})
    assert weights.layout == layout
    assert bool(weights.gates) == (layout == ADAFUSE)


def test_convolutions_without_a_classifier_are_a_feature_extractor():
    weights = translated({"conv1.weight": torch.ones(4, 3, 1, 1), "bn1.weight": torch.ones(4)})
    assert weights.num_classes is None
    assert set(weights.tensors) == {"conv1.weight", "bn1.weight"}


@pytest.mark.parametrize("data", [[1], None, {}, {"a": 1}, {"state_dict": {"a": 1}}, {"a": torch.ones(1)}])
def test_what_is_no_cnns_state_dict_is_said_in_one_sentence(data):
    with pytest.raises(ValueError, match=r"expected .*x\.pth.*is it a checkpoint of a CNN"):
        translated(data)
