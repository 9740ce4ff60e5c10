import json

import numpy as np

from experiments.bench import bench, interleave, summarise
from experiments.config import Bench


def test_a_bench_measures_and_keeps_its_figures(tmp_path, capsys):
    bench(Bench(clips=2, repeats=3, json=tmp_path / "bench.json"))
    kept = json.loads((tmp_path / "bench.json").read_text())
    assert len(kept["ratios"]) == 2
    assert all(found["ratio"] > 0 for found in kept["ratios"])
    assert "vector env" in capsys.readouterr().out


def test_pairs_take_turns_in_who_goes_first():
    order = []
    interleave(lambda: order.append("s"), lambda: order.append("y"), 4, "")
    assert "".join(order) in ("ysysysyssyys", "yssyyssyyssy")


def test_a_limit_is_judged_on_the_medians():
    slow, fast = np.full(5, 2.0), np.full(5, 1.0)
    assert not summarise("", slow, fast, 1.25, below=True).met
    assert summarise("", slow, fast, 1.25, below=False).met
