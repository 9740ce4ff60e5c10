import struct
import time
from pathlib import Path

import av
import numpy as np
import pytest
from video_cases import assert_one_sentence, write

from envs.clips import ClipError
from envs.clips.video.boxes import is_boxed
from envs.clips.video.boxes import listed as listed_in
from envs.clips.video.read import open_video


def listed(path: Path) -> int:
    with path.open("rb") as file:
        return listed_in(file)


def box(name: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", 8 + len(body)) + name + body


def track(count: int, *, handler: bytes = b"vide", size: int = 0, duration: int = 512, edits: int = 0) -> bytes:
    tables = box(b"stsz", struct.pack(">3I", 0, size, count)), box(b"stts", struct.pack(">4I", 0, 1, count, duration))
    within = box(b"hdlr", bytes(8), handler, bytes(12)), box(b"minf", box(b"stbl", *tables))
    return box(b"trak", box(b"edts", box(b"elst", struct.pack(">2I", 0, edits))), box(b"mdia", *within))


def made(path: Path, *tracks: bytes) -> Path:
    path.write_bytes(box(b"ftyp", b"isom") + box(b"mdat", bytes(50)) + box(b"moov", *tracks))
    return path


def test_packets_of_all_tracks_are_counted(tmp_path):
    path = tmp_path / "clip.mp4"
    assert listed(made(path, track(100), track(30, handler=b"soun"))) == 130
    assert listed(made(path, track(100, edits=1))) == 100
    assert listed(made(path, track(100, edits=50), track(7))) == 5007
    assert listed(made(path)) == 0


def test_pcm_is_listed_by_chunks_and_does_not_count(tmp_path):
    path = tmp_path / "clip.mov"
    assert listed(made(path, track(100), track(10**9, handler=b"soun", size=2, duration=1))) == 100
    assert listed(made(path, track(10**9, size=2, duration=1))) == 10**9  # but only of sound
    assert listed(made(path, track(10**9, handler=b"soun", duration=1))) == 10**9


@pytest.mark.parametrize("container", [{}, {"movflags": "faststart"}, {"movflags": "frag_keyframe+empty_moov"}])
def test_what_is_listed_is_what_is_there(tmp_path, container):
    path = write(tmp_path / "clip.mp4", 60, container=container)
    assert listed(path) == 60
    assert is_boxed(path.read_bytes()[:8])


def test_more_than_any_video_has_is_refused_before_a_list_is_made(tmp_path):
    path = made(tmp_path / "clip.mp4", *[track(1 << 20)] * 20)
    with pytest.raises(ClipError, match="at most 8388608 packets, but it lists 20971520") as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)


def test_any_bytes_are_counted_in_no_time(tmp_path):
    rng, path = np.random.default_rng(0), write(tmp_path / "clip.mp4", 20)
    content = path.read_bytes()
    start = time.thread_time()
    for _ in range(200):
        damaged = bytearray(content)
        for place in rng.integers(0, len(damaged), 20):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        assert listed(path) >= 0
    path.write_bytes(b"\0\0\0\x08free" * (1 << 19))  # nothing but boxes
    assert listed(path) == 0
    assert time.thread_time() - start < 5
    with pytest.raises((ClipError, av.FFmpegError)):
        open_video(path)
