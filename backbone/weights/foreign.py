"""State dicts of other programs, brought to our names: torchvision's, TSN's and TSM's, BN-Inception's and AdaFuse's."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

PLAIN, TSN, TSM, ADAFUSE = "a plain state dict", "TSN", "TSM", "AdaFuse"
CLASSIFIER = "classifier"  # the classifier's name below, whatever the file and the CNN call it
_CLASSIFIERS = ("new_fc", "classifier.1", "classifier", "fc")
_GATES = re.compile(r"(^|\.)(policy_net|gate_fc)")
_INCEPTION = re.compile(r"^(inception_\d[a-e])_")
_FLAT = re.compile(r"^(features\.\d+\.conv)\.(\d)\.(\w+)$")
# A flat MobileNetV2 counts convolutions, BatchNorms and ReLUs of a block in one row; ours (torchvision's) nests them.
_NESTED = {"0": "0.0", "1": "0.1", "3": "1.0", "4": "1.1", "6": "2", "7": "3"}
_NESTED_WITHOUT_EXPANSION = {"0": "0.0", "1": "0.1", "3": "1", "4": "2"}


@dataclass(frozen=True)
class ForeignWeights:
    """A checkpoint of another program.

    :param layout: PLAIN, TSN, TSM or ADAFUSE
    :param tensors: the CNN's under our names, its classifier's as "classifier.weight" and "classifier.bias"
    :param gates: AdaFuse's gates, under their own names
    """

    layout: str
    tensors: dict[str, Tensor]
    gates: dict[str, Tensor]

    @property
    def num_classes(self) -> int:
        return len(self.tensors[f"{CLASSIFIER}.weight"])


def translate(data: Any, path: Path) -> ForeignWeights:
    """What ``torch.load`` gave, under our names. Keys that are not known stay as they are.

    :param path: of the file, for messages
    :raises ValueError: no state dict, or one without a classifier
    """
    state = data.get("state_dict", data) if isinstance(data, dict) else data
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        held = ", ".join(map(str, list(data)[:3])) if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f'expected a state dict of tensors in {path}, plain or under "state_dict", got {held or "nothing"}: '
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
    found = next((name for name in _CLASSIFIERS if f"{name}.weight" in state), None)
    if found is None:
        raise ValueError(
            f"expected a classifier in {path} ({', '.join(_CLASSIFIERS)}), got {len(state)} other tensors "
            f"({', '.join(list(state)[:3])}, ...): is it a checkpoint of a CNN?"
        )
    gates = {key: value for key, value in state.items() if _GATES.search(key)}
    tensors = {
        re.sub(rf"^{re.escape(found)}\.", f"{CLASSIFIER}.", _our_name(key, state)): value
        for key, value in state.items()
        if key not in gates
    }
    return ForeignWeights(layout, tensors, gates)


def _our_name(key: str, state: dict[str, Tensor]) -> str:
    flat = _FLAT.match(key)
    if flat:
        block, position, last = flat.groups()
        nested = _NESTED if f"{block}.6.weight" in state else _NESTED_WITHOUT_EXPANSION
        is_flat = f"{block}.0.weight" in state
        return f"{block}.{nested[position]}.{last}" if is_flat and position in nested else key
    return re.sub(r"\.downsample([01])\.", r".downsample.\1.", _INCEPTION.sub(r"\1.", key))
