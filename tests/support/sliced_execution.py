"""A second, slow way to run a FusionBackbone: channels that nobody asks for are cut out of the tensors.

One frame runs after the other, as a stream arrives. Of a site's y only the channels that a frame uses are computed,
by layers whose weights are cut down to those rows, and to the columns of the input channels that exist. A reused
channel is what frame t-1 has computed; if it has not, it is computed late, from what frame t-1 had read. A skipped
channel exists nowhere, and a layer without rows or columns does not run. What the layers cost is measured call by call
(``torch.utils.flop_counter``, 2 FLOPs per MAC), not calculated.

This is evidence beside ``backbone/cost/ledger.py`` and ``backbone/fusion/backbone.py``: it asks neither the ledger, nor the blocks for
the layers that they take, write, read and shift, nor the code that fuses.

Two things are conventions, not necessities. A layer that only reads a site's channels runs in that site's step, even if
it stands in the next one's block. The pooled channels that two of BN-Inception's blocks pass through count as live if
they are used, even if the block before has skipped them; they are then written out as zeros.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import NamedTuple

import torch
from fusion_cases import PlainCNN
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from backbone import Decision, FusionBackbone
from backbone.cnns.bn_inception import BNInception, InceptionBlock
from backbone.cnns.efficientnet_lite import SameConv2d
from backbone.cnns.mobilenet_v2 import InvertedResidual, MobileNetV2
from backbone.cnns.resnet import BasicBlock, Bottleneck, ResNet

FOLD = 8  # the shift moves 1/8 of the channels each way


class Features(NamedTuple):
    """Features of one frame of which only some channels exist.

    :param values: (1, L, H, W), or (1, L) once pooled
    :param live: (L,) which channels these are, ascending
    """

    values: Tensor
    live: Tensor


class Past(NamedTuple):
    """What a site keeps of frame t-1: what its layers had read, and by channel what may be reused, (H, W) each."""

    inputs: object
    kept: dict[int, Tensor]


class Call(NamedTuple):
    """One layer that ran: the frame and the site's step that it ran in, its size after cutting, its measured cost."""

    layer: str
    frame: int
    step: int
    rows: int
    columns: int
    macs: int


class Execution(NamedTuple):
    """A clip's logits (classes,), its MACs by frame and step (T, S) int64, and the calls that make them up."""

    logits: Tensor
    macs: Tensor
    calls: list[Call]


# A frame under way: gives features to be shifted in time, gets them shifted, ends with its logits (1, classes).
Frame = Generator[Tensor, Tensor, Tensor]
# The same for a part of the CNN.
Part = Generator[Tensor, Tensor, Features]
Write = Callable[..., Tensor]  # (inputs, rows) -> those channels of y, (1, rows, H, W)


def execute(backbone: FusionBackbone, clip: Tensor, decisions: Sequence[Tensor]) -> Execution:
    """Run one clip (T, 3, H, W) under integer decisions, per site (T, D).

    :raises TypeError: a CNN for which no sliced execution is written
    """
    for kind, sliced in EXECUTIONS.items():
        if isinstance(backbone.cnn, kind):
            return sliced(backbone, decisions).run(clip)
    known = ", ".join(kind.__name__ for kind in EXECUTIONS)
    raise TypeError(f"expected one of {known}, got {type(backbone.cnn).__name__}: write its execution in {__name__}.py")


def whole(values: Tensor) -> Features:
    return Features(values, torch.arange(values.shape[1]))


def relu(features: Features) -> Features:
    return features._replace(values=F.relu(features.values))


def pool(module: nn.Module, features: Features) -> Features:
    """Pooling layers refuse features without channels."""
    values = features.values
    if len(features.live):
        return features._replace(values=module(values))
    return features._replace(values=module(values.new_zeros(1, 1, *values.shape[2:]))[:, :0])


def pad_same(values: Tensor, kernel: int, stride: int) -> Tensor:
    """Zeros in turn at the far and at the near side, until a window begins at every ``stride``-th of the old pixels."""
    sides = []
    for length in reversed(values.shape[2:]):
        near_and_far = [0, 0]
        while (length + sum(near_and_far) - kernel) // stride < (length - 1) // stride:
            near_and_far[1 - sum(near_and_far) % 2] += 1
        sides += near_and_far
    return F.pad(values, sides)


def normalise(norm: nn.BatchNorm2d, features: Features) -> Features:
    """BatchNorm with the parameters and statistics of the channels that exist."""
    if not len(features.live):
        return features
    mean, var, weight, bias = (
        part[features.live] for part in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return features._replace(values=F.batch_norm(features.values, mean, var, weight, bias, eps=norm.eps))


def shift(temporal: str, now: Tensor, before: Tensor | None, after: Tensor | None) -> Tensor:
    """(1, C, H, W) of frames t, t-1 and t+1, None outside the clip -> frame t's, shifted."""
    if temporal == "tsn":
        return now
    fold = now.shape[1] // FOLD
    before, after = (torch.zeros_like(now) if side is None else side for side in (before, after))
    if temporal == "tsm-stream":
        return torch.cat([before[:, :fold], now[:, fold:]], 1)
    return torch.cat([after[:, :fold], before[:, fold : 2 * fold], now[:, 2 * fold :]], 1)


class SlicedCNN:
    """What all architectures share. One object runs one clip.

    :param decisions: per site, integers (T, D)
    """

    def __init__(self, backbone: FusionBackbone, decisions: Sequence[Tensor]) -> None:
        self.cnn, self.consensus = backbone.cnn, backbone.consensus
        self.history, self.temporal = backbone.history, backbone.temporal
        self.group_size = backbone.options["group_size"]
        self.decisions = dict(zip(backbone.site_names, (chosen.tolist() for chosen in decisions), strict=True))
        self.names = {module: name for name, module in self.cnn.named_modules()}
        self.past: dict[str, Past] = {}
        self.recurrent: tuple[Tensor, Tensor] | None = None
        self.calls: list[Call] = []
        self.now = 0  # the frame that runs
        self.sites_entered: list[int] = []  # by frame

    # -- frames ------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def run(self, clip: Tensor) -> Execution:
        frames = [self.frame(image) for image in clip.unsqueeze(1)]
        self.sites_entered = [0] * len(frames)
        play = self.stream if self.temporal in ("tsn", "tsm-stream") else self.in_step
        logits = torch.cat(play(frames))
        macs = torch.zeros(len(frames), len(self.decisions), dtype=torch.int64)
        for call in self.calls:
            macs[call.frame, call.step] += call.macs
        return Execution(logits.mean(0) if self.recurrent is None else logits[-1], macs, self.calls)

    def resume(self, frames: Sequence[Frame], t: int, features: Tensor | None) -> tuple[Tensor, bool]:
        """Let a frame run on: the next features to be shifted and False, or its logits and True."""
        self.now = t
        try:
            return frames[t].send(features), False
        except StopIteration as end:
            return end.value, True

    def stream(self, frames: Sequence[Frame]) -> list[Tensor]:
        """Frame by frame; of frame t-1 all is kept that was to be shifted."""
        logits, before = [], {}
        for t in range(len(frames)):
            features, done = self.resume(frames, t, None)
            seen = []
            while not done:
                shifted = shift(self.temporal, features, before.get(len(seen)), None)
                seen.append(features)
                features, done = self.resume(frames, t, shifted)
            before = dict(enumerate(seen))
            logits.append(features)
        return logits

    def in_step(self, frames: Sequence[Frame]) -> list[Tensor]:
        """All frames up to the next shift, in their order: the two-way shift looks at frame t+1."""
        reached = [self.resume(frames, t, None) for t in range(len(frames))]
        while not any(done for _, done in reached):
            around = [None, *(features for features, _ in reached), None]
            shifted = [shift(self.temporal, around[t + 1], around[t], around[t + 2]) for t in range(len(frames))]
            reached = [self.resume(frames, t, features) for t, features in enumerate(shifted)]
        return [logits for logits, _ in reached]

    def frame(self, image: Tensor) -> Frame:
        features = yield from self.features(image)
        return self.score(features)

    def features(self, image: Tensor) -> Part:
        """(1, 3, H, W) -> pooled (1, F)."""
        raise NotImplementedError

    def score(self, features: Features) -> Tensor:
        """Pooled features (1, F) -> the frame's logits (1, classes); an LSTM's cell is written out."""
        if not hasattr(self.consensus, "lstm"):
            classifier = self.cnn.classifier
            return self.linear(self.names[classifier], features, classifier.weight, classifier.bias)
        lstm = self.consensus.lstm
        zero = features.values.new_zeros(1, lstm.hidden_size)
        hidden, cell = self.recurrent or (zero, zero)
        gates = self.linear("consensus.lstm.input", features, lstm.weight_ih_l0, lstm.bias_ih_l0)
        gates = gates + self.linear("consensus.lstm.hidden", whole(hidden), lstm.weight_hh_l0, lstm.bias_hh_l0)
        enter, keep, new, show = gates.chunk(4, 1)
        cell = keep.sigmoid() * cell + enter.sigmoid() * new.tanh()
        hidden = show.sigmoid() * cell.tanh()
        self.recurrent = hidden, cell
        classifier = self.consensus.classifier
        return self.linear("consensus.classifier", whole(hidden), classifier.weight, classifier.bias)

    # -- layers ------------------------------------------------------------------------------------------------------

    def measured(self, layer: str, rows: int, columns: int, run: Callable[[], Tensor]) -> Tensor:
        with FlopCounterMode(display=False) as counter:
            out = run()
        flops = counter.get_total_flops()
        assert flops > 0
        assert flops % 2 == 0
        step = max(self.sites_entered[self.now] - 1, 0)  # what runs before the first site belongs to its step
        self.calls.append(Call(layer, self.now, step, rows, columns, flops // 2))
        return out

    def linear(self, layer: str, x: Features, weight: Tensor, bias: Tensor) -> Tensor:
        if not len(x.live):
            return bias.unsqueeze(0)
        weight = weight[:, x.live]
        return self.measured(layer, *weight.shape, lambda: F.linear(x.values, weight, bias))

    def conv(self, conv: nn.Conv2d, x: Features, rows: Tensor | None = None) -> Features:
        """Some channels of a convolution's output, or all.

        Of a grouped one only the depthwise case is known, where channel i is made of channel i.
        """
        rows = torch.arange(conv.out_channels) if rows is None else rows
        values, weight, bias = x.values, conv.weight[rows], None if conv.bias is None else conv.bias[rows]
        padding = conv.padding
        if isinstance(conv, SameConv2d):
            values, padding = pad_same(values, conv.kernel_size[0], conv.stride[0]), (0, 0)
        if conv.groups == 1:
            weight, groups = weight[:, x.live], 1
        else:
            assert conv.groups == conv.in_channels == conv.out_channels
            values, groups = values[:, torch.isin(x.live, rows)], len(rows)
            assert values.shape[1] == groups, "a depthwise convolution lacks channels"
        if weight.numel():
            values = self.measured(
                self.names[conv],
                *weight.shape[:2],
                lambda: F.conv2d(values, weight, bias, conv.stride, padding, conv.dilation, groups),
            )
            return Features(values, rows)
        places = (
            (length + 2 * zeros - kernel) // stride + 1
            for length, zeros, kernel, stride in zip(
                values.shape[2:], padding, conv.kernel_size, conv.stride, strict=True
            )
        )
        nothing = values.new_zeros(1, len(rows), *places)
        return Features(nothing if bias is None else nothing + bias[:, None, None], rows)

    def conv_norm(self, conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Features, rows: Tensor | None = None) -> Features:
        return normalise(norm, self.conv(conv, x, rows))

    # -- sites -------------------------------------------------------------------------------------------------------

    def enter(self, name: str) -> None:
        """From here on a frame is in the step of this site, if there is one."""
        self.sites_entered[self.now] += name in self.decisions

    def decide(self, name: str, channels: int, inputs: object, write: Write) -> Features:
        """What is passed on of a block's y.

        :param channels: that y has in all
        :param inputs: what the layers that write y read
        """
        if name not in self.decisions:
            return whole(write(inputs, torch.arange(channels)))
        chosen = self.decisions[name][self.now]
        used, reused = (
            [channel for channel in range(channels) if chosen[channel // self.group_size] == decision]
            for decision in (Decision.USE, Decision.REUSE)
        )
        y = write(inputs, torch.tensor(used, dtype=torch.long))
        computed = dict(zip(used, y[0], strict=True))
        passed_on = dict(computed)
        if past := self.past.get(name):
            available = dict(past.kept)
            if self.history == "raw" and (late := [channel for channel in reused if channel not in available]):
                available.update(zip(late, write(past.inputs, torch.tensor(late))[0], strict=True))
            passed_on.update((channel, available[channel]) for channel in reused if channel in available)
        self.past[name] = Past(inputs, computed if self.history == "raw" else passed_on)
        live = sorted(passed_on)
        values = torch.stack([passed_on[channel] for channel in live]).unsqueeze(0) if live else y[:, :0]
        return Features(values, torch.tensor(live, dtype=torch.long))


class SlicedResNet(SlicedCNN):
    def features(self, image: Tensor) -> Part:
        x = relu(self.conv_norm(self.cnn.conv1, self.cnn.bn1, whole(image)))
        x = pool(self.cnn.maxpool, x)
        for stage in range(1, len(self.cnn.depths) + 1):
            for block in getattr(self.cnn, f"layer{stage}"):
                x = yield from self.block(block, x)
        return Features(x.values.mean((-2, -1)), x.live)

    def block(self, block: BasicBlock | Bottleneck, x: Features) -> Part:
        name = self.names[block]
        shifted = whole((yield x.values))
        self.enter(name)
        y = self.decide(
            name,
            block.conv1.out_channels,
            shifted,
            lambda inputs, rows: relu(self.conv_norm(block.conv1, block.bn1, inputs, rows)).values,
        )
        shortcut = x
        if block.downsample is not None:
            shortcut = self.conv_norm(*block.downsample, shifted if self.temporal == "tsm-adafuse" else x)
        if isinstance(block, BasicBlock):
            out = self.conv_norm(block.conv2, block.bn2, y)
        else:
            self.enter(f"{name}.conv2")
            y = self.decide(
                f"{name}.conv2",
                block.conv2.out_channels,
                y,
                lambda inputs, rows: relu(self.conv_norm(block.conv2, block.bn2, inputs, rows)).values,
            )
            out = self.conv_norm(block.conv3, block.bn3, y)
        return whole(F.relu(out.values + shortcut.values))


class SlicedMobileNetV2(SlicedCNN):
    def features(self, image: Tensor) -> Part:
        stem, *blocks, last = self.cnn.features
        x = self.conv_norm_relu6(stem, whole(image))
        for block in blocks:
            x = yield from self.block(block, x)
        x = self.conv_norm_relu6(last, x)
        return Features(x.values.mean((-2, -1)), x.live)

    def conv_norm_relu6(self, layers: nn.Sequential, x: Features, rows: Tensor | None = None) -> Features:
        conv, norm, _ = layers
        x = self.conv_norm(conv, norm, x, rows)
        return x._replace(values=F.relu6(x.values))

    def block(self, block: InvertedResidual, x: Features) -> Part:
        *expand_and_depthwise, project, norm = block.conv
        same_shape = project.out_channels == x.values.shape[1] and expand_and_depthwise[-1][0].stride == (1, 1)
        inputs = x
        if same_shape and len(expand_and_depthwise) == 2:  # TSM shifts residual branches only
            inputs = whole((yield x.values))
        name = self.names[block]
        self.enter(name)

        def write(inputs: Features, rows: Tensor) -> Tensor:
            for layers in expand_and_depthwise:
                inputs = self.conv_norm_relu6(layers, inputs, rows)
            return inputs.values

        y = self.decide(name, project.in_channels, inputs, write)
        out = self.conv_norm(project, norm, y)
        return whole(x.values + out.values) if same_shape else out


class SlicedBNInception(SlicedCNN):
    def features(self, image: Tensor) -> Part:
        bgr = whole(image.flip(1))
        x = pool(self.cnn.stem_pool, self.layer(self.cnn, "conv1_7x7_s2", bgr))
        x = self.layer(self.cnn, "conv2_3x3", self.layer(self.cnn, "conv2_3x3_reduce", x))
        x = pool(self.cnn.stem_pool, x)
        behind_a_site = False
        for block in self.cnn.children():
            if isinstance(block, InceptionBlock):
                x = yield from self.block(block, x, behind_a_site)
                behind_a_site = self.names[block] in self.decisions
        return Features(x.values.mean((-2, -1)), x.live)

    def layer(self, module: nn.Module, name: str, x: Features, rows: Tensor | None = None) -> Features:
        return relu(self.conv_norm(getattr(module, name), getattr(module, f"{name}_bn"), x, rows))

    def block(self, block: InceptionBlock, x: Features, behind_a_site: bool) -> Part:
        name = self.names[block]
        if not behind_a_site:
            self.enter(name)
        three, double = self.layer(block, "3x3_reduce", x), self.layer(block, "double_3x3_reduce", x)
        if behind_a_site:  # that site's decisions alone settle what these two cost: they belong to its step
            self.enter(name)
        double = yield double.values
        inputs = {
            "1x1": x,
            "3x3": three,
            "double_3x3_2": self.layer(block, "double_3x3_1", whole(double)),
            "pool_proj": pool(block.pool, x),
        }
        ends = [end for end in inputs if hasattr(block, end)]
        widths = [getattr(block, end).out_channels for end in ends]
        if "pool_proj" not in ends:  # the pooled channels are passed through
            ends.append("pool_proj")
            widths.append(block.double_3x3_reduce.in_channels)

        def write(inputs: dict[str, Features], rows: Tensor) -> Tensor:
            parts, start = [], 0
            for end, width in zip(ends, widths, strict=True):
                inside = rows[(rows >= start) & (rows < start + width)] - start
                if hasattr(block, end):
                    parts.append(self.layer(block, end, inputs[end], inside).values)
                else:
                    pooled = inputs[end].values
                    dense = pooled.new_zeros(1, width, *pooled.shape[2:])
                    dense[:, inputs[end].live] = pooled
                    parts.append(dense[:, inside])
                start += width
            return torch.cat(parts, 1)

        return self.decide(name, sum(widths), inputs, write)


class SlicedPlainCNN(SlicedCNN):
    def features(self, image: Tensor) -> Part:
        yield from ()  # there is nothing to shift
        x = relu(self.conv(self.cnn.first, whole(image)))
        for block in self.cnn.chain:
            self.enter(self.names[block])
            x = self.decide(
                self.names[block],
                block.conv.out_channels,
                x,
                lambda inputs, rows, conv=block.conv: relu(self.conv(conv, inputs, rows)).values,
            )
        return Features(x.values.mean((-2, -1)), x.live)


EXECUTIONS: dict[type[nn.Module], type[SlicedCNN]] = {
    ResNet: SlicedResNet,
    MobileNetV2: SlicedMobileNetV2,
    BNInception: SlicedBNInception,
    PlainCNN: SlicedPlainCNN,
}
