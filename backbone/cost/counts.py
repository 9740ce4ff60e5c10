"""How many multiply-accumulates each layer of a CNN takes, found by running it on shapes alone."""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn


def layer_macs(module: nn.Module, run: Callable[[nn.Module], object]) -> dict[str, int]:
    """MACs of each convolution and linear layer that ``run`` executes, for one frame, found without computing.

    :param module: a CNN; it is copied to the meta device, so nothing is computed and nothing changes
    :param run: called with the copy, runs it on one meta frame
    :raises ValueError: a layer has weights but is of a kind that has no rule here
    """
    macs: dict[str, int] = {}
    ghost = copy.deepcopy(module).to("meta", torch.float32).eval()

    def count(name: str) -> Callable[..., None]:
        def hook(layer: nn.Conv2d | nn.Linear, _inputs: tuple, output: Tensor) -> None:
            weight = layer.weight
            positions = output[0, 0].numel() if isinstance(layer, nn.Conv2d) else output[..., 0].numel()
            macs[name] = macs.get(name, 0) + positions * weight.numel()

        return hook

    for name, layer in ghost.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.register_forward_hook(count(name))
        elif not isinstance(layer, nn.BatchNorm2d) and next(layer.parameters(recurse=False), None) is not None:
            raise ValueError(
                f"expected Conv2d, Linear and BatchNorm2d layers, got {type(layer).__name__} at {name!r}: "
                "add its cost to backbone/cost/counts.py"
            )
    with torch.no_grad():
        run(ghost)
    return macs
