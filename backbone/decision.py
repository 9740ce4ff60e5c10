"""The three decisions of AdaFuse: the only place where they have numbers."""

from enum import IntEnum
from functools import cache

import torch
from torch import Tensor


class Decision(IntEnum):
    """What becomes of one channel of a site's output y at frame t (AdaFuse, equation 2: p = 0, 1, 2)."""

    USE = 0  # pass on y_t
    REUSE = 1  # pass on y_{t-1}
    SKIP = 2  # pass on zero


def one_hot(decisions: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integer decisions (...) -> one-hot decisions (..., 3), the form in which they travel inside the project.

    In memory the three kinds lie one after the other, as the fusion of frames reads them.

    :raises RuntimeError: a number that is no Decision
    """
    chosen = decisions.long().flatten().expand(len(Decision), -1)
    return _identity(dtype, decisions.device).gather(1, chosen).view(-1, *decisions.shape).movedim(0, -1)


@cache
def _identity(dtype: torch.dtype, device: torch.device) -> Tensor:
    """(3, 3), made once: a walk asks at every site."""
    with torch.inference_mode(False):
        return torch.eye(len(Decision), dtype=dtype, device=device)


def per_channel(decisions: Tensor, channels: int, group_size: int, *, dim: int) -> Tensor:
    """What D groups of contiguous channels share, said for each of the C channels: D -> C along an axis.

    :param group_size: channels in a group (the last group may be smaller)
    :param dim: the axis of decisions, of length D
    :raises ValueError: another number of decisions
    """
    expected = -(-channels // group_size)
    if decisions.shape[dim] != expected:
        raise ValueError(f"expected {expected} decisions on {channels} channels, got {decisions.shape[dim]}")
    if group_size == 1:
        return decisions
    return decisions.repeat_interleave(group_size, dim).narrow(dim, 0, channels)
