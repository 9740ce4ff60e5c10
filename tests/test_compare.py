import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.compare import compare, plan, pretrained
from experiments.config import Compare, Data
from experiments.runs import check_same

PLUGIN = '''
from stable_baselines3 import A2C
from experiments.methods import register_method, rollout_env


@register_method
def my_a2c(config, backbone, clips):
    """stable-baselines3's A2C with its stock policy: a method of a user's own."""
    env = rollout_env(config, backbone, clips)
    return A2C("MlpPolicy", env, n_steps=3, seed=config.seed, device="cpu")
'''


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory):
    """A whole comparison, as small as can be, with a user's own method in it."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "my_plugin.py").write_text(PLUGIN)
    config = Compare(
        methods=("gumbel", "my_a2c"), cost_weights=(1.0,), seeds=(0,), clips=128, pretrain_clips=64,
        correctness_row=False, data=Data(root=videos), workers=1, plugin=("my_plugin",), run=folder / "run",
    )  # fmt: skip
    path = Path(folder)
    sys.path.insert(0, str(path))
    old = __import__("os").environ.get("PYTHONPATH", "")
    patch = pytest.MonkeyPatch()
    patch.setenv("PYTHONPATH", f"{path}:{Path(__file__).parent.parent}:{old}")
    compare(config)
    yield config
    patch.undo()
    sys.path.remove(str(path))


def test_it_ends_with_table_pictures_report_and_figures(finished):
    names = {file.name for file in finished.run.iterdir()}
    assert {"report.md", "report.json", "pareto.png", "learning.png", "fixed", "gumbel-w1-s0", "my_a2c-w1-s0"} <= names
    report = json.loads((finished.run / "report.json").read_text())
    assert [row["method"] for row in report["learned"]] == ["gumbel", "my_a2c"]
    text = (finished.run / "report.md").read_text()
    assert "shift 1/4, skip 1/2" in text
    assert "--methods gumbel my_a2c" in text


def test_a_second_call_repeats_nothing(finished):
    before = {file: file.stat().st_mtime_ns for file in finished.run.glob("*/*") if file.is_file()}
    compare(finished)
    assert before == {file: file.stat().st_mtime_ns for file in finished.run.glob("*/*") if file.is_file()}


def test_a_folder_of_another_configuration_does_not_pass_for_this_one(finished):
    other = replace(finished, clips=256, device="cpu")
    (job, *_) = plan(other, other.run / "backbone" / "backbone.pt")
    with pytest.raises(ValueError, match="differs in clips"):
        check_same(job.run, job)
    with pytest.raises(ValueError, match="differs in clips"):
        pretrained(replace(other, pretrain_clips=32))


def test_a_backbone_of_ones_own_is_compared_on(finished, tmp_path):
    own = finished.run / "backbone" / "backbone.pt"
    compare(replace(finished, methods=("static",), clips=32, backbone=own, run=tmp_path / "run"))
    assert not (tmp_path / "run" / "backbone").exists()
    assert (tmp_path / "run" / "report.md").exists()


def test_the_plan_has_a_run_for_each_method_weight_and_seed():
    config = Compare(methods=("ppo", "reinforce"), cost_weights=(0.5, 1.0), seeds=(0, 1))
    jobs = plan(config, Path("b.pt"))
    assert len(jobs) == 2 * 2 * 2 + 2
    assert len({job.run for job in jobs}) == len(jobs)
    assert {job.reward for job in jobs if job.method == "reinforce"} == {"log_prob", "correctness"}


def test_an_unknown_method_lists_the_known_ones(videos, tmp_path):
    with pytest.raises(ValueError, match="reinforce"):
        compare(Compare(methods=("sarsa",), data=Data(root=videos), run=tmp_path))


def test_fixed_policies_of_another_group_size_do_not_pass_for_these(finished):
    with pytest.raises(ValueError, match=r"fixed to hold the same run, it differs in group_size"):
        compare(replace(finished, methods=("static",), group_size=2))
