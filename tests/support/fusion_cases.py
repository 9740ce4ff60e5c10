"""What several test files share: tiny CNNs, small clips, random decisions and ways to play them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import Decision, FusionBackbone, Observation, one_hot
from backbone.cnns.resnet import BasicBlock, Bottleneck, ResNet
from backbone.fusion.sites import Block
from envs.clips import ArrayClips, motions
from envs.episodes import Episodes, Outcome

torch.set_num_threads(1)

KINDS = ("basic", "bottleneck", "both", "plain")
NUM_CLASSES = len(motions.CLASSES)
T = 4
SIZE = 16
WIDTHS = (4, 6, 5)


class PlainBlock(nn.Module):
    """One convolution without a shortcut. Its fused y is all that the next block sees."""

    takes = ("conv",)
    writes = ("conv",)
    reads = ()
    shifts = ()
    exposes = True

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)

    def convolve(self, x: Tensor) -> Tensor:
        return F.relu(self.conv(x))

    def finish(self, x: Tensor, y: Tensor) -> Tensor:
        return y

    def forward(self, x: Tensor) -> Tensor:
        return self.finish(x, self.convolve(x))


class PlainCNN(nn.Module):
    """A chain of convolutions: the least that a user's own backbone must offer."""

    mean, std = (0.5,) * 3, (0.25,) * 3

    def __init__(self, widths: Sequence[int] = WIDTHS, *, num_classes: int = NUM_CLASSES, size: int = SIZE) -> None:
        super().__init__()
        self.size = size
        self.first = nn.Conv2d(3, widths[0], 3, stride=2, padding=1)
        self.chain = nn.Sequential(*(PlainBlock(i, o) for i, o in zip((widths[0], *widths), widths)))
        self.classifier = nn.Linear(widths[-1], num_classes)

    def stages(self) -> dict[str, dict[str, nn.Module]]:
        return {"chain": {f"chain.{name}": block for name, block in self.chain.named_children()}}

    def stem(self, frames: Tensor) -> Tensor:
        return F.relu(self.first(frames))

    def features(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))

    def forward(self, frames: Tensor) -> Tensor:
        return self.classifier(self.features(self.chain(self.stem(frames))))


def tiny_cnn(kind: str, size: int = SIZE, widths: Sequence[int] = (4, 6)) -> nn.Module:
    """A CNN of a few channels with BatchNorm statistics as if it had been trained: weights of seed 0."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        if kind == "plain":
            return PlainCNN(size=size).eval()
        block, depths = {"basic": (BasicBlock, (1, 2))}.get(kind, (Bottleneck, (1, 1)))
        cnn = ResNet(block, depths, widths, num_classes=NUM_CLASSES, size=size, small=True)
        for module in cnn.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -0.3, 0.3)
                nn.init.uniform_(module.running_var, 0.5, 1.5)
                nn.init.uniform_(module.bias, -0.2, 0.4)
        return cnn.eval()


def run_block(block: Block, x: Tensor, y: Tensor, carry: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
    """The rest of a block from its y: its output, and the shortcut that it hands to the next one, if any."""
    out = block.finish(x, y) if carry is None else block.finish(x, y, carry)
    return out if isinstance(out, tuple) else (out, None)


def tiny_backbone(kind: str = "basic", size: int = SIZE, widths: Sequence[int] = (4, 6), **kwargs) -> FusionBackbone:
    """:param kind: see KINDS; "both" is a chain of Bottlenecks with both of their sites"""
    if kind == "both":
        kwargs.setdefault("sites", "both")
    return FusionBackbone(tiny_cnn(kind, size, widths), **kwargs).eval()


def random_frames(clips: int = 2, frames: int = T, size: int = SIZE, seed: int = 0) -> Tensor:
    """Normalised frames (B, T, 3, size, size)."""
    return torch.randn(clips, frames, 3, size, size, generator=torch.Generator().manual_seed(seed))


def random_decisions(backbone: FusionBackbone, rows: int = 2, frames: int = T, seed: int = 0) -> list[Tensor]:
    """Per site, integer decisions (R, T, D), the three equally likely."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(len(Decision), (rows, frames, s.decisions), generator=generator) for s in backbone.sites]


def constant_decisions(backbone: FusionBackbone, decision: Decision, rows: int = 1, frames: int = T) -> list[Tensor]:
    """Per site, the same decision everywhere, (R, T, D)."""
    return [torch.full((rows, frames, site.decisions), int(decision)) for site in backbone.sites]


def follow(decisions: Sequence[Tensor]) -> Callable[[Observation], Tensor]:
    """A policy that does as it is told: per site, integers (R, T, D)."""
    return lambda observation: one_hot(decisions[observation.site])


def walk_in_chunks(
    backbone: FusionBackbone, frames: Tensor, decisions: Sequence[Tensor], chunks: Sequence[int]
) -> tuple[Tensor, Tensor]:
    """Walk clips a few frames at a time: consensus logits (R, classes), MACs (R,)."""
    state, logits, macs, start = None, [], 0, 0
    for length in chunks:
        state = backbone.begin(frames[:, start : start + length], state)
        for site in backbone.sites:
            state = backbone.advance(state, one_hot(decisions[site.index][:, start : start + length]))
        logits.append(backbone.logits(state))
        macs = macs + state.macs.sum(1)
        start += length
    return backbone.consensus(torch.cat(logits, 1)), macs


def small_clips(count: int = 6, num_frames: int = T, size: int = SIZE) -> ArrayClips:
    """Embedded clips, sampled in time and cropped: random segments and crops in training."""
    drawn = motions.sample(count, seed=0)
    return ArrayClips(drawn.frames(range(count)), drawn.labels, drawn.classes, num_frames=num_frames, size=size)


def to_actions(episodes: Episodes, decisions: Sequence[Tensor], padding: Decision = Decision.USE) -> np.ndarray:
    """What to play now, (N, F * D), so that the episodes follow ``decisions``: per site integers (N, T, D_site)."""
    layout, site = episodes.layout, episodes.site
    first = episodes.frame if episodes.state is not None else 0
    chosen = decisions[site][:, first : first + layout.step_frames]
    return F.pad(chosen, (0, layout.decisions - chosen.shape[-1]), value=int(padding)).flatten(1).numpy()


def play(
    episodes: Episodes, decisions: Sequence[Tensor], clips: Sequence[int] = (0, 1), padding: Decision = Decision.USE
) -> tuple[Outcome, np.ndarray, list[np.ndarray]]:
    """Play clips to their end: outcome, rewards (steps, N), observations."""
    observations, rewards, outcome = [episodes.start(np.asarray(clips))], [], None
    while outcome is None:
        observation, reward, outcome = episodes.step(to_actions(episodes, decisions, padding))
        observations.append(observation)
        rewards.append(reward)
    return outcome, np.array(rewards), observations[:-1]
