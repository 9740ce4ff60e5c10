"""State dicts of other programs, brought to our names.

They are torchvision's, TSN's and TSM's, BN-Inception's, EfficientNet-Lite0's and AdaFuse's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

PLAIN, TSN, TSM, ADAFUSE = "a plain state dict", "TSN", "TSM", "AdaFuse"
CLASSIFIER = "classifier"  # the classifier's name below, whatever the file and the CNN call it
CLASSIFIERS = ("new_fc", "classifier.1", "classifier", "fc", "_fc")
_WRAPPERS = ("state_dict", "model")  # under which training scripts keep the weights: most, and torchvision's
_GATES = re.compile(r"(^|\.)(policy_net|gate_fc)")
_INCEPTION = re.compile(r"^(inception_\d[a-e])_")
_FLAT = re.compile(r"^(features\.\d+\.conv)\.(\d)\.(\w+)$")
# A flat MobileNetV2 counts convolutions, BatchNorms and ReLUs of a block in one row; ours (torchvision's) nests them.
_NESTED = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
_NESTED_WITHOUT_EXPANSION = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}
_EFFICIENTNET = re.compile(r"^_blocks\.(\d+)\.(\w+)\.(\w+)$")
# EfficientNet's blocks have a name for each layer; ours are MobileNetV2's, numbered from 1: the stem is 0.
_LAYERS = {
    "_expand_conv": "0.0",
    "_bn0": "0.1",
    "_depthwise_conv": "1.0",
    "_bn1": "1.1",
    "_project_conv": "2",
    "_bn2": "3",
}
_LAYERS_WITHOUT_EXPANSION = {"_depthwise_conv": "0.0", "_bn1": "0.1", "_project_conv": "1", "_bn2": "2"}


@dataclass(frozen=True)
class ForeignWeights:
    """A checkpoint of another program.

    :param layout: PLAIN, TSN, TSM or ADAFUSE
    :param tensors: the CNN's under our names, its classifier's as "classifier.weight" and "classifier.bias"; a feature
        extractor has none
    :param gates: AdaFuse's gates, under their own names
    """

    layout: str
    tensors: dict[str, Tensor]
    gates: dict[str, Tensor]

    @property
    def num_classes(self) -> int | None:
        """None for a feature extractor."""
        weight = self.tensors.get(f"{CLASSIFIER}.weight")
        return None if weight is None else len(weight)


def translate(data: Any, path: Path) -> ForeignWeights:
    """What ``torch.load`` gave, under our names. Keys that are not known stay as they are.

    :param path: of the file, for messages
    :raises ValueError: no state dict, one without any convolution, or AdaFuse's without a classifier
    """
    wrapper = next((key for key in _WRAPPERS if isinstance(data, dict) and key in data), None)
    state = data if wrapper is None else data[wrapper]
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        held = ", ".join(map(str, list(data)[:3])) if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"expected a state dict of tensors in {path}, plain or under {' or '.join(_WRAPPERS)}, got {held or 'nothing'}: "
            "is it a checkpoint of a CNN?"
        )
    state = {str(key).removeprefix("module."): value for key, value in state.items()}
    layout, wrapped = PLAIN, [key for key in state if ".net." in key]
    if any(_GATES.search(key) for key in state):
        layout = ADAFUSE
    elif any(key.startswith("base_model.") for key in state):
        layout = TSM if wrapped else TSN
    if layout == TSM:  # the shift wraps the convolution that reads what it has shifted
        state = {key.replace(".net.", "."): value for key, value in state.items()}
    state = {key.removeprefix("base_model."): value for key, value in state.items()}
    found = next((name for name in CLASSIFIERS if f"{name}.weight" in state), None)
    extracts_features = layout != ADAFUSE and any(value.dim() == 4 for value in state.values())
    if found is None and not extracts_features:
        raise ValueError(
            f"expected a classifier in {path} ({', '.join(CLASSIFIERS)}), or a CNN's convolutions without gates, got "
            f"{len(state)} other tensors "
            f"({', '.join(list(state)[:3])}, ...): is it a checkpoint of a CNN?"
        )
    gates = {key: value for key, value in state.items() if _GATES.search(key)}
    head = re.compile(rf"^{re.escape(found or CLASSIFIER)}\.")
    tensors = {
        head.sub(f"{CLASSIFIER}.", _our_name(key, state)): value for key, value in state.items() if key not in gates
    }
    return ForeignWeights(layout, tensors, gates)


def _our_name(key: str, state: dict[str, Tensor]) -> str:
    flat = _FLAT.match(key)
    if flat:
        block, position, last = flat.groups()
        nested = _NESTED if f"{block}.6.weight" in state else _NESTED_WITHOUT_EXPANSION
        is_flat = f"{block}.0.weight" in state
        return f"{block}.{nested[position]}.{last}" if is_flat and position in nested else key
    if "_conv_stem.weight" in state:
        return _name_in_efficientnet(key, state)
    return re.sub(r"\.downsample([01])\.", r".downsample.\1.", _INCEPTION.sub(r"\1.", key))


def _name_in_efficientnet(key: str, state: dict[str, Tensor]) -> str:
    if match := _EFFICIENTNET.match(key):
        number, layer, last = match.groups()
        layers = _LAYERS if f"_blocks.{number}._expand_conv.weight" in state else _LAYERS_WITHOUT_EXPANSION
        return f"features.{int(number) + 1}.conv.{layers[layer]}.{last}" if layer in layers else key
    head = 1 + sum(name.endswith("._project_conv.weight") for name in state)
    ends = {"_conv_stem": "0.0", "_bn0": "0.1", "_conv_head": f"{head}.0", "_bn1": f"{head}.1"}
    layer, _, last = key.partition(".")
    return f"features.{ends[layer]}.{last}" if layer in ends else key
