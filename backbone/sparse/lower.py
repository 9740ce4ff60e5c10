"""From a FusionBackbone to a Program: its modules are traced, BatchNorms folded, what belongs together fused."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn import functional as F

from backbone.common.naming import did_you_mean
from backbone.fusion.backbone import FusionBackbone
from backbone.fusion.sites import all_blocks
from backbone.fusion.temporal.shift import FOLD_DIV, TSMStream
from backbone.sparse.program import Average, Conv, Decide, Op, Pool, Program, Shift
from backbone.weights.fold import fold_batchnorm

LEAVES = (nn.Conv2d, nn.Identity, nn.ReLU, nn.ReLU6, nn.MaxPool2d, nn.AvgPool2d, nn.BatchNorm2d)
RELUS: dict[Any, str] = {F.relu: "relu", torch.relu: "relu", nn.ReLU: "relu", F.relu6: "relu6", nn.ReLU6: "relu6"}
ADDS = (operator.add, operator.iadd, torch.add, "add", "add_")
MODES = ("tsn", "tsm-stream")

Node = Any  # of a graph of torch.fx, whose arguments are of no type that would help


def lower(backbone: FusionBackbone) -> Program:
    """One frame's way through a backbone.

    :raises ValueError: a backbone that no stream can run, or a CNN with operations that have no place in a Program
    """
    _check(backbone)
    folded = fold_batchnorm(backbone)
    walk = _Walk(folded)
    tracer = _Tracer()
    graph = tracer.trace(walk)
    return _Lowering(folded, walk, graph).program()


def _check(backbone: FusionBackbone) -> None:
    if backbone.whole_clips_only:
        raise ValueError(
            f'expected a backbone that a stream can run, got temporal="{backbone.temporal}", which looks at the next '
            'frame: pretrain with temporal="tsm-stream", the one-way shift'
        )
    if backbone.temporal not in MODES:
        raise ValueError(
            f"expected a temporal mode among {', '.join(MODES)}; got {backbone.temporal!r}"
            f"{did_you_mean(backbone.temporal, MODES)}: stream it with the walk itself, backbone.begin and advance"
        )


def _decide(x: Tensor, site: int) -> Tensor:
    return x


def _fused(y: Tensor, site: int) -> Tensor:
    return y


def _shifted(x: Tensor) -> Tensor:
    return x


for _mark in ("_decide", "_fused", "_shifted"):
    fx.wrap(_mark)


class _Walk(nn.Module):
    """A frame's way through the blocks, with marks where decisions are taken and applied, and where time is mixed in."""

    def __init__(self, backbone: FusionBackbone) -> None:
        super().__init__()
        self.cnn = backbone.cnn
        self.sites = {name: index for index, name in enumerate(backbone.site_names)}
        mode = backbone.temporal_mode
        self.shifted = mode.shifted if isinstance(mode, TSMStream) else set()

    def forward(self, frame: Tensor) -> Tensor:
        x, carry = self.cnn.stem(frame), None
        for name, block in all_blocks(self.cnn).items():
            site = self.sites.get(name)
            if site is not None:
                x = _decide(x, site)
            y = block.convolve(x, _shifted) if name in self.shifted else block.convolve(x)
            if site is not None:
                y = _fused(y, site)
            out = block.finish(x, y) if carry is None else block.finish(x, y, carry)
            x, carry = out if isinstance(out, tuple) else (out, None)
        return self.cnn.features(x)


class _Tracer(fx.Tracer):
    """Follows the code into every module but the layers themselves."""

    def call_module(self, m: nn.Module, forward: Callable, args: tuple, kwargs: dict) -> Any:
        return super().call_module(m, forward, args, kwargs) if isinstance(m, LEAVES) else forward(*args, **kwargs)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return isinstance(m, LEAVES)


class _Lowering:
    """A traced graph on its way to a Program."""

    def __init__(self, backbone: FusionBackbone, walk: _Walk, graph: fx.Graph) -> None:
        self.backbone, self.graph = backbone, graph
        self.modules = dict(walk.named_modules())
        self.layers = {layer.name: layer for layer in backbone.ledger.layers}
        self.order = {node: index for index, node in enumerate(graph.nodes)}
        self.states: dict[int, Node] = {}
        self.channels: dict[str, int] = {}
        self.fused_into: dict[Node, tuple[Node, Node | None, str]] = {}  # the last node of a chain: its conv, ...
        self.inside: set[Node] = set()  # nodes that became part of an operation
        self.places: dict[Node, tuple[str, int]] = {}  # parts of a concatenation
        self.ops: list[Op] = []

    def program(self) -> Program:
        self._forget_identities()
        nodes = list(self.graph.nodes)
        for node in nodes:
            if self._kind(node) is nn.Conv2d:
                self._fuse(node)
        frame = next(node for node in nodes if node.op == "placeholder")
        self.channels[frame.name] = 3
        for node in nodes:
            if node.op not in ("placeholder", "output") and node not in self.inside:
                self._lower(node)
        for node in nodes:  # concatenations know their parts' channels only now
            if self._kind(node) is torch.cat:
                self._place(node)
        ops = [self._placed(op) for op in self.ops]
        (features,) = (node.args[0].name for node in nodes if node.op == "output")
        states = tuple(self.states[site].name for site in range(len(self.backbone.sites)))
        return Program(tuple(ops), frame.name, features, self.channels, states)

    def _kind(self, node: Node) -> Any:
        """What a node does: a layer's class, a function, or a method's name."""
        if node.op != "call_module":
            return node.target if node.op in ("call_function", "call_method") else node.op
        module = self.modules[str(node.target)]
        return nn.Conv2d if isinstance(module, nn.Conv2d) else type(module)

    def _forget_identities(self) -> None:
        for node in list(self.graph.nodes):
            kind = self._kind(node)
            if kind in (nn.Identity, _fused, torch.flatten, "flatten"):
                if kind is _fused:
                    self.states[node.args[1]] = node.args[0]
                node.replace_all_uses_with(node.args[0])
                self.graph.erase_node(node)
            elif kind is _decide:
                source = node.args[0]
                node.replace_all_uses_with(source)

    def _fuse(self, conv: Node) -> None:
        """A convolution takes the addition and the activation behind it into itself."""
        last, residual, activation = conv, None, "none"
        user = _only_user(last)
        if user is not None and self._kind(user) in ADDS and user not in self.inside:
            one, other = user.args[:2]
            rivals = [node for node in (one, other) if self._kind(node) is nn.Conv2d and _only_user(node) is user]
            if conv is max(rivals, key=self.order.__getitem__):  # the later one: the other is there by then
                last, residual = user, other if one is conv else one
                self.inside.add(user)
        user = _only_user(last)
        if user is not None and self._kind(user) in RELUS:
            last, activation = user, RELUS[self._kind(user)]
        if last is not conv:
            self.inside.add(conv)
        self.inside.discard(last)
        self.fused_into[last] = conv, residual, activation

    def _lower(self, node: Node) -> None:
        kind = self._kind(node)
        if node in self.fused_into:
            self._conv(node, *self.fused_into[node])
        elif kind is _decide:
            self.ops.append(Decide(node.args[1], node.args[0].name))
        elif kind is _shifted:
            channels = self.channels[node.args[0].name]
            self.channels[node.name] = channels
            self.ops.append(Shift(node.args[0].name, node.name, channels // FOLD_DIV))
        elif kind in (nn.MaxPool2d, nn.AvgPool2d):
            self._pool(node, self.modules[str(node.target)])
        elif kind is torch.cat and node.args[1] == 1:
            self.channels[node.name] = sum(self.channels[part.name] for part in node.args[0])
        elif kind == "flip" and node.args[0].op == "placeholder" and _only_conv(node, self._kind):
            self.channels[node.name] = 3
        elif (kind is F.adaptive_avg_pool2d and node.args[1] == 1) or (
            kind == "mean" and set(node.args[1]) == {-2, -1}
        ):
            self.channels[node.name] = self.channels[node.args[0].name]
            self.ops.append(Average(node.args[0].name, node.name))
        else:
            raise ValueError(
                "expected a CNN of convolutions with BatchNorm right behind them, ReLU, pooling, addition of shortcuts "
                f"and concatenation of channels, got {getattr(kind, '__name__', kind)!r} ({node.name}): stream it with "
                "the walk itself, backbone.begin and advance"
            )

    def _conv(self, node: Node, conv: Node, residual: Node | None, activation: str) -> None:
        layer: Any = self.modules[str(conv.target)]
        name = str(conv.target).removeprefix("cnn.")
        source, weight = conv.args[0], layer.weight.detach().float()
        if self._kind(source) == "flip":
            source, weight = source.args[0], weight.flip(1)
        depthwise = layer.groups > 1
        padding, stride, kernel = layer.padding, layer.stride, layer.kernel_size
        if (
            layer.groups not in (1, layer.in_channels)
            or (depthwise and layer.in_channels != layer.out_channels)
            or layer.dilation != (1, 1)
            or len({*kernel}) + len({*stride}) + len({*padding}) != 3
            or layer.padding_mode != "zeros"
        ):
            raise ValueError(
                f"expected square convolutions, plain or depthwise, without dilation, got {layer} at {name}: stream it "
                "with the walk itself, backbone.begin and advance"
            )
        same = type(layer) is not nn.Conv2d and stride != (1, 1)  # SameConv2d
        bias = torch.zeros(layer.out_channels) if layer.bias is None else layer.bias.detach().float()
        known = self.layers[name]
        self.channels[node.name] = layer.out_channels
        self.ops.append(
            Conv(
                name,
                source.name,
                node.name,
                0,
                weight,
                bias,
                stride[0],
                None if same else int(padding[0]),
                depthwise,
                activation,
                None if residual is None else residual.name,
                known.reads,
                known.writes,
            )
        )

    def _pool(self, node: Node, module: nn.Module) -> None:
        kernel, stride, padding = (_side(getattr(module, name)) for name in ("kernel_size", "stride", "padding"))
        if not getattr(module, "count_include_pad", True) or getattr(module, "dilation", 1) not in (1, (1, 1)):
            raise ValueError(f"expected a pooling without dilation that counts the zeros beside the map, got {module}")
        source = node.args[0].name
        channels = self.channels[node.name] = self.channels[source]
        kind = "max" if isinstance(module, nn.MaxPool2d) else "avg"
        self.ops.append(
            Pool(kind, source, node.name, 0, channels, kernel, stride, padding, bool(module.ceil_mode), None)
        )

    def _place(self, cat: Any) -> None:
        first = 0
        for part in cat.args[0]:
            if _only_user(part) is not cat:
                raise ValueError(f"expected what is concatenated to be used nowhere else, got {part.name}")
            self.places[part] = cat.name, first
            first += self.channels[part.name]

    def _placed(self, op: Op) -> Op:
        """An operation that computes part of a concatenation writes there at once."""
        if not isinstance(op, Conv | Pool):
            return op
        for part, (target, first) in self.places.items():
            if part.name == op.target:
                written = {node.name: site for site, node in self.states.items()}.get(target)
                placed = replace(op, target=target, first=first)
                return replace(placed, writes=written) if isinstance(placed, Pool) else placed
        return op


def _side(value: Any) -> int:
    sides = {value} if isinstance(value, int) else {*value}
    if len(sides) != 1:
        raise ValueError(f"expected a square pooling, got {value}")
    return int(sides.pop())


def _only_user(node: Node) -> Node:
    """The one node that uses this one's result; None if there are others, or none."""
    return next(iter(node.users)) if len(node.users) == 1 else None


def _only_conv(node: Node, kind: Callable[[Node], Any]) -> bool:
    return all(kind(user) is nn.Conv2d for user in node.users)
