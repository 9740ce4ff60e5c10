"""Extension in one file: each module of docs/templates alone, then all of them in one small comparison.

What `my_method` brings is trained in tests/experiments/comparison/test_compare.py.
"""

import json
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

import pytest
from registries import REGISTRIES, as_before

from experiments.__main__ import main
from experiments.run import Run

TEMPLATES = Path(__file__).parent.parent / "docs" / "templates"
BRINGS = {
    "my_cnn": {"backbone": "MyCNN"},
    "my_temporal": {"temporal mode": "half"},
    "my_consensus": {"consensus": "highest"},
    "my_mix": {"pretraining mix": "halves"},
    "my_layout": {"layout": "table"},
    "my_outcome": {"reward": "margin"},
    "my_baseline": {"baseline": "others", "method": "reinforce_others"},
    "my_relaxation": {"relaxation": "sharper", "method": "sharper"},
    "my_rule": {"fixed policy": "alternate"},
    "my_method": {"method": "my_a2c"},
}
"""Template -> noun of a registry -> the name that is registered there."""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with the templates, as a user's working folder has plugins, and videos in a layout that only one of them knows."""
    folder = tmp_path_factory.mktemp("plugins")
    for name in BRINGS:
        shutil.copy(TEMPLATES / f"{name}.py", folder)
    return folder


@contextmanager
def found_in(folder: Path) -> Iterator[None]:
    """Python finds the plugins there, and has imported none of them yet; afterwards it knows nothing of them."""
    with pytest.MonkeyPatch.context() as patch, as_before():
        patch.syspath_prepend(folder)  # which workers inherit
        yield
    for name in BRINGS:
        sys.modules.pop(name, None)


@pytest.fixture
def here(place):
    with found_in(place):
        yield place


@pytest.fixture(scope="module")
def table(videos, place):
    """The embedded videos in a layout that a plugin knows."""
    folder = place / "videos"
    folder.mkdir()
    lines = []
    for split in ("train", "val", "test"):
        (folder / split).symlink_to(videos / split)
        listed = [line.split() for line in (videos / f"{split}.txt").read_text().splitlines()]
        lines += [f"{split}\t{path}\tmotion {label}\n" for path, label in listed]
    (folder / "clips.tsv").write_text("".join(lines))
    return folder


@pytest.fixture(scope="module")
def compared(place, table):
    """A comparison in which everything is of a user's own; its worker knows of that by the configuration alone."""
    own = (
        "--plugin",
        *BRINGS,
        "--data.root",
        table,
        "--data.layout",
        "table",
        "--data.num-frames",
        4,
        "--data.cache-gb",
        0,
    )
    named = ("--architecture", "MyCNN", "--temporal", "half", "--consensus", "highest", "--mix", "halves")
    short = ("--clips", 16, "--batch-size", 16, "--threads", 1, "--device", "cpu", "--run", place / "backbone")
    methods = ("--methods", "sharper", "reinforce_others", "--more-rewards", "margin")
    budget = ("--rollouts", 32, "--seconds", 0, "--cost-weights", 1, "--group-sizes", 16)
    how = ("--backbone", place / "backbone" / "backbone.pt", "--workers", 1, "--device", "cpu")
    with found_in(place):
        run("pretrain", *own, *named, *short)
        run("compare", "--preset", "quick", *own, *methods, *budget, *how, "--run", place / "runs")
    return place / "runs"


def run(*words: object) -> None:
    assert main([*map(str, words)]) == 0


@pytest.mark.parametrize("name", BRINGS)
def test_a_template_is_short_and_registers_what_it_says(name, here):
    assert len((here / f"{name}.py").read_text().splitlines()) <= 40
    before = {noun: set(registry) for noun, registry in REGISTRIES.items()}
    import_module(name)
    brought = {noun: registry.keys() - before[noun] for noun, registry in REGISTRIES.items()}
    assert {noun: names for noun, names in brought.items() if names} == {
        noun: {entry} for noun, entry in BRINGS[name].items()
    }


def test_every_template_is_tried():
    assert {path.stem for path in TEMPLATES.glob("*.py")} == set(BRINGS)


def test_everything_of_ones_own_is_trained_and_judged_in_a_worker(compared):
    (table,) = json.loads((compared / "report.json").read_text())["tables"]
    rows = {(row["method"], row["reward"]) for row in table["learned"]}
    assert rows == {(name, "log_prob") for name in ("sharper", "reinforce_others")} | {("reinforce", "margin")}
    assert "alternate" in table["fixed"]
    report = (compared / "report.md").read_text()
    assert "| alternate |" in report
    assert "reinforce (margin reward)" in report


def test_a_run_of_it_is_judged_and_looked_into_once_the_user_stands_for_its_plugins(compared, here, capsys):
    folder = compared / "sharper-g16-w1-s0"
    assert main(["evaluate", str(folder), "--device", "cpu"]) == 1
    assert "expected your word for the plugin" in capsys.readouterr().err
    assert not set(BRINGS) & set(sys.modules)
    run("evaluate", folder, "--device", "cpu", "--plugin", *Run(folder).agent().plugin)
    assert "on 16 clips of test" in capsys.readouterr().out
    run("inspect", folder, "--cheapest", "--count", 1, "--device", "cpu", "--trust-run")
    assert "sharper" in (Run(folder).inspection / "index.html").read_text(encoding="utf-8")
    capsys.readouterr()
    video = next((here / "videos" / "test").iterdir())
    run("predict", video, "--run", folder, "--no-overlay", "--device", "cpu", "--json")
    assert json.loads(capsys.readouterr().out)["top"][0]["class"].startswith("motion")


def test_a_layout_of_ones_own_is_recognised_and_what_a_plugin_prints_is_no_json(table, here, capsys):
    with (here / "my_layout.py").open("a") as file:
        file.write('\n\nprint("a greeting")\n')
    run("check-data", table, "--plugin", "my_layout", "--workers", 1, "--json")
    assert json.loads(capsys.readouterr().out)["layout"] == "table"
    run("flips", table, "--plugin", "my_layout", "--layout", "table", "--json")
    assert json.loads(capsys.readouterr().out)["classes"] == 8
