import numpy as np

from experiments.bench.measure import interleave, summarise


def test_pairs_take_turns_in_who_goes_first():
    order = []
    interleave(lambda: order.append("s"), lambda: order.append("y"), 4, "")
    assert "".join(order) in ("ysysysyssyys", "yssyyssyyssy")


def test_warm_up_pairs_run_and_do_not_count():
    runs = []
    times = interleave(lambda: runs.append(1), lambda: runs.append(1), 3, "", warmup=1)
    assert [len(part) for part in times] == [3, 3]
    assert len(runs) == 8


def test_a_limit_is_judged_on_the_medians():
    slow, fast = np.full(5, 2.0), np.full(5, 1.0)
    assert not summarise("", slow, fast, 1.25, below=True).met
    assert summarise("", slow, fast, 1.25, below=False).met
