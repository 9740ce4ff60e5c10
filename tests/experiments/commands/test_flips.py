import json

import pytest
from layout_cases import touch, write

from experiments.__main__ import main

NAMES = ("turn left", "wave", "turn right", "look left and right", "clap")


@pytest.fixture
def folder(tmp_path):
    """A folder per class with three videos in each, which nobody opens."""
    return touch(tmp_path, *(f"{name}/{i}.mp4" for name in NAMES for i in range(3)))


def listed(capsys) -> dict:
    return json.loads(capsys.readouterr().out)


def test_pairs_of_a_data_folder(folder, capsys):
    assert main(["flips", str(folder), "--json"]) == 0
    assert listed(capsys) == {  # folders are labels in the order of their names
        "classes": 5,
        "pairs": [[{"label": 2, "name": "turn left"}, {"label": 3, "name": "turn right"}]],
        "unflippable": [{"label": 1, "name": "look left and right"}],
        "unchanged": 2,
    }


@pytest.mark.parametrize("form", ["{1}\n", "{0},{1}\r\n", "{0} {1}\n\n"])
def test_pairs_of_a_file_of_names(form, tmp_path, capsys):
    write(tmp_path, {"names.txt": "".join(form.format(i, name) for i, name in enumerate(NAMES))})
    assert main(["flips", str(tmp_path / "names.txt"), "--json"]) == 0
    found = listed(capsys)
    assert found["pairs"] == [[{"label": 0, "name": "turn left"}, {"label": 2, "name": "turn right"}]]
    assert [entry["label"] for entry in found["unflippable"]] == [3]
    assert found["unchanged"] == 2


def test_the_table_names_all_that_changes(folder, capsys):
    assert main(["flips", str(folder)]) == 0
    said = capsys.readouterr().out
    assert "turn left" in said
    assert "turn right" in said
    assert "1  look left and right" in said
    assert "Of 5 classes, 2 stay what they are." in said


def test_classes_without_directions_have_no_pairs(tmp_path, capsys):
    write(tmp_path, {"names.txt": "wave\nclap\n"})
    assert main(["flips", str(tmp_path / "names.txt")]) == 0
    said = capsys.readouterr().out
    assert "exchanges no labels" in said
    assert "never flipped" not in said


def test_classes_that_are_only_numbered_are_not_flipped(tmp_path, capsys):
    touch(tmp_path, "a.mp4", "b.mp4")
    write(tmp_path, {"train.txt": "a.mp4 0\nb.mp4 1\n"})
    assert main(["flips", str(tmp_path), "--json"]) == 0
    assert [entry["name"] for entry in listed(capsys)["unflippable"]] == ["0", "1"]


@pytest.mark.parametrize("content", ["", "wave\nwave\n", b"\xff\xfe"])
def test_a_file_without_class_names_is_one_sentence(content, tmp_path, capsys):
    write(tmp_path, {"names.txt": content})
    assert main(["flips", str(tmp_path / "names.txt")]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"Error: {tmp_path / 'names.txt'}: expected")
    assert said.count("\n") == 1


def test_a_path_to_nothing_is_one_sentence(tmp_path, capsys):
    assert main(["flips", str(tmp_path / "nothing")]) == 1
    assert "there is nothing; correct the path" in capsys.readouterr().err


def test_a_layout_can_be_named(folder, capsys):
    assert main(["flips", str(folder), "--layout", "ucf101"]) == 1
    assert main(["flips", str(folder), "--layout", "class_folders", "--json"]) == 0
