"""The jobs of a comparison, in worker processes of one thread each: pretrain, train and judge, judge fixed policies, time."""

from __future__ import annotations

import json
import multiprocessing
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

import torch

from agent import FIXED, evaluate, fixed_policy
from agent.evaluation import selections_of
from agent.statistics import fit
from backbone import load_backbone
from backbone.common.files import write_json
from backbone.common.interruption import Interrupted
from backbone.common.progress import Bar
from envs.reward import Reward
from envs.spaces import StepLayout
from experiments.board import log_test
from experiments.clips import open_clips
from experiments.config import Pretrain, Train
from experiments.judgement import judge
from experiments.loading import Loaded, backbones_for, freeze, load_trained
from experiments.machine import import_plugins, provenance, resolve_device, set_up_cpu
from experiments.pretrain import pretrain
from experiments.run import Fixed, Run
from experiments.train import train

TIMED_SECONDS = 10  # of training, to tell a method's speed; a fifth of them to warm up

RATES = "rates.json"  # in the folder of a comparison

Job = tuple[Callable[[Any], None], Pretrain | Train | Fixed]
"""One of the functions below, which are called in a worker, and its configuration."""


def run_jobs(jobs: Sequence[Job], workers: int, *, title: str, total: int = 0, unit: str = "rollout") -> None:
    """Do them in so many processes, in this order, under one progress bar.

    :param total: of all jobs together, in this unit, for the bar
    :param unit: what jobs report the number of: rollouts, or clips of pretraining
    :raises Interrupted: after Ctrl-C, once every worker has saved its checkpoint
    """
    if not jobs:
        return
    context = multiprocessing.get_context("spawn")
    progress, stop, turns = context.Queue(), context.Event(), context.Queue()
    for turn in range(workers):
        turns.put(turn)
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(progress, stop, turns))
    before = signal.signal(signal.SIGINT, lambda number, frame: stop.set())
    try:
        futures = [pool.submit(function, config) for function, config in jobs]
        _watch(futures, progress, total=total, title=title, unit=unit)
        done, pending = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [error for future in done if (error := future.exception()) is not None]
        if failed:
            stop.set()
            for future in pending:
                future.cancel()
            raise failed[0]
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGINT, before)


def _watch(futures: Sequence[Future[None]], progress: Any, *, total: int, title: str, unit: str) -> None:
    """Show the progress of all workers together until every job has ended or one has failed."""
    seen: dict[str, int] = {}
    with Bar(total=total, desc=title, unit=unit, disable=None, smoothing=0.05) as bar:
        while True:
            done = sum(future.done() for future in futures)
            over = done == len(futures)
            bar.set_postfix_str(f"{done} of {len(futures)} jobs done")  # judging, after training, takes a while too
            failed = any(future.done() and future.exception() is not None for future in futures)
            try:
                run, count = progress.get(timeout=0.5)
            except Empty:
                if over or failed:
                    return
                continue
            seen[run] = count
            bar.update(min(sum(seen.values()), total) - bar.n)


_progress: Any = None
_stop: Any = None


def _start_worker(progress: Any, stop: Any, turns: Any) -> None:
    global _progress, _stop
    _progress, _stop = progress, stop
    turn = turns.get()
    if torch.cuda.is_available():
        torch.cuda.set_device(turn % torch.cuda.device_count())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears Ctrl-C, and asks for a stop
    set_up_cpu(1)


def _begin(config: Any) -> None:
    """What every job does first: a worker is a fresh process, which knows a user's plugins by the configuration alone."""
    _go_on()
    import_plugins(config.plugin)


def _go_on() -> None:
    if _stop.is_set():
        raise Interrupted


def pretrain_backbone(config: Pretrain) -> None:
    """Pretrain, from where it was stopped."""
    _begin(config)
    pretrain(
        replace(config, resume=Run(config.run).exists),
        report=lambda clips: _progress.put((config.run.name, clips)),
        stop=_stop.is_set,
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
            report=lambda rollouts: _progress.put((config.folder.name, rollouts)),
            stop=_stop.is_set,
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
        return _stop.is_set() or (len(times) > 2 and time.monotonic() - min(times.values()) > TIMED_SECONDS)

    config.folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=config.folder.parent) as folder:
        # far more rollouts than there is time for: the end of a run, with its evaluation and animations, is no training
        endless = 1000 * config.rollouts
        short = replace(config, run=Path(folder) / "run", rollouts=endless, evaluate_every=endless, validation_clips=2)
        try:
            train(short, report=note, stop=enough)
        except Interrupted:
            _go_on()
    warm = sorted(times.items())[min(len(times) // 5, len(times) - 2) :]
    (before, first), (after, last) = warm[0], warm[-1]
    rates = read_rates(config.folder.parent)
    rates[config.folder.name] = {
        "rollouts_per_second": (after - before) / (last - first),
        "rollouts": after - before,
        "seconds": last - first,
        "machine": provenance()["machine"],
    }
    write_json(config.folder.parent / RATES, rates)


def read_rates(folder: Path) -> dict[str, dict[str, Any]]:
    """What ``measure_rate`` has found in the folder of a comparison: name of method and group size -> its speed."""
    path = folder / RATES
    return json.loads(path.read_text()) if path.exists() else {}
