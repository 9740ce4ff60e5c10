"""Checkpoints: torchvision's in, ours in and out, and what does not fit."""

import re

import pytest
import torch
from conftest import NUM_CLASSES, T, follow, random_decisions, random_frames
from torch import Tensor, nn

from backbone import FusionBackbone, create_cnn, load_backbone, load_torchvision, save_backbone
from backbone.resnet import BasicBlock, ResNet

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
    load_torchvision(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, state)


def test_a_registered_resnet_takes_a_file_under_torchvisions_name(tmp_path):
    state = create_cnn("resnet18", num_classes=1000).state_dict()
    torch.save(state, tmp_path / "resnet18-f37072fd.pth")
    cnn = create_cnn("resnet18", num_classes=7)
    load_torchvision(cnn, tmp_path / "resnet18-f37072fd.pth")
    assert equal_states(cnn, state, but="fc")
    assert cnn.fc.weight.shape == (7, 512)


def test_a_classifier_of_other_classes_stays_fresh(tmp_path):
    state, cnn = thin_resnet(1000, seed=1).state_dict(), thin_resnet(10)
    fresh = cnn.fc.weight.clone(), cnn.fc.bias.clone()
    load_torchvision(cnn, foreign_file(tmp_path, state))
    assert equal_states(cnn, state, but="fc")
    assert torch.equal(cnn.fc.weight, fresh[0])
    assert torch.equal(cnn.fc.bias, fresh[1])


def test_files_older_than_num_batches_tracked_are_taken(tmp_path):
    state = thin_resnet(seed=1).state_dict()
    old = {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}
    cnn = thin_resnet()
    load_torchvision(cnn, foreign_file(tmp_path, old))
    assert equal_states(cnn, state)


def without(state: dict, *keys: str) -> dict:
    return {key: value for key, value in state.items() if key not in keys}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: without(s, "conv1.weight"), ["1 missing (conv1.weight)"]),
        (lambda s: without(s, "fc.weight", "fc.bias"), ["2 missing (fc.weight, fc.bias)"]),
        (lambda s: {**s, "extra.weight": torch.ones(1)}, ["1 unknown (extra.weight)"]),
        (lambda s: {**s, "bn1.bias": torch.ones(9)}, ["1 of another shape (bn1.bias (9,) for (4,))"]),
        (
            lambda s: {**without(s, "conv1.weight"), "x": torch.ones(1), "bn1.bias": torch.ones(9)},
            ["1 missing", "1 unknown", "1 of another shape"],
        ),
        (lambda s: {"a": torch.ones(1)}, ["missing (conv1.weight, bn1.weight, bn1.bias, ...)", "1 unknown (a)"]),
    ],
)
def test_keys_that_do_not_fit_are_listed_and_nothing_is_loaded(tmp_path, change, words):
    cnn = thin_resnet()
    before = {key: value.clone() for key, value in cnn.state_dict().items()}
    with pytest.raises(ValueError, match="expected the weights of this architecture") as caught:
        load_torchvision(cnn, foreign_file(tmp_path, change(thin_resnet(seed=1).state_dict())))
    assert all(word in str(caught.value) for word in words)
    assert equal_states(cnn, before)


def test_a_missing_file_is_told_by_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"none\.pth, found no such file"):
        load_torchvision(thin_resnet(), tmp_path / "none.pth")


@pytest.mark.parametrize("stored", [[1, 2], {"epoch": 3}, {"state_dict": {"a": torch.ones(1)}}])
def test_a_file_that_is_no_plain_state_dict_is_refused(tmp_path, stored):
    with pytest.raises(ValueError, match="expected a plain state dict of tensors"):
        load_torchvision(thin_resnet(), foreign_file(tmp_path, stored))


def test_a_truncated_file_is_refused(tmp_path):
    path = foreign_file(tmp_path, thin_resnet().state_dict())
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match=r"could not read it .* is it whole\?"):
        load_torchvision(thin_resnet(), path)


def test_a_pickled_model_is_refused(tmp_path):
    path = foreign_file(tmp_path, thin_resnet())
    with pytest.raises(ValueError, match="expected a file of tensors"):
        load_torchvision(thin_resnet(), path)


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


def test_a_torchvision_file_is_not_taken_for_ours(tmp_path):
    with pytest.raises(ValueError, match=r"format adafuse-rl/backbone .* got another program's file"):
        load_backbone(foreign_file(tmp_path, thin_resnet().state_dict()))
