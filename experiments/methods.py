"""Methods by name: how a configuration becomes a learner. Register your own with ``@register_method``."""

from __future__ import annotations

from collections.abc import Callable

from stable_baselines3.common.base_class import BaseAlgorithm

from agent import REINFORCE, FusionPPO, GateOptions, GumbelSoftmax, WarmupCosine, gate_macs
from backbone import FusionBackbone
from envs import FusionVecEnv
from envs.clips import ClipSource
from experiments.config import Describe, Train

Method = Callable[[Train, FusionBackbone, ClipSource], BaseAlgorithm]
METHODS: dict[str, Method] = {}


def register_method(build: Method) -> Method:
    """Record ``build(config, backbone, clips) -> stable-baselines3 algorithm`` under its function's name.

    The algorithm must train on a FusionVecEnv, take ``config.seed``, and answer ``predict``.
    """
    if build.__name__ in METHODS:
        raise ValueError(f"a method named {build.__name__} is registered already: choose another name")
    METHODS[build.__name__] = build
    return build


def build_method(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """The learner that a configuration names.

    :raises ValueError: an unknown name; the message lists the known ones
    """
    if config.method not in METHODS:
        raise ValueError(
            f"expected a method among {', '.join(sorted(METHODS))}; got {config.method!r} "
            "(one of your own is registered by a module named with --plugin)"
        )
    return METHODS[config.method](config, backbone, clips)


def gate_options(config: Train | Describe) -> GateOptions:
    """The gates that a configuration describes."""
    return GateOptions(
        hidden=config.hidden, quota=config.hidden_quota, norm=config.gate_norm, shared=config.shared_gates
    )


def rollout_env(config: Train, backbone: FusionBackbone, clips: ClipSource) -> FusionVecEnv:
    """The environment of policy gradients: num_clips clips, rollouts_per_clip rollouts of each."""
    return FusionVecEnv(
        backbone,
        clips,
        num_clips=config.num_clips,
        rollouts_per_clip=config.rollouts_per_clip,
        order=config.order,
        reward=config.reward,
        cost_weight=config.cost_weight,
        agent_macs=gate_macs(backbone.sites, gate_options(config)),
        seed=config.seed,
        workers=config.data.workers,
    )


def relaxation_env(config: Train, backbone: FusionBackbone, clips: ClipSource, gate: GateOptions) -> FusionVecEnv:
    """The environment of the relaxation: batch_size clips, one pass of each."""
    if config.reward != "log_prob":
        raise ValueError(
            f"expected reward log_prob for {config.method}, got {config.reward}: correctness has no derivative"
        )
    return FusionVecEnv(
        backbone,
        clips,
        num_clips=config.batch_size,
        order="site",
        cost_weight=config.cost_weight,
        agent_macs=gate_macs(backbone.sites, gate),
        seed=config.seed,
        workers=config.data.workers,
    )


def _shared(config: Train) -> dict:
    return {"learning_rate": WarmupCosine(config.learning_rate), "seed": config.seed, "device": config.device}


def _relaxation(config: Train, backbone: FusionBackbone, clips: ClipSource, gate: GateOptions) -> GumbelSoftmax:
    env = relaxation_env(config, backbone, clips, gate)
    return GumbelSoftmax(env, policy_kwargs={"gate": gate}, **_shared(config))


@register_method
def reinforce(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """REINFORCE with the configured baseline and the exact expected cost."""
    return REINFORCE(
        rollout_env(config, backbone, clips),
        baseline=config.baseline,
        entropy_coef=config.entropy_coef,
        policy_kwargs={"gate": gate_options(config)},
        **_shared(config),
    )


@register_method
def ppo(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """stable-baselines3's PPO with per-decision ratios and leave-one-out advantages."""
    return FusionPPO(
        rollout_env(config, backbone, clips),
        entropy_coef=config.entropy_coef,
        policy_kwargs={"gate": gate_options(config)},
        **_shared(config),
    )


@register_method
def gumbel(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """Straight-through Gumbel-softmax, the paper's way."""
    return _relaxation(config, backbone, clips, gate_options(config))


@register_method
def static(config: Train, backbone: FusionBackbone, clips: ClipSource) -> BaseAlgorithm:
    """Decisions learned by Gumbel-softmax that ignore the input: what adaptivity has to beat."""
    return _relaxation(config, backbone, clips, GateOptions(static=True))
