"""The agent's network: one small gate a site, shared by every method."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from backbone import Decision, Site

HIDDEN = 32


class Gate(nn.Module):
    """LayerNorm of [v_t, v_{t-1}], Linear, ReLU, Linear (AdaFuse, section 3.3, which has a BatchNorm in between).

    :param hidden: units between the two linear layers
    :param use_bias: start of the logit of USE above the others', so that a pretrained CNN starts almost intact
    """

    def __init__(self, site: Site, hidden: int, use_bias: float) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(2 * site.in_channels)
        self.hidden = nn.Linear(2 * site.in_channels, hidden)
        self.out = nn.Linear(hidden, len(Decision) * site.decisions)
        with torch.no_grad():
            self.out.bias.zero_().view(-1, len(Decision))[:, Decision.USE] = use_bias

    @property
    def macs(self) -> int:
        """MACs of one frame's decision."""
        return self.hidden.weight.numel() + self.out.weight.numel()

    def forward(self, v: Tensor, v_previous: Tensor) -> Tensor:
        hidden = torch.relu(self.hidden(self.norm(torch.cat([v, v_previous], -1))))
        return self.out(hidden).unflatten(-1, (-1, len(Decision)))


class StaticGate(nn.Module):
    """Logits that ignore the input: the learned policy that adaptivity has to beat. It costs nothing to run."""

    macs = 0

    def __init__(self, site: Site, use_bias: float) -> None:
        super().__init__()
        logits = torch.zeros(site.decisions, len(Decision))
        logits[:, Decision.USE] = use_bias
        self.logits = nn.Parameter(logits)

    def forward(self, v: Tensor, v_previous: Tensor) -> Tensor:
        return self.logits.expand(*v.shape[:-1], *self.logits.shape)


class GateNetwork(nn.Module):
    """A gate for each site.

    :param static: gates that ignore their input
    :param hidden, use_bias: as in Gate
    """

    def __init__(
        self, sites: Sequence[Site], *, hidden: int = HIDDEN, use_bias: float = 1.0, static: bool = False
    ) -> None:
        super().__init__()
        self.gates = nn.ModuleList(
            StaticGate(site, use_bias) if static else Gate(site, hidden, use_bias) for site in sites
        )

    @property
    def macs(self) -> list[int]:
        """Per site, MACs per frame."""
        return [gate.macs for gate in self.gates]

    def forward(self, site: int, v: Tensor, v_previous: Tensor) -> Tensor:
        """(..., C_in), (..., C_in) -> logits (..., D, 3)."""
        return self.gates[site](v, v_previous)


def gate_macs(sites: Sequence[Site], hidden: int = HIDDEN, *, static: bool = False) -> list[int]:
    """Per site, MACs per frame of a GateNetwork, without building one to keep."""
    with torch.device("meta"):
        return GateNetwork(sites, hidden=hidden, static=static).macs
