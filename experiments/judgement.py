"""A judgement: all that is known of a model after it was played on the clips of a split, in figures and clip by clip."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np

from agent import adaptivity, evaluate, pair_accuracy, swap_test
from agent.evaluation import SELECTIONS, Evaluation, Predictor, average_views
from agent.probes import SwapTest
from backbone import Decision, FusionBackbone
from envs.clips import ClipSource
from experiments.analysis import confusion
from experiments.analysis.confusion import Confusion
from experiments.analysis.statistics import (
    CLIPS,
    EXACT,
    Cluster,
    Interval,
    over_classes,
    over_clips,
    share_over_clips,
    units_of,
)

Figures = dict[str, Interval]
"""By name: accuracy in percent, over clips and, "class_accuracy", as the mean of the classes' own; cost as a share of dense,
and the cost as another accounting counts it."""

PER_CLIP = (
    "correct", "macs_ratio", "sampled_correct", "sampled_macs_ratio", "top_k_correct", "top_k_macs_ratio",
    "swap_correct", "swap_follows",
)  # fmt: skip
"""Arrays of a judgement: of each selection, the greedy one's without a name, and of the swap test."""


@dataclass(frozen=True)
class Judgement:
    """What a model was found to do, and how it was played to find it.

    What follows the figures (swap, pairs, shares, adaptivity, classes, confusion) is of the first selection: greedy, if that is
    among them.

    :param figures: under each selection
    :param swap: percent of clips given their own label (accuracy) or the label of the clip whose decisions they were played
        with (follows); None where clips have no reversal
    :param pairs: accuracy in percent over each pair of mutually reversed classes
    :param shares: site -> use, reuse, skip -> share of its decisions
    :param adaptivity: "all" and each site -> how decisions vary, see ``agent.probes.Adaptivity``
    :param classes: accuracy in percent of each class that has clips
    :param confusion: what clips of each class were taken for
    :param clips: N; their views, each played for itself, are averaged
    :param sources: that these clips were cut from; 0 where that is not known
    :param skipped: videos that could not be read
    :param recalibrated: the CNN's BatchNorm statistics were estimated anew
    :param best: played as it was at its best on validation clips, not as it ended
    :param arrays: name among PER_CLIP -> (N,), those of the swap test as many as have a reversal; none where not kept
    """

    figures: dict[str, Figures]
    swap: dict[str, float] | None = None
    pairs: dict[str, float] = field(default_factory=dict)
    shares: dict[str, dict[str, float]] = field(default_factory=dict)
    adaptivity: dict[str, dict[str, float]] = field(default_factory=dict)
    classes: dict[str, Interval] = field(default_factory=dict)
    confusion: Confusion = field(default_factory=dict)
    clips: int = 0
    sources: int = 0
    skipped: int = 0
    split: str = "test"
    views: int = 1
    recalibrated: bool = False
    best: bool = False
    arrays: dict[str, np.ndarray] = field(default_factory=dict, repr=False, compare=False)

    @property
    def selection(self) -> str:
        """The first one."""
        return next(iter(self.figures), SELECTIONS[0])

    def with_figure(self, name: str, found: Interval) -> Judgement:
        """The same with one more figure of the first selection."""
        figures = {**self.figures, self.selection: {**self.figures[self.selection], name: found}}
        return replace(self, figures=figures)

    def to_json(self) -> dict[str, Any]:
        """All but the arrays, and but how it was played: a comparison plays in one way only. Intervals are [mean, low, high]."""
        return {
            **{selection: _to_json(figures) for selection, figures in self.figures.items()},
            "swap": self.swap,
            "pairs": self.pairs,
            "shares": self.shares,
            "adaptivity": self.adaptivity,
            "classes": _to_json(self.classes),
            "confusion": self.confusion,
            "clips": self.clips,
            "sources": self.sources,
            "skipped": self.skipped,
        }

    def to_json_alone(self) -> dict[str, Any]:
        """The same of a judgement under one selection, which stands alone: its figures are at the top too (0.1.0 had them
        there alone), and how it was played stands with them."""
        how = {name: getattr(self, name) for name in ("split", "views", "recalibrated", "best")}
        return {**_to_json(self.figures[self.selection]), **self.to_json(), **how}

    @classmethod
    def from_json(
        cls,
        content: Mapping[str, Any],
        arrays: Mapping[str, np.ndarray] | None = None,
        *,
        selection: str = SELECTIONS[0],
    ) -> Judgement:
        """What either of them wrote, also before 0.2.0.

        :param selection: of figures that do not say it
        """
        figures = {name: _from_json(content[name]) for name in SELECTIONS if name in content}
        if not figures and "accuracy" in content:
            figures[selection] = _from_json(
                {name: content[name] for name in content if name.startswith(("acc", "cost"))}
            )
        names = (
            "swap", "pairs", "shares", "adaptivity", "confusion", "clips", "sources", "skipped", "split", "views",
            "recalibrated", "best",
        )  # fmt: skip
        known = {name: content[name] for name in names if name in content}
        return cls(figures, classes=_from_json(content.get("classes", {})), **known, arrays=dict(arrays or {}))


def _to_json(figures: Figures) -> dict[str, list[float]]:
    return {name: found.to_json() for name, found in figures.items()}


def _from_json(figures: Mapping[str, Sequence[float]]) -> Figures:
    return {
        name: Interval(mean, low, high, CLIPS if low < high else EXACT) for name, (mean, low, high) in figures.items()
    }


def judge(
    model: Predictor, backbones: Mapping[str, FusionBackbone], clips: ClipSource, *, order: str = "site"
) -> Judgement:
    """All that a comparison reports of a model.

    :param backbones: to play on under each selection; greedy is among them
    """
    played = {
        selection: evaluate(model, backbone, clips, selection=selection, order=order)
        for selection, backbone in backbones.items()
    }
    swap = swap_test(played["greedy"], backbones["greedy"], clips, order=order)
    return judgement_of(played, swap, clips)


def judgement_of(
    played: Mapping[str, Evaluation], swap: SwapTest | None, clips: ClipSource, *, views: int = 1
) -> Judgement:
    """What was found by playing.

    :param played: under each selection, all views of the clips
    :param swap: of the first selection
    """
    results = {name: average_views(result, views) if views > 1 else result for name, result in played.items()}
    first, result = next(iter(results.items()))
    names = [decision.name.lower() for decision in Decision]
    arrays: dict[str, np.ndarray] = {}
    for selection, found in results.items():
        prefix = "" if selection == "greedy" else f"{selection}_"
        arrays |= {f"{prefix}correct": found.correct, f"{prefix}macs_ratio": found.macs_ratio}
    if swap is not None:
        arrays |= {"swap_correct": swap.correct, "swap_follows": swap.followed}
    cluster = cluster_of(clips, views=views)
    return Judgement(
        {selection: figures_of(found, clips, views=views) for selection, found in results.items()},
        None if swap is None else swap.to_json(),
        pair_accuracy(result, clips),
        {site.name: dict(zip(names, share.tolist())) for site, share in zip(result.decisions.sites, result.shares)},
        adaptivity_of(played[first]),
        classes_of(result, clips.classes, cluster),
        confusion.count(result.label, result.prediction, clips.classes),
        clips=len(result.label),
        sources=0 if clips.groups is None else len(np.unique(clips.groups)),
        skipped=len(clips.skipped),
        views=views,
        arrays=arrays,
    )


def is_paired(clips: ClipSource) -> bool:
    """Does every clip stand beside its own reversal?"""
    return clips.reversals is not None and np.array_equal(clips.reversals, np.arange(len(clips)) ^ 1)


def cluster_of(clips: ClipSource, *, views: int = 1) -> Cluster:
    """The clips that are resampled together: those of one source, where sources are known; a clip and its reversal.

    :param views: of each clip, which are averaged
    """
    paired, groups = is_paired(clips), None if clips.groups is None else clips.groups[::views]
    if groups is None or len(np.unique(groups)) == len(groups):
        return 2 if paired else 1
    return groups[::2].repeat(2) if paired else groups


def figures_of(result: Evaluation, clips: ClipSource, *, views: int = 1) -> Figures:
    """Accuracy in percent and cost as a share of dense, over clips.

    :param views: of each clip, which were averaged
    """
    cluster = cluster_of(clips, views=views)
    if isinstance(cluster, int):
        accuracy = over_clips(100 * result.correct, cluster=cluster, bounds=(0, 100))
    else:  # sources may be few
        accuracy = share_over_clips(result.correct, cluster=cluster)
    return {
        "accuracy": accuracy,
        "class_accuracy": over_classes(100 * result.correct, result.label, cluster=cluster, bounds=(0, 100)),
        "cost": over_clips(result.macs_ratio, cluster=cluster),
    }


def classes_of(result: Evaluation, classes: Sequence[str], cluster: Cluster) -> dict[str, Interval]:
    """Accuracy in percent of each class that has clips."""
    unit_of = units_of(len(result.label), cluster)
    found = {}
    for label, name in enumerate(classes):
        of_class = result.label == label
        if of_class.any():
            found[name] = share_over_clips(result.correct[of_class], cluster=unit_of[of_class])
    return found


def adaptivity_of(result: Evaluation) -> dict[str, dict[str, float]]:
    """How decisions vary, over all of them and by site, as JSON."""
    return {name: asdict(part) for name, part in adaptivity(result).items()}
