"""Clips and their rollouts as rows of a tensor: rollouts i*K ... i*K + K - 1 belong to clip i."""

from __future__ import annotations

from torch import Tensor


def repeat_rows(tensor: Tensor, rows: int) -> Tensor:
    """(B, ...) -> (B*K, ...): each row K times, so that there are ``rows``; an equal number passes through."""
    return tensor if len(tensor) == rows else tensor.repeat_interleave(rows // len(tensor), 0)
