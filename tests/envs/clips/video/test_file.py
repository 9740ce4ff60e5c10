import random
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from video_cases import assert_one_sentence, cut_at, jpeg, remuxed, truth, write

from envs.clips import ClipError
from envs.clips.video import file as file_module
from envs.clips.video.read import open_video

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
    "tiny.webm": {"codec": "libvpx-vp9", "g": "12", "num_frames": 5, "size": (8, 8)},
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
    monkeypatch.setattr(file_module, "KEPT_BYTES", 1000)
    video = open_video(path)
    assert video.index is not None
    assert not video.packets
    for numbers in ([0], [50], [41, 3, 22], range(50)):
        np.testing.assert_array_equal(video.frames(numbers), frames[numbers])


# Pixels that are not square

SHOWN = {"3:2": (48, 96), "1:2": (48, 32), "1:1": (48, 64), "9:1": (48, 64)}  # of 48 x 64


@pytest.mark.parametrize("aspect", SHOWN)
@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_pixels_are_made_square_as_the_file_says_unless_it_says_what_cannot_be(tmp_path, name, aspect):
    path = write(tmp_path / name, 3, aspect=aspect, turned=90 if name == "clip.mp4" else None)
    shape = SHOWN[aspect][::-1] if name == "clip.mp4" else SHOWN[aspect]
    assert open_video(path).frames([1]).shape == (1, *shape, 3)
    np.testing.assert_array_equal(open_video(path, square=False).frames(range(3)), truth(path))


# Streams that were cut

OPEN = {  # encoder -> groups of pictures that lead from one into the next
    "libx264": {"x264_params": "keyint=10:min-keyint=4:open-gop=1:bframes=3:scenecut=0:b-adapt=0"},
    "libx265": {
        "x265_params": "log-level=none:keyint=10:min-keyint=4:open-gop=1:bframes=3:scenecut=0:b-adapt=0:pools=1"
    },
}
BOXES = {
    "clip.mkv": {},
    "fragments.mp4": {"movflags": "frag_keyframe+empty_moov"},
    "no-edits.mp4": {"use_editlist": "0"},
    "edits.mp4": {},
}


@pytest.fixture(scope="module")
def uncut(tmp_path_factory):
    folder = tmp_path_factory.mktemp("open")
    return {codec: write(folder / f"{codec}.mp4", 33, codec, **options) for codec, options in OPEN.items()}


@pytest.mark.parametrize("cut", [0, 1])
@pytest.mark.parametrize("name", BOXES)
@pytest.mark.parametrize("codec", OPEN)
def test_a_stream_cut_without_encoding_gives_what_a_sequential_decode_gives(uncut, tmp_path, codec, name, cut):
    """The pictures that lead to its first key picture, and refer to what was cut off, are not shown."""
    path = cut_at(uncut[codec], tmp_path / name, cut, BOXES[name])
    frames = truth(path)
    assert len(frames) == (33, 23)[cut]
    video = open_video(path)
    assert (video.index is None) == (bool(cut) and name != "edits.mp4")
    for numbers in ([0], [0, 5, 20], range(len(frames)), [22, 3]):
        np.testing.assert_array_equal(open_video(path).frames(numbers), frames[numbers])
        np.testing.assert_array_equal(video.frames(numbers), frames[numbers])
    assert video.num_frames == len(frames)


def test_a_list_that_counts_frames_that_never_come_is_found_out(uncut, tmp_path, monkeypatch):
    path = cut_at(uncut["libx264"], tmp_path / "clip.mkv", 1, {})
    trusting = file_module.Indexer.index

    def index(self):
        times, self.times = self.times, [0, *self.times[1:]]  # as if the first were shown first
        found = trusting(self)
        return found and found._replace(times=times, packets=sorted(found.packets, key=times.__getitem__))

    monkeypatch.setattr(file_module.Indexer, "index", index)
    video = open_video(path)
    assert len(video.index.packets) == 24
    np.testing.assert_array_equal(video.frames([0, 5, 20]), truth(path)[[0, 5, 20]])
    assert video.index is None
    assert video.num_frames == 23


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
