"""Checkpoints: torchvision's in, ours in and out, and what does not fit."""

import json
import re
from argparse import Namespace
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from fusion_cases import NUM_CLASSES, T, follow, random_decisions, random_frames
from torch import Tensor, nn

from backbone import FusionBackbone, create_cnn, load_backbone, load_weights, num_classes_of, save_backbone
from backbone.cnns.bn_inception import bn_inception
from backbone.cnns.mobilenet_v2 import mobilenet_v2
from backbone.cnns.resnet import BasicBlock, ResNet
from backbone.common.files import save_checkpoint

CLASSES = [f"class {i}" for i in range(NUM_CLASSES)]


def thin_resnet(num_classes: int = 10, seed: int = 0) -> ResNet:
    """Torchvision's names at a fraction of its size."""
    torch.manual_seed(seed)
    return ResNet(BasicBlock, (1, 1), (4, 6), num_classes=num_classes, size=16)


def foreign_file(tmp_path, state: dict):
    torch.save(state, tmp_path / "foreign.pth")
    return tmp_path / "foreign.pth"


def equal_states(one: nn.Module, other: dict[str, Tensor], but: str = "nothing") -> bool:
    return all(torch.equal(value, other[key]) for key, value in one.state_dict().items() if not key.startswith(but))


def test_a_torchvision_state_dict_is_taken_over(tmp_path):
    state = thin_resnet(seed=1).state_dict()
    cnn = thin_resnet()
    assert not equal_states(cnn, state)
    load_weights(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, state)


def test_a_registered_resnet_takes_a_file_under_torchvisions_name(tmp_path):
    state = create_cnn("resnet18", num_classes=1000).state_dict()
    torch.save(state, tmp_path / "resnet18-f37072fd.pth")
    cnn = create_cnn("resnet18", num_classes=7)
    load_weights(cnn, tmp_path / "resnet18-f37072fd.pth")
    assert equal_states(cnn, state, but="fc")
    assert cnn.fc.weight.shape == (7, 512)


def test_a_classifier_of_other_classes_stays_fresh(tmp_path):
    state, cnn = thin_resnet(1000, seed=1).state_dict(), thin_resnet(10)
    fresh = cnn.fc.weight.clone(), cnn.fc.bias.clone()
    load_weights(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, state, but="fc")
    assert torch.equal(cnn.fc.weight, fresh[0])
    assert torch.equal(cnn.fc.bias, fresh[1])


def test_files_older_than_num_batches_tracked_are_taken(tmp_path):
    state = thin_resnet(seed=1).state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    cnn = thin_resnet()
    load_weights(cnn, foreign_file(tmp_path, old))
    assert equal_states(cnn, state)


def without(state: dict, *keys: str) -> dict:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, "conv1.weight"), ["1 missing (conv1.weight)"]),
        (lambda s: without(s, "fc.bias"), ["1 missing (fc.bias)"]),
        (lambda s: {**s, "extra.weight": torch.ones(1)}, ["1 unknown (extra.weight)"]),
        (lambda s: {**s, "bn1.bias": torch.ones(9)}, ["1 of another shape (bn1.bias (9,) for (4,))"]),
        (
            lambda s: {**without(s, "conv1.weight"), "x": torch.ones(1), "bn1.bias": torch.ones(9)},
            ["1 missing", "1 unknown", "1 of another shape"],
        ),
        (lambda s: {"fc.weight": s["fc.weight"], "a": torch.ones(1)}, ["(conv1.weight, bn1.weight, bn1.bias, ...)"]),
    ],
)
def test_keys_that_do_not_fit_are_listed_and_nothing_is_loaded(tmp_path, change, words):
    cnn = thin_resnet()
    before = {key: value.clone() for key, value in cnn.state_dict().items()}
    with pytest.raises(ValueError, match="expected the weights of this architecture") as caught:
        load_weights(cnn, foreign_file(tmp_path, change(thin_resnet(seed=1).state_dict())))
    assert all(word in str(caught.value) for word in words)
    assert equal_states(cnn, before)


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth, found no such file"):
        load_weights(thin_resnet(), tmp_path / "none.pth")


@pytest.mark.parametrize("stored", [[1, 2], {"epoch": 3}, {}, {"state_dict": 3}, {"state_dict": {"a": torch.ones(1)}}])
def test_a_file_without_a_cnns_weights_is_refused(tmp_path, stored):
    with pytest.raises(ValueError, match="is it a checkpoint of a CNN"):
        load_weights(thin_resnet(), foreign_file(tmp_path, stored))


def test_a_truncated_file_is_refused(tmp_path):
    path = foreign_file(tmp_path, thin_resnet().state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"got one cut off or damaged, of 1000 bytes: get the file again"):
        load_weights(thin_resnet(), path)


def test_a_pickled_model_is_refused(tmp_path):
    path = foreign_file(tmp_path, thin_resnet())
    with pytest.raises(ValueError, match=r"got a whole pickled object \(.*ResNet\), .* its state_dict\(\)"):
        load_weights(thin_resnet(), path)


# -- feature extractors ----------------------------------------------------------------------------------------------


def without_classifier(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.startswith(("fc.", "classifier."))}


@pytest.mark.parametrize("wrap", [dict, lambda s: {"state_dict": {f"module.{k}": v for k, v in s.items()}, "epoch": 3}])
def test_a_feature_extractor_is_taken_over_with_a_fresh_classifier(tmp_path, wrap):
    state, cnn = thin_resnet(seed=1).state_dict(), thin_resnet()
    fresh = cnn.fc.weight.clone(), cnn.fc.bias.clone()
    found = load_weights(cnn, foreign_file(tmp_path, wrap(without_classifier(state))))
    assert equal_states(cnn, state, but="fc")
    assert torch.equal(cnn.fc.weight, fresh[0])
    assert torch.equal(cnn.fc.bias, fresh[1])
    assert (found.num_classes, found.fresh_classifier) == (None, True)
    assert found.in_words(10) == "a plain state dict without a classifier, a fresh classifier for 10 classes"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda s: without(s, "layer1.0.bn2.bias"), r"1 missing \(layer1\.0\.bn2\.bias\)"),
        (lambda s: {**s, "last_linear.weight": torch.ones(3, 6)}, r"1 unknown \(last_linear\.weight\)"),
        (lambda s: {**s, "fc.bias": torch.ones(10)}, r"1 missing \(fc\.weight\)"),
    ],
)
def test_a_feature_extractor_may_lack_nothing_else(tmp_path, change, said):
    cnn = thin_resnet()
    before = {key: value.clone() for key, value in cnn.state_dict().items()}
    path = foreign_file(tmp_path, change(without_classifier(thin_resnet(seed=1).state_dict())))
    with pytest.raises(ValueError, match=f"expected the weights of this architecture .*{said}"):
        load_weights(cnn, path)
    assert equal_states(cnn, before)


def test_a_feature_extractor_tells_no_classes_apart(tmp_path):
    path = foreign_file(tmp_path, without_classifier(thin_resnet().state_dict()))
    with pytest.raises(ValueError, match=r"expected a classifier in .*foreign\.pth .* got a feature extractor"):
        num_classes_of(path)


def test_gates_of_adafuse_without_a_classifier_are_no_feature_extractor(tmp_path):
    state = {**without_classifier(thin_resnet().state_dict()), "layer1.0.policy_net.gate_bn.weight": torch.ones(1)}
    with pytest.raises(
        ValueError, match=r"expected a classifier in .* without gates, got .* is it a checkpoint of a CNN"
    ):
        load_weights(thin_resnet(), foreign_file(tmp_path, state))


# -- weights of another CNN ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("extractor", [False, True])
@pytest.mark.parametrize(
    ("saved", "into"), [("resnet34", "resnet18"), ("resnet18", "resnet34"), ("resnet_small", "resnet18")]
)
def test_weights_of_another_architecture_name_it(tmp_path, saved, into, extractor):
    state = create_cnn(saved, num_classes=5).state_dict()
    path = foreign_file(tmp_path, without_classifier(state) if extractor else state)
    with pytest.raises(ValueError, match=rf"foreign\.pth, got keys .*: they are those of --architecture {saved}$"):
        load_weights(create_cnn(into, num_classes=5), path)


@pytest.mark.parametrize("widths", [(8, 12), (3, 4)])
def test_weights_of_another_width_are_said_to_be(tmp_path, widths):
    wide = ResNet(BasicBlock, (1, 1), widths, num_classes=10, size=16)
    with pytest.raises(
        ValueError, match=r"of another shape \(conv1\.weight .*: they are of a wider or narrower variant"
    ):
        load_weights(thin_resnet(), foreign_file(tmp_path, wide.state_dict()))


def test_a_classifier_that_alone_is_at_odds_names_no_architecture(tmp_path):
    state = without(create_cnn("resnet_small", num_classes=5).state_dict(), "fc.bias")
    with pytest.raises(ValueError, match=r"1 missing \(fc\.bias\): was it saved"):
        load_weights(create_cnn("resnet_small", num_classes=5), foreign_file(tmp_path, state))


# -- what training scripts put around the weights --------------------------------------------------------------------


@pytest.mark.parametrize("wrapper", ["state_dict", "model"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_wrappers_and_prefixes_are_taken_off(tmp_path, wrapper, prefix):
    source, cnn = thin_resnet(seed=1), thin_resnet()
    state = {f"{prefix}{key}": value for key, value in source.state_dict().items()}
    load_weights(cnn, foreign_file(tmp_path, {"epoch": 90, "best_acc1": torch.tensor(76.1), wrapper: state}))
    assert equal_states(cnn, source.state_dict())


@pytest.mark.parametrize(
    "beside",
    [
        Namespace(lr=0.1, gpu=None, schedule=[120, 160]),
        np.float64(76.1),
        np.arange(6.0, dtype=np.float32).reshape(2, 3),
        {"history": [np.int64(3)], "names": np.array(["a", "b"], dtype=object)},
    ],
    ids=lambda beside: type(beside).__name__,
)
@pytest.mark.parametrize("zipped", [True, False])
def test_harmless_objects_beside_the_tensors_are_passed_over(tmp_path, beside, zipped):
    source, cnn, path = thin_resnet(seed=1), thin_resnet(), tmp_path / "model_best.pth.tar"
    torch.save(
        {"args": beside, "state_dict": source.state_dict(), "best": beside}, path, _use_new_zipfile_serialization=zipped
    )
    load_weights(cnn, path)
    assert equal_states(cnn, source.state_dict())


def test_what_could_run_code_is_refused_in_one_sentence(tmp_path):
    path = foreign_file(tmp_path, {"state_dict": thin_resnet().state_dict(), "beside": Path("x")})
    named = r"pathlib\.\w+"
    with pytest.raises(ValueError, match=rf"tensors alone at .*foreign\.pth, got one that holds {named} too") as caught:
        load_weights(thin_resnet(), path)
    assert "\n" not in str(caught.value)
    assert "torch.save its state dict alone" in str(caught.value)


# -- other layouts ---------------------------------------------------------------------------------------------------


def tsm_state(cnn: nn.Module, wrapped: Callable[[str], bool] = lambda key: False) -> dict[str, Tensor]:
    """A CNN's state dict as the code of TSM saves it, the shift around the convolutions that ``wrapped`` tells."""
    state = {}
    for key, value in cnn.state_dict().items():
        name, _, last = key.rpartition(".")
        name = "new_fc" if name in ("fc", "classifier") else f"base_model.{name}{'.net' if wrapped(name) else ''}"
        state[f"module.{name}.{last}"] = value
    return state


def is_first(name: str) -> bool:
    return re.fullmatch(r"layer\d\.\d\.conv1", name) is not None


@pytest.mark.parametrize("wrapped", [False, True])
def test_a_checkpoint_of_tsn_or_tsm_is_taken_over(tmp_path, wrapped):
    source = thin_resnet(seed=1)
    state = tsm_state(source, is_first if wrapped else lambda key: False)
    assert ("module.base_model.layer1.0.conv1.net.weight" in state) == wrapped
    path = foreign_file(tmp_path, {"epoch": 3, "arch": "resnet50", "state_dict": state, "best_prec1": 45.6})
    cnn = thin_resnet()
    found = load_weights(cnn, path)
    assert equal_states(cnn, source.state_dict())
    assert found.layout == ("TSM" if wrapped else "TSN")
    assert (found.num_classes, found.fresh_classifier) == (10, False)
    assert num_classes_of(path) == 10
    assert load_weights(thin_resnet(3), path).fresh_classifier


def test_weights_of_tsm_in_a_cnn_without_its_shift_deserve_a_warning(tmp_path):
    shifted = load_weights(thin_resnet(), foreign_file(tmp_path, {"state_dict": tsm_state(thin_resnet(), is_first)}))
    plain = load_weights(thin_resnet(), foreign_file(tmp_path, {"state_dict": tsm_state(thin_resnet())}))
    assert "trained with the shift of TSM" in shifted.warning("tsn")
    assert shifted.warning("tsm") is None
    assert plain.warning("tsn") is None


def flat_name(key: str, wrapped: bool) -> str:
    """Our name of a MobileNetV2's tensor as TSM's code has it."""
    if not (match := re.match(r"(features\.(\d+)\.conv)\.(.*)\.(\w+)$", key)):
        return key
    block, number, inner, last = match.groups()
    positions = {"0.0": 0, "0.1": 1, "1.0": 3, "1.1": 4, "2": 6, "3": 7}
    if number == "1":
        positions = {"0.0": 0, "0.1": 1, "1": 3, "2": 4}
    shifted = wrapped and inner == "0.0" and number in ("3", "5", "6", "8", "9", "10", "12", "13", "15", "16")
    return f"{block}.{positions[inner]}.{'net.' if shifted else ''}{last}"


@pytest.mark.parametrize("layout", ["torchvision", "flat", "TSM"])
def test_mobilenet_v2_of_each_layout_is_taken_over(tmp_path, layout):
    source, cnn = mobilenet_v2(num_classes=5, size=32), mobilenet_v2(num_classes=5, size=32)
    state = source.state_dict()
    if layout == "torchvision":
        state = {key.replace("classifier.", "classifier.1."): value for key, value in state.items()}
    else:
        state = {flat_name(key, layout == "TSM"): value for key, value in state.items()}
    if layout == "TSM":
        state = {
            key.replace("classifier", "module.new_fc") if "classifier" in key else f"module.base_model.{key}": value
            for key, value in state.items()
        }
    found = load_weights(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, source.state_dict())
    assert found.layout == ("TSM" if layout == "TSM" else "a plain state dict")


@pytest.mark.parametrize("prefixed", [False, True])
def test_bn_inception_of_each_layout_is_taken_over(tmp_path, prefixed):
    source, cnn = bn_inception(num_classes=5, size=32), bn_inception(num_classes=5, size=32)
    state = tsm_state(source) if prefixed else source.state_dict()
    state = {re.sub(r"(inception_\d[a-e])\.", r"\1_", key): value for key, value in state.items()}
    found = load_weights(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, source.state_dict())
    assert found.layout == ("TSN" if prefixed else "a plain state dict")


def test_what_tsms_code_holds_beyond_a_cnn_is_listed(tmp_path):
    state = {**tsm_state(thin_resnet()), "module.base_model.layer1.0.nl.g.weight": torch.ones(1)}
    with pytest.raises(ValueError, match=r"1 unknown \(layer1\.0\.nl\.g\.weight\)"):
        load_weights(thin_resnet(), foreign_file(tmp_path, {"state_dict": state}))


def test_a_checkpoint_of_adafuse_is_sent_to_its_command(tmp_path):
    state = {**tsm_state(thin_resnet()), "module.base_model.layer1.0.policy_net.gate_bn.weight": torch.ones(1)}
    path = foreign_file(tmp_path, {"state_dict": state})
    with pytest.raises(ValueError, match="python -m experiments import"):
        load_weights(thin_resnet(), path)
    assert num_classes_of(path) == 10


# -- our own ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained() -> FusionBackbone:
    """A small ResNet whose weights and BatchNorm statistics are not those of a fresh one."""
    torch.manual_seed(5)
    backbone = FusionBackbone(create_cnn("resnet_small", num_classes=NUM_CLASSES, size=16), history="fused")
    backbone.train()(random_frames())
    return backbone.eval()


@torch.no_grad()
def test_a_saved_backbone_gives_the_same_scores_at_the_same_cost(trained, tmp_path):
    save_backbone(tmp_path / "b.pt", trained, architecture="resnet_small", classes=CLASSES, note="made here")
    loaded, facts = load_backbone(tmp_path / "b.pt")
    decisions = random_decisions(trained)
    one, other = (b(random_frames(), follow(decisions)) for b in (trained, loaded))
    assert torch.equal(one.logits, other.logits)
    assert torch.equal(one.macs, other.macs)
    assert not loaded.training
    assert (facts["classes"], facts["note"], loaded.history) == (CLASSES, "made here", "fused")


def test_sites_groups_and_history_can_be_chosen_anew(trained, tmp_path):
    save_backbone(tmp_path / "b.pt", trained, architecture="resnet_small", classes=CLASSES)
    loaded, _ = load_backbone(tmp_path / "b.pt", sites="last_stage", group_size=16, history="raw")
    assert loaded.site_names == ["layer3.0"]
    assert loaded.sites[0].decisions == 4
    assert loaded.history == "raw"
    assert loaded(random_frames()).decisions[0].shape == (2, T, 4, 3)


def test_sites_are_saved(tmp_path):
    backbone = FusionBackbone(create_cnn("resnet_small", num_classes=NUM_CLASSES, size=16), sites=["layer2.0"])
    save_backbone(tmp_path / "b.pt", backbone, architecture="resnet_small", classes=CLASSES)
    assert load_backbone(tmp_path / "b.pt")[0].site_names == ["layer2.0"]


def test_weights_saved_under_the_wrong_architecture_are_refused(trained, tmp_path):
    save_backbone(tmp_path / "b.pt", trained, architecture="resnet18", classes=CLASSES)
    with pytest.raises(ValueError, match="was it saved from another backbone"):
        load_backbone(tmp_path / "b.pt")


def test_weights_of_an_unknown_architecture_name_the_known(trained, tmp_path):
    save_backbone(tmp_path / "b.pt", trained, architecture="mine", classes=CLASSES)
    with pytest.raises(ValueError, match=re.escape("resnet18") + ".*'mine'"):
        load_backbone(tmp_path / "b.pt")


@torch.no_grad()
@pytest.mark.parametrize("consensus", ["mean", "lstm"])
def test_temporal_options_and_consensus_are_saved_with_their_weights(tmp_path, consensus):
    torch.manual_seed(3)
    cnn = create_cnn("resnet_small", num_classes=NUM_CLASSES, size=16)
    backbone = FusionBackbone(cnn, temporal="tsm", consensus=consensus, lstm_hidden=7).eval()
    save_backbone(tmp_path / "b.pt", backbone, architecture="resnet_small", classes=CLASSES)
    loaded, facts = load_backbone(tmp_path / "b.pt")
    assert loaded.options == backbone.options
    assert facts["temporal"] == "tsm"
    assert torch.equal(loaded(random_frames()).logits, backbone(random_frames()).logits)


def test_a_backbone_saved_before_there_were_such_options_is_still_read(trained, tmp_path):
    save_backbone(tmp_path / "b.pt", trained, architecture="resnet_small", classes=CLASSES)
    data = torch.load(tmp_path / "b.pt", weights_only=True)
    content = json.loads(data["json"])
    for name in ("temporal", "consensus", "lstm_hidden"):
        del content[name]
    torch.save({**data, "json": json.dumps(content)}, tmp_path / "old.pt")
    loaded, _ = load_backbone(tmp_path / "old.pt")
    assert loaded.options == trained.options
    assert equal_states(loaded.cnn, trained.cnn.state_dict())


def test_ours_serve_as_weights_of_a_cnn_too(tmp_path):
    source = FusionBackbone(create_cnn("resnet_small", num_classes=NUM_CLASSES, size=16), consensus="lstm")
    save_backbone(tmp_path / "b.pt", source, architecture="resnet_small", classes=CLASSES)
    cnn = create_cnn("resnet_small", num_classes=NUM_CLASSES, size=16)
    found = load_weights(cnn, tmp_path / "b.pt")
    assert equal_states(cnn, source.cnn.state_dict())
    assert (found.num_classes, found.fresh_classifier) == (NUM_CLASSES, False)
    assert num_classes_of(tmp_path / "b.pt") == NUM_CLASSES
    other = create_cnn("resnet_small", num_classes=3, size=16)
    assert load_weights(other, tmp_path / "b.pt").fresh_classifier
    assert equal_states(other, source.cnn.state_dict(), but="fc")


def test_an_agents_checkpoint_is_not_taken_for_a_cnns_weights(tmp_path):
    save_checkpoint(tmp_path / "agent.pt", "agent", {}, {})
    with pytest.raises(ValueError, match="got adafuse-rl/agent"):
        load_weights(thin_resnet(), tmp_path / "agent.pt")


def test_a_torchvision_file_is_not_taken_for_ours(tmp_path):
    with pytest.raises(ValueError, match=r"format adafuse-rl/backbone .* got another program's file"):
        load_backbone(foreign_file(tmp_path, thin_resnet().state_dict()))
