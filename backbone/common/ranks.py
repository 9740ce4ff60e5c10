"""One run over many processes (ranks): who this one is, and what all must do together.

A run over R ranks is the run of one process, divided: each batch has the same clips, of which every rank takes R-th parts in
the order of ranks; every rank draws the random numbers of the whole batch from the same generator and takes its own rows'; what
crosses clips (gradients, BatchNorm statistics, figures) is reduced. So R changes nothing but sums' last digits.

Without ``start`` there is one rank, and all of this does nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:  # who asks for the rank alone, as every file that is written does, waits for no torch
    import torch
    from torch import Tensor

T = TypeVar("T")
WAITING = timedelta(minutes=30)  # for the others: rank 0 may be decoding videos


@dataclass
class Traffic:
    """What ranks have told each other since it was reset.

    :param bytes: reduced, of this rank
    :param seconds: spent in reductions, waiting for slower ranks included
    """

    bytes: int = 0
    reductions: int = 0
    seconds: float = 0.0


traffic = Traffic()
_count, _rank = 1, 0
_opening = False  # whether inside ``in_turn``
_divided = True  # whether batches are those of all ranks together


def start(backend: str) -> None:
    """Join the other processes, as torchrun's environment names them.

    :param backend: "nccl" or "gloo"
    """
    import torch
    from torch import distributed as dist

    global _count, _rank
    if backend == "nccl":
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    dist.init_process_group(backend, timeout=WAITING)
    _count, _rank = dist.get_world_size(), dist.get_rank()


def leave() -> None:
    """The end of ``start``."""
    from torch import distributed as dist

    global _count, _rank
    if dist.is_initialized():
        dist.destroy_process_group()
    _count, _rank = 1, 0


def launched() -> int:
    """Ranks that torchrun has started this process as one of; 1 where it has not."""
    return int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1


def restarted() -> bool:
    """Has torchrun started these processes again, after one of them had died?"""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0


def count() -> int:
    """Ranks in all."""
    return _count


def rank() -> int:
    """This one, from 0."""
    return _rank


def first() -> bool:
    """Is this the rank that writes, logs and prints?"""
    return rank() == 0


def dividing() -> int:
    """Ranks among which a batch is divided here; 1 inside ``undivided``."""
    return count() if _divided else 1


@contextmanager
def undivided() -> Iterator[None]:
    """What every rank does by itself, alike: evaluations, statistics of a judged policy."""
    global _divided
    before, _divided = _divided, False
    try:
        yield
    finally:
        _divided = before


def share(rows: int, what: str) -> int:
    """How many of a batch's clips are this rank's.

    :param what: the option that says how many there are, for the error
    :raises ValueError: they cannot be divided evenly
    """
    if rows % count():
        raise ValueError(
            f"expected a multiple of the {count()} processes for {what}, got {rows}: take another number of either, so that "
            "each has as many clips"
        )
    return rows // count()


def own(rows: Sequence[T] | Any) -> Any:
    """This rank's part of something that has a row for each of a batch's clips; evenly divisible."""
    part = len(rows) // count()
    return rows[rank() * part : (rank() + 1) * part]


def drawn(draw: Callable[[Sequence[int]], Tensor], shape: Sequence[int]) -> Tensor:
    """Random numbers of this rank's rows: ``draw`` is asked for those of the rows of all ranks, and the others' are dropped.

    :param shape: whose first entry counts this rank's rows
    """
    ranks = dividing()
    if ranks == 1:
        return draw(shape)
    rows = shape[0]
    return draw((ranks * rows, *shape[1:]))[rank() * rows : (rank() + 1) * rows]


def reduce(tensor: Tensor) -> Tensor:
    """The sum over all ranks, in place."""
    from torch import distributed as dist

    started = time.perf_counter()
    dist.all_reduce(tensor)
    traffic.seconds += time.perf_counter() - started
    traffic.reductions += 1
    traffic.bytes += tensor.numel() * tensor.element_size()
    return tensor


def mean(values: Sequence[float]) -> list[float]:
    """Of each value over all ranks, which have equally many clips."""
    if dividing() == 1:
        return list(values)
    import torch
    from torch import distributed as dist

    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    return (reduce(torch.tensor(values, dtype=torch.float64, device=device)) / count()).tolist()


def any_of(asked: bool) -> bool:
    """Does any rank say so?"""
    return asked if count() == 1 else bool(_everybody(asked).count(True))


def average_gradients(parameters: Iterable[torch.nn.Parameter], weight: float = 1.0) -> None:
    """Put the mean over all ranks in the place of each gradient; one that no rank has stays away.

    :param weight: of this rank's, where ranks have unequally many rows; the mean of all weights is 1
    """
    if dividing() == 1:
        return
    import torch

    every = [parameter for parameter in parameters if parameter.requires_grad]
    have = torch.tensor([float(parameter.grad is not None) for parameter in every], device=every[0].device)
    found = [torch.zeros_like(p) if p.grad is None or not weight else p.grad * weight for p in every]
    parts = [part.flatten() for part in found]
    flat = reduce(torch.cat([*parts, have.to(parts[0].dtype)]))
    gradients = (flat[: -len(every)] / count()).split([len(part) for part in parts])
    for parameter, gradient, ranks in zip(every, gradients, flat[-len(every) :].tolist()):
        if ranks:
            parameter.grad = gradient.view_as(parameter).clone()


def first_does(act: Callable[[], T]) -> T:
    """What rank 0's ``act`` returns, on every rank; the others wait, and stop with its error.

    :raises ValueError: that rank 0 has met
    """
    if count() == 1:
        return act()
    from torch import distributed as dist

    found: list[Any] = [None, None]
    if first():
        try:
            found[0] = act()
        except (ValueError, OSError) as error:
            found[1] = error
    dist.broadcast_object_list(found, src=0)
    if found[1] is not None:
        raise found[1]
    return found[0]


def in_turn(act: Callable[[], T]) -> T:
    """``act`` on each machine's first rank, then on all others: for what it leaves on that machine, as decoded videos."""
    global _opening
    if count() == 1:
        return act()
    from torch import distributed as dist

    leads = int(os.environ.get("LOCAL_RANK", rank())) == 0
    _opening = True
    try:
        if leads:
            found = act()
        dist.barrier()
        if not leads:
            found = act()
    finally:
        _opening = False
    return found


def writes() -> bool:
    """May this process write files? Of many ranks the first, and every one inside ``in_turn``."""
    return _opening or first()


def gathered(part: T) -> list[T]:
    """What each rank has, in their order, on every rank."""
    return [part] if count() == 1 else _everybody(part)


def _everybody(part: T) -> list[T]:
    from torch import distributed as dist

    found: list[Any] = [None] * count()
    dist.all_gather_object(found, part)
    return found
