"""The same batch as a VecEnv of stable-baselines3."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv
from torch import Tensor

from backbone import FusionBackbone, Ledger
from envs.clips import ClipSource
from envs.clips.loader import Loader
from envs.clips.sampler import ClipSampler
from envs.episodes import Episodes, Outcome


class FusionVecEnv(VecEnv):
    """N = num_clips * rollouts_per_clip episodes in lockstep; row i plays clip i // rollouts_per_clip.

    Its defaults are those of the registered environment; training takes ``order="site"``, which has far fewer steps,
    and ``reward="log_prob"``, which is smoother. stable-baselines3 knows one kind of autoreset, that of Gymnasium's
    SAME_STEP.

    :param num_clips: B, clips played side by side
    :param rollouts_per_clip: K, rollouts of each; the stem and the first site's convolution run once a clip
    :param train: True draws shuffled clips and random segments, False plays them in their order, centred
    :param seed: of the order of clips
    :param workers: processes that read clips ahead; 0 reads them when they are needed
    :param backbone, clips, order, reward, cost_weight, agent_macs: as in FusionEnv
    """

    def __init__(
        self,
        backbone: FusionBackbone,
        clips: ClipSource,
        *,
        num_clips: int = 16,
        rollouts_per_clip: int = 1,
        order: str = "frame",
        reward: str = "correctness",
        cost_weight: float = 1.0,
        agent_macs: Sequence[float] | None = None,
        train: bool = True,
        seed: int = 0,
        workers: int = 0,
    ) -> None:
        if num_clips < 1:
            raise ValueError(f"expected at least one clip at a time, got num_clips = {num_clips}")
        self.episodes = Episodes(
            backbone,
            clips,
            order=order,
            reward=reward,
            cost_weight=cost_weight,
            rollouts_per_clip=rollouts_per_clip,
            agent_macs=agent_macs,
        )
        self.num_clips, self.rollouts_per_clip, self.train = num_clips, rollouts_per_clip, train
        self.layout = self.episodes.layout
        self.sampler = ClipSampler(len(clips), seed=seed, shuffle=train)
        pin_memory = backbone.device.type == "cuda"
        self.loader = Loader(clips, self.sampler, num_clips, train=train, workers=workers, pin_memory=pin_memory)
        self.render_mode = None
        self._untouched: int | None = None  # sampler's position of the batch in play, while nobody has stepped it
        self._actions: np.ndarray | None = None
        super().__init__(num_clips * rollouts_per_clip, self.layout.observation_space, self.layout.action_space)

    # -- the VecEnv interface ----------------------------------------------------------------------------------------

    def reset(self) -> np.ndarray:
        if self._seeds[0] is not None:
            self.sampler.seed, self.sampler.position = self._seeds[0], 0
        self._reset_seeds()
        self._reset_options()
        return self._start()

    def step_async(self, actions: np.ndarray) -> None:
        self._actions = actions

    def step_wait(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[dict[str, Any]]]:
        if self._actions is None:
            raise RuntimeError("expected actions to step by, there are none: call step_async() before step_wait()")
        observations, rewards, outcome = self.episodes.step(self._actions)
        self._untouched = None
        if outcome is None:
            return observations, rewards, np.zeros(self.num_envs, bool), [{} for _ in range(self.num_envs)]
        infos = [
            {"terminal_observation": nothing, "TimeLimit.truncated": False, "clip": facts}
            for nothing, facts in zip(observations, outcome.per_episode())
        ]
        return self._start(), rewards, np.ones(self.num_envs, bool), infos

    def close(self) -> None:
        self.loader.close()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        return [getattr(self, attr_name)] * len(list(self._get_indices(indices)))

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        if indices is not None:
            raise ValueError("expected indices None: the episodes share their attributes")
        setattr(self, attr_name, value)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        rows = list(self._get_indices(indices))
        result = getattr(self, method_name)(*args, **kwargs)
        per_row = isinstance(result, np.ndarray) and len(result) == self.num_envs
        return [result[row] if per_row else result for row in rows]

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        return [False] * len(list(self._get_indices(indices)))

    # -- what agents ask for beyond it -------------------------------------------------------------------------------

    @property
    def ledger(self) -> Ledger:
        """What decisions cost in this environment's backbone."""
        return self.episodes.backbone.ledger

    @property
    def cost_weight(self) -> float:
        """Reward that a densely computed clip costs; may be changed between episodes."""
        return self.episodes.reward.cost_weight

    @cost_weight.setter
    def cost_weight(self, weight: float) -> None:
        self.episodes.reward = replace(self.episodes.reward, cost_weight=weight)

    def action_masks(self) -> np.ndarray:
        """(N, F * D * 3) bool, a fresh array: which actions the current site allows."""
        return self.episodes.action_masks(self.num_envs)

    def take_clips(self) -> tuple[Tensor, Tensor]:
        """Hand out the next batch of clips whole, for a method that needs no episodes.

        The same clips in the same order as episodes would play: normalised frames (B, T, 3, H, W), labels (B,).
        """
        if self._untouched is not None:  # nobody has played what the last reset took
            self._untouched = None
            return self.episodes.frames, self.episodes.labels
        return self.episodes.put(next(self.loader))

    # -- rollouts that stay where the backbone is: no observation, action or reward passes through NumPy ---------------

    @property
    def under_way(self) -> bool:
        """Has somebody stepped the clips in play?"""
        return self._untouched is None

    def observe(self) -> Tensor:
        """Of the episodes under way, (N, O), on the backbone's device; the cost's columns are zero where nothing is counted."""
        return self.episodes.observed()

    def advance(self, actions: Tensor) -> None:
        """Step by actions (N, F * D) on the backbone's device that are known to be decisions; ``finish`` tells the rewards."""
        self._untouched = None
        self.episodes.advance(actions)

    def finish(self) -> tuple[np.ndarray, Outcome]:
        """After the last step: rewards of each, (steps, N), and how the episodes ended. Begins those of the next clips."""
        rewards, outcome = self.episodes.finish()
        position = self.sampler.position
        self.episodes.deal(next(self.loader))
        self._untouched = position
        return rewards, outcome

    # -- between rollouts ----------------------------------------------------------------------------------------------

    def begin_again(self) -> np.ndarray:
        """Begin the episodes that nobody has stepped yet once more, for a backbone whose weights have changed since.

        The same clips; returns observations (N, O).

        :raises RuntimeError: an episode is under way
        """
        if self._untouched is None:
            raise RuntimeError(
                "expected episodes that nobody has stepped yet, they are under way: ask between episodes"
            )
        return self.episodes.begin_again()

    def data_facts(self) -> dict[str, float]:
        """For charts: the share of the time since the last call that was spent waiting for clips, and how many clips
        were found broken so far."""
        return {"wait": self.loader.wait_share(), "broken": len(self.loader.broken)}

    def state_dict(self) -> dict[str, int]:
        """Where the sampler stands, to be asked between rollouts: no episode may be under way."""
        position = self.sampler.position if self._untouched is None else self._untouched
        return {"seed": self.sampler.seed, "position": position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Continue from ``state_dict``: the next ``reset`` or ``take_clips`` takes what would have come."""
        self._reset_seeds()
        self.sampler.seed, self.sampler.position, self._untouched = state["seed"], state["position"], None

    def _start(self) -> np.ndarray:
        position = self.sampler.position
        observations = self.episodes.begin(next(self.loader))
        self._untouched = position
        return observations
