"""What would make a GPU wait for the host, refused on a machine without one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

HALTING = ("_local_scalar_dense", "nonzero", "masked_select", "unique", "is_nonzero", "equal", "bincount")
METHODS = ("cpu", "numpy", "item", "tolist", "__bool__", "__int__", "__float__", "__index__")


class _Refused(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        by_mask = name in ("index", "index_put", "index_put_") and any(
            part is not None and part.dtype in (torch.bool, torch.uint8) for part in args[1]
        )
        if by_mask or name in HALTING:
            raise AssertionError(f"{func} waits for the device")
        return func(*args, **(kwargs or {}))


@contextmanager
def no_halt() -> Iterator[None]:
    """Numbers may not be read, nor may a shape depend on them; on a GPU torch itself watches as well."""

    def refuse(self: torch.Tensor, *args: Any, **kwargs: Any) -> None:
        raise AssertionError("a tensor is read by the host")

    with pytest.MonkeyPatch.context() as patch, _Refused():
        for name in METHODS:
            patch.setattr(torch.Tensor, name, refuse)
        if torch.cuda.is_available():
            torch.cuda.set_sync_debug_mode("error")
        try:
            yield
        finally:
            if torch.cuda.is_available():
                torch.cuda.set_sync_debug_mode("default")
