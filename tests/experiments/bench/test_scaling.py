import pytest

from experiments.bench.scaling import Link, efficiency, measure, reduction_seconds


def test_a_ring_sends_each_byte_nearly_twice_and_one_rank_sends_none():
    link = Link(bandwidth=100.0, latency=0.0)
    assert reduction_seconds(1, 1e9, 10, link) == 0
    assert reduction_seconds(2, 100, 1, link) == pytest.approx(1.0)
    assert reduction_seconds(1000, 100, 1, link) == pytest.approx(2.0, rel=1e-2)


def test_messages_cost_their_latency():
    assert reduction_seconds(8, 0, 5, Link(1.0, 0.01)) == pytest.approx(5 * 2 * 3 * 0.01)


def test_efficiency_falls_with_bytes_and_rises_with_work():
    link = Link(1e9, 1e-5)
    assert efficiency(1.0, 1, 1e8, 100, link) == 1
    assert efficiency(1.0, 8, 1e8, 100, link) > efficiency(1.0, 8, 1e9, 100, link)
    assert efficiency(1.0, 8, 1e8, 100, link) > efficiency(0.1, 8, 1e8, 100, link)


@pytest.mark.slow
def test_two_ranks_reduce_gradients_and_statistics():
    found = measure(2, 4, architecture="resnet_small", size=16, threads=1, updates=2)
    gradients = 4 * 100_000
    assert found.bytes > gradients / 10
    assert found.reductions > 10
    assert 0 < found.share < 1
    assert found.clips_per_second == pytest.approx(4 / found.seconds)
