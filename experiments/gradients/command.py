"""What is a gradient worth? Every estimator against the exact gradient, on real clips, and along training."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from backbone import FusionBackbone
from backbone.common.files import write_json
from backbone.common.naming import did_you_mean
from envs.clips import ClipSource
from experiments.analysis.statistics import holm
from experiments.clips import open_clips
from experiments.config import Gradients, Train, to_json
from experiments.executors.lock import driving
from experiments.executors.run_jobs import expect_all, run_jobs
from experiments.executors.store import mirrored
from experiments.gradients.along import OTHER_GATES, Point, Trained, open_at_start, train_along
from experiments.gradients.measure import Samples, passes_per_rollout, sample
from experiments.gradients.problem import Estimator, Gates, TinyProblem, initial_gates, make_estimator
from experiments.gradients.report import write_report
from experiments.gradients.statistics import (
    Pool,
    Reference,
    can_be_told,
    is_biased,
    judge_bias,
    lacking,
    measure_direction,
    measure_signal,
)
from experiments.machine import import_plugins, provenance, set_up_cpu
from experiments.methods import METHODS
from experiments.run import Run

ROLLOUTS, ROLLOUTS_PER_CLIP = 128, 8  # of an estimate on real clips, where nothing else is said
YARDSTICK = "reinforce"  # whose time for these is the compute that all get
# Unbiased methods to take the reference from, the best first, and the share of the estimates that it needs.
REFERENCES = {"rebar": 0.15, "reinforce": 1.0}
ALONG = ("reinforce", "rebar", "gumbel", "reinmax", "straight_through")  # measured along training unless some are named
DEFAULT_BACKBONE = Path("runs/backbone/backbone.pt")


class Effort(NamedTuple):
    """How much is measured.

    :param exact_estimates: of each method on the tiny problem, for initial gates and again for perturbed ones
    :param exact_rollouts: in each of them
    :param estimates: of each method on real clips, of 128 rollouts each, and again at equal compute
    :param reference: estimates of plain REINFORCE that the reference would be the mean of
    :param group_sizes: channels that share a decision
    :param rollouts_per_clip: at the first of these group sizes
    :param shares: of training at which its runs are looked at
    :param estimates_along: of each method there
    :param reference_along: estimates of plain REINFORCE in the reference there, beside as many of REBAR as fit their time
    """

    exact_estimates: int
    exact_rollouts: int
    estimates: int
    reference: int
    group_sizes: tuple[int, ...]
    rollouts_per_clip: tuple[int, ...]
    shares: tuple[float, ...]
    estimates_along: int
    reference_along: int


PRESETS = {
    "quick": Effort(30, 128, 4, 30, (8,), (), (0.0, 1.0), 4, 24),
    "default": Effort(100, 256, 10, 250, (1, 2, 4, 8, 16), (2, 4, 8, 16, 32), (0.0, 0.25, 0.5, 0.75, 1.0), 12, 120),
    "full": Effort(400, 512, 60, 2000, (1, 2, 4, 8, 16), (2, 4, 8, 16, 32), (0.0, 0.25, 0.5, 0.75, 1.0), 60, 1200),
}


def gradients(config: Gradients) -> None:
    """Measure what is missing in ``config.run``; write gradients.json, gradients.md and pictures, print the tables.

    One CPU thread, on which all times are measured.

    :raises ValueError: an unknown method, one that gives no estimate, or a run with gates that no other method has
    """
    import_plugins(config.plugin)
    set_up_cpu(1)
    methods = choose_methods(config.methods or (ALONG if config.agent else ()))
    config = replace(config, run=mirrored(config.run))
    with driving(config.run):
        _measure(config, methods, PRESETS[config.preset])


def _measure(config: Gradients, methods: Sequence[str], effort: Effort) -> None:
    Run(config.run).check_same(config)
    Run(config.run).write_manifest(config)
    found: dict[str, Any] = {}
    if config.agent:
        found["along"], hashes = along_part(config, methods, effort)
    else:
        found["exact"], hashes = exact_part(config, methods, effort), {}
        backbone = config.backbone or (DEFAULT_BACKBONE if DEFAULT_BACKBONE.exists() else None)
        if backbone is not None:
            found["clips"], hashes = clips_part(config, backbone, methods, effort)
        else:
            print(
                f"No backbone at {DEFAULT_BACKBONE}, so nothing is measured on real clips: pretrain one, or name it with "
                "--backbone"
            )
    facts = {"config": to_json(config), "effort": effort._asdict(), **provenance(**hashes)}
    write_report(config.run, found, facts)


def choose_methods(wanted: Sequence[str]) -> list[str]:
    """The methods to measure, the yardstick of time first.

    :raises ValueError: an unknown one
    """
    if unknown := [method for method in wanted if method not in METHODS]:
        raise ValueError(
            f"expected --methods among {', '.join(sorted(METHODS))}; got {', '.join(unknown)}{did_you_mean(unknown, METHODS)}"
        )
    methods = wanted or [method for method in METHODS if method not in OTHER_GATES]
    return list(dict.fromkeys([YARDSTICK, *methods]))


class Stage(NamedTuple):
    """A part that is measured by itself, as a job.

    :param config: of the command
    :param name: of its file
    """

    config: Gradients
    name: str
    measure: Callable[[], dict[str, Any]]

    @property
    def folder(self) -> Path:
        """Where the files of all stages are written."""
        return self.config.run / "stages"

    @property
    def path(self) -> Path:
        """Its file."""
        return self.folder / f"{self.name}.json"


def measure_stage(stage: Stage) -> None:
    """Write what is not measured yet: the job, on one thread wherever it runs."""
    import_plugins(stage.config.plugin)
    set_up_cpu(1)
    if not stage.path.exists():
        write_json(stage.path, stage.measure())


def measured(config: Gradients, measures: Mapping[str, Callable[[], dict[str, Any]]]) -> list[dict[str, Any]]:
    """What each finds, or found before: one after the other in this process, or as jobs of an executor that is not local.

    Times of stages that run side by side on one machine are as good as its cores are free of each other.
    """
    stages = [Stage(config, name, measure) for name, measure in measures.items()]
    missing = [stage for stage in stages if not stage.path.exists()]
    if config.executor == "local":
        for stage in missing:
            measure_stage(stage)
    else:
        expect_all(run_jobs([(measure_stage, stage) for stage in missing], config, title="gradients"))
    return [json.loads(stage.path.read_text()) for stage in stages]


# -- the tiny problem ------------------------------------------------------------------------------------------------


def exact_part(config: Gradients, methods: Sequence[str], effort: Effort) -> dict[str, Any]:
    """Every method against the exact gradient, at initial and at perturbed gates; p corrected for all of them (Holm)."""
    names = ("initial", "perturbed")
    parts = {f"exact-{case}": partial(exact_case, config, methods, effort, case) for case in names}
    cases = dict(zip(names, measured(config, parts)))
    correct_bias_tests(cases.values())
    return {"estimates": effort.exact_estimates, "rollouts": effort.exact_rollouts, "cases": cases}


def correct_bias_tests(cases: Iterable[dict[str, Any]]) -> None:
    """Correct p, and the least that it can be, for being one of all methods and cases (Holm); judge bias by them."""
    tests = [(row, found) for found in cases for row in found["methods"].values()]
    ps = [row["p"] for row, _ in tests]
    for place, ((row, found), p) in enumerate(zip(tests, holm(ps))):
        least = row.get("least_p", 0.0)  # which stages of older runs lack
        row["p"], row["least_p"] = p, holm([*ps[:place], least, *ps[place + 1 :]])[place]
        told = can_be_told(found["lack"], found["coordinates"])
        row["biased"] = is_biased(row["p"], row["least_p"], told=told)


def exact_case(config: Gradients, methods: Sequence[str], effort: Effort, case: str) -> dict[str, Any]:
    """One of them."""
    problem = TinyProblem(cost_weight=config.cost_weight, spread=case == "perturbed")
    exact, every = problem.exact_gradient(), problem.enumerate()
    estimators = {method: problem.estimator(method, effort.exact_rollouts, seed=config.seed) for method in methods}
    torch.manual_seed(config.seed)
    samples = sample(estimators, effort.exact_estimates, f"exact, {case} gates")
    lack = lacking(*problem.parts(), effort.exact_estimates * effort.exact_rollouts)
    judged = {}
    for method, taken in samples.items():
        bias = judge_bias(taken.gradients, exact, lack=lack)
        cost = _cost(estimators[method], problem.backbone, taken)
        judged[method] = {**bias._asdict(), **cost, "variance_times_seconds": bias.variance * cost["seconds"]}
    return {
        "joint_decisions": every.rewards.shape[1],
        "clips": every.rewards.shape[0],
        "coordinates": len(exact),
        "additive_r2": every.additive_r2().tolist(),
        "expected_reward": every.expected_reward.item(),
        "gradient_norm": float(np.linalg.norm(exact)),
        "lack": lack,
        "methods": judged,
    }


def _cost(estimator: Estimator, backbone: FusionBackbone, taken: Samples) -> dict[str, float]:
    passes = passes_per_rollout(estimator, backbone)
    return {
        "rollouts": estimator.rollouts,
        "rollouts_per_clip": estimator.rollouts_per_clip,
        "forward_passes": passes.forward,
        "backward_passes": passes.backward,
        "seconds": float(np.median(taken.seconds)),
    }


# -- real clips ------------------------------------------------------------------------------------------------------


class Setting(NamedTuple):
    """Where estimates are taken on real clips.

    :param config: of every learner, but for method, seed and batch
    :param share: of training that is over
    """

    config: Train
    backbone: FusionBackbone
    clips: ClipSource
    gates: Gates
    share: float = 0.0

    def estimator(
        self, method: str, *, rollouts: float, rollouts_per_clip: int = ROLLOUTS_PER_CLIP, seed: int = 0
    ) -> Estimator:
        """:param rollouts: in an estimate, each of another clip for a method that passes each clip once"""
        config = replace(
            self.config,
            method=method,
            seed=self.config.seed + seed,
            num_clips=max(round(rollouts / rollouts_per_clip), 1),
            rollouts_per_clip=rollouts_per_clip,
            batch_size=max(round(rollouts), 1),
        )
        return make_estimator(config, self.backbone, self.clips, self.gates, share=self.share)


def clips_part(
    config: Gradients, backbone: Path, methods: Sequence[str], effort: Effort
) -> tuple[dict[str, Any], dict[str, str]]:
    """Every method on the training clips at initial gates, at each group size; and the clips' hash."""
    parts = {
        f"group-{group_size}": partial(group_part, config, backbone, methods, effort, group_size)
        for group_size in effort.group_sizes
    }
    groups = dict(zip(map(str, effort.group_sizes), measured(config, parts)))
    hashes = {"train": open_clips(config.data, "train").data_hash}
    return {"cost_weight": config.cost_weight, "groups": groups}, hashes


def group_part(
    config: Gradients, backbone: Path, methods: Sequence[str], effort: Effort, group_size: int
) -> dict[str, Any]:
    """One group size, from the options alone."""
    clips = open_clips(config.data, "train")
    base = Train(
        backbone=backbone,
        data=config.data,
        cost_weight=config.cost_weight,
        group_size=group_size,
        device="cpu",
        plugin=config.plugin,
        seed=config.seed,
    )
    frozen = open_at_start(base, clips)
    setting = Setting(base, frozen, clips, initial_gates(base, frozen))
    sweep = effort.rollouts_per_clip if group_size == effort.group_sizes[0] else ()
    return group_stage(setting, sweep, methods, effort)


def group_stage(setting: Setting, sweep: Sequence[int], methods: Sequence[str], effort: Effort) -> dict[str, Any]:
    """One group size: the reference; every method at equal rollouts, at equal compute, and over rollouts per clip."""
    title = f"groups of {setting.config.group_size}"
    torch.manual_seed(setting.config.seed + 1)
    of = next(method for method in REFERENCES if method in METHODS)
    count = max(round(REFERENCES[of] * effort.reference), 4)
    taken = sample({of: setting.estimator(of, rollouts=ROLLOUTS, seed=1)}, count, f"{title}: reference")[of]
    reference = Reference(taken.gradients)

    torch.manual_seed(setting.config.seed)
    equal_rollouts = {method: setting.estimator(method, rollouts=ROLLOUTS) for method in methods}
    samples = sample(equal_rollouts, effort.estimates, f"{title}: equal rollouts")
    found = {method: _summary(equal_rollouts[method], setting, samples[method], reference) for method in methods}

    # each gets as many rollouts as it can take in the yardstick's time; that again runs beside them, as a check
    budget = found[YARDSTICK]["seconds"]
    fitted = {
        method: setting.estimator(method, rollouts=ROLLOUTS * budget / found[method]["seconds"]) for method in methods
    }
    fitted = {
        method: estimator
        for method, estimator in fitted.items()
        if method == YARDSTICK or estimator.rollouts != equal_rollouts[method].rollouts
    }
    samples = sample(fitted, effort.estimates, f"{title}: equal compute")
    compute = {method: _summary(fitted[method], setting, samples[method], reference) for method in fitted}
    compute = {method: compute.get(method, found[method]) for method in methods}

    return {
        "coordinates": taken.gradients.shape[1],
        "reference": {
            "method": of,
            "estimates": count,
            "rollouts": count * ROLLOUTS,
            "split_half_cosine": reference.split_half,
            "precision": reference.precision,
            "split_half_precision": reference.split_half_precision,
            "norm": max(reference.square, 0.0) ** 0.5,
        },
        "equal_rollouts": found,
        "equal_compute": compute,
        "time_ratios": {method: compute[method]["seconds"] / compute[YARDSTICK]["seconds"] for method in fitted},
        "rollouts_per_clip": _sweep(setting, sweep, methods, effort, reference),
    }


def _sweep(
    setting: Setting, sweep: Sequence[int], methods: Sequence[str], effort: Effort, reference: Reference
) -> dict[str, Any]:
    """The same number of rollouts on fewer and fewer clips, for the methods that play several of each."""
    found: dict[str, Any] = {}
    for rollouts_per_clip in sweep:
        estimators = {
            method: setting.estimator(method, rollouts=ROLLOUTS, rollouts_per_clip=rollouts_per_clip)
            for method in methods
        }
        estimators = {method: one for method, one in estimators.items() if one.rollouts_per_clip > 1}
        samples = sample(estimators, effort.estimates, f"{rollouts_per_clip} rollouts per clip")
        found[str(rollouts_per_clip)] = {
            method: _summary(estimators[method], setting, samples[method], reference) for method in estimators
        }
    return found


def _summary(estimator: Estimator, setting: Setting, taken: Samples, reference: Reference) -> dict[str, Any]:
    cosine, cosine_se = reference.cosine(taken.gradients)
    signal = measure_signal(taken.gradients)
    return {
        "cosine": cosine,
        "cosine_se": cosine_se,
        "cosine_of_expectation": reference.cosine_of_expectation(taken.gradients),
        "own_cosine": signal.cosine,
        "own_cosine_se": signal.cosine_se,
        "own_square": signal.square,
        "variance": signal.variance,
        "snr": signal.snr,
        **_cost(estimator, setting.backbone, taken),
    }


# -- along training --------------------------------------------------------------------------------------------------


def along_part(config: Gradients, methods: Sequence[str], effort: Effort) -> tuple[dict[str, Any], dict[str, str]]:
    """Every method at moments of each run's training; and the hashes of the runs' clips."""
    runs, hashes = {}, {}
    parts = {
        f"along-{number}": partial(along_stage, folder, config.seed, methods, effort)
        for number, folder in enumerate(config.agent)
    }
    for folder, found in zip(config.agent, measured(config, parts)):
        hashes[str(folder)] = found.pop("data")
        runs[str(folder)] = found
    return runs, hashes


def along_stage(folder: Path, seed: int, methods: Sequence[str], effort: Effort) -> dict[str, Any]:
    """One run."""
    print(f"{folder}: {'training it again' if set(effort.shares) - {0.0, 1.0} else 'its start and its end'}")
    trained = train_along(folder, effort.shares)
    names = ("method", "group_size", "cost_weight", "warmup", "seed")
    return {
        **{name: getattr(trained.config, name) for name in names},
        "difference": trained.difference,
        "points": [along_point(folder, trained, point, seed, methods, effort) for point in trained.points],
        "data": trained.clips.data_hash,
    }


def along_point(
    folder: Path, trained: Trained, point: Point, seed: int, methods: Sequence[str], effort: Effort
) -> dict[str, Any]:
    """One moment: the reference, pooled of REBAR and REINFORCE, and every method against it."""
    title = f"{folder.name} at {point.share:.0%}"
    setting = Setting(replace(point.config, seed=seed), point.backbone, trained.clips, point.gates, point.share)
    samples: dict[str, Samples] = {}
    for number, (method, share) in enumerate(REFERENCES.items(), 1):
        torch.manual_seed(seed + number)
        count = max(round(share * effort.reference_along), 4)
        estimator = {method: setting.estimator(method, rollouts=ROLLOUTS, seed=number)}
        samples |= sample(estimator, count, f"{title}: reference of {method}")
    pool = Pool({method: taken.gradients for method, taken in samples.items()})

    torch.manual_seed(seed)
    estimators = {method: setting.estimator(method, rollouts=ROLLOUTS) for method in methods}
    found = {}
    for method, taken in sample(estimators, effort.estimates_along, title).items():
        signal = measure_signal(taken.gradients)
        found[method] = {
            **measure_direction(taken.gradients, pool)._asdict(),
            "snr": signal.snr,
            "rollouts": estimators[method].rollouts,
            "rollouts_per_clip": estimators[method].rollouts_per_clip,
        }
    return {
        "share": point.share,
        "cost_weight": point.config.cost_weight,
        "reference": {
            "rollouts": {method: len(taken.gradients) * ROLLOUTS for method, taken in samples.items()},
            "weights": pool.weights,
            "precision": pool.precision,
            "agreement": pool.agreement,
            "drowned": pool.drowned,
            "norm": max(pool.square, 0.0) ** 0.5,
        },
        "methods": found,
    }
