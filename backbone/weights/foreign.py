"""State dicts of other programs, brought to our names.

They are torchvision's, TSN's and TSM's, MMAction2's, BN-Inception's, EfficientNet-Lite0's and AdaFuse's, wherever in a file
they stand and whatever training scripts have put before their names.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

from torch import Tensor

PLAIN, TSN, TSM, MMACTION, ADAFUSE = "a plain state dict", "TSN", "TSM", "MMAction2", "AdaFuse"
CLASSIFIER = "classifier"  # the classifier's name below, whatever the file and the CNN call it
CLASSIFIERS = ("new_fc", "classifier.1", "classifier", "fc", "_fc")
_OF_CLASSIFIERS = frozenset(f"{name}.{end}" for name in CLASSIFIERS for end in ("weight", "bias"))
_DEEPEST = 8  # components of a prefix
_COMPILED = re.compile(r"(^|\.)_orig_mod(?=\.)")  # torch.compile's, at whatever it was called on
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


# MMAction2 puts a convolution and its BatchNorm into one module; MobileNetV2's blocks are numbered within their stage.
_MMACTION = re.compile(r"^((?:.*\.)?)(conv\d*|downsample)\.(conv|bn)\.(\w+)$")
_MMACTION_BLOCK = re.compile(r"^(layer\d+\.\d+)\.conv\.(\d)\.(conv|bn)\.(\w+)$")


@dataclass(frozen=True)
class ForeignWeights:
    """A checkpoint of another program.

    :param layout: PLAIN, TSN, TSM, MMACTION or ADAFUSE
    :param tensors: the CNN's under our names, its classifier's as "classifier.weight" and "classifier.bias"; a feature
        extractor has none
    :param gates: AdaFuse's gates, under their own names
    :param known: tensors of the CNN that were looked for, and found
    :param left_out: what else the file holds, that fits nothing: (what, tensors)
    """

    layout: str
    tensors: dict[str, Tensor]
    gates: dict[str, Tensor]
    known: int
    left_out: dict[str, int]

    @property
    def num_classes(self) -> int | None:
        """None for a feature extractor."""
        weight = self.tensors.get(f"{CLASSIFIER}.weight")
        return None if weight is None or not weight.dim() else len(weight)


def translate(data: Any, path: Path, names: Collection[str]) -> ForeignWeights:
    """What ``torch.load`` gave, under our names. Keys that are not known stay as they are.

    The CNN is what stands under that one prefix which makes the most names fit, of several the shortest, and of these the
    first in the file. Under it nothing is left out but the head of another task; of what stands beside it, a single linear
    layer is the classifier.

    :param path: of the file, for messages
    :param names: of the tensors that are looked for, ours
    :raises ValueError: no state dict, one without any convolution, or AdaFuse's without a classifier
    """
    state = dict(_tensors(data))
    if not state:
        held = ", ".join(map(str, list(data)[:3])) if isinstance(data, dict) else type(data).__name__
        raise ValueError(
            f"expected a state dict of tensors in {path}, plain or under a name such as state_dict, got "
            f"{held[:120] or 'nothing'}: is it a checkpoint of a CNN?"
        )
    names = frozenset(names)
    prefix, ours = _best(state, names)
    layout = _layout([key.removeprefix(prefix) for key in state], prefix, names)
    tensors = {new: state[old] for old, new in ours.items()}
    beside = {key: value for key, value in state.items() if key not in ours}
    gates = {key: value for key, value in tensors.items() if _GATES.search(key)}
    tensors = {key: value for key, value in tensors.items() if key not in gates}
    found = _take_classifier(tensors, names) or _take_classifier(beside, names)
    if found:
        tensors |= found
    elif layout == ADAFUSE or not any(value.dim() == 4 for value in tensors.values()):
        raise ValueError(
            f"expected a classifier in {path} ({', '.join(CLASSIFIERS)}), or a CNN's convolutions without gates, got "
            f"{len(state)} other tensors "
            f"({', '.join(list(state)[:3])}, ...): is it a checkpoint of a CNN?"
        )
    heads = {key: tensors.pop(key) for key in list(tensors) if _of_other_head(key, names)}
    return ForeignWeights(layout, tensors, gates, len(names & tensors.keys()), _counted([*heads, *beside]))


def _tensors(data: Any, prefix: str = "", seen: set[int] | None = None) -> Iterator[tuple[str, Tensor]]:
    """All tensors in dicts of dicts, as if it were one: {"state_dict": {"conv1.weight": ...}} gives state_dict.conv1.weight."""
    seen = set() if seen is None else seen
    if not isinstance(data, Mapping) or id(data) in seen or prefix.count(".") > _DEEPEST:
        return
    seen.add(id(data))
    for key, value in data.items():
        if isinstance(value, Tensor):
            yield f"{prefix}{key}", value
        else:
            yield from _tensors(value, f"{prefix}{key}.", seen)


def _best(state: dict[str, Tensor], names: frozenset[str]) -> tuple[str, dict[str, str]]:
    """(prefix, {name in the file: our name}) of what fits best."""
    groups: dict[str, list[str]] = {"": list(state)}
    for key in state:
        for prefix in accumulate(f"{part}." for part in key.split(".")[:-1][:_DEEPEST]):
            groups.setdefault(prefix, []).append(key)
    best: tuple[int, int, int] | None = None
    for prefix, keys in groups.items():
        renamed = _our_names([key[len(prefix) :] for key in keys], names)
        score = len(names & set(renamed)), len(_OF_CLASSIFIERS & set(renamed)), -prefix.count(".")
        if best is None or score > best:
            best, chosen = score, (prefix, dict(zip(keys, renamed)))
    return chosen


def _layout(keys: list[str], prefix: str, names: frozenset[str]) -> str:
    if any(_GATES.search(key) for key in keys):
        return ADAFUSE
    if any(".net." in key and key not in names for key in keys):
        return TSM
    if any(_MMACTION.match(key) for key in keys):
        return MMACTION
    return TSN if "base_model." in prefix else PLAIN


def _take_classifier(tensors: dict[str, Tensor], names: frozenset[str]) -> dict[str, Tensor]:
    """The classifier's tensors as CLASSIFIER, taken out of ``tensors``; empty where there is none.

    By its name; or, of another name, if it is the only linear layer that is no part of the CNN.
    """
    linear = [key[: -len(".weight")] for key, value in tensors.items() if key.endswith(".weight") and value.dim() == 2]
    named = [layer for layer in linear if f".{layer}".endswith(tuple(f".{name}" for name in CLASSIFIERS))]
    others = [layer for layer in linear if f"{layer}.weight" not in names and f"{layer}.bias" in tensors]
    chosen = named or (others if len(others) == 1 else [])
    if not chosen:
        return {}
    keys = {f"{chosen[0]}.{end}": f"{CLASSIFIER}.{end}" for end in ("weight", "bias")}
    return {new: tensors.pop(old) for old, new in keys.items() if old in tensors}


def _of_other_head(key: str, names: frozenset[str]) -> bool:
    """A tensor deeper below a classifier's name than its own weight and bias: the projection of contrastive training."""
    return key not in names and key not in _OF_CLASSIFIERS and key.startswith(tuple(f"{name}." for name in CLASSIFIERS))


def _counted(keys: list[str]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for key in keys:
        first = key.partition(".")[0]
        counts[first] = counts.get(first, 0) + 1
    return counts


def _our_names(keys: list[str], names: frozenset[str]) -> list[str]:
    """Names without a prefix -> ours, in the same order."""
    plain = [_COMPILED.sub("", key).removeprefix(".") for key in keys]
    plain = [
        key if key in names else key.replace(".net.", ".") for key in plain
    ]  # TSM's, around what the shift precedes
    known = frozenset(plain)
    if "conv1.conv.weight" in known:
        return _names_in_mmaction(plain)
    return [_our_name(key, known) for key in plain]


def _our_name(key: str, state: Collection[str]) -> str:
    flat = _FLAT.match(key)
    if flat:
        block, position, last = flat.groups()
        nested = _NESTED if f"{block}.6.weight" in state else _NESTED_WITHOUT_EXPANSION
        is_flat = f"{block}.0.weight" in state
        return f"{block}.{nested[position]}.{last}" if is_flat and position in nested else key
    if "_conv_stem.weight" in state:
        return _name_in_efficientnet(key, state)
    return re.sub(r"\.downsample([01])\.", r".downsample.\1.", _INCEPTION.sub(r"\1.", key))


def _name_in_efficientnet(key: str, state: Collection[str]) -> str:
    if match := _EFFICIENTNET.match(key):
        number, layer, last = match.groups()
        layers = _LAYERS if f"_blocks.{number}._expand_conv.weight" in state else _LAYERS_WITHOUT_EXPANSION
        return f"features.{int(number) + 1}.conv.{layers[layer]}.{last}" if layer in layers else key
    head = 1 + sum(name.endswith("._project_conv.weight") for name in state)
    ends = {"_conv_stem": "0.0", "_bn0": "0.1", "_conv_head": f"{head}.0", "_bn1": f"{head}.1"}
    layer, _, last = key.partition(".")
    return f"features.{ends[layer]}.{last}" if layer in ends else key


def _names_in_mmaction(keys: list[str]) -> list[str]:
    """Of its ResNets: conv1.bn is bn1. Of its MobileNetV2: blocks are features, numbered through, between the stem and conv2."""
    blocks = dict.fromkeys(match[1] for key in keys if (match := _MMACTION_BLOCK.match(key)))
    numbers = {block: number for number, block in enumerate(blocks, start=1)}
    layers = {
        block: sum(key.startswith(f"{block}.conv.") and key.endswith(".conv.weight") for key in keys)
        for block in blocks
    }

    def our_name(key: str) -> str:
        if match := _MMACTION_BLOCK.match(key):
            block, layer, kind, last = match.groups()
            is_last = int(layer) == layers[block] - 1
            inner = str(int(layer) + (kind == "bn")) if is_last else f"{layer}.{int(kind == 'bn')}"
            return f"features.{numbers[block]}.conv.{inner}.{last}"
        if not (match := _MMACTION.match(key)):
            return key
        block, layer, kind, last = match.groups()
        if blocks:
            return f"features.{0 if layer == 'conv1' else len(blocks) + 1}.{int(kind == 'bn')}.{last}"
        if layer == "downsample":
            return f"{block}downsample.{int(kind == 'bn')}.{last}"
        return f"{block}{layer if kind == 'conv' else layer.replace('conv', 'bn')}.{last}"

    return [our_name(key) for key in keys]
