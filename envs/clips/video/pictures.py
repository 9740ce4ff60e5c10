"""A folder of pictures as a video: one picture a frame. Only those that are asked for are looked at."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import av

from envs.clips.source import ClipError
from envs.clips.video.bounds import DECODER_PIXELS, MAX_PICTURE_BYTES
from envs.clips.video.refusals import check_file, one_sentence, status_of, unreadable
from envs.clips.video.video import Keep, Video

KINDS: dict[bytes, Literal["mjpeg", "png"]] = {b"\xff\xd8\xff": "mjpeg", b"\x89PNG": "png"}  # by the first bytes
SUFFIXES = (".jpg", ".jpeg", ".png")


class PictureFolder(Video):
    """JPEG and PNG pictures, whose pixels are taken as square."""

    def __init__(self, path: Path, frames: int | None, template: str | None) -> None:
        self.path = path
        self.name: Callable[[int], str]  # of a frame's picture
        if template is None:
            names = sorted(pictures_in(path))
            self.name, there = names.__getitem__, len(names)
            if frames is not None and there < frames:
                raise ClipError(
                    f"{path}: expected {frames} pictures, but there are {there}; restore them or correct the list"
                )
        else:
            self.name = partial(_numbered, template, 0 if (path / template.format(0)).exists() else 1)
            there = frames if frames is not None else self._count()
        self.count = there if frames is None else frames
        if self.count < 1:
            raise ClipError(
                f"{path}: expected a folder of pictures, but there is none; restore them or correct the list"
            )
        self.contexts: dict[str, av.VideoCodecContext] = {}

    @property
    def num_frames(self) -> int:
        return self.count

    def _count(self) -> int:
        names, count = set(os.listdir(self.path)), 0
        while self.name(count) in names:
            count += 1
        return count

    def _decode(self, wanted: Sequence[int], keep: Keep) -> None:
        for number in wanted:
            path = self.path / self.name(number)
            with one_sentence(path, "picture"):
                keep(number, self._picture(path), 1.0)

    def _picture(self, path: Path) -> av.VideoFrame:
        data = _read(path)
        codec = next((codec for start, codec in KINDS.items() if data.startswith(start)), None)
        if codec is None:
            raise ClipError(f"{path}: expected a JPEG or PNG picture, but it is none; replace it or correct the list")
        if codec not in self.contexts:
            context = av.CodecContext.create(codec, "r")
            context.thread_count = 1
            context.options = {"max_pixels": str(DECODER_PIXELS)}
            self.contexts[codec] = context
        context, packet = self.contexts[codec], av.Packet(data)
        packet.is_keyframe = True  # a PNG that is none is added to the one before it
        context.flush_buffers()
        try:
            frames = [*context.decode(packet), *context.decode(None)]
        finally:
            context.flush_buffers()
        ended = codec != "mjpeg" or data.rfind(b"\xff\xd9") > data.rfind(b"\xff\xda")
        if len(frames) != 1 or frames[0].is_corrupt or not ended:
            raise ClipError(f"{path}: expected a whole picture, but it is damaged or cut off; replace it")
        return frames[0]


def pictures_in(path: Path) -> Iterator[str]:
    """The names of a folder's pictures."""
    try:
        return (name for name in os.listdir(path) if name.lower().endswith(SUFFIXES))
    except OSError as error:
        raise unreadable(path, "folder", error) from error


def _read(path: Path) -> bytes:
    """A picture's bytes; of a PNG without the chunks that can inflate to anything: texts and colour profile."""
    status = status_of(path, "picture")
    check_file(path, status, "picture")
    if status.st_size > MAX_PICTURE_BYTES:
        raise ClipError(
            f"{path}: expected a picture of at most {MAX_PICTURE_BYTES} bytes, got {status.st_size}; scale it down"
        )
    data = path.read_bytes()
    return plain_png(data) if data.startswith(b"\x89PNG") else data


def plain_png(data: bytes) -> bytes:
    """A PNG picture (ISO/IEC 15948, section 5.3) without compressed chunks that are no pixels."""
    parts, start, at = [], 0, 8
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in (b"zTXt", b"iTXt", b"iCCP"):
            parts.append(data[start:at])
            start = end
        at = end
    return b"".join([*parts, data[start:]])


def _numbered(template: str, first: int, number: int) -> str:
    return template.format(first + number)
