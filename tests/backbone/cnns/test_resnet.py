"""The ResNets: torchvision's names, halves that make a whole, shapes."""

import pytest
import torch
from fusion_cases import random_frames, run_block, tiny_cnn
from torch import nn

from backbone import create_cnn
from backbone.cnns.resnet import BasicBlock, Bottleneck, ResNet
from backbone.fusion.sites import all_blocks

ARCHITECTURES = {
    "resnet18": (2, (2, 2, 2, 2), 1),
    "resnet34": (2, (3, 4, 6, 3), 1),
    "resnet50": (3, (3, 4, 6, 3), 4),
}


def on_meta(name: str, **kwargs) -> ResNet:
    with torch.device("meta"):
        return create_cnn(name, **kwargs).eval()


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}


def torchvision_shapes(convs: int, depths: tuple[int, ...], expansion: int) -> dict[str, tuple[int, ...]]:
    """Names and shapes of torchvision's state dict, written out by its rule."""
    shapes = {"conv1.weight": (64, 3, 7, 7), **norm("bn1", 64)}
    channels = 64
    for stage, depth in enumerate(depths, start=1):
        width = 64 * 2 ** (stage - 1)
        for position in range(depth):
            block, entering = f"layer{stage}.{position}", channels
            kernels, outputs = ((3, 3), (width,) * 2) if convs == 2 else ((1, 3, 1), (width, width, width * expansion))
            for number, (kernel, output) in enumerate(zip(kernels, outputs, strict=True), start=1):
                shapes[f"{block}.conv{number}.weight"] = (output, channels, kernel, kernel)
                shapes |= norm(f"{block}.bn{number}", output)
                channels = output
            if position == 0 and (stage > 1 or entering != channels):
                shapes[f"{block}.downsample.0.weight"] = (channels, entering, 1, 1)
                shapes |= norm(f"{block}.downsample.1", channels)
    return {**shapes, "fc.weight": (1000, channels), "fc.bias": (1000,)}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_parameters_have_torchvisions_names_and_shapes(name):
    own = {key: tuple(value.shape) for key, value in on_meta(name, num_classes=1000).state_dict().items()}
    assert own == torchvision_shapes(*ARCHITECTURES[name])


def test_the_stride_of_a_bottleneck_sits_on_its_3x3():
    block = on_meta("resnet50", num_classes=2).layer2[0]
    assert [conv.stride for conv in (block.conv1, block.conv2, block.conv3)] == [(1, 1), (2, 2), (1, 1)]


@pytest.mark.parametrize("block", [BasicBlock, Bottleneck])
@pytest.mark.parametrize("stride", [1, 2])
@torch.no_grad()
def test_a_block_is_its_two_halves_and_leaves_its_input_alone(block, stride):
    module, x = block(6, 4, stride).eval(), torch.randn(3, 6, 8, 8)
    before = x.clone()
    y = module.convolve(x)
    out = module(x)
    finished, carry = run_block(module, x, y)
    if carry is not None:
        finished, carry = run_block(module.second, finished, module.second.convolve(finished), carry)
    torch.testing.assert_close(finished, out)
    torch.testing.assert_close(x, before)
    assert y.shape[1] == module.channels == 4
    assert out.shape == (3, 4 * block.expansion, 8 // stride, 8 // stride)


@pytest.mark.parametrize("kind", ["basic", "bottleneck"])
@torch.no_grad()
def test_forward_is_stem_blocks_and_head(kind):
    cnn, frames = tiny_cnn(kind), random_frames(1)[0]
    x = cnn.stem(frames)
    for block in all_blocks(cnn).values():
        x = block(x) if isinstance(block, nn.Module) else x
    torch.testing.assert_close(cnn(frames), cnn.classifier(cnn.features(x)))


@pytest.mark.parametrize(("name", "size"), [*((name, 64) for name in ARCHITECTURES), ("resnet_small", 32)])
def test_logits_have_a_score_for_each_class(name, size):
    cnn = on_meta(name, num_classes=11, size=size)
    assert cnn(torch.empty(2, 3, size, size, device="meta")).shape == (2, 11)


def test_blocks_are_listed_in_order_under_the_names_of_their_modules():
    cnn = on_meta("resnet18", num_classes=2)
    blocks = all_blocks(cnn)
    assert list(blocks) == [f"layer{stage}.{place}" for stage in range(1, 5) for place in range(2)]
    assert all(cnn.get_submodule(name) is block for name, block in blocks.items())


def test_a_bottleneck_lists_its_second_site_behind_its_first():
    cnn = on_meta("resnet50", num_classes=2)
    assert list(cnn.stages()["layer1"]) == [f"layer1.{place}{end}" for place in range(3) for end in ("", ".conv2")]
