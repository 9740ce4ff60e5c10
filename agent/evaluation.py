"""The only judge: every number of every comparison comes out of ``evaluate``."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn

from agent.policies.policy import FusionPolicy
from backbone import FusionBackbone
from backbone.common import ranks
from backbone.common.naming import did_you_mean
from backbone.cost.adafuse import clip_macs
from envs.clips import ClipSource
from envs.decisions import Decisions
from envs.episodes import Episodes
from envs.rollout import Rollout, rollout
from envs.spaces import StepLayout

SELECTIONS = ("greedy", "sampled", "top_k")


class Predictor(Protocol):
    """Anything that answers ``predict`` as stable-baselines3's models do.

    What its own network costs it tells by ``agent_macs``, see the function of that name.
    """

    def predict(self, observation: np.ndarray, *, deterministic: bool = ...) -> tuple[np.ndarray, Any]:
        """Observations (R, O) -> actions (R, F * D), and a state that is not looked at."""


@dataclass
class Evaluation:
    """Results over N clips, in the order in which they were given.

    :param correct: (N,) bool
    :param macs_ratio: (N,) MACs spent, the agent's own included, as a share of the dense CNN's
    :param log_prob: (N,) of the true class
    :param label: (N,)
    :param prediction: (N,)
    :param logits: (N, classes)
    :param decisions: of the N clips
    """

    correct: np.ndarray
    macs_ratio: np.ndarray
    log_prob: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    logits: np.ndarray
    decisions: Decisions

    @classmethod
    def of(cls, played: Rollout, rows: slice = slice(None)) -> Evaluation:
        """Of episodes that were played, or some of them."""
        outcome = played.outcome
        return cls(
            correct=outcome.correct[rows],
            macs_ratio=outcome.macs_ratio[rows],
            log_prob=outcome.log_prob[rows],
            label=outcome.label[rows],
            prediction=outcome.prediction[rows],
            logits=played.logits[rows],
            decisions=played.decisions.take(rows),
        )

    @classmethod
    def concatenate(cls, parts: Sequence[Evaluation]) -> Evaluation:
        """Those of several parts of the clips, one after the other."""
        names = [name for name in cls.__dataclass_fields__ if name != "decisions"]
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
        return cls(**arrays, decisions=Decisions.concatenate([part.decisions for part in parts]))

    @property
    def shares(self) -> np.ndarray:
        """Per site, shares of use, reuse and skip over all clips and frames, (S, 3)."""
        return self.decisions.shares()

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float(self.correct.mean())

    @property
    def cost(self) -> float:
        """Mean share of the dense MACs, the agent's own included."""
        return float(self.macs_ratio.mean())


def agent_macs(model: Any, layout: StepLayout) -> list[float]:
    """Per site, MACs per frame of a model's own network.

    Ours tell it themselves (``agent_macs``, formerly ``gate_macs``). Of a foreign stable-baselines3 policy every linear layer counts, once a
    step (an upper bound: a critic is in it).

    :raises ValueError: a model whose cost cannot be told
    """
    policy = getattr(model, "policy", model)
    if hasattr(policy, "agent_macs"):
        return list(policy.agent_macs)
    if hasattr(policy, "gate_macs"):
        warnings.warn(
            f"{type(policy).__name__}.gate_macs is called agent_macs now; the old name goes with the next release",
            DeprecationWarning,
            stacklevel=2,
        )
        return list(policy.gate_macs)
    if not isinstance(policy, nn.Module):
        raise ValueError(
            f"expected a stable-baselines3 model or one with agent_macs (MACs per frame and site), got {type(model).__name__}"
        )
    macs = sum(layer.weight.numel() for layer in policy.modules() if isinstance(layer, nn.Linear))
    return [macs / layout.step_frames] * len(layout.sites)


def episodes_for(
    model: Any, backbone: FusionBackbone, clips: ClipSource, *, order: str = "site", **kwargs: Any
) -> Episodes:
    """Episodes for a model to play, which charge its own MACs.

    :param kwargs: of Episodes
    """
    layout = StepLayout(backbone.sites, clips.num_frames, order)
    return Episodes(backbone, clips, order=order, agent_macs=agent_macs(model, layout), **kwargs)


def evaluate(
    model: Predictor,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    order: str = "site",
    selection: str = "greedy",
    seed: int = 0,
    batch_size: int | None = None,
    progress: str | None = None,
) -> Evaluation:
    """Play every clip once, with centred segments.

    :param selection: how actions are chosen from the policy's probabilities, see ``select``
    :param seed: of the sampled ones
    :param batch_size: clips played side by side; by default 64, fewer where they are large
    :param progress: title of a progress bar
    """
    results = evaluate_selections(
        model,
        backbone,
        clips,
        selections=(selection,),
        order=order,
        seed=seed,
        batch_size=batch_size,
        progress=progress,
    )
    return results[selection]


def evaluate_together(model: Predictor, backbone: FusionBackbone, clips: ClipSource, **kwargs: Any) -> Evaluation:
    """``evaluate`` of a greedy policy, the clips divided among all ranks; the whole result on each.

    :param kwargs: of ``evaluate``
    """
    parts = np.array_split(np.arange(len(clips)), ranks.count())
    if len(parts) == 1 or not len(parts[-1]):
        return evaluate(model, backbone, clips, **kwargs)
    own = evaluate(model, backbone, clips.subset(parts[ranks.rank()]), **kwargs)
    return Evaluation.concatenate(ranks.gathered(own))


def evaluate_selections(
    model: Predictor,
    backbone: FusionBackbone,
    clips: ClipSource,
    *,
    selections: Sequence[str] = SELECTIONS,
    order: str = "site",
    seed: int = 0,
    batch_size: int | None = None,
    progress: str | None = None,
) -> dict[str, Evaluation]:
    """Play every clip once under each selection, side by side: what runs before the first decision runs once a clip."""
    many = len(selections)
    episodes = episodes_for(model, backbone, clips, order=order, rollouts_per_clip=many)
    layout = episodes.layout

    def decide(observation: np.ndarray, indices: np.ndarray) -> np.ndarray:
        chosen = [select(model, observation[k::many], kind, layout) for k, kind in enumerate(selections)]
        return np.stack(chosen, 1).reshape(len(observation), -1)

    device = backbone.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), ranks.undivided():
        torch.manual_seed(seed)
        played = rollout(episodes, decide, batch_size=batch_size, progress=progress)
    return {kind: Evaluation.of(played, slice(k, None, many)) for k, kind in enumerate(selections)}


@torch.no_grad()
def select(model: Predictor, observation: np.ndarray, selection: str, layout: StepLayout) -> np.ndarray:
    """Observations (R, O) -> actions (R, F * D).

    :param selection: "greedy", the likeliest decision of each channel; "sampled"; or "top_k": at each site and frame as
        many of each decision as the probabilities say, where they are the likeliest (``FactoredCategorical.top_k``)
    :raises ValueError: an unknown selection, or top_k of a policy without probabilities of its own
    """
    if selection not in SELECTIONS:
        raise ValueError(
            f"expected a selection among {', '.join(SELECTIONS)}; got {selection!r}{did_you_mean(selection, SELECTIONS)}"
        )
    if selection != "top_k":
        return model.predict(observation, deterministic=selection == "greedy")[0]
    policy = getattr(model, "policy", None)
    if not isinstance(policy, FusionPolicy):
        raise ValueError(f"expected a FusionPolicy to take the top k of, got {type(model).__name__}: judge it greedily")
    distribution = policy.get_distribution(torch.as_tensor(observation, device=policy.device))
    return distribution.top_k(layout.decisions).cpu().numpy()


def selections_of(model: Predictor) -> tuple[str, ...]:
    """The selections that can be made from a model: all of ours, but for top_k of a foreign policy."""
    ours = isinstance(getattr(model, "policy", None), FusionPolicy)
    return SELECTIONS if ours else SELECTIONS[:2]


def average_views(evaluation: Evaluation, views: int) -> Evaluation:
    """Judge videos by the mean of the logits of their V views each (TSN), which stand one after the other.

    The cost is the mean of a view: a video costs V times as much. ``decisions`` stay those of the views.
    """
    logits = evaluation.logits.reshape(-1, views, evaluation.logits.shape[-1]).mean(1)
    label = evaluation.label[::views]
    prediction = logits.argmax(-1)
    log_prob = logits - np.logaddexp.reduce(logits, axis=-1, keepdims=True)
    return replace(
        evaluation,
        correct=prediction == label,
        macs_ratio=evaluation.macs_ratio.reshape(-1, views).mean(1),
        log_prob=log_prob[np.arange(len(label)), label],
        label=label,
        prediction=prediction,
        logits=logits,
    )


def accounted_cost(
    evaluation: Evaluation,
    backbone: FusionBackbone,
    agent_macs: Sequence[float],
    *,
    accounting: str,
) -> np.ndarray:
    """Each clip's cost as a share of dense by another accounting (``backbone/cost/adafuse.py``), (N,).

    :param agent_macs: per site, MACs per frame of the agent itself
    """
    ledger, decisions = backbone.ledger, evaluation.decisions
    macs = [clip_macs(ledger, chosen, accounting=accounting, agent_macs=agent_macs) for chosen in decisions.batches()]
    return (torch.cat(macs) / (ledger.dense_macs * decisions.num_frames)).numpy()
