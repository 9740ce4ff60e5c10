"""A file opened with PyAV: its one stream of pictures, and the packets of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
import numpy as np
from av.stream import Discard, Disposition

from envs.clips.source import ClipError
from envs.clips.video.bounds import DECODER_PIXELS, MAX_WAIT, Budget, bound_allocations, check_picture
from envs.clips.video.refusals import damaged

FORMATS = (
    "mov,matroska,avi,asf,flv,gif,h264,hevc,ivf,m4v,mjpeg,mpeg,mpegts,mpegvideo,mxf,nut,obu,ogg,rm,yuv4mpegpipe,"
    "jpeg_pipe,png_pipe"
)
# A file is read and nothing that it may name (playlists).
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": FORMATS, "max_pixels": str(DECODER_PIXELS)}
DECLARING = ("matroska,webm", "asf", "flv")  # containers whose header says how long they are and nothing else does
MISSING = 1.0, 0.05, 2  # a tail that may be missing: seconds, share of the whole, times the longest pause

bound_allocations()


@contextmanager
def opened(path: Path, threads: int = 1) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """:raises ClipError: when there are no pictures in it, or none that can be decoded."""
    with _open(path) as container:
        pictures = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
        if not pictures:
            raise ClipError(f"{path}: expected a video, but it has no picture, only sound or data; replace it")
        stream = pictures[0]
        if stream.codec_context is None:
            raise ClipError(f"{path}: expected a video that can be decoded, but its codec is unknown; encode it again")
        if stream.codec_context.width and stream.codec_context.height:  # else only the pictures tell
            check_picture(path, stream.codec_context.width, stream.codec_context.height)
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        stream.codec_context.thread_count = threads
        if threads != 1:
            stream.codec_context.thread_type = "AUTO"
        stream.codec_context.options = {"max_pixels": OPTIONS["max_pixels"]}
        yield container, stream


def packets_of(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, budget: Budget
) -> Iterator[av.Packet]:
    """Its packets as they are stored, an empty one at the end."""
    try:
        for packet in container.demux(stream):
            budget.packet()
            yield packet
    except IndexError as error:  # a damaged transport stream: streams that come and go
        raise damaged(path, budget.frames) from error


def check_end(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream, times: Sequence[int | None]
) -> None:
    """Compare the end of the pictures, or else of the sound, with what the header declares.

    :param times: when each frame is shown, in units of the stream's time base; in any order
    :raises ClipError: when much is missing
    """
    declared = (container.duration or 0) / av.time_base
    shown = np.sort([time for time in times if time is not None])
    if container.format.name not in DECLARING or len(shown) < 2 or not stream.time_base:
        return
    end, pause = (float(ticks * stream.time_base) for ticks in (shown[-1], np.diff(shown).max()))
    seconds, share, pauses = MISSING
    least = declared - max(seconds, share * declared, pauses * pause)
    if end < least and (len(container.streams) == 1 or _end_of_all(path) < least):
        raise ClipError(
            f"{path}: expected {declared:.1f} seconds, as it says itself, but it ends after {end:.1f}: it is cut off, "
            "or was never loaded to its end; replace it or take it off the list"
        )


def _end_of_all(path: Path) -> float:
    """When the last packet of any stream is shown or heard, in seconds."""
    end = 0.0
    with _open(path) as container:
        budget = Budget(path, 0)
        for packet in container.demux():
            budget.seconds()
            if packet.pts is not None and packet.time_base:
                end = max(end, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    return end


def _open(path: Path) -> av.container.InputContainer:
    # Metadata may be in any encoding.
    return av.open(str(path.absolute()), options=OPTIONS, metadata_errors="replace", timeout=(MAX_WAIT, MAX_WAIT))
