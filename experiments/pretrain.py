"""Fusion-aware pretraining of a backbone, by a fixed number of clips."""

from __future__ import annotations

import math
import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from agent.pretraining import PretrainingMix
from backbone import (
    BACKBONES,
    FusionBackbone,
    create_cnn,
    find_weights,
    imagenet_weights,
    load_weights,
    save_backbone,
)
from backbone.common.files import load_checkpoint, save_checkpoint
from backbone.common.interruption import Interrupted
from backbone.fusion.consensus import CONSENSUS
from backbone.fusion.temporal import TEMPORAL_MODES
from envs.clips import ClipSource
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from experiments.clips import open_clips
from experiments.command_line import PROGRAM
from experiments.config import Pretrain, to_json
from experiments.machine import import_plugins, set_up_cpu, settle_device
from experiments.run import Run

WARMUP = 0.02  # share of training over which the learning rate rises
SAVE_EVERY = 100  # updates


def pretrain(
    config: Pretrain, *, report: Callable[[int], None] | None = None, stop: Callable[[], bool] | None = None
) -> Path:
    """Train, and return the path of the saved backbone.

    :param report: called with the clips seen, in place of a progress bar and of the last line
    :param stop: asked between updates; True saves a checkpoint and raises Interrupted, as Ctrl-C does
    """
    import_plugins(config.plugin)
    check_names(config)
    set_up_cpu(config.threads)
    config = replace(config, device=settle_device(config.device))
    clips = open_clips(config.data, "train")
    torch.manual_seed(config.seed)
    cnn = create_cnn(config.architecture, num_classes=len(clips.classes), size=config.data.size)
    if config.weights is not None:
        path = imagenet_weights(config.architecture) if config.weights == "imagenet" else find_weights(config.weights)
        loaded = load_weights(cnn, path)
        print(f"Starting from {path}: {loaded.in_words(len(clips.classes))}.")
    backbone = FusionBackbone(
        cnn,
        sites=config.sites,
        history=config.history,
        temporal=config.temporal,
        consensus=config.consensus,
        lstm_hidden=config.lstm_hidden,
    ).to(config.device)
    if config.weights is not None and (warning := loaded.warning(backbone.temporal)):
        print(warning)
    run = Run(config.run)
    run.begin(config, resume=config.resume, train=clips.data_hash)
    train_backbone(backbone, clips, config, report=report, stop=stop)
    save_backbone(
        run.backbone,
        backbone,
        architecture=config.architecture,
        classes=list(clips.classes),
        pretraining=to_json(config),
    )
    run.pretraining.unlink(missing_ok=True)
    if report is None:
        print(f"Backbone saved to {run.backbone}. Train an agent on it: {PROGRAM} train --backbone {run.backbone}")
    return run.backbone


def check_names(config: Pretrain) -> None:
    """Before videos are decoded for it.

    :raises ValueError: an unknown architecture, temporal mode or consensus; the message lists the known ones
    """
    BACKBONES.find(config.architecture)
    TEMPORAL_MODES.find(config.temporal)
    CONSENSUS.find(config.consensus)


def train_backbone(
    backbone: FusionBackbone,
    clips: ClipSource,
    config: Pretrain,
    *,
    report: Callable[[int], None] | None = None,
    stop: Callable[[], bool] | None = None,
) -> None:
    """SGD with Nesterov momentum under random decisions; resumes from, and leaves, a checkpoint in the run's folder."""
    optimizer = torch.optim.SGD(
        backbone.parameters(), lr=0.0, momentum=0.9, nesterov=True, weight_decay=config.weight_decay
    )
    sampler = ClipSampler(len(clips), seed=config.seed)
    pin_memory = backbone.device.type == "cuda"
    loader = Loader(clips, sampler, config.batch_size, workers=config.data.workers, pin_memory=pin_memory)
    steps, checkpoint = max(config.clips // config.batch_size, 1), Run(config.run).pretraining
    first = 0
    if config.resume and checkpoint.exists():
        first = _load(checkpoint, backbone, optimizer, sampler)
    device = backbone.device
    backbone.train()
    bar = tqdm(total=steps, initial=first, desc="pretraining", unit="batch", disable=True if report else None)
    with (
        SummaryWriter(str(config.run), purge_step=first * config.batch_size + 1) as writer,
        _deferred_interrupt() as asked,
        closing(loader),
    ):
        for step in range(first, steps):
            if asked() or (stop is not None and stop()):
                _save(checkpoint, backbone, optimizer, sampler, step)
                raise Interrupted
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * _schedule(step / steps)
            batch = next(loader)
            frames = backbone.preprocess(batch.frames.to(device, non_blocking=True))
            labels = batch.labels.to(device)
            logits = backbone(frames, PretrainingMix(backbone.sites, len(frames), device)).logits
            loss = F.cross_entropy(logits, labels)
            if not math.isfinite(loss.item()):
                raise ValueError(f"expected a finite loss, got {loss.item()} at batch {step}: lower --learning-rate")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            bar.update()
            if report is not None:
                report((step + 1) * config.batch_size)
            if step % 10 == 0:
                seen = (step + 1) * config.batch_size
                accuracy = 100 * (logits.argmax(-1) == labels).float().mean().item()
                writer.add_scalar("pretraining/loss", loss.item(), seen)
                writer.add_scalar("pretraining/accuracy", accuracy, seen)
                writer.add_scalar("data/wait", loader.wait_share(), seen)
                writer.add_scalar("data/broken", len(loader.broken), seen)
                bar.set_postfix(loss=f"{loss.item():.2f}")
            if (step + 1) % SAVE_EVERY == 0:
                _save(checkpoint, backbone, optimizer, sampler, step + 1)
    bar.close()
    backbone.eval()


def _schedule(done: float) -> float:
    return min(done / WARMUP + 0.01, 1.0) * 0.5 * (1 + math.cos(math.pi * done))


def _save(
    path: Path, backbone: FusionBackbone, optimizer: torch.optim.Optimizer, sampler: ClipSampler, step: int
) -> None:
    tensors = {
        "backbone": backbone.state_dict(),
        "optimizer": optimizer.state_dict(),
        "torch": torch.get_rng_state(),
    }
    save_checkpoint(path, "pretraining", {"step": step, "position": sampler.position}, tensors)


def _load(path: Path, backbone: FusionBackbone, optimizer: torch.optim.Optimizer, sampler: ClipSampler) -> int:
    content, tensors = load_checkpoint(path, "pretraining")
    backbone.load_state_dict(tensors["backbone"])
    optimizer.load_state_dict(tensors["optimizer"])
    torch.set_rng_state(tensors["torch"])
    sampler.position = content["position"]
    return content["step"]


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
