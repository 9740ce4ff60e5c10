"""EfficientNet-Lite0: the published names and counts, TensorFlow's padding, and the logits of the published code.

Numbers under REFERENCE and PRETRAINED were computed by that code, efficientnet-lite-pytorch 0.1.0, in float64.
"""

from math import ceil, prod

import pytest
import torch
from fusion_cases import random_frames
from torch import Tensor, nn
from torch.nn import functional as F

from backbone import FusionBackbone, create_cnn, fold_batchnorm, load_weights
from backbone.cnns.efficientnet_lite import EfficientNetLite0, SameConv2d
from backbone.cost.counts import layer_macs
from backbone.weights.published import PUBLISHED, find_on_disk

TABLE = [  # the paper's table 1, a row per block: stage, input channels, expansion, kernel, output channels, stride
    (1, 32, 1, 3, 16, 1),
    (2, 16, 6, 3, 24, 2),
    (2, 24, 6, 3, 24, 1),
    (3, 24, 6, 5, 40, 2),
    (3, 40, 6, 5, 40, 1),
    (4, 40, 6, 3, 80, 2),
    (4, 80, 6, 3, 80, 1),
    (4, 80, 6, 3, 80, 1),
    (5, 80, 6, 5, 112, 1),
    (5, 112, 6, 5, 112, 1),
    (5, 112, 6, 5, 112, 1),
    (6, 112, 6, 5, 192, 2),
    (6, 192, 6, 5, 192, 1),
    (6, 192, 6, 5, 192, 1),
    (6, 192, 6, 5, 192, 1),
    (7, 192, 6, 3, 320, 1),
]
SHIFTED = [f"features.{number}" for number in (3, 5, 7, 8, 10, 11, 13, 14, 15)]
REFERENCE = {  # by size: ``figures`` of ``published_state``
    64: (5.6142939780498295, 22889.112086295412, 1.1272806436615543, -1.5419346214132617, 0.06378479369389278, -0.5383917338557609),
    75: (15.61358671840722, 22616.84687290689, 1.8516140741944742, -2.9949421196967903, 1.2083694476115538, -2.191455323048428),
}  # fmt: skip
PRETRAINED = {  # of the published weights
    64: (-160.74290505218778, 4270.652231234248, -1.977787695265206, 0.3181469311210419, -1.6697802167892275, 0.5342305798426195),
    224: (-140.83617185236923, 3971.644357712517, -2.760789689554299, 6.885956603547294e-05, -2.6602194404988992, 0.4775170741546588),
}  # fmt: skip


def convolutions(size: int) -> dict[str, tuple[str, str, tuple[int, int, int, int], int]]:
    """By the published name of the convolution: that of its BatchNorm, our name, weight's shape, height of its output."""
    height = ceil(size / 2)
    found = {"_conv_stem": ("_bn0", "features.0.0", (32, 3, 3, 3), height)}
    for number, (_, entering, expansion, kernel, leaving, stride) in enumerate(TABLE):
        theirs, ours, width = f"_blocks.{number}.", f"features.{number + 1}.conv.", entering * expansion
        if expansion > 1:
            found[f"{theirs}_expand_conv"] = (f"{theirs}_bn0", f"{ours}0.0", (width, entering, 1, 1), height)
        height, place = ceil(height / stride), int(expansion > 1)
        shape = (width, 1, kernel, kernel)
        found[f"{theirs}_depthwise_conv"] = (f"{theirs}_bn1", f"{ours}{place}.0", shape, height)
        found[f"{theirs}_project_conv"] = (f"{theirs}_bn2", f"{ours}{place + 1}", (leaving, width, 1, 1), height)
    return {**found, "_conv_head": ("_bn1", "features.17.0", (1280, 320, 1, 1), height)}


def published_state() -> dict[str, Tensor]:
    """A state dict under the published names, of uniform numbers: the same on every machine."""
    generator = torch.Generator().manual_seed(0)

    def uniform(shape: tuple[int, ...], low: float, high: float) -> Tensor:
        return torch.rand(shape, generator=generator) * (high - low) + low

    state = {}
    for conv, (norm, _, shape, _) in convolutions(224).items():
        bound = (6 / prod(shape[1:])) ** 0.5  # keeps the spread from layer to layer
        state[f"{conv}.weight"] = uniform(shape, -bound, bound)
        for part, low, high in (("weight", 0.5, 1.5), ("bias", -0.2, 0.6), ("running_mean", -0.3, 0.3)):
            state[f"{norm}.{part}"] = uniform(shape[:1], low, high)
        state[f"{norm}.running_var"] = uniform(shape[:1], 0.001, 1.5)  # down to where the eps of 1e-3 weighs
        state[f"{norm}.num_batches_tracked"] = torch.tensor(0)
    state["_fc.weight"], state["_fc.bias"] = uniform((1000, 1280), -0.05, 0.05), uniform((1000,), -1, 1)
    return state


def uniform_frames(size: int) -> Tensor:
    """(2, 3, size, size) float64 in [-1, 1]."""
    generator = torch.Generator().manual_seed(1)
    return torch.rand(2, 3, size, size, generator=generator, dtype=torch.float64) * 2 - 1


def figures(logits: Tensor) -> tuple[float, ...]:
    """Of (2, 1000): sum and squares of all, and two classes of each frame."""
    return (*(t.item() for t in (logits.sum(), logits.square().sum(), *logits[:, [0, 652]].flatten())),)


@pytest.fixture(scope="module")
def on_meta() -> EfficientNetLite0:
    with torch.device("meta"):
        return create_cnn("efficientnet_lite0", num_classes=1000).eval()


@pytest.fixture(scope="module")
def cnn(tmp_path_factory) -> EfficientNetLite0:
    """With that state dict, read from a file; in float64."""
    path = tmp_path_factory.mktemp("weights") / "state.pth"
    torch.save(published_state(), path)
    cnn = create_cnn("efficientnet_lite0", num_classes=1000)
    assert not load_weights(cnn, path).fresh_classifier
    return cnn.double().eval()


# -- what was published ----------------------------------------------------------------------------------------------


def test_published_names_and_shapes_are_ours_translated(cnn):
    expected = {"classifier.weight": (1000, 1280), "classifier.bias": (1000,)}
    for _, ours, shape, _ in convolutions(224).values():
        head, _, last = ours.rpartition(".")
        norm = f"{head}.{int(last) + 1}"
        expected |= {f"{ours}.weight": shape, f"{norm}.num_batches_tracked": ()}
        expected |= {f"{norm}.{part}": shape[:1] for part in ("weight", "bias", "running_mean", "running_var")}
    assert {key: tuple(value.shape) for key, value in cnn.state_dict().items()} == expected


def test_every_tensor_went_where_its_name_says(cnn):
    state, own = published_state(), cnn.state_dict()
    for theirs, (_, ours, _, _) in convolutions(224).items():
        assert torch.equal(own[f"{ours}.weight"].float(), state[f"{theirs}.weight"])


def test_parameters_and_macs_are_those_of_the_shapes(on_meta):
    macs = layer_macs(on_meta, lambda ghost: ghost(torch.empty(1, 3, 224, 224, device="meta")))
    expected = {ours: prod(shape) * height**2 for _, ours, shape, height in convolutions(224).values()}
    assert macs == {**expected, "classifier": 1280 * 1000}
    assert sum(macs.values()) == 385_187_552  # convolutions and classifier; Google's table of Lite models says 407M
    assert sum(parameter.numel() for parameter in on_meta.parameters()) == 4_652_008


def test_batchnorms_are_set_as_in_the_published_code(on_meta):
    norms = [module for module in on_meta.modules() if isinstance(module, nn.BatchNorm2d)]
    assert len(norms) == len(convolutions(224))
    assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-3, 0.01)}


def test_frames_are_less_127_over_128(on_meta):
    with torch.device("meta"):
        backbone = FusionBackbone(on_meta)
    assert (backbone.cnn.mean, backbone.cnn.std) == ((127 / 255,) * 3, (128 / 255,) * 3)


@torch.no_grad()
def test_preprocessing_is_that_of_the_published_code():
    backbone = FusionBackbone(create_cnn("efficientnet_lite0", num_classes=2, size=32))
    frames = torch.randint(256, (1, 2, 32, 32, 3), dtype=torch.uint8)
    expected = (frames.float().permute(0, 1, 4, 2, 3) - 127) / 128
    torch.testing.assert_close(backbone.preprocess(frames), expected, rtol=0, atol=1e-6)


@torch.no_grad()
@pytest.mark.parametrize("size", REFERENCE)
def test_logits_are_those_of_the_published_code(cnn, size):
    assert figures(cnn(uniform_frames(size))) == pytest.approx(REFERENCE[size], rel=1e-9, abs=1e-8)


@torch.no_grad()
@pytest.mark.parametrize("size", REFERENCE)
def test_control_paddings_and_eps_show_in_those_figures(cnn, size, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(SameConv2d, "forward", nn.Conv2d.forward)
        assert figures(cnn(uniform_frames(size))) != pytest.approx(REFERENCE[size], rel=1e-2)
    for norm in (module for module in cnn.modules() if isinstance(module, nn.BatchNorm2d)):
        monkeypatch.setattr(norm, "eps", 1e-5)
    assert figures(cnn(uniform_frames(size))) != pytest.approx(REFERENCE[size], rel=1e-2)


@torch.no_grad()
@pytest.mark.parametrize("size", PRETRAINED)
def test_logits_of_the_published_weights(size):
    (published,) = [published for published in PUBLISHED if published.architecture == "efficientnet_lite0"]
    path = find_on_disk(published)
    if path is None:
        pytest.skip(f"{published.name} is not on this machine: {published.package} holds it")
    cnn = create_cnn("efficientnet_lite0", num_classes=1000)
    load_weights(cnn, path)
    assert figures(cnn.double().eval()(uniform_frames(size))) == pytest.approx(PRETRAINED[size], rel=1e-9, abs=1e-8)


# -- padding ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [1, 3, 5])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("height", [1, 2, 7, 8])
@pytest.mark.parametrize("width", [5, 6])
@torch.no_grad()
def test_same_padding_centres_the_windows(kernel, stride, height, width):
    """Each output looks at the window around its place, half a step further on where the windows cannot be centred."""
    conv = SameConv2d(2, 3, kernel, stride, kernel // 2, bias=False).double()
    x = torch.randn(1, 2, height, width, dtype=torch.float64)
    out = conv(x)
    assert out.shape == (1, 3, ceil(height / stride), ceil(width / stride))
    far = kernel + stride  # more zeros than any window reaches
    padded = F.pad(x, [far] * 4)

    def first(length: int) -> int:
        beyond = max((ceil(length / stride) - 1) * stride + kernel - length, 0)
        return -(beyond // 2)

    for i in range(out.shape[2]):
        for j in range(out.shape[3]):
            top, left = far + first(height) + i * stride, far + first(width) + j * stride
            window = padded[0, :, top : top + kernel, left : left + kernel]
            torch.testing.assert_close(out[0, :, i, j], (conv.weight * window).sum((1, 2, 3)))


@torch.no_grad()
def test_stride_2_meets_an_even_map_from_its_first_pixel():
    conv = SameConv2d(1, 1, 3, 2, 1, bias=False)
    conv.weight.fill_(0)
    conv.weight[0, 0, 0, 0] = 1  # the window's first corner
    x = torch.arange(16.0).view(1, 1, 4, 4)
    assert conv(x)[0, 0].tolist() == [[0, 2], [8, 10]]
    assert nn.Conv2d.forward(conv, x)[0, 0].tolist() == [[0, 0], [0, 5]]  # what symmetric zeros would give


# -- sites -----------------------------------------------------------------------------------------------------------


def test_stages_are_the_rows_of_the_table(on_meta):
    listed = [(stage, name) for stage, blocks in on_meta.stages().items() for name in blocks]
    assert listed == [(f"stage{row[0]}", f"features.{number}") for number, row in enumerate(TABLE, start=1)]


def test_every_block_carries_a_site_of_its_expanded_width(on_meta):
    sites = FusionBackbone(on_meta).sites
    assert [(site.in_channels, site.channels) for site in sites] == [(row[1], row[1] * row[2]) for row in TABLE]


def test_the_shift_stands_in_residual_branches_with_an_expansion(on_meta):
    shifts = {name: block.shifts for blocks in on_meta.stages().values() for name, block in blocks.items()}
    assert {name: layers for name, layers in shifts.items() if layers} == dict.fromkeys(SHIFTED, ("conv.0.0",))


@torch.no_grad()
def test_using_everything_is_the_dense_cnn(cnn):
    frames = random_frames(2, size=64).double()
    walked = FusionBackbone(cnn).eval()(frames)
    torch.testing.assert_close(walked.logits, cnn(frames.flatten(0, 1)).unflatten(0, (2, -1)).mean(1))


@torch.no_grad()
def test_every_batchnorm_folds():
    cnn = create_cnn("efficientnet_lite0", num_classes=7, size=64)
    for norm in (module for module in cnn.modules() if isinstance(module, nn.BatchNorm2d)):
        norm.momentum = 1.0  # statistics of the frames below, so that rounding is all that folding changes
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, 0.1, 0.5)
    cnn.train()(torch.randn(8, 3, 64, 64))
    folded = fold_batchnorm(FusionBackbone(cnn).eval()).cnn
    assert not [name for name, module in folded.named_modules() if isinstance(module, nn.BatchNorm2d)]
    assert sum(isinstance(module, SameConv2d) for module in folded.modules()) == 17


@pytest.mark.parametrize("size", [32, 33, 64, 75])
def test_frames_of_any_size_work(size):
    with torch.device("meta"):
        cnn = create_cnn("efficientnet_lite0", num_classes=11, size=size).eval()
        assert cnn(torch.empty(2, 3, size, size)).shape == (2, 11)
