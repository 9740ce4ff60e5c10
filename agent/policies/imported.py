"""The published checkpoints of AdaFuse (Meng et al., ICLR 2021) as a backbone and gates of ours.

Its code differs from ours in four places, each converted or told here: the gate reads [v_{t-1}, v_t], its logits stand
in the order skip, reuse, use, its temporal shift leaves no trace in the weights, and it samples its decisions from
Gumbel noise in evaluation too, where ours are greedy.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent.policies.gate import GateNetwork, GateOptions
from agent.policies.policy import FusionPolicy
from backbone import Decision, FusionBackbone, Site
from backbone.weights.checkpoints import load_foreign_cnn, load_state, read_file, registered_names
from backbone.weights.foreign import ADAFUSE, translate
from envs.spaces import StepLayout

COLUMNS = (Decision.SKIP, Decision.REUSE, Decision.USE)  # what AdaFuse's three logits of a channel stand for
TEMPORAL = ("tsn", "tsm-adafuse")  # what AdaFuse's code has: without --shift, and with it
_OF_BLOCK = re.compile(r"^(layer\d+\.\d+)\.policy_net\.(gate_fc0|gate_fc1|gate_bn)\.(\w+)$")
_OF_INCEPTION = re.compile(r"^policy_net_(\d[a-e])\.(gate_fc0|gate_fc1|gate_bn)\.(\w+)$")
_SHARED = re.compile(r"^(gate_fc[01])s\.(\d+_\d+)\.(\w+)$")
_LAYERS = {"gate_fc0": "hidden", "gate_fc1": "out"}


@dataclass(frozen=True)
class AdaFuseFacts:
    """What a checkpoint's shapes and name tell.

    :param architecture: name of the CNN in the registry
    :param temporal: of the backbone: "tsn", or "tsm-adafuse" if it was trained with --shift
    :param gate: how its gates are built
    """

    architecture: str
    num_classes: int
    temporal: str
    gate: GateOptions


def load_adafuse(
    path: Path, *, temporal: str | None = None, size: int = 224
) -> tuple[FusionBackbone, GateNetwork, AdaFuseFacts]:
    """A checkpoint of AdaFuse's code as a backbone and its gates, both in eval mode.

    :param temporal: "tsn" or "tsm-adafuse"; None takes the latter if the file's name contains "tsm"
    :param size: of the frames, pixels
    :raises ValueError: no such checkpoint, weights that are not AdaFuse's or of no registered CNN, or gates that ours
        cannot be built like
    """
    weights = translate(read_file(path), path, registered_names())
    if weights.layout != ADAFUSE:
        raise ValueError(
            f"expected a checkpoint of AdaFuse with gates (policy_net) in {path}, got {weights.layout} without: to start "
            f"training from it, python -m experiments pretrain --weights {path}"
        )
    if temporal is None:
        temporal = TEMPORAL["tsm" in Path(path).name.lower()]
    if temporal not in TEMPORAL:
        raise ValueError(f"expected temporal tsn or tsm-adafuse for a checkpoint of AdaFuse, got {temporal!r}")
    cnn, architecture = load_foreign_cnn(weights.tensors, path, size=size)
    by_site, shared = _sort(weights.gates, path)
    backbone = FusionBackbone(cnn, sites=list(by_site), temporal=temporal).eval()
    gate = _options(backbone.sites, by_site, shared, path)
    gates = GateNetwork(backbone.sites, gate)
    load_state(gates, _convert(backbone.sites, by_site, shared, path), path)
    return backbone, gates.eval(), AdaFuseFacts(architecture, backbone.num_classes, temporal, gate)


Gates = dict[str, dict[str, Tensor]]  # by site or by sizes "IN_OUT": {"gate_fc0.weight": ...}


def _sort(gates: dict[str, Tensor], path: Path) -> tuple[Gates, Gates]:
    """Gates by site, and shared layers by their sizes."""
    by_site: Gates = {}
    shared: Gates = {}
    unknown = []
    for key, value in gates.items():
        if match := _SHARED.match(key):
            layer, sizes, tensor = match.groups()
            shared.setdefault(sizes, {})[f"{layer}.{tensor}"] = value
        elif match := _OF_BLOCK.match(key) or _OF_INCEPTION.match(key):
            block, layer, tensor = match.groups()
            site = block if block.startswith("layer") else f"inception_{block}"
            by_site.setdefault(site, {})[f"{layer}.{tensor}"] = value
        else:
            unknown.append(key)
    if unknown:
        raise ValueError(
            f"expected gates of Linear, BatchNorm, ReLU, Linear behind the first convolution in {path}, got "
            f"{len(unknown)} further tensors ({', '.join(unknown[:3])}): this variant of AdaFuse is not known here"
        )
    return by_site, shared


def _options(sites: Sequence[Site], by_site: Gates, shared: Gates, path: Path) -> GateOptions:
    """Hidden units by the file's shapes: the same everywhere, or one quota."""
    hidden = []
    for site in sites:
        layers = {**by_site[site.name], **shared.get(_sizes(site), {})}
        if "gate_fc0.weight" not in layers:
            raise ValueError(f"expected a Linear gate_fc0 for {site.name} in {path}, got none: is the file whole?")
        hidden.append(len(layers["gate_fc0.weight"]))
    if len(set(hidden)) == 1:
        return GateOptions(hidden=hidden[0], norm="batch", shared=bool(shared))
    # hidden = quota // decisions: the quotas that give every site its units
    lowest = max(units * site.decisions for units, site in zip(hidden, sites))
    highest = min((units + 1) * site.decisions - 1 for units, site in zip(hidden, sites))
    if lowest > highest:
        found = ", ".join(f"{site.name} {units}" for units, site in zip(hidden, sites))
        raise ValueError(f"expected gates of one hidden size, or of one quota over channels, in {path}, got {found}")
    return GateOptions(quota=lowest, norm="batch", shared=bool(shared))


def _convert(sites: Sequence[Site], by_site: Gates, shared: Gates, path: Path) -> dict[str, Tensor]:
    """The gates' tensors under the names of a GateNetwork, in its order of inputs and decisions."""
    converted: dict[str, Tensor] = {}
    for sizes, layers in shared.items():
        converted |= _convert_layers(f"shared.{sizes}", layers, path)
    for site in sites:
        own = by_site[site.name]
        norm = {key: value for key, value in own.items() if key.startswith("gate_bn")}
        converted |= {key.replace("gate_bn", f"gates.{site.index}.norm"): value for key, value in norm.items()}
        linear = {key: value for key, value in own.items() if key not in norm}
        if not shared:
            converted |= _convert_layers(f"gates.{site.index}.layers", linear, path)
            continue
        held = shared.get(_sizes(site), {})
        if differ := [key for key, value in linear.items() if key not in held or not torch.equal(value, held[key])]:
            raise ValueError(
                f"expected the gate of {site.name} in {path} to repeat the shared layers {_sizes(site)}, got others in "
                f"{', '.join(differ)}: the file contradicts itself"
            )
    return converted


def _convert_layers(name: str, layers: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    converted = {}
    for key, value in layers.items():
        layer, tensor = key.split(".")
        if layer == "gate_fc1":
            if len(value) % len(Decision):
                raise ValueError(
                    f"expected three logits for each channel in {path}, got {len(value)} in {key} of {name}: gates "
                    "without skip or without reuse are not known here"
                )
            value = order_decisions(value)
        elif tensor == "weight":
            value = order_inputs(value)
        converted[f"{name}.{_LAYERS[layer]}.{tensor}"] = value
    return converted


def order_inputs(weight: Tensor) -> Tensor:
    """Columns (hidden, 2C) that read [v_{t-1}, v_t] -> those that read [v_t, v_{t-1}]."""
    return weight.roll(weight.shape[1] // 2, 1)


def order_decisions(rows: Tensor) -> Tensor:
    """Rows (C * 3, ...) in the order of COLUMNS -> in the order of Decision."""
    per_channel = rows.unflatten(0, (-1, len(Decision)))
    ordered = torch.empty_like(per_channel)
    ordered[:, list(COLUMNS)] = per_channel
    return ordered.flatten(0, 1)


def _sizes(site: Site) -> str:
    return f"{2 * site.in_channels}_{len(Decision) * site.channels}"


class ImportedPolicy:
    """Gates without a learner: answers ``predict`` as stable-baselines3's models do.

    :param layout: of the observations
    :param gate: how the gates are built
    """

    def __init__(self, layout: StepLayout, gate: GateOptions, *, device: torch.device | str = "cpu") -> None:
        self.layout = layout
        spaces = layout.observation_space, layout.action_space
        self.policy = FusionPolicy(*spaces, lambda _: 0.0, layout=layout, gate=gate).to(device)

    @property
    def agent_macs(self) -> list[int]:
        """Per site, MACs per frame of the gates."""
        return self.policy.agent_macs

    def predict(
        self, observation: np.ndarray, state: Any = None, episode_start: Any = None, deterministic: bool = True
    ) -> tuple[np.ndarray, Any]:
        """(R, O) or (O,) -> actions (R, F * D) or (F * D,)."""
        return self.policy.predict(observation, state, episode_start, deterministic)
