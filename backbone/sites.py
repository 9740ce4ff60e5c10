"""Where an agent decides: what a CNN must offer, and what of its cost each site controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from backbone.flops import Layer, Ledger, layer_macs


class Block(Protocol):
    """What a CNN's block must offer to carry a site. ``forward(x)`` must equal ``finish(x, convolve(x))``."""

    channels: int  # of y, the output that is decided on
    writes: Sequence[str]  # names of its layers that compute y
    reads: Sequence[str]  # names of its layers whose input is the fused y
    exposes: bool  # True if the fused y itself is the block's output, so that the next block reads it

    def convolve(self, x: Tensor) -> Tensor:
        """(N, C_in, H, W) -> y (N, C, H', W'), up to where the decisions apply."""

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        """The rest of the block, from its input and the fused y."""


class FusibleCNN(Protocol):
    """What a CNN must offer to become a FusionBackbone; see ``backbone/resnet.py``."""

    size: int  # frames are size x size
    mean: Sequence[float]  # of the RGB channels, in [0, 1]
    std: Sequence[float]

    def stem(self, frames: Tensor) -> Tensor: ...

    def named_blocks(self) -> Sequence[tuple[str, nn.Module]]: ...

    def head(self, x: Tensor) -> Tensor: ...


@dataclass(frozen=True)
class Site:
    """One convolution whose output channels an agent decides on.

    :param index: position among the sites, from 0
    :param name: the block that carries it
    :param in_channels: of x, the convolution's input; the length of v
    :param channels: C, of y
    :param decisions: D, groups of contiguous channels that share one decision
    :param group_size: channels in a group (the last group may be smaller)
    """

    index: int
    name: str
    in_channels: int
    channels: int
    decisions: int
    group_size: int

    def to_channels(self, decisions: Tensor) -> Tensor:
        """(..., D, 3) or per-decision facts (..., D) with a last axis added -> the same per channel, (..., C, 3)."""
        if self.group_size == 1:
            return decisions
        return decisions.repeat_interleave(self.group_size, dim=-2)[..., : self.channels, :]


def choose_sites(blocks: list[str], sites: str | Sequence[str]) -> list[str]:
    """Names of the blocks that carry a site: "all", "last_stage", one name or several.

    :raises ValueError: an unknown name, or none at all
    """
    if sites == "all":
        return blocks
    if sites == "last_stage":
        stage = blocks[-1].rsplit(".", 1)[0]
        return [name for name in blocks if name.rsplit(".", 1)[0] == stage]
    sites = [sites] if isinstance(sites, str) else sites
    unknown = [name for name in sites if name not in blocks]
    if unknown or not sites:
        raise ValueError(
            f"expected sites to be all, last_stage or some of {', '.join(blocks)}; got {unknown or 'none'}"
        )
    return [name for name in blocks if name in sites]


def build_sites(
    cnn: nn.Module, blocks: Mapping[str, nn.Module], chosen: Sequence[str], *, history: str, group_size: int
) -> tuple[tuple[Site, ...], Ledger]:
    """The sites of a CNN and the ledger that knows which of its layers they control.

    :param blocks: all blocks by name, in the order in which they run
    :param chosen: names of those that carry a site
    :raises ValueError: a block names layers in ``reads`` or ``writes`` that do not run in it
    """
    macs = layer_macs(cnn, lambda ghost: ghost(torch.empty(1, 3, cnn.size, cnn.size, device="meta")))
    sites: list[Site] = []
    entries: dict[str, Layer] = {}
    exposed: int | None = None  # the site whose fused y is all that the block before puts out
    for name, block in blocks.items():
        inside = [f"{name}.{inner}" for inner, _ in block.named_modules() if f"{name}.{inner}" in macs]
        reads, writes = ({f"{name}.{inner}" for inner in names} for names in (block.reads, block.writes))
        if unknown := sorted((reads | writes) - set(inside)):
            raise ValueError(
                f"expected reads and writes of a block to name layers that run in it, {', '.join(inside)}; got "
                f"{', '.join(unknown)}: correct them in {type(block).__name__}"
            )
        own: int | None = None
        if name in chosen:
            own = len(sites)
            in_channels = block.get_submodule(block.writes[0]).in_channels
            decisions = -(-block.channels // group_size)
            sites.append(Site(own, name, in_channels, block.channels, decisions, group_size))
        step = max(len(sites) - 1, 0)
        for layer in inside:
            entries[layer] = Layer(
                layer,
                macs[layer],
                step,
                reads=own if layer in reads else exposed if layer in writes else None,
                writes=own if layer in writes else None,
            )
        exposed = own if block.exposes else None
    behind = False  # layers outside blocks: the stem runs in the first step, the head in the last
    for layer, count in macs.items():
        if layer in entries:
            behind = True
        else:
            entries[layer] = Layer(layer, count, len(sites) - 1 if behind else 0, exposed if behind else None)
            exposed = None if behind else exposed  # only the head's first layer reads what the last block exposes
    return tuple(sites), Ledger(list(entries.values()), [site.channels for site in sites], history)
