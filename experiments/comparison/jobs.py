"""The jobs of a comparison, wherever an executor runs them: pretrain, train and judge, judge fixed policies, time."""

from __future__ import annotations

import json
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent import FIXED, evaluate, fixed_policy
from agent.evaluation import selections_of
from agent.statistics import fit
from backbone import load_backbone
from backbone.common.files import write_json
from backbone.common.interruption import Interrupted
from envs.reward import Reward
from envs.spaces import StepLayout
from experiments.board import log_test
from experiments.clips import open_clips
from experiments.config import Pretrain, Train
from experiments.executors import worker
from experiments.executors.store import pull, send
from experiments.judgement import judge
from experiments.loading import Loaded, backbones_for, freeze, load_trained
from experiments.machine import import_plugins, provenance, resolve_device
from experiments.pretrain import pretrain
from experiments.run import Fixed, Run
from experiments.train import train

TIMED_SECONDS = 10  # of training, to tell a method's speed; a fifth of them to warm up

RATES = "rates.json"  # in the folder of a comparison


def _begin(config: Any) -> None:
    """What every job does first: a worker is a fresh process, which knows a user's plugins by the configuration alone."""
    worker.go_on()
    import_plugins(config.plugin)


def pretrain_backbone(config: Pretrain) -> None:
    """Pretrain, from where it was stopped."""
    _begin(config)
    pretrain(
        replace(config, resume=Run(config.run).exists),
        report=lambda clips: worker.report(str(config.run), clips),
        stop=worker.stopping,
    )


def train_and_judge(config: Train, *, seconds: float | None = None) -> None:
    """Train, unless that is done, and judge on the test split.

    :param seconds: as ``train`` takes them
    """
    model, _, trained = _trained(config, seconds=seconds)
    run, backbones = Run(config.folder), backbones_for(model, trained, selections_of(model))
    judgement = judge(model, backbones, open_clips(config.data, "test"), order=config.order)
    log_test(run.folder, judgement, rollouts=run.rollouts)
    run.write_judgement(judgement)


def train_and_validate(config: Train) -> None:
    """Train, unless that is done, and write the sampled policy's reward on all validation clips to validation.json."""
    model, _, trained = _trained(config)
    backbone = backbones_for(model, trained, ["sampled"])["sampled"]
    played = evaluate(model, backbone, open_clips(config.data, "val"), order=config.order, selection="sampled")
    outcome, cost = float(played.log_prob.mean()), played.cost
    found = {"reward": Reward("log_prob", config.cost_weight)(outcome, cost), "accuracy": played.accuracy, "cost": cost}
    run = Run(config.folder)
    write_json(run.validation, {**found, "updates": run.read_result()["updates"]})


def _trained(config: Train, *, seconds: float | None = None) -> Loaded:
    """What ``load_trained`` gives of a run, trained first as far as it is not."""
    _begin(config)
    run = Run(config.folder)
    if not run.finished:
        train(
            config,
            resume=run.exists,
            seconds=seconds,
            report=lambda rollouts: worker.report(str(config.folder), rollouts),
            stop=worker.stopping,
        )
    return load_trained(config.folder, device=config.device)


def judge_fixed(config: Fixed) -> None:
    """Judge every fixed policy on the backbone and clips of a configuration."""
    _begin(config)
    source = load_backbone(config.backbone, group_size=config.group_size)[0].to(resolve_device(config.device))
    train, test = open_clips(config.data, "train"), open_clips(config.data, "test")
    layout, judged = StepLayout(source.sites, test.num_frames, config.order), {}
    for name in FIXED:
        policy = fixed_policy(name, layout)
        fitted = fit(policy, source, train, order=config.order) if config.statistics == "followed" else source
        judged[name] = judge(policy, {"greedy": freeze(fitted)}, test, order=config.order)  # they are played one way
    run = Run(config.folder)
    run.write_manifest(config)
    run.write_judgements(judged)


def measure_rate(config: Train) -> None:
    """Train for some seconds and write to rates.json beside the run how many rollouts a second that is.

    Time spent in evaluations, of which a run has equally many whatever it learns by, is not in it.
    """
    _begin(config)
    times: dict[int, float] = {}  # rollouts played -> when

    def note(rollouts: int) -> None:
        times.setdefault(rollouts, time.monotonic())

    def enough() -> bool:
        return worker.stopping() or (len(times) > 2 and time.monotonic() - min(times.values()) > TIMED_SECONDS)

    config.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.folder.parent) as folder:
        # far more rollouts than there is time for: the end of a run, with its evaluation and animations, is no training
        endless = 1000 * config.rollouts
        short = replace(config, run=Path(folder) / "run", rollouts=endless, evaluate_every=endless, validation_clips=2)
        try:
            train(short, report=note, stop=enough)
        except Interrupted:
            worker.go_on()
    warm = sorted(times.items())[min(len(times) // 5, len(times) - 2) :]
    (before, first), (after, last) = warm[0], warm[-1]
    rates = read_rates(config.folder.parent)  # of other machines too
    rates[config.folder.name] = {
        "rollouts_per_second": (after - before) / (last - first),
        "rollouts": after - before,
        "seconds": last - first,
        "machine": provenance()["machine"],
    }
    write_json(config.folder.parent / RATES, rates)
    send(config.folder.parent / RATES)


def read_rates(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``measure_rate`` has found in the folder of a comparison: name of method and group size -> its speed."""
    path = folder / RATES
    pull(path)
    return json.loads(path.read_text()) if path.exists() else {}
