"""Engines that run a CNN densely: what a stream has to beat. Those that are not installed are left out."""

from __future__ import annotations

import copy
import importlib
import importlib.util
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Run = Callable[[], object]


def dense_engines(cnn: nn.Module, frame: Tensor, threads: int, *, compiled: bool = True) -> dict[str, Run]:
    """By name, what runs a CNN with folded BatchNorms on one frame.

    :param frame: (1, 3, H, W)
    :param compiled: torch.compile as well, which takes minutes to begin
    """
    cnn = copy.deepcopy(cnn).eval()
    cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    laid = frame.to(memory_format=torch.channels_last)
    engines: dict[str, Run] = {"eager": lambda: cnn(laid)}
    if compiled:
        engines["torch.compile"] = _compiled(cnn, laid)
    wanted = [name for name in ("onnxruntime", "openvino") if importlib.util.find_spec(name)]
    if wanted:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "cnn.onnx"
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the exporter's own deprecations
                torch.onnx.export(cnn, (frame,), str(path), dynamo=False, input_names=["frame"])
            for name in wanted:
                engines[name] = {"onnxruntime": _onnxruntime, "openvino": _openvino}[name](path, frame, threads)
    for run in engines.values():
        run()
    return engines


def _compiled(cnn: nn.Module, frame: Tensor) -> Run:
    with torch._inductor.config.patch(freezing=True):
        compiled = torch.compile(cnn)
        compiled(frame)
    return lambda: compiled(frame)


def _onnxruntime(path: Path, frame: Tensor, threads: int) -> Run:
    onnxruntime: Any = importlib.import_module("onnxruntime")

    options: Any = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    given = {"frame": frame.numpy()}
    return lambda: session.run(None, given)


def _openvino(path: Path, frame: Tensor, threads: int) -> Run:
    openvino: Any = importlib.import_module("openvino")

    core = openvino.Core()
    core.set_property("CPU", {"INFERENCE_NUM_THREADS": threads})
    model = core.compile_model(str(path), "CPU", {"INFERENCE_PRECISION_HINT": "f32", "NUM_STREAMS": 1})
    request, given = model.create_infer_request(), {0: frame.numpy()}
    return lambda: request.infer(given)
