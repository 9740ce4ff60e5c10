"""Dense engines, as far as they are installed, run the CNN that they are given."""

import importlib.util

import torch
from fusion_cases import tiny_backbone

from backbone import fold_batchnorm
from experiments.bench.engines import dense_engines


@torch.no_grad()
def test_what_is_not_installed_is_left_out():
    cnn, frame = fold_batchnorm(tiny_backbone()).cnn, torch.randn(1, 3, 16, 16)
    engines = dense_engines(cnn, frame, 1, compiled=False)
    there = {name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)}
    assert engines.keys() == {"eager", *there}
    torch.testing.assert_close(engines["eager"](), cnn(frame), rtol=1e-5, atol=1e-6)
