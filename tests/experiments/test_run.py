import ast
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.config import Data, Pretrain, Train, Tune, from_json, to_json
from experiments.run import Fixed, Imported, Kind, Run


def test_a_run_keeps_its_configuration_versions_commit_and_data(tmp_path):
    Run(tmp_path / "run").begin(Train(seed=7), train="abc")
    kept = json.loads((tmp_path / "run" / "provenance.json").read_text())
    assert Run(tmp_path / "run").options() == to_json(Train(seed=7))
    assert kept["data"] == {"train": "abc"}
    assert (
        kept["packages"]["torch"] == torch.__version__.split("+")[0] or kept["packages"]["torch"] == torch.__version__
    )
    assert set(kept) == {"python", "packages", "machine", "commit", "data"}


def test_a_folder_with_a_run_is_not_written_over(tmp_path):
    Run(tmp_path).begin(Train())
    with pytest.raises(ValueError, match="holds a run already"):
        Run(tmp_path).begin(Train())


def test_a_run_is_not_resumed_with_other_options(tmp_path):
    Run(tmp_path).begin(Train())
    Run(tmp_path).begin(Train(run=tmp_path), resume=True)  # where it lies is no option
    with pytest.raises(ValueError, match="differs in rollouts, seed"):
        Run(tmp_path).begin(Train(rollouts=1, seed=1), resume=True)


def test_an_option_younger_than_the_run_had_its_default(tmp_path):
    Run(tmp_path).begin(Train())
    config = Run(tmp_path).options()
    del config["gate_norm"], config["data"]["flip"]
    (tmp_path / "config.json").write_text(json.dumps(config))
    Run(tmp_path).begin(Train(), resume=True)
    with pytest.raises(ValueError, match="differs in data, gate_norm"):
        Run(tmp_path).begin(Train(gate_norm="batch", data=Data(flip="skip")), resume=True)


def test_nothing_to_resume_is_said_plainly(tmp_path):
    with pytest.raises(ValueError, match=r"no config\.json"):
        Run(tmp_path / "none").begin(Train(), resume=True)
    with pytest.raises(ValueError, match=r"config\.json"):
        Run(tmp_path / "none").options()


# -- kinds -----------------------------------------------------------------------------------------------------------

CONFIGS = {
    Kind.PRETRAINED: Pretrain(sites=["layer2"]),
    Kind.TRAINED: Train(method="ppo", seed=3, start=Path("runs/other"), plugin=("mine",)),
    Kind.FIXED: Fixed(Path("b.pt"), order="frame", group_size=8, seed=2, plugin=("mine",)),
    Kind.IMPORTED: Imported(Path("b.pt"), hidden_quota=200, gate_norm="batch", shared_gates=True),
}


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_run_is_known_by_its_manifest_whatever_its_folder_is_called(tmp_path, kind):
    run = Run(tmp_path / "fixed-backbone-imported-10seconds")
    run.begin(CONFIGS[kind])
    assert run.kind is kind
    assert run.config() == replace(CONFIGS[kind], run=run.folder)
    assert run.seconds is None
    run.begin(CONFIGS[kind], resume=True)


def test_the_time_that_settled_a_runs_rollouts_stands_in_its_manifest(tmp_path):
    Run(tmp_path / "a").begin(Train(), seconds=15.0)
    assert Run(tmp_path / "a").seconds == 15
    (tmp_path / "a").rename(tmp_path / "b")
    assert Run(tmp_path / "b").seconds == 15
    assert Run(tmp_path / "b").config() == Train(run=tmp_path / "b")


def old_manifest(folder: Path, **content) -> Run:
    """As 0.1.0 wrote it: no kind, a training of a method of that name in place of fixed and imported runs."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content))
    return Run(folder)


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (Kind.PRETRAINED, to_json(Pretrain())),
        (Kind.TRAINED, to_json(Train(method="gumbel"))),
        (Kind.FIXED, to_json(Train(backbone=Path("x/backbone.pt"), method="fixed", group_size=8, seed=4))),
        (Kind.IMPORTED, to_json(Train(backbone=Path("x/backbone.pt"), method="imported", gate_norm="batch"))),
        (None, to_json(Tune())),
        (None, {}),
    ],
)
def test_a_folder_of_before_kinds_is_known_too(tmp_path, kind, content):
    run = old_manifest(tmp_path / "run", **content)
    assert run.kind is kind
    if kind is None:
        with pytest.raises(ValueError, match="the folder of another command"):
            run.config()
    else:
        config = run.config()
        assert isinstance(config, type(CONFIGS[kind]))
        assert config.run == run.folder
    if kind is Kind.FIXED:
        assert (config.backbone, config.group_size, config.seed) == (Path("x/backbone.pt"), 8, 4)
        run.check_same(replace(config, plugin=("mine",)))  # which were not written down then
        with pytest.raises(ValueError, match="differs in group_size"):
            run.check_same(replace(config, group_size=1))


def test_a_run_of_another_kind_does_not_pass_for_the_one_wanted(tmp_path):
    Run(tmp_path).begin(Train(backbone=Path("b.pt"), group_size=8, seed=2, order="frame"))
    with pytest.raises(ValueError, match="differs in kind:"):
        Run(tmp_path).check_same(replace(CONFIGS[Kind.FIXED], plugin=()))


def test_what_reads_folders_of_before_finds_all_that_it_knew(tmp_path):
    for kind in (Kind.FIXED, Kind.IMPORTED):
        Run(tmp_path / kind).begin(CONFIGS[kind])
        assert from_json(Train, Run(tmp_path / kind).options()).method == kind
        assert set(to_json(Train())) <= set(Run(tmp_path / kind).options())


def test_a_run_that_called_rollouts_clips_is_read(tmp_path):
    content = to_json(Train(method="ppo", rollouts=96, run=Path("elsewhere")))
    content["clips"] = content.pop("rollouts")
    for younger in ("n_epochs", "plugin", "regime"):
        del content[younger]
    del content["data"]["cache"], content["data"]["flip"]
    run = old_manifest(tmp_path / "old-10seconds", **content)
    (run.folder / "result.json").write_text(json.dumps({"clips": 96, "seconds": 1.0}))
    (run.folder / "learning.json").write_text(json.dumps([{"clips": 0, "accuracy": 50.0}]))
    config = run.agent()
    assert (config.rollouts, config.n_epochs, config.regime, config.run) == (96, 2, "frozen", run.folder)
    assert (run.kind, run.rollouts, run.read_curve()[0]["rollouts"]) == (Kind.TRAINED, 96, 0)
    assert run.seconds == 10  # of which the name alone told then


def test_a_kind_of_a_later_version_is_said_plainly(tmp_path):
    run = old_manifest(tmp_path / "run", kind="distilled", method="x")
    with pytest.raises(ValueError, match="got distilled: was it made by a later version"):
        run.config()


def test_no_file_of_a_run_is_named_anywhere_else():
    names = {file.name for file in vars(Run).values() if hasattr(file, "name")}
    assert {"config.json", "checkpoint.pt", "result.json", "learning.json", "clips.npz"} < names
    words = {"predictions", "inspect", "probes.json"}  # commands; the probes of several runs, in a folder of their own
    sources = (Path(__file__).parents[2] / "experiments").rglob("*.py")
    for path in sources:
        texts = {node.value for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Constant)}
        assert path.stem == "run" or not (names - words) & texts, path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "expected JSON in"),
        ("[" * 100_000, "expected JSON in"),
        ("[]", "expected an object in .* got a list"),
        (b"\xff\xfe", "expected JSON in"),
        ('{"kind": "trained", "colour": "red"}', "expected the options of a run in .*colour"),
        ('{"kind": "trained", "data": [1]}', "expected (the options of a run|--data)"),
        ('{"kind": "trained", "rollouts": -1}', "expected --rollouts from 1"),
        ('{"kind": ["trained"]}', "expected a run among"),
    ],
)
def test_a_damaged_manifest_is_one_sentence_that_names_it(tmp_path, text, said):
    (tmp_path / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ValueError, match=said) as caught:
        Run(tmp_path).config()
    assert "\n" not in str(caught.value)
