"""Folders at a URL (s3://, gs://, whatever fsspec knows): jobs work in a mirror of theirs, which is sent and fetched.

Programs write into folders of this machine, and so do TensorBoard and PyTorch. A folder at a URL therefore has a mirror, at
the same place under the working folder of every machine: ``s3://bucket/sweep`` is ``runs/mirror/s3/bucket/sweep``. Files are
sent in the order in which they were written, so that what is there is always what a job killed at some moment leaves.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from backbone.common.files import write_bytes
from experiments.run import Run

MIRROR = Path("runs/mirror")
AS_A_PATH = re.compile(r"^([a-z][a-z0-9+]+):/+(.+)$")  # what pathlib makes of a URL: "s3:/bucket/sweep"
UNSENT = ("driver.json",)  # which the driver keeps there itself
CHECKPOINTS = (Run.checkpoint.name, Run.pretraining.name)  # once one is written, everything is sent


class Url(NamedTuple):
    """A place behind a URL.

    :param filesystem: fsspec's
    :param path: as that knows it
    """

    filesystem: Any
    path: str


def mirrored(folder: Path) -> Path:
    """The folder itself; of a URL, which ``Path`` has taken a slash from, its mirror here."""
    found = AS_A_PATH.match(str(folder))
    return MIRROR / found[1] / found[2] if found else folder


def url_of(path: Path) -> Url | None:
    """What is mirrored at a path; None where the path is no part of a mirror.

    :raises ValueError: a kind of URL that nothing here can open
    """
    try:
        scheme, *rest = Path(path).relative_to(MIRROR).parts
    except ValueError:
        return None
    address = f"{scheme}://{'/'.join(rest)}"
    try:
        import fsspec

        filesystem, found = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise ValueError(
            f"expected a URL that fsspec opens for --run, could not open {address}: {error} (the extra [ray] brings s3fs)"
        ) from error
    return Url(filesystem, found)


def pull(path: Path) -> None:
    """Fetch a file or folder of a mirror; what is there already and no other is left alone. Elsewhere nothing happens."""
    if (url := url_of(path)) is None:
        return
    url.filesystem.invalidate_cache()
    for found, facts in url.filesystem.find(url.path, detail=True).items():
        place = path / Path(found).relative_to(url.path) if found != url.path else path
        if place.name in UNSENT or _same(place, facts):
            continue
        write_bytes(place, url.filesystem.cat_file(found))
        if (when := _written(facts)) is not None:
            os.utime(place, (when, when))


def push(path: Path, sent: dict[Path, tuple[int, int]]) -> None:
    """Send what is new in a folder of a mirror, the oldest first. Elsewhere nothing happens.

    :param sent: what was sent already: path -> time and size; kept up to date
    """
    if (url := url_of(path)) is None or not path.is_dir():
        return
    there = {place: place.stat() for place in path.rglob("*") if place.is_file() and not place.name.startswith(".")}
    for place, facts in sorted(there.items(), key=lambda item: item[1].st_mtime_ns):
        mark = (facts.st_mtime_ns, facts.st_size)
        if place.name not in UNSENT and sent.get(place) != mark:
            url.filesystem.put_file(str(place), f"{url.path}/{place.relative_to(path).as_posix()}")
            sent[place] = mark


def send(path: Path) -> None:
    """Send one file of a mirror. Elsewhere nothing happens."""
    if (url := url_of(path)) is not None:
        url.filesystem.put_file(str(path), url.path)


@contextmanager
def mirroring(folder: Path) -> Iterator[None]:
    """Around a driver's work in a folder: fetch what is there, and send what is new in the end, however it ends."""
    pull(folder)
    sent = _marks(folder)
    try:
        yield
    finally:
        push(folder, sent)


@contextmanager
def sync(config: Any) -> Iterator[Callable[[], None]]:
    """Around a job: fetch every path in its configuration that lies in a mirror, and send its folder at each new checkpoint
    and at its end, however it ends. Gives the function that looks for a checkpoint."""
    folder = Path(getattr(config, "folder", None) or config.run)
    if url_of(folder) is None:
        yield lambda: None
        return
    for path in {folder, *_paths(config)}:
        pull(path)
    sent = _marks(folder)
    marks = _checkpoints(folder)

    def look() -> None:
        nonlocal marks
        if (now := _checkpoints(folder)) != marks:
            marks = now
            push(folder, sent)

    try:
        yield look
    finally:
        push(folder, sent)


def _marks(folder: Path) -> dict[Path, tuple[int, int]]:
    there = {place: place.stat() for place in folder.rglob("*") if place.is_file()} if url_of(folder) else {}
    return {place: (facts.st_mtime_ns, facts.st_size) for place, facts in there.items()}


def _paths(config: Any) -> list[Path]:
    names = [option.name for option in fields(config)] if is_dataclass(config) else []
    return [value for name in names if isinstance(value := getattr(config, name), Path)]


def _checkpoints(folder: Path) -> list[int]:
    return [(folder / name).stat().st_mtime_ns for name in CHECKPOINTS if (folder / name).exists()]


def _same(place: Path, facts: dict[str, Any]) -> bool:
    if not place.is_file() or place.stat().st_size != facts.get("size"):
        return False
    when = _written(facts)
    return when is not None and abs(place.stat().st_mtime - when) < 1


def _written(facts: dict[str, Any]) -> float | None:
    when = facts.get("LastModified") or facts.get("mtime") or facts.get("created")
    if isinstance(when, datetime):
        return when.timestamp()
    return when if isinstance(when, float) else None
