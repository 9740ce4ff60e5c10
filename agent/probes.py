"""Probes of what an agent learned: what its decisions tell past the CNN, and what it is worth that they vary.

Letters for shapes as everywhere: N clips, T frames, F frames a step, D decisions; see ``envs/spaces.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle

import numpy as np
import torch

from agent.evaluation import Evaluation
from backbone import Decision, FusionBackbone, walk_macs
from envs.clips import ClipSource
from envs.decisions import Decisions
from envs.episodes import Episodes
from envs.rollout import rollout
from envs.spaces import StepLayout


def replay(
    decisions: Decisions,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    sources: np.ndarray | None = None,
    agent_macs: Sequence[float] | None = None,
    order: str = "site",
    batch_size: int | None = None,
    progress: str | None = None,
) -> Evaluation:
    """Play clips with decisions that were made elsewhere.

    :param decisions: of M clips
    :param sources: (N,) which of the M each clip is played with; by default each its own
    :param agent_macs: per site, MACs per frame charged for deciding; by default none
    :param batch_size, progress: as in ``evaluate``
    """
    sources = np.arange(len(clips)) if sources is None else sources
    episodes = Episodes(backbone, clips, order=order, agent_macs=agent_macs)
    steps = cycle(decisions.to_actions(episodes.layout))  # every batch of clips takes them all

    def decide(observation: np.ndarray, indices: np.ndarray) -> np.ndarray:
        return next(steps)[sources[indices]]

    return Evaluation.of(rollout(episodes, decide, batch_size=batch_size, progress=progress))


# What decisions tell past the CNN


@dataclass(frozen=True)
class SwapTest:
    """How much of the answer is carried by the decisions themselves, past the CNN's pixels.

    Every clip is played with the decisions made on its own reversal.

    :param correct: (N,) bool, of the clips that have a reversal: still given its own label?
    :param followed: (N,) bool: given the label of the clip that the decisions came from?
    """

    correct: np.ndarray
    followed: np.ndarray

    @property
    def accuracy(self) -> float:
        """Percent of clips still given their own label."""
        return 100 * float(self.correct.mean())

    @property
    def follows(self) -> float:
        """Percent of clips given the label of the clip that the decisions came from."""
        return 100 * float(self.followed.mean())

    def to_json(self) -> dict[str, float]:
        return {"accuracy": self.accuracy, "follows": self.follows}


def swap_test(
    evaluation: Evaluation,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    order: str = "site",
    progress: str | None = None,
) -> SwapTest | None:
    """Swap each clip's decisions with its reversal's; None where the clips do not come with their reversals."""
    if clips.reversals is None:
        return None
    paired = np.flatnonzero(clips.reversals >= 0)
    sources = np.arange(len(clips))
    sources[paired] = clips.reversals[paired]
    swapped = replay(evaluation.decisions, backbone, clips, sources=sources, order=order, progress=progress)
    follows = swapped.prediction == clips.labels[sources]
    return SwapTest(swapped.correct[paired], follows[paired])


def pair_accuracy(evaluation: Evaluation, clips: ClipSource) -> dict[str, float]:
    """Accuracy in percent over each pair of mutually reversed classes, by name; empty without such pairs."""
    if clips.reversed_class is None:
        return {}
    result = {}
    for label, partner in enumerate(clips.reversed_class):
        if partner is not None and label < partner:
            chosen = np.isin(evaluation.label, (label, partner))
            if chosen.any():
                name = f"{clips.classes[label]} / {clips.classes[partner]}"
                result[name] = 100 * float(evaluation.correct[chosen].mean())
    return result


# How decisions vary


@dataclass(frozen=True)
class Adaptivity:
    """How decisions vary, and with what.

    Take a decision of one channel as a one-hot vector x_nt over clips n and frames t, all equally likely. By the law of
    total variance, applied to clips and, as every clip has every frame, once more to frames (the two-way analysis of
    variance of a full table: Fisher, 1925), with means over what the index leaves out,

        E|x_nt - x|^2 = E|x_n - x|^2 + E|x_t - x|^2 + E|x_nt - x_n - x_t + x|^2
        variance      = between clips + between frames + the rest (a clip's own course in time),

    each summed over decisions before the shares are taken. Coins tossed anew for every frame would give 1/T, 1/N and what
    remains.

    :param variance: of a decision, the mean over decisions: 1 - sum of p^2, from 0 (it never changes) to 2/3
    :param between_clips: share of it, as are
    :param between_frames: and
    :param rest: which sum to 1, or are 0 where nothing varies
    :param constant: share of decisions that are the same in all frames of all clips
    """

    variance: float
    between_clips: float
    between_frames: float
    rest: float
    constant: float


def adaptivity(evaluation: Evaluation) -> dict[str, Adaptivity]:
    """Of each site by its name, after that of all decisions together, "all"."""
    parts = {}
    for site, chosen in zip(evaluation.decisions.sites, evaluation.decisions.by_site):
        part = np.zeros((4, site.decisions))  # variance, between clips, between frames, constant
        for decision in Decision:
            taken = chosen == decision
            share = taken.mean((0, 1))
            part[0] += share * (1 - share)
            part[1] += taken.mean(1).var(0)
            part[2] += taken.mean(0).var(0)
            part[3] += share == 1
        parts[site.name] = part
    parts = {"all": np.concatenate(list(parts.values()), 1), **parts}
    return {name: _adaptivity(part) for name, part in parts.items()}


def _adaptivity(part: np.ndarray) -> Adaptivity:
    variance, clips, frames, constant = part.mean(1).tolist()
    if not variance:
        return Adaptivity(0.0, 0.0, 0.0, 0.0, constant)
    return Adaptivity(variance, clips / variance, frames / variance, 1 - (clips + frames) / variance, constant)


def frame_costs(evaluation: Evaluation, backbone: FusionBackbone, agent_macs: Sequence[float]) -> np.ndarray:
    """What each frame costs as a share of a dense frame, (N, T); their mean is the clip's cost.

    :param agent_macs: per site, MACs per frame of the agent itself
    """
    ledger = backbone.ledger
    macs = [walk_macs(ledger, chosen, agent_macs=agent_macs).sum(-1) for chosen in evaluation.decisions.batches()]
    return (torch.cat(macs) / ledger.dense_macs).numpy()


# What it is worth that they vary


def most_common(decisions: Decisions) -> Decisions:
    """The most common decision of each site, frame and channel, as those of one clip."""
    counts = [np.stack([(chosen == decision).sum(0) for decision in Decision]) for chosen in decisions.by_site]
    return Decisions(decisions.sites, tuple(count.argmax(0)[None].astype(np.int8) for count in counts))


def redrawn(decisions: Decisions, layout: StepLayout, rng: np.random.Generator) -> Decisions:
    """Every decision taken from a random clip, each for itself.

    A blind schedule at random, with the agent's own shares of use, reuse and skip at each site, frame and channel: they
    stay exactly as they were, for clips are permuted, not drawn with replacement.

    :param layout: of the steps, in whose order the generator is drawn from
    """
    return Decisions.from_actions([rng.permuted(step, axis=0) for step in decisions.to_actions(layout)], layout)


def other_clips(groups: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """For each clip a random other one of its group, each clip once, (N,); a clip that is alone keeps itself."""
    sources = np.empty(len(groups), np.int64)
    for group in np.unique(groups):
        ring = rng.permutation(np.flatnonzero(groups == group))
        sources[ring] = np.roll(ring, 1)
    return sources


def clips_of_partners(labels: np.ndarray, partners: Sequence[int], rng: np.random.Generator) -> np.ndarray | None:
    """For each clip a random one of its class's partner, (N,); None where a partner has no clip."""
    sources = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        clips, others = np.flatnonzero(labels == label), np.flatnonzero(labels == partners[label])
        if not len(others):
            return None
        sources[clips] = np.resize(rng.permutation(others), len(clips))
    return sources


def without_adaptivity(
    evaluation: Evaluation,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    agent_macs: Sequence[float],
    order: str = "site",
    seed: int = 0,
    progress: str | None = None,
) -> dict[str, Evaluation]:
    """The same clips with decisions that know less and less of them.

    - "same class": made for a random other clip of the class: what is lost was specific to the clip;
    - "reversed class": made for a random clip of the reversed class, where the clips know reversals: what is lost
      besides was information on the direction of time, which no single frame holds;
    - "any class": made for a random other clip: what is lost besides was information on the rest of the class;
    - "shares": each decision redrawn for itself from the shares of its site, frame and channel: what is lost is all that
      decisions know of their clip, and of each other;
    - "most common": the most common decision of each site, frame and channel, for every clip alike. What is used in less
      than half of the clips is then never used, so that it is another policy than the agent's, and mostly a cheaper one.

    The last two are blind: they need no agent, and are not charged for one. Their shares are counted on these very clips.

    :param agent_macs: per site, MACs per frame of the agent itself
    :param seed: of the shuffles and of what is redrawn
    """
    rng, label, decisions = np.random.default_rng(seed), evaluation.label, evaluation.decisions
    shuffles: dict[str, np.ndarray | None] = {"same class": other_clips(label, rng)}
    if clips.reversed_class is not None:
        shuffles["reversed class"] = clips_of_partners(label, clips.reversed_class, rng)
    shuffles["any class"] = other_clips(np.zeros_like(label), rng)
    play = partial(replay, backbone=backbone, clips=clips, order=order, progress=progress)
    found = {
        name: play(decisions, sources=sources, agent_macs=agent_macs)
        for name, sources in shuffles.items()
        if sources is not None
    }
    layout = StepLayout(backbone.sites, clips.num_frames, order)
    found["shares"] = play(redrawn(decisions, layout, rng))
    everywhere = np.zeros(len(clips), np.int64)
    found["most common"] = play(most_common(decisions), sources=everywhere)
    return found
