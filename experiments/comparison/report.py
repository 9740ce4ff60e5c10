"""From the results of a comparison to its report: report.md, report.json, pictures, tables on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from backbone.common.files import write_json, write_whole
from experiments.analysis.statistics import RESAMPLES
from experiments.analysis.tables import as_markdown, as_text, in_lines
from experiments.comparison.claims import Sentence, claims_of, sentences_of
from experiments.comparison.export import as_json
from experiments.comparison.grids import (
    accuracy_grid,
    class_grid,
    cost_grid,
    pair_grid,
    policy_grid,
    training_grid,
    volume_grid,
)
from experiments.comparison.pictures import draw_confusions, draw_learning, draw_pareto
from experiments.comparison.results import JudgedClips, load_results
from experiments.comparison.tables import Table, tables_of
from experiments.config import Compare, to_json
from experiments.config.shared import Executed

CLAIMS = (
    "The report makes {count} claims. A difference is called one where p < 0.05 after Holm's correction for all of them "
    "together; the brackets beside it are its own 95% interval, for itself alone."
)
HOW_TO_READ = (
    "{clips:,} test clips{sources}{skipped}. Cost is MACs as a share of the dense CNN's, the agent's own included. Every agent is "
    "judged under three selections of its actions: *greedy*, the most probable of each decision; *sampled*, drawn as in "
    "training; *top-k*, at each site and frame as many channels that use, reuse and skip as their probabilities sum to, "
    "those with the largest."
)
HOW_INTERVALS = (
    "Brackets are 95% intervals, Student's t. The mark says what varies in them: ˢᶜ seeds and test clips, ˢ seeds alone, "
    "ᶜ clips alone; no brackets, nothing. The variance of a mean over seeds is that between seeds (a seed brings its "
    "agents{backbones}) plus that of {resamples} resamples of the test clips{together}, each with its own degrees of freedom. "
    "In simulations these intervals cover 95% and more with three or five seeds, where a percentile bootstrap over seeds "
    "covers 75% and 83%. ᶜ says nothing of other seeds. Differences are paired by seed and by clip."
)
HOW_FEW_SOURCES = "Where test clips are of few sources, what is over clips is too narrow: in simulations with 6 to 10 sources it covers 85 to 92%."
HOW_FRONTS = (
    "A front is the concave hull of all policies of a method, every cost weight under every selection, of each seed's own "
    "runs: mixtures are policies, too (play one with probability p, another otherwise), so that a front without them is "
    "beaten by tossing a coin between two of its own, and depends on how the cost weights are spaced. *static (best "
    "blind)* is the same hull of the policy that was learned without a look at the clip: the best blind policy. "
    "*Hypervolume* is the area under the hull, above {floor:.1%} accuracy ({why}), from its cheapest policy to cost 1, in "
    "units of accuracy (a share) times cost, so at most {most:g}. *Cost at* an accuracy and *accuracy at* a cost are read "
    "off the hull and never extrapolated: ≤ and ≥ are bounds where the trained cost weights end (the cheapest policy is "
    "more accurate than asked, or the dearest one cheaper), and *only k of S seeds* have policies that accurate, or "
    "that cheap, on nearly every resample of the clips. Neither is subtracted from anything. Which policies lie on a hull is "
    "seen on the test clips themselves, so that all fronts are a little too good."
)
HOW_SWAP = (
    "Swap: each clip is played with the greedy decisions made on its own reversal; *right* is the share still given its "
    "own label, *follows* the share given the label of the clip that the decisions came from: what the decisions tell the "
    "CNN past its pixels."
)
HOW_CONFUSION = (
    "In the picture a row is a class and a column what its clips were taken for, all seeds together: the darker, the larger "
    "the share."
)
HOW_TRAINING = (
    "A rollout is one play of a clip. Policy gradients play each clip that they draw several times, so that equal "
    "rollouts are fewer clips; updates are the optimiser's steps, *shortened* those whose gradient the norm limit cut. "
    "Seconds are of training with its evaluations, on workers side by side."
)
DEMONSTRATION = (
    "A demonstration: {pretraining} clips of pretraining, {rollouts} rollouts an agent and {seeds} are far too little to "
    "conclude from. It shows that everything runs and what it looks like; for an answer: python -m experiments compare"
)


def write_report(folder: Path, out: Path) -> None:
    """Print the tables of the results in ``folder``, and write report.md, report.json and pictures to ``out``."""
    results = load_results(folder)
    config = results.facts["config"]
    accuracies, budgets = config["accuracies"], config["budgets"]
    tables = tables_of(results)
    sentences = sentences_of(tables, accuracies, budgets)
    draw_pareto(tables, out / "pareto.png")
    draw_learning(tables, out / "learning.png", against="rollouts")
    draw_learning(tables, out / "learning-clips.png", against="clips_drawn")
    if class_grid(tables[0])[1]:
        draw_confusions(tables, out / "confusion.png")
    write_json(out / "report.json", as_json(tables, sentences, results.facts, accuracies, budgets))
    text = markdown(tables, sentences, results.facts, results.test)
    write_whole(out / "report.md", lambda file: file.write(text.encode()))
    for table in tables:
        grids = {
            "Fronts": volume_grid(table),
            "Cost at an accuracy": cost_grid(table, accuracies),
            "Accuracy at a cost": accuracy_grid(table, budgets),
            "Greedy policies": policy_grid(table, ("greedy",)),
        }
        for title, grid in grids.items():
            names = 2 if grid[0][1:2] == ["cost weight"] else 1
            print(f"{title}, {table.title}\n\n{as_text(*grid, names=names)}\n")
    print("Brackets: 95% intervals, Student's t, over seeds and clips (ˢᶜ), seeds (ˢ), clips (ᶜ)\n")
    print(in_lines(f"{CLAIMS.format(count=len(claims_of(sentences)))}\n\n{_answer(sentences, '{}:')}"))
    if warning := demonstration(config):
        print(f"\n{in_lines(warning)}")
    for line in _failures(results.facts):
        print(f"\n{line}")
    print(f"\nReport: {out / 'report.md'}   pictures: {out / 'pareto.png'}, {out / 'learning.png'}")


def demonstration(config: dict[str, Any]) -> str:
    """What has to be said of a report of the quick preset, nothing of the others."""
    if config["preset"] != "quick":
        return ""
    count = len(config["seeds"])
    seeds = f"{count} seed{'s' * (count > 1)}"
    pretraining, rollouts = (f"{config[name]:,}" for name in ("pretrain_clips", "rollouts"))
    return DEMONSTRATION.format(pretraining=pretraining, rollouts=rollouts, seeds=seeds)


def markdown(tables: Sequence[Table], sentences: Sequence[Sentence], facts: dict[str, Any], test: JudgedClips) -> str:
    """report.md, whole."""
    config = facts["config"]
    text = [
        "# Policy gradient or differentiable relaxation?",
        *(f"**{warning}**" for warning in [demonstration(config)] if warning),
        CLAIMS.format(count=len(claims_of(sentences))),
        _answer(sentences, "**{}**"),
        "![accuracy against cost](pareto.png)",
        "![learning curves against rollouts](learning.png)",
        "![learning curves against clips drawn](learning-clips.png)",
        "## How to read this",
        *_how_to_read(config, test),
    ]
    for table in tables:
        text += [f"## {table.title[0].upper()}{table.title[1:]}", as_markdown(*volume_grid(table))]
        text += ["### Cost at an accuracy", as_markdown(*cost_grid(table, config["accuracies"]))]
        text += ["### Accuracy at a cost", as_markdown(*accuracy_grid(table, config["budgets"]))]
        text += ["### Every policy", as_markdown(*policy_grid(table))]
        text += ["### How they were trained", as_markdown(*training_grid(table))]
        if pair_grid(table)[1] and table.arm == tables[0].arm:
            text += [
                "### Greedy accuracy % per pair of mutually reversed classes",
                as_markdown(*pair_grid(table)),
            ]
        if class_grid(table)[1] and table.arm == tables[0].arm:
            text += ["### Greedy accuracy % per class", as_markdown(*class_grid(table))]
            text += [HOW_CONFUSION, "![what clips of each class are taken for](confusion.png)"] * (table is tables[0])
    text += ["## What failed", *_failures(facts)] if "failed" in facts else []
    return "\n\n".join([*text, "## How it was made", _bullets(_how_it_was_made(facts))]) + "\n"


def _failures(facts: dict[str, Any]) -> list[str]:
    """Of each job that failed for good, its last lines; its row is in no table, whatever its other seeds did."""
    return [
        f"{one['name']} failed {one['tries']} times, and its row is left out. Its last lines:\n\n"
        + "\n".join(f"    {line}" for line in one["lines"])
        for one in facts.get("failed", ())
    ]


def _how_to_read(config: dict[str, Any], test: JudgedClips) -> list[str]:
    paired = test.cluster == 2
    together = ", a clip together with its reversal" if paired else ""
    together += ", the clips of one source together" if test.groups is not None else ""
    few = " " + HOW_FEW_SOURCES if test.groups is not None else ""
    own = config["backbone"] is None and config["preset"] == "full"
    return [
        HOW_TO_READ.format(
            clips=len(test),
            sources="" if test.groups is None else f" of {len(np.unique(test.groups)):,} sources",
            skipped=f" ({test.skipped} broken videos skipped)" if test.skipped else "",
        ),
        HOW_INTERVALS.format(
            resamples=f"{RESAMPLES:,}", together=together, backbones=" and its backbone" if own else ""
        )
        + few,
        HOW_FRONTS.format(
            floor=test.floor,
            why="what a model blind to time can reach" if paired else "the share of the largest class",
            most=1 - test.floor,
        ),
        *([HOW_SWAP] if paired else []),
        HOW_TRAINING,
    ]


def _how_it_was_made(facts: dict[str, Any]) -> list[str]:
    config = facts["config"]
    versions = ", ".join(f"{name} {version}" for name, version in facts["packages"].items())
    made = [
        f"Command: `{command_of(config)}`",
        f"Seeds of the agents: {', '.join(map(str, config['seeds']))}; {_backbones(config)}",
        f"Machine: {facts['machine']}, {config['workers']} workers of one thread; {facts['seconds'] / 60:.1f} minutes in all",
        f"Python {facts['python']}, {versions}",
        f"Commit {facts['commit']}; test data {facts['data']['test'][:12]}",
        "These tables and pictures, from results.json and results.npz: `python -m experiments report FOLDER`",
    ]
    if facts["rates"]:
        speeds = ", ".join(f"{name} {rate['rollouts_per_second']:.0f}" for name, rate in facts["rates"].items())
        made.append(
            f"Rollouts a second in training, each measured alone for ten seconds, by which the rollouts of equal time were "
            f"settled (g: group size): {speeds}"
        )
    return made


def _answer(sentences: Sequence[Sentence], title: str) -> str:
    """What is said, table by table.

    :param title: how a table's title is written
    """
    tables = dict.fromkeys(sentence.table for sentence in sentences)
    by_table = {table: [sentence for sentence in sentences if sentence.table == table] for table in tables}
    return "\n\n".join(f"{title.format(table)}\n\n{_bullets(own)}" for table, own in by_table.items())


def _bullets(lines: Sequence[object]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _backbones(config: dict[str, Any]) -> str:
    if config["backbone"] is not None:
        return f"one backbone, {config['backbone']}"
    return "a backbone of each seed" if config["preset"] == "full" else "one backbone, seed 0"


def command_of(config: dict[str, Any]) -> str:
    """The command line of a comparison, with what differs from its preset."""
    words = ["python", "-m", "experiments", "compare"]
    if config["preset"] != Compare().preset:
        words += ["--preset", config["preset"]]
    left_out = [*(option.name for option in fields(Executed)), "sweep", "plan"]
    usual = to_json(Compare(preset=config["preset"]).settled())
    for name, value in usual.items():
        if name not in ("data", "device", "preset", "workers", *left_out) and config.get(name, value) != value:
            option, flag = name.replace("_", "-"), isinstance(getattr(Compare(), name), bool)
            given = config[name] if isinstance(config[name], list) else [config[name]]
            words += [f"--{'' if config[name] else 'no-'}{option}"] if flag else [f"--{option}", *map(str, given)]
    for name, value in usual["data"].items():
        if config["data"].get(name, value) != value:
            words += [f"--data.{name.replace('_', '-')}", str(config["data"][name])]
    return shlex.join(words)
