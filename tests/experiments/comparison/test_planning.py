import json
from dataclasses import replace
from pathlib import Path

from experiments.comparison.compare import compare
from experiments.comparison.planning import describe_plan, seconds_per_rollout
from experiments.config import Compare, Pretrain, Train
from experiments.run import Fixed, Run


def finished(folder, job, seconds):
    run = Run(folder)
    run.write_manifest(replace(job, run=folder))
    run.result.write_text(json.dumps({"rollouts": 100, "seconds": seconds}))


def test_time_is_that_of_earlier_runs_of_the_same_kind(tmp_path):
    job = Train(method="gumbel", rollouts=7200, run=tmp_path / "new" / "a").settled()
    for number, seconds in enumerate((40, 50, 90)):
        finished(tmp_path / "old" / str(number), job, seconds)
    finished(tmp_path / "old" / "frame by frame", replace(job, order="frame"), 9_000)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "config.json").write_text('{"kind": "of tomorrow"}')
    (tmp_path / "odd" / "result.json").write_text("{}")
    assert sorted(seconds_per_rollout(tmp_path).values()) == [0.5, 90]
    other = replace(job, method="ppo", run=tmp_path / "new" / "b")
    *lines, total, unknown = describe_plan(
        [[job, other], [Pretrain(run=tmp_path / "b"), Fixed(Path("b.pt"), run=tmp_path / "f")]], tmp_path / "new"
    )
    assert len(lines) == 4
    assert lines[0].endswith("new/a  training by gumbel, about 60.0 minutes")
    assert lines[1].endswith("time not known")
    assert total.startswith("4 jobs, about 1.00 machine hours")
    assert "1 of training by ppo, 1 of pretraining, 1 of fixed policies" in unknown


def test_a_plan_runs_nothing(tmp_path, capsys):
    run = tmp_path / "run"
    assert compare(Compare(preset="quick", plan=True, device="cpu", run=run)) == []
    told = capsys.readouterr().out
    assert f"{run / 'backbone-s0'}  pretraining" in told
    assert "6 jobs" in told
    assert not run.exists()
