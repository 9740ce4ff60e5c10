# my_baseline.py
from agent import REINFORCE
from agent.estimators.baselines import Baseline, register_baseline
from experiments.methods import gate_options, register_method, rollout_env


@register_baseline("others")
class Others(Baseline):
    """The mean return of all other rollouts of the batch, of whatever clip: they know nothing of this one's decisions."""

    def advantages(self, returns, values):
        count = returns.shape[1]
        return returns - (returns.sum(1, keepdims=True) - returns) / (count - 1)


@register_method
def reinforce_others(config, backbone, clips):
    env = rollout_env(config, backbone, clips)
    gate = {"gate": gate_options(config)}
    return REINFORCE(env, baseline="others", policy_kwargs=gate, seed=config.seed, device=config.device)
