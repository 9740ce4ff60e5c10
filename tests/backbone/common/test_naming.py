import pytest

from agent import fixed_policy
from agent.estimators.baselines import BASELINES
from backbone.cnns.registry import create_cnn
from backbone.common.naming import did_you_mean, paths_nearby, printable
from backbone.weights.checkpoints import read_file
from envs.clips.datasets.registry import find_clips
from envs.reward import find_outcome
from experiments.machine import import_plugins
from experiments.methods import METHODS


@pytest.mark.parametrize("known", [METHODS, BASELINES], ids=["methods", "baselines"])
def test_every_name_with_two_letters_exchanged_is_recognised(known):
    for name in known:
        for place in range(len(name) - 1):
            slip = name[:place] + name[place + 1] + name[place] + name[place + 2 :]
            if slip not in known:
                assert did_you_mean(slip, known) == f": did you mean {name!r}?"


@pytest.mark.parametrize(("got", "said"), [("GUMBEL", ": did you mean 'gumbel'?"), ("sarsa", ""), ("", "")])
def test_capitals_do_not_matter_and_what_resembles_nothing_gets_no_suggestion(got, said):
    assert did_you_mean(got, ["gumbel", "reinforce"]) == said


def test_several_names_get_a_suggestion_each_and_once():
    assert did_you_mean(["gumble", "gumbl", "poo"], ["gumbel", "ppo"]) == ": did you mean 'gumbel' and 'ppo'?"


def test_a_missing_run_names_those_alike_and_else_those_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("runs/ppo-w1-s0", "runs/gumbel-w1-s0", "runs/mine/gumbel-g1-w1-s0", "runs/no-run"):
        (tmp_path / name).mkdir(parents=True)
        if "no-run" not in name:
            (tmp_path / name / "config.json").touch()
    assert paths_nearby("runs/ppo-w1-s1", "config.json").startswith("; nearby are runs/ppo-w1-s0")
    assert "runs/ppo-w1-s0" in paths_nearby("ppo-w1-s0", "config.json")
    assert "runs/mine/gumbel-g1-w1-s0" in paths_nearby("runs/mine", "config.json")
    everything = paths_nearby("zzz", "config.json")
    assert everything.count("-s0") == 3
    assert "no-run" not in everything
    assert paths_nearby(tmp_path / "runs/no-run/deep/er") == ""


@pytest.mark.parametrize(
    ("look_up", "meant"),
    [
        (lambda: create_cnn("resnet_smal", num_classes=2), "resnet_small"),
        (lambda: find_outcome("logprob"), "log_prob"),
        (lambda: fixed_policy("shift 1/3", None), "shift 1/4"),
        (lambda: find_clips(".", "tset"), "test"),
        (lambda: read_file("imagnet"), "imagenet"),
        (lambda: find_clips(".", "test", layout="something-v2"), "something_v2"),
    ],
)
def test_lookups_end_with_the_suggestion(look_up, meant):
    with pytest.raises(ValueError, match=f"did you mean '{meant}'\\?$"):
        look_up()


def test_a_missing_file_names_those_alike_beside_it(tmp_path):
    (tmp_path / "backbone.pt").touch()
    with pytest.raises(ValueError, match=r"found no such file: check the path; nearby are .*/backbone\.pt$"):
        read_file(tmp_path / "backbon.pt")
    with pytest.raises(ValueError, match=r"check the path$"):
        read_file(tmp_path / "something else")


def test_a_missing_plugin_names_the_module_that_was_meant(tmp_path, monkeypatch):
    (tmp_path / "my_method_of_today.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ValueError, match=r"did you mean 'my_method_of_today'\?$"):
        import_plugins(["my_metod_of_today"])
    (tmp_path / "broken_plugin.py").write_text("import no_such_module_at_all")
    with pytest.raises(ValueError, match=r"No module named 'no_such_module_at_all'$"):
        import_plugins(["broken_plugin"])


def test_what_a_terminal_would_obey_stands_as_an_escape():
    assert printable("a b/ü中.mp4") == "a b/ü中.mp4"
    assert printable("\x1b]0;title\x07\r\n\t") == r"\x1b]0;title\x07\r\n\t"
    assert printable("\u202egp4.\x9b\udcff") == r"\u202egp4.\x9b\udcff"
    assert printable(printable("\x1b")) == printable("\x1b")
