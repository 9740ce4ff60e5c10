"""What bench sparse says of a stream: shares of MACs as they are charged, shares of time as they are measured."""

import time

import pytest
import torch
from fusion_cases import tiny_backbone

from backbone.sparse import Stream
from experiments.bench import sparse
from experiments.bench.sparse import Drawn, in_turn, realised


@pytest.fixture
def slow_dense(monkeypatch):
    """A dense engine of 20 ms and one of 40."""
    engines = {"quick": lambda: time.sleep(0.02), "slow": lambda: time.sleep(0.04)}
    monkeypatch.setattr(sparse, "dense_engines", lambda *_, **__: engines)


def test_the_fastest_dense_engine_is_the_yardstick(slow_dense):
    backbone = tiny_backbone(history="fused")
    streams = {
        name: Stream(backbone, Drawn(backbone, mix)) for name, mix in {"all": (1, 0, 0), "half": (0.5, 0, 0.5)}.items()
    }
    dense, half = realised(streams, backbone, torch.randn(1, 3, 16, 16), 5, 1, least=0.8)
    assert "time / quick" in dense.name
    assert "1.000 of the MACs" in dense.name
    assert dense.met
    macs = streams["half"].macs / (streams["half"].frames * backbone.ledger.dense_macs)
    assert f"{macs:.3f} of the MACs" in half.name
    assert half.ratio == pytest.approx(1 / (1 - macs), rel=0.5)  # next to 20 ms it takes no time
    assert half.met
    assert half.low <= half.high


def test_drawn_decisions_have_their_shares():
    backbone = tiny_backbone(widths=(20, 40), history="fused")
    drawn = Drawn(backbone, (0.5, 0.3, 0.2))
    for site, decisions in zip(backbone.sites, drawn.frames[0], strict=True):
        counts = torch.bincount(decisions, minlength=3) / site.decisions
        assert counts.tolist() == pytest.approx([0.5, 0.3, 0.2])


def test_everything_is_timed_equally_often():
    times = in_turn({"one": lambda: None, "other": lambda: None}, 4)
    assert {name: len(taken) for name, taken in times.items()} == {"one": 4, "other": 4}
