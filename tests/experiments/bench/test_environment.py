from experiments.bench.environment import environment_ratios


def test_a_batch_is_set_beside_single_environments():
    measured = environment_ratios(clips=2, repeats=3)
    assert len(measured) == 2
    assert all(found.ratio > 0 for found in measured)
    assert any("vector env" in found.name for found in measured)
