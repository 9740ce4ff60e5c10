import multiprocessing
from dataclasses import replace

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from backbone import BACKBONES, create_cnn, load_backbone
from backbone.common.interruption import Interrupted
from experiments import pretrain as module
from experiments.config import Data, Pretrain
from experiments.pretrain import pretrain


def config_for(videos, run, **kwargs):
    defaults = {"clips": 96, "batch_size": 16, "threads": 1, "device": "cpu"}
    return Pretrain(data=Data(root=videos), run=run, **{**defaults, **kwargs})


def weights(path):
    return load_backbone(path)[0].cnn.state_dict()


def test_it_leaves_a_backbone_that_knows_its_classes_and_how_it_was_made(videos, tmp_path):
    path = pretrain(config_for(videos, tmp_path))
    backbone, facts = load_backbone(path)
    assert facts["classes"][:2] == ["right", "left"]
    assert facts["pretraining"]["clips"] == 96
    assert not backbone.training
    assert {file.name.split(".")[0] for file in tmp_path.iterdir()} == {
        *("backbone", "backbone-last", "config", "learning", "provenance", "events")
    }


def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(videos, tmp_path, monkeypatch):
    whole = weights(pretrain(config_for(videos, tmp_path / "whole")))
    asked = iter([False, False, True])
    real = module._deferred_interrupt

    class Stop:
        def __enter__(self):
            return lambda: next(asked, True)

        def __exit__(self, *error):
            return None

    monkeypatch.setattr(module, "_deferred_interrupt", Stop)
    with pytest.raises(Interrupted):
        pretrain(config_for(videos, tmp_path / "parts"))
    assert not (tmp_path / "parts" / "backbone.pt").exists()
    monkeypatch.setattr(module, "_deferred_interrupt", real)
    resumed = weights(pretrain(config_for(videos, tmp_path / "parts", resume=True)))
    assert all(torch.equal(whole[key], resumed[key]) for key in whole)


def test_workers_change_nothing_and_waiting_is_charted(videos, tmp_path):
    runs = []
    for workers in (0, 2):
        config = config_for(videos, tmp_path / str(workers))
        runs.append(weights(pretrain(replace(config, data=Data(root=videos, cache_gb=0, workers=workers)))))
    assert all(torch.equal(runs[0][key], runs[1][key]) for key in runs[0])
    assert not multiprocessing.active_children()
    events = EventAccumulator(str(tmp_path / "2"), size_guidance={"scalars": 0})
    events.Reload()
    assert all(0 <= event.value <= 1 for event in events.Scalars("data/wait"))
    assert [event.value for event in events.Scalars("data/broken")] == [0.0]


def test_it_starts_from_a_torchvision_file_whatever_its_classes(videos, tmp_path):
    file = tmp_path / "weights.pth"
    cnn = create_cnn("resnet_small", num_classes=1000, size=32)
    torch.save(cnn.state_dict(), file)
    path = pretrain(config_for(videos, tmp_path / "run", weights=str(file), clips=16, learning_rate=0.0))
    assert torch.equal(weights(path)["layer1.0.conv1.weight"], cnn.state_dict()["layer1.0.conv1.weight"])


def test_it_starts_from_imagenet_by_that_word(videos, tmp_path, monkeypatch, capsys):
    file = tmp_path / "weights.pth"
    cnn = create_cnn("resnet_small", num_classes=1000, size=32)
    torch.save(cnn.state_dict(), file)
    asked = []
    monkeypatch.setattr(module, "imagenet_weights", lambda architecture: asked.append(architecture) or file)
    path = pretrain(config_for(videos, tmp_path / "run", weights="imagenet", clips=16, learning_rate=0.0))
    assert set(asked) == {"resnet_small"}
    assert torch.equal(weights(path)["layer1.0.conv1.weight"], cnn.state_dict()["layer1.0.conv1.weight"])
    assert "a plain state dict, a fresh classifier for 8 classes" in capsys.readouterr().out


def test_it_starts_from_a_feature_extractor_and_says_so(videos, tmp_path, capsys):
    state = create_cnn("resnet_small", num_classes=5, size=32).state_dict()
    torch.save({key: value for key, value in state.items() if not key.startswith("fc.")}, tmp_path / "features.pth")
    config = config_for(videos, tmp_path / "run", weights=str(tmp_path / "features.pth"), clips=16, learning_rate=0.0)
    assert torch.equal(weights(pretrain(config))["layer3.0.conv2.weight"], state["layer3.0.conv2.weight"])
    assert "state dict without a classifier, a fresh classifier for 8 classes." in capsys.readouterr().out


def test_a_file_under_a_published_name_is_checked(videos, tmp_path):
    torch.save(create_cnn("resnet18", num_classes=1000).state_dict(), tmp_path / "resnet18-f37072fd.pth")
    with pytest.raises(ValueError, match=r"sha256 f37072fd\.\.\. at .*resnet18-f37072fd\.pth, got \w{8}:"):
        pretrain(config_for(videos, tmp_path / "run", weights=str(tmp_path / "resnet18-f37072fd.pth"), clips=16))
    assert not (tmp_path / "run").exists()


def test_weights_that_do_not_fit_are_refused_before_any_video_is_opened(videos, tmp_path, monkeypatch):
    opened = []
    monkeypatch.setattr(module, "open_clips", lambda *arguments: opened.append(arguments))
    (tmp_path / "page.pth").write_text("<!doctype html>")
    with pytest.raises(ValueError, match="got a web page"):
        pretrain(config_for(videos, tmp_path / "run", weights=str(tmp_path / "page.pth")))
    assert not opened
    assert not (tmp_path / "run").exists()


def test_weights_of_tsm_without_its_shift_are_warned_of(videos, tmp_path, capsys):
    state = {
        f"module.base_model.{key}".replace("conv1.w", "conv1.net.w").replace("base_model.fc", "new_fc"): value
        for key, value in create_cnn("resnet_small", num_classes=8, size=32).state_dict().items()
    }
    torch.save({"state_dict": state}, tmp_path / "tsm.pth")
    pretrain(config_for(videos, tmp_path / "run", weights=str(tmp_path / "tsm.pth"), clips=16))
    assert 'the CNN runs with temporal="tsn"' in capsys.readouterr().out


def test_sites_and_history_travel_with_the_file(videos, tmp_path):
    path = pretrain(config_for(videos, tmp_path, clips=16, sites=["last_stage"], history="fused"))
    backbone, _ = load_backbone(path)
    assert backbone.site_names == ["layer3.0"]
    assert backbone.history == "fused"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"architecture": "resnet1"}, "resnet_small"),
        ({"sites": ["layer9.0"]}, r"layer3\.0"),
        ({"learning_rate": 100.0, "weight_decay": 100.0, "clips": 320}, "lower --learning-rate"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(videos, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        pretrain(replace(config_for(videos, tmp_path), **change))


def test_a_backbone_of_ones_own_comes_by_plugin(videos, tmp_path, monkeypatch):
    (tmp_path / "own_backbone.py").write_text(
        "from backbone import register_backbone\n"
        "from backbone.cnns.resnet import BasicBlock, ResNet\n\n\n"
        "@register_backbone\n"
        "def resnet_tiny(num_classes, size=32):\n"
        "    return ResNet(BasicBlock, (1,), (8,), num_classes=num_classes, size=size, small=True)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    config = config_for(videos, tmp_path / "run", clips=16, architecture="resnet_tiny", plugin=("own_backbone",))
    try:
        assert [site.channels for site in load_backbone(pretrain(config))[0].sites] == [8]
    finally:
        BACKBONES.pop("resnet_tiny", None)
