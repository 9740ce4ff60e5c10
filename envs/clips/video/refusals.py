"""What is wrong with a file, in one sentence each; and what can be told before anything tries to understand it."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av

from envs.clips.source import ClipError
from envs.clips.video.bounds import check_list
from envs.clips.video.boxes import is_boxed
from envs.clips.video.headers import HEAD_BYTES, declared_end, may_be_padded

TRUE = (errno.ENOMEM, errno.EIO, errno.EACCES)  # numbers of the system that a decoder means
FOREIGN = 1000  # FFmpeg's own start far above


def status_of(path: Path, what: str = "video file") -> os.stat_result:
    """:raises ClipError: when there is nothing, or it may not be looked at."""
    try:
        return path.stat()
    except (FileNotFoundError, NotADirectoryError):
        raise ClipError(f"{path}: expected a {what}, but there is nothing; restore it or correct the list") from None
    except (OSError, ValueError) as error:  # a circle of links; a name that cannot be one
        raise unreadable(path, what, error) from error


def check_file(path: Path, status: os.stat_result, what: str = "video file") -> None:
    """:raises ClipError: for what is no file, empty, never written, or shorter than its own header says."""
    if stat.S_ISDIR(status.st_mode):
        raise ClipError(f"{path}: expected a {what}, but it is a directory; name a file inside it")
    if not stat.S_ISREG(status.st_mode):
        raise ClipError(f"{path}: expected a {what}, but it is a pipe or a device; name a file")
    if status.st_size == 0:
        raise ClipError(f"{path}: expected a {what}, but it is empty; replace it or take it off the list")
    try:
        with path.open("rb") as file:
            head = tail = file.read(HEAD_BYTES)
            if status.st_size > HEAD_BYTES:
                file.seek(-HEAD_BYTES, os.SEEK_END)
                tail = file.read()
            if is_boxed(head):
                check_list(path, file)
    except OSError as error:
        raise unreadable(path, what, error) from error
    if not any(head):
        raise ClipError(
            f"{path}: expected a {what}, but its first {len(head)} bytes are zeros, as of a download that never "
            "finished, so it is no video; replace it or take it off the list"
        )
    if what == "video file" and not any(tail) and not may_be_padded(head):
        raise ClipError(
            f"{path}: expected a whole video, but its last {len(tail)} bytes are zeros: it is cut off, or was never "
            "loaded to its end; replace it or take it off the list"
        )
    end = declared_end(head)
    if end is not None and end > status.st_size:
        raise ClipError(
            f"{path}: expected a whole {what} of {end} bytes, as it says itself, but it is cut off at "
            f"{status.st_size}; replace it or take it off the list"
        )


def unreadable(path: Path, what: str, error: Exception) -> ClipError:
    reason = getattr(error, "strerror", None) or error
    return ClipError(f"{path}: expected a {what}, but it cannot be read ({reason}); correct its rights or the list")


def damaged(path: Path, near: int) -> ClipError:
    return ClipError(
        f"{path}: expected a whole video, but it is damaged or cut off near frame {near}; "
        "replace it or take it off the list"
    )


@contextmanager
def one_sentence(path: Path, what: str = "video") -> Iterator[None]:
    """The library's errors, and those of memory, in this project's words."""
    try:
        yield
    except (av.FFmpegError, MemoryError) as error:
        raise ClipError(
            f"{path}: expected a whole {what}, but it does not decode ({_reason(error)}), so it is no {what}, damaged or "
            "cut off; replace it or take it off the list"
        ) from error


def _reason(error: av.FFmpegError | MemoryError) -> str:
    """Decoders return numbers of the system that say nothing of it, such as "Device or resource busy"."""
    if isinstance(error, av.error.ExitError):
        return "it holds too little for its size: nothing came for too long"
    number = getattr(error, "errno", None) or errno.ENOMEM
    if number < FOREIGN and number not in TRUE:
        return "its data make no sense"
    return getattr(error, "strerror", None) or "it does not fit into memory"
