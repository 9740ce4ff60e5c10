"""What the tests of callbacks share: something to watch training with, and evaluations on a few clips."""

from agent_cases import noise_clips, tiny_backbone
from stable_baselines3.common.callbacks import BaseCallback

from agent.callbacks.evaluations import Evaluations


class Each(BaseCallback):
    """Calls a function at the start of each rollout, or at each step."""

    def __init__(self, at_rollout=None, at_step=None) -> None:
        super().__init__()
        self.at_rollout, self.at_step = at_rollout, at_step

    def _on_rollout_start(self) -> None:
        if self.at_rollout:
            self.at_rollout(self.model)

    def _on_step(self) -> bool:
        if self.at_step:
            self.at_step(self.model)
        return True


def evaluations_in(folder, every: int = 16) -> Evaluations:
    return Evaluations(tiny_backbone(), noise_clips(4, seed=1), every=every, path=folder / "learning.json")
