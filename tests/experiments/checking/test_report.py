from checking_cases import add, clean_data
from layout_cases import video, write

from experiments.checking.check import examine
from experiments.config import CheckData


def test_class_balance(tmp_path):
    write(clean_data(tmp_path), {"classes.txt": "run\nwalk\nswim\n"})
    add(tmp_path, "v/6.mp4 1\n")
    video(tmp_path, "v/6.mp4", seed=6)
    report = examine(CheckData(tmp_path, workers=1))
    assert report.splits["train"].per_class == {"min": 0, "median": 1, "max": 2}
    assert report.splits["train"].clips_of == {"run": 1, "walk": 2, "swim": 0}
    assert report.splits["train"].without_clips == ("swim",)
    assert report.clean  # said, but no fault of the data
