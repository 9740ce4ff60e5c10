"""What being fusible costs a ResNet-50: its dense forward, its walk, its gates, and a step of Gumbel training."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional as F

from agent import GateNetwork
from agent.estimators.relaxations import straight_through_gumbel
from backbone import FusionBackbone, Observation, create_cnn
from backbone.cnns.resnet import Bottleneck, ResNet
from experiments.bench.measure import Ratio, interleave, summarise

CLASSES = 174  # Something-Something


def cnn_ratios(repeats: int, size: int) -> list[Ratio]:
    """:param size: of the frames, pixels"""
    torch.manual_seed(0)
    cnn = create_cnn("resnet50", num_classes=CLASSES, size=size)
    assert isinstance(cnn, ResNet)
    backbone = FusionBackbone(cnn)
    gates = GateNetwork(backbone.sites)
    backbone.eval()
    frames = torch.randn(1, 4, 3, size, size)
    return [
        dense_against_layers(cnn, frames[0], repeats),
        walk_against_dense(backbone, frames, repeats),
        gates_against_dense(backbone, gates, frames, repeats),
        *gumbel_against_dense(backbone, gates, repeats, size),
    ]


def in_sequence(cnn: ResNet, frames: Tensor) -> Tensor:
    """A ResNet of Bottlenecks as its bare layers, one after the other."""
    x = cnn.maxpool(torch.relu_(cnn.bn1(cnn.conv1(frames))))
    for block in (module for module in cnn.modules() if isinstance(module, Bottleneck)):
        y = torch.relu_(block.bn1(block.conv1(x)))
        y = torch.relu_(block.bn2(block.conv2(y)))
        y = block.bn3(block.conv3(y))
        y += x if block.downsample is None else block.downsample(x)
        x = torch.relu_(y)
    return cnn.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


@torch.no_grad()
def dense_against_layers(cnn: ResNet, frames: Tensor, repeats: int) -> Ratio:
    """The fusible CNN's own forward over its layers called in a row."""
    times = interleave(lambda: cnn(frames), lambda: in_sequence(cnn, frames), repeats, "dense forward")
    return summarise("ResNet-50: dense forward / its layers in a sequence", *times, 1.05, below=True)


@torch.no_grad()
def walk_against_dense(backbone: FusionBackbone, frames: Tensor, repeats: int) -> Ratio:
    """A walk through all sites that uses everything, gates aside, over the dense forward."""
    v = torch.zeros(frames.shape[:2])
    use = [backbone.all_use(Observation(site.index, v, v, None)) for site in backbone.sites]

    def walk() -> None:
        backbone(frames, lambda observation: use[observation.site])

    times = interleave(walk, lambda: backbone.cnn(frames.flatten(0, 1)), repeats, "all-use walk")
    return summarise("ResNet-50: all-use walk through all sites / dense forward", *times, 1.10, below=True)


@torch.no_grad()
def gates_against_dense(backbone: FusionBackbone, gates: GateNetwork, frames: Tensor, repeats: int) -> Ratio:
    """All default gates' greedy decisions, the pooling of what they look at included, over the dense forward."""
    inputs: list[Tensor] = []
    state = backbone.begin(frames, last=True)
    while state.site < len(backbone.sites):
        inputs.append(state.x)
        observation = backbone.observe(state)
        state = backbone.advance(state, backbone.all_use(observation), observation=observation)

    def decide() -> None:
        for site, x in zip(backbone.sites, inputs):
            v = x.mean((-2, -1))
            v_previous = torch.cat([torch.zeros_like(v[:, :1]), v[:, :-1]], 1)
            gates(site.index, v, v_previous).argmax(-1)

    times = interleave(decide, lambda: backbone.cnn(frames.flatten(0, 1)), repeats, "default gates")
    return summarise("ResNet-50: default gates with their pooling / dense forward", *times, 0.02, below=True)


def gumbel_against_dense(backbone: FusionBackbone, gates: GateNetwork, repeats: int, size: int) -> list[Ratio]:
    """An optimiser step of straight-through Gumbel-softmax, CNN and gates, over one of the plain dense CNN.

    2 clips of 8 frames, all sites. Time, and bytes of distinct tensors saved for backward.
    """
    cnn = backbone.train().cnn
    frames, labels = torch.randn(2, 8, 3, size, size), torch.tensor([0, 1])
    both = torch.optim.SGD([*backbone.parameters(), *gates.parameters()], lr=1e-3)
    alone = torch.optim.SGD(cnn.parameters(), lr=1e-3)

    def decide(observation: Observation) -> Tensor:
        return straight_through_gumbel(gates(observation.site, observation.v, observation.v_previous), 0.67)

    def relaxed() -> None:
        result = backbone(frames, decide, agent_macs=gates.macs)
        cost = result.macs / (backbone.ledger.dense_macs * frames.shape[1])
        _step(both, F.cross_entropy(result.logits, labels) + cost.mean().float())

    def plain() -> None:
        logits = cnn(frames.flatten(0, 1)).unflatten(0, frames.shape[:2]).mean(1)
        _step(alone, F.cross_entropy(logits, labels))

    subject, yardstick = (np.array([float(saved_bytes(step))]) for step in (relaxed, plain))
    times = interleave(relaxed, plain, max(repeats // 3, 3), "Gumbel step", warmup=1)
    name = "ResNet-50: a Gumbel-softmax step, all sites / a step of the dense CNN"
    return [
        summarise(f"{name}: time", *times, 1.20, below=True),
        summarise(f"{name}: memory saved for backward", subject, yardstick, 1.25, below=True),
    ]


def _step(optimizer: torch.optim.Optimizer, loss: Tensor) -> None:
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()


def saved_bytes(run: Callable[[], None]) -> int:
    """Bytes of the distinct storages that autograd keeps while ``run`` goes forward, parameters included."""
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor  # kept alive, so that no address is used twice
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        run()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
