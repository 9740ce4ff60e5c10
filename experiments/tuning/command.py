"""Choose each method's settings on validation clips, option by option, on a seed and a backbone that no comparison uses."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from backbone.common.files import write_json, write_whole
from backbone.common.naming import did_you_mean
from experiments.analysis.tables import as_markdown
from experiments.clips import open_clips
from experiments.comparison.jobs import train_and_validate
from experiments.config import Pretrain, Train, Tune, to_json
from experiments.executors.lock import driving
from experiments.executors.run_jobs import device_of, expect_all, run_jobs
from experiments.executors.store import mirrored, sync
from experiments.machine import cores, import_plugins, provenance
from experiments.pretrain import pretrain
from experiments.run import Run
from experiments.tuned import UNTUNED

GRIDS: dict[str, dict[str, tuple[float, ...]]] = {
    "reinforce": {"num_clips": (2, 4, 8), "learning_rate": (5e-3, 1e-2, 2e-2), "warmup": (0.0, 0.2)},
    "ppo": {"num_clips": (2, 4, 8), "n_epochs": (1, 2, 4), "learning_rate": (5e-3, 1e-2, 2e-2), "warmup": (0.0, 0.2)},
    "rebar": {"batch_size": (4, 8, 16, 32), "learning_rate": (5e-3, 1e-2, 2e-2), "warmup": (0.0, 0.2)},
    "gumbel": {"batch_size": (4, 8, 16, 32), "learning_rate": (5e-3, 1e-2, 2e-2, 4e-2), "warmup": (0.0, 0.2)},
    "static": {"learning_rate": (1e-2, 3e-2, 1e-1, 3e-1, 1.0), "batch_size": (4, 8, 32), "warmup": (0.0, 0.2)},
}
"""The options of a method in the order in which they are chosen, and the values that are tried: first the rollouts of an
update, which settle how many updates there are, then the rest at that. Of a static policy, whose logits are raw
parameters that a small step hardly moves, the learning rate comes first."""

TIE = 0.03  # rewards of one run each that are no further apart cannot be told apart: the fewest updates win

Settings = dict[str, Any]  # numbers, by the names of options of ``train``


def tune(config: Tune) -> str:
    """Do what is missing of the search in ``config.run``; write tuning.json and tuning.md there, and return the latter.

    :raises ValueError: a method without a grid
    """
    if not config.methods:
        raise ValueError("expected at least one of --methods, got none")
    if unknown := [method for method in config.methods if method not in GRIDS]:
        raise ValueError(
            f"expected --methods among {', '.join(GRIDS)}, which have a grid; got {', '.join(unknown)}"
            f"{did_you_mean(unknown, GRIDS)}"
        )
    import_plugins(config.plugin)
    device, workers = device_of(config), config.workers or cores()
    config = replace(config, run=mirrored(config.run), device=device, workers=workers)
    with driving(config.run):
        return _search(config)


def _search(config: Tune) -> str:
    Run(config.run).check_same(config)
    Run(config.run).write_manifest(config)
    backbone = config.backbone or _backbone(config)
    validation = open_clips(config.data, "val")
    grids = {method: _grid(method, config.learning_rates) for method in config.methods}
    best: dict[str, Settings] = {
        method: {option: UNTUNED[option] for option in grids[method]} for method in config.methods
    }
    tried: dict[str, list[dict[str, Any]]] = {method: [] for method in config.methods}
    for stage in range(max(map(len, grids.values()))):
        wanted = {method: _candidates(best[method], stage, grid) for method, grid in grids.items() if stage < len(grid)}
        jobs = [
            _job(config, backbone, method, settings, weight)
            for method, candidates in wanted.items()
            for settings in candidates
            for weight in config.cost_weights
        ]
        missing = [job for job in jobs if not Run(job.folder).validation.exists()]
        total = sum(job.rollouts for job in missing)
        todo = [(train_and_validate, job) for job in missing]
        expect_all(run_jobs(todo, config, title=f"step {stage + 1}", total=total))
        for method, candidates in wanted.items():
            rows = [_row(config, backbone, method, settings) for settings in candidates]
            tried[method] += [row for row in rows if row not in tried[method]]
            best[method] = _choose(rows)["settings"]
    facts = {"config": to_json(config), **provenance(val=validation.data_hash), "clips": len(validation)}
    write_json(config.run / "tuning.json", {"chosen": best, "tried": tried, **facts})
    return rebuild(config.run, config.run)


def rebuild(folder: Path, out: Path) -> str:
    """Write tuning.md from the tuning.json of a folder, and return it."""
    text = _markdown(json.loads((folder / "tuning.json").read_text()))
    write_whole(out / "tuning.md", lambda file: file.write(text.encode()))
    return text


def _grid(method: str, learning_rates: Sequence[float] | None) -> dict[str, tuple[float, ...]]:
    grid = dict(GRIDS[method])
    return {**grid, "learning_rate": tuple(learning_rates)} if learning_rates else grid


def _backbone(config: Tune) -> Path:
    run = Run(config.run / f"backbone-s{config.seed}")
    wanted = Pretrain(
        data=config.data,
        clips=config.pretrain_clips,
        seed=config.seed,
        device=config.device,
        plugin=config.plugin,
        run=run.folder,
    )
    run.check_same(wanted)
    if not run.backbone.exists():
        with sync(wanted):
            pretrain(replace(wanted, resume=run.exists))
    return run.backbone


def _choose(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The best reward; of those that cannot be told from it, the fewest updates, which train the fastest."""
    best = max(row["reward"] for row in rows)
    tied = [row for row in rows if row["reward"] >= best - TIE]
    return min(tied, key=lambda row: (math.inf if row["updates"] is None else row["updates"], -row["reward"]))


def _candidates(best: Settings, stage: int, grid: Mapping[str, Sequence[float]]) -> list[Settings]:
    option, values = list(grid.items())[stage]
    return [{**best, option: value} for value in values]


def _job(config: Tune, backbone: Path, method: str, settings: Settings, weight: float) -> Train:
    name = "-".join([method, *(f"{option}{value:g}" for option, value in settings.items()), f"w{weight:g}"])
    return Train(
        backbone=backbone,
        data=config.data,
        method=method,
        rollouts=config.rollouts,
        cost_weight=weight,
        group_size=config.group_size,
        seed=config.seed,
        evaluate_every=math.ceil(config.rollouts / 2),
        validation_clips=100,
        device=config.device,
        plugin=config.plugin,
        run=config.run / name,
        **settings,
    ).settled()


def _row(config: Tune, backbone: Path, method: str, settings: Settings) -> dict[str, Any]:
    """Settings and what they reached: the reward at each cost weight, and the mean."""
    jobs = [_job(config, backbone, method, settings, weight) for weight in config.cost_weights]
    found = [json.loads(Run(job.folder).validation.read_text()) for job in jobs]
    rewards = [one["reward"] for one in found]
    return {
        "settings": settings,
        "reward": sum(rewards) / len(rewards),
        "updates": found[0]["updates"],
        "runs": dict(zip(map(str, config.cost_weights), found)),
    }


def _markdown(found: dict[str, Any]) -> str:
    config = found["config"]
    weights, group = config["cost_weights"], config["group_size"]
    command = f"python -m experiments tune --group-size {group}"
    whose = "a backbone of that seed" if config.get("backbone") is None else f"the backbone {config['backbone']}"
    decisions = "one decision per channel" if group == 1 else f"groups of {group}"
    lines = [
        "# How each method is best trained",
        "",
        f"`{command}`, commit {found['commit']}, {found['machine']}. Seed {config['seed']}, which no comparison "
        f"uses, and {whose}; {config['rollouts']:,} rollouts, {decisions}. Options are "
        "chosen one after the other, each at the best of those before it. Reward: of the sampled policy, log-probability of "
        f"the true class minus cost weight times cost, on all {found['clips']:,} validation clips; one run each. The best of each "
        f"step goes on; what is within {TIE:g} of it cannot be told from it, and of that the fewest updates, which train "
        "the fastest. The one marked as chosen is what `train` takes.",
    ]
    for method, rows in found["tried"].items():
        options = list(rows[0]["settings"])
        header = [*options, "updates", *(f"reward at weight {weight:g}" for weight in weights), "mean", ""]
        table = []
        for row in rows:
            chosen = "chosen" if row["settings"] == found["chosen"][method] else ""
            cells = [f"{row['settings'][option]:g}" for option in options]
            cells.append("-" if row["updates"] is None else f"{row['updates']:,}")
            cells += [f"{row['runs'][str(weight)]['reward']:.3f}" for weight in weights]
            table.append([*cells, format(row["reward"], ".3f"), chosen])
        lines += ["", f"## {method}", "", as_markdown(header, table)]
    return "\n".join(lines) + "\n"
