from layout_cases import frames

from experiments.checking.clip import Clip, inspect


def test_a_folder_with_fewer_frames_than_listed_is_short(tmp_path):
    frames(tmp_path, "a", 9)
    assert inspect(Clip(tmp_path / "a", 9, "{:05d}.jpg"), 8).kind == ""
    finding = inspect(Clip(tmp_path / "a", 10, "{:05d}.jpg"), 8)
    assert (finding.kind, finding.reason) == ("short", f"{tmp_path}/a: expected 10 frames, as listed, but there are 9")
