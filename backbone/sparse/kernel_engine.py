"""A Program on the kernels of ``kernels.cpp``: channels are planes, and only what is asked for is touched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from backbone.sparse.build import Missing, library
from backbone.sparse.choice import Choice
from backbone.sparse.program import Average, Conv, Op, Pool, Program, Shift

KINDS = {"conv": 0, "depthwise": 1, "max": 2, "avg": 3, "mean": 4, "copy": 5, "zero": 6}
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
FIELDS = (
    "kind in out residual weight bias rows num_rows columns num_columns masks moves phases phase_planes phase_stride "
    "channels height width out_height out_width taps kernel stride top left activation"
).split()
RECORD = np.dtype([(field, np.int64) for field in FIELDS])  # the struct Op
MARGIN = 16 * 64  # floats before and behind the planes of a map, which may be read, never used


class Planes:
    """Room for a map: C planes of H * W pixels.

    :param view: (C, H * W)
    :param pointers: (C,) int64, where each plane begins
    """

    def __init__(self, channels: int, size: tuple[int, int]) -> None:
        area = size[0] * size[1]
        stride = -(-area // 16) * 16
        stride += 16 * (stride % 1024 == 0)  # planes a power of 2 apart would meet in one set of the cache
        self.room = torch.zeros(channels * stride + 2 * MARGIN + 16)
        first = self.room.data_ptr() + 4 * MARGIN
        first += -first % 64
        offset = (first - self.room.data_ptr()) // 4
        self.view = self.room.as_strided((channels, area), (stride, 1), offset)
        self.pointers = first + 4 * stride * np.arange(channels, dtype=np.int64)


class Channels:
    """A list of channels that changes from frame to frame, as the kernels read it."""

    def __init__(self, most: int, *, full: bool = False) -> None:
        self.numbers = np.arange(most, dtype=np.int32)
        self.count = np.array([most if full else 0], np.int64)

    def set(self, channels: np.ndarray) -> None:
        self.numbers[: len(channels)] = channels
        self.count[0] = len(channels)


class Part(Channels):
    """Those of a site's channels, ascending, that one operation writes."""

    def __init__(self, op: Conv | Pool) -> None:
        super().__init__(op.channels)
        self.first, self.stop = op.first, op.first + op.channels

    def set(self, channels: np.ndarray) -> None:
        start, stop = np.searchsorted(channels, (self.first, self.stop))
        super().set(channels[start:stop] - self.first)


class Call:
    """Operations that run in a row."""

    def __init__(self, records: Sequence[dict[str, int]]) -> None:
        self._records = np.zeros(len(records), RECORD)
        for place, record in enumerate(records):
            for field, value in record.items():
                self._records[place][field] = value
        self._address, self._run = self._records.ctypes.data, library().run

    def __call__(self) -> None:
        if len(self._records):
            self._run(self._address, len(self._records), torch.get_num_threads())


class KernelEngine:
    """Runs a Program as TorchEngine does. Dead channels keep what they held, and are left out by who reads them.

    :param size: (H, W) of the frames
    :param raw: whether a late channel may be asked for, so that what was read must be kept
    :raises Missing: no kernels here, or a layer that they do not know
    """

    name = "kernels"

    def __init__(self, program: Program, size: Sequence[int], *, raw: bool) -> None:
        library()
        self.program, self.sizes = program, program.sizes(size)
        self._held: list[object] = []  # what the kernels have pointers to
        self._masks: dict[tuple[int, ...], np.ndarray] = {}
        self._maps: dict[str, Planes] = {}
        self._pointers: dict[str, np.ndarray] = {}  # (C,) by map: a shifted one is made of two
        self._averages: dict[str, Tensor] = {}
        sites = range(len(program.states))
        width = [program.channels[name] for name in program.states]
        self._live, self._live_before, self._dead = ([Channels(most) for most in width] for _ in range(3))
        self._used: list[list[Part]] = [[] for _ in sites]
        self._late_used: list[list[Part]] = [[] for _ in sites]
        self._owner = {name: site for site, name in enumerate(program.states)}
        self._shows_dead = [program.shows_dead(site) for site in sites]
        self._clean = [np.ones(most, bool) for most in width]  # planes that are zero
        self._choices: dict[int, Choice] = {}

        shifts = [op for op in program.ops if isinstance(op, Shift)]
        written = [op.target for op in program.ops if isinstance(op, Conv | Pool)]
        for name in dict.fromkeys([program.frame, *written]):
            self._make(name, program.channels[name], self.sizes[name])
        for op in shifts:
            self._make(f"{op.target} before", op.fold, self.sizes[op.source])
        segments = [[self._record(op) for op in ops if not self._shift(op)] for ops in program.segments()]
        self._segments = [Call(records) for records in segments]
        self._means = {op.source: Call([self._mean(op.source)]) for op in program.decides()}
        self._zeros = [
            Call([self._copy("zero", name, name, channels)]) for name, channels in zip(program.states, self._dead)
        ]
        kept = list(dict.fromkeys(name for site in sites for name in program.inputs(site))) if raw else []
        for name in kept:
            self._make(f"kept {name}", program.channels[name], self.sizes[name])
        self._late = [Call(self._late_records(site)) for site in sites] if raw else []
        copies = [
            self._copy("copy", name, f"kept {name}", Channels(program.channels[name], full=True)) for name in kept
        ]
        copies += [self._copy("copy", op.source, f"{op.target} before", Channels(op.fold, full=True)) for op in shifts]
        self._ends = Call(copies)

    def reset(self) -> None:
        for planes in self._maps.values():
            planes.room.zero_()
        for clean in self._clean:
            clean[:] = True
        self._choices = {}

    def begin(self, frame: Tensor) -> None:
        self._maps[self.program.frame].view.unflatten(1, frame.shape[1:]).copy_(frame)

    def average(self, name: str) -> Tensor:
        self._means[name]()
        averages = self._averages[name].clone()
        if name in self._owner:
            averages[torch.from_numpy(self._choices[self._owner[name]].dead)] = 0
        return averages

    def decide(self, site: int, choice: Choice) -> None:
        self._choices[site] = choice
        for part in self._used[site]:
            part.set(choice.used)
        self._live[site].set(choice.live)
        if self._shows_dead[site]:
            clean = self._clean[site]
            clean[choice.live] = False
            self._dead[site].set(choice.dead[~clean[choice.dead]])
            clean[choice.dead] = True
            self._zeros[site]()
        if len(choice.late):
            for part in self._late_used[site]:
                part.set(choice.late)
            self._late[site]()

    def run(self, segment: int) -> None:
        self._segments[segment]()

    def features(self) -> Tensor:
        averages = self._averages[self.program.features]
        (source,) = (op.source for op in self.program.ops if isinstance(op, Average))
        if source not in self._owner:
            return averages.clone()
        averages = averages.clone()
        averages[torch.from_numpy(self._choices[self._owner[source]].dead)] = 0
        return averages

    def end(self) -> None:
        self._ends()
        for now, before in zip(self._live, self._live_before):
            before.set(now.numbers[: now.count[0]])

    # -- how it is put together --------------------------------------------------------------------------------------

    def _make(self, name: str, channels: int, size: tuple[int, int]) -> None:
        self._maps[name] = Planes(channels, size)
        self._pointers[name] = self._maps[name].pointers

    def _shift(self, op: Op) -> bool:
        """A shift costs nothing: its first channels are other planes. What they hold is copied at the frame's end."""
        if not isinstance(op, Shift):
            return False
        before, now = self._pointers[f"{op.target} before"], self._pointers[op.source]
        self._pointers[op.target] = np.concatenate([before, now[op.fold :]])
        return True

    def _record(self, op: Op) -> dict[str, int]:
        if isinstance(op, Average):
            return self._mean(op.source, op.target)
        assert isinstance(op, Conv | Pool)
        if op.writes is None:
            rows = Channels(op.channels, full=True)
        else:
            rows = Part(op)
            self._used[op.writes].append(rows)
        return self._compute(op, self._pointers[op.source], rows, self._live)

    def _late_records(self, site: int) -> list[dict[str, int]]:
        """What computes channels of a site's y from what the frame before had read."""
        inputs, records = self.program.inputs(site), []
        for op in self.program.writers(site):
            rows = Part(op)
            self._late_used[site].append(rows)
            source = f"kept {op.source}" if op.source in inputs else op.source
            records.append(self._compute(op, self._pointers[source], rows, self._live_before))
        return records

    def _compute(
        self, op: Conv | Pool, source: np.ndarray, rows: Channels, live: Sequence[Channels]
    ) -> dict[str, int]:
        """
        :param source: planes that are read
        :param rows: output channels that are asked for
        :param live: by site, which of its channels are
        """
        (height, width), (out_height, out_width) = self.sizes[op.source], self.sizes[op.target]
        target = np.ascontiguousarray(self._pointers[op.target][op.first : op.first + op.channels])
        record = {
            **self._list("rows", rows),
            "in": self._hold(source),
            "out": self._hold(target),
            "channels": len(source),
            "height": height,
            "width": width,
            "out_height": out_height,
            "out_width": out_width,
            "kernel": op.kernel,
            "stride": op.stride,
        }
        if isinstance(op, Pool):
            return {**record, "kind": KINDS[op.kind], "top": op.padding, "left": op.padding}
        if op.stride * out_height < height or op.stride * out_width < width:
            raise Missing(f"they know no convolution that makes a map smaller than its stride does, got {op.name}")
        columns = Channels(len(source), full=True) if op.reads is None or op.depthwise else live[op.reads]
        weight = op.weight if op.depthwise else op.weight.permute(0, 2, 3, 1)
        room = torch.cat([weight.reshape(-1), torch.zeros(64)])  # the kernels read a little beyond the last row
        if op.residual is not None:
            record["residual"] = self._hold(self._pointers[op.residual])
        return {
            **record,
            **self._list("columns", columns),
            **self._taps(op, (height, width), (out_height, out_width)),
            "kind": KINDS["depthwise" if op.depthwise else "conv"],
            "weight": self._hold(room),
            "bias": self._hold(op.bias.contiguous()),
            "activation": ACTIVATIONS[op.activation],
        }

    def _taps(self, op: Conv, size: tuple[int, int], out: tuple[int, int]) -> dict[str, int]:
        """Where each tap of a kernel reads, and where it lies beyond the map."""
        (height, width), (out_height, out_width), s = size, out, op.stride
        top, left = op.pad(height)[0], op.pad(width)[0]
        taps = [(y - top, x - left) for y in range(op.kernel) for x in range(op.kernel)]
        key = (*size, *out, op.kernel, s, top, left)
        if key not in self._masks:
            rows, columns = (np.arange(length) * s for length in out)
            masks = np.zeros((len(taps), -(-out_height * out_width // 16) * 16), np.int32)
            for mask, (y, x) in zip(masks, taps):
                inside = ((rows + y >= 0) & (rows + y < height))[:, None] & ((columns + x >= 0) & (columns + x < width))
                mask[: inside.size] = -inside.ravel().astype(np.int32)
            self._masks[key] = masks
        moves = np.array([y // s * out_width + x // s for y, x in taps], np.int64)
        facts = {"taps": len(taps), "top": top, "left": left, "masks": self._hold(self._masks[key])}
        facts["moves"] = self._hold(moves)
        if s > 1:
            room = Planes(op.weight.shape[0 if op.depthwise else 1] * s * s, out)
            facts["phases"] = self._hold(np.array([y % s * s + x % s for y, x in taps], np.int64))
            facts["phase_planes"] = int(room.pointers[0])
            facts["phase_stride"] = int(room.pointers[1] - room.pointers[0]) // 4
            self._held.append(room)
        return facts

    def _mean(self, source: str, target: str | None = None) -> dict[str, int]:
        averages = self._averages[target or source] = torch.zeros(self.program.channels[source])
        height, width = self.sizes[source]
        return {
            "kind": KINDS["mean"],
            "in": self._hold(self._pointers[source]),
            "out": self._hold(np.array([averages.data_ptr()], np.int64)),
            "channels": len(averages),
            "height": height,
            "width": width,
        }

    def _copy(self, kind: str, source: str, target: str, channels: Channels) -> dict[str, int]:
        """Planes that are copied, or made zero."""
        name = target.removeprefix("kept ")
        height, width = self.sizes[name] if name in self.sizes else self.sizes[source]
        return {
            **self._list("rows", channels),
            "kind": KINDS[kind],
            "in": self._hold(self._pointers[source]),
            "out": self._hold(self._pointers[target]),
            "height": height,
            "width": width,
        }

    def _list(self, name: str, channels: Channels) -> dict[str, int]:
        return {name: self._hold(channels.numbers), f"num_{name}": self._hold(channels.count)}

    def _hold(self, memory: Tensor | np.ndarray) -> int:
        """Where it stands; it stays there as long as this engine."""
        self._held.append(memory)
        return memory.data_ptr() if isinstance(memory, Tensor) else memory.ctypes.data
