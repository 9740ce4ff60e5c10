"""Probe trained agents: what their decisions tell, how they vary, what that is worth, and what clips they are spent on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from agent.evaluation import SELECTIONS, Evaluation, agent_macs, evaluate
from agent.probes import frame_costs, pair_accuracy, swap_test, without_adaptivity
from backbone.common.files import write_json
from envs.clips import motions
from experiments.analysis.statistics import ClipDraws, Cluster, Interval, over_clips
from experiments.clips import open_clips
from experiments.comparison.claims import BLIND
from experiments.config import Probe
from experiments.executors.run_jobs import expect_all, run_jobs
from experiments.judgement import adaptivity_of, cluster_of
from experiments.loading import backbones_for, layout_of, load_trained
from experiments.machine import set_up_cpu
from experiments.probing.blind import Outcome, Peers, against_blind, peers
from experiments.probing.clips import Clips, clips_of, outcomes, policies_of
from experiments.probing.difficulty import against_difficulty
from experiments.probing.pictures import draw_probes
from experiments.probing.summary import check_seeds, summarise, to_json
from experiments.probing.text import HOW, describe_probes
from experiments.run import Run


@dataclass
class Probed:
    """What was found of a run.

    :param figures: each with its interval
    :param clips: under each selection, greedy alone but of a static policy, and under each probe
    :param data_hash: of the clips
    :param cluster: of clips that belong together
    """

    figures: dict[str, Any]
    clips: Clips
    data_hash: str
    cluster: Cluster


def probe(config: Probe) -> str:
    """Probe every run, write probes.json and probes.png beside it once it is done, and return all as text.

    Static policies come first, so that the others can be set against them.

    :raises ValueError: no run there, runs on different clips, or a seed that would count twice
    """
    set_up_cpu(config.threads)
    trained = {run: Run(run).agent() for run in config.runs}
    if config.out is not None:
        check_seeds(trained)
    blind: dict[Peers, list[Outcome]] = defaultdict(list)
    probed: dict[Path, Probed] = {}
    data_hash: str | None = None
    order = sorted(trained, key=lambda run: trained[run].method != BLIND)
    for run, found in zip(order, _probe_all(order, config)):
        if data_hash not in (None, found.data_hash):
            raise ValueError(f"expected runs on the same clips, got others in {run}: probe it in a call of its own")
        data_hash, rivals = found.data_hash, blind[peers(trained[run])]
        if trained[run].method == BLIND:
            rivals.extend(policies_of(found.clips))
        elif rivals:
            greedy = outcomes(found.clips)["greedy"]
            found.figures["best_blind"] = against_blind(greedy, rivals, cluster=found.cluster)
        probed[run] = found
        write_json(Run(run).probes, to_json(found.figures))
    texts = [*("\n".join(describe_probes(run, probed[run].figures)) for run in trained), HOW]
    if config.out is not None:
        kept = [(config, probed[run].figures, probed[run].clips) for run, config in trained.items()]
        texts.append(summarise(config.out, kept, cluster=found.cluster))
    return "\n\n".join(texts)


class ProbeJob(NamedTuple):
    """A run to probe, as a job."""

    run: Path
    config: Probe


def _probe_all(runs: Sequence[Path], config: Probe) -> Iterator[Probed]:
    """One after the other in this process, or all as jobs of an executor that is not local."""
    if config.executor == "local":
        yield from (probe_run(run, config) for run in runs)
    else:
        found = run_jobs([(probe_job, ProbeJob(run, config)) for run in runs], config, title="probing")
        expect_all(found)
        yield from found


def probe_job(job: ProbeJob) -> Probed:
    """``probe_run`` on some machine."""
    return probe_run(job.run, job.config)


def probe_run(run: Path, config: Probe) -> Probed:
    """Play the clips of a run under every probe, and draw the picture."""
    model, backbone, trained = load_trained(run, device=config.device)
    clips = open_clips(trained.data, config.split, for_evaluation=True)
    layout = layout_of(model)
    macs = agent_macs(model, layout)
    kwargs: dict[str, Any] = {"order": layout.order, "progress": f"probing {run.name}"}
    selected = {"greedy": evaluate(model, backbone, clips, **kwargs)}
    if trained.method == BLIND:
        for selection, own in backbones_for(model, trained, SELECTIONS[1:]).items():
            selected[selection] = evaluate(model, own, clips, selection=selection, **kwargs)
    played = selected["greedy"]
    swap = swap_test(played, backbone, clips, **kwargs)
    others = without_adaptivity(played, backbone, clips, agent_macs=macs, **kwargs)
    cluster = cluster_of(clips)
    shares, costs = played.decisions.frame_shares(), frame_costs(played, backbone, macs)
    facts = None
    if clips.num_frames == motions.NUM_FRAMES:  # else a clip's frames are not those that were drawn
        facts = motions.facts(trained.data.root, clips.names)
    figures = {
        "method": trained.method,
        "split": config.split,
        "clips": len(clips),
        "skipped": len(clips.skipped),
        **_summary(played, cluster),
        "best_blind": None,
        "swap": swap and {"accuracy": _percent(swap.correct, cluster), "follows": _percent(swap.followed, cluster)},
        "pairs": pair_accuracy(played, clips),
        "adaptivity": adaptivity_of(played),
        "without_adaptivity": {
            name: {**_summary(other, cluster), "adaptive_minus_this": _differences(played, other, cluster)}
            for name, other in others.items()
        },
        "difficulty": None,
    }
    if facts is not None:
        draws = ClipDraws(len(clips), cluster=cluster)
        figures["difficulty"] = against_difficulty(
            facts, shares=shares, costs=costs, correct=played.correct, draws=draws
        )
    draw_probes(Run(run).probes_picture, title=run.name, shares=shares, costs=costs, facts=facts)
    return Probed(figures, clips_of(selected, swap, others), clips.data_hash, cluster)


def _percent(values: np.ndarray, cluster: Cluster) -> Interval:
    return over_clips(100 * values, cluster=cluster, bounds=(0, 100))


def _summary(played: Evaluation, cluster: Cluster) -> dict[str, Any]:
    return {
        "accuracy": _percent(played.correct, cluster),
        "cost": over_clips(played.macs_ratio, cluster=cluster),
    }


def _differences(one: Evaluation, other: Evaluation, cluster: Cluster) -> dict[str, Any]:
    """Of accuracy in percent and of cost, paired clip by clip."""
    return {
        "accuracy": over_clips(100.0 * one.correct - 100.0 * other.correct, cluster=cluster, bounds=(-100, 100)),
        "cost": over_clips(one.macs_ratio - other.macs_ratio, cluster=cluster),
    }
