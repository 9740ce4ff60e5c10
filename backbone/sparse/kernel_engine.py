"""A Program on the kernels of ``kernels.cpp``: channels are planes, and only what is asked for is touched."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.decision import Decision
from backbone.fusion.sites import Site
from backbone.sparse.build import Missing, library
from backbone.sparse.program import Average, Conv, Op, Pool, Program, Shift

KINDS = {"conv": 0, "depthwise": 1, "max": 2, "avg": 3, "mean": 4, "copy": 5, "zero": 6, "decide": 7}
ACTIVATIONS = {"none": 0, "relu": 1, "relu6": 2}
FIELDS = [
    "kind",
    "in",
    "out",
    "residual",
    "weight",
    "bias",
    "rows",
    "num_rows",
    "columns",
    "num_columns",
    "masks",
    "moves",
    "phases",
    "phase_planes",
    "site",
    "decisions",
    "phase_stride",
    "weight_stride",
    "channels",
    "height",
    "width",
    "out_height",
    "out_width",
    "taps",
    "kernel",
    "stride",
    "top",
    "left",
    "activation",
]
RECORD = np.dtype([(field, np.int64) for field in FIELDS])  # the struct Op
PART = np.dtype([(field, np.int64) for field in ["first", "stop", "used", "late", "num_used", "num_late"]])
SITE = np.dtype(
    [
        (field, np.int64)
        for field in [
            "channels",
            "group_size",
            "raw",
            "has_previous",
            "clears",
            "num_parts",
            "parts",
            "ready",
            "alive",
            "clean",
            "live",
            "stale",
            "num_live",
            "num_stale",
        ]
    ]
)
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
    """A list of channels, as the kernels read it; it may change from frame to frame."""

    def __init__(self, most: int, *, full: bool = False) -> None:
        self.numbers = np.arange(most, dtype=np.int32)
        self.count = np.array([most if full else 0], np.int64)

    def copy(self, other: Channels) -> None:
        self.numbers[:] = other.numbers
        self.count[:] = other.count


class Decided:
    """A site's decisions, as the kernels see them: the struct Site.

    :param writers: the operations that compute its y
    :param clears: whether a dead channel must be zero
    """

    def __init__(self, site: Site, writers: Sequence[Conv | Pool], *, raw: bool, clears: bool) -> None:
        self.used, self.late = ([Channels(op.channels) for op in writers] for _ in range(2))
        self.live, self.live_before, self.stale = (Channels(site.channels) for _ in range(3))
        self.ready, self.alive, self.clean = (np.zeros(site.channels, np.uint8) for _ in range(3))
        self.decisions = np.zeros(site.decisions, np.int64)
        parts = np.zeros(len(writers), PART)
        for part, op, used, late in zip(parts, writers, self.used, self.late):
            part["first"], part["stop"] = op.first, op.first + op.channels
            for name, channels in (("used", used), ("late", late)):
                part[name], part[f"num_{name}"] = channels.numbers.ctypes.data, channels.count.ctypes.data
        self._parts = parts
        self._record = record = np.zeros(1, SITE)
        facts = {"channels": site.channels, "group_size": site.group_size, "raw": raw, "clears": clears}
        facts |= {"num_parts": len(parts), "parts": self._parts.ctypes.data}
        for name in ("ready", "alive", "clean"):
            facts[name] = getattr(self, name).ctypes.data
        for name in ("live", "stale"):
            facts[name], facts[f"num_{name}"] = (
                getattr(self, name).numbers.ctypes.data,
                getattr(self, name).count.ctypes.data,
            )
        for name, value in facts.items():
            record[name] = value
        self.reset()

    def reset(self) -> None:
        self.ready[:], self.clean[:] = 0, 1
        self._record["has_previous"] = 0

    @property
    def record(self) -> dict[str, int]:
        """The operation that takes ``decisions``, what they mean for the lists of channels."""
        addresses = self._record.ctypes.data, self.decisions.ctypes.data
        return {"kind": KINDS["decide"], "site": addresses[0], "decisions": addresses[1]}


class Call:
    """Operations that run in a row."""

    def __init__(self, records: Sequence[dict[str, int]]) -> None:
        self._records = np.zeros(len(records), RECORD)
        for place, record in enumerate(records):
            for field, value in record.items():
                self._records[place][field] = value
        self._address, self._run = self._records.ctypes.data, library().run

    def __call__(self) -> None:
        if len(self._records) and self._run(self._address, len(self._records), torch.get_num_threads()):
            raise ValueError(f"expected decisions of 0 to {len(Decision) - 1}, got another number")


class KernelEngine:
    """Runs a Program as TorchEngine does. Dead channels keep what they held, and are left out by who reads them.

    :param size: (H, W) of the frames
    :param raw: whether a late channel may be asked for, so that what was read must be kept
    :raises Missing: no kernels here, or a layer that they do not know
    """

    name = "kernels"

    def __init__(self, program: Program, sites: Sequence[Site], size: Sequence[int], *, raw: bool) -> None:
        library()
        self.program, self.sizes = program, program.sizes(size)
        self._held: list[object] = []  # what the kernels have pointers to
        self._masks: dict[tuple[int, ...], np.ndarray] = {}
        self._maps: dict[str, Planes] = {}
        self._pointers: dict[str, np.ndarray] = {}  # (C,) by map: a shifted one is made of two
        self._averages: dict[str, Tensor] = {}
        self._decided = [
            Decided(site, program.writers(site.index), raw=raw, clears=program.shows_dead(site.index)) for site in sites
        ]
        self._owner = dict(zip(program.states, self._decided))

        shifts = [op for op in program.ops if isinstance(op, Shift)]
        written = [op.target for op in program.ops if isinstance(op, Conv | Pool)]
        for name in dict.fromkeys([program.frame, *written]):
            self._make(name, program.channels[name], self.sizes[name])
        for op in shifts:
            self._make(f"{op.target} before", op.fold, self.sizes[op.source])
        segments = [[self._record(op) for op in ops if not self._shift(op)] for ops in program.segments()]
        self._means = {op.source: Call([self._mean(op.source)]) for op in program.decides()}
        kept = list(dict.fromkeys(name for site in sites for name in program.inputs(site.index))) if raw else []
        for name in kept:
            self._make(f"kept {name}", program.channels[name], self.sizes[name])
        late = [self._late_records(site.index) if raw else [] for site in sites]
        decide = [
            [decided.record, self._copy("zero", name, name, decided.stale), *records]
            for (name, decided), records in zip(self._owner.items(), late)
        ]
        self._first, self._decide = Call(segments[0]), [Call(records) for records in decide]
        self._behind = [Call(records) for records in segments[1:]]
        self._whole = Call(sum((records for pair in zip(decide, segments[1:]) for records in pair), segments[0]))
        self._raw = raw
        copies = [
            self._copy("copy", name, f"kept {name}", Channels(program.channels[name], full=True)) for name in kept
        ]
        copies += [self._copy("copy", op.source, f"{op.target} before", Channels(op.fold, full=True)) for op in shifts]
        self._ends = Call(copies)

    def reset(self) -> None:
        for planes in self._maps.values():
            planes.room.zero_()
        for decided in self._decided:
            decided.reset()

    def begin(self, frame: Tensor) -> None:
        self._maps[self.program.frame].view.unflatten(1, frame.shape[1:]).copy_(frame)

    def average(self, name: str) -> Tensor:
        self._means[name]()
        return self._without_dead(name, self._averages[name])

    def start(self) -> None:
        self._first()

    def advance(self, site: int, decisions: np.ndarray) -> None:
        self._decided[site].decisions[:] = decisions
        self._decide[site]()
        self._behind[site]()

    def run(self, decisions: Sequence[np.ndarray]) -> None:
        for decided, chosen in zip(self._decided, decisions, strict=True):
            decided.decisions[:] = chosen
        self._whole()

    def features(self) -> Tensor:
        (source,) = (op.source for op in self.program.ops if isinstance(op, Average))
        return self._without_dead(source, self._averages[self.program.features])

    def end(self) -> None:
        self._ends()
        if self._raw:
            for decided in self._decided:
                decided.live_before.copy(decided.live)

    def _without_dead(self, name: str, averages: Tensor) -> Tensor:
        if name in self._owner:
            return averages * torch.from_numpy(self._owner[name].alive)
        return averages.clone()

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
            rows = self._decided[op.writes].used[self.program.writers(op.writes).index(op)]
        live = None if op.reads is None else self._decided[op.reads].live
        return self._compute(op, self._pointers[op.source], rows, live)

    def _late_records(self, site: int) -> list[dict[str, int]]:
        """What computes channels of a site's y from what the frame before had read."""
        inputs, records = self.program.inputs(site), []
        for op, rows in zip(self.program.writers(site), self._decided[site].late):
            live = None if op.reads is None else self._decided[op.reads].live_before
            source = f"kept {op.source}" if op.source in inputs else op.source
            records.append(self._compute(op, self._pointers[source], rows, live))
        return records

    def _compute(self, op: Conv | Pool, source: np.ndarray, rows: Channels, live: Channels | None) -> dict[str, int]:
        """
        :param source: planes that are read
        :param rows: output channels that are asked for
        :param live: input channels that are; None: all
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
        if op.kernel == 1 and op.padding:
            raise Missing(f"they know no zeros beside the map of a 1x1 convolution, got {op.name}")
        if op.depthwise and op.kernel not in (3, 5, 7):
            raise Missing(f"they know depthwise convolutions of 3, 5 and 7 pixels, got {op.kernel} of {op.name}")
        columns = Channels(len(source), full=True) if live is None else live
        weight = (op.weight if op.depthwise else op.weight.permute(0, 2, 3, 1)).flatten(1)
        beyond = 0 if op.depthwise else 16 + -weight.shape[1] % 16  # rows a power of 2 apart would meet in the cache
        room = F.pad(weight, (0, beyond)).contiguous()
        if op.residual is not None:
            record["residual"] = self._hold(self._pointers[op.residual])
        return {
            **record,
            **self._list("columns", columns),
            **self._taps(op, (height, width), (out_height, out_width)),
            "kind": KINDS["depthwise" if op.depthwise else "conv"],
            "weight": self._hold(room),
            "weight_stride": room.shape[1],
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
            masks = np.zeros((len(taps), -(-out_height * out_width // 16) * 16), bool)
            for mask, (y, x) in zip(masks, taps):
                inside = ((rows + y >= 0) & (rows + y < height))[:, None] & ((columns + x >= 0) & (columns + x < width))
                mask[: inside.size] = inside.ravel()
            self._masks[key] = np.packbits(masks, -1, bitorder="little").view(np.uint16)
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
