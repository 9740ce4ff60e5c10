"""The three decisions of AdaFuse: the only place where they have numbers."""

from enum import IntEnum

import torch
from torch import Tensor
from torch.nn import functional as F


class Decision(IntEnum):
    """What becomes of one channel of a site's output y at frame t (AdaFuse, equation 2: p = 0, 1, 2)."""

    USE = 0  # pass on y_t
    REUSE = 1  # pass on y_{t-1}
    SKIP = 2  # pass on zero


def one_hot(decisions: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
    """Integer decisions (...) -> one-hot decisions (..., 3), the form in which they travel inside the project.

    :raises IndexError: a number that is no Decision
    """
    return F.embedding(decisions.long(), torch.eye(len(Decision), dtype=dtype, device=decisions.device))


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
