import json
import os
import queue
import signal
import threading
import time
from concurrent.futures import Future

import pytest

from agent import evaluate
from backbone.common.interruption import Interrupted
from experiments.clips import open_clips
from experiments.comparison import jobs
from experiments.comparison.compare import plan_fixed
from experiments.comparison.jobs import (
    judge_fixed,
    measure_rate,
    pretrain_backbone,
    read_rates,
    run_jobs,
    train_and_judge,
    train_and_validate,
)
from experiments.config import Compare, Data, Pretrain, Train
from experiments.loading import backbones_for, load_trained
from experiments.pretrain import pretrain


def press_ctrl_c_when(seen):
    """SIGINT to this process alone, once ``seen()`` is true."""

    def wait():
        deadline = time.monotonic() + 60
        while not seen() and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=wait, daemon=True).start()


def test_ctrl_c_stops_workers_at_a_checkpoint_from_which_they_go_on(videos, backbone_file, tmp_path):
    data, run = Data(root=videos), tmp_path / "run"
    endless = Train(backbone=backbone_file, data=data, rollouts=10**6, validation_clips=2, device="cpu", run=run)
    press_ctrl_c_when(lambda: (run / "checkpoint.pt").exists())
    with pytest.raises(Interrupted):
        run_jobs([(train_and_judge, endless)] * 2, 1, title="runs", total=10**6)
    assert (run / "checkpoint.pt").exists()
    assert not (run / "result.json").exists()


@pytest.mark.parametrize("unit", ["rollout", "clip"])
def test_the_bar_counts_what_the_jobs_report(monkeypatch, unit):
    bars, bar, over = [], jobs.Bar, Future()
    over.set_result(None)
    monkeypatch.setattr(jobs, "Bar", lambda **kwargs: bars.append(kwargs) or bar(**kwargs))
    jobs._watch([over], queue.Queue(), total=5, title="nothing", unit=unit)
    assert [(one["total"], one["unit"]) for one in bars] == [(5, unit)]


@pytest.fixture
def here(monkeypatch):
    """Jobs run in this process as they do in a worker; returns the event that asks for a stop."""
    stop = threading.Event()
    monkeypatch.setattr(jobs, "_stop", stop)
    monkeypatch.setattr(jobs, "_progress", queue.Queue())
    return stop


def test_pretraining_stops_when_asked_and_goes_on_from_there(videos, tmp_path, here):
    config = Pretrain(data=Data(root=videos), clips=64, batch_size=16, threads=1, device="cpu", run=tmp_path / "b")
    at_once = iter([False, False, True])
    with pytest.raises(Interrupted):
        pretrain(config, report=lambda clips: None, stop=lambda: next(at_once))
    assert (config.run / "pretraining.pt").exists()
    pretrain_backbone(config)
    assert (config.run / "backbone.pt").exists()
    assert [clips for _, clips in jobs._progress.queue] == [48, 64]


def test_a_run_is_validated_by_the_reward_of_its_sampled_policy(videos, backbone_file, tmp_path, here):
    run, data = tmp_path / "run", Data(root=videos)
    small = {"rollouts": 32, "num_clips": 2, "validation_clips": 2, "device": "cpu"}
    train_and_validate(Train(backbone=backbone_file, data=data, method="reinforce", cost_weight=2.0, run=run, **small))
    found = json.loads((run / "validation.json").read_text())
    model, _, trained = load_trained(run, device="cpu")
    backbone = backbones_for(model, trained, ["sampled"])["sampled"]
    played = evaluate(model, backbone, open_clips(data, "val"), selection="sampled")
    assert found["reward"] == pytest.approx(played.log_prob.mean() - 2 * played.cost, abs=1e-5)
    assert found["updates"] == 2


PLUGIN = """
from backbone import register_backbone
from backbone.cnns.resnet import BasicBlock, ResNet


@register_backbone
def of_a_user(num_classes: int, size: int = 224) -> ResNet:
    return ResNet(BasicBlock, (1, 1, 1, 1), (8, 8, 8, 8), num_classes=num_classes, size=size)
"""


def test_fixed_policies_on_a_backbone_of_a_plugin_are_judged_in_a_fresh_worker(videos, tmp_path, monkeypatch):
    (tmp_path / "my_backbone.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(tmp_path)  # which a worker inherits; in this process the plugin is never imported
    of_plugin = {"data": Data(root=videos), "device": "cpu", "plugin": ("my_backbone",)}
    short = {"architecture": "of_a_user", "clips": 16, "batch_size": 16, "threads": 1}
    run_jobs([(pretrain_backbone, Pretrain(**short, **of_plugin, run=tmp_path / "b"))], 1, title="pretraining")
    (job,) = plan_fixed(Compare(**of_plugin, run=tmp_path / "c").settled(), {0: tmp_path / "b" / "backbone.pt"})
    run_jobs([(judge_fixed, job)], 1, title="fixed")
    assert "all use" in json.loads((job.run / "evaluation.json").read_text())


def test_nothing_begins_after_a_stop(videos, tmp_path, here):
    here.set()
    with pytest.raises(Interrupted):
        pretrain_backbone(Pretrain(data=Data(root=videos), run=tmp_path / "b"))
    assert not (tmp_path / "b").exists()


def test_speeds_are_kept_beside_each_other_and_no_end_of_a_run_is_in_them(
    videos, backbone_file, tmp_path, here, monkeypatch
):
    monkeypatch.setattr(jobs, "TIMED_SECONDS", 1.0)
    methods = [
        Train(
            backbone=backbone_file,
            data=Data(root=videos),
            method=method,
            rollouts=8,  # an update of gumbel, less than one of reinforce
            device="cpu",
            run=tmp_path / method,
        )
        for method in ("gumbel", "reinforce")
    ]
    assert read_rates(tmp_path) == {}
    for job in methods:
        measure_rate(job)
    rates = read_rates(tmp_path)
    assert set(rates) == {"gumbel", "reinforce"}
    for rate in rates.values():
        assert rate["rollouts_per_second"] == pytest.approx(rate["rollouts"] / rate["seconds"])
        assert rate["rollouts"] > 8  # more than a run would have had: it did not come to its evaluation
    assert {file.name for file in tmp_path.iterdir()} == {"rates.json"}
    assert json.loads((tmp_path / "rates.json").read_text()) == rates
