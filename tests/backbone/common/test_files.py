"""Files are whole or not there, and reading one never runs its code."""

import errno
import io
import json
import os
import pickle
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from backbone.common import files
from backbone.common.files import load_checkpoint, load_tensors, save_checkpoint, write_json, write_whole

pytestmark = pytest.mark.filterwarnings("ignore:Detected pickle protocol")
any_bytes = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Interrupted(Exception):
    pass


def interrupt(*args, **kwargs):
    raise Interrupted


def write_half(file):
    file.write(b"half of the new")
    raise Interrupted


def listing(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("old", [b"the old", None])
def test_an_interrupted_write_leaves_what_was_there(tmp_path, old):
    path = tmp_path / "file"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(Interrupted):
        write_whole(path, write_half)
    assert listing(tmp_path) == ([] if old is None else ["file"])
    assert old is None or path.read_bytes() == old


def test_a_failing_rename_leaves_what_was_there(tmp_path, monkeypatch):
    path = tmp_path / "file"
    path.write_bytes(b"the old")
    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(Interrupted):
        write_whole(path, lambda file: file.write(b"the new"))
    assert listing(tmp_path) == ["file"]
    assert path.read_bytes() == b"the old"


def test_an_interrupted_checkpoint_leaves_the_one_before(tmp_path, monkeypatch):
    path = tmp_path / "model.pt"
    save_checkpoint(path, "thing", {"step": 1}, {"w": torch.ones(3)})
    monkeypatch.setattr(torch, "save", lambda data, file: write_half(file))
    with pytest.raises(Interrupted):
        save_checkpoint(path, "thing", {"step": 2}, {"w": torch.zeros(3)})
    content, tensors = load_checkpoint(path, "thing")
    assert content == {"step": 1}
    assert torch.equal(tensors["w"], torch.ones(3))
    assert listing(tmp_path) == ["model.pt"]


def test_control_a_plain_write_would_lose_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"the old")
    with pytest.raises(Interrupted), open(path, "wb") as file:
        write_half(file)
    assert path.read_bytes() != b"the old"


def test_folders_on_the_way_are_made(tmp_path):
    write_whole(tmp_path / "a" / "b" / "c", lambda file: file.write(b"x"))
    assert (tmp_path / "a" / "b" / "c").read_bytes() == b"x"
    assert listing(tmp_path / "a" / "b") == ["c"]


def test_json_is_read_back_and_ends_with_a_newline(tmp_path):
    content = {"name": "größer", "values": [1, 2.5, None]}
    write_json(tmp_path / "facts.json", content)
    text = (tmp_path / "facts.json").read_text(encoding="utf-8")
    assert json.loads(text) == content
    assert text.endswith("}\n")


def test_what_json_cannot_hold_leaves_the_old_file(tmp_path):
    write_json(tmp_path / "facts.json", {"a": 1})
    with pytest.raises(TypeError):
        write_json(tmp_path / "facts.json", {"a": object()})
    assert json.loads((tmp_path / "facts.json").read_text()) == {"a": 1}


def test_a_checkpoint_is_read_back(tmp_path):
    tensors = {"weights": {"w": torch.randn(2, 3)}, "count": torch.tensor(4)}
    save_checkpoint(tmp_path / "model.pt", "thing", {"seed": 3, "names": ["a"]}, tensors)
    content, loaded = load_checkpoint(tmp_path / "model.pt", "thing")
    assert content == {"seed": 3, "names": ["a"]}
    assert torch.equal(loaded["weights"]["w"], tensors["weights"]["w"])
    assert torch.equal(loaded["count"], tensors["count"])


def test_a_missing_checkpoint_is_told_by_its_path(tmp_path):
    with pytest.raises(ValueError, match=r"expected a thing checkpoint at .*none\.pt, found no such file"):
        load_checkpoint(tmp_path / "none.pt", "thing")


@pytest.mark.parametrize(
    ("stored", "words"),
    [
        ({"format": "adafuse-rl/other"}, "adafuse-rl/other"),
        ({"state_dict": {}}, "another program's file"),
        ([1, 2], "list"),
    ],
)
def test_a_checkpoint_of_another_kind_is_refused(tmp_path, stored, words):
    torch.save(stored, tmp_path / "other.pt")
    with pytest.raises(ValueError, match=rf"format adafuse-rl/thing in .*got {words}"):
        load_checkpoint(tmp_path / "other.pt", "thing")


class Payload:
    """What an attacker would put into a pickle: it makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("dump", [torch.save, lambda data, path: path.write_bytes(pickle.dumps(data))])
def test_code_in_a_file_is_refused_and_never_runs(tmp_path, dump):
    mark, path = tmp_path / "it-ran", tmp_path / "evil.pt"
    dump({"format": "adafuse-rl/thing", "json": Payload(mark)}, path)
    with pytest.raises(ValueError, match="expected a file of tensors"):
        load_checkpoint(path, "thing")
    assert not mark.exists()


def test_control_an_unsafe_reader_would_run_it(tmp_path):
    mark = tmp_path / "it-ran"
    pickle.loads(pickle.dumps(Payload(mark)))
    assert mark.exists()


@given(data=st.binary(max_size=60))
@any_bytes
def test_any_bytes_are_refused_in_one_sentence(tmp_path, data):
    (tmp_path / "noise.pt").write_bytes(data)
    with pytest.raises(ValueError, match="expected a file of tensors") as caught:
        load_tensors(tmp_path / "noise.pt")
    assert "\n" not in str(caught.value)


@given(data=st.binary(max_size=60))
@any_bytes
def test_any_pickle_like_bytes_are_refused_in_one_sentence(tmp_path, data):
    (tmp_path / "noise.pt").write_bytes(b"\x80\x02" + data)
    with pytest.raises(ValueError, match="expected a file of tensors"):
        load_tensors(tmp_path / "noise.pt")


@pytest.mark.parametrize("share", [0, 0.1, 0.5, 0.9, 0.99])
def test_a_truncated_checkpoint_is_refused(tmp_path, share):
    path = tmp_path / "model.pt"
    save_checkpoint(path, "thing", {}, {"w": torch.randn(1000)})
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"cut off or damaged|an empty file"):
        load_checkpoint(path, "thing")


class OfAScript:
    """What a training script may have put beside its tensors."""


def test_what_could_run_code_is_named(tmp_path):
    torch.save({"w": torch.ones(1), "args": OfAScript()}, tmp_path / "script.pt")
    with pytest.raises(
        ValueError, match=r"tensors alone at .*script\.pt, got one that holds \S+\.OfAScript too"
    ) as caught:
        load_tensors(tmp_path / "script.pt")
    assert "\n" not in str(caught.value)


def test_json_of_a_path_that_is_no_text_is_read_as_it_was(tmp_path):
    content = {"run": "r\udcffn", "name": "日本\\udc"}
    write_json(tmp_path / "x.json", content)
    assert json.loads((tmp_path / "x.json").read_text(encoding="utf-8")) == content


# -- disks that take no more -----------------------------------------------------------------------------------------


class Full(io.RawIOBase):
    """A disk on which so many bytes fit."""

    def __init__(self, room: int) -> None:
        self.room = room

    def writable(self) -> bool:
        return True

    def write(self, content) -> int:
        self.room -= len(content)
        if self.room < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return len(content)


def full_after(monkeypatch, room: int) -> None:
    def opened(path, mode):
        Path(path).touch()
        return io.BufferedWriter(Full(room))

    monkeypatch.setattr(files, "open", opened, raising=False)


@pytest.mark.parametrize("room", [0, 1, 500, 2000, 5000, 20_000])
def test_a_full_disk_leaves_the_last_checkpoint_and_says_which_file_and_what_to_do(tmp_path, monkeypatch, room):
    path = tmp_path / "checkpoint.pt"
    save_checkpoint(path, "thing", {"step": 1}, {"w": torch.ones(6000)})
    with monkeypatch.context() as patch:
        full_after(patch, room)
        with pytest.raises(
            OSError, match=r"room for .*checkpoint\.pt \(about 0\.0 MB\), got none: the disk is full"
        ) as caught:
            save_checkpoint(path, "thing", {"step": 2}, {"w": torch.zeros(6000)})
    assert "what it held before is intact. Make room and call the same again" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert load_checkpoint(path, "thing")[0] == {"step": 1}
    assert listing(tmp_path) == ["checkpoint.pt"]


def test_a_full_disk_leaves_nothing_where_nothing_was(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        full_after(patch, 3)
        with pytest.raises(
            OSError, match=r"room for .*facts\.json \(more than .* MB\), got none: .*nothing half-written is left"
        ):
            write_json(tmp_path / "facts.json", {"a": 1})
    assert listing(tmp_path) == []


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(
        OSError, match=r"expected to write .*file/new/x, could not \(Not a directory\): .* name another place"
    ):
        write_whole(tmp_path / "file" / "new" / "x", lambda file: None)


def test_an_error_that_is_not_the_disks_stays_what_it_is(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        write_whole(tmp_path / "x", lambda file: (tmp_path / "nowhere").read_bytes())
    assert listing(tmp_path) == []
