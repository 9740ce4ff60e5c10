"""Frames of a video file, or of a folder of pictures, by their numbers."""

from __future__ import annotations

import stat
from pathlib import Path

from envs.clips.source import ClipError
from envs.clips.video.file import VideoFile
from envs.clips.video.pictures import PictureFolder, pictures_in
from envs.clips.video.refusals import status_of
from envs.clips.video.video import Video


def open_video(
    path: str | Path,
    *,
    frames: int | None = None,
    template: str | None = None,
    square: bool = True,
    threads: int = 1,
) -> Video:
    """A video file, or a folder of JPEG or PNG pictures.

    :param frames: of a folder: how many pictures it holds (None: those that are there).
    :param template: of a folder: the pictures' names, such as "img_{:05d}.jpg", numbered from 0 or from 1, whichever
        is there (None: every picture, by name).
    :param square: of a file: stretch pictures whose pixels are not square (sample aspect ratio) to what is shown.
    :param threads: with which one file is decoded; 1 where many are decoded side by side, 0 for as many as there are
        processors.
    :raises ClipError: when there is no such thing, or it is no video.
    """
    path = Path(path)
    status = status_of(path)
    if stat.S_ISDIR(status.st_mode):
        if frames is None and template is None and not any(pictures_in(path)):
            raise ClipError(f"{path}: expected a video file, but it is a directory; name a file inside it")
        return PictureFolder(path, frames, template)
    if frames is not None or template is not None:
        raise ClipError(f"{path}: expected a folder of pictures, but it is a file; correct the list")
    return VideoFile(path, status, square=square, threads=threads)
