"""A run's folder: its configuration, where it came from, its clips."""

from __future__ import annotations

import ctypes
import importlib
import json
import pkgutil
import platform
import subprocess
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from backbone.common.files import write_json
from backbone.common.naming import did_you_mean, paths_nearby
from envs.clips import ClipError, ClipSource, VideoClips, VideoFiles, VideoViews, motions
from envs.clips.cache import CacheTooLarge
from envs.clips.datasets import find_clips
from envs.clips.flips import flip_targets
from experiments.config import EMBEDDED, Data, to_json, with_defaults

PACKAGES = ("torch", "gymnasium", "stable-baselines3", "numpy", "tensorboard", "av")


def import_plugins(modules: Sequence[str]) -> None:
    """Import a user's modules, which register what they bring.

    :raises ValueError: one cannot be imported
    """
    for module in modules:
        try:
            importlib.import_module(module)
        except ImportError as error:
            missing = isinstance(error, ModuleNotFoundError) and error.name == module  # and not what it imports itself
            known = [found.name for found in pkgutil.iter_modules()] if missing else []
            raise ValueError(
                f"expected a Python module for --plugin {module}, could not import it: {error}{did_you_mean(module, known)}"
            ) from error


def open_clips(data: Data, split: str, *, for_evaluation: bool | None = None) -> ClipSource:
    """The clips of a split; generates the embedded data set if one of its folders is missing.

    :param for_evaluation: refuse broken videos unless the configuration says to skip them; by default for the test
        split alone. Otherwise they are left out, and named in a line.
    """
    _generate(data)
    strict = split == "test" if for_evaluation is None else for_evaluation
    clips = _open_cached(data, split) or _open_files(data, split)
    if split == "train" and data.flip != "off":
        clips.flips = flip_targets(clips.classes, data.flip)
    if clips.note:
        print(clips.note)
    if clips.skipped:
        total = len(clips) + len(clips.skipped)
        broken = f"{len(clips.skipped)} of {total} videos of {split} cannot be used, the first: {clips.skipped[0]}"
        if strict and not data.skip_broken:
            raise ClipError(
                f"expected whole videos to evaluate on, {broken}; mend them or add --data.skip-broken (evaluate: --skip-broken)"
            )
        print(f"Left out: {broken}")
    return clips


def classes_of(data: Data) -> list[str]:
    """Names of the classes, in the order of their labels; needs no videos to train on."""
    _generate(data)
    return list(find_clips(data.root, "test", data.layout).classes)


def _generate(data: Data) -> None:
    if data.root in EMBEDDED:
        motions.ensure(data.root, **EMBEDDED[data.root])


def _open_cached(data: Data, split: str) -> VideoClips | None:
    """None where there is to be no cache, or no room for it."""
    if not data.cache_gb or data.sampling != "segments" or data.short != "error":
        return None
    try:
        cache = {"cache_dir": data.cache, "cache_gb": data.cache_gb}
        return VideoClips(data.root, split, **_sampling(data), **cache, workers=max(data.workers, 1))
    except CacheTooLarge as error:
        print(f"No cache of {split}, its videos are read each time: {error}")
        return None


def _open_files(data: Data, split: str) -> VideoFiles:
    check = split != "train" and data.skip_broken  # what is left out must be known before anything is judged
    return VideoFiles(data.root, split, **_file_sampling(data), check=check, workers=max(data.workers, 1))


def open_views(data: Data, split: str, *, clips: int, crops: int) -> VideoViews:
    """The videos of a split, each as clips * crops views, to be judged by the mean of their scores."""
    check = {"check": data.skip_broken, "workers": max(data.workers, 1)}
    return VideoViews(data.root, split, clips=clips, crops=crops, **_file_sampling(data), **check)


def _file_sampling(data: Data) -> dict[str, Any]:
    return {**_sampling(data), "sampling": data.sampling, "short": data.short}


def _sampling(data: Data) -> dict[str, Any]:
    return {name: getattr(data, name) for name in ("num_frames", "size", "margin", "layout", "crop")}


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
    def git(*words: str) -> str:
        here = Path(__file__).parent
        return subprocess.run(["git", *words], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "HEAD") + (" with uncommitted changes" if git("status", "--porcelain") else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def open_run(folder: Path, config: Any, *, resume: bool, **hashes: str) -> None:
    """Create a run's folder with config.json and provenance.json, or check that it can be taken up again.

    :raises ValueError: the folder holds a run already (without resume), or none (with it)
    """
    exists = (folder / "config.json").exists()
    if exists and not resume:
        raise ValueError(f"expected a new folder, {folder} holds a run already: resume it, name another, or remove it")
    if resume and not exists:
        raise ValueError(f"expected a run to resume in {folder}, found no config.json there: check the path")
    check_same(folder, config)
    if not exists:
        write_json(folder / "config.json", to_json(config))
    write_json(folder / "provenance.json", provenance(**hashes))


def check_same(folder: Path, wanted: Any) -> None:
    """Threads and workers, which change no result, may differ; an option that is younger than the run had its default.

    :raises ValueError: the folder holds a run of another configuration, which must not pass for the one wanted
    """

    def matters(options: dict[str, Any]) -> dict[str, Any]:
        kept = {name: value for name, value in options.items() if name not in ("run", "resume", "threads", "workers")}
        return {name: matters(value) if isinstance(value, dict) else value for name, value in kept.items()}

    if (folder / "config.json").exists():
        found = with_defaults(type(wanted), read_config(folder))
        different = sorted(
            name for name, value in matters(to_json(wanted)).items() if matters(found).get(name) != value
        )
        if different:
            raise ValueError(
                f"expected {folder} to hold the same run, it differs in {', '.join(different)}: "
                "name another folder with --run, or remove that one"
            )


def read_config(folder: Path) -> dict[str, Any]:
    """The configuration in a run's folder.

    :raises ValueError: no run there
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise ValueError(
            f"expected a run's folder with a config.json, found none at {folder}: check the path{paths_nearby(folder, 'config.json')}"
        )
    return json.loads(path.read_text())


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
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # malloc.h
    mallopt(mmap_threshold, 32 << 20)  # glibc's upper limit; larger tensors are mapped on their own
    mallopt(trim_threshold, 2**31 - 1)
    mallopt(top_pad, 64 << 20)


def resolve_device(name: str) -> torch.device:
    """ "auto", "cpu" or "cuda" -> a device.

    :raises ValueError: CUDA is asked for and not there
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise ValueError("expected a CUDA device for --device cuda, found none: use --device cpu or auto")
    return torch.device(("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name)
