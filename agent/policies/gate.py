"""The agent's network: one small gate a site, shared by every method."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from backbone import Decision, Site
from backbone.common.naming import did_you_mean

NORMS = ("layer", "batch")
NEVER = 60.0  # logits below the others: e^-60 vanishes beside any other probability, its logarithm stays finite


@dataclass(frozen=True)
class GateOptions:
    """How gates are built. The defaults are ours and cheap; AdaFuse has a quota, norm "batch" and shared gates.

    :param hidden: units between the two linear layers
    :param quota: in place of ``hidden``, quota // D units at a site of D decisions, at least 1: wide sites get narrow
        gates (AdaFuse: 196608 with a decision per channel)
    :param norm: "layer": LayerNorm of the input; "batch": BatchNorm of the hidden units (AdaFuse, section 3.3)
    :param shared: sites of equal input and output sizes have the same two linear layers, each its own norm (as
        AdaFuse's code does). Saves parameters, not MACs
    :param static: logits that ignore the input, whatever the other options say
    :param reuse: False: use and skip only, a probe. What such an agent tells of time has passed through its decisions
    :raises ValueError: an unknown norm, or sizes below 1
    """

    hidden: int = 32
    quota: int | None = None
    norm: Literal["layer", "batch"] = "layer"
    shared: bool = False
    static: bool = False
    reuse: bool = True

    def __post_init__(self) -> None:
        if self.norm not in NORMS:
            raise ValueError(
                f"expected a gate's norm among {', '.join(NORMS)}; got {self.norm!r}{did_you_mean(self.norm, NORMS)}"
            )
        for name in ("hidden", "quota"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"expected {name} of a gate to be at least 1, got {value}")

    def hidden_units(self, site: Site) -> int:
        """Units between the two linear layers of a site's gate."""
        return self.hidden if self.quota is None else max(self.quota // site.decisions, 1)


class GateLayers(nn.Module):
    """The two linear layers of a gate: all of it that sites may share.

    :param use_bias: start of the logit of USE above the others', so that a pretrained CNN starts almost intact
    """

    def __init__(self, site: Site, hidden: int, use_bias: float) -> None:
        super().__init__()
        self.hidden = nn.Linear(2 * site.in_channels, hidden)
        self.out = nn.Linear(hidden, len(Decision) * site.decisions)
        with torch.no_grad():
            self.out.bias.zero_().view(-1, len(Decision))[:, Decision.USE] = use_bias

    @property
    def macs(self) -> int:
        """MACs of one frame's decision."""
        return self.hidden.weight.numel() + self.out.weight.numel()


class Gate(nn.Module):
    """LayerNorm of [v_t, v_{t-1}], Linear, ReLU, Linear; or Linear, BatchNorm, ReLU, Linear (AdaFuse, section 3.3).

    :param layers: the linear layers; None where the network holds them for several sites
    """

    def __init__(self, site: Site, options: GateOptions, layers: GateLayers | None) -> None:
        super().__init__()
        self.norm: nn.Module
        if options.norm == "batch":
            self.norm = nn.BatchNorm1d(options.hidden_units(site))
        else:
            self.norm = nn.LayerNorm(2 * site.in_channels)
        self.layers = layers

    def forward(self, v: Tensor, v_previous: Tensor, layers: GateLayers) -> Tensor:
        features = torch.cat([v, v_previous], -1)
        if isinstance(self.norm, nn.LayerNorm):
            hidden = layers.hidden(self.norm(features))
        else:
            hidden = layers.hidden(features)
            hidden = self.norm(hidden.reshape(-1, hidden.shape[-1])).view_as(hidden)  # all frames of all clips
        return layers.out(torch.relu(hidden)).unflatten(-1, (-1, len(Decision)))


class StaticGate(nn.Module):
    """Logits that ignore the input: the learned policy that adaptivity has to beat. It costs nothing to run."""

    layers = None

    def __init__(self, site: Site, use_bias: float) -> None:
        super().__init__()
        logits = torch.zeros(site.decisions, len(Decision))
        logits[:, Decision.USE] = use_bias
        self.logits = nn.Parameter(logits)

    def forward(self, v: Tensor, v_previous: Tensor, layers: None) -> Tensor:
        return self.logits.expand(*v.shape[:-1], *self.logits.shape)


class GateNetwork(nn.Module):
    """A gate for each site.

    Shared layers stand once among the parameters and in the state dict, as "shared.IN_OUT" by their sizes.

    :param use_bias: as in GateLayers
    """

    reuse_gap: Tensor | None

    def __init__(self, sites: Sequence[Site], options: GateOptions = GateOptions(), *, use_bias: float = 1.0) -> None:
        super().__init__()
        self.gates, self.shared = nn.ModuleList(), nn.ModuleDict()
        self._sizes = [f"{2 * site.in_channels}_{len(Decision) * site.decisions}" for site in sites]
        for site, sizes in zip(sites, self._sizes):
            if options.static:
                self.gates.append(StaticGate(site, use_bias))
                continue
            layers = None
            if sizes not in self.shared:
                layers = GateLayers(site, options.hidden_units(site), use_bias)
                if options.shared:
                    self.shared[sizes], layers = layers, None
            self.gates.append(Gate(site, options, layers))
        # a buffer, so that a checkpoint with reuse cannot pass for one without it, nor the other way round
        self.register_buffer("reuse_gap", None if options.reuse else torch.tensor(NEVER))

    @property
    def macs(self) -> list[int]:
        """Per site, MACs per frame; shared layers run at each of their sites."""
        layers = map(self._layers, range(len(self.gates)))
        return [0 if own is None else own.macs for own in layers]

    def forward(self, site: int, v: Tensor, v_previous: Tensor) -> Tensor:
        """(..., C_in), (..., C_in) -> logits (..., D, 3)."""
        logits = self.gates[site](v, v_previous, self._layers(site))
        return logits if self.reuse_gap is None else without_reuse(logits, self.reuse_gap)

    def _layers(self, site: int) -> GateLayers | None:
        sizes = self._sizes[site]
        layers = self.shared[sizes] if sizes in self.shared else self.gates[site].layers
        return layers if isinstance(layers, GateLayers) else None


def without_reuse(logits: Tensor, gap: Tensor) -> Tensor:
    """Logits (..., 3) with that of REUSE so far below the larger of the others, without a gradient of its own."""
    others = logits.detach()[..., [Decision.USE, Decision.SKIP]]
    logits = logits.clone()
    logits[..., Decision.REUSE] = others.amax(-1) - gap
    return logits


def gate_macs(sites: Sequence[Site], options: GateOptions = GateOptions()) -> list[int]:
    """Per site, MACs per frame of a GateNetwork, without building one to keep."""
    with torch.device("meta"):
        return GateNetwork(sites, options).macs
