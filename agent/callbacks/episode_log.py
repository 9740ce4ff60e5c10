"""Episodes to look at: played greedily side by side, chosen by a rule, shown in TensorBoard.

The rule, of a split's clips:

- ``clip_0``, ``clip_1``, ``clip_2``: the first clip of each of three classes, spread evenly over the list of classes: the same
  at every evaluation, so that TensorBoard's slider shows the agent learning;
- ``failure_0``: of the clips classified wrongly, the one whose label is the least probable (there may be
  none: then there is no picture at that evaluation);
- ``cheapest``, ``dearest``: the clip of the least cost, and of the most. Of equal clips the first.

The latter three are chosen anew at each evaluation, from its results.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from stable_baselines3.common.logger import TensorBoardOutputFormat
from tensorboard.compat.proto.summary_pb2 import Summary
from torch.utils.tensorboard import SummaryWriter

from agent.callbacks.between_rollouts import BetweenRollouts
from agent.callbacks.evaluations import Evaluations
from agent.evaluation import Evaluation, episodes_for
from agent.policies.distribution import FactoredCategorical
from backbone import Decision, FusionBackbone
from envs.clips import ClipSource
from envs.episode import EpisodeRecord, record_rollout
from envs.rendering.episodes import animate_episode, encode_png
from envs.rollout import rollout
from envs.spaces import StepLayout

FIXED_CLIPS, FAILURES = 3, 1
BINS = np.linspace(0, 1, 41)  # of the histograms of probabilities


def fixed_clips(labels: np.ndarray, count: int = FIXED_CLIPS) -> dict[str, int]:
    """The fixed clips by name: indices of the first clips of ``count`` classes, spread evenly, or of all."""
    _, firsts = np.unique(labels, return_index=True)
    spread = np.unique(np.linspace(0, len(firsts), min(count, len(firsts)), endpoint=False).astype(int))
    return {f"clip_{number}": int(clip) for number, clip in enumerate(firsts[spread])}


def failures(result: Evaluation, count: int = FAILURES) -> dict[str, int]:
    """Indices of the clips classified wrongly whose labels are the least probable; fewer, or none, if there are not so many."""
    wrong = np.flatnonzero(~result.correct)
    worst = wrong[np.argsort(result.log_prob[wrong], kind="stable")][:count]
    return {f"failure_{number}": int(clip) for number, clip in enumerate(worst)}


def extremes(result: Evaluation) -> dict[str, int]:
    """Indices of the cheapest and of the dearest clip."""
    return {"cheapest": int(result.macs_ratio.argmin()), "dearest": int(result.macs_ratio.argmax())}


def record_episodes(
    model: Any,
    backbone: FusionBackbone,
    clips: ClipSource,
    indices: Sequence[int],
    *,
    order: str = "site",
    reward: str = "log_prob",
    cost_weight: float = 1.0,
) -> list[EpisodeRecord]:
    """Play clips greedily, all side by side, and keep all of it.

    Draws no random number that training would have drawn.

    :param reward, cost_weight: as in FusionEnv
    """
    episodes = episodes_for(model, backbone, clips, order=order, reward=reward, cost_weight=cost_weight)
    layout = episodes.layout
    probabilities: list[np.ndarray | None] = []

    def decide(observation: np.ndarray, clips: np.ndarray) -> np.ndarray:
        probabilities.append(decision_probabilities(model, observation, layout))
        return np.asarray(model.predict(observation, deterministic=True)[0])

    device = backbone.device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        played = rollout(episodes, decide, indices, batch_size=len(indices), detailed=True)
    records = record_rollout(episodes, played)
    told = [step for step in probabilities if step is not None]
    if len(told) == len(probabilities):
        by_site = [np.concatenate(told[site.index :: len(layout.sites)], 1) for site in layout.sites]
        for row, record in enumerate(records):
            record.decision_probabilities = [
                of_site[row, :, : site.decisions] for site, of_site in zip(layout.sites, by_site)
            ]
    return records


@torch.no_grad()
def decision_probabilities(model: Any, observation: np.ndarray, layout: StepLayout) -> np.ndarray | None:
    """Probabilities of a step's decisions, padding included, (N, F, D, 3); None of an agent that has none to tell."""
    policy = getattr(model, "policy", None)
    if policy is None or not hasattr(policy, "get_distribution"):
        return None
    distribution = policy.get_distribution(torch.as_tensor(observation, device=policy.device))
    if isinstance(distribution, FactoredCategorical):
        probabilities = distribution.probs
    else:  # stable-baselines3's MultiCategorical, a list of one categorical a column
        probabilities = torch.stack([column.probs for column in distribution.distribution], 1)
    return probabilities.view(len(observation), layout.step_frames, layout.decisions, len(Decision)).cpu().numpy()


class EpisodeLog(BetweenRollouts):
    """Show episodes in TensorBoard at each new evaluation, by the rule above.

    Each has a picture and a table of text under ``episodes/NAME``; after the last evaluation the fixed clips have an
    animation, too, under ``animations/NAME``. ``probabilities/SITE/use`` and so on are histograms of the probabilities
    of a site's decisions in the fixed clips. No random number is drawn that training would have drawn.

    :param reward, cost_weight: of the rewards that are shown, all through training; the warm-up is left out
    """

    def __init__(self, evaluations: Evaluations, *, reward: str = "log_prob", cost_weight: float = 1.0) -> None:
        super().__init__()
        self.evaluations, self.reward, self.cost_weight = evaluations, reward, cost_weight
        self.drawn = -1  # rollouts at the latest evaluation that is shown

    def _on_training_start(self) -> None:
        curve = self.evaluations.curve
        self.drawn = curve[-1]["rollouts"] if curve else -1  # of a resumed run

    def act(self) -> None:
        self.show(animate=False)

    def _on_training_end(self) -> None:
        self.show(animate=True)

    def show(self, *, animate: bool) -> None:
        """Write the latest evaluation's episodes, unless that is done."""
        source = self.evaluations
        writer = find_writer(self.logger)
        if source.result is None or source.curve[-1]["rollouts"] == self.drawn or writer is None:
            return
        self.drawn = source.curve[-1]["rollouts"]
        fixed = fixed_clips(source.clips.labels)
        chosen = {**fixed, **failures(source.result), **extremes(source.result)}
        records = record_episodes(
            self.model,
            source.backbone,
            source.clips,
            list(chosen.values()),
            order=self.layout.order,
            reward=self.reward,
            cost_weight=self.cost_weight,
        )
        for name, record in zip(chosen, records):
            gif = animate_episode(record) if animate and name in fixed else None
            write_episode(writer, name, record, self.drawn, png=encode_png(record), gif=gif)
        write_probabilities(writer, records[: len(fixed)], self.drawn)


def find_writer(logger: Any) -> SummaryWriter | None:
    """TensorBoard's writer among a logger's outputs; None where there is none."""
    return next((form.writer for form in logger.output_formats if isinstance(form, TensorBoardOutputFormat)), None)


def write_episode(
    writer: SummaryWriter, name: str, record: EpisodeRecord, step: int, *, png: bytes, gif: bytes | None = None
) -> None:
    """Picture, text and, if there is one, animation of an episode."""
    write_image(writer, f"episodes/{name}", png, step)
    writer.add_text(f"episodes/{name}", record.to_markdown(), step)
    if gif is not None:
        write_image(writer, f"animations/{name}", gif, step)


def write_image(writer: SummaryWriter, tag: str, encoded: bytes, step: int) -> None:
    """An image that is encoded already, as PNG or animated GIF: ``add_image`` would take pixels, and encode them slowly."""
    width, height = Image.open(io.BytesIO(encoded)).size
    image = Summary.Image(height=height, width=width, colorspace=3, encoded_image_string=encoded)
    writer._get_file_writer().add_summary(Summary(value=[Summary.Value(tag=tag, image=image)]), step)


def write_probabilities(writer: SummaryWriter, records: Sequence[EpisodeRecord], step: int) -> None:
    """Histograms of the probabilities of each site's decisions, over all frames of these episodes."""
    told = [record.decision_probabilities for record in records if record.decision_probabilities is not None]
    for site in records[0].sites if told else ():
        of_site = np.concatenate([by_site[site.index].reshape(-1, len(Decision)) for by_site in told])
        for decision in Decision:
            tag = f"probabilities/{site.name}/{decision.name.lower()}"
            writer.add_histogram(tag, of_site[:, decision], step, bins=BINS)
