import re
import shlex
import subprocess
import sys
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from backbone.fusion.consensus import CONSENSUS
from backbone.fusion.temporal import TEMPORAL_MODES
from envs.reward import OUTCOMES
from experiments import config
from experiments.__main__ import COMMANDS, main, parse_command
from experiments.command_line import choices, explain

ROOT = Path(__file__).parents[2]


def help_of(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_has_an_example_that_can_be_parsed_and_no_default_of_none(command, capsys, monkeypatch):
    said = help_of(command, capsys, monkeypatch)
    assert f"Example: python -m experiments {COMMANDS[command].example}" in " ".join(said.split())
    assert "None" not in said
    assert "(default: )" not in said
    words = shlex.split(COMMANDS[command].example)
    assert words[0] == command
    known, options = parse_command(words)
    assert known is COMMANDS[command]
    assert type(options) is known.options


def test_sentences_flow_over_the_width_there_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Mirror every second clip" in line]
    assert "skip leaves the clips of such classes alone." in line


def test_options_are_parsed_as_before_they_were_explained():
    words = ["compare", "--seeds", "0", "1", "--run", "runs/x", "--data.cache", "c", "--correctness-row", "True"]
    _, options = parse_command(words)
    assert (options.seeds, str(options.run), str(options.data.cache), options.correctness_row) == (
        (0, 1), "runs/x", "c", True,
    )  # fmt: skip
    assert parse_command(["compare"])[1] == config.Compare()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian", "--method", "ppo"], "train"),
        (["check_data", "x"], "check-data"),
        (["compare", "--preset", "ful"], "full"),
        (["compare", "--preset=ful"], "full"),
        (["train", "--regime", "frozn"], "frozen"),
        (["train", "--data.flip", "swp"], "swap"),
    ],
)
def test_a_misspelt_command_or_choice_is_answered_with_the_right_one(words, meant, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["train", "--reward", "logprob"], "log_prob"),
        (["train", "--method", "gumble"], "gumbel"),
        (["compare", "--more-rewards", "correctnes"], "correctness"),
        (["pretrain", "--temporal", "tsm-strem"], "tsm-stream"),
        (["pretrain", "--consensus", "men"], "mean"),
        (["pretrain", "--architecture", "resnet_smal"], "resnet_small"),
    ],
)
def test_a_misspelt_name_of_what_users_register_is_answered_before_anything_is_opened(
    words, meant, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(words) == 1
    assert f"did you mean '{meant}'?" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("command", "option", "known"),
    [
        ("train", "reward", OUTCOMES),
        ("pretrain", "temporal", TEMPORAL_MODES),
        ("pretrain", "consensus", CONSENSUS),
        ("describe", "temporal", TEMPORAL_MODES),
        ("describe", "consensus", CONSENSUS),
    ],
)
def test_help_lists_what_is_built_in_beside_a_name_of_ones_own(command, option, known, capsys, monkeypatch):
    said = " ".join(help_of(command, capsys, monkeypatch).split())
    (listed,) = re.findall(rf"--{option} (\S+\|NAME)", said)
    assert set(listed.split("|")) == {*known, "NAME"}


def test_a_misspelt_option_is_answered_with_the_right_one(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--methd", "ppo"])
    assert "--method " in capsys.readouterr().err


def test_every_field_of_every_command_is_explained():
    for kind in (command.options for command in COMMANDS.values()):
        explain(kind)
        for field in fields(kind):
            assert field.name in kind.__annotations__ or is_dataclass(field.default_factory())


def test_choices_are_those_of_the_annotations():
    known = choices(config.Train)
    assert known["regime"] == ("frozen", "joint")
    assert known["cost_gradient"] == ("exact", "sampled")
    assert known["data.flip"] == ("off", "swap", "skip")
    assert "method" not in known


@pytest.mark.parametrize(
    ("called", "program"), [("/bin/adafuse-rl", "adafuse-rl"), ("/x/experiments/__main__.py", "python -m experiments")]
)
def test_what_is_printed_calls_the_program_as_the_user_did(called, program):
    lines = (
        f"import sys; sys.argv = [{called!r}, 'compare', '--help']",
        "from experiments.__main__ import main",
        "main()",
    )
    said = subprocess.run([sys.executable, "-c", "\n".join(lines)], cwd=ROOT, stdout=subprocess.PIPE, text=True).stdout
    assert said.startswith(f"usage: {program} compare ")
    assert f"Example: {program} compare --preset quick" in said
