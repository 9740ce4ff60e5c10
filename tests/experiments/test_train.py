import json
import multiprocessing
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from agent import GateOptions, evaluate
from agent.callbacks import following
from agent.checkpoint import load_cnn, load_statistics
from backbone import load_backbone, save_backbone
from backbone.common.files import load_checkpoint, save_checkpoint
from backbone.common.interruption import Interrupted
from experiments.clips import open_clips
from experiments.config import Data, Train
from experiments.loading import load_trained, open_frozen
from experiments.train import resume_training, train

METHODS = ("reinforce", "ppo", "gumbel", "static")


def config_for(videos, backbone_file, run, **kwargs):
    small = {"rollouts": 96, "num_clips": 4, "rollouts_per_clip": 4, "batch_size": 16, "evaluate_every": 32}
    defaults = {**small, "validation_clips": 4, "device": "cpu", "run": run}
    return Train(backbone=backbone_file, data=Data(root=videos), **{**defaults, **kwargs})


def parameters(run):
    return load_checkpoint(run / "checkpoint.pt", "agent")[1]["parameters"]["policy"]


def steps_of(run):
    """Where each of TensorBoard's curves has its points."""
    board = EventAccumulator(str(run), size_guidance={"scalars": 0}).Reload()
    return {tag: [point.step for point in board.Scalars(tag)] for tag in board.Tags()["scalars"]}


def cnn_of(run):
    return load_cnn(run / "checkpoint.pt")


@pytest.mark.parametrize("method", METHODS)
def test_interrupted_and_resumed_equals_uninterrupted_bit_for_bit(videos, backbone_file, tmp_path, method, monkeypatch):
    monkeypatch.setattr(following, "EVERY", 16)
    whole = train(config_for(videos, backbone_file, tmp_path / "whole", method=method))
    asked = iter([False, False, False, True])
    parts = config_for(videos, backbone_file, tmp_path / "parts", method=method)
    with pytest.raises(Interrupted):
        train(parts, stop=lambda: next(asked, False))
    assert not (parts.run / "result.json").exists()
    resume_training(parts.run)
    first, second = parameters(whole), parameters(parts.run)
    assert all(torch.equal(first[key], second[key]) for key in first)
    kept = [load_statistics(run / "checkpoint.pt") for run in (whole, parts.run)]
    for whose in ("followed", "greedy"):
        assert all(torch.equal(kept[0][whose][name], part) for name, part in kept[1][whose].items())
    curves = [json.loads((run / "learning.json").read_text()) for run in (whole, parts.run)]
    assert curves[0] == curves[1]
    assert steps_of(whole) == steps_of(parts.run)


@pytest.mark.parametrize("method", METHODS)
def test_counts_that_an_older_checkpoint_lacks_are_unknown_ever_after(videos, backbone_file, tmp_path, method):
    config = config_for(videos, backbone_file, tmp_path / "run", method=method)
    for sitting in range(2):
        with pytest.raises(Interrupted):
            train(config, resume=sitting > 0, stop=partial(next, iter([False, False, True]), False))
        if sitting == 0:
            content, tensors = load_checkpoint(config.run / "checkpoint.pt", "agent")
            del content["extra"]["gradient_watch"], content["facts"]["seconds"]
            save_checkpoint(config.run / "checkpoint.pt", "agent", content, tensors)
    resume_training(config.run)
    result = json.loads((config.run / "result.json").read_text())
    assert {name for name, value in result.items() if value is None} == {"updates", "clipped_updates", "seconds"}
    assert (result["rollouts"], result["clips_drawn"]) == (96, 24 if method in ("reinforce", "ppo") else 96)
    curve = json.loads((config.run / "learning.json").read_text())
    assert [point["updates"] is None for point in curve] == [False, False, True, True]


@pytest.mark.parametrize("method", ["reinforce", "gumbel"])
def test_training_from_the_videos_is_the_same_for_any_number_of_workers(videos, backbone_file, tmp_path, method):
    runs = []
    for workers in (0, 2):
        config = config_for(videos, backbone_file, tmp_path / str(workers), method=method)
        runs.append(train(replace(config, data=Data(root=videos, cache_gb=0, workers=workers))))
    first, second = map(parameters, runs)
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not multiprocessing.active_children()


@pytest.mark.parametrize("method", ["reinforce", "gumbel"])
def test_a_joint_run_goes_on_bit_for_bit_with_its_cnn(videos, backbone_file, tmp_path, method):
    joint = {"method": method, "regime": "joint", "cnn_learning_rate": 0.02, "evaluate_every": 96}
    whole = train(config_for(videos, backbone_file, tmp_path / "whole", **joint))
    asked = iter([False, False, False, True])
    parts = config_for(videos, backbone_file, tmp_path / "parts", **joint)
    with pytest.raises(Interrupted):
        train(parts, stop=lambda: next(asked, False))
    resume_training(parts.run)
    first, second = parameters(whole), parameters(parts.run)
    assert all(torch.equal(first[key], second[key]) for key in first)
    one, other = (cnn_of(run) for run in (whole, parts.run))
    assert all(torch.equal(one["backbone"][key], other["backbone"][key]) for key in one["backbone"])
    momenta = [[state["momentum_buffer"] for state in cnn["optimizer"]["state"].values()] for cnn in (one, other)]
    assert momenta[0]
    assert all(map(torch.equal, *momenta))
    curves = [json.loads((run / "learning.json").read_text()) for run in (whole, parts.run)]
    assert curves[0] == curves[1]


def test_a_joint_run_is_judged_on_its_own_cnn_which_others_may_take(videos, backbone_file, tmp_path):
    before = backbone_file.read_bytes()
    joint = {"regime": "joint", "cnn_learning_rate": 0.1, "rollouts": 48, "evaluate_every": 48}
    run = train(config_for(videos, backbone_file, tmp_path / "run", **joint))
    assert backbone_file.read_bytes() == before
    model, backbone, _ = load_trained(run, device="cpu")
    assert not any(parameter.requires_grad for parameter in backbone.parameters())
    validation = open_clips(Data(root=videos), "val").subset(range(4))
    last = json.loads((run / "learning.json").read_text())[-1]
    assert evaluate(model, backbone, validation).log_prob.mean() == pytest.approx(last["log_prob"], abs=1e-4)
    frozen = open_frozen(backbone_file, group_size=1, device="cpu")
    assert evaluate(model, frozen, validation).log_prob.mean() != pytest.approx(last["log_prob"], abs=1e-3)
    exported, facts = load_backbone(run / "backbone.pt")
    assert facts["classes"] == load_backbone(backbone_file)[1]["classes"]
    own = cnn_of(run)["backbone"]
    assert all(torch.equal(value, own[key]) for key, value in exported.state_dict().items())


def test_a_frozen_run_has_no_cnn_of_its_own(videos, backbone_file, tmp_path):
    run = train(config_for(videos, backbone_file, tmp_path / "run", rollouts=32))
    assert cnn_of(run) is None
    assert not (run / "backbone.pt").exists()


@pytest.mark.parametrize("first", ["frozen", "joint"])
def test_policy_gradients_start_from_a_relaxations_run(videos, backbone_file, tmp_path, first):
    short = {"regime": first, "cnn_learning_rate": 0.1, "rollouts": 32}
    old = train(config_for(videos, backbone_file, tmp_path / "old", **short))
    still = {"method": "reinforce", "start": old, "rollouts": 32, "learning_rate": 0.0}
    new = train(config_for(videos, backbone_file, tmp_path / "new", **still))
    one, other = parameters(old), parameters(new)
    assert all(torch.equal(value, other[key]) for key, value in one.items() if key.startswith("gates."))
    curves = [json.loads((run / "learning.json").read_text()) for run in (old, new)]
    for name in ("accuracy", "cost", "log_prob"):
        assert curves[1][0][name] == pytest.approx(curves[0][-1][name], abs=1e-4)
    shutil.rmtree(old)  # the new run needs it no more, to be resumed or judged
    resume_training(new)
    model, backbone, _ = load_trained(new, device="cpu")
    validation = open_clips(Data(root=videos), "val").subset(range(4))
    assert evaluate(model, backbone, validation).log_prob.mean() == pytest.approx(curves[1][-1]["log_prob"], abs=1e-4)
    assert (new / "backbone.pt").exists() == (first == "joint")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"group_size": 8}, "group_size 1 for 8"),
        ({"hidden": 7}, "hidden 32 for 7"),
        ({"method": "static"}, "expected weights for this backbone, group size and gate"),
    ],
)
def test_a_run_that_does_not_fit_is_no_start(videos, backbone_file, tmp_path, change, said):
    old = train(config_for(videos, backbone_file, tmp_path / "old", rollouts=16))
    with pytest.raises(ValueError, match=said):
        train(config_for(videos, backbone_file, tmp_path / "new", start=old, **change))
    assert not (tmp_path / "new").exists()


def test_a_start_on_another_backbone_is_refused_and_on_a_copy_is_not(videos, backbone_file, tmp_path):
    old = train(config_for(videos, backbone_file, tmp_path / "old", rollouts=16))
    backbone, facts = load_backbone(backbone_file)
    with torch.no_grad():
        next(backbone.parameters()).mul_(2)
    save_backbone(tmp_path / "other.pt", backbone, architecture=facts["architecture"], classes=facts["classes"])
    with pytest.raises(ValueError, match=r"expected a run on .*other.pt in --start"):
        train(config_for(videos, tmp_path / "other.pt", tmp_path / "new", start=old))
    shutil.copy(backbone_file, tmp_path / "copy.pt")
    train(config_for(videos, tmp_path / "copy.pt", tmp_path / "new", start=old, rollouts=16))


def test_a_start_without_a_run_says_what_to_look_at(videos, backbone_file, tmp_path):
    with pytest.raises(ValueError, match="check the path"):
        train(config_for(videos, backbone_file, tmp_path / "new", start=tmp_path / "none"))


def test_another_seed_is_another_agent(videos, backbone_file, tmp_path):
    runs = [train(config_for(videos, backbone_file, tmp_path / str(seed), rollouts=32, seed=seed)) for seed in (0, 1)]
    first, second = map(parameters, runs)
    assert not all(torch.equal(first[key], second[key]) for key in first)


def test_a_run_holds_all_that_is_needed_to_judge_it(videos, backbone_file, tmp_path):
    run = train(config_for(videos, backbone_file, tmp_path / "run", method="ppo"))
    files = {file.name for file in run.iterdir() if not file.name.startswith("events")}
    wanted = {
        *("config.json", "provenance.json", "checkpoint.pt", "checkpoint-best.pt", "learning.json", "result.json")
    }
    assert files == wanted
    result = json.loads((run / "result.json").read_text())
    assert result["rollouts"] == 96
    assert result["clips_drawn"] == 24
    assert result["updates"] == 6 * 2 * 2  # two epochs of two minibatches, by default
    assert [point["rollouts"] for point in json.loads((run / "learning.json").read_text())] == [0, 32, 64, 96]


def test_tensorboard_holds_scalars_hparams_and_episodes(videos, backbone_file, tmp_path):
    run = train(config_for(videos, backbone_file, tmp_path / "run"))
    events = EventAccumulator(str(run), size_guidance={"scalars": 0, "images": 0})
    events.Reload()
    tags = events.Tags()
    assert {
        "data/wait",
        "data/broken",
        "rollout/accuracy",
        "rollout/cost",
        "validation/accuracy",
        "train/gradient_noise",
    } <= set(tags["scalars"])
    assert "episodes/clip_0" in tags["images"]
    assert [image.step for image in events.Images("episodes/clip_0")] == [0, 32, 64, 96]
    assert "_hparams_/session_start_info" in tags["tensors"] or any("hparams" in tag for tag in events.summary_metadata)


def test_a_trained_agent_loads_without_touching_its_run(videos, backbone_file, tmp_path):
    gates = {"hidden_quota": 256, "gate_norm": "batch", "shared_gates": True}
    run = train(config_for(videos, backbone_file, tmp_path / "run", method="reinforce", **gates))
    before = {file.name: file.stat().st_mtime_ns for file in run.iterdir()}
    model, backbone, config = load_trained(run, device="cpu")
    assert config.method == "reinforce"
    assert model.policy.gate == GateOptions(quota=256, norm="batch", shared=True)
    assert not any(p.requires_grad for p in backbone.parameters())
    assert all(torch.equal(value, model.policy.state_dict()[key]) for key, value in parameters(run).items())
    assert before == {file.name: file.stat().st_mtime_ns for file in run.iterdir()}


def test_a_backbone_for_other_classes_is_refused(videos, backbone_file, tmp_path):
    other = tmp_path / "videos"
    other.mkdir()
    for split in ("train", "val", "test"):
        (other / f"{split}.txt").write_text("a.mp4 0\n")
    (other / "a.mp4").write_bytes((videos / "train" / "00000.mp4").read_bytes())
    config = config_for(videos, backbone_file, tmp_path / "run")
    with pytest.raises(ValueError, match="classes"):
        train(replace(config, data=Data(root=other)))
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "sarsa"}, "gumbel"),
        ({"plugin": ("no_such_module",)}, "no_such_module"),
        ({"method": "gumbel", "reward": "correctness"}, "no derivative"),
        ({"method": "reinforce", "rollouts_per_clip": 1}, "rollouts_per_clip"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(videos, backbone_file, tmp_path, change, said):
    with pytest.raises(ValueError, match=said):
        train(replace(config_for(videos, backbone_file, tmp_path / "run"), **change))
    assert not (tmp_path / "run").exists()


def test_a_missing_backbone_says_what_to_look_at(videos, tmp_path):
    with pytest.raises(ValueError, match="check the path"):
        train(config_for(videos, tmp_path / "none.pt", tmp_path / "run"))


DIES = """
import os

from agent.callbacks.progress import Progress

before = Progress.act


def act(self):
    first = os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0"
    if first and os.environ["RANK"] == "1" and self.rollouts >= 48:
        os._exit(9)
    before(self)


Progress.act = act
"""


@pytest.mark.long
def test_two_ranks_under_torchrun_train_what_one_does_though_one_dies(videos, backbone_file, tmp_path):
    (tmp_path / "dies.py").write_text(DIES)
    root = Path(__file__).parents[2]
    options = ["--method", "reinforce", "--rollouts", "96", "--num-clips", "2", "--rollouts-per-clip", "8"]
    options += [
        "--statistics",
        "frozen",
        "--evaluate-every",
        "32",
        "--validation-clips",
        "4",
        "--device",
        "cpu",
        "--data.root",
        str(videos),
    ]
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["--max-restarts", "3", "-m", "--", "experiments", "train", "--backbone", str(backbone_file), *options]
    path = os.pathsep.join([str(root), str(tmp_path)])
    told = subprocess.run(
        [*command, "--run", str(tmp_path / "two"), "--plugin", "dies"],
        env={**os.environ, "PYTHONPATH": path, "GLOO_SOCKET_IFNAME": "lo", "TMPDIR": str(tmp_path)}, cwd=tmp_path, capture_output=True, text=True,
        timeout=300,
    )  # fmt: skip
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("Run finished") == 1
    one = train(
        Train(
            backbone=backbone_file, data=Data(root=videos), method="reinforce", rollouts=96, num_clips=2, evaluate_every=32,
            validation_clips=4, statistics="frozen", device="cpu", run=tmp_path / "one",
        )
    )  # fmt: skip
    alone, together = (load_checkpoint(run / "checkpoint.pt", "agent") for run in (one, tmp_path / "two"))
    assert alone[0]["num_timesteps"] == together[0]["num_timesteps"]
    for name, weight in alone[1]["parameters"]["policy"].items():
        torch.testing.assert_close(together[1]["parameters"]["policy"][name], weight, rtol=0, atol=1e-5, msg=name)
    assert {file.name.split(".")[0] for file in one.iterdir()} == {
        file.name.split(".")[0] for file in (tmp_path / "two").iterdir()
    }
    curves = [json.loads((run / "learning.json").read_text()) for run in (one, tmp_path / "two")]
    assert [point["rollouts"] for point in curves[0]] == [point["rollouts"] for point in curves[1]]
    assert [point["cost"] for point in curves[1]] == pytest.approx([point["cost"] for point in curves[0]], abs=1e-4)
