"""Train one agent, from a configuration to a run's folder."""

from __future__ import annotations

import filecmp
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm

from agent.algorithms.joint import JointTraining, check_joint
from agent.algorithms.schedules import WarmupCosine
from agent.callbacks.between_rollouts import effort
from agent.callbacks.checkpoints import Checkpoints
from agent.callbacks.cost_warmup import CostWarmup
from agent.callbacks.episode_log import EpisodeLog
from agent.callbacks.evaluations import Evaluations
from agent.callbacks.progress import Progress
from agent.checkpoint import load_agent, load_cnn, load_gates
from agent.policies.imported import ImportedPolicy
from backbone import FusionBackbone, fold_batchnorm, load_backbone, save_backbone
from backbone.common.files import write_json
from backbone.common.naming import paths_nearby
from envs.clips import ClipSource
from experiments.board import log_hparams, open_logger
from experiments.config import Train, from_json, to_json
from experiments.import_adafuse import METHOD as IMPORTED
from experiments.import_adafuse import imported_policy
from experiments.methods import build_method, check_method
from experiments.runs import import_plugins, open_clips, open_run, read_config, resolve_device, set_up_cpu


def open_frozen(path: Path, *, group_size: int, device: str) -> FusionBackbone:
    """A saved backbone to run and not to train: on its device, its BatchNorms folded into the convolutions."""
    return freeze(load_backbone(path, group_size=group_size)[0]).to(resolve_device(device))


def freeze(backbone: FusionBackbone) -> FusionBackbone:
    """A backbone to run and not to train: its BatchNorms folded into the convolutions."""
    return fold_batchnorm(backbone).requires_grad_(False)


def open_cnn(config: Train, own: dict | None) -> FusionBackbone:
    """The backbone of a run, BatchNorms not folded.

    :param own: the run's own CNN, as ``load_cnn`` gives it; None where it is that of ``config.backbone``
    """
    backbone = load_backbone(config.backbone, group_size=config.group_size)[0]
    if own is not None:
        backbone.load_state_dict(own["backbone"])
    return backbone.to(resolve_device(config.device))


def export_cnn(config: Train, own: dict) -> None:
    """Write a run's own CNN as backbone.pt in its folder, for other runs to name by --backbone."""
    _, facts = load_backbone(config.backbone)
    named = {"architecture": facts["architecture"], "classes": facts["classes"]}
    save_backbone(config.run / "backbone.pt", open_cnn(config, own), **named, trained=to_json(config))


def start_checkpoint(config: Train) -> Path | None:
    """The checkpoint that training starts from, if it starts from a run.

    :raises ValueError: no such run, or one of another backbone, group size or gate
    """
    if config.start is None:
        return None
    started = from_json(Train, read_config(config.start))
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
    return config.start / "checkpoint.pt"


def _same_content(one: Path, other: Path) -> bool:
    if one.is_file() and other.is_file():
        return filecmp.cmp(one, other, shallow=False)
    return one.resolve() == other.resolve()


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


def train(
    config: Train,
    *,
    resume: bool = False,
    report: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Path:
    """Train an agent; returns the run's folder, which then holds result.json.

    Updates and seconds there are of all sittings; None where an older checkpoint, which did not count them, was resumed.

    :param resume: go on from the checkpoint in the run's folder, bit for bit on a CPU
    :param report: called with the rollouts played, in place of a progress bar
    :param stop: asked between rollouts; True saves a checkpoint and raises Interrupted, as Ctrl-C does
    """
    import_plugins(config.plugin)
    check_method(config.method)
    set_up_cpu(config.threads)
    config = replace(config.settled(), device=resolve_device(config.device).type, run=config.folder)
    clips, validation = open_clips(config.data, "train"), open_clips(config.data, "val")
    check_classes(config, clips)
    checkpoint = config.run / "checkpoint.pt"
    resumed = resume and checkpoint.exists()
    source = checkpoint if resumed else start_checkpoint(config)
    cnn = None if source is None else load_cnn(source)
    backbone = open_cnn(config, cnn)
    joint = None
    if config.regime == "joint":
        joint = JointTraining(backbone, learning_rate=WarmupCosine(config.cnn_learning_rate))
    else:
        backbone = freeze(backbone)
    model = build_method(config, backbone, clips)
    if joint is not None:
        check_joint(model)
    if source is not None and not resumed:
        load_gates(source, model)
    open_run(config.run, config, resume=resume, train=clips.data_hash, val=validation.data_hash)
    seconds = 0.0
    if resumed:
        seconds = load_agent(checkpoint, model).get("seconds")  # which older checkpoints lack
        if joint is not None:
            joint.load_state_dict(cnn)
    own_cnn = None if cnn is None else lambda: {"backbone": cnn["backbone"]}  # of the run that this one starts from
    if joint is not None:
        own_cnn = joint.state_dict
    steps_per_clip = model.env.get_attr("layout")[0].num_steps
    model.set_logger(open_logger(config.run, from_rollouts=model.num_timesteps // steps_per_clip))

    evaluations = Evaluations(
        backbone,
        validation.subset(range(min(config.validation_clips, len(validation)))),
        every=config.evaluate_every,
        path=config.run / "learning.json",
    )
    facts = {"config": to_json(config)}
    checkpoints = Checkpoints(checkpoint, evaluations, facts=facts, seconds=seconds, cnn=own_cnn, stop=stop)
    callbacks = [
        CostWarmup(config.cost_weight, config.warmup),
        evaluations,
        EpisodeLog(evaluations, reward=config.reward, cost_weight=config.cost_weight),
        checkpoints,
        Progress(config.rollouts, title=config.run.name, report=report),
        *([] if joint is None else [joint]),
    ]
    remaining = config.rollouts * steps_per_clip - (model.num_timesteps if resumed else 0)
    try:
        model.learn(max(remaining, 0), callback=callbacks, log_interval=5, reset_num_timesteps=not resumed)
    finally:
        model.env.close()
        checkpoints.release()
    last = evaluations.curve[-1]
    log_hparams(model.logger, config, rollouts=last["rollouts"])
    if own_cnn is not None:
        export_cnn(config, load_cnn(checkpoint))
    write_json(
        config.run / "result.json",
        {
            **effort(model),
            "clipped_updates": getattr(model, "clipped_updates", 0.0),
            "seconds": checkpoints.seconds,
            "validation": last,
        },
    )
    return config.run


def resume_training(folder: Path) -> Path:
    """Go on with an interrupted run, with the configuration that it was started with.

    :raises ValueError: no run there
    """
    config = replace(from_json(Train, read_config(folder)), run=Path(folder))
    return train(config, resume=True)


def load_trained(
    folder: Path, *, device: str = "auto", clips: ClipSource | None = None, fold: bool = True
) -> tuple[BaseAlgorithm | ImportedPolicy, FusionBackbone, Train]:
    """A trained agent ready to ``predict``, its frozen backbone and its configuration.

    :param clips: to build the learner on; by default those it was trained on, which must be there then
    :param fold: False leaves the backbone's BatchNorms where they are
    :raises ValueError: no run, or no checkpoint in it
    """
    config = replace(from_json(Train, read_config(folder)), device=device, run=Path(folder))
    import_plugins(config.plugin)
    checkpoint = Path(folder) / "checkpoint.pt"
    backbone = open_cnn(config, load_cnn(checkpoint)).requires_grad_(False)
    backbone = freeze(backbone) if fold else backbone
    if config.method == IMPORTED:  # it has no learner, and so needs no clips
        model = imported_policy(config, backbone)
    else:
        model = build_method(config, backbone, open_clips(config.data, "train") if clips is None else clips)
    load_agent(checkpoint, model, training=False)
    return model, backbone, config
