"""MobileNetV2: torchvision's names, the published counts, halves that make a whole, sites that say the truth."""

import copy
from math import prod

import pytest
import torch
from fusion_cases import random_frames
from torch import nn

from backbone import Decision, FusionBackbone, create_cnn, fold_batchnorm, one_hot
from backbone.cnns.mobilenet_v2 import InvertedResidual, MobileNetV2
from backbone.cost.counts import layer_macs

SIZE = 64
TABLE = [  # the paper's table 2, a row per block: stage, input channels, expansion, output channels, stride
    (1, 32, 1, 16, 1),
    (2, 16, 6, 24, 2),
    (2, 24, 6, 24, 1),
    (3, 24, 6, 32, 2),
    (3, 32, 6, 32, 1),
    (3, 32, 6, 32, 1),
    (4, 32, 6, 64, 2),
    (4, 64, 6, 64, 1),
    (4, 64, 6, 64, 1),
    (4, 64, 6, 64, 1),
    (5, 64, 6, 96, 1),
    (5, 96, 6, 96, 1),
    (5, 96, 6, 96, 1),
    (6, 96, 6, 160, 2),
    (6, 160, 6, 160, 1),
    (6, 160, 6, 160, 1),
    (7, 160, 6, 320, 1),
]
SHIFTED = [f"features.{number}" for number in (3, 5, 6, 8, 9, 10, 12, 13, 15, 16)]
BLOCKS = {  # expansion, stride, output channels; input channels 4
    "no expansion": (1, 1, 6),
    "shortcut": (6, 1, 4),
    "wider": (6, 1, 6),
    "strided": (6, 2, 4),
}


def norm(name: str, channels: int) -> dict[str, tuple[int, ...]]:
    parts = ("weight", "bias", "running_mean", "running_var")
    return {**{f"{name}.{part}": (channels,) for part in parts}, f"{name}.num_batches_tracked": ()}


def convolutions(size: int) -> dict[str, tuple[str, tuple[int, int, int, int], int]]:
    """By torchvision's name of the convolution: the name of its BatchNorm, weight's shape, height of its output."""
    height = size // 2
    found = {"features.0.0": ("features.0.1", (32, 3, 3, 3), height)}
    for number, (_, entering, expansion, leaving, stride) in enumerate(TABLE, start=1):
        block, width = f"features.{number}.conv", entering * expansion
        place = 0
        if expansion > 1:
            found[f"{block}.0.0"] = (f"{block}.0.1", (width, entering, 1, 1), height)
            place = 1
        height //= stride
        found[f"{block}.{place}.0"] = (f"{block}.{place}.1", (width, 1, 3, 3), height)
        found[f"{block}.{place + 1}"] = (f"{block}.{place + 2}", (leaving, width, 1, 1), height)
    return {**found, "features.18.0": ("features.18.1", (1280, 320, 1, 1), height)}


@pytest.fixture(scope="module")
def on_meta() -> MobileNetV2:
    with torch.device("meta"):
        return create_cnn("mobilenet_v2", num_classes=1000).eval()


def as_if_trained(module: nn.Module, *inputs: torch.Tensor) -> nn.Module:
    """BatchNorms with scales and shifts of their own and the statistics of these inputs; in eval mode."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, 0.1, 0.5)
    with torch.no_grad():
        module.train()(*inputs)
    return module.eval()


@pytest.fixture(scope="module")
def cnn() -> MobileNetV2:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return as_if_trained(create_cnn("mobilenet_v2", num_classes=7, size=SIZE), torch.randn(8, 3, SIZE, SIZE))


@pytest.fixture(params=BLOCKS)
def block(request) -> InvertedResidual:
    expansion, stride, leaving = BLOCKS[request.param]
    return as_if_trained(InvertedResidual(4, leaving, stride, expansion), torch.randn(8, 4, 8, 8))


# -- what the paper and torchvision say ------------------------------------------------------------------------------


def test_parameters_have_torchvisions_names_and_shapes(on_meta):
    expected = {"classifier.weight": (1000, 1280), "classifier.bias": (1000,)}  # torchvision's classifier.1
    for conv, (batchnorm, shape, _) in convolutions(224).items():
        expected |= {f"{conv}.weight": shape, **norm(batchnorm, shape[0])}
    own = {key: tuple(value.shape) for key, value in on_meta.state_dict().items()}
    assert own == expected
    assert "features.1.conv.0.0.weight" in own
    assert "features.1.conv.1.weight" in own
    assert "features.2.conv.3.running_mean" in own


def test_parameters_are_the_published_number(on_meta):
    assert sum(parameter.numel() for parameter in on_meta.parameters()) == 3_504_872


def test_macs_are_those_of_the_shapes(on_meta):
    macs = layer_macs(on_meta, lambda ghost: ghost(torch.empty(1, 3, 224, 224, device="meta")))
    expected = {name: prod(shape) * height**2 for name, (_, shape, height) in convolutions(224).items()}
    assert macs == {**expected, "classifier": 1280 * 1000}
    assert sum(expected.values()) == 299_494_272
    assert sum(macs.values()) == 300_774_272


def test_stages_are_the_rows_of_the_table(on_meta):
    stages = on_meta.stages()
    assert list(stages) == [f"stage{row}" for row in range(1, 8)]
    listed = [(stage, name) for stage, blocks in stages.items() for name in blocks]
    assert listed == [(f"stage{row[0]}", f"features.{number}") for number, row in enumerate(TABLE, start=1)]
    assert all(on_meta.get_submodule(name) is block for blocks in stages.values() for name, block in blocks.items())


def test_the_shift_stands_where_tsm_has_it(on_meta):
    shifts = {name: block.shifts for blocks in on_meta.stages().values() for name, block in blocks.items()}
    assert {name: layers for name, layers in shifts.items() if layers} == dict.fromkeys(SHIFTED, ("conv.0.0",))


# -- halves that make a whole ----------------------------------------------------------------------------------------


@torch.no_grad()
def test_a_block_is_its_two_halves_and_leaves_its_input_alone(block):
    x = torch.randn(3, 4, 8, 8)
    before = x.clone()
    y, out = block.convolve(x), block(x)
    torch.testing.assert_close(block.finish(x, y), out)
    torch.testing.assert_close(x, before)
    height = 8 // block.conv[-3][0].stride[0]
    assert y.shape == (3, block.channels, height, height)
    assert out.shape == (3, block.conv[-1].num_features, height, height)


@torch.no_grad()
def test_a_block_is_the_formula_of_the_paper(block):
    x = 10 * torch.randn(3, 4, 8, 8)  # so that ReLU6 cuts above, too
    y = x
    for name in block.writes:
        conv_norm_relu = block.get_submodule(name.removesuffix(".0"))
        y = conv_norm_relu[1](conv_norm_relu[0](y)).clamp(0, 6)
    y = block.conv[-1](block.get_submodule(block.reads[0])(y))  # linear: no ReLU behind the projection
    torch.testing.assert_close(block(x), x + y if block.shifts else y)


@torch.no_grad()
def test_forward_is_stem_blocks_features_and_classifier(cnn):
    frames = random_frames(1, size=SIZE)[0]
    x = cnn.stem(frames)
    assert x.shape == (len(frames), 32, SIZE // 2, SIZE // 2)
    for number in range(1, 18):
        x = cnn.get_submodule(f"features.{number}")(x)
    pooled = cnn.features(x)
    torch.testing.assert_close(pooled, cnn.get_submodule("features.18")(x).mean((-2, -1)))
    assert pooled.shape == (len(frames), cnn.classifier.in_features)
    logits = cnn(frames)
    torch.testing.assert_close(logits, cnn.classifier(pooled))
    assert (logits - logits.roll(1, 0)).abs().amax() > 1e-2  # the fixture passes its frames on, not constants


def shift(x: torch.Tensor) -> torch.Tensor:
    """TSM's shift of one clip's features (T, C, H, W), frame by frame."""
    fold, shifted = x.shape[1] // 8, x.clone()
    for t in range(len(x)):
        shifted[t, :fold] = x[t + 1, :fold] if t + 1 < len(x) else 0
        shifted[t, fold : 2 * fold] = x[t - 1, fold : 2 * fold] if t > 0 else 0
    return shifted


@torch.no_grad()
def test_the_shortcut_sees_what_was_not_shifted():
    block = as_if_trained(InvertedResidual(8, 8, 1, 6), torch.randn(8, 8, 6, 6))
    x = torch.randn(4, 8, 6, 6)
    out = block.finish(x, block.convolve(x, shift))
    torch.testing.assert_close(out, x + block.conv(shift(x)))
    assert not torch.allclose(out, block(shift(x)))
    assert not torch.allclose(out, block(x))


@torch.no_grad()
def test_under_tsm_the_residual_branches_with_an_expansion_are_shifted(cnn):
    frames = random_frames(1, size=SIZE)
    x = cnn.stem(frames[0])
    for number in range(1, 18):
        block = cnn.get_submodule(f"features.{number}")
        x = x + block.conv(shift(x)) if f"features.{number}" in SHIFTED else block(x)
    expected = cnn.classifier(cnn.features(x)).mean(0, keepdim=True)
    torch.testing.assert_close(FusionBackbone(cnn, temporal="tsm").eval()(frames).logits, expected)
    assert not torch.allclose(FusionBackbone(cnn).eval()(frames).logits, expected, atol=1e-2)


# -- sites -----------------------------------------------------------------------------------------------------------


def skip_some(skipped: dict[int, torch.Tensor], backbone: FusionBackbone):
    """A policy that uses everything but these channels of these sites, by index of the site."""

    def decide(observation):
        decisions = backbone.all_use(observation)
        channels = skipped.get(observation.site, torch.empty(0, dtype=torch.long))
        decisions[:, :, channels] = one_hot(torch.tensor(int(Decision.SKIP)))
        return decisions

    return decide


def random_channels(backbone: FusionBackbone) -> dict[int, torch.Tensor]:
    """A third of each site's channels."""
    return {site.index: torch.randperm(site.channels)[: site.channels // 3] for site in backbone.sites}


@torch.no_grad()
def test_using_everything_is_the_dense_cnn(cnn):
    frames = random_frames(2, size=SIZE)
    walked = FusionBackbone(cnn).eval()(frames)
    torch.testing.assert_close(walked.logits, cnn(frames.flatten(0, 1)).unflatten(0, (2, -1)).mean(1))


def test_every_block_carries_a_site_of_its_expanded_width(on_meta):
    sites = FusionBackbone(on_meta).sites
    assert [(site.in_channels, site.channels) for site in sites] == [(row[1], row[1] * row[2]) for row in TABLE]


@torch.no_grad()
def test_skipped_channels_reach_the_projection_as_zeros(cnn):
    backbone = FusionBackbone(cnn).eval()
    skipped, seen = random_channels(backbone), {}
    hooks = []
    for site in backbone.sites:
        projection = cnn.get_submodule(f"{site.name}.{cnn.get_submodule(site.name).reads[0]}")
        hooks.append(projection.register_forward_pre_hook(lambda _, x, site=site: seen.update({site.index: x[0]})))
    backbone(random_frames(1, size=SIZE), skip_some(skipped, backbone))
    for hook in hooks:
        hook.remove()
    assert sorted(seen) == [site.index for site in backbone.sites]
    for index, x in seen.items():
        is_zero = (x == 0).all((-2, -1)).all(0)
        assert is_zero[skipped[index]].all()
        assert not is_zero.all()


def cut(block: InvertedResidual, kept: torch.Tensor) -> InvertedResidual:
    """A narrower block that has these channels of y only."""
    narrow = copy.deepcopy(block)
    for name in narrow.writes:
        conv, batchnorm, _ = narrow.get_submodule(name.removesuffix(".0"))
        conv.weight = nn.Parameter(conv.weight[kept])
        conv.groups = 1 if conv.groups == 1 else len(kept)
        batchnorm.weight, batchnorm.bias = nn.Parameter(batchnorm.weight[kept]), nn.Parameter(batchnorm.bias[kept])
        batchnorm.running_mean, batchnorm.running_var = batchnorm.running_mean[kept], batchnorm.running_var[kept]
    projection = narrow.get_submodule(narrow.reads[0])
    projection.weight = nn.Parameter(projection.weight[:, kept])
    return narrow


@torch.no_grad()
def test_a_skipped_channel_can_be_cut_out_of_every_layer_that_the_block_names(cnn):
    """The claim behind the cost: nothing else needs that channel, and the layers shrink by what is charged less."""
    backbone, frames = FusionBackbone(cnn).eval(), random_frames(1, size=SIZE)
    skipped = random_channels(backbone)
    walked = backbone(frames, skip_some(skipped, backbone))
    x, macs = cnn.stem(frames[0]), backbone.ledger.dense_macs
    layers = {layer.name: layer.macs for layer in backbone.ledger.layers}
    for site in backbone.sites:
        block = cnn.get_submodule(site.name)
        kept = torch.tensor([channel for channel in range(site.channels) if channel not in skipped[site.index]])
        narrow = cut(block, kept)
        first_block = site.index == 0  # has no expansion: its depthwise convolution reads x itself
        y = narrow.convolve(x[:, kept] if first_block else x)
        x = narrow.finish(x, y)
        named = sum(layers[f"{site.name}.{name}"] for name in (*block.writes, *block.reads))
        macs -= named // site.channels * len(skipped[site.index])
    torch.testing.assert_close(walked.logits, cnn.classifier(cnn.features(x)).mean(0, keepdim=True))
    assert walked.macs.tolist() == [macs * frames.shape[1]]


@torch.no_grad()
def test_every_batchnorm_folds(cnn):
    folded = fold_batchnorm(FusionBackbone(cnn).eval()).cnn
    assert not [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.mark.parametrize("size", [32, 64, 96])
def test_small_frames_work(size):
    with torch.device("meta"):
        cnn = create_cnn("mobilenet_v2", num_classes=11, size=size).eval()
        assert cnn(torch.empty(2, 3, size, size)).shape == (2, 11)
    assert cnn.size == size
