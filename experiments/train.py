"""Train one agent, from a configuration to a run's folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.logger import HParam

from agent.adafuse import ImportedPolicy
from agent.callbacks import Checkpoints, CostWarmup, EpisodePictures, Evaluations, Progress
from agent.checkpoint import load_agent
from backbone import FusionBackbone, fold_batchnorm, load_backbone
from backbone.files import write_json
from envs.clips import ClipSource
from experiments.config import Train, from_json, to_json
from experiments.import_adafuse import METHOD as IMPORTED
from experiments.import_adafuse import imported_policy
from experiments.methods import build_method
from experiments.runs import import_plugins, open_clips, open_logger, open_run, read_config, resolve_device, set_up_cpu


def open_frozen(path: Path, *, group_size: int, device: str) -> FusionBackbone:
    """A saved backbone to run and not to train: on its device, its BatchNorms folded into the convolutions."""
    backbone = fold_batchnorm(load_backbone(path, group_size=group_size)[0])
    return backbone.to(resolve_device(device)).requires_grad_(False)


def check_classes(config: Train, clips: ClipSource) -> None:
    """:raises ValueError: the backbone was trained for other classes than the clips'."""
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

    :param resume: go on from the checkpoint in the run's folder, bit for bit on a CPU
    :param report: called with the clips seen, in place of a progress bar
    :param stop: asked between rollouts; True saves a checkpoint and raises Interrupted, as Ctrl-C does
    """
    import_plugins(config.plugin)
    set_up_cpu(config.threads)
    config = replace(config, device=resolve_device(config.device).type, run=config.folder)
    clips, validation = open_clips(config.data, "train"), open_clips(config.data, "val")
    check_classes(config, clips)
    backbone = open_frozen(config.backbone, group_size=config.group_size, device=config.device)
    model = build_method(config, backbone, clips)
    open_run(config.run, config, resume=resume, train=clips.data_hash, val=validation.data_hash)
    checkpoint = config.run / "checkpoint.pt"
    resumed = resume and checkpoint.exists()
    if resumed:
        load_agent(checkpoint, model)
    steps_per_clip = model.env.get_attr("layout")[0].num_steps
    model.set_logger(open_logger(config.run, from_clips=model.num_timesteps // steps_per_clip))

    evaluations = Evaluations(
        backbone,
        validation.subset(range(min(config.validation_clips, len(validation)))),
        every=config.evaluate_every,
        path=config.run / "learning.json",
    )
    checkpoints = Checkpoints(checkpoint, evaluations, facts={"config": to_json(config)}, stop=stop)
    callbacks = [
        CostWarmup(config.cost_weight, config.warmup),
        evaluations,
        EpisodePictures(evaluations),
        checkpoints,
        Progress(config.clips, title=config.run.name, report=report),
    ]
    started, before = time.monotonic(), _seconds_before(config.run) if resumed else 0.0
    remaining = config.clips * steps_per_clip - (model.num_timesteps if resumed else 0)
    try:
        model.learn(max(remaining, 0), callback=callbacks, log_interval=5, reset_num_timesteps=not resumed)
    finally:
        model.env.close()
        checkpoints.release()
        seconds = before + time.monotonic() - started
        write_json(config.run / "seconds.json", seconds)
    last = evaluations.curve[-1]
    _log_hparams(model, config, last)
    write_json(
        config.run / "result.json",
        {"clips": model.num_timesteps // steps_per_clip, "seconds": seconds, "validation": last},
    )
    return config.run


def resume_training(folder: Path) -> Path:
    """Go on with an interrupted run, with the configuration that it was started with.

    :raises ValueError: no run there
    """
    config = replace(from_json(Train, read_config(folder)), run=Path(folder))
    return train(config, resume=True)


def load_trained(
    folder: Path, *, device: str = "auto", clips: ClipSource | None = None
) -> tuple[BaseAlgorithm | ImportedPolicy, FusionBackbone, Train]:
    """A trained agent ready to ``predict``, its frozen backbone and its configuration.

    :param clips: to build the learner on; by default those it was trained on, which must be there then
    :raises ValueError: no run, or no checkpoint in it
    """
    config = replace(from_json(Train, read_config(folder)), device=device, run=Path(folder))
    import_plugins(config.plugin)
    backbone = open_frozen(config.backbone, group_size=config.group_size, device=config.device)
    if config.method == IMPORTED:  # it has no learner, and so needs no clips
        model = imported_policy(config, backbone)
    else:
        model = build_method(config, backbone, open_clips(config.data, "train") if clips is None else clips)
    load_agent(Path(folder) / "checkpoint.pt", model, training=False)
    return model, backbone, config


def _seconds_before(folder: Path) -> float:
    path = folder / "seconds.json"
    return float(path.read_text()) if path.exists() else 0.0


def _log_hparams(model: BaseAlgorithm, config: Train, last: dict[str, float]) -> None:
    names = ("method", "cost_weight", "seed", "group_size", "reward")  # as many as TensorBoard shows at first
    hparams = {name: getattr(config, name) for name in names}
    metrics = {f"validation/{name}": last[name] for name in ("accuracy", "cost")}
    model.logger.record("hparams", HParam(hparams, metrics), exclude=("stdout", "log", "json", "csv"))
    model.logger.dump(step=last["clips"])
