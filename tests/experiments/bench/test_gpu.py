import pytest
import torch

from experiments.bench.gpu import captured, gpu_ratios


def test_every_row_is_measured():
    found = gpu_ratios(1, architecture="resnet_small", size=16, clips=2, rollouts=2, device="cpu")
    assert len(found) == 10
    assert all(row.ratio > 0 for row in found)


def test_without_a_gpu_it_says_what_needs_none(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="expected a CUDA device for bench gpu, found none: bench cpu-ops"):
        gpu_ratios(1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_what_cannot_be_captured_stays_eager_and_says_why(capsys):
    x = torch.ones(3, device="cuda")
    run = captured(lambda: x.sum().item(), "a sum")
    assert run() == 3
    assert "a sum stays eager: " in capsys.readouterr().err
