import json
import shutil

import pytest

from envs.clips import motions
from experiments.config import Data, Probe, Train
from experiments.probing import probe as module
from experiments.probing.probe import NO_FACTS, Probed, probe
from experiments.train import train


@pytest.fixture(scope="module")
def runs(videos, backbone_file, tmp_path_factory):
    """An adaptive agent and a static one."""
    folder = tmp_path_factory.mktemp("probed")
    small = {"clips": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu"}
    return [
        train(Train(backbone=backbone_file, data=Data(root=videos), method=method, run=folder / method, **small))
        for method in ("gumbel", "static")
    ]


@pytest.fixture(scope="module")
def text(runs):
    return probe(Probe(tuple(runs), threads=1, device="cpu"))


def test_text_json_and_picture_are_written_beside_each_run(runs, text):
    for run in runs:
        kept = json.loads((run / "probes.json").read_text())
        assert (run / "probes.png").stat().st_size > 10_000
        assert f"{run}: greedy policy on 16 clips of test" in text
        assert "accuracy {:.1f} [{:.1f}, {:.1f}] %".format(*kept["accuracy"]) in text
        names = ["same class", "reversed class", "any class", "schedule", "static"]
        assert list(kept["without_adaptivity"]) == names
        difficulty = kept["difficulty"]
        assert list(difficulty["phases"]) == ["before", "inside", "after"]
        assert sum(part["frames"] for part in difficulty["phases"].values()) == 16 * 8


def test_a_static_run_varies_in_nothing_and_is_what_the_others_are_set_against(runs, text):
    adaptive, static = (json.loads((run / "probes.json").read_text()) for run in runs)
    assert static["against_static"] is None
    found = adaptive["against_static"]
    assert found["run"] == str(runs[1])
    for name in ("accuracy", "cost"):
        assert found[name][0] == pytest.approx(adaptive[name][0] - static[name][0])
    assert f"above the learned static policy {runs[1]}" in text
    assert static["adaptivity"]["all"]["constant"] == 1
    for row in static["without_adaptivity"].values():
        assert row["adaptive_minus_this"] == {"accuracy": [0, 0, 0], "cost": [0, 0, 0]}
    assert set(static["difficulty"]["rank_correlation_of_cost"].values()) == {None}


def test_the_facts_are_those_of_the_clips_played(runs, videos, text):
    """The number of frames in each phase, counted from clips that are drawn here."""
    kept = json.loads((runs[0] / "probes.json").read_text())["difficulty"]["phases"]
    facts = motions.facts(videos, [f"test/{clip:05d}.mp4" for clip in range(16)])
    assert kept["before"]["frames"] == facts.start.sum()
    assert kept["inside"]["frames"] == facts.length.sum()


def test_other_data_go_without_difficulty(runs, videos, tmp_path):
    other, run = tmp_path / "videos", tmp_path / "run"
    shutil.copytree(videos, other)
    (other / "dataset.json").unlink()
    shutil.copytree(runs[0], run)
    config = json.loads((run / "config.json").read_text())
    config["data"]["root"] = str(other)
    (run / "config.json").write_text(json.dumps(config))
    assert NO_FACTS in probe(Probe((run,), split="val", threads=1, device="cpu"))
    kept = json.loads((run / "probes.json").read_text())
    assert kept["difficulty"] is None
    assert kept["split"] == "val"


def test_runs_on_other_clips_are_not_set_against_each_other(runs, monkeypatch):
    monkeypatch.setattr(module, "probe_run", lambda run, config: Probed(run, run.name, {}, None, str(run), 2))
    monkeypatch.setattr(module, "describe_probes", lambda run, figures: [])
    with pytest.raises(ValueError, match=r"expected runs on the same clips as .*static, got others in .*gumbel"):
        probe(Probe(tuple(runs), threads=1, device="cpu"))


def test_a_folder_without_a_run_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="check the path"):
        probe(Probe((tmp_path,)))


def test_tables_are_aligned():
    rows = module._table(["a", "bb"], [["long", "1"], ["x", "22"]])
    assert len({len(row) for row in rows}) == 1
    assert all(row.startswith("  ") for row in rows)
