"""Episodes in lockstep: the decision process itself, batched. Every environment of this room is a thin face of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from backbone import Decision, FusionBackbone, FusionState, Observation, one_hot, walk_macs
from backbone.common.rows import repeat_rows
from envs.clips import ClipSource
from envs.clips.loader import Batch
from envs.decisions import Decisions
from envs.reward import Reward, correctness
from envs.spaces import StepLayout


@dataclass
class Outcome:
    """How N finished episodes ended; arrays of length N.

    :param clip: index of the clip in its source
    :param correct: was the prediction right, bool
    :param log_prob: log-probability of the true class
    :param macs_ratio: MACs spent, the agent's own included, as a share of the dense CNN's
    :param reward: sum of the episode's rewards
    """

    clip: np.ndarray
    label: np.ndarray
    prediction: np.ndarray
    correct: np.ndarray
    log_prob: np.ndarray
    macs_ratio: np.ndarray
    reward: np.ndarray

    @classmethod
    def concatenate(cls, parts: Sequence[Outcome]) -> Outcome:
        """Those of several batches, one after the other."""
        return cls(*(np.concatenate([getattr(part, name) for part in parts]) for name in cls.__dataclass_fields__))

    def per_episode(self) -> list[dict]:
        """Each episode's facts as plain numbers."""
        names = list(self.__dataclass_fields__)
        return [dict(zip(names, values)) for values in zip(*(getattr(self, name).tolist() for name in names))]


class Episodes:
    """N = B*K episodes, all at the same site and frame: B clips, K rollouts of each; row i plays clip i // K.

    :param backbone: kept in eval mode, its weights are not touched
    :param clips: where frames and labels come from
    :param order: "frame" or "site", see StepLayout
    :param reward: outcome given on the last step: "correctness" (0/1), "log_prob" (of the true class), or one of your
        own, see ``envs/reward.py``
    :param cost_weight: what computing a whole clip densely would cost in reward
    :param agent_macs: per site, MACs per frame of the agent's own gate; charged to every episode
    :raises ValueError: clips and backbone do not fit, or an unknown name
    """

    observation: Observation  # of the state

    def __init__(
        self,
        backbone: FusionBackbone,
        clips: ClipSource,
        *,
        order: str = "frame",
        reward: str = "correctness",
        cost_weight: float = 1.0,
        rollouts_per_clip: int = 1,
        agent_macs: Sequence[float] | None = None,
    ) -> None:
        if clips.size != backbone.cnn.size:
            raise ValueError(
                f"expected clips of {backbone.cnn.size} x {backbone.cnn.size} pixels, as the backbone takes, got "
                f"{clips.size} x {clips.size}: set the size of one to the other's"
            )
        if backbone.num_classes != len(clips.classes):
            raise ValueError(
                f"expected scores for {len(clips.classes)} classes, as the clips have, got {backbone.num_classes} from "
                "the backbone: it was made for other clips"
            )
        if backbone.whole_clips_only and order == "frame":
            raise ValueError(
                f'expected order="site", as temporal="{backbone.temporal}" looks at the next frame, got order="frame": '
                'take the site order, or a backbone with temporal="tsm-stream"'
            )
        if rollouts_per_clip < 1:
            raise ValueError(f"expected at least 1 rollout per clip, got {rollouts_per_clip}")
        if not len(clips):
            raise ValueError("expected at least one clip, got an empty source")
        if agent_macs is not None and len(agent_macs) != len(backbone.sites):
            raise ValueError(f"expected agent_macs for {len(backbone.sites)} sites, got {len(agent_macs)} numbers")
        self.backbone, self.clips = backbone.eval(), clips
        self.layout = StepLayout(backbone.sites, clips.num_frames, order)
        self.reward = Reward(reward, cost_weight)
        self.rollouts_per_clip = rollouts_per_clip
        self.agent_macs = list(agent_macs) if agent_macs is not None else [0.0] * len(backbone.sites)
        self.clip_dense_macs = backbone.ledger.dense_macs * clips.num_frames
        self.state: FusionState | None = None
        self.frame = 0

    @property
    def site(self) -> int:
        """Index of the site that the next step decides on."""
        return self.state.site if self.state is not None else 0

    def put(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised frames (B, T, 3, H, W) and labels (B,) of clips that were read, on the backbone's device."""
        device = self.backbone.device
        return self.backbone.preprocess(batch.frames.to(device, non_blocking=True)), batch.labels.to(
            device, non_blocking=True
        )

    def start(self, indices: np.ndarray, rng: np.random.Generator | None = None) -> np.ndarray:
        """Begin the episodes of these clips; returns observations (N, O)."""
        indices = np.asarray(indices)
        frames, labels = self.clips.draw(indices, rng)
        return self.begin(Batch(indices, torch.from_numpy(frames), torch.from_numpy(labels)))

    def begin(self, batch: Batch) -> np.ndarray:
        """Begin the episodes of clips that were read already; returns observations (N, O)."""
        self.deal(batch)
        return self.observed().cpu().numpy()

    def begin_again(self) -> np.ndarray:
        """Begin the episodes of the same clips once more, with the backbone as it is now; returns observations (N, O)."""
        self.restart()
        return self.observed().cpu().numpy()

    def step(self, actions: np.ndarray) -> tuple[np.ndarray, np.ndarray, Outcome | None]:
        """Decide on the next site: actions (N, F*D) -> observations (N, O), rewards (N,), outcome.

        Only the last step has an outcome; its observations are zeros, as there is nothing more to decide.

        :raises RuntimeError: no episode is under way
        :raises ValueError: actions of a wrong shape or out of range, or a backbone that puts out NaN
        """
        if self.state is None:
            raise RuntimeError("expected an episode under way, there is none: call reset() before step()")
        before = self.spent
        self.advance(torch.from_numpy(self._checked(actions)).to(self.frames.device))
        reward = self.reward.of_step(self.spent - before, self.clip_dense_macs)
        if self.state is not None:
            self.returns += reward
            return self.observed().cpu().numpy(), reward.float().cpu().numpy(), None
        reward += self.reward.of_outcome(self.logits, self._row_labels())
        self.returns += reward
        nothing = np.zeros((self.num_rows, *self.layout.observation_space.shape), np.float32)
        return nothing, reward.float().cpu().numpy(), self._outcome()

    # -- the same without a copy to the host until the end, for whoever can wait for rewards till then -----------------

    def deal(self, batch: Batch) -> None:
        """Bring in clips that were read already, and begin their episodes."""
        self.indices, self.pixels = batch.indices, batch.frames.numpy()
        self.frames, self.labels = self.put(batch)
        self.restart()

    @torch.no_grad()
    def restart(self) -> None:
        """Begin the episodes of the same clips once more, with the backbone as it is now."""
        self.num_rows = len(self.indices) * self.rollouts_per_clip
        self.spent = torch.zeros(self.num_rows, dtype=torch.float64, device=self.frames.device)
        self.returns = torch.zeros_like(self.spent)
        self.frame = 0
        self.frame_logits: list[Tensor] = []
        self._chosen: list[Tensor] = []  # of each step so far, (N, F, D_site)
        self._begin(None)

    def stop_counting(self) -> None:
        """Count nothing until ``finish``: observations then tell nothing of the cost. To be asked before the first step."""
        assert self.state is not None
        self.state = replace(self.state, cost=None)
        self.observation = self.observation._replace(cost=None)

    @torch.no_grad()
    def observed(self) -> Tensor:
        """What the next decision may be made by, (N, O), where the backbone is."""
        spent = (self.spent / self.clip_dense_macs)[:: self.num_rows // len(self.observation.v)].float()
        return repeat_rows(self.layout.pack(self.observation, self.frame, spent), self.num_rows)

    @torch.no_grad()
    def advance(self, actions: Tensor) -> None:
        """Decide on the next site: actions (N, F*D) of a policy of ours, which are known to be decisions.

        After the last step no ``state`` is left, and ``logits`` hold the clips' class scores.
        """
        state = self.state
        assert state is not None
        site, layout = state.site, self.layout
        self._chosen.append(layout.step_decisions(actions, site))
        before = state.cost
        state = self.backbone.advance(
            state, one_hot(self._chosen[-1]), agent_macs=self.agent_macs[site], observation=self.observation
        )
        if state.cost is not None and before is not None:
            self.spent = self.spent + (state.cost.macs.sum(1) - repeat_rows(before.macs.sum(1), self.num_rows))
        self.state = state
        if state.site < len(layout.sites):
            self.observation = self.backbone.observe(state)
            return
        self.frame_logits.append(self.backbone.logits(state))
        self.frame += layout.step_frames
        if self.frame < layout.num_frames:
            self._begin(state)
        else:
            self.logits = self.backbone.consensus(torch.cat(self.frame_logits, 1))
            self.state = None

    @torch.no_grad()
    def finish(self) -> tuple[np.ndarray, Outcome]:
        """The rewards of each step, (steps, N) float32, and the outcome, of episodes that were not counted on the way."""
        chosen = [torch.cat(self._chosen[site.index :: len(self.layout.sites)], 1) for site in self.layout.sites]
        macs = walk_macs(self.backbone.ledger, [one_hot(part) for part in chosen], agent_macs=self.agent_macs)
        steps = self.layout.by_step(macs)
        self.spent = steps.sum(0)
        rewards = self.reward.of_step(steps, self.clip_dense_macs)
        rewards[-1] += self.reward.of_outcome(self.logits, self._row_labels())
        self.returns = rewards.sum(0)
        return rewards.float().cpu().numpy(), self._outcome()

    @property
    def decisions(self) -> Decisions:
        """Those of the episodes under way, or of the last that ended, of all N rows."""
        decisions = Decisions.undecided(self.layout.sites, self.num_rows, self.layout.num_frames)
        for index, chosen in enumerate(self._chosen):
            frame, site = divmod(index, len(self.layout.sites))
            decisions.write(site, frame * self.layout.step_frames, chosen.cpu().numpy())
        return decisions

    def action_masks(self, num_rows: int | None = None) -> np.ndarray:
        """(N, F*D*3) bool, a fresh array: which actions the current site allows.

        :param num_rows: N, for a caller that asks before the first start
        """
        return np.tile(self.layout.action_mask(self.site), (num_rows or self.num_rows, 1))

    def _begin(self, previous: FusionState | None) -> None:
        """Bring in the next frames."""
        end = self.frame + self.layout.step_frames
        last = end == self.layout.num_frames
        self.state = self.backbone.begin(self.frames[:, self.frame : end], previous, last=last)
        self.observation = self.backbone.observe(self.state)

    def _checked(self, actions: np.ndarray) -> np.ndarray:
        """Actions from outside, (N, F * D) int64."""
        layout = self.layout
        actions = np.asarray(actions)
        expected = (self.num_rows, layout.step_frames * layout.decisions)
        if actions.shape != expected:
            raise ValueError(
                f"expected actions of shape {expected} (episodes, frames * decisions), got {actions.shape}"
            )
        if not np.issubdtype(actions.dtype, np.integer):
            numbers = np.issubdtype(actions.dtype, np.floating)
            if not numbers or not (np.isfinite(actions) & (actions == np.round(actions))).all():
                raise ValueError(f"expected finite whole numbers as actions, got {actions.dtype} with something else")
        if not ((actions >= 0) & (actions < len(Decision))).all():
            known = ", ".join(f"{decision.value} = {decision.name.lower()}" for decision in Decision)
            raise ValueError(f"expected actions among {known}; got {actions.min()} to {actions.max()}")
        return actions.astype(np.int64)

    def _row_labels(self) -> Tensor:
        return self.labels.repeat_interleave(self.rollouts_per_clip)

    def _outcome(self) -> Outcome:
        """Of episodes that have ended, brought to the host in one copy."""
        logits, labels = self.logits, self._row_labels()
        facts = (
            torch.isfinite(logits).all(1),
            labels,
            logits.argmax(-1),
            correctness(logits, labels),
            logits.log_softmax(-1).gather(1, labels[:, None])[:, 0],
            self.spent / self.clip_dense_macs,
            self.returns,
        )
        finite, label, prediction, correct, log_prob, ratio, returns = (
            torch.stack([fact.double() for fact in facts]).cpu().numpy()
        )
        if not finite.all():
            raise ValueError("expected finite class scores, the backbone put out NaN or infinity: check its weights")
        return Outcome(
            clip=np.repeat(self.indices, self.rollouts_per_clip),
            label=label.astype(np.int64),
            prediction=prediction.astype(np.int64),
            correct=correct.astype(bool),
            log_prob=log_prob.astype(np.float32),
            macs_ratio=ratio,
            reward=returns,
        )
