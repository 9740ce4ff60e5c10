"""Probe trained agents: what their decisions tell, how they vary, what that is worth, and what clips they are spent on."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from agent.evaluation import Evaluation, agent_macs, evaluate
from agent.probes import frame_costs, frame_shares, pair_accuracy, swap_test, without_adaptivity
from backbone.files import write_json
from envs.clips import motions
from envs.layout import Layout
from experiments.config import Probe
from experiments.evaluate import adaptivity_of, cluster_of
from experiments.probing.difficulty import Resamples, against_difficulty
from experiments.probing.pictures import draw_probes
from experiments.runs import open_clips, read_config, set_up_cpu
from experiments.statistics import bootstrap
from experiments.train import load_trained

NO_FACTS = "Decisions against difficulty: left out, for only the embedded data say how hard each clip is."
STATIC = "static"  # the method whose learned decisions ignore their input


@dataclass
class Probed:
    """What was found of a run.

    :param figures: as JSON
    :param played: the greedy policy on every clip
    :param data_hash: of the clips
    :param cluster: of ``bootstrap``
    """

    run: Path
    method: str
    figures: dict[str, Any]
    played: Evaluation
    data_hash: str
    cluster: int


def probe(config: Probe) -> str:
    """Probe every run, write probes.json and probes.png beside it once it is done, and return all as text.

    A static policy comes first, so that the others can be set against it.
    """
    set_up_cpu(config.threads)
    texts, static = {}, None
    for run in sorted(config.runs, key=lambda run: read_config(run)["method"] != STATIC):
        found = probe_run(run, config)
        found.figures["against_static"] = None if static is None else _against(static, found)
        if static is None and found.method == STATIC:
            static = found
        write_json(run / "probes.json", found.figures)
        texts[run] = "\n".join(describe_probes(run, found.figures))
    return "\n\n".join(texts[run] for run in config.runs)


def _against(static: Probed, found: Probed) -> dict[str, Any]:
    if found.data_hash != static.data_hash:
        raise ValueError(
            f"expected runs on the same clips as {static.run}, got others in {found.run}: probe it in a call of its own"
        )
    return {"run": str(static.run), **_differences(found.played, static.played, found.cluster)}


def probe_run(run: Path, config: Probe) -> Probed:
    """Play the clips of a run under every probe, and draw the picture."""
    model, backbone, trained = load_trained(run, device=config.device)
    clips = open_clips(trained.data, config.split, for_evaluation=True)
    layout = model.layout if hasattr(model, "layout") else model.env.get_attr("layout")[0]
    layout, own_macs = Layout(backbone.sites, clips.num_frames, layout.order), agent_macs(model, layout)
    kwargs = {"order": layout.order, "progress": f"probing {run.name}"}
    played = evaluate(model, backbone, clips, **kwargs)
    swap = swap_test(played, backbone, clips, **kwargs)
    others = without_adaptivity(played, backbone, clips, own_macs=own_macs, **kwargs)
    cluster = cluster_of(clips)
    shares, costs = frame_shares(played, layout), frame_costs(played, backbone, layout, own_macs)
    facts = None
    if clips.num_frames == motions.NUM_FRAMES:  # else a clip's frames are not those that were drawn
        facts = motions.facts(trained.data.root, clips.names)
    figures = {
        "split": config.split,
        "clips": len(clips),
        "skipped": len(clips.skipped),
        **_summary(played, cluster),
        "swap": None if swap is None else asdict(swap),
        "pairs": pair_accuracy(played, clips),
        "adaptivity": adaptivity_of(played, layout),
        "without_adaptivity": {
            name: {**_summary(other, cluster), "adaptive_minus_this": _differences(played, other, cluster)}
            for name, other in others.items()
        },
        "difficulty": None,
    }
    if facts is not None:
        figures["difficulty"] = against_difficulty(
            facts,
            shares=shares,
            costs=costs,
            correct=played.correct,
            resamples=Resamples(len(clips), cluster=cluster),
        )
    draw_probes(run / "probes.png", title=run.name, shares=shares, costs=costs, facts=facts)
    return Probed(run, trained.method, figures, played, clips.data_hash, cluster)


def _summary(played: Evaluation, cluster: int) -> dict[str, Any]:
    return {
        "accuracy": bootstrap(100 * played.correct, cluster=cluster),
        "cost": bootstrap(played.macs_ratio, cluster=cluster),
    }


def _differences(one: Evaluation, other: Evaluation, cluster: int) -> dict[str, Any]:
    """Of accuracy in percent and of cost, paired clip by clip."""
    return {
        "accuracy": bootstrap(100.0 * one.correct - 100.0 * other.correct, cluster=cluster),
        "cost": bootstrap(one.macs_ratio - other.macs_ratio, cluster=cluster),
    }


TITLES = {
    "same class": "decisions of another clip of the class",
    "reversed class": "decisions of a clip of the reversed class",
    "any class": "decisions of another clip of any class",
    "schedule": "most common by site, frame, channel",
    "static": "most common by site, channel",
}


def describe_probes(run: Path, figures: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    skipped = f", {figures['skipped']} broken videos skipped" if figures["skipped"] else ""
    lines = [
        f"{run}: greedy policy on {figures['clips']} clips of {figures['split']}{skipped} "
        "(95% bootstrap intervals over clips; a clip and its reversal drawn together)",
        f"  accuracy {figures['accuracy']:.1f} %, cost {figures['cost']:.3f} of dense, the agent's own included",
    ]
    if figures["against_static"] is not None:
        other = figures["against_static"]
        lines.append(
            f"  above the learned static policy {other['run']}: accuracy {other['accuracy']:+.1f} points, "
            f"cost {other['cost']:+.3f}"
        )
    if figures["swap"] is not None:
        lines.append(
            f"  swap test: {figures['swap']['accuracy']:.1f} % right with the decisions of the reversed clip, "
            f"{figures['swap']['follows']:.1f} % follow those decisions"
        )
    if figures["pairs"]:
        lines.append("  pairs: " + ", ".join(f"{name} {value:.1f} %" for name, value in figures["pairs"].items()))
    lines += ["", *_table(["variance of decisions", "variance", "between clips", "between frames", "the rest", "constant"],
                          [[name, f"{part['variance']:.3f}", *(f"{100 * part[key]:.0f} %" for key in
                            ("between_clips", "between_frames", "rest", "constant"))]
                           for name, part in figures["adaptivity"].items()])]  # fmt: skip
    lines += ["", *_table(["the same clips with", "accuracy %", "cost", "adaptive minus this, points", "cost"],
                          [[TITLES[name], f"{row['accuracy']:.1f}", f"{row['cost']:.3f}",
                            f"{row['adaptive_minus_this']['accuracy']:+.1f}", f"{row['adaptive_minus_this']['cost']:+.3f}"]
                           for name, row in figures["without_adaptivity"].items()])]  # fmt: skip
    if figures["difficulty"] is None:
        return [*lines, "", f"  {NO_FACTS}"]
    return [*lines, "", *_describe_difficulty(figures["difficulty"])]


def _describe_difficulty(figures: dict[str, Any]) -> list[str]:
    lines = _table(
        ["frames against the object's window", "use", "reuse", "skip", "cost of a frame", "above its position's mean"],
        [[f"{phase} ({part['frames']})", *(_text(part[key], ".3f") for key in ("use", "reuse", "skip", "cost")),
          _text(part["cost_above_position"], "+.4f")] for phase, part in figures["phases"].items()],
    )  # fmt: skip
    strata = [(f"noise {part['from']:.3f} to {part['to']:.3f}", part) for part in figures["noise"]]
    strata += [(f"seen in {part['length']} frames", part) for part in figures["length"]]
    lines += ["", *_table(["clips", "number", "accuracy %", "cost"],
                          [[name, str(part["clips"]), _text(part["accuracy"], ".1f"), _text(part["cost"], ".3f")]
                           for name, part in strata])]  # fmt: skip
    lines += ["", *_table(["rank correlation of cost with", ""],
                          [[name, _text(value, "+.2f")] for name, value in
                           figures["rank_correlation_of_cost"].items()])]  # fmt: skip
    return lines


def _text(value: Any, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]).rstrip()
        for row in (head, *rows)
    ]
