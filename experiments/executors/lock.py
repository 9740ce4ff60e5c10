"""One driver a folder: a small file that says who drives, and shows signs of life."""

from __future__ import annotations

import json
import os
import platform
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from backbone.common.files import write_json
from experiments.executors.store import mirroring, url_of

DRIVER = "driver.json"  # in the folder, while somebody drives
BEAT, SILENT = 10.0, 60.0  # seconds between signs of life, and after which who gave none is taken for dead


@contextmanager
def driving(folder: Path) -> Iterator[None]:
    """Nobody else drives the jobs of a folder while this lasts; where it is a mirror, it is fetched, and sent in the end.

    A driver that was killed leaves its file behind. On its own machine that is seen at once; from another one it is once
    the file has been silent for a minute.

    :raises ValueError: somebody drives already
    """
    path = Path(folder) / DRIVER
    own = {"token": uuid.uuid4().hex, "host": platform.node(), "pid": os.getpid()}
    _expect_free(path)
    _write(path, own)
    found = _read(path)
    if found is None or found["token"] != own["token"]:  # two began within the same moment: the later one has it
        raise ValueError(_refusal(path, found or own, 0.0))
    over = threading.Event()
    beating = threading.Thread(target=_beat, args=(path, own, over), daemon=True)
    beating.start()
    try:
        with mirroring(path.parent):
            yield
    finally:
        over.set()
        beating.join()
        _remove(path)


def token_of(folder: Path) -> str | None:
    """What tells that a folder is the very one in which a driver has written; None where nobody drives."""
    found = _read(Path(folder) / DRIVER)
    return None if found is None else found["token"]


def _expect_free(path: Path) -> None:
    found = _read(path)
    if found is None:
        return
    silent = time.time() - found["beat"]
    here = found["host"] == platform.node()
    if silent < SILENT and not (here and not _alive(found["pid"])):
        raise ValueError(_refusal(path, found, silent))


def _refusal(path: Path, found: dict[str, Any], silent: float) -> str:
    return (
        f"expected to drive {path.parent} alone, process {found['pid']} on {found['host']} does already (last sign of life "
        f"{max(silent, 0):.0f} s ago): wait for it or stop it, or name another folder with --run; one that was killed on "
        f"another machine is taken for dead after {SILENT:.0f} s"
    )


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return not _zombie(pid)


def _zombie(pid: int) -> bool:
    """Killed, and its parent has not asked yet; told on Linux alone."""
    with suppress(OSError, IndexError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    return False


def _beat(path: Path, own: dict[str, Any], over: threading.Event) -> None:
    while not over.wait(BEAT):
        with suppress(OSError):  # a shared folder may be away for a moment
            _write(path, own)


def _write(path: Path, own: dict[str, Any]) -> None:
    content = {**own, "beat": time.time()}
    if (url := url_of(path)) is None:
        write_json(path, content)
    else:
        url.filesystem.pipe_file(url.path, json.dumps(content).encode())


def _read(path: Path) -> dict[str, Any] | None:
    with suppress(FileNotFoundError, json.JSONDecodeError, KeyError):
        if (url := url_of(path)) is None:
            return json.loads(path.read_text())
        url.filesystem.invalidate_cache()
        return json.loads(url.filesystem.cat_file(url.path))
    return None


def _remove(path: Path) -> None:
    with suppress(FileNotFoundError):
        if (url := url_of(path)) is None:
            path.unlink()
        else:
            url.filesystem.rm_file(url.path)
