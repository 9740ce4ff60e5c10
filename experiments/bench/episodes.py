"""What it costs to show episodes in TensorBoard, beside the training that they are shown of."""

from __future__ import annotations

import tempfile

import numpy as np
from stable_baselines3.common.logger import configure

from agent import REINFORCE, gate_macs
from agent.callbacks.episode_log import EpisodeLog, find_writer
from agent.callbacks.evaluations import Evaluations
from backbone import FusionBackbone, fold_batchnorm
from envs import FusionVecEnv
from envs.clips import ClipSource, motions
from envs.fusion_env import default_backbone
from experiments.bench.measure import Ratio, interleave, summarise
from experiments.config import SettledTrain, Train
from experiments.run import Run

LIMIT = 0.03  # of training time


def episode_ratios(repeats: int) -> list[Ratio]:
    """On the small ResNet and embedded clips, at the rate of `train`'s defaults."""
    defaults = Train(method="reinforce").settled()
    source, validation = motions.sample(512, seed=0), motions.sample(defaults.validation_clips, seed=1)
    return [against_training(default_backbone(None, source), source, validation, defaults, max(repeats // 3, 3))]


def against_training(
    backbone: FusionBackbone, clips: ClipSource, validation: ClipSource, config: SettledTrain, repeats: int
) -> Ratio:
    """Showing the episodes of an evaluation, over an interval of training with its evaluation.

    REINFORCE, which trains fastest, so that what is shown weighs most. A run has an evaluation more than intervals, and
    animations once: its intervals bear their parts of both.

    :param config: for rollouts, evaluations and the batch
    """
    frozen = fold_batchnorm(backbone).requires_grad_(False)
    env = FusionVecEnv(
        frozen,
        clips,
        num_clips=config.num_clips,
        rollouts_per_clip=config.rollouts_per_clip,
        order=config.order,
        reward=config.reward,
        agent_macs=gate_macs(frozen.sites),
    )
    model, intervals = REINFORCE(env, seed=0, device="cpu"), config.rollouts / config.evaluate_every
    with tempfile.TemporaryDirectory() as folder:
        model.set_logger(configure(folder, ["tensorboard"]))
        evaluations = Evaluations(
            frozen, validation, every=10**9, path=Run(folder).curve
        )  # one in each call, at its end
        log = EpisodeLog(evaluations)
        log.init_callback(model)
        writer = find_writer(model.logger)
        assert writer is not None

        def train() -> None:
            model.learn(config.evaluate_every * model.layout.num_steps, evaluations, reset_num_timesteps=False)

        def show(*, animate: bool = False) -> None:
            log.drawn = -1
            log.show(animate=animate)
            writer.flush()

        train()
        shown, trained = interleave(show, train, repeats, "episodes in TensorBoard", warmup=1)
        animated, still = interleave(lambda: show(animate=True), show, repeats, "animations")
        model.logger.close()
    whole = shown * (intervals + 1) / intervals + max(float(np.median(animated - still)), 0.0) / intervals
    name = f"episodes shown every {config.evaluate_every:,} rollouts / REINFORCE's training with evaluations"
    return summarise(name, whole, trained, LIMIT, below=True)
