import queue
from concurrent.futures import Future

import pytest
from interruptions import press_ctrl_c_when

from backbone.common.interruption import Interrupted
from experiments.comparison.jobs import train_and_judge
from experiments.config import Compare, Data, Train
from experiments.executors import executor, local
from experiments.executors.executor import Bar
from experiments.executors.run_jobs import run_jobs


def test_ctrl_c_stops_workers_at_a_checkpoint_from_which_they_go_on(videos, backbone_file, tmp_path):
    data, run = Data(root=videos), tmp_path / "run"
    endless = Train(backbone=backbone_file, data=data, rollouts=10**6, validation_clips=2, device="cpu", run=run)
    press_ctrl_c_when(lambda: (run / "checkpoint.pt").exists())
    with pytest.raises(Interrupted):
        run_jobs([(train_and_judge, endless)] * 2, Compare(workers=1), title="runs", total=10**6)
    assert (run / "checkpoint.pt").exists()
    assert not (run / "result.json").exists()


@pytest.mark.parametrize("unit", ["rollout", "clip"])
def test_the_bar_counts_what_the_jobs_report(monkeypatch, unit):
    bars, bar, over = [], executor.progress.Bar, Future()
    over.set_result(None)
    monkeypatch.setattr(executor.progress, "Bar", lambda **kwargs: bars.append(kwargs) or bar(**kwargs))
    with Bar(1, title="nothing", total=5, unit=unit) as shown:
        local._watch([over], queue.Queue(), shown)
    assert [(one["total"], one["unit"]) for one in bars] == [(5, unit)]
