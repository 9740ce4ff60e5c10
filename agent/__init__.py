"""Who decides, and how it learns."""

from typing import TYPE_CHECKING

from backbone.common.lazy import lazy_names

if TYPE_CHECKING:
    from agent.algorithms.pathwise import PathwiseGradient
    from agent.algorithms.ppo import FusionPPO
    from agent.algorithms.rebar import REBAR
    from agent.algorithms.reinforce import REINFORCE
    from agent.algorithms.schedules import Linear, WarmupCosine
    from agent.estimators.baselines import BASELINES
    from agent.estimators.relaxations import RELAXATIONS
    from agent.evaluation import SELECTIONS, Evaluation, evaluate, evaluate_selections
    from agent.policies.fixed import FIXED, FixedPolicy, fixed_policy, register_fixed
    from agent.policies.gate import GateNetwork, GateOptions, gate_macs
    from agent.policies.policy import FusionPolicy
    from agent.probes import adaptivity, pair_accuracy, swap_test

__getattr__, __dir__ = lazy_names(__name__)


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
    "register_fixed",
    "swap_test",
]
