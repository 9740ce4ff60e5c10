import json
import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest

from experiments.__main__ import main
from experiments.commands import doctor as module
from experiments.commands.doctor import Finding, codecs, examine, packages, room, show, yours


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_here_nothing_is_missing_and_data_and_backbone_need_not_be_there(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "All that is needed is there" in said
    found = by_name(examine(tmp_path))
    assert found["embedded data"].status == found["backbone"].status == "note"
    assert not list(tmp_path.iterdir()), "it leaves nothing behind"


def test_json_says_the_same(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["doctor", "--json"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert content["healthy"] is True
    assert [finding["name"] for finding in content["findings"]] == [finding.name for finding in examine(tmp_path)]


def test_every_finding_that_is_not_well_says_what_to_do(tmp_path):
    assert all(finding.advice for finding in examine(tmp_path) if finding.status != "ok")


def test_versions_are_held_against_the_pins(tmp_path):
    numpy, text = metadata.version("numpy"), tmp_path / "requirements.txt"
    text.write_text(f"# comment\nnumpy=={numpy}\ntqdm==0.0.1  # bars\nno-such-package==1.2.3\n")
    found = by_name(packages(text))
    assert [found[name].status for name in ("python", "numpy", "tqdm", "no-such-package")] == [
        "ok", "ok", "note", "missing",
    ]  # fmt: skip
    assert "0.0.1 is pinned" in found["tqdm"].found


def test_the_pins_of_the_project_are_all_looked_at():
    wanted = [line.split("==")[0] for line in module.REQUIREMENTS.read_text().splitlines() if "==" in line]
    assert [finding.name for finding in packages(module.REQUIREMENTS)] == ["python", *wanted]


def test_an_installed_package_has_no_pins_and_what_it_needs_is_looked_at(tmp_path, monkeypatch):
    wanted = ["numpy<3,>=2", "no-such-package>=1", 'pytest>=8; extra == "dev"']
    monkeypatch.setattr(module.metadata, "requires", {"adafuse-rl": wanted}.get)
    found = by_name(packages(tmp_path / "requirements.txt"))
    assert {name: finding.status for name, finding in found.items()} == {
        "python": "ok",
        "numpy": "ok",
        "no-such-package": "missing",
    }
    assert found["no-such-package"].advice.endswith("-m pip install adafuse-rl")


def test_something_missing_is_an_exit_code_of_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage._replace(free=10**8))
    assert main(["doctor"]) == 1
    assert "Something that is needed is missing" in capsys.readouterr().out
    assert by_name(room(tmp_path))["runs/"].status == "missing"


def test_a_folder_that_cannot_be_written_is_found(tmp_path, monkeypatch):
    def refuse(dir):
        raise PermissionError(13, os.strerror(13))

    (tmp_path / "data").mkdir()
    monkeypatch.setattr(module.tempfile, "TemporaryFile", refuse)
    found = by_name(room(tmp_path))
    assert found["write runs/"].status == "missing"
    assert found["write data/"].status == "note"  # what is there can be read
    assert "Permission denied" in found["write runs/"].found


def test_a_codec_that_is_not_there_is_found(monkeypatch):
    monkeypatch.setattr(module.av, "codecs_available", {"mjpeg"})
    monkeypatch.setattr(module, "write_video", lambda path, frames: (_ for _ in ()).throw(ValueError("no libx264")))
    found = by_name(codecs())
    assert found["VP9 decoding"].status == "note"
    assert found["H.264 encoding, decoding"].status == "missing"


def test_embedded_data_and_backbone_are_found(videos, backbone_file, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eight-motions").symlink_to(videos)
    target = tmp_path / "runs" / "backbone" / "backbone.pt"
    target.parent.mkdir(parents=True)
    shutil.copy(backbone_file, target)
    found = by_name(yours(tmp_path))
    assert found["embedded data"] == Finding("yours", "embedded data", "32 train, 8 val, 16 test")
    assert found["backbone"].status == "ok"
    assert "resnet_small, 8 classes" in found["backbone"].found
    target.write_bytes(b"cut off")
    assert by_name(yours(tmp_path))["backbone"].status == "note"


@pytest.mark.parametrize("status", ["ok", "note", "missing"])
def test_markup_in_what_was_found_is_shown_as_it_is(status, capsys):
    show([Finding("part", "name", "[red]odd[/red]", status, "[bold]")])
    assert "[red]odd[/red]" in capsys.readouterr().out


def test_the_requirements_are_those_of_the_repository():
    assert Path(__file__).parents[3] / "requirements.txt" == module.REQUIREMENTS
