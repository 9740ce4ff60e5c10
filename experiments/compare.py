"""Every method on the same backbone, clips and cost weights; one judge; one report. Resumes where it was stopped."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any

import torch
from tqdm import tqdm

from agent import FIXED, fixed_policy
from agent.callbacks import Interrupted
from backbone.files import write_json
from envs.layout import Layout
from experiments.config import Compare, Pretrain, Train, to_json
from experiments.evaluate import judge, save_judgement
from experiments.methods import METHODS
from experiments.pretrain import pretrain
from experiments.report import write_report
from experiments.runs import check_same, import_plugins, open_clips, provenance, resolve_device, set_up_cpu
from experiments.train import load_trained, open_frozen, train

FIXED_JOB = "fixed"  # stands where a method's name does


def compare(config: Compare) -> None:
    """Do what is missing of the comparison in ``config.run``, then print the table and write the report."""
    started = time.monotonic()
    import_plugins(config.plugin)
    unknown = [method for method in config.methods if method not in METHODS]
    if unknown:
        raise ValueError(f"expected --methods among {', '.join(sorted(METHODS))}; got {', '.join(unknown)}")
    config = replace(config, device=resolve_device(config.device).type)
    test = open_clips(config.data, "test")
    open_clips(config.data, "val")
    backbone = config.backbone or pretrained(config)
    jobs = plan(config, backbone)
    fixed = Train(
        backbone=backbone,
        data=config.data,
        method=FIXED_JOB,
        group_size=config.group_size,
        device=config.device,
        run=config.run / FIXED_JOB,
    )
    for job in (*jobs, fixed):
        check_same(job.run, job)
    run_jobs([job for job in (*jobs, fixed) if not (job.run / "evaluation.json").exists()], config.workers)
    facts = {"config": to_json(config), **provenance(test=test.data_hash), "seconds": _add_seconds(config.run, started)}
    write_report(config.run, jobs, fixed.run, facts, test)


def plan(config: Compare, backbone: Path) -> list[Train]:
    """A training run for each method, cost weight and seed; REINFORCE on 0/1 correctness once more, if asked for."""

    def job(method: str, weight: float, seed: int, **kwargs: Any) -> Train:
        name = f"{method}{'-correctness' if 'reward' in kwargs else ''}-w{weight:g}-s{seed}"
        return Train(
            backbone=backbone,
            data=config.data,
            method=method,
            clips=config.clips,
            cost_weight=weight,
            group_size=config.group_size,
            seed=seed,
            device=config.device,
            plugin=config.plugin,
            run=config.run / name,
            **kwargs,
        )

    jobs = [
        job(method, weight, seed)
        for seed in config.seeds
        for weight in config.cost_weights
        for method in config.methods
    ]
    if config.correctness_row and "reinforce" in config.methods:
        jobs += [job("reinforce", config.cost_weights[-1], seed, reward="correctness") for seed in config.seeds]
    return jobs


def pretrained(config: Compare) -> Path:
    """The comparison's own backbone, pretrained as far as it is not yet."""
    folder = config.run / "backbone"
    wanted = Pretrain(
        data=config.data, clips=config.pretrain_clips, device=config.device, plugin=config.plugin, run=folder
    )
    check_same(folder, wanted)
    if not (folder / "backbone.pt").exists():
        pretrain(replace(wanted, resume=(folder / "config.json").exists()))
    return folder / "backbone.pt"


def run_jobs(jobs: list[Train], workers: int) -> None:
    """Train and judge in worker processes of one thread each, under one progress bar.

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
        futures = [pool.submit(_run_fixed if job.method == FIXED_JOB else _run_job, job) for job in jobs]
        learned = [job for job in jobs if job.method != FIXED_JOB]
        _watch(futures, progress, total=sum(job.clips for job in learned), title=f"{len(learned)} runs")
        done, pending = wait(futures, return_when=FIRST_EXCEPTION)
        failed = [future for future in done if future.exception() is not None]
        if failed:
            stop.set()
            for future in pending:
                future.cancel()
            raise failed[0].exception()
    finally:
        pool.shutdown(cancel_futures=True)
        signal.signal(signal.SIGINT, before)


def _watch(futures: list, progress: Any, *, total: int, title: str) -> None:
    """Show the clips seen by all workers together until every job has ended or one has failed."""
    seen: dict[str, int] = {}
    with tqdm(total=total, desc=title, unit="clip", disable=None, smoothing=0.05) as bar:
        while True:
            over = all(future.done() for future in futures)
            failed = any(future.done() and future.exception() is not None for future in futures)
            try:
                run, clips = progress.get(timeout=0.5)
            except Empty:
                if over or failed:
                    return
                continue
            seen[run] = clips
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


def _run_job(config: Train) -> None:
    """Train, unless that is done, and judge on the test split."""
    if _stop.is_set():
        raise Interrupted
    if not (config.run / "result.json").exists():
        train(
            config,
            resume=(config.run / "config.json").exists(),
            report=lambda clips: _progress.put((config.run.name, clips)),
            stop=_stop.is_set,
        )
    model, backbone, _ = load_trained(config.run, device=config.device)
    save_judgement(config.run, *judge(model, backbone, open_clips(config.data, "test"), order=config.order))


def _run_fixed(config: Train) -> None:
    """Judge every fixed policy on the backbone and clips of a configuration."""
    if _stop.is_set():
        raise Interrupted
    backbone = open_frozen(config.backbone, group_size=config.group_size, device=config.device)
    clips = open_clips(config.data, "test")
    layout = Layout(backbone.sites, clips.num_frames, config.order)
    figures = {name: judge(fixed_policy(name, layout), backbone, clips, order=config.order)[0] for name in FIXED}
    write_json(config.run / "config.json", to_json(config))
    write_json(config.run / "evaluation.json", figures)


def _add_seconds(folder: Path, started: float) -> float:
    """Wall-clock of the comparison, over all the sessions that it took."""
    path = folder / "seconds.json"
    before = json.loads(path.read_text()) if path.exists() else 0.0
    seconds = before + time.monotonic() - started
    write_json(path, seconds)
    return seconds
