"""Where an agent decides: what a CNN must offer, and what of its cost each site controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from backbone.common.naming import did_you_mean
from backbone.cost.counts import layer_macs
from backbone.cost.ledger import Layer, Ledger
from backbone.decision import per_channel


class Block(Protocol):
    """One possible site and what runs until the next one. ``forward(x)`` must equal ``finish(x, convolve(x))``.

    A block may say ``has_shortcut = True``: its input leads past the site.

    Mostly a module of the CNN. A further site inside the same module is a plain object under the name "MODULE.LAYER";
    the layers that it names are those of MODULE. Nothing inherits from this class: whatever offers these attributes, as
    plain attributes or as properties, is a block.
    """

    @property
    def channels(self) -> int:
        """Of y, the output that is decided on."""

    @property
    def takes(self) -> Sequence[str]:
        """Names of its layers that read x, the block's input."""

    @property
    def writes(self) -> Sequence[str] | Mapping[str, tuple[int, int]]:
        """Those that compute y, or a range of its channels each."""

    @property
    def reads(self) -> Sequence[str]:
        """Those whose input is the fused y."""

    @property
    def exposes(self) -> bool:
        """True if the fused y itself is the block's output, so that the next block takes it."""

    @property
    def shifts(self) -> Sequence[str]:
        """Those whose input the temporal shift of TSM changes."""

    def convolve(self, x: Tensor, *shift: Any, **_: Any) -> Tensor:
        """(N, C_in, H, W) -> y (N, C, H', W'), up to where the decisions apply.

        :param shift: only a block that names layers in ``shifts`` need take it: the function that shifts their input,
            (N, C, H, W) -> (N, C, H, W), where the shift of TSM is on
        """

    def finish(self, x: Tensor, y: Tensor, *shortcut: Any, **shift: Any) -> Tensor | tuple[Tensor, Tensor]:
        """The rest of the block, from its input and the fused y.

        It may return a second tensor beside x, which the next block's ``finish`` gets as a third argument: a shortcut
        that spans two sites.

        :param shortcut: only a block behind one that hands a tensor on need take it
        :param shift: ``shift=``, only for a CNN that runs under temporal="tsm-adafuse": as in ``convolve``
        """


class FusibleCNN(Protocol):
    """What a CNN must offer, beside being an ``nn.Module``, to become a FusionBackbone.

    ``backbone/cnns/mobilenet_v2.py`` shows it in one file. Nothing inherits from this class; a type checker compares
    what stands under ``@register_backbone`` with it.
    """

    @property
    def size(self) -> int:
        """Frames are size x size pixels."""

    @property
    def mean(self) -> Sequence[float]:
        """Of the RGB channels, in [0, 1]."""

    @property
    def std(self) -> Sequence[float]:
        """Of the RGB channels, in [0, 1]."""

    @property
    def classifier(self) -> nn.Linear:
        """Its last layer: features (N, F) -> logits (N, classes)."""

    def stem(self, frames: Tensor) -> Tensor:
        """(N, 3, size, size) -> the first block's input."""

    def stages(self) -> Mapping[str, Mapping[str, Block]]:
        """The blocks by stage and name, in the order in which they run."""

    def features(self, x: Tensor) -> Tensor:
        """The last block's output -> (N, F), what the classifier reads."""


class FusibleModule(nn.Module, FusibleCNN):
    """Both at once, for annotations alone: Python has no intersection of types. Nothing is an instance of it."""


@dataclass(frozen=True)
class Site:
    """One convolution whose output channels an agent decides on.

    :param index: position among the sites, from 0
    :param name: the block that carries it
    :param in_channels: of x, the block's input; the length of v
    :param channels: C, of y
    :param decisions: D, groups of contiguous channels that share one decision
    :param group_size: channels in a group (the last group may be smaller)
    :param shortcut: whether the block's input leads past the site, so that the block lives on when all of y is skipped
    """

    index: int
    name: str
    in_channels: int
    channels: int
    decisions: int
    group_size: int
    shortcut: bool = False

    def to_channels(self, decisions: Tensor) -> Tensor:
        """Decisions (..., D, 3) -> the same per channel, (..., C, 3)."""
        return per_channel(decisions, self.channels, self.group_size, dim=-2)


def all_blocks(cnn: FusibleCNN) -> dict[str, Block]:
    """Every block by name, in the order in which they run."""
    return {name: block for blocks in cnn.stages().values() for name, block in blocks.items()}


def choose_sites(stages: Mapping[str, Mapping[str, Block]], sites: str | Sequence[str]) -> list[str]:
    """Names of the blocks that carry a site, in the order in which they run.

    :param sites: one or several of: "all" (the first site of every module), "both" (further sites inside a module
        too), "last_stage", a stage's name, a block's name
    :raises ValueError: an unknown name, or none at all
    """
    blocks = {name: block for stage in stages.values() for name, block in stage.items()}
    words: dict[str, list[str]] = {"all": _modules(blocks), "both": list(blocks)}
    words["last_stage"] = _modules(stages[list(stages)[-1]])
    words |= {stage: _modules(inside) for stage, inside in stages.items()}
    words |= {name: [name] for name in blocks}
    wanted = [sites] if isinstance(sites, str) else list(sites)
    unknown = [name for name in wanted if name not in words]
    if unknown or not wanted:
        raise ValueError(
            f"expected sites to be some of {', '.join(words)}; got {', '.join(unknown) or 'none'}{did_you_mean(unknown, words)}"
        )
    chosen = {name for word in wanted for name in words[word]}
    return [name for name in blocks if name in chosen]


def _modules(blocks: Mapping[str, Block]) -> list[str]:
    return [name for name, block in blocks.items() if isinstance(block, nn.Module)]


def build_sites(
    cnn: FusibleModule,
    chosen: Sequence[str],
    *,
    history: str,
    group_size: int,
    head: Sequence[tuple[str, int, bool]] | None = None,
) -> tuple[tuple[Site, ...], Ledger]:
    """The sites of a CNN and the ledger that knows which of its layers they control.

    :param chosen: names of the blocks that carry a site
    :param head: what runs in place of the CNN's classifier: (name, MACs per frame, does it read the features)
    :raises ValueError: a block names layers that do not run in it, or something that cannot be counted
    """
    macs = layer_macs(cnn, lambda ghost: ghost(torch.empty(1, 3, cnn.size, cnn.size, device="meta")))
    blocks = all_blocks(cnn)
    modules = dict(cnn.named_modules())
    convolutions = {name: module for name, module in modules.items() if isinstance(module, nn.Conv2d)}
    owner = {name: name if isinstance(block, nn.Module) else name.rpartition(".")[0] for name, block in blocks.items()}
    named = {name: {f"{owner[name]}.{inner}" for inner in _names(block)} for name, block in blocks.items()}
    sites: list[Site] = []
    entries: dict[str, Layer] = {}
    exposed: int | None = None  # the site whose fused y is all that the block before puts out
    for name, block in blocks.items():
        elsewhere = set().union(*(named[other] for other in blocks if owner[other] == owner[name] and other != name))
        inside = [layer for layer in macs if layer.startswith(f"{owner[name]}.")]
        if unknown := sorted(named[name] - set(inside)):
            raise ValueError(
                f"expected takes, writes, reads and shifts of a block to name layers that run in it, "
                f"{', '.join(inside)}; got {', '.join(unknown)}: correct them in {type(block).__name__}"
            )
        # a layer that no block names belongs to the module's own
        own_layers = [la for la in inside if la in named[name] or (owner[name] == name and la not in elsewhere)]
        takes, reads, shifts = (
            {f"{owner[name]}.{inner}" for inner in names} for names in (block.takes, block.reads, block.shifts)
        )
        writes = {f"{owner[name]}.{inner}": outputs for inner, outputs in _outputs(block).items()}
        if exposed is not None and shifts & takes:
            raise ValueError(
                f"expected no shift of an input that a site decides on, got one at {name}: shift a later layer, or give "
                "the block before no site"
            )
        own: int | None = None
        if name in chosen:
            own = len(sites)
            taker = convolutions[f"{owner[name]}.{block.takes[0]}"]
            decisions = -(-block.channels // group_size)
            shortcut = getattr(block, "has_shortcut", False)
            sites.append(Site(own, name, taker.in_channels, block.channels, decisions, group_size, shortcut))
        step = max(len(sites) - 1, 0)
        for layer in own_layers:
            written = own if layer in writes else None
            read = own if layer in reads else exposed if layer in takes else None
            if written is not None and read is not None and convolutions[layer].groups > 1:
                raise ValueError(f"expected no grouped convolution between two sites, got {layer}: it has no cost rule")
            outputs = writes.get(layer) if written is not None else None
            linear = isinstance(modules[layer], nn.Linear)
            entries[layer] = Layer(layer, macs[layer], step, read, written, outputs, linear)
        exposed = own if block.exposes else None
    last = max(len(sites) - 1, 0)
    behind = False  # layers outside blocks: the stem runs in the first step, the head in the last
    for layer, count in macs.items():
        if layer in entries:
            behind = True
            continue
        if behind and head is not None and modules[layer] is cnn.classifier:
            continue
        linear = isinstance(modules[layer], nn.Linear)
        entries[layer] = Layer(layer, count, last if behind else 0, exposed if behind else None, linear=linear)
        exposed = None if behind else exposed  # only the head's first layer reads what the last block exposes
    if head is not None:
        for layer, count, reads_features in head:
            entries[layer] = Layer(layer, count, last, exposed if reads_features else None, linear=True)
    return tuple(sites), Ledger(list(entries.values()), [site.channels for site in sites], history, group_size)


def _names(block: Block) -> set[str]:
    return {*block.takes, *block.writes, *block.reads, *block.shifts}


def _outputs(block: Block) -> dict[str, tuple[int, int]]:
    """Range of y's channels that each writing layer computes."""
    if isinstance(block.writes, Mapping):
        return dict(block.writes)
    return dict.fromkeys(block.writes, (0, block.channels))
