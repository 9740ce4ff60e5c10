"""What a user registers, put away again: registries are the process's own, and so shared by all tests."""

from collections.abc import Iterator
from contextlib import contextmanager

from agent import BASELINES, FIXED, RELAXATIONS
from agent.pretraining.mix import MIXES
from backbone import BACKBONES
from backbone.common.registry import Registry
from backbone.fusion.consensus import CONSENSUS
from backbone.fusion.temporal import TEMPORAL_MODES
from envs.clips.datasets import LAYOUTS
from envs.reward import OUTCOMES
from experiments.methods import METHODS

REGISTRIES: dict[str, Registry] = {
    registry.noun: registry
    for registry in (
        BACKBONES, TEMPORAL_MODES, CONSENSUS, MIXES, LAYOUTS, OUTCOMES, BASELINES, RELAXATIONS, FIXED, METHODS
    )
}  # fmt: skip
"""All of them by what they hold: "backbone", "temporal mode", ..."""


@contextmanager
def as_before() -> Iterator[None]:
    """What is registered inside is gone afterwards."""
    before = {noun: dict(registry) for noun, registry in REGISTRIES.items()}
    try:
        yield
    finally:
        for noun, registry in REGISTRIES.items():
            for name in set(registry) - set(before[noun]):
                del registry[name]
