import shutil
from types import SimpleNamespace

import pytest
from checking_cases import add, clean_data, encode_again, found
from layout_cases import touch, write

from experiments.checking import problems
from experiments.checking.check import examine
from experiments.checking.clip import Finding
from experiments.checking.problems import odd_classes, of_looks
from experiments.config import CheckData


def test_the_same_bytes_twice(tmp_path):
    clean_data(tmp_path)
    shutil.copy(tmp_path / "v/0.mp4", tmp_path / "v/copy.mp4")
    shutil.copy(tmp_path / "v/1.mp4", tmp_path / "v/leak.mp4")
    add(tmp_path, "v/copy.mp4 0\nv/1.mp4 1\n")
    add(tmp_path, "v/leak.mp4 1\nv/3.mp4 1\n", "test")
    assert found(tmp_path) == [
        ("repeated", ("train",), ("v/1.mp4",)),
        ("duplicate", ("train",), ("v/0.mp4", "v/copy.mp4")),
        ("shared", ("train", "test"), ("v/1.mp4", "v/leak.mp4")),
        ("shared", ("val", "test"), ("v/3.mp4",)),
    ]


def test_every_line_that_lists_a_bad_clip_is_named(tmp_path):
    touch(clean_data(tmp_path), "v/bad.mp4")
    add(tmp_path, "\nv/bad.mp4 1\nv/bad.mp4 1\n")
    add(tmp_path, "v/bad.mp4 1\n", "val")
    lines = [f"{tmp_path}/train.txt:4", f"{tmp_path}/train.txt:5", f"{tmp_path}/val.txt:3"]
    repeated, empty = examine(CheckData(tmp_path, workers=1)).problems
    assert str(repeated) == f"{', '.join(lines[:2])}: v/bad.mp4 is listed 2 times for train"
    assert str(empty).startswith(f"{', '.join(lines)}: {tmp_path}/v/bad.mp4: expected ")


def test_a_clip_that_looks_like_one_of_another_split(tmp_path):
    clean_data(tmp_path)
    encode_again(tmp_path, "v/0.mp4", "v/again.mp4")
    add(tmp_path, "v/again.mp4 0\n", "test")
    [problem] = examine(CheckData(tmp_path, workers=1)).problems
    assert (problem.kind, problem.splits, problem.paths) == ("near", ("train", "test"), ("v/0.mp4", "v/again.mp4"))
    assert str(problem).startswith(f"{tmp_path}/test.txt:3: v/again.mp4 (test) looks like v/0.mp4 (train): ")
    assert not found(tmp_path, near=-1)


def test_within_a_split_clips_may_look_alike(tmp_path):
    clean_data(tmp_path)
    encode_again(tmp_path, "v/0.mp4", "v/again.mp4")
    add(tmp_path, "v/again.mp4 0\n", "train")
    assert not found(tmp_path)


def test_the_most_similar_is_named_and_the_others_are_counted():
    looks = {"a": 0b1111, "b": 0b1, "c": 1 << 40 | (1 << 40) - 1, "d": 0}
    found = {path: Finding(digest=path, looks=((look, 0),)) for path, look in looks.items()}
    listings = {
        "train": SimpleNamespace(paths=("a", "b", "c"), groups=("s", "t", "s"), places=()),
        "val": SimpleNamespace(paths=("d",), groups=("s",), places=("val.txt:1",)),
    }
    _, [near] = of_looks(listings, found, within=8)
    assert str(near) == "val.txt:1: d (val) looks like b (train) and 1 more: 1 of 64 bits differ"
    _, [near] = of_looks(
        {**listings, "val": SimpleNamespace(**{**vars(listings["val"]), "groups": ("t",)})}, found, within=8
    )
    assert str(near).endswith("1 of 64 bits differ, both of t")
    found["b"] = Finding(digest="d", looks=found["b"].looks)
    assert not of_looks(listings, found, within=1)[1]  # the same bytes, which is said elsewhere


def test_a_source_on_two_sides(tmp_path):
    write(clean_data(tmp_path), {"groups.csv": "v/0,s\nv/1,s\nv/2,s\nv/4,t\nv/5,t\n"})
    [problem] = examine(CheckData(tmp_path, workers=1)).problems
    assert (problem.kind, problem.splits, str(problem)) == ("source", ("train", "val"), "s: 2 in train, 1 in val")


def test_flat_clips_look_like_nothing_and_are_counted():
    listing = {split: SimpleNamespace(paths=(split,), groups=(), places=()) for split in ("train", "test")}
    found = {path: Finding(digest=path) for path in listing}
    compared, alike = of_looks(listing, found, within=8)
    assert (compared.clips, compared.flat, alike) == (2, 2, [])


def test_of_many_clips_of_testing_a_sample_is_compared(monkeypatch):
    monkeypatch.setattr(problems, "MOST", 5)
    sizes = {"train": 9, "val": 4, "test": 8}
    paths = {split: tuple(f"{split}{number}" for number in range(size)) for split, size in sizes.items()}
    listings = {split: SimpleNamespace(paths=own, groups=(), places=()) for split, own in paths.items()}
    found = {path: Finding(digest=path, looks=((5, 6),)) for own in paths.values() for path in own}
    compared, alike = of_looks(listings, found, within=0)
    assert (compared.clips, compared.left_out, compared.flat) == (9 + 4 + 5, 3, 0)
    assert [problem.splits for problem in alike].count(("train", "test")) == 5


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (
            ("run", "swim"),
            "expected the 2 classes of train in test as well, got 2, at odds in 'swim', 'walk'; name the same",
        ),
        (("walk", "run"), "got 2, in another order; name the same"),
        (("run", "walk", "a", "b", "c", "d"), "got 6, at odds in 'a', 'b', 'c'; name"),
    ],
)
def test_splits_of_other_classes(classes, message):
    listings = {"train": SimpleNamespace(classes=("run", "walk")), "test": SimpleNamespace(classes=classes)}
    [problem] = odd_classes(listings)
    assert message in problem.reason
    assert not list(odd_classes({"train": listings["train"], "val": listings["train"]}))
