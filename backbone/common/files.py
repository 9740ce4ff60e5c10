"""Files that are either whole or not there: checkpoints of JSON and tensors, never of code."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from backbone.common.identify import instead_of_tensors
from backbone.common.naming import paths_nearby

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Write a file aside, then rename it: an interruption or a full disk leaves what was there before.

    :raises OSError: it cannot be written; the message says which file, why, and what to do
    """
    path = Path(path)
    aside = path.with_name(f".{path.name[:200]}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = open(aside, "wb")  # noqa: SIM115 (closed below, so that what closing meets is told apart)
    except OSError as error:
        raise CannotWriteError(path, error) from error
    try:
        with file:
            write(file)
        os.replace(aside, path)
    except Exception as error:
        if full := _full(error):
            raise CannotWriteError(path, full) from error
        raise
    finally:
        aside.unlink(missing_ok=True)


class CannotWriteError(OSError):
    """A file that cannot be written, said in one sentence; what was there before is intact."""

    def __init__(self, path: Path, error: OSError) -> None:
        super().__init__(error.errno, error.strerror)
        kept = "what it held before is intact" if path.is_file() else "nothing half-written is left"
        if error.errno not in FULL:
            why = f"expected to write {path}, could not ({error.strerror}): {kept}"
            self.sentence = f"{why}; name another place, or mend its rights"
            return
        need = (
            f"about {path.stat().st_size / 1e6:.1f} MB" if path.is_file() else f"more than {_free(path) / 1e6:.1f} MB"
        )
        self.sentence = (
            f"expected room for {path} ({need}), got none: the disk is full, or a quota is reached; {kept}. Make room and call the "
            "same again (train and pretrain: with --resume): it goes on from the last checkpoint"
        )

    def __str__(self) -> str:
        return self.sentence


def _full(error: BaseException | None) -> OSError | None:
    """The error of a full disk that is behind another one: PyTorch wraps what its writer meets."""
    while error is not None and not (isinstance(error, OSError) and error.errno in FULL):
        error = error.__cause__ or error.__context__
    return error


def _free(path: Path) -> int:
    above = next(folder for folder in path.absolute().parents if folder.exists())
    return shutil.disk_usage(above).free


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
    write_bytes(path, text.encode(errors="backslashreplace"))  # of a path that is no text: JSON's own escape


def save_checkpoint(path: Path, kind: str, content: dict, tensors: dict) -> None:
    """Save JSON ``content`` and a (nested) dict of ``tensors`` under a ``kind`` that ``load_checkpoint`` checks."""
    import torch  # which whoever only reads videos does not wait for

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
    try:
        content, tensors = json.loads(data["json"]), data["tensors"]
    except (KeyError, TypeError, ValueError, RecursionError):
        content = tensors = None
    if not isinstance(content, dict) or not isinstance(tensors, dict):
        raise ValueError(f"expected facts and tensors in {path}, of format {expected}, got neither: it is damaged")
    return content, tensors


class Ignored:
    """Stands for a harmless object beside the tensors of a checkpoint, and keeps nothing of it."""

    def __init__(self, *arguments: object) -> None: ...

    def __setstate__(self, state: object) -> None: ...


# What most published checkpoints hold beside their tensors: the options of the program, scores as NumPy's scalars. None of
# these is built: each name stands for Ignored.
_HARMLESS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.ndarray",
    *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
    *(f"numpy.dtypes.{kind.__name__}" for kind in map(type, map(np.dtype, "?bBhHiIlLqQefd"))),
)


def load_tensors(path: Path) -> Any:
    """What a file of PyTorch or safetensors holds, on the CPU: tensors, and what is around them. Never runs code from the file.

    Namespaces and NumPy's values beside the tensors are ``Ignored``.

    :raises ValueError: no such file, whatever is wrong with it; the message says what it is instead
    """
    import torch

    from backbone.common.safetensors import is_safetensors, load_safetensors

    path = Path(path)
    if is_safetensors(path):
        return load_safetensors(path)
    try:
        harmless = torch.serialization.safe_globals([(Ignored, name) for name in _HARMLESS])
        with warnings.catch_warnings(), harmless:
            warnings.simplefilter("ignore")  # of TorchScript: an error says it below
            return torch.load(path, map_location="cpu", weights_only=True)
    except (
        Exception
    ) as error:  # torch raises a dozen kinds on damaged files: IndexError, TypeError, UnpicklingError, ...
        if found := instead_of_tensors(path, error):
            what, remedy = found
            raise ValueError(f"expected a file of tensors at {path}, got {what}: {remedy}") from error
        if refused := re.search(r"Unsupported global: GLOBAL (\S{1,80})", str(error)):
            raise ValueError(
                f"expected a file of tensors alone at {path}, got one that holds {refused[1]} too, which is not read since "
                "it could run code: if you trust it, read it once by torch.load(..., weights_only=False), and torch.save "
                "its state dict alone"
            ) from error
        reason = str(error).strip().split("\n")[0][:120]
        raise ValueError(f"expected a file of tensors at {path}, could not read it ({reason}): is it whole?") from error
