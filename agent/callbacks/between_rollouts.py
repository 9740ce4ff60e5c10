"""What the callbacks of this folder share: they act between rollouts, where training can be taken up again bit for bit."""

from __future__ import annotations

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.callbacks import BaseCallback

from agent.algorithms.fusion_algorithm import env_of
from envs.spaces import StepLayout


class BetweenRollouts(BaseCallback):
    """Calls ``act`` at the start of each rollout."""

    def _on_rollout_start(self) -> None:
        self.act()

    def _on_step(self) -> bool:
        return True

    def act(self) -> None:
        raise NotImplementedError

    @property
    def rollouts(self) -> int:
        """Rollouts that the model has played."""
        return self.model.num_timesteps // self.layout.num_steps

    @property
    def layout(self) -> StepLayout:
        """Of the training environment."""
        return self.training_env.get_attr("layout")[0]


def effort(model: BaseAlgorithm) -> dict[str, int | None]:
    """What training has taken so far: rollouts, clips drawn for them, updates.

    Of a learner that is not ours, updates are what it counts itself; None where an earlier sitting did not count them.
    """
    layout, rollouts_per_clip = (env_of(model).get_attr(name)[0] for name in ("layout", "rollouts_per_clip"))
    rollouts = model.num_timesteps // layout.num_steps
    updates = getattr(model, "updates", model._n_updates)
    return {"rollouts": rollouts, "clips_drawn": rollouts // rollouts_per_clip, "updates": updates}
