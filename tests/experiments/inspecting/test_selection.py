"""Which clips are played: by label, by result, by path; and what is said where there are none."""

import numpy as np
import pytest
from evaluation_cases import hand_made

from envs.clips import ClipError
from envs.clips.video.decode import write_video
from experiments.config import Data, Inspect
from experiments.inspecting.selection import asks_for_clips, choose, own_videos

CLASSES = ("left", "right", "up", "down")


def result():
    found = hand_made([0, 1, 2, 0, 1, 2], [True, False, True, True, False, True])
    found.macs_ratio = np.array([0.4, 0.2, 0.9, 0.3, 0.8, 0.5])
    found.log_prob = np.array([-0.1, -2.0, -0.1, -0.2, -5.0, -0.3])
    return found


def chosen(**kwargs) -> dict[str, int]:
    return {choice.name: choice.clip for choice in choose(Inspect((), **kwargs), result(), CLASSES)}


def test_by_default_the_rule_of_training_holds():
    expected = {"clip_0": 0, "clip_1": 1, "clip_2": 2, "failure_0": 4, "cheapest": 1, "dearest": 2}
    assert chosen() == expected


def test_a_count_holds_for_each_kind():
    assert chosen(cheapest=True, count=2) == {"cheapest_0": 1, "cheapest_1": 3}
    assert chosen(dearest=True, failures=True, count=1) == {"failure_0": 4, "dearest_0": 2}
    assert chosen(count=1) == {"clip_0": 0, "failure_0": 4, "cheapest_0": 1, "dearest_0": 2}


def test_clips_of_labels_come_in_the_order_asked_for():
    assert chosen(label=("up", "left")) == {"label_up_0": 2, "label_up_1": 5, "label_left_0": 0, "label_left_1": 3}


@pytest.mark.parametrize(
    ("label", "said"), [("lefft", "did you mean 'left'"), ("Up", "did you mean 'up'"), ("zzz", "the classes are left,")]
)
def test_an_unknown_label_is_answered_with_the_closest(label, said):
    with pytest.raises(ValueError, match=said):
        chosen(label=(label,))


def test_a_class_without_clips_is_told():
    with pytest.raises(ValueError, match="expected clips of 'down' in test, found none"):
        chosen(label=("down",))


def test_nothing_failed_is_an_error_only_if_failures_were_asked_for():
    right = hand_made([0, 1], [True, True])
    with pytest.raises(ValueError, match="found none among 2"):
        choose(Inspect((), failures=True), right, CLASSES)
    assert {choice.kind for choice in choose(Inspect(()), right, CLASSES)} == {"clip", "cheapest", "dearest"}


def test_paths_alone_ask_for_no_clips_of_the_split(tmp_path):
    assert not asks_for_clips(Inspect((), paths=(tmp_path,)))
    assert asks_for_clips(Inspect((), paths=(tmp_path,), failures=True))
    assert choose(Inspect((), paths=(tmp_path,)), result(), CLASSES) == []


def test_own_videos_are_cut_as_the_run_cuts_its_own_and_errors_name_the_file(tmp_path):
    grey = np.broadcast_to(np.arange(20, 180, 8, dtype=np.uint8)[:, None, None, None], (20, 40, 48, 3))
    write_video(tmp_path / "mine.mp4", grey, 30)
    clips = own_videos([tmp_path / "mine.mp4"] * 2, Data(num_frames=5, size=16, margin=4), CLASSES)
    assert clips.frames([0, 1]).shape == (2, 5, 16, 16, 3)
    assert clips.names == ["mine.mp4"] * 2
    assert (np.diff(clips.frames([0])[0].mean((1, 2, 3))) > 10).all()
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    with pytest.raises(ClipError, match=r"broken\.mp4"):
        own_videos([tmp_path / "broken.mp4"], Data(), CLASSES)
    with pytest.raises(ValueError, match="found no file"):
        own_videos([tmp_path / "nothing.mp4"], Data(), CLASSES)
