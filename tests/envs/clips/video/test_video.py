import av
import numpy as np
import pytest
from video_cases import write

from envs.clips import ClipError
from envs.clips.video.read import open_video


def test_the_shorter_side_is_resized_and_a_frame_converted_as_it_comes(tmp_path):
    for turned, shape in {0: (24, 32, 3), 90: (32, 24, 3)}.items():
        video = open_video(write(tmp_path / f"{turned}.mp4", 5, turned=turned))
        read = video.frames([3, 1, 3], size=24)
        assert read.shape == (3, *shape)
        assert read.dtype == np.uint8
        np.testing.assert_array_equal(read[0], read[2])
        cropped = video.frames([3, 1], size=24, convert=lambda image: image[4:8, 5:7].astype(np.float32))
        np.testing.assert_array_equal(cropped, read[:2, 4:8, 5:7])
        assert cropped.dtype == np.float32


def test_numbers_out_of_range_are_refused(tmp_path):
    video = open_video(write(tmp_path / "one.mp4", 1))
    for numbers in ([1], [-1], [0, 5]):
        with pytest.raises(IndexError, match="expected frames 0 to 0"):
            video.frames(numbers)
    with pytest.raises(ValueError, match="at least one frame"):
        video.frames([])


def test_the_others_are_decoded_too_where_the_whole_is_asked_for(tmp_path):
    path = write(tmp_path / "clip.mp4", 40, g="10", bf="0")
    whole = open_video(path).frames([3, 35], whole=True)
    np.testing.assert_array_equal(whole, open_video(path).frames([3, 35]))
    content = bytearray(path.read_bytes())
    with av.open(str(path)) as file:
        packet = next(packet for number, packet in enumerate(file.demux(video=0)) if number == 14)
        content[packet.pos + 16 : packet.pos + packet.size] = bytes(packet.size - 16)  # behind the head of its slice
    path.write_bytes(content)
    np.testing.assert_array_equal(open_video(path).frames([3, 35]), whole)  # nobody asked for frame 14
    with pytest.raises(ClipError):
        open_video(path).frames([3, 35], whole=True)
