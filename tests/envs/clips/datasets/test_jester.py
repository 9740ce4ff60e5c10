from layout_cases import frames, write

from envs.clips.datasets import find_clips

LABELS = "Swiping Left\nSwiping Right\nDoing other things\n"


def test_the_official_files(tmp_path):
    for clip in ("34870", "56557", "9223"):
        frames(tmp_path, f"20bn-jester-v1/{clip}", 2)
    write(
        tmp_path,
        {
            "jester-v1-labels.csv": LABELS,
            "jester-v1-train.csv": "34870;Doing other things\n56557;Swiping Left\n",
            "jester-v1-validation.csv": "9223;Swiping Right\n",
            "jester-v1-test.csv": "1\n",
        },
    )
    listing = find_clips(tmp_path, "train")
    assert listing.layout == "jester"
    assert listing.paths == ("20bn-jester-v1/34870", "20bn-jester-v1/56557")
    assert (listing.labels, listing.classes) == ((2, 0), tuple(LABELS.splitlines()))
    assert listing.template == "{:05d}.jpg"
    assert find_clips(tmp_path, "test").paths == ("20bn-jester-v1/9223",)
    assert find_clips(tmp_path, "test").note


def test_adafuses_lists(tmp_path):
    frames(tmp_path, "20bn-jester-v1/34870", 2)
    classes = "".join(f"{i},{name}\n" for i, name in enumerate(LABELS.splitlines()))
    write(tmp_path, {"train_split.txt": "34870 2 2\n", "validation_split.txt": "9 35 1\n", "classInd.txt": classes})
    listing = find_clips(tmp_path, "train")
    assert (listing.layout, listing.frames) == ("jester", (2,))
    assert listing.paths == ("20bn-jester-v1/34870",)
    assert listing.classes == tuple(LABELS.splitlines())


def test_the_later_release(tmp_path):
    frames(tmp_path, "20bn-jester-v1/1", 2)
    write(
        tmp_path,
        {
            "labels/labels.csv": LABELS,
            "labels/train.csv": "1;Swiping Left\n",
            "labels/validation.csv": "2;Swiping Left\n",
            "labels/test.csv": "3\n",
            "labels/test-answers.csv": "3;Swiping Right\n",
        },
    )
    test = find_clips(tmp_path, "test")
    assert (test.layout, test.paths, test.labels, test.note) == ("jester", ("20bn-jester-v1/3",), (1,), "")
