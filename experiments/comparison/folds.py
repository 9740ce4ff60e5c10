"""Cross-validation: the comparisons of several folds as one, in which every clip is judged once, by who did not learn from it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from experiments.comparison.results import ComparedRun, JudgedClips, Results

MAY_DIFFER = ("backbone", "run", "workers", "device")  # options of the folds of one comparison, beside the fold


def pool(folds: Sequence[Results]) -> Results:
    """The test clips of all folds together, under the policies that were trained without them.

    A row's figures are then over all clips; what was measured of its training is the mean over folds, and so is its curve.

    :raises ValueError: they are not folds of one comparison
    """
    if len(folds) < 2:
        raise ValueError(f"expected at least two folds to pool, got {len(folds)}: name the folder of each")
    _check(folds)
    runs, fixed = (
        [_together([getattr(one, kind)[number] for one in folds]) for number in range(len(getattr(folds[0], kind)))]
        for kind in ("runs", "fixed")
    )
    return Results(runs, fixed, _clips([one.test for one in folds]), _facts([one.facts for one in folds]))


def _check(folds: Sequence[Results]) -> None:
    settings = [_settings(one.facts["config"]) for one in folds]
    for found in settings[1:]:
        if differ := [name for name in {**settings[0], **found} if settings[0].get(name) != found.get(name)]:
            raise ValueError(
                f"expected folds of one comparison, got different {', '.join(differ)}: make them by the same command, "
                "--data.fold and --backbone aside"
            )
    numbers = [one.facts["config"]["data"].get("fold") for one in folds]
    if None in numbers or len(set(numbers)) < len(numbers):
        raise ValueError(f"expected each fold once, got {', '.join(map(str, numbers))}: name the folder of each")
    first = [(one.test.classes, one.test.cluster, [_key(run) for run in (*one.runs, *one.fixed)]) for one in folds]
    if any(one != first[0] for one in first):
        raise ValueError("expected the same classes and runs in every fold, got others: let each comparison finish")


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in config.items() if name not in (*MAY_DIFFER, "data")}
    return known | {f"data.{name}": value for name, value in config["data"].items() if name != "fold"}


def _key(run: ComparedRun) -> tuple[Any, ...]:
    return run.arm, run.method, run.group_size, run.cost_weight, run.reward, run.seed


def _together(runs: Sequence[ComparedRun]) -> ComparedRun:
    """One policy of each fold, as one."""
    first = runs[0]
    confusion: dict[str, dict[str, int]] = {}
    for run in runs:
        for label, taken in run.confusion.items():
            row = confusion.setdefault(label, {})
            for name, count in taken.items():
                row[name] = row.get(name, 0) + count
    return replace(
        first,
        training=_means([run.training for run in runs]),
        curve=[_means(points) for points in zip(*(run.curve for run in runs))],
        clips={name: np.concatenate([run.clips[name] for run in runs]) for name in first.clips},
        confusion=confusion,
    )


def _means(measured: Sequence[dict[str, float]]) -> dict[str, float]:
    """Of numbers that each of them has; equal ones stay as they are."""
    names = [name for name in measured[0] if all(name in one for one in measured)]
    columns = {name: [one[name] for one in measured] for name in names}
    return {name: one[0] if len(set(one)) == 1 else float(np.mean(one)) for name, one in columns.items()}


def _clips(tests: Sequence[JudgedClips]) -> JudgedClips:
    labels, groups = np.concatenate([test.labels for test in tests]), None
    sources = [test.groups for test in tests if test.groups is not None]
    if len(sources) == len(tests):  # no source is in two folds
        own = [np.unique(one, return_inverse=True)[1] for one in sources]
        starts = np.cumsum([0, *(int(one.max()) + 1 for one in own)])
        groups = np.concatenate([one + start for one, start in zip(own, starts)])
    paired = tests[0].cluster == 2
    return replace(
        tests[0],
        labels=labels,
        floor=tests[0].floor if paired else float(np.bincount(labels).max() / len(labels)),
        skipped=sum(test.skipped for test in tests),
        groups=groups,
    )


def _facts(facts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    config = facts[0]["config"]
    backbones = dict.fromkeys(one["config"]["backbone"] for one in facts)
    folds = ", ".join(str(one["config"]["data"]["fold"]) for one in facts)
    backbone = None if None in backbones else ", ".join(backbones)
    tests = "".join(one["data"]["test"] for one in facts)
    return {
        **facts[0],
        "config": {**config, "backbone": backbone, "data": {**config["data"], "fold": folds}},
        "data": {"test": hashlib.sha256(tests.encode()).hexdigest()},
        "seconds": sum(one["seconds"] for one in facts),
    }
