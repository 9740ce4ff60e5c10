import pytest
import torch

from agent.callbacks.cost_warmup import CostWarmup
from experiments.config import Data, Train
from experiments.gradients.along import GatesAlong, copy_gates, train_along
from experiments.gradients.problem import Estimator, TinyProblem
from experiments.methods import build_method
from experiments.train import train


@pytest.fixture(scope="module")
def run(videos, backbone_file, tmp_path_factory):
    """A finished run of eight updates."""
    config = Train(backbone=backbone_file, data=Data(root=videos), group_size=64, rollouts=32, batch_size=4,
                   validation_clips=4, evaluate_every=8, device="cpu", run=tmp_path_factory.mktemp("along") / "run")  # fmt: skip
    return train(config)


def test_training_again_ends_in_the_checkpoint_and_passes_through_other_gates(run):
    found = train_along(run, (0.0, 0.5, 1.0))
    assert found.difference == 0
    assert [point.share for point in found.points] == [0, 0.5, 1]
    assert [point.config.cost_weight for point in found.points] == [0, 1, 1]  # it rises over a fifth of training
    start, middle, end = (torch.cat([part.flatten() for part in point.gates.values()]) for point in found.points)
    assert 0 < (middle - start).norm() < (end - start).norm()


def test_a_run_that_is_not_finished_is_refused(run, tmp_path):
    (tmp_path / "config.json").write_text((run / "config.json").read_text())
    with pytest.raises(ValueError, match="expected a finished run"):
        train_along(tmp_path, (0.0, 1.0))


def test_start_and_end_need_no_training(run):
    found, again = train_along(run, (0.0, 1.0)), train_along(run, (0.0, 0.5, 1.0))
    assert found.difference is None
    for one, other in zip(found.points, again.points[::2]):
        torch.testing.assert_close(one.gates, other.gates, rtol=0, atol=0)


@pytest.mark.parametrize("method", ["gumbel", "reinforce"])
def test_gates_are_those_of_the_share_of_training(method):
    problem = TinyProblem()
    config = Train(hidden=4, device="cpu", method=method, batch_size=2, num_clips=1, rollouts_per_clip=2)
    model, kept = build_method(config, problem.backbone, problem.clips), []
    watch = CostWarmup(1.0, 0.0)
    watch.act = lambda: kept.append(copy_gates(model))
    along = GatesAlong((0.0, 0.5, 0.75), problem.backbone)
    model.learn(8 * 2 * model.layout.num_steps, callback=[watch, along])
    for share, gates in along.gates.items():
        torch.testing.assert_close(gates, kept[round(8 * share)], rtol=0, atol=0)


@pytest.mark.parametrize(("share", "temperature"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_a_relaxation_has_the_temperature_of_its_moment(share, temperature):
    problem = TinyProblem()
    model = problem.estimator("gumbel", 4).model
    estimator = Estimator("gumbel", model, problem.gates.state_dict(), share=share)
    estimator()
    assert model.logger.name_to_value["train/temperature"] == pytest.approx(temperature)
