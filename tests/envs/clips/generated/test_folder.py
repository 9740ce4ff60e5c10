import json

import numpy as np
import pytest

from envs.clips import ClipError
from envs.clips.datasets import find_clips
from envs.clips.generated.directions import CLASSES, REVERSED_CLASS
from envs.clips.generated.folder import GeneratedFolder, clip_generator, facts_of

COUNTS = {"train": 3, "val": 2, "test": 4}


def folder_at(root, counts=COUNTS, **options) -> GeneratedFolder:
    return GeneratedFolder(root, facts_of("a test", 1, counts=counts, seed=0, **options))


def written(root) -> GeneratedFolder:
    """A whole folder of clips that nobody opens."""
    folder = folder_at(root)
    for split, clip in folder.begin():
        folder.file(split, clip).touch()
    folder.finish()
    return folder


def test_a_finished_folder_is_read_as_lists(tmp_path):
    folder = written(tmp_path / "made")
    assert folder.is_whole()
    for split, count in COUNTS.items():
        listing = find_clips(folder.root, split)
        assert listing.layout == "lists"
        assert len(listing.paths) == count
        assert (listing.classes, listing.reversed_class) == (CLASSES, REVERSED_CLASS)
        assert listing.paired == (split != "train")
        assert all((folder.root / path).exists() for path in listing.paths)


def test_what_is_missing_is_told_and_until_it_is_there_nothing_is_read(tmp_path):
    folder = folder_at(tmp_path)
    assert not folder.is_whole()
    assert len(folder.begin()) == 9
    folder.file("val", 1).touch()
    assert not folder.is_whole()
    assert ("val", 1) not in (missing := folder.begin())
    assert len(missing) == 8
    with pytest.raises(ClipError, match="running or was interrupted"):
        find_clips(tmp_path, "train")


@pytest.mark.parametrize("whole", [True, False])
def test_other_facts_are_named(tmp_path, whole):
    written(tmp_path) if whole else folder_at(tmp_path).begin()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for other, names in (
        (folder_at(tmp_path, {**COUNTS, "val": 4}, speed=[1, 2]), "counts, speed"),
        (GeneratedFolder(tmp_path, {**folder_at(tmp_path).facts, "generator": "another"}), "generator"),
    ):
        with pytest.raises(ClipError, match=f"differs in {names}; name another folder"):
            other.is_whole()
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", ["mine.mp4", "dataset.json"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, name):
    (tmp_path / name).write_text("mine")
    with pytest.raises(ClipError, match="there is something else; name another"):
        folder_at(tmp_path).is_whole()
    with pytest.raises(ClipError, match="there is something else; name another"):
        folder_at(tmp_path / name).is_whole()


@pytest.mark.parametrize("counts", [{"val": 3}, {"test": 5}, {"train": 0}, {"test": -2}])
def test_counts_that_cannot_be(tmp_path, counts):
    with pytest.raises(ValueError, match="even numbers in val and test"):
        folder_at(tmp_path / "made", {**COUNTS, **counts})
    assert not (tmp_path / "made").exists()


def test_facts_survive_json_as_they_are():
    facts = facts_of("a test", 1, counts=COUNTS, seed=3, speed=[1.5, 2.5])
    assert json.loads(json.dumps(facts)) == facts


def test_each_clip_has_a_generator_of_its_own():
    draws = {
        (seed, split, clip): clip_generator(seed, split, clip).random()
        for seed in (0, 1)
        for split in ("train", "val", "test", "memory")
        for clip in range(3)
    }
    assert len(set(draws.values())) == len(draws)
    assert clip_generator(1, "val", 2).random() == draws[1, "val", 2]
    assert np.isclose(np.mean(list(draws.values())), 0.5, atol=0.25)
