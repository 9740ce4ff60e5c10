"""A trained agent on a video as a stream: classes, decisions and cost as ``play`` gives them, and the time that it took."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from agent.policies.streaming import stream_policy
from backbone import FusionBackbone, one_hot
from backbone.sparse import Stream
from envs.decisions import Decisions
from experiments.videos.prediction import Prediction, Trained, read_clip, split_macs

REPEATS = 3  # times that the frames are run for their time, beside a first that does not count


@dataclass(frozen=True)
class Timing:
    """What a frame takes, medians, beside the same frames with everything used.

    :param ms: a frame, the agent's own part included
    :param dense_ms: the same when everything is used and nobody decides
    :param engine: that ran it
    """

    ms: float
    dense_ms: float
    engine: str
    threads: int

    @property
    def ratio(self) -> float:
        """Share of the dense time."""
        return self.ms / self.dense_ms


def open_stream(trained: Trained) -> Stream:
    """:raises ValueError: a run that no stream can play"""
    return Stream(trained.backbone, stream_policy(trained.model), agent_macs=trained.agent_macs)


def play_stream(trained: Trained, path: Path) -> tuple[Prediction, Timing]:
    """Classify one video frame by frame.

    :raises ValueError: the video cannot be used, or the run cannot be played as a stream
    """
    frames = trained.backbone.preprocess(torch.from_numpy(read_clip(trained, path).frames([0])))[0]
    stream = open_stream(trained)
    scores, decisions = [], []
    for frame in frames:
        scores.append(stream.step(frame))
        decisions.append(stream.decisions)
    by_site = tuple(np.stack(chosen)[None].astype(np.int8) for chosen in zip(*decisions))
    played = Decisions(trained.layout.sites, by_site)
    frame_macs, site_macs = split_macs(
        trained.backbone, [one_hot(torch.from_numpy(chosen)) for chosen in by_site], trained.agent_macs
    )
    prediction = Prediction(
        probabilities=torch.stack(scores).double().softmax(-1).numpy(),
        decisions=played,
        macs_ratio=stream.macs / (len(frames) * trained.backbone.ledger.dense_macs),
        frame_macs=frame_macs,
        site_macs=site_macs / len(frames),
    )
    return prediction, measure(stream, trained.backbone, frames)


def measure(stream: Stream, backbone: FusionBackbone, frames: Tensor, repeats: int = REPEATS) -> Timing:
    """Time of a stream on normalised frames (T, 3, H, W), in turn with one that uses everything."""
    seconds: dict[str, list[float]] = {"own": [], "dense": []}
    dense = Stream(backbone, engine=stream.engine)
    for turn in range(repeats + 1):
        for name, runner in (("own", stream), ("dense", dense)):
            runner.reset()
            for frame in frames:
                started = time.perf_counter()
                runner.step(frame)
                if turn:
                    seconds[name].append(time.perf_counter() - started)
    own, all_used = (1e3 * float(np.median(taken)) for taken in seconds.values())
    return Timing(own, all_used, stream.runs_on, torch.get_num_threads())
