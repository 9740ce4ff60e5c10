"""describe: the counts of the paper's models, JSON that a script can read, tables that a person can."""

import copy
import json
import re
import sys

import pytest
import torch
from fusion_cases import constant_decisions, follow, random_frames, small_clips, tiny_backbone, tiny_cnn

from agent import GateOptions, gate_macs
from backbone import BACKBONES, Decision, FusionBackbone, create_cnn, save_backbone
from experiments.__main__ import main
from experiments.commands.describe import count
from experiments.config import Describe

ADAFUSE = ["--shared-gates", "--hidden-quota", "196608", "--gate-norm", "batch"]
LAST = ["--sites", "last_stage", "--hidden", "1024", "--gate-norm", "batch"]
KINDS = ("upstream_macs", "downstream_macs", "gate_macs")
PLUGIN = """
print("hello from the plugin")
from backbone import register_backbone
from backbone.cnns.resnet import BasicBlock, ResNet


@register_backbone
def resnet_described(num_classes, size=32):
    return ResNet(BasicBlock, (1,), (8,), num_classes=num_classes, size=size, small=True)
"""


@pytest.fixture
def say(capsys):
    """Run the command: what it prints on stdout."""

    def run(*words: object) -> str:
        assert main(["describe", *map(str, words)]) == 0
        return capsys.readouterr().out

    return run


@pytest.fixture
def described(say):
    """The same, as JSON; fails if stdout holds anything else."""
    return lambda *words: json.loads(say(*words, "--json"))


@pytest.fixture
def complaint(capsys):
    """Run the command in vain: its one sentence."""

    def run(*words: object) -> str:
        assert main(["describe", *map(str, words)]) == 1
        out, error = capsys.readouterr()
        assert out == ""
        assert error.startswith("Error: expected")
        assert error.count("\n") == 1
        return error

    return run


@pytest.fixture
def plugin(tmp_path, monkeypatch):
    """Name of a module that registers resnet_described, and prints."""
    (tmp_path / "described_plugin.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "described_plugin", raising=False)
    yield "described_plugin"
    BACKBONES.pop("resnet_described", None)


@pytest.mark.parametrize(
    ("architecture", "convolutions", "linear", "millions"),
    [
        ("resnet18", 1.813561, 0.000089, 11.2658),
        ("resnet50", 4.087136, 0.000356, 23.8646),
        ("bn_inception", 2.031576, 0.000178, 10.4486),
    ],
)
def test_dense_cnns_cost_and_hold_what_is_published(described, architecture, convolutions, linear, millions):
    facts = described(architecture)
    assert facts["convolution_macs"] / 1e9 == pytest.approx(convolutions, abs=5e-7)
    assert facts["linear_macs"] / 1e9 == pytest.approx(linear, abs=5e-7)
    assert facts["dense_macs"] == facts["convolution_macs"] + facts["linear_macs"]
    assert facts["backbone_parameters"] / 1e6 == pytest.approx(millions, abs=5e-5)
    assert facts["parameters"] == facts["backbone_parameters"] + facts["gate_parameters"]


@pytest.mark.parametrize(
    ("words", "millions", "gates"),
    [
        (["resnet18", *ADAFUSE], 17.5943, None),
        (["resnet50", *ADAFUSE], 37.6866, 0.031064),
        (["resnet50", *ADAFUSE, "--temporal", "tsm-adafuse"], 37.6866, 0.031064),
        (["resnet50", *ADAFUSE[1:]], 55.0033, 0.031064),
        (["resnet50", *LAST, "--temporal", "tsm"], 39.0827, 0.015204),
        (["bn_inception", "--hidden", "128", "--gate-norm", "batch"], 14.4987, None),
    ],
)
def test_adafuse_models_hold_and_cost_what_is_published(described, words, millions, gates):
    facts = described(*words)
    assert facts["parameters"] / 1e6 == pytest.approx(millions, abs=5e-5)
    if gates is not None:
        assert facts["gate_macs"] / 1e9 == pytest.approx(gates, abs=5e-7)


@pytest.mark.parametrize(("architecture", "upstream", "downstream"), [("resnet18", 0.7514, 0.9248), ("resnet50", 0.9377, 1.8497)])  # fmt: skip
def test_macs_before_and_behind_the_sites_are_the_known_ones(described, architecture, upstream, downstream):
    facts = described(architecture)
    sums = [sum(site[kind] for site in facts["sites"]) for kind in KINDS]
    assert sums[0] / 1e9 == pytest.approx(upstream, abs=5e-5)
    assert sums[1] / 1e9 == pytest.approx(downstream, abs=5e-5)
    assert sums[2] == facts["gate_macs"]
    assert sums[0] + sums[1] == facts["controlled_macs"]  # no layer stands between two sites


def test_a_site_is_described_by_its_shapes(described):
    last = described("resnet50", "--group-size", "8")["sites"][-1]
    assert (last["index"], last["name"]) == (15, "layer4.2")
    assert (last["in_channels"], last["height"], last["width"]) == (2048, 7, 7)
    assert (last["channels"], last["decisions"]) == (512, 64)
    assert last["upstream_macs"] == 2048 * 512 * 49
    assert last["downstream_macs"] == 512 * 512 * 9 * 49
    assert last["gate_macs"] == 2 * 2048 * 32 + 32 * 3 * 64


@pytest.mark.parametrize("words", [["resnet18"], ["resnet50", "--sites", "both"], ["resnet_small", "--consensus", "lstm"]])  # fmt: skip
def test_every_count_is_a_whole_number(described, words):
    facts = described(*words)
    counts = {name: value for name, value in facts.items() if name.endswith(("macs", "parameters"))}
    assert {"dense_macs", "gate_macs", "parameters"} < set(counts)
    assert all(type(value) is int for value in counts.values())
    assert all(type(value) in (int, str, bool) for site in facts["sites"] for value in site.values())


def test_a_layer_between_two_sites_stands_at_both(described):
    facts = described("resnet50", "--sites", "both")
    between = facts["between_sites"]
    assert between == [site["name"] for site in facts["sites"] if site["name"].endswith("conv2")]
    sums = sum(site[kind] for site in facts["sites"] for kind in KINDS[:2])
    twice = sum(site["upstream_macs"] for site in facts["sites"] if site["name"] in between)
    assert sums - twice == facts["controlled_macs"]


@pytest.mark.parametrize("kind", ["basic", "both", "plain"])
@torch.no_grad()
def test_the_bounds_are_what_a_walk_is_charged(kind, monkeypatch):
    backbone = tiny_backbone(kind)
    monkeypatch.setitem(BACKBONES, "described", lambda num_classes: tiny_cnn(kind))
    facts = count(Describe("described", sites=tuple(backbone.site_names)))
    spent = gate_macs(backbone.sites, GateOptions())
    for decision, name in ((Decision.USE, "cost_all_use"), (Decision.SKIP, "cost_all_skip")):
        frames = random_frames(1)
        decide = follow(constant_decisions(backbone, decision))
        macs = backbone(frames, decide, agent_macs=spent).macs.item()
        assert macs / frames.shape[1] / backbone.ledger.dense_macs == pytest.approx(facts[name], rel=1e-12)


def test_only_what_runs_is_counted_under_an_lstm(described):
    mean, lstm = described("resnet18"), described("resnet18", "--consensus", "lstm", "--lstm-hidden", "64")
    matrices = 4 * 64 * (512 + 64)
    assert lstm["linear_macs"] == matrices + 64 * 174
    own, biases = 512 * 174 + 174, 2 * 4 * 64 + 174
    assert lstm["backbone_parameters"] == mean["backbone_parameters"] - own + lstm["linear_macs"] + biases


def test_a_cnn_may_bring_its_weights(monkeypatch):
    brought = tiny_cnn("basic")
    monkeypatch.setitem(BACKBONES, "described", lambda num_classes: copy.deepcopy(brought))
    facts = count(Describe("described"))
    assert facts["dense_macs"] == tiny_backbone().ledger.dense_macs


def test_options_choose_classes_size_and_sites(described):
    facts = described("resnet50", "--num-classes", "10", "--size", "64", "--sites", "layer1", "layer4.2.conv2")
    assert (facts["num_classes"], facts["size"]) == (10, 64)
    assert [site["name"] for site in facts["sites"]] == ["layer1.0", "layer1.1", "layer1.2", "layer4.2.conv2"]
    assert facts["linear_macs"] == 2048 * 10
    assert facts["sites"][0]["height"] == 16


def test_a_saved_backbone_describes_itself(described, complaint, tmp_path):
    clips = small_clips()
    cnn = create_cnn("resnet_small", num_classes=len(clips.classes), size=32)
    backbone = FusionBackbone(cnn, sites="last_stage", history="fused", consensus="lstm", lstm_hidden=8)
    path = tmp_path / "backbone.pt"
    save_backbone(path, backbone, architecture="resnet_small", classes=list(clips.classes))
    facts = described(path)
    assert facts["dense_macs"] == backbone.ledger.dense_macs
    assert facts["architecture"] == "resnet_small"
    assert facts["num_classes"] == len(clips.classes)
    assert (facts["history"], facts["consensus"], facts["lstm_hidden"]) == ("fused", "lstm", 8)
    assert [site["name"] for site in facts["sites"]] == ["layer3.0"]
    other = described(path, "--sites", "all", "--history", "raw")
    assert (len(other["sites"]), other["history"]) == (3, "raw")
    assert "--num-classes beside a saved backbone" in complaint(path, "--num-classes", "3")


def test_a_plugin_that_prints_leaves_the_json_pure(described, plugin):
    facts = described("resnet_described", "--plugin", plugin)
    assert [site["channels"] for site in facts["sites"]] == [8]


def test_the_tables_name_sites_units_and_totals(say, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")  # numbers stay whole all the same
    printed = say("resnet50", "--temporal", "tsm", "--sites", "all", "--num-frames", "16")
    for words in ("resnet50: 174 classes", "224 x 224", "tsm", "32 hidden units", "upstream", "downstream", "MMACs",
                  "GMACs", "16 frames", "16 sites", "share", "all skipped", "23.8646M of the backbone"):  # fmt: skip
        assert words in printed
    row = next(line for line in printed.splitlines() if "layer4.2" in line)
    assert row.split() == ["15", "layer4.2", "2048x7x7", "512", "512", "51.380", "115.606", "0.180"]
    assert re.search(r"dense CNN +4\.087493 +65\.399882 +1\.0000", printed)
    assert "…" not in printed
    assert "read one site and write another" not in printed
    assert max(map(len, printed.splitlines())) <= 80


def test_the_tables_say_where_a_layer_is_listed_twice(say):
    printed = " ".join(say("resnet50", "--sites", "both").split())
    assert "16 of these layers read one site and write another (layer1.0.conv2, ...)" in printed


def test_a_small_cnn_is_told_in_small_units(say):
    printed = say("resnet_small", "--consensus", "lstm")
    assert "kMACs" in printed
    assert "GMACs" not in printed
    assert "linear layers and LSTM" in printed


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resnet5"], "resnet50, resnet_small, or the file"),
        (["nowhere/backbone.pt"], "nowhere/backbone.pt"),
        ([__file__], "got a text that begins"),
        (["resnet18", "--sites", "layer9"], "got layer9"),
        (["bn_inception", "--temporal", "tsm-adafuse"], "ResNet"),
        (["resnet18", "--plugin", "no_such_module"], "no_such_module"),
    ],
)
def test_what_cannot_be_described_is_one_sentence(complaint, words, said):
    assert said in complaint(*words)
