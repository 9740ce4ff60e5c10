"""BatchNorm statistics that follow whoever decides: one mechanism for every method and every fixed policy.

A frozen CNN meets other features under each policy, and its statistics must be theirs (``backbone/weights/recalibrate.py``).
While an agent learns they follow it (``agent/callbacks/following.py``); whoever is judged has statistics of its own, which
``fit`` estimates from the same clips for all, and which are kept beside its weights.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np
import torch

from agent.evaluation import Predictor, episodes_for, select
from backbone import FusionBackbone
from backbone.common import ranks
from backbone.weights.recalibrate import estimating, norms
from backbone.weights.synchronise import synchronised
from envs.clips import ClipSource
from envs.clips.sampler import ClipSampler
from envs.rollout import clips_at_once, rollout

CLIPS = 512  # that an estimate is made from; all, where there are fewer


def fit(
    model: Predictor,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    selection: str = "greedy",
    order: str = "site",
    count: int = CLIPS,
) -> FusionBackbone:
    """A copy of a backbone with the statistics of a policy's own features.

    The same every time: the same clips, centred, and the same draws where decisions are sampled.

    :param backbone: BatchNorms not folded; of a CNN without any nothing is estimated
    :param clips: training clips
    :param selection: how actions are chosen, see ``agent.evaluation.select``
    :param count: of clips, spread over the source
    """
    fitted = copy.deepcopy(backbone).eval()
    if norms(fitted):
        chosen, _ = ClipSampler(len(clips), seed=0).take(min(count, len(clips)))
        estimate(model, fitted, clips, chosen, selection=selection, order=order, seed=0)
    return fitted


def estimate(
    model: Predictor,
    backbone: FusionBackbone,
    clips: ClipSource,
    indices: Sequence[int] | np.ndarray,
    *,
    selection: str,
    order: str,
    seed: int,
    momentum: float | None = None,
) -> None:
    """Play clips, centred, and take the statistics of what the CNN runs, in place.

    :param seed: of sampled decisions, which are drawn apart: training draws the same with and without this
    :param momentum: as ``estimating`` takes it
    """
    episodes = episodes_for(model, backbone, clips, order=order)
    device, at_once = backbone.device, min(clips_at_once(episodes), len(indices))
    even = len(indices) % at_once == 0 and at_once % ranks.count() == 0
    if even:  # each rank plays its part of every batch, whose statistics are those of the whole; else all play all
        batches = np.asarray(indices).reshape(-1, at_once)
        indices, at_once = ranks.own(batches.T).T.ravel(), at_once // ranks.count()
    divided = synchronised(backbone) if even else ranks.undivided()
    forked = torch.random.fork_rng(devices=[device] if device.type == "cuda" else [])
    with forked, divided, estimating(backbone, momentum):
        torch.manual_seed(seed)
        rollout(
            episodes,
            lambda observation, _: select(model, observation, selection, episodes.layout),
            indices,
            batch_size=at_once,
        )
