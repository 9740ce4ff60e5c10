"""Every method on the same backbones, clips and cost weights; one judge; one report. Resumes where it was stopped."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from backbone.common.files import write_json
from backbone.common.naming import did_you_mean
from envs.clips import ClipSource
from envs.reward import find_outcome
from experiments.clips import expect_classes, open_clips
from experiments.command_line import PROGRAM
from experiments.comparison.jobs import (
    judge_fixed,
    measure_rate,
    pretrain_backbone,
    read_rates,
    train_and_judge,
)
from experiments.comparison.planning import describe_plan
from experiments.comparison.report import write_report
from experiments.comparison.results import Arm, gather, row_method
from experiments.comparison.sweep import comparisons
from experiments.config import Compare, Pretrain, SettledCompare, Train, to_json
from experiments.executors.executor import Failed, Job
from experiments.executors.lock import driving
from experiments.executors.run_jobs import device_of, expect_all, failed_of, run_jobs
from experiments.executors.store import mirrored, sync
from experiments.machine import cores, import_plugins, provenance
from experiments.methods import METHODS
from experiments.pretrain import pretrain
from experiments.run import Fixed, Run
from experiments.tuned import read_tuning

SECONDS = "seconds.json"  # in the folder of a comparison
TENSORBOARD_RUNS = 40  # that it shows without being asked to
EVALUATIONS, VALIDATION_CLIPS = 4, 250  # of a run, the evaluation before training aside


@dataclass
class Planned:
    """A comparison whose backbones are there and whose jobs are known.

    :param config: settled
    """

    config: SettledCompare
    test: ClipSource
    arms: list[Arm]
    fixed: list[Fixed]

    def missing(self) -> list[Job]:
        """The jobs whose judgement is not there yet, whole seeds one by one."""
        learned = [
            (partial(train_and_judge, seconds=arm.seconds), job)
            for arm in self.arms
            for job in sorted(arm.jobs, key=lambda job: job.seed)
        ]
        every: list[Job] = [*learned, *((judge_fixed, job) for job in self.fixed)]
        return [(function, job) for function, job in every if not Run(job.folder).judged]


def compare(config: Compare) -> list[Failed]:
    """Do what is missing of a comparison, or of all those of a sweep file, then print the tables and write the reports.

    :returns: the jobs that failed
    """
    started = time.monotonic()
    every = [settle(one) for one in comparisons(config)]
    if config.plan:
        for line in describe_plan([jobs_of(one) for one in every], every[0].run):
            print(line)
        return []
    with ExitStack() as stack:
        for settled in every:
            stack.enter_context(driving(settled.run))
        planned = [prepare(settled) for settled in every]
        missing = [job for one in planned for job in one.missing()]
        training = [job for _, job in missing if isinstance(job, Train)]
        total = sum(job.rollouts for job in training)
        failed = failed_of(run_jobs(missing, every[0], title=f"{len(training)} runs", total=total))
        for one in planned:
            conclude(one, started, [job for job in failed if Path(job.name).is_relative_to(one.config.run)])
    return failed


def settle(config: Compare) -> SettledCompare:
    """Everything checked and settled that can be before any data are opened.

    :raises ValueError: as ``check_options``
    """
    import_plugins(config.plugin)
    check_options(config.settled())
    settled = config.settled()
    return replace(settled, run=mirrored(settled.run), device=device_of(config), workers=config.workers or cores())


def jobs_of(settled: SettledCompare) -> list[Pretrain | Train | Fixed]:
    """What there is to do, as far as it is not done; without the runs of equal time, whose length is not known before."""
    wanted = wanted_backbones(settled)
    backbones = backbone_files(settled, wanted)
    missing = [one for one in wanted.values() if not Run(one.run).backbone.exists()]
    every: list[Train | Fixed] = [*plan(settled, backbones).jobs, *plan_fixed(settled, backbones)]
    return [*missing, *(one for one in every if not Run(one.folder).judged)]


def prepare(settled: SettledCompare) -> Planned:
    """Pretrain, measure speeds, and plan all the rest.

    :raises ValueError: a folder holds another run than the one that is wanted
    """
    test = open_clips(settled.data, "test")
    expect_classes(test.classes, open_clips(settled.data, "val"), of="test", split="val")
    backbones = pretrained(settled)
    arms = [plan(settled, backbones)]
    if settled.seconds:
        arms.append(plan_seconds(settled, arms[0].jobs))
    planned = Planned(settled, test, arms, plan_fixed(settled, backbones))
    every: list[Fixed | Train] = [*planned.fixed, *(job for arm in arms for job in arm.jobs)]
    for one in every:
        Run(one.folder).check_same(one)
    return planned


def conclude(planned: Planned, started: float, failed: Sequence[Failed]) -> None:
    """Gather what the runs have left, and write the report.

    Of a row (a method at a cost weight and group size) whose run has failed under one seed, none is in the tables.
    """
    settled, lost = planned.config, {one.name for one in failed}
    facts = {
        "config": to_json(settled),
        **provenance(test=planned.test.data_hash),
        "seconds": _add_seconds(settled.run, started),
        "rates": read_rates(settled.run) if settled.seconds else {},
        **({"failed": [asdict(one) for one in failed]} if failed else {}),
    }
    arms = [whole_rows(arm, lost) for arm in planned.arms]
    if not arms[0].jobs:
        raise ValueError(f"expected a row of which every run ended well; {'; '.join(map(str, failed))}")
    gather(arms, [job for job in planned.fixed if str(job.folder) not in lost], planned.test, facts).save(settled.run)
    write_report(settled.run, settled.run)
    many = sum(len(arm.jobs) for arm in arms) > TENSORBOARD_RUNS
    hint = ', which shows none of so many runs until you filter them, for instance by "s0$"' if many else ""
    print(f"Episodes and curves: tensorboard --logdir {settled.run}{hint}")
    print(f"One agent in figures: {PROGRAM} evaluate {arms[0].jobs[0].folder}")


def whole_rows(arm: Arm, lost: Collection[str]) -> Arm:
    """An arm without the rows in which a job was lost under one seed."""

    def row(job: Train) -> tuple[Any, ...]:
        return row_method(job), job.group_size, job.cost_weight, job.reward

    gone = {row(job) for job in arm.jobs if str(job.folder) in lost}
    return arm._replace(jobs=[job for job in arm.jobs if row(job) not in gone])


def check_options(config: SettledCompare) -> None:
    """:raises ValueError: a method or reward that is not registered, or a list without an entry"""
    unknown = [method for method in (*config.methods, *config.more_methods) if method not in METHODS]
    if unknown:
        raise ValueError(
            f"expected --methods among {', '.join(sorted(METHODS))}; got {', '.join(unknown)}{did_you_mean(unknown, METHODS)}"
        )
    for reward in config.more_rewards:
        find_outcome(reward)
    for name in ("methods", "regimes", "cost_weights", "seeds", "group_sizes"):
        values = getattr(config, name)
        if not values or len(set(values)) < len(values):
            raise ValueError(
                f"expected each of --{name.replace('_', '-')} once and at least one, got {', '.join(map(str, values)) or 'none'}"
            )


def pretrained(config: SettledCompare) -> dict[int, Path]:
    """The backbone of each seed; those that the comparison is to have of its own are pretrained as far as they are not.

    The full preset has one of each seed, pretrained side by side; the default one, of seed 0, for all agents.
    """
    wanted = wanted_backbones(config)
    for one in wanted.values():
        Run(one.run).check_same(one)
    missing = [one for one in wanted.values() if not Run(one.run).backbone.exists()]
    if len(wanted) == 1 and not config.job_gpus:  # alone, it may have all cores of this machine
        for one in missing:
            with sync(one):
                pretrain(replace(one, resume=Run(one.run).exists))
    else:
        total = sum(one.clips for one in missing)
        jobs = [(pretrain_backbone, one) for one in missing]
        expect_all(run_jobs(jobs, config, title="pretraining", total=total, unit="clip"))
    return backbone_files(config, wanted)


def wanted_backbones(config: SettledCompare) -> dict[int, Pretrain]:
    """The pretrainings of a comparison by their seeds; none where it is told a backbone."""
    if config.backbone is not None:
        return {}
    seeds = config.seeds if config.preset == "full" else (0,)
    return {
        seed: Pretrain(
            data=config.data,
            clips=config.pretrain_clips,
            batch_size=config.pretrain_batch_size,
            seed=seed,
            threads=int(len(seeds) > 1),
            device=config.device,
            plugin=config.plugin,
            run=config.run / f"backbone-s{seed}",
        )
        for seed in seeds
    }


def backbone_files(config: SettledCompare, wanted: Mapping[int, Pretrain]) -> dict[int, Path]:
    """The file of each seed's backbone, there or to come."""
    if config.backbone is not None:
        return dict.fromkeys(config.seeds, config.backbone)
    first = next(iter(wanted))
    return {seed: Run(wanted.get(seed, wanted[first]).run).backbone for seed in config.seeds}


def plan(config: SettledCompare, backbones: dict[int, Path]) -> Arm:
    """A run of equal rollouts for each method, group size, cost weight and seed; then the rows of one setting only."""

    chosen = {} if config.tuning is None else read_tuning(config.tuning)

    def job(method: str, group: int, weight: float, seed: int, **kwargs: Any) -> Train:
        one = Train(
            backbone=backbones[seed],
            data=config.data,
            method=method,
            rollouts=config.rollouts,
            cost_weight=weight,
            group_size=group,
            statistics=config.statistics,
            reuse=config.reuse,
            seed=seed,
            evaluate_every=math.ceil(config.rollouts / EVALUATIONS),
            validation_clips=VALIDATION_CLIPS,
            device=config.device,
            plugin=config.plugin,
            **chosen.get(method, {}),
            **kwargs,
        ).settled()
        reward = "" if one.reward == "log_prob" else f"-{one.reward}"
        return replace(one, run=config.run / f"{row_method(one)}{reward}-g{group}-w{weight:g}-s{seed}")

    jobs = [
        job(method, group, weight, seed, regime=regime)
        for seed in config.seeds
        for group in config.group_sizes
        for weight in config.cost_weights
        for regime in config.regimes
        for method in config.methods
    ]
    once: dict[str, Any] = {"group": config.group_sizes[-1], "weight": config.more_cost_weight}
    more = [method for method in config.more_methods if method not in config.methods]
    jobs += [job(method, seed=seed, **once) for seed in config.seeds for method in more]
    rewards = [*["correctness"] * bool(config.correctness_row), *config.more_rewards]
    for reward in dict.fromkeys(name for name in rewards if name != "log_prob"):
        jobs += [job("reinforce", seed=seed, reward=reward, **once) for seed in config.seeds]
    return Arm(f"{config.rollouts:,} rollouts each", jobs)


def plan_seconds(config: SettledCompare, runs: Sequence[Train]) -> Arm:
    """The runs of the main methods once more, for as many rollouts as each plays in ``config.seconds`` of training.

    Their number is settled beforehand, from a speed measured alone, so that every schedule ends as it should. A
    run's evaluations are as many as before and their time is not counted.
    """
    main = [job for job in runs if job.method in config.methods and job.reward == "log_prob"]
    wanted = {f"{row_method(job)}-g{job.group_size}": job for job in main if job.cost_weight == config.cost_weights[0]}
    timed = [replace(job, run=config.run / name) for name, job in wanted.items() if name not in read_rates(config.run)]
    jobs = [(measure_rate, job) for job in timed]
    expect_all(run_jobs(jobs, config, title=f"timing {len(timed)} methods", at_once=1))
    rates = read_rates(config.run)

    def timed_job(job: Train) -> Train:
        settings = job.settled()
        batch = math.lcm(settings.batch_size, settings.num_clips * settings.rollouts_per_clip)
        rollouts = rates[f"{row_method(job)}-g{job.group_size}"]["rollouts_per_second"] * config.seconds
        rollouts = max(round(rollouts / batch), 1) * batch
        name = f"{job.folder.name}-{config.seconds:g}seconds"
        return replace(job, rollouts=rollouts, evaluate_every=math.ceil(rollouts / EVALUATIONS), run=config.run / name)

    return Arm(f"{config.seconds:g} seconds each", [timed_job(job) for job in main], config.seconds)


def plan_fixed(config: SettledCompare, backbones: dict[int, Path]) -> list[Fixed]:
    """The fixed policies, once for each group size and each backbone."""
    first = {path: seed for seed, path in reversed(backbones.items())}
    return [
        Fixed(
            path,
            data=config.data,
            group_size=group,
            seed=seed,
            statistics=config.statistics,
            device=config.device,
            plugin=config.plugin,
            run=config.run / f"fixed-g{group}-s{seed}",
        )
        for group in config.group_sizes
        for path, seed in sorted(first.items(), key=lambda item: item[1])
    ]


def _add_seconds(folder: Path, started: float) -> float:
    """Wall-clock of the comparison, over all the sessions that it took."""
    path = folder / SECONDS
    before = json.loads(path.read_text()) if path.exists() else 0.0
    seconds = before + time.monotonic() - started
    write_json(path, seconds)
    return seconds
