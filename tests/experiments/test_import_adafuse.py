"""A checkpoint of AdaFuse's layout, imported and judged on real videos."""

import json
import shutil
from dataclasses import replace

import numpy as np
import official_adafuse as official
import pytest
import torch

from agent.evaluation import evaluate
from backbone import BACKBONES, load_backbone, register_backbone
from backbone.cnns.resnet import BasicBlock, ResNet
from envs.clips import motions
from experiments.__main__ import main
from experiments.clips import open_clips
from experiments.config import Data, Evaluate, Import
from experiments.evaluate import evaluate_run
from experiments.import_adafuse import import_adafuse
from experiments.loading import load_trained

DEPTHS, WIDTHS, SIZE = (1, 1, 1, 1), (8, 16, 16, 24), 32


@pytest.fixture(autouse=True)
def thin_resnet():
    @register_backbone
    def thin_resnet(num_classes: int, size: int = 224) -> ResNet:
        return ResNet(BasicBlock, DEPTHS, WIDTHS, num_classes=num_classes, size=size)

    yield
    BACKBONES.pop("thin_resnet")


def make_model() -> official.TSNGate:
    base = official.BateNet(
        DEPTHS, WIDTHS, bottleneck=False, shared=True, hidden=None, quota=200, stages=range(4), shifted=True
    )
    return official.liven(official.TSNGate(base, len(motions.CLASSES)))


@pytest.fixture
def checkpoint(tmp_path):
    return official.save(make_model(), tmp_path / "adatsm.pth.tar")


def config_for(checkpoint, videos, tmp_path, **kwargs):
    return Import(checkpoint, run=tmp_path / "run", data=Data(root=videos, size=SIZE), **kwargs)


def test_an_imported_run_is_evaluated_like_any(checkpoint, videos, tmp_path, capsys):
    words = ["--data.root", str(videos), "--data.size", str(SIZE), "--data.margin", "0", "--run", str(tmp_path / "run")]
    assert main(["import", str(checkpoint), *words]) == 0
    said = capsys.readouterr().out
    assert "thin_resnet of 8 classes with gates at 4 sites" in said
    assert "tsm-adafuse, by the name of the file" in said
    assert main(["evaluate", str(tmp_path / "run"), "--device", "cpu"]) == 0
    assert "greedy policy on 16 clips of test" in capsys.readouterr().out
    kept = json.loads((tmp_path / "run" / "evaluation-test.json").read_text())
    assert 0 < kept["cost"][0] < 1.5
    assert main(["evaluate", str(tmp_path / "run"), "--device", "cpu", "--accounting", "adafuse"]) == 0
    assert "as AdaFuse's code counts it" in capsys.readouterr().out


def test_its_predictions_are_those_of_the_checkpoint(checkpoint, videos, tmp_path):
    folder = import_adafuse(config_for(checkpoint, videos, tmp_path))
    model, backbone, config = load_trained(folder, device="cpu")
    clips = open_clips(config.data, "test")
    result = evaluate(model, backbone, clips)
    with torch.no_grad():
        frames = backbone.preprocess(torch.from_numpy(clips.frames(range(len(clips)))))
        logits, masks = make_model()(frames)
    expected = logits.log_softmax(-1)[range(len(clips)), clips.labels].numpy()
    assert np.abs(result.log_prob - expected).max() < 1e-3
    for site, mask in zip(backbone.sites, masks, strict=True):
        mine, theirs = result.shares[site.index], mask.mean((0, 1, 2)).numpy()[::-1]  # use, reuse, skip
        assert np.abs(mine - theirs).max() < 1e-3


def test_the_folder_says_that_it_was_imported_and_of_what(checkpoint, videos, tmp_path):
    folder = import_adafuse(config_for(checkpoint, videos, tmp_path))
    config = json.loads((folder / "config.json").read_text())
    assert (config["method"], config["gate_norm"], config["shared_gates"]) == ("imported", "batch", True)
    _, facts = load_backbone(folder / "backbone.pt")
    assert facts["imported"]["checkpoint"] == "adatsm.pth.tar"
    assert facts["classes"] == list(motions.CLASSES)
    provenance = json.loads((folder / "provenance.json").read_text())
    assert provenance["data"]["checkpoint"] == facts["imported"]["sha256"]


def test_it_needs_no_videos_to_train_on(checkpoint, videos, tmp_path):
    root = tmp_path / "videos"
    shutil.copytree(videos, root, ignore=shutil.ignore_patterns(".cache", "train"))
    folder = import_adafuse(config_for(checkpoint, root, tmp_path))
    assert "on 16 clips of test" in evaluate_run(Evaluate(folder, threads=1, device="cpu"))


def test_logits_follow_the_names_in_a_file(checkpoint, videos, tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(reversed(motions.CLASSES)) + "\n")
    folder = import_adafuse(config_for(checkpoint, videos, tmp_path, classes=tmp_path / "names.txt"))
    backbone, facts = load_backbone(folder / "backbone.pt")
    assert facts["classes"] == list(motions.CLASSES)
    theirs = make_model().module.new_fc
    assert torch.equal(backbone.cnn.fc.weight, theirs.weight.flip(0))
    assert torch.equal(backbone.cnn.fc.bias, theirs.bias.flip(0))


def test_its_classes_are_those_of_the_layout_that_is_named(checkpoint, videos, tmp_path):
    root = tmp_path / "both"  # its lists say other classes than its folders
    for number, name in enumerate(motions.CLASSES):
        for split in ("train", "test"):
            (root / split / name).mkdir(parents=True)
            shutil.copy(videos / "test" / f"{number:05d}.mp4", root / split / name / "a.mp4")
    for split in ("train", "val", "test"):
        (root / f"{split}.txt").write_text(f"test/{motions.CLASSES[0]}/a.mp4 0\n")
    config = config_for(checkpoint, root, tmp_path)
    folder = import_adafuse(replace(config, data=replace(config.data, layout="split_folders")))
    assert load_backbone(folder / "backbone.pt")[1]["classes"] == sorted(motions.CLASSES)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a\nb\n", "got 2 names for 8 classes, at odds in 'a', 'b', "),
        ("right\n" * 8, "each once"),
        (None, "no such file"),
    ],
)
def test_other_names_are_refused(checkpoint, videos, tmp_path, text, said):
    if text is not None:
        (tmp_path / "names.txt").write_text(text)
    with pytest.raises(ValueError, match=said):
        import_adafuse(config_for(checkpoint, videos, tmp_path, classes=tmp_path / "names.txt"))
    assert not (tmp_path / "run").exists()


def test_videos_of_other_classes_are_refused(checkpoint, videos, tmp_path):
    for name in ("a", "b"):
        (tmp_path / "other" / name).mkdir(parents=True)
        for number in range(3):
            shutil.copy(videos / "test" / "00000.mp4", tmp_path / "other" / name / f"{number}.mp4")
    with pytest.raises(ValueError, match=r"the 8 classes of .*, got 2 in .*other"):
        import_adafuse(config_for(checkpoint, tmp_path / "other", tmp_path))


def test_a_run_that_is_there_is_not_overwritten(checkpoint, videos, tmp_path):
    folder = import_adafuse(config_for(checkpoint, videos, tmp_path))
    before = (folder / "checkpoint.pt").read_bytes()
    with pytest.raises(ValueError, match="holds a run already"):
        import_adafuse(config_for(checkpoint, videos, tmp_path, temporal="tsn"))
    assert (folder / "checkpoint.pt").read_bytes() == before


@pytest.mark.parametrize("argument", ["nothing.pth.tar", "."])
def test_a_missing_checkpoint_is_one_sentence(argument, tmp_path, capsys):
    assert main(["import", str(tmp_path / argument), "--run", str(tmp_path / "run")]) == 1
    said = capsys.readouterr().err
    assert said.startswith("Error: expected a checkpoint at")
    assert said.count("\n") == 1
