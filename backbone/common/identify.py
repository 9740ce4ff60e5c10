"""What lies where a file of tensors was expected: said in words, by its first bytes, without running any of it."""

from __future__ import annotations

import io
import pickletools
import tarfile
import zipfile
from pathlib import Path

_START = 1 << 16  # bytes that are looked at
_AGAIN = "get the file again"
_MAGIC = {
    b"version https://git-lfs": (
        "a pointer of git-lfs in place of the file",
        "fetch the file itself by git lfs pull, or from its page",
    ),
    b"\x89HDF": ("an HDF5 file", "name one of PyTorch or safetensors"),
    b"\x93NUMPY": ("an array of NumPy", "name a state dict of PyTorch, or safetensors"),
    b"\x1f\x8b": ("a gzip archive", "unpack it, and name the file inside"),
}
_BEFORE_THE_OBJECT = 3  # pickles that begin a file of PyTorch before 1.6: magic number, protocol, system


def instead_of_tensors(path: Path, error: Exception) -> tuple[str, str] | None:
    """What a file that cannot be read is, and what to do about it; None where nothing can be said.

    :param error: that reading it ended in
    """
    with open(path, "rb") as file:
        start = file.read(_START)
    for magic, words in _MAGIC.items():
        if start.startswith(magic):
            return words
    if not start:
        return "an empty file", f"its download or copy came to nothing: {_AGAIN}"
    if start.lstrip().lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "a web page", "download the file itself (the link behind Download or Raw), not the page that shows it"
    if start.startswith(b"PK\x03\x04"):
        return _of_zip(path)
    if not start.strip(b"\0"):
        return "zeros", f"its place was reserved and never filled: {_AGAIN}"
    if tarfile.is_tarfile(path):
        return "a tar archive", "unpack it, and name the file inside"
    if found := _whole_object(start, skip=_BEFORE_THE_OBJECT):
        return found
    if isinstance(error, EOFError) or "EOF" in str(error):
        return _cut_off(path)
    if _is_text(start[:1024]):
        return f"a text that begins {start[:40].decode(errors='replace')!r}", "name the file of weights itself"
    return None


def _of_zip(path: Path) -> tuple[str, str] | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
            pickled = next((name for name in names if name.endswith("data.pkl")), None)
            if any(name.endswith("constants.pkl") for name in names):
                return (
                    "a TorchScript archive",
                    "torch.save the state_dict() of what torch.jit.load gives, and name that",
                )
            if pickled is None:
                return f"a zip archive of {', '.join(names[:3]) or 'nothing'}", "unpack it, and name the file inside"
            with archive.open(pickled) as file:
                return _whole_object(file.read(_START))
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError, RuntimeError):
        return _cut_off(path)


def _cut_off(path: Path) -> tuple[str, str]:
    return f"one cut off or damaged, of {path.stat().st_size} bytes", _AGAIN


def _whole_object(pickled: bytes, skip: int = 0) -> tuple[str, str] | None:
    """A pickle whose outermost value is made by a class: a module with its code, not its state dict.

    :param skip: pickles before it
    """
    stream = io.BytesIO(pickled)
    try:
        for _ in range(skip):
            for _ in pickletools.genops(stream):
                pass
        for opcode, argument, _ in pickletools.genops(stream):
            if opcode.name in ("PROTO", "FRAME", "MARK", "BINPUT") or argument == "module":  # PyTorch's mark of a class
                continue
            name = str(argument).replace(" ", ".")
            if opcode.name != "GLOBAL" or name.startswith(("collections.", "torch._utils.", "torch._tensor.")):
                return None
            return (
                f"a whole pickled object ({name[:80]}), which is not read since it could run code",
                "where its code is and you trust it, read it by torch.load(..., weights_only=False), and torch.save its "
                "state_dict()",
            )
    except Exception:  # pickletools raises what comes on damaged pickles
        pass
    return None


def _is_text(start: bytes) -> bool:
    return all(byte >= 32 or byte in b"\t\r\n" for byte in start)
