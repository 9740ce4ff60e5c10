"""Methods by name: how a configuration becomes a learner. Register your own with ``@register_method``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.vec_env import VecEnv

from agent import REBAR, REINFORCE, FusionPPO, GateOptions, PathwiseGradient, WarmupCosine, gate_macs
from agent.estimators.relaxations import RelaxationFunction, find_relaxation
from backbone import FusionBackbone
from backbone.common import ranks
from backbone.common.registry import Registry
from envs import FusionVecEnv
from envs.clips import ClipSource
from experiments.config import Describe, SettledTrain, Train
from experiments.run import Imported

Method = Callable[[SettledTrain, FusionBackbone, ClipSource], BaseAlgorithm]
METHODS: Registry[Method] = Registry("method", " (one of your own is registered by a module named with --plugin)")


def register_method(build: Method) -> Method:
    """Record ``build(config, backbone, clips) -> stable-baselines3 algorithm`` under its function's name.

    The algorithm must train on a FusionVecEnv, take ``config.seed``, and answer ``predict``.
    """
    return METHODS.register(build)


def register_pathwise(relaxation: RelaxationFunction) -> RelaxationFunction:
    """Record a registered relaxation as a method of the same name, trained through the CNN as "gumbel" is; a decorator.

    :raises ValueError: a relaxation that is not registered, or a method's name that is taken
    """
    name = relaxation.__name__
    find_relaxation(name)
    METHODS.register(partial(_pathwise, relaxation=name), name)
    return relaxation


def check_method(name: str) -> None:
    """:raises ValueError: an unknown name; the message lists the known ones"""
    METHODS.find(name)


def build_method(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """The learner that a configuration names.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    check_method(config.method)
    return METHODS[config.method](config.settled(), backbone, clips)


def env_of(model: BaseAlgorithm) -> VecEnv:
    """The environment that a learner was built on."""
    assert model.env is not None  # stable-baselines3 allows models without; methods build none
    return model.env


def gate_options(config: Train | Imported | Describe) -> GateOptions:
    """The gates that a configuration describes."""
    return GateOptions(
        hidden=config.hidden,
        quota=config.hidden_quota,
        norm=config.gate_norm,
        shared=config.shared_gates,
        reuse=not isinstance(config, Train) or config.reuse,  # it changes nothing that `describe` tells
    )


def rollout_env(config: Train, backbone: FusionBackbone, clips: ClipSource) -> FusionVecEnv:
    """The environment of policy gradients: num_clips clips, rollouts_per_clip rollouts of each."""
    num_clips, each = config.settled().num_clips, config.rollouts_per_clip
    return _env(config, backbone, clips, gate_options(config), config.order, num_clips, rollouts_per_clip=each)


def relaxation_env(config: Train, backbone: FusionBackbone, clips: ClipSource, gate: GateOptions) -> FusionVecEnv:
    """The environment of the relaxation: batch_size clips, one pass of each."""
    return _env(config, backbone, clips, gate, "site", config.settled().batch_size)


def _env(
    config: Train,
    backbone: FusionBackbone,
    clips: ClipSource,
    gate: GateOptions,
    order: str,
    num_clips: int,
    rollouts_per_clip: int = 1,
) -> FusionVecEnv:
    return FusionVecEnv(
        backbone,
        clips,
        num_clips=ranks.share(num_clips, "the clips of a batch (--num-clips, or --batch-size of methods without)"),
        part=(ranks.rank(), ranks.count()),
        rollouts_per_clip=rollouts_per_clip,
        order=order,
        reward=config.reward,
        cost_weight=config.cost_weight,
        agent_macs=gate_macs(backbone.sites, gate),
        seed=config.seed,
        workers=config.data.workers,
    )


def _shared(config: SettledTrain) -> dict[str, Any]:
    return {"learning_rate": WarmupCosine(config.learning_rate), "seed": config.seed, "device": config.device}


def _policy_gradient(config: SettledTrain) -> dict[str, Any]:
    gate = {"gate": gate_options(config)}
    cost_gradient = config.cost_gradient or "exact"
    own = {"entropy_coef": config.entropy_coef, "cost_gradient": cost_gradient}
    return {**own, "policy_kwargs": gate, **_shared(config)}


def _reinforce(config: SettledTrain, backbone: FusionBackbone, clips: ClipSource, baseline: str) -> REINFORCE:
    return REINFORCE(rollout_env(config, backbone, clips), baseline=baseline, **_policy_gradient(config))


def _ppo(config: SettledTrain, backbone: FusionBackbone, clips: ClipSource, ratio: str) -> FusionPPO:
    env, n_epochs = rollout_env(config, backbone, clips), config.n_epochs
    return FusionPPO(env, ratio=ratio, n_epochs=n_epochs, **_policy_gradient(config))


def _pathwise(
    config: SettledTrain, backbone: FusionBackbone, clips: ClipSource, relaxation: str, *, static: bool = False
) -> PathwiseGradient:
    gate = GateOptions(static=True, reuse=config.reuse) if static else gate_options(config)
    env = relaxation_env(config, backbone, clips, gate)
    cost_gradient, policy = config.cost_gradient or "sampled", {"gate": gate}
    return PathwiseGradient(
        env, relaxation=relaxation, cost_gradient=cost_gradient, policy_kwargs=policy, **_shared(config)
    )


# One name for each estimator of the field. Plain "reinforce" has the leave-one-out baseline (RLOO), plain "ppo" a ratio for
# each decision, and "gumbel" is straight-through Gumbel-softmax, the paper's way.
METHODS |= {
    "reinforce": partial(_reinforce, baseline="leave_one_out"),
    "reinforce_none": partial(_reinforce, baseline="none"),
    "reinforce_moving_average": partial(_reinforce, baseline="moving_average"),
    "reinforce_self_critical": partial(_reinforce, baseline="self_critical"),
    "reinforce_value": partial(_reinforce, baseline="value"),
    "ppo": partial(_ppo, ratio="decision"),
    "ppo_joint": partial(_ppo, ratio="joint"),
    "gumbel": partial(_pathwise, relaxation="straight_through_gumbel"),
    "gumbel_soft": partial(_pathwise, relaxation="gumbel_softmax"),
    "straight_through": partial(_pathwise, relaxation="straight_through"),
    "reinmax": partial(_pathwise, relaxation="reinmax"),
}


@register_method
def rebar(config: SettledTrain, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """REBAR site by site: a score-function gradient with the CNN's derivative as control variate."""
    return REBAR(relaxation_env(config, backbone, clips, gate_options(config)), **_policy_gradient(config))


@register_method
def static(config: SettledTrain, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """Decisions learned by Gumbel-softmax that ignore the input: the blind policy that adaptivity has to beat."""
    return _pathwise(config, backbone, clips, "straight_through_gumbel", static=True)
