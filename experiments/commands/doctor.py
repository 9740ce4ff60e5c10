"""Is all there that the project needs? Versions, devices, room, codecs, data; what is missing, and what to do about it."""

from __future__ import annotations

import json
import platform
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Literal, NamedTuple

import av
import numpy as np
import torch
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from backbone.common.files import load_checkpoint
from envs.clips.datasets import SIDECAR
from envs.clips.video.decode import decode_frames, write_video
from experiments.command_line import PROGRAM
from experiments.config import DEFAULT_ROOT, Doctor, Train
from experiments.machine import cores

REQUIREMENTS = Path(__file__).parents[2] / "requirements.txt"
PYTHON = (3, 11)
PROJECT = "adafuse-rl"
ROOM_GB = {
    "data": 1.0,
    "runs": 1.0,
}  # the embedded data with their cache of decoded clips; a comparison with room to spare
MEMORY_GB = 2.0
SHARED_GB = 1.0  # of /dev/shm, through which --data.workers hand over clips
COLOURS = {"ok": "green", "note": "yellow", "missing": "bold red"}


class Finding(NamedTuple):
    """One line of the report.

    :param status: "missing" is needed by every command; a "note" may be of no harm
    :param advice: what to do, if it is not "ok"
    """

    part: str
    name: str
    found: str
    status: Literal["ok", "note", "missing"] = "ok"
    advice: str = ""


def run(config: Doctor) -> int:
    """Print what was found, as tables or JSON; 0 if nothing that is needed is missing, else 1."""
    found = examine(Path())
    healthy = not any(finding.status == "missing" for finding in found)
    if config.json:
        print(json.dumps({"healthy": healthy, "findings": [finding._asdict() for finding in found]}, indent=2))
    else:
        show(found)
    return 0 if healthy else 1


def examine(place: Path) -> list[Finding]:
    """All findings.

    :param place: folder in which data/ and runs/ lie, or will
    """
    return [*packages(REQUIREMENTS), *devices(), *room(place), *codecs(), *yours(place)]


def packages(requirements: Path) -> Iterator[Finding]:
    """Python and every package that is needed, beside its pin where there is one: in a checkout, not in an installed wheel."""
    version, wanted = platform.python_version(), ".".join(map(str, PYTHON))
    advice = f"install Python {wanted} or newer, and build .venv with it: make PYTHON=python{wanted} test"
    yield _judged("versions", "python", version, needed=sys.version_info >= PYTHON, advice=advice)
    pinned = requirements.is_file()
    install = f"{Path(sys.executable).name} -m pip install {f'-r {requirements.name}' if pinned else PROJECT}"
    for name, pin in (_pins(requirements) if pinned else dict.fromkeys(_required())).items():
        try:
            version = metadata.version(name)
        except metadata.PackageNotFoundError:
            yield Finding("versions", name, f"not installed{f', {pin} is pinned' if pin else ''}", "missing", install)
            continue
        if pin is None or version.partition("+")[0] == pin:
            yield Finding("versions", name, version)
        else:
            yield Finding("versions", name, f"{version}, {pin} is pinned", "note", f"for our figures: {install}")


def _pins(requirements: Path) -> dict[str, str]:
    text = requirements.read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, flags=re.MULTILINE))


def _required() -> list[str]:
    """Names of the packages that this one says it needs, extras aside."""
    return [re.findall(r"^[\w.-]+", line)[0] for line in metadata.requires(PROJECT) or () if "extra ==" not in line]


def devices() -> Iterator[Finding]:
    """What computes, and its memory."""
    yield Finding(
        "devices", "CPU", f"{cores()} cores to use, {torch.get_num_threads()} threads of torch, {platform.machine()}"
    )
    memory = _memory_gb()
    if memory is not None:
        advice = f"{MEMORY_GB:g} GB are enough for the embedded data: close other programs, or compare with --workers 1"
        yield _judged("devices", "memory", f"{memory:.1f} GB free", wanted=memory >= MEMORY_GB, advice=advice)
    for number in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(number)
        yield Finding("devices", f"CUDA {number}", f"{facts.name}, {facts.total_memory / 1e9:.0f} GB")
    if not torch.cuda.is_available():
        yield Finding("devices", "CUDA", f"none (torch {torch.__version__}): everything runs on the CPU")


def _memory_gb() -> float | None:
    """Memory that programs can still have, in GB; None where the system does not say."""
    try:
        (free,) = re.findall(r"^MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(), flags=re.MULTILINE)
    except (OSError, ValueError):
        return None
    return int(free) * 1024 / 1e9


def room(place: Path) -> Iterator[Finding]:
    """Disk for data and runs, the right to write there, shared memory."""
    for name, wanted in ROOM_GB.items():
        folder = place / name
        existing = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
        free = shutil.disk_usage(existing).free / 1e9
        advice = f"{wanted:g} GB are enough: make room, or make {name}/ a link to another disk"
        yield _judged("room", f"{name}/", f"{free:.1f} GB free", needed=free >= wanted, advice=advice)
        try:
            with tempfile.TemporaryFile(dir=existing) as file:
                file.write(b"a file to see whether it can be written")
            yield Finding("room", f"write {name}/", "yes" if folder.is_dir() else "yes, it will be made")
        except OSError as error:
            advice = f"change the rights of {existing}, or work in another folder"
            # data that are there need not be written to, but for their cache
            status: Literal["note", "missing"] = "missing" if name == "runs" or not folder.is_dir() else "note"
            yield Finding("room", f"write {name}/", f"no ({error.strerror})", status, advice)
    shared = Path("/dev/shm")
    if shared.is_dir():
        size = shutil.disk_usage(shared).total / 1e9
        advice = "only --data.workers need more: leave them out, or give a container --shm-size 2g"
        yield _judged("room", "/dev/shm", f"{size:.1f} GB", wanted=size >= SHARED_GB, advice=advice)


def codecs() -> Iterator[Finding]:
    """Can videos be written and read?"""
    advice = f"take PyAV's own wheel, which brings its FFmpeg: {Path(sys.executable).name} -m pip install --force-reinstall av"
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    yield Finding("video", "libavcodec", f"{version} of PyAV {av.__version__}")
    frames = np.zeros((8, 32, 32, 3), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        try:
            write_video(Path(folder) / "black.mp4", frames)
            yield Finding("video", "H.264 encoding", "yes")
            shape = decode_frames(Path(folder) / "black.mp4", num_frames=8, size=32).shape
            fits = shape == frames.shape
            yield _judged("video", "H.264 decoding", "yes" if fits else f"of shape {shape}", needed=fits, advice=advice)
        except (OSError, ValueError) as error:  # FFmpeg's errors are of these kinds
            yield Finding("video", "H.264 encoding, decoding", f"no ({str(error)[:60]})", "missing", advice)
    for name, title, users in (("vp9", "VP9", "Something-Something"), ("mjpeg", "JPEG", "folders of frames")):
        there = name in av.codecs_available
        yield _judged(
            "video", f"{title} decoding", "yes" if there else "no", wanted=there, advice=f"for {users}, {advice}"
        )


def yours(place: Path) -> Iterator[Finding]:
    """What was generated and trained already: commands make what they need of it."""
    data, backbone = place / DEFAULT_ROOT, place / Train().backbone
    if (data / SIDECAR).is_file():
        counts = json.loads((data / SIDECAR).read_text(encoding="utf-8"))["counts"]
        yield Finding("yours", "embedded data", ", ".join(f"{count:,} {split}" for split, count in counts.items()))
    else:
        advice = "the first command that needs them generates them"
        yield Finding("yours", "embedded data", f"not in {data}", "note", advice)
    if backbone.is_file():
        try:
            content, _ = load_checkpoint(backbone, "backbone")
            classes = f"{len(content['classes'])} classes"
            yield Finding("yours", "backbone", f"{content['architecture']}, {classes}, in {backbone}")
        except ValueError as error:
            yield Finding("yours", "backbone", str(error), "note", f"{PROGRAM} pretrain")
    else:
        advice = f"to train on your own: {PROGRAM} pretrain; compare makes one for itself"
        yield Finding("yours", "backbone", f"not at {backbone}", "note", advice)


def _judged(part: str, name: str, found: str, *, needed: bool = True, wanted: bool = True, advice: str = "") -> Finding:
    if needed and wanted:
        return Finding(part, name, found)
    return Finding(part, name, found, "note" if needed else "missing", advice)


def show(found: Sequence[Finding]) -> None:
    """One table, then what to do."""
    console = Console(highlight=False, width=None if Console().is_terminal else 160)
    table = Table(title=f"{PROGRAM} doctor")
    for column in ("", "what", "found", "", "what to do"):
        table.add_column(column)
    part = ""
    for finding in found:
        if part and finding.part != part:
            table.add_section()
        first, part = finding.part if finding.part != part else "", finding.part
        status = f"[{COLOURS[finding.status]}]{finding.status}[/]"
        table.add_row(first, finding.name, escape(finding.found), status, escape(finding.advice))
    console.print(table)
    if any(finding.status == "missing" for finding in found):
        console.print("Something that is needed is missing: see the lines marked so.", style="bold red")
    else:
        console.print(f"All that is needed is there. See everything once: {PROGRAM} compare --preset quick")
