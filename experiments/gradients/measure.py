"""Estimates by the many, and what each costs: CPU time side by side, passes through the CNN."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from torch import Tensor, nn

from backbone import FusionBackbone
from backbone.common.progress import Bar
from experiments.gradients.problem import Estimator

WARM_UP = 2  # estimates of each that do not count: first calls are slow, and a moving average starts at its first batch


class Samples(NamedTuple):
    """Independent estimates of one estimator: gradients (R, P) float64, CPU seconds of each (R,)."""

    gradients: np.ndarray
    seconds: np.ndarray


def sample(estimators: Mapping[str, Callable[[], np.ndarray]], replicates: int, title: str) -> dict[str, Samples]:
    """``replicates`` estimates of each, in turn, the one that goes first changing from round to round."""
    names = list(estimators)
    gradients: dict[str, list[np.ndarray]] = {name: [] for name in names}
    seconds: dict[str, list[float]] = {name: [] for name in names}
    total = (WARM_UP + replicates) * len(names)
    with Bar(total=total, desc=title, unit="estimate", disable=None, leave=False) as bar:
        for turn in range(-WARM_UP, replicates):
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                started = time.process_time()
                gradient = estimators[name]()
                if turn >= 0:
                    seconds[name].append(time.process_time() - started)
                    gradients[name].append(gradient)
                bar.update()
    return {name: Samples(np.stack(gradients[name]), np.array(seconds[name])) for name in names}


@dataclass
class Passes:
    """MACs of the CNN's convolutions, forward and backward.

    A backward pass of a frozen CNN computes the gradient of each convolution's input, which takes as many MACs as the
    convolution itself; those of weights are not computed.
    """

    forward: float = 0.0
    backward: float = 0.0


@contextmanager
def count_passes(cnn: nn.Module) -> Iterator[Passes]:
    """Count, by hooks, what runs inside the block."""
    passes = Passes()

    def ran(conv: nn.Conv2d, _inputs: tuple, output: Tensor) -> None:
        macs = len(output) * output[0, 0].numel() * conv.weight.numel()
        passes.forward += macs
        if output.requires_grad:  # the weights are frozen: a gradient can only be on its way to the input
            output.register_hook(lambda _gradient: returned(macs))

    def returned(macs: int) -> None:
        passes.backward += macs

    hooks = [conv.register_forward_hook(ran) for conv in cnn.modules() if isinstance(conv, nn.Conv2d)]
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def passes_per_rollout(estimator: Estimator, backbone: FusionBackbone) -> Passes:
    """Of one estimate, as a share of a dense clip's convolutions, for each of its rollouts; found by running it."""
    with count_passes(backbone.cnn) as passes:
        estimator()
    frame = sum(layer.macs for layer in backbone.ledger.layers if not layer.linear)
    dense = frame * estimator.model.layout.num_frames * estimator.rollouts
    return Passes(passes.forward / dense, passes.backward / dense)
