"""A small stand-in for AdaFuse's published code, written from its description, not from ours.

Plain modules whose state dict has exactly the names of its checkpoints. Decisions are greedy where that code samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

SKIP, REUSE, USE = 0, 1, 2  # columns of its masks


def shift(x: Tensor, frames: int) -> Tensor:
    """Its temporal shift: (N * T, C, H, W), first eighth from the next frame, second from the previous one."""
    clips = x.view(-1, frames, *x.shape[1:])
    fold = clips.shape[2] // 8
    out = torch.zeros_like(clips)
    out[:, :-1, :fold] = clips[:, 1:, :fold]
    out[:, 1:, fold : 2 * fold] = clips[:, :-1, fold : 2 * fold]
    out[:, :, 2 * fold :] = clips[:, :, 2 * fold :]
    return out.view_as(x)


def previous(x: Tensor, frames: int) -> Tensor:
    """The same of the frame before, zero at the first."""
    clips = x.view(-1, frames, *x.shape[1:])
    out = torch.zeros_like(clips)
    out[:, 1:] = clips[:, :-1]
    return out.view_as(x)


class Policy(nn.Module):
    """Its PolicyBlock; with shared layers they are registered here once more."""

    def __init__(self, in_channels: int, channels: int, hidden: int, shared: tuple | None = None) -> None:
        super().__init__()
        sizes = f"{2 * in_channels}_{3 * channels}"
        self.gate_fc0 = nn.Linear(2 * in_channels, hidden) if shared is None else shared[0][sizes]
        self.gate_bn = nn.BatchNorm1d(hidden)
        self.gate_fc1 = nn.Linear(hidden, 3 * channels) if shared is None else shared[1][sizes]

    def forward(self, x: Tensor, frames: int) -> Tensor:
        """(N, C_in, H, W) -> one-hot masks (N, C, 3)."""
        v = x.mean((2, 3))
        hidden = F.relu(self.gate_bn(self.gate_fc0(torch.cat([previous(v, frames), v], 1))))
        logits = self.gate_fc1(hidden).view(len(x), -1, 3)
        return F.one_hot(logits.argmax(-1), 3).float()


def fuse(y: Tensor, mask: Tensor, frames: int) -> Tensor:
    now, before = mask[..., USE, None, None], mask[..., REUSE, None, None]
    return y * now + previous(y, frames) * before


class Block(nn.Module):
    """Its BasicBlock or Bottleneck."""

    def __init__(self, in_channels: int, width: int, stride: int, bottleneck: bool, policy: Policy | None) -> None:
        super().__init__()
        out = width * (4 if bottleneck else 1)
        kernel, first = (1, 1) if bottleneck else (3, stride)
        self.conv1 = nn.Conv2d(in_channels, width, kernel, first, kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride if bottleneck else 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        if bottleneck:
            self.conv3 = nn.Conv2d(width, out, 1, bias=False)
            self.bn3 = nn.BatchNorm2d(out)
        self.has_downsample = stride != 1 or in_channels != out
        if self.has_downsample:
            self.downsample0 = nn.Conv2d(in_channels, out, 1, stride, bias=False)
            self.downsample1 = nn.BatchNorm2d(out)
        self.bottleneck = bottleneck
        if policy is not None:
            self.policy_net = policy

    def forward(self, x: Tensor, frames: int, shifted: bool, masks: list[Tensor]) -> Tensor:
        identity = x
        if shifted:
            x = shift(x, frames)
        out = F.relu(self.bn1(self.conv1(x)))
        if hasattr(self, "policy_net"):
            masks.append(self.policy_net(x, frames))
            out = fuse(out, masks[-1], frames)
        out = self.bn2(self.conv2(out))
        if self.bottleneck:
            out = self.bn3(self.conv3(F.relu(out)))
        if self.has_downsample:
            identity = self.downsample1(self.downsample0(x))
        return F.relu(out + identity)


class BateNet(nn.Module):
    """Its ResNet."""

    def __init__(
        self,
        depths: Sequence[int],
        widths: Sequence[int],
        *,
        bottleneck: bool,
        shared: bool,
        hidden: int | None,
        quota: int | None,
        stages: Sequence[int],
        shifted: bool,
    ) -> None:
        super().__init__()
        self.shifted = shifted
        self.conv1 = nn.Conv2d(3, widths[0], 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        layers = (nn.ModuleDict(), nn.ModuleDict()) if shared else None
        if shared:
            self.gate_fc0s, self.gate_fc1s = layers
        channels, expansion = widths[0], 4 if bottleneck else 1
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True)):
            blocks = nn.ModuleList()
            for position in range(depth):
                policy = None
                if stage in stages:
                    units = hidden or quota // width
                    sizes = f"{2 * channels}_{3 * width}"
                    if shared and sizes not in layers[0]:
                        layers[0][sizes] = nn.Linear(2 * channels, units)
                        layers[1][sizes] = nn.Linear(units, 3 * width)
                    policy = Policy(channels, width, units, layers)
                blocks.append(Block(channels, width, 2 if stage and not position else 1, bottleneck, policy))
                channels = width * expansion
            setattr(self, f"layer{stage + 1}", blocks)
        self.features = channels

    def forward(self, x: Tensor, frames: int, masks: list[Tensor]) -> Tensor:
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for name, blocks in self.named_children():
            if name.startswith("layer"):
                for block in blocks:
                    x = block(x, frames, self.shifted, masks)
        return x.mean((2, 3))


class AdaBNInc(nn.Module):
    """Its BN-Inception: a gate a block, none of them shared."""

    BLOCKS = (  # name, 1x1, 3x3, double 3x3, pooling, projection
        ("3a", 64, (64, 64), (64, 96, 96), "avg", 32),
        ("3b", 64, (64, 96), (64, 96, 96), "avg", 64),
        ("3c", 0, (128, 160), (64, 96, 96), "max", 0),
        ("4a", 224, (64, 96), (96, 128, 128), "avg", 128),
        ("4b", 192, (96, 128), (96, 128, 128), "avg", 128),
        ("4c", 160, (128, 160), (128, 160, 160), "avg", 128),
        ("4d", 96, (128, 192), (160, 192, 192), "avg", 128),
        ("4e", 0, (128, 192), (192, 256, 256), "max", 0),
        ("5a", 352, (192, 320), (160, 224, 224), "avg", 128),
        ("5b", 352, (192, 320), (192, 224, 224), "max", 128),
    )

    def __init__(self, hidden: int) -> None:
        super().__init__()
        self._add("conv1_7x7_s2", 3, 64, 7, 2)
        self._add("conv2_3x3_reduce", 64, 64, 1)
        self._add("conv2_3x3", 64, 192, 3)
        channels = 192
        for name, one, three, double, _, proj in self.BLOCKS:
            stride = 1 if proj else 2
            if one:
                self._add(f"inception_{name}_1x1", channels, one, 1)
            self._add(f"inception_{name}_3x3_reduce", channels, three[0], 1)
            self._add(f"inception_{name}_3x3", three[0], three[1], 3, stride)
            self._add(f"inception_{name}_double_3x3_reduce", channels, double[0], 1)
            self._add(f"inception_{name}_double_3x3_1", double[0], double[1], 3)
            self._add(f"inception_{name}_double_3x3_2", double[1], double[2], 3, stride)
            if proj:
                self._add(f"inception_{name}_pool_proj", channels, proj, 1)
            out = one + three[1] + double[2] + (proj or channels)
            setattr(self, f"policy_net_{name}", Policy(channels, out, hidden))
            channels = out
        self.features = channels

    def _add(self, name: str, in_channels: int, channels: int, kernel: int, stride: int = 1) -> None:
        setattr(self, name, nn.Conv2d(in_channels, channels, kernel, stride, kernel // 2))
        setattr(self, f"{name}_bn", nn.BatchNorm2d(channels))

    def _run(self, name: str, x: Tensor) -> Tensor:
        return F.relu(getattr(self, f"{name}_bn")(getattr(self, name)(x)))

    def _block(self, x: Tensor, name: str, one: int, pooling: str, proj: int) -> Tensor:
        run = lambda layer, x: self._run(f"inception_{name}_{layer}", x)  # noqa: E731
        outs = [run("1x1", x)] if one else []
        outs.append(run("3x3", run("3x3_reduce", x)))
        outs.append(run("double_3x3_2", run("double_3x3_1", run("double_3x3_reduce", x))))
        if not proj:
            return torch.cat([*outs, F.max_pool2d(x, 3, 2, ceil_mode=True)], 1)
        pooled = F.avg_pool2d(x, 3, 1, 1) if pooling == "avg" else F.max_pool2d(x, 3, 1, 1)
        return torch.cat([*outs, run("pool_proj", pooled)], 1)

    def forward(self, x: Tensor, frames: int, masks: list[Tensor]) -> Tensor:
        x = x.flip(1)  # its frames are read as BGR
        x = F.max_pool2d(self._run("conv1_7x7_s2", x), 3, 2, ceil_mode=True)
        x = self._run("conv2_3x3", self._run("conv2_3x3_reduce", x))
        x = F.max_pool2d(x, 3, 2, ceil_mode=True)
        for name, one, _, _, pooling, proj in self.BLOCKS:
            masks.append(getattr(self, f"policy_net_{name}")(x, frames))
            x = fuse(self._block(x, name, one, pooling, proj), masks[-1], frames)
        return x.mean((2, 3))


class TSNGate(nn.Module):
    """Its whole model, under the "module." that DataParallel puts before every name."""

    def __init__(self, base_model: nn.Module, num_classes: int) -> None:
        super().__init__()
        self.module = nn.Module()
        self.module.base_model = base_model
        self.module.new_fc = nn.Linear(base_model.features, num_classes)

    def forward(self, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
        """(B, T, 3, H, W) -> the clips' logits (B, classes) and masks (B, T, C, 3) of every gate."""
        masks: list[Tensor] = []
        shape = frames.shape[:2]
        features = self.module.base_model(frames.flatten(0, 1), shape[1], masks)
        logits = self.module.new_fc(features).unflatten(0, shape).mean(1)
        return logits, [mask.unflatten(0, shape) for mask in masks]


def liven(model: nn.Module, seed: int = 0) -> nn.Module:
    """Weights as if trained: BatchNorms with statistics, gates that choose all three decisions."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor: Tensor, low: float, high: float) -> None:
        tensor.data.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    for name, module in model.named_modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            draw(module.running_mean, -0.3, 0.3)
            draw(module.running_var, 0.5, 1.5)
            draw(module.weight, 0.7, 1.3)
            draw(module.bias, -0.2, 0.4)
        elif isinstance(module, nn.Conv2d | nn.Linear):
            bound = (6 / module.weight[0].numel()) ** 0.5 * (3 if "gate_fc0" in name else 1)
            draw(module.weight, -bound, bound)
            if module.bias is not None:
                draw(module.bias, -0.1, 0.1)
    return model.eval()


def save(model: nn.Module, path: Path) -> Path:
    torch.save({"state_dict": model.state_dict()}, path)
    return path
