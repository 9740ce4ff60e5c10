"""What a run stands on: a user's plugins, the device, the processor's threads, and the versions that it was made with."""

from __future__ import annotations

import ctypes
import importlib
import os
import pkgutil
import platform
import subprocess
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from backbone.common.naming import did_you_mean
from experiments.config import Device
from experiments.config.shared import Runs

_trusting = False  # runs' folders, for this process
PACKAGES = ("torch", "gymnasium", "stable-baselines3", "numpy", "tensorboard", "av")


def trust_runs(options: Runs) -> None:
    """Import the plugins that the user has named, and take the user's word on those that runs' folders name."""
    global _trusting
    _trusting = options.trust_run
    import_plugins(options.plugin)


def import_plugins(modules: Sequence[str], named_by: Path | None = None) -> None:
    """Import a user's modules, which register what they bring. What they print goes to stderr: stdout may be JSON.

    :param named_by: the run's folder that names them, where the user did not. Importing runs code, so only those are imported
        that have been in this process, unless the user trusts the folder
    :raises ValueError: one cannot be imported, or only a folder names it
    """
    for module in modules:
        if named_by is not None and not _trusting and module not in sys.modules:
            raise ValueError(
                f"expected your word for the plugin {module[:80]}, which the run in {named_by} names and you did not: importing "
                f"it runs its code, and a run's folder may come from anybody; if you trust it, add --plugin {module[:80]}, or "
                "--trust-run"
            )
        if not all(part.isidentifier() for part in module.split(".")):
            raise ValueError(
                f"expected a Python module for --plugin, such as my_cnn or mine.my_cnn, got {module[:80]!r}"
            )
        try:
            with redirect_stdout(sys.stderr):
                importlib.import_module(module)
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == module  # and not what it imports itself
            known = [found.name for found in pkgutil.iter_modules()] if missing else []
            raise ValueError(
                f"expected a Python module for --plugin {module}, could not import it: {error}{did_you_mean(module, known)}"
            ) from error


def provenance(**hashes: str) -> dict[str, Any]:
    """Versions, machine and commit that a run was made with, and the hashes of its data."""
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "machine": f"{platform.system()} {platform.machine()}, {torch.get_num_threads()} threads",
        "commit": _commit(),
        "data": hashes,
    }


def _commit() -> str:
    """Of this source; unknown where it is installed, whatever repository the installation may lie in."""

    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", Path(__file__).name)
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def cores() -> int:
    """CPU cores that this process may use, which can be fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def set_up_cpu(threads: int) -> None:
    """Use so many CPU threads, and keep freed memory for the next tensor.

    glibc hands the memory of every large tensor back to the kernel, which must then clear it page by page when the
    next tensor of that size asks: a quarter of the time of a small CNN. Elsewhere than on glibc nothing changes.

    :param threads: 0 leaves torch's own choice, all cores
    """
    if threads:
        torch.set_num_threads(threads)
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return
    trim_threshold, top_pad, mmap_max = -1, -2, -4  # malloc.h
    mallopt(mmap_max, 0)  # no tensor is mapped on its own, however large
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 << 20)


def resolve_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" -> a device.

    :raises ValueError: CUDA is asked for and not there
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device for --device cuda, found none: use --device cpu or auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)


def settle_device(name: str) -> Device:
    """ "auto", "cpu" or "cuda" -> "cpu" or "cuda", which a run's configuration then says.

    :raises ValueError: CUDA is asked for and not there
    """
    return "cuda" if resolve_device(name).type == "cuda" else "cpu"
