import json

import pytest

from experiments.commands.bench import run as bench
from experiments.config import Bench


def test_a_bench_measures_and_keeps_its_figures(tmp_path, capsys):
    bench(Bench(parts=("environment",), clips=2, repeats=3, json=tmp_path / "bench.json"))
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert len(kept["ratios"]) == 2
    assert all(found["ratio"] > 0 for found in kept["ratios"])
    assert "vector env" in capsys.readouterr().out


def test_an_unknown_part_lists_the_known():
    with pytest.raises(
        ValueError,
        match="environment, rollouts, episodes, cnn, cpu-ops, data, dataset, scaling, sparse, gpu, fuzz; got speed",
    ):
        bench(Bench(parts=("speed",)))


def test_threads_are_for_sparse_alone():
    with pytest.raises(ValueError, match="expected sparse alone with --threads, got environment, sparse"):
        bench(Bench(parts=("environment", "sparse"), threads=2))
