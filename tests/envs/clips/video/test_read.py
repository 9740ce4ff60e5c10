import errno
import os
import random
import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from video_cases import BAD, scene, write

from envs.clips import ClipError
from envs.clips.video import read as video_module
from envs.clips.video.read import open_video


def truth(path: Path) -> np.ndarray:
    """Every frame of a full sequential decode, on its own code."""
    images = []
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        stream.codec_context.thread_count = 1
        for frame in file.decode(stream):
            images.append(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90))
    return np.stack(images)


UNEVEN = np.cumsum(np.random.default_rng(0).integers(3, 90, 60)).tolist()
X264 = "keyint=12:min-keyint=4:ref=5:b-pyramid=normal:direct=auto"

INDEXED = {  # file name -> how it is written; these are decoded from key frames
    "b-frames.mp4": {"g": "12"},
    "many-b-frames.mp4": {"x264_params": f"{X264}:bframes=8:b-adapt=2"},
    "strict-pyramid.mkv": {"x264_params": "keyint=12:bframes=5:b-pyramid=strict:ref=4"},
    "no-b-frames.mov": {"g": "12", "bf": "0"},
    "open-gop.mp4": {"x264_params": f"{X264}:open-gop=1:bframes=5:scenecut=0"},
    "open-gop-cuts.mkv": {"x264_params": f"{X264}:open-gop=1:bframes=3"},
    "intra-refresh.mp4": {"x264_params": "intra-refresh=1:keyint=12"},
    "interlaced.mp4": {"x264_params": "tff=1:keyint=12:bframes=3"},
    "one-gop.mp4": {"g": "250"},
    "all-key.mp4": {"g": "1"},
    "uneven.mp4": {"g": "12", "times": UNEVEN},
    "uneven.mkv": {"g": "12", "times": UNEVEN},
    "late-start.mp4": {"g": "12", "times": [40 * t + 5000 for t in range(60)]},
    "late-start.mkv": {"g": "12", "times": [40 * t + 5000 for t in range(60)]},
    "edited.mp4": {"g": "12", "times": [40 * t - 200 for t in range(60)]},  # the edit list leaves out 5 frames
    "fragments.mp4": {"g": "12", "container": {"movflags": "frag_keyframe+empty_moov"}},
    "odd.mp4": {"g": "12", "size": (33, 47), "pix_fmt": "yuv444p"},
    "odd.webm": {"codec": "libvpx-vp9", "g": "12", "cpu_used": "5", "size": (33, 47)},
    "tiny.webm": {"codec": "libvpx-vp9", "g": "12", "num_frames": 5, "size": (1, 1)},
    "turned-90.mp4": {"g": "12", "turned": 90},
    "turned-180.mp4": {"g": "12", "turned": 180},
    "turned-270.mp4": {"g": "12", "turned": 270},
    "one.mp4": {"num_frames": 1},
    "one.webm": {"codec": "libvpx-vp9", "num_frames": 1},
    "two.mp4": {"num_frames": 2},
    "hidden.webm": {
        "codec": "libvpx-vp9",
        "g": "20",
        "auto_alt_ref": "1",
        "lag_in_frames": "20",
        "cpu_used": "5",
        "b": "60k",
    },
    "hidden.mp4": {"codec": "libvpx-vp9", "g": "20", "auto_alt_ref": "6", "lag_in_frames": "20", "cpu_used": "5"},
    "vp8.webm": {"codec": "libvpx", "g": "12", "auto_alt_ref": "1", "lag_in_frames": "12", "cpu_used": "5", "b": "60k"},
    "part-2.mp4": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "part-2.mkv": {"codec": "mpeg4", "g": "12", "bf": "2", "flags": "+qpel+mv4"},
    "part-2.avi": {"codec": "mpeg4", "g": "12"},
    "hevc.mp4": {"codec": "libx265", "x265_params": "log-level=none:keyint=12:bframes=4:pools=1"},
    "jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}
FROM_THE_START = {  # packets that do not settle which frames there are, or codecs that are not read
    "b-frames.avi": {"g": "12"},
    "stream.ts": {"g": "12"},
    "stream.flv": {"g": "12"},
    "no-times.h264": {"g": "12"},
    "part-2-b-frames.avi": {"codec": "mpeg4", "g": "12", "bf": "2"},
    "part-1.mkv": {"codec": "mpeg2video", "g": "12", "bf": "2"},
    "part-1.mpg": {"codec": "mpeg2video", "g": "12", "bf": "2"},
    "old.avi": {"codec": "msmpeg4", "g": "12"},
}
ALL = INDEXED | FROM_THE_START


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Every file once, with its true frames."""
    folder, done = tmp_path_factory.mktemp("videos"), {}

    def make(name: str) -> tuple[Path, np.ndarray]:
        if name not in done:
            path = write(folder / name, **ALL[name])
            done[name] = path, truth(path)
        return done[name]

    return make


@pytest.mark.parametrize("name", ALL)
def test_frames_are_those_of_a_full_decode(made, name):
    path, frames = made(name)
    video = open_video(path)
    assert (video.index is not None) == (name in INDEXED)
    assert video.num_frames == len(frames) == ALL[name].get("num_frames", 55 if name == "edited.mp4" else 60)
    rng = random.Random(0)
    for number in range(0, len(frames), 1 if name in INDEXED else 13):  # each as the first of a newly opened file
        np.testing.assert_array_equal(open_video(path).frames([number])[0], frames[number])
    for count in (2, 3, 8, 30):  # in one call: any order, repeats; one call after another
        numbers = rng.choices(range(len(frames)), k=count)
        np.testing.assert_array_equal(video.frames(numbers), frames[numbers])
    np.testing.assert_array_equal(video.frames(range(len(frames))), frames)
    assert (video.index is not None) == (name in INDEXED)  # nothing was in doubt


@pytest.mark.parametrize("threads", [0, 2])
@pytest.mark.parametrize("name", ["many-b-frames.mp4", "open-gop.mp4", "hidden.webm", "part-2.mp4", "stream.ts"])
def test_threads_change_nothing(made, name, threads):
    path, frames = made(name)
    for numbers in ([0], [59], [40, 3, 22], range(60)):
        np.testing.assert_array_equal(open_video(path, threads=threads).frames(numbers), frames[numbers])


@pytest.mark.parametrize("name", ["many-b-frames.mp4", "open-gop-cuts.mkv", "hidden.webm", "edited.mp4"])
def test_files_too_large_to_keep_are_read_again(made, name, monkeypatch):
    path, frames = made(name)
    monkeypatch.setattr(video_module, "KEPT_BYTES", 1000)
    video = open_video(path)
    assert video.index is not None
    assert not video.packets
    for numbers in ([0], [50], [41, 3, 22], range(50)):
        np.testing.assert_array_equal(video.frames(numbers), frames[numbers])


def decoded(video, numbers) -> int:
    """Packets that the decoder is given."""

    class Spy:
        def __init__(self, context):
            self.context, self.packets = context, 0

        def decode(self, packet):
            self.packets += packet is not None
            return self.context.decode(packet)

        def flush_buffers(self):
            self.context.flush_buffers()

    video.context = spy = Spy(video.context)
    video.frames(numbers)
    return spy.packets


def test_only_what_is_needed_is_decoded(made):
    path, _ = made("no-b-frames.mov")  # key frames at 0, 12, 24, 36, 48 and at the cuts, 23 and 46
    assert decoded(open_video(path), [5]) == 6
    assert decoded(open_video(path), [5, 2]) == 6  # forward, once
    assert decoded(open_video(path), [1, 50]) < 2 + 13
    assert decoded(open_video(path), [50]) < 1 + 13  # the first packet is always decoded
    path, _ = made("one-gop.mp4")
    assert decoded(open_video(path), [22]) < 20  # frames that no other needs are left out


def test_a_list_of_packets_that_lies_is_found_out(made):
    path, frames = made("b-frames.mp4")
    video = open_video(path)
    video.index.times[4] += 1  # not what comes out
    np.testing.assert_array_equal(video.frames(range(20)), frames[:20])
    assert video.index is None
    assert video.num_frames == 60
    np.testing.assert_array_equal(video.frames([59]), frames[[59]])


def remuxed(source: Path, target: Path, change) -> Path:
    """The packets in another container after `change(number, packet)`."""
    with av.open(str(source)) as old, av.open(str(target), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size:
                change(number, packet)
                packet.stream = stream
                new.mux(packet)
    return target


def test_frames_shown_at_the_same_time_are_told_apart(made, tmp_path):
    def pair(number: int, packet: av.Packet) -> None:
        packet.pts = packet.dts = number // 2 * 2 * packet.duration

    path = remuxed(made("no-b-frames.mov")[0], tmp_path / "pairs.mkv", pair)
    video, frames = open_video(path), truth(path)
    assert video.index is None
    assert video.num_frames == len(frames) == 60
    np.testing.assert_array_equal(video.frames([7, 6, 59]), frames[[7, 6, 59]])


def patched(path: Path, target: Path, name: bytes, offset: int, *values: int) -> Path:
    """Big-endian 32-bit numbers written behind the name of an MP4 box."""
    content = bytearray(path.read_bytes())
    struct.pack_into(f">{len(values)}I", content, content.index(name) + 4 + offset, *values)
    target.write_bytes(content)
    return target


def test_an_edit_list_leaves_out_both_ends(made, tmp_path):
    path = made("b-frames.mp4")[0]
    content = path.read_bytes()
    duration, start = struct.unpack_from(">2I", content, content.index(b"elst") + 12)
    ticks = struct.unpack_from(">I", content, content.index(b"mdhd") + 16)[0] // 25  # a frame
    path = patched(path, tmp_path / "trimmed.mp4", b"elst", 8, duration // 2, start + 7 * ticks)
    frames = truth(path)
    assert len(frames) < 40
    video = open_video(path)
    assert video.num_frames == len(frames)
    for number in range(len(frames)):
        np.testing.assert_array_equal(open_video(path).frames([number])[0], frames[number])


LIES = {  # box, place behind its name, numbers
    "no duration": (b"mdhd", 16, [0]),
    "longest duration": (b"mdhd", 16, [0xFFFFFFFF]),
    "no time scale": (b"mdhd", 12, [0]),
    "largest time scale": (b"mdhd", 12, [0xFFFFFFFF]),
    "no film duration": (b"mvhd", 12, [0, 0]),
    "frames of no length": (b"stts", 4, [1, 60, 0]),
    "more frames than there are": (b"stts", 4, [1, 0x7FFFFFFF, 512]),
    "frames of the largest size": (b"stsz", 4, [0xFFFFFFFF]),
    "largest count of sizes": (b"stsz", 8, [0xFFFFFFFF]),
    "no sizes": (b"stsz", 8, [0]),
    "no picture": (b"avc1", 24, [0]),
    "largest picture": (b"avc1", 24, [0xFFFFFFFF]),
    "an empty matrix": (b"tkhd", 40, [0] * 9),
    "an extreme matrix": (b"tkhd", 40, [0x7FFFFFFF] * 9),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_header_that_lies_gives_the_frames_or_one_sentence(made, tmp_path, lie):
    box, place, values = LIES[lie]
    path = patched(made("b-frames.mp4")[0], tmp_path / "lie.mp4", box, place, *values)
    try:
        video = open_video(path)
        read = video.frames([0, video.num_frames - 1])
    except ClipError as error:
        assert_one_sentence(error, path)
    else:
        np.testing.assert_array_equal(np.sort(read.ravel()), np.sort(truth(path)[[0, -1]].ravel()))  # turned perhaps


# Shapes


def test_the_shorter_side_is_resized_and_a_frame_converted_as_it_comes(made):
    for name, shape in {"b-frames.mp4": (24, 32, 3), "turned-90.mp4": (32, 24, 3)}.items():
        video = open_video(made(name)[0])
        read = video.frames([3, 1, 3], size=24)
        assert read.shape == (3, *shape)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read[0], read[2])
        cropped = video.frames([3, 1], size=24, convert=lambda image: image[4:8, 5:7].astype(np.float32))
        np.testing.assert_array_equal(cropped, read[:2, 4:8, 5:7])
        assert cropped.dtype == np.float32


def test_numbers_out_of_range_are_refused(made):
    video = open_video(made("one.mp4")[0])
    for numbers in ([1], [-1], [0, 5]):
        with pytest.raises(IndexError, match="expected frames 0 to 0"):
            video.frames(numbers)
    with pytest.raises(ValueError, match="at least one frame"):
        video.frames([])


def jpeg(t: int, height: int = 48, width: int = 64) -> bytes:
    context = av.CodecContext.create("mjpeg", "w")
    context.height, context.width, context.pix_fmt, context.time_base = height, width, "yuvj420p", Fraction(1, 25)
    frame = av.VideoFrame.from_ndarray(scene(t, height, width), format="rgb24").reformat(format="yuvj420p")
    return b"".join(bytes(packet) for packet in [*context.encode(frame), *context.encode()])


def test_frames_of_several_sizes_are_one_sentence(made, tmp_path):
    source = made("jpeg.avi")[0]

    def shrink(number: int, packet: av.Packet) -> None:
        if number == 5:
            packet.__init__(jpeg(0, 32, 32))

    with av.open(str(source)) as old, av.open(str(tmp_path / "two.mkv"), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for number, packet in enumerate(old.demux(old.streams.video[0])):
            if packet.size:
                other = av.Packet(jpeg(0, 32, 32)) if number == 5 else packet
                other.pts, other.dts, other.time_base, other.is_keyframe = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                    True,
                )
                other.stream = stream
                new.mux(other)
    video = open_video(tmp_path / "two.mkv")
    assert video.frames([0, 1]).shape == (2, 48, 64, 3)
    with pytest.raises(ClipError, match="frames of one size, but frame 5 is 32 x 32 and another 64 x 48") as caught:
        video.frames([4, 5])
    assert_one_sentence(caught.value, tmp_path)


# Folders of pictures


@pytest.mark.parametrize(("template", "first"), [("{:05d}.jpg", 1), ("img_{:05d}.jpg", 1), ("{:06d}.jpg", 0)])
def test_a_folder_of_pictures_is_a_video(tmp_path, template, first):
    for t in range(9):
        (tmp_path / template.format(t + first)).write_bytes(jpeg(t))
    expected = np.stack([truth(tmp_path / template.format(t + first))[0] for t in (4, 0, 8)])
    for video in (
        open_video(tmp_path, frames=9, template=template),
        open_video(tmp_path, template=template),
        open_video(tmp_path),
        open_video(tmp_path, frames=9),
    ):
        assert video.num_frames == 9
        np.testing.assert_array_equal(video.frames([4, 0, 8]), expected)
        assert video.frames([2], size=24).shape == (1, 24, 32, 3)
    assert open_video(tmp_path, frames=4, template=template).num_frames == 4


def test_what_is_wrong_with_a_folder_is_one_sentence(tmp_path):
    for t in (1, 2, 4, 5, 6, 7):
        (tmp_path / f"{t:05d}.jpg").write_bytes(jpeg(t))
    (tmp_path / "00004.jpg").write_text("not a picture\n" * 99)
    (tmp_path / "00005.jpg").write_bytes(jpeg(5)[:500])
    (tmp_path / "00006.jpg").write_bytes(b"")
    (tmp_path / "00007.jpg").unlink()
    (tmp_path / "00007.jpg").mkdir()
    video = open_video(tmp_path, frames=7, template="{:05d}.jpg")
    assert video.frames([1, 0]).shape == (2, 48, 64, 3)
    reasons = {2: "there is nothing", 3: "it is none", 4: "cut off", 5: "it is empty", 6: "it is a directory"}
    for number, reason in reasons.items():
        with pytest.raises(ClipError, match=reason) as caught:
            video.frames([0, number])
        assert_one_sentence(caught.value, tmp_path / f"{number + 1:05d}.jpg")
    np.testing.assert_array_equal(video.frames([0])[0], truth(tmp_path / "00001.jpg")[0])  # after the damage, too
    with pytest.raises(ClipError, match="expected 9 pictures, but there are 6"):
        open_video(tmp_path, frames=9)
    with pytest.raises(ClipError, match="there is none"):
        open_video(tmp_path, template="img_{:05d}.jpg")
    (tmp_path / "file").touch()
    with pytest.raises(ClipError, match="it is a file"):
        open_video(tmp_path / "file", frames=3)


# Bad files


def assert_one_sentence(error: ClipError, path: Path) -> None:
    sentence = str(error)
    assert sentence.startswith(f"{path}")
    assert ": expected " in sentence
    assert "; " in sentence  # what to do
    assert "\n" not in sentence


@pytest.mark.parametrize("case", BAD)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "clip.mp4"
    make(path)
    with pytest.raises(ClipError, match=message) as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)


def test_a_name_that_cannot_be_one_is_refused(tmp_path):
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(ClipError, match="cannot be read"):
            open_video(tmp_path / name)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "clip.mp4", 3)
    path.chmod(0)
    if os.geteuid() == 0:  # who may read everything

        def refuse(self, *args, **kwargs):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

        monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(ClipError, match=r"cannot be read \(Permission denied\)") as caught:
        open_video(path)
    assert_one_sentence(caught.value, path)


CUT = {
    "clip.mp4": {},
    "index-first.mp4": {"container": {"movflags": "faststart"}},
    "clip.mkv": {},
    "clip.webm": {"codec": "libvpx-vp9", "cpu_used": "5"},
    "clip.avi": {"codec": "mpeg4"},
    "clip.ts": {},
    "jpeg.avi": {"codec": "mjpeg", "pix_fmt": "yuvj420p"},
}


@pytest.mark.parametrize("name", CUT)
def test_a_file_cut_anywhere_gives_its_first_frames_or_one_sentence(tmp_path, name):
    whole = write(tmp_path / f"whole-{name}", 8, size=(16, 16), **CUT[name])
    content, frames = whole.read_bytes(), truth(whole)
    path, refused = tmp_path / name, 0
    ends = [*range(0, min(2048, len(content)), 5), *range(2048, len(content), 43), len(content) - 1]
    for end in ends:
        path.write_bytes(content[:end])
        try:
            video = open_video(path)
            read = video.frames(range(video.num_frames))
        except ClipError as error:
            assert_one_sentence(error, path)
            refused += 1
        else:
            np.testing.assert_array_equal(read, truth(path))
            if path.suffix != ".ts":  # whose last packet may be cut without a sign
                np.testing.assert_array_equal(read, frames[: len(read)])
    assert refused > len(ends) / 2
    if path.suffix in (".mp4", ".mkv", ".webm"):  # these tell how long they are
        path.write_bytes(content[: len(content) * 2 // 3])
        with pytest.raises(ClipError):
            open_video(path)


def test_damage_gives_an_array_or_one_sentence(made, tmp_path):
    rng = np.random.default_rng(0)
    for name in ("b-frames.mp4", "hidden.webm", "vp8.webm", "part-2.mp4", "stream.ts", "jpeg.avi"):
        content = made(name)[0].read_bytes()
        for _ in range(12):
            damaged = bytearray(content)
            for place in rng.integers(0, len(damaged), 8):
                damaged[place] ^= 1 << rng.integers(8)
            path = tmp_path / name
            path.write_bytes(damaged)
            try:
                video = open_video(path)
                assert len(video.frames([0, video.num_frames - 1], size=16)) == 2
            except ClipError as error:
                assert_one_sentence(error, path)


def test_nothing_is_printed_and_a_users_own_logging_stays(made, tmp_path):
    content = bytearray(made("b-frames.mp4")[0].read_bytes())
    content[3000:3600] = bytes(600)
    path = tmp_path / "damaged.mp4"
    path.write_bytes(content)
    program = (
        "import sys, av\nfrom envs.clips import ClipError\nfrom envs.clips.video.read import open_video\n"
        "def read():\n"
        "    try: open_video(sys.argv[1]).frames(range(60))\n"
        "    except ClipError: print('refused')\n"
        "read()\n"
        "av.logging.set_level(av.logging.ERROR)\n"
        "with av.logging.Capture() as logs: read()\n"
        "print(av.logging.get_level() == av.logging.ERROR, len(logs) > 0)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True, timeout=120
    )
    assert run.stdout.split() == ["refused", "refused", "True", "True"]
    assert run.stderr == ""
