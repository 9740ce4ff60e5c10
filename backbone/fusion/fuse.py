"""The fusion of frames itself: AdaFuse's equation 2."""

from __future__ import annotations

import torch
from torch import Tensor

from backbone.common.rows import repeat_rows
from backbone.decision import Decision


def fuse(y: Tensor, decisions: Tensor, past: Tensor | None, history: str) -> Tensor:
    """Fuse y (B, T, C, H, W) with its past: use * y_t + reuse * history_{t-1}.

    :param decisions: (R, T, C, 3), R = B or B*K
    :param past: (R or B, C, H, W) history before the first of these frames; None at a clip's start: zero
    :param history: "raw": y_{t-1} itself; "fused": what frame t-1 passed on
    :returns: (R, T, C, H, W)
    """
    use, reuse = (decisions[..., kind, None, None] for kind in (Decision.USE, Decision.REUSE))
    if history == "fused":
        y, fused = repeat_rows(y, len(decisions)), []
        previous = None if past is None else repeat_rows(past, len(decisions))
        for t in range(y.shape[1]):
            now = y[:, t] * use[:, t]
            previous = now if previous is None else torch.addcmul(now, previous, reuse[:, t])
            fused.append(previous)
        return torch.stack(fused, 1)
    # y is the same in all rollouts of a clip: broadcast it over them, (B, K, T, C, H, W)
    use, reuse = use.unflatten(0, (len(y), -1)), reuse.unflatten(0, (len(y), -1))
    previous = _before(y, past)
    return torch.addcmul(y.unsqueeze(1) * use, previous.unsqueeze(1), reuse).flatten(0, 1)


def _before(y: Tensor, past: Tensor | None) -> Tensor:
    """Frames (B, T, C, H, W) -> each one's previous frame; as (B, C, T, H, W) features that are channels_last stay it."""
    y = y.transpose(1, 2)
    first = torch.zeros_like(y[:, :, :1]) if past is None else past.unsqueeze(2)
    return torch.cat([first, y[:, :, :-1]], 2).transpose(1, 2)
