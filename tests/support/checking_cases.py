"""A small data set that nothing is wrong with, and what is found of it once something is."""

from layout_cases import video, write

from envs.clips.video.decode import write_video
from envs.clips.video.read import open_video
from experiments.checking.check import examine
from experiments.config import CheckData


def clean_data(root):
    for i in range(6):
        video(root, f"v/{i}.mp4", seed=i)
    lists = {"train": "v/0.mp4 0\nv/1.mp4 1\n", "val": "v/2.mp4 0\nv/3.mp4 1\n", "test": "v/4.mp4 0\nv/5.mp4 1\n"}
    return write(root, {**{f"{name}.txt": text for name, text in lists.items()}, "classes.txt": "run\nwalk\n"})


def add(root, text, split="train"):
    with open(root / f"{split}.txt", "a") as file:
        file.write(text)


def found(root, **options):
    """Problems as (kind, splits, paths)."""
    report = examine(CheckData(root, workers=1, **options))
    return [(problem.kind, problem.splits, problem.paths) for problem in report.problems]


def encode_again(root, name, other):
    """The same frames in a file of other bytes."""
    frames = open_video(root / name).frames(range(8), size=16)
    write_video(root / other, frames)
    assert (root / name).read_bytes() != (root / other).read_bytes()
