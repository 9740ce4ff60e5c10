import json
import os
import queue
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from registries import as_before
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from experiments.comparison import jobs
from experiments.comparison.compare import check_options, compare, plan, plan_fixed, plan_seconds, pretrained
from experiments.comparison.report import command_of, write_report
from experiments.comparison.results import row_method
from experiments.config import DEFAULT_ROOT, EMBEDDED, QUICK_ROOT, Compare, Data, to_json
from experiments.run import Run


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory):
    """A whole comparison, as small as can be, with a user's own method in it."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copy(Path(__file__).parents[3] / "docs" / "templates" / "my_method.py", folder)
    config = Compare(
        methods=("gumbel", "my_a2c"), cost_weights=(1.0,), seeds=(0,), rollouts=128, seconds=0.5, pretrain_clips=64,
        data=Data(root=videos), workers=1, device="cpu", plugin=("my_method",), run=folder / "run",
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch, as_before():
        patch.syspath_prepend(folder)
        patch.setenv("PYTHONPATH", os.pathsep.join([str(folder), str(Path(__file__).parents[3]), *inherited()]))
        compare(config)
        yield config
    sys.modules.pop("my_method", None)


def inherited() -> list[str]:
    """Where Python looks for modules by its environment."""
    return os.environ["PYTHONPATH"].split(os.pathsep) if os.environ.get("PYTHONPATH") else []


def test_it_ends_with_table_pictures_report_and_figures(finished):
    names = {file.name for file in finished.run.iterdir()}
    runs = {f"{method}-g1-w1-s0{arm}" for method in ("gumbel", "my_a2c") for arm in ("", "-0.5seconds")}
    assert {
        "report.md",
        "report.json",
        "results.json",
        "results.npz",
        "pareto.png",
        "learning.png",
        "rates.json",
        "fixed-g1-s0",
    } | runs <= names
    equal_rollouts, equal_time = json.loads((finished.run / "report.json").read_text())["tables"]
    assert [row["method"] for row in equal_rollouts["learned"]] == ["gumbel", "my_a2c"]
    assert {one["rollouts"] for row in equal_rollouts["learned"] for one in row["training"]} == {128}
    assert equal_time["arm"] == "0.5 seconds each"
    text = (finished.run / "report.md").read_text()
    assert "shift 1/4, skip 1/2" in text
    assert "--methods gumbel my_a2c" in text


def test_rollouts_of_equal_time_are_those_of_the_measured_rates(finished):
    rates = {
        name: rate["rollouts_per_second"]
        for name, rate in json.loads((finished.run / "rates.json").read_text()).items()
    }
    assert set(rates) == {"gumbel-g1", "my_a2c-g1"}
    config = replace(finished.settled(), device="cpu")
    arm = plan_seconds(config, plan(config, pretrained(config)).jobs)
    for job in arm.jobs:
        assert Run(job.run).seconds == Run(job.run)._manifest()["seconds"] == 0.5
        assert job.rollouts % 64 == 0
        assert job.rollouts == pytest.approx(max(0.5 * rates[f"{job.method}-g1"], 64), abs=32)


def test_the_report_is_made_again_from_its_two_files(finished, tmp_path):
    for name in ("results.json", "results.npz"):
        shutil.copy(finished.run / name, tmp_path)
    write_report(tmp_path, tmp_path)
    for name in ("report.json", "report.md"):
        assert (tmp_path / name).read_bytes() == (finished.run / name).read_bytes()
    written = json.loads((tmp_path / "report.json").read_text())
    fixed = written["tables"][0]["fixed"]["all use"]
    assert "sampled_cost" not in fixed
    ours, foreign = written["tables"][0]["learned"]
    assert "top_k_cost" in ours
    assert "top_k_cost" not in foreign  # no probabilities of our kind


def test_a_second_call_repeats_nothing(finished):
    before = {file: file.stat().st_mtime_ns for file in finished.run.glob("*/*") if file.is_file()}
    compare(finished)
    assert before == {file: file.stat().st_mtime_ns for file in finished.run.glob("*/*") if file.is_file()}


def test_a_folder_of_another_configuration_does_not_pass_for_this_one(finished):
    other = replace(finished.settled(), rollouts=256, device="cpu")
    (job, *_) = plan(other, pretrained(other)).jobs
    with pytest.raises(ValueError, match=r"differs in .*rollouts"):
        Run(job.run).check_same(job)
    with pytest.raises(ValueError, match="differs in clips"):
        pretrained(replace(other, pretrain_clips=32))


def test_threads_and_workers_do_not_make_a_run_another(finished):
    (job, *_) = plan(config := replace(finished.settled(), device="cpu"), pretrained(config)).jobs
    Run(job.run).check_same(replace(job, threads=7, data=replace(job.data, workers=2)))
    with pytest.raises(ValueError, match="differs in data"):
        Run(job.run).check_same(replace(job, data=replace(job.data, num_frames=4)))


def test_pretraining_side_by_side_is_counted_in_clips(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr("experiments.comparison.compare.run_jobs", lambda todo, workers, **kwargs: asked.append(kwargs))
    pretrained(Compare(preset="full", seeds=(0, 1), pretrain_clips=64, device="cpu", run=tmp_path).settled())
    assert asked == [{"title": "pretraining", "total": 2 * 64, "unit": "clip"}]


@pytest.fixture
def here(monkeypatch):
    """Jobs run one after the other in this process: no worker has to start."""
    monkeypatch.setattr(jobs, "_stop", threading.Event())
    monkeypatch.setattr(jobs, "_progress", queue.Queue())
    work = lambda todo, workers, **kwargs: [function(config) for function, config in todo]  # noqa: E731
    monkeypatch.setattr("experiments.comparison.compare.run_jobs", work)


def test_a_run_made_before_an_option_was_is_one_of_its_default(finished, tmp_path):
    (job, *_) = plan(config := replace(finished.settled(), device="cpu"), pretrained(config)).jobs
    older = json.loads((job.run / "config.json").read_text())
    del older["shared_gates"], older["data"]["flip"]
    (tmp_path / "config.json").write_text(json.dumps(older))
    Run(tmp_path).check_same(job)
    with pytest.raises(ValueError, match="differs in data, shared_gates"):
        Run(tmp_path).check_same(replace(job, shared_gates=True, data=replace(job.data, flip="swap")))


def test_the_full_preset_has_a_backbone_for_each_seed(finished, tmp_path, here):
    config = replace(
        finished, preset="full", methods=("gumbel",), more_methods=(), seeds=(0, 3), group_sizes=(8,), rollouts=64, seconds=0.0,
        correctness_row=False, plugin=(), run=tmp_path / "run",
    )  # fmt: skip
    compare(config)
    made = {seed: json.loads((tmp_path / f"run/gumbel-g8-w1-s{seed}/config.json").read_text()) for seed in (0, 3)}
    assert [Path(made[seed]["backbone"]).parent.name for seed in (0, 3)] == ["backbone-s0", "backbone-s3"]
    first, second = ((tmp_path / f"run/backbone-s{seed}/backbone.pt").read_bytes() for seed in (0, 3))
    assert first != second
    assert {file.name for file in (tmp_path / "run").glob("fixed-*")} == {"fixed-g8-s0", "fixed-g8-s3"}
    assert "a backbone of each seed" in (tmp_path / "run/report.md").read_text()


def test_the_quick_preset_says_that_it_is_a_demonstration_and_what_to_open(finished, tmp_path, here, capsys):
    small = {"methods": ("gumbel", "static"), "rollouts": 32, "pretrain_clips": 32, "seconds": 0.0, "plugin": ()}
    compare(replace(finished, preset="quick", run=tmp_path / "run", **small))
    report, said = (tmp_path / "run/report.md").read_text(), capsys.readouterr().out
    assert report.split("\n\n")[1].startswith(
        "**A demonstration: 32 clips of pretraining, 32 rollouts an agent and 1 seed"
    )
    assert "--preset quick" in report
    for wanted in ("A demonstration", f"tensorboard --logdir {tmp_path / 'run'}", "report.md", "evaluate"):
        assert wanted in said
    figures = json.loads((tmp_path / "run/gumbel-g1-w1-s0/evaluation.json").read_text())["greedy"]
    events = EventAccumulator(str(tmp_path / "run/gumbel-g1-w1-s0")).Reload()
    for name in ("accuracy", "cost"):  # compare judges on test clips: HPARAMS shows it
        (point,) = events.Scalars(f"test/{name}")
        assert point.value == pytest.approx(figures[name][0], rel=1e-5)
    assert "A demonstration" not in (finished.run / "report.md").read_text()


def test_the_quick_preset_has_data_and_a_folder_of_its_own():
    quick = Compare(preset="quick").settled()
    assert (quick.data.root, quick.run) == (QUICK_ROOT, Path("runs/quick"))
    assert EMBEDDED[QUICK_ROOT]["train"] < 16_000
    assert Compare(preset="quick", data=Data(root=Path("mine"))).settled().data.root == Path("mine")
    assert Compare().settled().data.root == DEFAULT_ROOT != QUICK_ROOT
    assert command_of(to_json(quick)) == "python -m experiments compare --preset quick"
    assert quick.settled() == quick


def test_a_backbone_of_ones_own_is_compared_on(finished, tmp_path, here):
    own = finished.run / "backbone-s0" / "backbone.pt"
    compare(replace(finished, methods=("static",), rollouts=32, seconds=0.0, backbone=own, run=tmp_path / "run"))
    assert not list((tmp_path / "run").glob("backbone*"))
    assert (tmp_path / "run" / "report.md").exists()


def test_the_plan_has_a_run_for_each_method_group_size_weight_and_seed():
    config = Compare(
        methods=("ppo", "reinforce"), cost_weights=(0.5, 1.0), seeds=(0, 1), group_sizes=(1, 8), more_methods=("reinmax", "ppo"),
        correctness_row=True,
    ).settled()  # fmt: skip
    jobs = plan(config, dict.fromkeys((0, 1), Path("b.pt"))).jobs
    assert len(jobs) == 2 * 2 * 2 * 2 + 2 + 2
    assert len({job.run for job in jobs}) == len(jobs)
    assert {job.reward for job in jobs if job.method == "reinforce"} == {"log_prob", "correctness"}
    once = [job for job in jobs if job.method == "reinmax" or job.reward == "correctness"]
    assert {(job.group_size, job.cost_weight) for job in once} == {(8, 1.0)}
    assert len(plan_fixed(config, dict.fromkeys((0, 1), Path("b.pt")))) == 2
    assert len(plan_fixed(config, {0: Path("a.pt"), 1: Path("b.pt")})) == 4


def test_settings_of_a_search_of_ones_own_are_taken_for_the_methods_in_it(tmp_path):
    file = tmp_path / "tuning.json"
    file.write_text(json.dumps({"chosen": {"ppo": {"learning_rate": 0.003, "num_clips": 2}}}))
    config = Compare(methods=("ppo", "gumbel"), tuning=file, run=tmp_path).settled()
    usual = Compare(methods=("ppo", "gumbel"), run=tmp_path).settled()
    for one, other in zip(*(plan(each, dict.fromkeys(each.seeds, tmp_path)).jobs for each in (config, usual))):
        if one.method == "ppo":
            assert (one.learning_rate, one.num_clips, one.n_epochs) == (0.003, 2, other.n_epochs)
        else:
            assert one == other


def test_a_cnn_that_learns_too_has_rows_of_its_own():
    config = Compare(methods=("ppo",), regimes=("frozen", "joint"), cost_weights=(1.0,), seeds=(0,)).settled()
    frozen, joint = plan(config, {0: Path("b.pt")}).jobs
    assert (frozen.regime, joint.regime) == ("frozen", "joint")
    assert (frozen.run.name, joint.run.name) == ("ppo-g1-w1-s0", "ppo-joint-g1-w1-s0")
    assert (row_method(frozen), row_method(joint)) == ("ppo", "ppo-joint")


def test_an_option_that_is_given_overrides_its_preset():
    settled = Compare(preset="full", seeds=(7,), seconds=0.0, correctness_row=False).settled()
    assert (settled.seeds, settled.seconds, settled.correctness_row) == ((7,), 0.0, False)
    assert settled.group_sizes == (8,)
    assert Compare().settled().settled() == Compare().settled()


def test_an_unknown_method_lists_the_known_ones(videos, tmp_path):
    with pytest.raises(ValueError, match="reinforce"):
        compare(Compare(methods=("sarsa",), data=Data(root=videos), run=tmp_path))


@pytest.mark.parametrize("options", [{"seeds": ()}, {"cost_weights": (1.0, 1.0)}])
def test_a_list_that_cannot_be_is_refused(options):
    with pytest.raises(ValueError, match="once and at least one"):
        check_options(Compare(**options).settled())


def test_fixed_policies_of_another_order_do_not_pass_for_these(finished):
    (job,) = plan_fixed(config := replace(finished.settled(), device="cpu"), pretrained(config))
    Run(job.run).check_same(job)
    with pytest.raises(ValueError, match="differs in order"):
        Run(job.run).check_same(replace(job, order="frame"))
