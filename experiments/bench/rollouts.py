"""What rollouts of one clip share: the stem and the first site's convolution run once a clip."""

from __future__ import annotations

from typing import Any

import numpy as np

from agent import REINFORCE
from backbone import FusionBackbone, fold_batchnorm
from envs import FusionVecEnv
from envs.clips import ArrayClips, ClipSource, motions
from envs.fusion_env import default_backbone
from experiments.bench.measure import Ratio, interleave, summarise
from experiments.methods import env_of

CLIPS, ROLLOUTS = 8, 8


def rollout_ratios(repeats: int) -> list[Ratio]:
    """On the small ResNet and the embedded clips."""
    source = motions.sample(CLIPS, seed=0)
    return [against_pixels(default_backbone(None, source), source, repeats)]


def against_pixels(backbone: FusionBackbone, clips: ClipSource, repeats: int) -> Ratio:
    """REINFORCE's rollouts, each run from its clip's pixels, over K rollouts of each clip side by side.

    Both are one batch of as many episodes on the frozen backbone with its BatchNorms folded; copies of a clip stand in
    for its rollouts, so that they share nothing. No baseline, as a single rollout has no others to be held against.
    The small CNN's stem and first site are 22% of its MACs: 1 / (1 - 0.224 * 7/8) = 1.24 is the most that sharing them
    can win; the clips' pixels are normalised once as well.
    """
    frozen = fold_batchnorm(backbone).requires_grad_(False)
    frames, labels = clips.draw(range(len(clips)))
    copies = ArrayClips(np.repeat(frames, ROLLOUTS, 0), np.repeat(labels, ROLLOUTS), clips.classes)
    settings: dict[str, Any] = {"order": "site", "reward": "log_prob", "train": False}
    alone = FusionVecEnv(frozen, copies, num_clips=len(copies), **settings)
    shared = FusionVecEnv(frozen, clips, num_clips=len(clips), rollouts_per_clip=ROLLOUTS, **settings)
    subject, yardstick = learner(alone), learner(shared)
    times = interleave(lambda: collect(subject), lambda: collect(yardstick), repeats, "rollouts from pixels")
    name = f"REINFORCE, {len(clips)} clips x {ROLLOUTS} rollouts: each rollout from pixels / side by side"
    return summarise(name, *times, 1.15, below=False)


def learner(env: FusionVecEnv) -> REINFORCE:
    """Ready to ``collect``."""
    model = REINFORCE(env, baseline="none", seed=0, device="cpu")
    model.prepare_sampling()
    return model


def collect(model: REINFORCE) -> None:
    """One batch of rollouts, credited and logged."""
    model.collect_rollouts(env_of(model), model.callback, model.rollout_buffer, model.n_steps)
