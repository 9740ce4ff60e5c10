"""The vector environment beside the bare CNN, and beside as many single environments."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from stable_baselines3.common.vec_env import DummyVecEnv

from backbone import FusionBackbone, fold_batchnorm
from envs import FusionEnv, FusionVecEnv
from envs.clips import ClipSource, motions
from envs.fusion_env import default_backbone
from experiments.bench.measure import Ratio, interleave, summarise


def environment_ratios(clips: int, repeats: int) -> list[Ratio]:
    """On the small ResNet and the embedded clips.

    :param clips: in a batch
    """
    source = motions.sample(clips, seed=0)
    backbone = default_backbone(None, source)
    return [against_cnn(backbone, source, repeats), against_single_envs(backbone, source, repeats)]


def against_cnn(backbone: FusionBackbone, clips: ClipSource, repeats: int) -> Ratio:
    """An episode of the site-order VecEnv with random actions over the bare CNN's forward on the same clips.

    Both start from the same decoded pixels. The environment runs as in training, on a frozen backbone with its
    BatchNorms folded; the CNN is as it was made.
    """
    env = FusionVecEnv(fold_batchnorm(backbone), clips, num_clips=len(clips), order="site", train=False)
    env.reset()
    rng = np.random.default_rng(0)
    actions = [
        rng.integers(0, 3, (env.num_envs, env.layout.action_space.shape[0])) for _ in range(env.layout.num_steps)
    ]
    pixels = torch.from_numpy(env.episodes.pixels)

    def episode() -> None:
        for chosen in actions:
            env.step(chosen)

    @torch.no_grad()
    def forward() -> None:
        backbone.cnn(backbone.preprocess(pixels).flatten(0, 1))

    subject, yardstick = interleave(episode, forward, repeats, "site order against the bare CNN")
    return summarise(
        "vector env, order=site: an episode's steps / bare CNN's forward", subject, yardstick, 1.25, below=True
    )


def against_single_envs(backbone: FusionBackbone, clips: ClipSource, repeats: int) -> Ratio:
    """An episode of as many single environments in SB3's DummyVecEnv over one of the frame-order VecEnv."""
    batched = FusionVecEnv(backbone, clips, num_clips=len(clips), order="frame", train=False)
    single = DummyVecEnv([lambda: FusionEnv(backbone, clips, order="frame", train=False) for _ in range(len(clips))])
    rng = np.random.default_rng(0)
    shape = (batched.num_envs, batched.layout.action_space.shape[0])
    actions = [rng.integers(0, 3, shape) for _ in range(batched.layout.num_steps)]
    batched.reset()
    single.reset()

    def play(env: FusionVecEnv | DummyVecEnv) -> Callable[[], None]:
        def episode() -> None:
            for chosen in actions:
                env.step(chosen)

        return episode

    subject, yardstick = interleave(play(single), play(batched), max(repeats // 3, 3), "frame order against single")
    name = f"order=frame: {len(clips)} single envs in DummyVecEnv / vector env"
    return summarise(name, subject, yardstick, 5.0, below=False)
