import os
import shlex
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from experiments.__main__ import COMMANDS, parse_command
from tests import test_readme as readme

ROOT = Path(__file__).parents[3]
SCRIPT = ROOT / "experiments" / "examples" / "something.sh"
GUIDE = ROOT / "docs" / "guides" / "something-something.md"
MODELS = ("tsn50", "tsm50", "tsm50-last", "bn-inception")
STAND_IN = """#!/usr/bin/env bash
# writes its arguments down, leaves a run's files behind, and fails at the command in $FAIL_AT
printf '%q ' "${@:3}" >> "$LOG"; echo >> "$LOG"
[ "$3" != "${FAIL_AT:-}" ] || exit 1
run=; for word in "$@"; do [ "$previous" != --run ] || run=$word; [ "$previous" != --resume ] || run=$word; previous=$word; done
case $3 in
  pretrain) mkdir -p "$run"; touch "$run/config.json" "$run/backbone.pt" ;;
  train) mkdir -p "$run"; touch "$run/config.json" "$run/result.json" ;;
  evaluate) touch "$4/evaluation.json" ;;
esac
"""


@pytest.fixture
def call(tmp_path):
    """Runs the script on a stand-in for Python; its exit code, its errors, and the commands that it gave."""
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.pth").touch()
    stand_in = tmp_path / "python"
    stand_in.write_text(STAND_IN)
    stand_in.chmod(0o755)

    def run(*arguments, **variables):
        log = tmp_path / "log"
        log.unlink(missing_ok=True)
        environment = {**os.environ, "PYTHON": str(stand_in), "LOG": str(log), "previous": "", **variables}
        done = subprocess.run(
            ["bash", SCRIPT, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        given = log.read_text().splitlines() if log.exists() else []
        return done.returncode, done.stderr, [shlex.split(line) for line in given]

    return run


def test_it_parses():
    subprocess.run(["bash", "-n", SCRIPT], check=True)


@pytest.mark.parametrize("model", MODELS)
def test_every_command_is_one_of_ours(call, model):
    code, errors, given = call("data", "my runs", model, WEIGHTS="weights.pth")
    assert (code, errors) == (0, "")
    assert [words[0] for words in given] == ["check-data", "flips", "pretrain", "train", "evaluate"]
    for words in given:
        assert parse_command(words)[0] is COMMANDS[words[0]]
    options = parse_command(given[3])[1]
    assert (options.regime, options.method) == ("joint", "gumbel")
    assert options.backbone == Path(f"my runs/{model}-backbone/backbone.pt")
    assert (options.hidden_quota is None) == (model in ("tsm50-last", "bn-inception"))


def test_control_a_wrong_option_is_refused(call):
    _, _, given = call("data", "runs")
    with pytest.raises(SystemExit):
        parse_command([*given[2], "--temporel", "tsm"])


@pytest.mark.parametrize("broken", ["check-data", "pretrain", "train", "evaluate"])
def test_it_goes_on_where_it_was_interrupted(call, broken):
    steps = ["check-data", "flips", "pretrain", "train", "evaluate"]
    code, _, given = call("data", "runs", FAIL_AT=broken)
    assert code != 0
    assert [words[0] for words in given] == steps[: steps.index(broken) + 1]
    code, _, given = call("data", "runs")
    assert code == 0
    assert [words[0] for words in given if words[0] != "flips"] == [
        step for step in steps[steps.index(broken) :] if step != "flips"
    ]
    assert [words[0] for words in call("data", "runs")[2]] == ["flips"]


def test_what_was_begun_is_resumed(call, tmp_path):
    for folder in ("tsm50-backbone", "tsm50-agent"):
        (tmp_path / "runs" / folder).mkdir(parents=True)
        (tmp_path / "runs" / folder / "config.json").touch()
    _, _, given = call("data", "runs")
    pretraining, training = (parse_command(words)[1] for words in given[2:4])
    assert pretraining.resume
    assert training.resume == Path("runs/tsm50-agent")


@pytest.mark.parametrize(
    ("arguments", "variables", "message"),
    [
        (["data"], {}, "expected something.sh DATA RUNS [MODEL], got 1 arguments"),
        (["nowhere", "runs"], {}, "expected a folder of videos, got nowhere: check the path"),
        (["data", "runs", "tsm"], {}, "expected a model among tsn50, tsm50, tsm50-last, bn-inception, got tsm"),
        (["data", "runs"], {"CLIPS": "many"}, "expected a number of clips in CLIPS, got many"),
        (["data", "runs", "bn-inception"], {}, "expected a file of BN-Inception's ImageNet weights in WEIGHTS"),
        (["data", "runs"], {"PYTHON": "no-such"}, "expected a Python interpreter, got no-such"),
        (["data", "runs"], {"FAIL_AT": "check-data"}, "expected whole data in data, runs/check.json.part says"),
    ],
)
def test_what_it_refuses(call, arguments, variables, message):
    code, errors, given = call(*arguments, **variables)
    assert code == 2
    assert errors.startswith(f"Error: {message}")
    assert len(given) == ("FAIL_AT" in variables)


def test_without_the_check(call):
    assert call("data", "runs", CHECK="no")[2][0][0] == "flips"


def calls_in_the_guide():
    """The lines that call the script: their variables, and their arguments."""
    lines = "".join(readme.blocks(GUIDE, "bash")).splitlines()
    for line in [line for line in lines if SCRIPT.name in line]:
        words = shlex.split(line.removesuffix("&"))
        variables = dict(word.split("=") for word in words[: words.index("bash")])
        yield pytest.param(variables, words[words.index("bash") + 2 :], id=line)


@pytest.mark.parametrize(("variables", "arguments"), list(calls_in_the_guide()))
def test_what_the_guide_calls_is_accepted(call, tmp_path, variables, arguments):
    (tmp_path / arguments[0]).mkdir()
    for name in {"WEIGHTS"} & variables.keys():
        (tmp_path / variables[name]).touch()
    code, errors, given = call(*arguments, **variables)
    assert (code, errors, len(given)) == (0, "", 5)


def test_the_script_does_what_the_guide_shows(call):
    """The guide's commands for TSM50 on Something-Something V2 are those of the script, but for the names of folders."""
    _, _, given = call("data", "runs", "tsm50")
    of_guide = [
        shlex.split(line.partition("python -m experiments ")[2], comments=True) for line in readme.commands(GUIDE)
    ]
    for words in given:
        options = as_options(parse_command(words)[1])
        assert options in [as_options(parse_command(shown)[1]) for shown in of_guide if shown[0] == words[0]]


def as_options(options):
    """Without the paths that differ, and what only a script wants."""
    found = {name: value for name, value in vars(options).items() if not isinstance(value, Path) and name != "json"}
    if "data" in found:
        found["data"] = replace(found["data"], root=Path())
    return found
