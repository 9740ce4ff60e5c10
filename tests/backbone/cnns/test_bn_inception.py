"""BN-Inception: the published names, counts and arithmetic, and what its sites control."""

import re

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import Decision, FusionBackbone, create_cnn, fold_batchnorm, one_hot
from backbone.cnns.bn_inception import BLOCKS, BNInception, InceptionBlock
from backbone.cost.counts import layer_macs
from backbone.fusion.sites import build_sites
from backbone.fusion.temporal.shift import shift_two_way

IN_CHANNELS = dict(zip(BLOCKS, (192, 256, 320, 576, 576, 576, 608, 608, 1056, 1024), strict=True))
CHANNELS = dict(zip(BLOCKS, (256, 320, 576, 576, 576, 608, 608, 1056, 1024, 1024), strict=True))
HALVING = ("inception_3c", "inception_4e")

PUBLISHED = {  # some keys of the published checkpoints, as they stand there
    "conv1_7x7_s2.weight": (64, 3, 7, 7),
    "conv1_7x7_s2.bias": (64,),
    "conv1_7x7_s2_bn.running_var": (64,),
    "conv2_3x3_reduce.weight": (64, 64, 1, 1),
    "conv2_3x3.weight": (192, 64, 3, 3),
    "conv2_3x3_bn.weight": (192,),
    "inception_3a_1x1.weight": (64, 192, 1, 1),
    "inception_3a_1x1_bn.bias": (64,),
    "inception_3a_double_3x3_reduce.bias": (64,),
    "inception_3a_double_3x3_1.weight": (96, 64, 3, 3),
    "inception_3a_double_3x3_1_bn.weight": (96,),
    "inception_3a_double_3x3_2.weight": (96, 96, 3, 3),
    "inception_3a_pool_proj.weight": (32, 192, 1, 1),
    "inception_3a_pool_proj_bn.running_mean": (32,),
    "inception_3b_3x3.weight": (96, 64, 3, 3),
    "inception_3c_3x3_reduce.weight": (128, 320, 1, 1),
    "inception_3c_3x3.weight": (160, 128, 3, 3),
    "inception_3c_double_3x3_2.weight": (96, 96, 3, 3),
    "inception_4a_1x1.weight": (224, 576, 1, 1),
    "inception_4b_3x3_reduce.weight": (96, 576, 1, 1),
    "inception_4c_double_3x3_1.weight": (160, 128, 3, 3),
    "inception_4d_double_3x3_reduce.weight": (160, 608, 1, 1),
    "inception_4d_3x3.weight": (192, 128, 3, 3),
    "inception_4e_double_3x3_2.weight": (256, 256, 3, 3),
    "inception_5a_1x1.weight": (352, 1056, 1, 1),
    "inception_5a_double_3x3_reduce.weight": (160, 1056, 1, 1),
    "inception_5b_double_3x3_reduce.weight": (192, 1024, 1, 1),
    "inception_5b_pool_proj_bn.weight": (128,),
    "fc.weight": (1000, 1024),
}

each_block = pytest.mark.parametrize("name", BLOCKS)


def on_meta(**kwargs) -> BNInception:
    with torch.device("meta"):
        return create_cnn("bn_inception", **kwargs).eval()


def with_statistics(module: nn.Module) -> nn.Module:
    """BatchNorms as if they had been trained, so that none of their parts may be forgotten."""
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -0.3, 0.3)
            nn.init.uniform_(norm.running_var, 0.5, 1.5)
            nn.init.uniform_(norm.weight, 0.5, 1.5)
            nn.init.uniform_(norm.bias, -0.2, 0.4)
    return module.eval()


def cnn_and_clip(frames: int = 3, size: int = 32) -> tuple[BNInception, Tensor]:
    """A CNN with trained-like statistics, and a clip (1, T, 3, size, size) in float64: rounding shall not matter."""
    cnn = with_statistics(create_cnn("bn_inception", num_classes=5, size=size))
    return cnn, torch.randn(1, frames, 3, size, size, dtype=torch.float64)


def block_and_input(name: str, size: int = 6) -> tuple[InceptionBlock, Tensor]:
    """A block with trained-like statistics and (2, C_in, size, size) as another block would put it out."""
    return with_statistics(InceptionBlock(IN_CHANNELS[name], *BLOCKS[name])), torch.rand(
        2, IN_CHANNELS[name], size, size
    )


def recompute(block: InceptionBlock, name: str, x: Tensor, stride: int = 1) -> Tensor:
    """Convolution, BatchNorm and ReLU from the parameters alone."""
    state = block.state_dict()
    weight = state[f"{name}.weight"]
    x = F.conv2d(x, weight, state[f"{name}.bias"], stride=stride, padding=weight.shape[-1] // 2)
    mean, var, scale, offset = (
        state[f"{name}_bn.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
    )
    return ((x - mean) / (var + 1e-5).sqrt() * scale + offset).clamp_min(0)


def test_parameters_have_the_published_names_and_shapes():
    own = {key: tuple(value.shape) for key, value in on_meta(num_classes=1000).state_dict().items()}
    renamed = {re.sub(r"^(inception_\d[a-e])_", r"\1.", key): shape for key, shape in PUBLISHED.items()}
    assert {key: own.get(key) for key in renamed} == renamed


def test_there_are_no_other_layers():
    cnn = on_meta(num_classes=1000)
    layers = {re.sub(r"^(inception_\d[a-e])\.", r"\1_", key).split(".")[0] for key in cnn.state_dict()}
    convs = {layer for layer in layers if not layer.endswith("_bn")} - {"fc"}
    branches = ("1x1", "3x3_reduce", "3x3", "double_3x3_reduce", "double_3x3_1", "double_3x3_2", "pool_proj")
    assert convs == {
        *("conv1_7x7_s2", "conv2_3x3_reduce", "conv2_3x3"),
        *(f"{name}_{branch}" for name in BLOCKS for branch in branches if name not in HALVING or "3x3" in branch),
    }
    assert layers == {*convs, *(f"{conv}_bn" for conv in convs), "fc"}


def test_batchnorms_are_set_as_in_the_published_code():
    norms = [module for module in on_meta(num_classes=2).modules() if isinstance(module, nn.BatchNorm2d)]
    assert {(norm.eps, norm.momentum, norm.affine) for norm in norms} == {(1e-5, 0.9, True)}


def test_every_convolution_has_a_bias_and_only_five_a_stride():
    convs = {name: module for name, module in on_meta(num_classes=2).named_modules() if isinstance(module, nn.Conv2d)}
    assert len(convs) == 69
    assert all(conv.bias is not None for conv in convs.values())
    assert all(conv.padding[0] == conv.kernel_size[0] // 2 for conv in convs.values())
    assert {name for name, conv in convs.items() if conv.stride != (1, 1)} == {
        "conv1_7x7_s2",
        *(f"{name}.{conv}" for name in HALVING for conv in ("3x3", "double_3x3_2")),
    }


def test_counts_are_those_of_adafuse():
    cnn = on_meta(num_classes=174)
    macs = layer_macs(cnn, lambda ghost: ghost(torch.empty(1, 3, 224, 224, device="meta")))
    assert macs.pop("fc") == 178_176
    assert f"{sum(macs.values()) / 1e9:.6f}" == "2.031576"
    assert f"{sum(parameter.numel() for parameter in cnn.parameters()) / 1e6:.4f}" == "10.4486"


@each_block
@torch.no_grad()
def test_a_block_is_its_two_halves_and_leaves_its_input_alone(name):
    block, x = block_and_input(name)
    before = x.clone()
    y = block.convolve(x)
    torch.testing.assert_close(block.finish(x, y), block(x), rtol=0, atol=0)
    torch.testing.assert_close(x, before, rtol=0, atol=0)
    size = 3 if name in HALVING else 6
    assert y.shape == (2, block.channels, size, size)
    assert block.channels == CHANNELS[name]


@torch.no_grad()
def test_block_3a_by_hand():
    block, x = block_and_input("inception_3a")
    pooled = F.conv2d(x, torch.full((192, 1, 3, 3), 1 / 9), padding=1, groups=192)  # padding counts as zeros
    double = recompute(block, "double_3x3_1", recompute(block, "double_3x3_reduce", x))
    expected = [
        recompute(block, "1x1", x),
        recompute(block, "3x3", recompute(block, "3x3_reduce", x)),
        recompute(block, "double_3x3_2", double),
        recompute(block, "pool_proj", pooled),
    ]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))


@pytest.mark.parametrize("name", HALVING)
@torch.no_grad()
def test_blocks_of_stride_2_by_hand(name):
    block, x = block_and_input(name)
    padded = F.pad(x, (0, 1, 0, 1), value=-torch.inf)  # the windows at the far edges see one row, or column, less
    double = recompute(block, "double_3x3_1", recompute(block, "double_3x3_reduce", x))
    expected = [
        recompute(block, "3x3", recompute(block, "3x3_reduce", x), stride=2),
        recompute(block, "double_3x3_2", double, stride=2),
        padded.unfold(2, 3, 2).unfold(3, 3, 2).amax((-2, -1)),
    ]
    torch.testing.assert_close(block(x), torch.cat(expected, 1))


@torch.no_grad()
def test_the_last_block_projects_the_maxima_of_padded_windows():
    block, x = block_and_input("inception_5b")
    windows = F.pad(x, (1, 1, 1, 1), value=-torch.inf).unfold(2, 3, 1).unfold(3, 3, 1)
    start, stop = block.writes["pool_proj"]
    torch.testing.assert_close(block(x)[:, start:stop], recompute(block, "pool_proj", windows.amax((-2, -1))))


@torch.no_grad()
def test_forward_is_stem_blocks_features_and_classifier():
    cnn, clip = cnn_and_clip(frames=2, size=64)
    x = cnn.double().stem(clip[0])
    assert x.shape == (2, 192, 8, 8)
    for name in BLOCKS:
        x = cnn.get_submodule(name)(x)
    assert cnn.features(x).shape == (2, 1024)
    torch.testing.assert_close(cnn(clip[0]), cnn.classifier(x.mean((2, 3))))


@torch.no_grad()
def test_the_first_convolution_reads_what_the_published_weights_expect():
    cnn, seen = create_cnn("bn_inception", num_classes=2, size=32).eval(), []
    cnn.conv1_7x7_s2.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    rgb = torch.randint(256, (1, 3, 32, 32)).float()
    mean, std = (torch.tensor(values)[:, None, None] for values in (cnn.mean, cnn.std))
    cnn.stem((rgb / 255 - mean) / std)
    red, green, blue = rgb[0]
    torch.testing.assert_close(seen[0][0], torch.stack([blue - 104, green - 117, red - 128]), rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [32, 64, 160, 224])
def test_logits_have_a_score_for_each_class(size):
    cnn = on_meta(num_classes=11, size=size)
    assert cnn(torch.empty(2, 3, size, size, device="meta")).shape == (2, 11)


@pytest.mark.parametrize("size", [0, 48, 112, 225])
def test_sizes_at_which_branches_would_not_fit_are_refused(size):
    with pytest.raises(ValueError, match=f"a multiple of 32 pixels, got {size}"):
        on_meta(num_classes=2, size=size)


def test_blocks_are_listed_in_order_under_the_names_of_their_modules():
    cnn = on_meta(num_classes=2)
    assert {stage: list(blocks) for stage, blocks in cnn.stages().items()} == {
        "inception_3": ["inception_3a", "inception_3b", "inception_3c"],
        "inception_4": ["inception_4a", "inception_4b", "inception_4c", "inception_4d", "inception_4e"],
        "inception_5": ["inception_5a", "inception_5b"],
    }
    assert all(cnn.get_submodule(name) is block for blocks in cnn.stages().values() for name, block in blocks.items())


@each_block
@torch.no_grad()
def test_a_layer_writes_its_range_of_the_channels_and_nothing_else(name):
    block, x = block_and_input(name)
    y = block(x)
    for writer, (start, stop) in block.writes.items():
        norm = block.get_submodule(f"{writer}_bn")
        before = norm.bias.clone()
        norm.bias.fill_(100.0)  # whatever comes in, ReLU lets it pass
        changed = (block(x) != y).any(dim=(0, 2, 3)).nonzero().flatten().tolist()
        norm.bias.copy_(before)
        assert changed == list(range(start, stop))


@each_block
@torch.no_grad()
def test_channels_without_a_writer_are_pooled_input(name):
    block, x = block_and_input(name)
    written = sorted(channel for outputs in block.writes.values() for channel in range(*outputs))
    assert written == list(range(len(written)))  # from 0 on, none twice
    if name in HALVING:
        assert block.channels - len(written) == IN_CHANNELS[name]
        torch.testing.assert_close(block(x)[:, len(written) :], F.max_pool2d(x, 3, 2, ceil_mode=True), rtol=0, atol=0)
    else:
        assert len(written) == block.channels


@each_block
@torch.no_grad()
def test_takes_are_the_convolutions_that_read_the_input(name):
    block, x = block_and_input(name)
    readers, ends = [], (x, block.pool(x))
    for child, conv in block.named_children():
        if isinstance(conv, nn.Conv2d):
            conv.register_forward_pre_hook(
                lambda _, inputs, child=child: readers.extend([child] * any(inputs[0].equal(end) for end in ends))
            )
    block(x)
    assert tuple(readers) == block.takes
    assert block.get_submodule(block.takes[0]).in_channels == IN_CHANNELS[name]


@each_block
@torch.no_grad()
def test_a_dead_channel_is_dead_behind_the_pooling_too(name):
    block, x = block_and_input(name)
    x[:, 3] = 0
    pooled = block.pool(x)
    assert pooled[:, 3].eq(0).all()
    assert pooled[:, 4].ne(0).any()


@each_block
@torch.no_grad()
def test_the_shift_acts_on_the_double_branch_alone(name):
    block, x = block_and_input(name)
    seen = []

    def shift(features: Tensor) -> Tensor:
        seen.append(features.clone())
        return features.roll(1, 0)

    plain, shifted = block.convolve(x), block.convolve(x, shift)
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], recompute(block, "double_3x3_reduce", x))
    start, stop = block.writes["double_3x3_2"]
    torch.testing.assert_close(shifted[:, start:stop], plain[:, start:stop].roll(1, 0))
    assert not shifted[:, start:stop].isclose(plain[:, start:stop]).all()
    others = [channel for channel in range(block.channels) if not start <= channel < stop]
    torch.testing.assert_close(shifted[:, others], plain[:, others], rtol=0, atol=0)


@torch.no_grad()
def test_a_shift_that_does_nothing_changes_nothing():
    block, x = block_and_input("inception_4e")
    torch.testing.assert_close(block.convolve(x, lambda features: features), block(x), rtol=0, atol=0)


def test_the_ledger_knows_which_convolutions_lie_between_two_sites():
    cnn = on_meta(num_classes=174)
    sites, ledger = build_sites(cnn, list(BLOCKS), history="raw", group_size=1)
    assert [(site.name, site.in_channels, site.channels) for site in sites] == [
        (name, IN_CHANNELS[name], CHANNELS[name]) for name in BLOCKS
    ]
    assert ledger.dense_macs == 2_031_576_064 + 178_176
    layers = {layer.name: (layer.step, layer.reads, layer.writes, layer.outputs) for layer in ledger.layers}
    assert layers["conv2_3x3"] == (0, None, None, None)
    assert layers["inception_3a.1x1"] == (0, None, 0, (0, 64))
    assert layers["inception_3b.1x1"] == (1, 0, 1, (0, 64))
    assert layers["inception_3b.3x3_reduce"] == (1, 0, None, None)
    assert layers["inception_3b.3x3"] == (1, None, 1, (64, 160))
    assert layers["inception_3b.double_3x3_1"] == (1, None, None, None)
    assert layers["inception_3b.double_3x3_2"] == (1, None, 1, (160, 256))
    assert layers["inception_3b.pool_proj"] == (1, 0, 1, (256, 320))
    assert layers["inception_4e.double_3x3_2"] == (7, None, 7, (192, 448))
    assert layers["fc"] == (9, 9, None, None)


def walk(cnn: BNInception, frames: Tensor, decisions: list[Tensor], **kwargs) -> tuple[Tensor, float]:
    """Logits and MACs of one clip (1, T, 3, H, W); ``decisions`` are integers (C,) per site, the same at every frame."""
    backbone = FusionBackbone(cnn, **kwargs).to(frames.dtype).eval()
    steps = [one_hot(chosen.expand(1, frames.shape[1], -1), frames.dtype) for chosen in decisions]
    result = backbone(frames, lambda observation: steps[observation.site])
    return result.logits, result.macs.item()


def macs_at(cnn: BNInception) -> dict[str, int]:
    frame = torch.empty(1, 3, cnn.size, cnn.size, device="meta")
    return layer_macs(cnn, lambda ghost: ghost(frame))


@torch.no_grad()
def test_using_everything_is_the_plain_cnn():
    cnn, frames = cnn_and_clip(frames=2)
    logits, macs = walk(cnn, frames, [torch.full((channels,), Decision.USE) for channels in CHANNELS.values()])
    torch.testing.assert_close(logits, cnn(frames[0]).mean(0, keepdim=True))
    assert macs == 2 * sum(macs_at(cnn).values())


@torch.no_grad()
def test_skipping_everything_leaves_what_no_site_controls():
    cnn = create_cnn("bn_inception", num_classes=5, size=32).eval()
    skips = [torch.full((channels,), Decision.SKIP) for channels in CHANNELS.values()]
    logits, macs = walk(cnn, torch.randn(1, 1, 3, 32, 32), skips)
    each = macs_at(cnn)
    stem = [name for name in each if name.startswith("conv")]
    first = ["inception_3a.3x3_reduce", "inception_3a.double_3x3_reduce"]  # their input is the stem's
    assert macs == sum(each[name] for name in (*stem, *first, *(f"{block}.double_3x3_1" for block in BLOCKS)))
    torch.testing.assert_close(logits, cnn.fc.bias[None])


@torch.no_grad()
def test_a_convolution_between_two_sites_costs_the_product_of_the_live_fractions():
    cnn = create_cnn("bn_inception", num_classes=5, size=32).eval()
    first, second = torch.full((256,), Decision.SKIP), torch.full((320,), Decision.SKIP)
    first[16:80] = Decision.USE  # 48 of the 64 channels of 1x1, 16 of the 64 of 3x3
    second[:32] = Decision.USE  # half of 1x1
    second[256:] = Decision.USE  # all of pool_proj
    each = macs_at(cnn)
    expected = sum(each.values())
    for name, share in {
        "3a.1x1": 48 / 64,
        "3a.3x3": 16 / 64,
        "3a.double_3x3_2": 0,
        "3a.pool_proj": 0,
        "3b.1x1": 64 / 256 * 32 / 64,
        "3b.3x3_reduce": 64 / 256,
        "3b.3x3": 0,
        "3b.double_3x3_reduce": 64 / 256,
        "3b.double_3x3_2": 0,
        "3b.pool_proj": 64 / 256,
        "3c.3x3_reduce": 96 / 320,
        "3c.double_3x3_reduce": 96 / 320,
    }.items():
        expected -= (1 - share) * each[f"inception_{name}"]
    _, macs = walk(cnn, torch.randn(1, 1, 3, 32, 32), [first, second], sites=["inception_3a", "inception_3b"])
    assert macs == pytest.approx(expected, rel=1e-12)


@torch.no_grad()
def test_pooled_channels_that_are_passed_through_are_used_for_free():
    cnn = create_cnn("bn_inception", num_classes=5, size=32).eval()
    frames, costs = torch.randn(1, 1, 3, 32, 32), []
    for decision in (Decision.SKIP, Decision.USE):
        chosen = torch.full((1056,), Decision.SKIP)
        chosen[448:] = decision
        costs.append(walk(cnn, frames, [chosen], sites=["inception_4e"])[1])
    readers = [f"inception_5a.{name}" for name in ("1x1", "3x3_reduce", "double_3x3_reduce", "pool_proj")]
    each = macs_at(cnn)
    assert costs[1] - costs[0] == pytest.approx(sum(each[name] for name in readers) * 608 / 1056, rel=1e-12)


@torch.no_grad()
def test_the_two_way_shift_reaches_every_block():
    cnn, frames = cnn_and_clip()
    backbone = FusionBackbone(cnn, temporal="tsm").double().eval()
    x = cnn.stem(frames[0])
    for name in BLOCKS:
        x = cnn.get_submodule(name).convolve(x, lambda features: shift_two_way(features[None])[0])
    expected = cnn.fc(cnn.features(x)).mean(0, keepdim=True)
    torch.testing.assert_close(backbone(frames).logits, expected)
    assert not cnn(frames[0]).mean(0, keepdim=True).isclose(expected).all()


@torch.no_grad()
def test_the_one_way_shift_runs_frame_by_frame():
    cnn, frames = cnn_and_clip()
    backbone = FusionBackbone(cnn, sites="last_stage", temporal="tsm-stream").double().eval()
    state, logits = None, []
    for t in range(frames.shape[1]):
        state = backbone.begin(frames[:, t : t + 1], state)
        for _ in backbone.sites:
            state = backbone.advance(state, backbone.all_use(backbone.observe(state)))
        logits.append(backbone.logits(state))
    torch.testing.assert_close(torch.cat(logits, 1).mean(1), backbone(frames).logits)


@torch.no_grad()
def test_its_batchnorms_can_be_folded():
    backbone = FusionBackbone(with_statistics(create_cnn("bn_inception", num_classes=5, size=32))).eval()
    folded = fold_batchnorm(backbone)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    frames = torch.randn(1, 2, 3, 32, 32)
    torch.testing.assert_close(folded(frames).logits, backbone(frames).logits, rtol=1e-3, atol=1e-3)
