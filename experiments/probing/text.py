"""The probes of one run as text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from experiments.comparison.claims import BLIND

NO_FACTS = "Decisions against difficulty: left out, for only the embedded data say how hard each clip is."
NO_BLIND = (
    "Against the best blind policy: left out, for no RUN is a static policy of the same backbone, regime, seed, groups and "
    "number of rollouts."
)
TITLES = {
    "same class": "decisions of another clip of the class",
    "reversed class": "decisions of a clip of the reversed class",
    "any class": "decisions of another clip of any class",
    "shares": "shares by site, frame, channel (blind)",
    "most common": "most common by site, frame, channel (blind)",
}
HOW = (
    "ᶜ: 95% intervals over clips, a clip and its reversal as one: Student's t, but for frames, strata and rank correlations "
    "a percentile bootstrap; what has none is of these clips as they are. Shares: every decision redrawn for itself, so "
    "that nothing of the clip is left at nearly the agent's cost. Most common: the same, rounded to one decision for all "
    "clips; where that is cheaper, the difference is not one at equal cost. Best blind: static runs of the same backbone, "
    "regime, seed, groups and number of rollouts; in the joint regime each run has trained a CNN of its own from that "
    "backbone, so that what the CNNs have learned is in the difference too."
)


def describe_probes(run: Path, figures: dict[str, Any]) -> list[str]:
    """The figures as lines of text."""
    skipped = f", {figures['skipped']} broken videos skipped" if figures["skipped"] else ""
    lines = [
        f"{run}: greedy policy on {figures['clips']} clips of {figures['split']}{skipped}",
        f"  accuracy {figures['accuracy']:.1f} %, cost {figures['cost']:.3f} of dense, the agent's own included",
    ]
    if figures["method"] != BLIND:
        lines.append(f"  {describe_blind(figures['best_blind'])}")
    if figures["swap"] is not None:
        lines.append(
            f"  swap test: {figures['swap']['accuracy']:.1f} % right with the decisions of the reversed clip, "
            f"{figures['swap']['follows']:.1f} % follow those decisions"
        )
    if figures["pairs"]:
        lines.append("  pairs: " + ", ".join(f"{name} {value:.1f} %" for name, value in figures["pairs"].items()))
    lines += ["", *aligned(["variance of decisions", "variance", "between clips", "between frames", "the rest", "constant"],
                           [[name, f"{part['variance']:.3f}", *(f"{100 * part[key]:.0f} %" for key in
                             ("between_clips", "between_frames", "rest", "constant"))]
                            for name, part in figures["adaptivity"].items()])]  # fmt: skip
    lines += ["", *aligned(["the same clips with", "accuracy %", "cost", "adaptive minus this, points", "cost"],
                           [[TITLES[name], f"{row['accuracy']:.1f}", f"{row['cost']:.3f}",
                             f"{row['adaptive_minus_this']['accuracy']:+.1f}", f"{row['adaptive_minus_this']['cost']:+.3f}"]
                            for name, row in figures["without_adaptivity"].items()])]  # fmt: skip
    if figures["difficulty"] is None:
        return [*lines, "", f"  {NO_FACTS}"]
    return [*lines, "", *_describe_difficulty(figures["difficulty"])]


def describe_blind(found: dict[str, Any] | None) -> str:
    if found is None:
        return NO_BLIND
    of = f"best of {found['policies']} learned blind policies and their mixtures at this cost"
    if found["reached"] == "none":
        return f"{of}: none is as cheap"
    if found["reached"] == "bound":
        return f"{of}: at least {found['accuracy']:.1f} %, reached at {found['end']:.3f} already"
    return f"{of}: {found['accuracy']:.1f} %; the agent minus that: {found['lead']:+.1f} points"


def _describe_difficulty(figures: dict[str, Any]) -> list[str]:
    lines = aligned(
        ["frames against the object's window", "use", "reuse", "skip", "cost of a frame", "above its position's mean"],
        [[f"{phase} ({part['frames']})", *(_text(part[key], ".3f") for key in ("use", "reuse", "skip", "cost")),
          _text(part["cost_above_position"], "+.4f")] for phase, part in figures["phases"].items()],
    )  # fmt: skip
    strata = [(f"noise {part['from']:.3f} to {part['to']:.3f}", part) for part in figures["noise"]]
    strata += [(f"seen in {part['length']} frames", part) for part in figures["length"]]
    lines += ["", *aligned(["clips", "number", "accuracy %", "cost"],
                           [[name, str(part["clips"]), _text(part["accuracy"], ".1f"), _text(part["cost"], ".3f")]
                            for name, part in strata])]  # fmt: skip
    lines += ["", *aligned(["rank correlation of cost with", ""],
                           [[name, _text(value, "+.2f")] for name, value in
                            figures["rank_correlation_of_cost"].items()])]  # fmt: skip
    return lines


def _text(value: Any, spec: str) -> str:
    return "-" if value is None else format(value, spec)


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Aligned columns, the first to the left."""
    widths = [max(map(len, column)) for column in zip(head, *rows)]
    return [
        "  " + "  ".join([row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:]))]).rstrip()
        for row in (head, *rows)
    ]
