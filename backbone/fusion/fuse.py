"""The fusion of frames itself: AdaFuse's equation 2."""

from __future__ import annotations

from typing import Any

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
    kinds = decisions.movedim(-1, 0).contiguous()[..., None, None]  # channels side by side: vectorised along them
    use, reuse = kinds[Decision.USE], kinds[Decision.REUSE]
    if history == "fused":
        y, fused = repeat_rows(y, len(decisions)), []
        previous = None if past is None else repeat_rows(past, len(decisions))
        for t in range(y.shape[1]):
            now = y[:, t] * use[:, t]
            previous = now if previous is None else torch.addcmul(now, previous, reuse[:, t])
            fused.append(previous.movedim(1, -1))
        return torch.stack(fused, 1).movedim(-1, 2)  # features that are channels_last stay it
    # y is the same in all rollouts of a clip: broadcast it over them, (B, K, T, C, H, W)
    use, reuse = use.unflatten(0, (len(y), -1)), reuse.unflatten(0, (len(y), -1))
    fused_rows: Tensor = _FuseRaw.apply(y.unsqueeze(1), use, reuse, None if past is None else past.unsqueeze(1))
    return fused_rows.flatten(0, 1)


class _FuseRaw(torch.autograd.Function):
    """use_t y_t + reuse_t y_{t-1} without a copy of y that is shifted by a frame, forwards or backwards.

    y (B, 1, T, C, H, W), use and reuse (B, K, T, C, 1, 1), past (B, 1, C, H, W) or None -> (B, K, T, C, H, W).
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, use: Tensor, reuse: Tensor, past: Tensor | None) -> Tensor:
        ctx.save_for_backward(y, use, reuse, past)
        fused = y * use
        fused[:, :, 1:].addcmul_(y[:, :, :-1], reuse[:, :, 1:])
        if past is not None:
            fused[:, :, 0].addcmul_(past, reuse[:, :, 0])
        return fused

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (g,), (y, use, reuse, past) = gradients, ctx.saved_tensors
        wanted = ctx.needs_input_grad
        of_y = of_use = of_reuse = of_past = None
        if wanted[0]:
            of_y = g * use
            of_y[:, :, :-1].addcmul_(g[:, :, 1:], reuse[:, :, 1:])
            of_y = of_y.sum(1, keepdim=True)
        if wanted[1]:
            of_use = (g * y).sum((-2, -1), keepdim=True)
        if wanted[2]:
            later = (g[:, :, 1:] * y[:, :, :-1]).sum((-2, -1), keepdim=True)
            first = torch.zeros_like(reuse[:, :, :1])
            if past is not None:
                first = (g[:, :, :1] * past.unsqueeze(2)).sum((-2, -1), keepdim=True)
            of_reuse = torch.cat([first, later], 2)
        if past is not None and wanted[3]:
            of_past = (g[:, :, 0] * reuse[:, :, 0]).sum(1, keepdim=True)
        return of_y, of_use, of_reuse, of_past
