"""A Program in PyTorch's own operations, one frame at a time: for machines without a compiler.

A layer of which much is left runs as it is, and what is not asked for is thrown away; of which little is left, with
weights and features cut down to it. Cutting has its price: below SMALL it pays.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.fusion.sites import Site
from backbone.sparse.choice import Choice, SiteMemory
from backbone.sparse.program import Average, Conv, Pool, Program, Shift

SMALL = 0.35  # share of a layer's MACs below which it is cut down


class TorchEngine:
    """Runs a Program. Maps are kept by name, each (1, C, H, W); dead channels of a site's y are zero.

    :param size: (H, W) of the frames
    :param raw: whether a late channel may be asked for, so that what was read must be kept
    """

    name = "torch"

    def __init__(self, program: Program, sites: Sequence[Site], size: Sequence[int], *, raw: bool) -> None:
        self.program, self.sizes = program, program.sizes(size)
        self._kept = list(dict.fromkeys(name for site in sites for name in program.inputs(site.index))) if raw else []
        self._memory = [SiteMemory(site, raw=raw) for site in sites]
        self._segments = program.segments()
        self._writers = [program.writers(site.index) for site in sites]
        self.reset()

    def reset(self) -> None:
        """Forget the frames before."""
        for memory in self._memory:
            memory.reset()
        self.maps: dict[str, Tensor] = {}
        self.past: dict[str, Tensor] = {}  # inputs of late channels, and what a shift brings from the frame before
        self.choices: dict[int, Choice] = {}
        self.choices_before: dict[int, Choice] = {}

    def begin(self, frame: Tensor) -> None:
        """A normalised frame (3, H, W)."""
        self.maps[self.program.frame] = frame.unsqueeze(0)

    def average(self, name: str) -> Tensor:
        """A map's average over its pixels, (C,)."""
        return self.maps[name].mean((-2, -1))[0]

    def start(self) -> None:
        """What runs before the first decision."""
        self._run(0)

    def advance(self, site: int, decisions: np.ndarray) -> None:
        """A site's integer decisions (D,) of this frame, and what runs between them and the next ones.

        :raises ValueError: a number that is no Decision
        """
        self._decide(site, decisions)
        self._run(site + 1)

    def run(self, decisions: Sequence[np.ndarray]) -> None:
        """All of a frame at once, where all sites' decisions are known."""
        self.start()
        for site, chosen in enumerate(decisions):
            self.advance(site, chosen)

    def _decide(self, site: int, decisions: np.ndarray) -> None:
        """Late channels are computed at once."""
        choice = self._memory[site].choose(decisions)
        y = self._map(self.program.states[site])
        y[:, torch.from_numpy(choice.dead)] = 0
        self.choices[site] = choice
        if len(choice.late):
            maps = {**self.maps, **{name: self.past[name] for name in self.program.inputs(site)}}
            for op in self._writers[site]:
                self._write(op, maps, self.choices_before, choice.late)

    def _run(self, segment: int) -> None:
        for op in self._segments[segment]:
            if isinstance(op, Conv | Pool):
                rows = None if op.writes is None else self.choices[op.writes].used
                self._write(op, self.maps, self.choices, rows)
            elif isinstance(op, Shift):
                x = self.maps[op.source]
                before = self.past.get(f"{op.target} before", torch.zeros_like(x[:, : op.fold]))
                self.maps[op.target] = torch.cat([before, x[:, op.fold :]], 1)
                self.past[f"{op.target} before"] = x[:, : op.fold]
            elif isinstance(op, Average):
                self.maps[op.target] = self.average(op.source)

    def features(self) -> Tensor:
        """(F,)"""
        return self.maps[self.program.features]

    def end(self) -> None:
        """A frame is over."""
        for name in self._kept:
            self.past[name] = self.maps[name].clone()
        self.choices_before = dict(self.choices)

    def _map(self, name: str) -> Tensor:
        if name not in self.maps:
            shape = (1, self.program.channels[name], *self.sizes[name])
            self.maps[name] = torch.zeros(shape).to(memory_format=torch.channels_last)
        return self.maps[name]

    def _write(
        self, op: Conv | Pool, maps: Mapping[str, Tensor], choices: Mapping[int, Choice], chosen: np.ndarray | None
    ) -> None:
        """Put channels of an operation's output into its target.

        :param choices: by site, what is live in the maps that are read
        :param chosen: channels of the site that it writes; None: all
        """
        rows = None
        if chosen is not None:
            inside = chosen[(chosen >= op.first) & (chosen < op.first + op.channels)] - op.first
            if not len(inside):
                return
            rows = None if len(inside) == op.channels else torch.from_numpy(inside)
        target = self._map(op.target)
        if isinstance(op, Pool):
            x = maps[op.source]
            out = _pool(op, x if rows is None else x[:, rows])
        else:
            out = self._conv(op, maps, choices, rows)
        if rows is not None:
            target[:, rows + op.first] = out
        elif op.first or op.channels < target.shape[1]:
            target[:, op.first : op.first + op.channels] = out
        elif op.writes is None:
            self.maps[op.target] = out
        else:
            target.copy_(out)

    def _conv(self, op: Conv, maps: Mapping[str, Tensor], choices: Mapping[int, Choice], rows: Tensor | None) -> Tensor:
        """Rows of a convolution's output, (1, rows, H, W)."""
        x, weight, bias = maps[op.source], op.weight, op.bias
        columns = None if op.reads is None or op.depthwise else torch.from_numpy(choices[op.reads].live)
        share = (1.0 if rows is None else len(rows) / op.channels) * (
            1.0 if columns is None else len(columns) / weight.shape[1]
        )
        cut = share < SMALL
        if cut and rows is not None:
            weight, bias = weight[rows], bias[rows]
            x = x[:, rows] if op.depthwise else x
        if cut and columns is not None:
            if not len(columns):
                columns = torch.zeros(1, dtype=torch.long)  # of dead channels, zero: the layer's biases
            weight, x = weight[:, columns], x[:, columns]
        padding = op.padding
        if padding is None:
            top, left = op.pad(x.shape[-2]), op.pad(x.shape[-1])
            x, padding = F.pad(x, (*left, *top)), 0
        out = F.conv2d(x, weight, bias, op.stride, padding, 1, len(weight) if op.depthwise else 1)
        if rows is not None and not cut:
            out = out[:, rows]
        if op.residual is not None:
            residual = maps[op.residual]
            out = out.add_(residual if rows is None else residual[:, rows])
        return _ACTIVATIONS[op.activation](out)


_ACTIVATIONS = {"none": lambda x: x, "relu": torch.relu_, "relu6": lambda x: x.clamp_(0, 6)}


def _pool(op: Pool, x: Tensor) -> Tensor:
    if op.kind == "max":
        return F.max_pool2d(x, op.kernel, op.stride, op.padding, ceil_mode=op.ceil)
    return F.avg_pool2d(x, op.kernel, op.stride, op.padding, ceil_mode=op.ceil)
