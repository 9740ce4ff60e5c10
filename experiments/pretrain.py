"""Fusion-aware pretraining of a backbone, by a fixed number of clips, judged on validation clips as it goes on."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.tensorboard import SummaryWriter

from agent.pretraining.mix import MIXES
from agent.pretraining.training import Pretraining
from agent.pretraining.validation import MIX, accuracies, in_words, settle_statistics
from backbone import (
    BACKBONES,
    FusionBackbone,
    create_cnn,
    find_weights,
    imagenet_weights,
    load_weights,
    save_backbone,
)
from backbone.common import ranks
from backbone.common.files import load_checkpoint, save_checkpoint, write_json
from backbone.common.interruption import Interrupted
from backbone.common.progress import Bar
from backbone.fusion.consensus import CONSENSUS
from backbone.fusion.temporal import TEMPORAL_MODES
from envs.clips import ClipSource
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from experiments.clips import open_clips
from experiments.command_line import PROGRAM
from experiments.config import Pretrain, to_json
from experiments.events import Events
from experiments.machine import import_plugins, set_up_cpu, settle_device
from experiments.run import Run

SAVE_EVERY = 100  # updates
EVALUATIONS = 5  # of a pretraining, unless it is told otherwise


def pretrain(
    config: Pretrain, *, report: Callable[[int], None] | None = None, stop: Callable[[], bool] | None = None
) -> Path:
    """Train, and return the path of the saved backbone.

    :param report: called with the clips seen, in place of a progress bar and of the last line
    :param stop: asked between updates; True saves a checkpoint and raises Interrupted, as Ctrl-C does
    """
    import_plugins(config.plugin)
    check_names(config)
    check_weights(config)
    set_up_cpu(config.threads)
    config = replace(config, device=settle_device(config.device))
    clips, validation = ranks.in_turn(lambda: (open_clips(config.data, "train"), open_clips(config.data, "val")))
    torch.manual_seed(config.seed)
    backbone = build_backbone(config, len(clips.classes))
    run = Run(config.run)
    hashes: dict[str, Any] = {"train": clips.data_hash, "val": validation.data_hash}
    ranks.first_does(lambda: run.begin(config, resume=config.resume, **hashes))
    progress = train_backbone(backbone, clips, validation, config, report=report, stop=stop)
    write_json(run.curve, progress.curve)
    for path, tensors in ((run.last_backbone, backbone.state_dict()), (run.backbone, progress.best)):
        backbone.load_state_dict(tensors)
        save_backbone(
            path,
            settle_statistics(backbone, clips, mix=config.mix),
            architecture=config.architecture,
            classes=list(clips.classes),
            pretraining=to_json(config),
        )
    if ranks.first():
        run.pretraining.unlink(missing_ok=True)
    if report is None and ranks.first():
        found = {name: value for name, value in progress.best_point.items() if name != "clips"}
        print(in_words(found, validation.labels))
        print(f"Backbone saved to {run.backbone}. Train an agent on it: {PROGRAM} train --backbone {run.backbone}")
    return run.backbone


def check_names(config: Pretrain) -> None:
    """Before videos are decoded for it.

    :raises ValueError: an unknown architecture, temporal mode, consensus or mix; the message lists the known ones
    """
    BACKBONES.find(config.architecture)
    TEMPORAL_MODES.find(config.temporal)
    CONSENSUS.find(config.consensus)
    MIXES.find(config.mix)


def check_weights(config: Pretrain) -> None:
    """Before videos are decoded for them, too.

    :raises ValueError: weights to start from that are not there, or do not fit the architecture
    """
    if config.weights is not None:
        load_weights(create_cnn(config.architecture, num_classes=1, size=config.data.size), _weights_path(config))


def _weights_path(config: Pretrain) -> Path:
    assert config.weights is not None
    return imagenet_weights(config.architecture) if config.weights == "imagenet" else find_weights(config.weights)


def build_backbone(config: Pretrain, num_classes: int) -> FusionBackbone:
    """The backbone before it learns, with the weights that it starts from."""
    cnn = create_cnn(config.architecture, num_classes=num_classes, size=config.data.size)
    loaded = None
    if config.weights is not None:
        path = _weights_path(config)
        loaded = load_weights(cnn, path)
        print(f"Starting from {path}: {loaded.in_words(num_classes)}.")
        if (
            loaded.fresh_classifier
        ):  # whose random scores would send pretrained features a large wrong gradient at first
            nn.init.zeros_(cnn.classifier.weight)
            nn.init.zeros_(cnn.classifier.bias)
    backbone = FusionBackbone(
        cnn,
        sites=config.sites,
        history=config.history,
        temporal=config.temporal,
        consensus=config.consensus,
        lstm_hidden=config.lstm_hidden,
    ).to(config.device)
    if loaded is not None and (warning := loaded.warning(backbone.temporal)):
        print(warning)
    return backbone


@dataclass
class Progress:
    """What evaluations have found.

    :param curve: a point each, {"clips": seen, policy: accuracy in percent}
    :param best: state dict of the backbone at the best of them
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)

    def add(self, seen: int, found: Mapping[str, float], backbone: FusionBackbone) -> None:
        """One more evaluation; of equal ones the later is the better."""
        self.curve.append({"clips": seen, **found})
        if self.best_point is self.curve[-1]:
            self.best = {name: tensor.clone() for name, tensor in backbone.state_dict().items()}

    @property
    def best_point(self) -> dict[str, float]:
        """The one of the highest accuracy under the mix."""
        return max(reversed(self.curve), key=lambda point: point[MIX])

    def exhausted(self, patience: int) -> bool:
        """Have as many evaluations as patience allows brought nothing better?"""
        return 0 < patience <= len(self.curve) - 1 - self.curve.index(self.best_point) if self.curve else False


def train_backbone(
    backbone: FusionBackbone,
    clips: ClipSource,
    validation: ClipSource,
    config: Pretrain,
    *,
    report: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> Progress:
    """Train as the configuration says; resumes from, and leaves, a checkpoint in the run's folder."""
    run, steps, device = Run(config.run), max(config.clips // config.batch_size, 1), backbone.device
    training = Pretraining(
        backbone,
        steps=steps,
        learning_rate=config.learning_rate,
        body_rate=config.body_rate,
        weight_decay=config.weight_decay,
        mix=config.mix,
    )
    sampler, progress = ClipSampler(len(clips), seed=config.seed), Progress()
    pin_memory = device.type == "cuda"
    loader = Loader(
        clips,
        sampler,
        ranks.share(config.batch_size, "--batch-size"),
        workers=config.data.workers,
        pin_memory=pin_memory,
        part=(ranks.rank(), ranks.count()),
    )
    if config.resume and run.pretraining.exists():
        progress = _load(run.pretraining, training, sampler)
    first = training.done
    every = max((config.evaluate_every or config.clips // EVALUATIONS) // config.batch_size, 1)
    silent = True if report or not ranks.first() else None
    bar = Bar(total=steps, initial=first, desc="pretraining", unit="batch", disable=silent)
    with (
        _writer(config.run, first * config.batch_size + 1) as writer,
        _deferred_interrupt() as asked,
        closing(loader),
    ):
        while training.done < steps and not progress.exhausted(config.patience):
            if ranks.any_of(asked() or (stop is not None and stop())):
                _save(run.pretraining, training, sampler, progress)
                raise Interrupted
            batch = next(loader)
            frames = backbone.preprocess(batch.frames.to(device, non_blocking=True))
            loss, accuracy = training.step(frames, batch.labels.to(device))
            seen = training.done * config.batch_size
            bar.update()
            if report is not None:
                report(seen)
            if training.done % 10 == 1:
                _write(writer, {"pretraining/loss": loss, "pretraining/accuracy": accuracy}, seen)
                _write(writer, {"data/wait": loader.wait_share(), "data/broken": len(loader.broken)}, seen)
                bar.set_postfix(loss=f"{loss:.2f}")
            if training.done % every == 0 or training.done == steps:
                try:
                    found = accuracies(backbone, clips, validation, mix=config.mix)
                except ValueError as error:
                    raise ValueError(f"{error}, and lower --learning-rate") from error
                progress.add(seen, found, backbone)
                tags = {f"pretraining/validation/{re.sub(r'[^a-z0-9]+', '_', name)}": name for name in found}
                _write(writer, {tag: found[name] for tag, name in tags.items()}, seen)
            if training.done % SAVE_EVERY == 0:
                _save(run.pretraining, training, sampler, progress)
    bar.close()
    return progress


def _writer(folder: Path, purge_step: int) -> AbstractContextManager[SummaryWriter | None]:
    """TensorBoard's, of the rank that writes."""
    return Events(folder, purge_step=purge_step) if ranks.first() else nullcontext()


def _write(writer: SummaryWriter | None, scalars: Mapping[str, float], seen: int) -> None:
    if writer is None:
        return
    for tag, value in scalars.items():
        writer.add_scalar(tag, value, seen)


def _save(path: Path, training: Pretraining, sampler: ClipSampler, progress: Progress) -> None:
    content = {"step": training.done, "position": sampler.position, "curve": progress.curve}
    save_checkpoint(path, "pretraining", content, {**training.state_dict(), "best": progress.best})


def _load(path: Path, training: Pretraining, sampler: ClipSampler) -> Progress:
    content: dict[str, Any]
    content, tensors = load_checkpoint(path, "pretraining")
    training.load_state_dict(tensors, content["step"])
    sampler.position = content["position"]
    return Progress(content["curve"], tensors["best"])


@contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Ctrl-C only sets a mark, which the body asks for between updates; a second one acts at once."""
    marks: list[int] = []

    def mark(number: int, frame: object) -> None:
        if marks:
            raise KeyboardInterrupt
        marks.append(number)

    try:
        before = signal.signal(signal.SIGINT, mark)
    except ValueError:  # not the main thread
        yield lambda: False
        return
    try:
        yield lambda: bool(marks)
    finally:
        signal.signal(signal.SIGINT, before)
