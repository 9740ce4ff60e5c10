"""Backbones and agents of finished runs, as they are played: frozen, BatchNorms folded, on their device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from agent.checkpoint import load_agent, load_cnn, load_statistics
from agent.evaluation import Predictor
from agent.policies.imported import ImportedPolicy
from agent.statistics import fit
from backbone import FusionBackbone, fold_batchnorm, load_backbone
from backbone.weights.recalibrate import write_statistics
from envs.clips import ClipSource
from envs.spaces import StepLayout
from experiments.clips import open_clips
from experiments.config import Device, Train
from experiments.machine import import_plugins, resolve_device
from experiments.methods import build_method, env_of, gate_options
from experiments.run import Imported, Run

Loaded = tuple[BaseAlgorithm | ImportedPolicy, FusionBackbone, Train | Imported]
"""An agent ready to ``predict``, its frozen backbone and its configuration."""


def open_frozen(path: Path, *, group_size: int, device: str) -> FusionBackbone:
    """A saved backbone to run and not to train: on its device, its BatchNorms folded into the convolutions."""
    return freeze(load_backbone(path, group_size=group_size)[0]).to(resolve_device(device))


def freeze(backbone: FusionBackbone) -> FusionBackbone:
    """A backbone to run and not to train: its BatchNorms folded into the convolutions."""
    return fold_batchnorm(backbone).requires_grad_(False)


def open_cnn(config: Train | Imported, own: dict[str, Any] | None) -> FusionBackbone:
    """The backbone of a run, BatchNorms not folded.

    :param own: the run's own CNN, as ``load_cnn`` gives it; None where it is that of ``config.backbone``
    """
    backbone = load_backbone(config.backbone, group_size=config.group_size)[0]
    if own is not None:
        backbone.load_state_dict(own["backbone"])
    return backbone.to(resolve_device(config.device))


def open_own(checkpoint: Path, config: Train | Imported) -> FusionBackbone:
    """The backbone of a run with the CNN and the greedy policy's statistics that a checkpoint has, BatchNorms not folded."""
    backbone = open_cnn(config, load_cnn(checkpoint)).requires_grad_(False)
    statistics = load_statistics(checkpoint)
    return write_statistics(backbone, statistics["greedy"]) if statistics else backbone


def backbones_for(
    model: Predictor, trained: Train | Imported, selections: Sequence[str], *, best: bool = False
) -> dict[str, FusionBackbone]:
    """What a trained agent plays on under each selection: a CNN with the statistics of its decisions under that one.

    Those of the greedy policy are in the checkpoint; others are estimated anew on the training clips, which must be there.
    """
    order, source = layout_of(model).order, open_own(checkpoint_of(trained.folder, best=best), trained)
    follows = isinstance(trained, Train) and trained.statistics == "followed"
    clips = open_clips(trained.data, "train") if follows and set(selections) - {"greedy"} else None
    return {
        selection: freeze(
            source
            if clips is None or selection == "greedy"
            else fit(model, source, clips, selection=selection, order=order)
        )
        for selection in selections
    }


def checkpoint_of(folder: Path, *, best: bool) -> Path:
    """A run's last checkpoint, or its best.

    :raises ValueError: it has no best one
    """
    run = Run(folder)
    if best and not run.best_checkpoint.is_file():
        raise ValueError(
            f"expected a run that kept its best checkpoint, found no {run.best_checkpoint.name} in {folder}: an earlier version "
            "trained it; judge its end"
        )
    return run.best_checkpoint if best else run.checkpoint


def load_trained(
    folder: Path, *, device: Device = "auto", clips: ClipSource | None = None, best: bool = False
) -> Loaded:
    """A trained agent ready to ``predict``, its frozen backbone and its configuration.

    The backbone has the statistics of the greedy policy, as far as the run has statistics of its own.

    :param clips: to build the learner on; by default those it was trained on, which must be there then
    :param best: as it was at its highest reward on validation clips, in place of its end
    :raises ValueError: no run, or no checkpoint in it
    """
    config, checkpoint = replace(Run(folder).agent(), device=device), checkpoint_of(folder, best=best)
    import_plugins(config.plugin, named_by=folder)
    backbone = freeze(open_own(checkpoint, config))
    model: BaseAlgorithm | ImportedPolicy
    if isinstance(config, Imported):  # it has no learner, and so needs no clips
        model = imported_policy(config, backbone)
    else:
        model = build_method(config, backbone, open_clips(config.data, "train") if clips is None else clips)
    load_agent(checkpoint, model, training=False)
    return model, backbone, config


def imported_policy(config: Imported, backbone: FusionBackbone) -> ImportedPolicy:
    """The policy of an imported run, its weights still to be loaded."""
    layout = StepLayout(backbone.sites, config.data.num_frames, config.order)
    return ImportedPolicy(layout, gate_options(config), device=resolve_device(config.device))


def layout_of(model: Any) -> StepLayout:
    """The steps in which a model decides, and what it observes in them."""
    return model.layout if hasattr(model, "layout") else env_of(model).get_attr("layout")[0]
