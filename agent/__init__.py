"""Who decides, and how it learns."""

from agent.algorithms.pathwise import PathwiseGradient
from agent.algorithms.ppo import FusionPPO
from agent.algorithms.rebar import REBAR
from agent.algorithms.reinforce import REINFORCE
from agent.estimators.baselines import BASELINES
from agent.estimators.relaxations import RELAXATIONS
from agent.evaluation import SELECTIONS, Evaluation, evaluate, evaluate_selections
from agent.fixed import FIXED, FixedPolicy, fixed_policy
from agent.gate import GateNetwork, GateOptions, gate_macs
from agent.policy import FusionPolicy
from agent.probes import adaptivity, pair_accuracy, swap_test
from agent.schedules import Linear, WarmupCosine

__all__ = [
    "BASELINES",
    "FIXED",
    "REBAR",
    "REINFORCE",
    "RELAXATIONS",
    "SELECTIONS",
    "Evaluation",
    "FixedPolicy",
    "FusionPPO",
    "FusionPolicy",
    "GateNetwork",
    "GateOptions",
    "Linear",
    "PathwiseGradient",
    "WarmupCosine",
    "adaptivity",
    "evaluate",
    "evaluate_selections",
    "fixed_policy",
    "gate_macs",
    "pair_accuracy",
    "swap_test",
]
