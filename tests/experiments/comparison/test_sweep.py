from pathlib import Path

import pytest

from experiments.comparison.sweep import comparisons
from experiments.config import Compare

TOML = """
methods = ["gumbel", "static"]
cost_weights = [1, 2.0]
seeds = [0, 1]
run = "runs/sweep"

[data]
num_frames = 4

[backbones]
small = "small.pt"
large = "large.pt"

[datasets.mine]
root = "videos"

[datasets.yours]
root = "others"
size = 64
"""


def swept(tmp_path, text, name="sweep.toml", **given):
    (tmp_path / name).write_text(text)
    return comparisons(Compare(sweep=tmp_path / name, **given))


def test_every_backbone_meets_every_data_set_in_a_folder_of_its_own(tmp_path):
    found = swept(tmp_path, TOML)
    assert [one.run.name for one in found] == ["small-mine", "small-yours", "large-mine", "large-yours"]
    assert {one.run.parent for one in found} == {Path("runs/sweep")}
    last = found[-1]
    assert (last.backbone, last.data.root, last.data.size, last.data.num_frames) == (
        Path("large.pt"), Path("others"), 64, 4,
    )  # fmt: skip
    assert (last.methods, last.cost_weights, last.seeds) == (("gumbel", "static"), (1, 2.0), (0, 1))


def test_the_command_line_comes_first(tmp_path):
    (one,) = swept(tmp_path, 'methods = ["gumbel"]\nseeds = [3]\n', seeds=(7,), run=tmp_path / "run")
    assert (one.methods, one.seeds, one.run) == (("gumbel",), (7,), tmp_path / "run")


def test_without_a_file_a_comparison_is_itself():
    assert comparisons(Compare(seeds=(1,))) == [Compare(seeds=(1,))]


def test_yaml_says_the_same(tmp_path):
    pytest.importorskip("yaml")
    (one,) = swept(tmp_path, "methods: [gumbel]\ndata: {size: 64}\n", name="sweep.yaml")
    assert (one.methods, one.data.size) == (("gumbel",), 64)
    with pytest.raises(ValueError, match="could not read it"):
        swept(tmp_path, "methods: [", name="sweep.yaml")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('metods = ["gumbel"]', r"expected options of compare in .*, got metods.*methods"),
        ('methods = "gumbel"', r"expected a list of a text for methods in .*, got 'gumbel'"),
        ("rollouts = 1.5", r"expected a whole number for rollouts in .*, got 1.5"),
        ("reuse = 1", r"expected true or false for reuse"),
        ('preset = "fast"', r"expected quick or default or full for preset"),
        ("data = 3", r"expected options under data in .*, got 3"),
        ("[data]\nsise = 64", r"got data.sise.*size"),
        ("[datasets.mine]\nrot = 'a'", r"got datasets.mine.rot"),
        ("[datasets]\nmine = 'a'", r"expected options of --data under datasets.mine"),
        ("backbones = []", r"expected names and what they stand for under backbones"),
        ("[backbones]\nsmall = 3", r"expected a backbone's file under backbones.small"),
        ("plan = true", r"expected options of compare in .*, got plan"),
        ("seeds = [", r"could not read it"),
    ],
)
def test_what_is_wrong_is_named_before_anything_starts(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        swept(tmp_path, text)


def test_a_file_of_no_known_kind_or_none_at_all_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a sweep file .toml or .yaml, got .*sweep.json"):
        swept(tmp_path, "{}", name="sweep.json")
    with pytest.raises(ValueError, match="could not read it"):
        comparisons(Compare(sweep=tmp_path / "none.toml"))


def test_without_pyyaml_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(ValueError, match=r"expected PyYAML .*adafuse-rl\[ray\].*TOML"):
        swept(tmp_path, "seeds: [1]", name="sweep.yaml")
