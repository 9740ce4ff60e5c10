"""What README shows must run: its Python as it stands, on small data; its commands as far as their spelling."""

import gc
import re
import shlex
import shutil
from pathlib import Path

import pytest

from experiments.__main__ import COMMANDS, parse_command
from experiments.config import Data, Train
from experiments.methods import METHODS
from experiments.train import train

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("*/README.md")), *sorted(ROOT.glob("*/**/README.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def commands(page: Path) -> list[str]:
    """Lines of shell that call one of our commands, without their comments."""
    lines = "".join(blocks(page, "bash")).replace("\\\n", " ").splitlines()
    return [line for line in lines if "python -m experiments " in line]


PYTHON = blocks(ROOT / "README.md", "python")


@pytest.fixture
def small_place(videos, backbone_file, tmp_path, monkeypatch):
    """A folder with data and a backbone where README says that they are."""
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "eight-motions").symlink_to(videos)
    (tmp_path / "runs" / "backbone").mkdir(parents=True)
    shutil.copy(backbone_file, tmp_path / "runs" / "backbone" / "backbone.pt")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    before = dict(METHODS)
    yield tmp_path
    for name in set(METHODS) - set(before):
        del METHODS[name]


@pytest.mark.usefixtures("sb3_logs")
@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_python_runs(number, small_place, backbone_file, videos, monkeypatch):
    text = re.sub(r"learn\([\d_]+\)", "learn(1)", PYTHON[number])  # one round of rollouts
    text = re.sub(r"num_clips=\d+", "num_clips=2", text)
    for name in re.findall(r"@register_method\ndef (\w+)", text):  # another test may have one of that name
        monkeypatch.delitem(METHODS, name, raising=False)
    methods = set(METHODS)
    exec(compile(text, f"README.md, python block {number}", "exec"), {"__name__": "readme"})
    for method in set(METHODS) - methods:  # the block registered it
        short = {"rollouts": 8, "num_clips": 2, "rollouts_per_clip": 2, "validation_clips": 2, "device": "cpu"}
        run = train(
            Train(backbone=backbone_file, data=Data(root=videos), method=method, run=small_place / "run", **short)
        )
        assert (run / "result.json").exists()
    gc.collect()  # environments that a block leaves open close their files here, not in another test


def test_there_is_python_that_trains_and_python_that_registers_a_method():
    assert sum(".learn(" in text for text in PYTHON) >= 1
    assert sum("@register_method" in text for text in PYTHON) >= 1


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_commands_are_spelt_right(page):
    for line in commands(page):
        words = shlex.split(line.partition("python -m experiments ")[2], comments=True)
        assert parse_command(words)[0] is COMMANDS[words[0]], line


def test_control_a_wrong_option_is_found(tmp_path, capsys):
    page = tmp_path / "README.md"
    page.write_text("```bash\npython -m experiments train --methd ppo  # a slip\n```\n")
    with pytest.raises(SystemExit):
        test_commands_are_spelt_right(page)


def test_the_commands_of_the_main_page_are_found():
    assert len(commands(ROOT / "README.md")) >= 8
