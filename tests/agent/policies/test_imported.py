"""AdaFuse's checkpoints: the same logits and decisions as a stand-in for its code, and the published sizes."""

from __future__ import annotations

import numpy as np
import official_adafuse as official
import pytest
import torch
from fusion_cases import random_frames
from torch import Tensor, nn

from agent.policies import imported as adafuse
from agent.policies.imported import ImportedPolicy, load_adafuse
from backbone import BACKBONES, Decision, FusionBackbone, one_hot, register_backbone
from backbone.cnns.resnet import BasicBlock, Bottleneck, ResidualBlock, ResNet
from envs.spaces import StepLayout

SIZE, CLASSES = 32, 5
WIDTHS, DEPTHS = (8, 16, 16, 32), (2, 1, 1, 2)
COLUMNS = {Decision.USE: official.USE, Decision.REUSE: official.REUSE, Decision.SKIP: official.SKIP}
VARIANTS = {
    "basic, shared": {"bottleneck": False},
    "basic, not shared": {"bottleneck": False, "shared": False},
    "bottleneck, shared": {},
    "bottleneck, not shared": {"shared": False},
    "bottleneck, last stage": {"shared": False, "stages": (3,), "quota": None, "hidden": 24},
}


@pytest.fixture(autouse=True)
def thin_resnets():
    def thin_basic(num_classes: int, size: int = 224) -> ResNet:
        return ResNet(BasicBlock, DEPTHS, WIDTHS, num_classes=num_classes, size=size)

    def thin_bottleneck(num_classes: int, size: int = 224) -> ResNet:
        return ResNet(Bottleneck, DEPTHS, WIDTHS, num_classes=num_classes, size=size)

    for build in (thin_basic, thin_bottleneck):
        register_backbone(build)
    yield
    for build in (thin_basic, thin_bottleneck):
        BACKBONES.pop(build.__name__)


def thin_model(shifted: bool = False, **variant) -> official.TSNGate:
    defaults = {"bottleneck": True, "shared": True, "hidden": None, "quota": 200, "stages": range(4)}
    base = official.BateNet(DEPTHS, WIDTHS, shifted=shifted, **{**defaults, **variant})
    return official.liven(official.TSNGate(base, CLASSES))


@torch.no_grad()
def run(backbone: FusionBackbone, gates: nn.Module, frames: Tensor) -> tuple[Tensor, list[Tensor]]:
    """Logits, and greedy decisions per site, (B, T, C, 3)."""
    result = backbone(frames, lambda seen: one_hot(gates(seen.site, seen.v, seen.v_previous).argmax(-1)))
    return result.logits, result.decisions


def agrees(model: official.TSNGate, backbone: FusionBackbone, gates: nn.Module) -> tuple[bool, bool]:
    """Whether logits and decisions are those of the stand-in."""
    frames = random_frames(2, 4, SIZE)
    with torch.no_grad():
        expected, masks = model(frames)
    logits, taken = run(backbone, gates, frames)
    decisions = all(
        torch.equal(ours[..., kind], mask[..., column])
        for ours, mask in zip(taken, masks, strict=True)
        for kind, column in COLUMNS.items()
    )
    return bool((logits - expected).abs().max() < 1e-4), decisions


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("name", VARIANTS)
def test_the_same_logits_and_the_same_greedy_decisions(name, shifted, tmp_path):
    model = thin_model(shifted, **VARIANTS[name])
    path = official.save(model, tmp_path / ("adatsm.pth.tar" if shifted else "adatsn.pth.tar"))
    backbone, gates, facts = load_adafuse(path, size=SIZE)
    assert agrees(model, backbone, gates) == (True, True)
    assert facts.temporal == ("tsm-adafuse" if shifted else "tsn")
    assert facts.architecture == f"thin_{name.split(',')[0]}"
    assert facts.num_classes == backbone.num_classes == CLASSES
    assert facts.gate.shared == name.endswith(", shared")
    assert not any(module.training for module in (*backbone.modules(), *gates.modules()))


def test_the_same_of_bn_inception(tmp_path):
    model = official.liven(official.TSNGate(official.AdaBNInc(hidden=16), CLASSES))
    backbone, gates, facts = load_adafuse(official.save(model, tmp_path / "adabninc.pth.tar"), size=SIZE)
    assert agrees(model, backbone, gates) == (True, True)
    assert facts.architecture == "bn_inception"
    assert len(backbone.sites) == 10


def test_the_test_sees_every_decision_and_an_effect_of_the_shift():
    frames = random_frames(2, 4, SIZE)
    with torch.no_grad():
        logits, masks = thin_model()(frames)
        shifted, _ = thin_model(shifted=True)(frames)
    shares = torch.stack([mask.mean((0, 1, 2)) for mask in masks])
    assert shares.min() > 0.05
    assert (logits - shifted).abs().max() > 0.01


@pytest.mark.parametrize("left_out", ["order_decisions", "order_inputs"])
def test_control_without_a_conversion_nothing_agrees(left_out, tmp_path, monkeypatch):
    monkeypatch.setattr(adafuse, left_out, lambda tensor: tensor)
    model = thin_model()
    backbone, gates, _ = load_adafuse(official.save(model, tmp_path / "adatsn.pth.tar"), size=SIZE)
    assert agrees(model, backbone, gates) == (False, False)


def test_control_the_shift_of_the_downsample_path_is_needed(tmp_path, monkeypatch):
    model = thin_model(shifted=True)
    backbone, gates, _ = load_adafuse(official.save(model, tmp_path / "adatsm.pth.tar"), size=SIZE)
    shortcut = ResidualBlock.shortcut
    monkeypatch.setattr(ResidualBlock, "shortcut", lambda self, x, shift=None: shortcut(self, x))
    assert agrees(model, backbone, gates) == (False, False)


@pytest.mark.parametrize("temporal", ["tsn", "tsm"])
def test_control_the_shift_of_tsm_itself_or_none_does_not_do(temporal, tmp_path):
    model = thin_model(shifted=True)
    backbone, gates, _ = load_adafuse(official.save(model, tmp_path / "adatsm.pth.tar"), size=SIZE)
    other = FusionBackbone(backbone.cnn, sites=backbone.site_names, temporal=temporal).eval()
    assert agrees(model, other, gates) == (False, False)


# -- the published sizes ---------------------------------------------------------------------------------------------

WIDE = (64, 128, 256, 512)
PUBLISHED = {  # parameters with 174 classes, in millions
    "adatsn18": ((2, 2, 2, 2), {"bottleneck": False, "shared": True, "quota": 196608}, 17.5943),
    "adatsn50": ((3, 4, 6, 3), {"shared": True, "quota": 196608}, 37.6866),
    "adatsn50 not shared": ((3, 4, 6, 3), {"quota": 196608}, 55.0033),
    "adatsm50last": ((3, 4, 6, 3), {"hidden": 1024, "stages": (3,)}, 39.0827),
}


def hollow(model: nn.Module) -> dict[str, Tensor]:
    """A state dict of zeros that take no room."""
    return {name: torch.zeros((), dtype=value.dtype).expand(value.shape) for name, value in model.state_dict().items()}


def millions(*modules: nn.Module) -> float:
    return round(sum(parameter.numel() for module in modules for parameter in module.parameters()) / 1e6, 4)


@pytest.mark.parametrize("name", PUBLISHED)
def test_checkpoints_of_the_published_sizes(name, tmp_path):
    depths, variant, expected = PUBLISHED[name]
    defaults = {
        "bottleneck": True,
        "shared": False,
        "hidden": None,
        "quota": None,
        "stages": range(4),
        "shifted": False,
    }
    with torch.device("meta"):
        model = official.TSNGate(official.BateNet(depths, WIDE, **{**defaults, **variant}), 174)
    path = tmp_path / f"sthv1_{name}.pth.tar"
    torch.save({"state_dict": hollow(model)}, path)
    backbone, gates, facts = load_adafuse(path)
    assert facts.architecture == ("resnet18" if "18" in name else "resnet50")
    assert millions(backbone, gates) == expected
    assert facts.gate.quota == variant.get("quota")
    assert facts.temporal == ("tsm-adafuse" if "tsm" in name else "tsn")


def test_a_checkpoint_of_the_published_bn_inception(tmp_path):
    with torch.device("meta"):
        model = official.TSNGate(official.AdaBNInc(hidden=128), 174)
    torch.save({"state_dict": hollow(model)}, tmp_path / "x.pth.tar")
    backbone, gates, facts = load_adafuse(tmp_path / "x.pth.tar")
    assert millions(backbone, gates) == 14.4987
    assert (facts.gate.hidden, facts.gate.quota) == (128, None)


# -- files that are otherwise ----------------------------------------------------------------------------------------


def changed(tmp_path, change, **variant):
    state = thin_model(**variant).state_dict()
    torch.save({"state_dict": change(dict(state))}, tmp_path / "adatsn.pth.tar")
    return tmp_path / "adatsn.pth.tar"


def test_the_copies_of_shared_layers_may_be_absent(tmp_path):
    path = changed(tmp_path, lambda state: {k: v for k, v in state.items() if "policy_net.gate_fc" not in k})
    backbone, gates, _ = load_adafuse(path, size=SIZE)
    assert agrees(thin_model(), backbone, gates) == (True, True)


COPY = "module.base_model.layer1.0.policy_net.gate_fc1.bias"
GATE = "module.base_model.layer1.0.policy_net"


@pytest.mark.parametrize(
    ("change", "variant", "said"),
    [
        (lambda s: {**s, COPY: s[COPY] + 1}, {}, r"layer1\.0 .* to repeat the shared layers 16_24"),
        (lambda s: {k: v for k, v in s.items() if k != f"{GATE}.gate_bn.weight"}, {}, r"1 missing \(gates\.0\.norm"),
        (
            lambda s: {k: v for k, v in s.items() if k != f"{GATE}.gate_fc0.weight"},
            {"shared": False},
            r"a Linear gate_fc0 for layer1\.0",
        ),
        (
            lambda s: {k: v for k, v in s.items() if k != "module.base_model.gate_fc1s.16_24.bias"},
            {},
            "to repeat the shared",
        ),
        (lambda s: {**s, f"{GATE}2.gate_fc0.weight": torch.ones(1)}, {}, "1 further tensors"),
        (lambda s: {**s, "module.base_model.gate_fc0s.2_6.weight": torch.ones(4, 2)}, {}, r"unknown \(shared\.2_6"),
        (lambda s: {**s, "module.base_model.attention_fc0.weight": torch.ones(1)}, {}, r"unknown \(attention_fc0"),
        (lambda s: {**s, f"{GATE}.gate_fc1.weight": torch.ones(16, 25)}, {"shared": False}, "three logits"),
        (
            lambda s: {
                **s,
                f"{GATE}.gate_fc0.weight": torch.ones(3, 16),
                f"{GATE}.gate_fc0.bias": torch.ones(3),
            },
            {"shared": False},
            "one hidden size, or of one quota",
        ),
        (lambda s: {k: v for k, v in s.items() if "gate" not in k}, {}, "pretrain --weights"),
        (lambda s: {k: v for k, v in s.items() if "new_fc" not in k}, {}, "expected a classifier"),
        (lambda s: {k: v for k, v in s.items() if "layer4" not in k}, {}, "is the nearest"),
    ],
)
def test_what_does_not_fit_is_one_sentence(change, variant, said, tmp_path):
    with pytest.raises(ValueError, match=said):
        load_adafuse(changed(tmp_path, change, **variant), size=SIZE)


@pytest.mark.parametrize("content", [None, b"", b"no tensors", [1, 2], {"epoch": 1}, {"state_dict": nn.Linear(1, 1)}])
def test_no_checkpoint_is_one_sentence(content, tmp_path):
    path = tmp_path / "adatsn.pth.tar"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(ValueError, match=r"expected .*adatsn\.pth\.tar") as caught:
        load_adafuse(path)
    assert "\n" not in str(caught.value)


def test_a_truncated_checkpoint_is_one_sentence(tmp_path):
    path = official.save(thin_model(), tmp_path / "adatsn.pth.tar")
    path.write_bytes(path.read_bytes()[:-2000])
    with pytest.raises(ValueError, match="cut off or damaged"):
        load_adafuse(path)


def test_the_temporal_option_is_told_or_read_from_the_name(tmp_path):
    path = official.save(thin_model(), tmp_path / "sthv1_adatsm50.pth.tar")
    assert load_adafuse(path, size=SIZE)[2].temporal == "tsm-adafuse"
    assert load_adafuse(path, size=SIZE, temporal="tsn")[0].temporal == "tsn"
    with pytest.raises(ValueError, match="expected temporal tsn or tsm-adafuse"):
        load_adafuse(path, size=SIZE, temporal="tsm")


def test_a_shift_that_ours_would_place_otherwise_is_refused(tmp_path):
    model = official.TSNGate(official.AdaBNInc(hidden=4), CLASSES)
    path = official.save(model, tmp_path / "adabninc.pth.tar")
    with pytest.raises(ValueError, match='expected blocks of a ResNet for temporal="tsm-adafuse"'):
        load_adafuse(path, temporal="tsm-adafuse", size=SIZE)


@torch.no_grad()
def test_every_block_of_a_deep_resnet_is_shifted(tmp_path):
    def deep(num_classes: int, size: int = 224) -> ResNet:
        return ResNet(BasicBlock, (1, 1, 23, 1), (8, 8, 8, 8), num_classes=num_classes, size=size)

    variant = {"bottleneck": False, "shared": True, "hidden": 4, "quota": None, "stages": range(4), "shifted": True}
    model = official.liven(official.TSNGate(official.BateNet((1, 1, 23, 1), (8,) * 4, **variant), CLASSES))
    path = official.save(model, tmp_path / "adatsm.pth.tar")
    register_backbone(deep)
    try:
        backbone, gates, _ = load_adafuse(path, size=SIZE)
        assert agrees(model, backbone, gates) == (True, True)
    finally:
        BACKBONES.pop("deep")


@torch.no_grad()
def test_the_policy_predicts_what_the_gates_say(tmp_path):
    path = official.save(thin_model(), tmp_path / "adatsn.pth.tar")
    backbone, gates, facts = load_adafuse(path, size=SIZE)
    layout = StepLayout(backbone.sites, 4, "site")
    policy = ImportedPolicy(layout, facts.gate)
    policy.policy.gates.load_state_dict(gates.state_dict())
    assert policy.agent_macs == gates.macs
    state = backbone.begin(random_frames(2, 4, SIZE), last=True)
    seen = backbone.observe(state)
    flat = layout.pack(seen, 0, torch.zeros(2)).numpy()
    actions, _ = policy.predict(flat, deterministic=True)
    chosen = actions.reshape(2, 4, -1)[..., : backbone.sites[0].decisions]
    expected = gates(0, seen.v, seen.v_previous).argmax(-1)
    assert np.array_equal(chosen, expected.numpy())
    assert not np.array_equal(policy.predict(flat, deterministic=False)[0], actions)
