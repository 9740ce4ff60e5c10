import shlex
from dataclasses import fields, is_dataclass

import pytest

from experiments import config
from experiments.__main__ import COMMANDS, DESCRIPTION, EXAMPLES, main
from experiments.command_line import choices, explain, parse

KINDS = {name: kind for name, (kind, _) in COMMANDS.items()}


def help_of(command, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    with pytest.raises(SystemExit):
        main([command, "--help"])
    return capsys.readouterr().out


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_help_has_an_example_that_can_be_parsed_and_no_default_of_none(command, capsys, monkeypatch):
    said = help_of(command, capsys, monkeypatch)
    assert f"Example: python -m experiments {EXAMPLES[command]}" in " ".join(said.split())
    assert "None" not in said
    assert "(default: )" not in said
    words = shlex.split(EXAMPLES[command])
    assert words[0] == command
    assert type(parse(KINDS, words, description=DESCRIPTION, examples=EXAMPLES)) is KINDS[command]


def test_sentences_flow_over_the_width_there_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "Mirror every second clip" in line]
    assert "skip leaves the clips of such classes alone." in line


def test_options_are_parsed_as_before_they_were_explained():
    words = ["compare", "--seeds", "0", "1", "--run", "runs/x", "--data.cache", "c", "--correctness-row", "True"]
    options = parse(KINDS, words, description=DESCRIPTION, examples=EXAMPLES)
    assert (options.seeds, str(options.run), str(options.data.cache), options.correctness_row) == (
        (0, 1), "runs/x", "c", True,
    )  # fmt: skip
    assert parse(KINDS, ["compare"], description=DESCRIPTION, examples=EXAMPLES) == config.Compare()


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["trian", "--method", "ppo"], "train"),
        (["check_data", "x"], "check-data"),
        (["compare", "--preset", "ful"], "full"),
        (["compare", "--preset=ful"], "full"),
        (["train", "--reward", "logprob"], "log_prob"),
        (["train", "--data.flip", "swp"], "swap"),
    ],
)
def test_a_misspelt_command_or_choice_is_answered_with_the_right_one(words, meant, capsys):
    with pytest.raises(SystemExit) as leaving:
        main(words)
    assert leaving.value.code == 2
    assert f"did you mean '{meant}'?" in capsys.readouterr().err


def test_a_misspelt_option_is_answered_with_the_right_one(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--methd", "ppo"])
    assert "--method " in capsys.readouterr().err


def test_every_field_of_every_command_is_explained():
    for kind in KINDS.values():
        explain(kind)
        for field in fields(kind):
            assert field.name in kind.__annotations__ or is_dataclass(field.default_factory())


def test_choices_are_those_of_the_annotations():
    known = choices(config.Train)
    assert known["regime"] == ("frozen", "joint")
    assert known["cost_gradient"] == ("exact", "sampled")
    assert known["data.flip"] == ("off", "swap", "skip")
    assert "method" not in known
