"""The kernels as a library: the one that was installed with the package, or one compiled on first use."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

SOURCE = Path(__file__).with_name("kernels.cpp")
COMMON = ("-O3", "-std=c++17", "-fPIC", "-shared", "-pthread")
FLAGS = {  # by kind of CPU, the best first; pyproject.toml has the same
    "avx512": ("-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512dq", "-mfma", "-mprefer-vector-width=512"),
    "avx2": ("-mavx2", "-mfma"),
    "plain": (),
}
OP_BYTES = 29 * 8  # of the C++ struct Op


class Missing(RuntimeError):
    """The kernels cannot run here; the message says why."""


def cpu_kind() -> str:
    """A key of FLAGS: what this CPU can do, as PyTorch sees it (ATEN_CPU_CAPABILITY lowers it)."""
    able = torch.backends.cpu.get_cpu_capability()
    return "avx512" if able.startswith("AVX512") else "avx2" if able.startswith("AVX2") else "plain"


@functools.cache
def library() -> ctypes.CDLL:
    """The kernels for this CPU, compiled if need be.

    :raises Missing: no library, and no compiler to make one; or one that does not fit
    """
    kind = cpu_kind()
    path = installed(kind) or compiled(kind)
    try:
        lib = ctypes.CDLL(str(path))
    except OSError as error:
        raise Missing(f"the kernels in {path} do not load here ({error}): remove that file") from error
    lib.size_of_op.restype = ctypes.c_long
    if lib.size_of_op() != OP_BYTES or lib.width() != {"avx512": 16, "avx2": 8, "plain": 4}[kind]:
        raise Missing(f"the kernels in {path} were built from other code or for another CPU: remove that file")
    lib.run.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    lib.run.restype = ctypes.c_int
    return lib


def installed(kind: str) -> Path | None:
    """What the package's own build has made of this source, if it has."""
    made = sorted(SOURCE.parent.glob(f"_kernels_{kind}.*"))
    return next((path for path in made if path.stat().st_mtime >= SOURCE.stat().st_mtime), None)


def compiled(kind: str) -> Path:
    """A library in the user's cache, compiled now if it is not there.

    :raises Missing: no compiler, or one that fails
    """
    key = hashlib.sha256(SOURCE.read_bytes() + " ".join(COMMON + FLAGS[kind]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "adafuse-rl"
    path = cache / f"kernels-{kind}-{key}.so"
    if path.exists():
        return path
    compiler = os.environ.get("CXX") or next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if compiler is None or shutil.which(compiler) is None:
        raise Missing(f"no C++ compiler{f' {compiler}' if compiler else ''} is at hand (install g++, or set CXX)")
    print(f"compiling the kernels for {kind}, once, into {path} ...", file=sys.stderr, flush=True)
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            made = Path(folder) / "kernels.so"
            command = [compiler, *COMMON, *FLAGS[kind], str(SOURCE), "-o", str(made)]
            subprocess.run(command, check=True, capture_output=True, text=True)
            os.replace(made, path)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        raise Missing(f"{compiler} could not compile the kernels ({reason.strip().splitlines()[-1]})") from error
    return path
