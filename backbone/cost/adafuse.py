"""What decided clips cost, by our own count or by the one of AdaFuse's published code.

``causal`` is this project's count (``backbone/cost/ledger.py``, ``walk_macs``): exact, what an execution cut down to the
live channels runs.

``adafuse`` repeats ``compute_gflops_by_mask`` of the published code, so that its figures can be set beside ours. With
u, r, s in {0, 1} for use, reuse and skip, averaged over frames and channels, it charges

    dense - sum over sites of (up * mean(a) + down * mean(s)),    a_t = (1 - u_t)(1 - r_{t+1}),    a_T = 1 - u_{T-1},

up and down being the convolutions that write and that read the site. It differs from the exact count in that

1. the last frame is charged with the decisions of the frame before it (a_T holds u_{T-1}, not u_T; T = 1 has no cost);
2. savings are added where a convolution both reads one site and writes another, and the product would be right: such
   convolutions can cost less than nothing;
3. reuse at a clip's first frame counts as alive downstream, although it passes on zero;
4. a linear layer that reads decided channels (BN-Inception's classifier) saves nothing.

One worked example, a site of one channel between two convolutions of 1 MAC, T = 2, decisions skip then use: exact is
0 + 0 at the first frame and 1 + 1 at the second, 2 in all. AdaFuse's code takes a = (1, 1), for the second frame looks
at the first one's u = 0, and saves up * 1 and down * 1/2 a frame: 2 * (2 - 1 - 0.5) = 1 in all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from backbone.common.naming import did_you_mean
from backbone.cost.ledger import Ledger
from backbone.cost.walk import walk_macs
from backbone.decision import Decision, per_channel


def adafuse_macs(ledger: Ledger, decisions: Sequence[Tensor]) -> Tensor:
    """The count of AdaFuse's published code; see ``clip_macs``.

    :raises ValueError: clips of one frame, for which that code has no count
    """
    frames = decisions[0].shape[1]
    if frames < 2:
        raise ValueError("expected clips of at least 2 frames: AdaFuse's code has no count for a single one")
    saved = decisions[0].new_zeros(len(decisions[0]), dtype=torch.float64)
    for site, of_groups in enumerate(decisions):
        chosen = per_channel(of_groups, ledger.channels[site], ledger.group_size, dim=-2)
        use, reuse, skip = (chosen[..., decision].double() for decision in Decision)
        absent = 1 - use
        absent[:, :-1] *= 1 - reuse[:, 1:]
        absent[:, -1] = 1 - use[:, -2]
        for layer in ledger.layers:
            if layer.writes == site:
                start, stop = layer.outputs or (0, ledger.channels[site])
                saved = saved + layer.macs * absent[..., start:stop].mean((1, 2))
            if layer.reads == site and not layer.linear:
                saved = saved + layer.macs * skip.mean((1, 2))
    return frames * (ledger.dense_macs - saved)


def causal_macs(ledger: Ledger, decisions: Sequence[Tensor]) -> Tensor:
    """This project's count of whole clips; see ``clip_macs``."""
    return walk_macs(ledger, decisions).sum((1, 2))


ACCOUNTINGS: dict[str, Callable[[Ledger, Sequence[Tensor]], Tensor]] = {"causal": causal_macs, "adafuse": adafuse_macs}


def clip_macs(
    ledger: Ledger,
    decisions: Sequence[Tensor],
    *,
    accounting: str = "causal",
    agent_macs: Sequence[float] = (),
) -> Tensor:
    """MACs of whole clips from their decisions alone: float64 (R,).

    :param decisions: per site, one-hot, (R, T, D, 3)
    :param accounting: "causal" or "adafuse", see this module's text
    :param agent_macs: per site, MACs per frame of the agent, added to both
    :raises ValueError: an unknown name
    """
    if accounting not in ACCOUNTINGS:
        raise ValueError(
            f"expected accounting to be one of {', '.join(ACCOUNTINGS)}, got {accounting!r}{did_you_mean(accounting, ACCOUNTINGS)}"
        )
    return ACCOUNTINGS[accounting](ledger, decisions) + sum(agent_macs) * decisions[0].shape[1]
