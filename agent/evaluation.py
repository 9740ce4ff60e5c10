"""The only judge: every number of every comparison comes out of ``evaluate``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from agent.policies.policy import FusionPolicy
from backbone import Decision, FusionBackbone, one_hot
from backbone.common.naming import did_you_mean
from backbone.cost.adafuse import clip_macs
from envs.clips import ClipSource
from envs.episodes import Episodes
from envs.layout import Layout

SELECTIONS = ("greedy", "sampled", "top_k")
PIXELS_AT_ONCE = 64 * 8 * 64**2  # of a batch: a ResNet-50 at 224 pixels then needs 2 GiB, not 10


class Predictor(Protocol):
    """Anything that answers ``predict`` as stable-baselines3's models do."""

    def predict(self, observation: np.ndarray, deterministic: bool = ...) -> tuple[np.ndarray, Any]: ...


@dataclass
class Evaluation:
    """Results over N clips, in the order in which they were given.

    :param correct: (N,) bool
    :param macs_ratio: (N,) MACs spent, the agent's own included, as a share of the dense CNN's
    :param log_prob: (N,) of the true class
    :param label: (N,)
    :param prediction: (N,)
    :param logits: (N, classes)
    :param actions: per step, (N, F * D) int8
    :param shares: per site, shares of use, reuse, skip over all clips and frames, (S, 3)
    """

    correct: np.ndarray
    macs_ratio: np.ndarray
    log_prob: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    logits: np.ndarray
    actions: list[np.ndarray]
    shares: np.ndarray

    @property
    def accuracy(self) -> float:
        """In percent."""
        return 100 * float(self.correct.mean())

    @property
    def cost(self) -> float:
        """Mean share of the dense MACs, the agent's own included."""
        return float(self.macs_ratio.mean())


def agent_macs(model: Any, layout: Layout) -> list[float]:
    """Per site, MACs per frame of a model's own network.

    Ours say it themselves (``gate_macs``). Of a foreign stable-baselines3 policy every linear layer counts, once a
    step (an upper bound: a critic is in it).

    :raises ValueError: a model whose cost cannot be told
    """
    policy = getattr(model, "policy", model)
    if hasattr(policy, "gate_macs"):
        return list(policy.gate_macs)
    if not isinstance(policy, nn.Module):
        raise ValueError(
            f"expected a stable-baselines3 model or one with gate_macs (MACs per frame and site), got {type(model).__name__}"
        )
    macs = sum(layer.weight.numel() for layer in policy.modules() if isinstance(layer, nn.Linear))
    return [macs / layout.step_frames] * len(layout.sites)


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
    options = {"order": order, "seed": seed, "batch_size": batch_size, "progress": progress}
    return evaluate_selections(model, backbone, clips, selections=(selection,), **options)[selection]


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
    layout = Layout(backbone.sites, clips.num_frames, order)
    many = len(selections)

    def choose(observation: np.ndarray, indices: np.ndarray) -> np.ndarray:
        chosen = [select(model, observation[k::many], kind, layout) for k, kind in enumerate(selections)]
        return np.stack(chosen, 1).reshape(len(observation), -1)

    device = backbone.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        played = play(
            backbone,
            clips,
            choose,
            own_macs=agent_macs(model, layout),
            order=order,
            rollouts_per_clip=many,
            batch_size=batch_size,
            progress=progress,
        )
    return {kind: _every(played, k, many, layout) for k, kind in enumerate(selections)}


@torch.no_grad()
def select(model: Predictor, observation: np.ndarray, selection: str, layout: Layout) -> np.ndarray:
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
    if "top_k" not in selections_of(model):
        raise ValueError(f"expected a FusionPolicy to take the top k of, got {type(model).__name__}: judge it greedily")
    device = model.policy.device
    return (
        model.policy.get_distribution(torch.as_tensor(observation, device=device)).top_k(layout.decisions).cpu().numpy()
    )


def selections_of(model: Predictor) -> tuple[str, ...]:
    """The selections that can be made from a model: all of ours, but for top_k of a foreign policy."""
    ours = isinstance(getattr(model, "policy", None), FusionPolicy)
    return SELECTIONS if ours else SELECTIONS[:2]


def _every(played: Evaluation, first: int, step: int, layout: Layout) -> Evaluation:
    """Every so many rows of an evaluation, as one of its own."""
    actions = [part[first::step] for part in played.actions]
    names = ("correct", "macs_ratio", "log_prob", "label", "prediction", "logits")
    parts = {name: getattr(played, name)[first::step] for name in names}
    return Evaluation(**parts, actions=actions, shares=_shares(actions, layout))


def play(
    backbone: FusionBackbone,
    clips: ClipSource,
    choose: Callable[[np.ndarray, np.ndarray], np.ndarray],
    *,
    own_macs: Sequence[float],
    order: str = "site",
    rollouts_per_clip: int = 1,
    batch_size: int | None = None,
    progress: str | None = None,
) -> Evaluation:
    """Play every clip, whoever chooses.

    :param choose: (observations (B * K, O), indices of their clips (B,)) -> actions (B * K, F * D)
    :param own_macs: per site, MACs per frame charged for choosing
    :param rollouts_per_clip: K, side by side; the results have K rows a clip, one after the other
    :param batch_size, progress: as in ``evaluate``
    """
    pixels = rollouts_per_clip * clips.num_frames * clips.size**2
    batch_size = batch_size or min(64, max(1, PIXELS_AT_ONCE // pixels))
    kwargs = {"order": order, "reward": "log_prob", "agent_macs": own_macs, "rollouts_per_clip": rollouts_per_clip}
    episodes = Episodes(backbone, clips, **kwargs)
    layout, outcomes, logits, taken = episodes.layout, [], [], []
    bar = tqdm(total=len(clips), desc=progress, unit="clip", disable=None if progress else True, leave=False)
    for start in range(0, len(clips), batch_size):
        indices = np.arange(start, min(start + batch_size, len(clips)))
        observation, outcome, actions = episodes.start(indices), None, []
        while outcome is None:
            actions.append(choose(observation, indices))
            observation, _, outcome = episodes.step(actions[-1])
        outcomes.append(outcome)
        logits.append(episodes.logits.cpu().numpy())
        taken.append([step.astype(np.int8) for step in actions])
        bar.update(len(indices))
    bar.close()
    actions = [np.concatenate(step) for step in zip(*taken)]
    joined = {
        name: np.concatenate([getattr(outcome, name) for outcome in outcomes])
        for name in ("correct", "macs_ratio", "log_prob", "label", "prediction")
    }
    return Evaluation(**joined, logits=np.concatenate(logits), actions=actions, shares=_shares(actions, layout))


def average_views(evaluation: Evaluation, views: int) -> Evaluation:
    """Judge videos by the mean of the logits of their V views each (TSN), which stand one after the other.

    The cost is the mean of a view: a video costs V times as much. ``actions`` and ``shares`` stay those of the views.
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


def site_decisions(actions: list[np.ndarray], layout: Layout) -> list[np.ndarray]:
    """Actions per step, (N, F * D) -> per site, the decisions of all frames (N, T, D_site)."""
    steps = [step.reshape(len(step), layout.step_frames, layout.decisions) for step in actions]
    sites = len(layout.sites)
    return [np.concatenate(steps[site.index :: sites], 1)[..., : site.decisions] for site in layout.sites]


def step_actions(decisions: Sequence[np.ndarray], layout: Layout) -> list[np.ndarray]:
    """Per site, decisions of all frames (N, T, D_site) -> actions per step (N, F * D): ``site_decisions`` undone."""
    steps = []
    for first in range(0, layout.num_frames, layout.step_frames):
        for chosen in decisions:
            step = np.full((len(chosen), layout.step_frames, layout.decisions), Decision.USE, np.int8)  # padding
            step[..., : chosen.shape[-1]] = chosen[:, first : first + layout.step_frames]
            steps.append(step.reshape(len(step), -1))
    return steps


def accounted_cost(
    evaluation: Evaluation,
    backbone: FusionBackbone,
    layout: Layout,
    own_macs: Sequence[float],
    *,
    accounting: str,
    batch_size: int = 64,
) -> np.ndarray:
    """Each clip's cost as a share of dense by another accounting (``backbone/cost/adafuse.py``), (N,).

    :param layout: of the environment that was evaluated
    :param own_macs: per site, MACs per frame of the agent itself
    """
    decisions = site_decisions(evaluation.actions, layout)
    ratios = []
    for start in range(0, len(evaluation.label), batch_size):
        chosen = [one_hot(torch.from_numpy(of_site[start : start + batch_size])) for of_site in decisions]
        macs = clip_macs(backbone.ledger, chosen, accounting=accounting, agent_macs=own_macs)
        ratios.append(macs / (backbone.ledger.dense_macs * layout.num_frames))
    return torch.cat(ratios).numpy()


def _shares(actions: list[np.ndarray], layout: Layout) -> np.ndarray:
    return np.array(
        [[(chosen == decision).mean() for decision in Decision] for chosen in site_decisions(actions, layout)]
    )
