import json
import shutil
from dataclasses import replace

import pytest
from stable_baselines3 import A2C

from backbone.common.files import write_json
from experiments.config import Data, Gradients, Train, to_json
from experiments.gradients import command
from experiments.gradients.command import ALONG, Effort, choose_methods, gradients
from experiments.methods import METHODS, rollout_env
from experiments.train import train

SMALL = Effort(3, 4, 3, 4, (16, 32), (2,), (0.0, 1.0), 3, 4)
CHOSEN = ("gumbel", "ppo")


@pytest.fixture(scope="module", autouse=True)
def _small():
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(command.PRESETS, "quick", SMALL)
        patch.setattr(command, "ROLLOUTS", 8)
        patch.setattr(command, "ROLLOUTS_PER_CLIP", 4)
        yield


@pytest.fixture(scope="module")
def finished(_small, videos, backbone_file, tmp_path_factory) -> Gradients:
    """The configuration of a run that was made with it."""
    run = tmp_path_factory.mktemp("gradients") / "run"
    config = Gradients(preset="quick", methods=CHOSEN, backbone=backbone_file, data=Data(root=videos), run=run)
    gradients(config)
    return config


@pytest.fixture
def written(monkeypatch) -> list[dict]:
    """What would be reported, in place of a report."""
    found: list[dict] = []
    monkeypatch.setattr(command, "write_report", lambda folder, figures, facts: found.append(figures))
    return found


def figures(config: Gradients) -> dict:
    return json.loads((config.run / "gradients.json").read_text(), parse_constant=pytest.fail)  # no NaN


def test_a_run_holds_figures_tables_and_pictures(finished):
    found = figures(finished)
    assert found["exact"]["cases"]["perturbed"]["coordinates"] == 225
    assert list(found["exact"]["cases"]["initial"]["methods"]) == ["reinforce", *CHOSEN]
    group = found["clips"]["groups"]["16"]
    assert set(group["equal_rollouts"]) == set(group["equal_compute"]) == {"reinforce", *CHOSEN}
    assert group["equal_rollouts"]["gumbel"]["rollouts"] == 8
    assert group["reference"]["method"] == "rebar"
    assert set(group["rollouts_per_clip"]["2"]) == {"reinforce", "ppo"}
    assert found["clips"]["groups"]["32"]["rollouts_per_clip"] == {}
    assert group["equal_rollouts"]["gumbel"]["rollouts_per_clip"] == 1
    assert found["effort"]["estimates"] == 3
    assert "commit" in found
    text = (finished.run / "gradients.md").read_text()
    for picture in ("bias", "variance", "groups", "rollouts"):
        assert f"({picture}.png)" in text
        assert (finished.run / f"{picture}.png").read_bytes().startswith(b"\x89PNG")


def test_what_is_measured_is_not_repeated(finished, written, monkeypatch):
    monkeypatch.setattr(command, "sample", lambda *args: pytest.fail("measured again"))
    gradients(finished)
    assert written == [{name: figures(finished)[name] for name in ("exact", "clips")}]


def test_other_options_need_another_folder(finished):
    with pytest.raises(ValueError, match=r"expected .* to hold the same run, it differs in seed"):
        gradients(replace(finished, seed=1))


def test_without_a_backbone_the_exact_part_remains(finished, written, capsys, monkeypatch, tmp_path):
    monkeypatch.setattr(command, "DEFAULT_BACKBONE", tmp_path / "none.pt")
    shutil.copytree(finished.run / "stages", tmp_path / "run" / "stages")
    gradients(replace(finished, backbone=None, run=tmp_path / "run"))
    assert "so nothing is measured on real clips" in capsys.readouterr().out
    assert list(written[0]) == ["exact"]


def agent(finished: Gradients, run, **kwargs) -> Train:
    return Train(backbone=finished.backbone, data=finished.data, group_size=64, cost_weight=0.25, rollouts=32, batch_size=8,
                 validation_clips=4, device="cpu", run=run, **kwargs)  # fmt: skip


def test_runs_are_measured_along_their_training(finished, tmp_path):
    job = agent(finished, tmp_path / "agent")
    train(job)
    gradients(replace(finished, methods=(), backbone=None, agent=(job.run,), run=tmp_path / "run"))
    found = figures(replace(finished, run=tmp_path / "run"))
    assert not {"exact", "clips"} & set(found)
    run = found["along"][str(job.run)]
    assert [point["share"] for point in run["points"]] == [0, 1]
    assert [point["cost_weight"] for point in run["points"]] == [0, 0.25]
    assert set(run["points"][0]["methods"]) == set(ALONG)
    assert run["points"][0]["methods"]["gumbel"]["rollouts_per_clip"] == 1
    assert (tmp_path / "run" / "along.png").exists()


def test_verdicts_are_of_all_tests_together():
    def row(p, least_p=1e-4):
        return {"p": p, "least_p": least_p, "biased": None}

    methods = {"biased": row(1e-4), "no longer": row(0.006), "none": row(0.5), "scarce": row(0.5, 0.006)}
    cases = [{"lack": 0.0, "coordinates": 9, "methods": methods},
             {"lack": 99.0, "coordinates": 9, "methods": {"certain": row(1e-4)}}]  # fmt: skip
    command.correct_bias_tests(cases)
    assert {name: one["biased"] for name, one in methods.items()} == {
        "biased": True, "no longer": False, "none": False, "scarce": None
    }  # fmt: skip
    assert methods["no longer"]["p"] == pytest.approx(3 * 0.006)
    assert cases[1]["methods"]["certain"]["biased"] is None
    del (older := {"p": 0.5, "least_p": 0.0, "biased": False})["least_p"]
    command.correct_bias_tests([{"lack": 0.0, "coordinates": 9, "methods": {"older": older}}])
    assert older["biased"] is False


def test_gates_that_ignore_their_input_are_refused(finished, tmp_path):
    write_json(tmp_path / "config.json", to_json(agent(finished, tmp_path, method="static")))
    with pytest.raises(ValueError, match="expected a run with gates that all methods share, got static"):
        gradients(replace(finished, agent=(tmp_path,), run=tmp_path / "run"))


def test_a_run_whose_cnn_learned_is_refused(finished, tmp_path):
    write_json(tmp_path / "config.json", to_json(agent(finished, tmp_path, regime="joint")))
    with pytest.raises(ValueError, match="expected a run on a frozen CNN, got regime joint"):
        gradients(replace(finished, agent=(tmp_path,), run=tmp_path / "run"))


def test_all_methods_that_share_their_gates_are_measured_unless_some_are_named():
    assert set(choose_methods(())) == set(METHODS) - {"static"}
    assert choose_methods(("ppo",)) == ["reinforce", "ppo"]
    with pytest.raises(ValueError, match=r"expected --methods among .*; got mine"):
        choose_methods(("mine",))


def test_a_method_without_an_estimate_is_named(finished, monkeypatch, tmp_path):
    monkeypatch.setitem(METHODS, "mine", lambda *given: A2C("MlpPolicy", rollout_env(*given), device="cpu"))
    with pytest.raises(ValueError, match=r"expected method mine to be a FusionAlgorithm with sample_loss\(\), got A2C"):
        gradients(replace(finished, methods=("mine",), run=tmp_path))
