"""Files in the safetensors format, read by its specification: a length, a JSON header, the tensors' bytes."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

_LENGTH = 8  # bytes that hold the header's length, little endian
_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


def is_safetensors(path: Path) -> bool:
    """Whether a file begins as the format says: by a length, and a JSON object behind it."""
    with open(path, "rb") as file:
        start = file.read(_LENGTH + 1)
    return start[_LENGTH:] == b"{"


def load_safetensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a file by name, on the CPU.

    :raises ValueError: a file that is cut off, or contradicts itself; a dtype that is not known here
    """
    size = path.stat().st_size
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(_LENGTH), "little")
        start = _LENGTH + length
        if start > size:
            raise ValueError(_cut_off(path, start, size))
        try:
            header = json.loads(file.read(length))
            entries = {name: _Entry(entry) for name, entry in header.items() if name != "__metadata__"}
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise ValueError(f"expected a header of safetensors in {path}, got another: get the file again") from error
        end = start + max((entry.end for entry in entries.values()), default=0)
        if end > size:
            raise ValueError(_cut_off(path, end, size))
        tensors = {}
        for name, entry in entries.items():
            file.seek(start + entry.begin)
            tensors[name] = entry.tensor(file.read(entry.end - entry.begin))
    return tensors


class _Entry:
    """What the header says of a tensor.

    :raises ValueError: its bytes are not as many as its shape and dtype take
    """

    def __init__(self, entry: dict[str, Any]) -> None:
        self.dtype, self.shape = _DTYPES[entry["dtype"]], [int(length) for length in entry["shape"]]
        self.begin, self.end = (int(offset) for offset in entry["data_offsets"])
        expected = math.prod(self.shape) * self.dtype.itemsize
        if self.begin < 0 or min(self.shape, default=0) < 0 or self.end - self.begin != expected:
            raise ValueError(f"expected {expected} bytes")

    def tensor(self, content: bytes) -> Tensor:
        if not content:
            return torch.empty(self.shape, dtype=self.dtype)
        return torch.frombuffer(bytearray(content), dtype=self.dtype).view(self.shape)


def _cut_off(path: Path, expected: int, found: int) -> str:
    return (
        f"expected {expected} bytes in {path}, a file of safetensors, got {found}: it was cut off; get the file again"
    )
