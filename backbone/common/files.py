"""Files that are either whole or not there: checkpoints of JSON and tensors, never of code."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from backbone.common import ranks
from backbone.common.naming import paths_nearby


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file aside, then rename it: an interruption or a full disk leaves what was there before.

    Of a run's many ranks the first one writes.
    """
    if not ranks.writes():
        return
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(aside, "wb") as file:
            write(file)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes whole."""
    write_whole(path, lambda file: file.write(content))


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays whole, compressed, under their names, as ``np.load`` gives them back."""
    named: dict[str, Any] = dict(arrays)
    write_whole(path, lambda file: np.savez_compressed(file, **named))


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole, indented, with a newline at its end."""
    text = json.dumps(content, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, lambda file: file.write(text.encode()))


def save_checkpoint(path: Path, kind: str, content: dict, tensors: dict) -> None:
    """Save JSON ``content`` and a (nested) dict of ``tensors`` under a ``kind`` that ``load_checkpoint`` checks."""
    data = {"format": f"adafuse-rl/{kind}", "json": json.dumps(content), "tensors": tensors}
    write_whole(path, lambda file: torch.save(data, file))


def load_checkpoint(path: str | Path, kind: str) -> tuple[dict, dict]:
    """Read what ``save_checkpoint`` wrote: (content, tensors), on the CPU. Never runs code from the file.

    :raises ValueError: no such file, not a checkpoint, or one of another kind
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(
            f"expected a {kind} checkpoint at {path}, found no such file: check the path{paths_nearby(path)}"
        )
    data = load_tensors(path)
    expected = f"adafuse-rl/{kind}"
    if not isinstance(data, dict) or data.get("format") != expected:
        found = data.get("format", "another program's file") if isinstance(data, dict) else type(data).__name__
        raise ValueError(f"expected a checkpoint of format {expected} in {path}, got {found}: name another file")
    return json.loads(data["json"]), data["tensors"]


def load_tensors(path: Path) -> Any:
    """``torch.load`` with ``weights_only=True``, every failure told in one sentence."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises a dozen kinds on damaged files: IndexError, TypeError, UnpicklingError, ...
        if refused := re.search(r"Unsupported global: GLOBAL (\S{1,80})", str(error)):
            raise ValueError(
                f"expected a file of tensors alone at {path}, got one that holds {refused[1]} too, which is not read since "
                "it could run code: if you trust it, read it once by torch.load(..., weights_only=False), and torch.save "
                "its state dict alone"
            ) from error
        reason = str(error).strip().split("\n")[0][:120]
        raise ValueError(f"expected a file of tensors at {path}, could not read it ({reason}): is it whole?") from error
