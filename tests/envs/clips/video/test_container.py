import av
import numpy as np
import pytest
from video_cases import assert_one_sentence, scene, write

from envs.clips import ClipError
from envs.clips.video.read import open_video

DECLARING = {"clip.webm": {"codec": "libvpx-vp9", "cpu_used": "8"}, "clip.mkv": {}, "clip.wmv": {"codec": "wmv2"}}


@pytest.mark.parametrize("name", DECLARING)
def test_a_tail_that_was_never_loaded_is_missed(tmp_path, name):
    path = write(tmp_path / name, 75, **DECLARING[name])
    assert open_video(path).num_frames == 75
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    with pytest.raises(ClipError, match=r"expected 3\.0 seconds, as it says itself, but it ends after") as caught:
        _ = open_video(path).num_frames
    assert_one_sentence(caught.value, path)


def test_sound_may_go_on_after_the_pictures(tmp_path):
    path = tmp_path / "clip.mkv"
    with av.open(str(path), "w") as file:
        video, audio = file.add_stream("libx264", rate=25), file.add_stream("aac", rate=8000)
        video.height, video.width, video.pix_fmt = 48, 64, "yuv420p"
        for t in range(25):
            file.mux(video.encode(av.VideoFrame.from_ndarray(scene(t, 48, 64), format="rgb24")))
        file.mux(video.encode())
        for _ in range(6):  # seconds
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
            frame.rate = 8000
            file.mux(audio.encode(frame))
        file.mux(audio.encode())
    with av.open(str(path)) as file:
        assert file.duration > 5.5 * av.time_base
    assert open_video(path).num_frames == 25


def test_a_last_picture_may_be_held_as_long_as_others_were(tmp_path):
    times = [0, 2000, 5000, 5040, 5080]  # milliseconds
    assert open_video(write(tmp_path / "slides.mkv", 5, times=times)).num_frames == 5


def test_a_file_that_names_others_is_not_followed(tmp_path):
    write(tmp_path / "other.mp4", 3)
    (tmp_path / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nother.mp4\n")
    with pytest.raises(ClipError, match="it is no video"):
        open_video(tmp_path / "list.mp4")
