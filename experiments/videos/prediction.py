"""A trained agent plays a video that has no label: classes frame by frame, decisions, and what they cost where."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agent.evaluation import Predictor, agent_macs, episodes_for
from backbone import FusionBackbone, load_backbone, walk_macs
from envs.clips import ArrayClips
from envs.clips.sampling import evaluation_indices, fewest_frames
from envs.clips.video.decode import centre, sample_frames
from envs.clips.video.read import open_video
from envs.decisions import Decisions
from envs.rollout import rollout
from envs.spaces import StepLayout
from experiments.config import Data, Predict
from experiments.loading import layout_of, load_trained
from experiments.machine import import_plugins, set_up_cpu
from experiments.run import Run


@dataclass(frozen=True)
class Trained:
    """A run, ready to classify.

    :param classes: K names, in the order of the logits
    :param agent_macs: per site, MACs per frame of the agent's own gate
    :param fingerprint: of configuration, weights and agent: equal ones give equal predictions
    """

    folder: Path
    model: Predictor
    backbone: FusionBackbone
    classes: tuple[str, ...]
    data: Data
    layout: StepLayout
    agent_macs: list[float]
    fingerprint: str


@dataclass(frozen=True)
class Prediction:
    """A clip of T frames, played greedily as ``evaluate`` does.

    :param probabilities: (T, K) of the classes after each frame; the last row is the clip's
    :param decisions: of this one clip
    :param macs_ratio: MACs spent, the agent's own included, as a share of the dense CNN's
    :param frame_macs: (T,) these MACs frame by frame
    :param site_macs: (S,) and site by site, mean of a frame
    """

    probabilities: np.ndarray
    decisions: Decisions
    macs_ratio: float
    frame_macs: np.ndarray
    site_macs: np.ndarray


def open_trained(config: Predict) -> Trained:
    """:raises ValueError: no run, or no checkpoint in it"""
    set_up_cpu(config.threads)
    run = Run(config.run)
    trained = run.agent()
    with redirect_stdout(sys.stderr):  # a plugin may print
        import_plugins(trained.plugin, named_by=config.run)
        classes = tuple(load_backbone(trained.backbone)[1]["classes"])
        shape = (1, trained.data.num_frames, trained.data.size, trained.data.size, 3)
        blank = ArrayClips(np.zeros(shape, np.uint8), np.zeros(1, int), classes)  # the videos of training may be gone
        model, backbone, trained = load_trained(config.run, device=config.device, clips=blank)
    layout = layout_of(model)
    digest = hashlib.sha256()
    for path in (run.manifest, run.checkpoint, trained.backbone):
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    spent, fingerprint = agent_macs(model, layout), digest.hexdigest()[:12]
    return Trained(config.run, model, backbone, classes, trained.data, layout, spent, fingerprint)


def read_frames(path: Path, data: Data, *, size: int) -> np.ndarray:
    """The frames that ``evaluate`` takes, their shorter side scaled to ``size`` and cropped: (T, size, size, 3) uint8.

    :param data: of the run, for T and how they are sampled
    :raises ClipError: no whole video, or one of too few frames for that
    """
    how: dict[str, Any] = {"sampling": data.sampling, "short": data.short}

    def choose(count: int) -> np.ndarray:
        return evaluation_indices(count, data.num_frames, **how)[0]

    fewest = fewest_frames(data.num_frames, **how)
    video = open_video(path, square=data.pixels == "square")
    return sample_frames(video, choose, fewest=fewest, size=size, convert=partial(centre, size=size))


def read_clip(trained: Trained, path: Path) -> ArrayClips:
    """A video as one clip, as ``evaluate`` sees it.

    :raises ClipError: it cannot be used
    """
    data = trained.data
    frames = read_frames(path, data, size=data.size + data.margin)
    return ArrayClips(frames[None], np.zeros(1, int), trained.classes, size=data.size)  # of a label that nobody reads


def play(trained: Trained, path: Path) -> Prediction:
    """Classify one video.

    :raises ClipError: it cannot be used
    """
    data, clips = trained.data, read_clip(trained, path)
    episodes = episodes_for(trained.model, trained.backbone, clips, order=trained.layout.order)

    def greedy(observation: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return trained.model.predict(observation, deterministic=True)[0]

    played = rollout(episodes, greedy, detailed=True)
    assert played.frame_logits is not None  # as it is detailed
    frame_macs, site_macs = split_macs(trained.backbone, played.decisions.one_hot(), trained.agent_macs)
    return Prediction(
        probabilities=torch.from_numpy(played.frame_logits[0]).double().softmax(-1).numpy(),
        decisions=played.decisions,
        macs_ratio=float(played.outcome.macs_ratio[0]),
        frame_macs=frame_macs,
        site_macs=site_macs / data.num_frames,
    )


def split_macs(
    backbone: FusionBackbone, decisions: Sequence[Tensor], agent_macs: Sequence[float]
) -> tuple[np.ndarray, np.ndarray]:
    """A clip's MACs frame by frame (T,), and site by site (S,): both sum up to the clip's.

    :param decisions: per site, one-hot, (1, T, D, 3)
    """
    macs = walk_macs(backbone.ledger, decisions, agent_macs=agent_macs)[0].numpy()
    return macs.sum(1), macs.sum(0)


def ranking(probabilities: np.ndarray, top: int) -> list[int]:
    """The ``top`` most probable of K classes; of equal ones the first."""
    return np.argsort(-probabilities, kind="stable")[:top].tolist()
