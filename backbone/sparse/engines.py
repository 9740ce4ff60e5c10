"""What runs a Program, by name."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from torch import Tensor

from backbone.common.naming import did_you_mean
from backbone.fusion.sites import Site
from backbone.sparse.build import Missing
from backbone.sparse.kernel_engine import KernelEngine
from backbone.sparse.program import Program
from backbone.sparse.torch_engine import TorchEngine

ENGINES = ("kernels", "torch")


class Engine(Protocol):
    """Runs a Program's operations and keeps its maps from frame to frame; TorchEngine says what each method does."""

    name: str

    def reset(self) -> None: ...
    def begin(self, frame: Tensor) -> None: ...
    def average(self, name: str) -> Tensor: ...
    def start(self) -> None: ...
    def advance(self, site: int, decisions: np.ndarray) -> None: ...
    def run(self, decisions: Sequence[np.ndarray]) -> None: ...
    def features(self) -> Tensor: ...
    def end(self) -> None: ...


def check_engine(name: str | None) -> str | None:
    """:raises ValueError: an unknown engine"""
    if name is not None and name not in ENGINES:
        raise ValueError(f"expected an engine among {', '.join(ENGINES)}; got {name!r}{did_you_mean(name, ENGINES)}")
    return name


def make_engine(name: str | None, program: Program, sites: Sequence[Site], size: Sequence[int], *, raw: bool) -> Engine:
    """An engine for frames of this size.

    :param name: None: the kernels, or PyTorch where they cannot run, which a line on stderr then says
    :raises Missing: the kernels were asked for and cannot run
    """
    if name != "torch":
        try:
            return KernelEngine(program, sites, size, raw=raw)
        except Missing as reason:
            if name is not None:
                raise
            print(f"streaming in PyTorch's own operations, which is slower: {reason}", file=sys.stderr)
    return TorchEngine(program, sites, size, raw=raw)
