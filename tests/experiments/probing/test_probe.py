import json
import shutil

import pytest

from envs.clips import motions
from experiments.analysis.statistics import ClipDraws
from experiments.config import Data, Probe, Train
from experiments.probing import probe as module
from experiments.probing.clips import drawn_figures, policies_of
from experiments.probing.probe import Probed, probe
from experiments.probing.summary import load_clips, rebuild
from experiments.probing.text import NO_BLIND, NO_FACTS
from experiments.train import train


@pytest.fixture(scope="module")
def runs(videos, backbone_file, tmp_path_factory):
    """An adaptive agent, and two static ones of its seed."""
    folder = tmp_path_factory.mktemp("probed")
    small = {"rollouts": 32, "batch_size": 16, "validation_clips": 4, "device": "cpu"}
    small |= {"backbone": backbone_file, "data": Data(root=videos)}
    wanted = {"gumbel": ("gumbel", 1.0), "static": ("static", 1.0), "cheap": ("static", 8.0)}
    return [
        train(Train(method=method, cost_weight=weight, run=folder / name, **small))
        for name, (method, weight) in wanted.items()
    ]


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    return tmp_path_factory.mktemp("together")


@pytest.fixture(scope="module")
def text(runs, out):
    return probe(Probe(tuple(runs), out=out, threads=1, device="cpu"))


def read(folder):
    return json.loads((folder / "probes.json").read_text())


def test_text_json_and_picture_are_written_beside_each_run(runs, text):
    for run in runs:
        kept = read(run)
        assert (run / "probes.png").stat().st_size > 10_000
        assert f"{run}: greedy policy on 16 clips of test" in text
        assert "accuracy {:.1f} [{:.1f}, {:.1f}]ᶜ %".format(*kept["accuracy"]) in text
        names = ["same class", "reversed class", "any class", "shares", "most common"]
        assert list(kept["without_adaptivity"]) == names
        difficulty = kept["difficulty"]
        assert list(difficulty["phases"]) == ["before", "inside", "after"]
        assert sum(part["frames"] for part in difficulty["phases"].values()) == 16 * 8


def every_interval(figures):
    if isinstance(figures, list) and len(figures) == 3 and all(isinstance(value, float) for value in figures):
        yield figures
    elif isinstance(figures, dict | list):
        for part in figures.values() if isinstance(figures, dict) else figures:
            yield from every_interval(part)


def test_no_figure_excludes_its_own_estimate(runs, text):
    for run in runs:
        found = list(every_interval(read(run)))
        assert len(found) > 40
        for mean, low, high in found:
            assert low <= mean <= high


def test_an_agent_is_set_against_all_static_runs_and_they_against_nothing(runs, text):
    adaptive, *static = map(read, runs)
    assert [one["best_blind"] for one in static] == [None, None]
    found = adaptive["best_blind"]
    assert found["policies"] == 6  # two runs, greedy, sampled and by the top k
    if found["reached"] == "cost":
        assert found["lead"][0] == pytest.approx(adaptive["accuracy"][0] - found["accuracy"][0], abs=1e-3)
    assert text.count("best of 6 learned blind policies and their mixtures") == 1
    assert NO_BLIND not in text


def test_a_static_run_varies_in_nothing(runs, text):
    for static in map(read, runs[1:]):
        assert static["adaptivity"]["all"]["constant"] == 1
        for row in static["without_adaptivity"].values():
            assert row["adaptive_minus_this"] == {"accuracy": [0, 0, 0], "cost": [0, 0, 0]}
        assert set(static["difficulty"]["rank_correlation_of_cost"].values()) == {None}


def test_all_runs_together_are_kept_with_what_they_are(runs, text, out):
    kept = read(out)
    rows = [(run["method"], run["cost_weight"], run["seed"], run["group_size"], run["rollouts"]) for run in kept]
    assert rows == [("gumbel", 1, 0, 1, 32), ("static", 1, 0, 1, 32), ("static", 8, 0, 1, 32)]
    for run, of_run in zip(runs, kept):
        figures = read(run)
        assert {name: of_run[name] for name in figures} == figures
    assert (out / "probes.md").read_text() in text


def test_what_each_run_did_with_each_clip_is_kept_and_gives_its_figures(text, out, tmp_path):
    runs = read(out)
    stored = load_clips(out, runs)
    for run, own in zip(runs, stored):
        policies = [policy for place in run["rivals"] for policy in policies_of(stored[place])]
        found = drawn_figures(own, policies, ClipDraws(16, cluster=run["cluster"]))
        paths = set(found) if run["best_blind"] else set(found) - {("best_blind", "accuracy"), ("best_blind", "lead")}
        for path in paths:
            figure = run
            for part in path:
                figure = figure[part]
            if figure is not None:
                assert found[path][0] == pytest.approx(figure[0], abs=0.05), path
        assert {("swap", "follows"), ("without_adaptivity", "shares", "cost")} < paths
    assert rebuild(out, tmp_path) == (out / "probes.md").read_text()


def test_the_facts_are_those_of_the_clips_played(runs, videos, text):
    """The number of frames in each phase, counted from clips that are drawn here."""
    kept = read(runs[0])["difficulty"]["phases"]
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
    text = probe(Probe((run,), split="val", threads=1, device="cpu"))
    assert NO_FACTS in text
    assert NO_BLIND in text
    kept = read(run)
    assert kept["difficulty"] is None
    assert kept["split"] == "val"


def test_runs_on_other_clips_are_not_set_beside_each_other(runs, monkeypatch):
    monkeypatch.setattr(module, "probe_run", lambda run, config: Probed({}, {}, str(run), 2))
    monkeypatch.setattr(module, "write_json", lambda path, figures: None)
    with pytest.raises(ValueError, match=r"expected runs on the same clips, got others in .*cheap: probe it in a call"):
        probe(Probe(tuple(runs), threads=1, device="cpu"))


def test_a_seed_that_would_count_twice_is_refused_before_anything_is_played(runs, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "probe_run", None)
    shutil.copytree(runs[0], tmp_path / "again")
    with pytest.raises(ValueError, match="expected one run a seed for --out"):
        probe(Probe((runs[0], tmp_path / "again"), out=tmp_path, threads=1, device="cpu"))


def test_a_folder_without_a_run_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match="check the path"):
        probe(Probe((tmp_path,)))
