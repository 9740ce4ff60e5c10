"""What a clip costs. The only owner of cost in this project.

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
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from backbone.decision import Decision


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
    """Number of live channels a site passed on, (B, T) at frames t and (B, T) at frames t-1 (0 before the first)."""

    now: Tensor
    before: Tensor


class Writer(NamedTuple):
    """Layers that compute the same channels of a site: MACs of one channel (of one pair, if they read a site)."""

    start: int
    stop: int
    reads: int | None
    macs: float


class Ledger:
    """Counts the MACs of decisions.

    :param layers: every convolution and linear layer of the CNN
    :param channels: per site, the channels it decides on
    :param history: "raw" or "fused", see the module's text
    """

    def __init__(self, layers: Sequence[Layer], channels: Sequence[int], history: str = "raw") -> None:
        self.layers = tuple(layers)
        self.channels = tuple(channels)
        self.history = history
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

    def _find_writers(self, site: int) -> list[Writer]:
        macs: dict[tuple[int, int, int | None], float] = {}
        for layer in self.layers:
            if layer.writes == site:
                start, stop = layer.outputs or (0, self.channels[site])
                pairs = (stop - start) * (1 if layer.reads is None else self.channels[layer.reads])
                key = (start, stop, layer.reads)
                macs[key] = macs.get(key, 0.0) + layer.macs / pairs
        return [Writer(*key, macs_each) for key, macs_each in macs.items()]

    def reads(self, site: int) -> int | None:
        """The site whose decided channels are the input of a layer that writes ``site``, or None."""
        return next((writer.reads for writer in self._writers[site] if writer.reads is not None), None)

    def live(self, decisions: Tensor, ready: Tensor, has_previous: Tensor) -> Tensor:
        """Which channels the site passes on: (B, T, C, 3), (B, C), (B, T) -> (B, T, C).

        :param decisions: one-hot decisions or probabilities
        :param ready: at the first of these frames, whether the previous output stands ready
        :param has_previous: 0 at a clip's first frame, else 1
        """
        use, reuse = decisions[..., Decision.USE], decisions[..., Decision.REUSE]
        if self.history == "raw":
            return use + reuse * has_previous.to(use.dtype).unsqueeze(-1)
        live, previous = [], ready
        for t in range(use.shape[1]):
            previous = use[:, t] + reuse[:, t] * previous
            live.append(previous)
        return torch.stack(live, 1)

    def site_macs(
        self,
        site: int,
        decisions: Tensor,
        ready: Tensor,
        has_previous: Tensor,
        input_live: Live | None = None,
        agent_macs: float = 0.0,
        live: Tensor | None = None,
    ) -> Tensor:
        """MACs of all that runs in a site's step, charged causally: float64 (B, T).

        :param decisions: (B, T, C, 3) one-hot decisions, or probabilities for the exact expected cost
        :param ready: (B, C), at the first of these frames: is the previous output computed already?
        :param has_previous: (B, T), 0 at a clip's first frame, else 1
        :param input_live: live channels of the site that this site's convolution reads, where it reads one
        :param agent_macs: MACs per frame of the agent's own gate at this site
        :param live: what ``live`` says of these decisions, if it was asked already
        """
        live = self.live(decisions, ready, has_previous) if live is None else live
        used = decisions[..., Decision.USE]
        late = None  # reused, and computed only now: y_{t-1}
        if self.history == "raw":
            ready_all = torch.cat([ready.unsqueeze(1), used[:, :-1]], 1)
            late = decisions[..., Decision.REUSE] * (1 - ready_all)
        macs = self._column_macs[site] * live.sum(-1).double() + (self.fixed_macs[site] + agent_macs)
        for start, stop, reads, each in self._writers[site]:
            now = used[..., start:stop].sum(-1).double()
            before = None if late is None else late[..., start:stop].sum(-1).double() * has_previous
            if reads is not None:
                if input_live is None:
                    raise ValueError(f"site {site} reads the decided channels of site {reads}: input_live is needed")
                now = now * input_live.now
                before = None if before is None else before * input_live.before
            macs = macs + each * (now if before is None else now + before)
        return macs


def layer_macs(module: nn.Module, run: Callable[[nn.Module], object]) -> dict[str, int]:
    """MACs of each convolution and linear layer that ``run`` executes, for one frame, found without computing.

    :param module: a CNN; it is copied to the meta device, so nothing is computed and nothing changes
    :param run: called with the copy, runs it on one meta frame
    :raises ValueError: a layer has weights but is of a kind that has no rule here
    """
    macs: dict[str, int] = {}
    ghost = copy.deepcopy(module).to("meta", torch.float32).eval()

    def count(name: str) -> Callable:
        def hook(layer: nn.Module, _inputs: tuple, output: Tensor) -> None:
            weight = layer.weight
            positions = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else output[..., 0].numel()
            macs[name] = macs.get(name, 0) + positions * weight.numel()

        return hook

    for name, layer in ghost.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count(name))
        elif not isinstance(layer, nn.BatchNorm2d) and next(layer.parameters(recurse=False), None) is not None:
            raise ValueError(
                f"expected Conv2d, Linear and BatchNorm2d layers, got {type(layer).__name__} at {name!r}: "
                "add its cost to backbone/cost/ledger.py"
            )
    with torch.no_grad():
        run(ghost)
    return macs
