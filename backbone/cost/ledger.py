"""What a decision costs. The only owner of cost's formulas in this project.

Convention of the paper: 1 FLOP = 1 multiply-accumulate (MAC) of a convolution or a linear layer; BatchNorm,
activations and pooling are not counted.

A site decides on the channels of one convolution's output y. With u_t and r_t in {0, 1} for "use" and "reuse":

* The convolution that *writes* y computes channel i of frame t iff it is used at t or reused at t+1. Charged
  causally, as a stream pays: u_t + r_t (1 - ready_t), where ready_t says that y_{t-1} has been computed already.
* The convolution that *reads* the fused y saves the columns of dead channels: live_t = u_t + r_t [t > 0].
* A convolution that both reads one site and writes another costs the product of the two live fractions.

With raw history (the paper) ready_t = u_{t-1}. With fused history a reused channel is what the previous frame passed
on, so it never costs anything upstream, is live iff that was live, and ready_t = live_{t-1}.

Every formula is multilinear in the decisions of different frames. Put probabilities where the one-hot decisions
stand, and the result is the exact expected cost of independent decisions. Counts are float64: sums of MACs are exact.

Shapes: R rows (clips or rollouts), T frames, C channels of a site, D of its decisions (groups of channels), N of all
sites' decisions, S sites.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from backbone.common.rows import repeat_rows
from backbone.decision import Decision, per_channel


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer as the ledger sees it.

    :param name: the module's name in the CNN
    :param macs: MACs per frame when everything is computed
    :param step: index of the site during whose step the layer runs (the stem runs in the first step); one that only
        reads a site is charged in that site's step, where its columns are decided
    :param reads: index of the site whose decided channels are its input, or None
    :param writes: index of the site that decides on its output, or None
    :param outputs: which of that site's channels it computes, start and stop; None for all
    :param linear: a linear layer, not a convolution
    """

    name: str
    macs: int
    step: int
    reads: int | None = None
    writes: int | None = None
    outputs: tuple[int, int] | None = None
    linear: bool = False


class Live(NamedTuple):
    """Number of live channels a site passed on, (R, T) at frames t and (R, T) at frames t-1 (0 before the first)."""

    now: Tensor
    before: Tensor


class SiteContext(NamedTuple):
    """All that a site's cost depends on beside its own decisions; R = B or B*K rows.

    :param ready: (R, D) at the first of these frames: does the previous output stand ready, so that reuse costs nothing?
    :param has_previous: (R, T) 0 at a clip's first frame, else 1
    :param input_live: how many channels are live in the site that this one's convolution reads, if it reads one
    """

    ready: Tensor
    has_previous: Tensor
    input_live: Live | None = None

    def repeated(self, rows: int) -> SiteContext:
        """The same for B*K rollouts of B clips."""
        if len(self.ready) == len(self.has_previous) == rows:
            return self
        live = None if self.input_live is None else Live(*(repeat_rows(part, rows) for part in self.input_live))
        return SiteContext(repeat_rows(self.ready, rows), repeat_rows(self.has_previous, rows), live)


class Writer(NamedTuple):
    """Layers that compute the same channels of a site: MACs of one channel (of one pair, if they read a site)."""

    start: int
    stop: int
    reads: int | None
    macs: float


class Weights(NamedTuple):
    """The ledger as matrices over all sites' decisions, float64: what ``walk_macs`` multiplies.

    P convolutions stand between two sites; each costs a product of what it writes and what it reads.

    :param fixed: (S,) MACs of each site's step that no decision touches
    :param live: (N, S) MACs that a live channel sets off in layers that only read its site
    :param computed: (N, S) MACs of computing a channel in layers that read no site
    :param channels: (N, S) 1 for each channel of a decision, at its own site
    :param pairs: (N, P) MACs of computing a channel, for one live input channel
    :param written: (P, S) 1 at the site that a convolution writes
    :param read: (P,) index of the site that it reads
    """

    fixed: Tensor
    live: Tensor
    computed: Tensor
    channels: Tensor
    pairs: Tensor
    written: Tensor
    read: Tensor


class Ledger:
    """What a CNN's layers cost, and how that depends on the decisions at its sites.

    :param layers: every convolution and linear layer of the CNN
    :param channels: per site, the channels it decides on
    :param history: "raw" or "fused", see the module's text
    :param group_size: contiguous channels that share one decision
    """

    def __init__(
        self, layers: Sequence[Layer], channels: Sequence[int], history: str = "raw", group_size: int = 1
    ) -> None:
        self.layers = tuple(layers)
        self.channels = tuple(channels)
        self.history, self.group_size = history, group_size
        self.dense_macs = sum(layer.macs for layer in self.layers)
        sites = range(len(self.channels))
        self.fixed_macs = [
            sum(la.macs for la in self.layers if la.step == site and la.reads is None and la.writes is None)
            for site in sites
        ]
        # per site: MACs of all that only reads one of its channels, and what writes them
        self._column_macs = [
            sum(la.macs for la in self.layers if la.reads == site and la.writes is None) / self.channels[site]
            for site in sites
        ]
        self._writers = [self._find_writers(site) for site in sites]
        self._weights: dict[torch.device, Weights] = {}

    def _find_writers(self, site: int) -> list[Writer]:
        macs: dict[tuple[int, int, int | None], float] = {}
        for layer in self.layers:
            if layer.writes == site:
                start, stop = layer.outputs or (0, self.channels[site])
                pairs = (stop - start) * (1 if layer.reads is None else self.channels[layer.reads])
                key = (start, stop, layer.reads)
                macs[key] = macs.get(key, 0.0) + layer.macs / pairs
        return [Writer(*key, macs_each) for key, macs_each in macs.items()]

    def decisions(self, site: int) -> int:
        """D of a site."""
        return -(-self.channels[site] // self.group_size)

    def reads(self, site: int) -> int | None:
        """The site whose decided channels are the input of a layer that writes ``site``, or None."""
        return next((writer.reads for writer in self._writers[site] if writer.reads is not None), None)

    def count(self, site: int, facts: Tensor, start: int = 0, stop: int | None = None) -> Tensor:
        """For how many of a site's channels (or of a range of them) something holds: (R, T, D) -> (R, T)."""
        channelwise = per_channel(facts, self.channels[site], self.group_size, dim=-1)
        return channelwise[..., start:stop].sum(-1)

    def live(self, decisions: Tensor, context: SiteContext) -> Tensor:
        """Which decisions make the site pass on something: (R, T, D, 3) -> (R, T, D).

        :param decisions: one-hot decisions or probabilities
        """
        use, reuse = decisions[..., Decision.USE], decisions[..., Decision.REUSE]
        if self.history == "raw":
            return use + reuse * context.has_previous.to(use.dtype).unsqueeze(-1)
        live, previous = [], context.ready
        for t in range(use.shape[1]):
            previous = use[:, t] + reuse[:, t] * previous
            live.append(previous)
        return torch.stack(live, 1)

    def site_macs(self, site: int, decisions: Tensor, context: SiteContext, live: Tensor | None = None) -> Tensor:
        """MACs of all that runs in a site's step, charged causally: float64 (R, T).

        :param decisions: (R, T, D, 3) one-hot decisions, or probabilities for the exact expected cost
        :param context: of as many rows
        :param live: (R, T) how many channels ``live`` counts for these decisions, if it was asked already
        :raises ValueError: the site's convolution reads another site, and the context does not say what is live there
        """
        live = self.count(site, self.live(decisions, context)) if live is None else live
        used = decisions[..., Decision.USE]
        late = None  # reused, and computed only now: y_{t-1}
        if self.history == "raw":
            ready = torch.cat([context.ready.unsqueeze(1), used[:, :-1]], 1)
            late = decisions[..., Decision.REUSE] * (1 - ready)
        macs = self._column_macs[site] * live.double() + self.fixed_macs[site]
        for start, stop, reads, each in self._writers[site]:
            now = self.count(site, used, start, stop).double()
            before = None if late is None else self.count(site, late, start, stop).double() * context.has_previous
            if reads is not None:
                if context.input_live is None:
                    raise ValueError(f"site {site} reads the decided channels of site {reads}: input_live is needed")
                now = now * context.input_live.now
                before = None if before is None else before * context.input_live.before
            macs = macs + each * (now if before is None else now + before)
        return macs

    def weights(self, device: torch.device) -> Weights:
        """The same counts as matrices over all sites' decisions, made once for each device."""
        if device not in self._weights:
            self._weights[device] = Weights(*(part.to(device) for part in self._find_weights()))
        return self._weights[device]

    def _find_weights(self) -> Weights:
        live: list[Tensor] = []
        computed: list[Tensor] = []
        channels: list[Tensor] = []
        pairs: list[Tensor] = []
        written: list[list[float]] = []
        read: list[int] = []
        sites = range(len(self.channels))
        for site in sites:
            of_channel = F.one_hot(torch.arange(self.channels[site]) // self.group_size).T.double()  # (D, C)
            channels.append(of_channel.sum(1))
            live.append(channels[-1] * self._column_macs[site])
            computed.append(torch.zeros_like(channels[-1]))
            for start, stop, reads, each in self._writers[site]:
                macs = of_channel[:, start:stop].sum(1) * each
                if reads is None:
                    computed[-1] += macs
                else:
                    pairs.append(torch.cat([macs if other == site else self._zeros(other) for other in sites]))
                    written.append([float(site == other) for other in sites])
                    read.append(reads)
        numbers = sum(map(len, channels))
        return Weights(
            torch.tensor(self.fixed_macs, dtype=torch.float64),
            _own_columns(live),
            _own_columns(computed),
            _own_columns(channels),
            torch.stack(pairs, 1) if pairs else torch.zeros(numbers, 0, dtype=torch.float64),
            torch.tensor(written, dtype=torch.float64),
            torch.tensor(read, dtype=torch.int64),
        )

    def _zeros(self, site: int) -> Tensor:
        return torch.zeros(self.decisions(site), dtype=torch.float64)


def _own_columns(by_site: Sequence[Tensor]) -> Tensor:
    """Per site (D,) -> (N, S), each site's in a column of its own."""
    return torch.block_diag(*(part.unsqueeze(1) for part in by_site))
