"""What a backbone does to one frame, as a list of operations on named feature maps.

Neither modules nor decisions are left in it: BatchNorms are folded, a convolution knows its residual and activation,
which site it reads and which it writes. An engine runs it (``torch_engine.py``, ``kernel_engine.py``).

Shapes: C channels, H, W.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Conv:
    """A convolution with its bias, residual and activation.

    :param name: of its layer in the CNN
    :param source: the map that it reads
    :param target: the map that it writes, from channel ``first`` on
    :param weight: (C_out, C_in, k, k); (C, 1, k, k) of a depthwise one
    :param padding: zeros on each side; None: as many as TensorFlow's "SAME"
    :param activation: "none", "relu" or "relu6"
    :param residual: a map that is added before the activation
    :param reads: site whose decisions say which input channels are live
    :param writes: site whose decisions say which output channels are computed; ``first`` is a channel of that site too
    """

    name: str
    source: str
    target: str
    first: int
    weight: Tensor
    bias: Tensor
    stride: int
    padding: int | None
    depthwise: bool
    activation: str
    residual: str | None
    reads: int | None
    writes: int | None

    @property
    def kernel(self) -> int:
        return self.weight.shape[-1]

    @property
    def channels(self) -> int:
        return len(self.weight)

    def pad(self, length: int) -> tuple[int, int]:
        """Zeros before and behind a side of this many pixels."""
        if self.padding is not None:
            return self.padding, self.padding
        zeros = max(self.kernel - (length % self.stride or self.stride), 0)
        return zeros // 2, zeros - zeros // 2

    def length(self, length: int) -> int:
        """Pixels of the output's side, from the input's."""
        return (length + sum(self.pad(length)) - self.kernel) // self.stride + 1


@dataclass(frozen=True)
class Pool:
    """A pooling, "avg" (zeros beside the map count) or "max"; channel by channel.

    :param writes: site that decides which of its channels are passed on, where its output is part of a site's y
    """

    kind: str
    source: str
    target: str
    first: int
    channels: int
    kernel: int
    stride: int
    padding: int
    ceil: bool
    writes: int | None

    @property
    def reads(self) -> None:
        """No site: a dead channel is zero in front of a pooling."""

    def length(self, length: int) -> int:
        """Pixels of the output's side, from the input's. A last window must begin inside the map or before it."""
        reach = length + 2 * self.padding - self.kernel
        count = (-(-reach // self.stride) if self.ceil else reach // self.stride) + 1
        return count - (self.ceil and (count - 1) * self.stride >= length + self.padding)


@dataclass(frozen=True)
class Shift:
    """The first ``fold`` channels come from the frame before."""

    source: str
    target: str
    fold: int


@dataclass(frozen=True)
class Decide:
    """A site's decisions are taken, on the average of ``source``, the input of its block."""

    site: int
    source: str


@dataclass(frozen=True)
class Average:
    """Features (C,): the average of a map over its pixels."""

    source: str
    target: str


Op = Conv | Pool | Shift | Decide | Average


@dataclass(frozen=True)
class Program:
    """One frame's way through a CNN.

    :param ops: in the order in which they run
    :param frame: name of the map of pixels
    :param features: name of what the classifier reads
    :param channels: of every map
    :param states: per site, the map of its y, which stays from frame to frame
    """

    ops: tuple[Op, ...]
    frame: str
    features: str
    channels: dict[str, int]
    states: tuple[str, ...]

    def segments(self) -> list[list[Op]]:
        """The operations before the first decision, and those behind each."""
        parts: list[list[Op]] = [[]]
        for op in self.ops:
            if isinstance(op, Decide):
                parts.append([])
            else:
                parts[-1].append(op)
        return parts

    def decides(self) -> list[Decide]:
        return [op for op in self.ops if isinstance(op, Decide)]

    def writers(self, site: int) -> list[Conv | Pool]:
        """What computes a site's y."""
        return [op for op in self.ops if isinstance(op, Conv | Pool) and op.writes == site]

    def inputs(self, site: int) -> list[str]:
        """The maps that a site's y is computed from."""
        writers = self.writers(site)
        own = {op.target for op in writers}
        return list(dict.fromkeys(op.source for op in writers if op.source not in own))

    def shows_dead(self, site: int) -> bool:
        """Whether a skipped channel of a site is seen by something that does not leave it out: it must be zero there."""
        return any(self.states[site] in _sees(op) for op in self.ops)

    def sizes(self, size: Sequence[int]) -> dict[str, tuple[int, int]]:
        """(H, W) of every map, from the frame's."""
        sizes = {self.frame: (size[0], size[1])}
        for op in self.ops:
            if isinstance(op, Conv | Pool):
                sizes[op.target] = (op.length(sizes[op.source][0]), op.length(sizes[op.source][1]))
            elif isinstance(op, Shift):
                sizes[op.target] = sizes[op.source]
            elif isinstance(op, Average):
                sizes[op.target] = (1, 1)
        return sizes


def _sees(op: Op) -> tuple[str | None, ...]:
    """The maps of which an operation looks at channels that are not live too. Averages know which are."""
    if isinstance(op, Conv):
        return (op.residual, op.source if op.depthwise or op.reads is None else None)
    return (op.source,) if isinstance(op, Pool | Shift) else ()
