"""Who decides, and how it learns."""

from agent.evaluation import Evaluation, evaluate, pair_accuracy, swap_test
from agent.fixed import FIXED, FixedPolicy, fixed_policy
from agent.gate import GateNetwork, GateOptions, gate_macs
from agent.gumbel import GumbelSoftmax
from agent.policy import FusionPolicy
from agent.ppo import FusionPPO
from agent.reinforce import BASELINES, REINFORCE
from agent.schedules import Linear, WarmupCosine

__all__ = [
    "BASELINES",
    "FIXED",
    "REINFORCE",
    "Evaluation",
    "FixedPolicy",
    "FusionPPO",
    "FusionPolicy",
    "GateNetwork",
    "GateOptions",
    "GumbelSoftmax",
    "Linear",
    "WarmupCosine",
    "evaluate",
    "fixed_policy",
    "gate_macs",
    "pair_accuracy",
    "swap_test",
]
