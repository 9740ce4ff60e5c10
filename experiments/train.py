"""Train one agent, from a configuration to a run's folder."""

from __future__ import annotations

import copy
import filecmp
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback
from torch import Tensor

from agent.algorithms.fusion_algorithm import FusionAlgorithm
from agent.algorithms.joint import JointTraining, check_joint
from agent.algorithms.schedules import WarmupCosine
from agent.callbacks.between_rollouts import effort
from agent.callbacks.checkpoints import Checkpoints
from agent.callbacks.cost_warmup import CostWarmup
from agent.callbacks.early_stopping import EarlyStopping
from agent.callbacks.episode_log import EpisodeLog
from agent.callbacks.evaluations import Evaluations
from agent.callbacks.following import FollowStatistics
from agent.callbacks.progress import Progress
from agent.checkpoint import load_agent, load_cnn, load_gates, load_statistics
from backbone import FusionBackbone, load_backbone, save_backbone
from backbone.common.deprecation import moved_names
from backbone.common.files import write_json
from backbone.common.naming import paths_nearby
from backbone.weights.recalibrate import read_statistics, write_statistics
from envs.clips import ClipSource
from envs.reward import Reward, find_outcome
from experiments.board import log_hparams, open_logger
from experiments.clips import open_clips
from experiments.config import SettledTrain, Train, to_json
from experiments.loading import freeze, layout_of, open_cnn
from experiments.machine import import_plugins, set_up_cpu, settle_device
from experiments.methods import build_method, check_method, env_of
from experiments.run import Run

LOG_EVERY = 5  # batches of rollouts
__getattr__ = moved_names(__name__, {name: f"experiments.loading.{name}" for name in ("load_trained", "open_frozen")})


@dataclass
class Learner:
    """A model before it learns, and what it stands on.

    :param backbone: what the environment runs
    :param source: the same with its BatchNorms; the backbone itself where the CNN learns
    :param clips: of training
    :param cnn: tensors of a CNN of its own, which an interrupted run or the one that it starts from has
    :param following: keeps the CNN's statistics those of the agent's decisions; None leaves them as they are
    :param joint: lets the CNN learn too
    :param checkpoint: to go on from; None at the beginning
    """

    model: BaseAlgorithm
    backbone: FusionBackbone
    source: FusionBackbone
    clips: ClipSource
    cnn: dict[str, Any] | None
    following: FollowStatistics | None
    joint: JointTraining | None
    checkpoint: Path | None

    @property
    def own_cnn(self) -> Callable[[], dict[str, Any]] | None:
        """What checkpoints ask for the run's own CNN; None where it is that of the backbone's file."""
        if self.joint is not None:
            return self.joint.state_dict
        if self.cnn is None:
            return None
        own = {"backbone": self.cnn["backbone"]}
        return lambda: own

    @property
    def followers(self) -> list[BaseCallback]:
        """Who acts first between rollouts: what keeps the statistics, if anything does."""
        return [] if self.following is None else [self.following]

    @property
    def steps_per_clip(self) -> int:
        """Steps of an episode."""
        return layout_of(self.model).num_steps


def train(
    config: Train,
    *,
    resume: bool = False,
    report: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
    seconds: float | None = None,
) -> Path:
    """Train an agent; returns the run's folder, which then holds result.json.

    Updates and seconds there are of all sittings; None where an older checkpoint, which did not count them, was resumed.

    :param resume: go on from the checkpoint in the run's folder, bit for bit on a CPU
    :param report: called with the rollouts played, in place of a progress bar
    :param stop: asked between rollouts; True saves a checkpoint and raises Interrupted, as Ctrl-C does
    :param seconds: the time of training that the number of rollouts comes from, for the record
    """
    settled = _prepare(config)
    run = Run(settled.run)
    clips, validation = open_clips(settled.data, "train"), open_clips(settled.data, "val")
    check_classes(settled, clips)
    learner = build_learner(settled, clips, run.checkpoint if resume and run.checkpoint.exists() else None)
    run.begin(settled, resume=resume, seconds=seconds, train=clips.data_hash, val=validation.data_hash)
    seconds_before = _take_up(learner)
    evaluations = _evaluations(settled, run, learner, validation)
    checkpoints = Checkpoints(
        run.checkpoint,
        evaluations,
        facts={"config": to_json(settled)},
        best=run.best_checkpoint,
        seconds=seconds_before,
        cnn=learner.own_cnn,
        statistics=_statistics(learner, evaluations),
        stop=stop,
    )
    _learn(settled, learner, _callbacks(settled, learner, evaluations, checkpoints, report), checkpoints)
    _finish(settled, run, learner, evaluations.curve[-1], checkpoints.seconds)
    return run.folder


def resume_training(folder: Path) -> Path:
    """Go on with an interrupted run, with the configuration that it was started with.

    :raises ValueError: no run there, or one that is not trained
    """
    config = Run(folder).config()
    if not isinstance(config, Train):
        raise ValueError(f"expected a training run to resume in {folder}, found another: check the path")
    import_plugins(config.plugin, named_by=folder)
    return train(config, resume=True)


def _prepare(config: Train) -> SettledTrain:
    """Set up this process; the configuration with everything settled that was left open.

    :raises ValueError: an unknown method, reward or plugin, or a device that is not there
    """
    import_plugins(config.plugin)
    check_method(config.method)
    find_outcome(config.reward)
    set_up_cpu(config.threads)
    return replace(config.settled(), device=settle_device(config.device))


def check_classes(config: Train, clips: ClipSource) -> None:
    """:raises ValueError: the backbone was trained for other classes than the clips'."""
    if not config.backbone.is_file():
        raise ValueError(
            f"expected a backbone at {config.backbone}, found no such file: check the path, or make one by python -m "
            f"experiments pretrain{paths_nearby(config.backbone.parent, config.backbone.name)}"
        )
    _, facts = load_backbone(config.backbone)
    if list(facts["classes"]) != list(clips.classes):
        raise ValueError(
            f"expected the {len(facts['classes'])} classes that {config.backbone} was trained on "
            f"({', '.join(facts['classes'][:3])}, ...), got {len(clips.classes)} ({', '.join(clips.classes[:3])}, ...) "
            f"in {config.data.root}: name the data it was trained on, or pretrain on these"
        )


def start_checkpoint(config: Train) -> Path | None:
    """The checkpoint that training starts from, if it starts from a run.

    :raises ValueError: no such run, or one of another backbone, group size or gate
    """
    if config.start is None:
        return None
    run = Run(config.start)
    started = run.agent()
    names = ("group_size", "hidden", "hidden_quota", "gate_norm", "shared_gates")
    differ = [name for name in names if getattr(started, name) != getattr(config, name)]
    if differ:
        found = ", ".join(f"{name} {getattr(started, name)} for {getattr(config, name)}" for name in differ)
        raise ValueError(
            f"expected a run of the same gates in --start {config.start}, got {found}: give it its options"
        )
    if not _same_content(started.backbone, config.backbone):
        raise ValueError(
            f"expected a run on {config.backbone} in --start {config.start}, got one on {started.backbone}: name that "
            "file with --backbone"
        )
    return run.checkpoint


def _same_content(one: Path, other: Path) -> bool:
    if one.is_file() and other.is_file():
        return filecmp.cmp(one, other, shallow=False)
    return one.resolve() == other.resolve()


def build_learner(config: Train, clips: ClipSource, checkpoint: Path | None = None) -> Learner:
    """The learner, with the weights that it starts from; those of a checkpoint come once the folder is known to be its.

    :param config: settled
    """
    source = checkpoint or start_checkpoint(config)
    cnn = None if source is None else load_cnn(source)
    with_norms, joint, following = open_cnn(config, cnn), None, None
    if config.regime == "joint":
        backbone = with_norms
        joint = JointTraining(backbone, learning_rate=WarmupCosine(config.cnn_learning_rate))
    else:
        backbone = freeze(with_norms)
    if config.statistics == "followed":
        following = FollowStatistics(with_norms, backbone, clips, seed=config.seed)
    model = build_method(config, backbone, clips)
    if joint is not None:
        check_joint(model)
    if source is not None and checkpoint is None:
        load_gates(source, model)
    return Learner(model, backbone, with_norms, clips, cnn, following, joint, checkpoint)


def _take_up(learner: Learner) -> float | None:
    """Put an interrupted run's state into the learner; returns the seconds that it had trained, None if not known."""
    if learner.checkpoint is None:
        return 0.0
    seconds = load_agent(learner.checkpoint, learner.model).get("seconds")  # which older checkpoints lack
    if learner.joint is not None:
        assert learner.cnn is not None  # every checkpoint of a run whose CNN learns has it
        learner.joint.load_state_dict(learner.cnn)
    if learner.following is not None:
        statistics = load_statistics(learner.checkpoint)["followed"]
        learner.following.take_up(statistics, learner.model.num_timesteps // learner.steps_per_clip)
    return seconds


def _evaluations(config: Train, run: Run, learner: Learner, validation: ClipSource) -> Evaluations:
    clips = validation.subset(range(min(config.validation_clips, len(validation))))
    reward = Reward(config.reward, config.cost_weight)
    how: dict[str, Any] = {"every": config.evaluate_every, "path": run.curve, "reward": reward}
    if learner.following is None:
        return Evaluations(learner.backbone, clips, **how)
    evaluations = Evaluations(learner.source, clips, **how, fit_on=learner.clips)
    if learner.checkpoint is not None:  # until the next one
        statistics = load_statistics(learner.checkpoint)["greedy"]
        evaluations.fitted = write_statistics(copy.deepcopy(learner.source), statistics)
    return evaluations


def _statistics(learner: Learner, evaluations: Evaluations) -> Callable[[], dict[str, dict[str, Tensor]]] | None:
    """What checkpoints ask for the CNN's statistics; None where they are those of the backbone's file."""
    following = learner.following
    if following is None:
        return None
    return lambda: {"followed": following.statistics, "greedy": read_statistics(evaluations.fitted)}


def _callbacks(
    config: SettledTrain,
    learner: Learner,
    evaluations: Evaluations,
    checkpoints: Checkpoints,
    report: Callable[[int], None] | None,
) -> list[BaseCallback]:
    """In the order in which they act: a checkpoint holds the evaluation that it follows."""
    return [
        *learner.followers,
        CostWarmup(config.cost_weight, config.warmup),
        evaluations,
        EpisodeLog(evaluations, reward=config.reward, cost_weight=config.cost_weight),
        checkpoints,
        EarlyStopping(evaluations, config.patience),
        Progress(config.rollouts, title=config.run.name, report=report),
        *([] if learner.joint is None else [learner.joint]),
    ]


def _learn(config: SettledTrain, learner: Learner, callbacks: list[BaseCallback], checkpoints: Checkpoints) -> None:
    """Play the rollouts that are left."""
    model, resumed = learner.model, learner.checkpoint is not None
    played = model.num_timesteps if resumed else 0
    model.set_logger(open_logger(config.run, from_rollouts=played // learner.steps_per_clip))
    remaining = max(config.rollouts * learner.steps_per_clip - played, 0)
    try:
        every = LOG_EVERY
        if isinstance(model, FusionAlgorithm):  # counts on where an interrupted sitting has stopped
            model.log_every, every = LOG_EVERY, 1
        model.learn(remaining, callback=callbacks, log_interval=every, reset_num_timesteps=not resumed)
    finally:
        env_of(model).close()
        checkpoints.release()


def _finish(config: SettledTrain, run: Run, learner: Learner, last: dict[str, float], seconds: float | None) -> None:
    """Write what a finished run has beside its checkpoint: TensorBoard's settings, a CNN of its own, the result."""
    model = learner.model
    log_hparams(model.logger, config, rollouts=int(last["rollouts"]))
    if learner.own_cnn is not None:
        _export_cnn(config, run)
    clipped = getattr(model, "clipped_updates", 0.0)
    write_json(run.result, {**effort(model), "clipped_updates": clipped, "seconds": seconds, "validation": last})


def _export_cnn(config: SettledTrain, run: Run) -> None:
    """Write a run's own CNN as backbone.pt in its folder, for other runs to name by --backbone."""
    _, facts = load_backbone(config.backbone)
    named = {"architecture": facts["architecture"], "classes": facts["classes"]}
    save_backbone(run.backbone, open_cnn(config, load_cnn(run.checkpoint)), **named, trained=to_json(config))
