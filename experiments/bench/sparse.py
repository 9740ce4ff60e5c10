"""How much of the counted saving a stream realises as time, against the fastest dense engine that is installed."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from agent.evaluation import agent_macs
from agent.policies.streaming import stream_policy
from backbone import Decision, FusionBackbone, Observation, create_cnn, fold_batchnorm
from backbone.sparse import Stream
from experiments.bench.engines import dense_engines
from experiments.bench.measure import Ratio
from experiments.loading import layout_of, load_trained

CLASSES = 174  # Something-Something
MIXES = ((1.0, 0.0, 0.0), (0.5, 0.3, 0.2), (0.2, 0.2, 0.6))  # shares of use, reuse and skip
DRAWS = 8  # frames' decisions, drawn before the clock runs
LEAST = {1: 0.65}  # realised share that is wanted, by group size
USUAL_LEAST = 0.80
DENSE_MOST = 1.05  # time with everything used


class Drawn:
    """Decisions of given shares at every site, shuffled; it looks at no features.

    :param shares: of use, reuse and skip
    """

    looks = False

    def __init__(self, backbone: FusionBackbone, shares: Sequence[float]) -> None:
        generator = np.random.default_rng(0)
        self.frames = [[self._draw(site.decisions, shares, generator) for site in backbone.sites] for _ in range(DRAWS)]
        self.frame = -1

    @staticmethod
    def _draw(decisions: int, shares: Sequence[float], generator: np.random.Generator) -> Tensor:
        chosen = np.full(decisions, int(Decision.SKIP))
        used, reused = (round(decisions * share) for share in (shares[Decision.USE], sum(shares[:2])))
        chosen[:used], chosen[used:reused] = Decision.USE, Decision.REUSE
        return torch.from_numpy(generator.permutation(chosen))

    def __call__(self, observation: Observation) -> Tensor:
        self.frame += observation.site == 0
        return self.frames[self.frame % DRAWS][observation.site]


def sparse_ratios(
    architectures: Sequence[str], groups: Sequence[int], runs: Sequence[Path], repeats: int, size: int, threads: int
) -> list[Ratio]:
    """For each CNN with all its sites and each granularity: the mixes; then trained agents at their own decisions."""
    torch.manual_seed(0)
    found = []
    for name in architectures:
        for group_size in groups:
            cnn = create_cnn(name, num_classes=CLASSES, size=size).eval()
            backbone = FusionBackbone(cnn, sites="both", history="fused", group_size=group_size).eval()
            streams = {mix: Stream(backbone, Drawn(backbone, mix)) for mix in MIXES}
            title = f"{name}, groups of {group_size}"
            named = {f"{title}, {'/'.join(f'{share:g}' for share in mix)}": stream for mix, stream in streams.items()}
            frames = torch.randn(1, 3, size, size)
            found += realised(named, backbone, frames, repeats, threads, least=LEAST.get(group_size, USUAL_LEAST))
    for folder in runs:
        model, backbone, trained = load_trained(folder, device="cpu")
        own = agent_macs(model, layout_of(model))
        stream = Stream(backbone, stream_policy(model), agent_macs=own)
        frames = torch.randn(DRAWS, 3, trained.data.size, trained.data.size)
        found += realised({f"{folder.name}, its own decisions": stream}, backbone, frames, repeats, threads, least=0.7)
    return found


@torch.no_grad()
def realised(
    streams: Mapping[str, Stream], backbone: FusionBackbone, frames: Tensor, repeats: int, threads: int, *, least: float
) -> list[Ratio]:
    """Of each stream, (1 - share of the dense time) / (1 - share of the dense MACs); of one that saves nothing, the time.

    :param frames: (T, 3, H, W), taken in turn
    """
    dense = dense_engines(fold_batchnorm(backbone).cnn, frames[:1], threads)
    times = in_turn({**dense, **{name: partial(_step, stream, frames) for name, stream in streams.items()}}, repeats)
    fastest = min(dense, key=lambda name: float(np.median(times[name])))
    found = []
    for name, stream in streams.items():
        shares = times[name] / times[fastest]
        time_share = float(np.median(times[name]) / np.median(times[fastest]))
        macs_share = stream.macs / (stream.frames * backbone.ledger.dense_macs)
        facts = f"{name}: {np.median(times[name]) * 1e3:.2f} ms a frame, {macs_share:.3f} of the MACs"
        low, high = (float(value) for value in np.quantile(shares, (0.25, 0.75)))
        if macs_share > 0.999:
            named = f"{facts}, time / {fastest}"
            found.append(Ratio(named, time_share, low, high, f"at most {DENSE_MOST:g}", time_share <= DENSE_MOST))
            continue
        share, most, fewest = ((1 - value) / (1 - macs_share) for value in (time_share, low, high))
        named = f"{facts}, {time_share:.3f} of the time of {fastest}: realised share"
        found.append(Ratio(named, share, fewest, most, f"at least {least:g}", share >= least))
    return found


def _step(stream: Stream, frames: Tensor) -> None:
    stream.step(frames[stream.frames % len(frames)])


def in_turn(runs: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, np.ndarray]:
    """Seconds of each, (repeats,), one after the other in every round."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in tqdm(range(-2, repeats), desc="stream", disable=None, leave=False):
        for name, run in runs.items():
            started = time.perf_counter()
            run()
            if turn >= 0:
                times[name].append(time.perf_counter() - started)
    return {name: np.array(taken) for name, taken in times.items()}
