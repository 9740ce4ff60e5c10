"""One pretraining over several ranks: its speed, what ranks tell each other, and what that predicts for more of them."""

from __future__ import annotations

import multiprocessing
import os
import socket
import time
from typing import Any, NamedTuple

import numpy as np
import torch

from agent.pretraining.training import Pretraining
from backbone import FusionBackbone, create_cnn
from backbone.common import ranks
from experiments.bench.measure import Ratio

CLASSES, FRAMES = 174, 8
WARMUP, UPDATES = 3, 10
WANTED = 0.9  # of the clips a second of one rank with all the threads


class Measured(NamedTuple):
    """An update, as a run over some ranks makes it.

    :param seconds: of an update, the median
    :param bytes: that a rank reduces in an update
    :param reductions: in an update
    :param share: of the time that goes into reductions, waiting for slower ranks included; none of it is overlapped
    """

    ranks: int
    clips: int
    seconds: float
    bytes: int
    reductions: int
    share: float

    @property
    def clips_per_second(self) -> float:
        return self.clips / self.seconds


class Link(NamedTuple):
    """What joins ranks.

    :param bandwidth: bytes a second that leave a rank
    :param latency: seconds of one message
    """

    bandwidth: float
    latency: float


def reduction_seconds(count: int, bytes: float, reductions: int, link: Link) -> float:
    """Of an update's reductions: a ring sends each byte 2 (R - 1) / R times, and a reduction takes 2 log2 R messages (a tree,
    which NCCL takes for small ones)."""
    if count == 1:
        return 0.0
    return 2 * (count - 1) / count * bytes / link.bandwidth + reductions * 2 * np.log2(count) * link.latency


def efficiency(step_seconds: float, count: int, bytes: float, reductions: int, link: Link) -> float:
    """Clips a second of R ranks over R times those of one, each with as many clips as that one has; nothing is overlapped."""
    return step_seconds / (step_seconds + reduction_seconds(count, bytes, reductions, link))


def scaling_ratios(repeats: int) -> list[Ratio]:
    """Ranks against one process that has as many threads, or on GPUs against one GPU, on as many clips each."""
    on_gpus = torch.cuda.is_available()
    counts = [count for count in (2, 4, 8) if count <= (torch.cuda.device_count() if on_gpus else 2)]
    return [_against_one(count, max(repeats // 7, 1), on_gpus) for count in counts]


def _against_one(count: int, repeats: int, on_gpus: bool) -> Ratio:
    # on a CPU all have the same clips to do, and on GPUs each has as many
    batch, architecture, size = (8, "resnet50", 224) if on_gpus else (64, "resnet_small", 32)
    shape: dict[str, Any] = {"architecture": architecture, "size": size}
    many, one = [], []
    for _ in range(repeats):
        one.append(measure(1, batch, threads=1 if on_gpus else count, **shape))
        many.append(measure(count, batch * (count if on_gpus else 1), threads=1, **shape))
    found = np.array([a.clips_per_second for a in many]) / np.array([b.clips_per_second for b in one])
    found = found / count if on_gpus else found
    last = many[-1]
    print(
        f"{count} ranks, {architecture}: {last.seconds * 1000:.1f} ms an update of {last.clips} clips, "
        f"{last.bytes / 1e6:.2f} MB reduced in {last.reductions} reductions, {last.share:.1%} of the time, none overlapped"
    )
    ratio, (low, high) = float(np.median(found)), np.quantile(found, (0.25, 0.75))
    against = "1 GPU, clips a second of each" if on_gpus else f"1 rank with {count} threads, clips a second"
    wanted = f"at least {WANTED:g}"
    return Ratio(f"{count} ranks / {against}", ratio, float(low), float(high), wanted, ratio >= WANTED)


def measure(count: int, batch: int, *, architecture: str, size: int, threads: int, updates: int = UPDATES) -> Measured:
    """Pretraining on noise over so many ranks of this machine.

    :param batch: clips of all ranks together
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    found = context.Queue()
    options = (count, port, batch, architecture, size, threads, updates, found)
    processes = [context.Process(target=_rank, args=(rank, *options), daemon=True) for rank in range(count)]
    for process in processes:
        process.start()
    measured: list[Measured] = [found.get() for _ in processes]
    for process in processes:
        process.join()
    return max(measured, key=lambda one: one.seconds)


def _rank(
    rank: int,
    count: int,
    port: int,
    batch: int,
    architecture: str,
    size: int,
    threads: int,
    updates: int,
    found: Any,
) -> None:
    torch.set_num_threads(threads)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(count)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    ranks.start("nccl" if device.type == "cuda" else "gloo")
    torch.manual_seed(0)
    backbone = FusionBackbone(create_cnn(architecture, num_classes=CLASSES, size=size)).to(device)
    training = Pretraining(backbone, steps=1000, learning_rate=1e-3)
    own = ranks.share(batch, "the batch")
    frames = backbone.preprocess(torch.randint(256, (own, FRAMES, size, size, 3), dtype=torch.uint8))
    labels = torch.randint(CLASSES, (own,), device=device)
    seconds = []
    for update in range(-WARMUP, updates):
        if update == 0:
            ranks.traffic = ranks.Traffic()
        started = time.perf_counter()
        training.step(frames, labels)
        if device.type == "cuda":
            torch.cuda.synchronize()
        if update >= 0:
            seconds.append(time.perf_counter() - started)
    told, whole = ranks.traffic, sum(seconds)
    per_update = (told.bytes // updates, told.reductions // updates)
    found.put(Measured(count, batch, float(np.median(seconds)), *per_update, told.seconds / whole))
    ranks.leave()
